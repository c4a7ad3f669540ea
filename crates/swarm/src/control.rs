//! The administrator's verbs (SwarmKit's `Control` service), called in process and served over gRPC.
//! Every failure is a `tonic::Status` with SwarmKit's code and text.

use std::sync::Arc;

use raft_store::{State, Store};
use swarm_wire::pb;
use tonic::Status;

#[derive(Clone)]
pub struct Control {
    store: Store,
}

impl Control {
    pub fn new(store: Store) -> Self {
        Self { store }
    }
    /// Everything as it is now: listings filter this.
    pub fn view(&self) -> State {
        self.store.view()
    }
    pub fn store(&self) -> &Store {
        &self.store
    }
    pub async fn create_network(&self, _spec: pb::NetworkSpec) -> Result<Arc<pb::Network>, Status> {
        todo!()
    }
    pub async fn remove_network(&self, _id: &str) -> Result<(), Status> {
        todo!()
    }
    pub async fn create_service(&self, _spec: pb::ServiceSpec) -> Result<Arc<pb::Service>, Status> {
        todo!()
    }
    pub async fn update_service(
        &self,
        _id: &str,
        _version: u64,
        _spec: pb::ServiceSpec,
        _rollback: bool,
    ) -> Result<Arc<pb::Service>, Status> {
        todo!()
    }
    pub async fn remove_service(&self, _id: &str) -> Result<(), Status> {
        todo!()
    }
    pub async fn update_node(
        &self,
        _id: &str,
        _version: u64,
        _spec: pb::NodeSpec,
    ) -> Result<Arc<pb::Node>, Status> {
        todo!()
    }
    pub async fn remove_node(&self, _id: &str, _force: bool) -> Result<(), Status> {
        todo!()
    }
    pub async fn update_cluster(
        &self,
        _id: &str,
        _version: u64,
        _spec: pb::ClusterSpec,
        _rotate: pb::KeyRotation,
    ) -> Result<Arc<pb::Cluster>, Status> {
        todo!()
    }
    pub async fn create_secret(&self, _spec: pb::SecretSpec) -> Result<Arc<pb::Secret>, Status> {
        todo!()
    }
    pub async fn update_secret(
        &self,
        _id: &str,
        _version: u64,
        _spec: pb::SecretSpec,
    ) -> Result<Arc<pb::Secret>, Status> {
        todo!()
    }
    pub async fn remove_secret(&self, _id: &str) -> Result<(), Status> {
        todo!()
    }
    pub async fn create_config(&self, _spec: pb::ConfigSpec) -> Result<Arc<pb::Config>, Status> {
        todo!()
    }
    pub async fn update_config(
        &self,
        _id: &str,
        _version: u64,
        _spec: pb::ConfigSpec,
    ) -> Result<Arc<pb::Config>, Status> {
        todo!()
    }
    pub async fn remove_config(&self, _id: &str) -> Result<(), Status> {
        todo!()
    }
}
