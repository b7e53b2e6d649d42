//! One-time codes: six digits that can be compared and put in a message, and never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use thiserror::Error;

/// Decimal digits in a code. NIST SP 800-63B-4 §3.1.3.2 asks for at least six.
pub const DIGITS: usize = 6;

#[derive(Clone)]
pub struct OtpCode([u8; DIGITS]);

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a six-digit code")]
pub struct MalformedCode;

impl OtpCode {
    /// Reads what a person typed: six digits, Devanagari ones too, with spaces or hyphens anywhere.
    pub fn parse(text: &str) -> Result<Self, MalformedCode> {
        let mut digits = [0_u8; DIGITS];
        let mut places = digits.iter_mut();
        for typed in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            *places.next().ok_or(MalformedCode)? = ascii_digit(typed).ok_or(MalformedCode)?;
        }
        if places.next().is_some() { Err(MalformedCode) } else { Ok(Self(digits)) }
    }

    /// The last six decimal digits of `number`.
    pub fn from_number(number: u32) -> Self {
        let mut rest = number;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add((rest % 10) as u8);
            rest /= 10;
        }
        Self(digits)
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The digits, for the message to the phone and nothing else.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|digit| char::from(*digit)).collect()
    }
}

impl fmt::Debug for OtpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtpCode(…)")
    }
}

fn ascii_digit(typed: char) -> Option<u8> {
    let value = match typed {
        '0'..='9' => typed.to_digit(10)?,
        // Devanagari digits, U+0966 to U+096F.
        '०'..='९' => u32::from(typed).checked_sub(0x0966)?,
        _ => return None,
    };
    u8::try_from(value).ok()?.checked_add(b'0')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_in_latin_and_devanagari_digits_and_nothing_else() {
        assert_eq!(OtpCode::parse("०१२ ३४५").unwrap().reveal(), "012345");
        assert_eq!(OtpCode::parse(" 012-345 ").unwrap().reveal(), "012345");
        for text in ["", "12345", "1234567", "12345a", "+12345", "¹23456", "12345\u{0}"] {
            assert!(OtpCode::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_hides_the_code() {
        assert_eq!(format!("{:?}", OtpCode::parse("123456").unwrap()), "OtpCode(…)");
    }
}
