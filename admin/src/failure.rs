//! Why a command failed, in words that say what to do.

use adapters::config::ConfigError;
use adapters::telemetry::causes;
use domain::values::unavailable::Unavailable;

pub enum Failure {
    /// The command can't be carried out as it was given.
    Refused(String),
    /// A service did not answer, or refused the operator.
    Unavailable(String),
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(causes(&unavailable))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}
