//! Every number that keeps the door: how long, how many, how often. Each default has its public source beside it.

use crate::Timestamp;
use crate::pumping::PumpingBudgets;

const MINUTE: u32 = 60;
/// Seconds in an hour.
pub const HOUR: u32 = 60 * MINUTE;
/// Seconds in a day.
pub const DAY: u32 = 24 * HOUR;

/// Wrong codes in a row on one challenge record before answers are delayed (NIST SP 800-63B-4 §3.2.2).
const FIRST_DELAYED_FAILURE: u32 = 10;
/// The first delay; each further wrong code doubles it (NIST SP 800-63B-4 §3.2.2: "30 seconds up to an hour").
const FIRST_DELAY_SECONDS: u32 = 30;
/// Wrong codes in a row that close the record for a day (NIST SP 800-63B-4 §3.2.2: no more than 100).
pub const CLOSING_FAILURE: u32 = 100;

/// The limits in force; all durations in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a code is good: 10 minutes (NIST SP 800-63B-4 §3.1.3.2).
    pub code_lifetime_seconds: u32,
    /// Wrong codes on one challenge, bound and unbound tries apart: 5 (OWASP ASVS 5.0 6.6.3).
    pub code_attempts: u32,
    /// The waits between sends to one phone, the last one repeating: 30, 60, 120, 300 s (Signal's registration service).
    pub send_waits_seconds: Vec<u32>,
    /// Sends to one phone in any hour: 5 (Authgear's defaults).
    pub phone_sends_per_hour: u32,
    /// Sends to one phone in any day: 10 (Authgear's defaults).
    pub phone_sends_per_day: u32,
    /// Sends asked for by one source address in an hour of the clock: 30 (Authgear's defaults).
    pub source_sends_per_hour: u32,
    /// Sends asked for by one source address in a day of the clock: 100 (Authgear's defaults).
    pub source_sends_per_day: u32,
    /// Messages per organization, country and day of the clock: 5,000, against SMS pumping.
    pub country_sends_per_day: u32,
    /// After how long without a proof a number may have passed to another person, so that a code alone no longer opens
    /// its account: 180 days, twice the longest that the FCC lets a number rest before it is given out again (47 CFR
    /// §52.15(f)(1)(ii)).
    pub phone_dormant_seconds: u32,
    /// What is done about messages whose codes don't come back: shadow, which refuses nobody (Authgear's default too).
    pub pumping_budgets: PumpingBudgets,
    /// How long an access token is good: 15 minutes (RFC 9700 §2.2 asks for short lives).
    pub access_token_seconds: u32,
    /// How long a refresh token is good unused: 30 days (RFC 9700 §4.14.2).
    pub refresh_idle_seconds: u32,
    /// How long a session lasts in all: 365 days (RFC 9700 §4.14.2).
    pub refresh_total_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            code_lifetime_seconds: 10 * MINUTE,
            code_attempts: 5,
            send_waits_seconds: vec![30, 60, 120, 300],
            phone_sends_per_hour: 5,
            phone_sends_per_day: 10,
            source_sends_per_hour: 30,
            source_sends_per_day: 100,
            country_sends_per_day: 5_000,
            phone_dormant_seconds: 180 * DAY,
            pumping_budgets: PumpingBudgets::default(),
            access_token_seconds: 15 * MINUTE,
            refresh_idle_seconds: 30 * DAY,
            refresh_total_seconds: 365 * DAY,
        }
    }
}

impl Limits {
    /// When a phone that got codes at `sends` (oldest first) may get the next one.
    pub fn next_send_at(&self, sends: &[Timestamp], now: Timestamp) -> Timestamp {
        let mut next = now;
        if let Some(last) = sends.last() {
            // The wait grows with the sends of the hour up to the last one.
            let recent = sends.iter().filter(|sent| sent.plus(HOUR) > *last).count();
            let wait = self.send_waits_seconds.get(recent.saturating_sub(1)).or(self.send_waits_seconds.last());
            next = next.max(last.plus(wait.copied().unwrap_or(0)));
        }
        for (allowed, seconds) in [(self.phone_sends_per_hour, HOUR), (self.phone_sends_per_day, DAY)] {
            // Once the oldest of the last `allowed` sends has left the window there is room for one more.
            let oldest_that_counts = sends.iter().rev().nth((allowed as usize).saturating_sub(1));
            if let Some(oldest) = oldest_that_counts {
                next = next.max(oldest.plus(seconds));
            }
        }
        next
    }

    /// How long answers are refused after the `failures`th wrong code in a row.
    pub fn delay_after(&self, failures: u32) -> u32 {
        match failures.checked_sub(FIRST_DELAYED_FAILURE) {
            None => 0,
            Some(_) if failures >= CLOSING_FAILURE => DAY,
            Some(doublings) => FIRST_DELAY_SECONDS.checked_shl(doublings.min(16)).unwrap_or(HOUR).min(HOUR),
        }
    }

    /// The most failures in a row after which a further one still brings no delay.
    pub const fn undelayed_failures(&self) -> u32 {
        FIRST_DELAYED_FAILURE.saturating_sub(2)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    #[test]
    fn waits_between_sends_grow_and_then_hour_and_day_bound_them() {
        let limits = Limits::default();
        let mut sends = Vec::new();
        let mut moments = Vec::new();
        let mut now = at(0);
        for _ in 0..11 {
            now = limits.next_send_at(&sends, now);
            moments.push(now.seconds() - at(0).seconds());
            sends.push(now);
        }
        assert_eq!(moments, [0, 30, 90, 210, 510, 3600, 3900, 4020, 4320, 4620, 86_400]);
    }

    #[test]
    fn waiting_exactly_as_long_as_told_is_enough() {
        let limits = Limits::default();
        let sends = [at(0), at(30), at(90)];
        let next = limits.next_send_at(&sends, at(100));
        assert_eq!(limits.next_send_at(&sends, next), next);
        assert!(limits.next_send_at(&sends, next.minus(1)) > next.minus(1));
    }

    #[test]
    fn delays_start_at_the_tenth_wrong_code_double_up_to_an_hour_and_close_for_a_day_at_a_hundred() {
        let limits = Limits::default();
        let delays: Vec<u32> = [9, 10, 11, 12, 16, 17, 18, 99, 100, 101].map(|n| limits.delay_after(n)).to_vec();
        assert_eq!(delays, [0, 30, 60, 120, 1_920, HOUR, HOUR, HOUR, DAY, DAY]);
    }
}
