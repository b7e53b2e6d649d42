//! What a code is for. A code for one purpose, or for one caller, is not valid for another.

use super::ids::UserId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing in whoever holds the phone.
    SignIn,
    /// Binding the phone to the signed-in caller who asked.
    VerifyPhone { caller: UserId },
}

impl Purpose {
    /// Part of what a code is derived from, and of the key of its record.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::VerifyPhone { .. } => "verify_phone",
        }
    }

    pub const fn caller(&self) -> Option<&UserId> {
        match self {
            Self::SignIn => None,
            Self::VerifyPhone { caller } => Some(caller),
        }
    }
}
