//! `POST /v1/session/refresh`, `GET` and `DELETE /v1/sessions`, `DELETE /v1/session`: staying signed in, and not.

use adapters::config::{ConfigError, Table};
use adapters::guard::Guard;
use adapters::http::{Answer, Request, serve};
use adapters::problem::{Code, Problem};
use adapters::secrets::SigningKeySecret;
use adapters::store::Store;
use adapters::tokens::fresh_ids;
use adapters::{App, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::Timestamp;
use domain::ids::{SessionId, UserId};
use domain::refresh::{RefreshStore, refresh};
use domain::token::{Caller, Proof};
use serde::Deserialize;
use serde_json::{Value, json};

/// The function.
#[derive(Clone)]
pub struct Session {
    app: App,
    store: Store,
    guard: Guard,
    signing: SigningKeySecret,
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
}

/// Longer than any refresh token of ours.
const LONGEST_REFRESH_TOKEN: usize = 4_096;

impl Session {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.clone(),
            store: Store::new(app, &[Table::Users, Table::Sessions, Table::Settings])?,
            guard: Guard::new(app)?,
            signing: SigningKeySecret::new(app)?,
        })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        let now = self.app.clock.now();
        warm::ahead(async { tokio::join!(self.guard.warm(now), self.signing.signing_key(now)) }).await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("session", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        match request.route() {
            ("POST", "/v1/session/refresh") => self.refresh(request, now).await,
            ("GET", "/v1/sessions") => self.list(self.guard.caller(request, now).await?, now).await,
            ("DELETE", "/v1/sessions") => {
                let caller = self.known(self.guard.caller(request, now).await?).await?;
                self.store.end_all_sessions(&caller.user, &caller.session).await?;
                Ok(Answer::empty())
            }
            ("DELETE", "/v1/session") => {
                let caller = self.known(self.guard.caller(request, now).await?).await?;
                self.end(&caller.user, &caller.session).await
            }
            ("DELETE", path) => {
                let id = path.strip_prefix("/v1/sessions/").ok_or(Problem::new(Code::NotFound))?;
                let caller = self.guard.caller(request, now).await?;
                let id = id.parse::<SessionId>();
                let id =
                    id.map_err(|_| Problem::malformed("session_id: expected one that the list of sessions names."))?;
                self.end(&self.known(caller).await?.user, &id).await
            }
            _ => Err(Problem::new(Code::NotFound)),
        }
    }

    async fn refresh(&self, request: Request<'_>, now: Timestamp) -> Result<Answer, Problem> {
        let body: RefreshBody = request.json()?;
        if body.refresh_token.chars().count() > LONGEST_REFRESH_TOKEN {
            return Err(Problem::malformed("refresh_token: expected at most 4096 characters."));
        }
        let (user, session, presented) = self.guard.refresh_token(&body.refresh_token, now).await?;
        // Read before the token is rotated: what can fail, fails while nothing is spent.
        let key = self.signing.signing_key(now).await?;
        let ids = fresh_ids()?;
        let limits = &self.app.config.limits;
        let (user, session) = refresh(&self.store, limits, &user, &session, presented, now).await?;
        let claims = self.app.config.issuer.tokens(&session, &user.roles, Proof::RefreshToken, ids, now, limits);
        Ok(Answer::json(200, &Value::Object(key.sign(&claims)?.to_json())).uncached())
    }

    /// The caller, if their user exists.
    async fn known(&self, caller: Caller) -> Result<Caller, Problem> {
        match self.store.user_exists(&caller.user).await? {
            true => Ok(caller),
            false => Err(Problem::new(Code::NoSuchUser)),
        }
    }

    async fn list(&self, caller: Caller, now: Timestamp) -> Result<Answer, Problem> {
        let (exists, sessions) =
            tokio::try_join!(self.store.user_exists(&caller.user), self.store.sessions(&caller.user, now))?;
        if !exists {
            return Err(Problem::new(Code::NoSuchUser));
        }
        let sessions: Vec<Value> = sessions
            .iter()
            .map(|session| {
                json!({
                    "session_id": session.id.as_str(),
                    "device_name": session.device_name.as_ref().map(|name| name.as_str()),
                    "created_at": session.created_at.seconds(),
                    "last_used_at": session.last_used_at.seconds(),
                    "expires_at": session.expires_at().seconds(),
                    "fcm_token_at": session.fcm_token_at.map(Timestamp::seconds),
                    "current": session.id == caller.session,
                })
            })
            .collect();
        Ok(Answer::json(200, &json!({"sessions": sessions})).uncached())
    }

    async fn end(&self, user: &UserId, session: &SessionId) -> Result<Answer, Problem> {
        self.store.end_session(user, session).await?;
        Ok(Answer::empty())
    }
}
