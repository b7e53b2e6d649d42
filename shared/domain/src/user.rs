//! A user: who signs in. Their phone and their username are each theirs alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::Timestamp;
use crate::ids::UserId;
use crate::phone::PhoneNumber;
use crate::text::{ImageUrl, Name, OrganizationId, Source, Username};

/// The role that signing in to an organization gives.
pub const DEFAULT_ROLE: &str = "default";

/// Roles, each with the organizations in which the user has it.
pub type Roles = BTreeMap<String, BTreeSet<OrganizationId>>;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Names them; `sub` in tokens.
    pub id: UserId,
    /// Their phone, proven by a code. None for a user who was brought over from elsewhere and has proven none yet.
    pub phone: Option<PhoneNumber>,
    /// Their username, unique without regard to case.
    pub username: Option<Username>,
    /// What they are called.
    pub name: Option<Name>,
    /// Where their picture is.
    pub image_url: Option<ImageUrl>,
    /// Where they first signed in from.
    pub source: Option<Source>,
    /// What they may do where.
    pub roles: Roles,
    /// When they first signed in.
    pub created_at: Timestamp,
    /// When they last signed in by a code.
    pub last_sign_in_at: Timestamp,
}

/// What a client may say of a user who is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// What they are called.
    pub name: Option<Name>,
    /// Where their picture is.
    pub image_url: Option<ImageUrl>,
    /// Where they sign in from.
    pub source: Option<Source>,
}

impl User {
    /// Someone who has just proven `phone` for the first time.
    pub fn new(
        id: UserId,
        phone: PhoneNumber,
        introduction: Introduction,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Self {
        let mut user = Self {
            id,
            phone: Some(phone),
            username: None,
            name: introduction.name,
            image_url: introduction.image_url,
            source: introduction.source,
            roles: Roles::new(),
            created_at: now,
            last_sign_in_at: now,
        };
        user.join(organization);
        user
    }

    /// Signs a known user in: their profile stays, they gain the organization, and the time is noted.
    pub fn signed_in(mut self, organization: OrganizationId, now: Timestamp) -> Self {
        self.join(organization);
        self.last_sign_in_at = self.last_sign_in_at.max(now);
        self
    }

    /// Whether a code that several people know may open this account: it has the default role alone.
    pub fn may_use_fixed_code(&self) -> bool {
        self.roles.keys().all(|role| role == DEFAULT_ROLE)
    }

    fn join(&mut self, organization: OrganizationId) {
        self.roles.entry(DEFAULT_ROLE.to_owned()).or_default().insert(organization);
    }
}
