//! The folder that outlives a restart: who may use it, and what lies where in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use adapters::Clock;

use crate::StartError;
use crate::inbox::Inbox;
use crate::secrets_manager::SecretsManager;

/// The folder, locked for as long as this lives; or no folder, which forgets everything.
pub struct Data {
    folder: Option<PathBuf>,
    _lock: Option<File>,
}

impl Data {
    /// Locks the folder, and puts the clock where it was left.
    pub fn open(folder: Option<&Path>, clock: &Clock) -> Result<Self, StartError> {
        let mut data = Self { folder: folder.map(Path::to_path_buf), _lock: None };
        let Some(folder) = folder else { return Ok(data) };
        let open = || std::fs::create_dir_all(folder).and_then(|()| File::create(folder.join("lock")));
        let lock = open().map_err(|error| data.broken(error.to_string()))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => data.broken("another cargo local is using it"),
            TryLockError::Error(error) => data.broken(error.to_string()),
        })?;
        data._lock = Some(lock);
        match data.clock_file().map(std::fs::read_to_string) {
            Some(Ok(ahead)) => {
                let ahead =
                    ahead.trim().parse().map_err(|_| data.broken("its file clock holds no number of seconds"))?;
                clock.advance(ahead);
            }
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(data.broken(error.to_string()));
            }
            _ => {}
        }
        Ok(data)
    }

    pub fn database(&self) -> Option<PathBuf> {
        self.file("dynamodb.sqlite")
    }

    /// Holds by how many seconds the clock was put forward.
    pub fn clock_file(&self) -> Option<PathBuf> {
        self.file("clock")
    }

    pub fn secrets(&self, clock: &Clock) -> Result<SecretsManager, StartError> {
        let Some(path) = self.file("secrets.json") else { return Ok(SecretsManager::new(clock.clone())) };
        SecretsManager::open(clock.clone(), path).map_err(|error| self.broken(format!("secrets.json: {error}")))
    }

    pub fn inbox(&self, clock: &Clock) -> Result<Inbox, StartError> {
        let Some(path) = self.file("inbox.jsonl") else { return Ok(Inbox::new(clock.clone())) };
        Inbox::open(clock.clone(), &path).map_err(|error| self.broken(format!("inbox.jsonl: {error}")))
    }

    /// The error for whatever in the folder does not serve.
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
