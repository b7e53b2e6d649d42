//! Attributes of items: writing them, and reading them with an error that names the attribute.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use thiserror::Error;

/// An item in the SDK's form.
pub(in crate::dynamodb) type Item = HashMap<String, AttributeValue>;

/// A stored attribute is missing or has another form: someone else wrote the item.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the stored attribute {0} is missing or unreadable")]
pub(in crate::dynamodb) struct Corrupt(&'static str);

impl Corrupt {
    pub(in crate::dynamodb) const fn new(attribute: &'static str) -> Self {
        Self(attribute)
    }
}

impl From<Corrupt> for Unavailable {
    fn from(corrupt: Corrupt) -> Self {
        Self::new("read an item", corrupt)
    }
}

pub(in crate::dynamodb) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(in crate::dynamodb) fn number(value: impl Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// In epoch seconds, as TTL requires.
pub(in crate::dynamodb) fn moment(value: Timestamp) -> AttributeValue {
    number(value.seconds())
}

/// A key of a table that has only a partition key.
pub(in crate::dynamodb) fn key(pk: impl Into<String>) -> Item {
    Item::from([("pk".to_owned(), text(pk))])
}

/// Reads the attributes of an item.
pub(in crate::dynamodb) struct Row<'a>(pub(crate) &'a Item);

impl<'a> Row<'a> {
    pub(in crate::dynamodb) fn optional_text(&self, name: &'static str) -> Result<Option<&'a str>, Corrupt> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(value)) => Ok(Some(value)),
            Some(_) => Err(Corrupt(name)),
        }
    }

    pub(in crate::dynamodb) fn text(&self, name: &'static str) -> Result<&'a str, Corrupt> {
        self.optional_text(name)?.ok_or(Corrupt(name))
    }

    pub(in crate::dynamodb) fn parsed<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Corrupt> {
        parse(self.text(name)?).map_err(|_| Corrupt(name))
    }

    pub(in crate::dynamodb) fn optional<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Corrupt> {
        self.optional_text(name)?.map(parse).transpose().map_err(|_| Corrupt(name))
    }

    pub(in crate::dynamodb) fn optional_number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Corrupt> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(value)) => value.parse().map(Some).map_err(|_| Corrupt(name)),
            Some(_) => Err(Corrupt(name)),
        }
    }

    pub(in crate::dynamodb) fn number<T: FromStr>(&self, name: &'static str) -> Result<T, Corrupt> {
        self.optional_number(name)?.ok_or(Corrupt(name))
    }

    pub(in crate::dynamodb) fn optional_moment(&self, name: &'static str) -> Result<Option<Timestamp>, Corrupt> {
        Ok(self.optional_number(name)?.map(Timestamp::from_seconds))
    }

    pub(in crate::dynamodb) fn moment(&self, name: &'static str) -> Result<Timestamp, Corrupt> {
        self.optional_moment(name)?.ok_or(Corrupt(name))
    }

    pub(in crate::dynamodb) fn flag(&self, name: &'static str) -> Result<bool, Corrupt> {
        match self.0.get(name) {
            None => Ok(false),
            Some(AttributeValue::Bool(value)) => Ok(*value),
            Some(_) => Err(Corrupt(name)),
        }
    }

    pub(in crate::dynamodb) fn map(&self, name: &'static str) -> Result<&'a Item, Corrupt> {
        self.0.get(name).and_then(|value| value.as_m().ok()).ok_or(Corrupt(name))
    }

    /// A set of texts; empty if absent.
    pub(in crate::dynamodb) fn set<T: Ord, E>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<BTreeSet<T>, Corrupt> {
        let Some(value) = self.0.get(name) else { return Ok(BTreeSet::new()) };
        let set = value.as_ss().map_err(|_| Corrupt(name))?;
        set.iter().map(|text| parse(text).map_err(|_| Corrupt(name))).collect()
    }

    /// A list of moments; empty if absent.
    pub(in crate::dynamodb) fn moments(&self, name: &'static str) -> Result<Vec<Timestamp>, Corrupt> {
        let Some(value) = self.0.get(name) else { return Ok(Vec::new()) };
        let list = value.as_l().map_err(|_| Corrupt(name))?;
        let one = |value: &AttributeValue| value.as_n().ok()?.parse().ok().map(Timestamp::from_seconds);
        list.iter().map(|value| one(value).ok_or(Corrupt(name))).collect()
    }

    /// A map of moments; empty if absent.
    pub(in crate::dynamodb) fn moments_by_name(
        &self,
        name: &'static str,
    ) -> Result<BTreeMap<String, Timestamp>, Corrupt> {
        let Some(value) = self.0.get(name) else { return Ok(BTreeMap::new()) };
        let map = value.as_m().map_err(|_| Corrupt(name))?;
        let one = |(key, value): (&String, &AttributeValue)| {
            Some((key.clone(), Timestamp::from_seconds(value.as_n().ok()?.parse().ok()?)))
        };
        map.iter().map(|entry| one(entry).ok_or(Corrupt(name))).collect()
    }
}

/// A map of moments as an attribute; none if it is empty.
pub(in crate::dynamodb) fn moments_by_name(moments: &BTreeMap<String, Timestamp>) -> Option<AttributeValue> {
    let map = moments.iter().map(|(name, at)| (name.clone(), moment(*at))).collect();
    (!moments.is_empty()).then_some(AttributeValue::M(map))
}

/// A list of moments as an attribute.
pub(in crate::dynamodb) fn moments(moments: &[Timestamp]) -> AttributeValue {
    AttributeValue::L(moments.iter().copied().map(moment).collect())
}
