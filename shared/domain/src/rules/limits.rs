//! Every limit: how long, how many, how often. Each default has its public source beside it.

use std::str::FromStr;

use thiserror::Error;

use crate::values::time::{DAY, HOUR, MINUTE, Timestamp};

/// The number of consecutive wrong codes from which on answers are delayed (NIST SP 800-63B-4 §3.2.2).
const FIRST_DELAYED_FAILURE: u32 = 10;
/// The first delay. Each further wrong code doubles it (NIST SP 800-63B-4 §3.2.2: "30 seconds up to an hour").
const FIRST_DELAY_SECONDS: u32 = 30;
/// The number of consecutive wrong codes that closes for a day (NIST SP 800-63B-4 §3.2.2: at most 100).
pub const CLOSING_FAILURE: u32 = 100;

/// What the budgets against SMS pumping do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BudgetMode {
    /// Nothing is counted for them.
    Off,
    /// They report what they would refuse. Authgear's default too: before people sign in every day, three an hour are few.
    #[default]
    Shadow,
    /// They refuse.
    Enforce,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected off, shadow or enforce")]
pub struct UnknownBudgetMode;

impl BudgetMode {
    pub const ALL: [Self; 3] = [Self::Off, Self::Shadow, Self::Enforce];

    /// The name in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }

    /// Whether messages are counted for the budgets.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl FromStr for BudgetMode {
    type Err = UnknownBudgetMode;

    fn from_str(name: &str) -> Result<Self, UnknownBudgetMode> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or(UnknownBudgetMode)
    }
}

/// The limits in force. All durations are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The lifetime of a code: 10 minutes (NIST SP 800-63B-4 §3.1.3.2).
    pub code_lifetime_seconds: u32,
    /// Attempts for each issued id, and as many without an id: 5 (OWASP ASVS 5.0 6.6.3).
    pub code_attempts: u32,
    /// Whether a guess must show the id that its send issued.
    pub require_challenge_id: bool,
    /// The waits between sends to one phone; the last one repeats: 30, 60, 120, 300 s (Signal's registration service).
    pub send_waits_seconds: Vec<u32>,
    /// Sends to one phone in any hour: 5 (Authgear's defaults).
    pub phone_sends_per_hour: u32,
    /// Sends to one phone in any day: 10 (Authgear's defaults).
    pub phone_sends_per_day: u32,
    /// Sends to one phone in any hour that only its holder's known devices can use, when the other limits are used up: 3.
    pub known_device_sends_per_hour: u32,
    /// Sends requested by one source address in a clock hour: 30 (Authgear's defaults).
    pub source_sends_per_hour: u32,
    /// Sends requested by one source address in a clock day: 100 (Authgear's defaults).
    pub source_sends_per_day: u32,
    /// Guesses at codes from one source address in a clock hour, with an id, and as many without: 60, twice the sends,
    /// because carriers let many people share an address (RFC 6888).
    pub source_guesses_per_hour: u32,
    /// The same in a clock day: 200.
    pub source_guesses_per_day: u32,
    /// Messages per organization, country and clock day: 5,000, against SMS pumping.
    /// Those of known devices beyond the other limits have as many of their own.
    pub country_sends_per_day: u32,
    /// How long after its last proof a number may belong to another person, so that a code alone no longer opens its
    /// account: 180 days, twice the longest time that the FCC lets a number rest before it is assigned again (47 CFR
    /// §52.15(f)(1)(ii)).
    pub phone_dormant_seconds: u32,
    /// For how long a change of number, or a deletion, can be taken back: 72 hours, so that it outlasts a weekend.
    pub undo_seconds: u32,
    /// How long a change of number waits that is asked for without the old number: 72 hours, as long as it can be taken back.
    pub delayed_change_seconds: u32,
    /// How long whoever has a dormant number waits for its account: 7 days, as Signal's registration lock does.
    pub recovery_seconds: u32,
    /// How long after a refused request, of either kind, nobody can ask again: 30 days.
    pub refusal_seconds: u32,
    /// Shadow, which refuses nobody (Authgear's default too).
    pub budget_mode: BudgetMode,
    /// The lifetime of an access token: 15 minutes (RFC 9700 §2.2 asks for short lifetimes).
    pub access_token_seconds: u32,
    /// How long an unused refresh token is valid: 30 days (RFC 9700 §4.14.2).
    pub refresh_idle_seconds: u32,
    /// The longest lifetime of a session: 365 days (RFC 9700 §4.14.2).
    pub refresh_total_seconds: u32,
    /// The grace period in which the previous refresh token of an unbound session still gets the current one, because the
    /// device may have lost the answer: 30 s.
    pub refresh_grace_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            code_lifetime_seconds: 10 * MINUTE,
            code_attempts: 5,
            require_challenge_id: false,
            send_waits_seconds: vec![30, 60, 120, 300],
            phone_sends_per_hour: 5,
            phone_sends_per_day: 10,
            known_device_sends_per_hour: 3,
            source_sends_per_hour: 30,
            source_sends_per_day: 100,
            source_guesses_per_hour: 60,
            source_guesses_per_day: 200,
            country_sends_per_day: 5_000,
            phone_dormant_seconds: 180 * DAY,
            undo_seconds: 3 * DAY,
            delayed_change_seconds: 3 * DAY,
            recovery_seconds: 7 * DAY,
            refusal_seconds: 30 * DAY,
            budget_mode: BudgetMode::default(),
            access_token_seconds: 15 * MINUTE,
            refresh_idle_seconds: 30 * DAY,
            refresh_total_seconds: 365 * DAY,
            refresh_grace_seconds: 30,
        }
    }
}

impl Limits {
    /// The earliest moment for the next send to a phone that was sent codes at `sends` (oldest first).
    pub fn next_send_at(&self, sends: &[Timestamp], now: Timestamp) -> Timestamp {
        let mut next = now;
        if let Some(last) = sends.last() {
            // The wait grows with the number of sends in the hour before the last one.
            let recent = sends.iter().filter(|sent| sent.plus(HOUR) > *last).count();
            let wait = self.send_waits_seconds.get(recent.saturating_sub(1)).or(self.send_waits_seconds.last());
            next = next.max(last.plus(wait.copied().unwrap_or(0)));
        }
        for (allowed, seconds) in [(self.phone_sends_per_hour, HOUR), (self.phone_sends_per_day, DAY)] {
            // When the oldest of the last `allowed` sends leaves the window, there is room for one more.
            let oldest_counted = sends.iter().rev().nth((allowed as usize).saturating_sub(1));
            if let Some(oldest) = oldest_counted {
                next = next.max(oldest.plus(seconds));
            }
        }
        next
    }

    /// Whether somebody could have had a code sent at almost any time of the last day, given the `sends` to the phone of the last
    /// two days (oldest first). With no more sends in two days than half of a day's, or than an hour's, no moment of the last day
    /// had more in the day before it, and only the hour after the last of them had none left.
    pub fn left_room_for_a_code(&self, sends: &[Timestamp], now: Timestamp) -> bool {
        let sent = sends.iter().filter(|sent| now < sent.plus(2 * DAY)).count();
        sent <= (self.phone_sends_per_day / 2).min(self.phone_sends_per_hour) as usize
    }

    /// The earliest moment for the next send from the reserve of known devices, which had sends at `sends` (oldest first).
    pub fn next_from_reserve(&self, sends: &[Timestamp], now: Timestamp) -> Timestamp {
        let allowed = self.known_device_sends_per_hour as usize;
        let oldest_counted = sends.iter().rev().nth(allowed.saturating_sub(1));
        oldest_counted.map_or(now, |oldest| now.max(oldest.plus(HOUR)))
    }

    /// How many seconds every attempt is refused after the `failures`th consecutive wrong code.
    pub fn delay_after(&self, failures: u32) -> u32 {
        match failures.checked_sub(FIRST_DELAYED_FAILURE) {
            None => 0,
            Some(_) if failures >= CLOSING_FAILURE => DAY,
            Some(doublings) => FIRST_DELAY_SECONDS.checked_shl(doublings.min(16)).unwrap_or(HOUR).min(HOUR),
        }
    }

    /// The largest number of consecutive failures after which one more still brings no delay.
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
    fn waits_between_sends_grow_until_the_hour_and_the_day_limit_them() {
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
    fn waiting_exactly_until_the_next_send_is_enough() {
        let limits = Limits::default();
        let sends = [at(0), at(30), at(90)];
        let next = limits.next_send_at(&sends, at(100));
        assert_eq!(limits.next_send_at(&sends, next), next);
        assert!(limits.next_send_at(&sends, next.minus(1)) > next.minus(1));
    }

    #[test]
    fn delays_begin_at_the_tenth_wrong_code_and_double_to_an_hour_and_the_hundredth_closes_for_a_day() {
        let limits = Limits::default();
        let delays: Vec<u32> = [9, 10, 11, 12, 16, 17, 18, 99, 100, 101].map(|n| limits.delay_after(n)).to_vec();
        assert_eq!(delays, [0, 30, 60, 120, 1_920, HOUR, HOUR, HOUR, DAY, DAY]);
    }
}
