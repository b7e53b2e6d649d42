//! `GET`, `PATCH` and `DELETE /v1/me`, `PUT /v1/me/fcm-token`, `POST /v1/me/sign-in-approval`,
//! `POST /v1/phone/change/cancel`, `POST /v1/recovery/cancel`: the caller's own account.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::http::{Answer, Code, Guard, Problem, Request, Route, challenge_id, member, nullable, serve, user_json};
use adapters::telemetry::{self, Delayed, Fate};
use domain::rules::token::Caller;
use domain::rules::user::Ending;
use domain::use_cases::account::{ProfileChange, change_profile, delete_account, read_profile, register_fcm_token};
use domain::use_cases::approval::approve_sign_in;
use domain::use_cases::refuse::{refuse_recovery, stop_change};
use domain::values::ids::ChallengeId;
use domain::values::text::{FcmToken, ImageUrl, MalformedText, Name, Username};
use domain::values::time::Timestamp;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Deserialize;
use serde_json::json;

#[derive(Clone)]
pub struct Account {
    app: App,
    store: Store<AllTables>,
    guard: Guard<AllTables>,
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
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app)?;
        let guard = Guard::new(app, &store);
        Ok(Self { app: app.clone(), store, guard })
    }

    /// Reads the keys before the first event.
    pub async fn prepare(&self) {
        during_init(self.guard.read_keys_ahead(self.app.clock.now())).await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("account", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let (route, _) = request.route().ok_or(Problem::new(Code::NotFound))?;
        let caller = self.guard.caller(request, now).await?;
        self.serve_route(route, request, &caller, now).await
    }

    async fn serve_route(
        &self,
        route: Route,
        request: &Request,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Answer, Problem> {
        let notices = self.app.notices(&caller.organization, now)?;
        let notices = notices.as_ref();
        let user = match route {
            Route::RegisterFcmToken => {
                register_fcm_token(&self.store, caller, &read_fcm_token(request)?, now).await?;
                return Ok(Answer::json(200, &json!({"fcm_token_at": now.seconds()})).uncached());
            }
            Route::ApproveSignIn => {
                approve_sign_in(&self.store, caller, &read_approval(request)?, notices, now).await?;
                return Ok(Answer::empty());
            }
            Route::CancelPhoneChange => {
                let fate = match stop_change(&self.store, caller, notices, now).await? {
                    Ending::Withdrawn => Fate::Withdrawn,
                    Ending::Refused { .. } => Fate::Refused,
                };
                telemetry::delayed(Delayed::PhoneChange, fate, now);
                return Ok(Answer::empty());
            }
            Route::CancelRecovery => {
                refuse_recovery(&self.store, &self.app.config.limits, caller, notices, now).await?;
                telemetry::delayed(Delayed::Recovery, Fate::Refused, now);
                return Ok(Answer::empty());
            }
            Route::DeleteAccount => {
                delete_account(&self.store, &self.app.config.limits, caller, notices, now).await?;
                return Ok(Answer::empty());
            }
            Route::ChangeProfile => change_profile(&self.store, caller, &read_change(request)?, notices, now).await?,
            Route::ReadProfile => read_profile(&self.store, &caller.user).await?,
            _ => return Err(Problem::new(Code::NotFound)),
        };
        Ok(Answer::json(200, &user_json(&user, &self.app.config.limits, now)).uncached())
    }
}

/// The token is in the body or, as in the older system, in the header.
fn read_fcm_token(request: &Request) -> Result<FcmToken, Problem> {
    let header = request.header("fcm-token");
    let body = if header.is_some() && !request.has_body() { FcmTokenBody::default() } else { request.json()? };
    member("fcm_token", body.fcm_token.as_deref().or(header).unwrap_or_default(), FcmToken::parse)
}

fn read_approval(request: &Request) -> Result<ChallengeId, Problem> {
    let body: ApprovalBody = request.json()?;
    challenge_id(&body.challenge_id.ok_or_else(Problem::wrong_members)?)
}

fn read_change(request: &Request) -> Result<ProfileChange, Problem> {
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
    let body: ProfileBody = request.json()?;
    Ok(ProfileChange {
        name: read("name", body.name, Name::parse)?,
        image_url: read("image_url", body.image_url, ImageUrl::parse)?,
        username: read("username", body.username, Username::parse)?,
    })
}
