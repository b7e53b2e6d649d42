//! Everything that the functions log while the tests run.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

use adapters::telemetry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
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
        tracing_subscriber::registry().with(layer).init();
    });
}

/// All that was logged so far.
pub fn text() -> String {
    String::from_utf8_lossy(&LINES.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
