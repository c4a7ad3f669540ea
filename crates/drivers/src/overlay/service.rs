//! Services by their own addresses.
//!
//! ```text
//!   connect-time   a socket of the sandbox that connects to the service connects to a backend instead
//!   by route       client ──ARP──► vxlan0: the service is at br0 ──► route to a group of backends ──► backend, which has
//!                  the service's address on lo and answers the client directly
//! ```
//! The first is for TCP and UDP where the host can; the second for all else (ping, SCTP), and for hosts that cannot. It
//! needs backends that have the service's address: ours do, Docker's do not. Neither translates or tracks anything.

use std::net::IpAddr;

use cnm::driver::{Host, Service};
use cnm::model::{Endpoint, Network, Pool};
use cnm::short;
use ipnet::IpNet;
use netstate::{Nexthop, NexthopGroup, Ns, Row};

use super::{link_of, namespace, router_mac, segment};

pub(super) fn rows(network: &Network, service: &Service, host: &Host) -> Vec<Row> {
    let own = service.address;
    let Some((i, vni)) = link_of(network, own) else {
        tracing::debug!(network = %network.id, address = %own, "service is in none of the network's subnets");
        return Vec::new();
    };
    let mut rows = Vec::new();
    if host.balances {
        rows.push(Row::Service {
            network: vni,
            address: own,
            backends: service.backends.keys().copied().collect(),
            choice: service.choice,
        });
    }
    let direct = service.backends.iter().filter(|(_, direct)| **direct);
    let direct: Vec<IpAddr> = direct.map(|(backend, _)| *backend).collect();
    if !direct.is_empty() {
        rows.extend(routes(&namespace(network), &format!("br{i}"), own, &direct));
        rows.push(Row::Neighbour {
            ns: namespace(network),
            link: format!("vxlan{i}"),
            ip: own,
            mac: router_mac(vni, host.vtep),
        });
    }
    rows
}

/// A nexthop's number is its address, which is one thing in a network.
fn routes(ns: &Ns, link: &str, service: IpAddr, backends: &[IpAddr]) -> Vec<Row> {
    let group = short(service);
    let nexthop = |backend: &IpAddr| {
        Row::Nexthop(Nexthop {
            ns: ns.clone(),
            id: short(*backend),
            via: *backend,
            link: link.into(),
        })
    };
    let mut rows: Vec<Row> = backends.iter().map(nexthop).collect();
    rows.extend([
        Row::NexthopGroup(NexthopGroup {
            ns: ns.clone(),
            id: group,
            link: link.into(),
            members: backends.iter().map(|b| short(*b)).collect(),
        }),
        Row::GroupRoute {
            ns: ns.clone(),
            dst: service.into(),
            group,
            link: link.into(),
        },
    ]);
    rows.extend(match service {
        IpAddr::V4(_) => vec![
            sysctl(ns, "ip_forward", "1"),
            // Ports count in the choice of a backend.
            sysctl(ns, "fib_multipath_hash_policy", "1"),
            // Packets leave by the bridge that they came by: nobody is to be told of a shorter way.
            sysctl(ns, "conf/all/send_redirects", "0"),
            sysctl(ns, &format!("conf/{link}/send_redirects"), "0"),
        ],
        // Of a shorter way only those are told whose next hop has a link-local address.
        IpAddr::V6(_) => vec![
            sysctl_v6(ns, "conf/all/forwarding", "1"),
            sysctl_v6(ns, "fib_multipath_hash_policy", "1"),
        ],
    });
    rows
}

/// A task has its service's addresses too, and keeps them to itself (of IPv6 that is how it is).
pub(super) fn backend_rows(endpoint: &Endpoint, sandbox: &Ns) -> Vec<Row> {
    let own = endpoint.virtual_ips().map(|own| Row::Address {
        ns: sandbox.clone(),
        link: "lo".into(),
        address: IpNet::from(own),
    });
    let mut rows: Vec<Row> = own.collect();
    if endpoint.virtual_ip().is_some() {
        rows.extend([
            sysctl(sandbox, "conf/all/arp_ignore", "1"),
            sysctl(sandbox, "conf/all/arp_announce", "2"),
        ]);
    }
    rows
}

pub(super) fn client_rows(network: &Network, sandbox: &Ns) -> Vec<Row> {
    let client = |pool: &Pool| {
        Some(Row::Client {
            ns: sandbox.clone(),
            subnet: pool.subnet.trunc(),
            network: segment(network, pool)?.1,
        })
    };
    network.pools.iter().filter_map(client).collect()
}

pub(super) fn sysctl(ns: &Ns, key: &str, value: &str) -> Row {
    Row::Sysctl {
        ns: ns.clone(),
        key: format!("net/ipv4/{key}"),
        value: value.into(),
    }
}

pub(super) fn sysctl_v6(ns: &Ns, key: &str, value: &str) -> Row {
    Row::Sysctl {
        ns: ns.clone(),
        key: format!("net/ipv6/{key}"),
        value: value.into(),
    }
}
