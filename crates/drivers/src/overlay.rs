//! `overlay`: one flat network over many hosts, by VXLAN.
//!
//! ```text
//!   Ns::Host            ov-<net>  (one namespace per network)                 sandbox
//!   UDP socket ◄──────► vxlan0 ─┐
//!                       neighbours, FDB:  br0 (gateway address) ─── veth… ─── eth0
//!                       one of each per peer
//! ```
//!
//! All of it comes with the first local endpoint and goes with the last: the network's rows are rows of each endpoint.
//! ARP and neighbour solicitations for a peer are answered by the VXLAN device from its permanent neighbours; nothing is
//! flooded to other hosts. A subnet without a VNI of its own is on the links of the first: the managers give one to each
//! where there is only IPv4 (Docker's nodes want it so), and one for all where there is IPv6.

use std::net::{IpAddr, Ipv4Addr};

use cnm::Peer;
use cnm::driver::{Capability, Driver, Gateway, Host, MeshPort, MeshRows, Service};
use cnm::model::{Endpoint, Mapping, Network, Pool, Scope};
use engine_types::{Error, Result};
use ipnet::IpNet;
use netstate::nft::{Base, BaseKind, Chain, Family, Field, Hook, Rule, Statement, Table, Value};
use netstate::{BridgePort, Link, LinkKind, Mac, Ns, Route, Row};

mod mesh;
mod port;
mod relayed;
mod service;

use service::sysctl_v6;

use crate::bridge::veth;
use crate::options;

/// Outer Ethernet, IPv4, UDP and VXLAN headers; IPv6's is longer.
const OVERHEAD: u32 = 50;
const OVERHEAD_V6: u32 = 70;
const UNDERLAY_MTU: u32 = 1500;
/// RFC 8200
const IPV6_MTU: u32 = 1280;
/// IANA's is what Docker uses.
const DEFAULT_PORT: u16 = 4789;
const UDP: u8 = 17;
/// Before connection tracking.
const RAW: i32 = -300;

pub struct Overlay;

impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlay"
    }
    fn capability(&self) -> Capability {
        Capability {
            scope: Scope::Swarm,
            addresses: true,
            macs: true,
            spans: true,
            lazy: true,
        }
    }

    fn gateway(&self, _network: &Network) -> Gateway {
        Gateway::Shared
    }

    fn validate(&self, network: &Network, _others: &[&Network]) -> Result<()> {
        let mtu = mtu(network)?;
        if network.enable_ipv6 && mtu < IPV6_MTU {
            return Err(Error::invalid(format!(
                "network {}: an MTU of {} leaves {mtu} bytes inside the tunnel, and IPv6 needs {IPV6_MTU}",
                network.name,
                mtu + overhead(network)
            )));
        }
        if network.option(options::ENCRYPTED).is_some() {
            return Err(Error::not_implemented(format!(
                "network {} asks for encryption: the overlay driver cannot program IPsec (ESP) states yet, and it sends nothing in the clear instead",
                network.name
            )));
        }
        // Before the managers have seen it, a network has neither subnets nor VNIs.
        let made = network.scope == Scope::Swarm && !network.pools.is_empty();
        if made && segments(network).next().is_none() {
            return Err(Error::invalid("no VNI provided"));
        }
        Ok(())
    }

    fn network_rows(&self, network: &Network, host: &Host) -> Vec<Row> {
        let ns = namespace(network);
        let mtu = mtu_or_default(network);
        let mut rows = vec![Row::Netns(ns.clone())];
        rows.extend(no_duplicates(network, &ns));
        for (i, vni) in segments(network) {
            let bridge = format!("br{i}");
            rows.push(Row::Link(Link {
                ns: ns.clone(),
                name: bridge.clone(),
                kind: LinkKind::Bridge,
                mac: Some(router_mac(vni, host.vtep)),
                mtu: Some(mtu),
                master: None,
                port: BridgePort::default(),
            }));
            let on_link = network
                .pools
                .iter()
                .filter(|p| segment(network, p) == Some((i, vni)));
            let gateways =
                on_link.filter_map(|p| IpNet::new(p.gateway?, p.subnet.prefix_len()).ok());
            rows.extend(gateways.map(|address| Row::Address {
                ns: ns.clone(),
                link: bridge.clone(),
                address,
            }));
            rows.push(Row::Link(Link {
                ns: ns.clone(),
                name: format!("vxlan{i}"),
                kind: LinkKind::Vxlan {
                    vni,
                    port: tunnel_port(network),
                    local: host.vtep,
                    socket_ns: Ns::Host,
                },
                mac: None,
                mtu: Some(mtu),
                master: Some(bridge),
                port: BridgePort::default(),
            }));
        }
        if host.firewall.ipv4 {
            rows.extend(untracked(tunnel_port(network)));
        }
        if segments(network).count() > 1 {
            rows.push(Row::Sysctl {
                ns,
                key: "net/ipv4/ip_forward".into(),
                value: "1".into(),
            });
        }
        rows
    }

    fn endpoint_rows(&self, network: &Network, endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
        let own = endpoint.addresses();
        let own: Vec<_> = own
            .filter_map(|a| Some(network.pool_of(&a.addr())?.1))
            .collect();
        let link = own.first().and_then(|pool| segment(network, pool));
        let Some((i, _)) = link else {
            return Vec::new();
        };
        let bridge = format!("br{i}");
        let mut rows = veth(
            endpoint,
            sandbox,
            &namespace(network),
            &bridge,
            Some(mtu_or_default(network)),
            BridgePort::default(),
        );
        rows.extend(no_duplicates(network, sandbox));
        if !network.ingress {
            rows.extend(service::backend_rows(endpoint, sandbox));
        }
        // The default route leads elsewhere: the network's other subnets are on this link, or behind its gateway.
        rows.extend(own.into_iter().flat_map(|pool| {
            let v6 = pool.subnet.addr().is_ipv6();
            let others = network.pools.iter().filter(move |p| *p != pool);
            let others = others.filter(move |p| p.subnet.addr().is_ipv6() == v6);
            others.filter_map(move |other| {
                let near = segment(network, other) == link;
                let via = pool.gateway.filter(|_| !near);
                (near || via.is_some()).then(|| {
                    Row::Route(Route {
                        ns: sandbox.clone(),
                        dst: other.subnet,
                        via,
                        link: endpoint.ifname.clone(),
                        table: None,
                    })
                })
            })
        }));
        rows
    }

    fn service_rows(&self, network: &Network, service: &Service, host: &Host) -> Vec<Row> {
        service::rows(network, service, host)
    }

    fn client_rows(&self, network: &Network, sandbox: &Ns) -> Vec<Row> {
        match network.ingress {
            true => Vec::new(),
            false => service::client_rows(network, sandbox),
        }
    }

    fn entry_rows(
        &self,
        network: &Network,
        inside: &Endpoint,
        outside: &Endpoint,
        sandbox: &Ns,
    ) -> Vec<Row> {
        mesh::entry_rows(network, inside, outside, sandbox)
    }

    fn mesh_rows(
        &self,
        _network: &Network,
        port: &MeshPort,
        outside: &Endpoint,
        sandbox: &Ns,
    ) -> MeshRows {
        port::rows(port, outside, sandbox)
    }

    fn task_rows(
        &self,
        network: &Network,
        endpoint: &Endpoint,
        own: IpNet,
        ports: &[Mapping],
        answers: Option<IpAddr>,
        sandbox: &Ns,
    ) -> Vec<Row> {
        mesh::task_rows(network, endpoint, own.addr(), ports, answers, sandbox)
    }

    fn tunnels(&self, network: &Network) -> Vec<(Ns, String)> {
        let links = segments(network).map(|(i, _)| (namespace(network), format!("vxlan{i}")));
        links.collect()
    }

    fn full_size(&self, network: &Network) -> Option<u32> {
        Some(options::mtu(network).ok()?.unwrap_or(UNDERLAY_MTU))
    }

    fn peer_rows(&self, network: &Network, peer: &Peer, address: IpAddr) -> Vec<Row> {
        let Some((i, _)) = link_of(network, address) else {
            tracing::debug!(network = %network.id, %address, "peer is in none of the network's subnets");
            return Vec::new();
        };
        let (ns, link) = (namespace(network), format!("vxlan{i}"));
        vec![
            Row::Neighbour {
                ns: ns.clone(),
                link: link.clone(),
                ip: address,
                mac: peer.mac,
            },
            Row::Fdb {
                ns,
                link,
                mac: peer.mac,
                dst: peer.vtep,
            },
        ]
    }
}

fn tunnel_port(network: &Network) -> u16 {
    match network.vxlan_port {
        0 => DEFAULT_PORT,
        port => port,
    }
}

/// The tunnel's own packets are not tracked: each inner flow has an outer port of its own, so a busy overlay would fill
/// the host's connection table with entries that no rule needs.
fn untracked(port: u16) -> Vec<Row> {
    let table = Table {
        ns: Ns::Host,
        family: Family::Inet,
        name: "pontoon-overlay".into(),
    };
    let hooks = [("in", Hook::Prerouting), ("out", Hook::Output)];
    let chains = hooks.into_iter().flat_map(|(name, hook)| {
        let is = |field, value| Statement::Match {
            field,
            not: false,
            value,
        };
        [
            Row::NftChain(Chain {
                table: table.clone(),
                name: name.into(),
                base: Some(Base {
                    kind: BaseKind::Filter,
                    hook,
                    priority: RAW,
                    drop_by_default: false,
                    device: None,
                }),
            }),
            Row::NftRule(Rule {
                table: table.clone(),
                chain: name.into(),
                order: 1,
                body: vec![
                    is(Field::L4Proto, Value::Protocol(UDP)),
                    is(Field::ThDport, Value::Port(port)),
                    Statement::Notrack,
                ],
            }),
        ]
    });
    std::iter::once(Row::NftTable(table.clone()))
        .chain(chains)
        .collect()
}

fn namespace(network: &Network) -> Ns {
    Ns::Named(format!("ov-{:.10}", network.id))
}

/// Link-local addresses come of MACs that are ours, and are used from the start, not after a look for others that have
/// them: whoever passes on packets that are not from an address of the link (a service's) asks for neighbours by them.
fn no_duplicates(network: &Network, ns: &Ns) -> Option<Row> {
    network
        .enable_ipv6
        .then(|| sysctl_v6(ns, "conf/default/accept_dad", "0"))
}

/// What the network has in the kernel, a bridge and a VXLAN device each: by the place of its subnet among the pools, and the VNI.
fn segments(network: &Network) -> impl Iterator<Item = (usize, u32)> {
    let pools = network.pools.iter().enumerate();
    pools.filter_map(|(i, pool)| Some((i, pool.vni?)))
}

/// The one that a pool's addresses are on.
fn segment(network: &Network, pool: &Pool) -> Option<(usize, u32)> {
    let own = network.pools.iter().position(|p| p == pool);
    let found = segments(network).find(|(i, _)| Some(*i) == own);
    found.or_else(|| segments(network).next())
}

fn link_of(network: &Network, address: IpAddr) -> Option<(usize, u32)> {
    segment(network, network.pool_of(&address)?.1)
}

/// The option states the underlay's MTU.
fn mtu(network: &Network) -> Result<u32> {
    let underlay = options::mtu(network)?.unwrap_or(UNDERLAY_MTU);
    match underlay
        .checked_sub(overhead(network))
        .filter(|inner| *inner >= 68)
    {
        Some(inner) => Ok(inner),
        None => Err(Error::invalid(format!("invalid MTU number: {underlay}"))),
    }
}

fn mtu_or_default(network: &Network) -> u32 {
    mtu(network).unwrap_or(UNDERLAY_MTU - overhead(network))
}

fn overhead(network: &Network) -> u32 {
    match network.tunnel_v6 {
        true => OVERHEAD_V6,
        false => OVERHEAD,
    }
}

/// The gateway's, which routes between the network's subnets: it differs from host to host, or two routers that see
/// each other's frames would take them for their own.
fn router_mac(vni: u32, vtep: Option<IpAddr>) -> Mac {
    let host = match vtep.unwrap_or(Ipv4Addr::UNSPECIFIED.into()) {
        IpAddr::V4(ip) => u32::from(ip),
        IpAddr::V6(ip) => u128::from(ip) as u32,
    };
    let [a, b, c, d] = (host ^ vni.rotate_left(8)).to_be_bytes();
    Mac([0x02, 0x43, a, b, c, d])
}
