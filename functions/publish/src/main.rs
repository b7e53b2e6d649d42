//! The `publish` function, wired once for each cold start.

use adapters::app::App;
use adapters::dynamodb::StreamEvent;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};
use publish::Publish;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &Publish::new(&App::from_environment()?)?;
    run(service_fn(async |event: LambdaEvent<StreamEvent>| Ok::<_, Error>(function.handle(event).await))).await
}
