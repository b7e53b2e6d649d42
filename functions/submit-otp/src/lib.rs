//! `POST /v1/otp/submit`: a code, and whoever typed it is signed in.

use adapters::config::{ConfigError, Table};
use adapters::http::{Answer, Request, challenge_id, member, optional_member, phone_number, serve, user_json};
use adapters::problem::{Code, Problem};
use adapters::secrets::{CodeKeySecret, SigningKeySecret};
use adapters::store::Store;
use adapters::tokens::fresh_ids;
use adapters::{App, organization, random, telemetry};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::challenge::{IdempotencyDigest, TypedCode};
use domain::code::OtpCode;
use domain::ids::{SessionId, UserId};
use domain::phone::{Country, DialledNumber};
use domain::send_otp::CodeKeys;
use domain::submit_otp::{SignedIn, submit_otp};
use domain::text::{DeviceName, FcmToken, ImageUrl, Name, Source};
use domain::token::Proof;
use domain::user::Introduction;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The function.
#[derive(Clone)]
pub struct SubmitOtp {
    app: App,
    store: Store,
    codes: CodeKeySecret,
    signing: SigningKeySecret,
}

#[derive(Deserialize)]
struct Body {
    phone_number: String,
    otp: String,
    challenge_id: Option<String>,
    name: Option<String>,
    image_url: Option<String>,
    source: Option<String>,
    organization_id: Option<String>,
    fcm_token: Option<String>,
    device_name: Option<String>,
}

/// The longest `Idempotency-Key`, in bytes.
const LONGEST_IDEMPOTENCY_KEY: usize = 255;

impl SubmitOtp {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.clone(),
            store: Store::new(app, &[Table::Users, Table::Otps, Table::Sessions, Table::Settings])?,
            codes: CodeKeySecret::new(app)?,
            signing: SigningKeySecret::new(app)?,
        })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        let _ = tokio::join!(
            self.store.organization(&default.id, default, now),
            self.codes.current(),
            self.signing.signing_key(now)
        );
        // Any number: the first one to be parsed loads the numbering plan.
        let _ = DialledNumber::parse("9800000000", default.default_country);
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("submit-otp", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let limits = &self.app.config.limits;
        let (submit, country) = match request.route() {
            ("POST", "/v1/otp/submit") => self.read(request, now).await?,
            _ => return Err(Problem::new(Code::NotFound)),
        };
        // Read before the code is consumed: what can fail, fails while nothing is spent.
        let key = self.signing.signing_key(now).await?;
        let ids = fresh_ids()?;
        let organization = submit.code.organization.clone();
        let SignedIn { user, session, is_new_user, is_test_number, carried_by } =
            submit_otp(&self.store, &self.codes, limits, submit).await?;
        if is_test_number {
            telemetry::test_number_used("submit-otp", &organization);
        }
        if let Some(gateway) = carried_by {
            telemetry::code_accepted(gateway, country, now);
        }
        let claims = self.app.config.issuer.tokens(&session, &user.roles, Proof::Code, ids, now, limits);
        let mut body = key.sign(&claims)?.to_json();
        body.insert("is_new_user".into(), json!(is_new_user));
        body.insert("user".into(), user_json(&user));
        Ok(Answer::json(200, &Value::Object(body)).uncached())
    }

    async fn read(
        &self,
        request: Request<'_>,
        now: Timestamp,
    ) -> Result<(domain::submit_otp::SubmitOtp, Country), Problem> {
        let body: Body = request.json()?;
        let introduction = Introduction {
            name: optional_member("name", body.name.as_deref(), Name::parse)?,
            image_url: optional_member("image_url", body.image_url.as_deref(), ImageUrl::parse)?,
            source: optional_member("source", body.source.as_deref(), Source::parse)?,
        };
        let fcm_token = body.fcm_token.as_deref().or(request.header("fcm-token"));
        let fcm_token = fcm_token.map(|token| member("fcm_token", token, FcmToken::parse)).transpose()?;
        let device_name = optional_member("device_name", body.device_name.as_deref(), DeviceName::parse)?;
        let challenge_id = challenge_id(body.challenge_id.as_deref())?;
        let code = OtpCode::parse(&body.otp).map_err(|_| Problem::malformed("otp: expected six digits."))?;
        let idempotency = request.header("idempotency-key").map(idempotency).transpose()?;
        let name = body.organization_id.as_deref();
        let organization = organization::requested(&self.store, &self.app.config, name, now).await?;
        let DialledNumber { number, country, .. } = phone_number(&body.phone_number, organization.default_country)?;
        let fixed = organization.fixed_code(&number, now).cloned();
        let submit = domain::submit_otp::SubmitOtp {
            phone: number,
            code: TypedCode { code, organization: organization.id, fixed },
            challenge_id,
            idempotency,
            introduction,
            fcm_token,
            device_name,
            now,
            new_user: UserId::from_random(random::bytes()?),
            new_session: SessionId::from_random(random::bytes()?),
        };
        Ok((submit, country))
    }
}

fn idempotency(key: &str) -> Result<IdempotencyDigest, Problem> {
    let readable = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if key.is_empty() || key.len() > LONGEST_IDEMPOTENCY_KEY || !readable {
        return Err(Problem::malformed("Idempotency-Key: expected 1 to 255 characters."));
    }
    Ok(IdempotencyDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(key))))
}
