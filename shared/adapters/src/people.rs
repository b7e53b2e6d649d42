//! A user as a file has them: a line of an export or import, or an entry of a seed. Validated before it is written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use domain::rules::device_keys::DeviceKeys;
use domain::rules::user::{DEFAULT_ROLE, Roles, User};
use domain::values::country::Country;
use domain::values::custom_claims::CustomClaims;
use domain::values::ids::UserId;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::phone::DialledNumber;
use domain::values::text::{ImageUrl, MalformedText, Name, OrganizationId, Role, Source, Username};
use domain::values::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A user of a file. Moments are in epoch seconds. Members that are unknown are refused, so that nothing is lost by a
/// misspelt name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_proven_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Each role with its organizations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_in_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_ins: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
}

/// What is wrong with a line. Contains no value of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{member}: {reason}")]
pub struct InvalidLine {
    pub member: &'static str,
    pub reason: Cow<'static, str>,
}

impl InvalidLine {
    fn new(member: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { member, reason: reason.into() }
    }
}

/// What a file does not say of its users.
pub struct Defaults {
    /// Of users without a role.
    pub organization: OrganizationId,
    pub country: Country,
    /// The last proof of numbers for which the file has none.
    pub proven_at: Option<Timestamp>,
    pub now: Timestamp,
}

impl From<&User> for Line {
    fn from(user: &User) -> Self {
        let roles = user.roles.iter().map(|(role, organizations)| {
            (role.clone(), organizations.iter().map(|id| id.as_str().to_owned()).collect())
        });
        Self {
            user_id: Some(user.id.to_string()),
            phone_number: user.phone.as_ref().map(|phone| phone.e164().to_owned()),
            phone_proven_at: user.phone_proven_at.map(Timestamp::seconds),
            username: user.username.as_ref().map(|username| username.as_str().to_owned()),
            name: user.name.as_ref().map(|name| name.as_str().to_owned()),
            image_url: user.image_url.as_ref().map(|url| url.as_str().to_owned()),
            source: user.source.as_ref().map(|source| source.as_str().to_owned()),
            roles: roles.collect(),
            created_at: Some(user.created_at.seconds()),
            last_sign_in_at: Some(user.last_sign_in_at.seconds()),
            sign_ins: Some(user.sign_ins),
            blocked_at: user.blocked_at.map(Timestamp::seconds),
            claims: user.claims.as_ref().map(CustomClaims::object),
        }
    }
}

impl Line {
    /// The user of the line. `origin` names the record in its system, so that the same one always gets the same id.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn user(&self, origin: &str, defaults: &Defaults, plan: &NumberingPlan) -> Result<User, InvalidLine> {
        let Defaults { organization, country, proven_at, now } = defaults;
        let moment = |seconds: Option<i64>| seconds.map(|seconds| Timestamp::from_seconds(seconds).min(*now));
        let number = self.phone_number.as_deref().map(|text| DialledNumber::parse(text, *country, plan)).transpose();
        let phone =
            number.map_err(|_| InvalidLine::new("phone_number", "not a mobile number"))?.map(|dialled| dialled.number);
        let phone_proven_at = match &phone {
            None => None,
            Some(_) => Some(
                moment(self.phone_proven_at)
                    .or(*proven_at)
                    .ok_or_else(|| InvalidLine::new("phone_proven_at", "the file does not say it: see --proven-on"))?,
            ),
        };
        let created_at = moment(self.created_at).or(phone_proven_at).unwrap_or(*now);
        let claims = self.claims.as_ref().filter(|claims| !claims.is_empty());
        let claims = claims.map(|claims| CustomClaims::parse(&Value::Object(claims.clone()).to_string()));
        Ok(User {
            id: match &self.user_id {
                Some(id) => id.parse().map_err(|_| InvalidLine::new("user_id", "expected an id of Latchkey, usr_…"))?,
                None => id_of(origin),
            },
            phone,
            phone_proven_at,
            username: text("username", self.username.as_deref(), Username::parse)?,
            name: text("name", self.name.as_deref(), Name::parse)?,
            image_url: text("image_url", self.image_url.as_deref(), ImageUrl::parse)?,
            source: text("source", self.source.as_deref(), Source::parse)?,
            roles: self.roles(organization)?,
            created_at,
            last_sign_in_at: moment(self.last_sign_in_at).or(phone_proven_at).unwrap_or(created_at),
            sign_ins: self.sign_ins.unwrap_or_default().max(1),
            has_lost_phone: false,
            device_keys: DeviceKeys::default(),
            former_phones: Vec::new(),
            delayed_change: None,
            recovery: None,
            blocked_at: moment(self.blocked_at),
            claims: claims.transpose().map_err(|wrong| InvalidLine::new("claims", wrong.to_string()))?,
        })
    }

    fn roles(&self, organization: &OrganizationId) -> Result<Roles, InvalidLine> {
        if self.roles.is_empty() {
            return Ok(Roles::from([(DEFAULT_ROLE.to_owned(), BTreeSet::from([organization.clone()]))]));
        }
        let mut roles = Roles::new();
        for (role, organizations) in &self.roles {
            let role = Role::parse(role).map_err(|wrong| InvalidLine::new("roles", format!("a role: {wrong}")))?;
            let organizations = organizations.iter().map(|id| OrganizationId::parse(id));
            let organizations = organizations.collect::<Result<BTreeSet<_>, _>>();
            let organizations =
                organizations.map_err(|wrong| InvalidLine::new("roles", format!("an organization: {wrong}")))?;
            if organizations.is_empty() {
                return Err(InvalidLine::new("roles", "expected each role with at least one organization"));
            }
            roles.insert(role.as_str().to_owned(), organizations);
        }
        Ok(roles)
    }
}

fn text<T>(
    member: &'static str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, MalformedText>,
) -> Result<Option<T>, InvalidLine> {
    let value = value.filter(|value| !value.is_empty());
    value.map(parse).transpose().map_err(|wrong| InvalidLine::new(member, wrong.to_string()))
}

/// An id that follows from the record, so that an import that is repeated finds what it wrote.
fn id_of(origin: &str) -> UserId {
    let digest = Sha256::digest(format!("latchkey import {origin}"));
    let mut half = [0; 16];
    for (byte, from) in half.iter_mut().zip(digest) {
        *byte = from;
    }
    UserId::from_random(half)
}
