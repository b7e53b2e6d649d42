//! Sending a code: one transaction reserves every limit before the message goes out, and the reservation is released if no
//! message goes out.

mod plan;

use std::future::Future;

use thiserror::Error;

use super::check_code::CodeKeys;
use crate::rules::limits::Limits;
use crate::rules::message::Message;
use crate::rules::pumping::{Budget, CounterScope};
use crate::values::gateway::Gateway;
use crate::values::ids::ChallengeId;
use crate::values::otp_code::OtpCode;
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::purpose::Purpose;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

pub use self::plan::{
    ChallengeChange, ContextError, IssuedId, ProvenDevice, Resend, SendContext, SendPurpose, SendRequest,
    SendReservation, SendSchedule, SendState,
};
use self::plan::{Plan, PlanError, plan};

/// How often a send is planned again because another send changed the phone's record or filled a counter. Each plan that
/// fails at a counter finds it full, and there are as many counters as shards.
const MAX_PLANS: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationOutcome {
    Reserved,
    /// Another send changed what the plan was made for, or the challenge to resend ended. Nothing was reserved.
    Conflict,
}

pub trait SendOtpStore: Sync {
    /// Reads everything that a plan needs at the same time, except the highest verified day. The device keys of the phone's
    /// holder are read only if there is a `device` to compare with them.
    fn read_send_state(
        &self,
        purpose: &Purpose,
        phone: &PhoneNumber,
        device: Option<ProvenDevice<'_>>,
        scope: Option<&CounterScope>,
        limits: &Limits,
        now: Timestamp,
    ) -> impl Future<Output = Result<SendState, Unavailable>> + Send;
    /// The highest number of verified messages in the scope's country on one of the 14 days before today.
    fn highest_verified_day(
        &self,
        scope: &CounterScope,
        now: Timestamp,
    ) -> impl Future<Output = Result<u32, Unavailable>> + Send;
    /// All or nothing.
    fn reserve_send(
        &self,
        reservation: &SendReservation,
    ) -> impl Future<Output = Result<ReservationOutcome, Unavailable>> + Send;
    /// Releases a reservation, because no message went out.
    fn release_send(&self, reservation: &SendReservation) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Records that another gateway than the first one carried the code.
    fn record_carrier(
        &self,
        reservation: &SendReservation,
        challenge: &ChallengeId,
        gateway: Gateway,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum SendFailure {
    #[error("a gateway says that the number cannot receive messages")]
    NumberRefused,
    #[error("a gateway blocked the message as fraud")]
    Blocked,
    #[error("no gateway accepted the message")]
    NoGateway(#[source] Unavailable),
}

pub trait SmsGateways: Sync {
    /// The gateway that would be called first; none if no route leads to the number.
    fn first_choice(&self, to: &DialledNumber) -> Option<Gateway>;
    /// Sends a message by the number's route. Returns the gateway that accepted it.
    fn send(&self, to: &DialledNumber, message: &Message) -> impl Future<Output = Result<Gateway, SendFailure>> + Send;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentOtp {
    /// The id that this send issued.
    pub challenge: ChallengeId,
    pub expires_in_seconds: u32,
    pub resend_in_seconds: u32,
    /// Attempts left with the issued id.
    pub attempts_left: u32,
    /// Nothing was sent to a test number.
    pub is_test_number: bool,
    /// How long the change waits for which the code is, if it waits.
    pub change_waits_seconds: Option<u32>,
}

#[derive(Debug, Error)]
pub enum SendOtpError {
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("the caller has another verified phone and did not ask to change it, or asked to change it to itself")]
    AlreadyVerified,
    #[error("another change of number waits")]
    ChangePending { due_at: Timestamp },
    #[error("a limit is reached")]
    TooManyRequests { retry_after_seconds: u32 },
    #[error("a gateway says that the number cannot receive messages")]
    NumberRefused,
    /// The reservation is kept.
    #[error("a gateway blocked the message as fraud")]
    Blocked { retry_after_seconds: u32 },
    /// The reservation was released.
    #[error("no gateway accepted the message")]
    NoGateway(#[source] Unavailable),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Sends a code. The answer is the same whether or not the number has a user. `report` is called once for each budget that
/// the message exceeds, whether that budget refuses the message or not. After an error no message was sent, except that a
/// gateway that gave no answer may have sent it.
pub async fn send_otp(
    store: &impl SendOtpStore,
    keys: &impl CodeKeys,
    gateways: &impl SmsGateways,
    context: &SendContext<'_>,
    report: impl Fn(Budget) + Sync,
) -> Result<SentOtp, SendOtpError> {
    for _ in 0..MAX_PLANS {
        let state = read_state(store, context).await?;
        let current = keys.current().await?;
        let plan = plan(context, &state, current.version()).map_err(|refusal| refused(refusal, &report))?;
        // Do fallible reads before irreversible writes: the key is read before anything is reserved.
        let key = if plan.challenge.key_version == *current.version() {
            current
        } else {
            keys.version(&plan.challenge.key_version).await?
        };
        match store.reserve_send(&plan.reservation).await? {
            ReservationOutcome::Conflict => continue,
            ReservationOutcome::Reserved => plan.exceeded.iter().copied().for_each(&report),
        }
        if !context.is_test_number {
            let code = key.derive(&plan.challenge.id, &context.purpose, context.phone());
            deliver(store, gateways, context, &plan, &code).await?;
        }
        return Ok(sent(context, plan));
    }
    Err(Unavailable::new("reserve a send", "other sends changed the phone's record each time").into())
}

async fn read_state(store: &impl SendOtpStore, context: &SendContext<'_>) -> Result<SendState, Unavailable> {
    let SendContext { limits, request, purpose, scope, .. } = context;
    let scope = scope.as_ref();
    let mut state =
        store.read_send_state(purpose, context.phone(), context.device(), scope, limits, request.now).await?;
    // The highest day can only raise a budget, so it is read only if a budget would otherwise be exceeded.
    if let Some(scope) = scope
        && !state.counts.decide(limits, request.now).exceeded.is_empty()
    {
        state.counts.highest_verified_day = store.highest_verified_day(scope, request.now).await?;
    }
    Ok(state)
}

fn refused(error: PlanError, report: &impl Fn(Budget)) -> SendOtpError {
    match error {
        PlanError::NoSuchUser => SendOtpError::NoSuchUser,
        PlanError::AlreadyVerified => SendOtpError::AlreadyVerified,
        PlanError::ChangePending { due_at } => SendOtpError::ChangePending { due_at },
        PlanError::FreshTokenRequired => ContextError::FreshTokenRequired.into(),
        PlanError::TooManyRequests { retry_after_seconds, exceeded } => {
            exceeded.into_iter().for_each(report);
            SendOtpError::TooManyRequests { retry_after_seconds }
        }
        PlanError::NoCounterHasRoom => Unavailable::new("plan a send", error).into(),
    }
}

async fn deliver(
    store: &impl SendOtpStore,
    gateways: &impl SmsGateways,
    context: &SendContext<'_>,
    plan: &Plan,
    code: &OtpCode,
) -> Result<(), SendOtpError> {
    let message =
        context.organization.format.write(context.request.language, context.request.purpose.of_message(), code);
    match gateways.send(&context.request.phone, &message).await {
        Ok(carrier) => {
            if plan.challenge.carrier != Some(carrier) {
                // If this fails, the metrics count a sign-in for the wrong gateway; nothing else.
                let _ = store.record_carrier(&plan.reservation, &plan.challenge.id, carrier).await;
            }
            Ok(())
        }
        // The reservation is kept: gateways fine senders who keep sending to numbers that cannot receive.
        Err(SendFailure::NumberRefused) => Err(SendOtpError::NumberRefused),
        // The reservation is kept: otherwise whoever causes such messages could go on without a limit.
        Err(SendFailure::Blocked) => Err(SendOtpError::Blocked { retry_after_seconds: resend_in(context, plan) }),
        Err(SendFailure::NoGateway(why)) => {
            // If this fails too, the caller waits longer than necessary. The first failure is the one to report.
            let _ = store.release_send(&plan.reservation).await;
            Err(SendOtpError::NoGateway(why))
        }
    }
}

fn sent(context: &SendContext<'_>, plan: Plan) -> SentOtp {
    SentOtp {
        resend_in_seconds: resend_in(context, &plan),
        challenge: plan.issued_id,
        expires_in_seconds: context.request.now.seconds_until(plan.challenge.expires_at),
        attempts_left: context.limits.code_attempts.saturating_sub(plan.attempts),
        is_test_number: context.is_test_number,
        change_waits_seconds: context.delayed_by.as_ref().map(|_| context.limits.delayed_change_seconds),
    }
}

/// When the phone's next send is possible, after this one. Seconds.
fn resend_in(context: &SendContext<'_>, plan: &Plan) -> u32 {
    context.request.now.seconds_until(plan.next_send_at)
}
