//! The `rotate-keys` function, wired once for each cold start.

use adapters::app::App;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rotate_keys::{Event, RotateKeys};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &RotateKeys::new(&App::from_environment()?)?;
    run(service_fn(|event: LambdaEvent<Event>| function.handle(event))).await
}
