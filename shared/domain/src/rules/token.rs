//! The claims of tokens and what they mean. The adapters sign tokens and verify signatures.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::limits::Limits;
use super::organization::Access;
use super::session::{PresentedRefreshToken, Session};
use super::user::Rights;
use crate::values::custom_claims::{CustomClaims, CustomClaimsOfToken};
use crate::values::ids::{SessionId, TokenId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;

/// `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TYPE: &str = "at+jwt";
/// `typ` of a refresh token. The types differ so that neither kind of token passes for the other (RFC 8725 §3.11).
pub const REFRESH_TYPE: &str = "latchkey-refresh+jwt";
/// How far in the future `nbf` may lie, because clocks differ. Seconds.
const CLOCK_SKEW_SECONDS: u32 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`: the URL under which the metadata is published.
    pub issuer: String,
    /// `aud` of access tokens: the APIs that accept them.
    pub audience: String,
    /// `client_id`: the app.
    pub client_id: String,
    pub binding: AccessTokenBinding,
}

/// Which tokens of a session that is bound to a device's key are bound too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenBinding {
    /// Only the refresh token, so that whoever verifies access tokens need not know of proofs (RFC 9449 §5 allows it).
    #[default]
    Refresh,
    /// The access token too. Each request needs a proof.
    All,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected refresh or all")]
pub struct UnknownBinding;

impl FromStr for AccessTokenBinding {
    type Err = UnknownBinding;

    fn from_str(name: &str) -> Result<Self, UnknownBinding> {
        match name {
            "refresh" => Ok(Self::Refresh),
            "all" => Ok(Self::All),
            _ => Err(UnknownBinding),
        }
    }
}

/// The key that a token is bound to (RFC 7800 §3.1, RFC 9449 §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub jkt: KeyThumbprint,
}

/// Claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    pub iat: Timestamp,
    pub nbf: Timestamp,
    pub exp: Timestamp,
    pub jti: String,
    pub client_id: String,
    pub sid: String,
    /// Whether the token was issued for a code rather than for a refresh token.
    pub fresh: bool,
    /// The organization that the person signed in to.
    pub org: String,
    /// Each role that the user has in that organization, with its id.
    pub roles: BTreeMap<String, Vec<String>>,
    /// What operators say of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<CustomClaimsOfToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// Claims of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    pub iss: String,
    /// The issuer itself: nobody else accepts refresh tokens.
    pub aud: String,
    pub sub: String,
    pub iat: Timestamp,
    pub nbf: Timestamp,
    pub exp: Timestamp,
    pub jti: String,
    pub sid: String,
    pub org: String,
    /// The number of this token in its session, from 1.
    pub counter: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// The claims of both tokens of one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    pub access: AccessClaims,
    pub refresh: RefreshClaims,
}

/// What a pair of tokens is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A code: the access token is fresh.
    Code,
    /// A proof that is older than an access token lives: the access token is not fresh.
    EarlierProof,
    /// A refresh token: the access token is not fresh.
    RefreshToken,
}

/// Why a token with a valid signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    Expired,
    /// Another audience or issuer, not valid yet, or malformed.
    Invalid,
}

/// The holder of a valid access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: UserId,
    pub session: SessionId,
    pub organization: OrganizationId,
    /// Whether the token was issued for a code.
    pub fresh: bool,
}

impl Issuer {
    pub fn tokens(
        &self,
        session: &Session,
        rights: Rights<'_>,
        grant: Grant,
        ids: [TokenId; 2],
        now: Timestamp,
        limits: &Limits,
    ) -> TokenClaims {
        let [access_id, refresh_id] = ids;
        let organization = session.organization.as_str().to_owned();
        let confirmation = session.device_key.clone().map(|jkt| Confirmation { jkt });
        let access = AccessClaims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: session.user.to_string(),
            iat: now,
            nbf: now,
            exp: now.plus(limits.access_token_seconds).min(session.ends_at),
            jti: access_id.to_string(),
            client_id: self.client_id.clone(),
            sid: session.id.to_string(),
            fresh: grant == Grant::Code,
            org: organization.clone(),
            claims: rights.claims.and_then(CustomClaims::in_token),
            roles: rights
                .roles
                .iter()
                .filter(|(_, organizations)| organizations.contains(&session.organization))
                .map(|(role, _)| (role.clone(), vec![organization.clone()]))
                .collect(),
            cnf: confirmation.clone().filter(|_| self.binding == AccessTokenBinding::All),
        };
        let refresh = RefreshClaims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: session.user.to_string(),
            iat: now,
            nbf: now,
            exp: session.expires_at(),
            jti: refresh_id.to_string(),
            sid: session.id.to_string(),
            org: organization,
            counter: session.counter,
            cnf: confirmation,
        };
        TokenClaims { access, refresh }
    }

    /// The issuer of an organization's tokens, which may have an audience of their own.
    pub fn for_organization(&self, access: &Access) -> Self {
        let audience = access.audience.as_ref().unwrap_or(&self.audience);
        Self { audience: audience.clone(), ..self.clone() }
    }

    /// The caller that an access token with these claims identifies. Whether its audience is right depends on its
    /// organization, see [`Self::for_organization`].
    pub fn accept_access(&self, claims: &AccessClaims, now: Timestamp) -> Result<Caller, TokenRefusal> {
        if claims.iss != self.issuer || claims.client_id.is_empty() || claims.jti.is_empty() {
            return Err(TokenRefusal::Invalid);
        }
        let (user, session, organization) = subject(&claims.sub, &claims.sid, &claims.org)?;
        check_start(claims.nbf, now)?;
        check_end(claims.exp, now)?;
        Ok(Caller { user, session, organization, fresh: claims.fresh })
    }

    /// The session that a refresh token with these claims continues.
    pub fn accept_refresh(
        &self,
        claims: &RefreshClaims,
        now: Timestamp,
    ) -> Result<PresentedRefreshToken, TokenRefusal> {
        let presented = self.accept_refresh_of_any_age(claims, now)?;
        check_end(claims.exp, now)?;
        Ok(presented)
    }

    /// As [`Self::accept_refresh`], also if the token has expired: it then continues nothing, but may be a second signal.
    pub fn accept_refresh_of_any_age(
        &self,
        claims: &RefreshClaims,
        now: Timestamp,
    ) -> Result<PresentedRefreshToken, TokenRefusal> {
        if claims.iss != self.issuer || claims.aud != self.issuer || claims.jti.is_empty() {
            return Err(TokenRefusal::Invalid);
        }
        let (user, session, organization) = subject(&claims.sub, &claims.sid, &claims.org)?;
        check_start(claims.nbf, now)?;
        let device_key = claims.cnf.as_ref().map(|confirmation| confirmation.jkt.clone());
        Ok(PresentedRefreshToken { user, session, organization, counter: claims.counter, device_key })
    }
}

fn subject(sub: &str, sid: &str, org: &str) -> Result<(UserId, SessionId, OrganizationId), TokenRefusal> {
    let user = sub.parse().map_err(|_| TokenRefusal::Invalid)?;
    let session = sid.parse().map_err(|_| TokenRefusal::Invalid)?;
    let organization = OrganizationId::parse(org).map_err(|_| TokenRefusal::Invalid)?;
    Ok((user, session, organization))
}

fn check_start(not_before: Timestamp, now: Timestamp) -> Result<(), TokenRefusal> {
    if not_before > now.plus(CLOCK_SKEW_SECONDS) { Err(TokenRefusal::Invalid) } else { Ok(()) }
}

fn check_end(expires_at: Timestamp, now: Timestamp) -> Result<(), TokenRefusal> {
    if now >= expires_at { Err(TokenRefusal::Expired) } else { Ok(()) }
}
