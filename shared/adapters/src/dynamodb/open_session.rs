//! Opening a session: proof used up, locks, user and session written, in one transaction.

use domain::rules::challenge::Consumption;
use domain::rules::session::Session;
use domain::rules::user::{DEFAULT_ROLE, PhoneHolder, User};
use domain::use_cases::open_session::{
    OpenSessionStore, PhoneProof, ResumedSession, SignIn, SignInOutcome, SignInUser,
};
use domain::values::ids::{SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Corrupt, Item, Row, moment, number};
use super::items::challenge::{consume, consumption, record, record_key};
use super::items::firebase_token::token_item;
use super::items::session::{session, session_item, session_key};
use super::items::user::{
    ROLE_PREFIX, device_keys, if_held_by, if_still_held_by, know_device, lose_phone, organization_set, phone_holder,
    phone_lock, phone_lock_key, user, user_item, user_key,
};
use super::store::Store;
use super::tables::{HasOtps, HasSessions, HasUsers};
use super::transaction::{Transaction, Written};
use crate::telemetry::trace;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Proof,
    PhoneLock,
    User,
    FormerHolder,
    Session,
    Credit,
}

impl<T: HasUsers + HasOtps + HasSessions> OpenSessionStore for Store<T> {
    async fn sign_in(&self, sign_in: &SignIn) -> Result<SignInOutcome, Unavailable> {
        trace("a sign-in writes", sign_in);
        let transaction = self.sign_in_transaction(sign_in);
        // An existing user is read at the same time as the transaction, whose change to the user is known.
        let (session, now) = (&sign_in.session.id, sign_in.consumption.at);
        let (written, user, other_sessions) = match &sign_in.user {
            SignInUser::New(new) | SignInUser::Replacing { new, .. } => {
                (self.transact(transaction).await?, Some(new.clone()), 0)
            }
            SignInUser::Existing(id) => {
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
                let others = match others {
                    Err(_) if written.is_done() => self.count_other_sessions(id, session, now).await?,
                    others => others.unwrap_or_default(),
                };
                let joined = sign_in.joins.then(|| sign_in.organization.clone());
                let key = sign_in.session.device_key.as_ref();
                (written, user.map(|user| user.signed_in(joined, key, now)), others)
            }
        };
        let refusal = match (written, user) {
            (Written::Done, Some(user)) => return Ok(SignInOutcome::SignedIn { user, other_sessions }),
            (Written::Done, None) => return Err(Unavailable::new("sign in", "the user was deleted meanwhile")),
            (Written::Refused(refusal), _) => refusal,
        };
        if let Some(failed) = refusal.failed_condition(Step::Proof) {
            let used =
                failed.item.as_ref().map(|item| used(&sign_in.proof, item, &sign_in.organization)).transpose()?;
            return Ok(SignInOutcome::AlreadyConsumed(used.flatten()));
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

    async fn read_session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
    }

    async fn read_user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<ResumedSession>, Unavailable> {
        let (user, session, other_sessions) = tokio::try_join!(
            self.find_user(user),
            self.find_session(user, session),
            self.count_other_sessions(user, session, now)
        )?;
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

impl<T: HasUsers + HasOtps + HasSessions> Store<T> {
    fn sign_in_transaction(&self, sign_in: &SignIn) -> Transaction<Step> {
        let (users, otps, now) = (self.tables.users(), self.tables.otps(), sign_in.consumption.at);
        let mut transaction = Transaction::new("sign in");
        transaction = match &sign_in.proof {
            PhoneProof::Code { challenge, lane, .. } => {
                let purpose = Purpose::SignIn { organization: sign_in.organization.clone() };
                let consumed = consume(&purpose, &challenge.id, *lane, &sign_in.consumption);
                transaction.update(Step::Proof, otps, record_key(&sign_in.phone), consumed)
            }
            PhoneProof::Firebase { digest, valid_until, .. } => {
                let item = token_item(digest, *valid_until, &sign_in.consumption);
                transaction.put(Step::Proof, otps, item, Expression::new().if_absent("pk"))
            }
        };
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
            SignInUser::Existing(id) => {
                let signed_in = Expression::new()
                    .set("last_sign_in_at", moment(now))
                    .set("phone_proven_at", moment(now))
                    .add("sign_ins", number(1))
                    .if_exists("pk");
                let signed_in = know_device(signed_in, key, forgotten, now);
                let signed_in = if sign_in.joins {
                    signed_in.add(&format!("{ROLE_PREFIX}{DEFAULT_ROLE}"), organization_set([&sign_in.organization]))
                } else {
                    signed_in
                };
                let proven = know_device(if_held_by(id).set("proven_at", moment(now)), key, forgotten, now);
                transaction.update(Step::PhoneLock, users, phone_lock_key(&sign_in.phone), proven).update(
                    Step::User,
                    users,
                    user_key(id),
                    signed_in,
                )
            }
            SignInUser::Replacing { new, former } => transaction
                .put(
                    Step::PhoneLock,
                    users,
                    phone_lock(&sign_in.phone, &new.id, now, &new.device_keys),
                    if_still_held_by(former),
                )
                .put(Step::User, users, user_item(new), Expression::new().if_absent("pk"))
                .update(Step::FormerHolder, users, user_key(&former.user), lose_phone(&sign_in.phone, &new.id, now)),
        };
        let session = session_item(&sign_in.session);
        transaction = transaction.put(Step::Session, self.tables.sessions(), session, Expression::new());
        match &sign_in.proof {
            PhoneProof::Code { challenge, .. } => {
                self.credit_messages(transaction, Step::Credit, &challenge.id, challenge.credit.as_ref())
            }
            PhoneProof::Firebase { .. } => transaction,
        }
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
        Ok(Some(PhoneHolder { user, proven_at, device_keys: lock.map(device_keys).unwrap_or_default() }))
    }
}

impl<T: HasSessions> Store<T> {
    pub(super) async fn find_session(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, Unavailable> {
        let item = self.get("read a session", self.tables.sessions(), session_key(user, id)).await?;
        Ok(item.as_ref().map(session).transpose()?)
    }
}
