//! The swarm's networks for this host's network controller.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use cnm::{SwarmNetwork, SwarmNetworks};
use engine_types::{Result, network};
use ipnet::IpNet;
use swarm::agent::Agent;
use swarm_wire::pb;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};

use crate::convert::{inspect_json, network_spec_pb};
use crate::member::{Inner, Member};
use crate::{attachment, errors};

/// Between two attempts to reach a manager.
const AGAIN: Duration = Duration::from_millis(200);

/// Holds the cluster weakly: the controller outlives a membership.
pub struct Networks(pub Weak<Inner>);

impl Networks {
    fn inner(&self) -> Result<Arc<Inner>> {
        self.0.upgrade().ok_or_else(errors::no_swarm)
    }

    fn member(&self) -> Result<Arc<Member>> {
        self.inner()?.member().ok_or_else(errors::no_swarm)
    }
}

#[async_trait]
impl SwarmNetworks for Networks {
    async fn list(&self) -> Result<Vec<network::Inspect>> {
        let member = self.member()?;
        let Some(manager) = &member.manager else {
            return Ok(Vec::new());
        };
        let view = manager.control().view();
        Ok(view
            .networks
            .values()
            .filter(|n| !is_predefined(n))
            .map(|n| inspect_json(n))
            .collect())
    }

    async fn create(&self, name: &str, options: network::CreateOptions) -> Result<String> {
        let control = self.inner()?.control()?;
        let made = control
            .create_network(network_spec_pb(name, options)?)
            .await
            .map_err(errors::from_status)?;
        Ok(made.id.clone())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.inner()?
            .control()?
            .remove_network(id)
            .await
            .map_err(errors::from_status)
    }

    async fn attach(
        &self,
        network: &str,
        container_id: &str,
        addresses: Vec<String>,
    ) -> Result<(SwarmNetwork, Vec<IpNet>)> {
        let member = self.member()?;
        let config = pb::NetworkAttachmentConfig {
            target: network.to_owned(),
            addresses,
            ..Default::default()
        };
        let task = ask_to_attach(&member.agent, config, container_id)
            .await
            .map_err(|s| {
                errors::from_status(s).context(format!("Could not attach to network {network}"))
            })?;
        match member.executor.shared.attachments.arrival(&task).await {
            Ok(a) => Ok((a.network, a.addresses)),
            Err(e) => {
                // It may still be granted later: give it back now.
                let _ = member.agent.detach_network(&task).await;
                Err(e)
            }
        }
    }

    async fn detach(&self, network_id: &str, container_id: &str) -> Result<()> {
        let member = self.member()?;
        match member
            .executor
            .shared
            .attachments
            .find(network_id, container_id)
        {
            Some(task) => member
                .agent
                .detach_network(&task)
                .await
                .map_err(errors::from_status),
            None => Ok(()),
        }
    }

    async fn peers(&self, network_id: &str) -> Vec<network::PeerInfo> {
        let Ok(member) = self.member() else {
            return Vec::new();
        };
        let slot = member.executor.glue.lock().await;
        let Some(glue) = &*slot else {
            return Vec::new();
        };
        let peers = glue.gossip.network_peers(network_id).await;
        peers
            .into_iter()
            .map(|p| network::PeerInfo {
                name: p.name,
                ip: p.addr.to_string(),
            })
            .collect()
    }

    fn is_manager(&self) -> bool {
        self.member().is_ok_and(|m| m.manager.is_some())
    }
}

/// Asks again while no manager can be reached: one may just be starting.
async fn ask_to_attach(
    agent: &Agent,
    config: pb::NetworkAttachmentConfig,
    container_id: &str,
) -> Result<String, Status> {
    let give_up = Instant::now() + attachment::BUDGET;
    let mut status = agent.status();
    loop {
        // Held no longer than this statement: the value is locked meanwhile.
        let in_time = timeout_at(give_up, status.wait_for(|s| s.connected))
            .await
            .is_ok();
        match agent.attach_network(config.clone(), container_id).await {
            Err(s) if s.code() == Code::Unavailable && in_time => sleep(AGAIN).await,
            done => return done,
        }
    }
}

/// `bridge` and `host` stand in the store for services to name; every node has its own.
fn is_predefined(network: &pb::Network) -> bool {
    let annotations = network.spec.as_ref().and_then(|s| s.annotations.as_ref());
    annotations.is_some_and(|a| a.labels.contains_key("com.docker.swarm.predefined"))
}
