//! The engine's shared state: containers by id, their names, running execs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use engine_types::{Error, Result};
use tokio::sync::{Notify, watch};

use crate::error::{Doing, lock};
use crate::exec::Exec;
use crate::image::Images;
use crate::image::reference::is_hex;
use crate::record::Record;
use crate::runtime::Runtimes;
use crate::store::{Store, Table, Write};
use crate::streams::Pending;
use crate::volumes::Volumes;
use crate::{Config, Events};

pub(crate) struct Inner {
    pub config: Config,
    pub networks: cnm::Controller,
    pub events: Events,
    pub store: Arc<Store>,
    pub images: Images,
    pub volumes: Volumes,
    pub runtimes: Runtimes,
    /// Spool folder, emptied at start.
    pub tmp: PathBuf,
    pub index: Mutex<Index>,
    pub execs: Mutex<BTreeMap<String, Arc<Exec>>>,
    /// Held (shared) while a container's cgroup is being made, so that the parent is not taken away meanwhile.
    pub cgroups: tokio::sync::RwLock<()>,
    /// True from `shutdown` on: exits and restarts are left to the next daemon.
    pub closing: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct Index {
    containers: BTreeMap<String, Arc<Container>>,
    /// Name to id. A name is taken from the moment its creation begins.
    names: BTreeMap<String, String>,
}

/// One container while the daemon runs.
pub(crate) struct Container {
    pub id: String,
    record: Mutex<Record>,
    /// Serialises what changes the container's life: start, exit, pause, update, remove.
    pub changing: Arc<tokio::sync::Mutex<()>>,
    /// The running process, if there is one.
    pub live: Mutex<Option<Arc<Live>>>,
    pub phase: watch::Sender<Phase>,
    /// Attached before the start.
    pub pending: Mutex<Vec<Pending>>,
    /// Ends the wait before a restart.
    pub stop_restarting: Notify,
    /// How long the last wait before a restart was, in milliseconds.
    pub backoff: std::sync::atomic::AtomicU64,
}

/// What waiters look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phase {
    pub running: bool,
    /// Grows with every exit.
    pub exits: u64,
    pub exit_code: i64,
    pub removed: bool,
}

/// A running container's process.
pub(crate) struct Live {
    pub pid: i32,
    pub init: OwnedFd,
}

impl Container {
    pub fn new(id: String, record: Record) -> Self {
        let phase = Phase {
            exit_code: record.state.exit_code,
            ..Phase::default()
        };
        Self {
            id,
            record: Mutex::new(record),
            changing: Arc::default(),
            live: Mutex::new(None),
            phase: watch::Sender::new(phase),
            pending: Mutex::new(Vec::new()),
            stop_restarting: Notify::new(),
            backoff: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Looks at the record.
    pub fn with<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&lock(&self.record))
    }

    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Changes the record in memory only ([`Inner::save`] writes it).
    pub fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut lock(&self.record))
    }

    pub fn name(&self) -> String {
        self.with(|record| record.name.clone())
    }

    pub fn live(&self) -> Option<Arc<Live>> {
        lock(&self.live).clone()
    }

    /// The process, or Docker's error when there is none.
    pub fn running(&self) -> Result<Arc<Live>> {
        self.live()
            .ok_or_else(|| Error::conflict(format!("container {} is not running", self.id)))
    }
}

impl Inner {
    /// `<data-root>/containers/<id>`
    pub fn data_dir(&self, id: &str) -> PathBuf {
        self.config.data_root.join("containers").join(id)
    }

    /// `<exec-root>/containers/<id>`: the bundle.
    pub fn run_dir(&self, id: &str) -> PathBuf {
        self.config.exec_root.join("containers").join(id)
    }

    pub fn rootfs(&self, id: &str) -> PathBuf {
        self.data_dir(id).join("rootfs")
    }

    pub fn all(&self) -> Vec<Arc<Container>> {
        lock(&self.index).containers.values().cloned().collect()
    }

    /// By id, name, or unique prefix of an id, in this order.
    pub fn find(&self, name: &str) -> Result<Arc<Container>> {
        let index = lock(&self.index);
        if let Some(container) = index.containers.get(name) {
            return Ok(container.clone());
        }
        let bare = name.strip_prefix('/').unwrap_or(name);
        if let Some(container) = index
            .names
            .get(bare)
            .and_then(|id| index.containers.get(id))
        {
            return Ok(container.clone());
        }
        if is_hex(name) {
            let mut found = index
                .containers
                .range(name.to_owned()..)
                .take_while(|(id, _)| id.starts_with(name));
            if let Some((_, container)) = found.next() {
                return match found.next() {
                    None => Ok(container.clone()),
                    Some(_) => Err(Error::invalid(format!(
                        "Multiple IDs found with provided prefix: {name}"
                    ))),
                };
            }
        }
        Err(Error::not_found(format!("No such container: {name}")))
    }

    /// Takes `name` for `id`, or says who has it.
    pub fn reserve(&self, name: &str, id: &str) -> Result<()> {
        let mut index = lock(&self.index);
        match index.names.get(name) {
            Some(owner) if owner != id => Err(Error::conflict(format!(
                "Conflict. The container name {:?} is already in use by container {owner:?}. You have to remove (or \
                 rename) that container to be able to reuse that name.",
                format!("/{name}")
            ))),
            _ => {
                index.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    pub fn release(&self, name: &str) {
        lock(&self.index).names.remove(name);
    }

    pub fn insert(&self, container: Arc<Container>) {
        let mut index = lock(&self.index);
        index.names.insert(container.name(), container.id.clone());
        index.containers.insert(container.id.clone(), container);
    }

    pub fn forget(&self, container: &Container) {
        let mut index = lock(&self.index);
        index.containers.remove(&container.id);
        index.names.remove(&container.name());
    }

    /// Queues the record for the disk; awaiting the future makes sure.
    pub fn save(
        &self,
        container: &Container,
    ) -> Result<impl Future<Output = Result<()>> + Send + 'static + use<>> {
        let value = container.with(Record::encode).doing("encode a container")?;
        Ok(self.store.write(vec![Write {
            table: Table::Containers,
            key: container.id.clone(),
            value: Some(value),
        }]))
    }

    /// Puts a record on disk that memory does not have yet.
    pub async fn save_record(&self, id: &str, record: &Record) -> Result<()> {
        let value = record.encode().doing("encode a container")?;
        let write = Write {
            table: Table::Containers,
            key: id.to_owned(),
            value: Some(value),
        };
        self.store.write(vec![write]).await
    }

    /// Queues the record; the disk follows in its own time, in order.
    pub fn save_soon(&self, container: &Container) {
        match self.save(container) {
            Ok(saved) => drop(saved),
            Err(error) => tracing::error!(id = container.id, %error, "state was not saved"),
        }
    }

    /// A container event with Docker's attributes: image, name, labels, and `more`.
    pub fn event(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes: BTreeMap<String, String> = container.with(|record| {
            let mut attributes = record.config.labels.clone().unwrap_or_default();
            attributes.insert("image".to_owned(), record.config.image.clone());
            attributes.insert("name".to_owned(), record.name.clone());
            attributes
        });
        for (key, value) in more {
            attributes.insert((*key).to_owned(), value.clone());
        }
        self.events
            .publish("container", action, &container.id, attributes, "local");
    }

    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Resolves at the engine's shutdown.
    pub async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}
