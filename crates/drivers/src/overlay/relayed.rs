//! Published ports with tasks that want to be told of clients by a PROXY header: at the entry to the mesh a relay (a process in
//! its namespace) is chosen in the place of such a task, and what it sends is led to one of them.
//!
//! ```text
//!   from outside   @relayed_ports  protocol, port ─► chain ─► any of: the port's other tasks, and the relay's own port
//!   from here      @relayed        mark, protocol, port ─► chain ─► any of the tasks that want this header
//! ```
//! So each task gets what it was made for, also while a change of its service goes on.

use std::net::IpAddr;

use cnm::Proxy;
use cnm::driver::MeshPort;
use netstate::Row;
use netstate::nft::{BaseKind, Draw, Field, Hook, Statement, Type, Value, Verdict};

use super::mesh::{DSTNAT, has_mark};
use crate::bridge::firewall::{DROP, Ip, protocol_number};

const PORTS: &str = "relayed_ports";
const RELAYED: &str = "relayed";

/// What there is at every entry.
pub(super) fn entry_rows(ip: &Ip) -> Vec<Row> {
    let port = [Type::Protocol, Type::Port];
    let verdict = || Some(vec![Type::Verdict]);
    let marked = [&[Type::Mark], &port[..]].concat();
    let mut rows = vec![
        ip.set(PORTS, port.to_vec(), verdict(), false),
        ip.set(RELAYED, marked, verdict(), false),
    ];
    let choose = Statement::Vmap {
        key: vec![Field::MetaMark, Field::L4Proto, Field::ThDport],
        map: RELAYED.into(),
    };
    rows.extend(ip.chain(
        "own",
        Some((BaseKind::Nat, Hook::Output, DSTNAT)),
        // Without a task it would lead back to the relay itself.
        vec![vec![choose], vec![has_mark(), DROP]],
    ));
    rows
}

/// What a packet from outside meets.
pub(super) fn choose() -> Statement {
    Statement::Vmap {
        key: vec![Field::L4Proto, Field::ThDport],
        map: PORTS.into(),
    }
}

/// A single port. `entry`: the address where the relay takes connections.
pub(super) fn port_rows(port: &MeshPort, tasks: &[IpAddr], entry: IpAddr, ip: &Ip) -> Vec<Row> {
    let at = [
        Value::Protocol(protocol_number(&port.protocol)),
        Value::Port(port.first),
    ];
    let goto = |chain: &str| Some(vec![Value::Verdict(Verdict::Goto(chain.into()))]);
    let first = |task: &IpAddr| match port.relayed.get(task) {
        None => vec![Value::Ip(*task), Value::Port(port.first)],
        // As often as it would be the task's turn.
        Some(proxy) => vec![Value::Ip(entry), Value::Port(proxy.relay_port())],
    };
    let name = format!("{}-{}", port.protocol, port.first);
    let mut rows = vec![ip.entry(PORTS, at.to_vec(), None, goto(&name))];
    rows.extend(any_of(ip, &name, tasks.iter().map(first).collect()));
    for proxy in Proxy::ALL {
        let wants = |task: &&IpAddr| port.relayed.get(task) == Some(&proxy);
        let tasks = tasks
            .iter()
            .filter(wants)
            .map(|task| vec![Value::Ip(*task)]);
        let tasks: Vec<_> = tasks.collect();
        if !tasks.is_empty() {
            let name = format!("{name}-{proxy}");
            let key = [&[Value::Mark(proxy.mark())], &at[..]].concat();
            rows.push(ip.entry(RELAYED, key, None, goto(&name)));
            rows.extend(any_of(ip, &name, tasks));
        }
    }
    rows
}

/// A chain that leads each connection to one of these: addresses, or addresses and ports.
fn any_of(ip: &Ip, chain: &str, targets: Vec<Vec<Value>>) -> Vec<Row> {
    let kinds = targets.first().map(|to| ip.translated_types(to.len() - 1));
    // Not the name of the chain's former map, which may be of another kind.
    let map = format!("{chain}-relayed");
    let to_any = Statement::DnatToOne {
        key: Vec::new(),
        draw: Draw::Random,
        of: targets.len() as u32,
        map: map.clone(),
    };
    let mut rows = vec![ip.set(&map, vec![Type::Mark], kinds, false)];
    rows.extend(ip.chain(chain, None, vec![vec![to_any]]));
    let targets = (0..).zip(targets);
    rows.extend(targets.map(|(i, to)| ip.entry(&map, vec![Value::Mark(i)], None, Some(to))));
    rows
}
