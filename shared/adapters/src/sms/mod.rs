//! Messages out: the gateways configured for a number, in their order, until one takes it.

mod form;
mod rest;
mod sns;
mod sparrow;
mod twilio;

use domain::Unavailable;
use domain::message::Message;
use domain::phone::DialledNumber;
use domain::send_otp::{NotSent, SmsGateways};

use crate::app::{App, Clock};
use crate::config::{ConfigError, Gateway, SmsRoutes};
use crate::secrets::GatewaySecret;

/// What became of a message at one gateway. The texts are the gateway's own codes, never its words: those may quote us.
#[derive(Debug)]
enum Outcome {
    /// It will be carried.
    Accepted,
    /// The number can't receive messages: no other gateway is to be asked.
    NumberRefused,
    /// The gateway won't have us: credentials, credit, sender. The next one may.
    RefusedUs(String),
    /// The gateway can't. The next one may.
    Unavailable(String),
    /// It did not say in time: the message may be on its way. The next one carries the same code.
    Unknown,
}

impl Outcome {
    /// Its name in the log.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NumberRefused => "number_refused",
            Self::RefusedUs(_) => "refused_us",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown => "unknown",
        }
    }

    fn why(&self) -> &str {
        match self {
            Self::RefusedUs(why) | Self::Unavailable(why) => why,
            Self::Unknown => "no answer in time",
            Self::Accepted | Self::NumberRefused => "",
        }
    }
}

/// The gateways.
#[derive(Clone)]
pub struct Gateways {
    routes: SmsRoutes,
    clock: Clock,
    rest: rest::Rest,
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
        let client = form::FormClient::new();
        let config = &app.config;
        Ok(Self {
            routes: config.sms_routes.clone(),
            clock: app.clock.clone(),
            rest: rest::Rest::default(),
            secret: GatewaySecret::new(app)?,
            sparrow: sparrow::Sparrow::new(client.clone(), &config.sparrow_base_url),
            sns: sns::Sns::new(app),
            twilio: twilio::Twilio::new(client, &config.twilio_base_url, config.limits.code_lifetime_seconds),
        })
    }

    /// Reads credentials ahead of the first message, if any route needs them.
    pub async fn warm(&self) {
        if self.routes.use_gateway(Gateway::Sparrow) || self.routes.use_gateway(Gateway::Twilio) {
            let _ = self.secret.credentials().await;
        }
    }

    async fn send_by(&self, gateway: Gateway, to: &DialledNumber, message: &Message) -> Outcome {
        // SNS knows us by the function's own role.
        if gateway == Gateway::Sns {
            return self.sns.send(to, message).await;
        }
        match self.secret.credentials().await {
            Err(unavailable) => Outcome::Unavailable(unavailable.to_string()),
            Ok(credentials) if gateway == Gateway::Twilio => self.twilio.send(&credentials, to, message).await,
            Ok(credentials) => self.sparrow.send(&credentials, to, message).await,
        }
    }
}

impl SmsGateways for Gateways {
    async fn send(&self, to: &DialledNumber, message: &Message) -> Result<(), NotSent> {
        let mut failures = Vec::new();
        for gateway in self.rest.order(self.routes.gateways(&to.number), self.clock.now()) {
            let outcome = self.send_by(gateway, to, message).await;
            match outcome {
                Outcome::Accepted | Outcome::NumberRefused => self.rest.worked(gateway),
                Outcome::RefusedUs(_) | Outcome::Unavailable(_) | Outcome::Unknown => {
                    self.rest.failed(gateway, self.clock.now());
                }
            }
            let (gateway, kind, why) = (gateway.name(), outcome.kind(), outcome.why());
            match outcome {
                Outcome::Accepted => return Ok(()),
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
    let reply = form::Reply { status, body: body.to_vec() };
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
