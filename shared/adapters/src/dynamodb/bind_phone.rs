//! Giving a phone to a user, in one transaction with what proved it: user, locks, former holder and notices.

use domain::rules::due::{Due, DueKind};
use domain::rules::user::{PhoneHolder, Release, ReleaseReason};
use domain::use_cases::bind_phone::{BindOutcome, ConsumedCode, PhoneBinding};
use domain::values::ids::UserId;
use domain::values::purpose::Purpose;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, text};
use super::items::challenge::{consume, record_key};
use super::items::due::due_item;
use super::items::failures::OF_CALLER;
use super::items::user::{
    delayed_change_value, device_key_name, former_phones_value, if_free_or_held_by, if_phone_of, if_still_held_by,
    lose_phone, overtake_change, phone_lock, phone_lock_key, release_phone, user, user_key,
};
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasUsers};
use super::transaction::{Refusal, Transaction};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The code, or what was due.
    Proof,
    User,
    PhoneLock,
    /// The session that asked for a change.
    Session,
    FormerLock,
    FormerHolder,
    Credit,
    Notice,
}

impl<T: HasOtps> Store<T> {
    /// Adds the use of a code to a transaction, and the credit for its message.
    pub(super) fn consuming(&self, transaction: Transaction<Step>, code: &ConsumedCode) -> Transaction<Step> {
        let purpose = Purpose::VerifyPhone { organization: code.organization.clone(), caller: code.user.clone() };
        let consumed = consume(&purpose, &code.challenge, code.lane, &code.consumption());
        let transaction = transaction.update(Step::Proof, self.tables.otps(), record_key(&code.phone), consumed);
        self.credit_messages(transaction, Step::Credit, &code.challenge, code.credit.as_ref())
    }
}

impl<T: HasUsers + HasNotices> Store<T> {
    /// Adds the user, the locks and the notices to the transaction that uses the proof up.
    pub(super) fn binding(&self, transaction: Transaction<Step>, binding: &PhoneBinding) -> Transaction<Step> {
        let (users, PhoneBinding { user: seen, phone, proven_at, former_holder, now, .. }) =
            (self.tables.users(), binding);
        let own_phone = seen.phone.as_ref().map(|phone| text(phone.e164()));
        let changed = Expression::new()
            .set("phone", text(phone.e164()))
            .set("phone_proven_at", moment(*proven_at))
            .set_or_remove("former_phones", former_phones_value(&binding.former_phones))
            .if_equals_or_absent("former_phones", former_phones_value(&seen.former_phones))
            .if_exists("pk")
            .if_equals_or_absent("phone", own_phone);
        let changed = match &binding.waited {
            None => overtake_change(OF_CALLER.reset(changed), seen, *now),
            // Whoever proved the number since refused the change by that.
            Some(change) => changed
                .remove("delayed_change")
                .if_equals("delayed_change", delayed_change_value(change))
                .if_equals_or_absent("phone_proven_at", seen.phone_proven_at.map(moment)),
        };
        // The new lock gets copies of the device keys, so none of them may have been forgotten since.
        let changed = seen.device_keys.0.keys().fold(changed, |changed, key| changed.if_exists(&device_key_name(key)));
        let lock_condition = if_available(&seen.id, former_holder.as_ref());
        let mut transaction = transaction.update(Step::User, users, user_key(&seen.id), changed).put(
            Step::PhoneLock,
            users,
            phone_lock(phone, &seen.id, *proven_at, &seen.device_keys),
            lock_condition,
        );
        if let Some(before) = seen.phone.as_ref().filter(|before| *before != phone) {
            let former = binding.former_phones.iter().find(|former| former.phone == *before);
            transaction = match former {
                Some(former) => {
                    let release = Release { reason: ReleaseReason::NumberChanged, until: former.until };
                    let released = release_phone(&seen.id, release);
                    let end = Due {
                        at: former.decided_at(),
                        kind: DueKind::UndoEnd,
                        user: seen.id.clone(),
                        requested_at: former.changed_at,
                    };
                    transaction.update(Step::FormerLock, users, phone_lock_key(before), released).put(
                        Step::Notice,
                        self.tables.notices(),
                        due_item(&end),
                        Expression::new(),
                    )
                }
                // A change back: nobody may return to the number in between.
                None => transaction.delete(Step::FormerLock, users, phone_lock_key(before), if_phone_of(&seen.id)),
            };
        }
        if let Some(former) = former_holder.as_ref().filter(|former| former.has_phone()) {
            let lost = lose_phone(phone, &seen.id, *now);
            transaction = transaction.update(Step::FormerHolder, users, user_key(&former.user), lost);
        }
        self.telling(transaction, Step::Notice, &binding.notices)
    }

    /// Why a binding was refused.
    pub(super) async fn refused_binding(
        &self,
        binding: &PhoneBinding,
        refusal: &Refusal<Step>,
    ) -> Result<BindOutcome, Unavailable> {
        if refusal.failed_condition(Step::Proof).is_some() {
            Ok(BindOutcome::AlreadyConsumed)
        } else if let Some(failed) = refusal.failed_condition(Step::User) {
            Ok(BindOutcome::UserChanged(failed.item.as_ref().map(user).transpose()?.map(Box::new)))
        } else if let Some(failed) = refusal.failed_condition(Step::PhoneLock) {
            Ok(BindOutcome::PhoneTaken(self.holder_of(failed.item.as_ref()).await?))
        } else {
            Ok(BindOutcome::UserChanged(self.find_user(&binding.user.id).await?.map(Box::new)))
        }
    }
}

/// The condition that a phone can become this user's: it is free, or theirs, or of the former holder as they were read.
pub(super) fn if_available(user: &UserId, former_holder: Option<&PhoneHolder>) -> Expression {
    match former_holder {
        Some(former) => if_still_held_by(former),
        None => if_free_or_held_by(user),
    }
}
