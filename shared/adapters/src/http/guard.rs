//! Identifies the caller of a guarded route: from the authorizer's context, or by verifying the bearer token.
//!
//! No caller is trusted by default: without a context and a valid token, a request is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::rules::device_proof::{ProofRefusal, require_key};
use domain::rules::organization::Organization;
use domain::rules::session::PresentedRefreshToken;
use domain::rules::signing_keys::KEY_SET_CACHE_SECONDS;
use domain::rules::token::{Caller, Confirmation, Issuer, TokenRefusal};
use domain::use_cases::authorize::{AuthorizeError, authorize};
use domain::values::custom_claims::CustomClaimsOfToken;
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::code::Code;
use super::credentials::{Credentials, Scheme};
use super::problem::Problem;
use super::request::Request;
use crate::app::App;
use crate::dynamodb::{HasSessions, HasSettings, HasUsers, Store};
use crate::expiring::{Expiring, Fetched};
use crate::tokens::VerifyingKeys;

/// The member of the authorizer's context with the code of a refusal, which the function behind the route renders. API
/// Gateway itself would answer 403 to every refusal.
pub const REFUSAL: &str = "refusal";

/// The member with what is wrong with a proof.
const PROOF_REFUSAL: &str = "proof_refusal";

/// The members of the authorizer's context for a refusal.
pub fn refusal_members(error: AuthorizeError) -> Map<String, Value> {
    let mut members = Map::new();
    if let AuthorizeError::InvalidProof(refusal) = &error {
        members.insert(PROOF_REFUSAL.to_owned(), json!(refusal.name()));
    }
    members.insert(REFUSAL.to_owned(), json!(Problem::from(error).code.as_str()));
    members
}

#[derive(Debug, Error)]
pub enum RefreshTokenError {
    #[error("the refresh token is not valid here")]
    Invalid,
    #[error("the refresh token has expired")]
    Expired,
    #[error(transparent)]
    InvalidProof(#[from] ProofRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The caller of a request, and what their access token says of them.
pub struct Authorized {
    pub caller: Caller,
    pub roles: BTreeMap<String, Vec<String>>,
    /// None if operators said nothing of the user.
    pub claims: Option<CustomClaimsOfToken>,
}

/// Verifies tokens with the published keys and the session's record.
pub struct Guard<T> {
    store: Store<T>,
    issuer: Issuer,
    default_organization: Arc<Organization>,
    keys: Arc<Expiring<(), Arc<VerifyingKeys>>>,
}

impl<T> Clone for Guard<T> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            issuer: self.issuer.clone(),
            default_organization: Arc::clone(&self.default_organization),
            keys: Arc::clone(&self.keys),
        }
    }
}

impl<T: HasUsers + HasSessions + HasSettings> Guard<T> {
    pub fn new(app: &App, store: &Store<T>) -> Self {
        // Published keys stay valid for long, so they are used through any outage.
        let keys = Expiring::new(1).stale_for(u32::MAX);
        Self {
            store: store.clone(),
            issuer: app.config.issuer.clone(),
            default_organization: Arc::new(app.config.default_organization.clone()),
            keys: Arc::new(keys),
        }
    }

    /// Reads the keys before the first request.
    pub async fn read_keys_ahead(&self, now: Timestamp) {
        let _ = self.keys(now).await;
    }

    /// The caller of a guarded route.
    pub async fn caller(&self, request: &Request, now: Timestamp) -> Result<Caller, AuthorizeError> {
        match context(request) {
            Some(context) => caller_of_context(context),
            None => Ok(self.authorize(&request.credentials(), now).await?.caller),
        }
    }

    /// The caller by their access token, and what the token says of them: verifies the signature, then the claims, then
    /// the proof of a bound token, then reads the session.
    pub async fn authorize(&self, credentials: &Credentials<'_>, now: Timestamp) -> Result<Authorized, AuthorizeError> {
        let (scheme, token) = credentials.access_token()?;
        let claims = self.keys(now).await?.access(token).map_err(|_| AuthorizeError::TokenInvalid)?;
        let caller = self.issuer.accept_access(&claims, now).map_err(|refusal| match refusal {
            TokenRefusal::Expired => AuthorizeError::TokenExpired,
            TokenRefusal::Invalid => AuthorizeError::TokenInvalid,
        })?;
        match (&claims.cnf, scheme) {
            (None, Scheme::Bearer) => {}
            (None, Scheme::Dpop) => return Err(ProofRefusal::UnboundToken.into()),
            (Some(_), Scheme::Bearer) => return Err(ProofRefusal::BoundToken.into()),
            (Some(Confirmation { jkt }), Scheme::Dpop) => {
                require_key(jkt, credentials.proven_key(&self.issuer, Some(token), now)?.as_ref())?;
            }
        }
        // At the same time, so that an audience of its own costs an organization's requests no time.
        let (authorized, is_audience) = tokio::join!(
            authorize(&self.store, &caller, now),
            self.is_audience(&claims.aud, &caller.organization, now)
        );
        authorized?;
        if !is_audience? {
            return Err(AuthorizeError::TokenInvalid);
        }
        Ok(Authorized { caller, roles: claims.roles, claims: claims.claims })
    }

    /// Whether `audience` is the deployment's, or the organization's own.
    async fn is_audience(
        &self,
        audience: &str,
        organization: &OrganizationId,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        if audience == self.issuer.audience {
            return Ok(true);
        }
        let access = self.store.access(organization, &self.default_organization, now).await?;
        Ok(access.and_then(|access| access.audience).is_some_and(|own| own == audience))
    }

    /// Verifies a refresh token, and the proof of the key that it is bound to, without reading its session.
    pub async fn refresh_token(
        &self,
        token: &str,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<PresentedRefreshToken, RefreshTokenError> {
        let claims = self.keys(now).await?.refresh(token).map_err(|_| RefreshTokenError::Invalid)?;
        let presented = self.issuer.accept_refresh(&claims, now).map_err(|refusal| match refusal {
            TokenRefusal::Expired => RefreshTokenError::Expired,
            TokenRefusal::Invalid => RefreshTokenError::Invalid,
        })?;
        if let Some(bound) = &presented.device_key {
            require_key(bound, credentials.proven_key(&self.issuer, None, now)?.as_ref())?;
        }
        Ok(presented)
    }

    /// Verifies a refresh token that may have expired, as a second signal. None if it is not valid here, or is bound to
    /// another key than the one that the request proves.
    pub async fn second_signal(
        &self,
        token: &str,
        proven: Option<&KeyThumbprint>,
        now: Timestamp,
    ) -> Result<Option<PresentedRefreshToken>, Unavailable> {
        let claims = self.keys(now).await?.refresh_of_any_age(token).ok();
        let presented = claims.and_then(|claims| self.issuer.accept_refresh_of_any_age(&claims, now).ok());
        let is_proven = |token: &PresentedRefreshToken| {
            token.device_key.as_ref().is_none_or(|bound| require_key(bound, proven).is_ok())
        };
        Ok(presented.filter(is_proven))
    }

    /// The published keys. An unknown key in a token never makes this read again, because new keys are published long
    /// before they sign.
    async fn keys(&self, now: Timestamp) -> Result<Arc<VerifyingKeys>, Unavailable> {
        let fetch = || async {
            let keys = Arc::new(VerifyingKeys::new(&self.store.key_set().await?, now));
            // An empty set is not cached: the first key of a new deployment is about to be published.
            let fresh_until = if keys.is_empty() { now } else { now.plus(KEY_SET_CACHE_SECONDS) };
            Ok(Fetched { value: keys, fresh_until })
        };
        self.keys.get(&(), now, fetch).await
    }
}

/// The context of our authorizer, if there is one. The context of another authorizer does not identify a caller.
fn context(request: &Request) -> Option<&HashMap<String, Value>> {
    let context = request.context()?.authorizer.as_ref().map(|authorizer| &authorizer.fields)?;
    (context.contains_key(REFUSAL) || context.contains_key("user_id")).then_some(context)
}

fn caller_of_context(context: &HashMap<String, Value>) -> Result<Caller, AuthorizeError> {
    let text = |name: &str| context.get(name).and_then(Value::as_str);
    if let Some(refusal) = text(REFUSAL) {
        return Err(refused(refusal, text(PROOF_REFUSAL)));
    }
    let caller = || {
        let user = text("user_id")?.parse().ok()?;
        let session = text("session_id")?.parse().ok()?;
        let organization = OrganizationId::parse(text("organization_id")?).ok()?;
        // API Gateway passes on a boolean; an emulator may pass on a text.
        let fresh =
            context.get("fresh").is_some_and(|fresh| fresh.as_bool() == Some(true) || fresh.as_str() == Some("true"));
        Some(Caller { user, session, organization, fresh })
    };
    caller().ok_or(AuthorizeError::TokenInvalid)
}

/// The refusal with this code; see [`refusal_members`].
fn refused(code: &str, proof_refusal: Option<&str>) -> AuthorizeError {
    if code == Code::InvalidDpopProof.as_str() {
        let known = ProofRefusal::ALL.into_iter().find(|refusal| proof_refusal == Some(refusal.name()));
        return known.unwrap_or(ProofRefusal::Malformed).into();
    }
    let known: [(Code, fn() -> AuthorizeError); 5] = [
        (Code::TokenRequired, || AuthorizeError::TokenRequired),
        (Code::TokenInvalid, || AuthorizeError::TokenInvalid),
        (Code::TokenExpired, || AuthorizeError::TokenExpired),
        (Code::SessionRevoked, || AuthorizeError::SessionRevoked),
        (Code::NoSuchUser, || AuthorizeError::NoSuchUser),
    ];
    let error = known.into_iter().find(|(known, _)| known.as_str() == code).map(|(_, error)| error());
    error.unwrap_or_else(|| Unavailable::new("authorize", "the authorizer could not verify the token").into())
}

impl From<RefreshTokenError> for Problem {
    fn from(error: RefreshTokenError) -> Self {
        match error {
            RefreshTokenError::Invalid => Self::new(Code::TokenInvalid),
            RefreshTokenError::Expired => Self::new(Code::TokenExpired),
            RefreshTokenError::InvalidProof(refusal) => refusal.into(),
            RefreshTokenError::Unavailable(source) => source.into(),
        }
    }
}
