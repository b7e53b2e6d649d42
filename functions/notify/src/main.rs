//! The `notify` function, wired once for each cold start.

use adapters::app::App;
use adapters::telemetry::with_request_id;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};
use notify::{Notify, StreamEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &Notify::new(&App::from_environment()?)?;
    run(service_fn(async |event: LambdaEvent<StreamEvent>| {
        Ok::<_, Error>(with_request_id(&event.context.request_id, function.handle(event.payload)).await)
    }))
    .await
}
