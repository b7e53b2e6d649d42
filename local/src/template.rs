//! Reads `template.yaml`, so that the laptop is routed, guarded, throttled and configured as the cloud is.
//! Only what is asked for is resolved: parts that mean nothing here (policies, alarms) may use any intrinsic function.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

/// The region and account that `AWS::Region` and `AWS::AccountId` stand for here.
pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "000000000000";

/// The parameters that are not left at their defaults here.
const PARAMETERS: [(&str, &str); 1] = [("FcmProjectId", "latchkey-local")];

/// All that the local system takes from the template.
#[derive(Debug, Default)]
pub struct Template {
    /// Most specific first, so that the first match is API Gateway's.
    pub routes: Vec<Route>,
    /// The environment of each function, by logical id.
    pub functions: BTreeMap<String, BTreeMap<String, String>>,
    pub authorizers: BTreeMap<String, Authorizer>,
    pub tables: Vec<Table>,
    pub secrets: Vec<Secret>,
    pub rotations: Vec<Rotation>,
    pub default_throttle: Option<Throttle>,
    /// By route key, for example `POST /v1/otp/send`.
    pub route_throttles: BTreeMap<String, Throttle>,
    pub cors: Option<Cors>,
    pub stage_variables: BTreeMap<String, String>,
    default_authorizer: Option<String>,
}

#[derive(Debug)]
pub struct Route {
    pub method: String,
    pub path: String,
    pub function: String,
    /// The name of the authorizer in front of it.
    pub authorizer: Option<String>,
}

impl Route {
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn specificity(&self) -> (usize, usize, bool) {
        let greedy = self.path.matches("+}").count();
        (greedy, self.path.matches('{').count(), self.method == "ANY")
    }
}

#[derive(Debug)]
pub struct Authorizer {
    pub function: String,
    /// Headers without which API Gateway answers 401 by itself.
    pub identity_headers: Vec<String>,
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
    Generated {
        length: usize,
        alphabet: Vec<char>,
        /// A JSON object and the member in it that takes the generated password.
        within: Option<(Map<String, Value>, String)>,
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

#[derive(Debug, Default)]
pub struct Cors {
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    pub headers: Vec<String>,
    pub exposed_headers: Vec<String>,
    pub max_age_seconds: Option<String>,
    pub credentials: bool,
}

/// Why a template can't be used, in one line.
#[derive(Debug)]
pub struct TemplateError(String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong(reason: impl Into<String>) -> TemplateError {
    TemplateError(reason.into())
}

impl Template {
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text)
    }

    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let yaml: Yaml = serde_yaml_ng::from_str(text).map_err(|error| wrong(format!("not YAML: {error}")))?;
        let document = long_form(yaml)?;
        let resolver = Resolver::new(&document)?;
        let mut template = Self::default();
        for (id, resource) in resolver.resources()? {
            let read = match kind(resource) {
                "AWS::Serverless::Function" => template.read_function(&resolver, id, resource),
                "AWS::Serverless::HttpApi" => template.read_api(&resolver, resource),
                "AWS::DynamoDB::Table" => template.read_table(&resolver, id, resource),
                "AWS::SecretsManager::Secret" => template.read_secret(&resolver, id, resource),
                "AWS::SecretsManager::RotationSchedule" => template.read_rotation(&resolver, resource),
                _ => Ok(()),
            };
            read.map_err(|TemplateError(reason)| wrong(format!("{id}: {reason}")))?;
        }
        template.guard_routes()?;
        template.routes.sort_by_key(Route::specificity);
        Ok(template)
    }

    fn read_function(&mut self, resolver: &Resolver<'_>, id: &str, resource: &Value) -> Result<(), TemplateError> {
        let mut variables = BTreeMap::new();
        for environment in [
            resolver.document.pointer("/Globals/Function/Environment/Variables"),
            resource.pointer("/Properties/Environment/Variables"),
        ] {
            for (name, value) in members(environment) {
                if let Some(value) = resolver.resolve(value)? {
                    variables.insert(name.clone(), text(&value)?);
                }
            }
        }
        self.functions.insert(id.to_owned(), variables);

        for (_, event) in members(resource.pointer("/Properties/Events")) {
            if kind(event) != "HttpApi" {
                continue;
            }
            let properties = event.get("Properties").unwrap_or(&Value::Null);
            let method =
                resolver.text_at(properties, "/Method")?.ok_or_else(|| wrong("an HttpApi event without Method"))?;
            let path = resolver.text_at(properties, "/Path")?.ok_or_else(|| wrong("an HttpApi event without Path"))?;
            self.routes.push(Route {
                method: method.to_ascii_uppercase(),
                path,
                function: id.to_owned(),
                authorizer: resolver.text_at(properties, "/Auth/Authorizer")?,
            });
        }
        Ok(())
    }

    fn read_api(&mut self, resolver: &Resolver<'_>, resource: &Value) -> Result<(), TemplateError> {
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        let globals = resolver.document.pointer("/Globals/HttpApi").unwrap_or(&Value::Null);
        let setting = |pointer: &str| properties.pointer(pointer).or_else(|| globals.pointer(pointer));

        for (name, authorizer) in members(setting("/Auth/Authorizers")) {
            let Some(function) = resolver.text_at(authorizer, "/FunctionArn")? else {
                return Err(wrong(format!("the authorizer {name} has no FunctionArn")));
            };
            let identity_headers = match authorizer.pointer("/Identity/Headers") {
                Some(headers) => resolver.texts(headers)?,
                None => Vec::new(),
            };
            let function = logical_id(&function);
            self.authorizers.insert(name.clone(), Authorizer { function, identity_headers });
        }
        if let Some(default) = setting("/Auth/DefaultAuthorizer") {
            self.default_authorizer = resolver.resolve(default)?.map(|value| text(&value)).transpose()?;
        }
        if let Some(settings) = setting("/DefaultRouteSettings") {
            self.default_throttle = resolver.throttle(settings)?;
        }
        for (route, settings) in members(setting("/RouteSettings")) {
            if let Some(throttle) = resolver.throttle(settings)? {
                self.route_throttles.insert(route.clone(), throttle);
            }
        }
        for (name, value) in members(setting("/StageVariables")) {
            if let Some(value) = resolver.resolve(value)? {
                self.stage_variables.insert(name.clone(), text(&value)?);
            }
        }
        if let Some(cors) = setting("/CorsConfiguration") {
            self.cors = resolver.cors(cors)?;
        }
        Ok(())
    }

    fn read_table(&mut self, resolver: &Resolver<'_>, id: &str, resource: &Value) -> Result<(), TemplateError> {
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        let name = resolver.physical_name(id)?;
        let mut create = json!({ "TableName": name, "BillingMode": "PAY_PER_REQUEST" });
        for part in ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
            if let (Some(value), Some(create)) = (properties.get(part), create.as_object_mut())
                && let Some(value) = resolver.resolve(value)?
            {
                create.insert(part.to_owned(), value);
            }
        }
        let ttl_attribute = resolver.text_at(properties, "/TimeToLiveSpecification/AttributeName")?;
        self.tables.push(Table { name, create, ttl_attribute });
        Ok(())
    }

    fn read_secret(&mut self, resolver: &Resolver<'_>, id: &str, resource: &Value) -> Result<(), TemplateError> {
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        let initial = match properties.get("GenerateSecretString") {
            Some(generate) => resolver.generated_secret(generate)?,
            None => InitialSecret::Given(resolver.text_at(properties, "/SecretString")?.unwrap_or_default()),
        };
        self.secrets.push(Secret { name: resolver.physical_name(id)?, initial });
        Ok(())
    }

    fn read_rotation(&mut self, resolver: &Resolver<'_>, resource: &Value) -> Result<(), TemplateError> {
        let properties = resource.get("Properties").unwrap_or(&Value::Null);
        let secret = resolver.text_at(properties, "/SecretId")?;
        let function = resolver.text_at(properties, "/RotationLambdaARN")?;
        if let (Some(secret), Some(function)) = (secret, function) {
            self.rotations.push(Rotation { secret, function: logical_id(&function) });
        }
        Ok(())
    }

    /// Lays the API's default authorizer on its routes, and refuses a guard that does not exist:
    /// `sam local` would let such a route through.
    fn guard_routes(&mut self) -> Result<(), TemplateError> {
        for route in &mut self.routes {
            let named = route.authorizer.take().or_else(|| self.default_authorizer.clone());
            route.authorizer = named.filter(|name| name != "NONE");
            if let Some(name) = &route.authorizer
                && !self.authorizers.contains_key(name)
            {
                return Err(wrong(format!("{} is guarded by {name}, which is no authorizer of the API", route.key())));
            }
        }
        for Authorizer { function, .. } in self.authorizers.values() {
            if !self.functions.contains_key(function) {
                return Err(wrong(format!("the authorizer's function {function} is not in the template")));
            }
        }
        Ok(())
    }
}

/// Evaluates the intrinsic functions against the parameters as they are here.
struct Resolver<'a> {
    document: &'a Value,
    /// What each condition came to; `None` while it is being evaluated, so that a circle is an error.
    conditions: RefCell<BTreeMap<String, Option<bool>>>,
}

impl<'a> Resolver<'a> {
    fn new(document: &'a Value) -> Result<Self, TemplateError> {
        if document.get("Resources").and_then(Value::as_object).is_none() {
            return Err(wrong("it has no Resources"));
        }
        Ok(Self { document, conditions: RefCell::default() })
    }

    /// The resources that exist under these parameters.
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

    /// The value with every intrinsic function replaced; `None` is `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Array(items) => {
                let mut resolved = Vec::new();
                for item in items {
                    resolved.extend(self.resolve(item)?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            Value::Object(members) => {
                if let Some((function, argument)) = intrinsic(members) {
                    return self.call(function, argument);
                }
                let mut resolved = Map::new();
                for (name, member) in members {
                    if let Some(member) = self.resolve(member)? {
                        resolved.insert(name.clone(), member);
                    }
                }
                Ok(Some(Value::Object(resolved)))
            }
            plain => Ok(Some(plain.clone())),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Result<Option<Value>, TemplateError> {
        let value = match function {
            "Ref" => return self.reference(&text(argument)?),
            "Fn::GetAtt" => {
                let path = match argument {
                    Value::Array(parts) => parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("."),
                    short => text(short)?,
                };
                self.attribute(&path)?
            }
            "Fn::Sub" => Value::String(self.substitute(argument)?),
            "Fn::If" => {
                let [condition, then, otherwise] = arguments::<3>(function, argument)?;
                let chosen = if self.condition(&text(condition)?)? { then } else { otherwise };
                return self.resolve(chosen);
            }
            "Fn::Join" => {
                let [separator, parts] = arguments::<2>(function, argument)?;
                Value::String(self.texts(parts)?.join(&text(separator)?))
            }
            "Fn::Split" => {
                let [separator, whole] = arguments::<2>(function, argument)?;
                json!(self.text(whole)?.split(&text(separator)?).collect::<Vec<_>>())
            }
            "Fn::Select" => {
                let [index, items] = arguments::<2>(function, argument)?;
                let index = self.text(index)?.parse::<usize>().map_err(|_| wrong("Fn::Select wants a number"))?;
                let item = self.texts(items)?.get(index).cloned();
                Value::String(item.ok_or_else(|| wrong("Fn::Select points past the end of its list"))?)
            }
            "Fn::FindInMap" => {
                let [map, first, second] = arguments::<3>(function, argument)?;
                let (map, first, second) = (self.text(map)?, self.text(first)?, self.text(second)?);
                let found =
                    ["Mappings", &map, &first, &second].iter().try_fold(self.document, |value, key| value.get(*key));
                found.cloned().ok_or_else(|| wrong(format!("no mapping {map}.{first}.{second}")))?
            }
            "Condition" | "Fn::Equals" | "Fn::Not" | "Fn::And" | "Fn::Or" => {
                Value::Bool(self.decide(function, argument)?)
            }
            other => return Err(wrong(format!("{other} can't be resolved on one machine"))),
        };
        Ok(Some(value))
    }

    fn reference(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        Ok(Some(match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => json!(REGION),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            "AWS::StackName" => json!("latchkey"),
            "AWS::StackId" => json!(format!("arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/latchkey/local")),
            name => match self.document.get("Parameters").and_then(|parameters| parameters.get(name)) {
                Some(parameter) => parameter_value(name, parameter)?,
                None => Value::String(self.physical_name(name)?),
            },
        }))
    }

    /// The name a resource goes by: the one the template gives it, else its logical id.
    fn physical_name(&self, id: &str) -> Result<String, TemplateError> {
        let resource = self.document.get("Resources").and_then(|resources| resources.get(id));
        let resource = resource.ok_or_else(|| wrong(format!("{id} is neither a parameter nor a resource")))?;
        let given = match kind(resource) {
            "AWS::DynamoDB::Table" => "/Properties/TableName",
            "AWS::SecretsManager::Secret" => "/Properties/Name",
            _ => return Ok(id.to_owned()),
        };
        Ok(self.text_at(resource, given)?.unwrap_or_else(|| id.to_owned()))
    }

    fn attribute(&self, path: &str) -> Result<Value, TemplateError> {
        let (id, _attribute) = path.split_once('.').ok_or_else(|| wrong(format!("{path} names no attribute")))?;
        Ok(Value::String(self.physical_name(id)?))
    }

    fn substitute(&self, argument: &Value) -> Result<String, TemplateError> {
        let (pattern, own) = match argument {
            Value::Array(_) => {
                let [pattern, own] = arguments::<2>("Fn::Sub", argument)?;
                (text(pattern)?, own.clone())
            }
            pattern => (text(pattern)?, Value::Null),
        };
        let mut result = String::new();
        let mut rest = pattern.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').ok_or_else(|| wrong("Fn::Sub has a ${ without its }"))?;
            result.push_str(before);
            match name.strip_prefix('!') {
                Some(literal) => result.push_str(&format!("${{{literal}}}")),
                None => result.push_str(&self.named(name, &own)?),
            }
            rest = tail;
        }
        result.push_str(rest);
        Ok(result)
    }

    fn named(&self, name: &str, own: &Value) -> Result<String, TemplateError> {
        let value = match own.get(name) {
            Some(own) => self.resolve(own)?,
            None if name.contains('.') => Some(self.attribute(name)?),
            None => self.reference(name)?,
        };
        text(&value.ok_or_else(|| wrong(format!("{name} has no value")))?)
    }

    fn condition(&self, name: &str) -> Result<bool, TemplateError> {
        let known = self.conditions.borrow().get(name).copied();
        match known {
            Some(Some(decided)) => Ok(decided),
            Some(None) => Err(wrong(format!("the condition {name} depends on itself"))),
            None => {
                let conditions = self.document.get("Conditions");
                let rule = conditions.and_then(|conditions| conditions.get(name));
                let rule = rule.ok_or_else(|| wrong(format!("there is no condition {name}")))?;
                self.conditions.borrow_mut().insert(name.to_owned(), None);
                let decided = self.truth(rule)?;
                self.conditions.borrow_mut().insert(name.to_owned(), Some(decided));
                Ok(decided)
            }
        }
    }

    fn truth(&self, rule: &Value) -> Result<bool, TemplateError> {
        let rule = rule.as_object().and_then(intrinsic);
        let (function, argument) = rule.ok_or_else(|| wrong("a condition that is no condition function"))?;
        self.decide(function, argument)
    }

    fn decide(&self, function: &str, argument: &Value) -> Result<bool, TemplateError> {
        match function {
            "Condition" => self.condition(&text(argument)?),
            "Fn::Equals" => {
                let [left, right] = arguments::<2>(function, argument)?;
                Ok(self.text(left)? == self.text(right)?)
            }
            "Fn::Not" => {
                let [rule] = arguments::<1>(function, argument)?;
                Ok(!self.truth(rule)?)
            }
            "Fn::And" | "Fn::Or" => {
                let rules = argument.as_array().ok_or_else(|| wrong(format!("{function} wants a list")))?;
                let truths = rules.iter().map(|rule| self.truth(rule)).collect::<Result<Vec<_>, _>>()?;
                Ok(if function == "Fn::And" { truths.iter().all(|truth| *truth) } else { truths.contains(&true) })
            }
            other => Err(wrong(format!("{other} is no condition function"))),
        }
    }

    fn text(&self, value: &Value) -> Result<String, TemplateError> {
        let value = self.resolve(value)?.unwrap_or_default();
        match &value {
            Value::Array(_) => Ok(self.texts(&value)?.join(",")),
            plain => text(plain),
        }
    }

    fn text_at(&self, value: &Value, pointer: &str) -> Result<Option<String>, TemplateError> {
        let Some(value) = value.pointer(pointer) else { return Ok(None) };
        self.resolve(value)?.map(|value| text(&value)).transpose()
    }

    /// A list, which CloudFormation also takes as one string with commas.
    fn texts(&self, value: &Value) -> Result<Vec<String>, TemplateError> {
        match self.resolve(value)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(one) => Ok(commas(&text(&one)?)),
        }
    }

    fn throttle(&self, settings: &Value) -> Result<Option<Throttle>, TemplateError> {
        let number = |pointer: &str| -> Result<Option<f64>, TemplateError> {
            let Some(number) = self.text_at(settings, pointer)? else { return Ok(None) };
            number.parse().map(Some).map_err(|_| wrong(format!("{pointer} is not a number")))
        };
        let rate = number("/ThrottlingRateLimit")?;
        let burst = number("/ThrottlingBurstLimit")?;
        Ok(rate
            .or(burst)
            .map(|either| Throttle { rate_per_second: rate.unwrap_or(either), burst: burst.unwrap_or(either) }))
    }

    fn cors(&self, cors: &Value) -> Result<Option<Cors>, TemplateError> {
        let Some(cors) = self.resolve(cors)? else { return Ok(None) };
        if !cors.is_object() {
            // SAM's short forms: `true` and one origin.
            return Ok(match &cors {
                Value::Bool(false) => None,
                Value::Bool(true) => Some(Cors { origins: vec!["*".to_owned()], ..Cors::default() }),
                origin => Some(Cors { origins: vec![text(origin)?], ..Cors::default() }),
            });
        }
        let list = |name: &str| cors.get(name).map_or_else(|| Ok(Vec::new()), |list| self.texts(list));
        Ok(Some(Cors {
            origins: list("AllowOrigins")?,
            methods: list("AllowMethods")?,
            headers: list("AllowHeaders")?,
            exposed_headers: list("ExposeHeaders")?,
            max_age_seconds: self.text_at(&cors, "/MaxAge")?,
            credentials: self.text_at(&cors, "/AllowCredentials")?.as_deref() == Some("true"),
        }))
    }

    fn generated_secret(&self, generate: &Value) -> Result<InitialSecret, TemplateError> {
        let generate = self.resolve(generate)?.unwrap_or_default();
        let flag = |name: &str| generate.get(name).is_some_and(|flag| matches!(text(flag).as_deref(), Ok("true")));
        let excluded = self.text_at(&generate, "/ExcludeCharacters")?.unwrap_or_default();
        let alphabet: Vec<char> = (' '..='~')
            .filter(|c| *c != ' ' || flag("IncludeSpace"))
            .filter(|c| !(c.is_ascii_punctuation() && flag("ExcludePunctuation")))
            .filter(|c| !(c.is_ascii_digit() && flag("ExcludeNumbers")))
            .filter(|c| !(c.is_ascii_lowercase() && flag("ExcludeLowercase")))
            .filter(|c| !(c.is_ascii_uppercase() && flag("ExcludeUppercase")))
            .filter(|c| !excluded.contains(*c))
            .collect();
        let length = match self.text_at(&generate, "/PasswordLength")? {
            Some(length) => length.parse().map_err(|_| wrong("PasswordLength is not a number"))?,
            None => 32,
        };
        let skeleton = self.text_at(&generate, "/SecretStringTemplate")?;
        let within = match (skeleton, self.text_at(&generate, "/GenerateStringKey")?) {
            (Some(skeleton), Some(key)) => {
                let skeleton = serde_json::from_str(&skeleton);
                Some((skeleton.map_err(|_| wrong("SecretStringTemplate is not a JSON object"))?, key))
            }
            _ => None,
        };
        Ok(InitialSecret::Generated { length, alphabet, within })
    }
}

/// The document with short tags (`!Ref x`) written out as CloudFormation's long form (`{"Ref": "x"}`).
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
                plain @ ("Ref" | "Condition") => plain.to_owned(),
                function => format!("Fn::{function}"),
            };
            Value::Object(Map::from_iter([(name, long_form(tagged.value)?)]))
        }
    })
}

/// An object of one member whose name is an intrinsic function's.
fn intrinsic(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = members.iter();
    let (name, argument) = members.next()?;
    let called = name == "Ref" || name.starts_with("Fn::") || (name == "Condition" && argument.is_string());
    (called && members.next().is_none()).then_some((name, argument))
}

fn arguments<'a, const N: usize>(function: &str, argument: &'a Value) -> Result<[&'a Value; N], TemplateError> {
    let list = argument.as_array().map(|list| list.iter().collect::<Vec<_>>()).unwrap_or_default();
    list.try_into().map_err(|_| wrong(format!("{function} wants a list of {N}")))
}

fn parameter_value(name: &str, parameter: &Value) -> Result<Value, TemplateError> {
    if let Some((_, value)) = PARAMETERS.iter().find(|(known, _)| *known == name) {
        return Ok(json!(value));
    }
    let default = parameter.get("Default");
    let default =
        default.ok_or_else(|| wrong(format!("the parameter {name} has no default to run with on one machine")))?;
    let is_list = matches!(
        parameter.get("Type").and_then(Value::as_str),
        Some("CommaDelimitedList" | "List<Number>" | "List<String>")
    );
    let default = text(default)?;
    Ok(if is_list { json!(commas(&default)) } else { Value::String(default) })
}

fn commas(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// CloudFormation turns every scalar into a string.
fn text(value: &Value) -> Result<String, TemplateError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(value) => Ok(value.clone()),
        Value::Array(_) | Value::Object(_) => Err(wrong("a list or an object where a single value belongs")),
    }
}

fn kind(resource: &Value) -> &str {
    resource.get("Type").and_then(Value::as_str).unwrap_or_default()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

/// What a reference to a function comes to: its logical id, also when it was written as an ARN around it.
fn logical_id(reference: &str) -> String {
    reference.rsplit([':', '/']).next().unwrap_or(reference).to_owned()
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
  IsDevelopment: !Not [!Condition IsProduction]
  HasUnset: !Not [!Equals [!Ref Unset, '']]
Globals:
  Function:
    Environment: { Variables: { STAGE: !Ref Stage, SHARED: everyone } }
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth: { Authorizers: { Guard: { FunctionArn: !GetAtt GuardFunction.Arn } } }
      CorsConfiguration: { AllowOrigins: !Ref Origins, AllowMethods: [GET], MaxAge: 60 }
      DefaultRouteSettings: { ThrottlingBurstLimit: !Ref Burst, ThrottlingRateLimit: 2.5 }
      StageVariables: { Mode: !If [IsProduction, loud, quiet] }
  GuardFunction: { Type: 'AWS::Serverless::Function', Properties: {} }
  ThingFunction:
    Type: AWS::Serverless::Function
    Properties:
      Policies: [!ImportValue nothing-here-can-resolve-this]
      Environment:
        Variables:
          SHARED: !Sub 'mine in ${AWS::Region}, ${!literal}, ${Things}'
          THINGS: !Ref Things
          GONE: !If [HasUnset, !Ref Unset, !Ref AWS::NoValue]
          JOINED: !Join ['-', [a, !Ref Stage]]
          NUMBER: 5
      Events:
        One: { Type: HttpApi, Properties: { Method: get, Path: '/things/{id}', Auth: { Authorizer: Guard } } }
        Two: { Type: HttpApi, Properties: { Method: GET, Path: /things/special } }
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
    fn functions_get_their_variables_over_the_global_ones() {
        let template = Template::parse(API).unwrap();
        let expected = [
            ("JOINED", "a-dev"),
            ("NUMBER", "5"),
            ("SHARED", "mine in us-east-1, ${literal}, Things"),
            ("STAGE", "dev"),
            ("THINGS", "Things"),
        ];
        let variables = template.functions.get("ThingFunction").unwrap();
        assert_eq!(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn routes_are_guarded_and_the_specific_ones_come_first() {
        let template = Template::parse(API).unwrap();
        let routes: Vec<_> = template.routes.iter().map(|route| (route.key(), route.authorizer.as_deref())).collect();
        assert_eq!(routes, [("GET /things/special".to_owned(), None), ("GET /things/{id}".to_owned(), Some("Guard"))]);
        assert_eq!(template.authorizers.get("Guard").unwrap().function, "GuardFunction");
    }

    #[test]
    fn the_api_has_its_settings_and_only_the_resources_whose_condition_holds() {
        let template = Template::parse(API).unwrap();
        let throttle = template.default_throttle.unwrap();
        assert_eq!((throttle.burst, throttle.rate_per_second), (7.0, 2.5));
        assert_eq!(template.stage_variables.get("Mode").unwrap(), "quiet");
        let cors = template.cors.unwrap();
        assert_eq!(
            (cors.origins, cors.max_age_seconds.as_deref()),
            (vec!["http://a".to_owned(), "http://b".to_owned()], Some("60"))
        );
        let tables: Vec<_> =
            template.tables.iter().map(|table| (table.name.as_str(), table.ttl_attribute.as_deref())).collect();
        assert_eq!(tables, [("Things", Some("expires_at"))]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_one_line() {
        let guarded = API.replace("Auth: { Authorizer: Guard }", "Auth: { Authorizer: Nobody }");
        let circle = API.replace("!Equals [!Ref Stage, prod]", "!Condition IsDevelopment");
        let unknown = API.replace("!Ref Things", "!Ref Nothing");
        let cases = [
            ("a: [", "not YAML"),
            ("a: 1", "no Resources"),
            (&guarded, "GET /things/{id} is guarded by Nobody"),
            (&circle, "depends on itself"),
            (&unknown, "ThingFunction: Nothing is neither a parameter nor a resource"),
        ];
        for (text, expected) in cases {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
    }
}
