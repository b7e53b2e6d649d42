//! Counters of messages, sent and verified, by source and by country, and of guesses by source. Each item is one day, with
//! a count for each hour. Verified counts only grow, and nothing moves between windows, so each limit is one comparison in a write.

use std::ops::Range;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::challenge::{Claim, GuessLane};
use domain::rules::limits::Limits;
use domain::rules::pumping::{
    CounterReservation, CounterScope, DayAndHour, HISTORY_DAYS, MessageCounts, SHARDS, Shard, SharedReservation,
    SourceCountries, SourceCountry, VerificationCredit, share,
};
use domain::values::country::Country;
use domain::values::ids::ChallengeId;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::{DAY, HOUR, Timestamp};
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Corrupt, Item, Row, key, moment, number, text};
use super::store::{Consistency, FoundItems, Store, Updated};
use super::tables::HasOtps;
use super::transaction::Transaction;
use crate::expiring::Fetched;

/// How long the highest day of a country is cached, within a day. Nearly all codes of past days have come back already.
/// Seconds.
const CACHE_SECONDS: u32 = 600;
/// How long a country's verified messages are kept after their day: until the last day that they count for is over, and one
/// day more. Seconds.
const VERIFIED_KEPT_SECONDS: u32 = (HISTORY_DAYS + 1) * DAY;
/// The attribute that counts the messages of a day. With the hour as a suffix it counts those of an hour.
const SENT: &str = "sent";
/// As [`SENT`], for messages from the reserve of known devices.
const SENT_FROM_RESERVE: &str = "sent_from_reserve";
/// As [`SENT`], for messages whose codes came back.
const VERIFIED: &str = "verified";
/// The countries of a source's messages from which no code came back that day.
const UNVERIFIED_COUNTRIES: &str = "unverified_countries";
/// Those from which one did.
const VERIFIED_COUNTRIES: &str = "verified_countries";

/// A clock day, and one of its hours as two digits in UTC.
struct Day {
    number: i64,
    ends_at: Timestamp,
    hour: String,
}

impl Day {
    fn of(at: Timestamp) -> Self {
        let (number, ends_at) = at.window(DAY);
        let (hour, _) = at.window(HOUR);
        Self { number, ends_at, hour: format!("{:02}", hour.rem_euclid(24)) }
    }

    /// The attribute that counts the hour's messages.
    fn hourly(&self, daily: &str) -> String {
        format!("{daily}_{}", self.hour)
    }

    fn count(&self, item: Option<&Item>, daily: &'static str) -> Result<DayAndHour, Corrupt> {
        let Some(item) = item else { return Ok(DayAndHour::default()) };
        let of = |name: &str| match item.get(name) {
            None => Ok(0),
            Some(AttributeValue::N(count)) => count.parse().map_err(|_| Corrupt::new(daily)),
            Some(_) => Err(Corrupt::new(daily)),
        };
        Ok(DayAndHour { day: of(daily)?, hour: of(&self.hourly(daily))? })
    }
}

fn source_key(source: &SourceAddress, day: i64) -> Item {
    key(format!("source#{}#{day}", source.as_str()))
}

/// The items that together count a country's messages on one day: one for each shard.
struct CountryDay(String);

impl CountryDay {
    fn sent(scope: &CounterScope, day: i64) -> Self {
        Self::new("spend", scope, day)
    }

    /// Verified messages have items of their own, so that sign-ins do not wait for sends that contend for their counters.
    fn verified(scope: &CounterScope, day: i64) -> Self {
        Self::new("verified", scope, day)
    }

    fn new(kind: &str, scope: &CounterScope, day: i64) -> Self {
        Self(format!("{kind}#{}#{}#{day}", scope.organization.as_str(), scope.country))
    }

    fn pk(&self, shard: u32) -> String {
        format!("{}#{shard}", self.0)
    }

    fn keys(self) -> impl Iterator<Item = Item> {
        (0..SHARDS).map(move |shard| key(self.pk(shard)))
    }

    fn pks(&self) -> impl Iterator<Item = String> {
        (0..SHARDS).map(|shard| self.pk(shard))
    }
}

/// One of the counters of an organization's messages to a country on a day, as its key names it.
pub(super) struct SpendCounter {
    pub(super) organization: OrganizationId,
    pub(super) country: Country,
    pub(super) ends_at: Timestamp,
    day: CountryDay,
    shard: u32,
}

impl SpendCounter {
    pub(super) fn of_key(pk: &str) -> Option<Self> {
        let (of_day, shard) = pk.rsplit_once('#')?;
        let mut parts = of_day.split('#').skip(1);
        let (organization, country) = (OrganizationId::parse(parts.next()?).ok()?, parts.next()?.parse().ok()?);
        let day: i64 = parts.next()?.parse().ok()?;
        let (_, ends_at) = Timestamp::from_seconds(day.saturating_mul(i64::from(DAY))).window(DAY);
        Some(Self { organization, country, ends_at, day: CountryDay(of_day.to_owned()), shard: shard.parse().ok()? })
    }

    /// What all counters of the organization, the country and the day have in common.
    pub(super) fn day(&self) -> &str {
        &self.day.0
    }
}

/// The attributes that count the guesses of a day, by lane. With the hour as a suffix they count those of an hour.
const fn guesses(lane: GuessLane) -> &'static str {
    match lane {
        GuessLane::WithId | GuessLane::KnownDevice => "guesses",
        GuessLane::WithoutId => "guesses_without_id",
    }
}

fn guesses_key(source: &SourceAddress, day: i64) -> Item {
    key(format!("guesses#{}#{day}", source.as_str()))
}

/// One of the items that count a message or a guess: the attributes to increment, each with its bound, and the country to
/// add.
struct Counter {
    key: Item,
    bounds: Vec<(String, u32)>,
    country: Option<(Country, SourceCountry)>,
}

fn set_of(country: Country) -> AttributeValue {
    AttributeValue::Ss(vec![country.to_string()])
}

/// Counts one message or guess while every count is below its bound.
fn count_one(counter: &Counter, keep_until: Timestamp) -> Expression {
    let mut expression = Expression::new().set("expires_at", moment(keep_until));
    for (name, below) in &counter.bounds {
        let name = name.as_str();
        expression = expression.add(name, number(1)).if_any(|on| [on.absent(name), on.below(name, number(below))]);
    }
    match counter.country {
        Some((country, SourceCountry { below, .. })) => {
            expression.add(UNVERIFIED_COUNTRIES, set_of(country)).if_any(|on| {
                [
                    on.absent(UNVERIFIED_COUNTRIES),
                    on.set_contains(UNVERIFIED_COUNTRIES, text(country.to_string())),
                    on.size_below(UNVERIFIED_COUNTRIES, number(below)),
                ]
            })
        }
        None => expression,
    }
}

/// The items that count a message.
fn counters(reservation: &CounterReservation, day: &Day) -> Vec<Counter> {
    match reservation {
        CounterReservation::Shared(shared) => shared_counters(shared, day),
        CounterReservation::Reserve { scope, day: Shard { number, below } } => vec![Counter {
            key: key(CountryDay::sent(scope, day.number).pk(*number)),
            bounds: vec![(SENT_FROM_RESERVE.to_owned(), *below)],
            country: None,
        }],
    }
}

/// The source's day, and the country's day and hour, which usually are one item.
fn shared_counters(reservation: &SharedReservation, day: &Day) -> Vec<Counter> {
    let scope = &reservation.scope;
    let (by_day, by_hour) = (SENT.to_owned(), day.hourly(SENT));
    let source = &reservation.source_below;
    let mut counters = vec![Counter {
        key: source_key(&scope.source, day.number),
        bounds: vec![(by_day.clone(), source.day), (by_hour.clone(), source.hour)],
        country: reservation.source_country.map(|listed| (scope.country, listed)),
    }];
    let mut of_country = |shard: u32, bounds| {
        let key = key(CountryDay::sent(scope, day.number).pk(shard));
        counters.push(Counter { key, bounds, country: None });
    };
    let Shard { number, below } = reservation.day;
    match reservation.hour {
        Some(hour) if hour.number == number => of_country(number, vec![(by_day, below), (by_hour, hour.below)]),
        hour => {
            of_country(number, vec![(by_day, below)]);
            if let Some(hour) = hour {
                of_country(hour.number, vec![(by_hour, hour.below)]);
            }
        }
    }
    counters
}

fn source_countries(item: &Item, own: Country) -> Result<SourceCountries, Corrupt> {
    let set = |name: &'static str| match item.get(name) {
        None => Ok(&[][..]),
        Some(AttributeValue::Ss(countries)) => Ok(&countries[..]),
        Some(_) => Err(Corrupt::new(name)),
    };
    let own = own.to_string();
    let unverified = set(UNVERIFIED_COUNTRIES)?;
    let others = unverified.iter().filter(|country| **country != own).count();
    Ok(SourceCountries {
        others: u32::try_from(others).unwrap_or(u32::MAX),
        own_is_counted: unverified.contains(&own),
        own_is_verified: set(VERIFIED_COUNTRIES)?.contains(&own),
    })
}

/// The keys of a send's counters, except those of past days.
pub(super) fn counter_keys(scope: &CounterScope, limits: &Limits, now: Timestamp) -> Vec<Item> {
    let day = Day::of(now).number;
    let sent = CountryDay::sent(scope, day).keys();
    let verified = limits.budget_mode.counts().then(|| CountryDay::verified(scope, day).keys());
    std::iter::once(source_key(&scope.source, day)).chain(sent).chain(verified.into_iter().flatten()).collect()
}

/// A send's counts, except the highest day.
pub(super) fn counts(
    found: &FoundItems,
    scope: &CounterScope,
    limits: &Limits,
    now: Timestamp,
) -> Result<MessageCounts, Corrupt> {
    let day = Day::of(now);
    let sent = CountryDay::sent(scope, day.number);
    let mut country = [DayAndHour::default(); SHARDS as usize];
    let mut country_reserve = [0; SHARDS as usize];
    for ((shard, counted), from_reserve) in (0..SHARDS).zip(&mut country).zip(&mut country_reserve) {
        let item = found.at(&sent.pk(shard));
        *counted = day.count(item, SENT)?;
        *from_reserve = item.map_or(Ok(None), |item| Row(item).optional_number(SENT_FROM_RESERVE))?.unwrap_or_default();
    }
    let source = found.get(&source_key(&scope.source, day.number));
    let counts =
        MessageCounts { source: day.count(source, SENT)?, country, country_reserve, ..MessageCounts::default() };
    if !limits.budget_mode.counts() {
        return Ok(counts);
    }
    let verified = CountryDay::verified(scope, day.number);
    let verified = (0..SHARDS).map(|shard| day.count(found.at(&verified.pk(shard)), VERIFIED));
    Ok(MessageCounts {
        source_verified: day.count(source, VERIFIED)?,
        source_countries: source
            .map_or(Ok(SourceCountries::default()), |item| source_countries(item, scope.country))?,
        country_verified: DayAndHour::sum(verified.collect::<Result<Vec<_>, _>>()?),
        ..counts
    })
}

/// The updates that count a message, with their keys.
pub(super) fn counter_updates(reservation: &CounterReservation, now: Timestamp) -> Vec<(Item, Expression)> {
    let day = Day::of(now);
    let keep_until = day.ends_at.plus(HOUR);
    let counters = counters(reservation, &day).into_iter();
    counters.map(|counter| (counter.key.clone(), count_one(&counter, keep_until))).collect()
}

impl<T: HasOtps> Store<T> {
    /// Counts a guess at its source's hour and day, in its lane. If the source has none left, returns until when.
    pub(super) async fn count_guess_of_source(
        &self,
        claim: &Claim,
        limits: &Limits,
    ) -> Result<Option<Timestamp>, Unavailable> {
        let (day, guesses) = (Day::of(claim.now), guesses(claim.lane));
        let counter = Counter {
            key: guesses_key(&claim.source, day.number),
            bounds: vec![
                (guesses.to_owned(), limits.source_guesses_per_day),
                (day.hourly(guesses), limits.source_guesses_per_hour),
            ],
            country: None,
        };
        let counted = count_one(&counter, day.ends_at.plus(HOUR));
        let seen = match self.update("count a guess", self.tables.otps(), counter.key, counted).await? {
            Updated::Done(_) => return Ok(None),
            Updated::ConditionFailed(seen) => day.count(seen.as_ref(), guesses)?,
        };
        let is_day_used_up = seen.day >= limits.source_guesses_per_day;
        Ok(Some(if is_day_used_up { day.ends_at } else { claim.now.window(HOUR).1 }))
    }

    /// The messages of the day, if one more at this counter made them the maximum. The other counters are read only if this one
    /// is full.
    pub(super) async fn messages_if_capped(
        &self,
        counter: &SpendCounter,
        before: Option<&Item>,
        after: &Item,
        limits: &Limits,
    ) -> Result<Option<u32>, Unavailable> {
        let most = limits.country_sends_per_day;
        let sent = |item: Option<&Item>| -> Result<u32, Corrupt> {
            Ok(item.map(|item| Row(item).optional_number(SENT)).transpose()?.flatten().unwrap_or_default())
        };
        let (before, after) = (sent(before)?, sent(Some(after))?);
        if after <= before || after < share(most, counter.shard) {
            return Ok(None);
        }
        let keys = counter.day.pks().map(|pk| (self.tables.otps(), key(pk))).collect();
        let found = self.get_all("read a country's day", keys, Consistency::Strong).await?;
        let found = found.of(self.tables.otps());
        let mut all = 0_u32;
        for pk in counter.day.pks() {
            all = all.saturating_add(sent(found.at(&pk))?);
        }
        Ok((all >= most).then_some(all))
    }

    /// Adds to a transaction the updates that credit the messages of a challenge whose code came back. They have no
    /// conditions, so they refuse nothing.
    pub(super) fn credit_messages<Tag: Copy>(
        &self,
        transaction: Transaction<Tag>,
        tag: Tag,
        challenge: &ChallengeId,
        credit: Option<&VerificationCredit>,
    ) -> Transaction<Tag> {
        let Some(VerificationCredit { scope, last_sent_at, messages }) = credit else { return transaction };
        let (table, day) = (self.tables.otps(), Day::of(*last_sent_at));
        // As good as a random number, and the same one if the transaction is retried.
        let shard = challenge.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(byte))) % SHARDS;
        let credited = |keep_until| {
            Expression::new()
                .set("expires_at", moment(keep_until))
                .add(VERIFIED, number(messages))
                .add(&day.hourly(VERIFIED), number(messages))
        };
        let country = credited(day.ends_at.plus(VERIFIED_KEPT_SECONDS));
        let source = credited(day.ends_at.plus(HOUR))
            .add(VERIFIED_COUNTRIES, set_of(scope.country))
            .delete_from_set(UNVERIFIED_COUNTRIES, set_of(scope.country));
        let country_key = key(CountryDay::verified(scope, day.number).pk(shard));
        let source_key = source_key(&scope.source, day.number);
        transaction.update(tag, table, country_key, country).update(tag, table, source_key, source)
    }

    /// The highest number of verified messages on one of the past days.
    pub(super) async fn cached_highest_day(&self, scope: &CounterScope, now: Timestamp) -> Result<u32, Unavailable> {
        let fetch = || async {
            let (today, day_ends_at) = now.window(DAY);
            let ago = |days: u32| today.saturating_sub(i64::from(days));
            // A batch has at most 100 keys, and these are 112.
            let (earlier, later) = tokio::try_join!(
                self.highest_of(scope, ago(HISTORY_DAYS)..ago(HISTORY_DAYS / 2)),
                self.highest_of(scope, ago(HISTORY_DAYS / 2)..today),
            )?;
            let fresh_until = now.plus(CACHE_SECONDS).min(day_ends_at);
            Ok(Fetched { value: earlier.max(later), fresh_until })
        };
        self.highest_days.get(&(scope.organization.clone(), scope.country), now, fetch).await
    }

    async fn highest_of(&self, scope: &CounterScope, days: Range<i64>) -> Result<u32, Unavailable> {
        let of = |day| CountryDay::verified(scope, day).keys();
        // Past days hardly change, so an eventually consistent read at half the price is enough.
        let keys = days.clone().flat_map(of).map(|key| (self.tables.otps(), key)).collect();
        let items = self.get_all("read a country's days", keys, Consistency::Eventual).await?;
        let mut highest = 0;
        for day in days {
            let mut verified = 0_u32;
            for key in of(day) {
                let count = items.of(self.tables.otps()).get(&key).map_or(Ok(0), |item| Row(item).number(VERIFIED))?;
                verified = verified.saturating_add(count);
            }
            highest = highest.max(verified);
        }
        Ok(highest)
    }

    /// Subtracts a message that was counted and not sent.
    pub(super) async fn release_counters(
        &self,
        reservation: &CounterReservation,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let mut counters = counters(reservation, &Day::of(now)).into_iter();
        // Each counter is released even if another one fails.
        let mut next = || {
            let counter = counters.next();
            async move {
                match counter {
                    Some(counter) => self.release_counter(counter).await,
                    None => Ok(()),
                }
            }
        };
        let (first, second, third) = tokio::join!(next(), next(), next());
        first.and(second).and(third)
    }

    async fn release_counter(&self, counter: Counter) -> Result<(), Unavailable> {
        let mut released = Expression::new();
        for (name, _) in &counter.bounds {
            released = released.add(name.as_str(), number(-1)).if_above(name.as_str(), number(0));
        }
        if let Some((country, SourceCountry { is_new: true, .. })) = counter.country {
            released = released.delete_from_set(UNVERIFIED_COUNTRIES, set_of(country));
        }
        // A transaction, because its token keeps a retry after a lost answer from subtracting twice. If the condition fails,
        // the day is over and its counter is gone.
        let transaction = Transaction::new("release a send").update((), self.tables.otps(), counter.key, released);
        self.transact(transaction).await.map(drop)
    }
}
