//! The Raft log on disk.

use std::fmt::Debug;
use std::ops::RangeBounds;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageIOError, Vote};

use crate::disk::Disk;
use crate::raft::{Entry, LogId, NodeId, StorageError, Types};

#[derive(Clone)]
pub struct Log {
    disk: Disk,
}

impl Log {
    pub fn new(disk: Disk) -> Self {
        Self { disk }
    }

    /// Runs `f` where an fsync blocks nobody else.
    async fn blocking<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Disk) -> Result<T, crate::Error> + Send + 'static,
    ) -> Result<T, StorageError> {
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || f(&disk))
            .await
            .map_err(|error| StorageIOError::write(&error))?
            .map_err(|error| StorageIOError::write(&error).into())
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.disk
            .entries(range)
            .map_err(|error| StorageIOError::read_logs(&error).into())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let read = || {
            let purged = self.disk.purged()?;
            Ok((purged, self.disk.last_entry()?.or(purged)))
        };
        let (last_purged_log_id, last_log_id) =
            read().map_err(|error: crate::Error| StorageIOError::read_logs(&error))?;
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError> {
        let vote = *vote;
        self.blocking(move |disk| disk.save_vote(&vote)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError> {
        self.disk
            .vote()
            .map_err(|error| StorageIOError::read_vote(&error).into())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        self.blocking(move |disk| disk.append(&entries)).await?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(move |disk| disk.truncate(log_id.index)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.blocking(move |disk| disk.purge(&log_id)).await
    }
}
