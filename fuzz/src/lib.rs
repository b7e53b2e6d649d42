//! Shared by the targets: the functions with an emulated AWS, and two valid tokens.
//!
//! No request leaves the process: the HTTP client answers from memory, with one user, one session and one pending code.

mod aws;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use account::Account;
use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::Config;
use authorizer::{Authorizer, Event};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use jwks::Jwks;
use send_otp::SendOtp;
use serde_json::Value;
use session::Session;
use submit_otp::SubmitOtp;
use tokio::runtime::{Builder, Runtime};
use validate_otp::ValidateOtp;

/// The id of a public key. Its private key is deleted, so nobody can sign more tokens.
pub const KEY_ID: &str = "key_aqgje9nn955rpxvwg9cqe8pe6w";
/// The coordinates of the key's point, in base64url.
pub const KEY: (&str, &str) =
    ("bhCU6e5YdjNkI73-EXrhgXS94FXHLL4R5VAxSpJWh9k", "nMN0unbh2abTMAhhBR1HNaYpZD-ouxz80ePTt3IijDY");
/// The only tokens that this key signed: an access token and a refresh token, valid until 2099.
pub const TOKENS: [&str; 2] = [include_str!("access.jwt"), include_str!("refresh.jwt")];

/// Whether the token has the header and claims of one of the two signed tokens. The signature may differ: ECDSA has several
/// valid signatures for one message.
pub fn was_signed(token: &str) -> bool {
    TOKENS.into_iter().any(|signed| without_signature(signed) == without_signature(token))
}

fn without_signature(token: &str) -> Option<&str> {
    Some(token.rsplit_once('.')?.0)
}

struct Functions {
    account: Account,
    authorizer: Authorizer,
    jwks: Jwks,
    send_otp: SendOtp,
    session: Session,
    submit_otp: SubmitOtp,
    validate_otp: ValidateOtp,
    runtime: Runtime,
}

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let variables = [
        ("USERS_TABLE", "Users"),
        ("OTPS_TABLE", "Otps"),
        ("SESSIONS_TABLE", "Sessions"),
        ("SETTINGS_TABLE", "Settings"),
        ("NOTICES_TABLE", "Notices"),
        ("SIGNING_KEY_SECRET", "signing-key"),
        ("CODE_KEY_SECRET", "code-key"),
        ("GATEWAY_SECRET", "gateways"),
        ("SMS_ROUTES", "*=sns"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
    ];
    let variables: BTreeMap<_, _> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::from_variables(&variables).unwrap();
    let app = App::new(config, Clock::system()).unwrap().with_http_client(aws::client());
    Functions {
        account: Account::new(&app).unwrap(),
        authorizer: Authorizer::new(&app).unwrap(),
        jwks: Jwks::new(&app).unwrap(),
        send_otp: SendOtp::new(&app).unwrap(),
        session: Session::new(&app).unwrap(),
        submit_otp: SubmitOtp::new(&app).unwrap(),
        validate_otp: ValidateOtp::new(&app).unwrap(),
        runtime,
    }
});

/// Serves an event by the function of its path, and checks what must be true of every answer.
pub fn serve(event: ApiGatewayV2httpRequest) {
    let functions = &*FUNCTIONS;
    let path = event.raw_path.clone().unwrap_or_default();
    let answer = functions.runtime.block_on(async {
        match path.as_str() {
            "/v1/otp/submit" => functions.submit_otp.handle(event).await,
            "/v1/phone/otp/validate" => functions.validate_otp.handle(event).await,
            path if path.starts_with("/v1/session") => functions.session.handle(event).await,
            path if path.starts_with("/v1/me") => functions.account.handle(event).await,
            path if path.starts_with("/.well-known/") => functions.jwks.handle(event).await,
            _ => functions.send_otp.handle(event).await,
        }
    });
    check(&answer);
}

fn check(answer: &ApiGatewayV2httpResponse) {
    let text = answer.body.as_deref().map(|body| std::str::from_utf8(body).unwrap()).unwrap_or_default();
    if answer.status_code == 204 {
        assert_eq!(text, "", "an answer with status 204 has a body");
        return;
    }
    let body: Value = serde_json::from_str(text).unwrap();
    if answer.status_code == 200 {
        assert!(body.get("code").is_none(), "a successful answer has an error code: {text}");
    } else {
        assert!(
            [400, 401, 403, 404, 409, 413, 415, 429, 503].contains(&answer.status_code),
            "undocumented status: {text}"
        );
        assert_eq!(body["status"], answer.status_code, "wrong status in the problem: {text}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert!(body["code"].is_string(), "the problem has no code: {text}");
    }
}

/// Calls the authorizer and checks that it accepts only signed tokens. An answer with a refusal in its context is not an
/// acceptance: the function behind the authorizer then refuses the request.
pub fn authorize(event: Event) {
    let functions = &*FUNCTIONS;
    let headers = match &event {
        Event::HttpApi(event) => &event.headers,
        Event::RestApi(event) if event.multi_value_headers.is_empty() => &event.headers,
        Event::RestApi(event) => &event.multi_value_headers,
    };
    let authorization = headers.get("authorization").cloned();
    let decision = functions.runtime.block_on(functions.authorizer.handle(event)).unwrap();
    let context = &decision["context"];
    let is_allowed = decision["policyDocument"]["Statement"][0]["Effect"] == "Allow";
    if (decision["isAuthorized"] == true || is_allowed) && context.get(adapters::http::REFUSAL).is_none() {
        let token = authorization.as_ref().and_then(|value| value.to_str().ok()?.trim().rsplit_once(' '));
        assert!(token.is_some_and(|(_, token)| was_signed(token)), "accepted an unsigned token: {decision}");
        assert!(context["user_id"].is_string() && context["session_id"].is_string(), "missing ids: {decision}");
    }
}
