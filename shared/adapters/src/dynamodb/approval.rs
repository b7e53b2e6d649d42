//! Approvals of sign-ins, on the challenge's record: whether devices were asked, and who approved.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::session::Session;
use domain::rules::user::User;
use domain::use_cases::approval::{ApprovalRequestStore, ApprovalStore};
use domain::values::ids::{ChallengeId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::text::FcmToken;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::{Expression, Path};
use super::items::attributes::{moment, text};
use super::items::challenge::{if_unconsumed, record_key};
use super::items::session::session_key;
use super::store::Store;
use super::tables::{HasOtps, HasSessions, HasUsers};
use super::transaction::Transaction;

impl<T: HasOtps + HasSessions> ApprovalRequestStore for Store<T> {
    async fn devices(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        self.live_sessions(user, now).await
    }

    async fn claim_approval_request(&self, phone: &PhoneNumber, challenge: &ChallengeId) -> Result<bool, Unavailable> {
        let requested = Expression::new().set("approval_requested", AttributeValue::Bool(true));
        let requested = if_unconsumed(requested, challenge).if_absent("approval_requested");
        // A transaction, because its token makes a retry after a lost answer succeed, as if for the first time.
        let key = record_key(&Purpose::SignIn, phone);
        let transaction = Transaction::new("request an approval").update((), self.tables.otps(), key, requested);
        Ok(self.transact(transaction).await?.is_done())
    }

    async fn release_approval_request(&self, phone: &PhoneNumber, challenge: &ChallengeId) -> Result<(), Unavailable> {
        let released =
            Expression::new().remove("approval_requested").if_equals("challenge_id", text(challenge.as_str()));
        let key = record_key(&Purpose::SignIn, phone);
        self.update("release an approval request", self.tables.otps(), key, released).await.map(drop)
    }

    async fn forget_fcm_token(&self, session: &Session, token: &FcmToken) -> Result<(), Unavailable> {
        let forgotten =
            Expression::new().remove_all(&["fcm_token", "fcm_token_at"]).if_equals("fcm_token", text(token.as_str()));
        let key = session_key(&session.user, &session.id);
        self.update("forget an FCM token", self.tables.sessions(), key, forgotten).await.map(drop)
    }
}

impl<T: HasUsers + HasOtps> ApprovalStore for Store<T> {
    async fn approver(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn approve(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
        by: &UserId,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let approved = Expression::new()
            .set("approved_by", text(by.as_str()))
            .if_exists("challenge_id")
            .if_exists(Path::Element("attempts_by_id", challenge.as_str().to_owned()))
            .if_absent("consumed_at")
            .if_above("code_expires_at", moment(now));
        let key = record_key(&Purpose::SignIn, phone);
        let transaction = Transaction::new("approve a sign-in").update((), self.tables.otps(), key, approved);
        Ok(self.transact(transaction).await?.is_done())
    }
}
