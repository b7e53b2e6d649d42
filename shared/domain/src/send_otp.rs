//! Sending a code: every limit is taken in one transaction before the message goes out, and returned if none went.

use std::future::Future;
use std::net::IpAddr;

use crate::challenge::{Challenge, ChallengeRecord, MOST_TOLD, Purpose};
use crate::code::{CodeKey, CodeKeyVersion};
use crate::gateway::Gateway;
use crate::ids::ChallengeId;
use crate::language::Language;
use crate::limits::{DAY, Limits};
use crate::message::Message;
use crate::organization::Organization;
use crate::phone::{DialledNumber, PhoneNumber};
use crate::pumping::{Budget, CountedOn, Counts, Credit, Take};
use crate::text::OrganizationId;
use crate::token::Caller;
use crate::user::User;
use crate::{Timestamp, Unavailable};

/// How often a send is planned again because another came in between: at the phone's record, or at a counter's last
/// message. Each plan that fails at a counter finds that one full, and there are as many as shards.
const PLANS: usize = 12;

/// Where a request came from, as far as limits tell callers apart: an IPv4 address, or the /64 of an IPv6 one,
/// which is what one subscriber is given (RFC 6177).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SourceAddress(String);

impl SourceAddress {
    /// Of an address; those that can't be read share one allowance.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(match address.map(|address| address.to_canonical()) {
            None => "unknown".to_owned(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => {
                let network = u128::from(address) >> 64 << 64;
                format!("{}/64", std::net::Ipv6Addr::from(network))
            }
        })
    }

    /// Takes back what was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As text, to key its counters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SourceAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SourceAddress(…)")
    }
}

/// Who wants a code, and for what.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Someone at the door.
    SignIn,
    /// A signed-in caller.
    VerifyPhone {
        /// Who.
        caller: Caller,
        /// Whether they mean to change a number that is verified already.
        change: bool,
    },
}

/// A request for a code.
#[derive(Clone, Debug)]
pub struct SendOtp {
    /// For what.
    pub wish: Wish,
    /// To which phone.
    pub phone: DialledNumber,
    /// Where the request came from.
    pub source: SourceAddress,
    /// When.
    pub now: Timestamp,
    /// What the challenge is to be called by who asked for this send.
    pub new_id: ChallengeId,
    /// Any random number: which counter to try first.
    pub shard_seed: u32,
    /// What to write in.
    pub language: &'static Language,
}

/// What is known before a send is planned.
#[derive(Clone, Debug, Default)]
pub struct SendState {
    /// When codes were sent to this phone, oldest first.
    pub sends: Vec<Timestamp>,
    /// Grows with each change of `sends`.
    pub revision: u64,
    /// The record of this purpose.
    pub record: Option<ChallengeRecord>,
    /// The caller, for a code that verifies a phone.
    pub caller: Option<User>,
    /// The counters, where the message is counted.
    pub counts: Counts,
}

/// One more id of a live challenge.
#[derive(Clone, Debug)]
pub struct Told {
    /// The id.
    pub id: ChallengeId,
    /// The one of the others with the fewest tries.
    pub least_tried: ChallengeId,
    /// As many tries as that one has, which the new one begins with.
    pub tries: u32,
}

/// A live challenge that is repeated, and what of it changes.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// Which.
    pub challenge: ChallengeId,
    /// The id that this send tells; none if it has enough of them.
    pub told: Option<Told>,
    /// The gateway that is to carry it, where it is another than before.
    pub gateway: Option<Gateway>,
    /// What one more message is counted on, where budgets are kept.
    pub counted_on: Option<CountedOn>,
}

/// Everything a send takes, in one transaction.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// For what.
    pub purpose: Purpose,
    /// To whom.
    pub phone: PhoneNumber,
    /// The phone's sends before this one.
    pub sends_before: Vec<Timestamp>,
    /// The phone's sends with this one.
    pub sends: Vec<Timestamp>,
    /// The revision the plan was made on.
    pub seen_revision: u64,
    /// The challenge to start; `None` repeats the live one.
    pub new_challenge: Option<Challenge>,
    /// The live challenge that is repeated, where anything of it changes.
    pub repeated: Option<Repeat>,
    /// What is taken of the counters; none where nothing is sent.
    pub take: Option<Take>,
    /// When.
    pub now: Timestamp,
}

/// The answer to a wish for an allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowanceOutcome {
    /// All of it was taken.
    Taken,
    /// Another send came in between, to this phone or at a counter's last message, or the challenge to repeat ended;
    /// nothing was taken.
    Changed,
}

/// What sending needs of the store.
pub trait SendOtpStore: Sync {
    /// Reads what a plan needs, at once; of the counters those that the message is counted on, but not the best day.
    fn look_up_sends(
        &self,
        purpose: &Purpose,
        phone: &PhoneNumber,
        counted_on: Option<&CountedOn>,
        limits: &Limits,
        now: Timestamp,
    ) -> impl Future<Output = Result<SendState, Unavailable>> + Send;
    /// The most messages to a country that came back on one of the fourteen days before.
    fn best_day(&self, counted_on: &CountedOn, now: Timestamp)
    -> impl Future<Output = Result<u32, Unavailable>> + Send;
    /// Takes an allowance, all or nothing.
    fn take_allowance(
        &self,
        allowance: &Allowance,
    ) -> impl Future<Output = Result<AllowanceOutcome, Unavailable>> + Send;
    /// Gives one back, because nothing was sent.
    fn return_allowance(&self, allowance: &Allowance) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Notes that another gateway than the first carried a challenge's code.
    fn note_carrier(
        &self,
        allowance: &Allowance,
        challenge: &ChallengeId,
        gateway: Gateway,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Where the keys that derive codes come from.
pub trait CodeKeys: Sync {
    /// The key for new challenges.
    fn current(&self) -> impl Future<Output = Result<CodeKey, Unavailable>> + Send;
    /// The key of an older challenge.
    fn version(&self, version: &CodeKeyVersion) -> impl Future<Output = Result<CodeKey, Unavailable>> + Send;
}

/// Why a message did not go out.
#[derive(Debug)]
pub enum NotSent {
    /// A gateway says that the number can't receive messages.
    NumberRefused,
    /// No gateway took it.
    NoGateway(Unavailable),
}

/// What carries messages.
pub trait SmsGateways: Sync {
    /// The gateway that would be tried first; none if no route leads to the number.
    fn first_choice(&self, to: &DialledNumber) -> Option<Gateway>;
    /// Sends a message by the routes configured for the number, and says which gateway took it.
    fn send(&self, to: &DialledNumber, message: &Message) -> impl Future<Output = Result<Gateway, NotSent>> + Send;
}

/// A code is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What the challenge is called by who asked.
    pub challenge: ChallengeId,
    /// Seconds until the code is no longer good.
    pub expires_in_seconds: u32,
    /// Seconds until another may be sent.
    pub resend_in_seconds: u32,
    /// Tries left with that id.
    pub attempts_left: u32,
    /// Whether it is a test number's, to which nothing was sent.
    pub is_test_number: bool,
}

/// Why no code was sent.
#[derive(Debug)]
pub enum SendOtpError {
    /// The organization does not send to that country.
    CountryNotAllowed,
    /// The caller's user is gone.
    NoSuchUser,
    /// The caller has a verified phone and did not ask to change it, or asked to change it to itself.
    AlreadyVerified,
    /// Changing a number takes an access token that a code was typed for.
    FreshTokenRequired,
    /// The live code's tries are spent: another send would only repeat it.
    TooManyAttempts {
        /// Seconds until a new code can be had.
        retry_after_seconds: u32,
    },
    /// A limit.
    TooManyRequests {
        /// Seconds until there is an allowance again.
        retry_after_seconds: u32,
    },
    /// A gateway says that the number can't receive messages.
    NumberRefused,
    /// No gateway took the message; nothing counts against the caller.
    NoGateway(Unavailable),
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for SendOtpError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Sends a code. The answer tells nothing of whether the number has a user. `report` is told, once, of each budget that
/// the message is over, whether it is refused for that or not.
///
/// # Errors
/// [`SendOtpError`]; no message was sent then.
pub async fn send_otp(
    store: &impl SendOtpStore,
    keys: &impl CodeKeys,
    gateways: &impl SmsGateways,
    organization: &Organization,
    limits: &Limits,
    request: SendOtp,
    report: impl Fn(Budget) + Sync,
) -> Result<Sent, SendOtpError> {
    let is_test_number = organization.fixed_code(&request.phone.number, request.now).is_some();
    if !is_test_number && !organization.sends_to(request.phone.country) {
        return Err(SendOtpError::CountryNotAllowed);
    }
    if let Wish::VerifyPhone { caller, change: true } = &request.wish
        && !caller.fresh
    {
        return Err(SendOtpError::FreshTokenRequired);
    }
    let purpose = request.wish.purpose();
    let phone = &request.phone.number;
    let counted_on = counted_on(&request, organization);
    for _ in 0..PLANS {
        let mut state = store.look_up_sends(&purpose, phone, counted_on.as_ref(), limits, request.now).await?;
        // It can only raise a budget: where there is room without it, nobody need look it up.
        if let Some(counted_on) = &counted_on
            && !state.counts.verdict(limits, request.now).over.is_empty()
        {
            state.counts.best_day = store.best_day(counted_on, request.now).await?;
        }
        request.wish.is_open_to(state.caller.as_ref(), phone)?;
        let key = key_for(keys, &state, &request, organization).await?;
        let gateway = if is_test_number { None } else { gateways.first_choice(&request.phone) };
        let Plan { allowance, challenge, told, tries, over } =
            plan(&request, organization, &state, gateway, &key, limits, &report)?;
        match store.take_allowance(&allowance).await? {
            AllowanceOutcome::Changed => continue,
            AllowanceOutcome::Taken => over.into_iter().for_each(&report),
        }
        let sent = Sent {
            expires_in_seconds: request.now.seconds_until(challenge.expires_at),
            resend_in_seconds: request.now.seconds_until(limits.next_send_at(&allowance.sends, request.now)),
            attempts_left: limits.code_attempts.saturating_sub(tries),
            challenge: told,
            is_test_number,
        };
        if is_test_number {
            return Ok(sent);
        }
        let code = key.derive(&challenge.id, &purpose, phone);
        let message = organization.format.write(request.language, &code);
        return match gateways.send(&request.phone, &message).await {
            Ok(carrier) => {
                if challenge.carried_by != Some(carrier) {
                    // If this fails, a sign-in is counted for another gateway than its code came by; nothing else.
                    let _ = store.note_carrier(&allowance, &challenge.id, carrier).await;
                }
                Ok(sent)
            }
            // Kept: gateways fine those who go on sending to numbers that can't receive.
            Err(NotSent::NumberRefused) => Err(SendOtpError::NumberRefused),
            Err(NotSent::NoGateway(why)) => {
                // If this fails too, the caller waits once more than they ought to; the first failure is what to report.
                let _ = store.return_allowance(&allowance).await;
                Err(SendOtpError::NoGateway(why))
            }
        };
    }
    Err(Unavailable::new("take an allowance", "the phone's record kept changing").into())
}

impl Wish {
    fn purpose(&self) -> Purpose {
        match self {
            Self::SignIn => Purpose::SignIn,
            Self::VerifyPhone { caller, .. } => Purpose::VerifyPhone { caller: caller.user.clone() },
        }
    }

    fn is_open_to(&self, user: Option<&User>, phone: &PhoneNumber) -> Result<(), SendOtpError> {
        let Self::VerifyPhone { change, .. } = self else { return Ok(()) };
        let user = user.ok_or(SendOtpError::NoSuchUser)?;
        match (&user.phone, change) {
            (Some(_), false) => Err(SendOtpError::AlreadyVerified),
            (Some(own), true) if own == phone => Err(SendOtpError::AlreadyVerified),
            _ => Ok(()),
        }
    }

    const fn changes_number(&self) -> bool {
        matches!(self, Self::VerifyPhone { change: true, .. })
    }
}

/// The live challenge that a send of this kind repeats.
fn repeatable<'a>(request: &SendOtp, organization: &Organization, state: &'a SendState) -> Option<&'a Challenge> {
    let record = state.record.as_ref().filter(|record| record.phone == request.phone.number)?;
    Some(&record.challenge).filter(|it| {
        it.is_live(request.now)
            && it.changes_number == request.wish.changes_number()
            && it.fixed_code_of == fixed_code_of(request, organization)
    })
}

/// The organization whose fixed code the challenge awaits, if the phone is one of its test numbers.
fn fixed_code_of(request: &SendOtp, organization: &Organization) -> Option<OrganizationId> {
    organization.fixed_code(&request.phone.number, request.now).map(|_| organization.id.clone())
}

/// What the message is counted on; nothing for a test number, to which none is sent.
fn counted_on(request: &SendOtp, organization: &Organization) -> Option<CountedOn> {
    let on = || CountedOn {
        organization: organization.id.clone(),
        country: request.phone.country,
        source: request.source.clone(),
    };
    fixed_code_of(request, organization).is_none().then(on)
}

async fn key_for(
    keys: &impl CodeKeys,
    state: &SendState,
    request: &SendOtp,
    organization: &Organization,
) -> Result<CodeKey, Unavailable> {
    let current = keys.current().await?;
    match repeatable(request, organization, state) {
        Some(live) if live.key_version != *current.version() => keys.version(&live.key_version).await,
        _ => Ok(current),
    }
}

/// What this send takes, the challenge it carries and by which id, and the budgets it is over though nothing refuses it.
struct Plan {
    allowance: Allowance,
    challenge: Challenge,
    told: ChallengeId,
    tries: u32,
    over: Vec<Budget>,
}

fn plan(
    request: &SendOtp,
    organization: &Organization,
    state: &SendState,
    gateway: Option<Gateway>,
    key: &CodeKey,
    limits: &Limits,
    report: &impl Fn(Budget),
) -> Result<Plan, SendOtpError> {
    let now = request.now;
    let counted_on = counted_on(request, organization);
    let closed_until = state.record.as_ref().map_or(now, |record| record.closed_until);
    let allowed_at = if counted_on.is_some() { limits.next_send_at(&state.sends, now) } else { now };
    let next_send_at = allowed_at.max(closed_until);
    if next_send_at > now {
        return Err(SendOtpError::TooManyRequests { retry_after_seconds: now.seconds_until(next_send_at) });
    }
    let live = repeatable(request, organization, state);
    let least_tried = live.and_then(Challenge::least_tried);
    let tries = least_tried.map_or(0, |(_, tries)| tries);
    if let Some(spent) = live.filter(|_| tries >= limits.code_attempts) {
        return Err(SendOtpError::TooManyAttempts { retry_after_seconds: now.seconds_until(spent.expires_at) });
    }
    let verdict = counted_on.as_ref().map(|_| state.counts.verdict(limits, now)).unwrap_or_default();
    if let Some(until) = verdict.refused_until {
        verdict.over.into_iter().for_each(report);
        return Err(SendOtpError::TooManyRequests { retry_after_seconds: now.seconds_until(until) });
    }
    let take = counted_on.clone().map(|counted_on| {
        let take = state.counts.take(counted_on, limits, request.shard_seed);
        take.ok_or_else(|| Unavailable::new("plan a send", "no counter has room"))
    });
    let budgeted = counted_on.clone().filter(|_| limits.pumping_budgets.are_kept());
    let new_challenge = match live {
        Some(_) => None,
        None => Some(Challenge {
            changes_number: request.wish.changes_number(),
            fixed_code_of: fixed_code_of(request, organization),
            carried_by: gateway,
            credit: budgeted.clone().map(|counted_on| Credit { counted_on, last_at: now, messages: 1 }),
            ..Challenge::new(request.new_id.clone(), key.version().clone(), now, limits)
        }),
    };
    let told = least_tried.filter(|_| live.is_some_and(|live| live.told.len() < MOST_TOLD));
    let repeated = live.map(|live| Repeat {
        challenge: live.id.clone(),
        told: told.map(|(least, tries)| Told { id: request.new_id.clone(), least_tried: least.clone(), tries }),
        gateway: gateway.filter(|gateway| live.carried_by != Some(*gateway)),
        counted_on: budgeted,
    });
    let challenge = new_challenge.as_ref().or(live).cloned();
    let challenge = challenge.ok_or_else(|| Unavailable::new("plan a send", "no challenge"))?;
    let challenge = Challenge { carried_by: gateway, ..challenge };
    let mut sends = state.sends.clone();
    sends.retain(|sent| now < sent.plus(DAY));
    if counted_on.is_some() {
        sends.push(now);
    }
    let allowance = Allowance {
        purpose: request.wish.purpose(),
        phone: request.phone.number.clone(),
        sends_before: state.sends.clone(),
        sends,
        seen_revision: state.revision,
        new_challenge,
        repeated: repeated.filter(Repeat::changes_anything),
        take: take.transpose()?,
        now,
    };
    let told = match least_tried {
        Some((least, _)) if told.is_none() => least.clone(),
        _ => request.new_id.clone(),
    };
    Ok(Plan { allowance, challenge, told, tries, over: verdict.over })
}

impl Repeat {
    const fn changes_anything(&self) -> bool {
        self.told.is_some() || self.gateway.is_some() || self.counted_on.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_subscriber_is_one_source_and_a_mapped_ipv4_is_its_ipv4() {
        let of = |text: &str| SourceAddress::of(text.parse().ok()).as_str().to_owned();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
    }
}
