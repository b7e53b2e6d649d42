//! Sign-ins and bindings: code consumed, locks moved, user and session written, in one transaction each.

use aws_sdk_dynamodb::types::{Delete, Put, Update};
use domain::challenge::{Claim, ClaimOutcome, Consumed, Purpose};
use domain::firebase::{FirebaseStore, TokenDigest};
use domain::ids::{SessionId, UserId};
use domain::limits::{HOUR, Limits};
use domain::phone::PhoneNumber;
use domain::session::Session;
use domain::sign_in::{Evidence, Holder, Person, SignIn, SignInOutcome, SignInStore};
use domain::submit_otp::SubmitOtpStore;
use domain::user::{DEFAULT_ROLE, User};
use domain::validate_otp::{BindOutcome, BindPhone, ValidateOtpStore};
use domain::{Timestamp, Unavailable};

use super::challenges::{consume, consumed_by};
use super::item::{Row, key, moment, text};
use super::sessions::session_item;
use super::transaction::{Written, steps};
use super::users::{
    ROLE_PREFIX, holder, organization_set, phone_lock, phone_lock_key, set_aside, user, user_item, user_key,
};
use super::{Item, Store};
use crate::config::Table;
use crate::telemetry::trace;

impl SubmitOtpStore for Store {
    async fn claim_attempt_and_find_user(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<(ClaimOutcome, Option<Holder>), Unavailable> {
        tokio::try_join!(self.claim_attempt(claim, limits), self.find_holder(&claim.phone))
    }
}

fn firebase_key(digest: &TokenDigest) -> Item {
    key(format!("firebase#{}", digest.as_str()))
}

/// A Firebase token as used: there can be one such item.
fn firebase_item(digest: &TokenDigest, until: Timestamp, consumed: &Consumed) -> Item {
    let mut item = firebase_key(digest);
    item.insert("consumed_at".into(), moment(consumed.at));
    item.insert("consumed_user".into(), text(consumed.user.as_str()));
    item.extend(consumed.session.as_ref().map(|session| ("consumed_session".into(), text(session.as_str()))));
    // An hour longer than the token can be good: TTL may delete as soon as it is over.
    item.insert("expires_at".into(), moment(until.plus(HOUR)));
    item
}

impl FirebaseStore for Store {
    async fn find_user_and_use(
        &self,
        phone: &PhoneNumber,
        digest: &TokenDigest,
    ) -> Result<(Option<Holder>, Option<Consumed>), Unavailable> {
        let read = self.get("read a Firebase token's use", Table::Otps, firebase_key(digest));
        let (holder, used) = tokio::try_join!(self.find_holder(phone), read)?;
        let used = used.as_ref().map(|item| consumed_by(&Row(item))).transpose()?;
        Ok((holder, used.flatten()))
    }
}

impl SignInStore for Store {
    async fn sign_in(&self, sign_in: &SignIn) -> Result<SignInOutcome, Unavailable> {
        trace("a sign-in writes", sign_in);
        let users = self.table(Table::Users);
        let otps = self.table(Table::Otps);
        let mut all = match &sign_in.evidence {
            Evidence::Code { challenge, .. } => {
                let consumed = consume(otps, &Purpose::SignIn, &sign_in.phone, &challenge.id, &sign_in.consumed);
                steps!["sign in"; Update(consumed)]
            }
            Evidence::Firebase { digest, until } => {
                let used = Put::builder()
                    .table_name(otps)
                    .set_item(Some(firebase_item(digest, *until, &sign_in.consumed)))
                    .condition_expression("attribute_not_exists(pk)");
                steps!["sign in"; Put(used)]
            }
        };
        let now = sign_in.consumed.at;
        let session =
            Put::builder().table_name(self.table(Table::Sessions)).set_item(Some(session_item(&sign_in.session)));
        let new_user = |new: &User| {
            let user = Put::builder().table_name(users).set_item(Some(user_item(new)));
            user.condition_expression("attribute_not_exists(pk)")
        };
        let held_lock = |holder: &UserId, next: &UserId| {
            Update::builder()
                .table_name(users)
                .set_key(Some(phone_lock_key(&sign_in.phone)))
                .update_expression("SET user_id = :next, proven_at = :now")
                .condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(holder.as_str()))
                .expression_attribute_values(":next", text(next.as_str()))
                .expression_attribute_values(":now", moment(now))
        };
        let credited = match &sign_in.evidence {
            Evidence::Code { challenge, .. } => self.credited(&challenge.id, challenge.credit.as_ref())?,
            Evidence::Firebase { .. } => Vec::new(),
        };
        let (written, known) = match &sign_in.person {
            Person::New(new) => {
                let phone_lock = Put::builder()
                    .table_name(users)
                    .set_item(Some(phone_lock(&sign_in.phone, &new.id, now)))
                    .condition_expression("attribute_not_exists(pk)");
                all.extend(steps!["sign in"; Put(phone_lock), Put(new_user(new)), Put(session)]);
                all.extend(credited);
                (self.transact("sign in", all).await?, Some(new.clone()))
            }
            Person::Known(id) => {
                let user = Update::builder()
                    .table_name(users)
                    .set_key(Some(user_key(id)))
                    .update_expression("SET last_sign_in_at = :now ADD #role :organization")
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_names("#role", format!("{ROLE_PREFIX}{DEFAULT_ROLE}"))
                    .expression_attribute_values(":organization", organization_set([&sign_in.organization]))
                    .expression_attribute_values(":now", moment(now));
                all.extend(steps!["sign in"; Update(held_lock(id, id)), Update(user), Put(session)]);
                all.extend(credited);
                // The profile is read beside the transaction: what the transaction changes of it is known.
                let (written, known) = tokio::try_join!(self.transact("sign in", all), self.find_user(id))?;
                (written, known.map(|known| known.signed_in(sign_in.organization.clone(), now)))
            }
            Person::InPlaceOf { new, former } => {
                let former_user = set_aside(users, former, &sign_in.phone, &new.id, now);
                all.extend(steps!["sign in";
                    Update(held_lock(former, &new.id)), Put(new_user(new)), Put(session), Update(former_user),
                ]);
                all.extend(credited);
                (self.transact("sign in", all).await?, Some(new.clone()))
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

    async fn read_session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
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
        trace("a verification writes", binding);
        let users = self.table(Table::Users);
        let BindPhone { user: seen, phone, challenge, former, now, .. } = binding;
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
            .set_item(Some(phone_lock(phone, &seen.id, *now)))
            .condition_expression(match former {
                Some(_) => "user_id = :user",
                None => "attribute_not_exists(pk) OR user_id = :user",
            })
            .expression_attribute_values(":user", text(former.as_ref().unwrap_or(&seen.id).as_str()));
        let mut all = steps!["bind a phone"; Update(consumed), Update(changed_user), Put(taken)];
        if let Some(before) = seen.phone.as_ref().filter(|before| *before != phone) {
            let freed = Delete::builder()
                .table_name(users)
                .set_key(Some(phone_lock_key(before)))
                .condition_expression("user_id = :user")
                .expression_attribute_values(":user", text(seen.id.as_str()));
            all.extend(steps!["bind a phone"; Delete(freed)]);
        }
        if let Some(former) = former {
            all.extend(steps!["bind a phone"; Update(set_aside(users, former, phone, &seen.id, *now))]);
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
        } else if let Some(met) = failed(2) {
            Ok(BindOutcome::PhoneTaken(met.as_ref().map(holder).transpose()?))
        } else {
            Ok(BindOutcome::UserChanged(self.find_user(&seen.id).await?))
        }
    }
}
