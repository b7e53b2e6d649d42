//! Wrong codes in a row. From the tenth on, each one closes the phone or the caller for a while.

use std::collections::BTreeSet;

use super::limits::{CLOSING_FAILURE, Limits};
use crate::values::ids::ChallengeId;
use crate::values::time::Timestamp;

/// Guesses since the last right code, and the closure that they led to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Failures {
    pub consecutive: u32,
    /// Guesses are refused until then, except the first one under each issued id.
    pub closed_until: Timestamp,
    /// The ids under which somebody has guessed in the last closure, or whose guess began it.
    pub used_in_closure: BTreeSet<ChallengeId>,
}

/// A closure refuses the guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub retry_after_seconds: u32,
}

impl Failures {
    /// Counts a guess as a failure; only the right code resets the count. A closure refuses the guess, except the first one
    /// under each issued id, so that nobody closes a number to a person who has asked for a code. The limits on sends keep
    /// these exceptions few. There is no `id` for a guess without one, and where sends are not limited.
    pub fn count(&self, id: Option<&ChallengeId>, now: Timestamp, limits: &Limits) -> Result<Self, Closed> {
        let is_closed = now < self.closed_until;
        if is_closed && id.is_none_or(|id| self.used_in_closure.contains(id)) {
            return Err(Closed { retry_after_seconds: now.seconds_until(self.closed_until) });
        }
        let mut next = self.clone();
        // A day's closure that has passed starts the count again.
        let is_over = !is_closed && self.consecutive >= CLOSING_FAILURE;
        next.consecutive = if is_over { 1 } else { self.consecutive.saturating_add(1) };
        let delay = limits.delay_after(next.consecutive);
        if delay > 0 {
            if !is_closed {
                next.used_in_closure.clear();
            }
            // An excused guess does not make a day's closure longer, so that it ends although somebody guesses on.
            if !is_closed || self.consecutive < CLOSING_FAILURE {
                next.closed_until = self.closed_until.max(now.plus(delay));
            }
            next.used_in_closure.extend(id.cloned());
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
    fn each_id_has_one_guess_in_a_closure_except_the_one_that_began_it() {
        let limits = Limits::default();
        let closed = after(9, START).count(Some(&id(1)), START, &limits).unwrap();
        assert_eq!(closed.closed_until, START.plus(30));
        let now = START.plus(1);
        let refused = Err(Closed { retry_after_seconds: 29 });
        assert_eq!(closed.count(None, now, &limits), refused);
        assert_eq!(closed.count(Some(&id(1)), now, &limits), refused);
        let excused = closed.count(Some(&id(2)), now, &limits).unwrap();
        assert_eq!((excused.consecutive, excused.closed_until), (11, now.plus(60)));
        assert!(excused.count(Some(&id(2)), now, &limits).is_err());
        assert!(excused.count(Some(&id(3)), now, &limits).is_ok());
    }

    #[test]
    fn an_id_has_a_guess_in_each_closure() {
        let limits = Limits::default();
        let first = after(9, START).count(None, START, &limits).unwrap();
        let excused = first.count(Some(&id(1)), START, &limits).unwrap();
        let next = excused.count(None, excused.closed_until, &limits).unwrap();
        assert!(next.count(Some(&id(1)), excused.closed_until, &limits).is_ok());
    }

    #[test]
    fn the_hundredth_wrong_code_closes_for_a_day_and_then_the_count_starts_again() {
        let limits = Limits::default();
        let closed = after(99, START).count(None, START, &limits).unwrap();
        assert_eq!(closed.count(None, START, &limits), Err(Closed { retry_after_seconds: DAY }));
        let excused = closed.count(Some(&id(1)), START.plus(DAY).minus(1), &limits).unwrap();
        assert_eq!(excused.closed_until, START.plus(DAY));
        let reopened = excused.count(None, START.plus(DAY), &limits).unwrap();
        assert_eq!(reopened.consecutive, 1);
    }
}
