//! Budgets against SMS pumping: how many messages may be out unverified, by country and by source, before more are
//! suspect. What comes back as a code opens the budget again; what doesn't uses it up.
//!
//! The formula is Authgear's, at <https://github.com/authgear/authgear-server/blob/fa7a7d551dda42c274bf388ae57aadc780e8472c/docs/specs/fraud-protection.md>,
//! with windows of the clock (UTC) for its rolling ones, as all counters here have.

use std::str::FromStr;

use crate::Timestamp;
use crate::limits::{DAY, HOUR, Limits};
use crate::phone::Country;
use crate::send_otp::SourceAddress;
use crate::text::OrganizationId;

/// Over how many counters an organization's messages to a country are spread, so that none is hot.
pub const SHARDS: u32 = 8;
/// How many days before today the best one is sought in.
pub const HISTORY_DAYS: u32 = 14;
/// Of a day's verified messages, as many more may be out unverified in the day: Authgear's `daily_ratio`.
const DAILY_PERCENT: u32 = 30;
/// Of an hour's verified messages, as many more in the hour: its `hourly_ratio`.
const HOURLY_PERCENT: u32 = 20;
/// An hour is taken to have a sixth of its day's messages.
const BUSY_HOURS: u32 = 6;
/// What a country has in any case.
const COUNTRY_FLOOR: Windows = Windows { day: 20, hour: 3 };
/// What a source has in any case.
const SOURCE_FLOOR: Windows = Windows { day: 10, hour: 5 };
/// In how many countries a source may have messages of which no code came back that day.
const SOURCE_COUNTRIES: u32 = 3;

/// What the budgets do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PumpingBudgets {
    /// Nothing; nothing is counted for them.
    Off,
    /// They report what they would refuse. Authgear's default too: where nobody has signed in yet, three an hour are few.
    #[default]
    Shadow,
    /// They refuse.
    Enforce,
}

/// Not the name of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl PumpingBudgets {
    const ALL: [Self; 3] = [Self::Off, Self::Shadow, Self::Enforce];

    /// Its name in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }

    /// Whether messages are counted for the budgets.
    pub const fn are_kept(self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl FromStr for PumpingBudgets {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or(UnknownMode)
    }
}

/// One of the budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Budget {
    CountryDay,
    CountryHour,
    SourceDay,
    SourceHour,
    SourceCountries,
}

impl Budget {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CountryDay => "country_day",
            Self::CountryHour => "country_hour",
            Self::SourceDay => "source_day",
            Self::SourceHour => "source_hour",
            Self::SourceCountries => "source_countries",
        }
    }
}

/// What a message is counted on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CountedOn {
    /// On whose account.
    pub organization: OrganizationId,
    /// To which country.
    pub country: Country,
    /// Who asked.
    pub source: SourceAddress,
}

/// What is owed to the counters once a challenge's code comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credit {
    /// What its last message was counted on; the earlier ones are credited there too.
    pub counted_on: CountedOn,
    /// When that was: what is credited is of its hour and its day.
    pub last_at: Timestamp,
    /// The messages that carried its code.
    pub messages: u32,
}

/// Messages in a day of the clock and in one of its hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// In the day.
    pub day: u32,
    /// In the hour.
    pub hour: u32,
}

impl Windows {
    fn plus(self, other: Self) -> Self {
        Self { day: self.day.saturating_add(other.day), hour: self.hour.saturating_add(other.hour) }
    }

    fn at_most(self, other: Self) -> Self {
        Self { day: self.day.min(other.day), hour: self.hour.min(other.hour) }
    }

    fn at_least(self, other: Self) -> Self {
        Self { day: self.day.max(other.day), hour: self.hour.max(other.hour) }
    }

    /// The sum of counters.
    pub fn sum(counters: impl IntoIterator<Item = Self>) -> Self {
        counters.into_iter().fold(Self::default(), Self::plus)
    }
}

/// Countries that a source had messages sent to in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCountries {
    /// How many others none of its codes came back in.
    pub others: u32,
    /// Whether the message's own is among those of which no code came back.
    pub own_is_counted: bool,
    /// Whether a code of the message's own country came back: it is no longer counted then.
    pub own_is_verified: bool,
}

/// The counters of a send's day and hour, as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The source's messages.
    pub source: Windows,
    /// Those of them whose codes came back.
    pub source_verified: Windows,
    /// The countries that the source had messages sent to today, as far as they are suspect.
    pub source_countries: SourceCountries,
    /// The organization's messages to the country, by shard.
    pub country: [Windows; SHARDS as usize],
    /// Those of them whose codes came back.
    pub country_verified: Windows,
    /// The most of them that came back on one of the fourteen days before.
    pub best_day: u32,
}

/// A counter that a send is counted on, and what it may hold before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which of them.
    pub number: u32,
    /// The message is counted while fewer are.
    pub below: u32,
}

/// The message's country, as one of those of its source that no code came back in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCountry {
    /// It is counted while fewer are, or if it is counted already.
    pub below: u32,
    /// Whether it was not counted before.
    pub is_new: bool,
}

/// What a send takes of the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// Whose they are.
    pub counted_on: CountedOn,
    /// The message is counted while fewer of the source's are.
    pub source_below: Windows,
    /// Its country; none where no budgets are kept, or a code came back in it.
    pub source_country: Option<SourceCountry>,
    /// The counter of the country's day.
    pub day: Shard,
    /// The counter of the country's hour; none where no budgets are kept.
    pub hour: Option<Shard>,
}

/// What the counters say to one more message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The budgets that it is over.
    pub over: Vec<Budget>,
    /// Until when it is refused, by a cap or by a budget that is enforced.
    pub refused_until: Option<Timestamp>,
}

/// How many messages source and country may have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    source: Windows,
    source_countries: u32,
    country: Windows,
}

impl Counts {
    /// What the budgets alone allow: what came back, and as much beside it as may be out.
    fn by_budgets(&self) -> Allowed {
        let percent = |percent: u32, verified: u32| verified.saturating_mul(percent) / 100;
        let country = Windows {
            day: percent(DAILY_PERCENT, self.best_day.max(self.country_verified.day)),
            hour: percent(HOURLY_PERCENT, (self.best_day / BUSY_HOURS).max(self.country_verified.hour)),
        };
        let source = Windows {
            day: percent(DAILY_PERCENT, self.source_verified.day),
            hour: percent(HOURLY_PERCENT, self.source_verified.day / BUSY_HOURS),
        };
        let (country, source) = (country.at_least(COUNTRY_FLOOR), source.at_least(SOURCE_FLOOR));
        Allowed {
            source: self.source_verified.plus(source),
            source_countries: SOURCE_COUNTRIES,
            country: self.country_verified.plus(country),
        }
    }

    /// What caps, and budgets if they are enforced, allow.
    fn allowed(&self, limits: &Limits) -> Allowed {
        let caps = Allowed {
            source: Windows { day: limits.source_sends_per_day, hour: limits.source_sends_per_hour },
            source_countries: u32::MAX,
            country: Windows { day: limits.country_sends_per_day, hour: u32::MAX },
        };
        if limits.pumping_budgets != PumpingBudgets::Enforce {
            return caps;
        }
        let budgets = self.by_budgets();
        Allowed {
            source: caps.source.at_most(budgets.source),
            country: caps.country.at_most(budgets.country),
            ..budgets
        }
    }

    /// Whether one more message may go out at `now`, and which budgets it is over, refused or not.
    pub fn verdict(&self, limits: &Limits, now: Timestamp) -> Verdict {
        let country = Windows::sum(self.country);
        let SourceCountries { others, own_is_counted, own_is_verified } = self.source_countries;
        let adds_a_country = !own_is_counted && !own_is_verified;
        let used_up = |allowed: Allowed| {
            [
                (Budget::CountryDay, DAY, country.day >= allowed.country.day),
                (Budget::CountryHour, HOUR, country.hour >= allowed.country.hour),
                (Budget::SourceDay, DAY, self.source.day >= allowed.source.day),
                (Budget::SourceHour, HOUR, self.source.hour >= allowed.source.hour),
                (Budget::SourceCountries, DAY, adds_a_country && others >= allowed.source_countries),
            ]
            .into_iter()
            .filter(|(.., is_used_up)| *is_used_up)
        };
        let over = if limits.pumping_budgets.are_kept() {
            used_up(self.by_budgets()).map(|(budget, ..)| budget).collect()
        } else {
            Vec::new()
        };
        let refused_until = used_up(self.allowed(limits)).map(|(_, window, _)| now.window(window).1).max();
        Verdict { over, refused_until }
    }

    /// What a message takes that nothing refuses; the shards are tried from `seed` on. None if no shard has room, as
    /// where the verdict refuses.
    pub fn take(&self, counted_on: CountedOn, limits: &Limits, seed: u32) -> Option<Take> {
        let allowed = self.allowed(limits);
        let turn = usize::try_from(seed.checked_rem(SHARDS)?).ok()?;
        let mut shards: Vec<(Shard, Shard, Windows)> = (0..SHARDS)
            .zip(self.country)
            .map(|(number, taken)| {
                let shard = |allowed| Shard { number, below: share(allowed, number) };
                (shard(allowed.country.day), shard(allowed.country.hour), taken)
            })
            .collect();
        shards.rotate_left(turn);
        let has_day = |(day, _, taken): &&(Shard, Shard, Windows)| taken.day < day.below;
        let has_hour = |(_, hour, taken): &&(Shard, Shard, Windows)| taken.hour < hour.below;
        // One counter with room for both is one write less; but a day may have its room elsewhere than this hour.
        let both = shards.iter().find(|shard| has_day(shard) && has_hour(shard));
        let (day, ..) = both.or_else(|| shards.iter().find(has_day))?;
        let (_, hour, _) = both.or_else(|| shards.iter().find(has_hour))?;
        let are_kept = limits.pumping_budgets.are_kept();
        let SourceCountries { own_is_counted, own_is_verified, .. } = self.source_countries;
        Some(Take {
            counted_on,
            source_below: allowed.source,
            source_country: (are_kept && !own_is_verified)
                .then_some(SourceCountry { below: allowed.source_countries, is_new: !own_is_counted }),
            day: *day,
            hour: are_kept.then_some(*hour),
        })
    }
}

/// How many of `allowed` messages counter `shard` may count; all shards' shares add up to `allowed`.
fn share(allowed: u32, shard: u32) -> u32 {
    let remainder = allowed % SHARDS;
    (allowed / SHARDS).saturating_add(u32::from(shard < remainder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(20_000 * DAY as i64 + 12 * HOUR as i64);

    fn enforced() -> Limits {
        Limits {
            pumping_budgets: PumpingBudgets::Enforce,
            source_sends_per_hour: u32::MAX,
            source_sends_per_day: u32::MAX,
            ..Limits::default()
        }
    }

    fn counted_on() -> CountedOn {
        CountedOn {
            organization: OrganizationId::parse("default").unwrap(),
            country: "NP".parse().unwrap(),
            source: SourceAddress::of(None),
        }
    }

    fn both(day: u32, hour: u32) -> Windows {
        Windows { day, hour }
    }

    #[test]
    fn shares_add_up_to_what_is_allowed() {
        for allowed in [0, 1, 7, 8, 9, 5_000, 5_003, u32::MAX] {
            assert_eq!((0..SHARDS).map(|shard| share(allowed, shard)).sum::<u32>(), allowed);
        }
    }

    #[test]
    fn a_countrys_budget_is_the_largest_of_floor_best_day_and_today() {
        // Best day, verified today and in this hour; what may be out unverified in the day and in the hour.
        for (best_day, verified, day, hour) in [
            (0, both(0, 0), 20, 3),
            (69, both(0, 0), 20, 3),
            (120, both(0, 0), 36, 4),
            (1_000, both(0, 0), 300, 33),
            // The cases of Authgear's own table, whose daily thresholds are those of the ratio before: 0.2.
            (0, both(300, 300), 90, 60),
            (1_000, both(1_000, 200), 300, 40),
            (1_000, both(2_000, 400), 600, 80),
            (1_000, both(500, 100), 300, 33),
            (15, both(30, 10), 20, 3),
        ] {
            let counts = Counts { best_day, country_verified: verified, ..Counts::default() };
            let allowed = counts.by_budgets().country;
            assert_eq!((allowed.day - verified.day, allowed.hour - verified.hour), (day, hour), "{counts:?}");
        }
    }

    #[test]
    fn a_sources_budget_is_ten_a_day_and_five_an_hour_or_three_tenths_and_a_thirtieth_of_what_came_back() {
        for (verified, day, hour) in [(both(0, 0), 10, 5), (both(36, 30), 10, 5), (both(300, 9), 90, 10)] {
            let counts = Counts { source_verified: verified, ..Counts::default() };
            let allowed = counts.by_budgets().source;
            assert_eq!((allowed.day - verified.day, allowed.hour - verified.hour), (day, hour));
        }
    }

    #[test]
    fn a_send_is_refused_until_the_end_of_the_latest_window_that_is_used_up() {
        let limits = enforced();
        let over_hour = Counts { source: both(5, 5), ..Counts::default() };
        let verdict = over_hour.verdict(&limits, NOON);
        assert_eq!((verdict.over, verdict.refused_until), (vec![Budget::SourceHour], Some(NOON.plus(HOUR))));
        let mut over_all = Counts { source: both(10, 5), ..Counts::default() };
        over_all.country = [both(3, 1); 8];
        let verdict = over_all.verdict(&limits, NOON);
        let all = [Budget::CountryDay, Budget::CountryHour, Budget::SourceDay, Budget::SourceHour];
        assert_eq!((&verdict.over[..], verdict.refused_until), (&all[..], Some(NOON.plus(DAY / 2))));
    }

    #[test]
    fn in_shadow_the_same_is_over_and_nothing_refused_and_off_sees_nothing() {
        let counts = Counts { country: [both(9, 9); 8], source: both(9, 9), ..Counts::default() };
        let with = |pumping_budgets| counts.verdict(&Limits { pumping_budgets, ..Limits::default() }, NOON);
        let [off, shadow, enforce] = PumpingBudgets::ALL.map(with);
        assert_eq!((shadow.over, shadow.refused_until), (enforce.over, None));
        assert!(enforce.refused_until.is_some());
        assert_eq!(off, Verdict::default());
    }

    /// Whatever order hours and shards come in, a country gets all it is allowed and no more.
    #[test]
    fn shards_hold_back_nothing_that_the_sums_allow() {
        let limits = enforced();
        for seed in 0..64 {
            let mut counts = Counts::default();
            let mut by_hour = Vec::new();
            for hour in 0..24_u32 {
                counts.country.iter_mut().for_each(|shard| shard.hour = 0);
                let mut taken = 0;
                while let Some(take) = counts.take(counted_on(), &limits, seed * (hour + taken + 1)) {
                    counts.country[take.day.number as usize].day += 1;
                    counts.country[take.hour.unwrap().number as usize].hour += 1;
                    taken += 1;
                }
                by_hour.push(taken);
            }
            assert_eq!(by_hour[..7], [3, 3, 3, 3, 3, 3, 2], "{seed}");
            assert_eq!(by_hour.iter().sum::<u32>(), 20);
        }
    }
}
