//! What tokens say. Signing and checking signatures is the edge's; what a claim means is decided here.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::Timestamp;
use crate::ids::{SessionId, TokenId, UserId};
use crate::limits::Limits;
use crate::session::Session;
use crate::user::Roles;

/// `typ` of an access token (RFC 9068 §2.1).
pub const ACCESS_TYPE: &str = "at+jwt";
/// `typ` of a refresh token; its own, so that neither kind passes for the other (RFC 8725 §3.11).
pub const REFRESH_TYPE: &str = "latchkey-refresh+jwt";
/// How far in the future `nbf` may lie: two machines' clocks differ by this much. Seconds.
const CLOCK_SKEW_SECONDS: u32 = 5;

/// Who issues tokens, for whom, to which client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`: the URL under which the metadata stands.
    pub issuer: String,
    /// `aud` of access tokens: the APIs that accept them.
    pub audience: String,
    /// `client_id`: the app.
    pub client_id: String,
}

/// Claims of an access token (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Issuer.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user.
    pub sub: String,
    /// Issued at.
    pub iat: Timestamp,
    /// Not before.
    pub nbf: Timestamp,
    /// Expires at.
    pub exp: Timestamp,
    /// The token's own name.
    pub jti: String,
    /// The app.
    pub client_id: String,
    /// The session.
    pub sid: String,
    /// Whether a code was typed for it, rather than a refresh token shown.
    pub fresh: bool,
    /// The user's roles, each with its organizations.
    pub roles: BTreeMap<String, Vec<String>>,
}

/// Claims of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshClaims {
    /// Issuer.
    pub iss: String,
    /// Audience: the issuer itself, nobody else accepts it.
    pub aud: String,
    /// The user.
    pub sub: String,
    /// Issued at.
    pub iat: Timestamp,
    /// Not before.
    pub nbf: Timestamp,
    /// Expires at.
    pub exp: Timestamp,
    /// The token's own name.
    pub jti: String,
    /// The session.
    pub sid: String,
    /// Which of the session's refresh tokens it is, from 1.
    pub counter: u64,
}

/// The claims of both tokens of one answer, to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenClaims {
    /// The access token's.
    pub access: AccessClaims,
    /// The refresh token's.
    pub refresh: RefreshClaims,
}

/// Where a fresh pair of tokens comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A code was typed: the access token is fresh.
    Code,
    /// A refresh token was shown: it is not.
    RefreshToken,
}

/// Why a token whose signature holds is refused all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Its time is over.
    Expired,
    /// It is not for us, not from us, not yet good, or makes no sense.
    Invalid,
}

/// Who holds a good access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// Their session.
    pub session: SessionId,
    /// Whether they typed a code for this token.
    pub fresh: bool,
}

impl Issuer {
    /// The claims of a pair of tokens for `session`.
    pub fn tokens(
        &self,
        session: &Session,
        roles: &Roles,
        proof: Proof,
        ids: [TokenId; 2],
        now: Timestamp,
        limits: &Limits,
    ) -> TokenClaims {
        let [access_id, refresh_id] = ids;
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
            fresh: proof == Proof::Code,
            roles: roles
                .iter()
                .map(|(role, organizations)| {
                    (role.clone(), organizations.iter().map(|id| id.as_str().to_owned()).collect())
                })
                .collect(),
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
            counter: session.counter,
        };
        TokenClaims { access, refresh }
    }

    /// Who the holder of an access token with these claims is.
    ///
    /// # Errors
    /// [`TokenRefusal`], whoever signed it.
    pub fn accept_access(&self, claims: &AccessClaims, now: Timestamp) -> Result<Caller, TokenRefusal> {
        if claims.iss != self.issuer
            || claims.aud != self.audience
            || claims.client_id.is_empty()
            || claims.jti.is_empty()
        {
            return Err(TokenRefusal::Invalid);
        }
        let (user, session) = subject(&claims.sub, &claims.sid)?;
        in_force(claims.nbf, claims.exp, now)?;
        Ok(Caller { user, session, fresh: claims.fresh })
    }

    /// Whose session a refresh token with these claims continues, and which of its tokens it is.
    ///
    /// # Errors
    /// [`TokenRefusal`], whoever signed it.
    pub fn accept_refresh(
        &self,
        claims: &RefreshClaims,
        now: Timestamp,
    ) -> Result<(UserId, SessionId, u64), TokenRefusal> {
        if claims.iss != self.issuer || claims.aud != self.issuer || claims.jti.is_empty() {
            return Err(TokenRefusal::Invalid);
        }
        let (user, session) = subject(&claims.sub, &claims.sid)?;
        in_force(claims.nbf, claims.exp, now)?;
        Ok((user, session, claims.counter))
    }
}

fn subject(sub: &str, sid: &str) -> Result<(UserId, SessionId), TokenRefusal> {
    let user = sub.parse().map_err(|_| TokenRefusal::Invalid)?;
    let session = sid.parse().map_err(|_| TokenRefusal::Invalid)?;
    Ok((user, session))
}

fn in_force(not_before: Timestamp, expires_at: Timestamp, now: Timestamp) -> Result<(), TokenRefusal> {
    if not_before > now.plus(CLOCK_SKEW_SECONDS) {
        Err(TokenRefusal::Invalid)
    } else if now >= expires_at {
        Err(TokenRefusal::Expired)
    } else {
        Ok(())
    }
}
