//! The events that follow from the records of the streams of users, sessions and codes.

use domain::rules::challenge::GuessLane;
use domain::rules::event::{Event, Occurrence};
use domain::rules::limits::Limits;
use domain::values::phone::PhoneNumber;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::counters::SpendCounter;
use super::items::attributes::{Corrupt, Item, Row};
use super::items::failures::FailureNames;
use super::items::image::item;
use super::items::session::{session, was_reused};
use super::items::user::{RESTORED_AT, user};
use super::store::Store;
use super::stream::StreamRecord;
use super::tables::HasOtps;
use crate::telemetry;

impl<T: HasOtps> Store<T> {
    /// The events that follow from a record. One that nobody can read has none, because a repetition would not help.
    ///
    /// # Errors
    /// When counters cannot be read.
    pub async fn events(&self, record: &StreamRecord, limits: &Limits) -> Result<Vec<Event>, Unavailable> {
        if record.is_end_of_life() {
            return Ok(Vec::new());
        }
        let (before, after) = (record.before().map(item), record.after().map(item));
        let (before, after) = (before.as_ref(), after.as_ref());
        let pk = record.key("pk");
        let occurrences = match pk.split_once('#') {
            Some(("user", _)) => of_user(before, after),
            Some(("codes", phone)) => of_codes(phone, before, after),
            Some(("spend", _)) => return self.of_counter(record, pk, before, after, limits).await,
            None => of_session(before, after, record.at()),
            Some(_) => Ok(Vec::new()),
        };
        let occurrences = occurrences.unwrap_or_else(|corrupt| {
            telemetry::unreadable_record(&corrupt.into(), record.at());
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
    let is_restored = after.is_some_and(|item| item.contains_key(RESTORED_AT));
    let (before, after) = (before.map(user).transpose()?, after.map(user).transpose()?);
    Ok(Occurrence::of_user(before.as_ref(), after.as_ref(), is_restored).into_iter().collect())
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
