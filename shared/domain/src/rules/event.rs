//! What other systems of an app's team are told: events. Each follows from one change of one item, so whoever sees the item
//! before and after knows the event.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::challenge::GuessLane;
use super::failures::Failures;
use super::session::Session;
use super::user::User;
use crate::values::country::Country;
use crate::values::ids::{SessionId, UserId};
use crate::values::phone::PhoneNumber;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;

/// The bytes of a digest that are an event's id.
const ID_BYTES: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    /// When the change was written.
    pub at: Timestamp,
    pub what: Occurrence,
}

impl Event {
    /// `cause` identifies the change among all of its deployment.
    pub fn new(cause: &str, at: Timestamp, what: Occurrence) -> Self {
        Self { id: EventId::of(what.name(), cause), at, what }
    }
}

/// The same each time the same event is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventId(String);

impl EventId {
    /// A change may have several events, so the name is part of the id.
    fn of(name: &str, cause: &str) -> Self {
        let digest = Sha256::new().chain_update(name).chain_update([0_u8]).chain_update(cause).finalize();
        Self(hexadecimal(digest.iter().take(ID_BYTES)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occurrence {
    UserCreated {
        user: UserId,
        phone: Option<PhoneNumber>,
        /// Whether the deletion of the user was taken back.
        is_restored: bool,
    },
    UserSignedIn(SessionOfUser),
    UserDeleted {
        user: UserId,
        phone: Option<PhoneNumber>,
    },
    /// The user has another number, or their first one, or none any more.
    PhoneChanged {
        user: UserId,
        phone: Option<PhoneNumber>,
        former: Option<PhoneNumber>,
    },
    /// A live session was ended, by whomever.
    SessionRevoked(SessionOfUser),
    /// An older refresh token was presented, so its session was ended.
    RefreshReused(SessionOfUser),
    /// A number is closed to guesses, because of the wrong codes.
    SignInBlocked {
        phone: PhoneNumber,
        lane: GuessLane,
        /// In a row.
        wrong_codes: u32,
        until: Timestamp,
    },
    /// An organization's messages to a country have reached the maximum of the day.
    SpendCapped {
        organization: OrganizationId,
        country: Country,
        messages: u32,
        /// The end of the day.
        until: Timestamp,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOfUser {
    pub user: UserId,
    pub session: SessionId,
    pub organization: OrganizationId,
}

impl From<&Session> for SessionOfUser {
    fn from(session: &Session) -> Self {
        let (user, organization) = (session.user.clone(), session.organization.clone());
        Self { user, session: session.id.clone(), organization }
    }
}

impl Occurrence {
    /// The type of the event. Consumers and rules know it, so it never changes.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UserCreated { .. } => "user.created",
            Self::UserSignedIn(_) => "user.signed_in",
            Self::UserDeleted { .. } => "user.deleted",
            Self::PhoneChanged { .. } => "phone.changed",
            Self::SessionRevoked(_) => "session.revoked",
            Self::RefreshReused(_) => "refresh.reused",
            Self::SignInBlocked { .. } => "sign_in.blocked",
            Self::SpendCapped { .. } => "spend.capped",
        }
    }

    /// What follows from a change of a user's item. `is_restored` says whether a new item is that of a deletion
    /// that was taken back.
    pub fn of_user(before: Option<&User>, after: Option<&User>, is_restored: bool) -> Option<Self> {
        match (before, after) {
            (None, Some(user)) => {
                Some(Self::UserCreated { user: user.id.clone(), phone: user.phone.clone(), is_restored })
            }
            (Some(user), None) => Some(Self::UserDeleted { user: user.id.clone(), phone: user.phone.clone() }),
            (Some(before), Some(after)) if before.phone != after.phone => Some(Self::PhoneChanged {
                user: after.id.clone(),
                phone: after.phone.clone(),
                former: before.phone.clone(),
            }),
            _ => None,
        }
    }

    /// What follows from a session's new item. Each sign-in opens one.
    pub fn of_new_session(session: &Session) -> Self {
        Self::UserSignedIn(session.into())
    }

    /// What follows from the deletion of a session's item. One that ended by age is not revoked.
    pub fn of_deleted_session(session: &Session, was_reused: bool, at: Timestamp) -> impl Iterator<Item = Self> {
        let reused = was_reused.then(|| Self::RefreshReused(session.into()));
        let revoked = session.is_live(at).then(|| Self::SessionRevoked(session.into()));
        reused.into_iter().chain(revoked)
    }

    /// What follows from a count of wrong codes at a number: each time the closure begins or grows.
    pub fn of_failures(phone: &PhoneNumber, lane: GuessLane, before: &Failures, after: &Failures) -> Option<Self> {
        (after.closed_until > before.closed_until).then(|| Self::SignInBlocked {
            phone: phone.clone(),
            lane,
            wrong_codes: after.consecutive,
            until: after.closed_until,
        })
    }
}

/// The key of the digests that stand for phone numbers. There are so few numbers that a digest without a key would tell them.
#[derive(Clone)]
pub struct DigestKey(Vec<u8>);

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the key of digests has fewer than 32 bytes")]
pub struct WeakDigestKey;

impl DigestKey {
    /// Refuses fewer than 32 bytes, the output length of SHA-256 (RFC 2104 §3).
    pub fn new(secret: Vec<u8>) -> Result<Self, WeakDigestKey> {
        if secret.len() < 32 { Err(WeakDigestKey) } else { Ok(Self(secret)) }
    }

    /// HMAC-SHA-256 (RFC 2104) of the number in E.164, in 64 hexadecimal digits.
    pub fn digest(&self, phone: &PhoneNumber) -> String {
        // HMAC accepts keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(phone.e164().as_bytes());
        hexadecimal(mac.finalize().into_bytes().iter())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

fn hexadecimal<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_number_is_its_hmac_and_debug_hides_the_key() {
        let key = DigestKey::new(vec![b'k'; 32]).unwrap();
        let phone = PhoneNumber::from_e164("+9779841234567").unwrap();
        // printf +9779841234567 | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
        let expected = "cc9bf4b599e935cce91a7e5767c7bd75ccd8bf7946a7d2b278f0e14064877bfc";
        assert_eq!(key.digest(&phone), expected);
        assert_ne!(DigestKey::new(vec![b'l'; 32]).unwrap().digest(&phone), expected);
        assert_eq!(format!("{key:?}"), "DigestKey(…)");
        assert!(DigestKey::new(vec![b'k'; 31]).is_err());
    }

    #[test]
    fn an_event_has_one_id_and_two_events_of_one_change_have_two() {
        let session = SessionOfUser {
            user: UserId::from_random([1; 16]),
            session: SessionId::from_random([1; 16]),
            organization: OrganizationId::parse("default").unwrap(),
        };
        let id = |cause: &str, what: Occurrence| Event::new(cause, Timestamp::default(), what).id;
        let revoked = id("one", Occurrence::SessionRevoked(session.clone()));
        assert_eq!(revoked, id("one", Occurrence::SessionRevoked(session.clone())));
        assert_ne!(revoked, id("two", Occurrence::SessionRevoked(session.clone())));
        assert_ne!(revoked, id("one", Occurrence::RefreshReused(session)));
        assert_eq!(revoked.as_str().len(), 2 * ID_BYTES);
    }
}
