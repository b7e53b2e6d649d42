//! Which values the parameters of a template accept, as CloudFormation decides it before it changes anything
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>).

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

/// A parameter that can't have its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedParameter {
    pub name: String,
    pub reason: String,
}

/// Checks values of the parameters of a template, which is YAML.
pub fn check(template: &str, values: &BTreeMap<String, String>) -> Result<(), RefusedParameter> {
    if values.is_empty() {
        return Ok(());
    }
    // Whoever reads the whole template says what is wrong with it.
    let document = serde_yaml_ng::from_str::<serde_yaml_ng::Value>(template).unwrap_or_default();
    let declared = document.get("Parameters").and_then(|parameters| serde_json::to_value(parameters).ok());
    for (name, value) in values {
        let refuse = |reason: String| RefusedParameter { name: name.clone(), reason };
        let parameter = declared.as_ref().and_then(|declared| declared.get(name));
        let parameter = parameter.ok_or_else(|| refuse("the template has no such parameter".to_owned()))?;
        if !accepts(parameter, value) {
            return Err(refuse(format!("expected {}", expected(parameter))));
        }
    }
    Ok(())
}

fn accepts(parameter: &Value, value: &str) -> bool {
    let kind = parameter.get("Type").and_then(Value::as_str);
    let parts = if kind == Some("CommaDelimitedList") { value.split(',').collect() } else { vec![value] };
    parts.into_iter().all(|part| {
        let number = part.parse::<f64>().ok().filter(|number| number.is_finite());
        let bound = |name: &str| parameter.get(name).and_then(|bound| scalar(bound).parse::<f64>().ok());
        let is_number = || {
            number.is_some_and(|number| {
                bound("MinValue").is_none_or(|least| number >= least)
                    && bound("MaxValue").is_none_or(|most| number <= most)
            })
        };
        // A pattern holds for the whole value.
        let matches = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(part));
        let length = part.encode_utf16().count();
        let at = |name: &str| parameter.get(name).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        (kind != Some("Number") || is_number())
            && allowed(parameter).is_none_or(|allowed| allowed.iter().any(|allowed| allowed == part))
            && parameter.get("AllowedPattern").and_then(Value::as_str).is_none_or(matches)
            && at("MinLength").is_none_or(|least| length >= least)
            && at("MaxLength").is_none_or(|most| length <= most)
    })
}

fn expected(parameter: &Value) -> String {
    let text = |name: &str| parameter.get(name).map(scalar);
    match (text("ConstraintDescription"), allowed(parameter), text("MinValue"), text("MaxValue")) {
        (Some(description), ..) => description,
        (None, Some(allowed), ..) => format!("one of {}", allowed.join(", ")),
        (None, None, Some(least), Some(most)) => format!("a number from {least} to {most}"),
        (None, None, Some(least), None) => format!("a number from {least}"),
        _ => "a value that fits its Type, MinLength and MaxLength in the template".to_owned(),
    }
}

fn allowed(parameter: &Value) -> Option<Vec<String>> {
    Some(parameter.get("AllowedValues")?.as_array()?.iter().map(scalar).collect())
}

/// As CloudFormation reads a text, a number or a boolean.
pub fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
