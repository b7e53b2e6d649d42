//! Rotation of a secret: like Secrets Manager, it calls the function with each of four steps in turn.

use serde_json::{Value, json};

use crate::functions::Functions;
use crate::secrets_manager::store::{Refusal, SecretsManager};

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The operation RotateSecret. Unlike AWS it answers when the rotation has ended, and reports a failure.
pub async fn rotate(secrets: &SecretsManager, functions: &Functions, request: &Value) -> Result<Value, Refusal> {
    let member = |name: &str| request.get(name).and_then(Value::as_str);
    let id = member("SecretId").unwrap_or_default();
    let started = secrets.begin_rotation(id, member("ClientRequestToken"))?;
    for step in STEPS {
        // In the cloud, the event and the function's environment contain the ARN; here both contain the name.
        let event = json!({ "Step": step, "SecretId": started.name, "ClientRequestToken": started.token });
        if let Err(error) = functions.invoke(&started.function, event).await {
            let message = format!("the step {step} of {} failed: {error}", started.function);
            return Err(Refusal { kind: "InternalServiceError", message });
        }
    }
    secrets.end_rotation(id)?;
    Ok(json!({ "ARN": started.arn, "Name": started.name, "VersionId": started.token }))
}
