//! Sparrow SMS, version 2: one form-encoded request (<https://docs.sparrowsms.com/sms/outgoing_sendsms/>).

use domain::rules::message::Message;
use domain::values::phone::DialledNumber;
use serde::Deserialize;
use serde_json::Value;

use super::outcome::{MessageId, Outcome};
use crate::https::{HttpResponse, HttpsClient};
use crate::secrets::GatewayCredentials;

#[derive(Clone)]
pub(super) struct Sparrow {
    client: HttpsClient,
    url: String,
}

/// The vendor may send further members.
#[derive(Deserialize)]
struct Answer {
    response_code: i64,
    #[serde(default)]
    message_id: Value,
}

impl Sparrow {
    pub(super) fn new(client: HttpsClient, base_url: &str) -> Self {
        Self { client, url: format!("{base_url}/v2/sms/") }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn send(
        &self,
        credentials: &GatewayCredentials,
        to: &DialledNumber,
        message: &Message,
    ) -> Outcome {
        // Ten digits, without +977.
        let (to, text) = (to.national(), message.reveal());
        let fields = [
            ("token", credentials.sparrow_token.as_str()),
            ("from", &credentials.sparrow_identity),
            ("to", to),
            ("text", text),
        ];
        self.client.post_form(&self.url, None, &fields).await.map_or_else(Outcome::from, |response| read(&response))
    }
}

pub(super) fn read(response: &HttpResponse) -> Outcome {
    let Ok(Answer { response_code, message_id }) = serde_json::from_slice(&response.body) else {
        return match response.status {
            // The gateway may have accepted the message.
            200..=299 => Outcome::Unknown,
            status => Outcome::Unavailable(format!("status {status}, and an unreadable response")),
        };
    };
    match (response.status, response_code) {
        (200, 200) => Outcome::Accepted(MessageId::of_json(&message_id)),
        // Invalid receiver; no valid receiver.
        (_, 1007 | 1011) => Outcome::NumberRefused,
        // A field, our address, token, account, sender, text or credit.
        (_, 1000..=1006 | 1008 | 1010 | 1012 | 1013) => Outcome::RefusedUs(format!("response code {response_code}")),
        (status, code) => Outcome::Unavailable(format!("status {status}, response code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        read(&HttpResponse { status, body: body.as_bytes().to_vec(), ..HttpResponse::default() }).kind()
    }

    #[test]
    fn each_documented_response_has_the_documented_meaning() {
        let queued = r#"{"count":1,"response_code":200,"response":"1 mesages has been queued for delivery"}"#;
        assert_eq!(kind(200, queued), "accepted");
        let with_extras = r#"{"count":1,"response_code":200,"response":"…","message_id":7,"credit_available":9.5,"credit_consumed":1}"#;
        assert_eq!(kind(200, with_extras), "accepted");
        let id = |body: &str| match read(&HttpResponse {
            status: 200,
            body: body.as_bytes().to_vec(),
            ..HttpResponse::default()
        }) {
            Outcome::Accepted(id) => id.map(|id| id.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!((id(queued), id(with_extras)), (None, Some("7".to_owned())));
        for code in [1000, 1001, 1002, 1003, 1004, 1005, 1006, 1008, 1010, 1012, 1013] {
            assert_eq!(kind(403, &format!(r#"{{"response_code":{code},"response":"…"}}"#)), "refused_us", "{code}");
        }
        for code in [1007, 1011] {
            assert_eq!(kind(403, &format!(r#"{{"response_code":{code},"response":"…"}}"#)), "number_refused", "{code}");
        }
    }

    #[test]
    fn an_undocumented_response_is_an_outage_and_an_unreadable_success_is_unknown() {
        assert_eq!(kind(403, r#"{"response_code":1999,"response":"new"}"#), "unavailable");
        assert_eq!(kind(500, "<html>Internal Server Error</html>"), "unavailable");
        assert_eq!(kind(502, ""), "unavailable");
        assert_eq!(kind(403, r#"{"response_code":100"#), "unavailable");
        assert_eq!(kind(200, r#"{"count":1,"respo"#), "unknown");
        assert_eq!(kind(200, "[]"), "unknown");
        assert_eq!(kind(200, r#"{"response_code":"200"}"#), "unknown");
    }
}
