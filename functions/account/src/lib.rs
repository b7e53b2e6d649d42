//! `GET`, `PATCH` and `DELETE /v1/me`, `PUT /v1/me/fcm-token`, `POST /v1/me/sign-in-approval`,
//! `POST /v1/phone/change/cancel`, `POST /v1/recovery/cancel`: the caller's own account.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::http::{Answer, Code, Guard, Members, Problem, Request, Route, challenge_id, serve, user_json};
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
use serde_json::json;

#[derive(Clone)]
pub struct Account {
    app: App,
    store: Store<AllTables>,
    guard: Guard<AllTables>,
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
    let mut members = if header.is_some() && !request.has_body() { Members::default() } else { request.members()? };
    let token = match (members.text("fcm_token"), header) {
        (Some(token), _) => members.parse("fcm_token", &token, FcmToken::parse),
        (None, Some(token)) => members.parse("fcm_token", token, FcmToken::parse),
        (None, None) => {
            members.missing("fcm_token");
            None
        }
    };
    members.finish(token)
}

fn read_approval(request: &Request) -> Result<ChallengeId, Problem> {
    let mut members = request.members()?;
    let id = members.required("challenge_id", challenge_id);
    members.finish(id)
}

fn read_change(request: &Request) -> Result<ProfileChange, Problem> {
    fn read<T>(
        members: &mut Members,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, MalformedText>,
    ) -> Option<Option<T>> {
        match members.text_or_null(name)? {
            None => Some(None),
            Some(text) => members.parse(name, &text, parse).map(Some),
        }
    }
    let mut members = request.members()?;
    let change = ProfileChange {
        name: read(&mut members, "name", Name::parse),
        image_url: read(&mut members, "image_url", ImageUrl::parse),
        username: read(&mut members, "username", Username::parse),
    };
    members.finish(Some(change))
}
