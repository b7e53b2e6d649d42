//! Random identifiers and secrets that look like AWS's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng as _;
use rand::rngs::SysRng;

/// Random bytes, or zeros where the system has none: they protect only the data of one development machine.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = SysRng.try_fill_bytes(&mut bytes);
    bytes
}

/// An identifier in the form of a UUID.
pub fn uuid() -> String {
    let hex = hex(16);
    let mut digits = hex.chars();
    let mut part = |length| digits.by_ref().take(length).collect::<String>();
    [part(8), part(4), part(4), part(4), part(12)].join("-")
}

/// The hexadecimal digits of this many random bytes.
pub fn hex(length_bytes: usize) -> String {
    (0..length_bytes).map(|_| format!("{:02x}", u8::from_ne_bytes(bytes()))).collect()
}

/// The number of an AWS account.
pub fn account() -> String {
    format!("{:012}", u64::from_ne_bytes(bytes()) % 1_000_000_000_000)
}

/// An identifier like those of API Gateway's requests.
pub fn request_id() -> String {
    STANDARD.encode(bytes::<11>())
}
