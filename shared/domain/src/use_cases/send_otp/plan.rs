//! Planning a send: what it reserves, given what was read. Pure.

use thiserror::Error;

use crate::rules::challenge::{Challenge, ChallengeRecord, MAX_ISSUED_IDS};
use crate::rules::code_key::CodeKeyVersion;
use crate::rules::delayed_change::ChangeRefusal;
use crate::rules::device_keys::DeviceKeys;
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::organization::Organization;
use crate::rules::pumping::{Budget, CounterReservation, CounterScope, MessageCounts, VerificationCredit};
use crate::rules::token::Caller;
use crate::rules::user::User;
use crate::values::gateway::Gateway;
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::language::{Language, MessagePurpose};
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::purpose::Purpose;
use crate::values::source_address::SourceAddress;
use crate::values::text::OrganizationId;
use crate::values::time::{DAY, HOUR, Timestamp};

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

    pub(super) const fn of_message(&self) -> MessagePurpose {
        match self {
            Self::SignIn => MessagePurpose::SignIn,
            Self::VerifyPhone { change: false, .. } => MessagePurpose::VerifyNumber,
            Self::VerifyPhone { change: true, .. } => MessagePurpose::ChangeNumber,
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
    /// The key that the device proved to have.
    pub device_key: Option<KeyThumbprint>,
    pub source: SourceAddress,
    pub now: Timestamp,
    /// The id that this send issues.
    pub new_id: ChallengeId,
    /// Any random number: the counter shard to try first.
    pub shard_seed: u32,
    pub language: &'static Language,
    /// None where nobody is told of changes.
    pub notices: Option<NoticeContext>,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ContextError {
    #[error("the organization does not send to this country")]
    CountryNotAllowed,
    #[error("this requires an access token that was issued for a code")]
    FreshTokenRequired,
}

impl SendRequest {
    /// The key of the device, if it asks for a change with a token that is not fresh.
    fn delayed_by(&self) -> Result<Option<KeyThumbprint>, ContextError> {
        match (&self.purpose, &self.device_key) {
            (SendPurpose::VerifyPhone { caller, change: true }, None) if !caller.fresh => {
                Err(ContextError::FreshTokenRequired)
            }
            (SendPurpose::VerifyPhone { caller, change: true }, key) if !caller.fresh => Ok(key.clone()),
            _ => Ok(None),
        }
    }
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
    /// The key of a device that asks for a change of number without the old number.
    pub(super) delayed_by: Option<KeyThumbprint>,
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
        if !is_test_number && !organization.accepts(&request.phone) {
            return Err(ContextError::CountryNotAllowed);
        }
        let delayed_by = request.delayed_by()?;
        let scope =
            CounterScope { organization: organization.id.clone(), country: *country, source: request.source.clone() };
        Ok(Self {
            organization,
            limits,
            gateway: first_gateway.filter(|_| !is_test_number),
            purpose: request.purpose.code_purpose(organization.id.clone()),
            delayed_by,
            is_test_number,
            scope: (!is_test_number).then_some(scope),
            request,
        })
    }

    pub(super) const fn phone(&self) -> &PhoneNumber {
        &self.request.phone.number
    }

    /// Whether the request proved the key of a device.
    pub const fn is_of_a_device(&self) -> bool {
        self.request.device_key.is_some()
    }

    pub(super) fn device(&self) -> Option<ProvenDevice<'_>> {
        let session = match (&self.request.purpose, &self.delayed_by) {
            (SendPurpose::VerifyPhone { caller, .. }, Some(_)) => Some((&caller.user, &caller.session)),
            _ => None,
        };
        Some(ProvenDevice { key: self.request.device_key.as_ref()?, session })
    }

    /// The counters of the message, where budgets count it.
    fn budget_scope(&self) -> Option<CounterScope> {
        self.scope.clone().filter(|_| self.limits.budget_mode.counts())
    }

    /// [`ChallengeRecord::repeatable`], if that challenge is of the same kind as this send's.
    fn repeatable<'s>(&self, state: &'s SendState) -> Option<(&'s Challenge, &'s ChallengeId, u32)> {
        state.record.repeatable(self.request.now, self.limits).filter(|(challenge, ..)| {
            challenge.changes_number == self.request.purpose.changes_number()
                && challenge.delayed_by == self.delayed_by
                && challenge.has_fixed_code == self.is_test_number
        })
    }
}

/// A device that proved a key.
#[derive(Clone, Copy, Debug)]
pub struct ProvenDevice<'a> {
    pub key: &'a KeyThumbprint,
    /// Its session, if it asks for a change without the old number.
    pub session: Option<(&'a UserId, &'a SessionId)>,
}

/// When codes were sent to a phone, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendSchedule {
    /// Within the limits that everybody shares.
    pub shared: Vec<Timestamp>,
    /// From the reserve of known devices.
    pub reserve: Vec<Timestamp>,
}

/// What is read before a send is planned.
#[derive(Clone, Debug, Default)]
pub struct SendState {
    pub schedule: SendSchedule,
    /// Grows with each change of `schedule`.
    pub revision: u64,
    /// The device keys of the phone's holder. Read only for a device that proved a key.
    pub known_keys: DeviceKeys,
    /// The phone's record, as this purpose sees it.
    pub record: ChallengeRecord,
    /// The purposes whose challenges at this phone are over.
    pub over: Vec<Purpose>,
    /// The caller, for a code that verifies a phone.
    pub caller: Option<User>,
    /// The device key of the device's session, if that was asked for.
    pub session_key: Option<KeyThumbprint>,
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
    pub schedule_before: SendSchedule,
    /// `schedule_before` with this send, without sends that no longer count.
    pub schedule: SendSchedule,
    /// The revision that the plan was made for.
    pub seen_revision: u64,
    pub challenge: ChallengeChange,
    /// The purposes whose challenges are removed, because they are over.
    pub over: Vec<Purpose>,
    /// None where no message is sent.
    pub counters: Option<CounterReservation>,
    /// What the caller's other devices are told of a change of number that begins.
    pub notice: Option<Notice>,
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
    /// When the phone's next send is possible, after this one.
    pub(super) next_send_at: Timestamp,
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
    #[error("another change of number waits")]
    ChangePending { due_at: Timestamp },
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
    let caller_at = check_caller(context, state)?;
    let within_limits = match within_shared_limits(context, state) {
        Err(refusal @ PlanError::TooManyRequests { .. }) if is_known_device(context, state) => {
            draw_on_reserve(context, state, refusal).map(|counters| (Some(counters), Vec::new()))
        }
        shared => shared,
    };
    let (counters, exceeded) = after(caller_at, within_limits, now)?;
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
                scope: context.budget_scope().filter(|_| is_in_budgets(counters.as_ref())),
            };
            let change =
                if resend.changes_anything() { ChallengeChange::Resend(resend) } else { ChallengeChange::Unchanged };
            (Challenge { carrier: context.gateway, ..live.clone() }, change, issued_id, attempts)
        }
        None => {
            let new = new_challenge(context, state, counters.as_ref(), current_key);
            (new.clone(), ChallengeChange::Start(Box::new(new)), request.new_id.clone(), 0)
        }
    };
    let mut schedule = state.schedule.clone();
    // The limits look at one day, and a change of number that waits at two.
    schedule.shared.retain(|sent| now < sent.plus(2 * DAY));
    schedule.reserve.retain(|sent| now < sent.plus(HOUR));
    match counters {
        Some(CounterReservation::Shared(_)) => schedule.shared.push(now),
        Some(CounterReservation::Reserve { .. }) => schedule.reserve.push(now),
        None => {}
    }
    let next_send_at = next_send_at(context, state, &schedule);
    let reservation = SendReservation {
        purpose: context.purpose.clone(),
        phone: context.phone().clone(),
        schedule_before: state.schedule.clone(),
        schedule,
        seen_revision: state.revision,
        notice: notice(context, &change),
        challenge: change,
        over: state.over.clone(),
        counters,
        now,
    };
    Ok(Plan { reservation, challenge, issued_id, attempts, exceeded, next_send_at })
}

/// A resend asks for nothing new. A change that waits is told of once the new number is proven.
fn notice(context: &SendContext<'_>, change: &ChallengeChange) -> Option<Notice> {
    match (&context.request.purpose, change) {
        (SendPurpose::VerifyPhone { caller, change: true }, ChallengeChange::Start(_))
            if context.delayed_by.is_none() =>
        {
            let notices = context.request.notices.as_ref();
            notices?.to_devices(AccountEvent::PhoneChangeRequested, &caller.user, Some(&caller.session))
        }
        _ => None,
    }
}

/// When the next send is possible after those of `schedule`. A known device may draw on the reserve at once, but is told
/// to wait as long as for any second message.
fn next_send_at(context: &SendContext<'_>, state: &SendState, schedule: &SendSchedule) -> Timestamp {
    let (limits, now) = (context.limits, context.request.now);
    let shared = limits.next_send_at(&schedule.shared, now);
    if !is_known_device(context, state) {
        return shared;
    }
    let wait = limits.send_waits_seconds.first().copied().unwrap_or_default();
    shared.min(limits.next_from_reserve(&schedule.reserve, now).max(now.plus(wait)))
}

/// From when on the caller may have the number that the code proves.
fn check_caller(context: &SendContext<'_>, state: &SendState) -> Result<Timestamp, PlanError> {
    let now = context.request.now;
    let SendPurpose::VerifyPhone { caller, change } = &context.request.purpose else { return Ok(now) };
    let user = state.caller.as_ref().ok_or(PlanError::NoSuchUser)?;
    match &user.phone {
        // Without a change, a caller may only prove their own number anew.
        Some(own) if (own == context.phone()) == *change => Err(PlanError::AlreadyVerified),
        // Who finds an old device of a user who lost their number must not give the account a number.
        None if user.has_lost_phone && !caller.fresh && context.delayed_by.is_none() => {
            Err(PlanError::FreshTokenRequired)
        }
        _ => {
            let asked_at = check_delayed_change(context, state, user)?;
            // Refused at the binding too. This spares the message.
            let after = user.former_phones_after(context.phone(), &caller.session, now, context.limits);
            Ok(asked_at.max(after.err().unwrap_or(now)))
        }
    }
}

/// From when on the caller may ask. A change without the old number is for a known device, and there is one at a time.
fn check_delayed_change(context: &SendContext<'_>, state: &SendState, user: &User) -> Result<Timestamp, PlanError> {
    let now = context.request.now;
    let Some(key) = &context.delayed_by else { return Ok(now) };
    // Whoever ends the session of the device stops the change, so the key must be the session's own.
    if state.session_key.as_ref() != Some(key) {
        return Err(PlanError::FreshTokenRequired);
    }
    match user.may_ask_for_change(key, context.limits, now) {
        Ok(()) => Ok(now),
        Err(ChangeRefusal::UnknownDevice) => Err(PlanError::FreshTokenRequired),
        Err(ChangeRefusal::Pending { due_at }) => Err(PlanError::ChangePending { due_at }),
        Err(ChangeRefusal::Closed { until }) => Ok(until),
    }
}

/// What is planned from `at` on. Of two waits the longer one is told, so that whoever waits as long is not told to wait again.
fn after<T>(at: Timestamp, planned: Result<T, PlanError>, now: Timestamp) -> Result<T, PlanError> {
    let seconds = now.seconds_until(at);
    match planned {
        Err(PlanError::TooManyRequests { retry_after_seconds, exceeded }) => {
            Err(PlanError::TooManyRequests { retry_after_seconds: retry_after_seconds.max(seconds), exceeded })
        }
        Ok(_) if seconds > 0 => Err(PlanError::TooManyRequests { retry_after_seconds: seconds, exceeded: Vec::new() }),
        planned => planned,
    }
}

/// The waits between sends to one phone, which a test number does not have, and the counters of the message.
fn within_shared_limits(
    context: &SendContext<'_>,
    state: &SendState,
) -> Result<(Option<CounterReservation>, Vec<Budget>), PlanError> {
    let now = context.request.now;
    let next_send_at = context.limits.next_send_at(&state.schedule.shared, now);
    let next_send_at = if context.is_test_number { now } else { next_send_at };
    after(next_send_at, reserve_counters(context, state), now).map_err(|refusal| match refusal {
        // A message that the phone's own waits refuse exceeds no budget.
        PlanError::TooManyRequests { retry_after_seconds, .. } if now < next_send_at => {
            PlanError::TooManyRequests { retry_after_seconds, exceeded: Vec::new() }
        }
        refusal => refusal,
    })
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
    let counters = CounterReservation::Shared(counters.ok_or(PlanError::NoCounterHasRoom)?);
    Ok((Some(counters), decision.exceeded))
}

fn is_known_device(context: &SendContext<'_>, state: &SendState) -> bool {
    context.request.device_key.as_ref().is_some_and(|key| state.known_keys.contains(key))
}

/// What the message of a known device takes of the reserve, after the shared limits refused it.
fn draw_on_reserve(
    context: &SendContext<'_>,
    state: &SendState,
    refusal: PlanError,
) -> Result<CounterReservation, PlanError> {
    let (SendContext { limits, request, .. }, Some(scope)) = (context, context.scope.clone()) else {
        return Err(refusal);
    };
    let now = request.now;
    let at_phone = limits.next_from_reserve(&state.schedule.reserve, now);
    let counters = state.counts.reserve_for_known_device(scope, limits, request.shard_seed);
    match (counters, refusal) {
        (Some(counters), _) if at_phone <= now => Ok(counters),
        (counters, PlanError::TooManyRequests { retry_after_seconds, exceeded }) => {
            let in_country = if counters.is_some() { now } else { now.window(DAY).1 };
            let from_reserve = now.seconds_until(at_phone.max(in_country));
            Err(PlanError::TooManyRequests { retry_after_seconds: retry_after_seconds.min(from_reserve), exceeded })
        }
        (_, refusal) => Err(refusal),
    }
}

const fn is_in_budgets(counters: Option<&CounterReservation>) -> bool {
    matches!(counters, Some(CounterReservation::Shared(_)))
}

fn new_challenge(
    context: &SendContext<'_>,
    state: &SendState,
    counters: Option<&CounterReservation>,
    current_key: &CodeKeyVersion,
) -> Challenge {
    let now = context.request.now;
    let scope = context.budget_scope().filter(|_| is_in_budgets(counters));
    Challenge {
        changes_number: context.request.purpose.changes_number(),
        delayed_by: context.delayed_by.clone(),
        has_fixed_code: context.is_test_number,
        carrier: context.gateway,
        credit: scope.map(|scope| VerificationCredit { scope, last_sent_at: now, messages: 1 }),
        ..state.record.new_challenge(context.request.new_id.clone(), current_key.clone(), now, context.limits)
    }
}
