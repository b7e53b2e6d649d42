//! Publishes events: the streams of users, sessions and codes call it with what was written.
//!
//! Lambda repeats a batch from its first record that was not published. An event has the same id each time, so a consumer can
//! drop one that comes again.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{BatchResponse, OtpsTable, Store, StreamEvent, StreamRecord};
use adapters::event_bus::{Entry, EventBus};
use adapters::secrets::EventKeySecret;
use adapters::telemetry::{self, with_request_id};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use domain::rules::challenge::GuessLane;
use domain::rules::event::{DigestKey, Event, Occurrence, SessionOfUser};
use domain::values::phone::PhoneNumber;
use domain::values::time::Timestamp;
use lambda_http::lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// The version of the schemas in `schemas/events`.
const SCHEMA_VERSION: u32 = 1;

#[derive(Clone)]
pub struct Publish {
    app: App,
    store: Store<OtpsTable>,
    key: EventKeySecret,
    bus: EventBus,
}

impl Publish {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app)?, key: EventKeySecret::new(app)?, bus: EventBus::new(app)? })
    }

    pub async fn handle(&self, event: LambdaEvent<StreamEvent>) -> BatchResponse {
        let LambdaEvent { payload: StreamEvent { records }, context } = event;
        // Boxed, or the type of `main` is too deep for the compiler.
        let work = Box::pin(self.publish(&records));
        let unpublished = with_request_id(&context.request_id, work).await;
        unpublished.map(StreamRecord::sequence_number).into_iter().collect()
    }

    /// Publishes what follows from records, in order, up to a record of which that fails. Returns that record.
    async fn publish<'a>(&self, records: &'a [StreamRecord]) -> Option<&'a StreamRecord> {
        let (mut pending, mut unread) = (Vec::new(), None);
        for record in records {
            match self.store.events(record, &self.app.config.limits).await {
                Ok(events) => pending.extend(events.into_iter().map(|event| (record, event))),
                Err(unavailable) => {
                    telemetry::unavailable("publish", &unavailable);
                    unread = Some(record);
                    break;
                }
            }
        }
        let Some((first, _)) = pending.first() else { return unread };
        let key = match self.key.key().await {
            Ok(key) => key,
            Err(unavailable) => {
                telemetry::unavailable("publish", &unavailable);
                return Some(first);
            }
        };
        let entries: Vec<Entry> = pending.iter().map(|(_, event)| self.entry(event, &key)).collect();
        match self.bus.put(&entries).await {
            Ok(()) => unread,
            Err(index) => pending.get(index).map(|(record, _)| *record),
        }
    }

    fn entry(&self, event: &Event, key: &DigestKey) -> Entry {
        let source = &self.app.config.issuer.issuer;
        Entry { kind: event.what.name(), at: event.at, detail: cloud_event(event, source, key).to_string() }
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
    DateTime::from_secs(at.seconds()).fmt(Format::DateTime).ok().into()
}
