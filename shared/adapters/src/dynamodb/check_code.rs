//! Claiming an attempt: one conditional write counts it.

use domain::rules::challenge::{ChallengeRecord, Claim};
use domain::rules::limits::Limits;
use domain::use_cases::check_code::{CheckCodeStore, CountOutcome};
use domain::values::unavailable::Unavailable;

use super::expression::{Expression, Path};
use super::items::attributes::{moment, number, text};
use super::items::challenge::{attempts_by_id, record, record_key, record_with_challenge};
use super::store::{Store, Updated};
use super::tables::HasOtps;
use crate::telemetry::trace;

const ATTEMPTED: &str = "claim an attempt";

impl<T: HasOtps> CheckCodeStore for Store<T> {
    async fn count_attempt(&self, claim: &Claim, limits: &Limits) -> Result<CountOutcome, Unavailable> {
        let attempts = match &claim.challenge_id {
            // An unknown id has no attribute, so the comparison fails.
            Some(id) => Path::Element("attempts_by_id", id.as_str().to_owned()),
            None => Path::from("attempts_without_id"),
        };
        let expression = Expression::new()
            .increment("consecutive_failures", number(1))
            .increment(attempts.clone(), number(1))
            .set("closed_until", number(0))
            .if_equals("phone", text(claim.phone.e164()))
            .if_absent("consumed_at")
            .if_above("code_expires_at", moment(claim.now))
            .if_at_most("closed_until", moment(claim.now))
            .if_at_most("consecutive_failures", number(limits.undelayed_failures()))
            .if_below(attempts, number(limits.code_attempts));
        self.write_attempt(claim, expression).await
    }

    async fn count_attempt_from(
        &self,
        claim: &Claim,
        seen: &ChallengeRecord,
        next: &ChallengeRecord,
    ) -> Result<CountOutcome, Unavailable> {
        let expression = Expression::new()
            .set("attempts_by_id", attempts_by_id(&next.challenge.attempts_by_id))
            .set("attempts_without_id", number(next.challenge.attempts_without_id))
            .set("consecutive_failures", number(next.consecutive_failures))
            .set("closed_until", moment(next.closed_until))
            .set("expires_at", moment(next.keep_until(claim.now)))
            .if_equals("challenge_id", text(seen.challenge.id.as_str()))
            .if_equals("attempts_by_id", attempts_by_id(&seen.challenge.attempts_by_id))
            .if_equals("attempts_without_id", number(seen.challenge.attempts_without_id))
            .if_equals("consecutive_failures", number(seen.consecutive_failures))
            .if_equals("closed_until", moment(seen.closed_until));
        let expression = match seen.challenge.consumption {
            Some(_) => expression.if_exists("consumed_at"),
            None => expression.if_absent("consumed_at"),
        };
        self.write_attempt(claim, expression).await
    }
}

impl<T: HasOtps> Store<T> {
    async fn write_attempt(&self, claim: &Claim, expression: Expression) -> Result<CountOutcome, Unavailable> {
        let key = record_key(&claim.purpose, &claim.phone);
        let outcome = match self.update(ATTEMPTED, self.tables.otps(), key, expression).await? {
            Updated::Done(item) => CountOutcome::Counted(record(&item)?),
            Updated::ConditionFailed(met) => {
                CountOutcome::NotCounted(met.as_ref().map(record_with_challenge).transpose()?.flatten())
            }
        };
        trace("an attempt is claimed", &(claim, &outcome));
        Ok(outcome)
    }
}
