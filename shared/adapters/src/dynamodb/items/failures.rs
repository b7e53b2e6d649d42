//! Wrong codes in a row, as attributes of the item that they are counted on.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::challenge::GuessLane;
use domain::rules::failures::Failures;
use domain::rules::limits::Limits;
use domain::values::ids::ChallengeId;
use domain::values::time::Timestamp;

use super::attributes::{Corrupt, Row, moment, number};
use crate::dynamodb::expression::Expression;

/// The names of the attributes.
pub(in crate::dynamodb) struct FailureNames {
    consecutive: &'static str,
    closed_until: &'static str,
    used_in_closure: &'static str,
}

/// Of a phone's guesses with an issued id.
pub(in crate::dynamodb) const WITH_ID: FailureNames =
    FailureNames { consecutive: "failures", closed_until: "closed_until", used_in_closure: "used_in_closure" };
/// Of a phone's guesses without an id.
pub(in crate::dynamodb) const WITHOUT_ID: FailureNames = FailureNames {
    consecutive: "failures_without_id",
    closed_until: "closed_without_id_until",
    used_in_closure: "used_in_closure_without_id",
};
/// Of known devices' guesses that the closure of guesses with an id would have refused.
pub(in crate::dynamodb) const OF_KNOWN_DEVICES: FailureNames = FailureNames {
    consecutive: "failures_of_known_devices",
    closed_until: "closed_to_known_devices_until",
    used_in_closure: "used_in_closure_of_known_devices",
};
/// Of a signed-in caller's guesses, on the caller's user.
pub(in crate::dynamodb) const OF_CALLER: FailureNames = FailureNames {
    consecutive: "code_failures",
    closed_until: "code_closed_until",
    used_in_closure: "code_used_in_closure",
};

impl FailureNames {
    pub(in crate::dynamodb) const fn of(lane: GuessLane) -> &'static Self {
        match lane {
            GuessLane::WithId => &WITH_ID,
            GuessLane::WithoutId => &WITHOUT_ID,
            GuessLane::KnownDevice => &OF_KNOWN_DEVICES,
        }
    }

    pub(in crate::dynamodb) fn read(&self, row: &Row<'_>) -> Result<Failures, Corrupt> {
        Ok(Failures {
            consecutive: row.optional_number(self.consecutive)?.unwrap_or_default(),
            closed_until: row.optional_moment(self.closed_until)?.unwrap_or_default(),
            used_in_closure: row.set(self.used_in_closure, str::parse::<ChallengeId>)?,
        })
    }

    /// [`Failures::count`] as a write, on the condition of [`Failures::has_room`].
    pub(in crate::dynamodb) fn count(&self, expression: Expression, now: Timestamp, limits: &Limits) -> Expression {
        expression
            .add(self.consecutive, number(1))
            .if_any(|on| {
                [on.absent(self.consecutive), on.at_most(self.consecutive, number(limits.undelayed_failures()))]
            })
            .if_any(|on| [on.absent(self.closed_until), on.at_most(self.closed_until, moment(now))])
    }

    /// Replaces `seen` with `next`, on the condition that nothing was counted since: each count changes the number. An id
    /// that was excused again since is not excused after all.
    pub(in crate::dynamodb) fn replace(&self, expression: Expression, seen: &Failures, next: &Failures) -> Expression {
        expression
            .set(self.consecutive, number(next.consecutive))
            .set(self.closed_until, moment(next.closed_until))
            .set_or_remove(self.used_in_closure, set_of_ids(&next.used_in_closure))
            .if_counts(self.consecutive, seen.consecutive)
            .if_counts(self.closed_until, seen.closed_until.seconds())
    }

    /// Lets the id guess again in the closure that it was excused in.
    pub(in crate::dynamodb) fn excuse_again(&self, expression: Expression, id: &ChallengeId) -> Expression {
        let used = AttributeValue::Ss(vec![id.to_string()]);
        expression.delete_from_set(self.used_in_closure, used).if_exists(self.used_in_closure)
    }

    pub(in crate::dynamodb) fn reset(&self, expression: Expression) -> Expression {
        expression.remove_all(&[self.consecutive, self.closed_until, self.used_in_closure])
    }
}

/// None if it is empty: DynamoDB has no empty sets.
fn set_of_ids(ids: &BTreeSet<ChallengeId>) -> Option<AttributeValue> {
    (!ids.is_empty()).then(|| AttributeValue::Ss(ids.iter().map(ToString::to_string).collect()))
}
