//! Sending: the phone's schedule, the counters and the challenge in one transaction.

use domain::rules::challenge::Challenge;
use domain::rules::limits::Limits;
use domain::rules::pumping::{CounterReservation, CounterScope, MessageCounts};
use domain::use_cases::send_otp::{
    ChallengeChange, IssuedId, Resend, ReservationOutcome, SendOtpStore, SendReservation, SendState,
};
use domain::values::gateway::Gateway;
use domain::values::ids::ChallengeId;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::time::{DAY, HOUR, Timestamp};
use domain::values::unavailable::Unavailable;

use aws_sdk_dynamodb::types::AttributeValue;

use super::counters::{counter_keys, counter_updates, counts};
use super::expression::{Expression, Path};
use super::items::attributes::{Item, Row, key, moment, moments, number, text};
use super::items::challenge::{
    APPROVAL, CONSUMPTION, CREDIT, attempts_by_id, if_unconsumed, record_key, record_with_challenge, set_credit_scope,
};
use super::items::user::{user, user_key};
use super::store::{Consistency, Store};
use super::tables::{HasOtps, HasUsers};
use super::transaction::Transaction;
use crate::telemetry::trace;

/// How long a challenge record is kept after its code expires, for its count of consecutive wrong codes. Seconds.
const RECORD_KEPT_SECONDS: u32 = 7 * DAY;
const RELEASE: &str = "release a send";

fn schedule_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

impl<T: HasUsers + HasOtps> SendOtpStore for Store<T> {
    async fn read_send_state(
        &self,
        purpose: &Purpose,
        phone: &PhoneNumber,
        scope: Option<&CounterScope>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<SendState, Unavailable> {
        let (users, otps) = (self.tables.users(), self.tables.otps());
        let caller = purpose.caller().map(user_key);
        let mut keys = vec![(otps, schedule_key(phone)), (otps, record_key(purpose, phone))];
        keys.extend(caller.clone().map(|key| (users, key)));
        keys.extend(scope.iter().flat_map(|scope| counter_keys(scope, limits, now)).map(|key| (otps, key)));
        let found = self.get_all("read the state of a send", keys, Consistency::Strong).await?;
        let (sends, revision) = match found.get(&schedule_key(phone)) {
            Some(item) => (Row(item).moments("sends")?, Row(item).number("revision")?),
            None => (Vec::new(), 0),
        };
        let record = found.get(&record_key(purpose, phone)).map(record_with_challenge).transpose()?.flatten();
        let caller = caller.and_then(|key| found.get(&key)).map(user).transpose()?;
        let counts = scope.map_or(Ok(MessageCounts::default()), |scope| counts(&found, scope, limits, now))?;
        let state = SendState { sends, revision, record, caller, counts };
        trace("a send is planned for", &state);
        Ok(state)
    }

    async fn highest_verified_day(&self, scope: &CounterScope, now: Timestamp) -> Result<u32, Unavailable> {
        self.cached_highest_day(scope, now).await
    }

    async fn reserve_send(&self, reservation: &SendReservation) -> Result<ReservationOutcome, Unavailable> {
        trace("a send reserves", reservation);
        let (table, now, seen) = (self.tables.otps(), reservation.now, reservation.seen_revision);
        let schedule = Expression::new()
            .set("sends", moments(&reservation.sends))
            .set("revision", number(seen.saturating_add(1)))
            .set("expires_at", moment(now.plus(DAY).plus(HOUR)));
        let schedule = match seen {
            0 => schedule.if_any(|on| [on.absent("revision"), on.equals("revision", number(seen))]),
            _ => schedule.if_equals("revision", number(seen)),
        };
        let mut transaction =
            Transaction::new("reserve a send").update((), table, schedule_key(&reservation.phone), schedule);
        for (key, update) in reservation.counters.iter().flat_map(|counters| counter_updates(counters, now)) {
            transaction = transaction.update((), table, key, update);
        }
        let record = record_key(&reservation.purpose, &reservation.phone);
        transaction = match &reservation.challenge {
            ChallengeChange::Start(challenge) => {
                transaction.update((), table, record, start_challenge(&reservation.phone, challenge))
            }
            ChallengeChange::Resend(resend) => transaction.update((), table, record, resend_challenge(resend, now)),
            ChallengeChange::Unchanged => transaction,
        };
        // Whichever step was refused, the plan was made for what has changed since.
        let is_reserved = self.transact(transaction).await?.is_done();
        Ok(if is_reserved { ReservationOutcome::Reserved } else { ReservationOutcome::Conflict })
    }

    async fn release_send(&self, reservation: &SendReservation) -> Result<(), Unavailable> {
        let counters = async {
            match &reservation.counters {
                Some(counters) => self.release_counters(counters, reservation.now).await,
                None => Ok(()),
            }
        };
        let credit = async {
            match &reservation.counters {
                Some(CounterReservation { hour: Some(_), .. }) => self.release_credit(reservation).await,
                _ => Ok(()),
            }
        };
        // Each part is released even if another one fails.
        let (schedule, counters, credit) = tokio::join!(self.release_schedule(reservation), counters, credit);
        schedule.and(counters).and(credit)
    }

    async fn record_carrier(
        &self,
        reservation: &SendReservation,
        challenge: &ChallengeId,
        gateway: Gateway,
    ) -> Result<(), Unavailable> {
        let carried =
            Expression::new().set("carrier", text(gateway.name())).if_equals("challenge_id", text(challenge.as_str()));
        let key = record_key(&reservation.purpose, &reservation.phone);
        self.update("record a carrier", self.tables.otps(), key, carried).await.map(drop)
    }
}

impl<T: HasOtps> Store<T> {
    async fn release_schedule(&self, reservation: &SendReservation) -> Result<(), Unavailable> {
        let seen = reservation.seen_revision;
        let released = Expression::new()
            .set("sends", moments(&reservation.sends_before))
            .set("revision", number(seen.saturating_add(2)))
            .if_equals("revision", number(seen.saturating_add(1)));
        // If the condition fails, another send has come since. It waited for this one, which no longer matters.
        self.update(RELEASE, self.tables.otps(), schedule_key(&reservation.phone), released).await.map(drop)
    }

    /// Subtracts a message from those that the challenge's code credits.
    async fn release_credit(&self, reservation: &SendReservation) -> Result<(), Unavailable> {
        let Some(challenge) = reservation.challenge.challenge_id() else { return Ok(()) };
        let released = Expression::new()
            .add("messages", number(-1))
            .if_equals("challenge_id", text(challenge.as_str()))
            .if_above("messages", number(0));
        // A transaction, because its token keeps a retry after a lost answer from subtracting twice.
        let key = record_key(&reservation.purpose, &reservation.phone);
        self.transact(Transaction::new(RELEASE).update((), self.tables.otps(), key, released)).await.map(drop)
    }
}

/// The counts of consecutive wrong codes stay.
fn start_challenge(phone: &PhoneNumber, challenge: &Challenge) -> Expression {
    let keep_until = challenge.expires_at.plus(RECORD_KEPT_SECONDS);
    let expression = Expression::new()
        .set("phone", text(phone.e164()))
        .set("challenge_id", text(challenge.id.as_str()))
        .set("key_version", text(challenge.key_version.as_str()))
        .set("code_expires_at", moment(challenge.expires_at))
        .set("changes_number", AttributeValue::Bool(challenge.changes_number))
        .set("attempts_by_id", attempts_by_id(&challenge.attempts_by_id))
        .set("attempts_without_id", number(challenge.attempts_without_id))
        .set("expires_at", moment(keep_until))
        .set_if_absent("consecutive_failures", number(0))
        .set_if_absent("closed_until", number(0))
        .set_or_remove("fixed_code_of", challenge.fixed_code_of.as_ref().map(|id| text(id.as_str())))
        .set_or_remove("carrier", challenge.carrier.map(|gateway| text(gateway.name())))
        .remove_all(&CONSUMPTION)
        .remove_all(&APPROVAL);
    match &challenge.credit {
        Some(credit) => set_credit_scope(expression, &credit.scope)
            .set("last_sent_at", moment(credit.last_sent_at))
            .set("messages", number(credit.messages)),
        None => expression.remove_all(&CREDIT),
    }
}

/// Records what a resend changes of a live challenge.
fn resend_challenge(resend: &Resend, now: Timestamp) -> Expression {
    let mut expression = if_unconsumed(Expression::new(), &resend.challenge);
    if let Some(IssuedId { id, least_attempted, attempts }) = &resend.issued {
        let element = |id: &ChallengeId| Path::Element("attempts_by_id", id.as_str().to_owned());
        // The condition keeps an attempt that was claimed since the send was planned from being given back.
        expression =
            expression.if_equals(element(least_attempted), number(attempts)).set(element(id), number(attempts));
    }
    if let Some(carrier) = resend.carrier {
        expression = expression.set("carrier", text(carrier.name()));
    }
    if let Some(scope) = &resend.scope {
        expression = set_credit_scope(expression, scope).set("last_sent_at", moment(now)).add("messages", number(1));
    }
    expression
}
