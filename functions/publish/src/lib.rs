//! Publishes events: the streams of users, sessions and codes call it with what was written.
//!
//! Lambda repeats a batch from its first record that was not published. An event has the same id each time, so a consumer can
//! drop one that comes again.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{OtpsTable, Store, StreamRecord};
use adapters::secrets::EventKeySecret;
use adapters::telemetry;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::{DateTime, DateTimeFormat};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use domain::rules::challenge::GuessLane;
use domain::rules::event::{DigestKey, Event, Occurrence, SessionOfUser};
use domain::values::phone::PhoneNumber;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// EventBridge's name for who publishes.
const SOURCE: &str = "latchkey";
/// The version of the schemas in `schemas/events`.
const SCHEMA_VERSION: u32 = 1;
/// The most entries of one `PutEvents`. All of them may have 256 KB; ours have less than 2 KB each.
const MAX_ENTRIES: usize = 10;
/// The pauses before the entries that the bus did not take are put again. Milliseconds.
const PAUSES_MILLISECONDS: [u64; 2] = [100, 400];

#[derive(Clone)]
pub struct Publish {
    app: App,
    store: Store<OtpsTable>,
    key: EventKeySecret,
    bus: Arc<str>,
    /// Made for the first event, so that the start does not wait for it.
    client: Arc<OnceLock<Client>>,
}

/// Of DynamoDB's event, what is used.
#[derive(Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<StreamRecord>,
}

/// The first record that is to be delivered again, with all that follow it.
#[derive(Default, Serialize)]
pub struct BatchResponse {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    #[serde(rename = "itemIdentifier")]
    sequence_number: String,
}

/// An event, and the record that it follows from.
type Pending<'a> = (&'a StreamRecord, Event);

impl Publish {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.clone(),
            store: Store::new(app)?,
            key: EventKeySecret::new(app)?,
            bus: app.config.resources.event_bus()?.into(),
            client: Arc::default(),
        })
    }

    pub async fn handle(&self, event: StreamEvent) -> BatchResponse {
        let (mut pending, mut unread) = (Vec::new(), None);
        for record in &event.records {
            match self.store.events(record, &self.app.config.limits).await {
                Ok(events) => pending.extend(events.into_iter().map(|event| (record, event))),
                Err(unavailable) => {
                    telemetry::unavailable("publish", &unavailable);
                    unread = Some(record);
                    break;
                }
            }
        }
        let unpublished = self.publish(&pending).await.err();
        let failures =
            unpublished.or(unread).map(|record| Failure { sequence_number: record.sequence_number().into() });
        BatchResponse { failures: failures.into_iter().collect() }
    }

    /// Publishes events in order. If that fails, returns the record of the first one that was not published.
    async fn publish<'a>(&self, events: &[Pending<'a>]) -> Result<(), &'a StreamRecord> {
        let Some((first, _)) = events.first() else { return Ok(()) };
        let key = self.key.key().await.map_err(|unavailable| {
            telemetry::unavailable("publish", &unavailable);
            *first
        })?;
        for some in events.chunks(MAX_ENTRIES) {
            self.put(some, &key).await?;
        }
        Ok(())
    }

    /// Puts events by one request, and those that the bus does not take by further ones.
    async fn put<'a>(&self, events: &[Pending<'a>], key: &DigestKey) -> Result<(), &'a StreamRecord> {
        let mut left: Vec<&Pending<'a>> = events.iter().collect();
        let mut pauses = PAUSES_MILLISECONDS.into_iter();
        loop {
            left = self.put_once(left, key).await;
            let Some(record) = left.first().map(|(record, _)| *record) else { return Ok(()) };
            let Some(pause) = pauses.next() else { return Err(record) };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Returns the events that the bus did not take.
    async fn put_once<'e, 'a>(&self, events: Vec<&'e Pending<'a>>, key: &DigestKey) -> Vec<&'e Pending<'a>> {
        let now = self.app.clock.now();
        let entries = events.iter().map(|(_, event)| self.entry(event, key)).collect();
        let answer = self.client().put_events().set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| Unavailable::new("put events", error));
        if let Err(unavailable) = &answer {
            telemetry::unavailable("publish", unavailable);
        }
        // The answer has one result for each entry, in order.
        let mut results = answer.map(|answer| answer.entries.unwrap_or_default()).unwrap_or_default().into_iter();
        let is_left = |(_, event): &&Pending<'_>| {
            let kind = event.what.name();
            match results.next().map(|result| (result.event_id, result.error_code)) {
                Some((Some(_), None)) => {
                    telemetry::event_published(kind, now);
                    false
                }
                result => {
                    telemetry::event_failed(kind, result.and_then(|(_, code)| code).as_deref(), now);
                    true
                }
            }
        };
        events.into_iter().filter(is_left).collect()
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let mut config = aws_sdk_eventbridge::config::Builder::from(self.app.aws());
            config.set_endpoint_url(self.app.config.aws.eventbridge_endpoint.clone());
            Client::from_conf(config.build())
        })
    }

    fn entry(&self, event: &Event, key: &DigestKey) -> PutEventsRequestEntry {
        let source = &self.app.config.issuer.issuer;
        PutEventsRequestEntry::builder()
            .event_bus_name(&*self.bus)
            .source(SOURCE)
            .detail_type(event.what.name())
            .time(DateTime::from_secs(event.at.seconds()))
            .detail(cloud_event(event, source, key).to_string())
            .build()
    }
}

/// An event in the JSON format of CloudEvents 1.0
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
fn cloud_event(event: &Event, source: &str, key: &DigestKey) -> Value {
    let name = event.what.name();
    json!({
        "specversion": "1.0",
        "id": event.id.as_str(),
        "source": source,
        "type": name,
        "subject": subject(&event.what, key),
        "time": time(event.at),
        "datacontenttype": "application/json",
        "dataschema": format!("urn:latchkey:event:{name}:{SCHEMA_VERSION}"),
        "data": data(&event.what, key),
    })
}

/// Whom or what the event is of.
fn subject(what: &Occurrence, key: &DigestKey) -> String {
    match what {
        Occurrence::UserCreated { user, .. }
        | Occurrence::UserDeleted { user, .. }
        | Occurrence::PhoneChanged { user, .. }
        | Occurrence::UserSignedIn(SessionOfUser { user, .. })
        | Occurrence::SessionRevoked(SessionOfUser { user, .. })
        | Occurrence::RefreshReused(SessionOfUser { user, .. }) => user.as_str().to_owned(),
        Occurrence::SignInBlocked { phone, .. } => key.digest(phone),
        Occurrence::SpendCapped { organization, country, .. } => format!("{}/{country}", organization.as_str()),
    }
}

/// The members that an event does not have are absent.
fn data(what: &Occurrence, key: &DigestKey) -> Value {
    let digest = |phone: &Option<PhoneNumber>| phone.as_ref().map(|phone| key.digest(phone));
    let mut data = match what {
        Occurrence::UserCreated { user, phone, is_restored } => {
            json!({"user_id": user.as_str(), "phone_digest": digest(phone), "restored": is_restored})
        }
        Occurrence::UserDeleted { user, phone } => json!({"user_id": user.as_str(), "phone_digest": digest(phone)}),
        Occurrence::PhoneChanged { user, phone, former } => json!({
            "user_id": user.as_str(), "phone_digest": digest(phone), "former_phone_digest": digest(former),
        }),
        Occurrence::UserSignedIn(of) | Occurrence::SessionRevoked(of) | Occurrence::RefreshReused(of) => json!({
            "user_id": of.user.as_str(), "session_id": of.session.as_str(), "organization_id": of.organization.as_str(),
        }),
        Occurrence::SignInBlocked { phone, lane, wrong_codes, until } => json!({
            "phone_digest": key.digest(phone), "guesses": guesses(*lane), "wrong_codes": wrong_codes, "until": time(*until),
        }),
        Occurrence::SpendCapped { organization, country, messages, until } => json!({
            "organization_id": organization.as_str(), "country": country.to_string(), "messages": messages,
            "until": time(*until),
        }),
    };
    if let Some(members) = data.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    data
}

/// Which guesses are refused.
const fn guesses(lane: GuessLane) -> &'static str {
    match lane {
        GuessLane::WithId => "with_challenge_id",
        GuessLane::WithoutId => "without_challenge_id",
        GuessLane::KnownDevice => "of_known_devices",
    }
}

/// RFC 3339, in UTC.
fn time(at: Timestamp) -> Value {
    DateTime::from_secs(at.seconds()).fmt(DateTimeFormat::DateTime).ok().into()
}
