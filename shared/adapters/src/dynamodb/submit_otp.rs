//! Submitting a code: the claim, and at the same time the phone's holder.

use domain::rules::challenge::Claim;
use domain::rules::limits::Limits;
use domain::rules::user::PhoneHolder;
use domain::use_cases::check_code::{CheckCodeStore, GuessCounts};
use domain::use_cases::submit_otp::SubmitOtpStore;
use domain::values::unavailable::Unavailable;

use super::store::Store;
use super::tables::{HasNotices, HasOtps, HasSessions, HasUsers};

impl<T: HasUsers + HasOtps + HasSessions + HasNotices> SubmitOtpStore for Store<T> {
    async fn count_guess_and_find_holder(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<(GuessCounts, Option<PhoneHolder>), Unavailable> {
        let (counted, holder) = tokio::join!(self.count_guess(claim, limits), self.find_holder(&claim.phone));
        Ok((counted?, holder?))
    }
}
