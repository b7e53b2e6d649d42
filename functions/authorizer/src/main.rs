//! The `authorizer` function, wired once per cold start.

use adapters::App;
use authorizer::Authorizer;
use aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Authorizer::new(&App::from_environment()?)?;
    function.warm().await;
    let function = &function;
    run(service_fn(|event: LambdaEvent<ApiGatewayV2CustomAuthorizerV2Request>| function.handle(event.payload))).await
}
