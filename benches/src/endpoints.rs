//! TLS in front of the stand-ins on loopback, with certificates of this process's own making: a handshake is most of
//! what a connection costs a cold start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rcgen::{DnType, SanType};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Fault;

/// An authority, and the certificate that it gave to 127.0.0.1.
pub struct Authority {
    /// The authority's certificate, for those who are to trust it.
    pub pem: String,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self, Fault> {
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

    /// Puts TLS in front of `backend`, for as long as this process lives.
    pub async fn guard(&self, backend: SocketAddr) -> Result<SocketAddr, Fault> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(splice(acceptor.clone(), client, backend));
            }
        });
        Ok(address)
    }
}

async fn splice(acceptor: TlsAcceptor, client: TcpStream, backend: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut client, mut backend) = tokio::try_join!(acceptor.accept(client), TcpStream::connect(backend))?;
    backend.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut backend).await?;
    Ok(())
}
