//! Published ports with tasks that want to be told of clients by a PROXY header: at the entry to the mesh a relay (a process in
//! its namespace) is chosen in the place of such a task, and what it sends is led to one of them.
//!
//! ```text
//!   from outside   @relayed_ports  protocol, port ─► chain ─► any of: the port's other tasks, and the relay's own port
//!   from here      @relayed_v2     protocol, port ─► chain ─► any of the tasks that want this header
//! ```
//! So each task gets what it was made for, also while a change of its service goes on. The relay's mark says which header it is, and
//! for which client: a sticky service keeps each to a task here as well.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cnm::Proxy;
use cnm::driver::MeshPort;
use netstate::Row;
use netstate::nft::{BaseKind, Draw, Field, Hook, Statement, Type, Value, Verdict};

use super::mesh::{DSTNAT, has_mark};
use super::port::{at, places_for};
use crate::bridge::firewall::{DROP, Ip};

const PORTS: &str = "relayed_ports";

fn relayed(proxy: Proxy) -> String {
    format!("relayed_{proxy}")
}

/// What there is at every entry.
pub(super) fn entry_rows(ip: &Ip) -> Vec<Row> {
    let maps = std::iter::once(PORTS.to_owned()).chain(Proxy::ALL.map(relayed));
    let key = || vec![Type::Protocol, Type::Port];
    let mut rows: Vec<Row> = maps
        .map(|map| ip.set(&map, key(), Some(vec![Type::Verdict]), false))
        .collect();
    let mut rules = Vec::from(Proxy::ALL.map(|proxy| {
        let (value, mask) = (proxy.mark(), Proxy::MARKS);
        vec![
            Statement::MatchMark { value, mask },
            by_port(relayed(proxy)),
        ]
    }));
    // Without a task it would lead back to the relay itself.
    rules.push(vec![has_mark(), DROP]);
    let output = Some((BaseKind::Nat, Hook::Output, DSTNAT));
    rows.extend(ip.chain("own", output, rules));
    rows
}

/// What a packet from outside meets.
pub(super) fn choose() -> Statement {
    by_port(PORTS.into())
}

fn by_port(map: String) -> Statement {
    Statement::Vmap {
        key: vec![Field::L4Proto, Field::ThDport],
        map,
    }
}

/// A single port. `entry`: the address where the relay takes connections.
pub(super) fn port_rows(
    port: &MeshPort,
    tasks: &BTreeSet<IpAddr>,
    entry: IpAddr,
    ip: &Ip,
) -> Vec<Row> {
    let by = |client: Field| match port.sticky {
        true => Draw::Hash(client),
        false => Draw::Random,
    };
    let lead = |map: &str, chain: &str| {
        let goto = Value::Verdict(Verdict::Goto(chain.into()));
        ip.entry(map, at(port, port.first), None, Some(vec![goto]))
    };
    let first = |task: IpAddr| match port.relayed.get(&task) {
        None => vec![Value::Ip(task), Value::Port(port.first)],
        // As often as it would be the task's turn.
        Some(proxy) => vec![Value::Ip(entry), Value::Port(proxy.relay_port())],
    };
    let name = format!("{}-{}", port.protocol, port.first);
    let places = places_for(port, tasks).into_iter().map(first).collect();
    let mut rows = vec![lead(PORTS, &name)];
    rows.extend(one_of(ip, &name, by(ip.saddr), places));
    for proxy in Proxy::ALL {
        let wants = |task: &&IpAddr| port.relayed.get(task) == Some(&proxy);
        let tasks: BTreeSet<IpAddr> = tasks.iter().filter(wants).copied().collect();
        if !tasks.is_empty() {
            let name = format!("{name}-{proxy}");
            let places = places_for(port, &tasks).into_iter();
            let places = places.map(|task| vec![Value::Ip(task)]).collect();
            rows.push(lead(&relayed(proxy), &name));
            rows.extend(one_of(ip, &name, by(Field::MetaMark), places));
        }
    }
    rows
}

/// A chain that leads each connection to one of these: addresses, or addresses and ports.
fn one_of(ip: &Ip, chain: &str, draw: Draw, places: Vec<Vec<Value>>) -> Vec<Row> {
    let kinds = places.first().map(|to| ip.translated_types(to.len() - 1));
    let to_one = Statement::DnatToOne {
        key: Vec::new(),
        draw,
        of: places.len() as u32,
        map: chain.to_owned(),
    };
    let mut rows = vec![ip.set(chain, vec![Type::Mark], kinds, false)];
    rows.extend(ip.chain(chain, None, vec![vec![to_one]]));
    let places = (0..).zip(places);
    rows.extend(places.map(|(i, to)| ip.entry(chain, vec![Value::Mark(i)], None, Some(to))));
    rows
}
