//! HTTP over the SDK's own client, to AWS and to other services, so that the binary has one TLS stack.

use std::error::Error as StdError;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse as SdkResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use hyper_util::client::legacy;
use thiserror::Error;
use tokio::time::timeout;

use crate::config::AwsConfig;

/// How long to wait for a connection to services other than AWS.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Larger than any documented response, in bytes.
const MAX_RESPONSE_BYTES: usize = 65_536;
/// How long an idle connection may be used again. Lambda stops a process between events, and a connection that the other
/// side closes in the meantime still looks open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The roots of the certificates of AWS's endpoints (<https://www.amazontrust.com/repository/>).
const AMAZON_ROOTS: &str = include_str!("amazon_roots.pem");

#[derive(Default)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) cache_control: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoResponse {
    /// Nothing was sent.
    #[error("the URL or a header is invalid")]
    InvalidRequest,
    /// Nothing was sent.
    #[error("no connection")]
    NotConnected,
    /// The request may have arrived: the response did not come, or not completely.
    #[error("no response")]
    Lost,
}

impl From<HttpError> for NoResponse {
    fn from(_: HttpError) -> Self {
        Self::InvalidRequest
    }
}

impl From<&ConnectorError> for NoResponse {
    fn from(error: &ConnectorError) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut was_connected = !error.is_user();
        while let Some(error) = cause {
            if error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
                was_connected = false;
            }
            cause = error.source();
        }
        if was_connected { Self::Lost } else { Self::NotConnected }
    }
}

/// One connector for all of the SDK's clients, so that they share roots and connections. By default the SDK makes two for
/// each client and parses the roots again for each.
pub(crate) fn aws_client(config: &AwsConfig) -> SharedHttpClient {
    let trust = if config.trusts_system {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    };
    let connector = SharedHttpConnector::new(connector(config.timeouts.connect, trust));
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

/// A client for services other than AWS. It is made when it is first used, because reading the system's roots takes
/// milliseconds. Its callers limit the time.
#[derive(Clone)]
pub(crate) struct HttpsClient(Arc<LazyLock<Connector>>);

impl HttpsClient {
    pub(crate) fn new() -> Self {
        Self(Arc::new(LazyLock::new(|| connector(CONNECT_TIMEOUT, TrustStore::default()))))
    }

    pub(crate) fn load_roots(&self) {
        LazyLock::force(&self.0);
    }

    /// Opens a connection by a request without effect (`HEAD`, RFC 9110 §9.3.2).
    pub(crate) async fn connect(&self, url: &str) -> Result<(), NoResponse> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method("HEAD")?;
        request.set_uri(url)?;
        self.call(request).await.map(drop)
    }

    pub(crate) async fn get(&self, url: &str) -> Result<HttpResponse, NoResponse> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(url)?;
        self.call(request).await
    }

    pub(crate) async fn post_form(
        &self,
        url: &str,
        authorization: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Result<HttpResponse, NoResponse> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post(url, authorization, "application/x-www-form-urlencoded", form).await
    }

    pub(crate) async fn post_json(
        &self,
        url: &str,
        authorization: &str,
        body: String,
    ) -> Result<HttpResponse, NoResponse> {
        self.post(url, Some(authorization), "application/json", body).await
    }

    async fn post(
        &self,
        url: &str,
        authorization: Option<&str>,
        media_type: &'static str,
        body: String,
    ) -> Result<HttpResponse, NoResponse> {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(url)?;
        request.headers_mut().insert("content-type", media_type);
        if let Some(authorization) = authorization {
            request.headers_mut().try_insert("authorization", authorization.to_owned())?;
        }
        self.call(request).await
    }

    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, NoResponse> {
        let response = self.0.call(request).await.map_err(|error| NoResponse::from(&error))?;
        let status = response.status().as_u16();
        let cache_control = response.headers().get("cache-control").map(str::to_owned);
        Ok(HttpResponse { status, cache_control, body: body(response).await? })
    }
}

/// Status and body of a page, for tools; nothing that a function needs.
pub async fn page(url: &str) -> Result<(u16, Vec<u8>), NoResponse> {
    let client = HttpsClient::new();
    let answer = timeout(PAGE_TIMEOUT, client.get(url)).await;
    let HttpResponse { status, body, .. } = answer.map_err(|_| NoResponse::Lost)??;
    Ok((status, body))
}

async fn body(response: SdkResponse) -> Result<Vec<u8>, NoResponse> {
    let mut parts = ByteStream::new(response.into_body());
    let mut body = Vec::new();
    while let Some(part) = parts.next().await {
        body.extend_from_slice(&part.map_err(|_| NoResponse::Lost)?);
        if body.len() > MAX_RESPONSE_BYTES {
            return Err(NoResponse::Lost);
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_amazon_roots_are_readable() {
        assert_eq!(AMAZON_ROOTS.matches("BEGIN CERTIFICATE").count(), 5);
        // Panics at an unreadable one.
        aws_client(&AwsConfig::default());
    }
}
