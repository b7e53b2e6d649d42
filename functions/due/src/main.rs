//! The `due` function, wired once for each cold start.

use adapters::app::App;
use due::DueWork;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &DueWork::new(&App::from_environment()?)?;
    run(service_fn(async |event: LambdaEvent<Value>| Ok::<_, Error>(function.handle(event).await?))).await
}
