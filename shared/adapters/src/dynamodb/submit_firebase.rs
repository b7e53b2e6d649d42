//! Submitting a Firebase token: its earlier use, and at the same time the phone's holder.

use domain::rules::challenge::Consumption;
use domain::rules::firebase_token::TokenDigest;
use domain::rules::user::PhoneHolder;
use domain::use_cases::submit_firebase::SubmitFirebaseStore;
use domain::values::phone::PhoneNumber;
use domain::values::unavailable::Unavailable;

use super::items::attributes::Row;
use super::items::challenge::consumption;
use super::items::firebase_token::token_key;
use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> SubmitFirebaseStore for Store<T> {
    async fn find_holder_and_token_use(
        &self,
        phone: &PhoneNumber,
        digest: &TokenDigest,
    ) -> Result<(Option<PhoneHolder>, Option<Consumption>), Unavailable> {
        let read = self.get("read the use of a Firebase token", self.tables.otps(), token_key(digest));
        let (holder, used) = tokio::try_join!(self.find_holder(phone), read)?;
        let used = used.as_ref().map(|item| consumption(&Row(item))).transpose()?;
        Ok((holder, used.flatten()))
    }
}
