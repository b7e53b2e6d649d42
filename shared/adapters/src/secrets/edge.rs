//! The secret that the edge shows with each request, so that nobody else can say from where a request comes.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use domain::values::unavailable::Unavailable;
use serde::Deserialize;

use super::reader::SecretReader;
use crate::app::App;

/// Shorter ones could be guessed.
const MIN_CHARACTERS: usize = 32;

#[derive(Clone)]
pub struct EdgeSecret(SecretReader);

#[derive(Deserialize)]
struct Content {
    /// What the edge shows.
    shown: String,
    /// What the edge showed before: it takes minutes to show another value everywhere.
    before: Option<String>,
}

impl EdgeSecret {
    /// None where there is no edge.
    pub fn new(app: &App) -> Option<Self> {
        app.config.resources.edge_secret().map(|name| Self(SecretReader::new(app, name)))
    }

    pub fn reader(&self) -> &SecretReader {
        &self.0
    }

    pub async fn is_shown_by(&self, value: &str) -> Result<bool, Unavailable> {
        let content: Content = serde_json::from_str(&self.0.current().await?.text)
            .map_err(|_| Unavailable::new("read the edge's secret", "it has no member shown"))?;
        let mut valid = [Some(content.shown), content.before].into_iter().flatten();
        Ok(valid.any(|valid| {
            valid.len() >= MIN_CHARACTERS && verify_slices_are_equal(valid.as_bytes(), value.as_bytes()).is_ok()
        }))
    }
}
