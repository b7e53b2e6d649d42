//! The capacity that requests to DynamoDB consume, by its public rules:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Units {
    pub reads: f64,
    pub writes: f64,
}

/// The units of a request, as its answer states them. The answer to a write whose condition failed states none: it
/// consumes as much as a successful write of the existing item, which the answer contains.
pub fn units(operation: &str, request: &Value, answer: &Value) -> Units {
    let stated = |table: &Value| table.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default();
    let stated = match answer.get("ConsumedCapacity") {
        None | Some(Value::Null) => None,
        Some(Value::Array(tables)) if tables.is_empty() => None,
        Some(Value::Array(tables)) => Some(tables.iter().map(stated).sum()),
        Some(table) => Some(stated(table)),
    };
    match (operation, stated) {
        ("GetItem" | "BatchGetItem" | "Query" | "Scan", stated) => {
            Units { reads: stated.unwrap_or_default(), writes: 0.0 }
        }
        (_, Some(writes)) => Units { reads: 0.0, writes },
        (_, None) => Units { reads: 0.0, writes: refused_write(request, answer) },
    }
}

fn refused_write(request: &Value, answer: &Value) -> f64 {
    let Some(steps) = request.get("TransactItems").and_then(Value::as_array) else {
        return write_units(answer.get("Item"));
    };
    let existing = |step: usize| answer.pointer(&format!("/CancellationReasons/{step}/Item"));
    (0..steps.len()).map(|step| 2.0 * write_units(existing(step))).sum()
}

/// One unit for each KB begun, and one for an item that does not exist.
fn write_units(item: Option<&Value>) -> f64 {
    let size = item.map_or(0, item_size);
    u32::try_from(size.div_ceil(1_024).max(1)).map_or(f64::MAX, f64::from)
}

/// The bytes of an item in DynamoDB's JSON:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
pub fn item_size(item: &Value) -> usize {
    let attributes = item.as_object().into_iter().flatten();
    sum(attributes.map(|(name, value)| name.len().saturating_add(value_size(value))))
}

fn value_size(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    let text = || value.as_str().unwrap_or_default();
    let elements = || value.as_array().into_iter().flatten();
    let texts = || elements().filter_map(Value::as_str);
    match kind.as_str() {
        "S" => text().len(),
        "N" => number_size(text()),
        "B" => binary_size(text()),
        "SS" => sum(texts().map(str::len)),
        "NS" => sum(texts().map(number_size)),
        "BS" => sum(texts().map(binary_size)),
        "L" => sum(elements().map(|element| value_size(element).saturating_add(1))).saturating_add(3),
        "M" => {
            let members = value.as_object().map_or(0, serde_json::Map::len);
            item_size(value).saturating_add(members).saturating_add(3)
        }
        // BOOL and NULL.
        _ => 1,
    }
}

fn number_size(digits: &str) -> usize {
    digits.len().div_ceil(2).saturating_add(1)
}

fn binary_size(base64: &str) -> usize {
    STANDARD.decode(base64).map_or(0, |bytes| bytes.len())
}

fn sum(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}
