//! The `account` function, wired once per cold start.

use account::Account;
use adapters::App;
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = Account::new(&App::from_environment()?)?;
    function.warm().await;
    let function = &function;
    run(service_fn(|event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        Ok::<_, Error>(function.handle(event.payload).await)
    }))
    .await
}
