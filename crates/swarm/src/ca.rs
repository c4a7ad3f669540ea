//! Root CA, join tokens, node certificates.
//!
//! A certificate says who a node is (`CN`), what it may do (`OU`: `swarm-worker` or `swarm-manager`) and of which cluster
//! it is (`O`). Subjects, names, usages and validity follow SwarmKit's `ca` package.

pub(crate) mod certificate;
pub(crate) mod files;
pub(crate) mod request;
pub(crate) mod root;
mod successor;
pub mod token;

use std::path::{Path, PathBuf};

use swarm_wire::pb;

use crate::tls::Live;

/// `OU` of a worker's certificate.
pub const WORKER: &str = "swarm-worker";
/// `OU` of a manager's certificate, and the server name that clients with a certificate verify.
pub const MANAGER: &str = "swarm-manager";
/// The server name that a joining node verifies.
pub const CA: &str = "swarm-ca";

/// A node's certificate, key and the root that it trusts, kept under `<dir>/certificates/`.
///
/// The fields are those of the moment when it was made; connections follow [`Identity::live`], which every clone shares and
/// which a renewal changes.
#[derive(Clone)]
pub struct Identity {
    pub node_id: String,
    pub cluster_id: String,
    pub manager: bool,
    pub root_pem: Vec<u8>,
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
    pub dir: PathBuf,
    pub(crate) live: Live,
}

impl Identity {
    /// Checks that the parts belong together: the certificate chains to the root and the key is the certificate's.
    /// An expired certificate is [`Error::Expired`].
    pub(crate) fn new(
        dir: &Path,
        root_pem: Vec<u8>,
        cert_pem: Vec<u8>,
        key_pem: Vec<u8>,
    ) -> Result<Self, Error> {
        let leaf = certificate::Leaf::parse(&cert_pem)?;
        if leaf.not_after <= std::time::SystemTime::now() {
            return Err(Error::Expired);
        }
        Ok(Self {
            live: Live::new(&root_pem, &cert_pem, &key_pem)?,
            node_id: leaf.subject.node_id,
            cluster_id: leaf.subject.cluster_id,
            manager: leaf.subject.role == MANAGER,
            root_pem,
            cert_pem,
            key_pem,
            dir: dir.to_owned(),
        })
    }

    /// Reads what an earlier start stored; `None` when this node has never joined.
    pub fn load(dir: &Path) -> Result<Option<Self>, Error> {
        files::load(dir)?
            .map(|(root, cert, key)| Self::new(dir, root, cert, key))
            .transpose()
    }

    /// The joining worker's sequence: root CA by token digest, key and CSR, certificate; then stored under `dir`.
    pub async fn request(
        dir: &Path,
        remotes: &[String],
        token: &str,
        availability: i32,
    ) -> Result<Self, Error> {
        request::join(dir, remotes, token, availability).await
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        self.save_in(&self.dir)
    }

    /// Stores it below another directory than its own.
    pub fn save_in(&self, dir: &Path) -> Result<(), Error> {
        files::save(dir, &self.root_pem, &self.cert_pem, &self.key_pem)
    }

    /// Trusts another root from now on, with the certificate that is stored.
    pub(crate) fn trust(&self, root_pem: &[u8]) -> Result<(), Error> {
        let stored = files::load(&self.dir)?;
        let (_, cert_pem, key_pem) =
            stored.ok_or_else(|| Error::Other("this node's certificate is gone".into()))?;
        let credentials = crate::tls::Credentials::new(root_pem, &cert_pem, &key_pem)?;
        files::save(&self.dir, root_pem, &cert_pem, &key_pem)?;
        self.live.replace(credentials);
        Ok(())
    }

    /// The end of the certificate that connections use now.
    pub fn not_after(&self) -> std::time::SystemTime {
        self.live.get().leaf.not_after
    }
}

/// Subject and public key of whoever signs for a cluster now, or will when its root is replaced.
pub fn issuer_of(root: &pb::RootCa) -> Option<(Vec<u8>, Vec<u8>)> {
    let next = root
        .root_rotation
        .as_ref()
        .map(|rotation| &rotation.ca_cert);
    certificate::subject_and_key(next.unwrap_or(&root.ca_cert)).ok()
}

/// Texts are what Docker's users see.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid join token")]
    InvalidToken,
    #[error("remote CA does not match fingerprint. Expected: {expected}, got: {got}")]
    Fingerprint { expected: String, got: String },
    #[error("Swarm certificates have expired. To replace them, leave the swarm and join again.")]
    Expired,
    #[error("{}", crate::status_text(.0))]
    Rpc(tonic::Status),
    /// The swarm is asked for nothing, or has got everything back.
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    Other(String),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Rpc(status)
    }
}
