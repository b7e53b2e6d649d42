//! Randomness, directly from the operating system.

use domain::values::unavailable::Unavailable;
use rand::TryRng;
use rand::rngs::SysRng;

/// Sixteen random bytes, enough for any identifier.
pub fn bytes() -> Result<[u8; 16], Unavailable> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| Unavailable::new("draw random bytes", error.to_string()))?;
    Ok(bytes)
}

pub fn number() -> Result<u32, Unavailable> {
    SysRng.try_next_u32().map_err(|error| Unavailable::new("draw a random number", error.to_string()))
}
