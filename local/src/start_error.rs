//! Why a system cannot start. Each error prints as one line.

use std::fmt;
use std::path::PathBuf;

#[derive(Debug)]
pub enum StartError {
    /// A port cannot be opened; `option` chooses another.
    Port { option: &'static str, port: u16, reason: std::io::Error },
    /// The template cannot be read or contains an error.
    Template { path: PathBuf, reason: String },
    /// The data folder cannot be used.
    Data { folder: PathBuf, reason: String },
    /// Any other part fails to start.
    Part { name: &'static str, reason: String },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { option, port, reason } if reason.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "port {port} is already in use; choose another with {option}")
            }
            Self::Port { option, port, reason } => {
                write!(f, "port {port} cannot be used ({reason}); choose another with {option}")
            }
            Self::Template { path, reason } => write!(f, "{} cannot be used: {}", path.display(), one_line(reason)),
            Self::Data { folder, reason } => {
                write!(f, "the data folder {} cannot be used: {}", folder.display(), one_line(reason))
            }
            Self::Part { name, reason } => write!(f, "{name} failed: {}", one_line(reason)),
        }
    }
}

impl std::error::Error for StartError {}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
