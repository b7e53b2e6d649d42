//! Everything that the functions write to the log and to the metrics while the tests run.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

use adapters::telemetry;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static METRICS: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());
static START: Once = Once::new();
/// An index of [`LINES`] and [`METRICS`], because searching them for every secret takes too long.
static WORDS: Mutex<Option<Words>> = Mutex::new(None);

#[derive(Default)]
struct Words {
    /// The hashes of all words of letters and digits.
    known: HashSet<u64>,
    bytes_read: usize,
    metrics_read: usize,
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&LINES).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Captures all levels from now on.
pub fn capture() {
    START.call_once(|| {
        let layer = fmt::layer().json().with_thread_ids(true).with_writer(|| Lines);
        let layer = layer.with_filter(telemetry::filter("trace"));
        let metrics = telemetry::metrics("Latchkey".to_owned(), |line| {
            lock(&METRICS).push((thread::current().id(), line.to_owned()));
        });
        tracing_subscriber::registry().with(layer).with(metrics).init();
    });
}

/// The log and the metrics so far.
pub fn text() -> String {
    let mut text = String::from_utf8_lossy(&lock(&LINES)).into_owned();
    lock(&METRICS).iter().for_each(|(_, line)| text.push_str(line));
    text
}

/// The first line of the log or of the metrics that contains a text.
pub fn line_with(secret: &str) -> Option<String> {
    text().lines().find(|line| line.contains(secret)).map(str::to_owned)
}

/// Whether the log or a metric contains `secret` as a whole word. Any six digits also occur inside longer numbers.
pub fn contains(secret: &str) -> bool {
    let mut words = lock(&WORDS);
    let words = words.get_or_insert_default();
    {
        let lines = lock(&LINES);
        words.learn(&lines[words.bytes_read..]);
        words.bytes_read = lines.len();
    }
    {
        let metrics = lock(&METRICS);
        metrics[words.metrics_read..].iter().for_each(|(_, line)| words.learn(line.as_bytes()));
        words.metrics_read = metrics.len();
    }
    // The whole text is searched only if it contains every word of the secret.
    word_hashes(secret.as_bytes()).all(|word| words.known.contains(&word)) && is_word_in(&text(), secret)
}

impl Words {
    fn learn(&mut self, text: &[u8]) {
        self.known.extend(word_hashes(text));
    }
}

/// The hashes of the words of letters and digits in a text.
fn word_hashes(text: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let words = text.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        hasher.finish()
    })
}

fn is_word_in(text: &str, secret: &str) -> bool {
    let apart = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(secret)
        .any(|(at, found)| apart(text[..at].chars().next_back()) && apart(text[at + found.len()..].chars().next()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lines of the log that this thread wrote, as with [`metrics`], without those of the finest level.
pub fn own_lines() -> Vec<Value> {
    let own = format!(r#""threadId":"{:?}""#, thread::current().id());
    let text = String::from_utf8_lossy(&lock(&LINES)).into_owned();
    let lines = text.lines().filter(|line| line.contains(&own) && !line.contains(r#""level":"TRACE""#));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The metrics that this thread wrote. A test on one thread, as with `#[tokio::test]`, gets its own.
pub fn metrics() -> Vec<Value> {
    let metrics = lock(&METRICS);
    let own = metrics.iter().filter(|(by, _)| *by == thread::current().id());
    own.map(|(_, line)| serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap()).collect()
}
