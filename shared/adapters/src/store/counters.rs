//! Counters of messages: taken and verified, by source and by country, each item a day with a count for each hour.
//! Nothing is taken from `verified` or moved between windows, so that each limit is one comparison in a write.

use std::collections::BTreeMap;
use std::ops::Range;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use domain::ids::ChallengeId;
use domain::limits::{DAY, HOUR, Limits};
use domain::phone::Country;
use domain::pumping::{
    CountedOn, Counts, Credit, HISTORY_DAYS, SHARDS, Shard, SourceCountries, SourceCountry, Take, Windows,
};
use domain::send_otp::SourceAddress;
use domain::text::OrganizationId;
use domain::{Timestamp, Unavailable};
use tokio::sync::Mutex;

use super::item::{Corrupt, Row, key, moment, number, text};
use super::transaction::steps;
use super::{Found, Item, Store};
use crate::config::Table;

/// For how long a country's best day is used without asking again: all but a few of its codes have come back before.
/// Seconds.
const CACHE_SECONDS: u32 = 600;
/// The most countries of organizations whose best days are kept.
const CACHED: usize = 256;
/// How long a country's verified messages are kept beyond their day: until the last day whose history they are in is
/// over, and one more. Seconds.
const VERIFIED_KEPT_SECONDS: u32 = (HISTORY_DAYS + 1) * DAY;
/// The attribute that counts messages of a day; with the hour behind it, those of an hour.
const TAKEN: &str = "taken";
/// As [`TAKEN`], of those whose codes came back.
const VERIFIED: &str = "verified";
/// The attribute that lists the countries of a source's messages of which no code came back that day.
const UNVERIFIED_COUNTRIES: &str = "unverified_countries";
/// The attribute that lists those of which one did.
const VERIFIED_COUNTRIES: &str = "verified_countries";

/// Best days that were found, and when.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<(OrganizationId, Country), (Timestamp, u32)>>);

/// The day of a moment, when that ends, and the two digits of its hour in UTC.
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

    /// The attribute that counts the hour's share of `what`.
    fn hourly(&self, what: &str) -> String {
        format!("{what}_{}", self.hour)
    }

    fn count(&self, item: Option<&Item>, what: &'static str) -> Result<Windows, Corrupt> {
        let Some(item) = item else { return Ok(Windows::default()) };
        let of = |name: &str| match item.get(name) {
            None => Ok(0),
            Some(AttributeValue::N(count)) => count.parse().map_err(|_| Corrupt::new(what)),
            Some(_) => Err(Corrupt::new(what)),
        };
        Ok(Windows { day: of(what)?, hour: of(&self.hourly(what))? })
    }
}

fn source_pk(source: &SourceAddress, day: i64) -> String {
    format!("source#{}#{day}", source.as_str())
}

fn spend_pk(on: &CountedOn, day: i64, shard: u32) -> String {
    format!("spend#{}#{}#{day}#{shard}", on.organization.as_str(), on.country)
}

/// Apart from what is sent: while sends crowd their counters, sign-ins have theirs to themselves.
fn verified_pk(on: &CountedOn, day: i64, shard: u32) -> String {
    format!("verified#{}#{}#{day}#{shard}", on.organization.as_str(), on.country)
}

/// One of a send's counters: its key, what is counted with the bounds below which it is, and the country that is listed.
struct Counter {
    pk: String,
    bounds: Vec<(String, u32)>,
    country: Option<(Country, SourceCountry)>,
}

fn list_of(country: Country) -> AttributeValue {
    AttributeValue::Ss(vec![country.to_string()])
}

/// Counts one message on a counter, while what it holds is below the bounds.
fn count_one(table: &str, counter: Counter, keep_until: Timestamp) -> UpdateBuilder {
    let mut update = Update::builder()
        .table_name(table)
        .set_key(Some(key(counter.pk)))
        .expression_attribute_values(":keep", moment(keep_until))
        .expression_attribute_values(":one", number(1));
    let (mut add, mut conditions) = (Vec::new(), Vec::new());
    for (name, below) in counter.bounds {
        add.push(format!("{name} :one"));
        conditions.push(format!("(attribute_not_exists({name}) OR {name} < :{name})"));
        update = update.expression_attribute_values(format!(":{name}"), number(below));
    }
    if let Some((country, SourceCountry { below, .. })) = counter.country {
        let listed = UNVERIFIED_COUNTRIES;
        add.push(format!("{listed} :countries"));
        conditions.push(format!(
            "(attribute_not_exists({listed}) OR contains({listed}, :country) OR size({listed}) < :{listed})"
        ));
        update = update
            .expression_attribute_values(":countries", list_of(country))
            .expression_attribute_values(":country", text(country.to_string()))
            .expression_attribute_values(format!(":{listed}"), number(below));
    }
    update
        .update_expression(format!("SET expires_at = :keep ADD {}", add.join(", ")))
        .condition_expression(conditions.join(" AND "))
}

/// The counters of a send: its source's day, and the country's day and hour, which mostly are of one item.
fn counted(take: &Take, day: &Day) -> Vec<Counter> {
    let on = &take.counted_on;
    let (by_day, by_hour) = (TAKEN.to_owned(), day.hourly(TAKEN));
    let mut counted = vec![Counter {
        pk: source_pk(&on.source, day.number),
        bounds: vec![(by_day.clone(), take.source_below.day), (by_hour.clone(), take.source_below.hour)],
        country: take.source_country.map(|listed| (on.country, listed)),
    }];
    let mut country = |shard: u32, bounds| {
        counted.push(Counter { pk: spend_pk(on, day.number, shard), bounds, country: None });
    };
    match take.hour {
        Some(Shard { number, below }) if number == take.day.number => {
            country(number, vec![(by_day, take.day.below), (by_hour, below)]);
        }
        hour => {
            country(take.day.number, vec![(by_day, take.day.below)]);
            if let Some(Shard { number, below }) = hour {
                country(number, vec![(by_hour, below)]);
            }
        }
    }
    counted
}

/// What a source's day says of the countries its messages went to.
fn source_countries(item: &Item, own: Country) -> Result<SourceCountries, Corrupt> {
    let list = |name: &'static str| match item.get(name) {
        None => Ok(&[][..]),
        Some(AttributeValue::Ss(countries)) => Ok(&countries[..]),
        Some(_) => Err(Corrupt::new(name)),
    };
    let own = own.to_string();
    let unverified = list(UNVERIFIED_COUNTRIES)?;
    let others = unverified.iter().filter(|country| **country != own).count();
    Ok(SourceCountries {
        others: u32::try_from(others).unwrap_or(u32::MAX),
        own_is_counted: unverified.contains(&own),
        own_is_verified: list(VERIFIED_COUNTRIES)?.contains(&own),
    })
}

/// The keys of a send's counters.
pub(super) fn counter_keys(on: &CountedOn, limits: &Limits, now: Timestamp) -> Vec<Item> {
    let day = Day::of(now).number;
    let spend = (0..SHARDS).map(|shard| spend_pk(on, day, shard));
    let are_kept = limits.pumping_budgets.are_kept();
    let verified = (0..SHARDS).filter(|_| are_kept).map(|shard| verified_pk(on, day, shard));
    std::iter::once(source_pk(&on.source, day)).chain(spend).chain(verified).map(key).collect()
}

/// Reads a send's counters out of what was found. The best of the days before is not among them.
pub(super) fn counts(found: &Found, on: &CountedOn, limits: &Limits, now: Timestamp) -> Result<Counts, Corrupt> {
    let day = Day::of(now);
    let count = |pk: String, what| day.count(found.get(&key(pk)), what);
    let mut country = [Windows::default(); SHARDS as usize];
    for (shard, counted) in (0..SHARDS).zip(&mut country) {
        *counted = count(spend_pk(on, day.number, shard), TAKEN)?;
    }
    let source = source_pk(&on.source, day.number);
    let counts = Counts { source: count(source.clone(), TAKEN)?, country, ..Counts::default() };
    if !limits.pumping_budgets.are_kept() {
        return Ok(counts);
    }
    let verified = (0..SHARDS).map(|shard| count(verified_pk(on, day.number, shard), VERIFIED));
    Ok(Counts {
        source_verified: count(source.clone(), VERIFIED)?,
        source_countries: found
            .get(&key(source))
            .map_or(Ok(SourceCountries::default()), |item| source_countries(item, on.country))?,
        country_verified: Windows::sum(verified.collect::<Result<Vec<_>, _>>()?),
        ..counts
    })
}

/// Counts a message: steps of its transaction.
pub(super) fn count_message(table: &str, take: &Take, now: Timestamp) -> Vec<UpdateBuilder> {
    let day = Day::of(now);
    let keep_until = day.ends_at.plus(HOUR);
    counted(take, &day).into_iter().map(|counter| count_one(table, counter, keep_until)).collect()
}

fn credit(table: &str, challenge: &ChallengeId, credit: &Credit) -> [UpdateBuilder; 2] {
    let day = Day::of(credit.last_at);
    // As good as any random number, and the same one if the transaction is made again.
    let shard = challenge.as_str().bytes().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(byte))) % SHARDS;
    let earned = |pk, keep_until, countries: String| {
        Update::builder()
            .table_name(table)
            .set_key(Some(key(pk)))
            .update_expression(format!(
                "SET expires_at = :keep ADD {VERIFIED} :messages, {} :messages{countries}",
                day.hourly(VERIFIED)
            ))
            .expression_attribute_values(":keep", moment(keep_until))
            .expression_attribute_values(":messages", number(credit.messages))
    };
    let on = &credit.counted_on;
    let country = verified_pk(on, day.number, shard);
    let source = source_pk(&on.source, day.number);
    let countries = format!(", {VERIFIED_COUNTRIES} :countries DELETE {UNVERIFIED_COUNTRIES} :countries");
    [
        earned(country, day.ends_at.plus(VERIFIED_KEPT_SECONDS), String::new()),
        earned(source, day.ends_at.plus(HOUR), countries)
            .expression_attribute_values(":countries", list_of(on.country)),
    ]
}

impl Store {
    /// Credits the messages of a challenge whose code came back: steps of its transaction that no condition can refuse.
    pub(super) fn credited(
        &self,
        challenge: &ChallengeId,
        owed: Option<&Credit>,
    ) -> Result<Vec<TransactWriteItem>, Unavailable> {
        let Some(owed) = owed else { return Ok(Vec::new()) };
        let [country, source] = credit(self.table(Table::Otps), challenge, owed);
        Ok(steps!["credit messages"; Update(country), Update(source)])
    }

    /// The most messages that came back on one of the days before; what was found lately serves again.
    pub(super) async fn find_best_day(&self, on: &CountedOn, now: Timestamp) -> Result<u32, Unavailable> {
        let name = (on.organization.clone(), on.country);
        let cached = self.best_days.0.lock().await.get(&name).copied();
        if let Some((found_at, best)) = cached
            && now < found_at.plus(CACHE_SECONDS)
            && now.window(DAY) == found_at.window(DAY)
        {
            return Ok(best);
        }
        let (today, _) = now.window(DAY);
        let ago = |days: u32| today.saturating_sub(i64::from(days));
        // A batch has 100 keys at most, and these are 112.
        let (earlier, later) = tokio::try_join!(
            self.best_of(on, ago(HISTORY_DAYS)..ago(HISTORY_DAYS / 2)),
            self.best_of(on, ago(HISTORY_DAYS / 2)..today),
        )?;
        let best = earlier.max(later);
        let mut cache = self.best_days.0.lock().await;
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(name, (now, best));
        Ok(best)
    }

    async fn best_of(&self, on: &CountedOn, days: Range<i64>) -> Result<u32, Unavailable> {
        let of = |day| (0..SHARDS).map(move |shard| verified_pk(on, day, shard));
        // Days that are over no longer change: any copy of them will do, at half the price.
        let keys = days.clone().flat_map(of).map(|pk| (Table::Otps, key(pk))).collect();
        let items = self.get_all("read a country's days", keys, false).await?;
        let mut best = 0;
        for day in days {
            let mut verified = 0_u32;
            for pk in of(day) {
                let count = items.get(&key(pk)).map_or(Ok(0), |item| Row(item).number(VERIFIED))?;
                verified = verified.saturating_add(count);
            }
            best = best.max(verified);
        }
        Ok(best)
    }

    /// Gives a message back that was counted and not sent.
    pub(super) async fn uncount_message(&self, take: &Take, now: Timestamp) -> Result<(), Unavailable> {
        let mut counters = counted(take, &Day::of(now)).into_iter();
        // Each on its own: one that fails keeps no other from being given back.
        let mut next = || {
            let counter = counters.next();
            async move {
                match counter {
                    Some(counter) => self.give_back(counter).await,
                    None => Ok(()),
                }
            }
        };
        let (first, second, third) = tokio::join!(next(), next(), next());
        first.and(second).and(third)
    }

    async fn give_back(&self, counter: Counter) -> Result<(), Unavailable> {
        let (add, conditions): (Vec<_>, Vec<_>) = counter
            .bounds
            .into_iter()
            .map(|(name, _)| (format!("{name} :minus_one"), format!("{name} > :zero")))
            .unzip();
        let mut give_back = format!("ADD {}", add.join(", "));
        let mut update = Update::builder();
        if let Some((country, SourceCountry { is_new: true, .. })) = counter.country {
            give_back.push_str(&format!(" DELETE {UNVERIFIED_COUNTRIES} :countries"));
            update = update.expression_attribute_values(":countries", list_of(country));
        }
        let update = update
            .table_name(self.table(Table::Otps))
            .set_key(Some(key(counter.pk)))
            .update_expression(give_back)
            .condition_expression(conditions.join(" AND "))
            .expression_attribute_values(":minus_one", number(-1))
            .expression_attribute_values(":zero", number(0));
        // A transaction of one: its token keeps a retry after a lost answer from giving back twice. Where the condition
        // fails the day has ended and its counter is gone: nothing is owed.
        self.transact("return an allowance", steps!["return an allowance"; Update(update)]).await.map(|_| ())
    }
}
