//! Phone numbers: read as people write them, kept as E.164, never shown by `Debug`.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use super::country::Country;
use super::numbering_plan::NumberingPlan;

/// A phone number in E.164 (ITU-T), such as +9779841234567.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Restores a stored number: `+`, then 4 to 15 digits.
    pub fn from_e164(text: &str) -> Result<Self, InvalidPhoneNumber> {
        let digits = text.strip_prefix('+').ok_or(InvalidPhoneNumber)?;
        if (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPhoneNumber)
        }
    }

    /// For the store, the gateway and the number's holder only.
    pub fn e164(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// Never contains the text that was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a mobile phone number")]
pub struct InvalidPhoneNumber;

/// A number that a person typed, with its country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialledNumber {
    pub number: PhoneNumber,
    pub country: Country,
    /// Its country calling code (ITU-T E.164), such as 977.
    pub calling_code: u16,
}

/// More bytes than any number needs with its punctuation, in any script. Longer input is rejected without parsing.
const MAX_INPUT_BYTES: usize = 128;

impl DialledNumber {
    /// Reads a number as people write it: national or international, with 00 or +, spaces, hyphens, brackets, in the
    /// digits of any script. A national number is read in `default_country`.
    ///
    /// # Errors
    /// Unless Google's numbering metadata says that it is a valid number of a mobile or may be one
    /// (<https://github.com/google/libphonenumber>).
    pub fn parse(text: &str, default_country: Country, plan: &NumberingPlan) -> Result<Self, InvalidPhoneNumber> {
        // The library reads letters as a vanity number ("1-800-FLOWERS") or an extension; nobody signs in with either.
        if text.len() > MAX_INPUT_BYTES
            || text.chars().any(|c| c.is_alphabetic() || c.is_control() || "*#;=,~".contains(c))
        {
            return Err(InvalidPhoneNumber);
        }
        let text = international_prefix_as_plus(text);
        let mobile = plan.read_mobile(&text, default_country).ok_or(InvalidPhoneNumber)?;
        Ok(Self {
            number: PhoneNumber::from_e164(&mobile.e164)?,
            country: mobile.country,
            calling_code: mobile.calling_code,
        })
    }

    /// The national significant number: E.164 without `+` and calling code.
    pub fn national(&self) -> &str {
        let digits = self.number.e164().trim_start_matches('+');
        digits.strip_prefix(&self.calling_code.to_string()).unwrap_or(digits)
    }
}

/// `00` is the international prefix in most countries (ITU-T E.164 recommends it), so it is read as one even where a
/// country's own prefix differs.
fn international_prefix_as_plus(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_start();
    match trimmed.strip_prefix("00").or_else(|| trimmed.strip_prefix("००")) {
        Some(rest) => Cow::Owned(format!("+{rest}")),
        None => Cow::Borrowed(trimmed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DialledNumber, InvalidPhoneNumber> {
        let nepal: Country = "NP".parse().unwrap();
        DialledNumber::parse(text, nepal, &NumberingPlan::new(nepal))
    }

    #[test]
    fn a_number_is_read_in_every_way_that_people_write_it() {
        for text in [
            "9841234567",
            "09841234567",
            "984-1234567",
            "984 123 4567",
            "+9779841234567",
            "+977 984-1234567",
            "009779841234567",
            "00977 9841234567",
            "९८४१२३४५६७",
            "+९७७९८४१२३४५६७",
            " (984) 1234567 ",
        ] {
            let dialled = parse(text).map(|dialled| (dialled.number.e164().to_owned(), dialled.calling_code));
            assert_eq!(dialled, Ok(("+9779841234567".to_owned(), 977)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_mobile_number_is_refused() {
        for text in [
            "",
            "0",
            "12345",
            "+977",
            "01-4412345",
            "+97714412345",
            "98412345678901234",
            "984123456x",
            "1-800-FLOWERS",
            "9841234567 ext. 5",
            "9841234567;ext=5",
            "\0",
            "+",
            "٠",
            "+99999999999",
        ] {
            assert_eq!(parse(text), Err(InvalidPhoneNumber), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_digit() {
        let dialled = parse("9841234567");
        assert!(!format!("{dialled:?}").contains("984"));
    }
}
