//! The one module that reads environment variables. What can't be understood is said at start, by its name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use domain::firebase::FirebaseProject;
use domain::gateway::Gateway;
use domain::limits::{DAY, Limits};
use domain::organization::{AllowedCountries, Organization};
use domain::phone::{Country, PhoneNumber};
use domain::pumping::PumpingBudgets;
use domain::token::Issuer;

use crate::app::Timeouts;
use crate::organization::OrganizationSettings;

/// Where Google publishes the keys of ID tokens
/// (<https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>).
const FIREBASE_JWKS_URL: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

/// A variable is missing or can't be understood. Names the variable, never shows its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    expected: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, expected: impl Into<Cow<'static, str>>) -> Self {
        Self { variable, expected: expected.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "environment variable {}: {}", self.variable, self.expected)
    }
}

impl std::error::Error for ConfigError {}

/// How AWS is reached.
#[derive(Clone, Default)]
pub struct AwsSettings {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`: Lambda sets both.
    pub credentials: Option<(String, String)>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// `SSL_CERT_FILE`, `SSL_CERT_DIR`: whether either says whom the system trusts. AWS's endpoints are then held to
    /// that, and to Amazon's own roots otherwise.
    pub trusts_system: bool,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SNS`.
    pub sns_endpoint: Option<String>,
    /// How long to wait for it; no variable changes that.
    pub timeouts: Timeouts,
}

impl fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsSettings(…)")
    }
}

/// Which gateways carry messages to which numbers, in order: by calling code, or by any longer prefix, such as an
/// operator's. The longest prefix that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsRoutes {
    by_prefix: BTreeMap<String, Vec<Gateway>>,
    otherwise: Vec<Gateway>,
}

impl SmsRoutes {
    /// The gateways for a number, the first to be tried first.
    pub fn gateways(&self, number: &PhoneNumber) -> &[Gateway] {
        self.by_digits(number.e164().trim_start_matches('+'))
    }

    /// The same for what a number begins with, a calling code first.
    pub(crate) fn by_digits(&self, digits: &str) -> &[Gateway] {
        let fitting = self.by_prefix.iter().filter(|(prefix, _)| digits.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, _)| prefix.len()).map_or(&self.otherwise, |(_, gateways)| gateways)
    }

    /// Whether any route uses `gateway`.
    pub fn use_gateway(&self, gateway: Gateway) -> bool {
        self.by_prefix.values().chain([&self.otherwise]).flatten().any(|used| *used == gateway)
    }
}

impl FromStr for SmsRoutes {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut routes = Self { by_prefix: BTreeMap::new(), otherwise: Vec::new() };
        for route in text.split(';').map(str::trim).filter(|route| !route.is_empty()) {
            let (prefix, gateways) = route.split_once('=').ok_or(())?;
            let gateways = gateways.split(',').map(|name| name.trim().parse().map_err(|_| ()));
            let gateways = gateways.collect::<Result<Vec<Gateway>, ()>>()?;
            if gateways.iter().collect::<BTreeSet<_>>().len() < gateways.len() {
                return Err(());
            }
            match prefix.trim() {
                "*" => routes.otherwise = gateways,
                digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    routes.by_prefix.insert(digits.to_owned(), gateways);
                }
                _ => return Err(()),
            }
        }
        Ok(routes)
    }
}

/// How SNS is to send messages (<https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnsSettings {
    /// `SNS_SENDER_ID`: 3 to 11 letters, digits or hyphens, a letter among them.
    pub sender_id: Option<String>,
    /// `SNS_MAX_PRICE`: the most that a message may cost, in US dollars. A decimal above 0.
    pub max_price: Option<String>,
    /// `SNS_ORIGINATION_NUMBER`: 5 to 14 digits, a `+` before them or not (a short code has none).
    pub origination_number: Option<String>,
    /// `SNS_INDIA_ENTITY_ID`, `SNS_INDIA_TEMPLATE_ID`: who sends, and what, by the register of India's regulator; 1 to
    /// 50 letters or digits each.
    pub india: Option<(String, String)>,
}

impl SnsSettings {
    fn read(read: &Variables<'_>) -> Result<Self, ConfigError> {
        let india = |variable| read.checked(variable, "1 to 50 letters or digits", is_registered_in_india);
        let india = match (india("SNS_INDIA_ENTITY_ID")?, india("SNS_INDIA_TEMPLATE_ID")?) {
            (Some(entity), Some(template)) => Some((entity, template)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(ConfigError::new("SNS_INDIA_ENTITY_ID", "a value, as SNS_INDIA_TEMPLATE_ID has one"));
            }
            (Some(_), None) => {
                return Err(ConfigError::new("SNS_INDIA_TEMPLATE_ID", "a value, as SNS_INDIA_ENTITY_ID has one"));
            }
        };
        let sender = "3 to 11 letters, digits or hyphens, a letter among them";
        let number = "5 to 14 digits, a + before them or not";
        Ok(Self {
            sender_id: read.checked("SNS_SENDER_ID", sender, is_sender_id)?,
            max_price: read.checked("SNS_MAX_PRICE", "US dollars, such as 0.10", is_price)?,
            origination_number: read.checked("SNS_ORIGINATION_NUMBER", number, is_origination_number)?,
            india,
        })
    }
}

fn is_sender_id(text: &str) -> bool {
    (3..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Dollars and, if need be, a point and their fraction; above 0.
fn is_price(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole, 3) && all_digits(fraction, 5) && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

fn is_origination_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=14).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_registered_in_india(text: &str) -> bool {
    (1..=50).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A table of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Users and the locks that make phones and usernames unique.
    Users,
    /// Challenges and counters.
    Otps,
    /// Signed-in devices.
    Sessions,
    /// Organizations and public keys.
    Settings,
}

impl Table {
    const ALL: [Self; 4] = [Self::Users, Self::Otps, Self::Sessions, Self::Settings];

    const fn variable(self) -> &'static str {
        match self {
            Self::Users => "USERS_TABLE",
            Self::Otps => "OTPS_TABLE",
            Self::Sessions => "SESSIONS_TABLE",
            Self::Settings => "SETTINGS_TABLE",
        }
    }
}

/// A secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Secret {
    /// The key that signs tokens; rotated.
    SigningKey,
    /// The key that derives codes.
    CodeKey,
    /// What the gateways know us by.
    Gateways,
    /// The service account that pushes.
    Push,
}

impl Secret {
    const ALL: [Self; 4] = [Self::SigningKey, Self::CodeKey, Self::Gateways, Self::Push];

    const fn variable(self) -> &'static str {
        match self {
            Self::SigningKey => "SIGNING_KEY_SECRET",
            Self::CodeKey => "CODE_KEY_SECRET",
            Self::Gateways => "GATEWAY_SECRET",
            Self::Push => "PUSH_SECRET",
        }
    }
}

/// What the operator configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who issues tokens, for whom.
    pub issuer: Issuer,
    /// The organization of requests that name none; the pattern for those without settings of their own.
    pub default_organization: Organization,
    /// The limits in force.
    pub limits: Limits,
    /// Which gateway carries what.
    pub sms_routes: SmsRoutes,
    /// `FIREBASE_PROJECT_ID`: whose ID tokens sign in; none do if it is not set.
    pub firebase_project: Option<FirebaseProject>,
    /// `FIREBASE_JWKS_URL`.
    pub firebase_jwks_url: String,
    /// `FCM_PROJECT_ID`: in whose name devices are asked for approvals; none are if it is not set.
    pub push_project: Option<FirebaseProject>,
    /// `FCM_BASE_URL`.
    pub fcm_base_url: String,
    /// `SPARROW_BASE_URL`.
    pub sparrow_base_url: String,
    /// `TWILIO_BASE_URL`.
    pub twilio_base_url: String,
    /// How SNS is to send.
    pub sns: SnsSettings,
    /// `GATEWAY_TIMEOUT_MILLISECONDS`: how long a gateway may take with one message.
    pub gateway_timeout: Duration,
    /// `LOG_LEVEL`.
    pub log_level: String,
    /// How AWS is reached.
    pub aws: AwsSettings,
    tables: BTreeMap<Table, String>,
    secrets: BTreeMap<Secret, String>,
}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::from_variables(
            &std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// Reads variables. One that is empty counts as unset.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let read = Variables(variables);
        let default_limits = Limits::default();
        let positive =
            |variable, default| read.parsed(variable, "expected a whole number above 0", default, |n: &u32| *n > 0);
        let limits = Limits {
            code_lifetime_seconds: positive("CODE_LIFETIME_SECONDS", default_limits.code_lifetime_seconds)?,
            code_attempts: positive("CODE_ATTEMPTS", default_limits.code_attempts)?,
            send_waits_seconds: read
                .list("SEND_WAITS_SECONDS", "expected seconds, separated by commas")?
                .unwrap_or(default_limits.send_waits_seconds),
            phone_sends_per_hour: positive("PHONE_SENDS_PER_HOUR", default_limits.phone_sends_per_hour)?,
            phone_sends_per_day: positive("PHONE_SENDS_PER_DAY", default_limits.phone_sends_per_day)?,
            source_sends_per_hour: positive("SOURCE_SENDS_PER_HOUR", default_limits.source_sends_per_hour)?,
            source_sends_per_day: positive("SOURCE_SENDS_PER_DAY", default_limits.source_sends_per_day)?,
            country_sends_per_day: positive("COUNTRY_SENDS_PER_DAY", default_limits.country_sends_per_day)?,
            phone_dormant_seconds: positive("PHONE_DORMANT_DAYS", default_limits.phone_dormant_seconds / DAY)?
                .saturating_mul(DAY),
            pumping_budgets: read.parsed(
                "PUMPING_BUDGETS",
                "expected off, shadow or enforce",
                default_limits.pumping_budgets,
                |_: &PumpingBudgets| true,
            )?,
            access_token_seconds: positive("ACCESS_TOKEN_SECONDS", default_limits.access_token_seconds)?,
            refresh_idle_seconds: positive("REFRESH_IDLE_SECONDS", default_limits.refresh_idle_seconds)?,
            refresh_total_seconds: positive("REFRESH_TOTAL_SECONDS", default_limits.refresh_total_seconds)?,
        };
        let default_country = match read.text("DEFAULT_REGION").unwrap_or("NP").parse::<Country>() {
            Ok(country) => country,
            Err(_) => return Err(ConfigError::new("DEFAULT_REGION", "expected an ISO 3166-1 alpha-2 country code")),
        };
        let allowed_countries = match read.text("ALLOWED_COUNTRIES") {
            None => AllowedCountries::Default,
            Some("*") => AllowedCountries::All,
            Some(_) => {
                let countries: Option<Vec<Country>> =
                    read.list("ALLOWED_COUNTRIES", "expected country codes, separated by commas, or *")?;
                AllowedCountries::Only(countries.into_iter().flatten().collect::<BTreeSet<Country>>())
            }
        };
        let owned = |variable| read.text(variable).map(str::to_owned);
        let settings = OrganizationSettings {
            id: owned("DEFAULT_ORGANIZATION").unwrap_or_else(|| "default".to_owned()),
            app_name: owned("APP_NAME").unwrap_or_else(|| "Latchkey".to_owned()),
            site: owned("APP_SITE"),
            android_app_hash: owned("ANDROID_APP_HASH"),
            web_domain: owned("WEB_DOMAIN"),
            languages: read.list("LANGUAGES", "expected language tags, separated by commas")?,
            ..OrganizationSettings::default()
        };
        let default_organization = settings.organization(default_country, &allowed_countries);
        let default_organization =
            default_organization.map_err(|invalid| ConfigError::new(variable_of(invalid.member), invalid.reason))?;
        let project = |variable| {
            let project = read.text(variable).map(FirebaseProject::parse).transpose();
            project.map_err(|wrong| ConfigError::new(variable, wrong.to_string()))
        };
        let base_url = |variable, default| read.text(variable).unwrap_or(default).trim_end_matches('/').to_owned();
        let sms_routes = read.text("SMS_ROUTES").unwrap_or("977=sparrow,sns;*=sns").parse();
        Ok(Self {
            issuer: Issuer {
                issuer: read.text("ISSUER").unwrap_or("https://auth.example.com").trim_end_matches('/').to_owned(),
                audience: read.text("AUDIENCE").unwrap_or("latchkey").to_owned(),
                client_id: read.text("CLIENT_ID").unwrap_or("latchkey-app").to_owned(),
            },
            default_organization,
            limits,
            sms_routes: sms_routes
                .map_err(|()| ConfigError::new("SMS_ROUTES", "expected routes such as 977=sparrow,sns;*=sns"))?,
            firebase_project: project("FIREBASE_PROJECT_ID")?,
            firebase_jwks_url: read.text("FIREBASE_JWKS_URL").unwrap_or(FIREBASE_JWKS_URL).to_owned(),
            push_project: project("FCM_PROJECT_ID")?,
            fcm_base_url: base_url("FCM_BASE_URL", "https://fcm.googleapis.com"),
            sparrow_base_url: base_url("SPARROW_BASE_URL", "https://api.sparrowsms.com"),
            twilio_base_url: base_url("TWILIO_BASE_URL", "https://api.twilio.com"),
            sns: SnsSettings::read(&read)?,
            gateway_timeout: Duration::from_millis(u64::from(positive("GATEWAY_TIMEOUT_MILLISECONDS", 5_000)?)),
            log_level: read.text("LOG_LEVEL").unwrap_or("info").to_owned(),
            aws: AwsSettings {
                region: read.text("AWS_REGION").map(str::to_owned),
                credentials: read
                    .text("AWS_ACCESS_KEY_ID")
                    .zip(read.text("AWS_SECRET_ACCESS_KEY"))
                    .map(|(id, secret)| (id.to_owned(), secret.to_owned())),
                session_token: read.text("AWS_SESSION_TOKEN").map(str::to_owned),
                trusts_system: read.text("SSL_CERT_FILE").or_else(|| read.text("SSL_CERT_DIR")).is_some(),
                dynamodb_endpoint: read.text("AWS_ENDPOINT_URL_DYNAMODB").map(str::to_owned),
                secrets_manager_endpoint: read.text("AWS_ENDPOINT_URL_SECRETS_MANAGER").map(str::to_owned),
                sns_endpoint: read.text("AWS_ENDPOINT_URL_SNS").map(str::to_owned),
                timeouts: Timeouts::default(),
            },
            tables: Table::ALL
                .into_iter()
                .filter_map(|table| Some((table, read.text(table.variable())?.to_owned())))
                .collect(),
            secrets: Secret::ALL
                .into_iter()
                .filter_map(|secret| Some((secret, read.text(secret.variable())?.to_owned())))
                .collect(),
        })
    }

    /// The name of a table.
    ///
    /// # Errors
    /// When its variable is not set.
    pub fn table(&self, table: Table) -> Result<&str, ConfigError> {
        let name = self.tables.get(&table).map(String::as_str);
        name.ok_or_else(|| ConfigError::new(table.variable(), "expected the name of a table"))
    }

    /// The name or ARN of a secret.
    ///
    /// # Errors
    /// When its variable is not set.
    pub fn secret(&self, secret: Secret) -> Result<&str, ConfigError> {
        let name = self.secrets.get(&secret).map(String::as_str);
        name.ok_or_else(|| ConfigError::new(secret.variable(), "expected the name or ARN of a secret"))
    }
}

/// The variable that a member of the default organization is read from.
fn variable_of(member: &str) -> &'static str {
    match member {
        "id" => "DEFAULT_ORGANIZATION",
        "site" => "APP_SITE",
        "android_app_hash" => "ANDROID_APP_HASH",
        "web_domain" => "WEB_DOMAIN",
        "languages" => "LANGUAGES",
        // A message that is too long: the name is in all of them.
        _ => "APP_NAME",
    }
}

struct Variables<'a>(&'a BTreeMap<String, String>);

impl<'a> Variables<'a> {
    fn text(&self, variable: &str) -> Option<&'a str> {
        self.0.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// A text that has a form of its own.
    fn checked(
        &self,
        variable: &'static str,
        expected: &'static str,
        accepts: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, ConfigError> {
        match self.text(variable) {
            Some(text) if !accepts(text) => Err(ConfigError::new(variable, expected)),
            text => Ok(text.map(str::to_owned)),
        }
    }

    fn parsed<T: FromStr>(
        &self,
        variable: &'static str,
        expected: &'static str,
        default: T,
        accepts: impl Fn(&T) -> bool,
    ) -> Result<T, ConfigError> {
        match self.text(variable).map(str::parse::<T>) {
            None => Ok(default),
            Some(Ok(value)) if accepts(&value) => Ok(value),
            Some(_) => Err(ConfigError::new(variable, expected)),
        }
    }

    fn list<T: FromStr>(&self, variable: &'static str, expected: &'static str) -> Result<Option<Vec<T>>, ConfigError> {
        let parse = |text: &str| text.split(',').map(|part| part.trim().parse()).collect::<Result<Vec<T>, T::Err>>();
        self.text(variable).map(parse).transpose().map_err(|_| ConfigError::new(variable, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::from_variables(&[(name.to_owned(), value.to_owned())].into())
    }

    #[test]
    fn an_error_names_the_variable_and_not_its_value() {
        for (name, value) in [
            ("CODE_ATTEMPTS", "-7"),
            ("CODE_LIFETIME_SECONDS", "ten"),
            ("SEND_WAITS_SECONDS", "30,x"),
            ("DEFAULT_REGION", "Nepal"),
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
            assert!(error.contains(name) && !error.contains(value), "{error}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_and_then_the_star() {
        let routes = with("SMS_ROUTES", "977=sparrow,sns; 977980=twilio ;*=sns").unwrap().sms_routes;
        let of = |number: &str| routes.gateways(&PhoneNumber::from_e164(number).unwrap()).to_vec();
        assert_eq!(of("+9779841234567"), [Gateway::Sparrow, Gateway::Sns]);
        assert_eq!(of("+9779801234567"), [Gateway::Twilio]);
        assert_eq!(of("+15005550006"), [Gateway::Sns]);
        for routes in ["977", "x=sns", "=sns", "977=", "+977=sns", "*=sns,sns"] {
            assert!(with("SMS_ROUTES", routes).is_err(), "{routes}");
        }
    }

    #[test]
    fn what_sns_is_told_has_the_forms_that_sns_documents() {
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
    fn an_entity_in_india_and_its_template_come_together() {
        let [entity, template] = ["SNS_INDIA_ENTITY_ID", "SNS_INDIA_TEMPLATE_ID"];
        for (given, missing) in [(entity, template), (template, entity)] {
            assert!(with(given, "1001000000000000001").unwrap_err().to_string().contains(missing));
        }
        let both = [(entity, "1001000000000000001"), (template, "1007000000000000002")];
        let both = both.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(Config::from_variables(&both.into()).unwrap().sns.india.is_some());
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(with("CODE_ATTEMPTS", "").unwrap().limits, Limits::default());
    }
}
