//! `worker/tasks.db`: the tasks of this node and their states, so that they go on without a manager.
//!
//! Writing is off the path that starts containers: a task that was started and not yet written when the engine died comes
//! again with the manager's next complete set, and its controller finds what is there.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use prost::Message;
use redb::{Builder, Database as Redb, ReadableDatabase, ReadableTable, TableDefinition};
use swarm_wire::pb;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::error;

use crate::ca::Error;

const TASKS: TableDefinition<&str, &[u8]> = TableDefinition::new("tasks");
const STATES: TableDefinition<&str, &[u8]> = TableDefinition::new("states");
/// Of redb's page cache, in bytes: a node has few tasks.
const CACHE: usize = 1 << 20;
const QUEUE: usize = 256;

pub(super) enum Write {
    Task(Box<pb::Task>),
    State(String, pb::TaskStatus),
    Remove(String),
    /// The last one: the file is let go when it is done.
    Close,
}

#[derive(Clone)]
pub(super) struct Database(mpsc::Sender<Write>);

impl Database {
    /// Opens or makes the file; returns what it holds, and the task that writes to it until [`Write::Close`].
    pub fn open(dir: &Path) -> Result<(Self, Vec<pb::Task>, JoinHandle<()>), Error> {
        let dir = dir.join("worker");
        let failed = |error: &dyn std::fmt::Display| {
            Error::Other(format!("{}/tasks.db: {error}", dir.display()))
        };
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        made.map_err(|e| failed(&e))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("tasks.db"))
            .map_err(|e| failed(&e))?;
        let redb = Builder::new()
            .set_cache_size(CACHE)
            .create_file(file)
            .map_err(|e| failed(&e))?;
        write(&redb, &[]).map_err(|e| failed(&e))?;
        let tasks = read(&redb).map_err(|e| failed(&e))?;
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let writer = tokio::task::spawn_blocking(move || {
            let mut batch = Vec::new();
            while queue.blocking_recv_many(&mut batch, QUEUE) > 0 {
                if let Err(error) = write(&redb, &batch) {
                    error!(%error, "the node's tasks could not be stored");
                }
                if batch.iter().any(|write| matches!(write, Write::Close)) {
                    return;
                }
                batch.clear();
            }
        });
        Ok((Self(sender), tasks, writer))
    }

    pub async fn write(&self, write: Write) {
        if self.0.send(write).await.is_err() {
            error!("the node's tasks are no longer stored");
        }
    }
}

/// Tasks with the states that they had reached.
fn read(redb: &Redb) -> Result<Vec<pb::Task>, redb::Error> {
    let tx = redb.begin_read()?;
    let (tasks, states) = (tx.open_table(TASKS)?, tx.open_table(STATES)?);
    let mut found = Vec::new();
    for row in tasks.iter()? {
        let (id, bytes) = row?;
        let Ok(mut task) = pb::Task::decode(bytes.value()) else {
            error!(
                task.id = id.value(),
                "stored task cannot be read, forgotten"
            );
            continue;
        };
        if let Some(state) = states.get(id.value())?
            && let Ok(status) = pb::TaskStatus::decode(state.value())
        {
            task.status = Some(status);
        }
        found.push(task);
    }
    Ok(found)
}

fn write(redb: &Redb, batch: &[Write]) -> Result<(), redb::Error> {
    let tx = redb.begin_write()?;
    {
        let (mut tasks, mut states) = (tx.open_table(TASKS)?, tx.open_table(STATES)?);
        for write in batch {
            match write {
                Write::Task(task) => {
                    tasks.insert(task.id.as_str(), task.encode_to_vec().as_slice())?;
                }
                Write::State(id, status) => {
                    states.insert(id.as_str(), status.encode_to_vec().as_slice())?;
                }
                Write::Remove(id) => {
                    tasks.remove(id.as_str())?;
                    states.remove(id.as_str())?;
                }
                Write::Close => {}
            }
        }
    }
    tx.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_come_back_with_their_states() {
        let dir = tempfile::tempdir().unwrap();
        let task = |id: &str| pb::Task {
            id: id.into(),
            ..Default::default()
        };
        let running = pb::TaskStatus {
            state: pb::TaskState::Running.into(),
            ..Default::default()
        };
        let (database, found, writer) = Database::open(dir.path()).unwrap();
        assert!(found.is_empty());
        for id in ["a", "b"] {
            database.write(Write::Task(task(id).into())).await;
            database
                .write(Write::State(id.into(), running.clone()))
                .await;
        }
        database.write(Write::Remove("a".into())).await;
        database.write(Write::Close).await;
        writer.await.unwrap();
        let (_, found, _) = Database::open(dir.path()).unwrap();
        let expected = pb::Task {
            status: Some(running),
            ..task("b")
        };
        assert_eq!(found, [expected]);
    }
}
