//! Problems as clients see them: RFC 9457 problem details, each code one entry of one table.

use std::borrow::Cow;

use domain::rules::challenge::CodeRefusal;
use domain::rules::device_proof::ProofRefusal;
use domain::rules::firebase_token::FirebaseRefusal;
use domain::rules::user::{Recovery, Release, ReleaseReason};
use domain::use_cases::account::AccountError;
use domain::use_cases::approval::ApprovalError;
use domain::use_cases::authorize::AuthorizeError;
use domain::use_cases::refresh::RefreshError;
use domain::use_cases::refuse::RefusalError;
use domain::use_cases::send_otp::{ContextError, SendOtpError};
use domain::use_cases::sessions::SessionsError;
use domain::use_cases::submit_firebase::SubmitFirebaseError;
use domain::use_cases::submit_otp::SubmitOtpError;
use domain::use_cases::undo_change::UndoChangeError;
use domain::use_cases::validate_otp::ValidateOtpError;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde_json::{Map, Value, json};

use super::answer::Answer;

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

/// Status, code, title, and the detail: what is wrong and what to do.
struct Entry(u16, &'static str, &'static str, &'static str);

impl Code {
    const fn entry(self) -> Entry {
        match self {
            Self::MalformedRequest => Entry(
                400,
                "malformed_request",
                "malformed request",
                "The request is malformed. Fix the request before retrying.",
            ),
            Self::InvalidPhoneNumber => Entry(
                400,
                "invalid_phone_number",
                "invalid phone number",
                "This is not a mobile phone number. Check it and try again.",
            ),
            Self::InvalidValidationRequest => Entry(
                400,
                "invalid_validation_request",
                "invalid validation request",
                "Invalid phone, username or otp provided.",
            ),
            Self::PayloadTooLarge => Entry(
                413,
                "payload_too_large",
                "payload too large",
                "The body is larger than 16 KiB. Send a smaller one.",
            ),
            Self::UnsupportedMediaType => {
                Entry(415, "unsupported_media_type", "unsupported media type", "Send the body as application/json.")
            }
            Self::NoSuchOrganization => Entry(
                400,
                "no_such_organization",
                "no such organization",
                "No organization has this id. Check organization_id.",
            ),
            Self::CountryNotAllowed => Entry(
                403,
                "country_not_allowed",
                "country not allowed",
                "This organization does not send codes to numbers of this country.",
            ),
            Self::EdgeRequired => Entry(
                403,
                "edge_required",
                "edge required",
                "This request went around the public address of the API. Send it there.",
            ),
            Self::FirebaseTokenInvalid => Entry(
                400,
                "firebase_token_invalid",
                "Firebase token invalid",
                "This Firebase ID token is not valid here. Sign in with Firebase again.",
            ),
            Self::FirebaseTokenExpired => Entry(
                400,
                "firebase_token_expired",
                "Firebase token expired",
                "The Firebase sign-in is too old. Sign in with Firebase again.",
            ),
            Self::IncorrectOtp => Entry(400, "incorrect_otp", "incorrect code", "Incorrect OTP. Try again"),
            Self::OtpExpired => Entry(
                400,
                "otp_expired",
                "code expired",
                "This code has expired or was already used. Request a new code.",
            ),
            Self::TooManyAttempts => Entry(
                429,
                "too_many_attempts",
                "too many attempts",
                "This code was tried too often. Request a new code.",
            ),
            Self::TooManyRequests => Entry(
                429,
                "too_many_requests",
                "too many requests",
                "Too many requests. Wait retry_after seconds before retrying.",
            ),
            Self::PhoneOrUsernameMistaken => Entry(
                400,
                "phone_or_username_mistaken",
                "phone number or username mistaken",
                "Phone number or username is mistaken. Please check.",
            ),
            Self::AlreadyVerified => {
                Entry(403, "already_verified", "already verified", "Either phone or user is already verified.")
            }
            Self::TestNumberRefused => Entry(
                403,
                "test_number_refused",
                "test number refused",
                "A test number's fixed code works only for users who have no role except the default one.",
            ),
            Self::NotAMember => Entry(
                403,
                "not_a_member",
                "not a member",
                "This organization admits invited people only. Ask its administrator for access.",
            ),
            Self::AccountBlocked => {
                Entry(403, "account_blocked", "account blocked", "This account is blocked. Ask the app's support.")
            }
            Self::SecondSignalRequired => Entry(
                403,
                "second_signal_required",
                "second signal required",
                "This number has not been verified for a long time and may belong to another person now. Send the same \
                 request again with a proof by a device that signed in before, with the newest refresh_token of a device \
                 that is or was signed in, with fresh_account to create a new account, or, if approval_asked is true, \
                 after a signed-in device has approved the sign-in. If no \
                 device is left, ask for the account with recover.",
            ),
            Self::NumberReleased => Entry(
                403,
                "number_released",
                "number released",
                "A short time ago, the account of this number was deleted. Send the same request again with restore to take \
                 that back, or with fresh_account to create a new account.",
            ),
            Self::RecoveryPending => Entry(
                403,
                "recovery_pending",
                "recovery pending",
                "The account can be opened from opens_at to closes_at, by a new code and the same request, if no device of the \
                 account refuses or is used before.",
            ),
            Self::RecoveryRefused => Entry(
                403,
                "recovery_refused",
                "recovery refused",
                "A device of this account refused to give it to whoever has the number. It can be asked for again from \
                 possible_at on. To create a new account, send fresh_account.",
            ),
            Self::ChangePending => Entry(
                409,
                "change_pending",
                "change pending",
                "A change of number waits until due_at. Cancel it to ask for another one.",
            ),
            Self::UsernameTaken => Entry(
                409,
                "username_taken",
                "username taken",
                "Another user has or had this username. Choose a different one.",
            ),
            Self::NoSuchUser => {
                Entry(403, "no_such_user", "no such user", "The user of this token no longer exists. Sign in again.")
            }
            Self::TokenRequired => Entry(
                401,
                "token_required",
                "token required",
                "Send an access token in the Authorization header: Bearer <token>.",
            ),
            Self::TokenInvalid => {
                Entry(401, "token_invalid", "token invalid", "This token is not valid here. Sign in again.")
            }
            Self::TokenExpired => {
                Entry(401, "token_expired", "token expired", "This token has expired. Refresh it, or sign in again.")
            }
            Self::InvalidDpopProof => Entry(
                401,
                "invalid_dpop_proof",
                "invalid DPoP proof",
                "Send a proof of this request by the device's key in the DPoP header (RFC 9449).",
            ),
            Self::SessionRevoked => {
                Entry(401, "session_revoked", "session revoked", "This device was signed out. Sign in again.")
            }
            Self::RefreshReused => Entry(
                401,
                "refresh_reused",
                "refresh token reused",
                "This refresh token was used before, so the session was ended. Sign in again.",
            ),
            Self::FreshTokenRequired => Entry(
                401,
                "fresh_token_required",
                "fresh token required",
                "Sign in with a code again, then repeat the request.",
            ),
            Self::NothingToApprove => Entry(
                404,
                "nothing_to_approve",
                "nothing to approve",
                "No sign-in waits for this approval. It has ended, has expired or was replaced by a newer one.",
            ),
            Self::NothingToUndo => Entry(
                404,
                "nothing_to_undo",
                "nothing to undo",
                "No change of number can be taken back: there was none, its time has passed, it was taken back, or this \
                 session is newer than the change.",
            ),
            Self::NothingPending => Entry(
                404,
                "nothing_pending",
                "nothing pending",
                "Nothing waits that could be cancelled: it was made, was cancelled, or was never asked for.",
            ),
            Self::NotFound => Entry(404, "not_found", "not found", "No route has this path and method."),
            Self::SmsGatewayUnavailable => Entry(
                503,
                "sms_gateway_unavailable",
                "SMS gateway unavailable",
                "No gateway accepted the message. Retry after retry_after seconds.",
            ),
            Self::ServiceUnavailable => Entry(
                503,
                "service_unavailable",
                "service unavailable",
                "A service that Latchkey depends on is unavailable. Retry the same request after retry_after seconds.",
            ),
        }
    }

    pub const fn as_str(self) -> &'static str {
        self.entry().1
    }

    pub const fn status(self) -> u16 {
        self.entry().0
    }

    /// The `WWW-Authenticate` header of a 401 (RFC 6750 §3; step-up: RFC 9470 §3).
    const fn www_authenticate(self) -> Option<&'static str> {
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

/// When a 503 may be retried. Seconds.
const UNAVAILABLE_RETRY_SECONDS: u32 = 5;

/// A problem. Its source is for the log; the client never sees it.
#[derive(Debug)]
pub struct Problem {
    pub code: Code,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u32>,
    attempts_left: Option<u32>,
    approval_requested: bool,
    release: Option<Release>,
    /// Further members that are moments.
    moments: Vec<(&'static str, Timestamp)>,
    proof_refusal: Option<ProofRefusal>,
    source: Option<Unavailable>,
}

impl Problem {
    /// A problem with the table's own detail.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: Cow::Borrowed(code.entry().3),
            retry_after_seconds: None,
            attempts_left: None,
            approval_requested: false,
            release: None,
            moments: Vec::new(),
            proof_refusal: None,
            source: None,
        }
    }

    /// A malformed request, with what was expected and nothing of what came.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::new(Code::MalformedRequest) }
    }

    pub(super) fn not_json() -> Self {
        Self::malformed("The body is not valid JSON.")
    }

    /// The body is JSON of another form than expected.
    pub fn wrong_members() -> Self {
        Self::malformed("The body is valid JSON, but a member is missing, repeated or of the wrong type.")
    }

    fn later(code: Code, retry_after_seconds: u32) -> Self {
        // A wait of 0 seconds would make clients retry at once.
        Self { retry_after_seconds: Some(retry_after_seconds.max(1)), ..Self::new(code) }
    }

    fn unavailable(code: Code, source: Unavailable) -> Self {
        Self { source: Some(source), ..Self::later(code, UNAVAILABLE_RETRY_SECONDS) }
    }

    fn with_attempts_left(mut self, attempts_left: Option<u32>) -> Self {
        self.attempts_left = attempts_left;
        self
    }

    /// What is wrong with a proof, for the log.
    pub const fn proof_refusal(&self) -> Option<ProofRefusal> {
        self.proof_refusal
    }

    /// What the log gets beyond the code.
    pub const fn source(&self) -> Option<&Unavailable> {
        self.source.as_ref()
    }

    pub fn into_answer(self) -> Answer {
        let Entry(status, code, title, _) = self.code.entry();
        let mut members = Map::new();
        members.insert("type".into(), json!(format!("urn:latchkey:problem:{code}")));
        members.insert("title".into(), json!(title));
        members.insert("status".into(), json!(status));
        members.insert("detail".into(), json!(self.detail));
        members.insert("code".into(), json!(code));
        for (name, value) in [("retry_after", self.retry_after_seconds), ("attempts_left", self.attempts_left)] {
            if let Some(value) = value {
                members.insert(name.into(), json!(value));
            }
        }
        if self.approval_requested {
            members.insert("approval_asked".into(), json!(true));
        }
        if let Some(Release { reason, until }) = self.release {
            let what = match reason {
                ReleaseReason::NumberChanged => "number_change",
                ReleaseReason::AccountDeleted => "account_deletion",
            };
            members.insert("undoes".into(), json!(what));
            members.insert("undo_until".into(), json!(until.seconds()));
        }
        members.extend(self.moments.into_iter().map(|(name, at)| (name.to_owned(), json!(at.seconds()))));
        let mut answer = Answer::json(status, &Value::Object(members))
            .with_header("content-type", "application/problem+json")
            .with_header("cache-control", "no-store");
        if let Some(seconds) = self.retry_after_seconds {
            answer = answer.with_header("retry-after", &seconds.to_string());
        }
        if let Some(challenge) = self.code.www_authenticate() {
            answer = answer.with_header("www-authenticate", challenge);
        }
        answer
    }
}

impl From<Unavailable> for Problem {
    fn from(source: Unavailable) -> Self {
        Self::unavailable(Code::ServiceUnavailable, source)
    }
}

impl From<ProofRefusal> for Problem {
    fn from(refusal: ProofRefusal) -> Self {
        let what_to_do = match refusal {
            ProofRefusal::OutsideTime => "The Date header of this answer has the time. Send a new proof.",
            ProofRefusal::UnboundSession => "Send a code to the former number and submit it with restore.",
            ProofRefusal::UnboundToken => "Follow the token_type of the answer that had the token.",
            _ => "Send a new proof of this request by the device's key in the DPoP header (RFC 9449).",
        };
        Self {
            detail: format!("DPoP: {refusal}. {what_to_do}").into(),
            proof_refusal: Some(refusal),
            ..Self::new(Code::InvalidDpopProof)
        }
    }
}

impl From<SendOtpError> for Problem {
    fn from(error: SendOtpError) -> Self {
        match error {
            SendOtpError::Context(ContextError::CountryNotAllowed) => Self::new(Code::CountryNotAllowed),
            SendOtpError::Context(ContextError::FreshTokenRequired) => Self::new(Code::FreshTokenRequired),
            SendOtpError::NoSuchUser => Self::new(Code::NoSuchUser),
            SendOtpError::AlreadyVerified => Self::new(Code::AlreadyVerified),
            SendOtpError::ChangePending { due_at } => Self::change_pending(due_at),
            SendOtpError::TooManyRequests { retry_after_seconds } => {
                Self::later(Code::TooManyRequests, retry_after_seconds)
            }
            SendOtpError::NumberRefused => Self::new(Code::InvalidPhoneNumber),
            SendOtpError::Blocked { retry_after_seconds } => {
                Self::later(Code::SmsGatewayUnavailable, retry_after_seconds)
            }
            SendOtpError::NoGateway(source) => Self::unavailable(Code::SmsGatewayUnavailable, source),
            SendOtpError::Unavailable(source) => source.into(),
        }
    }
}

impl From<CodeRefusal> for Problem {
    fn from(refusal: CodeRefusal) -> Self {
        match refusal {
            CodeRefusal::Incorrect { attempts_left } => Self::new(Code::IncorrectOtp).with_attempts_left(attempts_left),
            CodeRefusal::Expired => Self::new(Code::OtpExpired),
            CodeRefusal::TooManyAttempts => Self::new(Code::TooManyAttempts).with_attempts_left(Some(0)),
            CodeRefusal::TooManyRequests { retry_after_seconds } => {
                Self::later(Code::TooManyRequests, retry_after_seconds)
            }
        }
    }
}

impl From<Release> for Problem {
    fn from(release: Release) -> Self {
        let problem = Self { release: Some(release), ..Self::new(Code::NumberReleased) };
        match release.reason {
            ReleaseReason::AccountDeleted => problem,
            ReleaseReason::NumberChanged => Self {
                detail:
                    "A short time ago, the account of this number got another number. Send the same request again with \
                         restore to take that back. A new account at this number is possible from undo_until on."
                        .into(),
                ..problem
            },
        }
    }
}

impl Problem {
    fn change_pending(due_at: Timestamp) -> Self {
        Self { moments: vec![("due_at", due_at)], ..Self::new(Code::ChangePending) }
    }

    fn recovery_pending(recovery: &Recovery) -> Self {
        let moments = vec![("opens_at", recovery.opens_at), ("closes_at", recovery.closes_at())];
        Self { moments, ..Self::new(Code::RecoveryPending) }
    }

    fn recovery_refused(until: Timestamp) -> Self {
        Self { moments: vec![("possible_at", until)], ..Self::new(Code::RecoveryRefused) }
    }
}

impl From<RefusalError> for Problem {
    fn from(error: RefusalError) -> Self {
        match error {
            RefusalError::NoSuchUser => Self::new(Code::NoSuchUser),
            RefusalError::NothingPending => Self::new(Code::NothingPending),
            RefusalError::Unavailable(source) => source.into(),
        }
    }
}

impl From<UndoChangeError> for Problem {
    fn from(error: UndoChangeError) -> Self {
        match error {
            UndoChangeError::NoSuchUser => Self::new(Code::NoSuchUser),
            UndoChangeError::NothingToUndo => Self::new(Code::NothingToUndo),
            UndoChangeError::InvalidProof(refusal) => refusal.into(),
            UndoChangeError::NumberTaken => Self::new(Code::AlreadyVerified),
            UndoChangeError::Unavailable(source) => source.into(),
        }
    }
}

impl From<SubmitOtpError> for Problem {
    fn from(error: SubmitOtpError) -> Self {
        match error {
            SubmitOtpError::Code(refusal) => refusal.into(),
            SubmitOtpError::TestNumberRefused => Self::new(Code::TestNumberRefused),
            SubmitOtpError::NotAMember => Self::new(Code::NotAMember),
            SubmitOtpError::Blocked => Self::new(Code::AccountBlocked),
            SubmitOtpError::SecondSignalRequired { approval_requested } => {
                Self { approval_requested, ..Self::new(Code::SecondSignalRequired) }
            }
            SubmitOtpError::NothingToUndo => Self::new(Code::NothingToUndo),
            SubmitOtpError::Released(release) => release.into(),
            SubmitOtpError::RecoveryPending(recovery) => Self::recovery_pending(&recovery),
            SubmitOtpError::RecoveryRefused { until } => Self::recovery_refused(until),
            SubmitOtpError::Unavailable(source) => source.into(),
        }
    }
}

impl From<SubmitFirebaseError> for Problem {
    fn from(error: SubmitFirebaseError) -> Self {
        match error {
            SubmitFirebaseError::Token(FirebaseRefusal::Invalid) => Self::new(Code::FirebaseTokenInvalid),
            SubmitFirebaseError::Token(FirebaseRefusal::Expired) => Self::new(Code::FirebaseTokenExpired),
            SubmitFirebaseError::CountryNotAllowed => Self::new(Code::CountryNotAllowed),
            SubmitFirebaseError::TestNumberRefused => Self::new(Code::TestNumberRefused),
            SubmitFirebaseError::NotAMember => Self::new(Code::NotAMember),
            SubmitFirebaseError::Blocked => Self::new(Code::AccountBlocked),
            SubmitFirebaseError::SecondSignalRequired => Self::new(Code::SecondSignalRequired),
            SubmitFirebaseError::NothingToUndo => Self::new(Code::NothingToUndo),
            SubmitFirebaseError::Released(release) => release.into(),
            SubmitFirebaseError::RecoveryPending(recovery) => Self::recovery_pending(&recovery),
            SubmitFirebaseError::RecoveryRefused { until } => Self::recovery_refused(until),
            SubmitFirebaseError::Unavailable(source) => source.into(),
        }
    }
}

impl From<ValidateOtpError> for Problem {
    fn from(error: ValidateOtpError) -> Self {
        match error {
            ValidateOtpError::NoSuchUser => Self::new(Code::NoSuchUser),
            ValidateOtpError::UsernameMissing => Self::new(Code::InvalidValidationRequest),
            ValidateOtpError::PhoneOrUsernameMistaken => Self::new(Code::PhoneOrUsernameMistaken),
            ValidateOtpError::AlreadyVerified => Self::new(Code::AlreadyVerified),
            ValidateOtpError::Code(refusal) => refusal.into(),
            ValidateOtpError::SessionRevoked => Self::new(Code::SessionRevoked),
            ValidateOtpError::UnknownDevice => Self::new(Code::FreshTokenRequired),
            ValidateOtpError::ChangePending { due_at } => Self::change_pending(due_at),
            ValidateOtpError::TooManyChanges { retry_after_seconds } => {
                Self::later(Code::TooManyRequests, retry_after_seconds)
            }
            ValidateOtpError::Unavailable(source) => source.into(),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Expired => Self::new(Code::TokenExpired),
            RefreshError::SessionRevoked => Self::new(Code::SessionRevoked),
            RefreshError::RefreshReused => Self::new(Code::RefreshReused),
            RefreshError::NoSuchUser => Self::new(Code::NoSuchUser),
            RefreshError::NotAMember => Self::new(Code::NotAMember),
            RefreshError::AccountBlocked => Self::new(Code::AccountBlocked),
            RefreshError::Unavailable(source) => source.into(),
        }
    }
}

impl From<AuthorizeError> for Problem {
    fn from(error: AuthorizeError) -> Self {
        match error {
            AuthorizeError::TokenRequired => Self::new(Code::TokenRequired),
            AuthorizeError::TokenInvalid => Self::new(Code::TokenInvalid),
            AuthorizeError::TokenExpired => Self::new(Code::TokenExpired),
            AuthorizeError::InvalidProof(refusal) => refusal.into(),
            AuthorizeError::SessionRevoked => Self::new(Code::SessionRevoked),
            AuthorizeError::NoSuchUser => Self::new(Code::NoSuchUser),
            AuthorizeError::Unavailable(source) => source.into(),
        }
    }
}

impl From<ApprovalError> for Problem {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::NoSuchUser => Self::new(Code::NoSuchUser),
            ApprovalError::NothingToApprove => Self::new(Code::NothingToApprove),
            ApprovalError::Unavailable(source) => source.into(),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoSuchUser => Self::new(Code::NoSuchUser),
            AccountError::UsernameTaken => Self::new(Code::UsernameTaken),
            AccountError::TooManyUsernames { retry_after_seconds } => {
                Self::later(Code::TooManyRequests, retry_after_seconds)
            }
            AccountError::FreshTokenRequired => Self::new(Code::FreshTokenRequired),
            AccountError::SessionRevoked => Self::new(Code::SessionRevoked),
            AccountError::Unavailable(source) => source.into(),
        }
    }
}

impl From<SessionsError> for Problem {
    fn from(error: SessionsError) -> Self {
        match error {
            SessionsError::NoSuchUser => Self::new(Code::NoSuchUser),
            SessionsError::Unavailable(source) => source.into(),
        }
    }
}
