//! Attributes of items: writing them, and reading them back with an error that names what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Timestamp, Unavailable};

use super::Item;

/// A stored item lacks an attribute or has it in another form: someone else wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt(&'static str);

impl Corrupt {
    /// Names the attribute.
    pub(super) const fn new(attribute: &'static str) -> Self {
        Self(attribute)
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored attribute {} can't be read", self.0)
    }
}

impl std::error::Error for Corrupt {}

impl From<Corrupt> for Unavailable {
    fn from(corrupt: Corrupt) -> Self {
        Self::new("read an item", corrupt)
    }
}

/// A text attribute.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// A number attribute.
pub(super) fn number(value: impl fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A moment, in epoch seconds, as TTL wants it.
pub(super) fn moment(value: Timestamp) -> AttributeValue {
    number(value.seconds())
}

/// A key of the tables that have a partition key alone.
pub(super) fn key(pk: impl Into<String>) -> Item {
    Item::from([("pk".to_owned(), text(pk))])
}

/// Reads an item.
pub(super) struct Row<'a>(pub(super) &'a Item);

impl<'a> Row<'a> {
    pub(super) fn optional_text(&self, name: &'static str) -> Result<Option<&'a str>, Corrupt> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(value)) => Ok(Some(value)),
            Some(_) => Err(Corrupt(name)),
        }
    }

    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, Corrupt> {
        self.optional_text(name)?.ok_or(Corrupt(name))
    }

    pub(super) fn parsed<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Corrupt> {
        parse(self.text(name)?).map_err(|_| Corrupt(name))
    }

    pub(super) fn optional<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Corrupt> {
        self.optional_text(name)?.map(parse).transpose().map_err(|_| Corrupt(name))
    }

    pub(super) fn optional_number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Corrupt> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(value)) => value.parse().map(Some).map_err(|_| Corrupt(name)),
            Some(_) => Err(Corrupt(name)),
        }
    }

    pub(super) fn number<T: FromStr>(&self, name: &'static str) -> Result<T, Corrupt> {
        self.optional_number(name)?.ok_or(Corrupt(name))
    }

    pub(super) fn optional_moment(&self, name: &'static str) -> Result<Option<Timestamp>, Corrupt> {
        Ok(self.optional_number(name)?.map(Timestamp::from_seconds))
    }

    pub(super) fn moment(&self, name: &'static str) -> Result<Timestamp, Corrupt> {
        self.optional_moment(name)?.ok_or(Corrupt(name))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Corrupt> {
        match self.0.get(name) {
            None => Ok(false),
            Some(AttributeValue::Bool(value)) => Ok(*value),
            Some(_) => Err(Corrupt(name)),
        }
    }

    /// A map of counts by name; empty if there is none.
    pub(super) fn counts<T: Ord, E>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<BTreeMap<T, u32>, Corrupt> {
        let Some(value) = self.0.get(name) else { return Ok(BTreeMap::new()) };
        let map = value.as_m().map_err(|_| Corrupt(name))?;
        let one = |(key, value): (&String, &AttributeValue)| Some((parse(key).ok()?, value.as_n().ok()?.parse().ok()?));
        map.iter().map(|entry| one(entry).ok_or(Corrupt(name))).collect()
    }

    pub(super) fn moments(&self, name: &'static str) -> Result<Vec<Timestamp>, Corrupt> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        let list = value.as_l().map_err(|_| Corrupt(name))?;
        let one = |value: &AttributeValue| value.as_n().ok()?.parse().ok().map(Timestamp::from_seconds);
        list.iter().map(|value| one(value).ok_or(Corrupt(name))).collect()
    }
}
