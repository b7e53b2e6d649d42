//! Claiming an attempt: one conditional write counts it at the phone, and one at the source.

use domain::rules::challenge::{ChallengeRecord, Claim, GuessLane};
use domain::rules::limits::Limits;
use domain::use_cases::check_code::{CheckCodeStore, CountOutcome, GuessCounts};
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{moment, number, text};
use super::items::challenge::{challenge_name, keep, record, record_key};
use super::items::failures::{OF_KNOWN_DEVICES, WITH_ID, WITHOUT_ID};
use super::store::{Store, Updated};
use super::tables::HasOtps;
use crate::telemetry::trace;

const ATTEMPTED: &str = "claim an attempt";

impl<T: HasOtps> CheckCodeStore for Store<T> {
    async fn count_guess(&self, claim: &Claim, limits: &Limits) -> Result<GuessCounts, Unavailable> {
        let (attempt, source) =
            tokio::join!(self.count_attempt(claim, limits), self.count_guess_of_source(claim, limits));
        Ok(GuessCounts { attempt: attempt?, source_closed_until: source? })
    }

    async fn count_attempt_from(
        &self,
        claim: &Claim,
        seen: &ChallengeRecord,
        next: &ChallengeRecord,
    ) -> Result<CountOutcome, Unavailable> {
        let expression = keep(Expression::new(), claim.now);
        let expression = match (&claim.challenge_id, &seen.challenge) {
            (Some(id), Some(challenge)) => {
                let name = &*challenge_name(&claim.purpose);
                let attempts = [name, "issued", id.as_str()];
                let of = |record: &ChallengeRecord| {
                    let attempts = record.challenge.as_ref().and_then(|challenge| challenge.issued.get(id));
                    number(attempts.copied().unwrap_or_default())
                };
                let expression = expression
                    .set(attempts, of(next))
                    .if_equals(attempts, of(seen))
                    .if_equals([name, "id"], text(challenge.id.as_str()));
                let expression = match challenge.consumption {
                    Some(_) => expression.if_exists([name, "consumed_at"]),
                    None => expression.if_absent([name, "consumed_at"]),
                };
                match claim.lane {
                    GuessLane::KnownDevice => {
                        OF_KNOWN_DEVICES.replace(expression, &seen.of_known_devices, &next.of_known_devices)
                    }
                    GuessLane::WithId | GuessLane::WithoutId => {
                        WITH_ID.replace(expression, &seen.with_id, &next.with_id)
                    }
                }
            }
            _ => {
                let expression = expression.add("guesses_without_id", number(1));
                WITHOUT_ID.replace(expression, &seen.without_id, &next.without_id)
            }
        };
        self.write_attempt(claim, expression).await
    }

    async fn excuse_again(&self, claim: &Claim) -> Result<(), Unavailable> {
        let Some(id) = &claim.challenge_id else { return Ok(()) };
        let excused = WITH_ID.excuse_again(Expression::new(), id);
        self.update("excuse a guess again", self.tables.otps(), record_key(&claim.phone), excused).await.map(drop)
    }
}

impl<T: HasOtps> Store<T> {
    async fn count_attempt(&self, claim: &Claim, limits: &Limits) -> Result<CountOutcome, Unavailable> {
        let expression = match &claim.challenge_id {
            Some(id) => {
                let name = &*challenge_name(&claim.purpose);
                // An unknown id has no attribute, so the comparison fails.
                let attempts = [name, "issued", id.as_str()];
                let expression = keep(Expression::new(), claim.now)
                    .increment(attempts, number(1))
                    .if_absent([name, "consumed_at"])
                    .if_above([name, "code_expires_at"], moment(claim.now))
                    .if_below(attempts, number(limits.code_attempts));
                WITH_ID.count(expression, claim.now, limits)
            }
            None => {
                let expression = keep(Expression::new(), claim.now).add("guesses_without_id", number(1));
                WITHOUT_ID.count(expression, claim.now, limits)
            }
        };
        self.write_attempt(claim, expression).await
    }

    async fn write_attempt(&self, claim: &Claim, expression: Expression) -> Result<CountOutcome, Unavailable> {
        let key = record_key(&claim.phone);
        let outcome = match self.update(ATTEMPTED, self.tables.otps(), key, expression).await? {
            Updated::Done(item) => CountOutcome::Counted(record(&item, &claim.purpose)?),
            Updated::ConditionFailed(seen) => {
                let seen = seen.map_or(Ok(ChallengeRecord::default()), |item| record(&item, &claim.purpose))?;
                CountOutcome::NotCounted(seen)
            }
        };
        trace("an attempt is claimed", &(claim, &outcome));
        Ok(outcome)
    }
}
