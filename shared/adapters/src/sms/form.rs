//! Form-encoded requests to gateways, over the SDK's own HTTP client: no second TLS stack in the binary.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use super::Outcome;

/// How long to wait for a connection to a gateway.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long a gateway may take in all; two of them fit into the function's 15 seconds.
const TIMEOUT: Duration = Duration::from_millis(5_000);

/// What a gateway answered: its status, and its body as far as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct FormClient(Arc<Connector>);

impl FormClient {
    pub(super) fn new() -> Self {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(TIMEOUT).build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        Self(Arc::new(connector))
    }

    /// Posts a form. What kept an answer from coming is an outcome already.
    pub(super) async fn post(
        &self,
        url: &str,
        authorization: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Result<Reply, Outcome> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request =
            request(url, authorization, form).map_err(|_| Outcome::Unavailable("its URL is no URL".into()))?;
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(reply) => reply,
            Err(_) => Err(Outcome::Unknown),
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<Reply, Outcome> {
        let response = match self.0.call(request).await {
            Ok(response) => response,
            // The request may have arrived; nobody can tell.
            Err(error) if error.is_timeout() => return Err(Outcome::Unknown),
            Err(_) => return Err(Outcome::Unavailable("out of reach".into())),
        };
        let status = response.status().as_u16();
        match ByteStream::new(response.into_body()).collect().await {
            Ok(body) => Ok(Reply { status, body: body.to_vec() }),
            Err(_) => Err(Outcome::Unknown),
        }
    }
}

fn request(url: &str, authorization: Option<&str>, form: String) -> Result<HttpRequest, HttpError> {
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri(url)?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", authorization.to_owned());
    }
    Ok(request)
}
