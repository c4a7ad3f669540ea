//! Published ports at the entry to the mesh: which task a connection goes to.
//!
//! ```text
//!   @ports        protocol, port ─► how many places there are, and how one is drawn
//!   @choices      that ─► the chain that draws
//!   any-10        a number, another each time        @tasks   protocol, port, number ─► task
//!   sticky-256    the client's address as a number
//! ```
//! A port is a few elements of maps that all share, and a change of its tasks a change of these; chains and what leads to them, which
//! the kernel checks as a whole when they change, are there once for each number of places. A sticky service's places are given to its tasks
//! by rendezvous hashing: all nodes find the same, and a task that comes or goes moves its own clients only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cnm::driver::{MeshPort, MeshRows};
use cnm::model::Endpoint;
use netstate::nft::{Draw, Field, Statement, Type, Value, Verdict};
use netstate::{Ns, Row, places};

use super::mesh::{CONCEALED, PLAIN, TABLE};
use super::relayed;
use crate::bridge::firewall::{Ip, protocol_number};

/// Of ports, and of their tasks: for single ports, and for ranges.
const MAPS: [(&str, &str); 2] = [SINGLE, RANGES];
const SINGLE: (&str, &str) = ("ports", "tasks");
const RANGES: (&str, &str) = ("port_ranges", "range_tasks");
const CHOICES: &str = "choices";

/// Set in what a choice is called in the maps.
const STICKY: u32 = 1 << 31;
/// Places of a sticky service; more, where more tasks would have too few of them.
const PLACES: u32 = 256;
const PLACES_EACH: u32 = 4;

pub(super) fn sets(ip: &Ip) -> Vec<Row> {
    let port = [Type::Protocol, Type::Port];
    let task = [&port[..], &[Type::Mark]].concat();
    let verdict = Some(vec![Type::Verdict]);
    let mut rows = vec![ip.set(CHOICES, vec![Type::Mark], verdict, false)];
    for (interval, (ports, tasks)) in [false, true].into_iter().zip(MAPS) {
        let choice = Some(vec![Type::Mark]);
        rows.push(ip.set(ports, port.to_vec(), choice, interval));
        rows.push(ip.set(tasks, task.clone(), Some(vec![ip.kind]), interval));
    }
    rows
}

/// What a packet from outside meets; the mark means nothing else here.
pub(super) fn choose() -> [Vec<Statement>; 2] {
    MAPS.map(|(map, _)| {
        let by_port = Statement::SetMetaMarkBy {
            key: vec![Field::L4Proto, Field::ThDport],
            map: map.into(),
        };
        let by_mark = Statement::Vmap {
            key: vec![Field::MetaMark],
            map: CHOICES.into(),
        };
        vec![by_port, by_mark]
    })
}

pub(super) fn rows(port: &MeshPort, outside: &Endpoint, ns: &Ns) -> MeshRows {
    let mut rows = MeshRows::default();
    for entry in outside.addresses().map(|a| a.addr()) {
        let v6 = entry.is_ipv6();
        let tasks = port.backends.keys().filter(|b| b.is_ipv6() == v6);
        let tasks: BTreeSet<IpAddr> = tasks.copied().collect();
        if tasks.is_empty() {
            continue;
        }
        let ip = Ip::within(ns.clone(), TABLE, v6);
        rows.own.extend(of_tasks(port, &tasks, &ip));
        match tasks.iter().any(|task| port.relayed.contains_key(task)) {
            true => rows
                .own
                .extend(relayed::port_rows(port, &tasks, entry, &ip)),
            false => places_of(port, &tasks, &ip, &mut rows),
        }
    }
    rows
}

/// What the source is given up for.
fn of_tasks(port: &MeshPort, tasks: &BTreeSet<IpAddr>, ip: &Ip) -> Vec<Row> {
    let plain = port.backends.iter().filter(|(_, direct)| !**direct);
    let plain = plain.filter(|(task, _)| tasks.contains(task));
    let mut rows: Vec<Row> = plain
        .map(|(task, _)| ip.element(PLAIN, vec![Value::Ip(*task)]))
        .collect();
    if port.concealed {
        let end = Some(at(port, port.last));
        rows.push(ip.entry(CONCEALED, at(port, port.first), end, None));
    }
    rows
}

pub(super) fn at(port: &MeshPort, number: u16) -> Vec<Value> {
    let protocol = Value::Protocol(protocol_number(&port.protocol));
    vec![protocol, Value::Port(number)]
}

/// Whose each place is.
pub(super) fn places_for(port: &MeshPort, tasks: &BTreeSet<IpAddr>) -> Vec<IpAddr> {
    match port.sticky {
        true => {
            let enough = (tasks.len() as u32).saturating_mul(PLACES_EACH);
            places(tasks, enough.next_power_of_two().max(PLACES))
        }
        false => tasks.iter().copied().collect(),
    }
}

fn places_of(port: &MeshPort, tasks: &BTreeSet<IpAddr>, ip: &Ip, rows: &mut MeshRows) {
    let places = places_for(port, tasks);
    let of = places.len() as u32;
    let (first, last) = (at(port, port.first), at(port, port.last));
    let is_range = first != last;
    let (ports_map, tasks_map) = if is_range { RANGES } else { SINGLE };
    let own = &mut rows.own;
    let choice = Value::Mark(if port.sticky { STICKY | of } else { of });
    let end = is_range.then(|| last.clone());
    own.push(ip.entry(ports_map, first.clone(), end, Some(vec![choice.clone()])));
    for (i, task) in (0..).zip(places) {
        let place = |port: &[Value]| [port, &[Value::Mark(i)]].concat();
        let end = is_range.then(|| place(&last));
        let task = Some(vec![Value::Ip(task)]);
        own.push(ip.entry(tasks_map, place(&first), end, task));
    }

    let (name, draw) = match port.sticky {
        true => (format!("sticky-{of}"), Draw::Hash(ip.saddr)),
        false => (format!("any-{of}"), Draw::Random),
    };
    let to_one = |(_, map): (&str, &str)| {
        vec![Statement::DnatToOne {
            key: vec![Field::L4Proto, Field::ThDport],
            draw,
            of,
            map: map.into(),
        }]
    };
    let mut shared = ip.chain(&name, None, MAPS.map(to_one).into());
    let goto = Value::Verdict(Verdict::Goto(name.clone()));
    shared.push(ip.entry(CHOICES, vec![choice], None, Some(vec![goto])));
    let name = format!("{}/{name}", ip.table.family);
    rows.shared.insert(name, shared);
}
