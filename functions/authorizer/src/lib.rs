//! The Lambda authorizer (HTTP API, payload 2.0, simple response): lets those with a good token pass.

use adapters::config::ConfigError;
use adapters::guard::{Guard, REFUSAL};
use adapters::problem::Problem;
use adapters::{App, warm};
use aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use domain::authorize::AuthorizeError;
use lambda_runtime::Error;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The stage variable of Latchkey's own API that asks for refusals to be passed on to the function behind the route.
const REFUSALS: &str = "LatchkeyRefusals";
/// Its value.
const EXPLAIN: &str = "explain";
/// Latchkey's own guarded routes, whose functions render a refusal that is passed on. Every other route, whatever its
/// stage variables, gets a plain denial: the function behind it knows nothing of refusals.
pub const OWN_GUARDED_ROUTES: [&str; 11] = [
    "POST /v1/phone/otp/send",
    "POST /v1/phone/otp/validate",
    "GET /v1/sessions",
    "DELETE /v1/sessions",
    "DELETE /v1/sessions/{session_id}",
    "DELETE /v1/session",
    "GET /v1/me",
    "PATCH /v1/me",
    "DELETE /v1/me",
    "PUT /v1/me/fcm-token",
    "POST /v1/me/sign-in-approval",
];

/// The function.
#[derive(Clone)]
pub struct Authorizer {
    app: App,
    guard: Guard,
}

/// The answer to API Gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    is_authorized: bool,
    context: Map<String, Value>,
}

impl Authorizer {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), guard: Guard::new(app)? })
    }

    /// Opens connections and reads the keys.
    pub async fn warm(&self) {
        warm::ahead(self.guard.warm(self.app.clock.now())).await;
    }

    /// Judges one request.
    ///
    /// # Errors
    /// When it can't be known who calls and nobody is there to say so: API Gateway then answers 500.
    pub async fn handle(&self, event: ApiGatewayV2CustomAuthorizerV2Request) -> Result<Verdict, Error> {
        let authorization = event.headers.get("authorization").and_then(|value| value.to_str().ok());
        match self.guard.authorize(authorization, self.app.clock.now()).await {
            Ok((caller, roles)) => {
                let context = [
                    ("user_id", json!(caller.user.as_str())),
                    ("session_id", json!(caller.session.as_str())),
                    ("fresh", json!(caller.fresh)),
                    // A simple response's context holds no nested values.
                    ("roles", json!(serde_json::to_string(&roles)?)),
                ];
                Ok(Verdict { is_authorized: true, context: members(context) })
            }
            Err(error) if is_own(&event) => {
                log(&error);
                let refusal = json!(Problem::from(error).code.as_str());
                Ok(Verdict { is_authorized: true, context: members([(REFUSAL, refusal)]) })
            }
            Err(AuthorizeError::Unavailable(unavailable)) => Err(unavailable.into()),
            Err(_) => Ok(Verdict { is_authorized: false, context: Map::new() }),
        }
    }
}

fn is_own(event: &ApiGatewayV2CustomAuthorizerV2Request) -> bool {
    let explains = event.stage_variables.get(REFUSALS).is_some_and(|value| value == EXPLAIN);
    explains && event.route_key.as_deref().is_some_and(|route| OWN_GUARDED_ROUTES.contains(&route))
}

fn log(error: &AuthorizeError) {
    if let AuthorizeError::Unavailable(unavailable) = error {
        adapters::telemetry::unavailable("authorizer", unavailable);
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
