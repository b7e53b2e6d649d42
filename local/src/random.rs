//! Randomness of the emulation: identifiers that look like AWS's, and generated secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Random bytes, or zeros where the system has none: nothing here guards anything but a laptop's own data.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}

/// An identifier in UUID's form.
pub fn uuid() -> String {
    let hex = hex(16);
    let mut digits = hex.chars();
    let mut part = |length| digits.by_ref().take(length).collect::<String>();
    [part(8), part(4), part(4), part(4), part(12)].join("-")
}

/// So many random bytes as hexadecimal digits.
pub fn hex(length: usize) -> String {
    (0..length).map(|_| format!("{:02x}", u8::from_ne_bytes(bytes()))).collect()
}

/// An identifier like those of API Gateway's requests.
pub fn request_id() -> String {
    STANDARD.encode(bytes::<11>())
}

/// A password drawn uniformly from an alphabet.
pub fn password(length: usize, alphabet: &[char]) -> String {
    let Ok(count) = u32::try_from(alphabet.len()) else { return String::new() };
    if count == 0 {
        return String::new();
    }
    let mut password = String::new();
    while password.len() < length {
        let draw = u32::from_ne_bytes(bytes());
        // The incomplete last stretch of the range would favour the first characters.
        let fair = u32::MAX.checked_rem(count).map(|rest| draw < u32::MAX.saturating_sub(rest));
        let choice = draw.checked_rem(count).and_then(|choice| alphabet.get(usize::try_from(choice).ok()?));
        if let (Some(true), Some(character)) = (fair, choice) {
            password.push(*character);
        }
    }
    password
}
