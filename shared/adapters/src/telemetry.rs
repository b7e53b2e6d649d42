//! The log and the metrics: one JSON line an event on standard output, for CloudWatch. Neither ever sees a code, a
//! token or a number.

use std::fmt::Debug;
use std::io::Write;
use std::str::FromStr;

use domain::gateway::Gateway;
use domain::ids::UserId;
use domain::phone::Country;
use domain::pumping::{Budget, PumpingBudgets};
use domain::text::OrganizationId;
use domain::{Timestamp, Unavailable};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::http::causes;

/// The crates whose events are logged. No others': at its finer levels the SDK would log whole requests, and in them
/// what nobody may see.
const OURS: [&str; 2] = ["adapters", "rotate_keys"];

/// What may be logged at a level.
pub fn filter(level: &str) -> Targets {
    let level = Level::from_str(level).unwrap_or(Level::INFO);
    Targets::new().with_default(LevelFilter::OFF).with_targets(OURS.map(|name| (name, level)))
}

/// The target of events that are metrics; the log leaves them out.
const METRICS: &str = "metrics";
/// The namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "Latchkey";

/// Starts the log and, whatever its level, the metrics. A level that is no level is `info`; what was started already
/// stays.
pub fn start(level: &str) {
    let to_standard_output = |line: &str| {
        // A reader that has gone is no reason to stop.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    };
    let _ = tracing_subscriber::registry().with(log(level)).with(metrics(to_standard_output)).try_init();
}

/// Starts the log alone.
pub fn start_log(level: &str) {
    let _ = tracing_subscriber::registry().with(log(level)).try_init();
}

fn log<S: Subscriber + for<'a> LookupSpan<'a>>(level: &str) -> impl Layer<S> {
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        // CloudWatch stamps each line.
        .without_time()
        .with_filter(filter(level))
}

/// Traces a value as it is: in debug builds alone, at the finest level. What holds a code, a token or a number hides it.
pub fn trace(what: &'static str, value: &impl Debug) {
    tracing::trace!(what, ?value);
}

/// Hands each metric to `write` as one line in CloudWatch's embedded metric format
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
pub fn metrics<S: Subscriber + for<'a> LookupSpan<'a>>(write: impl Fn(&str) + Send + Sync + 'static) -> impl Layer<S> {
    Metrics(write).with_filter(Targets::new().with_target(METRICS, LevelFilter::INFO))
}

struct Metrics<Write>(Write);

impl<S: Subscriber, W: Fn(&str) + Send + Sync + 'static> Layer<S> for Metrics<W> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut document = Document::default();
        event.record(&mut document);
        (self.0)(&format!("{}\n", document.into_json()));
    }
}

/// An event as a document: a text of it is a dimension, a number without sign a count, and `at` the time in epoch
/// seconds.
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

    // Nothing else is part of a metric.
    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

impl Document {
    fn into_json(self) -> Value {
        let mut document = self.members;
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [self.dimensions], "Metrics": self.counts});
        let milliseconds = self.at_seconds.saturating_mul(1_000);
        document.insert("_aws".to_owned(), json!({"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}));
        Value::Object(document)
    }
}

/// Counts what became of a message at one gateway.
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

/// Counts a code that came by `gateway` and was accepted, so that its share of those sent can be seen.
pub fn code_accepted(gateway: Gateway, country: Country, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        CodesAccepted = 1_u64,
        Gateway = gateway.name(),
        Country = country.to_string(),
        at = at.seconds(),
    );
}

/// Counts a message that was over a budget of unverified ones, whether it was refused for that or not.
pub fn send_over_budget(budget: Budget, country: Country, mode: PumpingBudgets, at: Timestamp) {
    tracing::info!(
        target: METRICS,
        SendsOverBudget = 1_u64,
        Budget = budget.name(),
        Country = country.to_string(),
        Mode = mode.name(),
        at = at.seconds(),
    );
}

/// Logs a use of a test number: whose it is, never which.
pub fn test_number_used(function: &'static str, organization: &OrganizationId) {
    tracing::info!(function, organization = organization.as_str(), "a test number was used");
}

/// Reports that a phone was taken from a user who had not proven it for long; their account stays, without it.
pub fn account_set_aside(function: &'static str, former: &UserId, new: &UserId) {
    tracing::warn!(function, former = %former, new = %new, "an account was set aside");
}

/// Logs that something was out of reach, with what led to it.
pub fn unavailable(function: &'static str, unavailable: &Unavailable) {
    tracing::error!(function, cause = causes(unavailable), "unavailable");
}
