//! The bridge driver's rows, as far as they are ours to make for somebody else's containers.

use cnm::driver::{Driver, Firewall, Host};
use cnm::model::{Endpoint, Mapping, Network};
use drivers::Bridge;
use netstate::{LinkKind, Ns, Owned, Row};

/// By which links, rules and tables are known as ours. A daemon of ours may run on the same host: neither's mark begins
/// with the other's.
pub const MARK: &str = "plugin-pontoon";

pub(super) const DRIVER: Bridge = Bridge;

/// The host as rows need it.
pub(super) fn host() -> Host {
    Host {
        firewall: Firewall::default(),
        vtep: None,
        balances: false,
        steers: false,
        default_binding: std::net::Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Before there is any network: an engine that finds forwarding switched on leaves the policy of the host's FORWARD chain
/// as it is, and one that switches it on itself makes it DROP, which no other table can undo.
pub(super) fn of_host() -> Owned {
    let forward = Row::Sysctl {
        ns: Ns::Host,
        key: "net/ipv4/ip_forward".into(),
        value: "1".into(),
    };
    ("host".into(), vec![forward])
}

pub(super) fn of_network(network: &Network) -> Owned {
    let rows = DRIVER.network_rows(network, &host());
    (
        format!("network/{}", network.id),
        rows.into_iter().map(in_own_table).collect(),
    )
}

pub(super) fn of_endpoint(network: &Network, endpoint: &Endpoint) -> Owned {
    let sandbox = Ns::Named(endpoint.id.clone());
    let rows = DRIVER.endpoint_rows(network, endpoint, &sandbox);
    let rows = rows.into_iter().filter_map(|row| handed_out(row, &sandbox));
    let ports: &[Mapping] = match &endpoint.joined {
        Some(joined) => &joined.ports,
        None => &[],
    };
    let published = DRIVER.publish_rows(network, endpoint, ports);
    (
        format!("endpoint/{}", endpoint.id),
        rows.chain(published.into_iter().map(in_own_table))
            .collect(),
    )
}

/// What is inside of the sandbox is the engine's to do, and so is the way there.
fn handed_out(row: Row, sandbox: &Ns) -> Option<Row> {
    match row {
        Row::Link(mut link) => {
            if let LinkKind::Veth { peer } = link.kind {
                link.kind = LinkKind::Handout {
                    peer: peer.name,
                    mac: peer.mac,
                };
            }
            Some(Row::Link(link))
        }
        row if row.ns() == *sandbox => None,
        row => Some(row),
    }
}

fn in_own_table(mut row: Row) -> Row {
    let table = match &mut row {
        Row::NftTable(table) => table,
        Row::NftChain(chain) => &mut chain.table,
        Row::NftSet(set) => &mut set.table,
        Row::NftElement(element) => &mut element.table,
        Row::NftRule(rule) => &mut rule.table,
        _ => return row,
    };
    table.name = MARK.into();
    row
}
