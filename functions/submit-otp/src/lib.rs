//! `POST /v1/otp/submit`: signing in whoever proves a phone by a code or by an ID token of Firebase.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::google::firebase::Firebase;
use adapters::google::push::Push;
use adapters::http::{
    Answer, Code, Edge, Guard, Problem, RawPhoneNumber, Request, Route, challenge_id_of_guess, optional_member, otp,
    requested_organization, serve, user_json,
};
use adapters::random;
use adapters::secrets::{CodeKeySecret, SigningKeySecret, read_together};
use adapters::telemetry::{self, Delayed, Fate};
use adapters::tokens::new_token_ids;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::rules::challenge::IdempotencyDigest;
use domain::rules::limits::Limits;
use domain::rules::organization::Organization;
use domain::rules::session::Device;
use domain::rules::token::Grant;
use domain::rules::user::{NewProfile, Recovery};
use domain::use_cases::check_code::SubmittedCode;
use domain::use_cases::open_session::{SecondSignal, SignInContext, SignedIn};
use domain::use_cases::sessions::end_other_sessions;
use domain::use_cases::submit_firebase::{SubmitFirebaseError, SubmitFirebaseRequest, submit_firebase};
use domain::use_cases::submit_otp::{SubmitOtpError, SubmitOtpRequest, submit_otp};
use domain::use_cases::undo_change::undo_change;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::otp_code::OtpCode;
use domain::values::phone::DialledNumber;
use domain::values::source_address::SourceAddress;
use domain::values::text::{DeviceName, FcmToken, ImageUrl, Name, OrganizationId, Source};
use domain::values::time::Timestamp;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[derive(Clone)]
pub struct SubmitOtp {
    app: App,
    store: Store<AllTables>,
    code_keys: CodeKeySecret,
    signing: SigningKeySecret,
    firebase: Option<Firebase>,
    push: Option<Push>,
    guard: Guard<AllTables>,
    edge: Edge,
}

#[derive(Deserialize)]
struct Body {
    phone_number: Option<String>,
    otp: Option<String>,
    firebase_id_token: Option<String>,
    refresh_token: Option<String>,
    fresh_account: Option<bool>,
    restore: Option<bool>,
    recover: Option<bool>,
    sign_out_others: Option<bool>,
    challenge_id: Option<String>,
    name: Option<String>,
    image_url: Option<String>,
    source: Option<String>,
    organization_id: Option<String>,
    fcm_token: Option<String>,
    device_name: Option<String>,
}

/// The longest `Idempotency-Key`, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A request, parsed before anything is read.
struct ParsedRequest {
    proof: SubmittedProof,
    idempotency: Option<IdempotencyDigest>,
    organization: Option<OrganizationId>,
    profile: NewProfile,
    second_signal: Option<SubmittedSignal>,
    sign_out_others: bool,
    /// Without its key.
    device: Device,
}

enum SubmittedProof {
    Code {
        phone: RawPhoneNumber,
        code: OtpCode,
        challenge_id: Option<ChallengeId>,
    },
    FirebaseToken {
        token: String,
        /// Must be the token's, if the client sends it.
        phone: Option<RawPhoneNumber>,
    },
}

/// A second signal before its token is verified.
enum SubmittedSignal {
    RefreshToken(String),
    FreshAccount,
    Restore,
    UndoChange,
    Recover,
}

impl ParsedRequest {
    fn parse(request: &Request, limits: &Limits) -> Result<Self, Problem> {
        let body: Body = request.json()?;
        let fcm_token = body.fcm_token.as_deref().or(request.header("fcm-token"));
        let second_signal = SubmittedSignal::parse(&body)?;
        Ok(Self {
            profile: NewProfile {
                name: optional_member("name", body.name.as_deref(), Name::parse)?,
                image_url: optional_member("image_url", body.image_url.as_deref(), ImageUrl::parse)?,
                source: optional_member("source", body.source.as_deref(), Source::parse)?,
            },
            device: Device {
                key: None,
                name: optional_member("device_name", body.device_name.as_deref(), DeviceName::parse)?,
                fcm_token: optional_member("fcm_token", fcm_token, FcmToken::parse)?,
            },
            organization: optional_member("organization_id", body.organization_id.as_deref(), OrganizationId::parse)?,
            proof: SubmittedProof::parse(&body, limits)?,
            idempotency: request.header("idempotency-key").map(idempotency).transpose()?,
            sign_out_others: body.sign_out_others.unwrap_or(false),
            second_signal,
        })
    }
}

impl SubmittedSignal {
    fn parse(body: &Body) -> Result<Option<Self>, Problem> {
        let wishes =
            [(body.fresh_account, Self::FreshAccount), (body.restore, Self::Restore), (body.recover, Self::Recover)];
        let wished = wishes.into_iter().filter(|(wish, _)| *wish == Some(true)).map(|(_, signal)| signal);
        let mut wished: Vec<Self> = wished.collect();
        if wished.len() > 1 {
            return Err(Problem::malformed("fresh_account, restore, recover: expected at most one of the three."));
        }
        Ok(match (wished.pop(), &body.refresh_token) {
            (Some(Self::Restore), _) => Some(Self::Restore),
            (_, Some(token)) => Some(Self::RefreshToken(token.clone())),
            (wish, None) => wish,
        })
    }
}

impl SubmittedProof {
    fn parse(body: &Body, limits: &Limits) -> Result<Self, Problem> {
        let phone = body.phone_number.as_deref().map(RawPhoneNumber::parse).transpose()?;
        match (body.otp.as_deref(), body.firebase_id_token.as_deref()) {
            (Some(code), None) => Ok(Self::Code {
                code: otp(code)?.ok_or_else(|| Problem::malformed("otp: expected six digits."))?,
                phone: phone.ok_or_else(Problem::wrong_members)?,
                challenge_id: challenge_id_of_guess(body.challenge_id.as_deref(), limits)?,
            }),
            (None, Some(token)) => Ok(Self::FirebaseToken { token: token.to_owned(), phone }),
            (None, None) => Err(Problem::wrong_members()),
            (Some(_), Some(_)) => Err(Problem::malformed("otp, firebase_id_token: expected exactly one of the two.")),
        }
    }
}

fn idempotency(key: &str) -> Result<IdempotencyDigest, Problem> {
    let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES || !is_printable {
        return Err(Problem::malformed("Idempotency-Key: expected 1 to 255 visible ASCII characters or spaces."));
    }
    Ok(IdempotencyDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(key))))
}

impl SubmitOtp {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app)?;
        let guard = Guard::new(app, &store);
        Ok(Self {
            app: app.clone(),
            store,
            code_keys: CodeKeySecret::new(app)?,
            signing: SigningKeySecret::new(app)?,
            firebase: Firebase::new(app),
            push: Push::new(app)?,
            guard,
            edge: Edge::new(app),
        })
    }

    /// Opens connections and reads what the first request needs.
    pub async fn prepare(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        during_init(async {
            tokio::join!(
                self.app.load_home_country(),
                async {
                    let readers = [Some(self.code_keys.reader()), Some(self.signing.reader()), self.edge.reader()];
                    read_together(&readers.into_iter().flatten().collect::<Vec<_>>()).await;
                    self.signing.signing_key(now).await
                },
                // One connection. The first request opens the other two, which may resume its TLS session.
                self.store.organization(&default.id, default, now),
                async {
                    if let Some(firebase) = &self.firebase {
                        firebase.read_keys_ahead(now).await;
                    }
                },
                self.store.prepare_transactions(),
            )
        })
        .await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("submit-otp", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let source = self.edge.source(request).await?;
        match request.route() {
            Some((Route::SubmitOtp, _)) => {
                self.submit(request, ParsedRequest::parse(request, &self.app.config.limits)?, source, now).await
            }
            Some((Route::UndoPhoneChange, _)) => self.undo_change(request, source, now).await,
            _ => Err(Problem::new(Code::NotFound)),
        }
    }

    /// By a code sent to the former number, which signs in too; or, if the request has an access token, by the session of that
    /// token.
    async fn undo_change(&self, request: &Request, source: SourceAddress, now: Timestamp) -> Result<Answer, Problem> {
        let limits = &self.app.config.limits;
        if request.header("authorization").is_none() {
            let mut parsed = ParsedRequest::parse(request, limits)?;
            parsed.second_signal = Some(SubmittedSignal::UndoChange);
            return self.submit(request, parsed, source, now).await;
        }
        let caller = self.guard.caller(request, now).await?;
        let proven = request.credentials().proven_key(&self.app.config.issuer, None, now)?;
        let notices = self.app.notices(&caller.organization, now)?;
        let user = undo_change(&self.store, &caller, proven.as_ref(), notices.as_ref(), now).await?;
        Ok(Answer::json(200, &user_json(&user, limits, now)).uncached())
    }

    async fn submit(
        &self,
        request: &Request,
        parsed: ParsedRequest,
        source: SourceAddress,
        now: Timestamp,
    ) -> Result<Answer, Problem> {
        let ParsedRequest { proof, idempotency, organization, profile, second_signal, device, sign_out_others } =
            parsed;
        let organization = requested_organization(&self.store, &self.app.config, organization.as_ref(), now).await?;
        let proven = request.credentials().proven_key(&self.app.config.issuer, None, now);
        let proven_key = proven.as_ref().ok().and_then(Option::as_ref);
        let context = SignInContext {
            organization: organization.id.clone(),
            membership: organization.access.membership,
            profile,
            second_signal: self.second_signal(second_signal, proven_key, now).await?,
            device: Device { key: organization.access.device_keys.session_key(proven)?, ..device },
            now,
            new_user: UserId::from_random(random::bytes()?),
            new_session: SessionId::from_random(random::bytes()?),
            notices: self.app.notices(&organization.id, now)?,
        };
        // Do fallible reads before irreversible writes: the key is read before the proof is used up.
        let key = self.signing.signing_key(now).await?;
        let ids = new_token_ids()?;
        let (signed_in, grant) = self.sign_in(proof, source, idempotency, &organization, context).await?;
        let SignedIn {
            user, session, other_sessions, is_new_user, is_test_number, is_recovered, former_holder, ..
        } = signed_in;
        if is_test_number {
            telemetry::test_number_used("submit-otp", &organization.id);
        }
        if is_recovered {
            telemetry::delayed(Delayed::Recovery, Fate::Granted, now);
        }
        if let Some(former) = former_holder {
            telemetry::phone_reassigned("submit-otp", &former, &user.id);
        }
        let other_sessions = if sign_out_others && !is_new_user {
            let notices = self.app.notices(&organization.id, now)?;
            end_other_sessions(&self.store, user.clone(), &session, notices.as_ref()).await?;
            Some(0)
        } else {
            other_sessions
        };
        let limits = &self.app.config.limits;
        let issuer = self.app.config.issuer.for_organization(&organization.access);
        let claims = issuer.tokens(&session, user.rights(), grant, ids, now, limits);
        let mut body = key.sign(&claims)?.to_json();
        body.insert("is_new_user".into(), json!(is_new_user));
        body.extend(other_sessions.map(|others| ("other_sessions".to_owned(), json!(others))));
        body.insert("user".into(), user_json(&user, limits, now));
        Ok(Answer::json(200, &Value::Object(body)).uncached())
    }

    async fn second_signal(
        &self,
        submitted: Option<SubmittedSignal>,
        proven: Option<&KeyThumbprint>,
        now: Timestamp,
    ) -> Result<Option<SecondSignal>, Problem> {
        match submitted {
            None => Ok(None),
            Some(SubmittedSignal::FreshAccount) => Ok(Some(SecondSignal::FreshAccount)),
            Some(SubmittedSignal::Restore) => Ok(Some(SecondSignal::Restore)),
            Some(SubmittedSignal::UndoChange) => Ok(Some(SecondSignal::UndoChange)),
            Some(SubmittedSignal::Recover) => Ok(Some(SecondSignal::Recover)),
            // An invalid token is no signal, and no reason to refuse a number that needs none.
            Some(SubmittedSignal::RefreshToken(token)) => {
                Ok(self.guard.second_signal(&token, proven, now).await?.map(SecondSignal::RefreshToken))
            }
        }
    }

    async fn sign_in(
        &self,
        proof: SubmittedProof,
        source: SourceAddress,
        idempotency: Option<IdempotencyDigest>,
        organization: &Organization,
        context: SignInContext,
    ) -> Result<(SignedIn, Grant), Problem> {
        let (limits, now, plan) = (&self.app.config.limits, context.now, &self.app.numbering_plan);
        let dialled = |phone: RawPhoneNumber| phone.dialled(organization.default_country, plan);
        match proof {
            SubmittedProof::Code { phone, code, challenge_id } => {
                let DialledNumber { number, country, .. } = dialled(phone)?;
                let fixed = organization.fixed_code(&number, now).cloned();
                let code = SubmittedCode { code, fixed };
                let submit = SubmitOtpRequest { phone: number, code, challenge_id, idempotency, source, context };
                telemetry::trace("a code is submitted", &submit);
                let signed_in = submit_otp(&self.store, &self.code_keys, self.push.as_ref(), limits, submit).await;
                if let Err(SubmitOtpError::RecoveryPending(recovery)) = &signed_in {
                    count_request(recovery, now);
                }
                let signed_in = signed_in?;
                if let Some(gateway) = signed_in.carrier {
                    telemetry::code_accepted(gateway, country, now);
                }
                Ok((signed_in, Grant::Code))
            }
            SubmittedProof::FirebaseToken { token, phone } => {
                let Some(firebase) = &self.firebase else {
                    return Err(Problem::malformed(
                        "firebase_id_token: this deployment does not accept Firebase sign-ins. Send otp instead.",
                    ));
                };
                let claimed = phone.map(dialled).transpose()?;
                let token = firebase.verify(&token, now).await?;
                let phone = dialled(RawPhoneNumber::parse(token.phone.e164())?)?;
                if claimed.is_some_and(|claimed| claimed.number != phone.number) {
                    return Err(Problem::new(Code::FirebaseTokenInvalid));
                }
                let grant = token.grant(limits, now);
                let submit = SubmitFirebaseRequest { token, phone, idempotency, context };
                telemetry::trace("a Firebase token is submitted", &submit);
                let signed_in = submit_firebase(&self.store, organization, limits, submit).await;
                if let Err(SubmitFirebaseError::RecoveryPending(recovery)) = &signed_in {
                    count_request(recovery, now);
                }
                Ok((signed_in?, grant))
            }
        }
    }
}

/// A repeated request asks for nothing new.
fn count_request(recovery: &Recovery, now: Timestamp) {
    if recovery.requested_at == now {
        telemetry::delayed(Delayed::Recovery, Fate::Requested, now);
    }
}
