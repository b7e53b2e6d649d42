//! `POST /v1/otp/submit`: signing in whoever proves a phone by a code or by an ID token of Firebase.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::google::firebase::Firebase;
use adapters::google::push::Push;
use adapters::http::{
    Answer, Code, Edge, Guard, Members, Problem, RawPhoneNumber, Request, RequestError, Route, otp,
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
use domain::values::text::{DeviceName, FcmToken, ImageUrl, MalformedText, Name, OrganizationId, Source};
use domain::values::time::Timestamp;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
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
        let mut members = request.members()?;
        let fcm_token = members.text("fcm_token");
        let fcm_token = fcm_token.as_deref().or(request.header("fcm-token"));
        let parsed = (
            NewProfile {
                name: members.parsed("name", Name::parse),
                image_url: members.parsed("image_url", ImageUrl::parse),
                source: members.parsed("source", Source::parse),
            },
            Device {
                key: None,
                name: members.parsed("device_name", DeviceName::parse),
                fcm_token: fcm_token.and_then(|token| members.parse("fcm_token", token, FcmToken::parse)),
            },
            members.parsed("organization_id", OrganizationId::parse),
            request.header("idempotency-key").and_then(|key| idempotency(key, &mut members)),
            members.flag("sign_out_others"),
        );
        let (profile, device, organization, idempotency, sign_out_others) = parsed;
        let second_signal = SubmittedSignal::parse(&mut members);
        let proof = SubmittedProof::parse(&mut members, limits);
        let proof = members.finish(proof)?;
        Ok(Self { proof, idempotency, organization, profile, second_signal, sign_out_others, device })
    }
}

impl SubmittedSignal {
    fn parse(members: &mut Members) -> Option<Self> {
        let token = members.text("refresh_token");
        let wishes = [("fresh_account", Self::FreshAccount), ("restore", Self::Restore), ("recover", Self::Recover)];
        let wished = wishes.map(|(name, signal)| members.flag(name).then_some((name, signal)));
        let mut wished = wished.into_iter().flatten();
        let wish = wished.next().map(|(_, signal)| signal);
        for (name, _) in wished {
            members.error(name, "expected at most one of fresh_account, restore and recover");
        }
        match (wish, token) {
            (Some(Self::Restore), _) => Some(Self::Restore),
            (_, Some(token)) => Some(Self::RefreshToken(token)),
            (wish, None) => wish,
        }
    }
}

impl SubmittedProof {
    /// Reads either the code and its number, or the token of Firebase.
    fn parse(members: &mut Members, limits: &Limits) -> Option<Self> {
        let token = members.text("firebase_id_token");
        let (phone, code) = (members.text("phone_number"), members.text("otp"));
        if token.is_some() && code.is_some() {
            members.error("firebase_id_token", "expected either otp or firebase_id_token");
        }
        let parsed = phone.as_deref().and_then(|phone| members.parse("phone_number", phone, RawPhoneNumber::parse));
        if let Some(token) = token {
            // Of a code, not of this.
            members.text("challenge_id");
            return Some(Self::FirebaseToken { token, phone: parsed });
        }
        if phone.is_none() {
            members.missing("phone_number");
        }
        let challenge_id = members.challenge_id_of_guess(limits);
        let Some(code) = code else {
            members.missing("otp");
            return None;
        };
        let code = members.parse("otp", &code, |text| otp(text)?.ok_or(MalformedText { expected: "six digits" }));
        Some(Self::Code { phone: parsed?, code: code?, challenge_id })
    }
}

fn idempotency(key: &str, members: &mut Members) -> Option<IdempotencyDigest> {
    let is_printable = key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES || !is_printable {
        members.error_in_header("Idempotency-Key", "expected 1 to 255 visible ASCII characters or spaces");
        return None;
    }
    Some(IdempotencyDigest::new(URL_SAFE_NO_PAD.encode(Sha256::digest(key))))
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
                    let expected = "this deployment does not accept Firebase sign-ins; send otp instead";
                    return Err(Problem::malformed([RequestError::member("firebase_id_token", expected)]));
                };
                let claimed = phone.map(dialled).transpose()?;
                let token = firebase.verify(&token, now).await?;
                let of_token = RawPhoneNumber::parse(token.phone.e164());
                let phone = dialled(of_token.map_err(|_| Problem::new(Code::FirebaseTokenInvalid))?)?;
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
