//! Containers, exec, logs, events and images of this host.

mod events;
mod streams;

pub use events::Events;
pub use streams::{Attached, LogOptions, StdStream};

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use engine_types::{Filters, Result, container, image};
use tokio::sync::mpsc;

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
}

#[derive(Clone)]
pub struct Engine {}

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
    pub async fn start(
        _config: Config,
        _networks: cnm::Controller,
        _events: Events,
    ) -> Result<Self> {
        todo!()
    }
    pub fn events(&self) -> &Events {
        todo!()
    }

    // --- containers ---
    pub async fn create(
        &self,
        _name: Option<&str>,
        _request: container::CreateRequest,
    ) -> Result<container::CreateResponse> {
        todo!()
    }
    /// A swarm task's container: its connections were allocated by the manager, its names are announced by the caller.
    pub async fn create_managed(
        &self,
        _name: &str,
        _request: container::CreateRequest,
        _networks: Vec<cnm::ConnectRequest>,
    ) -> Result<container::CreateResponse> {
        todo!()
    }
    pub async fn start_container(&self, _id: &str) -> Result<()> {
        todo!()
    }
    /// `NotModified` when it does not run. `timeout` in seconds, `None` = the container's own, -1 = forever.
    pub async fn stop(
        &self,
        _id: &str,
        _signal: Option<&str>,
        _timeout: Option<i64>,
    ) -> Result<()> {
        todo!()
    }
    pub async fn restart(
        &self,
        _id: &str,
        _signal: Option<&str>,
        _timeout: Option<i64>,
    ) -> Result<()> {
        todo!()
    }
    pub async fn kill(&self, _id: &str, _signal: &str) -> Result<()> {
        todo!()
    }
    pub async fn pause(&self, _id: &str, _pause: bool) -> Result<()> {
        todo!()
    }
    pub async fn rename(&self, _id: &str, _name: &str) -> Result<()> {
        todo!()
    }
    pub async fn update(
        &self,
        _id: &str,
        _update: container::ContainerUpdate,
    ) -> Result<Vec<String>> {
        todo!()
    }
    pub async fn remove(&self, _id: &str, _force: bool, _volumes: bool) -> Result<()> {
        todo!()
    }
    /// Resolves at once when the condition holds already. The container's existence is checked before this returns its receiver.
    pub async fn wait(
        &self,
        _id: &str,
        _condition: WaitCondition,
    ) -> Result<tokio::sync::oneshot::Receiver<container::WaitResponse>> {
        todo!()
    }
    pub async fn list(
        &self,
        _all: bool,
        _limit: Option<usize>,
        _size: bool,
        _filters: &Filters,
    ) -> Result<Vec<container::Summary>> {
        todo!()
    }
    pub async fn inspect(&self, _id: &str, _size: bool) -> Result<container::InspectResponse> {
        todo!()
    }
    /// Full id of a name, id or unique id prefix.
    pub fn resolve(&self, _id: &str) -> Result<String> {
        todo!()
    }
    pub async fn top(&self, _id: &str, _ps_args: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        todo!()
    }
    pub async fn prune(&self, _filters: &Filters) -> Result<(Vec<String>, u64)> {
        todo!()
    }
    /// `docker network connect` and `disconnect`, on running and stopped containers.
    pub async fn network_connect(
        &self,
        _network: &str,
        _request: engine_types::network::ConnectOptions,
    ) -> Result<()> {
        todo!()
    }
    pub async fn network_disconnect(
        &self,
        _network: &str,
        _request: engine_types::network::DisconnectOptions,
    ) -> Result<()> {
        todo!()
    }

    // --- streams ---
    pub async fn attach(
        &self,
        _id: &str,
        _stdin: bool,
        _stdout: bool,
        _stderr: bool,
        _logs: bool,
        _stream: bool,
    ) -> Result<Attached> {
        todo!()
    }
    pub async fn logs(&self, _id: &str, _options: LogOptions) -> Result<Attached> {
        todo!()
    }
    pub async fn resize(&self, _id: &str, _height: u16, _width: u16) -> Result<()> {
        todo!()
    }
    /// Files out of (`archive`) a container as a tar, with the base64 JSON of Docker's path stat header.
    pub async fn archive_get(&self, _id: &str, _path: &str) -> Result<(String, Chunks)> {
        todo!()
    }
    pub async fn archive_put(&self, _id: &str, _path: &str, _body: Chunks) -> Result<()> {
        todo!()
    }

    // --- exec ---
    pub async fn exec_create(&self, _id: &str, _options: container::ExecOptions) -> Result<String> {
        todo!()
    }
    /// Starts it attached; the streams end with the process.
    pub async fn exec_start(
        &self,
        _exec: &str,
        _detach: bool,
        _tty: bool,
    ) -> Result<Option<Attached>> {
        todo!()
    }
    pub async fn exec_resize(&self, _exec: &str, _height: u16, _width: u16) -> Result<()> {
        todo!()
    }
    /// `ExecInspect` plus `ProcessConfig` and the flags that Docker shows.
    pub async fn exec_inspect(&self, _exec: &str) -> Result<serde_json::Value> {
        todo!()
    }

    // --- images ---
    pub async fn images(&self, _all: bool, _filters: &Filters) -> Result<Vec<image::Summary>> {
        todo!()
    }
    pub async fn image_inspect(&self, _name: &str) -> Result<image::Inspect> {
        todo!()
    }
    pub async fn image_history(&self, _name: &str) -> Result<serde_json::Value> {
        todo!()
    }
    /// `docker import`: a root file system as a tar, compressed or not.
    pub async fn image_import(
        &self,
        _body: Chunks,
        _reference: &str,
        _message: &str,
        _changes: &[String],
    ) -> Result<Progress> {
        todo!()
    }
    /// `docker load`: docker-archive or OCI layout.
    pub async fn image_load(&self, _body: Chunks, _quiet: bool) -> Result<Progress> {
        todo!()
    }
    pub async fn image_save(&self, _names: &[String]) -> Result<Chunks> {
        todo!()
    }
    pub async fn image_pull(
        &self,
        _reference: &str,
        _platform: &str,
        _auth: &str,
    ) -> Result<Progress> {
        todo!()
    }
    pub async fn image_tag(&self, _name: &str, _repository: &str, _tag: &str) -> Result<()> {
        todo!()
    }
    pub async fn image_remove(
        &self,
        _name: &str,
        _force: bool,
        _prune: bool,
    ) -> Result<Vec<image::DeleteItem>> {
        todo!()
    }
    pub async fn image_prune(&self, _filters: &Filters) -> Result<(Vec<image::DeleteItem>, u64)> {
        todo!()
    }

    /// running, paused, stopped; images.
    pub fn counts(&self) -> (usize, usize, usize, usize) {
        todo!()
    }
    /// Leaves every container running.
    pub async fn shutdown(&self) {
        todo!()
    }
}
