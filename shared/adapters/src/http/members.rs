//! Members of a body: each is read once, by its own type. All that is wrong with them is told at once, by its place and
//! without its value.

use std::borrow::Cow;
use std::fmt;

use domain::rules::limits::Limits;
use domain::values::country::Country;
use domain::values::ids::ChallengeId;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::otp_code::OtpCode;
use domain::values::phone::DialledNumber;
use domain::values::text::MalformedText;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::code::Code;
use super::problem::{Problem, RequestError};

/// The longest phone number with its punctuation, in characters.
const MAX_PHONE_CHARACTERS: usize = 32;

/// The longest code with its spaces, in characters.
const MAX_OTP_CHARACTERS: usize = 16;

/// The value of a member. Latchkey reads no others, so they are not kept, however deep they are.
enum Member {
    Null,
    Flag(bool),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Member, E> {
                Ok(Member::Flag(flag))
            }

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(text.to_owned()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Member, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::Other)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

/// The members of a body that are left to read, and what was found to be wrong so far.
#[derive(Default)]
pub struct Members {
    /// As the body has them, with repetitions.
    entries: Vec<(String, Member)>,
    known: Vec<&'static str>,
    errors: Vec<RequestError>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, Member)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        Ok(Self { entries: deserializer.deserialize_map(Entries)?, ..Self::default() })
    }
}

impl Members {
    /// A text; none if it is absent or `null`.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.text_or_null(name).flatten()
    }

    /// As [`Self::text`], and `Some(None)` if it is `null`.
    pub fn text_or_null(&mut self, name: &'static str) -> Option<Option<String>> {
        match self.take(name)? {
            Member::Null => Some(None),
            Member::Text(text) => Some(Some(text)),
            Member::Flag(_) | Member::Other => {
                self.error(name, "expected a string");
                None
            }
        }
    }

    /// Whether a member is `true`.
    pub fn flag(&mut self, name: &'static str) -> bool {
        match self.take(name) {
            None | Some(Member::Null) => false,
            Some(Member::Flag(flag)) => flag,
            Some(Member::Text(_) | Member::Other) => {
                self.error(name, "expected true or false");
                false
            }
        }
    }

    pub fn parsed<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, MalformedText>) -> Option<T> {
        let text = self.text(name)?;
        self.parse(name, &text, parse)
    }

    /// A text that was read, by its type.
    pub fn parse<T>(
        &mut self,
        name: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, MalformedText>,
    ) -> Option<T> {
        parse(text).map_err(|malformed| self.error(name, format!("expected {}", malformed.expected))).ok()
    }

    /// A member that must be there.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, MalformedText>,
    ) -> Option<T> {
        match self.text(name) {
            Some(text) => self.parse(name, &text, parse),
            None => {
                self.missing(name);
                None
            }
        }
    }

    /// The id that a send returned, which the limits may require.
    pub fn challenge_id_of_guess(&mut self, limits: &Limits) -> Option<ChallengeId> {
        if limits.require_challenge_id {
            return self.required("challenge_id", challenge_id);
        }
        self.parsed("challenge_id", challenge_id)
    }

    pub fn missing(&mut self, name: &'static str) {
        // A wrong type was told already.
        if !self.has_error_at(name) {
            self.error(name, "this member is required");
        }
    }

    pub fn error(&mut self, name: &'static str, detail: impl Into<Cow<'static, str>>) {
        self.errors.push(RequestError::member(name, detail));
    }

    pub fn error_in_header(&mut self, name: &'static str, detail: &'static str) {
        self.errors.push(RequestError::header(name, detail));
    }

    /// What was read, if nothing is wrong. `read` is none only if something is.
    ///
    /// # Errors
    /// All that is wrong. That includes the name of a member in another spelling: it would be ignored like any name that is
    /// not known.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Problem> {
        let folded = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
        for (name, _) in &self.entries {
            if let Some(known) = self.known.iter().find(|known| folded(known) == folded(name)) {
                self.errors.push(RequestError::member(name, format!("the name of this member is {known}")));
            }
        }
        match read {
            Some(read) if self.errors.is_empty() => Ok(read),
            _ => Err(Problem::malformed(self.errors)),
        }
    }

    fn has_error_at(&self, name: &str) -> bool {
        self.errors.iter().any(|error| error.is_at_member(name))
    }

    fn take(&mut self, name: &'static str) -> Option<Member> {
        self.known.push(name);
        let (found, others) =
            std::mem::take(&mut self.entries).into_iter().partition::<Vec<_>, _>(|(entry, _)| entry == name);
        self.entries = others;
        if found.len() > 1 {
            self.error(name, "this member appears more than once");
        }
        found.into_iter().next_back().map(|(_, member)| member)
    }
}

pub fn challenge_id(text: &str) -> Result<ChallengeId, MalformedText> {
    text.parse().map_err(|_| MalformedText { expected: "the challenge_id that a send returned" })
}

/// A code as a person typed it; none if it is not six digits.
pub fn otp(text: &str) -> Result<Option<OtpCode>, MalformedText> {
    if text.chars().count() > MAX_OTP_CHARACTERS {
        return Err(MalformedText { expected: "at most 16 characters" });
    }
    Ok(OtpCode::parse(text).ok())
}

/// A phone number as a client wrote it, before it is known in which country it is read.
#[derive(Clone)]
pub struct RawPhoneNumber(String);

impl RawPhoneNumber {
    pub fn parse(text: &str) -> Result<Self, MalformedText> {
        if text.chars().count() > MAX_PHONE_CHARACTERS {
            return Err(MalformedText { expected: "at most 32 characters" });
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads the number; a national one in `default_country`.
    pub fn dialled(&self, default_country: Country, plan: &NumberingPlan) -> Result<DialledNumber, Problem> {
        DialledNumber::parse(&self.0, default_country, plan).map_err(|_| Problem::new(Code::InvalidPhoneNumber))
    }
}

impl fmt::Debug for RawPhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawPhoneNumber(…)")
    }
}
