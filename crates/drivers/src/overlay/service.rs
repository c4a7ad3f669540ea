//! Services by their own addresses.
//!
//! ```text
//!   connect-time   a socket of the sandbox that connects to the service connects to a backend instead
//!   by route       client ──ARP──► vxlan0: the service is at br0 ──► route to a group of backends ──► backend, which has
//!                  the service's address on lo and answers the client directly
//! ```
//! The first is for TCP and UDP where the host can; the second for all else (ping, SCTP), and for hosts that cannot. It
//! needs backends that have the service's address: ours do, Docker's do not. Neither translates or tracks anything.

use std::net::{IpAddr, Ipv4Addr};

use cnm::driver::{Host, Service};
use cnm::model::{Endpoint, Network, Pool};
use ipnet::{IpNet, Ipv4Net};
use netstate::{Nexthop, NexthopGroup, Ns, Row};

use super::{namespace, router_mac, subnets};

pub(super) fn rows(network: &Network, service: &Service, host: &Host) -> Vec<Row> {
    let own = IpAddr::V4(service.address);
    let pool = subnets(network).find(|(_, pool, _)| pool.subnet.contains(&own));
    let Some((i, _, vni)) = pool else {
        tracing::debug!(network = %network.id, address = %own, "service is in none of the network's subnets");
        return Vec::new();
    };
    let mut rows = Vec::new();
    if host.balances {
        rows.push(Row::Service {
            network: vni,
            address: service.address,
            backends: service.backends.keys().copied().collect(),
            sticky: service.sticky,
        });
    }
    let direct = service.backends.iter().filter(|(_, direct)| **direct);
    let direct: Vec<Ipv4Addr> = direct.map(|(backend, _)| *backend).collect();
    if !direct.is_empty() {
        rows.extend(routes(
            &namespace(network),
            &format!("br{i}"),
            service.address,
            &direct,
        ));
        rows.push(Row::Neighbour {
            ns: namespace(network),
            link: format!("vxlan{i}"),
            ip: own,
            mac: router_mac(vni, host.vtep),
        });
    }
    rows
}

/// Numbers of nexthops are addresses of the network: each is one thing there.
fn routes(ns: &Ns, link: &str, service: Ipv4Addr, backends: &[Ipv4Addr]) -> Vec<Row> {
    let group = u32::from(service);
    let nexthop = |backend: &Ipv4Addr| {
        Row::Nexthop(Nexthop {
            ns: ns.clone(),
            id: u32::from(*backend),
            via: (*backend).into(),
            link: link.into(),
        })
    };
    let mut rows: Vec<Row> = backends.iter().map(nexthop).collect();
    rows.extend([
        Row::NexthopGroup(NexthopGroup {
            ns: ns.clone(),
            id: group,
            link: link.into(),
            members: backends.iter().map(|b| u32::from(*b)).collect(),
        }),
        Row::GroupRoute {
            ns: ns.clone(),
            dst: Ipv4Net::from(service).into(),
            group,
            link: link.into(),
        },
        sysctl(ns, "ip_forward", "1"),
        // Ports count in the choice of a backend.
        sysctl(ns, "fib_multipath_hash_policy", "1"),
        // Packets leave by the bridge that they came by: nobody is to be told of a shorter way.
        sysctl(ns, "conf/all/send_redirects", "0"),
        sysctl(ns, &format!("conf/{link}/send_redirects"), "0"),
    ]);
    rows
}

/// A task has its service's address too, and keeps that to itself.
pub(super) fn backend_rows(endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
    let Some(own) = endpoint.virtual_ip() else {
        return Vec::new();
    };
    vec![
        Row::Address {
            ns: sandbox.clone(),
            link: "lo".into(),
            address: Ipv4Net::from(own).into(),
        },
        sysctl(sandbox, "conf/all/arp_ignore", "1"),
        sysctl(sandbox, "conf/all/arp_announce", "2"),
    ]
}

pub(super) fn client_rows(network: &Network, sandbox: &Ns) -> Vec<Row> {
    let client = |(_, pool, vni): (usize, &Pool, u32)| match pool.subnet {
        IpNet::V4(subnet) => Some(Row::Client {
            ns: sandbox.clone(),
            subnet: subnet.trunc(),
            network: vni,
        }),
        IpNet::V6(_) => None,
    };
    subnets(network).filter_map(client).collect()
}

pub(super) fn sysctl(ns: &Ns, key: &str, value: &str) -> Row {
    Row::Sysctl {
        ns: ns.clone(),
        key: format!("net/ipv4/{key}"),
        value: value.into(),
    }
}
