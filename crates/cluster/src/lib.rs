//! This node's part in a swarm: init, join and leave; tasks run as containers; overlay endpoints told to gossip.

use std::net::IpAddr;
use std::path::PathBuf;

use engine_types::{Filters, Result, swarm};

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/swarm`
    pub dir: PathBuf,
    pub default_advertise_addr: Option<String>,
    pub engine_labels: Vec<String>,
    pub engine_version: String,
}

#[derive(Clone)]
pub struct Cluster {}

/// Which tokens an update turns over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotate {
    pub worker_token: bool,
    pub manager_token: bool,
    pub unlock_key: bool,
}

impl Cluster {
    /// Takes up again what `dir` says this node was part of.
    pub async fn start(
        _config: Config,
        _engine: engine::Engine,
        _networks: cnm::Controller,
    ) -> Result<Self> {
        todo!()
    }
    pub async fn init(&self, _request: swarm::InitRequest) -> Result<String> {
        todo!()
    }
    pub async fn join(&self, _request: swarm::JoinRequest) -> Result<()> {
        todo!()
    }
    pub async fn leave(&self, _force: bool) -> Result<()> {
        todo!()
    }
    pub async fn inspect(&self) -> Result<swarm::Swarm> {
        todo!()
    }
    pub async fn update(&self, _version: u64, _spec: swarm::Spec, _rotate: Rotate) -> Result<()> {
        todo!()
    }
    pub async fn unlock_key(&self) -> Result<String> {
        todo!()
    }
    pub async fn unlock(&self, _key: &str) -> Result<()> {
        todo!()
    }
    /// `Swarm` of `docker info`.
    pub async fn info(&self) -> swarm::Info {
        todo!()
    }
    /// The `Swarm` header of `/_ping`: inactive, pending, error, locked, active/worker, active/manager.
    pub fn ping_header(&self) -> String {
        todo!()
    }
    pub async fn nodes(&self, _filters: &Filters) -> Result<Vec<swarm::Node>> {
        todo!()
    }
    pub async fn node(&self, _id: &str) -> Result<swarm::Node> {
        todo!()
    }
    pub async fn node_update(
        &self,
        _id: &str,
        _version: u64,
        _spec: swarm::NodeSpec,
    ) -> Result<()> {
        todo!()
    }
    pub async fn node_remove(&self, _id: &str, _force: bool) -> Result<()> {
        todo!()
    }
    pub async fn services(&self, _filters: &Filters, _status: bool) -> Result<Vec<swarm::Service>> {
        todo!()
    }
    pub async fn service(&self, _id: &str, _insert_defaults: bool) -> Result<swarm::Service> {
        todo!()
    }
    pub async fn service_create(
        &self,
        _spec: swarm::ServiceSpec,
    ) -> Result<swarm::ServiceCreateResponse> {
        todo!()
    }
    pub async fn service_update(
        &self,
        _id: &str,
        _version: u64,
        _spec: swarm::ServiceSpec,
        _rollback: bool,
    ) -> Result<swarm::ServiceUpdateResponse> {
        todo!()
    }
    pub async fn service_remove(&self, _id: &str) -> Result<()> {
        todo!()
    }
    pub async fn tasks(&self, _filters: &Filters) -> Result<Vec<swarm::Task>> {
        todo!()
    }
    pub async fn task(&self, _id: &str) -> Result<swarm::Task> {
        todo!()
    }
    pub async fn secrets(&self, _filters: &Filters) -> Result<Vec<swarm::Secret>> {
        todo!()
    }
    pub async fn secret_create(&self, _spec: swarm::SecretSpec) -> Result<String> {
        todo!()
    }
    pub async fn secret_update(
        &self,
        _id: &str,
        _version: u64,
        _spec: swarm::SecretSpec,
    ) -> Result<()> {
        todo!()
    }
    pub async fn secret_remove(&self, _id: &str) -> Result<()> {
        todo!()
    }
    pub async fn configs(&self, _filters: &Filters) -> Result<Vec<swarm::Config>> {
        todo!()
    }
    pub async fn config_create(&self, _spec: swarm::ConfigSpec) -> Result<String> {
        todo!()
    }
    pub async fn config_update(
        &self,
        _id: &str,
        _version: u64,
        _spec: swarm::ConfigSpec,
    ) -> Result<()> {
        todo!()
    }
    pub async fn config_remove(&self, _id: &str) -> Result<()> {
        todo!()
    }
    /// The address that this node's tunnels use, while in a swarm.
    pub fn data_path_addr(&self) -> Option<IpAddr> {
        todo!()
    }
    /// Stops managers and agent; tasks keep running.
    pub async fn shutdown(&self) {
        todo!()
    }
}
