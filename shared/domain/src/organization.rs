//! An organization: whose app it is that a person signs in to, and how its messages read.

use std::collections::BTreeSet;

use crate::phone::Country;
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

/// One organization's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its name in requests and roles.
    pub id: OrganizationId,
    /// The app's name in messages.
    pub app_name: String,
    /// The app's site in messages, if it has one.
    pub site: Option<String>,
    /// The Android app's 11-character hash, for the SMS Retriever API.
    pub android_app_hash: Option<String>,
    /// The country a national number is read in.
    pub default_country: Country,
    /// Where it sends.
    pub allowed_countries: AllowedCountries,
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
}
