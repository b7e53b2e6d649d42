//! Members of requests: each is parsed by its own type, and a problem names the member and never contains its value.

use std::fmt;

use domain::rules::limits::Limits;
use domain::values::country::Country;
use domain::values::ids::ChallengeId;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::otp_code::OtpCode;
use domain::values::phone::DialledNumber;
use domain::values::text::MalformedText;
use serde::{Deserialize, Deserializer};

use super::problem::{Code, Problem};

/// The longest phone number with its punctuation, in characters.
const MAX_PHONE_CHARACTERS: usize = 32;

/// The longest code with its spaces, in characters.
const MAX_OTP_CHARACTERS: usize = 16;

/// Distinguishes a member that is `null` (`Some(None)`) from an absent one (`None`, with `#[serde(default)]`).
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

pub fn member<T>(name: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, MalformedText>) -> Result<T, Problem> {
    parse(text).map_err(|malformed| Problem::malformed(format!("{name}: expected {}.", malformed.expected)))
}

pub fn optional_member<T>(
    name: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, MalformedText>,
) -> Result<Option<T>, Problem> {
    text.map(|text| member(name, text, parse)).transpose()
}

pub fn challenge_id(text: &str) -> Result<ChallengeId, Problem> {
    text.parse().map_err(|_| no_challenge_id())
}

/// The id that a guess at a code shows, which the limits may require.
pub fn challenge_id_of_guess(text: Option<&str>, limits: &Limits) -> Result<Option<ChallengeId>, Problem> {
    match text {
        None if limits.require_challenge_id => Err(no_challenge_id()),
        text => text.map(challenge_id).transpose(),
    }
}

fn no_challenge_id() -> Problem {
    Problem::malformed("challenge_id: expected the challenge_id that a send returned.")
}

/// A code as a person typed it; none if it is not six digits.
pub fn otp(text: &str) -> Result<Option<OtpCode>, Problem> {
    if text.chars().count() > MAX_OTP_CHARACTERS {
        return Err(Problem::malformed("otp: expected at most 16 characters."));
    }
    Ok(OtpCode::parse(text).ok())
}

/// A phone number as a client wrote it, before it is known in which country it is read.
#[derive(Clone)]
pub struct RawPhoneNumber(String);

impl RawPhoneNumber {
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.chars().count() > MAX_PHONE_CHARACTERS {
            return Err(Problem::malformed("phone_number: expected at most 32 characters."));
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
