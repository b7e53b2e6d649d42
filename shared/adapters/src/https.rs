//! HTTP to others than AWS, over the SDK's own client: no second TLS stack in the binary.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use hyper_util::client::legacy;

/// How long to wait for a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// More than anyone here has to say, in bytes.
const LARGEST_ANSWER: usize = 65_536;

/// What was answered.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) cache_control: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nothing was sent: the URL is none, or a header can't be one.
    NoRequest,
    /// Nothing was sent: there was no connection.
    OutOfReach,
    /// Nobody can tell what arrived: the answer did not come, or not whole.
    Lost,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRequest => "its URL or a header is none",
            Self::OutOfReach => "out of reach",
            Self::Lost => "no answer",
        })
    }
}

impl Error for Unanswered {}

impl From<HttpError> for Unanswered {
    fn from(_: HttpError) -> Self {
        Self::NoRequest
    }
}

impl From<&ConnectorError> for Unanswered {
    fn from(error: &ConnectorError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        let mut was_connected = !error.is_user();
        while let Some(error) = cause {
            if error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
                was_connected = false;
            }
            cause = error.source();
        }
        if was_connected { Self::Lost } else { Self::OutOfReach }
    }
}

/// A client, made when it is first used. Its callers say how long they wait.
#[derive(Clone)]
pub(crate) struct HttpsClient(Arc<LazyLock<Connector>>);

fn connector() -> Connector {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build()
}

impl HttpsClient {
    pub(crate) fn new() -> Self {
        Self(Arc::new(LazyLock::new(connector)))
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Reply, Unanswered> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(url)?;
        self.call(request).await
    }

    /// Posts a form.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        authorization: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Result<Reply, Unanswered> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post(url, authorization, "application/x-www-form-urlencoded", form).await
    }

    /// Posts JSON.
    pub(crate) async fn post_json(&self, url: &str, authorization: &str, body: String) -> Result<Reply, Unanswered> {
        self.post(url, Some(authorization), "application/json", body).await
    }

    async fn post(
        &self,
        url: &str,
        authorization: Option<&str>,
        media_type: &'static str,
        body: String,
    ) -> Result<Reply, Unanswered> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(url)?;
        request.headers_mut().insert("content-type", media_type);
        if let Some(authorization) = authorization {
            request.headers_mut().try_insert("authorization", authorization.to_owned())?;
        }
        self.call(request).await
    }

    async fn call(&self, request: HttpRequest) -> Result<Reply, Unanswered> {
        let response = self.0.call(request).await.map_err(|error| Unanswered::from(&error))?;
        let status = response.status().as_u16();
        let cache_control = response.headers().get("cache-control").map(str::to_owned);
        Ok(Reply { status, cache_control, body: body(response).await? })
    }
}

async fn body(response: HttpResponse) -> Result<Vec<u8>, Unanswered> {
    let mut parts = ByteStream::new(response.into_body());
    let mut body = Vec::new();
    while let Some(part) = parts.next().await {
        body.extend_from_slice(&part.map_err(|_| Unanswered::Lost)?);
        if body.len() > LARGEST_ANSWER {
            return Err(Unanswered::Lost);
        }
    }
    Ok(body)
}
