//! `GET`, `PATCH` and `DELETE /v1/me`, `PUT /v1/me/fcm-token`, `POST /v1/me/sign-in-approval`: the caller's own account.

use adapters::body::nullable;
use adapters::config::{ConfigError, Table};
use adapters::guard::Guard;
use adapters::http::{Answer, Request, challenge_id, member, of_another_form, serve, user_json};
use adapters::problem::{Code, Problem};
use adapters::store::Store;
use adapters::{App, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::Timestamp;
use domain::account::{ProfileChange, change_profile, delete_account, read_profile};
use domain::approval::approve_sign_in;
use domain::text::{FcmToken, ImageUrl, MalformedText, Name, Username};
use domain::token::Caller;
use serde::Deserialize;
use serde_json::json;

/// The function.
#[derive(Clone)]
pub struct Account {
    app: App,
    store: Store,
    guard: Guard,
}

#[derive(Deserialize)]
struct ProfileBody {
    #[serde(default, deserialize_with = "nullable")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    image_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    username: Option<Option<String>>,
}

#[derive(Default, Deserialize)]
struct FcmTokenBody {
    fcm_token: Option<String>,
}

#[derive(Deserialize)]
struct ApprovalBody {
    challenge_id: Option<String>,
}

impl Account {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let tables = [Table::Users, Table::Otps, Table::Sessions];
        Ok(Self { app: app.clone(), store: Store::new(app, &tables)?, guard: Guard::new(app)? })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        warm::ahead(self.guard.warm(self.app.clock.now())).await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("account", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let route = request.route();
        if !matches!(
            route,
            ("GET" | "PATCH" | "DELETE", "/v1/me") | ("PUT", "/v1/me/fcm-token") | ("POST", "/v1/me/sign-in-approval")
        ) {
            return Err(Problem::new(Code::NotFound));
        }
        let caller = self.guard.caller(request, now).await?;
        match route {
            ("PUT", _) => self.register_fcm_token(request, &caller, now).await,
            ("POST", _) => {
                let body: ApprovalBody = request.json()?;
                let challenge = challenge_id(body.challenge_id.as_deref())?.ok_or_else(of_another_form)?;
                approve_sign_in(&self.store, &caller.user, &challenge, now).await?;
                Ok(Answer::empty())
            }
            ("PATCH", _) => {
                let change = read_change(request.json()?)?;
                Ok(Answer::json(200, &user_json(&change_profile(&self.store, &caller.user, &change).await?)).uncached())
            }
            ("DELETE", _) => {
                delete_account(&self.store, &caller.user, &caller.session, now).await?;
                Ok(Answer::empty())
            }
            _ => Ok(Answer::json(200, &user_json(&read_profile(&self.store, &caller.user).await?)).uncached()),
        }
    }

    async fn register_fcm_token(
        &self,
        request: Request<'_>,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Answer, Problem> {
        // The header alone will do, as it did in the older system.
        let by_header = request.header("fcm-token").is_some() && !request.has_body();
        let body = if by_header { FcmTokenBody::default() } else { request.json()? };
        let token = body.fcm_token.as_deref().or(request.header("fcm-token")).unwrap_or_default();
        let token = member("fcm_token", token, FcmToken::parse)?;
        let (exists, registered) = tokio::try_join!(
            self.store.user_exists(&caller.user),
            self.store.register_fcm_token(&caller.user, &caller.session, &token, now)
        )?;
        match (exists, registered) {
            (false, _) => Err(Problem::new(Code::NoSuchUser)),
            (true, false) => Err(Problem::new(Code::SessionRevoked)),
            (true, true) => Ok(Answer::json(200, &json!({"fcm_token_at": now.seconds()})).uncached()),
        }
    }
}

fn read_change(body: ProfileBody) -> Result<ProfileChange, Problem> {
    fn read<T>(
        name: &str,
        value: Option<Option<String>>,
        parse: impl FnOnce(&str) -> Result<T, MalformedText>,
    ) -> Result<Option<Option<T>>, Problem> {
        match value {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(text)) => member(name, &text, parse).map(|value| Some(Some(value))),
        }
    }
    Ok(ProfileChange {
        name: read("name", body.name, Name::parse)?,
        image_url: read("image_url", body.image_url, ImageUrl::parse)?,
        username: read("username", body.username, Username::parse)?,
    })
}
