//! Phone numbers: read as people write them, kept as E.164, never shown in full by `Debug`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rlibphonenumber::Region;

use crate::numbering_plan;

/// A country by its ISO 3166-1 alpha-2 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(Region);

/// Not a two-letter country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCountry;

impl fmt::Display for UnknownCountry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an ISO 3166-1 alpha-2 country code")
    }
}

impl std::error::Error for UnknownCountry {}

impl Country {
    /// Its country calling code (ITU-T E.164), such as 977, if it has a numbering plan.
    pub fn calling_code(self) -> Option<&'static str> {
        numbering_plan::calling_code(self.0)
    }
}

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        if text.len() != 2 {
            return Err(UnknownCountry);
        }
        Region::from_code(text).map(Self).map_err(|_| UnknownCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A phone number in E.164 (ITU-T), such as +9779841234567.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Takes back what was stored; only `+` and at most 15 digits pass.
    pub fn from_e164(text: &str) -> Result<Self, InvalidPhoneNumber> {
        let digits = text.strip_prefix('+').ok_or(InvalidPhoneNumber)?;
        if (4..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPhoneNumber)
        }
    }

    /// The number in E.164, for the store, the gateway and its owner alone.
    pub fn e164(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// The text is not a possible mobile number. Never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPhoneNumber;

impl fmt::Display for InvalidPhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a mobile phone number")
    }
}

impl std::error::Error for InvalidPhoneNumber {}

/// A number somebody typed, with what its digits say of where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialledNumber {
    /// The number itself.
    pub number: PhoneNumber,
    /// The country whose plan it belongs to.
    pub country: Country,
    /// Its country calling code (ITU-T E.164), such as 977.
    pub calling_code: u16,
}

/// More bytes than any number has with its punctuation, in any script; longer input is refused unread.
const LONGEST_INPUT: usize = 128;

impl DialledNumber {
    /// Reads a number as people write it: national or international, with 00 or +, spaces, hyphens, brackets,
    /// in any script's digits. A national one is read in `default_country`.
    ///
    /// # Errors
    /// [`InvalidPhoneNumber`] unless it is a valid number that can be a mobile's, by Google's numbering metadata
    /// (<https://github.com/google/libphonenumber>).
    pub fn parse(text: &str, default_country: Country) -> Result<Self, InvalidPhoneNumber> {
        // Letters would be read as a vanity number ("1-800-FLOWERS") or an extension; nobody signs in with either.
        if text.len() > LONGEST_INPUT
            || text.chars().any(|c| c.is_alphabetic() || c.is_control() || "*#;=,~".contains(c))
        {
            return Err(InvalidPhoneNumber);
        }
        let text = international_prefix_as_plus(text);
        let mobile = numbering_plan::mobile(&text, default_country.0).ok_or(InvalidPhoneNumber)?;
        Ok(Self {
            number: PhoneNumber::from_e164(&mobile.e164)?,
            country: Country(mobile.region),
            calling_code: mobile.calling_code,
        })
    }

    /// Reads ahead what a number of a country needs; a number of another still takes some milliseconds, once.
    pub fn prepare(country: Country) {
        numbering_plan::load(country.0);
    }

    /// The national significant number: E.164 without `+` and calling code.
    pub fn national(&self) -> &str {
        let digits = self.number.e164().trim_start_matches('+');
        digits.strip_prefix(&self.calling_code.to_string()).unwrap_or(digits)
    }
}

/// `00` leads abroad in most of the world (ITU-T E.164 recommends it), so read it so even where a country's own
/// prefix differs.
fn international_prefix_as_plus(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_start();
    match trimmed.strip_prefix("00").or_else(|| trimmed.strip_prefix("००")) {
        Some(rest) => Cow::Owned(format!("+{rest}")),
        None => Cow::Borrowed(trimmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nepal() -> Country {
        Country(Region::NP)
    }

    #[test]
    fn a_number_is_read_however_people_write_it() {
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
            let dialled = DialledNumber::parse(text, nepal())
                .map(|dialled| (dialled.number.e164().to_owned(), dialled.calling_code));
            assert_eq!(dialled, Ok(("+9779841234567".to_owned(), 977)), "{text}");
        }
    }

    #[test]
    fn what_is_no_mobile_number_is_refused() {
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
            assert_eq!(DialledNumber::parse(text, nepal()), Err(InvalidPhoneNumber), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_digit() {
        let dialled = DialledNumber::parse("9841234567", nepal());
        assert!(!format!("{dialled:?}").contains("984"));
    }
}
