//! The published keys: one item.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::signing_keys::{KeySet, PublicKey};
use domain::values::ids::KeyId;

use super::attributes::{Corrupt, Item, Row, key, moment, number, text};

pub(in crate::dynamodb) fn key_set_key() -> Item {
    key("keys")
}

pub(in crate::dynamodb) fn key_set(item: &Item) -> Result<KeySet, Corrupt> {
    let keys = match item.get("keys") {
        Some(AttributeValue::L(list)) => list.iter().map(public_key).collect::<Result<_, _>>()?,
        _ => return Err(Corrupt::new("keys")),
    };
    Ok(KeySet { keys, revision: Row(item).number("revision")? })
}

fn public_key(value: &AttributeValue) -> Result<PublicKey, Corrupt> {
    let row = Row(value.as_m().map_err(|_| Corrupt::new("keys"))?);
    Ok(PublicKey {
        id: row.parsed("kid", str::parse::<KeyId>)?,
        x: row.text("x")?.to_owned(),
        y: row.text("y")?.to_owned(),
        published_at: row.moment("published_at")?,
        signs_from: row.optional_moment("signs_from")?,
        retires_at: row.optional_moment("retires_at")?,
    })
}

pub(in crate::dynamodb) fn key_set_item(keys: &KeySet) -> Item {
    let member = |public: &PublicKey| {
        let mut member = Item::from([
            ("kid".into(), text(public.id.as_str())),
            ("x".into(), text(public.x.as_str())),
            ("y".into(), text(public.y.as_str())),
            ("published_at".into(), moment(public.published_at)),
        ]);
        member.extend(public.signs_from.map(|from| ("signs_from".into(), moment(from))));
        member.extend(public.retires_at.map(|retires_at| ("retires_at".into(), moment(retires_at))));
        AttributeValue::M(member)
    };
    let mut item = key_set_key();
    item.insert("keys".into(), AttributeValue::L(keys.keys.iter().map(member).collect()));
    item.insert("revision".into(), number(keys.revision));
    item
}
