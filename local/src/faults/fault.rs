//! What can fail, and how.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// The service whose requests fail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub enum Target {
    Sparrow,
    Sns,
    Twilio,
    Fcm,
    Dynamodb,
    SecretsManager,
    EventBridge,
}

const TARGETS: [(&str, Target); 7] = [
    ("sparrow", Target::Sparrow),
    ("sns", Target::Sns),
    ("twilio", Target::Twilio),
    ("fcm", Target::Fcm),
    ("dynamodb", Target::Dynamodb),
    ("secretsmanager", Target::SecretsManager),
    ("eventbridge", Target::EventBridge),
];

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&TARGETS, self))
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        named("target", &TARGETS, &name)
    }
}

/// How a request fails. Modes without a name in JSON exist for tests only.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub enum Mode {
    /// The vendor's own refusal; the request is not executed.
    Refuse,
    /// Status 500; the request is not executed.
    Error,
    /// The request is executed, but never answered.
    Timeout,
    /// The request is executed, and answered after at most three quarters of the time that a client here allows one attempt.
    Slow,
    /// The request is executed twice, as after a retry because an answer was lost.
    Duplicate,
    /// The request is not executed, and the connection is cut.
    Cut,
    /// The request is executed, and answered with status 500.
    Lost,
    /// The request is executed, and the connection is cut instead of an answer.
    LostInCut,
    /// The request is never answered. It is executed later, when `System::do_late_requests` is called.
    Late,
    /// The request is executed, and the function that sent it dies before it gets the answer.
    Kill,
    /// The function dies while its request is in transit. The request is executed later, as with [`Mode::Late`].
    KillLate,
    /// Only for transactions: this many requests, of the kind that was aimed at, are executed and answered with
    /// `TransactionInProgressException`. So the transaction finishes late.
    InProgress(usize),
    /// Of this many requests, of the kind that was aimed at, the first is executed and answered with status 500, and
    /// the others are throttled.
    LostThenThrottled(usize),
    /// This many requests, of the kind that was aimed at, are executed, and their connections are cut instead of an answer.
    LostInCuts(usize),
}

const MODES: [(&str, Mode); 5] = [
    ("refuse", Mode::Refuse),
    ("error", Mode::Error),
    ("timeout", Mode::Timeout),
    ("slow", Mode::Slow),
    ("duplicate", Mode::Duplicate),
];

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        named("mode", &MODES, &name)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&MODES, self))
    }
}

/// Empty for what has no name.
fn name_of<T: PartialEq>(values: &[(&'static str, T)], value: &T) -> &'static str {
    values.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

fn named<T: Copy>(member: &str, values: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let names = || values.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("{member}: expected one of {}", names()))
}

impl Mode {
    /// How many requests in a row fail.
    pub fn requests(self) -> usize {
        match self {
            Self::InProgress(requests) | Self::LostInCuts(requests) | Self::LostThenThrottled(requests) => requests,
            _ => 1,
        }
    }
}

/// The body of `POST /local/faults`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Fault {
    pub target: Target,
    pub mode: Mode,
    #[serde(default = "once")]
    pub times: u32,
    /// With [`Mode::Refuse`]: the vendor's error code, a string or a number, if not the usual one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub code: Value,
}

fn once() -> u32 {
    1
}
