//! Organizations: settings as people write them, validated before anyone is sent a message.

use std::collections::BTreeSet;
use std::fmt::Display;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use domain::rules::device_keys::UnknownDeviceKeyPolicy;
use domain::rules::message::{Message, MessageFormat, MessageParts};
use domain::rules::organization::{Access, AllowedCountries, BlockedNumbers, Membership, Organization, TestNumber};
use domain::values::country::Country;
use domain::values::language::{Language, Languages, MessagePurpose};
use domain::values::numbering_plan::NumberingPlan;
use domain::values::otp_code::OtpCode;
use domain::values::phone::DialledNumber;
use domain::values::text::{AndroidAppHash, AppName, MalformedText, OrganizationId, Site, WebDomain};
use domain::values::time::{DAY, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::variables::{ConfigError, Variables};

/// The most test numbers of one organization.
const MAX_TEST_NUMBERS: usize = 20;
/// The longest time that a fixed code is valid, since more than one person knows it.
const MAX_TEST_DAYS: u32 = 366;

/// The longest audience of an organization.
const MAX_AUDIENCE_BYTES: usize = 255;

/// An organization as a person writes it, member by member; not validated.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationSettings {
    /// The name in requests and roles.
    pub id: String,
    /// The app's name in messages.
    pub app_name: String,
    /// Who may sign in: "open" (everybody, if absent) or "invited" (only people who have a role in it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<String>,
    /// `aud` of its access tokens; the deployment's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Whether sign-ins are bound to keys of devices: "off", "optional" (if absent) or "required".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_keys: Option<String>,
    /// The line of the messages that names their site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// With it, the SMS Retriever hands the code to the Android app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub android_app_hash: Option<String>,
    /// With it, browsers and iOS fill in the code on that domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_domain: Option<String>,
    /// Language tags, the preferred one first; all languages if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// The country in which national numbers are read; the deployment's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_region: Option<String>,
    /// The countries to send to, or only "*" for all; the deployment's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_countries: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_numbers: Vec<TestNumberSettings>,
}

/// A number with a fixed code, as a person writes it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TestNumberSettings {
    /// With + and calling code.
    pub phone_number: String,
    /// Six digits.
    pub code: String,
    /// The first day on which the code is no longer valid, in UTC: YYYY-MM-DD.
    pub until: String,
}

/// What is wrong with settings. Never contains a number or a code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{member}: {reason}")]
pub struct InvalidSettings {
    pub member: &'static str,
    pub reason: String,
}

impl InvalidSettings {
    fn new(member: &'static str, reason: impl Display) -> Self {
        Self { member, reason: reason.to_string() }
    }
}

/// Reads the deployment's own organization from `DEFAULT_ORGANIZATION`, `APP_NAME`, `APP_SITE`, `ANDROID_APP_HASH`,
/// `WEB_DOMAIN`, `LANGUAGES`, `DEFAULT_REGION`, `ALLOWED_COUNTRIES` and `DEVICE_KEYS`.
pub(super) fn read_default(variables: &Variables) -> Result<Organization, ConfigError> {
    let default_country = NumberingPlan::country(variables.text("DEFAULT_REGION").unwrap_or("NP"));
    let default_country = default_country.map_err(|unknown| ConfigError::new("DEFAULT_REGION", unknown.to_string()))?;
    let names_all = |text: &str| text.split(',').any(|country| country.trim() == "*");
    let allowed_countries = if variables.text("ALLOWED_COUNTRIES").is_some_and(names_all) {
        AllowedCountries::All
    } else {
        match variables.list("ALLOWED_COUNTRIES", "country codes separated by commas, or *", NumberingPlan::country)? {
            None => AllowedCountries::Default,
            Some(countries) => AllowedCountries::Only(countries.into_iter().collect()),
        }
    };
    let settings = OrganizationSettings {
        id: variables.text("DEFAULT_ORGANIZATION").unwrap_or("default").to_owned(),
        app_name: variables.text("APP_NAME").unwrap_or("Latchkey").to_owned(),
        site: variables.owned("APP_SITE"),
        android_app_hash: variables.owned("ANDROID_APP_HASH"),
        web_domain: variables.owned("WEB_DOMAIN"),
        languages: variables.list("LANGUAGES", "language tags separated by commas", str::parse::<String>)?,
        device_keys: variables.owned("DEVICE_KEYS"),
        ..OrganizationSettings::default()
    };
    let plan = NumberingPlan::new(default_country);
    let organization = settings.organization(default_country, &allowed_countries, &plan);
    organization.map_err(|invalid| ConfigError::new(variable_of(invalid.member), invalid.reason))
}

/// The variable of a member of the default organization.
fn variable_of(member: &str) -> &'static str {
    match member {
        "id" => "DEFAULT_ORGANIZATION",
        "site" => "APP_SITE",
        "android_app_hash" => "ANDROID_APP_HASH",
        "web_domain" => "WEB_DOMAIN",
        "languages" => "LANGUAGES",
        "device_keys" => "DEVICE_KEYS",
        _ => "APP_NAME",
    }
}

impl OrganizationSettings {
    /// Settings that say of the default organization what the deployment's parameters say.
    pub fn of_parameters(organization: &Organization) -> Self {
        let parts = organization.format.parts();
        let text = |value: &str| value.to_owned();
        let languages = || parts.languages.iter().map(|language| text(language.tag())).collect();
        Self {
            id: text(organization.id.as_str()),
            app_name: text(parts.app_name.as_str()),
            site: parts.site.as_ref().map(|site| text(site.as_str())),
            android_app_hash: parts.android_app_hash.as_ref().map(|hash| text(hash.as_str())),
            web_domain: parts.web_domain.as_ref().map(|domain| text(domain.as_str())),
            languages: (parts.languages != Languages::default()).then(languages),
            device_keys: Some(text(organization.access.device_keys.name())),
            ..Self::default()
        }
    }

    /// Validates `membership`, `audience` and `device_keys`.
    pub fn access(
        membership: Option<&str>,
        audience: Option<&str>,
        device_keys: Option<&str>,
    ) -> Result<Access, InvalidSettings> {
        let membership = match membership {
            None | Some("open") => Membership::Open,
            Some("invited") => Membership::Invited,
            Some(_) => return Err(InvalidSettings::new("membership", "expected open or invited")),
        };
        // One value of `aud` (RFC 7519 §4.1.3).
        let is_audience = |text: &str| {
            (1..=MAX_AUDIENCE_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !audience.is_none_or(is_audience) {
            let expected = format!("expected 1 to {MAX_AUDIENCE_BYTES} visible ASCII characters");
            return Err(InvalidSettings::new("audience", expected));
        }
        let device_keys = device_keys.map(str::parse).transpose();
        let device_keys =
            device_keys.map_err(|wrong: UnknownDeviceKeyPolicy| InvalidSettings::new("device_keys", wrong))?;
        Ok(Access { membership, audience: audience.map(str::to_owned), device_keys: device_keys.unwrap_or_default() })
    }

    /// Validates the settings. `default_country` and `allowed_countries` are the deployment's.
    pub fn organization(
        &self,
        default_country: Country,
        allowed_countries: &AllowedCountries,
        plan: &NumberingPlan,
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
        if self.test_numbers.len() > MAX_TEST_NUMBERS {
            return Err(InvalidSettings::new("test_numbers", format!("expected at most {MAX_TEST_NUMBERS}")));
        }
        Ok(Organization {
            id: text("id", &self.id, OrganizationId::parse)?,
            access: Self::access(self.membership.as_deref(), self.audience.as_deref(), self.device_keys.as_deref())?,
            format: MessageFormat::new(parts),
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
                .map(|number| number.test_number(default_country, plan))
                .collect::<Result<Vec<_>, _>>()?,
            blocked: BlockedNumbers::default(),
        })
    }
}

/// Valid settings, ready to be written.
pub struct CheckedOrganization {
    pub(crate) organization: Organization,
    pub(crate) settings: OrganizationSettings,
}

impl OrganizationSettings {
    /// Validates settings that are to be written now: each sign-in message fits one segment, in each of the languages, with
    /// all its lines. `deployment` is the default organization.
    pub fn check(self, deployment: &Organization, now: Timestamp) -> Result<CheckedOrganization, InvalidSettings> {
        let plan = NumberingPlan::new(deployment.default_country);
        let organization = self.organization(deployment.default_country, &deployment.allowed_countries, &plan)?;
        organization.format.check().map_err(|too_long| InvalidSettings::new("message", too_long))?;
        let latest = now.plus(MAX_TEST_DAYS.saturating_mul(DAY));
        let mut ends = organization.test_numbers.iter().map(|number| number.until);
        if ends.any(|until| until <= now || until > latest) {
            let expected = format!("until: expected a day in the future, at most {MAX_TEST_DAYS} days from now");
            return Err(InvalidSettings::new("test_numbers", expected));
        }
        Ok(CheckedOrganization { organization, settings: self })
    }
}

impl CheckedOrganization {
    pub fn id(&self) -> &str {
        self.organization.id.as_str()
    }

    pub fn settings(&self) -> &OrganizationSettings {
        &self.settings
    }

    /// For each language and purpose: the language's tag, the purpose, and a message with a sample code.
    pub fn samples(&self) -> impl Iterator<Item = (&'static str, MessagePurpose, Message)> {
        let format = &self.organization.format;
        let of = move |language: &'static Language| {
            MessagePurpose::ALL
                .into_iter()
                .map(move |purpose| (language.tag(), purpose, format.sample(language, purpose)))
        };
        format.languages().iter().flat_map(of)
    }
}

impl TestNumberSettings {
    fn test_number(&self, default_country: Country, plan: &NumberingPlan) -> Result<TestNumber, InvalidSettings> {
        let invalid = |reason: &str| InvalidSettings::new("test_numbers", reason);
        let number = Some(self.phone_number.trim()).filter(|number| number.starts_with('+'));
        let number = number.and_then(|number| DialledNumber::parse(number, default_country, plan).ok());
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
    let expected = || format!("expected ISO 3166-1 alpha-2 country codes, such as NP; {code:?} is not one");
    NumberingPlan::country(code.trim()).map_err(|_| InvalidSettings::new(member, expected()))
}
