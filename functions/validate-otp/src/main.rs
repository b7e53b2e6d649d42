//! The `validate-otp` function, wired once per cold start.

use adapters::App;
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use validate_otp::ValidateOtp;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = ValidateOtp::new(&App::from_environment()?)?;
    function.warm().await;
    let function = &function;
    run(service_fn(|event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        Ok::<_, Error>(function.handle(event.payload).await)
    }))
    .await
}
