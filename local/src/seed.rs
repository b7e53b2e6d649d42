//! What a system has from its start: the parameters, organizations and users of a file (schemas/seed.json). Everything is
//! checked before anything is written, by the rules and the writes of the administrator's tool. What is there already is not
//! written again. While the system runs, `POST /local/seed` takes organizations and users in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use adapters::app::App;
use adapters::config::{CheckedOrganization, OrganizationSettings};
use adapters::dynamodb::{AllTables, Change, ImportOutcome, Store, USERS_IN_BATCH};
use adapters::people::{Defaults, Line};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use domain::rules::user::User;
use domain::values::text::OrganizationId;
use domain::values::time::{DAY, Timestamp};
use domain::values::unavailable::Unavailable;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use thiserror::Error;

use crate::functions::Functions;
use crate::parameters::{RefusedParameter, scalar};

/// Who made these changes, in the audit log.
const OPERATOR: &str = "a seed of cargo local";
/// How long the code of a test number is valid if the file does not say it. A file with a day of its own ends with that day.
const TEST_NUMBER_DAYS: u32 = 365;
/// A member of users that the administrator's tool does not have: a file with a moment of its own gets older.
const DAYS_AGO: &str = "phone_proven_days_ago";
const MOST_DAYS_AGO: u32 = 36_500;

/// A file that can't be used. A pointer is one of RFC 6901, in the form for fragments.
#[derive(Debug, Error)]
pub enum SeedError {
    #[error("#{pointer}: {reason}")]
    Wrong { pointer: String, reason: String },
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

fn wrong(pointer: impl Into<String>, reason: impl Into<String>) -> SeedError {
    SeedError::Wrong { pointer: pointer.into(), reason: reason.into() }
}

/// A file as it is read. Its entries are checked when they are written, because that needs the system's time and parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// For editors.
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    organizations: Vec<Map<String, Value>>,
    #[serde(default)]
    users: Vec<Map<String, Value>>,
}

/// A user of the file, and where they are in it.
struct Entry {
    pointer: String,
    user: User,
}

impl Seed {
    pub fn read(file: &Path) -> Result<Self, SeedError> {
        let text = std::fs::read_to_string(file).map_err(|error| SeedError::Unreadable(error.to_string()))?;
        Self::parse(text.as_bytes())
    }

    pub fn parse(text: &[u8]) -> Result<Self, SeedError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| SeedError::Unreadable(format!("not JSON: {error}")))?;
        // serde would read an array too.
        if value.is_object() { typed("", value) } else { Err(wrong("", "expected an object")) }
    }

    /// Values of the template's parameters.
    pub fn parameters(&self) -> Result<BTreeMap<String, String>, SeedError> {
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok((name.clone(), scalar(value))),
            _ => Err(wrong(parameter(name), "expected a text, a number or a boolean")),
        };
        self.parameters.iter().map(text).collect()
    }

    pub async fn write(&self, app: &App) -> Result<(), SeedError> {
        let store = store(app)?;
        let now = app.clock.now();
        let stored = store.all_organizations().await?;
        let organizations = self.checked_organizations(app, &stored, now)?;
        let users = self.checked_users(app, now)?;
        check_roles(app, &users, &organizations, &stored)?;
        let absent = absent(&store, &users, now).await?;

        let change =
            |action, subject: String| Change { by: OPERATOR.to_owned(), action, subject, detail: None, at: now };
        for organization in &organizations {
            let seen = stored.get(organization.id());
            if seen != Some(organization.settings()) {
                let change = change("organization.apply", organization.id().to_owned());
                store.replace_organization(seen, organization, &change).await?;
            }
        }
        if !absent.is_empty() {
            store.record(&change("import", format!("{} users of a seed", absent.len()))).await?;
        }
        for entry in absent {
            store.import_user(&entry.user, now).await?;
        }
        Ok(())
    }

    fn checked_organizations(
        &self,
        app: &App,
        stored: &BTreeMap<String, OrganizationSettings>,
        now: Timestamp,
    ) -> Result<Vec<CheckedOrganization>, SeedError> {
        let mut ids = BTreeSet::new();
        let mut checked = Vec::new();
        for (members, index) in self.organizations.iter().zip(0_usize..) {
            let pointer = format!("/organizations/{index}");
            let mut members = members.clone();
            let known = members.get("id").and_then(Value::as_str).and_then(|id| stored.get(id));
            for number in members.get_mut("test_numbers").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(number) = number.as_object_mut().filter(|number| !number.contains_key("until")) {
                    let until = end_of(number, known, now);
                    number.insert("until".to_owned(), Value::String(until));
                }
            }
            let settings: OrganizationSettings = typed(&pointer, Value::Object(members.clone()))?;
            if !ids.insert(settings.id.clone()) {
                return Err(wrong(format!("{pointer}/id"), "an earlier organization has this id"));
            }
            let organization = settings.check(&app.config.default_organization, now);
            checked.push(organization.map_err(|invalid| at(&pointer, &members, invalid.member, &invalid.reason))?);
        }
        Ok(checked)
    }

    fn checked_users(&self, app: &App, now: Timestamp) -> Result<Vec<Entry>, SeedError> {
        let default = &app.config.default_organization;
        let mut entries: Vec<Entry> = Vec::new();
        let mut taken = BTreeSet::new();
        for (members, index) in self.users.iter().zip(0_usize..) {
            let pointer = format!("/users/{index}");
            let mut members = members.clone();
            let proven_at = match members.remove(DAYS_AGO) {
                None => now,
                Some(_) if members.contains_key("phone_proven_at") => {
                    let reason = "phone_proven_at says it already: remove one of the two";
                    return Err(wrong(format!("{pointer}/{DAYS_AGO}"), reason));
                }
                Some(days) => {
                    let days = days.as_u64().and_then(|days| u32::try_from(days).ok());
                    let days = days.filter(|days| *days <= MOST_DAYS_AGO);
                    let expected = || format!("expected a number of days from 0 to {MOST_DAYS_AGO}");
                    let days = days.ok_or_else(|| wrong(format!("{pointer}/{DAYS_AGO}"), expected()))?;
                    now.minus(days.saturating_mul(DAY))
                }
            };
            let line: Line = typed(&pointer, Value::Object(members.clone()))?;
            let name = line.user_id.as_ref().or(line.phone_number.as_ref()).or(line.username.as_ref());
            let name = name.ok_or_else(|| wrong(&*pointer, "expected a phone_number, a username or a user_id"))?;
            let defaults = Defaults {
                organization: default.id.clone(),
                country: default.default_country,
                proven_at: Some(proven_at),
                now,
            };
            let user = line.user(&format!("seed {name}"), &defaults, &app.numbering_plan);
            let user = user.map_err(|invalid| at(&pointer, &members, invalid.member, &invalid.reason))?;
            for (member, value) in of_one_user(&user) {
                if !taken.insert((member, value)) {
                    return Err(at(&pointer, &members, member, "an earlier user has the same"));
                }
            }
            entries.push(Entry { pointer, user });
        }
        Ok(entries)
    }
}

/// Writes seeds while the system runs.
pub struct Seeder {
    pub app: App,
    pub functions: Arc<Functions>,
}

impl Seeder {
    /// The settings of all organizations that have some.
    pub async fn organizations(&self) -> Result<Vec<OrganizationSettings>, SeedError> {
        Ok(store(&self.app)?.all_organizations().await?.into_values().collect())
    }

    pub async fn write(&self, seed: &Seed) -> Result<(), SeedError> {
        if !seed.parameters.is_empty() {
            return Err(wrong("/parameters", "they are read at the start only: use --seed"));
        }
        seed.write(&self.app).await?;
        // New processes read the settings at once; others keep them for minutes.
        self.functions.cool();
        Ok(())
    }
}

fn store(app: &App) -> Result<Store<AllTables>, SeedError> {
    Store::new(app).map_err(|error| SeedError::Unreadable(error.to_string()))
}

impl From<RefusedParameter> for SeedError {
    fn from(RefusedParameter { name, reason }: RefusedParameter) -> Self {
        wrong(parameter(&name), reason)
    }
}

fn parameter(name: &str) -> String {
    format!("/parameters/{}", escaped(name))
}

/// The last day of a test number: that of an earlier start as long as it is to come, so that the same file changes nothing.
fn end_of(number: &Map<String, Value>, known: Option<&OrganizationSettings>, now: Timestamp) -> String {
    let member = |name: &str| number.get(name).and_then(Value::as_str);
    let known = known.into_iter().flat_map(|settings| &settings.test_numbers);
    let today = day(now);
    let mut same = known.filter(|known| {
        member("phone_number") == Some(&*known.phone_number)
            && member("code") == Some(&*known.code)
            && known.until > today
    });
    same.next().map_or_else(|| day(now.plus(TEST_NUMBER_DAYS.saturating_mul(DAY))), |known| known.until.clone())
}

/// The day in UTC, as YYYY-MM-DD.
fn day(moment: Timestamp) -> String {
    let text = DateTime::from_secs(moment.seconds()).fmt(Format::DateTime).unwrap_or_default();
    text.chars().take("YYYY-MM-DD".len()).collect()
}

/// What only one user can have.
fn of_one_user(user: &User) -> Vec<(&'static str, String)> {
    let id = ("user_id", user.id.as_str().to_owned());
    let phone = user.phone.as_ref().map(|phone| ("phone_number", phone.e164().to_owned()));
    let username = user.username.as_ref().map(|username| ("username", username.folded().to_string()));
    [Some(id), phone, username].into_iter().flatten().collect()
}

/// A role in an organization that nobody can sign in to is most likely a misspelt one.
fn check_roles(
    app: &App,
    users: &[Entry],
    organizations: &[CheckedOrganization],
    stored: &BTreeMap<String, OrganizationSettings>,
) -> Result<(), SeedError> {
    let exists = |id: &OrganizationId| {
        *id == app.config.default_organization.id
            || stored.contains_key(id.as_str())
            || organizations.iter().any(|organization| organization.id() == id.as_str())
    };
    for Entry { pointer, user } in users {
        for (role, organizations) in &user.roles {
            if let Some(id) = organizations.iter().find(|id| !exists(id)) {
                let reason = format!("there is no organization {}", id.as_str());
                return Err(wrong(format!("{pointer}/roles/{}", escaped(role)), reason));
            }
        }
    }
    Ok(())
}

/// The users who are not there yet.
async fn absent<'a>(
    store: &Store<AllTables>,
    entries: &'a [Entry],
    now: Timestamp,
) -> Result<Vec<&'a Entry>, SeedError> {
    let mut absent = Vec::new();
    for batch in entries.chunks(USERS_IN_BATCH) {
        let users: Vec<&User> = batch.iter().map(|entry| &entry.user).collect();
        for (entry, outcome) in batch.iter().zip(store.check_import(&users, now).await?) {
            let taken = |member: &str, what: &str| {
                let reason = format!("another user has the {what}, or it is kept for one; start with other data");
                wrong(format!("{}/{member}", entry.pointer), reason)
            };
            match outcome {
                ImportOutcome::Written => absent.push(entry),
                ImportOutcome::AlreadyThere => {}
                ImportOutcome::NumberTaken => return Err(taken("phone_number", "number")),
                ImportOutcome::UsernameTaken => return Err(taken("username", "username")),
            }
        }
    }
    Ok(absent)
}

/// An error at a member, or at its entry if that has no such member.
fn at(pointer: &str, members: &Map<String, Value>, member: &str, reason: &str) -> SeedError {
    if members.contains_key(member) {
        wrong(format!("{pointer}/{member}"), reason)
    } else {
        wrong(pointer, format!("{member}: {reason}"))
    }
}

fn typed<T: DeserializeOwned>(pointer: &str, value: Value) -> Result<T, SeedError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escaped(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        wrong(format!("{pointer}{}", inner.collect::<String>()), error.inner().to_string())
    })
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
