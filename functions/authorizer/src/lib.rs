//! The Lambda authorizer: lets requests with a valid access token pass. It answers an HTTP API (payload format 2.0) with a
//! simple response, and a REST API with a policy.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{SessionTables, Store};
use adapters::http::{Authorized, Credentials, Guard, Route, RouteGuard, refusal_members};
use adapters::telemetry;
use domain::use_cases::authorize::AuthorizeError;
use lambda_http::aws_lambda_events::apigw::{
    ApiGatewayCustomAuthorizerRequestTypeRequest, ApiGatewayV2CustomAuthorizerV2Request,
};
use lambda_http::lambda_runtime::Error;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The stage variable of Latchkey's own API that asks for refusals to be passed on to the function behind the route.
const REFUSALS: &str = "LatchkeyRefusals";
const EXPLAIN: &str = "explain";

/// The principal of a policy that denies. API Gateway requires one.
const NOBODY: &str = "nobody";

#[derive(Clone)]
pub struct Authorizer {
    app: App,
    guard: Guard<SessionTables>,
}

/// The question of API Gateway. A REST API's event has no `requestContext.http`, so it is never read as the other one. HTTP
/// APIs ask in the same form if their authorizer has payload format 1.0.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    HttpApi(Box<ApiGatewayV2CustomAuthorizerV2Request>),
    RestApi(Box<ApiGatewayCustomAuthorizerRequestTypeRequest>),
}

impl Authorizer {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), guard: Guard::new(app, &Store::new(app)?) })
    }

    /// Reads the keys before the first event.
    pub async fn prepare(&self) {
        during_init(self.guard.read_keys_ahead(self.app.clock.now())).await;
    }

    /// The answer in the form that the API expects.
    ///
    /// # Errors
    /// If a dependency is unavailable and the route is not one of Latchkey's own: API Gateway then answers 500.
    pub async fn handle(&self, event: Event) -> Result<Value, Error> {
        // API Gateway gives the function behind the route the same id.
        telemetry::with_request_id(event.request_id().unwrap_or("-"), self.decide(&event)).await
    }

    async fn decide(&self, event: &Event) -> Result<Value, Error> {
        let authorized = self.guard.authorize(&event.credentials(), self.app.clock.now()).await;
        let (is_authorized, context) = match authorized {
            Ok(authorized) => (true, members(&authorized)?),
            Err(error) => refuse(error, event)?,
        };
        Ok(event.answer(is_authorized, context))
    }
}

impl Event {
    fn request_id(&self) -> Option<&str> {
        match self {
            Self::HttpApi(event) => event.request_context.request_id.as_deref(),
            Self::RestApi(event) => event.request_context.request_id.as_deref(),
        }
    }

    fn credentials(&self) -> Credentials<'_> {
        match self {
            Self::HttpApi(event) => Credentials::of_http_api(event),
            Self::RestApi(event) => Credentials::of_rest_api(event),
        }
    }

    /// Whether the route is one of Latchkey's own guarded routes, whose functions render a refusal that is passed on. Every
    /// other route gets a plain denial, whatever its stage variables are: the function behind it does not know refusals.
    fn explains_refusals(&self) -> bool {
        let Self::HttpApi(event) = self else { return false };
        let is_asked = event.stage_variables.get(REFUSALS).is_some_and(|value| value == EXPLAIN);
        let route = event.route_key.as_deref().and_then(Route::of_key);
        is_asked && route.is_some_and(|route| route.guard() == RouteGuard::Authorizer)
    }

    fn answer(&self, is_authorized: bool, context: Map<String, Value>) -> Value {
        match self {
            Self::HttpApi(_) => json!({ "isAuthorized": is_authorized, "context": context }),
            Self::RestApi(event) => json!({
                "principalId": context.get("user_id").and_then(Value::as_str).unwrap_or(NOBODY),
                "policyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{
                        "Action": "execute-api:Invoke",
                        "Effect": if is_authorized { "Allow" } else { "Deny" },
                        "Resource": event.method_arn,
                    }],
                },
                "context": context,
            }),
        }
    }
}

/// What the function behind the route is told of the caller. The context of a REST API holds no nested values, so the roles
/// are a text, everywhere alike.
fn members(Authorized { caller, roles, claims }: &Authorized) -> Result<Map<String, Value>, Error> {
    let mut members = Map::from_iter([
        ("user_id".to_owned(), json!(caller.user.as_str())),
        ("session_id".to_owned(), json!(caller.session.as_str())),
        ("organization_id".to_owned(), json!(caller.organization.as_str())),
        ("fresh".to_owned(), json!(caller.fresh)),
        ("roles".to_owned(), json!(serde_json::to_string(roles)?)),
    ]);
    if let Some(claims) = claims {
        members.insert("claims".to_owned(), json!(claims.as_str()));
    }
    Ok(members)
}

fn refuse(error: AuthorizeError, event: &Event) -> Result<(bool, Map<String, Value>), Error> {
    if let AuthorizeError::Unavailable(unavailable) = &error {
        telemetry::unavailable("authorizer", unavailable);
    }
    match error {
        error if event.explains_refusals() => Ok((true, refusal_members(error))),
        AuthorizeError::Unavailable(unavailable) => Err(unavailable.into()),
        _ => Ok((false, Map::new())),
    }
}
