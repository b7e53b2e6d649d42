//! The numbers that get no codes: one item of the whole deployment, with the beginnings of numbers.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::organization::BlockedNumbers;

use super::attributes::{Corrupt, Item, Row, key, number, text};
use crate::dynamodb::expression::Expression;

const PREFIXES: &str = "prefixes";
/// So that the item stays small: every process reads it each minute.
const MOST_PREFIXES: u32 = 1_000;

pub(in crate::dynamodb) fn blocked_numbers_key() -> Item {
    key("blocked")
}

pub(in crate::dynamodb) fn blocked_numbers(item: &Item) -> Result<BlockedNumbers, Corrupt> {
    Ok(BlockedNumbers(Row(item).set(PREFIXES, |prefix| Ok::<_, ()>(prefix.to_owned()))?))
}

pub(in crate::dynamodb) fn block_prefix(prefix: &str) -> Expression {
    Expression::new()
        .add(PREFIXES, AttributeValue::Ss(vec![prefix.to_owned()]))
        .if_any(|on| [on.absent(PREFIXES), on.size_below(PREFIXES, number(MOST_PREFIXES))])
}

pub(in crate::dynamodb) fn unblock_prefix(prefix: &str) -> Expression {
    Expression::new()
        .delete_from_set(PREFIXES, AttributeValue::Ss(vec![prefix.to_owned()]))
        .if_any(|on| [on.set_contains(PREFIXES, text(prefix))])
}
