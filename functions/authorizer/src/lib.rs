//! The Lambda authorizer (HTTP API, payload 2.0, simple response): lets requests with a valid access token pass.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{SessionTables, Store};
use adapters::http::{Credentials, Guard, Route, RouteGuard, refusal_members};
use adapters::telemetry;
use domain::use_cases::authorize::AuthorizeError;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2CustomAuthorizerV2Request;
use lambda_http::lambda_runtime::Error;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The stage variable of Latchkey's own API that asks for refusals to be passed on to the function behind the route.
const REFUSALS: &str = "LatchkeyRefusals";
const EXPLAIN: &str = "explain";

#[derive(Clone)]
pub struct Authorizer {
    app: App,
    guard: Guard<SessionTables>,
}

/// The response to API Gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    is_authorized: bool,
    context: Map<String, Value>,
}

impl Authorizer {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), guard: Guard::new(app, &Store::new(app)?) })
    }

    /// Reads the keys before the first event.
    pub async fn prepare(&self) {
        during_init(self.guard.read_keys_ahead(self.app.clock.now())).await;
    }

    /// # Errors
    /// If a dependency is unavailable and the route is not one of Latchkey's own: API Gateway then answers 500.
    pub async fn handle(&self, event: ApiGatewayV2CustomAuthorizerV2Request) -> Result<Verdict, Error> {
        // API Gateway gives the function behind the route the same id.
        let request_id = event.request_context.request_id.clone();
        telemetry::followed(request_id.as_deref().unwrap_or("-"), self.decide(event)).await
    }

    async fn decide(&self, event: ApiGatewayV2CustomAuthorizerV2Request) -> Result<Verdict, Error> {
        match self.guard.authorize(&Credentials::of_authorizer_event(&event), self.app.clock.now()).await {
            Ok((caller, roles)) => {
                let context = [
                    ("user_id", json!(caller.user.as_str())),
                    ("session_id", json!(caller.session.as_str())),
                    ("organization_id", json!(caller.organization.as_str())),
                    ("fresh", json!(caller.fresh)),
                    // As a text, so that every backend reads it alike.
                    ("roles", json!(serde_json::to_string(&roles)?)),
                ];
                Ok(Verdict { is_authorized: true, context: members(context) })
            }
            Err(error) => refuse(error, &event),
        }
    }
}

fn refuse(error: AuthorizeError, event: &ApiGatewayV2CustomAuthorizerV2Request) -> Result<Verdict, Error> {
    if let AuthorizeError::Unavailable(unavailable) = &error {
        telemetry::unavailable("authorizer", unavailable);
    }
    match error {
        error if explains_refusals(event) => Ok(Verdict { is_authorized: true, context: refusal_members(error) }),
        AuthorizeError::Unavailable(unavailable) => Err(unavailable.into()),
        _ => Ok(Verdict { is_authorized: false, context: Map::new() }),
    }
}

/// Whether the route is one of Latchkey's own guarded routes, whose functions render a refusal that is passed on. Every
/// other route gets a plain denial, whatever its stage variables are: the function behind it does not know refusals.
fn explains_refusals(event: &ApiGatewayV2CustomAuthorizerV2Request) -> bool {
    let is_asked = event.stage_variables.get(REFUSALS).is_some_and(|value| value == EXPLAIN);
    let route = event.route_key.as_deref().and_then(Route::of_key);
    is_asked && route.is_some_and(|route| route.guard() == RouteGuard::Authorizer)
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
