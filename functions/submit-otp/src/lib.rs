//! `POST /v1/otp/submit`: a code, or an ID token of Firebase, and whoever it proves is signed in.

use adapters::config::{ConfigError, Table};
use adapters::firebase::{Firebase, Verified};
use adapters::guard::Guard;
use adapters::http::{
    Answer, Request, challenge_id, member, of_another_form, optional_member, phone_number, serve, user_json,
};
use adapters::problem::{Code, Problem};
use adapters::push::Push;
use adapters::secrets::{self, CodeKeySecret, SigningKeySecret};
use adapters::store::Store;
use adapters::tokens::fresh_ids;
use adapters::{App, organization, random, telemetry, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::challenge::{IdempotencyDigest, TypedCode};
use domain::code::OtpCode;
use domain::firebase::{SubmitFirebaseToken, submit_firebase_token};
use domain::ids::{SessionId, UserId};
use domain::organization::Organization;
use domain::phone::DialledNumber;
use domain::sign_in::{Arrival, SecondSignal, SignedIn};
use domain::submit_otp::submit_otp;
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
    firebase: Option<Firebase>,
    push: Option<Push>,
    guard: Guard,
}

/// What proves the phone.
enum Given<'a> {
    Code(OtpCode),
    FirebaseToken(&'a str),
}

#[derive(Deserialize)]
struct Body {
    phone_number: Option<String>,
    otp: Option<String>,
    firebase_id_token: Option<String>,
    refresh_token: Option<String>,
    fresh_account: Option<bool>,
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
            firebase: Firebase::new(app),
            push: Push::new(app)?,
            guard: Guard::new(app)?,
        })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        warm::ahead(async {
            tokio::join!(
                async {
                    secrets::read_ahead(&[self.codes.reader(), self.signing.reader()]).await;
                    self.signing.signing_key(now).await
                },
                self.store.organization(&default.id, default, now),
                // A second connection: the claim goes side by side with a read.
                self.store.key_set(),
                async {
                    if let Some(firebase) = &self.firebase {
                        firebase.warm(now).await;
                    }
                },
                // Last, while the others wait.
                warm::numbering_plan(default.default_country),
            )
        })
        .await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("submit-otp", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let limits = &self.app.config.limits;
        if request.route() != ("POST", "/v1/otp/submit") {
            return Err(Problem::new(Code::NotFound));
        }
        let body: Body = request.json()?;
        let given = given(&body)?;
        let (arrival, organization) = self.arrival(request, &body, now).await?;
        // Read before the proof is used up: what can fail, fails while nothing is spent.
        let key = self.signing.signing_key(now).await?;
        let ids = fresh_ids()?;
        let SignedIn { user, session, is_new_user, set_aside, .. } = match given {
            Given::Code(code) => self.submit_code(request, &body, code, organization, arrival).await?,
            Given::FirebaseToken(token) => self.submit_token(&body, token, &organization, arrival).await?,
        };
        if let Some(former) = set_aside {
            telemetry::account_set_aside("submit-otp", &former, &user.id);
        }
        let claims = self.app.config.issuer.tokens(&session, &user.roles, Proof::Code, ids, now, limits);
        let mut body = key.sign(&claims)?.to_json();
        body.insert("is_new_user".into(), json!(is_new_user));
        body.insert("user".into(), user_json(&user));
        Ok(Answer::json(200, &Value::Object(body)).uncached())
    }

    /// What comes along with either proof, and the organization to sign in to.
    async fn arrival(
        &self,
        request: Request<'_>,
        body: &Body,
        now: Timestamp,
    ) -> Result<(Arrival, Organization), Problem> {
        let introduction = Introduction {
            name: optional_member("name", body.name.as_deref(), Name::parse)?,
            image_url: optional_member("image_url", body.image_url.as_deref(), ImageUrl::parse)?,
            source: optional_member("source", body.source.as_deref(), Source::parse)?,
        };
        let fcm_token = body.fcm_token.as_deref().or(request.header("fcm-token"));
        let fcm_token = fcm_token.map(|token| member("fcm_token", token, FcmToken::parse)).transpose()?;
        let device_name = optional_member("device_name", body.device_name.as_deref(), DeviceName::parse)?;
        let name = body.organization_id.as_deref();
        let organization = organization::requested(&self.store, &self.app.config, name, now).await?;
        let arrival = Arrival {
            organization: organization.id.clone(),
            introduction,
            second_signal: self.second_signal(body, now).await?,
            fcm_token,
            device_name,
            now,
            new_user: UserId::from_random(random::bytes()?),
            new_session: SessionId::from_random(random::bytes()?),
        };
        Ok((arrival, organization))
    }

    /// What the client adds in case the number has been dormant.
    async fn second_signal(&self, body: &Body, now: Timestamp) -> Result<Option<SecondSignal>, Problem> {
        if let Some(token) = body.refresh_token.as_deref() {
            // One that is good no more is no signal, and no reason to refuse a number that needs none.
            return match self.guard.refresh_token(token, now).await {
                Ok((user, session, presented)) => Ok(Some(SecondSignal::RefreshToken { user, session, presented })),
                Err(problem) if problem.code.status() == 401 => Ok(None),
                Err(problem) => Err(problem),
            };
        }
        Ok(body.fresh_account.unwrap_or(false).then_some(SecondSignal::FreshAccount))
    }

    async fn submit_code(
        &self,
        request: Request<'_>,
        body: &Body,
        code: OtpCode,
        organization: Organization,
        arrival: Arrival,
    ) -> Result<SignedIn, Problem> {
        let now = arrival.now;
        let challenge_id = challenge_id(body.challenge_id.as_deref())?;
        let idempotency = request.header("idempotency-key").map(idempotency).transpose()?;
        let phone = body.phone_number.as_deref().ok_or_else(of_another_form)?;
        let DialledNumber { number, country, .. } = phone_number(phone, organization.default_country)?;
        let fixed = organization.fixed_code(&number, now).cloned();
        let submit = domain::submit_otp::SubmitOtp {
            phone: number,
            code: TypedCode { code, organization: organization.id.clone(), fixed },
            challenge_id,
            idempotency,
            arrival,
        };
        telemetry::trace("a code is submitted", &submit);
        let limits = &self.app.config.limits;
        let signed_in = submit_otp(&self.store, &self.codes, self.push.as_ref(), limits, submit).await?;
        if signed_in.is_test_number {
            telemetry::test_number_used("submit-otp", &organization.id);
        }
        if let Some(gateway) = signed_in.carried_by {
            telemetry::code_accepted(gateway, country, now);
        }
        Ok(signed_in)
    }

    async fn submit_token(
        &self,
        body: &Body,
        token: &str,
        organization: &Organization,
        arrival: Arrival,
    ) -> Result<SignedIn, Problem> {
        let Some(firebase) = &self.firebase else {
            return Err(Problem::malformed("firebase_id_token: not accepted here. Send otp."));
        };
        let said = body.phone_number.as_deref().map(|phone| phone_number(phone, organization.default_country));
        let said = said.transpose()?;
        let Verified { phone, digest, until } = firebase.verify(token, arrival.now).await?;
        if said.is_some_and(|said| said.number != phone) {
            return Err(Problem::new(Code::FirebaseTokenInvalid));
        }
        let submit = SubmitFirebaseToken { phone, digest, until, arrival };
        telemetry::trace("a Firebase token is submitted", &submit);
        Ok(submit_firebase_token(&self.store, &self.app.config.limits, submit).await?)
    }
}

fn given(body: &Body) -> Result<Given<'_>, Problem> {
    match (body.otp.as_deref(), body.firebase_id_token.as_deref()) {
        (Some(otp), None) => {
            let code = OtpCode::parse(otp).map_err(|_| Problem::malformed("otp: expected six digits."))?;
            Ok(Given::Code(code))
        }
        (None, Some(token)) => Ok(Given::FirebaseToken(token)),
        (None, None) => Err(of_another_form()),
        (Some(_), Some(_)) => Err(Problem::malformed("otp, firebase_id_token: expected one of the two.")),
    }
}

fn idempotency(key: &str) -> Result<IdempotencyDigest, Problem> {
    let readable = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if key.is_empty() || key.len() > LONGEST_IDEMPOTENCY_KEY || !readable {
        return Err(Problem::malformed("Idempotency-Key: expected 1 to 255 characters."));
    }
    Ok(IdempotencyDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(key))))
}
