//! Environment variables, and the error that names one. This is the only module that reads the environment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use thiserror::Error;

/// A variable is missing or invalid. Names the variable and what is wrong in it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("environment variable {variable}: {problem}")]
pub struct ConfigError {
    variable: &'static str,
    problem: Cow<'static, str>,
}

impl ConfigError {
    pub fn new(variable: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

/// The variables of a process. An empty variable counts as unset.
pub struct Variables(BTreeMap<String, String>);

impl From<&BTreeMap<String, String>> for Variables {
    fn from(variables: &BTreeMap<String, String>) -> Self {
        Self(variables.clone())
    }
}

impl Variables {
    pub fn of_process() -> Self {
        let unicode =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(unicode.collect())
    }

    pub fn text(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub fn owned(&self, variable: &str) -> Option<String> {
        self.text(variable).map(str::to_owned)
    }

    /// A URL without a trailing slash.
    pub fn url(&self, variable: &str, default: &str) -> String {
        self.text(variable).unwrap_or(default).trim_end_matches('/').to_owned()
    }

    /// A text of a documented form.
    pub fn matching(
        &self,
        variable: &'static str,
        expected: &'static str,
        matches: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, ConfigError> {
        match self.text(variable) {
            Some(text) if !matches(text) => Err(ConfigError::new(variable, format!("expected {expected}"))),
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// A value whose parser says what is wrong.
    pub fn parsed<T, E: Display>(
        &self,
        variable: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let parsed = self.text(variable).map(parse).transpose();
        parsed.map_err(|wrong| ConfigError::new(variable, wrong.to_string()))
    }

    /// A whole number above 0.
    pub fn positive(&self, variable: &'static str, default: u32) -> Result<u32, ConfigError> {
        match self.text(variable).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if number > 0 => Ok(number),
            Some(_) => Err(ConfigError::new(variable, "expected a whole number above 0")),
        }
    }

    /// `true` or `false`; false if unset.
    pub fn flag(&self, variable: &'static str) -> Result<bool, ConfigError> {
        match self.text(variable) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ConfigError::new(variable, "expected true or false")),
        }
    }

    /// Values separated by commas, none if all are empty. The error names the first invalid one.
    pub fn list<T, E>(
        &self,
        variable: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let parse = |part: &str| {
            let invalid = |_| ConfigError::new(variable, format!("expected {expected}, not {:?}", part.trim()));
            parse(part.trim()).map_err(invalid)
        };
        let parts = self.text(variable).into_iter().flat_map(|text| text.split(','));
        let values: Vec<T> = parts.filter(|part| !part.trim().is_empty()).map(parse).collect::<Result<_, _>>()?;
        Ok(Some(values).filter(|values| !values.is_empty()))
    }
}
