//! The EventBridge bus that events are put on.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use crate::app::App;
use crate::config::ConfigError;
use crate::telemetry;

/// EventBridge's name for who publishes.
const SOURCE: &str = "latchkey";
/// The most entries of one request. All of them may have 256 KB; ours have less than 2 KB each.
const MAX_ENTRIES: usize = 10;
/// The pauses before the entries that the bus did not take are put again. Milliseconds.
const PAUSES_MILLISECONDS: [u64; 2] = [100, 400];

/// Cheap to clone.
#[derive(Clone)]
pub struct EventBus {
    app: App,
    name: Arc<str>,
    /// Made for the first event, so that the start does not wait for it.
    client: Arc<OnceLock<Client>>,
}

pub struct Entry {
    /// The type of the event, which rules match.
    pub kind: &'static str,
    pub at: Timestamp,
    /// JSON.
    pub detail: String,
}

impl EventBus {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), name: app.config.resources.event_bus()?.into(), client: Arc::default() })
    }

    /// Puts entries in order.
    ///
    /// # Errors
    /// The index of the first entry that the bus did not take. It may have taken some of those that follow.
    pub async fn put(&self, entries: &[Entry]) -> Result<(), usize> {
        let numbered: Vec<(usize, &Entry)> = entries.iter().enumerate().collect();
        for some in numbered.chunks(MAX_ENTRIES) {
            self.put_some(some.to_vec()).await?;
        }
        Ok(())
    }

    /// Puts entries by one request, and those that the bus does not take by further ones.
    async fn put_some(&self, entries: Vec<(usize, &Entry)>) -> Result<(), usize> {
        let (mut left, mut pauses) = (entries, PAUSES_MILLISECONDS.into_iter());
        loop {
            left = self.put_once(left).await;
            let Some((first, _)) = left.first() else { return Ok(()) };
            let Some(pause) = pauses.next() else { return Err(*first) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Returns the entries that the bus did not take.
    async fn put_once<'a>(&self, entries: Vec<(usize, &'a Entry)>) -> Vec<(usize, &'a Entry)> {
        let now = self.app.clock.now();
        let of_request = entries.iter().map(|(_, entry)| self.of_request(entry)).collect();
        let answer = self.client().put_events().set_entries(Some(of_request)).send().await;
        let answer = answer.map_err(|error| Unavailable::new("put events", error));
        if let Err(unavailable) = &answer {
            telemetry::unavailable("publish", unavailable);
        }
        // The answer has one result for each entry, in order.
        let mut results = answer.map(|answer| answer.entries.unwrap_or_default()).unwrap_or_default().into_iter();
        let is_left =
            |(_, entry): &(usize, &Entry)| match results.next().map(|result| (result.event_id, result.error_code)) {
                Some((Some(_), None)) => {
                    telemetry::event_published(entry.kind, now);
                    false
                }
                result => {
                    telemetry::event_failed(entry.kind, result.and_then(|(_, code)| code).as_deref(), now);
                    true
                }
            };
        entries.into_iter().filter(is_left).collect()
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let mut config = aws_sdk_eventbridge::config::Builder::from(&self.app.aws);
            config.set_endpoint_url(self.app.config.aws.eventbridge_endpoint.clone());
            Client::from_conf(config.build())
        })
    }

    fn of_request(&self, Entry { kind, at, detail }: &Entry) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&*self.name)
            .source(SOURCE)
            .detail_type(*kind)
            .time(DateTime::from_secs(at.seconds()))
            .detail(detail)
            .build()
    }
}
