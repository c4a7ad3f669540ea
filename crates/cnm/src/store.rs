//! What has to outlive the daemon.
//!
//! Two databases, because they have to outlive different things. `networks.redb` holds what the user made: it is synced
//! to disk. `live.redb` holds what is in the kernel now (sandboxes with their endpoints, remote peers and names): after
//! a power cut none of it exists any more, so it only has to outlive the process, the page cache is enough, and a
//! connect costs no fsync. One that was torn by a power cut is made anew.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use engine_types::{Error, Result};
use redb::{
    Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableHandle,
};
use serde::{Serialize, de::DeserializeOwned};

/// Tables: keys to JSON.
pub(crate) const NETWORKS: Table = Table::new("networks");
pub(crate) const SANDBOXES: Table = Table::new("sandboxes");
/// `<network>/<endpoint>` to a peer, to its names.
pub(crate) const PEERS: Table = Table::new("peers");
pub(crate) const NAMES: Table = Table::new("names");
/// A random name of this host, under an empty key.
pub(crate) const HOST_ID: Table = Table::new("host-id");
/// The tunnel's address, under an empty key.
pub(crate) const VTEP: Table = Table::new("vtep");

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

pub(crate) struct Store {
    networks: Database,
    live: Database,
}

impl Store {
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|e| failed(dir, e))?;
        let networks = dir.join("networks.redb");
        let live = dir.join("live.redb");
        let open_live = || Database::builder().create_with_backend(Cached::open(&live)?);
        let live_db = match open_live() {
            Ok(db) => db,
            Err(error) if !matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) => {
                tracing::warn!(%error, path = %live.display(), "store of running sandboxes is damaged; starting without it");
                std::fs::remove_file(&live).map_err(|e| failed(&live, e))?;
                open_live().map_err(|e| failed(&live, e))?
            }
            Err(error) => return Err(failed(&live, error)),
        };
        let file = private(&networks).map_err(|e| failed(&networks, e))?;
        Ok(Self {
            networks: Database::builder()
                .create_file(file)
                .map_err(|e| failed(&networks, e))?,
            live: live_db,
        })
    }

    fn db(&self, table: Table) -> &Database {
        match [NETWORKS.name(), HOST_ID.name()].contains(&table.name()) {
            true => &self.networks,
            false => &self.live,
        }
    }

    /// `None` deletes.
    pub fn set<T: Serialize>(&self, table: Table, key: &str, value: Option<&T>) -> Result<()> {
        let json = value.map(serde_json::to_vec).transpose().map_err(broken)?;
        let write = || -> Result<(), redb::Error> {
            let tx = self.db(table).begin_write()?;
            {
                let mut open = tx.open_table(table)?;
                match &json {
                    Some(json) => open.insert(key, json.as_slice())?,
                    None => open.remove(key)?,
                };
            }
            Ok(tx.commit()?)
        };
        write().map_err(broken)
    }

    /// Entries that cannot be read are left out with a warning: one bad entry must not keep the rest down.
    pub fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>> {
        let read = || -> Result<Vec<(String, T)>, redb::Error> {
            let tx = self.db(table).begin_read()?;
            let open = match tx.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                other => other?,
            };
            let mut found = Vec::new();
            for entry in open.iter()? {
                let (key, value) = entry?;
                match serde_json::from_slice(value.value()) {
                    Ok(value) => found.push((key.value().to_string(), value)),
                    Err(error) => {
                        tracing::warn!(%error, key = key.value(), "entry of the network store cannot be read");
                    }
                }
            }
            Ok(found)
        };
        read().map_err(broken)
    }
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::system(format!(
        "cannot open network store {}: {error}",
        path.display()
    ))
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::system(format!("network store: {error}"))
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// A file that is never synced.
#[derive(Debug)]
struct Cached(File);

impl Cached {
    fn open(path: &Path) -> Result<Self, redb::DatabaseError> {
        let file = private(path).map_err(redb::StorageError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(_) => Err(redb::DatabaseError::DatabaseAlreadyOpen),
        }
    }
}

impl StorageBackend for Cached {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
