//! A stand-in for Amazon SNS: `Publish` to a phone number over the AWS query protocol, with XML answers.

use axum::http::StatusCode;
use axum::response::Response;

use crate::inbox::is_e164;
use crate::vendors::context::{Context, Fields};
use crate::{answer, random};

const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
/// SNS's limit for an SMS.
const MAXIMUM_CHARACTERS: usize = 1600;

pub fn answer(context: &Context, fields: &Fields) -> Response {
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
    if text.chars().count() > MAXIMUM_CHARACTERS {
        return refused("InvalidParameter", "Invalid parameter: Message too long");
    }
    if let Some(attribute) = ATTRIBUTES.iter().find(|attribute| !attribute.is_absent_or_valid(fields)) {
        return refused("InvalidParameter", &format!("Invalid parameter: {} Reason: it is not valid", attribute.name));
    }
    let sender = value(fields, "AWS.SNS.SMS.SenderID").or_else(|| value(fields, "AWS.MM.SMS.OriginationNumber"));
    // Without a sender, SNS writes NOTICE.
    let from = sender.unwrap_or("NOTICE");
    let id = context.inbox.deliver("sns", number, from, text);
    let request = random::uuid();
    let body = format!(
        "<PublishResponse xmlns=\"{NAMESPACE}\"><PublishResult><MessageId>{id}</MessageId></PublishResult>\
         <ResponseMetadata><RequestId>{request}</RequestId></ResponseMetadata></PublishResponse>"
    );
    answer::with_type(StatusCode::OK, "text/xml", body)
}

pub fn refusal(code: Option<&str>) -> Response {
    match code.unwrap_or("AuthorizationError") {
        // SNS's answer for a number that it cannot send to.
        "InvalidParameter" => refused(
            "InvalidParameter",
            "Invalid parameter: PhoneNumber Reason: it is not valid to publish to, as requested by POST /local/faults.",
        ),
        code => refused(code, "The request was refused, as requested by POST /local/faults."),
    }
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

/// An attribute of a message to a phone, and its required form
/// (<https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html>).
struct Attribute {
    name: &'static str,
    data_type: &'static str,
    is_valid: fn(&str) -> bool,
}

const ATTRIBUTES: [Attribute; 6] = [
    Attribute { name: "AWS.SNS.SMS.SMSType", data_type: "String", is_valid: is_sms_type },
    Attribute { name: "AWS.SNS.SMS.SenderID", data_type: "String", is_valid: is_sender_id },
    Attribute { name: "AWS.SNS.SMS.MaxPrice", data_type: "Number", is_valid: is_price },
    Attribute { name: "AWS.MM.SMS.OriginationNumber", data_type: "String", is_valid: is_origination_number },
    Attribute { name: "AWS.MM.SMS.EntityId", data_type: "String", is_valid: is_registered_in_india },
    Attribute { name: "AWS.MM.SMS.TemplateId", data_type: "String", is_valid: is_registered_in_india },
];

impl Attribute {
    fn is_absent_or_valid(&self, fields: &Fields) -> bool {
        let Some(entry) = entry(fields, self.name) else { return true };
        let data_type = fields.get(&format!("{entry}.Value.DataType")).map(String::as_str);
        data_type == Some(self.data_type) && value(fields, self.name).is_some_and(self.is_valid)
    }
}

/// The query protocol writes a map as `MessageAttributes.entry.N.Name` and
/// `MessageAttributes.entry.N.Value.StringValue`.
fn entry<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let (key, _) = fields
        .iter()
        .find(|(key, value)| key.starts_with("MessageAttributes.entry.") && key.ends_with(".Name") && *value == name)?;
    key.strip_suffix(".Name")
}

fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(&format!("{}.Value.StringValue", entry(fields, name)?)).map(String::as_str)
}

fn is_sms_type(sms_type: &str) -> bool {
    ["Promotional", "Transactional"].contains(&sms_type)
}

fn is_price(price: &str) -> bool {
    price.parse::<f64>().is_ok_and(|price| price.is_finite() && price > 0.0)
}

fn is_origination_number(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (5..=14).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_registered_in_india(id: &str) -> bool {
    (1..=50).contains(&id.len())
}

fn is_sender_id(sender: &str) -> bool {
    (3..=11).contains(&sender.len())
        && sender.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && sender.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
