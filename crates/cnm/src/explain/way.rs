//! The way from an endpoint to an address: whose it is, and the rows that have to be in the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netstate::{Link, Owned, Row};

use crate::Peer;
use crate::model::{Endpoint, Network, Record};
use crate::state::State;

/// Who has the address.
pub(super) enum Side {
    /// A container of this host, by name.
    Here(String),
    /// An endpoint of another host.
    There(Peer),
    /// The network's gateway.
    Gateway,
    /// Somebody beyond the network.
    Outside,
    Nobody,
}

pub(super) struct Way {
    pub network: Network,
    /// It spans hosts.
    pub lazy: bool,
    pub from: Endpoint,
    pub to: Side,
    /// Of a service's address, that of a backend.
    pub address: IpAddr,
    /// How many backends the service has whose address it was.
    pub backends: Option<usize>,
    pub rows: BTreeSet<Row>,
}

impl Way {
    /// By the network that the address is on, or by the one that leads outside; `None` when there is neither.
    pub fn find(state: &State, source: &Record, address: IpAddr) -> Option<Self> {
        let on = source.endpoints.iter().find_map(|endpoint| {
            let network = state.network(&endpoint.network).ok()?;
            network.pool_of(&address)?;
            Some((endpoint, network))
        });
        let inside = on.is_some();
        let (from, network) = on.or_else(|| state.gateway_of(source, address.is_ipv6()))?;
        let (address, service, backends) = state.backend(network, address);
        let mut owners = state.sandbox_rows(source);
        owners.extend(service);
        owners.extend([state.network_rows(network)]);
        owners.extend(state.peer_rows(&network.id, &[address]));
        let holder = state
            .endpoints_on(&network.id)
            .find(|(_, e)| e.has(&address));
        if let Some((record, _)) = holder {
            owners.extend(state.sandbox_rows(record));
        }
        let gateway = network.pools.iter().any(|p| p.gateway == Some(address));
        let to = match (holder, state.peer_at(&network.id, &address)) {
            _ if !inside => Side::Outside,
            (Some((record, _)), _) => Side::Here(super::bare(record).into()),
            (None, Some(peer)) => Side::There(peer.clone()),
            (None, None) if gateway => Side::Gateway,
            (None, None) => Side::Nobody,
        };
        Some(Self {
            lazy: state.capability(network).is_some_and(|c| c.lazy),
            network: network.clone(),
            from: from.clone(),
            to,
            address,
            backends,
            rows: owners.into_values().flatten().collect(),
        })
    }

    /// Whether every endpoint's port of the network is one that reaches no other such port.
    pub fn isolated(&self) -> bool {
        let isolated = |row: &Row| match row {
            Row::Link(Link { name, port, .. }) => *name == self.from.veth() && port.isolated,
            _ => false,
        };
        self.rows.iter().any(isolated)
    }
}

impl State {
    /// Of a service's own address the first backend's, the rows of the way there, and how many there are.
    fn backend(
        &self,
        network: &Network,
        address: IpAddr,
    ) -> (IpAddr, Option<Owned>, Option<usize>) {
        let service = self.service_at(&network.id, &self.here(&network.id), address);
        let Some((service, first)) = service.and_then(|s| {
            let first = *s.backends.keys().next()?;
            Some((s, first))
        }) else {
            return (address, None, None);
        };
        let owner = crate::ways::Way::Address(address).owner(&network.id);
        let declared = self.networks.get(&network.id);
        let declared = declared.is_some_and(|entry| entry.services.contains_key(&owner));
        let driver = self.driver(network).ok().filter(|_| declared);
        let rows = driver.map(|d| (owner, d.service_rows(network, &service, &self.host)));
        (first, rows, Some(service.backends.len()))
    }
}

/// What has to be right before what.
pub(super) fn rank(row: &Row) -> u8 {
    match row {
        Row::Netns(_) => 0,
        Row::Link(_) => 1,
        Row::Address { .. } => 2,
        Row::Route(_)
        | Row::Nexthop(_)
        | Row::NexthopGroup(_)
        | Row::GroupRoute { .. }
        | Row::RouteLocalhost { .. }
        | Row::MarkRule { .. } => 3,
        Row::Sysctl { .. } => 4,
        Row::Neighbour { .. } => 5,
        Row::Fdb { .. } | Row::Client { .. } | Row::Service { .. } => 6,
        Row::NftTable(_) => 7,
        Row::NftChain(_) | Row::NftSet(_) | Row::NftElement(_) | Row::NftRule(_) => 8,
    }
}
