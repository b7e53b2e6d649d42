//! Amazon SNS, as far as an SMS goes: `Publish` to a phone number over the AWS query protocol, with XML answers.

use axum::http::StatusCode;
use axum::response::Response;

use crate::inbox::is_e164;
use crate::vendors::{Fields, Vendors};
use crate::{answer, random};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
/// SNS's limit for an SMS, in characters.
const LONGEST: usize = 1600;

pub fn answer(vendors: &Vendors, fields: &Fields) -> Response {
    if fields.get("Action").map(String::as_str) != Some("Publish") {
        return refused("InvalidAction", "The action or operation requested is invalid.");
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    if !field("TopicArn").is_empty() || !field("TargetArn").is_empty() {
        return refused("AuthorizationError", "Only a PhoneNumber can be published to.");
    }
    let number = field("PhoneNumber");
    if !is_e164(number) {
        let message = format!("Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to");
        return refused("InvalidParameter", &message);
    }
    let text = field("Message");
    if text.is_empty() {
        return refused("InvalidParameter", "Invalid parameter: Empty message");
    }
    if text.chars().count() > LONGEST {
        return refused("InvalidParameter", "Invalid parameter: Message too long");
    }
    let sender = attribute(fields, "AWS.SNS.SMS.SenderID");
    if sender.is_some_and(|sender| !is_sender_id(sender)) {
        return refused(
            "InvalidParameter",
            "Invalid parameter: SenderID Reason: not 3 to 11 letters, digits or hyphens",
        );
    }
    // SNS writes NOTICE where the sender has no name of its own.
    let from = sender.or_else(|| attribute(fields, "AWS.MM.SMS.OriginationNumber")).unwrap_or("NOTICE");
    let id = vendors.inbox.deliver("sns", number, from, text);
    let request = random::uuid();
    let body = format!(
        "<PublishResponse xmlns=\"{NAMESPACE}\"><PublishResult><MessageId>{id}</MessageId></PublishResult>\
         <ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></PublishResponse>"
    );
    answer::with_type(StatusCode::OK, "text/xml", body)
}

/// SNS's refusal by a code of its own.
pub fn refusal(code: Option<&str>) -> Response {
    refused(code.unwrap_or("AuthorizationError"), "The request was refused, as asked of POST /local/faults.")
}

pub fn error() -> Response {
    refused("InternalError", "An internal error occurred.")
}

fn refused(code: &str, message: &str) -> Response {
    let (status, fault) = match code {
        "AuthorizationError" => (StatusCode::FORBIDDEN, "Sender"),
        "Throttled" => (StatusCode::TOO_MANY_REQUESTS, "Sender"),
        "InternalError" => (StatusCode::INTERNAL_SERVER_ERROR, "Receiver"),
        _ => (StatusCode::BAD_REQUEST, "Sender"),
    };
    let (code, message, request) = (escape(code), escape(message), random::uuid());
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request}</RequestId></ErrorResponse>"
    );
    answer::with_type(status, "text/xml", body)
}

/// `MessageAttributes.entry.N.Name` and `….Value.StringValue` are how the query protocol writes a map.
fn attribute<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let (key, _) = fields
        .iter()
        .find(|(key, value)| key.starts_with("MessageAttributes.entry.") && key.ends_with(".Name") && *value == name)?;
    let entry = key.strip_suffix(".Name")?;
    fields.get(&format!("{entry}.Value.StringValue")).map(String::as_str)
}

fn is_sender_id(sender: &str) -> bool {
    (3..=11).contains(&sender.len())
        && sender.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && sender.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
