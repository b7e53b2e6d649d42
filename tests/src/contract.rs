//! Checks each answer against `openapi.yaml`: its path, method, status, media type, headers and body.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Reply;
use crate::problems::OF_A_CASE;

static DOCUMENT: OnceLock<Value> = OnceLock::new();
static VALIDATORS: Mutex<Option<HashMap<String, &'static Validator>>> = Mutex::new(None);

/// `openapi.yaml`.
pub fn document() -> &'static Value {
    DOCUMENT.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
        serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    })
}

/// The examples of problems in `openapi.yaml`, by code.
pub fn problem_examples() -> &'static BTreeMap<&'static str, Vec<&'static Value>> {
    static EXAMPLES: OnceLock<BTreeMap<&str, Vec<&Value>>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let mut examples: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut values = vec![document()];
        while let Some(value) = values.pop() {
            let code = value["type"].as_str().and_then(|kind| kind.strip_prefix("urn:latchkey:problem:"));
            if let Some(code) = code {
                examples.entry(code).or_default().push(value);
            }
            match value {
                Value::Object(members) => values.extend(members.values()),
                Value::Array(items) => values.extend(items),
                _ => {}
            }
        }
        examples
    })
}

/// The documented path that matches `path`.
fn template_of(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap();
    let matches = |template: &str| {
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        wanted.len() == given.len()
            && wanted.iter().zip(&given).all(|(want, have)| want == have || want.starts_with('{'))
    };
    document()["paths"].as_object().unwrap().keys().map(String::as_str).find(|template| matches(template))
}

fn pointer(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// Follows references. Returns the pointer to the value that they end at, and the value.
fn resolve(at: String, value: &'static Value) -> (String, &'static Value) {
    match value["$ref"].as_str() {
        Some(reference) => {
            let at = reference.trim_start_matches('#').to_owned();
            let value = document().pointer(&at).unwrap_or_else(|| panic!("{reference} is not in openapi.yaml"));
            resolve(at, value)
        }
        None => (at, value),
    }
}

/// Panics unless this answer is documented.
pub fn check(method: &str, path: &str, reply: &Reply) {
    let Reply { status, headers, body } = reply;
    let method_key = method.to_lowercase();
    let operation = template_of(path).map(|template| (template, &document()["paths"][template][&method_key]));
    let Some((template, operation)) = operation.filter(|(_, operation)| operation.is_object()) else {
        assert_eq!((*status, body), (404, &json!({"message": "Not Found"})), "{method} {path} is not in openapi.yaml");
        return;
    };
    let response = &operation["responses"][status.to_string()];
    assert!(!response.is_null(), "{method} {path}: status {status} is not in openapi.yaml: {body}");
    let at = format!("/paths/{}/{method_key}/responses/{status}", pointer(template));
    let (at, response) = resolve(at, response);
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let (_, header) = resolve(String::new(), header);
        let is_there = headers.contains_key(&name.to_lowercase());
        assert!(header["required"] != json!(true) || is_there, "{method} {path} {status}: no header {name}");
    }
    let Some(content) = response["content"].as_object() else {
        assert!(body.is_null(), "{method} {path} {status}: openapi.yaml documents no body: {body}");
        return;
    };
    let media_type = headers.get("content-type").map_or("none", |value| value.split(';').next().unwrap());
    assert!(content.contains_key(media_type), "{method} {path} {status}: {media_type} is not in openapi.yaml: {body}");
    for example in problem_examples().get(body["code"].as_str().unwrap_or_default()).into_iter().flatten() {
        for name in ["type", "title", "status", "detail"] {
            let is_in_english = headers.get("content-language").is_none_or(|language| language == "en");
            let has_many = !is_in_english || OF_A_CASE.contains(&body["code"].as_str().unwrap());
            let is_equal =
                example[name] == body[name] || (name == "detail" && has_many) || (name == "type" && is_page(body));
            assert!(is_equal, "{method} {path} {status}: {name} differs from the example in openapi.yaml: {body}");
        }
    }
    let validator = validator(&format!("{at}/content/{}/schema", pointer(media_type)));
    let errors: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path} {status}: {}\n{body}", errors.join("\n"));
}

/// Whether the type of a problem is its page in the documents of this system.
fn is_page(problem: &Value) -> bool {
    let page = format!("/docs/problems/{}/", problem["code"].as_str().unwrap());
    problem["type"].as_str().is_some_and(|kind| kind.starts_with("http://127.0.0.1:") && kind.ends_with(&page))
}

/// Whether the schema at this pointer into the document allows the value.
pub fn takes(at: &str, value: &Value) -> bool {
    assert!(document().pointer(at).is_some(), "{at} is not in openapi.yaml");
    validator(at).is_valid(value)
}

fn validator(at: &str) -> &'static Validator {
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validators = validators.get_or_insert_default();
    validators.entry(at.to_owned()).or_insert_with(|| {
        // A root schema that refers into the document, so that all references resolve.
        let mut root = document().clone();
        root["$ref"] = json!(format!("#{at}"));
        Box::leak(Box::new(jsonschema::draft202012::new(&root).unwrap()))
    })
}
