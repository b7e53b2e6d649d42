//! Sending a message: the gateways of the number's route, in order, until one accepts it.

use std::time::Duration;

use domain::rules::message::Message;
use domain::use_cases::send_otp::{SendFailure, SmsGateways};
use domain::values::country::Country;
use domain::values::gateway::Gateway;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::phone::DialledNumber;
use domain::values::unavailable::Unavailable;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::health::GatewayHealth;
use super::outcome::Outcome;
use super::sns::Sns;
use super::sparrow::Sparrow;
use super::twilio::Twilio;
use crate::app::App;
use crate::clock::Clock;
use crate::config::{ConfigError, SmsRoutes};
use crate::https::HttpsClient;
use crate::secrets::{GatewayCredentials, GatewaySecret, SecretReader};
use crate::telemetry;

/// How long all gateways together may take with a message. The timeout of `SendOtpFunction` leaves time for the store in
/// the worst case.
pub const SENDING_TIME: Duration = Duration::from_millis(12_000);

#[derive(Clone)]
pub struct Gateways {
    routes: SmsRoutes,
    timeout: Duration,
    clock: Clock,
    health: GatewayHealth,
    client: HttpsClient,
    secret: GatewaySecret,
    sparrow: Sparrow,
    sns: Sns,
    twilio: Twilio,
}

impl Gateways {
    /// # Errors
    /// When the gateways' secret is not configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let client = HttpsClient::new();
        let config = &app.config.sms;
        let code_lifetime_seconds = app.config.limits.code_lifetime_seconds;
        Ok(Self {
            routes: config.routes.clone(),
            timeout: config.gateway_timeout,
            clock: app.clock.clone(),
            health: GatewayHealth::default(),
            secret: GatewaySecret::new(app)?,
            sparrow: Sparrow::new(client.clone(), &config.sparrow_base_url),
            sns: Sns::new(app),
            twilio: Twilio::new(client.clone(), &config.twilio_base_url, code_lifetime_seconds),
            client,
        })
    }

    /// The reader of the credentials, if any route needs them. SNS needs none but the function's own role.
    pub fn credentials_reader(&self) -> Option<&SecretReader> {
        let need_them = self.routes.use_gateway(Gateway::Sparrow) || self.routes.use_gateway(Gateway::Twilio);
        need_them.then(|| self.secret.reader())
    }

    /// Reads the system's roots, if any route needs them.
    pub async fn load_roots(&self) {
        if self.credentials_reader().is_some() {
            let client = self.client.clone();
            let _ = spawn_blocking(move || client.load_roots()).await;
        }
    }

    /// Begins to connect to the gateway that is tried first for a country, if its credentials have been read. Nothing
    /// waits for the connection. It is `async` so that the binary has the code of a request once.
    pub async fn connect_ahead(&self, country: Country) {
        let route = NumberingPlan::calling_code(country).map_or(&[][..], |code| self.routes.by_digits(code));
        let Some(credentials) = self.secret.kept_credentials() else { return };
        for gateway in route {
            self.note_credentials(*gateway, &credentials);
        }
        let url = match route.iter().find(|gateway| credentials.are_complete_for(**gateway)) {
            Some(Gateway::Sparrow) => self.sparrow.url().to_owned(),
            Some(Gateway::Twilio) => self.twilio.url().to_owned(),
            Some(Gateway::Sns) | None => return,
        };
        let client = self.client.clone();
        tokio::spawn(async move { timeout(SENDING_TIME, client.connect(&url)).await });
    }

    /// Records whether the secret has credentials for a gateway. The log says once in each process that it has none.
    fn note_credentials(&self, gateway: Gateway, credentials: &GatewayCredentials) {
        if self.health.credentials_read(gateway, credentials) {
            tracing::warn!(gateway = gateway.name(), "the gateway has no credentials and gets no messages");
        }
    }

    /// A route's gateways, in the order to try them.
    fn order(&self, to: &DialledNumber) -> Vec<Gateway> {
        self.health.order(self.routes.gateways(&to.number), self.clock.now())
    }

    async fn send_by(&self, gateway: Gateway, to: &DialledNumber, message: &Message, time: Duration) -> Outcome {
        let started = Instant::now();
        if gateway == Gateway::Sns {
            return timeout(time, self.sns.send(to, message)).await.unwrap_or(Outcome::Unknown);
        }
        let credentials = match timeout(time, self.secret.credentials()).await {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(unavailable)) => return Outcome::Unavailable(telemetry::causes(&unavailable)),
            // Nothing was sent yet.
            Err(_) => return Outcome::Unavailable("its credentials were not read in time".into()),
        };
        self.note_credentials(gateway, &credentials);
        if !credentials.are_complete_for(gateway) {
            return Outcome::NoCredentials;
        }
        let sending = async {
            match gateway {
                Gateway::Twilio => self.twilio.send(&credentials, to, message).await,
                _ => self.sparrow.send(&credentials, to, message).await,
            }
        };
        timeout(time.saturating_sub(started.elapsed()), sending).await.unwrap_or(Outcome::Unknown)
    }
}

/// The time for the next of `untried` gateways: an even share of what is left, and at most `max`.
fn share(left: Duration, untried: usize, max: Duration) -> Duration {
    let untried = u32::try_from(untried).unwrap_or(u32::MAX);
    left.checked_div(untried).unwrap_or_default().min(max)
}

impl SmsGateways for Gateways {
    fn first_choice(&self, to: &DialledNumber) -> Option<Gateway> {
        self.order(to).into_iter().find(|gateway| !self.health.lacks_credentials(*gateway))
    }

    async fn send(&self, to: &DialledNumber, message: &Message) -> Result<Gateway, SendFailure> {
        let started = Instant::now();
        let mut failures = Vec::new();
        let order = self.order(to);
        for (tried, carrier) in order.iter().copied().enumerate() {
            let left = SENDING_TIME.saturating_sub(started.elapsed());
            let time = share(left, order.len().saturating_sub(tried), self.timeout);
            let outcome = self.send_by(carrier, to, message, time).await;
            telemetry::sms_attempt(carrier, to.country, outcome.kind(), self.clock.now());
            telemetry::trace("a message is sent", &(to, message, &outcome));
            let (gateway, kind, why) = (carrier.name(), outcome.kind(), outcome.why());
            match outcome {
                Outcome::Accepted(id) => {
                    self.health.succeeded(carrier);
                    let message_id = id.map(|id| id.to_string());
                    tracing::info!(gateway, country = %to.country, message_id, "the gateway accepted the message");
                    return Ok(carrier);
                }
                Outcome::NumberRefused => {
                    self.health.succeeded(carrier);
                    tracing::warn!(gateway, country = %to.country, kind, "the gateway refused the number");
                    return Err(SendFailure::NumberRefused);
                }
                Outcome::Blocked(_) => {
                    tracing::warn!(gateway, country = %to.country, kind, why, "the gateway did not accept the message");
                    return Err(SendFailure::Blocked);
                }
                Outcome::NoCredentials => {}
                Outcome::RefusedUs(_) | Outcome::Unavailable(_) | Outcome::Unknown => {
                    tracing::warn!(gateway, country = %to.country, kind, why, "the gateway did not accept the message");
                    self.health.failed(carrier, self.clock.now());
                }
            }
            failures.push(format!("{gateway}: {kind} {why}"));
        }
        let failures = if failures.is_empty() { "no route".to_owned() } else { failures.join("; ") };
        Err(SendFailure::NoGateway(Unavailable::new("send a message", failures)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time for each of `gateways` if every one uses all of it. Milliseconds.
    fn shares(gateways: usize, max: u64) -> Vec<u128> {
        let mut left = SENDING_TIME;
        let untried = (1..=gateways).rev();
        let shares = untried.map(|untried| {
            let share = share(left, untried, Duration::from_millis(max));
            left = left.saturating_sub(share);
            share.as_millis()
        });
        shares.collect()
    }

    #[test]
    fn gateways_that_never_respond_share_the_time_evenly_up_to_their_own_limit() {
        assert_eq!(shares(1, 5_000), [5_000]);
        assert_eq!(shares(2, 5_000), [5_000, 5_000]);
        assert_eq!(shares(3, 5_000), [4_000, 4_000, 4_000]);
        assert_eq!(shares(2, 60_000), [6_000, 6_000]);
        assert_eq!(shares(3, 1_000), [1_000, 1_000, 1_000]);
    }
}
