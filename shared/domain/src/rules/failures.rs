//! Wrong codes in a row. From the tenth on, each one closes what it was tried at for a while.

use std::collections::BTreeSet;

use super::limits::{CLOSING_FAILURE, Limits};
use crate::values::ids::ChallengeId;
use crate::values::time::Timestamp;

/// Guesses since the last right code, and the closure that they led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Failures {
    pub consecutive: u32,
    /// When the last closure began.
    pub closed_since: Timestamp,
    /// Guesses are refused until then, except the excused ones.
    pub closed_until: Timestamp,
    /// The issued ids that have had their comparison in the last closure, or began it.
    pub excused: BTreeSet<ChallengeId>,
}

/// A closure refuses the guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub retry_after_seconds: u32,
}

impl Failures {
    /// Counts a guess as a failure; only the right code takes it back. A closure refuses it, except one guess under each id
    /// that was issued before the closure began, so that nobody closes a number to a person who has already asked for a
    /// code. `issued` is the id and when it was issued; none for a guess that no closure excuses.
    pub fn count(
        &self,
        issued: Option<(&ChallengeId, Timestamp)>,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Self, Closed> {
        let is_closed = now < self.closed_until;
        let is_excused = |(id, at): &(&ChallengeId, Timestamp)| *at <= self.closed_since && !self.excused.contains(*id);
        if is_closed && !issued.as_ref().is_some_and(is_excused) {
            return Err(Closed { retry_after_seconds: now.seconds_until(self.closed_until) });
        }
        let mut next = self.clone();
        // A day's closure that has passed starts the count again.
        let is_over = !is_closed && self.consecutive >= CLOSING_FAILURE;
        next.consecutive = if is_over { 1 } else { self.consecutive.saturating_add(1) };
        let delay = limits.delay_after(next.consecutive);
        if delay > 0 {
            if !is_closed {
                next.closed_since = now;
                next.excused.clear();
            }
            next.closed_until = self.closed_until.max(now.plus(delay));
            next.excused.extend(issued.map(|(id, _)| id.clone()));
        }
        Ok(next)
    }

    /// Whether a guess brings no closure, so that counting it changes only the number.
    pub fn has_room(&self, now: Timestamp, limits: &Limits) -> bool {
        now >= self.closed_until && self.consecutive <= limits.undelayed_failures()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::values::time::DAY;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn id(n: u8) -> ChallengeId {
        ChallengeId::from_random([n; 16])
    }

    fn after(guesses: u32, now: Timestamp) -> Failures {
        Failures { consecutive: guesses, closed_until: now, ..Failures::default() }
    }

    #[test]
    fn an_id_issued_before_a_closure_has_one_guess_in_it_and_one_issued_later_has_none() {
        let limits = Limits::default();
        let closed = after(9, START).count(Some((&id(1), START)), START, &limits).unwrap();
        assert_eq!(closed.closed_until, START.plus(30));
        let now = START.plus(1);
        let refused = Err(Closed { retry_after_seconds: 29 });
        assert_eq!(closed.count(None, now, &limits), refused);
        assert_eq!(closed.count(Some((&id(2), now)), now, &limits), refused);
        assert_eq!(closed.count(Some((&id(1), START)), now, &limits), refused, "this id began the closure");
        let excused = closed.count(Some((&id(2), START)), now, &limits).unwrap();
        assert_eq!((excused.consecutive, excused.closed_since, excused.closed_until), (11, START, now.plus(60)));
        assert!(excused.count(Some((&id(2), START)), now, &limits).is_err());
        assert!(excused.count(Some((&id(3), START)), now, &limits).is_ok());
    }

    #[test]
    fn an_id_has_a_guess_in_each_closure_that_begins_after_it_was_issued() {
        let limits = Limits::default();
        let first = after(9, START).count(None, START, &limits).unwrap();
        let excused = first.count(Some((&id(1), START)), START, &limits).unwrap();
        let next = excused.count(None, excused.closed_until, &limits).unwrap();
        assert!(next.count(Some((&id(1), START)), next.closed_since, &limits).is_ok());
    }

    #[test]
    fn the_hundredth_wrong_code_closes_for_a_day_and_then_the_count_starts_again() {
        let limits = Limits::default();
        let closed = after(99, START).count(None, START, &limits).unwrap();
        assert_eq!(closed.count(None, START, &limits), Err(Closed { retry_after_seconds: DAY }));
        let reopened = closed.count(None, START.plus(DAY), &limits).unwrap();
        assert_eq!(reopened.consecutive, 1);
    }
}
