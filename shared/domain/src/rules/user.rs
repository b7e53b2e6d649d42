//! A user: the person who signs in. A phone and a username each belong to at most one user.

use std::collections::{BTreeMap, BTreeSet};

use super::device_keys::DeviceKeys;
use super::limits::Limits;
use crate::values::custom_claims::CustomClaims;
use crate::values::ids::{SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::phone::PhoneNumber;
use crate::values::text::{ImageUrl, Name, OrganizationId, Source, Username};
use crate::values::time::{DAY, HOUR, Timestamp};

/// The role that signing in to an organization gives.
pub const DEFAULT_ROLE: &str = "default";
/// How long a username that was given up is kept for its former owner: long enough to notice a loss, and for others to
/// notice that the name has changed. Seconds.
pub const USERNAME_KEPT_SECONDS: u32 = 30 * DAY;
/// How many usernames are kept for one user, so that nobody hoards names by changing theirs again and again.
pub const MAX_KEPT_USERNAMES: usize = 5;
/// How long before their number is dormant a user is told of it. Seconds.
const PROOF_NOTICE_SECONDS: u32 = 30 * DAY;

/// Each role with the organizations in which the user has it.
pub type Roles = BTreeMap<String, BTreeSet<OrganizationId>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct User {
    /// `sub` in tokens.
    pub id: UserId,
    /// Proven by a code. None for a user who was migrated from elsewhere or whose number another person has now.
    pub phone: Option<PhoneNumber>,
    /// When the user last proved `phone`. None if no proof was recorded.
    pub phone_proven_at: Option<Timestamp>,
    /// Unique without regard to case.
    pub username: Option<Username>,
    pub name: Option<Name>,
    pub image_url: Option<ImageUrl>,
    /// The source of the first sign-in.
    pub source: Option<Source>,
    pub roles: Roles,
    pub created_at: Timestamp,
    pub last_sign_in_at: Timestamp,
    /// How many sign-ins this user had. A deletion learns from it whether one came in between.
    pub sign_ins: u32,
    /// Whether another person took over a number of the user's, now or before.
    pub has_lost_phone: bool,
    pub device_keys: DeviceKeys,
    /// Oldest change first.
    pub former_phones: Vec<FormerPhone>,
    /// The last change of number that was asked for without the old number.
    pub delayed_change: Option<Box<DelayedChange>>,
    /// The last recovery that was asked for.
    pub recovery: Option<Box<Recovery>>,
    /// Since when an operator keeps the user from signing in.
    pub blocked_at: Option<Timestamp>,
    /// What operators say of the user to backends.
    pub claims: Option<CustomClaims>,
}

/// What a user's tokens say that they may do.
#[derive(Clone, Copy, Debug)]
pub struct Rights<'a> {
    pub roles: &'a Roles,
    pub claims: Option<&'a CustomClaims>,
}

/// What a client may say about a new user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewProfile {
    pub name: Option<Name>,
    pub image_url: Option<ImageUrl>,
    pub source: Option<Source>,
}

impl User {
    /// A user who has just proven `phone` for the first time, on a device with this key.
    pub fn new(
        id: UserId,
        phone: PhoneNumber,
        profile: NewProfile,
        organization: OrganizationId,
        device_key: Option<KeyThumbprint>,
        now: Timestamp,
    ) -> Self {
        let mut user = Self {
            id,
            phone: Some(phone),
            phone_proven_at: Some(now),
            username: None,
            name: profile.name,
            image_url: profile.image_url,
            source: profile.source,
            roles: Roles::new(),
            created_at: now,
            last_sign_in_at: now,
            sign_ins: 1,
            has_lost_phone: false,
            device_keys: DeviceKeys(device_key.into_iter().map(|key| (key, now)).collect()),
            former_phones: Vec::new(),
            delayed_change: None,
            recovery: None,
            blocked_at: None,
            claims: None,
        };
        user.join(organization);
        user
    }

    /// Signs in an existing user: the profile stays, and the user joins an organization if there is one to join.
    pub fn signed_in(
        mut self,
        joined: Option<OrganizationId>,
        device_key: Option<&KeyThumbprint>,
        now: Timestamp,
    ) -> Self {
        self.device_keys.0.extend(device_key.map(|key| (key.clone(), now)));
        if let Some(organization) = joined {
            self.join(organization);
        }
        self.phone_proven_at = self.phone_proven_at.max(Some(now));
        self.last_sign_in_at = self.last_sign_in_at.max(now);
        self.sign_ins = self.sign_ins.saturating_add(1);
        self
    }

    pub fn rights(&self) -> Rights<'_> {
        Rights { roles: &self.roles, claims: self.claims.as_ref() }
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked_at.is_some()
    }

    /// Several people know a fixed code, so it opens only accounts that have no role but the default one.
    pub fn may_use_fixed_code(&self) -> bool {
        self.roles.keys().all(|role| role == DEFAULT_ROLE)
    }

    /// Whether the user has any role in the organization.
    pub fn is_member_of(&self, organization: &OrganizationId) -> bool {
        self.roles.values().any(|organizations| organizations.contains(organization))
    }

    pub fn has_other_phone(&self, phone: &PhoneNumber) -> bool {
        self.phone.as_ref().is_some_and(|own| own != phone)
    }

    /// When the number will be dormant, or has been since, from [`PROOF_NOTICE_SECONDS`] before.
    pub fn phone_proof_due_at(&self, limits: &Limits, now: Timestamp) -> Option<Timestamp> {
        self.phone.as_ref()?;
        let due_at = self.phone_proven_at.unwrap_or(self.created_at).plus(limits.phone_dormant_seconds);
        (now >= due_at.minus(PROOF_NOTICE_SECONDS)).then_some(due_at)
    }

    fn join(&mut self, organization: OrganizationId) {
        self.roles.entry(DEFAULT_ROLE.to_owned()).or_default().insert(organization);
    }
}

/// The usernames that a user gave up, folded, and until when each is kept for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptUsernames(pub BTreeMap<String, Timestamp>);

impl KeptUsernames {
    /// What is kept after a change of username. If that would be too many: the moment when one is no longer kept.
    pub fn after_change(
        &self,
        from: Option<&Username>,
        to: Option<&Username>,
        now: Timestamp,
    ) -> Result<Self, Timestamp> {
        let mut kept = self.0.clone();
        kept.retain(|_, until| now < *until);
        kept.extend(from.map(|former| (former.folded(), now.plus(USERNAME_KEPT_SECONDS))));
        if let Some(next) = to {
            kept.remove(&next.folded());
        }
        match kept.values().min() {
            Some(first) if kept.len() > MAX_KEPT_USERNAMES => Err(*first),
            _ => Ok(Self(kept)),
        }
    }
}

impl KeptUsernames {
    /// Whether a username was given up a short time ago. Who changes back and forth tells nobody again.
    pub fn changed_within_an_hour(&self, now: Timestamp) -> bool {
        self.0.values().any(|until| now.plus(USERNAME_KEPT_SECONDS) < until.plus(HOUR))
    }
}

/// A number that a user gave up for another one, and may take back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FormerPhone {
    pub phone: PhoneNumber,
    /// When the user last proved it.
    pub proven_at: Timestamp,
    pub changed_at: Timestamp,
    /// The session that changed the number.
    pub changed_by: SessionId,
    /// From then on the change is final.
    pub until: Timestamp,
}

/// How a request ended before it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// By whoever asked.
    Withdrawn,
    Refused {
        at: Timestamp,
    },
}

/// A change of number that a known device asked for without the old number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DelayedChange {
    /// The user's number when the change was asked for.
    pub from: Option<PhoneNumber>,
    pub to: PhoneNumber,
    pub requested_at: Timestamp,
    pub due_at: Timestamp,
    pub requested_by: SessionId,
    /// The key of the device that asked.
    pub device_key: KeyThumbprint,
    pub organization: OrganizationId,
    pub ended: Option<Ending>,
}

/// What whoever has a dormant number asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovery {
    pub phone: PhoneNumber,
    pub requested_at: Timestamp,
    /// From then on the right code opens the account.
    pub opens_at: Timestamp,
    pub organization: OrganizationId,
    /// How many records of sessions the user had. One that is gone was signed out by somebody.
    pub sessions: u32,
    pub refused_at: Option<Timestamp>,
}

/// Why a phone's lock names a user who no longer has the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseReason {
    NumberChanged,
    AccountDeleted,
}

/// The state of a phone's lock while its former holder may take the number back. Until then nobody gets it without saying
/// that they want a new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    pub reason: ReleaseReason,
    pub until: Timestamp,
}

impl Release {
    pub fn is_pending(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// The user that a phone belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneHolder {
    pub user: UserId,
    /// When the user last proved the phone, or was created if no proof was recorded.
    pub proven_at: Timestamp,
    /// The user's device keys, as the phone's lock has them.
    pub device_keys: DeviceKeys,
    /// Set if the user no longer has the phone.
    pub release: Option<Release>,
}

impl PhoneHolder {
    /// Whether the user still has the phone, so that whoever takes it over takes it from them.
    pub const fn has_phone(&self) -> bool {
        self.release.is_none()
    }

    /// Whether the user may still take the number back.
    pub fn pending_release(&self, now: Timestamp) -> Option<Release> {
        self.release.filter(|release| release.is_pending(now))
    }

    /// Whether the number may belong to another person by now, because nobody has proven it for so long.
    pub fn is_dormant(&self, limits: &Limits, now: Timestamp) -> bool {
        now >= self.proven_at.plus(limits.phone_dormant_seconds)
    }
}
