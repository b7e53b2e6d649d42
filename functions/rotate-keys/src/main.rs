//! The `rotate-keys` function, wired once for each cold start.

use adapters::app::App;
use adapters::telemetry::with_request_id;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rotate_keys::{Event, RotateKeys};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &RotateKeys::new(&App::from_environment()?)?;
    run(service_fn(async |event: LambdaEvent<Event>| {
        with_request_id(&event.context.request_id, function.handle(event.payload)).await
    }))
    .await
}
