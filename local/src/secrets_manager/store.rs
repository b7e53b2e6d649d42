//! The secrets with their versions and staging labels. A change is on disk before it is answered. Rules and messages
//! are those of <https://docs.aws.amazon.com/secretsmanager/latest/apireference/>.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::AdjustableClock;
use crate::cloudformation::{ACCOUNT, InitialSecret, REGION, Rotation, Secret};
use crate::lock::lock;
use crate::{private_file, random};

const CURRENT: &str = "AWSCURRENT";
const PENDING: &str = "AWSPENDING";
const PREVIOUS: &str = "AWSPREVIOUS";

/// Secrets Manager's limit for one value.
const MAXIMUM_VALUE_BYTES: usize = 65_536;
/// Secrets Manager's limit for one batch.
const MAXIMUM_BATCH: usize = 20;

pub struct SecretsManager {
    clock: AdjustableClock,
    /// The file that survives a restart; `None` keeps the secrets in memory only.
    path: Option<PathBuf>,
    secrets: Mutex<BTreeMap<String, Stored>>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
struct Stored {
    arn: String,
    created: i64,
    changed: i64,
    rotated: Option<i64>,
    rotation_function: Option<String>,
    versions: BTreeMap<String, Version>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
struct Version {
    /// `None` between the start of a rotation and its first step.
    content: Option<Content>,
    stages: BTreeSet<String>,
    created: i64,
}

#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
enum Content {
    #[serde(rename = "SecretString")]
    String(String),
    /// Base64, as in the protocol.
    #[serde(rename = "SecretBinary")]
    Binary(String),
}

/// A refusal in AWS's terms.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    pub kind: &'static str,
    pub message: String,
}

fn refusal(kind: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { kind, message: message.into() }
}

fn invalid(message: impl Into<String>) -> Refusal {
    refusal("InvalidParameterException", message)
}

fn not_found(what: &str) -> Refusal {
    refusal("ResourceNotFoundException", format!("Secrets Manager can't find the specified {what}."))
}

/// A rotation in progress: its function is to be called with this token, step by step.
pub struct StartedRotation {
    pub arn: String,
    pub name: String,
    pub function: String,
    pub token: String,
}

impl SecretsManager {
    pub fn new(clock: AdjustableClock) -> Self {
        Self { clock, path: None, secrets: Mutex::default() }
    }

    pub fn open(clock: AdjustableClock, path: PathBuf) -> std::io::Result<Self> {
        let secrets = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { clock, path: Some(path), secrets: Mutex::new(secrets) })
    }

    /// Creates the declared secrets that do not exist yet.
    pub fn create(&self, declared: &[Secret], rotations: &[Rotation]) -> Result<(), Refusal> {
        self.change(|secrets, now| {
            for Secret { name, initial } in declared {
                let function = rotations.iter().find(|rotation| rotation.secret == *name);
                let stored = secrets.entry(name.clone()).or_insert_with(|| {
                    let version = Version {
                        content: Some(Content::String(initial_value(initial))),
                        stages: BTreeSet::from([CURRENT.to_owned()]),
                        created: now,
                    };
                    let suffix = random::hex(3);
                    Stored {
                        arn: format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{suffix}"),
                        created: now,
                        changed: now,
                        versions: BTreeMap::from([(random::uuid(), version)]),
                        ..Stored::default()
                    }
                });
                stored.rotation_function = function.map(|rotation| rotation.function.clone());
            }
            Ok(())
        })
    }

    pub fn current(&self, id: &str) -> Option<String> {
        let secrets = lock(&self.secrets);
        let (_, stored) = find(&secrets, id).ok()?;
        let (_, version) = stored.staged(CURRENT)?;
        match version.content.as_ref()? {
            Content::String(value) => Some(value.clone()),
            Content::Binary(_) => None,
        }
    }

    /// The secrets whose first rotation has not ended yet.
    pub fn never_rotated(&self) -> Vec<String> {
        let secrets = lock(&self.secrets);
        let due = secrets.iter().filter(|(_, stored)| stored.rotation_function.is_some() && stored.rotated.is_none());
        due.map(|(name, _)| name.clone()).collect()
    }

    /// Labels a version AWSPENDING for a rotation. An interrupted rotation continues with its own version.
    pub fn begin_rotation(&self, id: &str, token: Option<&str>) -> Result<StartedRotation, Refusal> {
        self.change(|secrets, now| {
            let (name, stored) = find_mut(secrets, id)?;
            let Some(function) = stored.rotation_function.clone() else {
                return Err(refusal("InvalidRequestException", "Rotation is not configured for this secret."));
            };
            let interrupted = stored.staged(PENDING).filter(|(_, version)| !version.stages.contains(CURRENT));
            let token = match (interrupted.map(|(id, _)| id.clone()), token) {
                (Some(interrupted), _) => interrupted,
                (None, Some(given)) => given.to_owned(),
                (None, None) => random::uuid(),
            };
            stored.versions.entry(token.clone()).or_insert_with(|| Version { created: now, ..Version::default() });
            stored.attach(PENDING, &token);
            Ok(StartedRotation { arn: stored.arn.clone(), name, function, token })
        })
    }

    /// Records the end of a rotation.
    pub fn end_rotation(&self, id: &str) -> Result<(), Refusal> {
        self.change(|secrets, now| {
            find_mut(secrets, id)?.1.rotated = Some(now);
            Ok(())
        })
    }

    /// One request to the API.
    pub fn call(&self, operation: &str, request: &Value) -> Result<Value, Refusal> {
        match operation {
            "GetSecretValue" => self.get_secret_value(request),
            "BatchGetSecretValue" => self.batch_get_secret_value(request),
            "PutSecretValue" => self.put_secret_value(request),
            "DescribeSecret" => self.describe_secret(request),
            "UpdateSecretVersionStage" => self.update_secret_version_stage(request),
            _ => Err(refusal("UnknownOperationException", format!("{operation} is not emulated."))),
        }
    }

    fn get_secret_value(&self, request: &Value) -> Result<Value, Refusal> {
        let secrets = lock(&self.secrets);
        let (name, stored) = find(&secrets, secret_id(request)?)?;
        let (version_id, stage) = (text(request, "VersionId"), text(request, "VersionStage"));
        let (id, version) = match version_id {
            Some(wanted) => {
                let missing = || not_found(&format!("secret value for VersionId: {wanted}"));
                stored.versions.get_key_value(wanted).ok_or_else(missing)?
            }
            None => {
                let wanted = stage.unwrap_or(CURRENT);
                let missing = || not_found(&format!("secret value for staging label: {wanted}"));
                stored.staged(wanted).ok_or_else(missing)?
            }
        };
        if stage.is_some_and(|stage| !version.stages.contains(stage)) {
            let message = "You provided a VersionStage that is not associated to the provided VersionId.";
            return Err(refusal("InvalidRequestException", message));
        }
        let missing = || not_found(&format!("secret value for VersionId: {id}"));
        let (member, value) = match version.content.as_ref().ok_or_else(missing)? {
            Content::String(value) => ("SecretString", value),
            Content::Binary(value) => ("SecretBinary", value),
        };
        Ok(json!({
            "ARN": stored.arn, "Name": name, "VersionId": id, "VersionStages": version.stages,
            "CreatedDate": version.created, member: value,
        }))
    }

    /// Only by a list of names: filters are not emulated.
    fn batch_get_secret_value(&self, request: &Value) -> Result<Value, Refusal> {
        let names = request.get("SecretIdList").and_then(Value::as_array).filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| invalid("You must provide a SecretIdList."))?;
        if names.len() > MAXIMUM_BATCH {
            return Err(invalid(format!("SecretIdList has more than {MAXIMUM_BATCH} members.")));
        }
        let (mut values, mut errors) = (Vec::new(), Vec::new());
        for name in names {
            match self.get_secret_value(&json!({ "SecretId": name })) {
                Ok(value) => values.push(value),
                Err(Refusal { kind, message }) => {
                    errors.push(json!({ "SecretId": name, "ErrorCode": kind, "Message": message }));
                }
            }
        }
        Ok(json!({ "SecretValues": values, "Errors": errors }))
    }

    fn put_secret_value(&self, request: &Value) -> Result<Value, Refusal> {
        let content = match (text(request, "SecretString"), text(request, "SecretBinary")) {
            (Some(value), None) => Content::String(value.to_owned()),
            (None, Some(value)) => Content::Binary(value.to_owned()),
            _ => return Err(invalid("You must provide either SecretString or SecretBinary.")),
        };
        if matches!(&content, Content::String(value) | Content::Binary(value) if value.is_empty() || value.len() > MAXIMUM_VALUE_BYTES)
        {
            return Err(invalid("The value must have between 1 and 65536 bytes."));
        }
        let token = match text(request, "ClientRequestToken") {
            Some(token) if (32..=64).contains(&token.len()) => token.to_owned(),
            Some(_) => return Err(invalid("ClientRequestToken must be 32 to 64 characters long.")),
            None => random::uuid(),
        };
        let stages: Vec<String> = match request.get("VersionStages").and_then(Value::as_array) {
            Some(stages) => stages.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None => vec![CURRENT.to_owned()],
        };
        self.change(|secrets, now| {
            let (name, stored) = find_mut(secrets, secret_id(request)?)?;
            match stored.versions.get(&token).and_then(|version| version.content.as_ref()) {
                // A retry of a successful call changes nothing, even if its labels have been moved since.
                Some(present) if *present == content => {}
                Some(_) => {
                    let message = "You can't modify the value of a version that already exists.";
                    return Err(refusal("ResourceExistsException", message));
                }
                None => {
                    let version = stored.versions.entry(token.clone()).or_default();
                    version.content = Some(content.clone());
                    version.created = now;
                    stored.changed = now;
                    for stage in &stages {
                        stored.attach(stage, &token);
                    }
                }
            }
            let stages = stored.versions.get(&token).map(|version| &version.stages);
            Ok(json!({ "ARN": stored.arn, "Name": name, "VersionId": token, "VersionStages": stages }))
        })
    }

    fn describe_secret(&self, request: &Value) -> Result<Value, Refusal> {
        let secrets = lock(&self.secrets);
        let (name, stored) = find(&secrets, secret_id(request)?)?;
        let labelled = stored.versions.iter().filter(|(_, version)| !version.stages.is_empty());
        let stages: BTreeMap<_, _> = labelled.map(|(id, version)| (id, &version.stages)).collect();
        let mut description = json!({
            "ARN": stored.arn, "Name": name, "CreatedDate": stored.created, "LastChangedDate": stored.changed,
            "RotationEnabled": stored.rotation_function.is_some(), "VersionIdsToStages": stages,
        });
        if let Some(description) = description.as_object_mut() {
            if let Some(function) = &stored.rotation_function {
                let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}");
                description.insert("RotationLambdaARN".to_owned(), json!(arn));
            }
            if let Some(rotated) = stored.rotated {
                description.insert("LastRotatedDate".to_owned(), json!(rotated));
            }
        }
        Ok(description)
    }

    fn update_secret_version_stage(&self, request: &Value) -> Result<Value, Refusal> {
        let stage = text(request, "VersionStage").ok_or_else(|| invalid("VersionStage is required."))?;
        let (to, from) = (text(request, "MoveToVersionId"), text(request, "RemoveFromVersionId"));
        self.change(|secrets, _| {
            let (name, stored) = find_mut(secrets, secret_id(request)?)?;
            let holder = stored.staged(stage).map(|(id, _)| id.clone());
            for version in [to, from].into_iter().flatten() {
                if !stored.versions.contains_key(version) {
                    return Err(not_found(&format!("secret value for VersionId: {version}")));
                }
            }
            if let Some(from) = from
                && holder.as_deref() != Some(from)
            {
                let message = format!("Staging label {stage} isn't currently attached to version {from}.");
                return Err(invalid(message));
            }
            match (to, from, &holder) {
                (None, None, _) => return Err(invalid("MoveToVersionId or RemoveFromVersionId is required.")),
                (None, Some(_), _) if stage == CURRENT => {
                    let message = "You can only move staging label AWSCURRENT to a different secret version. \
                                   It can't be completely removed.";
                    return Err(invalid(message));
                }
                (None, Some(from), _) => stored.detach(stage, from),
                (Some(to), None, Some(holder)) if holder != to => {
                    let message = format!(
                        "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to \
                         version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
                    );
                    return Err(invalid(message));
                }
                (Some(to), _, _) => stored.attach(stage, to),
            }
            Ok(json!({ "ARN": stored.arn, "Name": name }))
        })
    }

    /// Applies a change to a copy, writes the copy to disk, and only then replaces the secrets with it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Stored>, i64) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut secrets = lock(&self.secrets);
        let mut changed = secrets.clone();
        let outcome = change(&mut changed, self.clock.now_seconds())?;
        if let Some(path) = &self.path {
            write(path, &changed).map_err(|error| refusal("InternalServiceError", error.to_string()))?;
        }
        *secrets = changed;
        Ok(outcome)
    }
}

impl Stored {
    fn staged(&self, stage: &str) -> Option<(&String, &Version)> {
        self.versions.iter().find(|(_, version)| version.stages.contains(stage))
    }

    /// Moves a label to a version. A version that loses AWSCURRENT gets AWSPREVIOUS.
    fn attach(&mut self, stage: &str, to: &str) {
        let holder = self.staged(stage).map(|(id, _)| id.clone());
        if let Some(holder) = holder.filter(|holder| holder != to) {
            self.detach(stage, &holder);
            if stage == CURRENT {
                self.attach(PREVIOUS, &holder);
            }
        }
        if let Some(version) = self.versions.get_mut(to) {
            version.stages.insert(stage.to_owned());
            if stage == CURRENT {
                version.stages.remove(PREVIOUS);
            }
        }
    }

    fn detach(&mut self, stage: &str, from: &str) {
        if let Some(version) = self.versions.get_mut(from) {
            version.stages.remove(stage);
        }
    }
}

fn find<'a>(secrets: &'a BTreeMap<String, Stored>, id: &str) -> Result<(&'a String, &'a Stored), Refusal> {
    secrets.iter().find(|(name, stored)| *name == id || stored.arn == id).ok_or_else(|| not_found("secret"))
}

fn find_mut<'a>(secrets: &'a mut BTreeMap<String, Stored>, id: &str) -> Result<(String, &'a mut Stored), Refusal> {
    let found = secrets.iter_mut().find(|(name, stored)| *name == id || stored.arn == id);
    found.map(|(name, stored)| (name.clone(), stored)).ok_or_else(|| not_found("secret"))
}

fn secret_id(request: &Value) -> Result<&str, Refusal> {
    text(request, "SecretId").ok_or_else(|| invalid("SecretId is required."))
}

fn text<'a>(request: &'a Value, member: &str) -> Option<&'a str> {
    request.get(member).and_then(Value::as_str)
}

fn initial_value(initial: &InitialSecret) -> String {
    match initial {
        InitialSecret::Given(value) => value.clone(),
        InitialSecret::Generated { length } => random::hex(*length).chars().take(*length).collect(),
    }
}

/// Replaces the file atomically: if the process is killed at any moment, the file has the old or the new content.
fn write(path: &Path, secrets: &BTreeMap<String, Stored>) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = private_file::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(secrets)?)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "11111111-1111-1111-1111-111111111111";
    const SECOND: &str = "22222222-2222-2222-2222-222222222222";

    fn secrets() -> SecretsManager {
        let secrets = SecretsManager::new(AdjustableClock::standing_still(0));
        let secret = Secret { name: "Key".to_owned(), initial: InitialSecret::Given("{}".to_owned()) };
        let rotation = Rotation { secret: "Key".to_owned(), function: "Rotate".to_owned() };
        secrets.create(&[secret], &[rotation]).unwrap();
        secrets
    }

    fn put(secrets: &SecretsManager, token: &str, value: &str, stage: &str) -> Result<Value, Refusal> {
        let request =
            json!({ "SecretId": "Key", "ClientRequestToken": token, "SecretString": value, "VersionStages": [stage] });
        secrets.call("PutSecretValue", &request)
    }

    fn value(secrets: &SecretsManager, stage: &str) -> Result<String, &'static str> {
        let answer = secrets.call("GetSecretValue", &json!({ "SecretId": "Key", "VersionStage": stage }));
        answer.map(|answer| answer["SecretString"].as_str().unwrap().to_owned()).map_err(|refusal| refusal.kind)
    }

    #[test]
    fn a_new_current_value_makes_the_old_one_previous() {
        let secrets = secrets();
        put(&secrets, FIRST, "one", CURRENT).unwrap();
        put(&secrets, SECOND, "two", CURRENT).unwrap();
        assert_eq!(value(&secrets, CURRENT).unwrap(), "two");
        assert_eq!(value(&secrets, PREVIOUS).unwrap(), "one");
        assert_eq!(value(&secrets, PENDING), Err("ResourceNotFoundException"));
    }

    #[test]
    fn a_repeated_token_changes_nothing_and_with_another_value_is_refused() {
        let secrets = secrets();
        put(&secrets, FIRST, "one", CURRENT).unwrap();
        put(&secrets, SECOND, "two", CURRENT).unwrap();
        put(&secrets, FIRST, "one", CURRENT).unwrap();
        assert_eq!(value(&secrets, CURRENT).unwrap(), "two");
        assert_eq!(put(&secrets, FIRST, "other", CURRENT).unwrap_err().kind, "ResourceExistsException");
    }

    #[test]
    fn the_current_label_moves_only_from_the_version_that_has_it() {
        let secrets = secrets();
        put(&secrets, FIRST, "one", CURRENT).unwrap();
        put(&secrets, SECOND, "two", PENDING).unwrap();
        let shift = |from: Option<&str>, to: Option<&str>| {
            let request = json!({ "SecretId": "Key", "VersionStage": CURRENT, "MoveToVersionId": to, "RemoveFromVersionId": from });
            secrets.call("UpdateSecretVersionStage", &request).map(|_| ()).map_err(|refusal| refusal.kind)
        };
        assert_eq!(shift(None, Some(SECOND)), Err("InvalidParameterException"));
        assert_eq!(shift(Some(FIRST), None), Err("InvalidParameterException"));
        assert_eq!(shift(Some(SECOND), Some(FIRST)), Err("InvalidParameterException"));
        assert_eq!(shift(Some(FIRST), Some("33333333-3333-3333-3333-333333333333")), Err("ResourceNotFoundException"));
        assert_eq!(shift(Some(FIRST), Some(SECOND)), Ok(()));
        assert_eq!(value(&secrets, CURRENT).unwrap(), "two");
        assert_eq!(value(&secrets, PREVIOUS).unwrap(), "one");
    }

    #[test]
    fn an_interrupted_rotation_continues_with_its_own_version() {
        let secrets = secrets();
        let started = secrets.begin_rotation("Key", None).unwrap();
        // As the first step expects, the version exists before it has a value.
        assert_eq!(value(&secrets, PENDING), Err("ResourceNotFoundException"));
        assert_eq!(secrets.begin_rotation(&started.arn, None).unwrap().token, started.token);
        assert_eq!(secrets.never_rotated(), ["Key"]);
        put(&secrets, &started.token, "one", PENDING).unwrap();
        assert_eq!(value(&secrets, PENDING).unwrap(), "one");
        secrets.end_rotation("Key").unwrap();
        assert!(secrets.never_rotated().is_empty());
    }
}
