//! Approvals of sign-ins, on the challenge's record: whether devices were asked, and who approved.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::challenge::{Challenge, Claim};
use domain::rules::notice::Notice;
use domain::rules::session::Session;
use domain::rules::user::User;
use domain::use_cases::approval::{ApprovalRequestStore, ApprovalStore};
use domain::values::ids::{ChallengeId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::text::FcmToken;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, text};
use super::items::challenge::{challenge_name, challenges, if_unconsumed, record_key};
use super::items::session::session_key;
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};
use super::transaction::Transaction;

impl<T: HasOtps + HasSessions> ApprovalRequestStore for Store<T> {
    async fn devices(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        self.live_sessions(user, now).await
    }

    async fn claim_approval_request(&self, claim: &Claim, challenge: &ChallengeId) -> Result<bool, Unavailable> {
        let name = &*challenge_name(&claim.purpose);
        let requested = Expression::new().set([name, "approval_requested"], AttributeValue::Bool(true));
        let requested = if_unconsumed(requested, name, challenge).if_absent([name, "approval_requested"]);
        // A transaction, because its token makes a retry after a lost answer succeed, as if for the first time.
        let key = record_key(&claim.phone);
        let transaction = Transaction::new("request an approval").update((), self.tables.otps(), key, requested);
        Ok(self.transact(transaction).await?.is_done())
    }

    async fn release_approval_request(&self, claim: &Claim, challenge: &ChallengeId) -> Result<(), Unavailable> {
        let name = &*challenge_name(&claim.purpose);
        let released =
            Expression::new().remove([name, "approval_requested"]).if_equals([name, "id"], text(challenge.as_str()));
        let key = record_key(&claim.phone);
        self.update("release an approval request", self.tables.otps(), key, released).await.map(drop)
    }

    async fn forget_fcm_token(&self, session: &Session, token: &FcmToken) -> Result<(), Unavailable> {
        self.forget_token_of_session(session, token).await
    }
}

impl<T: HasSessions> Store<T> {
    pub(super) async fn forget_token_of_session(&self, session: &Session, token: &FcmToken) -> Result<(), Unavailable> {
        let forgotten =
            Expression::new().remove_all(&["fcm_token", "fcm_token_at"]).if_equals("fcm_token", text(token.as_str()));
        let key = session_key(&session.user, &session.id);
        self.update("forget an FCM token", self.tables.sessions(), key, forgotten).await.map(drop)
    }
}

impl<T: HasUsers + HasOtps + HasNotices> ApprovalStore for Store<T> {
    async fn approver(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        self.find_user(id).await
    }

    async fn approve(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
        by: &UserId,
        notice: Option<&Notice>,
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let item = self.get("find a sign-in to approve", self.tables.otps(), record_key(phone)).await?;
        let is_issued = |(purpose, known): &(Purpose, Challenge)| {
            purpose.caller().is_none() && known.issued.contains_key(challenge)
        };
        let Some((purpose, _)) = item.as_ref().and_then(|item| challenges(item).find(is_issued)) else {
            return Ok(false);
        };
        let name = &*challenge_name(&purpose);
        let approved = Expression::new()
            .set([name, "approved_by"], text(by.as_str()))
            .if_exists([name, "issued", challenge.as_str()])
            .if_absent([name, "consumed_at"])
            .if_above([name, "code_expires_at"], moment(now));
        let key = record_key(phone);
        let transaction = Transaction::new("approve a sign-in").update((), self.tables.otps(), key, approved);
        let transaction = self.telling(transaction, (), notice);
        Ok(self.transact(transaction).await?.is_done())
    }
}
