//! Validating a code: the claim and the caller at the same time, then one transaction that binds the phone.

use domain::rules::challenge::Claim;
use domain::rules::limits::Limits;
use domain::rules::user::{Release, ReleaseReason};
use domain::use_cases::check_code::{CheckCodeStore, GuessCounts};
use domain::use_cases::validate_otp::{BindOutcome, CallerCount, PhoneBinding, ValidateOtpStore};
use domain::values::ids::{SessionId, UserId};
use domain::values::purpose::Purpose;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Row, moment, text};
use super::items::challenge::{consume, record_key};
use super::items::failures::OF_CALLER;
use super::items::user::{
    device_key_name, former_phones_value, if_free_or_held_by, if_phone_of, if_still_held_by, lose_phone, phone_lock,
    phone_lock_key, release_phone, user, user_key,
};
use super::store::{Store, Updated};
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::trace;

/// How often a count is retried because another guess of the caller changed it. Soon one of them closes.
const MAX_ROUNDS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Code,
    User,
    PhoneLock,
    FormerLock,
    FormerHolder,
    Credit,
    Notice,
}

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

    async fn bind_phone(&self, binding: &PhoneBinding) -> Result<BindOutcome, Unavailable> {
        trace("a verification writes", binding);
        let (users, PhoneBinding { user: seen, phone, challenge, former_holder, now, .. }) =
            (self.tables.users(), binding);
        let purpose = Purpose::VerifyPhone { organization: binding.organization.clone(), caller: seen.id.clone() };
        let own_phone = seen.phone.as_ref().map(|phone| text(phone.e164()));
        let changed = Expression::new()
            .set("phone", text(phone.e164()))
            .set("phone_proven_at", moment(*now))
            .set_or_remove("former_phones", former_phones_value(&binding.former_phones))
            .if_equals_or_absent("former_phones", former_phones_value(&seen.former_phones))
            .if_exists("pk")
            .if_equals_or_absent("phone", own_phone);
        // The new lock gets copies of the device keys, so none of them may have been forgotten since.
        let changed = seen.device_keys.0.keys().fold(changed, |changed, key| changed.if_exists(&device_key_name(key)));
        let changed = OF_CALLER.reset(changed);
        let lock_condition = match former_holder {
            Some(former) => if_still_held_by(former),
            None => if_free_or_held_by(&seen.id),
        };
        let mut transaction = Transaction::new("bind a phone")
            .update(
                Step::Code,
                self.tables.otps(),
                record_key(phone),
                consume(&purpose, challenge, binding.lane, &binding.consumption()),
            )
            .update(Step::User, users, user_key(&seen.id), changed)
            .put(Step::PhoneLock, users, phone_lock(phone, &seen.id, *now, &seen.device_keys), lock_condition);
        if let Some(before) = seen.phone.as_ref().filter(|before| *before != phone) {
            let former = binding.former_phones.iter().find(|former| former.phone == *before);
            transaction = match former.map(|former| former.until) {
                Some(until) => {
                    let release = Release { reason: ReleaseReason::NumberChanged, until };
                    let released = release_phone(&seen.id, release);
                    transaction.update(Step::FormerLock, users, phone_lock_key(before), released)
                }
                // A change back: nobody may return to the number in between.
                None => transaction.delete(Step::FormerLock, users, phone_lock_key(before), if_phone_of(&seen.id)),
            };
        }
        if let Some(former) = former_holder.as_ref().filter(|former| former.has_phone()) {
            let lost = lose_phone(phone, &seen.id, *now);
            transaction = transaction.update(Step::FormerHolder, users, user_key(&former.user), lost);
        }
        transaction = self.telling(transaction, Step::Notice, &binding.notices);
        transaction = self.credit_messages(transaction, Step::Credit, challenge, binding.credit.as_ref());
        let refusal = match self.transact(transaction).await? {
            Written::Done => return Ok(BindOutcome::Bound),
            Written::Refused(refusal) => refusal,
        };
        if refusal.failed_condition(Step::Code).is_some() {
            Ok(BindOutcome::AlreadyConsumed)
        } else if let Some(failed) = refusal.failed_condition(Step::User) {
            Ok(BindOutcome::UserChanged(failed.item.as_ref().map(user).transpose()?))
        } else if let Some(failed) = refusal.failed_condition(Step::PhoneLock) {
            Ok(BindOutcome::PhoneTaken(self.holder_of(failed.item.as_ref()).await?))
        } else {
            Ok(BindOutcome::UserChanged(self.find_user(&seen.id).await?))
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
