//! Sparrow SMS, version 2: one form-encoded request (<https://docs.sparrowsms.com/sms/outgoing_sendsms/>).

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use domain::message::Message;
use domain::phone::DialledNumber;
use serde::Deserialize;

use super::{ANSWER_TIMEOUT, Outcome};
use crate::secrets::GatewaySecret;

/// All that connecting, asking and reading may take.
const TIMEOUT: Duration = ANSWER_TIMEOUT;
/// Response codes that blame the number: invalid receiver, no valid receiver.
const NUMBERS_FAULT: [i64; 2] = [1007, 1011];

#[derive(Clone)]
pub(super) struct Sparrow {
    connector: Arc<Connector>,
    url: String,
    secret: GatewaySecret,
}

/// The vendor documents these members; others may come.
#[derive(Deserialize)]
struct Reply {
    response_code: i64,
}

impl Sparrow {
    pub(super) fn new(connector: Arc<Connector>, base_url: &str, secret: GatewaySecret) -> Self {
        Self { connector, url: format!("{base_url}/v2/sms/"), secret }
    }

    pub(super) async fn warm(&self) {
        let _ = self.secret.credentials().await;
    }

    pub(super) async fn send(&self, to: &DialledNumber, message: &Message) -> Outcome {
        let credentials = match self.secret.credentials().await {
            Ok(credentials) => credentials,
            Err(unavailable) => return Outcome::Failed(unavailable.to_string()),
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", &credentials.sparrow_token)
            .append_pair("from", &credentials.sparrow_identity)
            // Ten digits, without +977.
            .append_pair("to", to.national())
            .append_pair("text", message.reveal())
            .finish();
        let Ok(request) = self.request(form) else {
            return Outcome::Failed("SPARROW_BASE_URL is not a URL".to_owned());
        };
        match tokio::time::timeout(TIMEOUT, self.ask(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed("no answer in time".to_owned()),
        }
    }

    fn request(&self, form: String) -> Result<HttpRequest, aws_smithy_runtime_api::http::HttpError> {
        let mut request = HttpRequest::new(SdkBody::from(form));
        request.set_method("POST")?;
        request.set_uri(self.url.as_str())?;
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
        Ok(request)
    }

    async fn ask(&self, request: HttpRequest) -> Outcome {
        let response = match self.connector.call(request).await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return Outcome::Failed("no answer in time".to_owned()),
            Err(_) => return Outcome::Failed("out of reach".to_owned()),
        };
        let status = response.status().as_u16();
        let Ok(body) = ByteStream::new(response.into_body()).collect().await else {
            return Outcome::Failed(format!("status {status}, and the answer broke off"));
        };
        read_reply(status, &body.into_bytes())
    }
}

/// What an answer means.
fn read_reply(status: u16, body: &[u8]) -> Outcome {
    match (status, serde_json::from_slice::<Reply>(body)) {
        (200, Ok(Reply { response_code: 200 })) => Outcome::Accepted,
        (_, Ok(Reply { response_code })) if NUMBERS_FAULT.contains(&response_code) => Outcome::NumberRefused,
        (_, Ok(Reply { response_code })) => Outcome::Failed(format!("response code {response_code}")),
        (status, Err(_)) => Outcome::Failed(format!("status {status}, and an answer that can't be read")),
    }
}
