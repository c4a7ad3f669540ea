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

/// Subject and public key (both DER) of the first certificate of a bundle: as an issuer, it is known by them.
pub(crate) fn subject_and_key(pem: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let der = CertificateDer::from_pem_slice(pem).map_err(invalid)?;
    let (_, x509) = X509Certificate::from_der(&der).map_err(invalid)?;
    Ok((
        x509.subject().as_raw().to_vec(),
        x509.public_key().raw.to_vec(),
    ))
}

pub(crate) fn is_ca(pem: &[u8]) -> Result<bool, Error> {
    let der = CertificateDer::from_pem_slice(pem).map_err(invalid)?;
    Ok(X509Certificate::from_der(&der).map_err(invalid)?.1.is_ca())
}

/// Whether the first certificate of a bundle was signed by that root's key.
pub(crate) fn issued_by(pem: &[u8], root_pem: &[u8]) -> bool {
    let der = |pem| CertificateDer::from_pem_slice(pem).ok();
    let (Some(leaf), Some(root)) = (der(pem), der(root_pem)) else {
        return false;
    };
    match (
        X509Certificate::from_der(&leaf),
        X509Certificate::from_der(&root),
    ) {
        (Ok((_, leaf)), Ok((_, root))) => leaf.verify_signature(Some(root.public_key())).is_ok(),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::WORKER;
    use crate::ca::root::{Request, RootCa};
    use crate::tls::Credentials;

    /// Regression: old and new root have one subject, and the old one's key was reported for the new one's certificates.
    #[test]
    fn while_a_root_is_replaced_the_issuer_is_the_new_one() {
        let (old, new) = (RootCa::create().unwrap(), RootCa::create().unwrap());
        let cross = old.cross_sign(&new).unwrap();
        let request = Request::create().unwrap();
        let hour = Duration::from_secs(3600);
        let mut chain = new.sign(&request.csr_pem, "n", WORKER, "c", hour).unwrap();
        assert!(issued_by(&chain, &new.cert_pem) && !issued_by(&chain, &old.cert_pem));
        chain.extend(cross);
        // Good under either root, before and after the managers switch.
        for root in [&old, &new] {
            let credentials = Credentials::new(&root.cert_pem, &chain, &request.key_pem).unwrap();
            let (_, public_key) = credentials.issuer;
            assert_eq!(public_key, subject_and_key(&new.cert_pem).unwrap().1);
        }
    }
}
