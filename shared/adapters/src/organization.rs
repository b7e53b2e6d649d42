//! Organizations: which one a request is for, and settings as people write them, checked before anyone is sent a message.

use std::collections::BTreeSet;
use std::fmt;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use domain::Timestamp;
use domain::code::OtpCode;
use domain::language::Languages;
use domain::limits::DAY;
use domain::message::{Message, MessageFormat, MessageParts};
use domain::organization::{AllowedCountries, Organization, TestNumber};
use domain::phone::{Country, DialledNumber};
use domain::text::{AndroidAppHash, AppName, MalformedText, OrganizationId, Site, WebDomain};
use serde::Deserialize;

use crate::config::Config;
use crate::http::optional_member;
use crate::problem::{Code, Problem};
use crate::store::Store;

/// The most numbers with fixed codes that one organization may have.
const MOST_TEST_NUMBERS: usize = 20;
/// The longest a fixed code may stand, from the day it is written: more than one person knows it.
const LONGEST_TEST_DAYS: u32 = 366;

/// The organization a request names, or the default one if it names none.
///
/// # Errors
/// `malformed_request`, `no_such_organization`, or a 503.
pub async fn requested(
    store: &Store,
    config: &Config,
    name: Option<&str>,
    now: Timestamp,
) -> Result<Organization, Problem> {
    let default = &config.default_organization;
    let id = optional_member("organization_id", name, OrganizationId::parse)?.unwrap_or_else(|| default.id.clone());
    store.organization(&id, default, now).await?.ok_or(Problem::new(Code::NoSuchOrganization))
}

/// An organization as a person writes it, member by member; unchecked.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationSettings {
    /// Its name in requests and roles.
    pub id: String,
    /// The app's name in messages.
    pub app_name: String,
    /// A line of the messages that says whose site they are from.
    pub site: Option<String>,
    /// The Android app's hash: with it, the SMS Retriever hands the code to the app.
    pub android_app_hash: Option<String>,
    /// With it, browsers and iOS fill the code in on that domain.
    pub web_domain: Option<String>,
    /// The tags of the languages it sends in, its own first; all there are if absent.
    pub languages: Option<Vec<String>>,
    /// The country a national number is read in; the deployment's if absent.
    pub default_region: Option<String>,
    /// The countries it sends to, or "*" alone for all; the deployment's if absent.
    pub allowed_countries: Option<Vec<String>>,
    /// Numbers with fixed codes.
    #[serde(default)]
    pub test_numbers: Vec<TestNumberSettings>,
}

/// A number with a fixed code, as a person writes it.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestNumberSettings {
    /// The number, with + and calling code.
    pub phone_number: String,
    /// Six digits.
    pub code: String,
    /// The first day on which the code is fixed no more, in UTC: YYYY-MM-DD.
    pub until: String,
}

/// What is wrong with settings: the member, and what was expected of it. Never shows a number or a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings {
    /// The member.
    pub member: &'static str,
    /// What was expected.
    pub reason: String,
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.reason)
    }
}

impl std::error::Error for InvalidSettings {}

impl InvalidSettings {
    fn new(member: &'static str, reason: impl fmt::Display) -> Self {
        Self { member, reason: reason.to_string() }
    }
}

impl OrganizationSettings {
    /// The organization, if its settings hold together: each message fits one segment, in each of its languages.
    /// `default_country` and `allowed_countries` are the deployment's.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn organization(
        &self,
        default_country: Country,
        allowed_countries: &AllowedCountries,
    ) -> Result<Organization, InvalidSettings> {
        let languages = match &self.languages {
            Some(tags) => tags.join(",").parse().map_err(|wrong| InvalidSettings::new("languages", wrong))?,
            None => Languages::default(),
        };
        let parts = MessageParts {
            app_name: text("app_name", &self.app_name, AppName::parse)?,
            site: optional("site", self.site.as_deref(), Site::parse)?,
            android_app_hash: optional("android_app_hash", self.android_app_hash.as_deref(), AndroidAppHash::parse)?,
            web_domain: optional("web_domain", self.web_domain.as_deref(), WebDomain::parse)?,
            languages,
        };
        if self.test_numbers.len() > MOST_TEST_NUMBERS {
            return Err(InvalidSettings::new("test_numbers", format!("expected at most {MOST_TEST_NUMBERS}")));
        }
        Ok(Organization {
            id: text("id", &self.id, OrganizationId::parse)?,
            format: MessageFormat::new(parts).map_err(|too_long| InvalidSettings::new("message", too_long))?,
            default_country: match &self.default_region {
                Some(code) => country("default_region", code)?,
                None => default_country,
            },
            allowed_countries: match self.allowed_countries.as_deref() {
                Some([all]) if all == "*" => AllowedCountries::All,
                Some(codes) => AllowedCountries::Only(
                    codes.iter().map(|code| country("allowed_countries", code)).collect::<Result<BTreeSet<_>, _>>()?,
                ),
                None => allowed_countries.clone(),
            },
            test_numbers: self
                .test_numbers
                .iter()
                .map(|number| number.test_number(default_country))
                .collect::<Result<Vec<_>, _>>()?,
        })
    }
}

/// Settings that hold together, ready to be written.
pub struct CheckedOrganization {
    pub(crate) organization: Organization,
    pub(crate) settings: OrganizationSettings,
}

impl OrganizationSettings {
    /// Checks settings that are to be written now. `deployment` is its default organization.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn check(self, deployment: &Organization, now: Timestamp) -> Result<CheckedOrganization, InvalidSettings> {
        let organization = self.organization(deployment.default_country, &deployment.allowed_countries)?;
        let latest = now.plus(LONGEST_TEST_DAYS.saturating_mul(DAY));
        let mut ends = organization.test_numbers.iter().map(|number| number.until);
        if ends.any(|until| until <= now || until > latest) {
            let expected = format!("until: expected a day to come, at most {LONGEST_TEST_DAYS} days from now");
            return Err(InvalidSettings::new("test_numbers", expected));
        }
        Ok(CheckedOrganization { organization, settings: self })
    }
}

impl CheckedOrganization {
    /// Its name.
    pub fn id(&self) -> &str {
        self.organization.id.as_str()
    }

    /// In each of its languages: the language's tag, and the message as it will read with a code.
    pub fn samples(&self) -> impl Iterator<Item = (&'static str, Message)> {
        let format = &self.organization.format;
        format.languages().iter().map(|language| (language.tag(), format.sample(language)))
    }
}

impl TestNumberSettings {
    fn test_number(&self, any: Country) -> Result<TestNumber, InvalidSettings> {
        let invalid = |reason: &str| InvalidSettings::new("test_numbers", reason);
        let number = Some(self.phone_number.trim()).filter(|number| number.starts_with('+'));
        let number = number.and_then(|number| DialledNumber::parse(number, any).ok());
        let midnight = DateTime::from_str(&format!("{}T00:00:00Z", self.until), Format::DateTime);
        Ok(TestNumber {
            phone: number
                .ok_or_else(|| invalid("phone_number: expected a mobile number with + and calling code"))?
                .number,
            code: OtpCode::parse(&self.code).map_err(|_| invalid("code: expected six digits"))?,
            until: Timestamp::from_seconds(midnight.map_err(|_| invalid("until: expected a day, YYYY-MM-DD"))?.secs()),
        })
    }
}

fn text<T>(
    member: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, MalformedText>,
) -> Result<T, InvalidSettings> {
    parse(text).map_err(|wrong| InvalidSettings::new(member, wrong))
}

fn optional<T>(
    member: &'static str,
    value: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, MalformedText>,
) -> Result<Option<T>, InvalidSettings> {
    value.map(|value| text(member, value, parse)).transpose()
}

fn country(member: &'static str, code: &str) -> Result<Country, InvalidSettings> {
    let parsed = code.trim().parse();
    parsed.map_err(|_| InvalidSettings::new(member, "expected ISO 3166-1 alpha-2 country codes, such as NP"))
}
