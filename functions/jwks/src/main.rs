//! The `jwks` function, wired once for each cold start.

use adapters::app::App;
use jwks::Jwks;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_http::lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = &Jwks::new(&App::from_environment()?)?;
    function.prepare().await;
    run(service_fn(async |event: LambdaEvent<ApiGatewayV2httpRequest>| {
        Ok::<_, Error>(function.handle(event.payload).await)
    }))
    .await
}
