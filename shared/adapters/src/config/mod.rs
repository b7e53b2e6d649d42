//! What the operator configures, one file for each concern. It is read once at the start, which fails with an error that
//! names the variable and what is wrong in it.

mod aws;
mod google;
mod issuer;
mod limits;
mod organization;
mod resources;
mod sms;
mod variables;

use std::collections::BTreeMap;

use domain::rules::limits::Limits;
use domain::rules::notice::Notices;
use domain::rules::organization::Organization;
use domain::rules::token::Issuer;

pub use self::aws::{AwsConfig, OPERATION_TIMEOUT, TRANSACTION_TIMEOUT, Timeouts};
pub use self::google::GoogleConfig;
pub use self::organization::{CheckedOrganization, InvalidSettings, OrganizationSettings, TestNumberSettings};
pub use self::resources::Resources;
pub use self::sms::{SmsConfig, SmsRoutes, SnsConfig};
pub use self::variables::ConfigError;
use self::variables::Variables;

#[derive(Clone, Debug)]
pub struct Config {
    pub aws: AwsConfig,
    pub resources: Resources,
    pub issuer: Issuer,
    pub limits: Limits,
    /// The organization of requests that name none. Others inherit its countries.
    pub default_organization: Organization,
    pub sms: SmsConfig,
    pub google: GoogleConfig,
    /// `NOTICES`: whether users are told what happens to their accounts.
    pub notices: Notices,
    /// `LOG_LEVEL`.
    pub log_level: String,
    /// `METRICS_NAMESPACE`: of the stack, so that the metrics of two stacks do not mix.
    pub metrics_namespace: String,
}

impl Config {
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::read(&Variables::of_process())
    }

    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        Self::read(&variables.into())
    }

    fn read(variables: &Variables) -> Result<Self, ConfigError> {
        Ok(Self {
            aws: AwsConfig::read(variables),
            resources: Resources::read(variables),
            issuer: issuer::read(variables)?,
            limits: limits::read(variables)?,
            default_organization: organization::read_default(variables)?,
            sms: SmsConfig::read(variables)?,
            google: GoogleConfig::read(variables)?,
            notices: variables.parsed("NOTICES", str::parse::<Notices>)?.unwrap_or_default(),
            log_level: variables.text("LOG_LEVEL").unwrap_or("info").to_owned(),
            metrics_namespace: variables.text("METRICS_NAMESPACE").unwrap_or("Latchkey").to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::from_variables(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn an_error_names_the_variable() {
        for (name, value) in [
            ("CODE_ATTEMPTS", "-7"),
            ("CODE_LIFETIME_SECONDS", "ten"),
            ("REQUIRE_CHALLENGE_ID", "yes"),
            ("SEND_WAITS_SECONDS", "30,x"),
            ("DEFAULT_REGION", "Nepal"),
            ("DEFAULT_REGION", "ZZ"),
            ("ALLOWED_COUNTRIES", "NP,ZZ"),
            ("ALLOWED_COUNTRIES", "NP,xyz"),
            ("SMS_ROUTES", "977=pigeon"),
            ("DEFAULT_ORGANIZATION", "a b"),
            ("FCM_PROJECT_ID", "Himal/.."),
            ("GATEWAY_TIMEOUT_MILLISECONDS", "-1"),
            ("PUMPING_BUDGETS", "sometimes"),
            ("SNS_SENDER_ID", "Latchkey-App"),
            ("SNS_SENDER_ID", "12345"),
            ("SNS_SENDER_ID", "La_key"),
            ("SNS_MAX_PRICE", "0.00"),
            ("SNS_MAX_PRICE", "-0.1"),
            ("SNS_MAX_PRICE", "1e3"),
            ("SNS_MAX_PRICE", ".5"),
            ("SNS_ORIGINATION_NUMBER", "+1 555 0100"),
            ("SNS_ORIGINATION_NUMBER", "1234"),
            ("SNS_INDIA_ENTITY_ID", "1701 1651"),
            ("SNS_INDIA_TEMPLATE_ID", "1707-1663"),
        ] {
            let error = with(name, value).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn an_error_in_a_list_names_the_invalid_part() {
        for (name, value, part) in [
            ("SEND_WAITS_SECONDS", "30,x", "\"x\""),
            ("ALLOWED_COUNTRIES", "NP,xyz", "\"xyz\""),
            ("LANGUAGES", "en,xx", "\"xx\""),
            ("SMS_ROUTES", "*=sns;977=pigeon", "\"977=pigeon\""),
        ] {
            let error = with(name, value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn sns_settings_have_the_forms_that_sns_documents() {
        for (name, value) in [
            ("SNS_SENDER_ID", "Latchkey"),
            ("SNS_SENDER_ID", "A-1"),
            ("SNS_MAX_PRICE", "0.10"),
            ("SNS_MAX_PRICE", "1"),
            ("SNS_ORIGINATION_NUMBER", "+15550100999"),
            ("SNS_ORIGINATION_NUMBER", "55501"),
        ] {
            assert!(with(name, value).is_ok(), "{name}={value}");
        }
    }

    #[test]
    fn an_entity_in_india_requires_its_template_and_the_reverse() {
        let [entity, template] = ["SNS_INDIA_ENTITY_ID", "SNS_INDIA_TEMPLATE_ID"];
        for (given, missing) in [(entity, template), (template, entity)] {
            assert!(with(given, "1001000000000000001").unwrap_err().to_string().contains(missing));
        }
        let both = [(entity, "1001000000000000001"), (template, "1007000000000000002")];
        let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(Config::from_variables(&both.into()).unwrap().sms.sns.india.is_some());
    }

    #[test]
    fn the_audience_of_access_tokens_is_not_that_of_refresh_tokens() {
        let error = with("AUDIENCE", "https://auth.example.com").unwrap_err().to_string();
        assert!(error.contains("AUDIENCE") && error.contains("ISSUER") && error.contains("refresh"), "{error}");
        let both = [("ISSUER", "https://login.example.com/"), ("AUDIENCE", "https://login.example.com")];
        let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(Config::from_variables(&both.into()).is_err(), "a final slash is no difference");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(with("CODE_ATTEMPTS", "").unwrap().limits, Limits::default());
    }
}
