//! A stand-in for Sparrow SMS, version 2: `POST /sparrow/v2/sms/` and `GET /sparrow/v2/credit/`. Its answers are the
//! vendor's, spelling mistakes included (docs.sparrowsms.com, outgoing_sendsms and outgoing_credits).

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::json;

use crate::answer;
use crate::vendors::context::{Context, Fields};

/// The prepaid messages that remain. They are never used up.
const CREDITS: u32 = 1000;

pub fn answer(context: &Context, method: &Method, path: &str, fields: &Fields) -> Response {
    match (method, path.trim_end_matches('/')) {
        (&Method::POST, "/v2/sms") => send(context, fields),
        (&Method::GET, "/v2/credit") => credit(context, fields),
        (_, "/v2/sms" | "/v2/credit") => answer::gateway_message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
        _ => answer::gateway_message(StatusCode::NOT_FOUND, "Not Found"),
    }
}

pub fn refusal(code: Option<&str>) -> Response {
    let code: u32 = code.and_then(|code| code.parse().ok()).unwrap_or(1002);
    let response = match code {
        1000 => "A required field is missing",
        1001 => "Invalid IP Address",
        1002 => "Invalid Token",
        1003 | 1004 => "Account Inactive",
        1005 | 1006 => "Account has been expired",
        1007 => "Invalid Receiver",
        1008 => "Invalid Sender",
        1010 => "Text cannot be empty",
        1011 => "No valid receiver",
        1012 => "No Credits Available",
        1013 => "Insufficient Credits",
        _ => "Unknown error",
    };
    answer::json(StatusCode::FORBIDDEN, &json!({ "response_code": code, "response": response }))
}

pub fn error() -> Response {
    answer::with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "<h1>Server Error (500)</h1>")
}

fn send(context: &Context, fields: &Fields) -> Response {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let (Some(token), Some(from), Some(to), Some(text)) = (field("token"), field("from"), field("to"), field("text"))
    else {
        return refused(1000);
    };
    if !context.is_gateway_credential("SPARROW_TOKEN", token) {
        return refused(1002);
    }
    if !context.is_gateway_credential("SPARROW_IDENTITY", from) {
        return refused(1008);
    }
    if text.trim().is_empty() {
        return refused(1010);
    }
    let named: Vec<&str> = to.split(',').map(str::trim).filter(|number| !number.is_empty()).collect();
    let valid: Vec<&str> = named.iter().copied().filter(|number| is_mobile(number)).collect();
    if valid.is_empty() {
        return refused(if named.len() == 1 { 1007 } else { 1011 });
    }
    for number in &valid {
        context.inbox.deliver("sparrow", &format!("+977{number}"), from, text);
    }
    let count = valid.len();
    let response = format!("{count} mesages has been queued for delivery");
    answer::json(StatusCode::OK, &json!({ "count": count, "response_code": 200, "response": response }))
}

fn credit(context: &Context, fields: &Fields) -> Response {
    match fields.get("token") {
        None => refused(1000),
        Some(token) if !context.is_gateway_credential("SPARROW_TOKEN", token) => refused(1002),
        Some(_) => {
            let body = json!({ "credits_available": CREDITS, "credits_consumed": 0, "response_code": 200 });
            answer::json(StatusCode::OK, &body)
        }
    }
}

fn refused(code: u32) -> Response {
    refusal(Some(&code.to_string()))
}

/// Ten national digits; a mobile number in Nepal begins with 9.
fn is_mobile(number: &str) -> bool {
    number.len() == 10 && number.starts_with('9') && number.bytes().all(|digit| digit.is_ascii_digit())
}
