//! The `rotate-keys` function, wired once per cold start.

use adapters::App;
use aws_lambda_events::secretsmanager::SecretsManagerSecretRotationEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rotate_keys::RotateKeys;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let function = RotateKeys::new(&App::from_environment()?)?;
    let function = &function;
    run(service_fn(|event: LambdaEvent<SecretsManagerSecretRotationEvent>| function.handle(event.payload))).await
}
