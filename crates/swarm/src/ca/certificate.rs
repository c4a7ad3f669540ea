//! What a node's certificate says.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use super::Error;

/// The subject of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// `CN`
    pub node_id: String,
    /// The first `OU`: [`super::WORKER`] or [`super::MANAGER`].
    pub role: String,
    /// The first `O`
    pub cluster_id: String,
}

/// A leaf certificate's facts.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub subject: Subject,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Leaf {
    /// The first certificate of a PEM bundle.
    pub fn parse(pem: &[u8]) -> Result<Self, Error> {
        Self::from_der(&CertificateDer::from_pem_slice(pem).map_err(invalid)?)
    }

    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let (_, x509) = X509Certificate::from_der(der).map_err(invalid)?;
        let validity = x509.validity();
        Ok(Self {
            subject: Subject::of(x509.subject()),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// When to renew: `fraction` (0 to 1) picks the moment between 50 % and 80 % of the validity.
    pub fn renewal(&self, fraction: f64) -> SystemTime {
        let validity = self
            .not_after
            .duration_since(self.not_before)
            .unwrap_or_default();
        self.not_before + validity.mul_f64(0.5 + 0.3 * fraction.clamp(0.0, 1.0))
    }
}

/// Subject and public key (both DER) of the certificate that signed the first of `chain`: an intermediate of the chain, as
/// while a root is being replaced, or a root. Managers tell by it whether a node has followed a root's rotation.
pub(crate) fn issuer(
    chain: &[CertificateDer<'_>],
    root_pem: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let (leaf, intermediates) = chain
        .split_first()
        .ok_or_else(|| invalid("the bundle is empty"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(invalid)?;
    let roots = CertificateDer::pem_slice_iter(root_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(invalid)?;
    for der in intermediates.iter().chain(&roots) {
        let (_, candidate) = X509Certificate::from_der(der).map_err(invalid)?;
        if leaf.verify_signature(Some(candidate.public_key())).is_ok() {
            return Ok((
                candidate.subject().as_raw().to_vec(),
                candidate.public_key().raw.to_vec(),
            ));
        }
    }
    Err(invalid("its issuer is not known"))
}

impl Subject {
    fn of(name: &X509Name<'_>) -> Self {
        let text = |mut values: Vec<Result<&str, _>>| match values.drain(..).next() {
            Some(Ok(value)) => value.to_owned(),
            Some(Err(_)) | None => String::new(),
        };
        Self {
            node_id: text(name.iter_common_name().map(|v| v.as_str()).collect()),
            role: text(
                name.iter_organizational_unit()
                    .map(|v| v.as_str())
                    .collect(),
            ),
            cluster_id: text(name.iter_organization().map(|v| v.as_str()).collect()),
        }
    }
}

fn time(timestamp: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(timestamp.max(0).unsigned_abs())
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("invalid certificate: {error}"))
}
