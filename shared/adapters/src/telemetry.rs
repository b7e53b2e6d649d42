//! The log and the metrics: one JSON line for each event on standard output, for CloudWatch. No code, token or phone number
//! reaches either.

use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::str::FromStr;

use domain::rules::limits::BudgetMode;
use domain::rules::notice::AccountEvent;
use domain::rules::pumping::Budget;
use domain::use_cases::deliver_notice::Delivery;
use domain::values::country::Country;
use domain::values::gateway::Gateway;
use domain::values::ids::UserId;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::instrument::Instrumented;
use tracing::{Event, Instrument, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The only crates whose events are logged. At its finer levels the SDK would log whole requests with their secrets.
const LOGGED_CRATES: [&str; 2] = ["adapters", "rotate_keys"];

pub fn filter(level: &str) -> Targets {
    let level = Level::from_str(level).unwrap_or(Level::INFO);
    Targets::new().with_default(LevelFilter::OFF).with_targets(LOGGED_CRATES.map(|name| (name, level)))
}

/// The target of events that are metrics, which the log omits.
const METRICS: &str = "metrics";

/// Starts the log and, at every level, the metrics in a namespace. An invalid level counts as `info`. A second start changes
/// nothing.
pub fn start(level: &str, namespace: &str) {
    let to_standard_output = |line: &str| {
        // A closed reader is no reason to stop.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    };
    let _ = tracing_subscriber::registry()
        .with(log(level))
        .with(metrics(namespace.to_owned(), to_standard_output))
        .try_init();
}

/// Starts the log without the metrics.
pub fn start_log(level: &str) {
    let _ = tracing_subscriber::registry().with(log(level)).try_init();
}

fn log<S: Subscriber + for<'a> LookupSpan<'a>>(level: &str) -> impl Layer<S> {
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        // CloudWatch adds the time to each line.
        .without_time()
        .with_filter(filter(level))
}

/// Names the request in every line that `work` logs, so that one request can be followed through the functions.
pub fn with_request_id<Work: Future>(request_id: &str, work: Work) -> Instrumented<Work> {
    // At the level of errors, so that it names the request at every `LOG_LEVEL`.
    work.instrument(tracing::error_span!("request", request_id))
}

/// Traces a whole value, at the finest level and only in debug builds. The `Debug` of codes, tokens and numbers hides them.
pub fn trace(what: &'static str, value: &impl Debug) {
    tracing::trace!(what, ?value);
}

/// Passes each metric to `write` as one line in CloudWatch's embedded metric format
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
pub fn metrics<S: Subscriber + for<'a> LookupSpan<'a>>(
    namespace: String,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Layer<S> {
    Metrics { namespace, write }.with_filter(Targets::new().with_target(METRICS, LevelFilter::INFO))
}

struct Metrics<Write> {
    namespace: String,
    write: Write,
}

impl<S: Subscriber, W: Fn(&str) + Send + Sync + 'static> Layer<S> for Metrics<W> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut document = Document::default();
        event.record(&mut document);
        (self.write)(&format!("{}\n", document.into_json(&self.namespace)));
    }
}

/// An event as a document: a text field is a dimension, an unsigned number a count, and `at` the time in epoch seconds.
#[derive(Default)]
struct Document {
    at_seconds: i64,
    dimensions: Vec<&'static str>,
    counts: Vec<Value>,
    members: Map<String, Value>,
}

impl Visit for Document {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.dimensions.push(field.name());
        self.members.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.counts.push(json!({"Name": field.name(), "Unit": "Count"}));
        self.members.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, _at: &Field, value: i64) {
        self.at_seconds = value;
    }

    // Other fields are not part of a metric.
    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

impl Document {
    fn into_json(self, namespace: &str) -> Value {
        let mut document = self.members;
        let directive = json!({"Namespace": namespace, "Dimensions": [self.dimensions], "Metrics": self.counts});
        let milliseconds = self.at_seconds.saturating_mul(1_000);
        document.insert("_aws".to_owned(), json!({"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}));
        Value::Object(document)
    }
}

/// Counts the outcome of a message at one gateway.
pub(crate) fn sms_attempt(gateway: Gateway, country: Country, outcome: &'static str, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        SmsAttempts = 1_u64,
        Gateway = gateway.name(),
        Country = country.to_string(),
        Outcome = outcome,
        at = at.seconds(),
    );
}

/// Counts an accepted code for the gateway that carried it, so that conversion can be computed.
pub fn code_accepted(gateway: Gateway, country: Country, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        CodesAccepted = 1_u64,
        Gateway = gateway.name(),
        Country = country.to_string(),
        at = at.seconds(),
    );
}

/// Counts a message that exceeded a budget, whether it was refused or not.
pub fn send_over_budget(budget: Budget, country: Country, mode: BudgetMode, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        SendsOverBudget = 1_u64,
        Budget = budget.name(),
        Country = country.to_string(),
        Mode = mode.name(),
        at = at.seconds(),
    );
}

/// Counts a notice that needs no further delivery.
pub fn notice(event: AccountEvent, delivery: Delivery, at: Timestamp) {
    notice_outcome(event, delivery.name(), at);
}

/// Counts and logs an attempt to deliver a notice that failed.
pub fn notice_failed(event: AccountEvent, why: &Unavailable, at: Timestamp) {
    notice_outcome(event, "failed", at);
    tracing::warn!(event = event.name(), cause = causes(why), "a notice was not delivered");
}

fn notice_outcome(event: AccountEvent, outcome: &'static str, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        Notices = 1_u64,
        Event = event.name(),
        Outcome = outcome,
        at = at.seconds(),
    );
}

/// Counts an event that the bus took.
pub fn event_published(kind: &'static str, at: Timestamp) {
    event_outcome(kind, "published", at);
}

/// Counts an event that the bus did not take, and logs its code for that event, if it has one. It is published again.
pub fn event_failed(kind: &'static str, code: Option<&str>, at: Timestamp) {
    event_outcome(kind, "failed", at);
    if let Some(code) = code {
        tracing::warn!(kind, code, "an event was not published");
    }
}

/// Counts a record that nobody can read, so that no event follows from it.
pub fn unreadable_record(reason: &Unavailable, at: Timestamp) {
    event_outcome("unknown", "unreadable", at);
    unavailable("publish", reason);
}

fn event_outcome(kind: &'static str, outcome: &'static str, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        Events = 1_u64,
        Type = kind,
        Outcome = outcome,
        at = at.seconds(),
    );
}

/// What happens only after a wait in which somebody can refuse it.
#[derive(Clone, Copy, Debug)]
pub enum Delayed {
    PhoneChange,
    Recovery,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Requested,
    Withdrawn,
    Refused,
    /// The old number had no codes left for a refusal, which is counted each hour, or to take a change back, each day.
    Held,
    /// The new number has another account by then.
    Dropped,
    /// The change was made, or the account was opened.
    Granted,
}

/// Counts what became of a change of number, or of a recovery, that waits.
pub fn delayed(kind: Delayed, fate: Fate, at: Timestamp) {
    let kind = match kind {
        Delayed::PhoneChange => "phone_change",
        Delayed::Recovery => "recovery",
    };
    let outcome = match fate {
        Fate::Requested => "requested",
        Fate::Withdrawn => "withdrawn",
        Fate::Refused => "refused",
        Fate::Held => "held",
        Fate::Dropped => "dropped",
        Fate::Granted => "granted",
    };
    tracing::info!(
        target: METRICS,
        DelayedRequests = 1_u64,
        Kind = kind,
        Outcome = outcome,
        at = at.seconds(),
    );
}

/// The whole days since a key's last rotation.
pub fn days_since_rotation(key: &'static str, days: u64, at: Timestamp) {
    tracing::info!(target: METRICS, DaysSinceRotation = days, Key = key, at = at.seconds());
}

/// Logs the use of a test number by organization, without the number.
pub fn test_number_used(function: &'static str, organization: &OrganizationId) {
    tracing::info!(function, organization = organization.as_str(), "a test number was used");
}

/// Logs that a user lost their phone, because they had not proven it for long. Their account stays.
pub fn phone_reassigned(function: &'static str, former: &UserId, new: &UserId) {
    tracing::warn!(function, former = %former, new = %new, "a phone was reassigned");
}

/// Logs an unavailable dependency with its causes.
pub fn unavailable(function: &'static str, unavailable: &Unavailable) {
    tracing::error!(function, cause = causes(unavailable), "unavailable");
}

/// An error and its causes, in one line.
pub fn causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}
