//! HTTP over the SDK's own client, to AWS and to others: no second TLS stack in the binary.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use hyper_util::client::legacy;

use crate::config::AwsSettings;

/// How long to wait for a connection to others than AWS.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// More than anyone here has to say, in bytes.
const LARGEST_ANSWER: usize = 65_536;
/// How long a connection may lie idle and be used again. Lambda stops a process between events, and what the other side
/// hangs up on meanwhile looks whole.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// What the certificates of AWS's endpoints end in (<https://www.amazontrust.com/repository/>).
const AMAZON_ROOTS: &str = include_str!("amazon_roots.pem");

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

/// A client for all of the SDK's clients: one connector, so that they share roots and connections. Left to itself, the
/// SDK makes two for each of its clients and parses the roots anew for each.
pub(crate) fn aws_client(settings: &AwsSettings) -> SharedHttpClient {
    let trust = if settings.trusts_system {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    };
    let connector = SharedHttpConnector::new(connector(settings.timeouts.connect, trust));
    http_client_fn(move |_, _| connector.clone())
}

fn connector(connect_timeout: Duration, trust: TrustStore) -> Connector {
    let settings = HttpConnectorSettings::builder().connect_timeout(connect_timeout).build();
    Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trust).build().unwrap_or_default())
        .build()
}

/// A client for others than AWS, made when it is first used: it trusts whom the system trusts, and to read that takes
/// milliseconds. Its callers say how long they wait.
#[derive(Clone)]
pub(crate) struct HttpsClient(Arc<LazyLock<Connector>>);

impl HttpsClient {
    pub(crate) fn new() -> Self {
        Self(Arc::new(LazyLock::new(|| connector(CONNECT_TIMEOUT, TrustStore::default()))))
    }

    /// Reads whom the system trusts, ahead of the first request.
    pub(crate) fn warm(&self) {
        LazyLock::force(&self.0);
    }

    /// Opens a connection ahead of the first request, by one that asks for nothing (RFC 9110 §9.3.2).
    pub(crate) async fn connect(&self, url: &str) -> Result<(), Unanswered> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method("HEAD")?;
        request.set_uri(url)?;
        self.call(request).await.map(drop)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_amazons_five_roots_can_be_read() {
        assert_eq!(AMAZON_ROOTS.matches("BEGIN CERTIFICATE").count(), 5);
        // It panics at one that can't be read.
        aws_client(&AwsSettings::default());
    }
}
