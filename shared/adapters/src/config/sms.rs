//! SMS gateways: which gateway carries messages to which numbers, and how each is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use domain::values::gateway::{Gateway, UnknownGateway};
use domain::values::phone::PhoneNumber;
use thiserror::Error;

use super::variables::{ConfigError, Variables};

/// The gateways for each number, in order. A route is keyed by a calling code or any longer prefix, such as an operator's;
/// the longest matching prefix decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsRoutes {
    by_prefix: BTreeMap<String, Vec<Gateway>>,
    otherwise: Vec<Gateway>,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidRoute {
    #[error("expected routes such as 977=sparrow,sns;*=sns; route {0:?} has no =")]
    NoGateways(String),
    #[error("expected * or the digits of a calling code before =; route {0:?} has neither")]
    Prefix(String),
    #[error("route {route:?}: {source}")]
    Gateway { route: String, source: UnknownGateway },
}

impl SmsRoutes {
    pub fn gateways(&self, number: &PhoneNumber) -> &[Gateway] {
        self.by_digits(number.e164().trim_start_matches('+'))
    }

    /// The gateways for numbers that begin with these digits, a calling code first.
    pub fn by_digits(&self, digits: &str) -> &[Gateway] {
        let matching = self.by_prefix.iter().filter(|(prefix, _)| digits.starts_with(prefix.as_str()));
        matching.max_by_key(|(prefix, _)| prefix.len()).map_or(&self.otherwise, |(_, gateways)| gateways)
    }

    pub fn use_gateway(&self, gateway: Gateway) -> bool {
        self.by_prefix.values().chain([&self.otherwise]).flatten().any(|used| *used == gateway)
    }
}

impl FromStr for SmsRoutes {
    type Err = InvalidRoute;

    fn from_str(text: &str) -> Result<Self, InvalidRoute> {
        let mut routes = Self { by_prefix: BTreeMap::new(), otherwise: Vec::new() };
        for route in text.split(';').map(str::trim).filter(|route| !route.is_empty()) {
            let (prefix, gateways) = route.split_once('=').ok_or_else(|| InvalidRoute::NoGateways(route.to_owned()))?;
            let named = gateways.split(',').map(|name| name.trim().parse());
            let mut gateways = named
                .collect::<Result<Vec<Gateway>, _>>()
                .map_err(|source| InvalidRoute::Gateway { route: route.to_owned(), source })?;
            // One that is named again gets no second chance.
            let mut seen = BTreeSet::new();
            gateways.retain(|gateway| seen.insert(*gateway));
            match prefix.trim() {
                "*" => routes.otherwise = gateways,
                digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    routes.by_prefix.insert(digits.to_owned(), gateways);
                }
                _ => return Err(InvalidRoute::Prefix(route.to_owned())),
            }
        }
        Ok(routes)
    }
}

/// How SNS sends messages (<https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnsConfig {
    /// `SNS_SENDER_ID`: 3 to 11 letters, digits or hyphens, with at least one letter.
    pub sender_id: Option<String>,
    /// `SNS_MAX_PRICE`: the most that a message may cost, in US dollars. A decimal above 0.
    pub max_price: Option<String>,
    /// `SNS_ORIGINATION_NUMBER`: 5 to 14 digits, with or without a `+` (a short code has none).
    pub origination_number: Option<String>,
    /// `SNS_INDIA_ENTITY_ID`, `SNS_INDIA_TEMPLATE_ID`: the sender and the text as registered with India's regulator; 1 to
    /// 50 letters or digits each.
    pub india: Option<(String, String)>,
}

impl SnsConfig {
    fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let india = |variable| variables.matching(variable, "1 to 50 letters or digits", is_registered_in_india);
        let india = match (india("SNS_INDIA_ENTITY_ID")?, india("SNS_INDIA_TEMPLATE_ID")?) {
            (Some(entity), Some(template)) => Some((entity, template)),
            (None, None) => None,
            (None, Some(_)) => {
                return Err(ConfigError::new("SNS_INDIA_ENTITY_ID", "must be set, since SNS_INDIA_TEMPLATE_ID is"));
            }
            (Some(_), None) => {
                return Err(ConfigError::new("SNS_INDIA_TEMPLATE_ID", "must be set, since SNS_INDIA_ENTITY_ID is"));
            }
        };
        let sender = "3 to 11 letters, digits or hyphens, with at least one letter";
        let number = "5 to 14 digits, with or without a +";
        Ok(Self {
            sender_id: variables.matching("SNS_SENDER_ID", sender, is_sender_id)?,
            max_price: variables.matching("SNS_MAX_PRICE", "US dollars above 0, such as 0.10", is_price)?,
            origination_number: variables.matching("SNS_ORIGINATION_NUMBER", number, is_origination_number)?,
            india,
        })
    }
}

fn is_sender_id(text: &str) -> bool {
    (3..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_price(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |part: &str, max| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    are_digits(whole, 3) && are_digits(fraction, 5) && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

fn is_origination_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=14).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_registered_in_india(text: &str) -> bool {
    (1..=50).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[derive(Clone, Debug)]
pub struct SmsConfig {
    /// `SMS_ROUTES`.
    pub routes: SmsRoutes,
    /// `GATEWAY_TIMEOUT_MILLISECONDS`: how long one gateway may take with one message.
    pub gateway_timeout: Duration,
    /// `SPARROW_BASE_URL`.
    pub sparrow_base_url: String,
    /// `TWILIO_BASE_URL`.
    pub twilio_base_url: String,
    pub sns: SnsConfig,
}

impl SmsConfig {
    pub(super) fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let routes = variables.text("SMS_ROUTES").unwrap_or("977=sparrow,sns;*=sns").parse();
        let gateway_timeout = variables.positive("GATEWAY_TIMEOUT_MILLISECONDS", 5_000)?;
        Ok(Self {
            routes: routes.map_err(|wrong: InvalidRoute| ConfigError::new("SMS_ROUTES", wrong.to_string()))?,
            gateway_timeout: Duration::from_millis(u64::from(gateway_timeout)),
            sparrow_base_url: variables.url("SPARROW_BASE_URL", "https://api.sparrowsms.com"),
            twilio_base_url: variables.url("TWILIO_BASE_URL", "https://api.twilio.com"),
            sns: SnsConfig::read(variables)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides_and_the_star_matches_the_rest() {
        let routes: SmsRoutes = "977=sparrow,sns; 977980=twilio ;*=sns".parse().unwrap();
        let of = |number: &str| routes.gateways(&PhoneNumber::from_e164(number).unwrap()).to_vec();
        assert_eq!(of("+9779841234567"), [Gateway::Sparrow, Gateway::Sns]);
        assert_eq!(of("+9779801234567"), [Gateway::Twilio]);
        assert_eq!(of("+15005550006"), [Gateway::Sns]);
    }

    #[test]
    fn a_gateway_that_is_named_twice_is_tried_once() {
        let routes: SmsRoutes = "*=sns,twilio,sns".parse().unwrap();
        assert_eq!(routes.by_digits("1"), [Gateway::Sns, Gateway::Twilio]);
    }

    #[test]
    fn an_invalid_route_is_named() {
        for (routes, named) in [
            ("*=sns;977", "977"),
            ("x=sns", "x=sns"),
            ("=sns", "=sns"),
            ("*=sns;977=", "977="),
            ("+977=sns", "+977=sns"),
            ("977=pigeon;*=sns", "977=pigeon"),
        ] {
            let error = routes.parse::<SmsRoutes>().unwrap_err().to_string();
            assert!(error.contains(&format!("{named:?}")), "{error}");
        }
    }
}
