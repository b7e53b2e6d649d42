//! A client's request: a line with method and path, headers, an empty line, a body. The function receives the event that
//! API Gateway would make of it.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Map, Value, json};

fuzz_target!(|request: &[u8]| -> Corpus {
    let Some(event) = event(request).and_then(|event| serde_json::from_value(event).ok()) else {
        return Corpus::Reject;
    };
    fuzz::serve(event);
    Corpus::Keep
});

fn event(request: &[u8]) -> Option<Value> {
    let end = request.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (std::str::from_utf8(request.get(..end)?).ok()?, request.get(end.checked_add(2)?..)?);
    let mut lines = head.lines();
    let (method, path) = lines.next()?.split_once(' ')?;
    let header = |line: &str| Some((line.split_once(':')?.0.to_lowercase(), json!(line.split_once(':')?.1.trim())));
    let headers: Map<String, Value> = lines.filter_map(header).collect();
    let text = std::str::from_utf8(body);
    Some(json!({
        "version": "2.0",
        "rawPath": path,
        "headers": headers,
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "203.0.113.7"}, "stage": "$default"},
        "body": text.map_or_else(|_| STANDARD.encode(body), str::to_owned),
        "isBase64Encoded": text.is_err(),
    }))
}
