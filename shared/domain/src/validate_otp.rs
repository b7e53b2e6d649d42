//! Verifying or changing a phone: the five outcomes of the older system, in their order.

use std::future::Future;

use crate::challenge::{Claim, ClaimOutcome, ClaimRefusal, CodeRefusal, Consumed, Purpose, TypedCode};
use crate::gateway::Gateway;
use crate::ids::{ChallengeId, UserId};
use crate::limits::Limits;
use crate::phone::PhoneNumber;
use crate::pumping::Credit;
use crate::send_otp::CodeKeys;
use crate::sign_in::Holder;
use crate::user::User;
use crate::{Timestamp, Unavailable};

/// How often a binding is tried again because the caller's own record changed meanwhile.
const TRIES: usize = 4;

/// A code, typed by a signed-in caller.
#[derive(Clone, Debug)]
pub struct ValidateOtp {
    /// Who.
    pub caller: UserId,
    /// Who they say they are.
    pub username: String,
    /// The phone the code went to.
    pub phone: PhoneNumber,
    /// What was typed.
    pub code: TypedCode,
    /// The challenge it answers, if the client says.
    pub challenge_id: Option<ChallengeId>,
    /// When.
    pub now: Timestamp,
}

/// A proven phone, to be bound to its user in one transaction.
#[derive(Clone, Debug)]
pub struct BindPhone {
    /// The user as they were read.
    pub user: User,
    /// The phone that becomes theirs.
    pub phone: PhoneNumber,
    /// Its challenge, not consumed before.
    pub challenge: ChallengeId,
    /// Who had the phone and has not proven it for long, if it is to be taken from them.
    pub former: Option<UserId>,
    /// What its messages are credited to, now that its code came back.
    pub credit: Option<Credit>,
    /// When.
    pub now: Timestamp,
}

impl BindPhone {
    /// How the challenge is consumed.
    pub fn consumed(&self) -> Consumed {
        Consumed { at: self.now, idempotency: None, user: self.user.id.clone(), session: None }
    }
}

/// The answer to a binding.
#[derive(Clone, Debug)]
pub enum BindOutcome {
    /// The phone is the caller's, and the number they had before is free.
    Bound,
    /// Another request consumed the code first.
    AlreadyConsumed,
    /// Another user has that phone.
    PhoneTaken(Option<Holder>),
    /// The caller's phone changed since it was read; the user as they are now.
    UserChanged(Option<User>),
}

/// What validating needs of the store.
pub trait ValidateOtpStore: Sync {
    /// Claims a try and, side by side, reads the caller's user.
    fn claim_attempt_and_read_caller(
        &self,
        claim: &Claim,
        caller: &UserId,
        limits: &Limits,
    ) -> impl Future<Output = Result<(ClaimOutcome, Option<User>), Unavailable>> + Send;
    /// Consumes the code and moves the phone to the caller: all or nothing.
    fn bind_phone(&self, binding: &BindPhone) -> impl Future<Output = Result<BindOutcome, Unavailable>> + Send;
}

/// A phone is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whether by a test number's fixed code.
    pub is_test_number: bool,
    /// Whose the phone was, if it was taken from someone who had not proven it for long.
    pub set_aside: Option<UserId>,
    /// The gateway that carried the code, as far as is known.
    pub carried_by: Option<Gateway>,
}

/// Why no phone was verified.
#[derive(Debug)]
pub enum ValidateOtpError {
    /// The caller's user is gone.
    NoSuchUser,
    /// The username is not the caller's, or no code is pending for that phone and caller.
    PhoneOrUsernameMistaken,
    /// The caller is verified and did not ask to change; or the phone is someone else's by now.
    AlreadyVerified,
    /// The code was not accepted.
    Code(CodeRefusal),
    /// The fixed code was right, and the caller has roles that a code known to several people must not serve.
    TestNumberRefused,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for ValidateOtpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Binds the phone to the caller, if the code is right.
///
/// # Errors
/// [`ValidateOtpError`]; nothing was bound then.
pub async fn validate_otp(
    store: &impl ValidateOtpStore,
    keys: &impl CodeKeys,
    limits: &Limits,
    request: ValidateOtp,
) -> Result<Verified, ValidateOtpError> {
    let claim = Claim {
        purpose: Purpose::VerifyPhone { caller: request.caller.clone() },
        phone: request.phone.clone(),
        challenge_id: request.challenge_id.clone(),
        idempotency: None,
        now: request.now,
    };
    let (outcome, user) = store.claim_attempt_and_read_caller(&claim, &request.caller, limits).await?;
    let mut user = user.ok_or(ValidateOtpError::NoSuchUser)?;
    if !user.username.as_ref().is_some_and(|own| own.is(&request.username)) {
        return Err(ValidateOtpError::PhoneOrUsernameMistaken);
    }
    let record = match outcome {
        ClaimOutcome::Granted(record) => record,
        ClaimOutcome::Refused(refusal, record) => {
            let changes_number = record.is_some_and(|record| record.challenge.changes_number);
            return Err(refused(&refusal, &user, changes_number, &claim));
        }
    };
    let challenge = &record.challenge;
    if user.phone.is_some() && !challenge.changes_number {
        return Err(ValidateOtpError::AlreadyVerified);
    }
    if !record.accepts(&request.code, &claim.purpose, keys).await? {
        let attempts_left = Some(record.attempts_left(&claim, limits));
        return Err(ValidateOtpError::Code(CodeRefusal::Incorrect { attempts_left }));
    }
    let is_test_number = challenge.fixed_code_of.is_some();
    if is_test_number && !user.may_use_fixed_code() {
        return Err(ValidateOtpError::TestNumberRefused);
    }
    let mut former = None;
    for _ in 0..TRIES {
        let binding = BindPhone {
            user,
            phone: request.phone.clone(),
            challenge: challenge.id.clone(),
            former: former.clone(),
            credit: challenge.credit.clone(),
            now: request.now,
        };
        match store.bind_phone(&binding).await? {
            BindOutcome::Bound => {
                return Ok(Verified { is_test_number, set_aside: former, carried_by: challenge.carried_by });
            }
            BindOutcome::PhoneTaken(Some(holder)) if holder.is_dormant(limits, request.now) => {
                former = Some(holder.user);
                user = binding.user;
            }
            BindOutcome::AlreadyConsumed | BindOutcome::PhoneTaken(_) => return Err(ValidateOtpError::AlreadyVerified),
            BindOutcome::UserChanged(now_is) => user = now_is.ok_or(ValidateOtpError::NoSuchUser)?,
        }
    }
    Err(Unavailable::new("bind a phone", "the user kept changing").into())
}

fn refused(refusal: &ClaimRefusal, user: &User, changes_number: bool, claim: &Claim) -> ValidateOtpError {
    match refusal {
        ClaimRefusal::NoSuchChallenge => ValidateOtpError::PhoneOrUsernameMistaken,
        // An expired code is no longer pending; only who shows its challenge learns that it once was.
        ClaimRefusal::Expired if claim.challenge_id.is_none() => ValidateOtpError::PhoneOrUsernameMistaken,
        // The code did its work, once: whoever repeats the request is verified.
        ClaimRefusal::Consumed => ValidateOtpError::AlreadyVerified,
        ClaimRefusal::Spent { .. } | ClaimRefusal::Closed { .. } if user.phone.is_some() && !changes_number => {
            ValidateOtpError::AlreadyVerified
        }
        ClaimRefusal::Expired | ClaimRefusal::Spent { .. } | ClaimRefusal::Closed { .. } => {
            ValidateOtpError::Code(refusal.as_told_to(claim))
        }
    }
}
