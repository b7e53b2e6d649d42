//! The codes of problems: each is one entry of one table.

/// Stable: programs branch on these codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    MalformedRequest,
    InvalidPhoneNumber,
    InvalidValidationRequest,
    PayloadTooLarge,
    UnsupportedMediaType,
    NoSuchOrganization,
    CountryNotAllowed,
    EdgeRequired,
    FirebaseTokenInvalid,
    FirebaseTokenExpired,
    IncorrectOtp,
    OtpExpired,
    TooManyAttempts,
    TooManyRequests,
    PhoneOrUsernameMistaken,
    AlreadyVerified,
    TestNumberRefused,
    NotAMember,
    AccountBlocked,
    SecondSignalRequired,
    NumberReleased,
    RecoveryPending,
    RecoveryRefused,
    ChangePending,
    UsernameTaken,
    NoSuchUser,
    NothingToApprove,
    NothingToUndo,
    NothingPending,
    TokenRequired,
    TokenInvalid,
    TokenExpired,
    InvalidDpopProof,
    SessionRevoked,
    RefreshReused,
    FreshTokenRequired,
    NotFound,
    SmsGatewayUnavailable,
    ServiceUnavailable,
}

/// Status, code and title. `words.rs` has what is said to people.
struct Entry(u16, &'static str, &'static str);

impl Code {
    const fn entry(self) -> Entry {
        match self {
            Self::MalformedRequest => Entry(400, "malformed_request", "malformed request"),
            Self::InvalidPhoneNumber => Entry(400, "invalid_phone_number", "invalid phone number"),
            Self::InvalidValidationRequest => Entry(400, "invalid_validation_request", "invalid validation request"),
            Self::PayloadTooLarge => Entry(413, "payload_too_large", "payload too large"),
            Self::UnsupportedMediaType => Entry(415, "unsupported_media_type", "unsupported media type"),
            Self::NoSuchOrganization => Entry(400, "no_such_organization", "no such organization"),
            Self::CountryNotAllowed => Entry(403, "country_not_allowed", "country not allowed"),
            Self::EdgeRequired => Entry(403, "edge_required", "edge required"),
            Self::FirebaseTokenInvalid => Entry(400, "firebase_token_invalid", "Firebase token invalid"),
            Self::FirebaseTokenExpired => Entry(400, "firebase_token_expired", "Firebase token expired"),
            Self::IncorrectOtp => Entry(400, "incorrect_otp", "incorrect code"),
            Self::OtpExpired => Entry(400, "otp_expired", "code expired"),
            Self::TooManyAttempts => Entry(429, "too_many_attempts", "too many attempts"),
            Self::TooManyRequests => Entry(429, "too_many_requests", "too many requests"),
            Self::PhoneOrUsernameMistaken => {
                Entry(400, "phone_or_username_mistaken", "phone number or username mistaken")
            }
            Self::AlreadyVerified => Entry(403, "already_verified", "already verified"),
            Self::TestNumberRefused => Entry(403, "test_number_refused", "test number refused"),
            Self::NotAMember => Entry(403, "not_a_member", "not a member"),
            Self::AccountBlocked => Entry(403, "account_blocked", "account blocked"),
            Self::SecondSignalRequired => Entry(403, "second_signal_required", "second signal required"),
            Self::NumberReleased => Entry(403, "number_released", "number released"),
            Self::RecoveryPending => Entry(403, "recovery_pending", "recovery pending"),
            Self::RecoveryRefused => Entry(403, "recovery_refused", "recovery refused"),
            Self::ChangePending => Entry(409, "change_pending", "change pending"),
            Self::UsernameTaken => Entry(409, "username_taken", "username taken"),
            Self::NoSuchUser => Entry(403, "no_such_user", "no such user"),
            Self::TokenRequired => Entry(401, "token_required", "token required"),
            Self::TokenInvalid => Entry(401, "token_invalid", "token invalid"),
            Self::TokenExpired => Entry(401, "token_expired", "token expired"),
            Self::InvalidDpopProof => Entry(401, "invalid_dpop_proof", "invalid DPoP proof"),
            Self::SessionRevoked => Entry(401, "session_revoked", "session revoked"),
            Self::RefreshReused => Entry(401, "refresh_reused", "refresh token reused"),
            Self::FreshTokenRequired => Entry(401, "fresh_token_required", "fresh token required"),
            Self::NothingToApprove => Entry(404, "nothing_to_approve", "nothing to approve"),
            Self::NothingToUndo => Entry(404, "nothing_to_undo", "nothing to undo"),
            Self::NothingPending => Entry(404, "nothing_pending", "nothing pending"),
            Self::NotFound => Entry(404, "not_found", "not found"),
            Self::SmsGatewayUnavailable => Entry(503, "sms_gateway_unavailable", "SMS gateway unavailable"),
            Self::ServiceUnavailable => Entry(503, "service_unavailable", "service unavailable"),
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.entry().1
    }

    pub const fn status(self) -> u16 {
        self.entry().0
    }

    pub(super) const fn title(self) -> &'static str {
        self.entry().2
    }

    /// The `WWW-Authenticate` header of a 401 (RFC 6750 §3; step-up: RFC 9470 §3).
    pub(super) const fn www_authenticate(self) -> Option<&'static str> {
        match self {
            Self::TokenRequired => Some(r#"Bearer realm="latchkey""#),
            Self::TokenInvalid => {
                Some(r#"Bearer realm="latchkey", error="invalid_token", error_description="the token is not valid""#)
            }
            Self::TokenExpired => {
                Some(r#"Bearer realm="latchkey", error="invalid_token", error_description="the token expired""#)
            }
            Self::InvalidDpopProof => Some(
                r#"DPoP realm="latchkey", error="invalid_dpop_proof", error_description="a valid proof of the device's key is required", algs="ES256""#,
            ),
            Self::SessionRevoked => {
                Some(r#"Bearer realm="latchkey", error="invalid_token", error_description="the session was revoked""#)
            }
            Self::RefreshReused => Some(
                r#"Bearer realm="latchkey", error="invalid_token", error_description="the refresh token was reused""#,
            ),
            Self::FreshTokenRequired => Some(
                r#"Bearer realm="latchkey", error="insufficient_user_authentication", error_description="an access token issued for a code is required", max_age="900""#,
            ),
            Self::MalformedRequest
            | Self::InvalidPhoneNumber
            | Self::InvalidValidationRequest
            | Self::PayloadTooLarge
            | Self::UnsupportedMediaType
            | Self::NoSuchOrganization
            | Self::CountryNotAllowed
            | Self::EdgeRequired
            | Self::FirebaseTokenInvalid
            | Self::FirebaseTokenExpired
            | Self::IncorrectOtp
            | Self::OtpExpired
            | Self::TooManyAttempts
            | Self::TooManyRequests
            | Self::PhoneOrUsernameMistaken
            | Self::AlreadyVerified
            | Self::TestNumberRefused
            | Self::NotAMember
            | Self::AccountBlocked
            | Self::SecondSignalRequired
            | Self::NumberReleased
            | Self::NothingToUndo
            | Self::NothingPending
            | Self::RecoveryPending
            | Self::RecoveryRefused
            | Self::ChangePending
            | Self::UsernameTaken
            | Self::NoSuchUser
            | Self::NothingToApprove
            | Self::NotFound
            | Self::SmsGatewayUnavailable
            | Self::ServiceUnavailable => None,
        }
    }
}
