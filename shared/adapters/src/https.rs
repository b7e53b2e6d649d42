//! HTTP over the SDK's own client, to AWS and to others: no second TLS stack in the binary.

use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};

use crate::config::AwsSettings;

/// How long to wait for a connection to others than AWS.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_000);
/// How long a connection may lie idle and be used again. Lambda stops a process between events, and what the other side
/// hangs up on meanwhile looks whole.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// What the certificates of AWS's endpoints end in (<https://www.amazontrust.com/repository/>).
const AMAZON_ROOTS: &str = include_str!("amazon_roots.pem");

/// A client for all of the SDK's clients: one connector, so that they share roots and connections. Left to itself, the
/// SDK makes two for each of its clients and parses the roots anew for each.
pub(crate) fn aws_client(settings: &AwsSettings) -> SharedHttpClient {
    let trust = if settings.trusts_system {
        TrustStore::default()
    } else {
        TrustStore::empty().with_pem_certificate(AMAZON_ROOTS)
    };
    let connector = SharedHttpConnector::new(connector_with(settings.timeouts.connect, trust));
    http_client_fn(move |_, _| connector.clone())
}

/// A client for others than AWS, which trusts whom the system trusts: to read its roots takes milliseconds.
pub(crate) fn connector() -> Connector {
    connector_with(CONNECT_TIMEOUT, TrustStore::default())
}

fn connector_with(connect_timeout: Duration, trust: TrustStore) -> Connector {
    let settings = HttpConnectorSettings::builder().connect_timeout(connect_timeout).build();
    Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .sleep_impl(TokioSleep::new())
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trust).build().unwrap_or_default())
        .build()
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
