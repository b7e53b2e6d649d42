//! `latchkey key`: the keys that sign tokens, and the age of the key that derives codes.

use adapters::dynamodb::SettingsTable;
use adapters::secrets::{RotatingSecret, SecretStatus};
use clap::Subcommand;
use domain::rules::signing_keys::{MADE_BEFORE_USE_SECONDS, PublicKey, RetirementError};
use domain::values::ids::KeyId;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Report, duration, fields, table, time};

#[derive(Subcommand)]
pub enum Command {
    /// Show the published keys and the ages of the secrets
    Status,
    /// Ask Secrets Manager for a new signing key
    Rotate,
    /// Remove a public key, for example that of a stolen private one; everybody whose tokens it signed signs in again
    Retire {
        /// The `kid`
        key: String,
    },
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    match command {
        Command::Status => status(context).await,
        Command::Rotate => rotate(context).await,
        Command::Retire { key } => retire(context, &key).await,
    }
}

async fn status(context: &Context) -> Result<Report, Failure> {
    let keys = context.store::<SettingsTable>()?.key_set().await?;
    let resources = &context.app.config.resources;
    let signing = SecretStatus::of(&context.app, resources.signing_key_secret()?).await?;
    let codes = SecretStatus::of(&context.app, resources.code_key_secret()?).await?;
    let signer = keys.signer(context.now).map(|key| &key.id);
    let state = |key: &PublicKey| match (key.retires_at, key.signs_from) {
        _ if signer == Some(&key.id) => ("signs", String::new()),
        (None, Some(from)) => ("newest", format!("signs from {}", time(from))),
        (None, None) => ("newest", "its rotation has not ended".to_owned()),
        (Some(at), _) if key.is_valid(context.now) => ("published", format!("until {}", time(at))),
        (Some(at), _) => ("kept for second signals", format!("retired {}", time(at))),
    };
    let row = |key: &PublicKey| {
        let (state, when) = state(key);
        [key.id.to_string(), state.to_owned(), when]
    };
    let rows: Vec<[String; 3]> = keys.keys.iter().rev().map(row).collect();
    let when = |at: Option<_>, never: &str| at.map_or_else(|| never.to_owned(), time);
    let rotation = match (signing.is_rotating, signing.rotation_enabled) {
        (true, _) => "a rotation is under way; if it has been for long, see the log of RotateKeysFunction",
        (false, true) => "on",
        (false, false) => "off: switch it on in Secrets Manager",
    };
    let lines = fields(&[
        ("signing key changed", when(signing.changed_at, "never")),
        ("signing key rotated", when(signing.rotated_at, "never")),
        ("next rotation", when(signing.rotates_at, "unknown")),
        ("rotation", rotation.to_owned()),
        ("code key changed", when(codes.changed_at, "never")),
    ]);
    let text = if rows.is_empty() {
        format!("No key is published: rotate once.\n\n{lines}")
    } else {
        format!("{}\n{lines}", table(["key", "state", ""], &rows))
    };
    let key = |key: &PublicKey| {
        let retires_at = key.retires_at.map(|at| at.seconds());
        let signs_from = key.signs_from.map(|from| from.seconds());
        json!({"kid": key.id.as_str(), "state": state(key).0, "signs_from": signs_from, "retires_at": retires_at})
    };
    let json = json!({
        "keys": keys.keys.iter().rev().map(key).collect::<Vec<_>>(),
        "signing_key": {
            "changed_at": signing.changed_at.map(|at| at.seconds()), "rotated_at": signing.rotated_at.map(|at| at.seconds()),
            "rotates_at": signing.rotates_at.map(|at| at.seconds()), "rotation_enabled": signing.rotation_enabled,
            "is_rotating": signing.is_rotating,
        },
        "code_key": {"changed_at": codes.changed_at.map(|at| at.seconds())},
    });
    Ok(Report::new(text, json))
}

async fn rotate(context: &Context) -> Result<Report, Failure> {
    if let Some(until) = context.store::<SettingsTable>()?.key_set().await?.waiting_until(context.now) {
        let wait = "the newest key does not sign yet, and a further one would not make it faster: wait until";
        return Err(format!("{wait} {}", time(until)).into());
    }
    if context.manner.dry_run {
        return Ok(context.would("ask Secrets Manager to rotate the signing key"));
    }
    let change = context.change("key.rotate", "signing key", None).await?;
    context.store::<SettingsTable>()?.record(&change).await?;
    let secret = context.app.config.resources.signing_key_secret()?;
    RotatingSecret::new(&context.app, secret).rotate().await?;
    let wait = duration(MADE_BEFORE_USE_SECONDS);
    let text = format!("Secrets Manager rotates the signing key. The new key signs in {wait}.\n");
    Ok(Report::new(text, json!({"rotating": true})))
}

async fn retire(context: &Context, key: &str) -> Result<Report, Failure> {
    let id: KeyId = key.parse().map_err(|_| "this is no key id: see `latchkey key status`")?;
    let store = context.store::<SettingsTable>()?;
    store.key_set().await?.retire(&id, context.now).map_err(refusal)?;
    if context.manner.dry_run {
        return Ok(context.would(&format!("retire {id}")));
    }
    context.confirm(&format!("Everybody whose tokens {id} signed must sign in again."))?;
    let change = context.change("key.retire", id.as_str(), None).await?;
    store.retire_key(&id, &change).await?.map_err(refusal)?;
    let text = format!("{id} is retired. Within five minutes nothing accepts what it signed.\n");
    Ok(Report::new(text, json!({"retired": id.as_str()})))
}

fn refusal(error: RetirementError) -> Failure {
    match error {
        RetirementError::NoSuchKey => "no key has this id: see `latchkey key status`".into(),
        RetirementError::IsNewest => {
            "this is the newest key: rotate first, and retire it when the new one signs".into()
        }
        RetirementError::StillSigns { until: Some(until) } => {
            format!("this key still signs, because the newest is not used yet: wait until {}", time(until)).into()
        }
        RetirementError::StillSigns { until: None } => {
            "this key still signs, because the rotation has not ended: see the log of RotateKeysFunction".into()
        }
    }
}
