//! Members of request bodies that JSON distinguishes and `Option` alone doesn't.

use serde::{Deserialize, Deserializer};

/// Tells a member that is `null` (`Some(None)`) from one that is absent (`None`, with `#[serde(default)]`).
///
/// # Errors
/// When the member is neither null nor a `T`.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
