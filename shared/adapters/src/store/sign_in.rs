//! Sign-ins and bindings: code consumed, locks moved, user and session written, in one transaction each.

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, Update};
use domain::Unavailable;
use domain::challenge::{Claim, ClaimOutcome, Purpose};
use domain::ids::{SessionId, UserId};
use domain::limits::Limits;
use domain::session::Session;
use domain::submit_otp::{Person, SignIn, SignInOutcome, SubmitOtpStore};
use domain::user::{DEFAULT_ROLE, User};
use domain::validate_otp::{BindOutcome, BindPhone, ValidateOtpStore};

use super::Store;
use super::challenges::{consume, consumed_by};
use super::item::{Row, moment, text};
use super::sessions::session_item;
use super::transaction::{Written, steps};
use super::users::{ROLE_PREFIX, holder, lock, organization_set, phone_lock_key, user, user_item, user_key};
use crate::config::Table;

impl SubmitOtpStore for Store {
    async fn claim_attempt_and_find_user(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<(ClaimOutcome, Option<UserId>), Unavailable> {
        tokio::try_join!(self.claim_attempt(claim, limits), self.find_holder(&claim.phone))
    }

    async fn sign_in(&self, sign_in: &SignIn) -> Result<SignInOutcome, Unavailable> {
        let users = self.table(Table::Users);
        let consumed =
            consume(self.table(Table::Otps), &Purpose::SignIn, &sign_in.phone, &sign_in.challenge, &sign_in.consumed);
        let session =
            Put::builder().table_name(self.table(Table::Sessions)).set_item(Some(session_item(&sign_in.session)));
        let (written, known) = match &sign_in.person {
            Person::New(new) => {
                let phone_lock = Put::builder()
                    .table_name(users)
                    .set_item(Some(lock(phone_lock_key(&sign_in.phone), &new.id)))
                    .condition_expression("attribute_not_exists(pk)");
                let user = Put::builder()
                    .table_name(users)
                    .set_item(Some(user_item(new)))
                    .condition_expression("attribute_not_exists(pk)");
                let mut all = steps!["sign in"; Update(consumed), Put(phone_lock), Put(user), Put(session)];
                all.extend(self.credited(&sign_in.challenge, sign_in.credit.as_ref())?);
                (self.transact("sign in", all).await?, Some(new.clone()))
            }
            Person::Known(id) => {
                let phone_lock = ConditionCheck::builder()
                    .table_name(users)
                    .set_key(Some(phone_lock_key(&sign_in.phone)))
                    .condition_expression("user_id = :user")
                    .expression_attribute_values(":user", text(id.as_str()));
                let user = Update::builder()
                    .table_name(users)
                    .set_key(Some(user_key(id)))
                    .update_expression("SET last_sign_in_at = :now ADD #role :organization")
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_names("#role", format!("{ROLE_PREFIX}{DEFAULT_ROLE}"))
                    .expression_attribute_values(":organization", organization_set([&sign_in.organization]))
                    .expression_attribute_values(":now", moment(sign_in.consumed.at));
                let mut all = steps!["sign in"; Update(consumed), Check(phone_lock), Update(user), Put(session)];
                all.extend(self.credited(&sign_in.challenge, sign_in.credit.as_ref())?);
                // The profile is read beside the transaction: what the transaction changes of it is known.
                let (written, known) = tokio::try_join!(self.transact("sign in", all), self.find_user(id))?;
                (written, known.map(|known| known.signed_in(sign_in.organization.clone(), sign_in.consumed.at)))
            }
        };
        let refused = match (written, known) {
            (Written::Done, Some(user)) => return Ok(SignInOutcome::SignedIn(user)),
            (Written::Done, None) => return Err(Unavailable::new("sign in", "the user was deleted meanwhile")),
            (Written::Refused(refused), _) => refused,
        };
        match (refused.first(), refused.get(1)) {
            (Some(Some(met)), _) => {
                let consumed = met.as_ref().map(|item| consumed_by(&Row(item))).transpose()?;
                Ok(SignInOutcome::AlreadyConsumed(consumed.flatten()))
            }
            (_, Some(Some(met))) => Ok(SignInOutcome::PhoneChangedHands(met.as_ref().map(holder).transpose()?)),
            _ => Ok(SignInOutcome::PhoneChangedHands(self.find_holder(&sign_in.phone).await?)),
        }
    }

    async fn may_use_fixed_code(&self, user: &UserId) -> Result<bool, Unavailable> {
        Ok(self.find_user(user).await?.is_none_or(|user| user.may_use_fixed_code()))
    }

    async fn resume(&self, user: &UserId, session: &SessionId) -> Result<Option<(User, Session)>, Unavailable> {
        let (user, session) = tokio::try_join!(self.find_user(user), self.find_session(user, session))?;
        Ok(user.zip(session))
    }
}

impl ValidateOtpStore for Store {
    async fn claim_attempt_and_read_caller(
        &self,
        claim: &Claim,
        caller: &UserId,
        limits: &Limits,
    ) -> Result<(ClaimOutcome, Option<User>), Unavailable> {
        tokio::try_join!(self.claim_attempt(claim, limits), self.find_user(caller))
    }

    async fn bind_phone(&self, binding: &BindPhone) -> Result<BindOutcome, Unavailable> {
        let users = self.table(Table::Users);
        let BindPhone { user: seen, phone, challenge, .. } = binding;
        let purpose = Purpose::VerifyPhone { caller: seen.id.clone() };
        let consumed = consume(self.table(Table::Otps), &purpose, phone, challenge, &binding.consumed());
        let mut changed_user = Update::builder()
            .table_name(users)
            .set_key(Some(user_key(&seen.id)))
            .update_expression("SET phone = :phone")
            .expression_attribute_values(":phone", text(phone.e164()));
        changed_user = match &seen.phone {
            Some(before) => changed_user
                .condition_expression("phone = :before")
                .expression_attribute_values(":before", text(before.e164())),
            None => changed_user.condition_expression("attribute_exists(pk) AND attribute_not_exists(phone)"),
        };
        let taken = Put::builder()
            .table_name(users)
            .set_item(Some(lock(phone_lock_key(phone), &seen.id)))
            .condition_expression("attribute_not_exists(pk) OR user_id = :user")
            .expression_attribute_values(":user", text(seen.id.as_str()));
        let mut all = steps!["bind a phone"; Update(consumed), Update(changed_user), Put(taken)];
        if let Some(before) = seen.phone.as_ref().filter(|before| *before != phone) {
            let freed = Delete::builder()
                .table_name(users)
                .set_key(Some(phone_lock_key(before)))
                .condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(seen.id.as_str()));
            all.extend(steps!["bind a phone"; Delete(freed)]);
        }
        all.extend(self.credited(challenge, binding.credit.as_ref())?);
        let refused = match self.transact("bind a phone", all).await? {
            Written::Done => return Ok(BindOutcome::Bound),
            Written::Refused(refused) => refused,
        };
        let failed = |step: usize| refused.get(step).and_then(Option::as_ref);
        if failed(0).is_some() {
            Ok(BindOutcome::AlreadyConsumed)
        } else if let Some(met) = failed(1) {
            Ok(BindOutcome::UserChanged(met.as_ref().map(user).transpose()?))
        } else if failed(2).is_some() {
            Ok(BindOutcome::PhoneTaken)
        } else {
            Ok(BindOutcome::UserChanged(self.find_user(&seen.id).await?))
        }
    }
}
