//! Items as the records of a stream show them: in DynamoDB's JSON.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value};

use super::attributes::Item;

/// An item without its binary attributes, which none has here.
pub(in crate::dynamodb) fn item(members: &Map<String, Value>) -> Item {
    members.iter().filter_map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}

/// An object with one member, whose name is the type.
fn attribute(value: &Value) -> Option<AttributeValue> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = || value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
    Some(match kind.as_str() {
        "S" => AttributeValue::S(text(value)?),
        "N" => AttributeValue::N(text(value)?),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()?),
        "NS" => AttributeValue::Ns(texts()?),
        "L" => AttributeValue::L(value.as_array()?.iter().map(attribute).collect::<Option<_>>()?),
        "M" => AttributeValue::M(item(value.as_object()?)),
        _ => return None,
    })
}
