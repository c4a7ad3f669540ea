//! TLS towards plugins beyond this host.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Deserialize;

/// `TLSConfig` of a specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    #[serde(rename = "InsecureSkipVerify")]
    pub insecure: bool,
    #[serde(rename = "CAFile")]
    pub ca_file: String,
    #[serde(rename = "CertFile")]
    pub cert_file: String,
    #[serde(rename = "KeyFile")]
    pub key_file: String,
}

impl TlsConfig {
    /// Without a CA nobody is verified, as in Docker.
    pub fn client(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = match self.insecure || self.ca_file.is_empty() {
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new(&provider))),
            false => builder.with_root_certificates(self.roots()?),
        };
        let config = match self.cert_file.as_str() {
            "" => builder.with_no_client_auth(),
            file => {
                let chain = certificates(file)?;
                let key = PrivateKeyDer::from_pem_file(&self.key_file)
                    .map_err(|e| format!("{}: {e}", self.key_file))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| format!("{file}: {e}"))?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca_file)? {
            roots
                .add(certificate)
                .map_err(|e| format!("{}: {e}", self.ca_file))?;
        }
        Ok(roots)
    }
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |e: rustls::pki_types::pem::Error| format!("{file}: {e}");
    let found = CertificateDer::pem_file_iter(file).map_err(fail)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(fail)?;
    match found.is_empty() {
        true => Err(format!("{file}: no certificate in it")),
        false => Ok(found),
    }
}

/// `InsecureSkipVerify`
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
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
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
