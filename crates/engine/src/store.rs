//! What survives the daemon: one embedded database, written by one thread.
//!
//! All of it is read once, at start; memory is the truth while the daemon runs. Writes that arrive while a commit is on
//! its way to the disk share the next one, so that twenty containers created at once cost a few syncs, not twenty.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;

use engine_types::{Error, Result};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use crate::error::Doing;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Containers,
    Images,
    References,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Table::Containers => "containers",
            Table::Images => "images",
            Table::References => "references",
        })
    }
}

/// A row to set, or to delete when `value` is `None`.
pub(crate) struct Write {
    pub table: Table,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

struct Job {
    writes: Vec<Write>,
    done: oneshot::Sender<Result<()>>,
    /// Nothing comes after it: the file is closed before it is reported as done.
    last: bool,
}

pub(crate) type Rows = Vec<(String, Vec<u8>)>;

pub(crate) struct Loaded {
    pub containers: Rows,
    pub images: Rows,
    pub references: Rows,
}

pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    pub fn open(path: &Path) -> Result<(Self, Loaded)> {
        let what = format!("open {}", path.display());
        // Environments of containers are in it, and with them secrets.
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .doing(&what)?;
        let database = Database::builder()
            .set_cache_size(1 << 20)
            .create_file(file)
            .doing(&what)?;
        let loaded = Loaded {
            containers: rows(&database, Table::Containers).map_err(|e| e.context(&what))?,
            images: rows(&database, Table::Images).map_err(|e| e.context(&what))?,
            references: rows(&database, Table::References).map_err(|e| e.context(&what))?,
        };
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("engine-store".to_owned())
            .spawn(move || run(database, &queue))
            .doing("start the store's thread")?;
        Ok((Self { jobs }, loaded))
    }

    /// Queues the rows, in order, as one transaction; the future resolves when they are on disk and may be dropped.
    pub fn write(
        &self,
        writes: Vec<Write>,
    ) -> impl Future<Output = Result<()>> + Send + 'static + use<> {
        self.send(writes, false)
    }

    /// Closes the file once all earlier writes are in it; later ones fail.
    pub fn close(&self) -> impl Future<Output = Result<()>> + Send + 'static + use<> {
        self.send(Vec::new(), true)
    }

    fn send(
        &self,
        writes: Vec<Write>,
        last: bool,
    ) -> impl Future<Output = Result<()>> + Send + 'static + use<> {
        let (done, wait) = oneshot::channel();
        let sent = self.jobs.send(Job { writes, done, last });
        async move {
            let stopped = || Error::system("the container store has stopped");
            sent.map_err(|_| stopped())?;
            wait.await.map_err(|_| stopped())?
        }
    }
}

fn run(database: Database, queue: &mpsc::Receiver<Job>) {
    let mut database = Some(database);
    while let Ok(first) = queue.recv() {
        let Some(open) = &database else {
            return;
        };
        let jobs: Vec<Job> = std::iter::once(first).chain(queue.try_iter()).collect();
        let result = commit(open, &jobs).doing("write to the container store");
        if let Err(error) = &result {
            tracing::error!(%error, "state was not saved");
        }
        if jobs.iter().any(|job| job.last) {
            database = None;
        }
        for job in jobs {
            // Whoever does not wait for the disk has dropped the receiver.
            let _ = job.done.send(result.clone());
        }
    }
}

fn commit(database: &Database, jobs: &[Job]) -> std::result::Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for write in jobs.iter().flat_map(|job| &job.writes) {
        let mut table = transaction.open_table(write.table.definition())?;
        match &write.value {
            Some(value) => table.insert(write.key.as_str(), value.as_slice())?,
            None => table.remove(write.key.as_str())?,
        };
    }
    transaction.commit()?;
    Ok(())
}

fn rows(database: &Database, table: Table) -> Result<Rows> {
    let transaction = database.begin_read().doing("read")?;
    let table = match transaction.open_table(table.definition()) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(Error::system(error)),
    };
    table
        .iter()
        .doing("read")?
        .map(|row| {
            let (key, value) = row.doing("read")?;
            Ok((key.value().to_owned(), value.value().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_survive_and_deletes_delete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let write = |key: &str, value: Option<&str>| Write {
            table: Table::Containers,
            key: key.to_owned(),
            value: value.map(|v| v.as_bytes().to_vec()),
        };
        {
            let (store, loaded) = Store::open(&path).unwrap();
            assert!(loaded.containers.is_empty());
            drop(store.write(vec![write("a", Some("1"))]));
            drop(store.write(vec![write("b", Some("2")), write("a", None)]));
            store.close().await.unwrap();
            assert!(store.write(vec![write("c", Some("3"))]).await.is_err());
        }
        let loaded = Store::open(&path).unwrap().1;
        assert_eq!(loaded.containers, vec![("b".to_owned(), b"2".to_vec())]);
    }
}
