//! Opening a session: proof used up, locks, user and session written, in one transaction.

use domain::rules::challenge::Consumption;
use domain::rules::session::Session;
use domain::rules::user::{DEFAULT_ROLE, PhoneHolder, User};
use domain::use_cases::open_session::{
    AccountState, OpenSessionStore, PhoneProof, RecoveryRequest, Restoration, ResumedSession, SignIn, SignInOutcome,
    SignInUser,
};
use domain::values::ids::{SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Corrupt, Item, Row, moment, number, text};
use super::items::challenge::{consume, consumption, record, record_key};
use super::items::due::due_item;
use super::items::firebase_token::token_item;
use super::items::session::{session, session_item, session_key};
use super::items::user::{
    BLOCKED_AT, RESTORED_AT, ROLE_PREFIX, deleted_user_key, device_keys, if_held_by, if_phone_of, if_released,
    if_still_held_by, know_device, lose_phone, organization_set, phone_holder, phone_lock, phone_lock_key,
    recovery_value, release, user, user_item, user_key, username_lock_key,
};
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use super::undo_change::{Proven, UndoSteps};
use crate::telemetry::trace;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Proof,
    PhoneLock,
    User,
    FormerHolder,
    Session,
    Credit,
    Notice,
}

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> OpenSessionStore for Store<T> {
    async fn sign_in(&self, sign_in: &SignIn) -> Result<SignInOutcome, Unavailable> {
        trace("a sign-in writes", sign_in);
        let transaction = match &sign_in.user {
            SignInUser::Restored(restoration) if restoration.state == AccountState::Deleted => {
                match self.find_deleted(&restoration.user.id, sign_in.consumption.at).await? {
                    Some(deleted) => self.undeleting(sign_in, restoration, deleted),
                    None => return Ok(SignInOutcome::HolderChanged(self.find_holder(&sign_in.phone).await?)),
                }
            }
            _ => self.sign_in_transaction(sign_in),
        };
        // An existing user is read at the same time as the transaction, whose change to the user is known.
        let (session, now) = (&sign_in.session.id, sign_in.consumption.at);
        let (written, user, other_sessions) = match &sign_in.user {
            SignInUser::New(new) | SignInUser::Replacing { new, .. } => {
                (self.transact(transaction).await?, Some(new.clone()), Some(0))
            }
            SignInUser::Restored(restoration) => {
                if let Some(change) = &restoration.change {
                    self.end_surplus_sessions(change).await?;
                }
                let written = self.transact(transaction).await?;
                let id = &restoration.user.id;
                let (user, others) = tokio::join!(self.find_user(id), self.count_other_sessions(id, session, now));
                (written, user?, others.ok())
            }
            SignInUser::Existing(id) | SignInUser::Recovered(id, _) => {
                // A failed read must neither abandon the transaction nor hide that it consumed the proof.
                let (written, user, others) = tokio::join!(
                    self.transact(transaction),
                    self.find_user(id),
                    self.count_other_sessions(id, session, now)
                );
                let written = written?;
                let user = match user {
                    Err(_) if written.is_done() => self.find_user(id).await?,
                    user => user.unwrap_or_default(),
                };
                let joined = sign_in.joins.then(|| sign_in.organization.clone());
                let key = sign_in.session.device_key.as_ref();
                (written, user.map(|user| user.signed_in(joined, key, now)), others.ok())
            }
        };
        let refusal = match (written, user) {
            (Written::Done, Some(user)) => {
                return Ok(SignInOutcome::SignedIn { user: Box::new(user), other_sessions });
            }
            (Written::Done, None) => return Err(Unavailable::new("sign in", "the user was deleted meanwhile")),
            (Written::Refused(refusal), _) => refusal,
        };
        if let Some(failed) = refusal.failed_condition(Step::Proof) {
            let used =
                failed.item.as_ref().map(|item| used(&sign_in.proof, item, &sign_in.organization)).transpose()?;
            return Ok(SignInOutcome::AlreadyConsumed(used.flatten()));
        }
        let of_user = refusal.failed_condition(Step::User).and_then(|failed| failed.item.as_ref());
        if of_user.is_some_and(|item| item.contains_key(BLOCKED_AT)) {
            return Ok(SignInOutcome::Blocked);
        }
        let holder = match refusal.failed_condition(Step::PhoneLock) {
            Some(failed) => self.holder_of(failed.item.as_ref()).await?,
            None => self.find_holder(&sign_in.phone).await?,
        };
        Ok(SignInOutcome::HolderChanged(holder))
    }

    async fn read_user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn read_deleted_user(&self, id: &UserId, now: Timestamp) -> Result<Option<User>, Unavailable> {
        Ok(self.find_deleted(id, now).await?.as_ref().map(user).transpose()?)
    }

    async fn read_user_and_sessions(&self, id: &UserId) -> Result<Option<(User, Vec<Session>)>, Unavailable> {
        self.find_user_and_sessions(id).await
    }

    async fn request_recovery(&self, request: &RecoveryRequest) -> Result<bool, Unavailable> {
        trace("a recovery writes", request);
        let RecoveryRequest { user: seen, recovery, reminder, notice } = request;
        let asked = Expression::new()
            .set("recovery", recovery_value(recovery))
            .if_equals_or_absent("recovery", seen.recovery.as_deref().map(recovery_value))
            .if_equals_or_absent("phone", seen.phone.as_ref().map(|phone| text(phone.e164())))
            .if_equals_or_absent("phone_proven_at", seen.phone_proven_at.map(moment));
        let users = self.tables.users();
        let mut transaction = Transaction::new("ask for an account").update((), users, user_key(&seen.id), asked);
        if let Some(reminder) = reminder {
            transaction = transaction.put((), self.tables.notices(), due_item(reminder), Expression::new());
        }
        Ok(self.transact(self.telling(transaction, (), notice)).await?.is_done())
    }

    async fn phone_holder(&self, phone: &PhoneNumber) -> Result<Option<PhoneHolder>, Unavailable> {
        self.find_holder(phone).await
    }

    async fn read_session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
    }

    async fn read_user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<ResumedSession>, Unavailable> {
        let (user, session, others) = tokio::join!(
            self.find_user(user),
            self.find_session(user, session),
            self.count_other_sessions(user, session, now)
        );
        let (user, session, other_sessions) = (user?, session?, others.ok());
        Ok(user.zip(session).map(|(user, session)| ResumedSession { user, session, other_sessions }))
    }
}

/// How a proof was used, by its item.
fn used(proof: &PhoneProof, item: &Item, organization: &OrganizationId) -> Result<Option<Consumption>, Corrupt> {
    match proof {
        PhoneProof::Code { .. } => {
            let record = record(item, &Purpose::SignIn { organization: organization.clone() })?;
            Ok(record.challenge.and_then(|challenge| challenge.consumption))
        }
        PhoneProof::Firebase { .. } => consumption(&Row(item)),
    }
}

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> Store<T> {
    fn using_up_proof(&self, sign_in: &SignIn) -> Transaction<Step> {
        let (otps, transaction) = (self.tables.otps(), Transaction::new("sign in"));
        match &sign_in.proof {
            PhoneProof::Code { challenge, lane, .. } => {
                let purpose = Purpose::SignIn { organization: sign_in.organization.clone() };
                let consumed = consume(&purpose, &challenge.id, *lane, &sign_in.consumption);
                transaction.update(Step::Proof, otps, record_key(&sign_in.phone), consumed)
            }
            PhoneProof::Firebase { digest, valid_until, .. } => {
                let item = token_item(digest, *valid_until, &sign_in.consumption);
                transaction.put(Step::Proof, otps, item, Expression::new().if_absent("pk"))
            }
        }
    }

    fn sign_in_transaction(&self, sign_in: &SignIn) -> Transaction<Step> {
        let (users, now) = (self.tables.users(), sign_in.consumption.at);
        let mut transaction = self.using_up_proof(sign_in);
        let (key, forgotten) = (sign_in.session.device_key.as_ref(), &sign_in.forgotten_keys);
        transaction = match &sign_in.user {
            SignInUser::New(new) => {
                let lock = phone_lock(&sign_in.phone, &new.id, now, &new.device_keys);
                transaction.put(Step::PhoneLock, users, lock, Expression::new().if_absent("pk")).put(
                    Step::User,
                    users,
                    user_item(new),
                    Expression::new().if_absent("pk"),
                )
            }
            SignInUser::Existing(id) | SignInUser::Recovered(id, _) => {
                let signed_in = signed_in(Expression::new(), sign_in).if_exists("pk");
                let signed_in = match &sign_in.user {
                    // Nobody refused it meanwhile.
                    SignInUser::Recovered(_, recovery) => {
                        signed_in.remove("recovery").if_equals("recovery", recovery_value(recovery))
                    }
                    _ => signed_in,
                };
                let proven = know_device(if_phone_of(id).set("proven_at", moment(now)), key, forgotten, now);
                transaction.update(Step::PhoneLock, users, phone_lock_key(&sign_in.phone), proven).update(
                    Step::User,
                    users,
                    user_key(id),
                    signed_in,
                )
            }
            SignInUser::Replacing { new, former } => {
                let lock = phone_lock(&sign_in.phone, &new.id, now, &new.device_keys);
                let transaction = transaction.put(Step::PhoneLock, users, lock, if_still_held_by(former)).put(
                    Step::User,
                    users,
                    user_item(new),
                    Expression::new().if_absent("pk"),
                );
                if former.has_phone() {
                    let lost = lose_phone(&sign_in.phone, &new.id, now);
                    transaction.update(Step::FormerHolder, users, user_key(&former.user), lost)
                } else {
                    transaction
                }
            }
            // A change is taken back. A deletion has a transaction of its own.
            SignInUser::Restored(restoration) => match &restoration.change {
                Some(change) => {
                    let steps = UndoSteps { phone_lock: Step::PhoneLock, user: Step::User, other: Step::FormerHolder };
                    self.undoing(transaction, change, &steps, Proven { at: now, by: key }, |user| {
                        signed_in(user, sign_in)
                    })
                }
                None => transaction,
            },
        };
        self.with_session(transaction, sign_in)
    }

    /// Adds the session, what other devices are told, and the credit of the messages whose code came back.
    fn with_session(&self, transaction: Transaction<Step>, sign_in: &SignIn) -> Transaction<Step> {
        let session = session_item(&sign_in.session);
        let transaction = transaction.put(Step::Session, self.tables.sessions(), session, Expression::new());
        let transaction = self.telling(transaction, Step::Notice, &sign_in.notice);
        match &sign_in.proof {
            PhoneProof::Code { challenge, .. } => {
                self.credit_messages(transaction, Step::Credit, &challenge.id, challenge.credit.as_ref())
            }
            PhoneProof::Firebase { .. } => transaction,
        }
    }

    /// The item of a user who was deleted a short time ago.
    async fn find_deleted(&self, id: &UserId, now: Timestamp) -> Result<Option<Item>, Unavailable> {
        let item = self.get("read a deleted user", self.tables.users(), deleted_user_key(id)).await?;
        let Some(item) = item else { return Ok(None) };
        let is_kept = now < Row(&item).moment("kept_until")?;
        Ok(is_kept.then_some(item))
    }

    /// A sign-in that takes back a deletion, and the change of number before it if there is one. The user's item returns as it
    /// was, but without the devices.
    fn undeleting(&self, sign_in: &SignIn, restoration: &Restoration, deleted: Item) -> Transaction<Step> {
        let (users, now) = (self.tables.users(), sign_in.consumption.at);
        let Restoration { user: was, released_until, change, .. } = restoration;
        let earlier = change.as_ref().map_or(&was.former_phones, |change| &change.earlier);
        let restored = User { former_phones: earlier.clone(), phone: Some(sign_in.phone.clone()), ..was.clone() };
        let joined = sign_in.joins.then(|| sign_in.organization.clone());
        let restored = restored.signed_in(joined, sign_in.session.device_key.as_ref(), now);
        // What the domain does not know of an item stays.
        let mut item = deleted;
        for name in ["kept_until", "former_phones"] {
            item.remove(name);
        }
        item.extend(user_item(&restored));
        item.insert(RESTORED_AT.to_owned(), moment(now));
        let lock = phone_lock(&sign_in.phone, &was.id, now, &restored.device_keys);
        let mut transaction = self
            .using_up_proof(sign_in)
            .put(Step::PhoneLock, users, lock, if_released(&was.id, *released_until))
            .put(Step::User, users, item, Expression::new().if_absent("pk"))
            .delete(Step::FormerHolder, users, deleted_user_key(&was.id), Expression::new().if_exists("pk"));
        if let Some(username) = &was.username {
            let returned = if_held_by(&was.id).remove("kept_until");
            transaction = transaction.update(Step::FormerHolder, users, username_lock_key(username), returned);
        }
        self.with_session(transaction, sign_in)
    }
}

/// What a sign-in changes of a user who exists.
fn signed_in(user: Expression, sign_in: &SignIn) -> Expression {
    let (now, key) = (sign_in.consumption.at, sign_in.session.device_key.as_ref());
    let user = user
        .set("last_sign_in_at", moment(now))
        .set("phone_proven_at", moment(now))
        .add("sign_ins", number(1))
        .if_absent(BLOCKED_AT);
    let user = know_device(user, key, &sign_in.forgotten_keys, now);
    if sign_in.joins {
        user.add(&format!("{ROLE_PREFIX}{DEFAULT_ROLE}"), organization_set([&sign_in.organization]))
    } else {
        user
    }
}

impl<T: HasUsers + HasSessions> Store<T> {
    /// The user, and then all records of their sessions, also of those that ended by age. In this order, whoever writes on the
    /// condition that the user has had no further sign-in knows all sessions.
    pub(super) async fn find_user_and_sessions(
        &self,
        id: &UserId,
    ) -> Result<Option<(User, Vec<Session>)>, Unavailable> {
        let Some(user) = self.find_user(id).await? else { return Ok(None) };
        let items = self.session_items(id).await?;
        Ok(Some((user, items.iter().map(session).collect::<Result<Vec<_>, _>>()?)))
    }
}

impl<T: HasUsers> Store<T> {
    pub(super) async fn find_user_item(&self, id: &UserId) -> Result<Option<Item>, Unavailable> {
        self.get("read a user", self.tables.users(), user_key(id)).await
    }

    pub(super) async fn find_user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        Ok(self.find_user_item(id).await?.as_ref().map(user).transpose()?)
    }

    pub(super) async fn find_phone_lock(&self, phone: &PhoneNumber) -> Result<Option<Item>, Unavailable> {
        self.get("find the holder of a phone", self.tables.users(), phone_lock_key(phone)).await
    }

    pub(super) async fn find_holder(&self, phone: &PhoneNumber) -> Result<Option<PhoneHolder>, Unavailable> {
        self.holder_of(self.find_phone_lock(phone).await?.as_ref()).await
    }

    /// The holder whom a phone's lock names. The user is read only if no proof was recorded.
    pub(super) async fn holder_of(&self, lock: Option<&Item>) -> Result<Option<PhoneHolder>, Unavailable> {
        let Some((user, proven_at)) = lock.map(phone_holder).transpose()? else { return Ok(None) };
        let proven_at = match proven_at {
            Some(proven_at) => proven_at,
            None => self.find_user(&user).await?.map(|user| user.created_at).unwrap_or_default(),
        };
        let device_keys = lock.map(device_keys).unwrap_or_default();
        Ok(Some(PhoneHolder { user, proven_at, device_keys, release: lock.map(release).transpose()?.flatten() }))
    }
}

impl<T: HasSessions> Store<T> {
    pub(super) async fn find_session(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, Unavailable> {
        let item = self.get("read a session", self.tables.sessions(), session_key(user, id)).await?;
        Ok(item.as_ref().map(session).transpose()?)
    }
}
