//! The folder whose content survives a restart: its lock, and the names of its files.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::AdjustableClock;
use crate::inbox::Inbox;
use crate::live::Live;
use crate::private_file;
use crate::secrets_manager::store::SecretsManager;
use crate::start_error::StartError;

const CLOCK: &str = "clock";

/// The folder, locked until this is dropped. Without a folder, everything is kept in memory.
pub struct DataFolder {
    folder: Option<PathBuf>,
    _lock: Option<File>,
}

impl DataFolder {
    /// Locks the folder, and moves the clock to where the last run left it.
    pub fn open(folder: Option<&Path>, clock: &AdjustableClock) -> Result<Self, StartError> {
        let mut data = Self { folder: folder.map(Path::to_path_buf), _lock: None };
        let Some(folder) = folder else { return Ok(data) };
        let open = || private_file::create_folder(folder).and_then(|()| private_file::open_empty(&folder.join("lock")));
        let lock = open().map_err(|error| data.broken(error.to_string()))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => data.broken("another cargo local is using it"),
            TryLockError::Error(error) => data.broken(error.to_string()),
        })?;
        data._lock = Some(lock);
        match std::fs::read_to_string(folder.join(CLOCK)) {
            Ok(ahead) => {
                let ahead = ahead.trim().parse();
                clock.advance(ahead.map_err(|_| data.broken("its file clock does not contain a number of seconds"))?);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(data.broken(error.to_string())),
        }
        Ok(data)
    }

    pub fn database(&self) -> Option<PathBuf> {
        self.file("dynamodb.sqlite")
    }

    /// Contains by how many seconds the clock is ahead.
    pub fn clock_file(&self) -> Option<PathBuf> {
        self.file(CLOCK)
    }

    pub fn secrets(&self, clock: &AdjustableClock) -> Result<SecretsManager, StartError> {
        let Some(path) = self.file("secrets.json") else { return Ok(SecretsManager::new(clock.clone())) };
        SecretsManager::open(clock.clone(), path).map_err(|error| self.broken(format!("secrets.json: {error}")))
    }

    pub fn inbox(&self, clock: &AdjustableClock, live: Arc<Live>) -> Result<Inbox, StartError> {
        let Some(path) = self.file("inbox.jsonl") else { return Ok(Inbox::new(clock.clone(), live)) };
        Inbox::open(clock.clone(), live, &path).map_err(|error| self.broken(format!("inbox.jsonl: {error}")))
    }

    /// The error for content of the folder that cannot be used.
    pub fn broken(&self, reason: impl Into<String>) -> StartError {
        match &self.folder {
            Some(folder) => StartError::Data { folder: folder.clone(), reason: reason.into() },
            None => StartError::Part { name: "the store in memory", reason: reason.into() },
        }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }
}
