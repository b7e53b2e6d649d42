//! Verifying or changing the caller's phone: the five outcomes of the older system, in their order. A change that a known
//! device asks for without the old number waits first.

use std::future::Future;

use thiserror::Error;

use super::bind_phone::{BindOutcome, ConsumedCode, PhoneBinding, is_available, notices};
use super::check_code::{
    CheckCodeStore, ClaimOutcome, CodeKeys, Comparison, GuessCounts, Standing, SubmittedCode, claim_attempt,
};
use crate::rules::challenge::{Challenge, Claim, ClaimRefusal, CodeRefusal, GuessLane};
use crate::rules::delayed_change::ChangeRefusal;
use crate::rules::due::{Due, DueKind};
use crate::rules::failures::Closed;
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::user::{DelayedChange, FormerPhone, PhoneHolder, User};
use crate::values::gateway::Gateway;
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
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

impl ValidateOtpRequest {
    fn consumed_code(&self, challenge: &Challenge) -> ConsumedCode {
        let lane = GuessLane::of(self.challenge_id.as_ref());
        ConsumedCode::new(challenge, lane, &self.organization, &self.phone, &self.caller, self.now)
    }
}

/// A change of number that waits, written as one transaction.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// The user as they were read.
    pub user: User,
    pub code: ConsumedCode,
    pub change: DelayedChange,
    /// Whom the new number's lock names, if they may lose it.
    pub holder: Option<PhoneHolder>,
    /// What is to happen at its time.
    pub due: Vec<Due>,
    pub notices: Vec<Notice>,
}

#[derive(Clone, Debug)]
pub enum ChangeRequestOutcome {
    Requested,
    /// Another request consumed the code first.
    AlreadyConsumed,
    /// The session has ended, or does not belong to the device that asked.
    OtherSession,
    /// Somebody has the new number.
    PhoneTaken(Option<PhoneHolder>),
    /// The user changed since they were read. Holds them as they are now.
    UserChanged(Option<Box<User>>),
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
    fn bind_phone(
        &self,
        code: &ConsumedCode,
        binding: &PhoneBinding,
    ) -> impl Future<Output = Result<BindOutcome, Unavailable>> + Send;
    /// Consumes the code, and writes a change that waits and what is to happen at its time: all or nothing.
    fn request_change(
        &self,
        request: &ChangeRequest,
    ) -> impl Future<Output = Result<ChangeRequestOutcome, Unavailable>> + Send;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPhone {
    /// Set if the phone is not the caller's yet: the change waits.
    pub pending: Option<DelayedChange>,
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
    #[error("the device is no longer known")]
    UnknownDevice,
    #[error("another change of number waits")]
    ChangePending { due_at: Timestamp },
    #[error("the caller changed their number, or asked for that, too often in a few days")]
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
    let waits = outcome.challenge().is_some_and(|challenge| challenge.delayed_by.is_some());
    // A username is set with a fresh token, which whoever lost the number cannot get.
    let needs_no_username = user.phone.as_ref() == Some(&request.phone) || waits;
    match (&user.username, &request.username) {
        (Some(own), Some(named)) if own.is(named) => {}
        (None, None) if needs_no_username => {}
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
    match &challenge.delayed_by {
        Some(key) => request_change(store, limits, &challenge, key, user, request).await,
        None => bind_phone(store, limits, &challenge, user, request).await,
    }
}

async fn request_change(
    store: &impl ValidateOtpStore,
    limits: &Limits,
    challenge: &Challenge,
    device_key: &KeyThumbprint,
    mut user: User,
    request: ValidateOtpRequest,
) -> Result<VerifiedPhone, ValidateOtpError> {
    let mut holder = None;
    for _ in 0..MAX_RETRIES {
        let change = delayed_change(&user, device_key, limits, &request)?;
        let due = |kind, at| Due { at, kind, user: user.id.clone(), requested_at: change.requested_at };
        let reminder = change.reminder_at().map(|at| due(DueKind::ChangeReminder, at));
        let asked = ChangeRequest {
            code: request.consumed_code(challenge),
            due: reminder.into_iter().chain([due(DueKind::Change, change.due_at)]).collect(),
            notices: notices_of_pending(&user, &change, limits, &request),
            holder: holder.clone(),
            change,
            user,
        };
        match store.request_change(&asked).await? {
            ChangeRequestOutcome::Requested => {
                let pending = Some(asked.change);
                return Ok(VerifiedPhone { pending, former_holder: None, carrier: challenge.carrier });
            }
            ChangeRequestOutcome::AlreadyConsumed => return Err(ValidateOtpError::AlreadyVerified),
            ChangeRequestOutcome::OtherSession => return Err(ValidateOtpError::UnknownDevice),
            ChangeRequestOutcome::PhoneTaken(Some(taken)) if is_available(&taken, limits, request.now) => {
                holder = Some(taken);
                user = asked.user;
            }
            ChangeRequestOutcome::PhoneTaken(None) => {
                holder = None;
                user = asked.user;
            }
            ChangeRequestOutcome::PhoneTaken(Some(_)) => return Err(ValidateOtpError::AlreadyVerified),
            ChangeRequestOutcome::UserChanged(current) => user = *current.ok_or(ValidateOtpError::NoSuchUser)?,
        }
    }
    Err(Unavailable::new("ask for a change of number", "the user changed each time").into())
}

/// The change that the caller may ask for.
fn delayed_change(
    user: &User,
    device_key: &KeyThumbprint,
    limits: &Limits,
    request: &ValidateOtpRequest,
) -> Result<DelayedChange, ValidateOtpError> {
    let now = request.now;
    if user.phone.as_ref() == Some(&request.phone) {
        return Err(ValidateOtpError::AlreadyVerified);
    }
    user.may_ask_for_change(device_key, limits, now).map_err(|refusal| match refusal {
        ChangeRefusal::UnknownDevice => ValidateOtpError::UnknownDevice,
        ChangeRefusal::Pending { due_at } => ValidateOtpError::ChangePending { due_at },
        ChangeRefusal::Closed { until } => {
            ValidateOtpError::TooManyChanges { retry_after_seconds: now.seconds_until(until) }
        }
    })?;
    // A proof of the number in this second came before, and so refuses nothing.
    let requested_at = user.phone_proven_at.map_or(now, |at| now.max(at.plus(1)));
    Ok(DelayedChange {
        from: user.phone.clone(),
        to: request.phone.clone(),
        requested_at,
        due_at: requested_at.plus(limits.delayed_change_seconds),
        requested_by: request.session.clone(),
        device_key: device_key.clone(),
        organization: request.organization.clone(),
        ended: None,
    })
}

/// The other devices and the number are told of a change that waits.
fn notices_of_pending(
    user: &User,
    change: &DelayedChange,
    limits: &Limits,
    request: &ValidateOtpRequest,
) -> Vec<Notice> {
    let Some(context) = &request.notices else { return Vec::new() };
    let event = AccountEvent::PhoneChangePending;
    let to_devices = context.to_devices(event, &user.id, Some(&change.requested_by));
    let number = user.reachable_number(limits, request.now).cloned();
    let to_number = number.map(|phone| context.to_number(event, &user.id, phone, change.due_at));
    to_devices.into_iter().chain(to_number).collect()
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
            notices: notices(&user, &request.phone, &former_phones, Some(&request.session), request.notices.as_ref()),
            former_phones,
            user,
            phone: request.phone.clone(),
            proven_at: request.now,
            waited: None,
            former_holder: former_holder.clone(),
            now: request.now,
        };
        match store.bind_phone(&request.consumed_code(challenge), &binding).await? {
            BindOutcome::Bound => {
                let former_holder = former_holder.filter(PhoneHolder::has_phone).map(|holder| holder.user);
                return Ok(VerifiedPhone { pending: None, former_holder, carrier: challenge.carrier });
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
                user = *current.ok_or(ValidateOtpError::NoSuchUser)?;
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
