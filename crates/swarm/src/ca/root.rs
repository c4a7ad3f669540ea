//! The cluster's root CA: makes itself, signs nodes.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::{CA, Error, MANAGER};

const ROOT_VALIDITY: Duration = Duration::from_secs(630_720_000);
const BACKDATE: Duration = Duration::from_secs(3600);
/// Of a node's certificate, unless the cluster's spec says otherwise.
pub(crate) const DEFAULT_EXPIRY: Duration = Duration::from_secs(2160 * 3600);
pub(crate) const MIN_EXPIRY: Duration = Duration::from_secs(3600);

/// Certificate and key, both PEM (the key as PKCS #8).
pub(crate) struct RootCa {
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

/// A key and the request for its certificate: subject empty, the CA fills it in.
pub(crate) struct Request {
    pub csr_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

impl RootCa {
    pub fn create() -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let params = root_params(&[(DnType::CommonName, CA)]);
        Ok(Self {
            cert_pem: params.self_signed(&key).map_err(failed)?.pem().into(),
            key_pem: key.serialize_pem().into(),
        })
    }

    /// Checks the request's own signature, takes its public key and nothing else, and signs it for `node_id`.
    pub fn sign(
        &self,
        csr_pem: &[u8],
        node_id: &str,
        role: &str,
        cluster_id: &str,
        expiry: Duration,
    ) -> Result<Vec<u8>, Error> {
        let csr = text(csr_pem)?;
        let csr = CertificateSigningRequestParams::from_pem(csr).map_err(failed)?;
        let key = KeyPair::from_pem(text(&self.key_pem)?).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(text(&self.cert_pem)?, key).map_err(failed)?;
        let subject = [
            (DnType::OrganizationName, cluster_id),
            (DnType::OrganizationalUnitName, role),
            (DnType::CommonName, node_id),
        ];
        let mut params = params(SystemTime::now(), expiry.max(MIN_EXPIRY), &subject);
        let names = [role, node_id]
            .into_iter()
            .chain((role == MANAGER).then_some(CA));
        for name in names {
            let name = name.try_into().map_err(failed)?;
            params.subject_alt_names.push(rcgen::SanType::DnsName(name));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let signed = params.signed_by(&csr.public_key, &issuer).map_err(failed)?;
        Ok(signed.pem().into())
    }
}

impl Request {
    pub fn create() -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(failed)?;
        Ok(Self {
            csr_pem: csr.pem().map_err(failed)?.into(),
            key_pem: key.serialize_pem().into(),
        })
    }
}

pub(super) fn root_params(subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = params(SystemTime::now(), ROOT_VALIDITY, subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(now: SystemTime, validity: Duration, subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + validity).into();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params
}

pub(super) fn text(pem: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(pem).map_err(failed)
}

pub(super) fn failed(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("failed to sign node certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;
    use crate::ca::certificate::Leaf;
    use crate::ca::{Identity, WORKER};

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 3600)
    }

    #[test]
    fn node_certificates_say_what_swarmkit_s_say() {
        let root = RootCa::create().unwrap();
        for (role, names) in [
            (WORKER, vec![WORKER, "node1"]),
            (MANAGER, vec![MANAGER, "node1", CA]),
        ] {
            let request = Request::create().unwrap();
            let pem = root
                .sign(&request.csr_pem, "node1", role, "cluster1", DEFAULT_EXPIRY)
                .unwrap();
            let leaf = Leaf::parse(&pem).unwrap();
            assert_eq!(leaf.subject.node_id, "node1");
            assert_eq!(leaf.subject.role, role);
            assert_eq!(leaf.subject.cluster_id, "cluster1");
            let validity = leaf.not_after.duration_since(leaf.not_before).unwrap();
            assert_eq!(validity, DEFAULT_EXPIRY + BACKDATE);

            let der = CertificateDer::from_pem_slice(&pem).unwrap();
            let (_, x509) = X509Certificate::from_der(&der).unwrap();
            let san = x509.subject_alternative_name().unwrap().unwrap();
            let found: Vec<_> = san.value.general_names.iter().collect();
            let wanted: Vec<_> = names
                .iter()
                .map(|name| GeneralName::DNSName(name))
                .collect();
            assert_eq!(found, wanted.iter().collect::<Vec<_>>());
            let usage = x509.key_usage().unwrap().unwrap().value;
            assert!(usage.digital_signature() && usage.key_encipherment());
            let extended = x509.extended_key_usage().unwrap().unwrap().value;
            assert!(extended.server_auth && extended.client_auth);

            let dir = tempfile::tempdir().unwrap();
            let identity =
                Identity::new(dir.path(), root.cert_pem.clone(), pem, request.key_pem).unwrap();
            assert_eq!(identity.manager, role == MANAGER);
            identity.save().unwrap();
            let again = Identity::load(dir.path()).unwrap().unwrap();
            assert_eq!(again.cert_pem, identity.cert_pem);
        }
    }

    #[test]
    fn root_is_a_p256_ca_of_twenty_years() {
        let root = RootCa::create().unwrap();
        let der = CertificateDer::from_pem_slice(&root.cert_pem).unwrap();
        let (_, x509) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(x509.subject().to_string(), "CN=swarm-ca");
        assert!(x509.is_ca());
        let leaf = Leaf::parse(&root.cert_pem).unwrap();
        let validity = leaf.not_after.duration_since(leaf.not_before).unwrap();
        assert_eq!(validity, ROOT_VALIDITY + BACKDATE);
        assert!(root.key_pem.starts_with(b"-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn a_request_that_is_not_its_key_s_own_is_refused() {
        let root = RootCa::create().unwrap();
        let sign = |csr: &[u8]| root.sign(csr, "n", WORKER, "c", hours(1));
        let good = Request::create().unwrap().csr_pem;
        sign(&good).unwrap();
        let mut tampered = good.clone();
        let middle = tampered.len() / 2;
        tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
        assert!(sign(&tampered).is_err());
        assert!(sign(b"").is_err());
        assert!(sign(&[0xff; 40]).is_err());
    }

    #[test]
    fn expiry_has_a_floor_of_an_hour_and_renewal_a_window() {
        let root = RootCa::create().unwrap();
        let csr = Request::create().unwrap().csr_pem;
        let pem = root
            .sign(&csr, "n", WORKER, "c", Duration::from_secs(1))
            .unwrap();
        let leaf = Leaf::parse(&pem).unwrap();
        assert_eq!(
            leaf.not_after.duration_since(leaf.not_before).unwrap(),
            hours(2)
        );
        assert_eq!(leaf.renewal(0.0), leaf.not_before + hours(1));
        assert_eq!(
            leaf.renewal(1.0),
            leaf.not_before + Duration::from_secs(5760)
        );
    }

    #[test]
    fn a_stranger_s_certificate_is_no_identity() {
        let (ours, theirs) = (RootCa::create().unwrap(), RootCa::create().unwrap());
        let request = Request::create().unwrap();
        let pem = theirs
            .sign(&request.csr_pem, "n", WORKER, "c", hours(2))
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::new(dir.path(), ours.cert_pem.clone(), pem, request.key_pem).is_err());
    }
}
