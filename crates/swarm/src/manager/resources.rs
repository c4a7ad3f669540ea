//! `ResourceAllocator`: a standalone container's place on an attachable network, as a task of the calling node.

use std::time::SystemTime;

use raft_store::{Kind, Tx};
use swarm_wire::pb;
use swarm_wire::pb::task_spec::Runtime;
use tonic::{Request, Response, Status};

use super::gate::{Gate, caller, failed};
use crate::ext::NodeExt;
use crate::id::new_id;

pub(super) struct Resources {
    pub gate: Gate,
}

#[tonic::async_trait]
impl pb::resource_allocator_server::ResourceAllocator for Resources {
    async fn attach_network(
        &self,
        request: Request<pb::AttachNetworkRequest>,
    ) -> Result<Response<pb::AttachNetworkResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let config = request.config.unwrap_or_default();
        let attach = |tx: &mut Tx| {
            let networks = &tx.state().networks;
            let named = || {
                let mut named = networks
                    .values()
                    .filter(|network| name(network) == config.target);
                named.next().filter(|_| named.next().is_none())
            };
            let network = networks
                .get(&config.target)
                .or_else(named)
                .ok_or_else(|| Status::not_found(format!("network {} not found", config.target)))?;
            if !network.spec.as_ref().is_some_and(|spec| spec.attachable) {
                return Err(Status::permission_denied(format!(
                    "network {} not manually attachable",
                    config.target
                )));
            }
            let node = tx.state().nodes.get(&caller.node_id);
            if node.is_some_and(|node| !node.carries(network)) {
                return Err(Status::failed_precondition(format!(
                    "network {} is of a kind that Docker's engine cannot make",
                    config.target
                )));
            }
            let task = task(&caller.node_id, &request.container_id, &network.id, &config);
            let attachment_id = task.id.clone();
            tx.create(task).map_err(failed)?;
            Ok(attachment_id)
        };
        let attachment_id = self.gate.update(attach).await?;
        Ok(Response::new(pb::AttachNetworkResponse { attachment_id }))
    }

    async fn detach_network(
        &self,
        request: Request<pb::DetachNetworkRequest>,
    ) -> Result<Response<pb::DetachNetworkResponse>, Status> {
        let caller = caller(&request)?;
        let id = request.into_inner().attachment_id;
        if id.is_empty() {
            return Err(Status::invalid_argument("invalid argument"));
        }
        let detach = |tx: &mut Tx| {
            let task = tx.state().tasks.get(&id);
            let task =
                task.ok_or_else(|| Status::not_found(format!("attachment {id} not found")))?;
            if task.node_id != caller.node_id {
                return Err(Status::permission_denied(format!(
                    "attachment {id} doesn't belong to this node"
                )));
            }
            tx.remove(Kind::Task, &id).map_err(failed)
        };
        self.gate.update(detach).await?;
        Ok(Response::new(pb::DetachNetworkResponse {}))
    }
}

fn name(network: &pb::Network) -> &str {
    let annotations = network
        .spec
        .as_ref()
        .and_then(|spec| spec.annotations.as_ref());
    annotations.map_or("", |annotations| &annotations.name)
}

fn task(
    node_id: &str,
    container_id: &str,
    network_id: &str,
    config: &pb::NetworkAttachmentConfig,
) -> pb::Task {
    pb::Task {
        id: new_id(),
        node_id: node_id.to_owned(),
        spec: Some(pb::TaskSpec {
            runtime: Some(Runtime::Attachment(pb::NetworkAttachmentSpec {
                container_id: container_id.to_owned(),
            })),
            networks: vec![pb::NetworkAttachmentConfig {
                target: network_id.to_owned(),
                addresses: config.addresses.clone(),
                aliases: config.aliases.clone(),
                driver_attachment_opts: config.driver_attachment_opts.clone(),
            }],
            ..Default::default()
        }),
        status: Some(pb::TaskStatus {
            state: pb::TaskState::New.into(),
            timestamp: Some(SystemTime::now().into()),
            message: "created".into(),
            ..Default::default()
        }),
        desired_state: pb::TaskState::Running.into(),
        ..Default::default()
    }
}
