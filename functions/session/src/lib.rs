//! `POST /v1/session/refresh`, `GET` and `DELETE /v1/sessions`, `DELETE /v1/session`: refreshing, listing and ending sessions.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{DeviceTables, Store};
use adapters::http::{Answer, Code, Guard, Problem, Request, RequestError, Route, serve};
use adapters::secrets::SigningKeySecret;
use adapters::tokens::new_token_ids;
use domain::rules::session;
use domain::rules::token::{Caller, Grant};
use domain::use_cases::refresh::refresh;
use domain::use_cases::sessions::{end_all_sessions, end_own_session, end_session, list_sessions};
use domain::values::ids::SessionId;
use domain::values::text::MalformedText;
use domain::values::time::Timestamp;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Session {
    app: App,
    store: Store<DeviceTables>,
    guard: Guard<DeviceTables>,
    signing: SigningKeySecret,
}

/// Longer than any refresh token that we issue.
const MAX_REFRESH_TOKEN_CHARACTERS: usize = 4_096;

impl Session {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app)?;
        let guard = Guard::new(app, &store);
        Ok(Self { app: app.clone(), store, guard, signing: SigningKeySecret::new(app)? })
    }

    /// Reads the keys before the first event.
    pub async fn prepare(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        during_init(async {
            tokio::join!(
                self.guard.read_keys_ahead(now),
                self.store.access(&default.id, default, now),
                self.signing.signing_key(now),
            )
        })
        .await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("session", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        match request.route() {
            Some((Route::RefreshSession, _)) => self.refresh(request, now).await,
            Some((Route::ListSessions, _)) => {
                let caller = self.guard.caller(request, now).await?;
                let sessions = list_sessions(&self.store, &caller, now).await?;
                let sessions: Vec<Value> = sessions.iter().map(|session| render(session, &caller)).collect();
                Ok(Answer::json(200, &json!({"sessions": sessions})).uncached())
            }
            Some((Route::EndAllSessions, _)) => {
                let caller = self.guard.caller(request, now).await?;
                let notices = self.app.notices(&caller.organization, now)?;
                end_all_sessions(&self.store, &caller, notices.as_ref()).await?;
                Ok(Answer::empty())
            }
            Some((Route::EndOwnSession, _)) => {
                end_own_session(&self.store, &self.guard.caller(request, now).await?).await?;
                Ok(Answer::empty())
            }
            Some((Route::EndSession, Some(id))) => {
                let caller = self.guard.caller(request, now).await?;
                let id = id.parse::<SessionId>();
                let id = id.map_err(|_| {
                    let expected = "expected a session_id of the list of sessions, GET /v1/sessions";
                    Problem::malformed([RequestError::parameter("session_id", expected)])
                })?;
                let notices = self.app.notices(&caller.organization, now)?;
                end_session(&self.store, &caller, &id, notices.as_ref()).await?;
                Ok(Answer::empty())
            }
            _ => Err(Problem::new(Code::NotFound)),
        }
    }

    async fn refresh(&self, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
        let mut members = request.members()?;
        let token = members.required("refresh_token", refresh_token);
        let token = self.guard.refresh_token(&members.finish(token)?, &request.credentials(), now).await?;
        // Do fallible reads before irreversible writes: the key and the organization are read before the token is rotated.
        let key = self.signing.signing_key(now).await?;
        let ids = new_token_ids()?;
        let limits = &self.app.config.limits;
        let default = &self.app.config.default_organization;
        let access = self.store.access(&token.organization, default, now).await?;
        let access = access.ok_or(Problem::new(Code::SessionRevoked))?;
        let (user, session) = refresh(&self.store, limits, &access, &token, now).await?;
        let issuer = self.app.config.issuer.for_organization(&access);
        let claims = issuer.tokens(&session, user.rights(), Grant::RefreshToken, ids, now, limits);
        Ok(Answer::json(200, &Value::Object(key.sign(&claims)?.to_json())).uncached())
    }
}

fn refresh_token(text: &str) -> Result<String, MalformedText> {
    if text.chars().count() > MAX_REFRESH_TOKEN_CHARACTERS {
        return Err(MalformedText { expected: "at most 4096 characters" });
    }
    Ok(text.to_owned())
}

fn render(session: &session::Session, caller: &Caller) -> Value {
    json!({
        "session_id": session.id.as_str(),
        "device_name": session.device_name.as_ref().map(|name| name.as_str()),
        "created_at": session.created_at.seconds(),
        "last_used_at": session.last_used_at.seconds(),
        "expires_at": session.expires_at().seconds(),
        "fcm_token_at": session.fcm_token_at.map(Timestamp::seconds),
        "has_device_key": session.device_key.is_some(),
        "current": session.id == caller.session,
    })
}
