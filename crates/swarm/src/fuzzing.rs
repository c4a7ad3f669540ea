//! What the fuzz targets reach of this crate beyond its interface; nobody else's.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::ca::certificate::Leaf;
use crate::ca::root::{DEFAULT_EXPIRY, Request, RootCa};
use crate::ca::{Error, WORKER};
use crate::tls::Credentials;

/// A number as join tokens write it.
pub fn base36(bytes: &[u8], width: usize) -> String {
    crate::id::base36(bytes, width)
}

/// A cluster's root and one node's certificate, request and key, all PEM.
pub struct Cluster {
    root: RootCa,
    pub csr_pem: Vec<u8>,
    pub cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
}

/// What a certificate says.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    pub node_id: String,
    pub role: String,
    pub cluster_id: String,
}

impl Cluster {
    pub fn create() -> Result<Self, Error> {
        let root = RootCa::create()?;
        let request = Request::create()?;
        Ok(Self {
            cert_pem: sign(&root, &request.csr_pem)?,
            root,
            csr_pem: request.csr_pem,
            key_pem: request.key_pem,
        })
    }

    /// What a manager does with a request that came with a worker's token.
    pub fn sign(&self, csr_pem: &[u8]) -> Result<Vec<u8>, Error> {
        sign(&self.root, csr_pem)
    }

    /// What a node does with the certificate that it was given for its key.
    pub fn take(&self, cert_pem: &[u8]) -> Result<Facts, Error> {
        Credentials::new(&self.root.cert_pem, cert_pem, &self.key_pem).map(|c| facts(c.leaf))
    }

    /// What a node does when the manager names another root.
    pub fn take_root(&self, root_pem: &[u8]) -> Result<Facts, Error> {
        Credentials::new(root_pem, &self.cert_pem, &self.key_pem).map(|c| facts(c.leaf))
    }
}

/// What the first certificate of a bundle says, whoever signed it.
pub fn read(cert_pem: &[u8]) -> Result<Facts, Error> {
    Leaf::parse(cert_pem).map(facts)
}

/// Whether a certificate may sign others, and the names that it is good for.
pub fn powers(cert_pem: &[u8]) -> Option<(bool, Vec<String>)> {
    let der = CertificateDer::from_pem_slice(cert_pem).ok()?;
    let (_, x509) = X509Certificate::from_der(&der).ok()?;
    let names = x509.subject_alternative_name().ok()??;
    let names = &names.value.general_names;
    Some((
        x509.is_ca(),
        names.iter().map(|name| name.to_string()).collect(),
    ))
}

fn sign(root: &RootCa, csr_pem: &[u8]) -> Result<Vec<u8>, Error> {
    root.sign(csr_pem, "node", WORKER, "cluster", DEFAULT_EXPIRY)
}

fn facts(leaf: Leaf) -> Facts {
    Facts {
        node_id: leaf.subject.node_id,
        role: leaf.subject.role,
        cluster_id: leaf.subject.cluster_id,
    }
}
