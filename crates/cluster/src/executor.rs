//! What the agent calls: describes this node, runs its tasks, keeps its gossip keys.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use cnm::{Controller, SwarmNetwork};
use engine::Engine;
use engine_types::{Error, Result};
use ipnet::IpNet;
use swarm::agent::{Dependencies, Executor, TaskController};
use swarm_wire::pb;
use tokio::sync::mpsc;
use tracing::{debug, error};

use crate::attachment::{AttachmentTask, Attachments};
use crate::convert;
use crate::gossip_glue::{self, Glue};
use crate::logs;
use crate::task::ContainerTask;

/// What this node's tasks share.
pub struct Shared {
    pub hostname: String,
    pub attachments: Attachments,
    /// 0 until the managers said otherwise: the default port.
    vxlan_port: AtomicU32,
}

impl Shared {
    pub fn vxlan_port(&self) -> u32 {
        self.vxlan_port.load(Ordering::Relaxed)
    }

    /// Swarm networks are on a node only while something uses them there.
    pub async fn forget_unused(&self, networks: &Controller, id: &str) {
        if let Err(e) = networks.forget_swarm_network(id).await {
            debug!(network = id, error = %e, "network stays on this node");
        }
    }
}

pub struct NodeExecutor {
    pub engine: Engine,
    pub networks: Controller,
    pub shared: Arc<Shared>,
    pub exec_root: PathBuf,
    pub engine_version: String,
    pub labels: Vec<String>,
    /// Host of `--listen-addr`, of `--advertise-addr`, and the tunnel's own address.
    pub bind: IpAddr,
    pub advertise: IpAddr,
    pub vtep: IpAddr,
    pub glue: gossip_glue::Slot,
}

impl NodeExecutor {
    pub fn shared(hostname: String) -> Arc<Shared> {
        Arc::new(Shared {
            hostname,
            attachments: Attachments::default(),
            vxlan_port: AtomicU32::new(0),
        })
    }
}

#[async_trait]
impl Executor for NodeExecutor {
    async fn describe(&self) -> pb::NodeDescription {
        let plugin = |r#type: &str, name: &str| pb::PluginDescription {
            r#type: r#type.into(),
            name: name.into(),
        };
        let mut plugins: Vec<_> = self
            .networks
            .driver_names()
            .iter()
            .map(|n| plugin("Network", n))
            .collect();
        plugins.push(plugin("Log", "json-file"));
        plugins.push(plugin("Volume", "local"));
        plugins.sort_by(|a, b| (&a.r#type, &a.name).cmp(&(&b.r#type, &b.name)));
        pb::NodeDescription {
            hostname: self.shared.hostname.clone(),
            platform: Some(pb::Platform {
                architecture: std::env::consts::ARCH.into(),
                os: "linux".into(),
            }),
            resources: Some(pb::Resources {
                nano_cpus: std::thread::available_parallelism()
                    .map_or(1, |n| i64::try_from(n.get()).unwrap_or(1))
                    * 1_000_000_000,
                memory_bytes: memory_bytes(),
                generic: Vec::new(),
            }),
            engine: Some(pb::EngineDescription {
                engine_version: self.engine_version.clone(),
                labels: self
                    .labels
                    .iter()
                    .map(|l| l.split_once('=').unwrap_or((l.as_str(), "")))
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect(),
                plugins,
            }),
            tls_info: None,
            fips: false,
            csi_info: Vec::new(),
        }
    }

    async fn configure(&self, node: &pb::Node) {
        self.shared
            .vxlan_port
            .store(node.vxlanudp_port, Ordering::Relaxed);
        let placed = match ingress_place(node) {
            Ok(place) => self.networks.set_ingress(place).await,
            Err(e) => Err(e),
        };
        if let Err(e) = placed {
            error!(error = %e, "this node is no way into the routing mesh");
        }
    }

    async fn set_network_bootstrap_keys(&self, keys: Vec<pb::EncryptionKey>) {
        let ring = gossip_glue::key_ring(keys);
        if ring.is_empty() {
            return;
        }
        let mut slot = self.glue.lock().await;
        match &*slot {
            Some(glue) => glue.gossip.set_keys(ring),
            None => match Glue::start(
                self.bind,
                self.advertise,
                self.vtep,
                ring,
                self.networks.clone(),
            )
            .await
            {
                Ok(glue) => *slot = Some(glue),
                Err(e) => error!(error = %e, "overlay networks of this node are cut off"),
            },
        }
    }

    fn controller(
        &self,
        task: Arc<pb::Task>,
        dependencies: Arc<dyn Dependencies>,
    ) -> Box<dyn TaskController> {
        let runtime = task.spec.as_ref().and_then(|s| s.runtime.as_ref());
        let (engine, networks, shared) = (
            self.engine.clone(),
            self.networks.clone(),
            self.shared.clone(),
        );
        if let Some(pb::task_spec::Runtime::Attachment(_)) = runtime {
            return Box::new(AttachmentTask {
                task,
                engine,
                networks,
                shared,
            });
        }
        Box::new(ContainerTask::new(
            task,
            dependencies,
            engine,
            networks,
            shared,
            self.glue.clone(),
            &self.exec_root,
        ))
    }

    async fn logs(
        &self,
        task_id: &str,
        options: pb::LogSubscriptionOptions,
    ) -> Option<mpsc::Receiver<pb::LogMessage>> {
        Some(logs::of_task(self.engine.clone(), task_id, options))
    }
}

/// The ingress network, and the node's addresses there.
fn ingress_place(node: &pb::Node) -> Result<Option<(SwarmNetwork, Vec<IpNet>)>> {
    let ingress = node.attachments.iter().find_map(|a| {
        let network = a.network.as_ref()?;
        let is = network.spec.as_ref().is_some_and(|s| s.ingress);
        Some((network, &a.addresses)).filter(|_| is && !a.addresses.is_empty())
    });
    let Some((network, addresses)) = ingress else {
        return Ok(None);
    };
    let read = |address: &String| {
        let bad = |_| Error::invalid(format!("invalid address of this node: \"{address}\""));
        address.parse().map_err(bad)
    };
    let addresses = addresses.iter().map(read).collect::<Result<_>>()?;
    let network = convert::swarm_network(network, node.vxlanudp_port)?;
    Ok(Some((network, addresses)))
}

fn memory_bytes() -> i64 {
    let info = rustix::system::sysinfo();
    i64::try_from(info.totalram as u64 * u64::from(info.mem_unit)).unwrap_or(i64::MAX)
}
