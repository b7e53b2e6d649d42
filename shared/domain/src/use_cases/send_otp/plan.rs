//! Planning a send: what it reserves, given what was read. Pure.

use thiserror::Error;

use crate::rules::challenge::{Challenge, ChallengeRecord, MAX_ISSUED_IDS};
use crate::rules::code_key::CodeKeyVersion;
use crate::rules::limits::Limits;
use crate::rules::organization::Organization;
use crate::rules::pumping::{Budget, CounterReservation, CounterScope, MessageCounts, VerificationCredit};
use crate::rules::token::Caller;
use crate::rules::user::User;
use crate::values::gateway::Gateway;
use crate::values::ids::ChallengeId;
use crate::values::language::Language;
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::purpose::Purpose;
use crate::values::source_address::SourceAddress;
use crate::values::text::OrganizationId;
use crate::values::time::{DAY, Timestamp};

/// Who asks for a code, and for what.
#[derive(Clone, Debug)]
pub enum SendPurpose {
    SignIn,
    VerifyPhone {
        caller: Caller,
        /// Whether the caller wants to change a number that is already verified.
        change: bool,
    },
}

impl SendPurpose {
    fn code_purpose(&self, organization: OrganizationId) -> Purpose {
        match self {
            Self::SignIn => Purpose::SignIn { organization },
            Self::VerifyPhone { caller, .. } => Purpose::VerifyPhone { organization, caller: caller.user.clone() },
        }
    }

    const fn changes_number(&self) -> bool {
        matches!(self, Self::VerifyPhone { change: true, .. })
    }
}

#[derive(Clone, Debug)]
pub struct SendRequest {
    pub purpose: SendPurpose,
    pub phone: DialledNumber,
    pub source: SourceAddress,
    pub now: Timestamp,
    /// The id that this send issues.
    pub new_id: ChallengeId,
    /// Any random number: the counter shard to try first.
    pub shard_seed: u32,
    pub language: &'static Language,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ContextError {
    #[error("the organization does not send to this country")]
    CountryNotAllowed,
    #[error("this requires an access token that was issued for a code")]
    FreshTokenRequired,
}

/// A request with all that follows from it and the settings, resolved once.
#[derive(Clone, Debug)]
pub struct SendContext<'a> {
    pub(super) organization: &'a Organization,
    pub(super) limits: &'a Limits,
    pub(super) request: SendRequest,
    /// The gateway to try first; none if no route leads to the number.
    gateway: Option<Gateway>,
    pub(super) purpose: Purpose,
    /// Whether the phone is one of the organization's test numbers, whose fixed code can only sign in.
    pub(super) is_test_number: bool,
    /// None for a test number, to which nothing is sent.
    pub(super) scope: Option<CounterScope>,
}

impl<'a> SendContext<'a> {
    pub fn resolve(
        organization: &'a Organization,
        limits: &'a Limits,
        first_gateway: Option<Gateway>,
        request: SendRequest,
    ) -> Result<Self, ContextError> {
        let DialledNumber { number, country, .. } = &request.phone;
        let is_sign_in = matches!(request.purpose, SendPurpose::SignIn);
        let is_test_number = is_sign_in && organization.fixed_code(number, request.now).is_some();
        if !is_test_number && !organization.sends_to(*country) {
            return Err(ContextError::CountryNotAllowed);
        }
        if let SendPurpose::VerifyPhone { caller, change: true } = &request.purpose
            && !caller.fresh
        {
            return Err(ContextError::FreshTokenRequired);
        }
        let scope =
            CounterScope { organization: organization.id.clone(), country: *country, source: request.source.clone() };
        Ok(Self {
            organization,
            limits,
            gateway: first_gateway.filter(|_| !is_test_number),
            purpose: request.purpose.code_purpose(organization.id.clone()),
            is_test_number,
            scope: (!is_test_number).then_some(scope),
            request,
        })
    }

    pub(super) const fn phone(&self) -> &PhoneNumber {
        &self.request.phone.number
    }

    /// The counters of the message, where budgets count it.
    fn budget_scope(&self) -> Option<CounterScope> {
        self.scope.clone().filter(|_| self.limits.budget_mode.counts())
    }

    /// [`ChallengeRecord::repeatable`], if that challenge is of the same kind as this send's.
    fn repeatable<'s>(&self, state: &'s SendState) -> Option<(&'s Challenge, &'s ChallengeId, u32)> {
        state.record.repeatable(self.request.now, self.limits).filter(|(challenge, ..)| {
            challenge.changes_number == self.request.purpose.changes_number()
                && challenge.has_fixed_code == self.is_test_number
        })
    }
}

/// What is read before a send is planned.
#[derive(Clone, Debug, Default)]
pub struct SendState {
    /// When codes were sent to this phone, oldest first.
    pub sends: Vec<Timestamp>,
    /// Grows with each change of `sends`.
    pub revision: u64,
    /// The phone's record, as this purpose sees it.
    pub record: ChallengeRecord,
    /// The purposes whose challenges at this phone are over.
    pub over: Vec<Purpose>,
    /// The caller, for a code that verifies a phone.
    pub caller: Option<User>,
    pub counts: MessageCounts,
}

/// A further id of a live challenge.
#[derive(Clone, Debug)]
pub struct IssuedId {
    pub id: ChallengeId,
    /// The existing id with the fewest attempts, and their number, with which the new id starts.
    pub least_attempted: ChallengeId,
    pub attempts: u32,
}

/// What a resend changes of a live challenge.
#[derive(Clone, Debug)]
pub struct Resend {
    pub challenge: ChallengeId,
    /// None if the challenge has issued the maximum.
    pub issued: Option<IssuedId>,
    /// The gateway that is to carry the message, if it is not the previous one.
    pub carrier: Option<Gateway>,
    /// The counters of the message, where budgets count it.
    pub scope: Option<CounterScope>,
}

impl Resend {
    const fn changes_anything(&self) -> bool {
        self.issued.is_some() || self.carrier.is_some() || self.scope.is_some()
    }
}

#[derive(Clone, Debug)]
pub enum ChallengeChange {
    Start(Box<Challenge>),
    Resend(Resend),
    /// The same code is sent again, and nothing of the record changes.
    Unchanged,
}

impl ChallengeChange {
    pub const fn challenge_id(&self) -> Option<&ChallengeId> {
        match self {
            Self::Start(challenge) => Some(&challenge.id),
            Self::Resend(resend) => Some(&resend.challenge),
            Self::Unchanged => None,
        }
    }
}

/// Everything that a send takes of its limits, written as one transaction before the message goes out.
#[derive(Clone, Debug)]
pub struct SendReservation {
    pub purpose: Purpose,
    pub phone: PhoneNumber,
    pub sends_before: Vec<Timestamp>,
    /// `sends_before` with this send, without sends older than a day.
    pub sends: Vec<Timestamp>,
    /// The revision that the plan was made for.
    pub seen_revision: u64,
    pub challenge: ChallengeChange,
    /// The purposes whose challenges are removed, because they are over.
    pub over: Vec<Purpose>,
    /// None where no message is sent.
    pub counters: Option<CounterReservation>,
    pub now: Timestamp,
}

/// A send that no limit refuses.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) reservation: SendReservation,
    /// The challenge whose code is sent, with this send's carrier.
    pub(super) challenge: Challenge,
    /// The id that the client is issued, and the attempts already claimed under it.
    pub(super) issued_id: ChallengeId,
    pub(super) attempts: u32,
    /// Budgets that the message exceeds but that are not enforced.
    pub(super) exceeded: Vec<Budget>,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum PlanError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("the caller has another verified phone and did not ask to change it, or asked to change it to itself")]
    AlreadyVerified,
    /// The caller's number was lost to another person.
    #[error("this requires an access token that was issued for a code")]
    FreshTokenRequired,
    #[error("a limit is reached")]
    TooManyRequests { retry_after_seconds: u32, exceeded: Vec<Budget> },
    /// The decision allowed the message, so this is a bug.
    #[error("no counter has room")]
    NoCounterHasRoom,
}

/// Plans a send. `current_key` is the version of the key for new challenges.
pub(super) fn plan(
    context: &SendContext<'_>,
    state: &SendState,
    current_key: &CodeKeyVersion,
) -> Result<Plan, PlanError> {
    let request = &context.request;
    let now = request.now;
    check_caller(context, state)?;
    check_waits(context, state)?;
    let (counters, exceeded) = reserve_counters(context, state)?;
    let (challenge, change, issued_id, attempts) = match context.repeatable(state) {
        Some((live, least, attempts)) => {
            let issued = (live.issued.len() < MAX_ISSUED_IDS).then(|| IssuedId {
                id: request.new_id.clone(),
                least_attempted: least.clone(),
                attempts,
            });
            let issued_id = issued.as_ref().map_or_else(|| least.clone(), |issued| issued.id.clone());
            let resend = Resend {
                challenge: live.id.clone(),
                issued,
                carrier: context.gateway.filter(|gateway| live.carrier != Some(*gateway)),
                scope: context.budget_scope(),
            };
            let change =
                if resend.changes_anything() { ChallengeChange::Resend(resend) } else { ChallengeChange::Unchanged };
            (Challenge { carrier: context.gateway, ..live.clone() }, change, issued_id, attempts)
        }
        None => {
            let new = new_challenge(context, state, current_key);
            (new.clone(), ChallengeChange::Start(Box::new(new)), request.new_id.clone(), 0)
        }
    };
    let mut sends = state.sends.clone();
    sends.retain(|sent| now < sent.plus(DAY));
    sends.extend(context.scope.is_some().then_some(now));
    let reservation = SendReservation {
        purpose: context.purpose.clone(),
        phone: context.phone().clone(),
        sends_before: state.sends.clone(),
        sends,
        seen_revision: state.revision,
        challenge: change,
        over: state.over.clone(),
        counters,
        now,
    };
    Ok(Plan { reservation, challenge, issued_id, attempts, exceeded })
}

fn check_caller(context: &SendContext<'_>, state: &SendState) -> Result<(), PlanError> {
    let SendPurpose::VerifyPhone { caller, change } = &context.request.purpose else { return Ok(()) };
    let user = state.caller.as_ref().ok_or(PlanError::NoSuchUser)?;
    match &user.phone {
        // Without a change, a caller may only prove their own number anew.
        Some(own) if (own == context.phone()) == *change => Err(PlanError::AlreadyVerified),
        // Who finds an old device of a user who lost their number must not give the account a number.
        None if user.has_lost_phone && !caller.fresh => Err(PlanError::FreshTokenRequired),
        _ => Ok(()),
    }
}

/// The waits between sends to one phone, which a test number does not have.
fn check_waits(context: &SendContext<'_>, state: &SendState) -> Result<(), PlanError> {
    let now = context.request.now;
    let next_send_at = context.limits.next_send_at(&state.sends, now);
    if context.is_test_number || next_send_at <= now {
        return Ok(());
    }
    Err(PlanError::TooManyRequests { retry_after_seconds: now.seconds_until(next_send_at), exceeded: Vec::new() })
}

/// What the message takes of its counters, and the budgets that it exceeds though they are not enforced.
fn reserve_counters(
    context: &SendContext<'_>,
    state: &SendState,
) -> Result<(Option<CounterReservation>, Vec<Budget>), PlanError> {
    let Some(scope) = context.scope.clone() else { return Ok((None, Vec::new())) };
    let now = context.request.now;
    let decision = state.counts.decide(context.limits, now);
    if let Some(until) = decision.refused_until {
        let retry_after_seconds = now.seconds_until(until);
        return Err(PlanError::TooManyRequests { retry_after_seconds, exceeded: decision.exceeded });
    }
    let counters = state.counts.reserve(scope, context.limits, context.request.shard_seed);
    Ok((Some(counters.ok_or(PlanError::NoCounterHasRoom)?), decision.exceeded))
}

fn new_challenge(context: &SendContext<'_>, state: &SendState, current_key: &CodeKeyVersion) -> Challenge {
    let now = context.request.now;
    Challenge {
        changes_number: context.request.purpose.changes_number(),
        has_fixed_code: context.is_test_number,
        carrier: context.gateway,
        credit: context.budget_scope().map(|scope| VerificationCredit { scope, last_sent_at: now, messages: 1 }),
        ..state.record.new_challenge(context.request.new_id.clone(), current_key.clone(), now, context.limits)
    }
}
