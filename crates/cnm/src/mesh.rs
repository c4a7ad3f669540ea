//! The routing mesh on this node: a sandbox of its own on the ingress network, its entry, and the ports that lead there.
//!
//! The entry is a sandbox like a container's, without a container: an endpoint with the node's addresses on the ingress
//! network, and one on `docker_gwbridge`. What is published there is what tasks anywhere announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use engine_types::network::EndpointSettings;
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::{Flows, Ns, Row};
use socket2::Socket;

use crate::address::as_requested;
use crate::controller::Inner;
use crate::driver::{Driver, MeshPort};
use crate::kernel::run_in;
use crate::model::{ENTRY, Endpoint, Mapping, Network, Record};
use crate::ports::open_all;
use crate::publish::of_mesh;
use crate::services::Tasks;
use crate::state::{Rows, State};
use crate::{ConnectRequest, Controller, SandboxSpec, SwarmNetwork};

/// Protocol, first and last port, with the sockets that keep them from other programs; none where another has them.
pub(crate) type MeshPorts = BTreeMap<(String, u16, u16), Vec<Socket>>;

impl Controller {
    /// This node's place in the mesh: the ingress network, and the addresses that the managers gave the node there. `None`
    /// outside of a swarm, and while the swarm has no such network.
    pub async fn set_ingress(&self, place: Option<(SwarmNetwork, Vec<IpNet>)>) -> Result<()> {
        let inner = &self.0;
        let is = place.as_ref().map(|(n, own)| (n.id.clone(), own.clone()));
        let was = inner.state().entry().and_then(|record| {
            let mut inside = record.endpoints.iter().filter(|e| !e.is_gateway);
            let inside = inside.next()?;
            Some((inside.network.clone(), inside.addresses().collect()))
        });
        if is != was {
            for error in self.sandbox_remove(ENTRY).await {
                tracing::warn!(%error, "former entry to the routing mesh did not go cleanly");
            }
            if let Some((former, _)) = &was
                && let Err(error) = self.forget_swarm_network(former).await
            {
                tracing::debug!(network = former, %error, "former ingress network stays on this node");
            }
        }
        if let Some((network, own)) = place {
            let id = network.id.clone();
            self.swarm_network(network).await?;
            if is != was {
                self.make_entry(id, own).await?;
            }
        }
        inner.hold_mesh_ports(&[]).await;
        Ok(())
    }

    async fn make_entry(&self, network: String, own: Vec<IpNet>) -> Result<()> {
        let spec = SandboxSpec {
            container_id: ENTRY.into(),
            container_name: "ingress-endpoint".into(),
            ..SandboxSpec::default()
        };
        self.sandbox_create(spec).await?;
        let request = ConnectRequest {
            network,
            settings: EndpointSettings {
                ipam_config: Some(as_requested(own)),
                ..EndpointSettings::default()
            },
            preallocated: true,
            service: None,
        };
        let joined = self.connect(ENTRY, request).await;
        if joined.is_err() {
            for error in self.sandbox_remove(ENTRY).await {
                tracing::warn!(%error, "entry to the routing mesh did not go cleanly");
            }
        }
        joined
    }
}

impl State {
    pub fn entry(&self) -> Option<&Record> {
        self.records.get(ENTRY).filter(|r| !r.endpoints.is_empty())
    }

    /// What the names on the ingress network publish; ports in a row that lead to the same tasks are one.
    fn mesh_ports(&self, network: &str) -> Vec<MeshPort> {
        let mut ports = BTreeMap::<(String, u16), (MeshPort, Tasks)>::new();
        self.each_task(network, |record, distance| {
            for port in &record.service.ingress_ports {
                let key = (port.protocol.clone(), port.published);
                let (behind, tasks) = ports.entry(key).or_insert_with(|| {
                    let port = MeshPort {
                        protocol: port.protocol.clone(),
                        first: port.published,
                        last: port.published,
                        backends: BTreeMap::new(),
                        concealed: false,
                        within: port.within,
                        relayed: BTreeMap::new(),
                    };
                    (port, Tasks::default())
                });
                for backend in record.addresses() {
                    tasks.add(backend, record, distance);
                    behind
                        .relayed
                        .extend(port.proxy.map(|proxy| (backend, proxy)));
                }
                // Tasks from before and after a change of their service may differ.
                behind.concealed |= port.concealed;
                if behind.within != port.within {
                    behind.within = None;
                }
            }
        });
        let mut all: Vec<MeshPort> = Vec::new();
        for (mut port, tasks) in ports.into_values() {
            port.backends = tasks.near();
            port.relayed
                .retain(|task, _| port.backends.contains_key(task));
            match all.last_mut() {
                Some(last) if last.goes_on_with(&port) => last.last = port.last,
                _ => all.push(port),
            }
        }
        all
    }

    pub fn mesh_rows(&self, network: &Network, driver: &dyn Driver) -> Rows {
        self.entry_and_ports(network, driver).unwrap_or_default()
    }

    fn entry_and_ports(&self, network: &Network, driver: &dyn Driver) -> Option<Rows> {
        let entry = self.entry().filter(|_| self.host.firewall.ipv4)?;
        let (inside, ns) = (entry.endpoint_on(&network.id)?, entry.ns()?);
        let outside = entry.endpoints.iter().find(|e| e.is_gateway)?;
        let ipv6 = inside.ipv6.is_some() && self.host.firewall.ipv6;
        let outside = &Endpoint {
            ipv6: outside.ipv6.filter(|_| ipv6),
            ..outside.clone()
        };
        let ipv6 = outside.ipv6.is_some();
        let bridge = self.network(&outside.network).ok()?;
        let host = self.driver(bridge).ok()?;
        let subnets: Vec<IpNet> = network.pools.iter().map(|p| p.subnet).collect();
        let mut own = driver.entry_rows(network, inside, outside, &ns);
        own.extend(host.concealed_rows(bridge, outside, &subnets));
        let mut rows = Rows::from([(format!("mesh/{}", network.id), own)]);
        for mut port in self.mesh_ports(&network.id) {
            port.backends.retain(|backend, _| backend.is_ipv4() || ipv6);
            port.relayed
                .retain(|task, _| port.backends.contains_key(task));
            let mut of_port = driver.mesh_rows(network, &port, outside, &ns);
            let any = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
            let [mapping, v6] = any.map(|any| published(&port, any));
            of_port.extend(match &port.within {
                Some(net) => host.publish_within_rows(bridge, outside, &mapping, net),
                None => host.publish_rows(bridge, outside, &[mapping, v6]),
            });
            rows.insert(format!("mesh/{}/{}", network.id, port.name()), of_port);
        }
        Some(rows)
    }

    /// What a task of a service with published ports does on the ingress network.
    pub fn task_rows(
        &self,
        record: &Record,
        network: &Network,
        endpoint: &Endpoint,
        ns: &Ns,
    ) -> Vec<Row> {
        let ports = endpoint.service.as_ref().map(|s| &s.ingress_ports[..]);
        let (Some(ports), Ok(driver)) = (ports, self.driver(network)) else {
            return Vec::new();
        };
        let of_family = |own: IpNet| {
            let v6 = own.addr().is_ipv6();
            let gateway = self.gateway_of(record, v6).and_then(|(e, _)| e.address(v6));
            let answers = gateway.unwrap_or(own).addr();
            let answers = self.host.steers.then_some(answers);
            let ports = of_mesh(ports, own.addr());
            driver.task_rows(network, endpoint, own, &ports, answers, ns)
        };
        let mut rows: Vec<Row> = endpoint.addresses().flat_map(of_family).collect();
        rows.sort();
        rows.dedup();
        rows
    }
}

fn published(port: &MeshPort, host_ip: IpAddr) -> Mapping {
    Mapping {
        protocol: port.protocol.clone(),
        target: port.first,
        host_ip,
        host_port: Some(port.first),
        count: port.last - port.first + 1,
    }
}

impl Inner {
    /// Connections that go on to addresses where nobody is any more begin anew, at somebody else's.
    pub async fn forget_backends(&self, network: &str, gone: &[IpAddr]) {
        if self.state().network(network).is_ok_and(|n| n.ingress) {
            let flows = gone.iter().copied().map(Flows::Of);
            self.forget_in_mesh(flows.collect()).await;
        }
    }

    async fn forget_in_mesh(&self, flows: Vec<Flows>) {
        let entry = self.state().entry().and_then(Record::ns);
        if let Some(ns) = entry {
            self.forget_in(ns, flows).await;
        }
    }

    async fn forget_in(&self, ns: Ns, flows: Vec<Flows>) {
        if let Err(error) = self.kernel.forget(ns, flows).await {
            tracing::debug!(%error, "connections of the mesh live on");
        }
    }

    /// Keeps the mesh's ports of the host from other programs, as far as they are free. As with Docker the mesh works all
    /// the same where they are not: it comes first. `changed`: the networks that something is new of.
    pub async fn hold_mesh_ports(&self, changed: &[String]) {
        let new: Vec<_> = {
            let mut state = self.state();
            let network = state.entry().and_then(|r| r.endpoints.first());
            let network = network.map(|e| e.network.clone());
            if !changed.is_empty() && network.as_ref().is_some_and(|n| !changed.contains(n)) {
                return;
            }
            let ports = network.map(|n| state.mesh_ports(&n)).unwrap_or_default();
            // At some addresses only, it is nobody's elsewhere.
            let ports = ports.into_iter().filter(|p| p.within.is_none());
            let ports = ports.map(|p| (p.protocol, p.first, p.last));
            let wanted: BTreeSet<_> = ports.collect();
            state.mesh.retain(|port, _| wanted.contains(port));
            let unheld = wanted.into_iter().filter(|p| !state.mesh.contains_key(p));
            unheld.collect()
        };
        let udp = new.iter().filter(|(protocol, ..)| protocol == "udp");
        let any = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        let flows = udp.flat_map(|(_, a, b)| any.map(|any| Flows::ToUdp(any, *a, *b)));
        let flows: Vec<_> = flows.collect();
        if !flows.is_empty() {
            self.forget_in_mesh(flows.clone()).await;
            self.forget_in(Ns::Host, flows).await;
        }
        for port in new {
            let (protocol, first, last) = port.clone();
            let open = move || open_all(&protocol, Ipv4Addr::UNSPECIFIED.into(), first, last);
            let held = match run_in(self.kernel.as_ref(), &Ns::Host, open).await {
                Ok(Ok(sockets)) => sockets,
                Ok(Err((taken, error))) => {
                    tracing::warn!(port = taken, %error, "published port is somebody else's as well: the mesh has it now");
                    Vec::new()
                }
                Err(Error { message, .. }) => {
                    tracing::warn!(port = first, message, "published port is not held");
                    Vec::new()
                }
            };
            self.state().mesh.insert(port, held);
        }
        let wanted = self.state().wants_relay();
        self.keep_relay(wanted).await;
    }
}
