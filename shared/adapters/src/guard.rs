//! Who is calling. Behind the authorizer its word is taken; where none spoke, the token itself is checked.
//!
//! Nobody is known because nobody checked: no authorizer context and no good token is a refusal.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::authorize::{AuthorizeError, check_session};
use domain::ids::{SessionId, UserId};
use domain::refresh::RefreshError;
use domain::signing_keys::KEY_SET_CACHE_SECONDS;
use domain::token::{Caller, Issuer, RefreshClaims, TokenRefusal};
use domain::{Timestamp, Unavailable};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::app::App;
use crate::config::{ConfigError, Table};
use crate::http::Request;
use crate::problem::{Code, Problem};
use crate::store::Store;
use crate::tokens::VerifyingKeys;

/// The member of the authorizer's context that passes on why a caller was refused, so that the function behind the
/// route can say it in its own words: API Gateway itself would say 403 to everything.
pub const REFUSAL: &str = "refusal";

/// A key set that was read, and when.
type Read = Option<(Timestamp, Arc<VerifyingKeys>)>;

/// Checks tokens against the published keys and the session's record.
#[derive(Clone)]
pub struct Guard {
    store: Store,
    issuer: Issuer,
    keys: Arc<Mutex<Read>>,
}

impl Guard {
    /// Needs the sessions and the settings.
    ///
    /// # Errors
    /// When a table's name is not configured.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app, &[Table::Sessions, Table::Settings])?;
        Ok(Self { store, issuer: app.config.issuer.clone(), keys: Arc::default() })
    }

    /// Reads the keys ahead of the first request.
    pub async fn warm(&self, now: Timestamp) {
        let _ = self.keys(now).await;
    }

    /// The caller of a guarded route.
    ///
    /// # Errors
    /// A 401, or a 503 when it can't be known.
    pub async fn caller(&self, request: Request<'_>, now: Timestamp) -> Result<Caller, Problem> {
        match context(request.event()) {
            Some(context) => from_context(context),
            None => Ok(self.authorize(request.header("authorization"), now).await?.0),
        }
    }

    /// The caller by their bearer token, and their roles as it tells them: signature first, then its claims, then,
    /// with one read, its session.
    ///
    /// # Errors
    /// [`AuthorizeError`].
    pub async fn authorize(
        &self,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<(Caller, BTreeMap<String, Vec<String>>), AuthorizeError> {
        let token = bearer(authorization)?;
        let claims = self.keys(now).await?.access(token).map_err(|_| AuthorizeError::TokenInvalid)?;
        let caller = self.issuer.accept_access(&claims, now).map_err(|refusal| match refusal {
            TokenRefusal::Expired => AuthorizeError::TokenExpired,
            TokenRefusal::Invalid => AuthorizeError::TokenInvalid,
        })?;
        check_session(&self.store, &caller, now).await?;
        Ok((caller, claims.roles))
    }

    /// Whose session a refresh token continues, and which of its tokens it is. Reads no session.
    ///
    /// # Errors
    /// A 401, or a 503 when it can't be known.
    pub async fn refresh_token(&self, token: &str, now: Timestamp) -> Result<(UserId, SessionId, u64), Problem> {
        let claims: RefreshClaims =
            self.keys(now).await?.refresh(token).map_err(|_| Problem::new(Code::TokenInvalid))?;
        self.issuer.accept_refresh(&claims, now).map_err(|refusal| match refusal {
            TokenRefusal::Expired => RefreshError::Expired.into(),
            TokenRefusal::Invalid => Problem::new(Code::TokenInvalid),
        })
    }

    /// The published keys. An unknown key never makes it read again: new ones are published long before they sign.
    async fn keys(&self, now: Timestamp) -> Result<Arc<VerifyingKeys>, Unavailable> {
        let mut read = self.keys.lock().await;
        if let Some((read_at, keys)) = read.as_ref()
            && now < read_at.plus(KEY_SET_CACHE_SECONDS)
        {
            return Ok(Arc::clone(keys));
        }
        match self.store.key_set().await {
            Ok(key_set) => {
                let keys = Arc::new(VerifyingKeys::new(&key_set, now));
                // An empty set is that of a stack whose first key is on its way.
                *read = (!keys.is_empty()).then(|| (now, Arc::clone(&keys)));
                Ok(keys)
            }
            // Keys outlive an outage: those that were good a while ago are good now.
            Err(error) => read.as_ref().map(|(_, keys)| Arc::clone(keys)).ok_or(error),
        }
    }
}

fn bearer(authorization: Option<&str>) -> Result<&str, AuthorizeError> {
    // RFC 6750 §2.1; the scheme goes without regard to case (RFC 9110 §11.1).
    let (scheme, token) =
        authorization.unwrap_or_default().trim().split_once(' ').ok_or(AuthorizeError::TokenRequired)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(AuthorizeError::TokenRequired) }
}

/// What our authorizer said, if it spoke. Another one's context says nothing of who calls.
fn context(event: &ApiGatewayV2httpRequest) -> Option<&HashMap<String, Value>> {
    let context = event.request_context.authorizer.as_ref().map(|authorizer| &authorizer.fields)?;
    (context.contains_key(REFUSAL) || context.contains_key("user_id")).then_some(context)
}

fn from_context(context: &HashMap<String, Value>) -> Result<Caller, Problem> {
    let text = |name: &str| context.get(name).and_then(Value::as_str);
    if let Some(refusal) = text(REFUSAL) {
        let known = [Code::TokenRequired, Code::TokenInvalid, Code::TokenExpired, Code::SessionRevoked];
        return Err(match known.into_iter().find(|code| code.as_str() == refusal) {
            Some(code) => Problem::new(code),
            None => Unavailable::new("authorize", "the authorizer could not tell").into(),
        });
    }
    let caller = || {
        let user = text("user_id")?.parse().ok()?;
        let session = text("session_id")?.parse().ok()?;
        // API Gateway hands values of a simple response on as they are; an emulator may make texts of them.
        let fresh =
            context.get("fresh").is_some_and(|fresh| fresh.as_bool() == Some(true) || fresh.as_str() == Some("true"));
        Some(Caller { user, session, fresh })
    };
    caller().ok_or(Problem::new(Code::TokenInvalid))
}
