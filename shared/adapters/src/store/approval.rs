//! Approvals of sign-ins: who is asked, once, and the answer, on the challenge's record.

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::approval::{ApprovalStore, AskStore};
use domain::challenge::Purpose;
use domain::ids::{ChallengeId, UserId};
use domain::phone::PhoneNumber;
use domain::session::Session;
use domain::text::FcmToken;
use domain::user::User;
use domain::{Timestamp, Unavailable};

use super::Store;
use super::challenges::record_key;
use super::item::{moment, text};
use super::sessions::session_key;
use super::transaction::{Written, steps};
use crate::config::Table;

impl Store {
    fn update_sign_in(&self, phone: &PhoneNumber) -> UpdateBuilder {
        Update::builder().table_name(self.table(Table::Otps)).set_key(Some(record_key(&Purpose::SignIn, phone)))
    }
}

impl AskStore for Store {
    async fn devices(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        self.sessions(user, now).await
    }

    async fn claim_asking(&self, phone: &PhoneNumber, challenge: &ChallengeId) -> Result<bool, Unavailable> {
        let update = self
            .update_sign_in(phone)
            .update_expression("SET is_approval_asked = :yes")
            .condition_expression(
                "challenge_id = :id AND attribute_not_exists(consumed_at) AND attribute_not_exists(is_approval_asked)",
            )
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":id", text(challenge.as_str()));
        // By its token a retry of a lost answer is told that the turn is taken, and not that another has it.
        let all = steps!["ask for an approval"; Update(update)];
        Ok(matches!(self.transact("ask for an approval", all).await?, Written::Done))
    }

    async fn give_back_asking(&self, phone: &PhoneNumber, challenge: &ChallengeId) -> Result<(), Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Otps))
            .set_key(Some(record_key(&Purpose::SignIn, phone)))
            .update_expression("REMOVE is_approval_asked")
            .condition_expression("challenge_id = :id")
            .expression_attribute_values(":id", text(challenge.as_str()));
        self.write_if_it_still_holds("take back a question", request).await
    }

    async fn forget_fcm_token(&self, session: &Session, token: &FcmToken) -> Result<(), Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Sessions))
            .set_key(Some(session_key(&session.user, &session.id)))
            .update_expression("REMOVE fcm_token, fcm_token_at")
            .condition_expression("fcm_token = :token")
            .expression_attribute_values(":token", text(token.as_str()));
        self.write_if_it_still_holds("forget an FCM token", request).await
    }
}

impl ApprovalStore for Store {
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
        let update = self
            .update_sign_in(phone)
            .update_expression("SET approved_by = :by")
            .condition_expression(
                "attribute_exists(challenge_id) AND attribute_exists(told.#told) AND attribute_not_exists(consumed_at) \
                 AND code_expires_at > :now",
            )
            .expression_attribute_names("#told", challenge.as_str())
            .expression_attribute_values(":by", text(by.as_str()))
            .expression_attribute_values(":now", moment(now));
        let all = steps!["approve a sign-in"; Update(update)];
        Ok(matches!(self.transact("approve a sign-in", all).await?, Written::Done))
    }
}
