//! `POST /v1/otp/send` and `POST /v1/phone/otp/send`: a code on its way.

use adapters::config::{ConfigError, Table};
use adapters::guard::Guard;
use adapters::http::{Answer, Request, optional_member, phone_number, serve};
use adapters::problem::{Code, Problem};
use adapters::secrets::{self, CodeKeySecret};
use adapters::sms::Gateways;
use adapters::store::Store;
use adapters::{App, organization, random, telemetry, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::ids::ChallengeId;
use domain::send_otp::{Sent, Wish, send_otp};
use domain::text::Source;
use serde::Deserialize;
use serde_json::json;

/// The function.
#[derive(Clone)]
pub struct SendOtp {
    app: App,
    store: Store,
    guard: Guard,
    keys: CodeKeySecret,
    gateways: Gateways,
}

#[derive(Deserialize)]
struct Body {
    phone_number: String,
    organization_id: Option<String>,
    source: Option<String>,
    locale: Option<String>,
    change: Option<bool>,
}

/// The longest language tag that BCP 47 (RFC 5646 §4.4.1) asks anyone to support.
const LONGEST_LOCALE: usize = 35;

impl SendOtp {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.clone(),
            store: Store::new(app, &[Table::Users, Table::Otps, Table::Settings])?,
            guard: Guard::new(app)?,
            keys: CodeKeySecret::new(app)?,
            gateways: Gateways::new(app)?,
        })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        warm::ahead(async {
            tokio::join!(
                self.store.organization(&default.id, default, now),
                async {
                    let readers = [Some(self.keys.reader()), self.gateways.credentials_reader()];
                    secrets::read_ahead(&readers.into_iter().flatten().collect::<Vec<_>>()).await;
                },
                self.gateways.warm(default.default_country),
                // Last, while the others wait.
                warm::numbering_plan(default.default_country),
            )
        })
        .await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("send-otp", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let (wish, body): (Wish, Body) = match request.route() {
            ("POST", "/v1/otp/send") => (Wish::SignIn, request.json()?),
            ("POST", "/v1/phone/otp/send") => {
                let caller = self.guard.caller(request, now).await?;
                let body: Body = request.json()?;
                (Wish::VerifyPhone { caller, change: body.change.unwrap_or(false) }, body)
            }
            _ => return Err(Problem::new(Code::NotFound)),
        };
        if body.locale.as_ref().is_some_and(|locale| locale.chars().count() > LONGEST_LOCALE) {
            return Err(Problem::malformed("locale: expected a language tag of at most 35 characters."));
        }
        optional_member("source", body.source.as_deref(), Source::parse)?;
        let name = body.organization_id.as_deref();
        let organization = organization::requested(&self.store, &self.app.config, name, now).await?;
        let send = domain::send_otp::SendOtp {
            wish,
            phone: phone_number(&body.phone_number, organization.default_country)?,
            source: request.source(),
            now,
            new_id: ChallengeId::from_random(random::bytes()?),
            shard_seed: random::number()?,
            language: organization.format.languages().choose(body.locale.as_deref(), request.header("accept-language")),
        };
        let limits = &self.app.config.limits;
        let country = send.phone.country;
        telemetry::trace("a code is asked for", &send);
        let over = |budget| telemetry::send_over_budget(budget, country, limits.pumping_budgets, now);
        let sent = send_otp(&self.store, &self.keys, &self.gateways, &organization, limits, send, over).await?;
        if sent.is_test_number {
            telemetry::test_number_used("send-otp", &organization.id);
        }
        Ok(render(&sent))
    }
}

fn render(sent: &Sent) -> Answer {
    let body = json!({
        "message": "sent otp",
        "challenge_id": sent.challenge.as_str(),
        "expires_in": sent.expires_in_seconds,
        "resend_in": sent.resend_in_seconds,
        "attempts_left": sent.attempts_left,
    });
    Answer::json(200, &body).uncached()
}
