//! A stand-in for Amazon EventBridge: `PutEvents` over the AWS JSON 1.1 protocol. The events are kept in memory.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock::AdjustableClock;
use crate::lock::lock;
use crate::{answer, random};

const EVENTS_KEPT: usize = 10_000;
const MAXIMUM_ENTRIES: usize = 10;
/// Of all entries of a request together.
const MAXIMUM_BYTES: usize = 256 * 1024;
/// The code of a fault that refuses every second entry of a request, and takes the others.
const HALF: &str = "Half";

pub struct EventBridge {
    clock: AdjustableClock,
    /// The only bus; none if the template has none.
    bus: Option<String>,
    /// Newest first.
    events: Mutex<VecDeque<Event>>,
}

/// An event as a rule's target gets it, without `version`, `account`, `region` and `resources`.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// EventBridge's own, a new one each time an entry is taken.
    id: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Value,
    /// When the entry was taken.
    at: i64,
}

#[derive(Deserialize)]
struct PutEvents {
    #[serde(rename = "Entries")]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Source", default)]
    source: String,
    #[serde(rename = "DetailType", default)]
    detail_type: String,
    #[serde(rename = "Detail", default)]
    detail: String,
    #[serde(rename = "EventBusName")]
    bus: Option<String>,
}

/// The operation, if the request is for EventBridge.
pub fn operation(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-amz-target")?.to_str().ok()?.strip_prefix("AWSEvents.")
}

impl EventBridge {
    pub fn new(clock: AdjustableClock, bus: Option<String>) -> Self {
        Self { clock, bus, events: Mutex::default() }
    }

    /// Newest first.
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).iter().cloned().collect()
    }

    pub fn answer(&self, operation: &str, request: &Value) -> Response {
        match operation {
            "PutEvents" => self.put(request, |_| false),
            _ => refused("UnknownOperationException", "This operation is not emulated."),
        }
    }

    /// A refusal of the whole request, or of every second entry.
    pub fn refuse(&self, code: Option<&str>, request: &Value) -> Response {
        match code {
            Some(HALF) => self.put(request, |place| place % 2 == 1),
            code => refused(code.unwrap_or("ThrottlingException"), "Refused, as requested by POST /local/faults."),
        }
    }

    /// Takes each entry that is valid. One that is not is no reason to refuse the others.
    fn put(&self, request: &Value, is_refused: impl Fn(usize) -> bool) -> Response {
        let Ok(PutEvents { entries }) = PutEvents::deserialize(request) else {
            return refused("SerializationException", "The request is not one of PutEvents.");
        };
        if entries.is_empty() || entries.len() > MAXIMUM_ENTRIES {
            return refused("ValidationException", "Entries must have 1 to 10 members.");
        }
        let texts = entries.iter().flat_map(|entry| [&entry.source, &entry.detail_type, &entry.detail]);
        if texts.map(String::len).sum::<usize>() > MAXIMUM_BYTES {
            return refused("ValidationException", "Total size of the entries in the request is over the limit.");
        }
        let results: Vec<Value> = entries
            .into_iter()
            .enumerate()
            .map(|(place, entry)| if is_refused(place) { error_entry("ThrottlingException") } else { self.take(entry) })
            .collect();
        let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
        let body = json!({ "FailedEntryCount": failed, "Entries": results });
        answer::with_type(StatusCode::OK, "application/x-amz-json-1.1", body.to_string())
    }

    fn take(&self, entry: Entry) -> Value {
        if entry.source.is_empty() || entry.source.starts_with("aws.") {
            return error_entry("NotAuthorizedForSourceException");
        }
        if entry.detail_type.is_empty() {
            return error_entry("InvalidArgument");
        }
        if entry.bus.is_none() || entry.bus != self.bus {
            return error_entry("ResourceNotFoundException");
        }
        let Some(detail) = serde_json::from_str(&entry.detail).ok().filter(Value::is_object) else {
            return error_entry("MalformedDetail");
        };
        let Entry { source, detail_type, .. } = entry;
        let event = Event { id: random::uuid(), source, detail_type, detail, at: self.clock.now_seconds() };
        let result = json!({ "EventId": event.id });
        let mut events = lock(&self.events);
        events.push_front(event);
        events.truncate(EVENTS_KEPT);
        result
    }
}

pub fn error() -> Response {
    refused("InternalException", "An internal error occurred.")
}

fn error_entry(code: &str) -> Value {
    json!({ "ErrorCode": code, "ErrorMessage": "The entry was refused." })
}

fn refused(kind: &str, message: &str) -> Response {
    let status = match kind {
        "InternalException" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({ "__type": kind, "message": message });
    answer::with_type(status, "application/x-amz-json-1.1", body.to_string())
}
