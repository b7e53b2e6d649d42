//! A stand-in for Twilio's messaging API: `POST /twilio/2010-04-01/Accounts/{Sid}/Messages.json`.

use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::inbox::is_e164;
use crate::vendors::context::{Context, Fields};
use crate::{answer, random};

/// Twilio's limit for a message.
const MAXIMUM_CHARACTERS: usize = 1600;

pub fn answer(context: &Context, method: &Method, path: &str, headers: &HeaderMap, fields: &Fields) -> Response {
    let account = path.strip_prefix("/2010-04-01/Accounts/").and_then(|rest| rest.strip_suffix("/Messages.json"));
    let Some(account) = account.filter(|account| !account.contains('/')) else {
        return refused(20404);
    };
    if method != Method::POST {
        return refused(20004);
    }
    if !is_authenticated(headers, account) {
        return refused(20003);
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let (to, text) = (field("To"), field("Body"));
    let from = if field("From").is_empty() { field("MessagingServiceSid") } else { field("From") };
    if to.is_empty() {
        return refused(21604);
    }
    if !is_e164(to) {
        return refused(21211);
    }
    if from.is_empty() {
        return refused(21603);
    }
    if text.is_empty() {
        return refused(21602);
    }
    if text.chars().count() > MAXIMUM_CHARACTERS {
        return refused(21617);
    }
    context.inbox.deliver("twilio", to, from, text);
    let sid = format!("SM{}", random::hex(16));
    let body = json!({
        "sid": sid, "account_sid": account, "status": "queued", "direction": "outbound-api",
        "to": to, "from": field("From"), "messaging_service_sid": field("MessagingServiceSid"), "body": text,
        "num_segments": "1", "num_media": "0", "error_code": null, "error_message": null,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{sid}.json"),
    });
    answer::json(StatusCode::CREATED, &body)
}

pub fn refusal(code: Option<&str>) -> Response {
    refused(code.and_then(|code| code.parse().ok()).unwrap_or(20003))
}

pub fn error() -> Response {
    refused(20500)
}

fn refused(code: u32) -> Response {
    let (status, message) = match code {
        20003 => (StatusCode::UNAUTHORIZED, "Authenticate"),
        20004 => (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        20404 => (StatusCode::NOT_FOUND, "The requested resource was not found"),
        20429 => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        20500 => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        21211 => (StatusCode::BAD_REQUEST, "Invalid 'To' Phone Number"),
        21602 => (StatusCode::BAD_REQUEST, "Message body is required."),
        21603 => (StatusCode::BAD_REQUEST, "A 'From' phone number is required."),
        21604 => (StatusCode::BAD_REQUEST, "A 'To' phone number is required."),
        21610 => (StatusCode::BAD_REQUEST, "Attempt to send to unsubscribed recipient"),
        21612 => (StatusCode::BAD_REQUEST, "The 'To' phone number is not currently reachable via SMS"),
        21614 => (StatusCode::BAD_REQUEST, "'To' number is not a valid mobile number"),
        21617 => (StatusCode::BAD_REQUEST, "The concatenated message body exceeds the 1600 character limit"),
        30450 => (StatusCode::FORBIDDEN, "Message delivery blocked"),
        30453 => (StatusCode::FORBIDDEN, "Message couldn't be delivered"),
        60410 => (StatusCode::FORBIDDEN, "Verification delivery attempt blocked"),
        _ => (StatusCode::BAD_REQUEST, "Refused"),
    };
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status.as_u16() });
    answer::json(status, &body)
}

/// Whether the Basic credentials are of the account or of one of its API keys. Any password is accepted.
fn is_authenticated(headers: &HeaderMap, account: &str) -> bool {
    let credentials = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let decoded = credentials
        .and_then(|credentials| credentials.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = decoded.as_deref().and_then(|decoded| decoded.split_once(':'));
    parts.is_some_and(|(user, password)| (user == account || user.starts_with("SK")) && !password.is_empty())
}
