//! Fresh randomness, straight from the kernel.

use domain::Unavailable;

/// Sixteen random bytes, enough for any identifier.
///
/// # Errors
/// When the kernel has no randomness to give.
pub fn bytes() -> Result<[u8; 16], Unavailable> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Unavailable::new("draw randomness", error.to_string()))?;
    Ok(bytes)
}

/// A random number.
///
/// # Errors
/// When the kernel has no randomness to give.
pub fn number() -> Result<u32, Unavailable> {
    let [a, b, c, d, ..] = bytes()?;
    Ok(u32::from_be_bytes([a, b, c, d]))
}
