//! An organization: whose app it is that a person signs in to, and how its messages read.

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::code::OtpCode;
use crate::message::MessageFormat;
use crate::phone::{Country, PhoneNumber};
use crate::text::OrganizationId;

/// Which countries an organization sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedCountries {
    /// The default country alone.
    Default,
    /// These alone.
    Only(BTreeSet<Country>),
    /// All; nothing but the caps then holds SMS pumping back.
    All,
}

/// A number whose code is fixed, for an app store's reviewers and for tests: no message is sent to it.
#[derive(Clone, Debug)]
pub struct TestNumber {
    /// The number.
    pub phone: PhoneNumber,
    /// Its code.
    pub code: OtpCode,
    /// When it becomes a number like any other.
    pub until: Timestamp,
}

/// One organization's settings.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Its name in requests and roles.
    pub id: OrganizationId,
    /// How its messages are written.
    pub format: MessageFormat,
    /// The country a national number is read in.
    pub default_country: Country,
    /// Where it sends.
    pub allowed_countries: AllowedCountries,
    /// Its numbers with fixed codes.
    pub test_numbers: Vec<TestNumber>,
}

impl Organization {
    /// Whether it sends to `country`.
    pub fn sends_to(&self, country: Country) -> bool {
        match &self.allowed_countries {
            AllowedCountries::Default => country == self.default_country,
            AllowedCountries::Only(countries) => countries.contains(&country),
            AllowedCountries::All => true,
        }
    }

    /// The fixed code of a number, if it has one by now.
    pub fn fixed_code(&self, phone: &PhoneNumber, now: Timestamp) -> Option<&OtpCode> {
        let listed = self.test_numbers.iter().find(|number| number.phone == *phone && now < number.until);
        listed.map(|number| &number.code)
    }
}
