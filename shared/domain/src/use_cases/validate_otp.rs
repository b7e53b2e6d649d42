//! Verifying or changing the caller's phone: the five outcomes of the older system, in their order.

use std::future::Future;

use thiserror::Error;

use super::check_code::{
    CheckCodeStore, ClaimOutcome, CodeKeys, Comparison, GuessCounts, Standing, SubmittedCode, claim_attempt,
};
use crate::rules::challenge::{Challenge, Claim, ClaimRefusal, CodeRefusal, Consumption, GuessLane};
use crate::rules::failures::Closed;
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::pumping::VerificationCredit;
use crate::rules::user::{FormerPhone, PhoneHolder, User};
use crate::values::gateway::Gateway;
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::otp_code::OtpCode;
use crate::values::phone::PhoneNumber;
use crate::values::purpose::Purpose;
use crate::values::source_address::SourceAddress;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a binding is retried because the caller's user changed in between.
const MAX_RETRIES: usize = 4;

#[derive(Clone, Debug)]
pub struct ValidateOtpRequest {
    pub caller: UserId,
    pub session: SessionId,
    /// The organization whose send asked for the code.
    pub organization: OrganizationId,
    /// Must be the caller's own. Whoever has none proves only the number that they have.
    pub username: Option<String>,
    pub phone: PhoneNumber,
    pub code: OtpCode,
    pub challenge_id: Option<ChallengeId>,
    pub source: SourceAddress,
    /// None where nobody is told of changes.
    pub notices: Option<NoticeContext>,
    pub now: Timestamp,
}

/// A proven phone and the user to bind it to, written as one transaction.
#[derive(Clone, Debug)]
pub struct PhoneBinding {
    /// The user as they were read.
    pub user: User,
    pub organization: OrganizationId,
    pub phone: PhoneNumber,
    /// Not consumed when it was claimed.
    pub challenge: ChallengeId,
    pub lane: GuessLane,
    /// Whom the phone's lock names: a user who has not proven it for long and loses it, or one who could once take it back.
    pub former_holder: Option<PhoneHolder>,
    /// The numbers that the user may take back after the change.
    pub former_phones: Vec<FormerPhone>,
    pub credit: Option<VerificationCredit>,
    /// What the devices and the former number are told of a change.
    pub notices: Vec<Notice>,
    pub now: Timestamp,
}

impl PhoneBinding {
    pub fn consumption(&self) -> Consumption {
        Consumption { at: self.now, idempotency: None, user: self.user.id.clone(), session: None }
    }
}

#[derive(Clone, Debug)]
pub enum BindOutcome {
    /// The phone is the caller's. The number they had before is kept for an undo.
    Bound,
    /// Another request consumed the code first.
    AlreadyConsumed,
    /// Another user has the phone.
    PhoneTaken(Option<PhoneHolder>),
    /// The caller's phone changed since it was read. Holds the user as they are now.
    UserChanged(Option<User>),
}

/// What counting a guess of the caller's did.
#[derive(Clone, Debug)]
pub struct CallerCount {
    pub user: Option<User>,
    /// Set if the caller had too many wrong codes in a row, at whatever phones.
    pub closed: Option<Closed>,
}

pub trait ValidateOtpStore: CheckCodeStore {
    /// [`CheckCodeStore::count_guess`] and, at the same time, a count of the guess as a failure of the caller's, which also
    /// returns the caller's user.
    fn count_guess_of_caller(
        &self,
        claim: &Claim,
        caller: &UserId,
        limits: &Limits,
    ) -> impl Future<Output = Result<(GuessCounts, CallerCount), Unavailable>> + Send;
    fn session_is_open(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Consumes the code and binds the phone to the caller: all or nothing.
    fn bind_phone(&self, binding: &PhoneBinding) -> impl Future<Output = Result<BindOutcome, Unavailable>> + Send;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPhone {
    /// The user who lost the phone, because they had not proven it for long.
    pub former_holder: Option<UserId>,
    /// The gateway that carried the code, as far as is known.
    pub carrier: Option<Gateway>,
}

#[derive(Debug, Error)]
pub enum ValidateOtpError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("the request names no username")]
    UsernameMissing,
    #[error("the username is not the caller's, or no code is pending for this phone and caller")]
    PhoneOrUsernameMistaken,
    #[error("the caller has another verified phone and did not ask to change it, or another user has this one by now")]
    AlreadyVerified,
    #[error("the code was not accepted")]
    Code(CodeRefusal),
    #[error("the session was ended")]
    SessionRevoked,
    #[error("the caller changed their number too often in a few days")]
    TooManyChanges { retry_after_seconds: u32 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Binds the phone to the caller if the code is right. After an error nothing was bound.
pub async fn validate_otp(
    store: &impl ValidateOtpStore,
    keys: &impl CodeKeys,
    limits: &Limits,
    request: ValidateOtpRequest,
) -> Result<VerifiedPhone, ValidateOtpError> {
    let claim = Claim {
        purpose: Purpose::VerifyPhone { organization: request.organization.clone(), caller: request.caller.clone() },
        phone: request.phone.clone(),
        lane: GuessLane::of(request.challenge_id.as_ref()),
        challenge_id: request.challenge_id.clone(),
        idempotency: None,
        source: request.source.clone(),
        now: request.now,
    };
    // Read before the attempt is counted, as in a sign-in.
    keys.current().await?;
    let (counted, CallerCount { user, closed }) = store.count_guess_of_caller(&claim, &request.caller, limits).await?;
    let outcome = match (claim_attempt(store, &claim, Standing::Anyone, limits, counted).await?, closed) {
        (ClaimOutcome::Granted(granted), Some(closed)) => {
            ClaimOutcome::Refused(closed.into(), Some(granted.challenge().clone()))
        }
        (ClaimOutcome::Refused(refusal, challenge), Some(closed)) => {
            ClaimOutcome::Refused(refusal.and_closed(closed), challenge)
        }
        (outcome, None) => outcome,
    };
    let user = user.ok_or(ValidateOtpError::NoSuchUser)?;
    match (&user.username, &request.username) {
        (Some(own), Some(named)) if own.is(named) => {}
        (None, None) if user.phone.as_ref() == Some(&request.phone) => {}
        (_, None) => return Err(ValidateOtpError::UsernameMissing),
        (_, Some(_)) => return Err(ValidateOtpError::PhoneOrUsernameMistaken),
    }
    let granted = match outcome {
        ClaimOutcome::Granted(granted) => granted,
        ClaimOutcome::Refused(refusal, challenge) => {
            let changes_number = challenge.is_some_and(|challenge| challenge.changes_number);
            return Err(refused(&refusal, &user, changes_number, &claim));
        }
    };
    if user.has_other_phone(&request.phone) && !granted.challenge().changes_number {
        return Err(ValidateOtpError::AlreadyVerified);
    }
    former_phones(&user, limits, &request)?;
    let code = SubmittedCode { code: request.code.clone(), fixed: None };
    let challenge = match granted.accepts(&code, keys, limits).await? {
        Comparison::Correct(challenge) => challenge,
        Comparison::Incorrect(refusal) => return Err(ValidateOtpError::Code(refusal)),
    };
    bind_phone(store, limits, &challenge, user, request).await
}

async fn bind_phone(
    store: &impl ValidateOtpStore,
    limits: &Limits,
    challenge: &Challenge,
    mut user: User,
    request: ValidateOtpRequest,
) -> Result<VerifiedPhone, ValidateOtpError> {
    let mut former_holder = None;
    for _ in 0..MAX_RETRIES {
        let former_phones = former_phones(&user, limits, &request)?;
        let binding = PhoneBinding {
            notices: notices(&user, &former_phones, &request),
            former_phones,
            user,
            organization: request.organization.clone(),
            phone: request.phone.clone(),
            challenge: challenge.id.clone(),
            lane: GuessLane::of(request.challenge_id.as_ref()),
            former_holder: former_holder.clone(),
            credit: challenge.credit.clone(),
            now: request.now,
        };
        match store.bind_phone(&binding).await? {
            BindOutcome::Bound => {
                let former_holder = former_holder.filter(PhoneHolder::has_phone).map(|holder| holder.user);
                return Ok(VerifiedPhone { former_holder, carrier: challenge.carrier });
            }
            BindOutcome::PhoneTaken(Some(holder)) if is_available(&holder, limits, request.now) => {
                former_holder = Some(holder);
                user = binding.user;
            }
            // The former holder lost the phone or deleted their account since.
            BindOutcome::PhoneTaken(None) => {
                former_holder = None;
                user = binding.user;
            }
            BindOutcome::AlreadyConsumed | BindOutcome::PhoneTaken(Some(_)) => {
                return Err(ValidateOtpError::AlreadyVerified);
            }
            BindOutcome::UserChanged(current) => {
                user = current.ok_or(ValidateOtpError::NoSuchUser)?;
                // An undo may have returned the number, and ended the session.
                if !store.session_is_open(&request.caller, &request.session, request.now).await? {
                    return Err(ValidateOtpError::SessionRevoked);
                }
                if user.has_other_phone(&request.phone) && !challenge.changes_number {
                    return Err(ValidateOtpError::AlreadyVerified);
                }
            }
        }
    }
    Err(Unavailable::new("bind a phone", "the user changed each time").into())
}

/// The numbers that the caller may take back after the change.
fn former_phones(
    user: &User,
    limits: &Limits,
    request: &ValidateOtpRequest,
) -> Result<Vec<FormerPhone>, ValidateOtpError> {
    let after = user.former_phones_after(&request.phone, &request.session, request.now, limits);
    after
        .map_err(|room_at| ValidateOtpError::TooManyChanges { retry_after_seconds: request.now.seconds_until(room_at) })
}

/// Who is told of a change: the other devices, and the former number if it can take the change back.
fn notices(user: &User, former_phones: &[FormerPhone], request: &ValidateOtpRequest) -> Vec<Notice> {
    let (Some(context), Some(former)) = (&request.notices, &user.phone) else { return Vec::new() };
    if *former == request.phone {
        return Vec::new();
    }
    let to_devices = context.to_devices(AccountEvent::PhoneChanged, &user.id, Some(&request.session));
    let kept = former_phones.iter().find(|kept| kept.phone == *former);
    let to_number =
        kept.map(|kept| context.to_number(AccountEvent::PhoneChanged, &user.id, kept.phone.clone(), kept.until));
    to_devices.into_iter().chain(to_number).collect()
}

/// Whether a phone that names a holder may go to somebody else.
fn is_available(holder: &PhoneHolder, limits: &Limits, now: Timestamp) -> bool {
    match holder.release {
        Some(release) => !release.is_pending(now),
        None => holder.is_dormant(limits, now),
    }
}

fn refused(refusal: &ClaimRefusal, user: &User, changes_number: bool, claim: &Claim) -> ValidateOtpError {
    match refusal {
        ClaimRefusal::NoSuchChallenge => ValidateOtpError::PhoneOrUsernameMistaken,
        // An expired code is no longer pending; only a client that shows its challenge learns that it was.
        ClaimRefusal::Expired if claim.challenge_id.is_none() => ValidateOtpError::PhoneOrUsernameMistaken,
        // The code was consumed by an earlier request, so whoever repeats that request is verified.
        ClaimRefusal::Consumed => ValidateOtpError::AlreadyVerified,
        ClaimRefusal::AttemptsExhausted | ClaimRefusal::Closed { .. }
            if user.has_other_phone(&claim.phone) && !changes_number =>
        {
            ValidateOtpError::AlreadyVerified
        }
        ClaimRefusal::Expired | ClaimRefusal::AttemptsExhausted | ClaimRefusal::Closed { .. } => {
            ValidateOtpError::Code(refusal.to_client(claim))
        }
    }
}
