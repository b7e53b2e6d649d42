//! The gateways that carry messages, by name.

use std::str::FromStr;

use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gateway {
    /// Sparrow SMS, Nepal.
    Sparrow,
    Sns,
    Twilio,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected sparrow, sns or twilio")]
pub struct UnknownGateway;

impl Gateway {
    const ALL: [Self; 3] = [Self::Sparrow, Self::Sns, Self::Twilio];

    /// The name in configuration, log, metrics and inbox.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sparrow => "sparrow",
            Self::Sns => "sns",
            Self::Twilio => "twilio",
        }
    }
}

impl FromStr for Gateway {
    type Err = UnknownGateway;

    fn from_str(name: &str) -> Result<Self, UnknownGateway> {
        Self::ALL.into_iter().find(|gateway| gateway.name() == name).ok_or(UnknownGateway)
    }
}
