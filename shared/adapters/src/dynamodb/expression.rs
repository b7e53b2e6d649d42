//! Builds update and condition expressions. All names and values go by placeholders, so a reserved word of DynamoDB is safe
//! as an attribute name.

use std::collections::HashMap;
use std::fmt::Display;

use aws_sdk_dynamodb::types::AttributeValue;

/// A top-level attribute, or an element of maps in it: the names from the outside in.
#[derive(Clone)]
pub(super) struct Path(Vec<String>);

impl From<&str> for Path {
    fn from(attribute: &str) -> Self {
        Self(vec![attribute.to_owned()])
    }
}

impl From<String> for Path {
    fn from(attribute: String) -> Self {
        Self(vec![attribute])
    }
}

impl<const N: usize> From<[&str; N]> for Path {
    fn from(names: [&str; N]) -> Self {
        Self(names.map(str::to_owned).into())
    }
}

/// The names and values of one expression by their placeholders.
#[derive(Default)]
pub(super) struct Placeholders {
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Placeholders {
    fn name(&mut self, name: &str) -> String {
        if let Some((placeholder, _)) = self.names.iter().find(|(_, known)| *known == name) {
            return placeholder.clone();
        }
        let placeholder = format!("#n{}", self.names.len());
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn path(&mut self, path: impl Into<Path>) -> String {
        let Path(names) = path.into();
        names.iter().map(|name| self.name(name)).collect::<Vec<_>>().join(".")
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }

    fn compare(&mut self, path: impl Into<Path>, operator: &str, value: AttributeValue) -> String {
        let (path, value) = (self.path(path), self.value(value));
        format!("{path} {operator} {value}")
    }

    pub(super) fn equals(&mut self, path: impl Into<Path>, value: AttributeValue) -> String {
        self.compare(path, "=", value)
    }

    pub(super) fn at_most(&mut self, path: impl Into<Path>, value: AttributeValue) -> String {
        self.compare(path, "<=", value)
    }

    pub(super) fn below(&mut self, path: impl Into<Path>, value: AttributeValue) -> String {
        self.compare(path, "<", value)
    }

    pub(super) fn above(&mut self, path: impl Into<Path>, value: AttributeValue) -> String {
        self.compare(path, ">", value)
    }

    pub(super) fn exists(&mut self, path: impl Into<Path>) -> String {
        format!("attribute_exists({})", self.path(path))
    }

    pub(super) fn absent(&mut self, path: impl Into<Path>) -> String {
        format!("attribute_not_exists({})", self.path(path))
    }

    pub(super) fn set_contains(&mut self, path: impl Into<Path>, element: AttributeValue) -> String {
        let (path, element) = (self.path(path), self.value(element));
        format!("contains({path}, {element})")
    }

    pub(super) fn size_below(&mut self, path: impl Into<Path>, value: AttributeValue) -> String {
        let (path, value) = (self.path(path), self.value(value));
        format!("size({path}) < {value}")
    }
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

    pub(super) fn set(mut self, path: impl Into<Path>, value: AttributeValue) -> Self {
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
    pub(super) fn increment(mut self, path: impl Into<Path>, by: AttributeValue) -> Self {
        let (path, by) = (self.placeholders.path(path), self.placeholders.value(by));
        self.set.push(format!("{path} = {path} + {by}"));
        self
    }

    /// As [`Expression::increment`], for a number that need not exist.
    pub(super) fn increment_from_zero(mut self, path: impl Into<Path>, by: AttributeValue) -> Self {
        let (path, by) = (self.placeholders.path(path), self.placeholders.value(by));
        let zero = self.placeholders.value(AttributeValue::N("0".into()));
        self.set.push(format!("{path} = if_not_exists({path}, {zero}) + {by}"));
        self
    }

    pub(super) fn remove(mut self, path: impl Into<Path>) -> Self {
        let path = self.placeholders.path(path);
        self.remove.push(path);
        self
    }

    pub(super) fn remove_all(self, attributes: &[&str]) -> Self {
        attributes.iter().fold(self, |expression, attribute| expression.remove(*attribute))
    }

    /// Adds to a number or a set, which need not exist.
    pub(super) fn add(mut self, path: impl Into<Path>, value: AttributeValue) -> Self {
        let (path, value) = (self.placeholders.path(path), self.placeholders.value(value));
        self.add.push(format!("{path} {value}"));
        self
    }

    pub(super) fn delete_from_set(mut self, path: impl Into<Path>, elements: AttributeValue) -> Self {
        let (path, elements) = (self.placeholders.path(path), self.placeholders.value(elements));
        self.delete.push(format!("{path} {elements}"));
        self
    }

    pub(super) fn if_equals(self, path: impl Into<Path>, value: AttributeValue) -> Self {
        self.if_compares(path, "=", value)
    }

    pub(super) fn if_below(self, path: impl Into<Path>, value: AttributeValue) -> Self {
        self.if_compares(path, "<", value)
    }

    pub(super) fn if_above(self, path: impl Into<Path>, value: AttributeValue) -> Self {
        self.if_compares(path, ">", value)
    }

    pub(super) fn if_exists(self, path: impl Into<Path>) -> Self {
        let path = path.into();
        self.if_any(|on| [on.exists(path)])
    }

    pub(super) fn if_absent(self, path: impl Into<Path>) -> Self {
        let path = path.into();
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

    fn if_compares(mut self, path: impl Into<Path>, operator: &str, value: AttributeValue) -> Self {
        let condition = self.placeholders.compare(path, operator, value);
        self.conditions.push(condition);
        self
    }

    pub(super) fn update(&self) -> String {
        let clauses = [("SET", &self.set), ("REMOVE", &self.remove), ("ADD", &self.add), ("DELETE", &self.delete)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        clauses.map(|(keyword, parts)| format!("{keyword} {}", parts.join(", "))).collect::<Vec<_>>().join(" ")
    }

    /// None if there are no conditions.
    pub(super) fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// The names, None if there are none, which is how DynamoDB wants it.
    pub(super) fn names(&self) -> Option<HashMap<String, String>> {
        Some(self.placeholders.names.clone()).filter(|names| !names.is_empty())
    }

    /// The values, None if there are none, which is how DynamoDB wants it.
    pub(super) fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        Some(self.placeholders.values.clone()).filter(|values| !values.is_empty())
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
        let update = "SET #n0 = :v0, #n1.#n2 = #n1.#n2 + :v1 REMOVE #n3 ADD #n4 :v2";
        assert_eq!(expression.update(), update);
        let condition = "#n0 = :v3 AND (attribute_not_exists(#n4) OR #n4 < :v4)";
        assert_eq!(expression.condition().as_deref(), Some(condition));
        assert_eq!(expression.names().unwrap()["#n2"], "chl_1");
        assert_eq!(expression.values().unwrap()[":v4"], number(9));
    }
}
