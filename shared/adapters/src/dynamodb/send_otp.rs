//! Sending: the phone's schedule, the counters and the challenge in one transaction.

use domain::rules::challenge::ChallengeRecord;
use domain::rules::limits::Limits;
use domain::rules::pumping::{CounterReservation, CounterScope, MessageCounts, SharedReservation};
use domain::use_cases::send_otp::{
    ChallengeChange, IssuedId, ProvenDevice, Resend, ReservationOutcome, SendOtpStore, SendReservation, SendSchedule,
    SendState,
};
use domain::values::gateway::Gateway;
use domain::values::ids::ChallengeId;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::time::{DAY, HOUR, Timestamp};
use domain::values::unavailable::Unavailable;

use super::counters::{counter_keys, counter_updates, counts};
use super::expression::Expression;
use super::items::attributes::{Corrupt, Item, Row, key, moment, moments, number, text};
use super::items::challenge::{
    challenge_name, challenge_value, challenges, credit_scope, if_unconsumed, keep, record, record_key,
};
use super::items::user::{device_keys, phone_lock_key, release, user, user_key};
use super::store::{Consistency, Store};
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::Transaction;
use crate::telemetry::trace;

const RELEASE: &str = "release a send";

fn schedule_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> SendOtpStore for Store<T> {
    async fn read_send_state(
        &self,
        purpose: &Purpose,
        phone: &PhoneNumber,
        device: Option<ProvenDevice<'_>>,
        scope: Option<&CounterScope>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<SendState, Unavailable> {
        let (users, otps) = (self.tables.users(), self.tables.otps());
        let caller = purpose.caller().map(user_key);
        let mut keys = vec![(otps, schedule_key(phone)), (otps, record_key(phone))];
        keys.extend(caller.clone().map(|key| (users, key)));
        keys.extend(device.map(|_| (users, phone_lock_key(phone))));
        keys.extend(scope.iter().flat_map(|scope| counter_keys(scope, limits, now)).map(|key| (otps, key)));
        let session = async {
            match device.and_then(|device| device.session) {
                Some((user, session)) => self.find_session(user, session).await,
                None => Ok(None),
            }
        };
        let found = self.get_all("read the state of a send", keys, Consistency::Strong);
        let (found, session) = tokio::try_join!(found, session)?;
        let session_key = session.and_then(|session| session.device_key);
        let (schedule, revision) = match found.of(otps).get(&schedule_key(phone)) {
            Some(item) => (schedule(item)?, Row(item).number("revision")?),
            None => (SendSchedule::default(), 0),
        };
        let lock = found.of(users).get(&phone_lock_key(phone));
        // Whoever had the number before, and can no longer take it back, is nobody to it.
        let is_over = lock.map(release).transpose()?.flatten().is_some_and(|release| !release.is_pending(now));
        let known_keys = lock.filter(|_| !is_over).map(device_keys).unwrap_or_default();
        let codes = found.of(otps).get(&record_key(phone));
        let record = codes.map_or(Ok(ChallengeRecord::default()), |item| record(item, purpose))?;
        let over = codes.into_iter().flat_map(challenges).filter(|(_, challenge)| challenge.is_over(now));
        let over = over.map(|(purpose, _)| purpose).collect();
        let caller = caller.and_then(|key| found.of(users).get(&key)).map(user).transpose()?;
        let counts = scope.map_or(Ok(MessageCounts::default()), |scope| counts(found.of(otps), scope, limits, now))?;
        let state = SendState { schedule, revision, known_keys, record, over, caller, session_key, counts };
        trace("a send is planned for", &state);
        Ok(state)
    }

    async fn highest_verified_day(&self, scope: &CounterScope, now: Timestamp) -> Result<u32, Unavailable> {
        self.cached_highest_day(scope, now).await
    }

    async fn reserve_send(&self, reservation: &SendReservation) -> Result<ReservationOutcome, Unavailable> {
        trace("a send reserves", reservation);
        let (table, now, seen) = (self.tables.otps(), reservation.now, reservation.seen_revision);
        let schedule = write_schedule(&reservation.schedule)
            .set("revision", number(seen.saturating_add(1)))
            .set("expires_at", moment(now.plus(2 * DAY).plus(HOUR)));
        let schedule = match seen {
            0 => schedule.if_any(|on| [on.absent("revision"), on.equals("revision", number(seen))]),
            _ => schedule.if_equals("revision", number(seen)),
        };
        let mut transaction =
            Transaction::new("reserve a send").update((), table, schedule_key(&reservation.phone), schedule);
        for (key, update) in reservation.counters.iter().flat_map(|counters| counter_updates(counters, now)) {
            transaction = transaction.update((), table, key, update);
        }
        if let Some(change) = change_challenge(reservation) {
            transaction = transaction.update((), table, record_key(&reservation.phone), change);
        }
        let transaction = self.telling(transaction, (), &reservation.notice);
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
                Some(CounterReservation::Shared(SharedReservation { hour: Some(_), .. })) => {
                    self.release_credit(reservation).await
                }
                _ => Ok(()),
            }
        };
        let issued = async {
            match &reservation.challenge {
                ChallengeChange::Resend(Resend { challenge, issued: Some(issued), .. }) => {
                    self.release_issued_id(reservation, challenge, &issued.id).await
                }
                _ => Ok(()),
            }
        };
        // Each part is released even if another one fails. The last two are of one item, and a write conflicts with a
        // transaction at the same time.
        let of_challenge = async {
            let credit = credit.await;
            credit.and(issued.await)
        };
        let (schedule, counters, challenge) = tokio::join!(self.release_schedule(reservation), counters, of_challenge);
        schedule.and(counters).and(challenge)
    }

    async fn record_carrier(
        &self,
        reservation: &SendReservation,
        challenge: &ChallengeId,
        gateway: Gateway,
    ) -> Result<(), Unavailable> {
        let name = &*challenge_name(&reservation.purpose);
        let carried = Expression::new()
            .set([name, "carrier"], text(gateway.name()))
            .if_equals([name, "id"], text(challenge.as_str()));
        let key = record_key(&reservation.phone);
        self.update("record a carrier", self.tables.otps(), key, carried).await.map(drop)
    }
}

impl<T: HasOtps> Store<T> {
    pub(super) async fn schedule(&self, phone: &PhoneNumber) -> Result<SendSchedule, Unavailable> {
        let item = self.get("read a phone's sends", self.tables.otps(), schedule_key(phone)).await?;
        Ok(item.as_ref().map(schedule).transpose()?.unwrap_or_default())
    }

    async fn release_schedule(&self, reservation: &SendReservation) -> Result<(), Unavailable> {
        let seen = reservation.seen_revision;
        let released = write_schedule(&reservation.schedule_before)
            .set("revision", number(seen.saturating_add(2)))
            .if_equals("revision", number(seen.saturating_add(1)));
        // If the condition fails, another send has come since. It waited for this one, which no longer matters.
        self.update(RELEASE, self.tables.otps(), schedule_key(&reservation.phone), released).await.map(drop)
    }

    /// Removes the id that was issued and told to nobody, so that the maximum leaves room for people who are told theirs.
    async fn release_issued_id(
        &self,
        reservation: &SendReservation,
        challenge: &ChallengeId,
        id: &ChallengeId,
    ) -> Result<(), Unavailable> {
        let name = &*challenge_name(&reservation.purpose);
        let released =
            Expression::new().remove([name, "issued", id.as_str()]).if_equals([name, "id"], text(challenge.as_str()));
        self.update(RELEASE, self.tables.otps(), record_key(&reservation.phone), released).await.map(drop)
    }

    /// Subtracts a message from those that the challenge's code credits.
    async fn release_credit(&self, reservation: &SendReservation) -> Result<(), Unavailable> {
        let Some(challenge) = reservation.challenge.challenge_id() else { return Ok(()) };
        let name = &*challenge_name(&reservation.purpose);
        let released = Expression::new()
            .increment([name, "messages"], number(-1))
            .if_equals([name, "id"], text(challenge.as_str()))
            .if_above([name, "messages"], number(0));
        // A transaction, because its token keeps a retry after a lost answer from subtracting twice.
        let key = record_key(&reservation.phone);
        self.transact(Transaction::new(RELEASE).update((), self.tables.otps(), key, released)).await.map(drop)
    }
}

fn schedule(item: &Item) -> Result<SendSchedule, Corrupt> {
    let row = Row(item);
    Ok(SendSchedule { shared: row.moments("sends")?, reserve: row.moments("reserve_sends")? })
}

fn write_schedule(schedule: &SendSchedule) -> Expression {
    let reserve = (!schedule.reserve.is_empty()).then(|| moments(&schedule.reserve));
    Expression::new().set("sends", moments(&schedule.shared)).set_or_remove("reserve_sends", reserve)
}

/// What a send changes of the phone's codes; none if it repeats a code and nothing changes. Counts of wrong codes stay.
fn change_challenge(reservation: &SendReservation) -> Option<Expression> {
    let name = &*challenge_name(&reservation.purpose);
    let change = match &reservation.challenge {
        ChallengeChange::Start(challenge) => Expression::new().set(name, challenge_value(challenge)),
        ChallengeChange::Resend(resend) => resend_challenge(name, resend, reservation.now),
        ChallengeChange::Unchanged => return None,
    };
    let over = reservation.over.iter().filter(|purpose| **purpose != reservation.purpose);
    Some(over.fold(keep(change, reservation.now), |change, purpose| change.remove(&challenge_name(purpose))))
}

/// Records what a resend changes of a live challenge.
fn resend_challenge(name: &str, resend: &Resend, now: Timestamp) -> Expression {
    let mut expression = if_unconsumed(Expression::new(), name, &resend.challenge);
    if let Some(IssuedId { id, least_attempted, attempts }) = &resend.issued {
        // The condition keeps an attempt that was claimed since the send was planned from being given back.
        expression = expression
            .if_equals([name, "issued", least_attempted.as_str()], number(attempts))
            .set([name, "issued", id.as_str()], number(attempts));
    }
    if let Some(carrier) = resend.carrier {
        expression = expression.set([name, "carrier"], text(carrier.name()));
    }
    if let Some(scope) = &resend.scope {
        for (member, value) in credit_scope(scope) {
            expression = expression.set([name, member], value);
        }
        expression =
            expression.set([name, "last_sent_at"], moment(now)).increment_from_zero([name, "messages"], number(1));
    }
    expression
}
