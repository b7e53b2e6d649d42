//! Every SMS that the system sent, as the phones would show it. The last thousand are kept, also across restarts.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::clock::AdjustableClock;
use crate::live::Live;
use crate::lock::lock;
use crate::{private_file, random};

const MESSAGES_KEPT: usize = 1000;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Message {
    pub id: String,
    /// E.164, whatever form the gateway uses.
    pub to: String,
    pub from: String,
    pub text: String,
    pub gateway: String,
    /// Seconds since the epoch.
    pub at: i64,
}

pub struct Inbox {
    clock: AdjustableClock,
    live: Arc<Live>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Newest first.
    messages: VecDeque<Message>,
    /// One message a line, oldest first.
    file: Option<Written>,
}

struct Written {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Written {
    /// A file with these messages, in place of the one that is there.
    fn create(path: &Path, newest_first: &VecDeque<Message>) -> std::io::Result<Self> {
        let fresh = path.with_extension("new");
        let mut file = private_file::create(&fresh)?;
        for message in newest_first.iter().rev() {
            write_line(&mut file, message)?;
        }
        std::fs::rename(&fresh, path)?;
        Ok(Self { path: path.to_owned(), file, lines: newest_first.len() })
    }
}

impl Inbox {
    pub fn new(clock: AdjustableClock, live: Arc<Live>) -> Self {
        Self { clock, live, kept: Mutex::default() }
    }

    /// Reads the messages from a file and writes new ones to it. Skips a line that a crash left incomplete.
    pub fn open(clock: AdjustableClock, live: Arc<Live>, path: &Path) -> std::io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let messages: VecDeque<Message> =
            text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).take(MESSAGES_KEPT).collect();
        let file = Some(Written::create(path, &messages)?);
        Ok(Self { clock, live, kept: Mutex::new(Kept { messages, file }) })
    }

    /// Delivers a text and returns its id.
    pub fn deliver(&self, gateway: &str, to: &str, from: &str, text: &str) -> String {
        let message = Message {
            id: random::uuid(),
            to: to.to_owned(),
            from: from.to_owned(),
            text: text.to_owned(),
            gateway: gateway.to_owned(),
            at: self.clock.now_seconds(),
        };
        let id = message.id.clone();
        let mut kept = lock(&self.kept);
        // If the disk is full, the message is still delivered; only a restart loses it.
        let _ = kept.write(&message);
        self.live.tell("message", &message);
        kept.messages.push_front(message);
        kept.messages.truncate(MESSAGES_KEPT);
        id
    }

    /// The messages to one number, or to all, newest first. The `+` may be absent, or a space after URL decoding.
    pub fn messages(&self, to: Option<&str>) -> Vec<Message> {
        let wanted = to.map(digits);
        let kept = lock(&self.kept);
        let is_wanted = |message: &&Message| wanted.as_ref().is_none_or(|wanted| *wanted == digits(&message.to));
        kept.messages.iter().filter(is_wanted).cloned().collect()
    }
}

impl Kept {
    /// Adds a line, or writes the file anew once half of it is too old to be kept.
    fn write(&mut self, message: &Message) -> std::io::Result<()> {
        let Some(written) = &mut self.file else { return Ok(()) };
        if written.lines >= 2 * MESSAGES_KEPT {
            *written = Written::create(&written.path.clone(), &self.messages)?;
        }
        written.lines = written.lines.saturating_add(1);
        write_line(&mut written.file, message)
    }
}

pub fn is_e164(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

fn write_line(file: &mut File, message: &Message) -> std::io::Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    file.write_all(line.as_bytes())
}
