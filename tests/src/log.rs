//! Everything that the functions log and count while the tests run.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};
use std::thread::{self, ThreadId};

use adapters::telemetry;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static METRICS: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());
static START: Once = Once::new();

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures what is logged from here on, at the finest level there is.
pub fn capture() {
    START.call_once(|| {
        let layer = fmt::layer().json().with_writer(|| Lines).with_filter(telemetry::filter("trace"));
        let metrics = telemetry::metrics(|line| {
            METRICS.lock().unwrap_or_else(PoisonError::into_inner).push((thread::current().id(), line.to_owned()));
        });
        tracing_subscriber::registry().with(layer).with(metrics).init();
    });
}

/// All that was logged and counted so far.
pub fn text() -> String {
    let mut text = String::from_utf8_lossy(&LINES.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    METRICS.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|(_, line)| text.push_str(line));
    text
}

/// The metrics that were written by this thread. A test that runs on one thread, as `#[tokio::test]` does, has its own.
pub fn metrics() -> Vec<Value> {
    let metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    let own = metrics.iter().filter(|(by, _)| *by == thread::current().id());
    own.map(|(_, line)| serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap()).collect()
}
