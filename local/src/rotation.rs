//! Rotation of a secret as Secrets Manager drives it: the function is called with each of four steps in turn.

use serde_json::{Value, json};

use crate::functions::Functions;
use crate::secrets_manager::{Refusal, SecretsManager};

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The operation RotateSecret. Unlike AWS it answers when the rotation has ended, and says if it failed.
pub async fn rotate(secrets: &SecretsManager, functions: &Functions, request: &Value) -> Result<Value, Refusal> {
    let member = |name: &str| request.get(name).and_then(Value::as_str);
    let id = member("SecretId").unwrap_or_default();
    let begun = secrets.begin_rotation(id, member("ClientRequestToken"))?;
    for step in STEPS {
        // In the cloud both the event and the function's environment have the ARN; here both have the name.
        let event = json!({ "Step": step, "SecretId": begun.name, "ClientRequestToken": begun.token });
        if let Err(error) = functions.invoke(&begun.function, event).await {
            let message = format!("the step {step} of {} failed: {error}", begun.function);
            return Err(Refusal { kind: "InternalServiceError", message });
        }
    }
    secrets.end_rotation(id)?;
    Ok(json!({ "ARN": begun.arn, "Name": begun.name, "VersionId": begun.token }))
}
