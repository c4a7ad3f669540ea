//! TLS as the swarm wants it: at least 1.2, ALPN `h2`, both ends known by the swarm's own root.
//!
//! A server asks for a client certificate and takes a connection without one too, because a node that joins has none yet;
//! what such a guest may call is decided per method (`manager::gate`).

pub(crate) mod dial;
pub(crate) mod listen;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::sync::watch;

use crate::ca::Error;
use crate::ca::certificate::{self, Leaf};

/// What new connections use: all holders see a renewed certificate at once.
#[derive(Clone)]
pub(crate) struct Live(Arc<watch::Sender<Arc<Credentials>>>);

/// One certificate with its root, ready for both ends of a connection.
pub(crate) struct Credentials {
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
    pub root_pem: Vec<u8>,
    pub leaf: Leaf,
    /// Subject and public key of whoever signed the certificate.
    pub issuer: (Vec<u8>, Vec<u8>),
}

impl Live {
    pub fn new(root_pem: &[u8], cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        let credentials = Credentials::new(root_pem, cert_pem, key_pem)?;
        Ok(Self(Arc::new(watch::Sender::new(Arc::new(credentials)))))
    }
    pub fn get(&self) -> Arc<Credentials> {
        self.0.borrow().clone()
    }
    pub fn replace(&self, credentials: Credentials) {
        self.0.send_replace(Arc::new(credentials));
    }
    pub fn watch(&self) -> watch::Receiver<Arc<Credentials>> {
        self.0.subscribe()
    }
}

impl Credentials {
    /// Fails when the certificate does not chain to the root, is not valid now, or is not the key's.
    pub fn new(root_pem: &[u8], cert_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        let roots = Arc::new(roots(root_pem)?);
        let chain = CertificateDer::pem_slice_iter(cert_pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(invalid)?;
        let key = || PrivateKeyDer::from_pem_slice(key_pem).map_err(invalid);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .allow_unauthenticated()
            .build()
            .map_err(invalid)?;
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(Error::Other("no certificates to validate".into()));
        };
        let now = UnixTime::since_unix_epoch(
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        );
        clients
            .verify_client_cert(leaf, intermediates, now)
            .map_err(invalid)?;
        let leaf = Leaf::from_der(leaf)?;
        let issuer = certificate::issuer(&chain, root_pem)?;

        let mut client = versions(ClientConfig::builder_with_provider(provider()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.clone(), key()?)
            .map_err(invalid)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        let mut server = versions(ServerConfig::builder_with_provider(provider()))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key()?)
            .map_err(invalid)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            root_pem: root_pem.to_vec(),
            leaf,
            issuer,
        })
    }
}

/// A client without a certificate that knows the root: a node asking for its certificate.
pub(crate) fn guest(root_pem: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let mut config = versions(ClientConfig::builder_with_provider(provider()))?
        .with_root_certificates(roots(root_pem)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// A client that believes any server. Only for fetching the root CA, whose digest the join token then proves.
pub(crate) fn stranger() -> Result<Arc<ClientConfig>, Error> {
    let mut config = versions(ClientConfig::builder_with_provider(provider()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider())))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn versions<S: rustls::ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<ConfigBuilder<S, rustls::WantsVerifier>, Error> {
    builder
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(invalid)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(pem) {
        store.add(der.map_err(invalid)?).map_err(invalid)?;
    }
    if store.is_empty() {
        return Err(Error::Other("no valid root CA certificates found".into()));
    }
    Ok(store)
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("invalid certificate: {error}"))
}

/// Takes any certificate, but still wants the server to hold its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
