//! Twilio messaging: one form-encoded request, HTTP Basic
//! (<https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::message::Message;
use domain::phone::DialledNumber;
use serde::Deserialize;

use super::{MessageId, Outcome};
use crate::https::{HttpsClient, Reply};
use crate::secrets::GatewayCredentials;

#[derive(Clone)]
pub(super) struct Twilio {
    client: HttpsClient,
    base_url: String,
    /// A code is of no use after it has expired, so neither is its message. Seconds.
    validity: String,
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Refused {
    code: i64,
}

impl Twilio {
    pub(super) fn new(client: HttpsClient, base_url: &str, code_lifetime_seconds: u32) -> Self {
        Self { client, base_url: base_url.to_owned(), validity: code_lifetime_seconds.to_string() }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.base_url
    }

    pub(super) async fn send(&self, with: &GatewayCredentials, to: &DialledNumber, message: &Message) -> Outcome {
        let account = &with.twilio_account_sid;
        // The account becomes part of a path: a SID is letters and digits, and nothing else is sent.
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Outcome::RefusedUs("the secret holds no TWILIO_ACCOUNT_SID".into());
        }
        let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", self.base_url);
        let basic = format!("Basic {}", STANDARD.encode(format!("{account}:{}", with.twilio_auth_token)));
        let sender = if with.twilio_from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let fields = [
            ("To", to.number.e164()),
            (sender, &with.twilio_from),
            ("Body", message.reveal()),
            ("ValidityPeriod", &self.validity),
        ];
        self.client.post_form(&url, Some(&basic), &fields).await.map_or_else(Outcome::from, |reply| read(&reply))
    }
}

/// What an answer means.
pub(super) fn read(reply: &Reply) -> Outcome {
    match reply.status {
        200..=299 => match serde_json::from_slice::<Created>(&reply.body) {
            Ok(created) if !created.sid.is_empty() => Outcome::Accepted(MessageId::new(&created.sid)),
            // It may have taken the message and failed to say so.
            _ => Outcome::Unknown,
        },
        status => match serde_json::from_slice::<Refused>(&reply.body) {
            // Not a number; unsubscribed; unroutable; a landline.
            Ok(Refused { code: 21211 | 21610 | 21612 | 21614 }) => Outcome::NumberRefused,
            Ok(Refused { code }) if (400..500).contains(&status) && status != 429 => {
                Outcome::RefusedUs(format!("error {code}"))
            }
            Ok(Refused { code }) => Outcome::Unavailable(format!("status {status}, error {code}")),
            Err(_) => Outcome::Unavailable(format!("status {status}, and an answer that can't be read")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        read(&Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }).kind()
    }

    fn refusal(status: u16, code: u32) -> &'static str {
        kind(status, &format!(r#"{{"code":{code},"message":"…","more_info":"…","status":{status}}}"#))
    }

    #[test]
    fn each_documented_answer_means_what_the_vendor_says() {
        assert_eq!(kind(201, r#"{"sid":"SM0123456789abcdef0123456789abcdef","status":"queued"}"#), "accepted");
        for code in [21211, 21610, 21612, 21614] {
            assert_eq!(refusal(400, code), "number_refused", "{code}");
        }
        assert_eq!(refusal(401, 20003), "refused_us");
        assert_eq!(refusal(403, 30450), "refused_us");
        assert_eq!(refusal(429, 20429), "unavailable");
        assert_eq!(refusal(500, 20500), "unavailable");
    }

    #[test]
    fn what_cannot_be_read_is_an_outage_or_not_known() {
        assert_eq!(kind(503, "<html>"), "unavailable");
        assert_eq!(kind(400, r#"{"code":"#), "unavailable");
        assert_eq!(kind(201, r#"{"sid":"SM0123"#), "unknown");
        assert_eq!(kind(201, r#"{"sid":""}"#), "unknown");
    }
}
