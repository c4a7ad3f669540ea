//! What the routing mesh costs as services become more: ten tasks each, one published port.
//!
//! `cargo bench -p drivers --bench mesh`, as root: a controller with the real drivers in fresh namespaces, a client in one of
//! its own, ten sandboxes that all services' tasks are in. Each line: how long all services take into the kernel; new TCP
//! connections per second to a container's published port and through the mesh, each to the next of up to a hundred
//! services, in turn; how long one more or one less task takes from its record to the kernel; what the kernel and this
//! process keep for each service. Medians; in brackets the smallest and the largest.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark that cannot measure ends; helpers of tests that it has no use for"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::{Duration, Instant};

use cnm::{ConnectRequest, NameRecord, Port, ServiceBinding, Subnet, SwarmNetwork};
use common::{Node, isolated, to, with_subnet};
use engine_types::network::{EndpointIPAMConfig, EndpointSettings};
use netstate::{BridgePort, Link, LinkKind, Ns, Row, VethPeer};
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};

const TASKS: u8 = 10;
/// Services that are asked in turn, and the first one's port.
const ASKED: u16 = 100;
const FIRST: u16 = 20_000;
/// Of the container beside them.
const PLAIN: u16 = 19_999;
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Of one rate, and of how many the median is taken.
const LONG: Duration = Duration::from_millis(400);
const ROUNDS: usize = 7;
const CHANGES: usize = 21;

fn main() {
    // Ports are held with a socket each.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    println!(
        "services   programmed   container, conn/s      mesh, conn/s           ratio   one change, ms           kernel/service   process/service"
    );
    // One again: a machine that has grown slower meanwhile is seen.
    for services in [1, 100, 1_000, 10_000, 1] {
        // Namespaces are a thread's.
        std::thread::spawn(move || isolated(async || measure(services).await))
            .join()
            .unwrap();
    }
}

async fn measure(services: u16) {
    let node = Node::here().await;
    let c = &node.controller;
    node.netstate.set("client", client()).await.unwrap();
    c.set_vtep(Some(HOST.into())).await;
    let own = "10.0.0.2/16".parse().unwrap();
    c.set_ingress(Some((ingress(), vec![own]))).await.unwrap();
    c.create("front", with_subnet("10.9.0.0/24")).await.unwrap();
    let plain = node.run("plain", &[to("front")], &["19999:80"]).await;
    serve(&node, &plain).await;
    let step = (services / ASKED).max(1);
    let asked: Vec<u16> = (0..services).step_by(usize::from(step)).map(port).collect();
    for task in 0..TASKS {
        let name = format!("task{task}");
        c.sandbox_create(node.spec(&name, &[])).await.unwrap();
        let id = node.spec(&name, &[]).container_id;
        c.connect(&id, tasks_place(task, &asked)).await.unwrap();
        serve(&node, &id).await;
    }

    let (kernel, process) = (available(), resident());
    let began = Instant::now();
    for i in 0..services {
        for task in 0..TASKS {
            c.set_record("in", &format!("e{i}.{task}"), Some(record(i, task)))
                .await;
        }
    }
    let ingress = ["in".to_owned()];
    assert!(c.catch_up(&ingress).await);
    let programmed = began.elapsed();
    let each = |bytes: u64| bytes as f64 / f64::from(services);
    let (kernel, process) = (
        kernel.saturating_sub(available()),
        resident().saturating_sub(process),
    );

    let (mut direct, mut mesh, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ask = async |ports: Vec<u16>| {
            let (at, rate) = (ns("client"), move || rate(&ports));
            node.netstate.run_in(&at, rate).await.unwrap()
        };
        let d = ask(vec![PLAIN]).await;
        let m = ask(asked.clone()).await;
        direct.push(d);
        mesh.push(m);
        ratios.push(m / d);
    }
    let mut changes = Vec::new();
    for i in 0..CHANGES {
        let task = record(services / 2, TASKS - 1);
        let endpoint = format!("e{}.{}", services / 2, TASKS - 1);
        let began = Instant::now();
        c.set_record("in", &endpoint, (i % 2 == 1).then_some(task))
            .await;
        assert!(c.catch_up(&ingress).await);
        changes.push(began.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "{services:>8}   {:>7.0} ms   {:>20}   {:>20}   {:>5.2}   {:>20}   {:>12.0} B   {:>13.0} B",
        programmed.as_secs_f64() * 1e3,
        spread(&mut direct, 0),
        spread(&mut mesh, 0),
        median(&mut ratios),
        spread(&mut changes, 2),
        each(kernel),
        each(process),
    );
}

fn ns(name: &str) -> Ns {
    Ns::Named(name.into())
}

/// A host of its own beside this one.
fn client() -> Vec<Row> {
    let address = |ns: &Ns, link: &str, address: &str| Row::Address {
        ns: ns.clone(),
        link: link.into(),
        address: address.parse().unwrap(),
    };
    let client = ns("client");
    vec![
        Row::Netns(client.clone()),
        Row::Link(Link {
            ns: Ns::Host,
            name: "wire".into(),
            kind: LinkKind::Veth {
                peer: VethPeer {
                    ns: client.clone(),
                    name: "eth0".into(),
                    mac: None,
                },
            },
            mac: None,
            mtu: None,
            master: None,
            port: BridgePort::default(),
        }),
        address(&Ns::Host, "wire", "192.0.2.1/24"),
        address(&client, "eth0", "192.0.2.2/24"),
    ]
}

fn ingress() -> SwarmNetwork {
    SwarmNetwork {
        id: "in".into(),
        name: "ingress".into(),
        driver: "overlay".into(),
        ingress: true,
        subnets: vec![Subnet {
            subnet: "10.0.0.0/16".parse().unwrap(),
            gateway: Some([10, 0, 0, 1].into()),
            vni: 4096,
        }],
        vxlan_port: 4789,
        ..SwarmNetwork::default()
    }
}

fn port(service: u16) -> u16 {
    FIRST + service
}

fn place(task: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 10 + task)
}

fn published(published: u16) -> Port {
    Port {
        protocol: "tcp".into(),
        target: 80,
        published,
        ..Port::default()
    }
}

/// One sandbox that takes what all services' tasks are asked. It is not active: names of tasks come from elsewhere.
fn tasks_place(task: u8, asked: &[u16]) -> ConnectRequest {
    let mut request = to("in");
    request.preallocated = true;
    request.settings = EndpointSettings {
        ipam_config: Some(EndpointIPAMConfig {
            ipv4_address: format!("{}/16", place(task)),
            ..EndpointIPAMConfig::default()
        }),
        ..EndpointSettings::default()
    };
    request.service = Some(ServiceBinding {
        id: "here".into(),
        virtual_ip: "10.0.255.254".into(),
        ingress_ports: asked.iter().copied().map(published).collect(),
        ..ServiceBinding::default()
    });
    request
}

fn record(service: u16, task: u8) -> NameRecord {
    NameRecord {
        name: format!("web{service}.{task}"),
        address: Some(place(task).into()),
        direct: true,
        service: ServiceBinding {
            id: format!("{service:025}"),
            name: format!("web{service}"),
            ingress_ports: vec![published(port(service))],
            ..ServiceBinding::default()
        },
        ..NameRecord::default()
    }
}

/// Takes every connection and drops it.
async fn serve(node: &Node, container: &str) {
    let sandbox = node.controller.sandbox(container).unwrap();
    let path = sandbox.netns.unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let serve = || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
    };
    node.netstate.run_in(&ns(&name), serve).await.unwrap();
}

/// Connections per second, each to the next port. They end at once, so that no number of a port is used up.
fn rate(ports: &[u16]) -> f64 {
    let began = Instant::now();
    let mut done = 0;
    for port in ports.iter().cycle() {
        if began.elapsed() >= LONG {
            break;
        }
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).unwrap();
        net::connect(&socket, &SocketAddrV4::new(HOST, *port)).unwrap();
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: &mut [f64], digits: usize) -> String {
    let middle = median(values);
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{middle:.digits$} ({least:.digits$}-{most:.digits$})")
}

/// Bytes that the kernel could give.
fn available() -> u64 {
    figure("/proc/meminfo", "MemAvailable:")
}

/// Bytes of this process.
fn resident() -> u64 {
    figure("/proc/self/status", "VmRSS:")
}

fn figure(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse::<u64>().unwrap() * 1024
}
