//! The file: a redb database with the log, the vote and the last snapshot.
//!
//! The cluster object holds the CA's key, so the directory is 0700 and the file 0600.

use std::fs::{DirBuilder, OpenOptions};
use std::ops::RangeBounds;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use openraft::{BasicNode, CommittedLeaderId, EntryPayload, SnapshotMeta, Vote};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::raft::{Entry, LogId, NodeId};

/// Index to term, node and payload.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Changes with the meaning of any byte in the file.
const FORMAT: u32 = 1;

const BLANK: u8 = 0;
const REQUEST: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Keys of `META`.
const FORMAT_KEY: &str = "format";
const VOTE: &str = "vote";
const PURGED: &str = "purged";
const SNAPSHOT_META: &str = "snapshot-meta";
const SNAPSHOT: &str = "snapshot";

/// Shared by the log and the state machine; empty once closed, so that the file is free again.
#[derive(Clone)]
pub struct Disk(Arc<RwLock<Option<Database>>>);

type Log = redb::ReadOnlyTable<u64, &'static [u8]>;
type Meta = redb::ReadOnlyTable<&'static str, &'static [u8]>;
type LogMut<'a> = redb::Table<'a, u64, &'static [u8]>;
type MetaMut<'a> = redb::Table<'a, &'static str, &'static [u8]>;

/// A snapshot as it lies on disk.
pub struct Stored {
    pub meta: SnapshotMeta<NodeId, BasicNode>,
    pub data: Vec<u8>,
}

impl Disk {
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("store.redb");
        let fail = |error: String| Error::Storage(format!("open {}: {error}", path.display()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .and_then(|()| std::fs::set_permissions(dir, PermissionsExt::from_mode(0o700)))
            .map_err(|error| Error::Storage(format!("create {}: {error}", dir.display())))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| fail(error.to_string()))?;
        let database = redb::Builder::new()
            .set_cache_size(8 << 20)
            .create_file(file)
            .map_err(|error| fail(error.to_string()))?;
        let disk = Self(Arc::new(RwLock::new(Some(database))));
        // makes the tables
        disk.write(|_, _| Ok(()))?;
        match disk.get::<u32>(FORMAT_KEY) {
            Ok(Some(FORMAT)) => Ok(disk),
            Ok(Some(format)) => Err(fail(format!(
                "the store has format {format}, this version reads {FORMAT}"
            ))),
            Ok(None) => disk.put(FORMAT_KEY, &FORMAT).map(|()| disk),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// Lets go of the file. Everything after this fails.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub fn vote(&self) -> Result<Option<Vote<NodeId>>, Error> {
        self.get(VOTE)
    }

    pub fn save_vote(&self, vote: &Vote<NodeId>) -> Result<(), Error> {
        self.put(VOTE, vote)
    }

    pub fn purged(&self) -> Result<Option<LogId>, Error> {
        self.get(PURGED)
    }

    pub fn last_entry(&self) -> Result<Option<LogId>, Error> {
        self.read(|log, _| {
            Ok(log
                .last()?
                .map(|(index, value)| (index.value(), value.value().to_vec())))
        })?
        .map(|(index, bytes)| decode(index, &bytes).map(|entry| entry.log_id))
        .transpose()
    }

    pub fn entries(&self, range: impl RangeBounds<u64>) -> Result<Vec<Entry>, Error> {
        let rows = self.read(|log, _| {
            log.range::<u64>(range)?
                .map(|row| row.map(|(index, value)| (index.value(), value.value().to_vec())))
                .collect::<Result<Vec<_>, _>>()
                .map_err(redb::Error::from)
        })?;
        rows.iter()
            .map(|(index, bytes)| decode(*index, bytes))
            .collect()
    }

    /// One transaction, one fsync.
    pub fn append(&self, entries: &[Entry]) -> Result<(), Error> {
        let rows = entries
            .iter()
            .map(|entry| Ok((entry.log_id.index, encode(entry)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        self.write(|log, _| {
            for (index, bytes) in &rows {
                log.insert(index, bytes.as_slice())?;
            }
            Ok(())
        })
    }

    /// Drops `index` and all after it.
    pub fn truncate(&self, index: u64) -> Result<(), Error> {
        self.write(|log, _| Ok(log.retain_in(index.., |_, _| false)?))
    }

    /// Drops everything up to `id`, which a snapshot holds.
    pub fn purge(&self, id: &LogId) -> Result<(), Error> {
        let value = json(id)?;
        self.write(|log, meta| {
            log.retain_in(..=id.index, |_, _| false)?;
            meta.insert(PURGED, value.as_slice())?;
            Ok(())
        })
    }

    pub fn snapshot(&self) -> Result<Option<Stored>, Error> {
        let Some(meta) = self.get(SNAPSHOT_META)? else {
            return Ok(None);
        };
        let data = self
            .bytes(SNAPSHOT)?
            .ok_or_else(|| Error::Storage("the snapshot's data is missing".into()))?;
        Ok(Some(Stored { meta, data }))
    }

    pub fn save_snapshot(
        &self,
        meta: &SnapshotMeta<NodeId, BasicNode>,
        data: &[u8],
    ) -> Result<(), Error> {
        let value = json(meta)?;
        self.write(|_, table| {
            table.insert(SNAPSHOT_META, value.as_slice())?;
            table.insert(SNAPSHOT, data)?;
            Ok(())
        })
    }

    fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read(|_, meta| Ok(meta.get(key)?.map(|value| value.value().to_vec())))
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.bytes(key)?
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()
            .map_err(|error| Error::Storage(format!("the store's {key} is damaged: {error}")))
    }

    fn put<T: Serialize>(&self, key: &str, value: &T) -> Result<(), Error> {
        let value = json(value)?;
        self.write(|_, meta| {
            meta.insert(key, value.as_slice())?;
            Ok(())
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Log, &Meta) -> Result<T, redb::Error>) -> Result<T, Error> {
        self.with(|database| {
            let tx = database.begin_read()?;
            f(&tx.open_table(LOG)?, &tx.open_table(META)?)
        })
    }

    fn write<T>(
        &self,
        f: impl FnOnce(&mut LogMut, &mut MetaMut) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        self.with(|database| {
            let tx = database.begin_write()?;
            let value = f(&mut tx.open_table(LOG)?, &mut tx.open_table(META)?)?;
            tx.commit()?;
            Ok(value)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        let guard = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let database = guard
            .as_ref()
            .ok_or_else(|| Error::Storage("the store is closed".into()))?;
        f(database).map_err(|error| Error::Storage(format!("store: {error}")))
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Storage(format!("encode: {error}")))
}

/// Term and node of the leader (8 bytes each), the payload's kind, the payload.
pub(crate) fn encode(entry: &Entry) -> Result<Vec<u8>, Error> {
    let leader = entry.log_id.leader_id;
    let mut bytes = Vec::new();
    bytes.extend(leader.term.to_le_bytes());
    bytes.extend(leader.node_id.to_le_bytes());
    match &entry.payload {
        EntryPayload::Blank => bytes.push(BLANK),
        EntryPayload::Normal(request) => {
            bytes.push(REQUEST);
            bytes.extend(request);
        }
        EntryPayload::Membership(membership) => {
            bytes.push(MEMBERSHIP);
            bytes.extend(json(membership)?);
        }
    }
    Ok(bytes)
}

pub(crate) fn decode(index: u64, bytes: &[u8]) -> Result<Entry, Error> {
    let damaged = || Error::Storage(format!("entry {index} of the log is damaged"));
    let (term, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let (node, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (kind, body) = rest.split_first().ok_or_else(damaged)?;
    Ok(Entry {
        log_id: LogId::new(
            CommittedLeaderId::new(u64::from_le_bytes(*term), u64::from_le_bytes(*node)),
            index,
        ),
        payload: match *kind {
            BLANK => EntryPayload::Blank,
            REQUEST => EntryPayload::Normal(body.to_vec()),
            MEMBERSHIP => {
                EntryPayload::Membership(serde_json::from_slice(body).map_err(|_| damaged())?)
            }
            _ => return Err(damaged()),
        },
    })
}
