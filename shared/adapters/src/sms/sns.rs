//! Amazon SNS, straight to a phone number (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).

use aws_sdk_sns::Client;
use aws_sdk_sns::error::ProvideErrorMetadata;
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
            Err(error) => match error.code() {
                Some(
                    "InvalidParameter"
                    | "InvalidParameterException"
                    | "ParameterValueInvalid"
                    | "InvalidParameterValueException",
                ) => Outcome::NumberRefused,
                Some(code) => Outcome::Failed(code.to_owned()),
                None => Outcome::Failed("out of reach".to_owned()),
            },
        }
    }
}
