//! Why a system cannot start. Each error prints as one line.

use std::io::{Error as IoError, ErrorKind};
use std::path::PathBuf;

use thiserror::Error;

#[derive(Debug, Error)]
pub enum StartError {
    /// A port cannot be opened; `option` chooses another.
    #[error("port {port} {}; choose another with {option}", port_fault(.reason))]
    Port { option: &'static str, port: u16, reason: IoError },
    /// The template cannot be read or contains an error.
    #[error("{} cannot be used: {}", .path.display(), one_line(.reason))]
    Template { path: PathBuf, reason: String },
    /// The file with what the system has from its start contains an error.
    #[error("{}: {}", .file.display(), one_line(.reason))]
    Seed { file: PathBuf, reason: String },
    /// The data folder cannot be used.
    #[error("the data folder {} cannot be used: {}", .folder.display(), one_line(.reason))]
    Data { folder: PathBuf, reason: String },
    /// Any other part fails to start.
    #[error("{name} failed: {}", one_line(.reason))]
    Part { name: &'static str, reason: String },
}

fn port_fault(reason: &IoError) -> String {
    match reason.kind() {
        ErrorKind::AddrInUse => "is already in use".to_owned(),
        _ => format!("cannot be used ({reason})"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
