//! Google's services: Firebase phone sign-in, and pushes by Firebase Cloud Messaging.

use domain::rules::firebase_token::FirebaseProject;

use super::variables::{ConfigError, Variables};

/// Where Google publishes the keys of ID tokens
/// (<https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>).
const FIREBASE_JWKS_URL: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

#[derive(Clone, Debug)]
pub struct GoogleConfig {
    /// `FIREBASE_PROJECT_ID`: the project whose ID tokens sign in; unset, none do.
    pub firebase_project: Option<FirebaseProject>,
    /// `FIREBASE_JWKS_URL`.
    pub firebase_jwks_url: String,
    /// `FCM_PROJECT_ID`: the project that asks devices for approvals; unset, none are asked.
    pub push_project: Option<FirebaseProject>,
    /// `FCM_BASE_URL`.
    pub fcm_base_url: String,
}

impl GoogleConfig {
    pub(super) fn read(variables: &Variables) -> Result<Self, ConfigError> {
        Ok(Self {
            firebase_project: variables.parsed("FIREBASE_PROJECT_ID", FirebaseProject::parse)?,
            firebase_jwks_url: variables.text("FIREBASE_JWKS_URL").unwrap_or(FIREBASE_JWKS_URL).to_owned(),
            push_project: variables.parsed("FCM_PROJECT_ID", FirebaseProject::parse)?,
            fcm_base_url: variables.url("FCM_BASE_URL", "https://fcm.googleapis.com"),
        })
    }
}
