//! Opening a session: proof used up, locks, user and session written, in one transaction.

use domain::rules::session::Session;
use domain::rules::user::{DEFAULT_ROLE, PhoneHolder, User};
use domain::use_cases::open_session::{OpenSessionStore, PhoneProof, SignIn, SignInOutcome, SignInUser};
use domain::values::ids::{SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Item, Row, moment, number, text};
use super::items::challenge::{consume, consumption, record_key};
use super::items::firebase_token::token_item;
use super::items::session::{session, session_item, session_key};
use super::items::user::{
    ROLE_PREFIX, if_held_by, lose_phone, organization_set, phone_holder, phone_lock, phone_lock_key, user, user_item,
    user_key,
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
        let (written, user) = match &sign_in.user {
            SignInUser::New(new) | SignInUser::Replacing { new, .. } => {
                (self.transact(transaction).await?, Some(new.clone()))
            }
            SignInUser::Existing(id) => {
                // A failed read must neither abandon the transaction nor hide that it consumed the proof.
                let (written, user) = tokio::join!(self.transact(transaction), self.find_user(id));
                let written = written?;
                let user = match user {
                    Err(_) if written.is_done() => self.find_user(id).await?,
                    user => user.unwrap_or_default(),
                };
                (written, user.map(|user| user.signed_in(sign_in.organization.clone(), sign_in.consumption.at)))
            }
        };
        let refusal = match (written, user) {
            (Written::Done, Some(user)) => return Ok(SignInOutcome::SignedIn(user)),
            (Written::Done, None) => return Err(Unavailable::new("sign in", "the user was deleted meanwhile")),
            (Written::Refused(refusal), _) => refusal,
        };
        if let Some(failed) = refusal.failed_condition(Step::Proof) {
            let consumption = failed.item.as_ref().map(|item| consumption(&Row(item))).transpose()?;
            return Ok(SignInOutcome::AlreadyConsumed(consumption.flatten()));
        }
        let holder = match refusal.failed_condition(Step::PhoneLock) {
            Some(failed) => failed.item.as_ref().map(phone_holder).transpose()?,
            None => self.find_holder(&sign_in.phone).await?,
        };
        Ok(SignInOutcome::HolderChanged(holder))
    }

    async fn may_use_fixed_code(&self, user: &UserId) -> Result<bool, Unavailable> {
        Ok(self.find_user(user).await?.is_none_or(|user| user.may_use_fixed_code()))
    }

    async fn read_session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
    }

    async fn read_user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Option<(User, Session)>, Unavailable> {
        let (user, session) = tokio::try_join!(self.find_user(user), self.find_session(user, session))?;
        Ok(user.zip(session))
    }
}

impl<T: HasUsers + HasOtps + HasSessions> Store<T> {
    fn sign_in_transaction(&self, sign_in: &SignIn) -> Transaction<Step> {
        let (users, otps, now) = (self.tables.users(), self.tables.otps(), sign_in.consumption.at);
        let mut transaction = Transaction::new("sign in");
        transaction = match &sign_in.proof {
            PhoneProof::Code { challenge, .. } => {
                let key = record_key(&Purpose::SignIn, &sign_in.phone);
                transaction.update(Step::Proof, otps, key, consume(&challenge.id, &sign_in.consumption))
            }
            PhoneProof::Firebase { digest, valid_until, .. } => {
                let item = token_item(digest, *valid_until, &sign_in.consumption);
                transaction.put(Step::Proof, otps, item, Expression::new().if_absent("pk"))
            }
        };
        let lock_key = phone_lock_key(&sign_in.phone);
        let held_by = |holder: &UserId, next: &UserId| {
            if_held_by(holder).set("user_id", text(next.as_str())).set("proven_at", moment(now))
        };
        transaction = match &sign_in.user {
            SignInUser::New(new) => {
                let lock = phone_lock(&sign_in.phone, &new.id, now);
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
                    .add("sign_ins", number(1))
                    .add(format!("{ROLE_PREFIX}{DEFAULT_ROLE}"), organization_set([&sign_in.organization]))
                    .if_exists("pk");
                transaction.update(Step::PhoneLock, users, lock_key, held_by(id, id)).update(
                    Step::User,
                    users,
                    user_key(id),
                    signed_in,
                )
            }
            SignInUser::Replacing { new, former } => transaction
                .update(Step::PhoneLock, users, lock_key, held_by(former, &new.id))
                .put(Step::User, users, user_item(new), Expression::new().if_absent("pk"))
                .update(Step::FormerHolder, users, user_key(former), lose_phone(&sign_in.phone, &new.id, now)),
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

    pub(super) async fn find_holder(&self, phone: &PhoneNumber) -> Result<Option<PhoneHolder>, Unavailable> {
        let item = self.get("find the holder of a phone", self.tables.users(), phone_lock_key(phone)).await?;
        Ok(item.as_ref().map(phone_holder).transpose()?)
    }
}

impl<T: HasSessions> Store<T> {
    pub(super) async fn find_session(&self, user: &UserId, id: &SessionId) -> Result<Option<Session>, Unavailable> {
        let item = self.get("read a session", self.tables.sessions(), session_key(user, id)).await?;
        Ok(item.as_ref().map(session).transpose()?)
    }
}
