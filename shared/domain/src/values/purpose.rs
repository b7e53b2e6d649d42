//! What a code is for. A code for one purpose, organization or caller is not valid for another.

use super::ids::UserId;
use super::text::OrganizationId;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Signing in to the organization whoever holds the phone.
    SignIn { organization: OrganizationId },
    /// Binding the phone to the signed-in caller who asked.
    VerifyPhone { organization: OrganizationId, caller: UserId },
}

impl Purpose {
    /// Part of what a code is derived from.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignIn { .. } => "sign_in",
            Self::VerifyPhone { .. } => "verify_phone",
        }
    }

    /// The organization whose send asked for the code.
    pub const fn organization(&self) -> &OrganizationId {
        match self {
            Self::SignIn { organization } | Self::VerifyPhone { organization, .. } => organization,
        }
    }

    pub const fn caller(&self) -> Option<&UserId> {
        match self {
            Self::SignIn { .. } => None,
            Self::VerifyPhone { caller, .. } => Some(caller),
        }
    }
}
