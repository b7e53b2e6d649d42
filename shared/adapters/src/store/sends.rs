//! Sends: the phone's own schedule, the source's and the country's counters, and the challenge, in one transaction.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::challenge::Purpose;
use domain::gateway::Gateway;
use domain::ids::ChallengeId;
use domain::limits::{DAY, HOUR, Limits};
use domain::phone::PhoneNumber;
use domain::pumping::{CountedOn, Counts, Take};
use domain::send_otp::{Allowance, AllowanceOutcome, SendOtpStore, SendState};
use domain::{Timestamp, Unavailable};

use super::challenges::{record, record_key, repeat_challenge, start_challenge};
use super::counters::{count_message, counter_keys, counts};
use super::item::{Row, key, moment, number, text};
use super::transaction::{Written, steps};
use super::users::{user, user_key};
use super::{Item, Store};
use crate::config::Table;
use crate::telemetry::trace;

/// How long a challenge record is kept beyond its code, for its count of wrong codes in a row. Seconds.
const RECORD_KEPT_SECONDS: u32 = 7 * DAY;

fn schedule_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

impl Store {
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
        // Where the condition fails another send has come since; it has waited its turn, so ours no longer matters.
        self.write_if_it_still_holds("return an allowance", request).await
    }

    /// Takes a message off those that the challenge's code will be credited for.
    async fn give_back_carried(&self, allowance: &Allowance) -> Result<(), Unavailable> {
        let repeated = allowance.repeated.as_ref().map(|repeat| &repeat.challenge);
        let Some(challenge) = allowance.new_challenge.as_ref().map(|new| &new.id).or(repeated) else { return Ok(()) };
        let update = Update::builder()
            .table_name(self.table(Table::Otps))
            .set_key(Some(record_key(&allowance.purpose, &allowance.phone)))
            .update_expression("ADD messages :minus_one")
            .condition_expression("challenge_id = :id AND messages > :zero")
            .expression_attribute_values(":id", text(challenge.as_str()))
            .expression_attribute_values(":minus_one", number(-1))
            .expression_attribute_values(":zero", number(0));
        // As with the counters: a token, so that no retry takes off two.
        self.transact("return an allowance", steps!["return an allowance"; Update(update)]).await.map(|_| ())
    }
}

fn moments(moments: &[Timestamp]) -> AttributeValue {
    AttributeValue::L(moments.iter().copied().map(moment).collect())
}

impl SendOtpStore for Store {
    async fn look_up_sends(
        &self,
        purpose: &Purpose,
        phone: &PhoneNumber,
        counted_on: Option<&CountedOn>,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<SendState, Unavailable> {
        let caller = purpose.caller().map(user_key);
        let mut keys = vec![(Table::Otps, schedule_key(phone)), (Table::Otps, record_key(purpose, phone))];
        keys.extend(caller.clone().map(|key| (Table::Users, key)));
        let counters = counted_on.iter().flat_map(|on| counter_keys(on, limits, now));
        keys.extend(counters.map(|key| (Table::Otps, key)));
        let found = self.get_all("read what a send is planned on", keys, true).await?;
        let (sends, revision) = match found.get(&schedule_key(phone)) {
            Some(item) => (Row(item).moments("sends")?, Row(item).number("revision")?),
            None => (Vec::new(), 0),
        };
        let challenge = found.get(&record_key(purpose, phone)).filter(|item| item.contains_key("challenge_id"));
        let record = challenge.map(record).transpose()?;
        let caller = caller.and_then(|key| found.get(&key)).map(user).transpose()?;
        let counts = counted_on.map_or(Ok(Counts::default()), |on| counts(&found, on, limits, now))?;
        let state = SendState { sends, revision, record, caller, counts };
        trace("a send is planned on", &state);
        Ok(state)
    }

    async fn best_day(&self, counted_on: &CountedOn, now: Timestamp) -> Result<u32, Unavailable> {
        self.find_best_day(counted_on, now).await
    }

    async fn take_allowance(&self, allowance: &Allowance) -> Result<AllowanceOutcome, Unavailable> {
        trace("a send takes", allowance);
        let table = self.table(Table::Otps);
        let now = allowance.now;
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
        for counted in allowance.take.iter().flat_map(|take| count_message(table, take, now)) {
            all.extend(steps!["take an allowance"; Update(counted)]);
        }
        if let Some(challenge) = &allowance.new_challenge {
            let keep_until = challenge.expires_at.plus(RECORD_KEPT_SECONDS);
            let start = start_challenge(table, &allowance.purpose, &allowance.phone, challenge, keep_until);
            all.extend(steps!["start a challenge"; Update(start)]);
        }
        if let Some(repeat) = &allowance.repeated {
            let repeat = repeat_challenge(table, &allowance.purpose, &allowance.phone, repeat, now);
            all.extend(steps!["repeat a challenge"; Update(repeat)]);
        }
        // Whichever refused, the plan was made on what is no longer so.
        Ok(match self.transact("take an allowance", all).await? {
            Written::Done => AllowanceOutcome::Taken,
            Written::Refused(_) => AllowanceOutcome::Changed,
        })
    }

    async fn return_allowance(&self, allowance: &Allowance) -> Result<(), Unavailable> {
        let counted = async {
            match &allowance.take {
                Some(take) => self.uncount_message(take, allowance.now).await,
                None => Ok(()),
            }
        };
        let carried = async {
            match &allowance.take {
                Some(Take { hour: Some(_), .. }) => self.give_back_carried(allowance).await,
                _ => Ok(()),
            }
        };
        // Each on its own: one that fails keeps no other from being given back.
        let (send, counted, carried) = tokio::join!(self.give_back_send(allowance), counted, carried);
        send.and(counted).and(carried)
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
