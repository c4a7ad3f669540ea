//! Root CA, join tokens, node certificates.

use std::path::{Path, PathBuf};

/// A node's certificate, key and the root that it trusts, kept under `<dir>/certificates/`.
#[derive(Clone)]
pub struct Identity {
    pub node_id: String,
    pub cluster_id: String,
    pub manager: bool,
    pub root_pem: Vec<u8>,
    pub cert_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
    pub dir: PathBuf,
}

impl Identity {
    /// Reads what an earlier start stored; `None` when this node has never joined.
    pub fn load(_dir: &Path) -> Result<Option<Self>, Error> {
        todo!()
    }
    /// The joining worker's sequence: root CA by token digest, key and CSR, certificate; then stored under `dir`.
    pub async fn request(
        _dir: &Path,
        _remotes: &[String],
        _token: &str,
        _availability: i32,
    ) -> Result<Self, Error> {
        todo!()
    }
}

/// Texts are what Docker's users see.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("invalid join token")]
    InvalidToken,
    #[error("remote CA does not match fingerprint. Expected: {expected}, got: {got}")]
    Fingerprint { expected: String, got: String },
    #[error("{0}")]
    Rpc(tonic::Status),
    #[error("{0}")]
    Other(String),
}
