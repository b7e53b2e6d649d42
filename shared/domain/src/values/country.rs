//! Countries by their ISO 3166-1 alpha-2 codes.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::Region;
use thiserror::Error;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(Region);

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected an ISO 3166-1 alpha-2 country code, such as NP")]
pub struct UnknownCountry;

impl Country {
    pub(super) const fn from_region(region: Region) -> Self {
        Self(region)
    }

    pub(super) const fn region(self) -> Region {
        self.0
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
