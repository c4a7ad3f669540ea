//! The routing mesh on this node: a sandbox of its own on the ingress network, its entry, and the ports that lead there.
//!
//! The entry is a sandbox like a container's, without a container: an endpoint with the node's addresses on the ingress
//! network, and one on `docker_gwbridge`. What is published there is what tasks anywhere announce.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
use crate::services::{Led, Tasks};
use crate::state::State;
use crate::ways::{Here, Way};
use crate::{ConnectRequest, Controller, SandboxSpec, SwarmNetwork};

/// Protocol, first and last port.
pub(crate) type PortRange = (String, u16, u16);

/// A port of the mesh, and the sockets that keep it from other programs; none where another has it.
#[derive(Default)]
pub(crate) struct Held {
    /// How many services have it: one that goes may overlap with one that comes.
    pub by: usize,
    pub sockets: Vec<Socket>,
}

const ANY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

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

    /// What a service publishes; ports in a row that lead to the same tasks are one.
    fn mesh_ports(&self, network: &str, here: &Here, way: &Way) -> Vec<MeshPort> {
        let mut ports = BTreeMap::<(String, u16), (MeshPort, Tasks)>::new();
        self.each_task(network, here, way, |record, distance| {
            for port in &record.service.ingress_ports {
                let key = (port.protocol.clone(), port.published);
                let (behind, tasks) = ports.entry(key).or_insert_with(|| {
                    let port = MeshPort {
                        protocol: port.protocol.clone(),
                        first: port.published,
                        last: port.published,
                        backends: BTreeMap::new(),
                        concealed: false,
                        sticky: false,
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
            port.sticky = tasks.balance.sticky;
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

    /// The entry as packets find it.
    fn gate(&self, network: &Network) -> Option<Gate<'_>> {
        let entry = self.entry()?;
        let (inside, ns) = (entry.endpoint_on(&network.id)?, entry.ns()?);
        let outside = entry.endpoints.iter().find(|e| e.is_gateway)?;
        let rules = &self.host.firewall;
        let bridge = self.network(&outside.network).ok()?;
        Some(Gate {
            inside,
            outside: Endpoint {
                ipv4: outside.ipv4.filter(|_| inside.ipv4.is_some() && rules.ipv4),
                ipv6: outside.ipv6.filter(|_| inside.ipv6.is_some() && rules.ipv6),
                ..outside.clone()
            },
            ns,
            bridge,
            host: self.driver(bridge).ok()?,
        })
    }

    /// `all`: the entry's own rows as well.
    pub fn led_by_mesh(
        &self,
        network: &Network,
        driver: &dyn Driver,
        here: &Here,
        ways: &BTreeSet<Way>,
        all: bool,
    ) -> BTreeMap<String, Led> {
        let mut led = BTreeMap::new();
        let Some(gate) = self.gate(network) else {
            return led;
        };
        if all {
            let subnets: Vec<IpNet> = network.pools.iter().map(|p| p.subnet).collect();
            let (outside, host) = (&gate.outside, gate.host);
            let mut rows = driver.entry_rows(network, gate.inside, outside, &gate.ns);
            rows.extend(host.concealed_rows(gate.bridge, outside, &subnets));
            let ports = BTreeSet::new();
            led.insert(format!("mesh/{}", network.id), Led { rows, ports });
        }
        for way in ways.iter().filter(|way| matches!(way, Way::Ports(_))) {
            let mut of_service = Led::default();
            for mut port in self.mesh_ports(&network.id, here, way) {
                let leads = |backend: &IpAddr| gate.outside.address(backend.is_ipv6()).is_some();
                port.backends.retain(|backend, _| leads(backend));
                port.relayed
                    .retain(|task, _| port.backends.contains_key(task));
                let of_port = driver.mesh_rows(network, &port, &gate.outside, &gate.ns);
                of_service.rows.extend(of_port.own);
                for (name, rows) in of_port.shared {
                    // Until the entry goes: the next service that is like this one needs it again.
                    let owner = format!("mesh/{}/{name}", network.id);
                    let ports = BTreeSet::new();
                    led.insert(owner, Led { rows, ports });
                }
                of_service.rows.extend(gate.published(&port));
                // At some addresses only, it is nobody's elsewhere.
                if port.within.is_none() {
                    let held = (port.protocol, port.first, port.last);
                    of_service.ports.insert(held);
                }
            }
            led.insert(way.owner(&network.id), of_service);
        }
        led
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

/// What the entry to the mesh is: an endpoint on either side, and the network that packets come to it by.
struct Gate<'a> {
    inside: &'a Endpoint,
    outside: Endpoint,
    ns: Ns,
    bridge: &'a Network,
    host: &'a dyn Driver,
}

impl Gate<'_> {
    /// The way from the host to the entry.
    fn published(&self, port: &MeshPort) -> Vec<Row> {
        let mapping = |any: IpAddr| Mapping {
            protocol: port.protocol.clone(),
            target: port.first,
            host_ip: any,
            host_port: Some(port.first),
            count: port.last - port.first + 1,
        };
        let both = ANY.map(mapping);
        match (&port.within, &both) {
            (Some(net), [mapping, _]) => {
                let host = self.host;
                host.publish_within_rows(self.bridge, &self.outside, mapping, net)
            }
            (None, both) => self.host.publish_rows(self.bridge, &self.outside, both),
        }
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

    /// After changes of these networks: keeps ports that are the mesh's now from other programs of the host, as far as they are
    /// free. As with Docker the mesh works all the same where they are not: it comes first. And a relay is there where one is wanted.
    pub async fn settle_mesh(&self, networks: &[String], new: Vec<PortRange>) {
        let udp = new.iter().filter(|(protocol, ..)| protocol == "udp");
        let flows = udp.flat_map(|(_, a, b)| ANY.map(|any| Flows::ToUdp(any, *a, *b)));
        let flows: Vec<_> = flows.collect();
        if !flows.is_empty() {
            self.forget_in_mesh(flows.clone()).await;
            self.forget_in(Ns::Host, flows).await;
        }
        // Where nobody answers by IPv4, it is not to look as if somebody did.
        let at = {
            let state = self.state();
            let inside = state.entry().and_then(|r| r.endpoints.first());
            ANY[usize::from(inside.is_some_and(|e| e.ipv4.is_none()))]
        };
        for port in new {
            let (protocol, first, last) = port.clone();
            let open = move || open_all(&protocol, at, first, last);
            let sockets = match run_in(self.kernel.as_ref(), &Ns::Host, open).await {
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
            if let Some(held) = self.state().mesh.get_mut(&port) {
                held.sockets = sockets;
            }
        }
        let about_it = {
            let state = self.state();
            let ingress = |n: &String| state.network(n).is_ok_and(|n| n.ingress);
            networks.iter().any(ingress)
        };
        if about_it {
            let wanted = self.state().wants_relay();
            self.keep_relay(wanted).await;
        }
    }
}
