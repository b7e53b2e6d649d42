//! TLS in front of the emulated services on loopback, with certificates that this process issues: the handshake is most
//! of what a connection adds to a cold start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rcgen::{DnType, SanType};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::failure::Failure;

/// Why a connection ended early. Only its client needs to know, so it is dropped.
type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// A certificate authority, and the certificate that it issued for 127.0.0.1.
pub struct Authority {
    /// The authority's own certificate, which clients must trust.
    pub pem: String,
    acceptor: TlsAcceptor,
}

impl Authority {
    pub fn new() -> Result<Self, Failure> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "latchkey-bench");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::default();
        server.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let certificate = server.signed_by(&server_key, &issuer)?;
        let key = PrivateKeyDer::try_from(server_key.serialize_der())?;
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Self { pem, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Serves `router` behind TLS until this process ends.
    pub async fn serve(&self, router: Router) -> Result<SocketAddr, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), client, router.clone()));
            }
        });
        Ok(address)
    }
}

async fn answer(acceptor: TlsAcceptor, client: TcpStream, router: Router) -> Result<(), ConnectionError> {
    client.set_nodelay(true)?;
    let client = TokioIo::new(acceptor.accept(client).await?);
    Builder::new(TokioExecutor::new()).http1_only().serve_connection(client, TowerToHyperService::new(router)).await
}
