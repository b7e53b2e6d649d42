//! Amazon SNS, straight to a phone number (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).

use aws_sdk_sns::Client;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::types::MessageAttributeValue;
use domain::message::Message;
use domain::phone::DialledNumber;

use super::Outcome;
use crate::app::App;

#[derive(Clone)]
pub(super) struct Sns {
    client: Client,
    sender_id: Option<String>,
}

impl Sns {
    pub(super) fn new(app: &App) -> Self {
        let mut config = aws_sdk_sns::config::Builder::from(&app.aws);
        config.set_endpoint_url(app.config.aws.sns_endpoint.clone());
        Self { client: Client::from_conf(config.build()), sender_id: app.config.sns_sender_id.clone() }
    }

    pub(super) async fn send(&self, to: &DialledNumber, message: &Message) -> Outcome {
        let text = |value: &str| MessageAttributeValue::builder().data_type("String").string_value(value).build().ok();
        let attributes =
            [("AWS.SNS.SMS.SMSType", Some("Transactional")), ("AWS.SNS.SMS.SenderID", self.sender_id.as_deref())];
        let mut publish = self.client.publish().phone_number(to.number.e164()).message(message.reveal());
        for (name, value) in attributes {
            if let Some(value) = value.and_then(text) {
                publish = publish.message_attributes(name, value);
            }
        }
        match publish.send().await {
            Ok(_) => Outcome::Accepted,
            // What timed out or broke off may have been published.
            Err(SdkError::TimeoutError(_) | SdkError::ResponseError(_)) => Outcome::Unknown,
            Err(error) => read(error.code(), error.message()),
        }
    }
}

/// What an error means. <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors>
pub(super) fn read(code: Option<&str>, message: Option<&str>) -> Outcome {
    let Some(code) = code else { return Outcome::Unavailable("out of reach".into()) };
    // A bad sender id or origination number is an invalid parameter too: that is our fault, not the number's.
    let of_the_number = message.is_some_and(|message| message.contains("PhoneNumber"));
    match code {
        "InvalidParameter" | "ParameterValueInvalid" | "InvalidParameterValue" if of_the_number => {
            Outcome::NumberRefused
        }
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Throttled" | "Throttling" => {
            Outcome::Unavailable(code.to_owned())
        }
        _ => Outcome::RefusedUs(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_error_means_what_aws_says() {
        let number = "Invalid parameter: PhoneNumber Reason: it is not valid to publish to";
        for (code, message, kind) in [
            (Some("InvalidParameter"), Some(number), "number_refused"),
            (Some("ParameterValueInvalid"), Some("PhoneNumber is not valid"), "number_refused"),
            (Some("InvalidParameter"), Some("Invalid parameter: SenderID"), "refused_us"),
            (Some("InvalidParameter"), None, "refused_us"),
            (Some("ValidationException"), Some("…"), "refused_us"),
            (Some("AuthorizationError"), Some("…"), "refused_us"),
            (Some("InternalError"), Some("…"), "unavailable"),
            (Some("Throttled"), Some("…"), "unavailable"),
            (None, None, "unavailable"),
        ] {
            assert_eq!(read(code, message).kind(), kind, "{code:?}");
        }
    }
}
