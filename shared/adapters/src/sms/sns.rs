//! Amazon SNS, directly to a phone number (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).

use std::sync::{Arc, OnceLock};

use aws_sdk_sns::Client;
use aws_sdk_sns::config::retry::RetryConfig;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::types::MessageAttributeValue;
use domain::rules::message::Message;
use domain::values::phone::DialledNumber;

use super::outcome::{MessageId, Outcome};
use crate::app::App;
use crate::config::SnsConfig;
use crate::https::{CONNECT_TIMEOUT, NoResponse};

/// The calling code for which SNS requires entity and template.
const INDIA: u16 = 91;

#[derive(Clone)]
pub(super) struct Sns {
    app: App,
    /// Made for the first message, because making one takes as long as a request and most processes send none by SNS.
    client: Arc<OnceLock<Client>>,
}

impl Sns {
    pub(super) fn new(app: &App) -> Self {
        Self { app: app.clone(), client: Arc::default() }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| client(&self.app))
    }

    pub(super) async fn send(&self, to: &DialledNumber, message: &Message) -> Outcome {
        let mut publish = self.client().publish().phone_number(to.number.e164()).message(message.reveal());
        for (name, data_type, value) in self.attributes(to) {
            match MessageAttributeValue::builder().data_type(data_type).string_value(value).build() {
                Ok(attribute) => publish = publish.message_attributes(name, attribute),
                Err(error) => return Outcome::RefusedUs(error.to_string()),
            }
        }
        match publish.send().await {
            Ok(answer) => Outcome::Accepted(answer.message_id().and_then(MessageId::new)),
            // An unreadable response may be a success.
            Err(SdkError::TimeoutError(_) | SdkError::ResponseError(_)) => Outcome::Unknown,
            Err(SdkError::DispatchFailure(failure)) => {
                failure.as_connector_error().map_or(NoResponse::Lost, NoResponse::from).into()
            }
            Err(error) => read(error.code(), error.message()),
        }
    }

    /// Names, types and values (<https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html>).
    fn attributes(&self, to: &DialledNumber) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let SnsConfig { sender_id, max_price, origination_number, india } = &self.app.config.sms.sns;
        let india = india.as_ref().filter(|_| to.calling_code == INDIA);
        [
            ("AWS.SNS.SMS.SMSType", "String", Some("Transactional")),
            ("AWS.SNS.SMS.SenderID", "String", sender_id.as_deref()),
            ("AWS.SNS.SMS.MaxPrice", "Number", max_price.as_deref()),
            ("AWS.MM.SMS.OriginationNumber", "String", origination_number.as_deref()),
            ("AWS.MM.SMS.EntityId", "String", india.map(|(entity, _)| entity.as_str())),
            ("AWS.MM.SMS.TemplateId", "String", india.map(|(_, template)| template.as_str())),
        ]
        .into_iter()
        .filter_map(|(name, data_type, value)| Some((name, data_type, value?)))
    }
}

fn client(app: &App) -> Client {
    // No retries, because a second `Publish` is a second message. The caller limits the time.
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .disable_read_timeout()
        .disable_operation_attempt_timeout()
        .disable_operation_timeout();
    let mut config = aws_sdk_sns::config::Builder::from(&app.aws)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    config.set_endpoint_url(app.config.aws.sns_endpoint.clone());
    Client::from_conf(config.build())
}

/// What an error means. <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors>
pub(super) fn read(code: Option<&str>, message: Option<&str>) -> Outcome {
    let Some(code) = code else { return Outcome::Unavailable("no connection".into()) };
    // An invalid sender id or origination number is an invalid parameter too, and not the number's fault.
    let is_of_number = message.is_some_and(|message| message.contains("PhoneNumber"));
    match code {
        "InvalidParameter" | "ParameterValueInvalid" | "InvalidParameterValue" if is_of_number => {
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
    fn each_documented_error_has_the_documented_meaning() {
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
