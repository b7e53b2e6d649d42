//! An organization: the tenant whose app a person signs in to, and how its messages read.

use std::collections::BTreeSet;
use std::fmt;

use super::device_keys::DeviceKeyPolicy;
use super::message::MessageFormat;
use super::user::User;
use crate::values::country::Country;
use crate::values::otp_code::OtpCode;
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedCountries {
    /// Only the default country.
    Default,
    Only(BTreeSet<Country>),
    /// All countries. Only the caps then limit SMS pumping.
    All,
}

/// A number with a fixed code, for an app store's reviewers and for tests. No message is sent to it.
#[derive(Clone, Debug)]
pub struct TestNumber {
    pub phone: PhoneNumber,
    pub code: OtpCode,
    /// From then on the number is treated like any other.
    pub until: Timestamp,
}

/// Who may sign in to an organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// Everybody; whoever signs in becomes a member.
    #[default]
    Open,
    /// Only people who have a role in the organization already.
    Invited,
}

/// Who may have sessions in an organization, and for whom their tokens are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub membership: Membership,
    /// `aud` of its access tokens; the deployment's if absent.
    pub audience: Option<String>,
    pub device_keys: DeviceKeyPolicy,
}

impl Access {
    /// Whether a user may have a session in the organization.
    pub fn admits(&self, user: &User, organization: &OrganizationId) -> bool {
        self.membership == Membership::Open || user.is_member_of(organization)
    }
}

#[derive(Clone, Debug)]
pub struct Organization {
    pub id: OrganizationId,
    pub access: Access,
    pub format: MessageFormat,
    /// The country in which a national number is read.
    pub default_country: Country,
    pub allowed_countries: AllowedCountries,
    pub test_numbers: Vec<TestNumber>,
    /// Of the whole deployment.
    pub blocked: BlockedNumbers,
}

/// Numbers that operators let have no codes: the beginnings of numbers in E.164, or whole numbers.
#[derive(Clone, Default)]
pub struct BlockedNumbers(pub BTreeSet<String>);

impl BlockedNumbers {
    pub fn contains(&self, phone: &PhoneNumber) -> bool {
        let digits = phone.e164();
        // The shortest beginning is + and one digit.
        !self.0.is_empty() && (2..=digits.len()).any(|end| digits.get(..end).is_some_and(|part| self.0.contains(part)))
    }
}

impl fmt::Debug for BlockedNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockedNumbers({})", self.0.len())
    }
}

impl Organization {
    /// Whether a number gets codes. A blocked one is refused like one of a country that is not allowed.
    pub fn accepts(&self, number: &DialledNumber) -> bool {
        self.sends_to(number.country) && !self.blocked.contains(&number.number)
    }

    pub fn sends_to(&self, country: Country) -> bool {
        match &self.allowed_countries {
            AllowedCountries::Default => country == self.default_country,
            AllowedCountries::Only(countries) => countries.contains(&country),
            AllowedCountries::All => true,
        }
    }

    /// The fixed code of a number that is a test number at `now`.
    pub fn fixed_code(&self, phone: &PhoneNumber, now: Timestamp) -> Option<&OtpCode> {
        let listed = self.test_numbers.iter().find(|number| number.phone == *phone && now < number.until);
        listed.map(|number| &number.code)
    }
}
