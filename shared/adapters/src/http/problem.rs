//! Problems as clients see them: RFC 9457 problem details.

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
use super::code::Code;
use super::words::{Tongue, Words};

/// When a 503 may be retried. Seconds.
const UNAVAILABLE_RETRY_SECONDS: u32 = 5;

/// A problem. Its source is for the log; the client never sees it.
#[derive(Debug)]
pub struct Problem {
    pub code: Code,
    words: Words,
    /// What is wrong with the request, for whoever writes the client.
    errors: Vec<RequestError>,
    retry_after_seconds: Option<u32>,
    /// Members that only some problems have.
    more: Vec<(&'static str, Value)>,
    proof_refusal: Option<ProofRefusal>,
    source: Option<Unavailable>,
}

/// One thing that is wrong with a request: where, and what was expected. It contains nothing of a value. The members are
/// those of the example in RFC 9457 §3, and `header` and `parameter` beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    place: Place,
    detail: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A JSON pointer as a fragment of a URI (RFC 6901 §6).
    Pointer(String),
    Header(&'static str),
    /// Of the path.
    Parameter(&'static str),
}

impl RequestError {
    /// In the body as a whole.
    pub fn body(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Pointer("#".to_owned()), detail: detail.into() }
    }

    pub fn member(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Pointer(format!("#/{name}")), detail: detail.into() }
    }

    pub fn header(name: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Header(name), detail: detail.into() }
    }

    pub fn parameter(name: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { place: Place::Parameter(name), detail: detail.into() }
    }

    pub(super) fn is_at_member(&self, name: &str) -> bool {
        matches!(&self.place, Place::Pointer(pointer) if pointer.strip_prefix("#/") == Some(name))
    }

    fn json(&self) -> Value {
        match &self.place {
            Place::Pointer(pointer) => json!({"detail": self.detail, "pointer": pointer}),
            Place::Header(header) => json!({"detail": self.detail, "header": header}),
            Place::Parameter(parameter) => json!({"detail": self.detail, "parameter": parameter}),
        }
    }
}

impl Problem {
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            words: Words::OfCode(code),
            errors: Vec::new(),
            retry_after_seconds: None,
            more: Vec::new(),
            proof_refusal: None,
            source: None,
        }
    }

    /// A malformed request.
    pub fn malformed(errors: impl Into<Vec<RequestError>>) -> Self {
        Self::new(Code::MalformedRequest).because(errors)
    }

    #[must_use]
    pub fn because(self, errors: impl Into<Vec<RequestError>>) -> Self {
        Self { errors: errors.into(), ..self }
    }

    /// Adds how the person may go on without waiting, if the wait is longer than `seconds`.
    #[must_use]
    pub fn or_else_by(self, other_ways: &[&'static str], seconds: u32) -> Self {
        let is_long = self.retry_after_seconds.is_some_and(|wait| wait > seconds);
        if is_long && !other_ways.is_empty() { self.with("other_ways", json!(other_ways)) } else { self }
    }

    fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    fn with_moment(self, name: &'static str, at: Timestamp) -> Self {
        self.with(name, json!(at.seconds()))
    }

    /// An organization that has no settings, named in the body.
    pub fn no_such_organization() -> Self {
        let how = "no organization has this id; an operator adds one with `latchkey organization apply`";
        Self::new(Code::NoSuchOrganization).because([RequestError::member("organization_id", how)])
    }

    fn later(code: Code, retry_after_seconds: u32) -> Self {
        // A wait of 0 seconds would make clients retry at once.
        Self { retry_after_seconds: Some(retry_after_seconds.max(1)), ..Self::new(code) }
    }

    fn unavailable(code: Code, source: Unavailable) -> Self {
        Self { source: Some(source), ..Self::later(code, UNAVAILABLE_RETRY_SECONDS) }
    }

    /// What is wrong with a proof, for the log.
    pub const fn proof_refusal(&self) -> Option<ProofRefusal> {
        self.proof_refusal
    }

    /// What the log gets beyond the code.
    pub const fn source(&self) -> Option<&Unavailable> {
        self.source.as_ref()
    }

    /// `documentation` is the URL of the documents, of which a problem's type is a page.
    pub fn into_answer(self, tongue: Tongue, documentation: Option<&str>) -> Answer {
        let (status, code, title) = (self.code.status(), self.code.as_str(), self.code.title());
        let kind = match documentation {
            Some(url) => format!("{url}/problems/{code}/"),
            None => format!("urn:latchkey:problem:{code}"),
        };
        let mut members = Map::new();
        members.insert("type".into(), json!(kind));
        members.insert("title".into(), json!(title));
        members.insert("status".into(), json!(status));
        members.insert("detail".into(), json!(self.words.say(tongue, self.retry_after_seconds)));
        members.insert("code".into(), json!(code));
        if !self.errors.is_empty() {
            members.insert("errors".into(), self.errors.iter().map(RequestError::json).collect());
        }
        members.extend(self.retry_after_seconds.map(|seconds| ("retry_after".to_owned(), json!(seconds))));
        members.extend(self.more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut answer = Answer::json(status, &Value::Object(members))
            .with_header("content-type", "application/problem+json")
            .with_header("content-language", tongue.tag())
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
            ProofRefusal::OutsideTime => "the Date header of this answer has the time; send a new proof",
            ProofRefusal::UnboundSession => "send a code to the former number and submit it with restore",
            ProofRefusal::UnboundToken => "follow the token_type of the answer that had the token",
            _ => "send a new proof of this request by the device's key (RFC 9449)",
        };
        Self {
            errors: vec![RequestError::header("DPoP", format!("{refusal}; {what_to_do}"))],
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
            CodeRefusal::Incorrect { attempts_left: Some(0) } => {
                Self { words: Words::LastWrongCode, ..Self::new(Code::IncorrectOtp) }.with("attempts_left", json!(0))
            }
            CodeRefusal::Incorrect { attempts_left: Some(left) } => {
                Self::new(Code::IncorrectOtp).with("attempts_left", json!(left))
            }
            CodeRefusal::Incorrect { attempts_left: None } => Self::new(Code::IncorrectOtp),
            CodeRefusal::Expired => Self::new(Code::OtpExpired),
            CodeRefusal::TooManyAttempts => Self::new(Code::TooManyAttempts).with("attempts_left", json!(0)),
            CodeRefusal::TooManyRequests { retry_after_seconds } => {
                Self::later(Code::TooManyRequests, retry_after_seconds)
            }
        }
    }
}

impl From<Release> for Problem {
    fn from(Release { reason, until }: Release) -> Self {
        let (words, undoes) = match reason {
            ReleaseReason::AccountDeleted => (Words::OfCode(Code::NumberReleased), "account_deletion"),
            ReleaseReason::NumberChanged => (Words::NumberChanged, "number_change"),
        };
        let problem = Self { words, ..Self::new(Code::NumberReleased) };
        problem.with("undoes", json!(undoes)).with_moment("undo_until", until)
    }
}

impl Problem {
    fn change_pending(due_at: Timestamp) -> Self {
        Self::new(Code::ChangePending).with_moment("due_at", due_at)
    }

    fn recovery_pending(recovery: &Recovery) -> Self {
        let problem = Self::new(Code::RecoveryPending).with_moment("opens_at", recovery.opens_at);
        problem.with_moment("closes_at", recovery.closes_at())
    }

    fn recovery_refused(until: Timestamp) -> Self {
        Self::new(Code::RecoveryRefused).with_moment("possible_at", until)
    }

    fn second_signal_required(approval_requested: bool) -> Self {
        let problem = Self::new(Code::SecondSignalRequired);
        if approval_requested { problem.with("approval_asked", json!(true)) } else { problem }
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
            SubmitOtpError::Code(CodeRefusal::Incorrect { attempts_left: None }) => {
                Self { words: Words::WrongOrOver, ..Self::new(Code::IncorrectOtp) }
            }
            SubmitOtpError::Code(refusal) => refusal.into(),
            SubmitOtpError::TestNumberRefused => Self::new(Code::TestNumberRefused),
            SubmitOtpError::NotAMember => Self::new(Code::NotAMember),
            SubmitOtpError::Blocked => Self::new(Code::AccountBlocked),
            SubmitOtpError::SecondSignalRequired { approval_requested } => {
                Self::second_signal_required(approval_requested)
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
