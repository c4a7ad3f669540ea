//! Network attachments: a standalone container's place on a swarm network, granted by the managers as a task.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cnm::{Controller, SwarmNetwork};
use engine::Engine;
use engine_types::{Error, Result};
use ipnet::IpNet;
use swarm::agent::{TaskController, TaskError};
use swarm_wire::pb;
use tokio::sync::watch;

use crate::convert;
use crate::executor::Shared;

/// How long the managers may take to answer with an address.
pub const BUDGET: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    pub container_id: String,
    pub network: SwarmNetwork,
    /// None where the node gives them.
    pub addresses: Vec<IpNet>,
}

/// The attachments of this node, by task id.
pub struct Attachments(watch::Sender<BTreeMap<String, Attachment>>);

impl Default for Attachments {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Attachments {
    fn insert(&self, task: &str, attachment: Attachment) {
        self.0.send_modify(|all| {
            all.insert(task.to_owned(), attachment);
        });
    }

    fn remove(&self, task: &str) {
        self.0.send_modify(|all| {
            all.remove(task);
        });
    }

    /// Waits until the managers have assigned `task` to this node.
    pub async fn arrival(&self, task: &str) -> Result<Attachment> {
        let mut all = self.0.subscribe();
        let arrived =
            tokio::time::timeout(BUDGET, all.wait_for(|all| all.contains_key(task))).await;
        let found = match arrived {
            Ok(Ok(all)) => all.get(task).cloned(),
            _ => None,
        };
        found.ok_or_else(|| {
            Error::system("attaching to network failed, make sure your network options are correct and check manager logs: context deadline exceeded")
        })
    }

    pub fn find(&self, network: &str, container: &str) -> Option<String> {
        let all = self.0.borrow();
        all.iter()
            .find(|(_, a)| a.container_id == container && a.network.id == network)
            .map(|(task, _)| task.clone())
    }
}

pub struct AttachmentTask {
    pub task: Arc<pb::Task>,
    pub engine: Engine,
    pub networks: Controller,
    pub shared: Arc<Shared>,
}

impl AttachmentTask {
    fn attachment(&self) -> Result<Attachment> {
        let container_id = match self.task.spec.as_ref().and_then(|s| s.runtime.as_ref()) {
            Some(pb::task_spec::Runtime::Attachment(a)) => a.container_id.clone(),
            _ => {
                return Err(Error::system(format!(
                    "task {} is no network attachment",
                    self.task.id
                )));
            }
        };
        let incomplete = || Error::system(format!("attachment {} has no network", self.task.id));
        let granted = self.task.networks.first().ok_or_else(incomplete)?;
        let network = granted.network.as_ref().ok_or_else(incomplete)?;
        let addresses = granted.addresses.iter().map(|text| {
            text.parse().map_err(|_| {
                Error::system(format!(
                    "attachment {}: invalid address \"{text}\"",
                    self.task.id
                ))
            })
        });
        Ok(Attachment {
            container_id,
            network: convert::swarm_network(network, self.shared.vxlan_port())?,
            addresses: addresses.collect::<Result<_>>()?,
        })
    }
}

#[async_trait]
impl TaskController for AttachmentTask {
    async fn prepare(&mut self) -> Result<(), TaskError> {
        let attachment = self.attachment().map_err(|e| TaskError::Fatal(e.message))?;
        self.networks
            .swarm_network(attachment.network.clone())
            .await
            .map_err(|e| TaskError::Fatal(e.message))?;
        self.shared.attachments.insert(&self.task.id, attachment);
        Ok(())
    }

    async fn start(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// It lasts until it is given back.
    async fn wait(&mut self) -> Result<(), TaskError> {
        // A container that went while nobody was looking (the daemon was down) will never give it back.
        if let Ok(a) = self.attachment()
            && self.engine.resolve(&a.container_id).is_err()
        {
            return Ok(());
        }
        std::future::pending().await
    }

    async fn shutdown(&mut self) -> Result<(), TaskError> {
        self.shared.attachments.remove(&self.task.id);
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), TaskError> {
        self.shared.attachments.remove(&self.task.id);
        if let Ok(a) = self.attachment() {
            self.shared
                .forget_unused(&self.networks, &a.network.id)
                .await;
        }
        Ok(())
    }

    async fn container_status(&self) -> Option<pb::ContainerStatus> {
        None
    }

    async fn port_status(&self) -> Option<pb::PortStatus> {
        None
    }
}
