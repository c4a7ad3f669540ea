//! Swarms of both kinds of engine, and what must be true on every node of them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};

use lab::Host;
use serde_json::Value;

use crate::common::{Shell as _, World, binary, init, join, until};

/// Both daemons, two tests at a time, on a machine that does other things too.
pub const PATIENCE: u64 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pontoon,
    /// Docker's own daemon, 20.10.
    Docker,
}

pub fn start(host: &Host, kind: Kind, flags: &[&str]) {
    match kind {
        Kind::Pontoon => {
            host.spawn_pontoon(&binary(), flags).unwrap();
        }
        Kind::Docker => host.spawn_dockerd(flags).unwrap(),
    }
}

/// One host for each kind, with its daemon and the image `busybox`.
pub fn hosts<const N: usize>(kinds: [Kind; N]) -> (World, [Host; N]) {
    let world = World::bare(&[N]);
    let hosts: [Host; N] = world.hosts();
    std::thread::scope(|scope| {
        for (host, kind) in hosts.iter().zip(kinds) {
            scope.spawn(move || {
                start(host, kind, &[]);
                host.import_busybox().unwrap();
            });
        }
    });
    (world, hosts)
}

/// The same, in one swarm that the first manages.
pub fn swarm<const N: usize>(kinds: [Kind; N]) -> (World, [Host; N]) {
    let (world, hosts) = hosts(kinds);
    init(&hosts[0]);
    hosts[1..].iter().for_each(|worker| join(worker, &hosts[0]));
    (world, hosts)
}

/// `docker swarm join`, as the role that the manager's token stands for.
pub fn join_as(role: &str, node: &Host, manager: &Host) -> lab::Output {
    let token = manager.ok(&format!("docker swarm join-token -q {role}"));
    node.sh(&format!(
        "docker swarm join --advertise-addr={0} --listen-addr={0}:2377 --token {token} {1}:2377",
        node.addr, manager.addr
    ))
}

/// `docker service create`, in the background, of an image that no registry has.
pub fn service(manager: &Host, name: &str, options: &str, command: &str) {
    manager.ok(&format!(
        "docker service create -d --no-resolve-image --stop-grace-period 1s --name {name} {options} busybox {command}"
    ));
}

/// Waits until as many tasks run as should.
pub fn runs(manager: &Host, service: &str, replicas: &str) {
    let line = format!("docker service ls -f name={service} --format '{{{{.Replicas}}}}'");
    // While managers elect a leader they answer with an error.
    crate::common::eventually(PATIENCE, replicas.to_owned(), || {
        manager.sh(&line).stdout.trim_end().to_owned()
    });
}

/// The service's tasks that should run, as `node state`.
pub fn tasks(manager: &Host, service: &str) -> Vec<String> {
    let format = "{{.Node}} {{.CurrentState}}";
    let out = manager.ok(&format!(
        "docker service ps -f desired-state=running --format '{format}' {service}"
    ));
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let mut tasks: Vec<_> = out.lines().map(words).collect();
    tasks.sort();
    tasks
}

/// Id of the only container of a service on this host.
pub fn container_of(host: &Host, service: &str) -> String {
    let line = format!("docker ps -q --no-trunc -f label=com.docker.swarm.service.name={service}");
    let id = host.ok(&line);
    assert_eq!(
        id.lines().count(),
        1,
        "containers of {service} on {}: {id}",
        host.name
    );
    id
}

/// A container's place on a network.
#[derive(Clone, Debug)]
pub struct Place {
    pub host: Host,
    pub container: String,
    pub name: String,
    pub address: String,
}

/// `docker network inspect`, which asks the managers, who may be electing a leader.
fn inspected(host: &Host, options: &str, network: &str) -> Value {
    let line = format!("docker network inspect {options} {network}");
    let mut found = None;
    until(PATIENCE, "the network can be inspected", || {
        let output = host.sh(&line);
        found = serde_json::from_str(&output.stdout).ok();
        output.status == 0 && found.is_some()
    });
    found.unwrap()
}

/// Everything on the network, load balancers apart.
pub fn places(hosts: &[Host], network: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for host in hosts {
        let found = inspected(host, "-f '{{json .Containers}}'", network);
        for (container, endpoint) in found.as_object().unwrap() {
            if container.starts_with("lb-") {
                continue;
            }
            let text = |key: &str| endpoint[key].as_str().unwrap().to_owned();
            places.push(Place {
                host: host.clone(),
                container: container.clone(),
                name: text("Name"),
                address: text("IPv4Address").split('/').next().unwrap().to_owned(),
            });
        }
    }
    places
}

/// What is not as it should be: every container reaches every other by address and by name, and the services' names
/// mean the same everywhere.
pub fn faults(places: &[Place], services: &[&str]) -> Vec<String> {
    let tasks = |service: &&str| {
        let of_it = places
            .iter()
            .filter(|p| p.name.starts_with(&format!("{service}.")));
        (
            format!("tasks.{service}"),
            of_it.map(|p| p.address.clone()).collect(),
        )
    };
    let mut names: BTreeMap<String, BTreeSet<String>> = services.iter().map(tasks).collect();
    names.extend(
        places
            .iter()
            .map(|p| (p.name.clone(), [p.address.clone()].into())),
    );
    std::thread::scope(|scope| {
        let askers: Vec<_> = places
            .iter()
            .map(|from| scope.spawn(|| faults_from(from, places, &names)))
            .collect();
        askers
            .into_iter()
            .flat_map(|asker| asker.join().unwrap())
            .collect()
    })
}

/// One `docker exec` asks it all; what it prints is `lost <address>` and `<name> <addresses>`.
fn faults_from(
    from: &Place,
    places: &[Place],
    names: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let addresses: Vec<_> = places.iter().map(|to| to.address.as_str()).collect();
    let asked: Vec<_> = names.keys().map(String::as_str).collect();
    let script = format!(
        "for a in {}; do ping -c1 -W1 -q $a >/dev/null || echo lost $a; done; \
         for n in {}; do echo $n $(timeout 2 nslookup -type=a $n | sed 1,2d | grep ^Address | cut -d\" \" -f2); done",
        addresses.join(" "),
        asked.join(" ")
    );
    let answer = from
        .host
        .sh(&format!("docker exec {} sh -c '{script}'", from.container));
    let mut faults = Vec::new();
    let mut found = BTreeMap::new();
    for line in answer.stdout.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["lost", address] => faults.push(format!("does not reach {address}")),
            [name, meant @ ..] => {
                drop(found.insert(*name, meant.iter().map(ToString::to_string).collect()))
            }
            [] => {}
        }
    }
    for (name, expected) in names {
        let meant: &BTreeSet<_> = found.entry(name).or_default();
        if meant != expected {
            faults.push(format!(
                "{name} is {meant:?}, not {expected:?}; {}",
                answer.stderr.trim()
            ));
        }
    }
    faults
        .iter()
        .map(|fault| format!("{} ({}): {fault}", from.name, from.host.name))
        .collect()
}

/// Waits for [`faults`] to go; names travel by gossip.
pub fn all_reach_all(hosts: &[Host], network: &str, services: &[&str]) {
    let mut last = Vec::new();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(PATIENCE);
    while std::time::Instant::now() < end {
        last = faults(&places(hosts, network), services);
        if last.is_empty() {
            return;
        }
    }
    panic!("after {PATIENCE} s:\n{}", last.join("\n"));
}

/// `docker network inspect -v`: addresses of the peers, and of each service's tasks with their hosts.
pub fn seen(host: &Host, network: &str) -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let found = inspected(host, "-v -f '{{json .}}'", network);
    let texts = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let peers = found["Peers"].as_array().into_iter().flatten();
    let services = found["Services"].as_object().into_iter().flatten();
    // Docker lists standalone containers as the tasks of a service without a name.
    let services = services.filter(|(name, _)| !name.is_empty());
    let tasks = |service: &Value| {
        let tasks = service["Tasks"].as_array().into_iter().flatten();
        tasks
            .map(|t| {
                format!(
                    "{} {} {}",
                    texts(t, "Name"),
                    texts(t, "EndpointIP"),
                    texts(&t["Info"], "Host IP")
                )
            })
            .collect()
    };
    (
        peers.map(|p| texts(p, "IP")).collect(),
        services
            .map(|(name, service)| (name.clone(), tasks(service)))
            .collect(),
    )
}

/// The daemons agree about the network.
pub fn agree(hosts: &[Host], network: &str) {
    let addresses: BTreeSet<_> = hosts.iter().map(|h| h.addr.to_string()).collect();
    let mut views = Vec::new();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(PATIENCE);
    while std::time::Instant::now() < end {
        views = hosts.iter().map(|h| seen(h, network)).collect();
        if views
            .iter()
            .all(|view| *view == views[0] && view.0 == addresses)
        {
            return;
        }
    }
    panic!("after {PATIENCE} s the nodes see different peers or tasks: {views:#?}");
}
