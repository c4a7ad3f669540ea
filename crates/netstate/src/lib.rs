//! Desired kernel network state, kept true: rows in, kernel changes out.

pub mod nft;
mod row;
pub use row::*;

use std::path::PathBuf;

/// Where this daemon keeps its named namespaces and how it marks what is its own.
#[derive(Clone, Debug)]
pub struct Config {
    /// `Ns::Named("x")` is the bind mount `netns_dir/x`.
    pub netns_dir: PathBuf,
    /// Link alias prefix and nftables table marker of this daemon's objects.
    pub mark: String,
}

#[derive(Clone)]
pub struct NetState {}

/// The rows of one owner (`network/<id>`, `endpoint/<id>`, `peer/<net>/<endpoint>` …).
pub type Owned = (String, Vec<Row>);

impl NetState {
    pub async fn start(_config: Config) -> Result<Self, Error> {
        todo!()
    }
    /// Makes `rows` the whole of what `owner` wants and returns when the kernel has it. On failure the owner's former rows hold again.
    pub async fn set(&self, _owner: &str, _rows: Vec<Row>) -> Result<(), Error> {
        todo!()
    }
    /// Several owners in one batch: all or nothing.
    pub async fn set_many(&self, _owners: Vec<Owned>) -> Result<(), Error> {
        todo!()
    }
    /// `set` with no rows.
    pub async fn remove(&self, _owner: &str) -> Result<(), Error> {
        todo!()
    }
    /// After a restart, once every owner has declared its rows again: removes what carries our mark and nobody wants.
    pub async fn collect(&self) -> Result<usize, Error> {
        todo!()
    }
    pub fn netns_path(&self, _ns: &Ns) -> PathBuf {
        todo!()
    }
    /// Runs `f` on a short-lived thread inside `ns`: to open a socket there.
    pub async fn run_in<T: Send + 'static>(
        &self,
        _ns: &Ns,
        _f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        todo!()
    }
    /// Counters since start.
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Compares everything with the kernel now; returns the differences that it found and healed, in words.
    pub async fn audit(&self) -> Result<Vec<String>, Error> {
        todo!()
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub rows: u64,
    pub applied: u64,
    /// Rows that somebody else had changed or removed, put right again.
    pub healed: u64,
    pub failed: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);
