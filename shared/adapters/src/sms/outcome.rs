//! What became of a message at one gateway.

use std::fmt;

use serde_json::Value;

use crate::https::NoResponse;

/// The longest message id that is kept, in characters.
const MAX_MESSAGE_ID_CHARACTERS: usize = 64;

/// A gateway's own id for a message, which its support asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageId(String);

impl MessageId {
    /// Keeps only printable characters, and no more than an id needs.
    pub(super) fn new(text: &str) -> Option<Self> {
        let id: String = text.chars().filter(char::is_ascii_graphic).take(MAX_MESSAGE_ID_CHARACTERS).collect();
        (!id.is_empty()).then_some(Self(id))
    }

    /// As [`MessageId::new`], from a text or a number.
    pub(super) fn of_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::new(text),
            Value::Number(number) => Self::new(&number.to_string()),
            _ => None,
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The texts contain a gateway's codes and never its words, which may quote the message.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The gateway accepted the message, with its id if it returned one.
    Accepted(Option<MessageId>),
    /// The number cannot receive messages: no other gateway is tried.
    NumberRefused,
    /// The gateway blocked the message as fraud: no other gateway is tried, because it would carry the fraud.
    Blocked(String),
    /// The secret has no credentials for the gateway, so it was not called. The next gateway is tried.
    NoCredentials,
    /// The gateway refused us: credentials, credit, sender. The next gateway is tried.
    RefusedUs(String),
    /// The gateway did not send the message. The next gateway is tried.
    Unavailable(String),
    /// There was no response in time, so the message may be on its way. The next gateway sends the same code.
    Unknown,
}

impl From<NoResponse> for Outcome {
    fn from(why: NoResponse) -> Self {
        match why {
            NoResponse::InvalidRequest | NoResponse::NotConnected => Self::Unavailable(why.to_string()),
            NoResponse::Lost => Self::Unknown,
        }
    }
}

impl Outcome {
    /// The name in the log and the metrics.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::NumberRefused => "number_refused",
            Self::Blocked(_) => "blocked",
            Self::NoCredentials => "no_credentials",
            Self::RefusedUs(_) => "refused_us",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Blocked(why) | Self::RefusedUs(why) | Self::Unavailable(why) => why,
            Self::Unknown => "no response",
            Self::Accepted(_) | Self::NumberRefused | Self::NoCredentials => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_is_printable_and_short() {
        let id = |text: &str| MessageId::new(text).map(|id| id.to_string());
        assert_eq!(id("SM0123-ab_c"), Some("SM0123-ab_c".to_owned()));
        assert_eq!(id("a\n{\"level\": \u{7}é}"), Some(r#"a{"level":}"#.to_owned()));
        assert_eq!(id(&"9".repeat(1_000)), Some("9".repeat(64)));
        assert_eq!(id(" \n"), None);
    }
}
