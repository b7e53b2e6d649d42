//! The events that follow from the records of the streams of users, sessions and codes.

use domain::rules::challenge::GuessLane;
use domain::rules::event::{Event, Occurrence};
use domain::rules::limits::Limits;
use domain::values::phone::PhoneNumber;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::counters::SpendCounter;
use super::items::attributes::{Corrupt, Item, Row};
use super::items::failures::FailureNames;
use super::items::image::item;
use super::items::session::{session, was_reused};
use super::items::user::user;
use super::store::Store;
use super::tables::HasOtps;
use crate::telemetry::unavailable;

/// In whose name the TTL deletes.
const TTL: &str = "dynamodb.amazonaws.com";

/// Of a record as Lambda passes it, what is used.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Deserialize)]
pub struct StreamRecord {
    /// Of this record alone, and the same in each delivery.
    #[serde(rename = "eventID")]
    id: String,
    dynamodb: Change,
    #[serde(rename = "userIdentity")]
    identity: Option<Identity>,
}

#[derive(Deserialize)]
struct Change {
    /// In epoch seconds.
    #[serde(rename = "ApproximateCreationDateTime")]
    at: f64,
    #[serde(rename = "Keys")]
    keys: Map<String, Value>,
    #[serde(rename = "OldImage")]
    before: Option<Map<String, Value>>,
    #[serde(rename = "NewImage")]
    after: Option<Map<String, Value>>,
    #[serde(rename = "SequenceNumber")]
    sequence_number: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "principalId")]
    principal: String,
}

impl StreamRecord {
    pub fn sequence_number(&self) -> &str {
        &self.dynamodb.sequence_number
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_seconds(self.dynamodb.at as i64)
    }
}

impl<T: HasOtps> Store<T> {
    /// The events that follow from a record. One that nobody can read has none, because a repetition would not help.
    ///
    /// # Errors
    /// When counters cannot be read.
    pub async fn events(&self, record: &StreamRecord, limits: &Limits) -> Result<Vec<Event>, Unavailable> {
        let before = record.dynamodb.before.as_ref().map(item);
        let after = record.dynamodb.after.as_ref().map(item);
        let (before, after) = (before.as_ref(), after.as_ref());
        let pk = record.dynamodb.keys.get("pk").and_then(|pk| pk.get("S")?.as_str()).unwrap_or_default();
        let occurrences = match pk.split_once('#') {
            _ if record.identity.as_ref().is_some_and(|identity| identity.principal == TTL) => Ok(Vec::new()),
            Some(("user", _)) => of_user(before, after),
            Some(("codes", phone)) => of_codes(phone, before, after),
            Some(("spend", _)) => return self.of_counter(record, pk, before, after, limits).await,
            None => of_session(before, after, record.at()),
            Some(_) => Ok(Vec::new()),
        };
        let occurrences = occurrences.unwrap_or_else(|corrupt| {
            unavailable("publish", &corrupt.into());
            Vec::new()
        });
        Ok(occurrences.into_iter().map(|what| Event::new(&record.id, record.at(), what)).collect())
    }

    async fn of_counter(
        &self,
        record: &StreamRecord,
        pk: &str,
        before: Option<&Item>,
        after: Option<&Item>,
        limits: &Limits,
    ) -> Result<Vec<Event>, Unavailable> {
        let (Some(counter), Some(after)) = (SpendCounter::of_key(pk), after) else { return Ok(Vec::new()) };
        let Some(messages) = self.messages_if_capped(&counter, before, after, limits).await? else {
            return Ok(Vec::new());
        };
        // Several counters may find the same, or one again after a message was returned: it happens once a day.
        let cause = counter.day().to_owned();
        let SpendCounter { organization, country, ends_at, .. } = counter;
        let what = Occurrence::SpendCapped { organization, country, messages, until: ends_at };
        Ok(vec![Event::new(&cause, record.at(), what)])
    }
}

fn of_user(before: Option<&Item>, after: Option<&Item>) -> Result<Vec<Occurrence>, Corrupt> {
    let (before, after) = (before.map(user).transpose()?, after.map(user).transpose()?);
    Ok(Occurrence::of_user(before.as_ref(), after.as_ref()).into_iter().collect())
}

fn of_session(before: Option<&Item>, after: Option<&Item>, at: Timestamp) -> Result<Vec<Occurrence>, Corrupt> {
    Ok(match (before, after) {
        (None, Some(opened)) => vec![Occurrence::of_new_session(&session(opened)?)],
        (Some(deleted), None) => Occurrence::of_deleted_session(&session(deleted)?, was_reused(deleted), at).collect(),
        _ => Vec::new(),
    })
}

fn of_codes(phone: &str, before: Option<&Item>, after: Option<&Item>) -> Result<Vec<Occurrence>, Corrupt> {
    let phone = PhoneNumber::from_e164(phone).map_err(|_| Corrupt::new("pk"))?;
    let mut occurrences = Vec::new();
    for lane in [GuessLane::WithId, GuessLane::WithoutId, GuessLane::KnownDevice] {
        let names = FailureNames::of(lane);
        let read = |item: Option<&Item>| item.map(|item| names.read(&Row(item))).transpose();
        let (before, after) = (read(before)?.unwrap_or_default(), read(after)?.unwrap_or_default());
        occurrences.extend(Occurrence::of_failures(&phone, lane, &before, &after));
    }
    Ok(occurrences)
}
