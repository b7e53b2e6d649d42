//! Validating a code: the claim and the caller at the same time, then one transaction that binds the phone, or writes a
//! change that waits.

use domain::rules::challenge::Claim;
use domain::rules::limits::Limits;
use domain::use_cases::bind_phone::{BindOutcome, ConsumedCode, PhoneBinding};
use domain::use_cases::check_code::{CheckCodeStore, GuessCounts};
use domain::use_cases::validate_otp::{CallerCount, ChangeRequest, ChangeRequestOutcome, ValidateOtpStore};
use domain::values::ids::{SessionId, UserId};
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::bind_phone::{Step, if_available};
use super::expression::Expression;
use super::items::attributes::{Row, moment, text};
use super::items::due::due_item;
use super::items::failures::OF_CALLER;
use super::items::session::session_key;
use super::items::user::{delayed_change_value, device_key_name, phone_lock_key, user, user_key};
use super::store::{Store, Updated};
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::trace;

/// How often a count is retried because another guess of the caller changed it. Soon one of them closes.
const MAX_ROUNDS: usize = 8;

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> ValidateOtpStore for Store<T> {
    async fn count_guess_of_caller(
        &self,
        claim: &Claim,
        caller: &UserId,
        limits: &Limits,
    ) -> Result<(GuessCounts, CallerCount), Unavailable> {
        let (counted, caller) =
            tokio::join!(self.count_guess(claim, limits), self.count_failure_of_caller(caller, claim.now, limits));
        Ok((counted?, caller?))
    }

    async fn session_is_open(&self, user: &UserId, session: &SessionId, now: Timestamp) -> Result<bool, Unavailable> {
        Ok(self.find_session(user, session).await?.is_some_and(|session| session.is_live(now)))
    }

    async fn bind_phone(&self, code: &ConsumedCode, binding: &PhoneBinding) -> Result<BindOutcome, Unavailable> {
        trace("a verification writes", binding);
        let transaction = self.consuming(Transaction::new("bind a phone"), code);
        match self.transact(self.binding(transaction, binding)).await? {
            Written::Done => Ok(BindOutcome::Bound),
            Written::Refused(refusal) => self.refused_binding(binding, &refusal).await,
        }
    }

    async fn request_change(&self, request: &ChangeRequest) -> Result<ChangeRequestOutcome, Unavailable> {
        trace("a change that waits writes", request);
        let ChangeRequest { user: seen, code, change, holder, due, notices } = request;
        let (users, key) = (self.tables.users(), &change.device_key);
        // Whoever proves the number in between refuses the change by that.
        let asked = OF_CALLER
            .reset(Expression::new())
            .set("delayed_change", delayed_change_value(change))
            .if_equals_or_absent("delayed_change", seen.delayed_change.as_deref().map(delayed_change_value))
            .if_equals_or_absent("phone", seen.phone.as_ref().map(|phone| text(phone.e164())))
            .if_equals_or_absent("phone_proven_at", seen.phone_proven_at.map(moment))
            .if_exists(&device_key_name(key))
            .if_exists("pk");
        let transaction = self.consuming(Transaction::new("ask for a change of number"), code);
        // Whoever ends the session of the device stops the change, so the key must be the session's own.
        let session = Expression::new().if_equals("device_key", text(key.as_str()));
        let mut transaction = transaction
            .update(Step::User, users, user_key(&seen.id), asked)
            .check(Step::PhoneLock, users, phone_lock_key(&change.to), if_available(&seen.id, holder.as_ref()))
            .check(Step::Session, self.tables.sessions(), session_key(&seen.id, &change.requested_by), session);
        for due in due {
            transaction = transaction.put(Step::Notice, self.tables.notices(), due_item(due), Expression::new());
        }
        let refusal = match self.transact(self.telling(transaction, Step::Notice, notices)).await? {
            Written::Done => return Ok(ChangeRequestOutcome::Requested),
            Written::Refused(refusal) => refusal,
        };
        if refusal.failed_condition(Step::Proof).is_some() {
            Ok(ChangeRequestOutcome::AlreadyConsumed)
        } else if refusal.failed_condition(Step::Session).is_some() {
            Ok(ChangeRequestOutcome::OtherSession)
        } else if refusal.failed_condition(Step::User).is_some() {
            Ok(ChangeRequestOutcome::UserChanged(self.find_user(&seen.id).await?.map(Box::new)))
        } else {
            let lock = refusal.failed_condition(Step::PhoneLock).and_then(|failed| failed.item.as_ref());
            Ok(ChangeRequestOutcome::PhoneTaken(self.holder_of(lock).await?))
        }
    }
}

impl<T: HasUsers> Store<T> {
    /// Counts a guess as a failure of the caller, on the caller's user.
    async fn count_failure_of_caller(
        &self,
        caller: &UserId,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<CallerCount, Unavailable> {
        let mut expression = OF_CALLER.count(Expression::new().if_exists("pk"), now, limits);
        for _ in 0..MAX_ROUNDS {
            let updated = self.update("count a guess", self.tables.users(), user_key(caller), expression).await?;
            let seen = match updated {
                Updated::Done(item) => return Ok(CallerCount { user: Some(user(&item)?), closed: None }),
                Updated::ConditionFailed(None) => return Ok(CallerCount { user: None, closed: None }),
                Updated::ConditionFailed(Some(item)) => item,
            };
            let failures = OF_CALLER.read(&Row(&seen))?;
            match failures.count(None, now, limits) {
                Err(closed) => return Ok(CallerCount { user: Some(user(&seen)?), closed: Some(closed) }),
                Ok(next) => expression = OF_CALLER.replace(Expression::new().if_exists("pk"), &failures, &next),
            }
        }
        Err(Unavailable::new("count a guess", "other guesses of the caller changed the count each time"))
    }
}
