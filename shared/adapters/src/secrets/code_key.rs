//! The secret with the key that derives codes.

use domain::rules::code_key::{CodeKey, CodeKeyVersion};
use domain::use_cases::check_code::CodeKeys;
use domain::values::unavailable::Unavailable;

use super::reader::{SecretReader, Version, Which};
use crate::app::App;
use crate::config::ConfigError;
use crate::random;

const READ: &str = "read the code key";

#[derive(Clone)]
pub struct CodeKeySecret(SecretReader);

/// A new value for the secret: 256 random bits as 64 characters.
pub fn new_code_key() -> Result<String, Unavailable> {
    let halves = [random::bytes()?, random::bytes()?];
    Ok(halves.as_flattened().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether a value of the secret can derive codes.
pub fn is_code_key(value: &str) -> bool {
    CodeKey::new(CodeKeyVersion::new(""), value.as_bytes().to_vec()).is_ok()
}

impl CodeKeySecret {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self(SecretReader::new(app, app.config.resources.code_key_secret()?)))
    }

    pub fn reader(&self) -> &SecretReader {
        &self.0
    }

    fn key(version: Version) -> Result<CodeKey, Unavailable> {
        CodeKey::new(CodeKeyVersion::new(version.id), version.text.into_bytes())
            .map_err(|weak| Unavailable::new(READ, weak))
    }
}

impl CodeKeys for CodeKeySecret {
    async fn current(&self) -> Result<CodeKey, Unavailable> {
        Self::key(self.0.current().await?)
    }

    async fn version(&self, version: &CodeKeyVersion) -> Result<CodeKey, Unavailable> {
        let current = self.0.current().await?;
        if current.id == version.as_str() {
            return Self::key(current);
        }
        let older = self.0.get(Which::Id(version.as_str().to_owned())).await?;
        Self::key(older.ok_or_else(|| Unavailable::new(READ, "that version no longer exists"))?)
    }
}
