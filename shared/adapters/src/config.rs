//! The one module that reads environment variables. What can't be understood is said at start, by its name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use domain::limits::Limits;
use domain::organization::{AllowedCountries, Organization};
use domain::phone::{Country, PhoneNumber};
use domain::token::Issuer;

use crate::organization::OrganizationSettings;

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

/// How AWS is reached, where that is not left to the SDK.
#[derive(Clone, Default)]
pub struct AwsSettings {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`: Lambda sets both, which spares the search for them.
    pub credentials: Option<(String, String)>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SNS`.
    pub sns_endpoint: Option<String>,
}

impl fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsSettings(…)")
    }
}

/// A gateway that sends messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gateway {
    /// Sparrow SMS, Nepal.
    Sparrow,
    /// Amazon SNS.
    Sns,
    /// Twilio messaging.
    Twilio,
}

impl Gateway {
    /// Its name in configuration, log and inbox.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sparrow => "sparrow",
            Self::Sns => "sns",
            Self::Twilio => "twilio",
        }
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
        let digits = number.e164().trim_start_matches('+');
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
            let gateways = gateways
                .split(',')
                .map(|name| match name.trim() {
                    "sparrow" => Ok(Gateway::Sparrow),
                    "sns" => Ok(Gateway::Sns),
                    "twilio" => Ok(Gateway::Twilio),
                    _ => Err(()),
                })
                .collect::<Result<Vec<Gateway>, ()>>()?;
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
}

impl Secret {
    const ALL: [Self; 3] = [Self::SigningKey, Self::CodeKey, Self::Gateways];

    const fn variable(self) -> &'static str {
        match self {
            Self::SigningKey => "SIGNING_KEY_SECRET",
            Self::CodeKey => "CODE_KEY_SECRET",
            Self::Gateways => "GATEWAY_SECRET",
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
    /// `SPARROW_BASE_URL`.
    pub sparrow_base_url: String,
    /// `TWILIO_BASE_URL`.
    pub twilio_base_url: String,
    /// `SNS_SENDER_ID`.
    pub sns_sender_id: Option<String>,
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
            sparrow_base_url: read
                .text("SPARROW_BASE_URL")
                .unwrap_or("https://api.sparrowsms.com")
                .trim_end_matches('/')
                .to_owned(),
            twilio_base_url: read
                .text("TWILIO_BASE_URL")
                .unwrap_or("https://api.twilio.com")
                .trim_end_matches('/')
                .to_owned(),
            sns_sender_id: read.text("SNS_SENDER_ID").map(str::to_owned),
            log_level: read.text("LOG_LEVEL").unwrap_or("info").to_owned(),
            aws: AwsSettings {
                region: read.text("AWS_REGION").map(str::to_owned),
                credentials: read
                    .text("AWS_ACCESS_KEY_ID")
                    .zip(read.text("AWS_SECRET_ACCESS_KEY"))
                    .map(|(id, secret)| (id.to_owned(), secret.to_owned())),
                session_token: read.text("AWS_SESSION_TOKEN").map(str::to_owned),
                dynamodb_endpoint: read.text("AWS_ENDPOINT_URL_DYNAMODB").map(str::to_owned),
                secrets_manager_endpoint: read.text("AWS_ENDPOINT_URL_SECRETS_MANAGER").map(str::to_owned),
                sns_endpoint: read.text("AWS_ENDPOINT_URL_SNS").map(str::to_owned),
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
        for routes in ["977", "x=sns", "=sns", "977=", "+977=sns"] {
            assert!(with("SMS_ROUTES", routes).is_err(), "{routes}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(with("CODE_ATTEMPTS", "").unwrap().limits, Limits::default());
    }
}
