//! A manager: the store, the loops that drive it, and the gRPC services on 2377.

use std::net::SocketAddr;
use std::path::PathBuf;

use swarm_wire::pb;

use crate::ca::Identity;
use crate::control::Control;

/// How the first manager of a new swarm starts.
#[derive(Clone, Debug)]
pub struct Init {
    pub spec: pb::ClusterSpec,
    pub default_addr_pool: Vec<String>,
    pub subnet_size: u32,
    pub data_path_port: u32,
    pub availability: i32,
}

#[derive(Clone, Debug)]
pub struct Config {
    /// `<data-root>/swarm`
    pub dir: PathBuf,
    pub listen: SocketAddr,
    pub advertise: SocketAddr,
}

#[derive(Clone)]
pub struct Manager {}

impl Manager {
    /// Makes a new cluster: root CA, tokens, cluster object, this node's identity, ingress network, gossip keys.
    pub async fn init(_config: Config, _init: Init) -> Result<(Self, Identity), Error> {
        todo!()
    }
    /// Starts again from what `dir` holds.
    pub async fn restart(_config: Config, _identity: Identity) -> Result<Self, Error> {
        todo!()
    }
    pub fn control(&self) -> Control {
        todo!()
    }
    /// Closes the listener and the store; returns when the port is free.
    pub async fn stop(self) {
        todo!()
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Ca(#[from] crate::ca::Error),
    #[error("{0}")]
    Store(#[from] raft_store::Error),
    #[error("listen on {addr}: {source}")]
    Listen {
        addr: SocketAddr,
        source: std::sync::Arc<std::io::Error>,
    },
    #[error("{0}")]
    Other(String),
}
