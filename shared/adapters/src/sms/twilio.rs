//! Twilio messaging: one form-encoded request, HTTP Basic
//! (<https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::rules::message::Message;
use domain::values::phone::DialledNumber;
use serde::Deserialize;

use super::outcome::{MessageId, Outcome};
use crate::https::{HttpResponse, HttpsClient};
use crate::secrets::GatewayCredentials;

#[derive(Clone)]
pub(super) struct Twilio {
    client: HttpsClient,
    base_url: String,
    /// The lifetime of a code, after which its message is useless. Seconds.
    validity: String,
}

/// A created message, or an error.
#[derive(Default, Deserialize)]
struct Answer {
    sid: Option<String>,
    /// `error_code` is that of a message that failed at once.
    #[serde(alias = "error_code")]
    code: Option<i64>,
}

impl Twilio {
    pub(super) fn new(client: HttpsClient, base_url: &str, code_lifetime_seconds: u32) -> Self {
        Self { client, base_url: base_url.to_owned(), validity: code_lifetime_seconds.to_string() }
    }

    pub(super) fn url(&self) -> &str {
        &self.base_url
    }

    pub(super) async fn send(
        &self,
        credentials: &GatewayCredentials,
        to: &DialledNumber,
        message: &Message,
    ) -> Outcome {
        let account = &credentials.twilio_account_sid;
        // The account becomes part of a path, and a SID has only letters and digits.
        if !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Outcome::RefusedUs("the secret has no valid TWILIO_ACCOUNT_SID".into());
        }
        let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", self.base_url);
        let basic = format!("Basic {}", STANDARD.encode(format!("{account}:{}", credentials.twilio_auth_token)));
        let sender = if credentials.twilio_from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let fields = [
            ("To", to.number.e164()),
            (sender, &credentials.twilio_from),
            ("Body", message.reveal()),
            ("ValidityPeriod", &self.validity),
        ];
        self.client.post_form(&url, Some(&basic), &fields).await.map_or_else(Outcome::from, |response| read(&response))
    }
}

pub(super) fn read(response: &HttpResponse) -> Outcome {
    let answer = serde_json::from_slice(&response.body);
    let Answer { sid, code } = answer.unwrap_or_default();
    match (response.status, code) {
        // Protection against SMS pumping: <https://www.twilio.com/docs/api/errors/30450>,
        // <https://www.twilio.com/docs/api/errors/30453>, <https://www.twilio.com/docs/api/errors/60410>.
        (_, Some(code @ (30450 | 30453 | 60410))) => Outcome::Blocked(format!("error {code}")),
        (200..=299, _) => match sid {
            Some(sid) if !sid.is_empty() => Outcome::Accepted(MessageId::new(&sid)),
            // The gateway may have accepted the message.
            _ => Outcome::Unknown,
        },
        // Not a number; unsubscribed; unroutable; a landline.
        (_, Some(21211 | 21610 | 21612 | 21614)) => Outcome::NumberRefused,
        (status, Some(code)) if (400..500).contains(&status) && status != 429 => {
            Outcome::RefusedUs(format!("error {code}"))
        }
        (status, Some(code)) => Outcome::Unavailable(format!("status {status}, error {code}")),
        (status, None) => Outcome::Unavailable(format!("status {status}, and an unreadable response")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        read(&HttpResponse { status, body: body.as_bytes().to_vec(), ..HttpResponse::default() }).kind()
    }

    fn refusal(status: u16, code: u32) -> &'static str {
        kind(status, &format!(r#"{{"code":{code},"message":"…","more_info":"…","status":{status}}}"#))
    }

    #[test]
    fn each_documented_response_has_the_documented_meaning() {
        assert_eq!(kind(201, r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}"#), "accepted");
        for code in [21211, 21610, 21612, 21614] {
            assert_eq!(refusal(400, code), "number_refused", "{code}");
        }
        assert_eq!(refusal(401, 20003), "refused_us");
        for code in [30450, 30453, 60410] {
            assert_eq!(refusal(403, code), "blocked", "{code}");
            assert_eq!(refusal(429, code), "blocked", "{code}");
            let failed = format!(r#"{{"sid":"SM0123456789abcdef","status":"failed","error_code":{code}}}"#);
            assert_eq!(kind(201, &failed), "blocked", "{code}");
        }
        assert_eq!(kind(201, r#"{"sid":null,"status":"failed","error_code":30450}"#), "blocked");
        assert_eq!(kind(201, r#"{"sid":"SM0123456789abcdef","status":"queued","error_code":null}"#), "accepted");
        assert_eq!(refusal(429, 20429), "unavailable");
        assert_eq!(refusal(500, 20500), "unavailable");
    }

    #[test]
    fn an_unreadable_response_is_an_outage_and_an_unreadable_success_is_unknown() {
        assert_eq!(kind(503, "<html>"), "unavailable");
        assert_eq!(kind(400, r#"{"code":"#), "unavailable");
        assert_eq!(kind(201, r#"{"sid":"SM0123"#), "unknown");
        assert_eq!(kind(201, r#"{"sid":""}"#), "unknown");
    }
}
