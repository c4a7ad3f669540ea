//! A world of its own for each test: fresh network and mount namespaces that end with it.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod group;

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use netstate::{BridgePort, Config, Link, LinkKind, Mac, NetState, Ns, Route, Row, VethPeer};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::UnshareFlags;

pub const MARK: &str = "pontoon";
pub const DIR: &str = "/mnt/netns";

/// Runs the test on this thread after moving it into fresh namespaces.
pub fn isolated<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    // SAFETY: no file descriptor table is unshared.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS).unwrap();
    }
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .unwrap();
    mount("tmpfs", "/mnt", "tmpfs", MountFlags::empty(), None).unwrap();
    run("ip link set lo up");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { test().await });
}

pub async fn start() -> NetState {
    NetState::start(Config {
        netns_dir: DIR.into(),
        mark: MARK.into(),
        cgroup: None,
    })
    .await
    .unwrap()
}

/// Output of a command in this thread's namespaces; panics when it fails.
pub fn run(command: &str) -> String {
    let (ok, out) = try_run(command);
    assert!(ok, "{command}: {out}");
    out
}

pub fn try_run(command: &str) -> (bool, String) {
    let out = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// The same inside a named namespace.
pub fn run_in(ns: &str, command: &str) -> String {
    run(&inside(ns, command))
}

pub fn try_in(ns: &str, command: &str) -> bool {
    try_run(&inside(ns, command)).0
}

fn inside(ns: &str, command: &str) -> String {
    format!("nsenter --net={DIR}/{ns} {command}")
}

/// Waits until it holds, a second at most, and says how long that took.
pub async fn within_a_second(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "not within a second: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

pub fn named(name: &str) -> Ns {
    Ns::Named(name.into())
}

pub fn mac(text: &str) -> Mac {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|b| u8::from_str_radix(b, 16).unwrap())
        .collect();
    Mac(bytes.try_into().unwrap())
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn link(ns: Ns, name: &str, kind: LinkKind) -> Link {
    Link {
        ns,
        name: name.into(),
        kind,
        mac: None,
        mtu: None,
        master: None,
        port: BridgePort::default(),
    }
}

pub fn bridge(ns: Ns, name: &str) -> Row {
    Row::Link(link(ns, name, LinkKind::Bridge))
}

/// A veth whose host end is a port of `master`.
pub fn veth(ns: Ns, name: &str, master: Option<&str>, peer: (&str, &str)) -> Link {
    let peer = VethPeer {
        ns: named(peer.0),
        name: peer.1.into(),
        mac: None,
    };
    Link {
        master: master.map(Into::into),
        ..link(ns, name, LinkKind::Veth { peer })
    }
}

pub fn address(ns: Ns, link: &str, net: &str) -> Row {
    Row::Address {
        ns,
        link: link.into(),
        address: net.parse().unwrap(),
    }
}

pub fn route(ns: Ns, dst: &str, via: Option<&str>, link: &str) -> Row {
    Row::Route(Route {
        ns,
        dst: dst.parse().unwrap(),
        via: via.map(ip),
        link: link.into(),
        table: None,
    })
}

/// `eth0` of a container namespace on the bridge `br0` of the host, with an address.
pub fn endpoint(name: &str, net: &str) -> Vec<Row> {
    vec![
        Row::Netns(named(name)),
        Row::Link(veth(
            Ns::Host,
            &format!("v-{name}"),
            Some("br0"),
            (name, "eth0"),
        )),
        address(named(name), "eth0", net),
    ]
}

/// A bridge on the host with the gateway's address.
pub fn network(net: &str) -> Vec<Row> {
    vec![bridge(Ns::Host, "br0"), address(Ns::Host, "br0", net)]
}

pub fn ifindex(name: &str) -> String {
    run(&format!("ip -o link show {name}"))
        .split(':')
        .next()
        .unwrap()
        .to_owned()
}
