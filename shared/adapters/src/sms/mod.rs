//! Messages out: the gateways configured for a number, in their order, until one takes it.

mod sns;
mod sparrow;

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::HttpConnectorSettings;
use domain::Unavailable;
use domain::message::Message;
use domain::phone::DialledNumber;
use domain::send_otp::{NotSent, SmsGateways};

use crate::app::App;
use crate::config::{ConfigError, Gateway, SmsRoutes};
use crate::secrets::GatewaySecret;

/// How long to wait for a connection to a gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long a gateway may take to answer; two of them fit into the function's 15 seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(5_000);

/// What became of a message at one gateway.
#[derive(Debug)]
enum Outcome {
    /// It will be carried.
    Accepted,
    /// The number can't receive messages: no other gateway is to be asked.
    NumberRefused,
    /// This gateway won't or can't; the next one may. The text says why, in the gateway's own code.
    Failed(String),
}

/// The gateways.
#[derive(Clone)]
pub struct Gateways {
    routes: SmsRoutes,
    sparrow: sparrow::Sparrow,
    sns: sns::Sns,
}

impl Gateways {
    /// Of what is configured.
    ///
    /// # Errors
    /// When the gateways' secret is not configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let settings =
            HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(ANSWER_TIMEOUT).build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Ok(Self {
            routes: app.config.sms_routes.clone(),
            sparrow: sparrow::Sparrow::new(Arc::new(connector), &app.config.sparrow_base_url, GatewaySecret::new(app)?),
            sns: sns::Sns::new(app),
        })
    }

    /// Reads credentials ahead of the first message.
    pub async fn warm(&self) {
        if self.routes.use_gateway(Gateway::Sparrow) {
            self.sparrow.warm().await;
        }
    }
}

impl SmsGateways for Gateways {
    async fn send(&self, to: &DialledNumber, message: &Message) -> Result<(), NotSent> {
        let mut failures = Vec::new();
        for gateway in self.routes.gateways(to.calling_code) {
            let outcome = match gateway {
                Gateway::Sparrow => self.sparrow.send(to, message).await,
                Gateway::Sns => self.sns.send(to, message).await,
            };
            match outcome {
                Outcome::Accepted => return Ok(()),
                Outcome::NumberRefused => {
                    tracing::warn!(gateway = gateway.name(), country = %to.country, "the gateway refused the number");
                    return Err(NotSent::NumberRefused);
                }
                Outcome::Failed(why) => {
                    tracing::warn!(gateway = gateway.name(), country = %to.country, why, "the gateway did not take the message");
                    failures.push(format!("{}: {why}", gateway.name()));
                }
            }
        }
        let failures = if failures.is_empty() { "no route".to_owned() } else { failures.join("; ") };
        Err(NotSent::NoGateway(Unavailable::new("send a message", failures)))
    }
}
