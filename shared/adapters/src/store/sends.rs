//! Sends: the phone's own schedule, the source's and the country's counters, and the challenge, in one transaction.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::challenge::Purpose;
use domain::gateway::Gateway;
use domain::ids::ChallengeId;
use domain::limits::{DAY, HOUR, Limits};
use domain::phone::PhoneNumber;
use domain::send_otp::{Allowance, AllowanceOutcome, SPEND_SHARDS, SendOtpStore, SendState, shard_share};
use domain::{Timestamp, Unavailable};

use super::challenges::{record, record_key, reroute, start_challenge};
use super::item::{Row, key, moment, number, text};
use super::transaction::{Written, steps};
use super::users::user;
use super::{Item, Store};
use crate::config::Table;

/// How long a challenge record is kept beyond its code, for its count of wrong codes in a row. Seconds.
const RECORD_KEPT_SECONDS: u32 = 7 * DAY;

fn schedule_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

/// A counter of one window: its key, and when the window ends.
struct Counter {
    key: Item,
    ends_at: Timestamp,
    allowed: u32,
}

impl Counter {
    fn of_source(allowance: &Allowance, window_seconds: u32, allowed: u32) -> Self {
        let (window, ends_at) = allowance.now.window(window_seconds);
        Self { key: key(format!("source#{}#{window_seconds}#{window}", allowance.source.as_str())), ends_at, allowed }
    }

    fn of_country(allowance: &Allowance, shard: u32, cap: u32) -> Self {
        let (day, ends_at) = allowance.now.window(DAY);
        let pk = format!("spend#{}#{}#{day}#{shard}", allowance.organization.as_str(), allowance.country);
        Self { key: key(pk), ends_at, allowed: shard_share(cap, shard) }
    }

    fn take(&self, table: &str) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(table)
            .set_key(Some(self.key.clone()))
            .update_expression("SET expires_at = :ends ADD taken :one")
            // A share of 0 has no first message either.
            .condition_expression("(attribute_not_exists(taken) AND :allowed > :zero) OR taken < :allowed")
            .expression_attribute_values(":ends", moment(self.ends_at.plus(HOUR)))
            .expression_attribute_values(":allowed", number(self.allowed))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":zero", number(0))
    }
}

impl Store {
    async fn give_back(&self, key: Item) -> Result<(), Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Otps))
            .set_key(Some(key))
            .update_expression("ADD taken :minus_one")
            .condition_expression("taken > :zero")
            .expression_attribute_values(":minus_one", number(-1))
            .expression_attribute_values(":zero", number(0));
        match request.send().await {
            Ok(_) => Ok(()),
            // The window has ended and its counter is gone: nothing is owed.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Unavailable::new("return an allowance", error)),
        }
    }

    async fn give_back_send(&self, allowance: &Allowance) -> Result<(), Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Otps))
            .set_key(Some(schedule_key(&allowance.phone)))
            .update_expression("SET sends = :before, revision = :next")
            .condition_expression("revision = :ours")
            .expression_attribute_values(":before", moments(&allowance.sends_before))
            .expression_attribute_values(":ours", number(allowance.seen_revision.saturating_add(1)))
            .expression_attribute_values(":next", number(allowance.seen_revision.saturating_add(2)));
        match request.send().await {
            Ok(_) => Ok(()),
            // Another send has come since; it has waited its turn, so ours no longer matters.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(Unavailable::new("return an allowance", error)),
        }
    }

    /// A spend counter with room, once the one tried first had none.
    async fn shard_with_room(&self, allowance: &Allowance, cap: u32, tried: u32) -> Result<Option<u32>, Unavailable> {
        for step in 1..SPEND_SHARDS {
            let shard = tried.wrapping_add(step) % SPEND_SHARDS;
            let counter = Counter::of_country(allowance, shard, cap);
            let item = self.get("read a spend counter", Table::Otps, counter.key).await?;
            let taken = item.map_or(Ok(0), |item| Row(&item).number::<u32>("taken"))?;
            if taken < counter.allowed {
                return Ok(Some(shard));
            }
        }
        Ok(None)
    }
}

fn moments(moments: &[Timestamp]) -> AttributeValue {
    AttributeValue::L(moments.iter().copied().map(moment).collect())
}

impl SendOtpStore for Store {
    async fn look_up_sends(&self, purpose: &Purpose, phone: &PhoneNumber) -> Result<SendState, Unavailable> {
        let caller = async {
            match purpose.caller() {
                Some(caller) => self.read_user(caller).await,
                None => Ok(None),
            }
        };
        let (schedule, challenge, caller) = tokio::try_join!(
            self.get("read a phone's sends", Table::Otps, schedule_key(phone)),
            self.get("read a challenge", Table::Otps, record_key(purpose, phone)),
            caller,
        )?;
        let (sends, revision) = match &schedule {
            Some(item) => (Row(item).moments("sends")?, Row(item).number("revision")?),
            None => (Vec::new(), 0),
        };
        let challenge = challenge.filter(|item| item.contains_key("challenge_id"));
        let record = challenge.as_ref().map(record).transpose()?;
        let caller = caller.as_ref().map(user).transpose()?;
        Ok(SendState { sends, revision, record, caller })
    }

    async fn take_allowance(&self, allowance: &Allowance, limits: &Limits) -> Result<AllowanceOutcome, Unavailable> {
        let table = self.table(Table::Otps);
        let now = allowance.now;
        let cap = limits.country_sends_per_day;
        let by_hour = Counter::of_source(allowance, HOUR, limits.source_sends_per_hour);
        let by_day = Counter::of_source(allowance, DAY, limits.source_sends_per_day);
        let mut shard = allowance.shard_seed % SPEND_SHARDS;
        for _ in 0..SPEND_SHARDS {
            let by_country = Counter::of_country(allowance, shard, cap);
            let schedule = Update::builder()
                .table_name(table)
                .set_key(Some(schedule_key(&allowance.phone)))
                .update_expression("SET sends = :sends, revision = :next, expires_at = :ends")
                .condition_expression(match allowance.seen_revision {
                    0 => "attribute_not_exists(revision) OR revision = :seen",
                    _ => "revision = :seen",
                })
                .expression_attribute_values(":sends", moments(&allowance.sends))
                .expression_attribute_values(":seen", number(allowance.seen_revision))
                .expression_attribute_values(":next", number(allowance.seen_revision.saturating_add(1)))
                .expression_attribute_values(":ends", moment(now.plus(DAY).plus(HOUR)));
            let mut all = steps!["take an allowance"; Update(schedule)];
            if !allowance.is_exempt {
                all.extend(steps!["take an allowance";
                    Update(by_hour.take(table)),
                    Update(by_day.take(table)),
                    Update(by_country.take(table)),
                ]);
            }
            if let Some(challenge) = &allowance.new_challenge {
                let keep_until = challenge.expires_at.plus(RECORD_KEPT_SECONDS);
                let start = start_challenge(table, &allowance.purpose, &allowance.phone, challenge, keep_until);
                all.extend(steps!["start a challenge"; Update(start)]);
            }
            if let Some((challenge, gateway)) = &allowance.rerouted {
                let reroute = reroute(table, &allowance.purpose, &allowance.phone, challenge, *gateway);
                all.extend(steps!["reroute a challenge"; Update(reroute)]);
            }
            let refused = match self.transact("take an allowance", all).await? {
                Written::Done => return Ok(AllowanceOutcome::Taken { shard }),
                Written::Refused(refused) => refused,
            };
            let failed = |step: usize| refused.get(step).is_some_and(Option::is_some);
            // Another send to the phone came in between, or the challenge that was to be repeated has ended. Where nothing
            // is counted, nothing else can refuse.
            if failed(0) || failed(4) || allowance.is_exempt {
                return Ok(AllowanceOutcome::Changed);
            }
            let spent = [(1, &by_hour), (2, &by_day)].into_iter().filter(|(step, _)| failed(*step));
            if let Some(ends_at) = spent.map(|(_, counter)| counter.ends_at).max() {
                return Ok(AllowanceOutcome::Refused { retry_after_seconds: now.seconds_until(ends_at) });
            }
            match self.shard_with_room(allowance, cap, shard).await? {
                Some(with_room) => shard = with_room,
                None => break,
            }
        }
        let (_, day_ends_at) = now.window(DAY);
        Ok(AllowanceOutcome::Refused { retry_after_seconds: now.seconds_until(day_ends_at) })
    }

    async fn return_allowance(&self, allowance: &Allowance, shard: u32) -> Result<(), Unavailable> {
        let counters = [
            Counter::of_source(allowance, HOUR, 0),
            Counter::of_source(allowance, DAY, 0),
            Counter::of_country(allowance, shard, 0),
        ];
        let [by_hour, by_day, by_country] = counters.map(|counter| self.give_back(counter.key));
        // Each on its own: one that fails keeps no other from being given back.
        let (send, by_hour, by_day, by_country) =
            tokio::join!(self.give_back_send(allowance), by_hour, by_day, by_country);
        send.and(by_hour).and(by_day).and(by_country)
    }

    async fn note_carrier(
        &self,
        allowance: &Allowance,
        challenge: &ChallengeId,
        gateway: Gateway,
    ) -> Result<(), Unavailable> {
        let request = self
            .client
            .update_item()
            .table_name(self.table(Table::Otps))
            .set_key(Some(record_key(&allowance.purpose, &allowance.phone)))
            .update_expression("SET carried_by = :gateway")
            .condition_expression("challenge_id = :id")
            .expression_attribute_values(":id", text(challenge.as_str()))
            .expression_attribute_values(":gateway", text(gateway.name()));
        request.send().await.map(|_| ()).map_err(|error| Unavailable::new("note a carrier", error))
    }
}
