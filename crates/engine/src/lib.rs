//! Containers, exec, logs, events and images of this host.
//!
//!     engine-api, cluster
//!            │
//!        ┌───▼────┐  sandboxes  ┌─────┐
//!        │ Engine ├────────────►│ cnm │
//!        └┬──┬───┬┘             └─────┘
//!   store │  │   │ conmon + OCI runtime (programs, one conmon per container and exec)
//!         ▼  ▼   ▼
//!      redb  layers on overlayfs  ── <data-root>
//!                 bundles, streams ── <exec-root>
//!
//! What runs is the truth, the store is the memory: at start the engine looks which conmons are alive and takes their
//! containers over, so that it can be stopped, replaced or killed at any moment without a container noticing.
//!
//! It does not pull from registries, does not build images, and knows nothing of services: a swarm task is a container
//! that somebody else names, connects and restarts.

mod archive;
mod cgroup;
mod conmon;
mod control;
mod copy;
mod create;
mod cri;
mod error;
mod events;
mod exec;
mod exit;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod image;
mod inner;
mod inspect;
mod links;
mod list;
mod log_reader;
mod log_tail;
mod logs;
mod merge;
mod mount_points;
mod names;
mod network;
mod poll;
mod ports;
mod record;
mod recover;
mod remove;
mod root;
mod runtime;
mod scene;
mod signal;
mod spec;
mod start;
mod status;
mod store;
mod streams;
mod top;
mod tree;
mod update;
mod validate;
mod volumes;
mod wait;

pub use cgroup::unified as unified_cgroup;
pub use events::Events;
pub use names::random as random_name;
pub use streams::{Attached, LogOptions, StdStream};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine_types::Result;
use engine_types::container::Ulimit;
use tokio::sync::{mpsc, watch};

use crate::error::Doing;
use crate::image::Images;
use crate::inner::{Index, Inner};
use crate::runtime::Runtimes;
use crate::store::Store;
use crate::volumes::Volumes;

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>`: `containers/`, `images/`, `layers/` …
    pub data_root: PathBuf,
    /// `<exec-root>`: bundles, sockets, pid files.
    pub exec_root: PathBuf,
    pub cgroup_parent: String,
    /// Name to binary (`runc` to `/usr/bin/runc`).
    pub runtimes: BTreeMap<String, String>,
    pub default_runtime: String,
    pub conmon: PathBuf,
    pub labels: Vec<String>,
    /// For containers that have none of that name.
    pub default_ulimits: Vec<Ulimit>,
}

/// A handle; clones share one engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// A wait for a container's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    NotRunning,
    NextExit,
    Removed,
}

/// Lines of progress, as Docker streams them (`{"status":…}`), then the end or an error.
pub type Progress = mpsc::Receiver<Result<serde_json::Value>>;

/// An archive on its way in or out, chunk by chunk.
pub type Chunks = mpsc::Receiver<Result<Bytes>>;

impl Engine {
    /// Opens the store and takes over the containers that still run.
    pub async fn start(config: Config, networks: cnm::Controller, events: Events) -> Result<Self> {
        let tmp = config.data_root.join("tmp");
        image::layers::remove_dir(&tmp);
        for dir in [
            &config.data_root,
            &config.data_root.join("containers"),
            &config.exec_root,
            &config.exec_root.join("containers"),
            &tmp,
        ] {
            std::fs::create_dir_all(dir).doing(format!("create {}", dir.display()))?;
        }
        image::layers::set_mode(&tmp, 0o700)?;
        image::layers::set_mode(&config.data_root.join("containers"), 0o710)?;
        image::layers::set_mode(&config.exec_root.join("containers"), 0o700)?;
        let (store, loaded) = Store::open(&config.data_root.join("engine.redb"))?;
        let store = Arc::new(store);
        let images = Images::open(&config.data_root, store.clone(), &loaded)?;
        let volumes = Volumes::new(&config.data_root, events.clone());
        let records = loaded
            .containers
            .into_iter()
            .map(|(id, row)| {
                let record = record::Record::decode(&row)
                    .doing(format!("read container {id} from the store"))?;
                Ok((id, record))
            })
            .collect::<Result<Vec<_>>>()?;
        let engine = Self {
            inner: Arc::new(Inner {
                runtimes: Runtimes::new(&config),
                config,
                networks,
                events,
                store,
                images,
                volumes,
                tmp,
                index: Mutex::new(Index::default()),
                execs: Mutex::default(),
                cgroups: tokio::sync::RwLock::new(()),
                closing: watch::Sender::new(false),
            }),
        };
        let restart = engine.recover(records).await?;
        engine.sweep_layers().await?;
        engine.start_at_boot(restart);
        Ok(engine)
    }

    pub fn events(&self) -> &Events {
        &self.inner.events
    }

    /// Full id of a name, id or unique id prefix.
    pub fn resolve(&self, id: &str) -> Result<String> {
        Ok(self.inner.find(id)?.id.clone())
    }

    /// running, paused, stopped; images.
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        let (mut running, mut paused, mut stopped) = (0, 0, 0);
        for container in self.inner.all() {
            match container.with(|record| record.state.status()) {
                "running" | "restarting" => running += 1,
                "paused" => paused += 1,
                _ => stopped += 1,
            }
        }
        (running, paused, stopped, self.inner.images.count())
    }

    /// Leaves every container running.
    pub async fn shutdown(&self) {
        self.inner.closing.send_replace(true);
        if let Err(error) = self.inner.store.close().await {
            tracing::error!(%error, "state was not saved");
        }
        if !self
            .inner
            .all()
            .iter()
            .any(|container| container.live().is_some())
        {
            cgroup::remove_parent(&self.inner.config.cgroup_parent, None);
        }
    }
}
