//! The `authorizer` function, wired once for each cold start.

use adapters::app::App;
use authorizer::{Authorizer, Event};
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &Authorizer::new(&App::from_environment()?)?;
    function.prepare().await;
    run(service_fn(|event: LambdaEvent<Event>| function.handle(event.payload))).await
}
