//! Builds update and condition expressions. All names and values go by placeholders, so a reserved word of DynamoDB is safe
//! as an attribute name.

use std::collections::HashMap;
use std::fmt::{self, Display};

use aws_sdk_dynamodb::types::AttributeValue;

/// A top-level attribute, or an element of maps in it.
pub(super) trait Path {
    /// From the outside in.
    fn names(&self) -> [Option<&str>; 3];
}

impl Path for &str {
    fn names(&self) -> [Option<&str>; 3] {
        [Some(self), None, None]
    }
}

impl Path for &String {
    fn names(&self) -> [Option<&str>; 3] {
        [Some(self), None, None]
    }
}

impl Path for [&str; 2] {
    fn names(&self) -> [Option<&str>; 3] {
        let [outer, inner] = self;
        [Some(outer), Some(inner), None]
    }
}

impl Path for [&str; 3] {
    fn names(&self) -> [Option<&str>; 3] {
        self.map(Some)
    }
}

/// The names and values of one expression. The place of each is the number in its placeholder.
#[derive(Default)]
pub(super) struct Placeholders {
    names: Vec<String>,
    values: Vec<AttributeValue>,
}

fn name_placeholder(place: usize) -> String {
    format!("#n{place}")
}

/// The placeholder of a value.
struct Value(usize);

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":v{}", self.0)
    }
}

impl Placeholders {
    fn name(&mut self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len().saturating_sub(1)
        })
    }

    fn path(&mut self, path: impl Path) -> String {
        let mut path_in_expression = String::new();
        for name in path.names().into_iter().flatten() {
            if !path_in_expression.is_empty() {
                path_in_expression.push('.');
            }
            path_in_expression.push_str(&name_placeholder(self.name(name)));
        }
        path_in_expression
    }

    fn value(&mut self, value: AttributeValue) -> Value {
        self.values.push(value);
        Value(self.values.len().saturating_sub(1))
    }

    fn compare(&mut self, path: impl Path, operator: &str, value: AttributeValue) -> String {
        let (path, value) = (self.path(path), self.value(value));
        format!("{path} {operator} {value}")
    }

    pub(super) fn equals(&mut self, path: impl Path, value: AttributeValue) -> String {
        self.compare(path, "=", value)
    }

    pub(super) fn at_most(&mut self, path: impl Path, value: AttributeValue) -> String {
        self.compare(path, "<=", value)
    }

    pub(super) fn below(&mut self, path: impl Path, value: AttributeValue) -> String {
        self.compare(path, "<", value)
    }

    pub(super) fn exists(&mut self, path: impl Path) -> String {
        format!("attribute_exists({})", self.path(path))
    }

    pub(super) fn absent(&mut self, path: impl Path) -> String {
        format!("attribute_not_exists({})", self.path(path))
    }

    pub(super) fn set_contains(&mut self, path: impl Path, element: AttributeValue) -> String {
        let (path, element) = (self.path(path), self.value(element));
        format!("contains({path}, {element})")
    }

    pub(super) fn size_below(&mut self, path: impl Path, value: AttributeValue) -> String {
        let (path, value) = (self.path(path), self.value(value));
        format!("size({path}) < {value}")
    }
}

/// The parts of a write's request. DynamoDB wants none in place of an empty one.
pub(super) struct Built {
    pub(super) update: String,
    pub(super) condition: Option<String>,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<HashMap<String, AttributeValue>>,
}

/// What a write changes, and the conditions under which it does.
#[derive(Default)]
pub(super) struct Expression {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
    conditions: Vec<String>,
    placeholders: Placeholders,
}

impl Expression {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn set(mut self, path: impl Path, value: AttributeValue) -> Self {
        let clause = self.placeholders.equals(path, value);
        self.set.push(clause);
        self
    }

    /// Sets an attribute, or removes it if there is no value.
    pub(super) fn set_or_remove(self, path: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(path, value),
            None => self.remove(path),
        }
    }

    /// Adds to a number that exists. Unlike [`Expression::add`] it works on elements of maps too.
    pub(super) fn increment(mut self, path: impl Path, by: AttributeValue) -> Self {
        let (path, by) = (self.placeholders.path(path), self.placeholders.value(by));
        self.set.push(format!("{path} = {path} + {by}"));
        self
    }

    /// As [`Expression::increment`], for a number that need not exist.
    pub(super) fn increment_from_zero(mut self, path: impl Path, by: AttributeValue) -> Self {
        let (path, by) = (self.placeholders.path(path), self.placeholders.value(by));
        let zero = self.placeholders.value(AttributeValue::N("0".into()));
        self.set.push(format!("{path} = if_not_exists({path}, {zero}) + {by}"));
        self
    }

    pub(super) fn remove(mut self, path: impl Path) -> Self {
        let path = self.placeholders.path(path);
        self.remove.push(path);
        self
    }

    pub(super) fn remove_all(self, attributes: &[&str]) -> Self {
        attributes.iter().fold(self, |expression, attribute| expression.remove(*attribute))
    }

    /// Adds to a number or a set, which need not exist.
    pub(super) fn add(mut self, path: impl Path, value: AttributeValue) -> Self {
        let (path, value) = (self.placeholders.path(path), self.placeholders.value(value));
        self.add.push(format!("{path} {value}"));
        self
    }

    pub(super) fn delete_from_set(mut self, path: impl Path, elements: AttributeValue) -> Self {
        let (path, elements) = (self.placeholders.path(path), self.placeholders.value(elements));
        self.delete.push(format!("{path} {elements}"));
        self
    }

    pub(super) fn if_equals(self, path: impl Path, value: AttributeValue) -> Self {
        self.if_compares(path, "=", value)
    }

    pub(super) fn if_below(self, path: impl Path, value: AttributeValue) -> Self {
        self.if_compares(path, "<", value)
    }

    pub(super) fn if_above(self, path: impl Path, value: AttributeValue) -> Self {
        self.if_compares(path, ">", value)
    }

    pub(super) fn if_exists(self, path: impl Path) -> Self {
        self.if_any(|on| [on.exists(path)])
    }

    pub(super) fn if_absent(self, path: impl Path) -> Self {
        self.if_any(|on| [on.absent(path)])
    }

    /// Requires an attribute to have a value, or to be absent if there is none.
    pub(super) fn if_equals_or_absent(self, path: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.if_equals(path, value),
            None => self.if_absent(path),
        }
    }

    /// Requires a count to have a value. An absent one is zero.
    pub(super) fn if_counts(self, path: &'static str, value: impl Display + PartialEq + Default) -> Self {
        let is_zero = value == Default::default();
        let value = AttributeValue::N(value.to_string());
        if is_zero { self.if_any(|on| [on.absent(path), on.equals(path, value)]) } else { self.if_equals(path, value) }
    }

    /// Requires at least one of the conditions.
    pub(super) fn if_any<const N: usize>(mut self, conditions: impl FnOnce(&mut Placeholders) -> [String; N]) -> Self {
        let conditions = conditions(&mut self.placeholders);
        self.conditions.push(format!("({})", conditions.join(" OR ")));
        self
    }

    fn if_compares(mut self, path: impl Path, operator: &str, value: AttributeValue) -> Self {
        let condition = self.placeholders.compare(path, operator, value);
        self.conditions.push(condition);
        self
    }

    pub(super) fn build(self) -> Built {
        let clauses = [("SET", self.set), ("REMOVE", self.remove), ("ADD", self.add), ("DELETE", self.delete)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(keyword, parts)| format!("{keyword} {}", parts.join(", ")));
        let Placeholders { names, values } = self.placeholders;
        let names = names.into_iter().enumerate().map(|(place, name)| (name_placeholder(place), name));
        let values = values.into_iter().enumerate().map(|(place, value)| (Value(place).to_string(), value));
        Built {
            update: clauses.collect::<Vec<_>>().join(" "),
            condition: Some(self.conditions.join(" AND ")).filter(|condition| !condition.is_empty()),
            names: Some(names.collect()).filter(|names: &HashMap<_, _>| !names.is_empty()),
            values: Some(values.collect()).filter(|values: &HashMap<_, _>| !values.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> AttributeValue {
        AttributeValue::N(n.to_string())
    }

    #[test]
    fn an_expression_uses_each_name_once_and_each_value_by_its_own_placeholder() {
        let expression = Expression::new()
            .set("counter", number(2))
            .increment(["attempts", "chl_1"], number(1))
            .remove("source")
            .add("total", number(1))
            .if_equals("counter", number(1))
            .if_any(|on| [on.absent("total"), on.below("total", number(9))]);
        let built = expression.build();
        assert_eq!(built.update, "SET #n0 = :v0, #n1.#n2 = #n1.#n2 + :v1 REMOVE #n3 ADD #n4 :v2");
        let condition = "#n0 = :v3 AND (attribute_not_exists(#n4) OR #n4 < :v4)";
        assert_eq!(built.condition.as_deref(), Some(condition));
        assert_eq!(built.names.unwrap()["#n2"], "chl_1");
        assert_eq!(built.values.unwrap()[":v4"], number(9));
    }
}
