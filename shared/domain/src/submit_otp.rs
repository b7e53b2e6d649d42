//! Signing in: claim a try, compare, then consume the code and open the session in one transaction.

use std::future::Future;

use crate::challenge::{
    Claim, ClaimOutcome, ClaimRefusal, CodeRefusal, Consumed, IdempotencyDigest, Purpose, TypedCode,
};
use crate::gateway::Gateway;
use crate::ids::{ChallengeId, SessionId, UserId};
use crate::limits::Limits;
use crate::phone::PhoneNumber;
use crate::pumping::Credit;
use crate::send_otp::CodeKeys;
use crate::session::Session;
use crate::text::{DeviceName, FcmToken, OrganizationId};
use crate::user::{Introduction, User};
use crate::{Timestamp, Unavailable};

/// How often a sign-in is tried again because the phone changed hands meanwhile.
const TRIES: usize = 4;

/// A code, typed.
#[derive(Clone, Debug)]
pub struct SubmitOtp {
    /// The phone it went to.
    pub phone: PhoneNumber,
    /// What was typed, for the organization to sign in to.
    pub code: TypedCode,
    /// The challenge it answers, if the client says.
    pub challenge_id: Option<ChallengeId>,
    /// The client's idempotency key, if it sent one.
    pub idempotency: Option<IdempotencyDigest>,
    /// What the client says of a new user.
    pub introduction: Introduction,
    /// Where to push to the device.
    pub fcm_token: Option<FcmToken>,
    /// What the device is called.
    pub device_name: Option<DeviceName>,
    /// When.
    pub now: Timestamp,
    /// A name for the user, if they are new.
    pub new_user: UserId,
    /// A name for the session.
    pub new_session: SessionId,
}

/// Who is signing in.
#[derive(Clone, Debug)]
pub enum Person {
    /// Nobody has this phone: a user is made.
    New(User),
    /// The user who has this phone.
    Known(UserId),
}

/// A sign-in, to be written as one transaction.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The phone that was proven.
    pub phone: PhoneNumber,
    /// Its challenge, not consumed before.
    pub challenge: ChallengeId,
    /// How it is consumed.
    pub consumed: Consumed,
    /// What its messages are credited to, now that its code came back.
    pub credit: Option<Credit>,
    /// Who.
    pub person: Person,
    /// The organization they sign in to.
    pub organization: OrganizationId,
    /// The session that opens.
    pub session: Session,
}

/// The answer to a sign-in.
#[derive(Clone, Debug)]
pub enum SignInOutcome {
    /// Written; the user as they now are.
    SignedIn(User),
    /// Another request consumed the code first; how.
    AlreadyConsumed(Option<Consumed>),
    /// The phone is not whose we thought; who has it now.
    PhoneChangedHands(Option<UserId>),
}

/// What signing in needs of the store.
pub trait SubmitOtpStore: Sync {
    /// Claims a try and, side by side, finds the user who has the phone.
    fn claim_attempt_and_find_user(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> impl Future<Output = Result<(ClaimOutcome, Option<UserId>), Unavailable>> + Send;
    /// Consumes the code, writes user, locks and session: all or nothing.
    fn sign_in(&self, sign_in: &SignIn) -> impl Future<Output = Result<SignInOutcome, Unavailable>> + Send;
    /// Whether a user has the default role alone.
    fn may_use_fixed_code(&self, user: &UserId) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Reads the user and the session that an earlier request opened.
    fn resume(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<(User, Session)>, Unavailable>> + Send;
}

/// Someone is signed in; tokens are to be made for the session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// On which device.
    pub session: Session,
    /// Whether this sign-in made the user.
    pub is_new_user: bool,
    /// Whether they signed in by a test number's fixed code.
    pub is_test_number: bool,
    /// The gateway that carried the code, as far as is known; none where the answer to an earlier request is repeated.
    pub carried_by: Option<Gateway>,
}

/// Why nobody was signed in.
#[derive(Debug)]
pub enum SubmitOtpError {
    /// The code was not accepted.
    Code(CodeRefusal),
    /// The fixed code was right, and its user has roles that a code known to several people must not open.
    TestNumberRefused,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for SubmitOtpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Signs in whoever holds the phone and typed the code.
///
/// # Errors
/// [`SubmitOtpError`]; nobody was signed in then, unless it is `Unavailable`: then the same request may be repeated.
pub async fn submit_otp(
    store: &impl SubmitOtpStore,
    keys: &impl CodeKeys,
    limits: &Limits,
    request: SubmitOtp,
) -> Result<SignedIn, SubmitOtpError> {
    let now = request.now;
    let claim = Claim {
        purpose: Purpose::SignIn,
        phone: request.phone.clone(),
        challenge_id: request.challenge_id.clone(),
        idempotency: request.idempotency.clone(),
        now,
    };
    let (outcome, mut holder) = store.claim_attempt_and_find_user(&claim, limits).await?;
    let record = match outcome {
        ClaimOutcome::Granted(record) => record,
        ClaimOutcome::Refused(refusal, _) => return Err(SubmitOtpError::Code(refusal.as_told_to(&claim))),
    };
    let challenge = &record.challenge;
    let is_test_number = challenge.fixed_code_of.is_some();
    if !record.accepts(&request.code, &claim.purpose, keys).await? {
        let attempts_left = Some(record.attempts_left(&claim, limits));
        return Err(SubmitOtpError::Code(CodeRefusal::Incorrect { attempts_left }));
    }
    if let Some(consumed) = &challenge.consumed {
        return resume(store, &claim, consumed, is_test_number).await;
    }
    for _ in 0..TRIES {
        if let Some(user) = holder.as_ref().filter(|_| is_test_number)
            && !store.may_use_fixed_code(user).await?
        {
            return Err(SubmitOtpError::TestNumberRefused);
        }
        let person = match &holder {
            Some(user) => Person::Known(user.clone()),
            None => Person::New(User::new(
                request.new_user.clone(),
                request.phone.clone(),
                request.introduction.clone(),
                request.code.organization.clone(),
                now,
            )),
        };
        let user_id = holder.as_ref().unwrap_or(&request.new_user).clone();
        let session = Session::open(
            user_id.clone(),
            request.new_session.clone(),
            request.device_name.clone(),
            request.fcm_token.clone(),
            now,
            limits,
        );
        let sign_in = SignIn {
            phone: request.phone.clone(),
            challenge: challenge.id.clone(),
            credit: challenge.credit.clone(),
            consumed: Consumed {
                at: now,
                idempotency: request.idempotency.clone(),
                user: user_id,
                session: Some(session.id.clone()),
            },
            person,
            organization: request.code.organization.clone(),
            session,
        };
        match store.sign_in(&sign_in).await? {
            SignInOutcome::SignedIn(user) => {
                let (session, is_new_user) = (sign_in.session, holder.is_none());
                let carried_by = challenge.carried_by;
                return Ok(SignedIn { user, session, is_new_user, is_test_number, carried_by });
            }
            // It may have been this very request, sent twice.
            SignInOutcome::AlreadyConsumed(consumed) => {
                let same =
                    consumed.filter(|consumed| consumed.may_be_replayed_by(&claim)).ok_or_else(|| used(&claim))?;
                return resume(store, &claim, &same, is_test_number).await;
            }
            SignInOutcome::PhoneChangedHands(now_with) => holder = now_with,
        }
    }
    Err(Unavailable::new("sign in", "the phone kept changing hands").into())
}

/// Answers a request again whose code was consumed by the same request before.
async fn resume(
    store: &impl SubmitOtpStore,
    claim: &Claim,
    consumed: &Consumed,
    is_test_number: bool,
) -> Result<SignedIn, SubmitOtpError> {
    let session = consumed.session.as_ref().ok_or_else(|| used(claim))?;
    let (user, session) = store.resume(&consumed.user, session).await?.ok_or_else(|| used(claim))?;
    let is_new_user = user.created_at == session.created_at;
    Ok(SignedIn { user, session, is_new_user, is_test_number, carried_by: None })
}

fn used(claim: &Claim) -> SubmitOtpError {
    SubmitOtpError::Code(ClaimRefusal::Consumed.as_told_to(claim))
}
