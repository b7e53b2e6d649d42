//! Reads `template.yaml`, so that the local system has the routes, authorizers, throttles, tables, secrets and
//! variables of the cloud. It supports the parts of CloudFormation that the template uses in what is read here, and
//! refuses others.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;
use thiserror::Error;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";
/// The program runs without its sources.
const BUILT_IN: &str = include_str!("../../template.yaml");
const STACK: &str = "local";

/// The parameters that have another value here than their default.
const PARAMETERS: [(&str, &str); 2] = [
    ("FcmProjectId", "latchkey-local"),
    // API Gateway answers web apps only if this has a value. Here, apps in development may have any port of this machine.
    ("AllowedOrigins", "http://localhost:3000"),
];

#[derive(Debug, Default)]
pub struct Template {
    pub routes: Vec<Route>,
    /// The environment of each function, by logical id.
    pub functions: BTreeMap<String, BTreeMap<String, String>>,
    pub event_sources: Vec<EventSource>,
    pub schedules: Vec<Schedule>,
    pub tables: Vec<Table>,
    pub secrets: Vec<Secret>,
    pub rotations: Vec<Rotation>,
    pub default_throttle: Option<Throttle>,
    /// By route key, for example `POST /v1/otp/send`.
    pub route_throttles: BTreeMap<String, Throttle>,
    pub cors: Option<Cors>,
    pub stage_variables: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Route {
    pub method: String,
    pub path: String,
    pub function: String,
    /// The function of its authorizer.
    pub authorizer: Option<String>,
}

impl Route {
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A function that is called by the clock.
#[derive(Debug)]
pub struct Schedule {
    pub function: String,
    /// From call to call.
    pub seconds: i64,
}

/// A table whose stream calls a function.
#[derive(Clone, Debug)]
pub struct EventSource {
    pub table: String,
    pub function: String,
    pub batch_size: u32,
    /// How often a batch is repeated; none if until the function takes it.
    pub retries: Option<u32>,
    /// The patterns of which a record must match one.
    pub filters: Vec<Value>,
}

#[derive(Debug)]
pub struct Table {
    pub name: String,
    /// The body of a CreateTable request.
    pub create: Value,
    pub ttl_attribute: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Secret {
    pub name: String,
    pub initial: InitialSecret,
}

#[derive(Clone, Debug)]
pub enum InitialSecret {
    Given(String),
    /// This many random characters without punctuation.
    Generated {
        length: usize,
    },
}

/// A secret and the function that rotates it.
#[derive(Debug)]
pub struct Rotation {
    pub secret: String,
    pub function: String,
}

#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    pub burst: f64,
    pub rate_per_second: f64,
}

#[derive(Debug)]
pub struct Cors {
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub exposed_headers: Vec<String>,
    pub max_age_seconds: Option<String>,
}

/// Why a template cannot be used, in one line.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TemplateError(String);

fn wrong(reason: impl Into<String>) -> TemplateError {
    TemplateError(reason.into())
}

impl Template {
    /// The text of a template: of a file, or of the built-in one.
    pub fn text(path: Option<&Path>) -> Result<Cow<'static, str>, TemplateError> {
        match path {
            Some(path) => std::fs::read_to_string(path).map(Cow::Owned).map_err(|error| wrong(error.to_string())),
            None => Ok(Cow::Borrowed(BUILT_IN)),
        }
    }

    /// Reads a template with the values of the local system, of which `parameters` replaces some.
    pub fn read(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let mut values = local_values();
        values.extend(parameters.clone());
        Self::parse_with(text, &values)
    }

    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, &local_values())
    }

    /// As [`Template::parse`], with other values of parameters than their defaults. A list has commas.
    pub fn parse_with(text: &str, parameters: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let yaml: Yaml = serde_yaml_ng::from_str(text).map_err(|error| wrong(format!("not YAML: {error}")))?;
        let document = long_form(yaml)?;
        if document.get("Resources").and_then(Value::as_object).is_none() {
            return Err(wrong("it has no Resources"));
        }
        let resolver = Resolver { document: &document, parameters };
        let mut template = Self::default();
        for (id, resource) in resolver.resources()? {
            let properties = resource.get("Properties").unwrap_or(&Value::Null);
            let read = match kind(resource) {
                "AWS::Serverless::Function" => template.read_function(&resolver, id, properties),
                "AWS::ApiGatewayV2::Api" => template.read_api(&resolver, properties),
                "AWS::ApiGatewayV2::Stage" => template.read_stage(&resolver, properties),
                "AWS::ApiGatewayV2::Route" => template.read_route(&resolver, properties),
                "AWS::DynamoDB::Table" => template.read_table(&resolver, id, properties),
                "AWS::SecretsManager::Secret" => template.read_secret(&resolver, id, properties),
                "AWS::SecretsManager::RotationSchedule" => template.read_rotation(&resolver, properties),
                _ => Ok(()),
            };
            read.map_err(|TemplateError(reason)| wrong(format!("{id}: {reason}")))?;
        }
        Ok(template)
    }

    fn read_function(&mut self, resolver: &Resolver<'_>, id: &str, properties: &Value) -> Result<(), TemplateError> {
        let shared = resolver.document.pointer("/Globals/Function/Environment/Variables");
        let mut variables = resolver.variables(shared)?;
        variables.extend(resolver.variables(properties.pointer("/Environment/Variables"))?);
        self.functions.insert(id.to_owned(), variables);
        for (_, event) in members(properties.get("Events")).filter(|(_, event)| kind(event) == "DynamoDB") {
            let required = |name: &str| {
                let value = resolver.text_at(event, &format!("/Properties/{name}"))?;
                value.ok_or_else(|| wrong(format!("a DynamoDB event has no {name}")))
            };
            let number = |name: &str| -> Result<i64, TemplateError> {
                required(name)?.parse().map_err(|_| wrong(format!("{name} is not a number")))
            };
            self.event_sources.push(EventSource {
                table: required("Stream")?,
                function: id.to_owned(),
                batch_size: u32::try_from(number("BatchSize")?).map_err(|_| wrong("BatchSize is negative"))?,
                // -1 is no limit.
                retries: u32::try_from(number("MaximumRetryAttempts")?).ok(),
                filters: filters(event)?,
            });
        }
        for (_, event) in members(properties.get("Events")).filter(|(_, event)| kind(event) == "Schedule") {
            let seconds = match resolver.text_at(event, "/Properties/Schedule")?.as_deref() {
                Some("rate(1 hour)") => 3_600,
                Some("rate(1 day)") => 86_400,
                _ => return Err(wrong("a schedule is neither rate(1 hour) nor rate(1 day)".to_owned())),
            };
            self.schedules.push(Schedule { function: id.to_owned(), seconds });
        }
        Ok(())
    }

    fn read_api(&mut self, resolver: &Resolver<'_>, properties: &Value) -> Result<(), TemplateError> {
        let cors = properties.get("CorsConfiguration").map(|cors| resolver.resolve(cors)).transpose()?.flatten();
        self.cors = cors.map(|cors| resolver.cors(&cors)).transpose()?;
        Ok(())
    }

    fn read_stage(&mut self, resolver: &Resolver<'_>, properties: &Value) -> Result<(), TemplateError> {
        self.default_throttle = properties.get("DefaultRouteSettings").map(|it| resolver.throttle(it)).transpose()?;
        for (route, settings) in members(properties.get("RouteSettings")) {
            self.route_throttles.insert(route.clone(), resolver.throttle(settings)?);
        }
        self.stage_variables = resolver.variables(properties.get("StageVariables"))?;
        Ok(())
    }

    fn read_route(&mut self, resolver: &Resolver<'_>, properties: &Value) -> Result<(), TemplateError> {
        let required = |pointer: &str| {
            let value = resolver.text_at(properties, pointer)?;
            value.ok_or_else(|| wrong(format!("it has no {}", pointer.trim_start_matches('/'))))
        };
        let key = required("/RouteKey")?;
        let (method, path) = key.split_once(' ').ok_or_else(|| wrong(format!("{key} has no method")))?;
        let target = required("/Target")?;
        let integration = target.strip_prefix("integrations/").unwrap_or_default();
        let integration = resolver.properties_of("AWS::ApiGatewayV2::Integration", integration)?;
        let function = resolver.function_of(&resolver.text_at(integration, "/IntegrationUri")?.unwrap_or_default())?;
        self.routes.push(Route {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            function,
            authorizer: resolver.authorizer_of(properties)?,
        });
        Ok(())
    }

    fn read_table(&mut self, resolver: &Resolver<'_>, id: &str, properties: &Value) -> Result<(), TemplateError> {
        let part = |name| properties.get(name).unwrap_or(&Value::Null);
        let mut create = json!({
            "TableName": id,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": part("AttributeDefinitions"),
            "KeySchema": part("KeySchema"),
        });
        let stream =
            properties.get("StreamSpecification").map(|stream| resolver.resolve(stream)).transpose()?.flatten();
        if let (Some(mut stream), Some(create)) = (stream, create.as_object_mut()) {
            if let Some(stream) = stream.as_object_mut() {
                stream.insert("StreamEnabled".to_owned(), json!(true));
            }
            create.insert("StreamSpecification".to_owned(), stream);
        }
        self.tables.push(Table {
            name: id.to_owned(),
            create,
            ttl_attribute: resolver.text_at(properties, "/TimeToLiveSpecification/AttributeName")?,
        });
        Ok(())
    }

    fn read_secret(&mut self, resolver: &Resolver<'_>, id: &str, properties: &Value) -> Result<(), TemplateError> {
        let initial = match resolver.text_at(properties, "/GenerateSecretString/PasswordLength")? {
            Some(length) => {
                let length = length.parse().map_err(|_| wrong("PasswordLength is not a number"))?;
                InitialSecret::Generated { length }
            }
            None => InitialSecret::Given(resolver.text_at(properties, "/SecretString")?.unwrap_or_default()),
        };
        self.secrets.push(Secret { name: id.to_owned(), initial });
        Ok(())
    }

    fn read_rotation(&mut self, resolver: &Resolver<'_>, properties: &Value) -> Result<(), TemplateError> {
        let secret = resolver.text_at(properties, "/SecretId")?;
        let function = resolver.text_at(properties, "/RotationLambdaARN")?;
        if let (Some(secret), Some(function)) = (secret, function) {
            self.rotations.push(Rotation { secret, function });
        }
        Ok(())
    }
}

fn local_values() -> BTreeMap<String, String> {
    PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

struct Resolver<'a> {
    document: &'a Value,
    /// The values of parameters that are not their defaults.
    parameters: &'a BTreeMap<String, String>,
}

impl<'a> Resolver<'a> {
    /// The resources whose condition is true.
    fn resources(&self) -> Result<Vec<(&'a String, &'a Value)>, TemplateError> {
        let mut resources = Vec::new();
        for (id, resource) in members(self.document.get("Resources")) {
            let exists = match resource.get("Condition").and_then(Value::as_str) {
                Some(condition) => self.condition(condition)?,
                None => true,
            };
            if exists {
                resources.push((id, resource));
            }
        }
        Ok(resources)
    }

    /// The value without intrinsic functions; `None` for `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match (value, intrinsic(value)) {
            (_, Some(("Ref", name))) => self.reference(&text(name)?),
            (_, Some(("Fn::GetAtt", path))) => {
                let path = text(path)?;
                let (id, _) = path.split_once('.').ok_or_else(|| wrong(format!("{path} has no attribute")))?;
                self.reference(id)
            }
            (_, Some(("Fn::If", argument))) => {
                let [condition, then, otherwise] = arguments("Fn::If", argument)?;
                self.resolve(if self.condition(&text(condition)?)? { then } else { otherwise })
            }
            (_, Some(("Fn::Join", argument))) => {
                let [separator, list] = arguments("Fn::Join", argument)?;
                Ok(Some(json!(self.texts(Some(list))?.join(&text(separator)?))))
            }
            (_, Some(("Fn::Sub", text_with_names))) => Ok(Some(json!(self.substitute(&text(text_with_names)?)?))),
            (_, Some((other, _))) => Err(wrong(format!("{other} is not supported"))),
            (Value::Array(items), None) => {
                let mut resolved = Vec::new();
                for item in items {
                    resolved.extend(self.resolve(item)?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            (plain, None) => Ok(Some(plain.clone())),
        }
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let declared = |section: &str| self.document.get(section).and_then(|section| section.get(name));
        match (name, declared("Parameters"), declared("Resources")) {
            ("AWS::NoValue", ..) => Ok(None),
            ("AWS::Region", ..) => Ok(Some(json!(REGION))),
            ("AWS::AccountId", ..) => Ok(Some(json!(ACCOUNT))),
            ("AWS::Partition", ..) => Ok(Some(json!("aws"))),
            ("AWS::StackName", ..) => Ok(Some(json!(STACK))),
            (_, Some(parameter), _) => self.parameter(name, parameter).map(Some),
            // The names and ARNs of resources are their logical ids here.
            (_, None, Some(_)) => Ok(Some(json!(name))),
            (_, None, None) => Err(wrong(format!("{name} is neither a parameter nor a resource"))),
        }
    }

    /// Replaces each `${Name}` and `${Name.Attribute}`.
    fn substitute(&self, text_with_names: &str) -> Result<String, TemplateError> {
        let mut parts = text_with_names.split("${");
        let mut substituted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').ok_or_else(|| wrong(format!("{part} has no }}")))?;
            let value = self.reference(name.split_once('.').map_or(name, |(id, _)| id))?;
            substituted.push_str(&text(&value.unwrap_or_default())?);
            substituted.push_str(rest);
        }
        Ok(substituted)
    }

    fn parameter(&self, name: &str, parameter: &Value) -> Result<Value, TemplateError> {
        let value = match (self.parameters.get(name), parameter.get("Default")) {
            (Some(value), _) => value.clone(),
            (None, Some(default)) => text(default)?,
            (None, None) => return Err(wrong(format!("the parameter {name} has no default"))),
        };
        let is_list = parameter.get("Type").is_some_and(|kind| kind == "CommaDelimitedList");
        Ok(if is_list { value.split(',').map(str::trim).collect() } else { Value::String(value) })
    }

    /// The properties of a resource that must exist, whatever its condition.
    fn properties_of(&self, kind_of_resource: &str, id: &str) -> Result<&'a Value, TemplateError> {
        let resource = self.document.get("Resources").and_then(|resources| resources.get(id));
        let resource = resource.filter(|resource| kind(resource) == kind_of_resource);
        let resource = resource.ok_or_else(|| wrong(format!("the {kind_of_resource} {id:?} does not exist")))?;
        Ok(resource.get("Properties").unwrap_or(&Value::Null))
    }

    /// The function of a route's authorizer. One that does not exist is an error here; `sam local` would leave the route open.
    fn authorizer_of(&self, route: &Value) -> Result<Option<String>, TemplateError> {
        let kind_of_authorization = self.text_at(route, "/AuthorizationType")?;
        let Some(id) = self.text_at(route, "/AuthorizerId")? else {
            return match kind_of_authorization.as_deref() {
                None | Some("NONE") => Ok(None),
                Some(kind) => Err(wrong(format!("its AuthorizationType is {kind}, and it has no AuthorizerId"))),
            };
        };
        if kind_of_authorization.as_deref() != Some("CUSTOM") {
            return Err(wrong("it has an AuthorizerId, and its AuthorizationType is not CUSTOM"));
        }
        let authorizer = self.properties_of("AWS::ApiGatewayV2::Authorizer", &id)?;
        if authorizer.get("IdentitySource").and_then(Value::as_array).is_some_and(|sources| !sources.is_empty()) {
            return Err(wrong(format!("the IdentitySource of the authorizer {id} is not supported")));
        }
        let uri = self.text_at(authorizer, "/AuthorizerUri")?.unwrap_or_default();
        self.function_of(&uri).map(Some)
    }

    /// The function that API Gateway calls at a URI.
    fn function_of(&self, uri: &str) -> Result<String, TemplateError> {
        let function = uri.split_once("/functions/").and_then(|(_, rest)| rest.strip_suffix("/invocations"));
        let function = function.ok_or_else(|| wrong(format!("the URI {uri:?} names no function")))?;
        // An alias is the same process here.
        let function = function.split_once(':').map_or(function, |(function, _alias)| function);
        self.properties_of("AWS::Serverless::Function", function)?;
        Ok(function.to_owned())
    }

    fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        let rule = self.document.get("Conditions").and_then(|conditions| conditions.get(name));
        self.is_true(rule.ok_or_else(|| wrong(format!("the condition {name} does not exist")))?)
    }

    fn is_true(&self, rule: &Value) -> Result<bool, TemplateError> {
        match intrinsic(rule) {
            Some(("Fn::Equals", argument)) => {
                let [left, right] = arguments("Fn::Equals", argument)?;
                let resolved = |value| text(&self.resolve(value)?.unwrap_or_default());
                Ok(resolved(left)? == resolved(right)?)
            }
            Some(("Fn::And", argument)) => {
                let rules = argument.as_array().ok_or_else(|| wrong("Fn::And needs a list"))?;
                let results: Vec<bool> = rules.iter().map(|rule| self.is_true(rule)).collect::<Result<_, _>>()?;
                Ok(results.into_iter().all(|is_true| is_true))
            }
            Some(("Condition", name)) => self.condition(&text(name)?),
            Some(("Fn::Not", argument)) => {
                let [rule] = arguments("Fn::Not", argument)?;
                Ok(!self.is_true(rule)?)
            }
            _ => Err(wrong(format!("the condition {rule} is not supported"))),
        }
    }

    fn text_at(&self, value: &Value, pointer: &str) -> Result<Option<String>, TemplateError> {
        let Some(value) = value.pointer(pointer) else { return Ok(None) };
        self.resolve(value)?.map(|value| text(&value)).transpose()
    }

    fn texts(&self, list: Option<&Value>) -> Result<Vec<String>, TemplateError> {
        let Some(list) = list else { return Ok(Vec::new()) };
        let list = self.resolve(list)?.unwrap_or_default();
        list.as_array().ok_or_else(|| wrong(format!("{list} is not a list")))?.iter().map(text).collect()
    }

    fn variables(&self, variables: Option<&Value>) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut resolved = BTreeMap::new();
        for (name, value) in members(variables) {
            if let Some(value) = self.resolve(value)? {
                resolved.insert(name.clone(), text(&value)?);
            }
        }
        Ok(resolved)
    }

    fn throttle(&self, settings: &Value) -> Result<Throttle, TemplateError> {
        let number = |name: &str| -> Result<f64, TemplateError> {
            let number = self.text_at(settings, &format!("/{name}"))?.and_then(|number| number.parse().ok());
            number.ok_or_else(|| wrong(format!("{name} is not a number")))
        };
        Ok(Throttle { burst: number("ThrottlingBurstLimit")?, rate_per_second: number("ThrottlingRateLimit")? })
    }

    fn cors(&self, cors: &Value) -> Result<Cors, TemplateError> {
        let list = |name: &str| self.texts(cors.get(name));
        Ok(Cors {
            origins: list("AllowOrigins")?,
            methods: list("AllowMethods")?,
            headers: list("AllowHeaders")?,
            exposed_headers: list("ExposeHeaders")?,
            max_age_seconds: self.text_at(cors, "/MaxAge")?,
        })
    }
}

/// The document with short tags (`!Ref x`) in CloudFormation's long form (`{"Ref": "x"}`).
fn long_form(yaml: Yaml) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(value),
        Yaml::Number(number) => serde_json::to_value(number).map_err(|error| wrong(error.to_string()))?,
        Yaml::String(value) => Value::String(value),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(long_form).collect::<Result<_, _>>()?),
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (name, member) in members {
                object.insert(text(&long_form(name)?)?, long_form(member)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let name = match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => name.to_owned(),
                function => format!("Fn::{function}"),
            };
            Value::Object(Map::from_iter([(name, long_form(tagged.value)?)]))
        }
    })
}

/// The intrinsic function and its argument, if the value is an object with only this member.
fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let mut members = value.as_object()?.iter();
    let (name, argument) = members.next()?;
    let is_function = ["Ref", "Condition"].contains(&name.as_str()) || name.starts_with("Fn::");
    (is_function && members.next().is_none()).then_some((name, argument))
}

fn arguments<'a, const N: usize>(function: &str, argument: &'a Value) -> Result<[&'a Value; N], TemplateError> {
    let list = argument.as_array().map(|list| list.iter().collect::<Vec<_>>()).unwrap_or_default();
    list.try_into().map_err(|_| wrong(format!("{function} needs a list of {N}")))
}

/// CloudFormation turns every scalar into a string.
fn text(value: &Value) -> Result<String, TemplateError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(value) => Ok(value.clone()),
        Value::Array(_) | Value::Object(_) => Err(wrong("expected a single value, found a list or an object")),
    }
}

fn kind(resource: &Value) -> &str {
    resource.get("Type").and_then(Value::as_str).unwrap_or_default()
}

/// The patterns of an event source. In the template each is JSON in a text.
fn filters(event: &Value) -> Result<Vec<Value>, TemplateError> {
    let filters = event.pointer("/Properties/FilterCriteria/Filters").and_then(Value::as_array);
    let pattern = |filter: &Value| {
        let text = filter.get("Pattern").and_then(Value::as_str).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| wrong(format!("a filter is not JSON: {error}")))
    };
    filters.into_iter().flatten().map(pattern).collect()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "
Parameters:
  Stage: { Type: String, Default: dev }
  Burst: { Type: Number, Default: 7 }
  Origins: { Type: CommaDelimitedList, Default: 'http://a, http://b' }
  Unset: { Type: String, Default: '' }
Conditions:
  IsProduction: !Equals [!Ref Stage, prod]
  IsDevelopment: !Not [!Equals [!Ref Stage, prod]]
  HasUnset: !Not [!Equals [!Ref Unset, '']]
  HasOrigins: !Not [!Equals [!Join ['', !Ref Origins], '']]
Globals:
  Function:
    Environment: { Variables: { STAGE: !Ref Stage, SHARED: everyone } }
Resources:
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      CorsConfiguration: !If
        - HasOrigins
        - { AllowOrigins: !Ref Origins, AllowMethods: [GET], MaxAge: 60 }
        - !Ref AWS::NoValue
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties:
      DefaultRouteSettings: { ThrottlingBurstLimit: !Ref Burst, ThrottlingRateLimit: 2.5 }
      StageVariables: { Mode: !If [IsProduction, loud, quiet] }
  Guard:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      AuthorizerUri: !Sub arn:aws:apigateway:${AWS::Region}:lambda:path/functions/${GuardFunction.Arn}/invocations
  One:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      RouteKey: 'GET /things/{id}'
      Target: !Sub 'integrations/${Things1}'
      AuthorizationType: CUSTOM
      AuthorizerId: !Ref Guard
  Things1: { Type: 'AWS::ApiGatewayV2::Integration', Properties: { IntegrationUri: !Sub 'arn:${AWS::Partition}:path/functions/${ThingFunction.Arn}:live/invocations' } }
  Two:
    Type: AWS::ApiGatewayV2::Route
    Properties: { RouteKey: GET /things/special, Target: !Sub 'integrations/${Things1}' }
  GuardFunction: { Type: 'AWS::Serverless::Function', Properties: {} }
  ThingFunction:
    Type: AWS::Serverless::Function
    Properties:
      Policies: [!ImportValue nothing-here-can-resolve-this]
      Environment:
        Variables:
          SHARED: mine
          THINGS: !Ref Things
          GONE: !If [HasUnset, !Ref Unset, !Ref AWS::NoValue]
          CHOSEN: !If [IsProduction, !Ref Stage, !GetAtt Things.Arn]
          NUMBER: 5
  Things:
    Type: AWS::DynamoDB::Table
    Condition: IsDevelopment
    Properties:
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
  Archive: { Type: 'AWS::DynamoDB::Table', Condition: IsProduction }
";

    #[test]
    fn a_functions_variables_override_the_global_ones() {
        let template = Template::parse(API).unwrap();
        let expected =
            [("CHOSEN", "Things"), ("NUMBER", "5"), ("SHARED", "mine"), ("STAGE", "dev"), ("THINGS", "Things")];
        let variables = template.functions.get("ThingFunction").unwrap();
        assert_eq!(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn routes_have_their_authorizers() {
        let template = Template::parse(API).unwrap();
        let routes: Vec<_> = template.routes.iter().map(|route| (route.key(), route.authorizer.as_deref())).collect();
        assert_eq!(
            routes,
            [("GET /things/{id}".to_owned(), Some("GuardFunction")), ("GET /things/special".to_owned(), None)]
        );
    }

    #[test]
    fn the_api_has_its_settings_and_only_resources_with_a_true_condition_exist() {
        let template = Template::parse(API).unwrap();
        let throttle = template.default_throttle.unwrap();
        assert_eq!((throttle.burst, throttle.rate_per_second), (7.0, 2.5));
        assert_eq!(template.stage_variables.get("Mode").unwrap(), "quiet");
        let cors = template.cors.unwrap();
        assert_eq!(
            (cors.origins, cors.max_age_seconds.as_deref()),
            (vec!["http://a".to_owned(), "http://b".to_owned()], Some("60"))
        );
        let without = Template::parse(&API.replace("http://a, http://b", "")).unwrap();
        assert!(without.cors.is_none());
        let tables: Vec<_> =
            template.tables.iter().map(|table| (table.name.as_str(), table.ttl_attribute.as_deref())).collect();
        assert_eq!(tables, [("Things", Some("expires_at"))]);
    }

    #[test]
    fn an_invalid_template_is_refused_in_one_line() {
        let guarded = API.replace("AuthorizerId: !Ref Guard", "AuthorizerId: Nobody");
        let open = API.replace("      AuthorizerId: !Ref Guard\n", "");
        let lost = API.replace("${Things1}'\n      Auth", "${Guard}'\n      Auth");
        let unsupported = API.replace("NUMBER: 5", "NUMBER: !Base64 five");
        let unknown = API.replace("!Ref Things", "!Ref Nothing");
        let cases = [
            ("a: [", "not YAML"),
            ("a: 1", "no Resources"),
            (&guarded, "One: the AWS::ApiGatewayV2::Authorizer \"Nobody\" does not exist"),
            (&open, "One: its AuthorizationType is CUSTOM, and it has no AuthorizerId"),
            (&lost, "One: the AWS::ApiGatewayV2::Integration \"Guard\" does not exist"),
            (&unsupported, "ThingFunction: Fn::Base64 is not supported"),
            (&unknown, "ThingFunction: Nothing is neither a parameter nor a resource"),
        ];
        for (text, expected) in cases {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }
}
