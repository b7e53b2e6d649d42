//! Messages out: the gateways configured for a number, in their order, until one takes it.

mod rest;
mod sns;
mod sparrow;
mod twilio;

use std::fmt;
use std::time::Duration;

use domain::Unavailable;
use domain::gateway::Gateway;
use domain::message::Message;
use domain::phone::{Country, DialledNumber};
use domain::send_otp::{NotSent, SmsGateways};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::app::{App, Clock};
use crate::config::{ConfigError, SmsRoutes};
use crate::https::{HttpsClient, Unanswered};
use crate::secrets::{GatewaySecret, SecretReader};
use crate::telemetry;

/// How long all gateways together may take with a message. The timeout of `SendOtpFunction` leaves the store its worst
/// beside it.
pub const SENDING_TIME: Duration = Duration::from_millis(12_000);
/// The longest name of a message that is kept, in characters.
const LONGEST_MESSAGE_ID: usize = 64;

/// A gateway's own name for a message, by which to ask it about one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MessageId(String);

impl MessageId {
    /// Of what a gateway answered: as far as it is printable, and no longer than any name needs to be.
    fn new(text: &str) -> Option<Self> {
        let name: String = text.chars().filter(char::is_ascii_graphic).take(LONGEST_MESSAGE_ID).collect();
        (!name.is_empty()).then_some(Self(name))
    }

    /// As [`MessageId::new`], of a text or a number.
    fn of_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::new(text),
            Value::Number(number) => Self::new(&number.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of a message at one gateway. The texts are the gateway's own codes, never its words: those may quote us.
#[derive(Debug)]
enum Outcome {
    /// It will be carried, under this name if it gave one.
    Accepted(Option<MessageId>),
    /// The number can't receive messages: no other gateway is to be asked.
    NumberRefused,
    /// The gateway won't have us: credentials, credit, sender. The next one may.
    RefusedUs(String),
    /// The gateway can't. The next one may.
    Unavailable(String),
    /// It did not say, or not in time: the message may be on its way. The next one carries the same code.
    Unknown,
}

impl From<Unanswered> for Outcome {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NoRequest | Unanswered::OutOfReach => Self::Unavailable(unanswered.to_string()),
            Unanswered::Lost => Self::Unknown,
        }
    }
}

impl Outcome {
    /// Its name in the log and the metrics.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::NumberRefused => "number_refused",
            Self::RefusedUs(_) => "refused_us",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown => "unknown",
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::RefusedUs(why) | Self::Unavailable(why) => why,
            Self::Unknown => "no answer",
            Self::Accepted(_) | Self::NumberRefused => "",
        }
    }
}

/// The gateways.
#[derive(Clone)]
pub struct Gateways {
    routes: SmsRoutes,
    timeout: Duration,
    clock: Clock,
    rest: rest::Rest,
    client: HttpsClient,
    secret: GatewaySecret,
    sparrow: sparrow::Sparrow,
    sns: sns::Sns,
    twilio: twilio::Twilio,
}

impl Gateways {
    /// Of what is configured.
    ///
    /// # Errors
    /// When the gateways' secret is not configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let client = HttpsClient::new();
        let config = &app.config;
        Ok(Self {
            routes: config.sms_routes.clone(),
            timeout: config.gateway_timeout,
            clock: app.clock.clone(),
            rest: rest::Rest::default(),
            secret: GatewaySecret::new(app)?,
            sparrow: sparrow::Sparrow::new(client.clone(), &config.sparrow_base_url),
            sns: sns::Sns::new(app),
            twilio: twilio::Twilio::new(client.clone(), &config.twilio_base_url, config.limits.code_lifetime_seconds),
            client,
        })
    }

    /// What reads the credentials, if any route needs them: SNS knows us by the function's own role.
    pub fn credentials_reader(&self) -> Option<&SecretReader> {
        let need_them = self.routes.use_gateway(Gateway::Sparrow) || self.routes.use_gateway(Gateway::Twilio);
        need_them.then(|| self.secret.reader())
    }

    /// Reads the system's roots ahead of the first message, and begins to connect to the gateway that takes a country's
    /// messages first. How long that takes is the gateway's affair: nothing waits for it.
    pub async fn warm(&self, country: Country) {
        let first = country.calling_code().and_then(|code| self.routes.by_digits(code).first());
        let url = match first {
            Some(Gateway::Sparrow) => self.sparrow.url().to_owned(),
            Some(Gateway::Twilio) => self.twilio.url().to_owned(),
            Some(Gateway::Sns) | None => return,
        };
        let client = self.client.clone();
        let _ = spawn_blocking(move || client.warm()).await;
        let client = self.client.clone();
        tokio::spawn(async move { timeout(SENDING_TIME, client.connect(&url)).await });
    }

    /// A route's gateways, in the order to try them.
    fn order(&self, to: &DialledNumber) -> Vec<Gateway> {
        self.rest.order(self.routes.gateways(&to.number), self.clock.now())
    }

    async fn send_by(&self, gateway: Gateway, to: &DialledNumber, message: &Message, time: Duration) -> Outcome {
        let started = Instant::now();
        if gateway == Gateway::Sns {
            return timeout(time, self.sns.send(to, message)).await.unwrap_or(Outcome::Unknown);
        }
        let credentials = match timeout(time, self.secret.credentials()).await {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(unavailable)) => return Outcome::Unavailable(unavailable.to_string()),
            // Nothing was sent yet.
            Err(_) => return Outcome::Unavailable("its credentials did not come in time".into()),
        };
        let sending = async {
            match gateway {
                Gateway::Twilio => self.twilio.send(&credentials, to, message).await,
                _ => self.sparrow.send(&credentials, to, message).await,
            }
        };
        timeout(time.saturating_sub(started.elapsed()), sending).await.unwrap_or(Outcome::Unknown)
    }
}

/// What the next of `untried` gateways may take: an even share of what is left, and no more than any one may.
fn share(left: Duration, untried: usize, most: Duration) -> Duration {
    let untried = u32::try_from(untried).unwrap_or(u32::MAX);
    left.checked_div(untried).unwrap_or_default().min(most)
}

impl SmsGateways for Gateways {
    fn first_choice(&self, to: &DialledNumber) -> Option<Gateway> {
        self.order(to).first().copied()
    }

    async fn send(&self, to: &DialledNumber, message: &Message) -> Result<Gateway, NotSent> {
        let started = Instant::now();
        let mut failures = Vec::new();
        let order = self.order(to);
        for (tried, carrier) in order.iter().copied().enumerate() {
            let left = SENDING_TIME.saturating_sub(started.elapsed());
            let time = share(left, order.len().saturating_sub(tried), self.timeout);
            let outcome = self.send_by(carrier, to, message, time).await;
            telemetry::sms_attempt(carrier, to.country, outcome.kind(), self.clock.now());
            match outcome {
                Outcome::Accepted(_) | Outcome::NumberRefused => self.rest.worked(carrier),
                Outcome::RefusedUs(_) | Outcome::Unavailable(_) | Outcome::Unknown => {
                    self.rest.failed(carrier, self.clock.now());
                }
            }
            telemetry::trace("a message goes out", &(to, message, &outcome));
            let (gateway, kind, why) = (carrier.name(), outcome.kind(), outcome.why());
            match outcome {
                Outcome::Accepted(id) => {
                    let message_id = id.map(|id| id.to_string());
                    tracing::info!(gateway, country = %to.country, message_id, "the gateway accepted the message");
                    return Ok(carrier);
                }
                Outcome::NumberRefused => {
                    tracing::warn!(gateway, country = %to.country, kind, "the gateway refused the number");
                    return Err(NotSent::NumberRefused);
                }
                Outcome::RefusedUs(_) | Outcome::Unavailable(_) | Outcome::Unknown => {
                    tracing::warn!(gateway, country = %to.country, kind, why, "the gateway did not take the message");
                    failures.push(format!("{gateway}: {kind} {why}"));
                }
            }
        }
        let failures = if failures.is_empty() { "no route".to_owned() } else { failures.join("; ") };
        Err(NotSent::NoGateway(Unavailable::new("send a message", failures)))
    }
}

/// What a gateway's answer would be taken for, and what of it would be logged: for the fuzz targets. SNS answers an
/// error's code and message, a line each, and no status.
#[cfg(fuzzing)]
pub fn read_answer(gateway: Gateway, status: u16, body: &[u8]) -> (&'static str, String) {
    let reply = crate::https::Reply { status, body: body.to_vec(), ..Default::default() };
    let outcome = match gateway {
        Gateway::Sparrow => sparrow::read(&reply),
        Gateway::Twilio => twilio::read(&reply),
        Gateway::Sns => {
            let text = String::from_utf8_lossy(body);
            let mut lines = text.splitn(2, '\n');
            sns::read(lines.next().filter(|code| !code.is_empty()), lines.next())
        }
    };
    (outcome.kind(), outcome.why().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of `gateways` may take when every one takes all of it. Milliseconds.
    fn shares(gateways: usize, most: u64) -> Vec<u128> {
        let mut left = SENDING_TIME;
        let untried = (1..=gateways).rev();
        let shares = untried.map(|untried| {
            let share = share(left, untried, Duration::from_millis(most));
            left = left.saturating_sub(share);
            share.as_millis()
        });
        shares.collect()
    }

    #[test]
    fn gateways_that_never_answer_share_the_time_evenly_and_none_takes_more_than_it_may() {
        assert_eq!(shares(1, 5_000), [5_000]);
        assert_eq!(shares(2, 5_000), [5_000, 5_000]);
        assert_eq!(shares(3, 5_000), [4_000, 4_000, 4_000]);
        assert_eq!(shares(2, 60_000), [6_000, 6_000]);
        assert_eq!(shares(3, 1_000), [1_000, 1_000, 1_000]);
    }

    #[test]
    fn a_name_of_a_message_is_printable_and_short() {
        let name = |text: &str| MessageId::new(text).map(|id| id.to_string());
        assert_eq!(name("SM0123-ab_c"), Some("SM0123-ab_c".to_owned()));
        assert_eq!(name("a\n{\"level\": \u{7}é}"), Some(r#"a{"level":}"#.to_owned()));
        assert_eq!(name(&"9".repeat(1_000)), Some("9".repeat(64)));
        assert_eq!(name(" \n"), None);
    }
}
