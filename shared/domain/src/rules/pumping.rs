//! Budgets against SMS pumping: how many messages may be unverified at once, by country and by source. Each verified
//! code raises the budget; each message whose code is never verified uses it up.
//!
//! The formula is Authgear's, at <https://github.com/authgear/authgear-server/blob/fa7a7d551dda42c274bf388ae57aadc780e8472c/docs/specs/fraud-protection.md>,
//! with clock windows (UTC) instead of rolling ones, like all counters here.

use super::limits::{BudgetMode, Limits};
use crate::values::country::Country;
use crate::values::source_address::SourceAddress;
use crate::values::text::OrganizationId;
use crate::values::time::{DAY, HOUR, Timestamp};

/// Over how many counters an organization's messages to a country are spread, so that no item is hot.
pub const SHARDS: u32 = 8;
/// How many days before today count for the highest day.
pub const HISTORY_DAYS: u32 = 14;
/// The share of a day's verified messages that may be unverified in the day: Authgear's `daily_ratio`.
const DAILY_PERCENT: u32 = 30;
/// The share of an hour's verified messages that may be unverified in the hour: Authgear's `hourly_ratio`.
const HOURLY_PERCENT: u32 = 20;
/// An hour is assumed to have a sixth of its day's messages.
const BUSY_HOURS: u32 = 6;
const COUNTRY_MINIMUM: DayAndHour = DayAndHour { day: 20, hour: 3 };
const SOURCE_MINIMUM: DayAndHour = DayAndHour { day: 10, hour: 5 };
/// The maximum number of countries in which a source has only unverified messages that day.
const SOURCE_COUNTRIES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    CountryDay,
    CountryHour,
    SourceDay,
    SourceHour,
    SourceCountries,
}

impl Budget {
    /// The name in metrics.
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

/// Which counters count a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterScope {
    pub organization: OrganizationId,
    pub country: Country,
    pub source: SourceAddress,
}

/// What the counters of verified messages get when a challenge's code comes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerificationCredit {
    /// The scope of the last message; earlier messages are credited there too.
    pub scope: CounterScope,
    /// When the last message was sent. Its hour and day are credited.
    pub last_sent_at: Timestamp,
    /// How many messages carried the code.
    pub messages: u32,
}

/// Messages in a clock day and in one of its hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayAndHour {
    pub day: u32,
    pub hour: u32,
}

impl DayAndHour {
    fn plus(self, other: Self) -> Self {
        Self { day: self.day.saturating_add(other.day), hour: self.hour.saturating_add(other.hour) }
    }

    fn at_most(self, other: Self) -> Self {
        Self { day: self.day.min(other.day), hour: self.hour.min(other.hour) }
    }

    fn at_least(self, other: Self) -> Self {
        Self { day: self.day.max(other.day), hour: self.hour.max(other.hour) }
    }

    pub fn sum(counters: impl IntoIterator<Item = Self>) -> Self {
        counters.into_iter().fold(Self::default(), Self::plus)
    }
}

/// The countries that a source had messages sent to in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCountries {
    /// The number of other countries without a verified code.
    pub others: u32,
    /// Whether the message's own country is one without a verified code.
    pub own_is_counted: bool,
    /// Whether the message's own country has a verified code, and is then no longer counted.
    pub own_is_verified: bool,
}

/// The counters of a send's day and hour, as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    pub source: DayAndHour,
    pub source_verified: DayAndHour,
    pub source_countries: SourceCountries,
    /// The organization's messages to the country, by shard.
    pub country: [DayAndHour; SHARDS as usize],
    pub country_verified: DayAndHour,
    /// The day's messages from the reserve of known devices, by shard.
    pub country_reserve: [u32; SHARDS as usize],
    /// The highest number of verified messages on one of the [`HISTORY_DAYS`] before today.
    pub highest_verified_day: u32,
}

/// A counter that counts a message while its count is below a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub number: u32,
    pub below: u32,
}

/// The message's country, among the countries of its source without a verified code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceCountry {
    /// The country is added while the number of countries is below this, or if it is already among them.
    pub below: u32,
    /// Whether this message adds the country.
    pub is_new: bool,
}

/// What a send adds to the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterReservation {
    /// A message within the caps and budgets.
    Shared(SharedReservation),
    /// A message from the reserve of known devices, which nothing that a stranger sends uses up. No budget counts it.
    Reserve {
        scope: CounterScope,
        /// The counter of the reserve's day.
        day: Shard,
    },
}

/// What a message within the caps and budgets adds to the counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedReservation {
    pub scope: CounterScope,
    /// The message is counted while the source's counts are below these.
    pub source_below: DayAndHour,
    /// None where budgets are off, or the country has a verified code.
    pub source_country: Option<SourceCountry>,
    /// The counter of the country's day.
    pub day: Shard,
    /// The counter of the country's hour; none where budgets are off.
    pub hour: Option<Shard>,
}

/// Whether the counters have room for one more message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetDecision {
    /// The budgets that the message exceeds, whether they are enforced or not.
    pub exceeded: Vec<Budget>,
    /// Set if a cap or an enforced budget refuses the message.
    pub refused_until: Option<Timestamp>,
}

/// How many messages a source and a country may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    source: DayAndHour,
    source_countries: u32,
    country: DayAndHour,
}

impl MessageCounts {
    /// What the budgets allow: the verified messages, and a share of them that may be unverified.
    fn by_budgets(&self) -> Allowed {
        let percent = |percent: u32, verified: u32| verified.saturating_mul(percent) / 100;
        let highest = self.highest_verified_day;
        let country = DayAndHour {
            day: percent(DAILY_PERCENT, highest.max(self.country_verified.day)),
            hour: percent(HOURLY_PERCENT, (highest / BUSY_HOURS).max(self.country_verified.hour)),
        };
        let source = DayAndHour {
            day: percent(DAILY_PERCENT, self.source_verified.day),
            hour: percent(HOURLY_PERCENT, self.source_verified.day / BUSY_HOURS),
        };
        let (country, source) = (country.at_least(COUNTRY_MINIMUM), source.at_least(SOURCE_MINIMUM));
        Allowed {
            source: self.source_verified.plus(source),
            source_countries: SOURCE_COUNTRIES,
            country: self.country_verified.plus(country),
        }
    }

    /// What the caps allow, and the budgets if they are enforced.
    fn allowed(&self, limits: &Limits) -> Allowed {
        let caps = Allowed {
            source: DayAndHour { day: limits.source_sends_per_day, hour: limits.source_sends_per_hour },
            source_countries: u32::MAX,
            country: DayAndHour { day: limits.country_sends_per_day, hour: u32::MAX },
        };
        if limits.budget_mode != BudgetMode::Enforce {
            return caps;
        }
        let budgets = self.by_budgets();
        Allowed {
            source: caps.source.at_most(budgets.source),
            country: caps.country.at_most(budgets.country),
            ..budgets
        }
    }

    /// Decides whether one more message may go out at `now`.
    pub fn decide(&self, limits: &Limits, now: Timestamp) -> BudgetDecision {
        let country = DayAndHour::sum(self.country);
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
        let exceeded = if limits.budget_mode.counts() {
            used_up(self.by_budgets()).map(|(budget, ..)| budget).collect()
        } else {
            Vec::new()
        };
        let refused_until = used_up(self.allowed(limits)).map(|(_, window, _)| now.window(window).1).max();
        BudgetDecision { exceeded, refused_until }
    }

    /// What a message that is not refused adds to the counters. Shards are searched from `seed` on. None if no shard has
    /// room, which does not happen unless the decision refuses.
    pub fn reserve(&self, scope: CounterScope, limits: &Limits, seed: u32) -> Option<SharedReservation> {
        let allowed = self.allowed(limits);
        let first = usize::try_from(seed.checked_rem(SHARDS)?).ok()?;
        let mut shards: Vec<(Shard, Shard, DayAndHour)> = (0..SHARDS)
            .zip(self.country)
            .map(|(number, counted)| {
                let shard = |allowed| Shard { number, below: share(allowed, number) };
                (shard(allowed.country.day), shard(allowed.country.hour), counted)
            })
            .collect();
        shards.rotate_left(first);
        let has_day = |(day, _, counted): &&(Shard, Shard, DayAndHour)| counted.day < day.below;
        let has_hour = |(_, hour, counted): &&(Shard, Shard, DayAndHour)| counted.hour < hour.below;
        // One shard with room for both saves a write. A day may have room only on shards that this hour has used up.
        let both = shards.iter().find(|shard| has_day(shard) && has_hour(shard));
        let (day, ..) = both.or_else(|| shards.iter().find(has_day))?;
        let (_, hour, _) = both.or_else(|| shards.iter().find(has_hour))?;
        let counts_budgets = limits.budget_mode.counts();
        let SourceCountries { own_is_counted, own_is_verified, .. } = self.source_countries;
        Some(SharedReservation {
            scope,
            source_below: allowed.source,
            source_country: (counts_budgets && !own_is_verified)
                .then_some(SourceCountry { below: allowed.source_countries, is_new: !own_is_counted }),
            day: *day,
            hour: counts_budgets.then_some(*hour),
        })
    }

    /// What a message from the reserve of known devices adds to the counters. None if the day has no room: the reserve has
    /// a cap of its own, because whoever has many numbers may have many known devices.
    pub fn reserve_for_known_device(
        &self,
        scope: CounterScope,
        limits: &Limits,
        seed: u32,
    ) -> Option<CounterReservation> {
        let first = usize::try_from(seed.checked_rem(SHARDS)?).ok()?;
        let shard = |number| Shard { number, below: share(limits.country_sends_per_day, number) };
        let mut shards: Vec<(Shard, u32)> = (0..SHARDS).map(shard).zip(self.country_reserve).collect();
        shards.rotate_left(first);
        let (day, _) = shards.into_iter().find(|(shard, counted)| *counted < shard.below)?;
        Some(CounterReservation::Reserve { scope, day })
    }
}

/// How many of `allowed` messages `shard` may count. The shares of all shards add up to `allowed`.
pub fn share(allowed: u32, shard: u32) -> u32 {
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
            budget_mode: BudgetMode::Enforce,
            source_sends_per_hour: u32::MAX,
            source_sends_per_day: u32::MAX,
            ..Limits::default()
        }
    }

    fn scope() -> CounterScope {
        CounterScope {
            organization: OrganizationId::parse("default").unwrap(),
            country: "NP".parse().unwrap(),
            source: SourceAddress::of(None),
        }
    }

    fn both(day: u32, hour: u32) -> DayAndHour {
        DayAndHour { day, hour }
    }

    #[test]
    fn the_shares_of_all_shards_add_up_to_the_allowed_number() {
        for allowed in [0, 1, 7, 8, 9, 5_000, 5_003, u32::MAX] {
            assert_eq!((0..SHARDS).map(|shard| share(allowed, shard)).sum::<u32>(), allowed);
        }
    }

    #[test]
    fn a_countrys_budget_is_the_largest_of_floor_highest_verified_day_and_today() {
        // Highest day; verified today and in this hour; allowed unverified in the day and in the hour.
        for (highest_verified_day, verified, day, hour) in [
            (0, both(0, 0), 20, 3),
            (69, both(0, 0), 20, 3),
            (120, both(0, 0), 36, 4),
            (1_000, both(0, 0), 300, 33),
            // The cases of Authgear's own table, which uses the former daily ratio of 0.2.
            (0, both(300, 300), 90, 60),
            (1_000, both(1_000, 200), 300, 40),
            (1_000, both(2_000, 400), 600, 80),
            (1_000, both(500, 100), 300, 33),
            (15, both(30, 10), 20, 3),
        ] {
            let counts = MessageCounts { highest_verified_day, country_verified: verified, ..MessageCounts::default() };
            let allowed = counts.by_budgets().country;
            assert_eq!((allowed.day - verified.day, allowed.hour - verified.hour), (day, hour), "{counts:?}");
        }
    }

    #[test]
    fn a_sources_budget_is_ten_a_day_and_five_an_hour_or_a_share_of_its_verified_messages() {
        for (verified, day, hour) in [(both(0, 0), 10, 5), (both(36, 30), 10, 5), (both(300, 9), 90, 10)] {
            let counts = MessageCounts { source_verified: verified, ..MessageCounts::default() };
            let allowed = counts.by_budgets().source;
            assert_eq!((allowed.day - verified.day, allowed.hour - verified.hour), (day, hour));
        }
    }

    #[test]
    fn a_send_is_refused_until_the_end_of_the_latest_used_up_window() {
        let limits = enforced();
        let over_hour = MessageCounts { source: both(5, 5), ..MessageCounts::default() };
        let decision = over_hour.decide(&limits, NOON);
        assert_eq!((decision.exceeded, decision.refused_until), (vec![Budget::SourceHour], Some(NOON.plus(HOUR))));
        let mut over_all = MessageCounts { source: both(10, 5), ..MessageCounts::default() };
        over_all.country = [both(3, 1); 8];
        let decision = over_all.decide(&limits, NOON);
        let all = [Budget::CountryDay, Budget::CountryHour, Budget::SourceDay, Budget::SourceHour];
        assert_eq!((&decision.exceeded[..], decision.refused_until), (&all[..], Some(NOON.plus(DAY / 2))));
    }

    #[test]
    fn shadow_reports_what_enforce_refuses_and_off_reports_nothing() {
        let counts = MessageCounts { country: [both(9, 9); 8], source: both(9, 9), ..MessageCounts::default() };
        let with = |budget_mode| counts.decide(&Limits { budget_mode, ..Limits::default() }, NOON);
        let [off, shadow, enforce] = BudgetMode::ALL.map(with);
        assert_eq!((shadow.exceeded, shadow.refused_until), (enforce.exceeded, None));
        assert!(enforce.refused_until.is_some());
        assert_eq!(off, BudgetDecision::default());
    }

    /// In every order of hours and shards, a country gets exactly what it is allowed.
    #[test]
    fn shards_allow_exactly_what_the_sums_allow() {
        let limits = enforced();
        for seed in 0..64 {
            let mut counts = MessageCounts::default();
            let mut by_hour = Vec::new();
            for hour in 0..24_u32 {
                counts.country.iter_mut().for_each(|shard| shard.hour = 0);
                let mut taken = 0;
                while let Some(reservation) = counts.reserve(scope(), &limits, seed * (hour + taken + 1)) {
                    counts.country[reservation.day.number as usize].day += 1;
                    counts.country[reservation.hour.unwrap().number as usize].hour += 1;
                    taken += 1;
                }
                by_hour.push(taken);
            }
            assert_eq!(by_hour[..7], [3, 3, 3, 3, 3, 3, 2], "{seed}");
            assert_eq!(by_hour.iter().sum::<u32>(), 20);
        }
    }
}
