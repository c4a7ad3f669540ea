//! `pontoon drift` and `pontoon network explain` against a running daemon: what was broken by hand is named, healed, counted.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::container::{address, inspect, pid, pings, run};
use common::swarm::overlay_namespace;
use common::{Shell as _, World, eventually, is_docker, until};
use engine_types::pontoon::{Drift, Explanation, StepState};
use lab::Host;

const PONTOON: &str = env!("CARGO_BIN_EXE_pontoon");

fn explain(host: &Host, from: &str, to: &str) -> Explanation {
    let output = host.sh(&format!(
        "{PONTOON} network explain --format json {from} {to}"
    ));
    let found: Explanation = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr));
    assert_eq!(output.status == 0, found.wrong.is_none(), "{found:?}");
    found
}

/// The first wrong step, as its name and text; an echo is answered only where nothing is wrong.
fn wrong(host: &Host, from: &str, to: &str) -> String {
    let found = explain(host, from, to);
    let step = found.steps.iter().find(|s| s.state == StepState::Wrong);
    assert_eq!(step.map(|s| &s.name), found.wrong.as_ref());
    match step {
        None => format!("nothing, reached: {}", found.reached),
        Some(step) => {
            assert!(!step.advice.is_empty(), "{step:?}");
            format!("{}: {}", step.name, step.text)
        }
    }
}

fn assert_wrong(host: &Host, from: &str, to: &str, parts: &[&str]) {
    let wrong = wrong(host, from, to);
    for part in parts {
        assert!(
            wrong.contains(part),
            "{from} to {to}: {part:?} is not in {wrong:?}"
        );
    }
}

const FINE: &str = "nothing, reached: true";

fn drift(host: &Host, flags: &str) -> Drift {
    let output = host.sh(&format!("{PONTOON} drift --format json {flags}"));
    let drift: Drift = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr));
    assert_eq!(
        output.status == 0,
        drift.differences.is_empty(),
        "{drift:?}"
    );
    drift
}

/// Ends a hold and waits until all is as it was, which must have been counted.
fn heal(host: &Host, before: &Drift) {
    drift(host, "--hold 0");
    until(2, "everything is put right", || {
        drift(host, "").differences.is_empty()
    });
    let after = drift(host, "");
    assert!(after.healed > before.healed, "{after:?}");
    assert_eq!(after.failed, 0);
}

#[test]
fn containers_of_one_host() {
    let world = World::new(&[1]);
    let [h1] = world.hosts();
    if is_docker() {
        let output = h1.sh(&format!("{PONTOON} drift"));
        let text = "pontoon: the daemon has no /pontoon/drift: it is not a pontoon daemon, or an older one\n";
        assert_eq!((output.status, output.stderr.as_str()), (1, text));
        return world.end();
    }
    h1.ok("docker network create net && docker network create other && docker network create --internal inner");
    h1.ok("docker network create -o com.docker.network.bridge.enable_icc=false apart");
    run(&h1, "aa", "--network net");
    run(&h1, "bb", "--network net --network-alias db -p 8080:80");
    run(&h1, "cc", "--network other");
    run(&h1, "in", "--network inner");
    run(&h1, "d1", "");
    run(&h1, "d2", "");
    run(&h1, "x1", "--network apart");
    run(&h1, "x2", "--network apart");
    h1.ok("docker create --name never busybox true && docker run -d --name ofhost --network host busybox sleep 3600");
    let (b, id) = (address(&h1, "bb", "net"), inspect(&h1, "bb", "{{.Id}}"));

    let found = explain(&h1, "aa", "bb");
    let steps: Vec<&str> = found.steps.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        steps,
        [
            "sandbox", "sandbox", "network", "name", "endpoint", "rows", "kernel", "firewall",
            "reply"
        ]
    );
    assert_eq!((found.from.as_str(), found.to.as_str()), ("aa", "bb"));
    let name = found.steps.iter().find(|s| s.name == "name").unwrap();
    assert_eq!(name.text, format!("bb is {b}, says the resolver of aa"));
    for to in ["bb", "db", id.as_str(), &id[..12], b.as_str()] {
        assert_eq!(wrong(&h1, "aa", to), FINE, "{to}");
    }
    assert_eq!(wrong(&h1, "d1", "d2"), FINE);
    // To the gateway, and out of the host through it.
    let gateway = h1.ok("docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' net");
    assert_eq!(wrong(&h1, "aa", &gateway), FINE);
    assert_eq!(wrong(&h1, "aa", &world.outside().addr.to_string()), FINE);

    for (from, to, parts) in [
        (
            "aa",
            "cc",
            [
                "network: aa and cc have no network in common",
                "cc on other",
            ],
        ),
        (
            "aa",
            "never",
            [
                "sandbox: container never has no network namespace",
                "does not run",
            ],
        ),
        (
            "ofhost",
            "aa",
            ["sandbox: container ofhost uses the host's network", ""],
        ),
        (
            "in",
            "198.18.1.1",
            [
                "endpoint: 198.18.1.1 is on none of the networks of in",
                "no way out",
            ],
        ),
        (
            "x1",
            "x2",
            ["firewall: apart keeps its containers apart", "isolated"],
        ),
    ] {
        assert_wrong(&h1, from, to, &parts);
    }
    assert_wrong(&h1, "aa", "nosuch", &["name: the resolver of aa"]);
    let output = h1.sh(&format!("{PONTOON} network explain nobody bb"));
    assert_eq!(
        (output.status, output.stderr.trim()),
        (1, "pontoon: No such container: nobody")
    );

    let before = drift(&h1, "");
    assert!(
        before.wanted > 20 && before.applied >= before.wanted,
        "{before:?}"
    );
    assert_eq!(
        (before.differences.len(), before.failed, before.held_seconds),
        (0, 0, 0)
    );
    assert!(drift(&h1, "--hold 30").held_seconds > 25);
    let bridge = format!(
        "br-{:.12}",
        h1.ok("docker network inspect -f '{{.Id}}' net")
    );
    let ports = h1.ok(&format!(
        "ip -o link show master {bridge} | cut -d: -f2 | cut -d@ -f1"
    ));
    assert_eq!(ports.lines().count(), 2, "{ports}");
    for (damage, part) in [
        (
            format!("nsenter -t {} -n ip route del default", pid(&h1, "aa")),
            "kernel: route 0.0.0.0/0 via",
        ),
        (
            format!(
                "nsenter -t {} -n ip addr del {b}/16 dev eth0",
                pid(&h1, "bb")
            ),
            "kernel: address",
        ),
        (
            format!(
                "for p in {}; do ip link set $p down; done",
                ports.replace('\n', " ")
            ),
            "kernel: link veth",
        ),
    ] {
        h1.ok(&damage);
        assert_wrong(&h1, "aa", "bb", &[part]);
    }
    h1.ok("nft flush ruleset");
    let broken = drift(&h1, "");
    let texts: Vec<&str> = broken.differences.iter().map(|d| d.text.as_str()).collect();
    assert!(texts.contains(&"table ip pontoon was missing"), "{texts:?}");
    assert_eq!(broken.healed, before.healed);
    assert!(!pings(&h1, "aa", &b));
    heal(&h1, &before);
    assert!(pings(&h1, "aa", "bb"));
    assert_eq!(wrong(&h1, "aa", "bb"), FINE);

    // Without a hold it is seen as a count.
    let before = drift(&h1, "").healed;
    h1.ok("nft flush ruleset");
    until(1, "it is healed and counted", || {
        drift(&h1, "").healed > before
    });
    let output = h1.sh(&format!("{PONTOON} drift --hold 601"));
    let text = "pontoon: healing can be held for 600 seconds at most, not 601";
    assert_eq!((output.status, output.stderr.trim()), (1, text));
    // For people.
    let table = h1.ok(&format!("{PONTOON} network explain aa bb"));
    assert!(table.ends_with("aa reaches bb"), "{table}");
    assert!(h1.ok(&format!("{PONTOON} drift")).starts_with("WANTED "));

    h1.ok("docker rm -f $(docker ps -aq)");
    h1.stop_daemon().unwrap();
    let output = h1.sh(&format!("{PONTOON} drift"));
    let socket = h1.socket().display().to_string();
    assert_eq!(output.status, 1);
    let text = format!("pontoon: cannot connect to the daemon at unix://{socket}: is it running?");
    assert!(output.stderr.starts_with(&text), "{}", output.stderr);
    world.end();
}

#[test]
fn containers_of_two_hosts() {
    if is_docker() {
        return;
    }
    let mut world = World::swarm(&[2]);
    let [h1, h2] = world.hosts();
    h1.ok("docker network create -d overlay --attachable att");
    run(&h1, "c1", "--network att");
    run(&h2, "c2", "--network att");
    until(10, "names are known", || {
        pings(&h1, "c1", "c2") && pings(&h2, "c2", "c1")
    });
    let a2 = address(&h2, "c2", "att");
    for to in ["c2", a2.as_str()] {
        let found = explain(&h1, "c1", to);
        assert_eq!(found.wrong, None, "{found:?}");
        assert!(found.reached);
        let endpoint = found.steps.iter().find(|s| s.name == "endpoint").unwrap();
        assert!(
            endpoint.text.contains(&format!("behind {}", h2.addr)),
            "{endpoint:?}"
        );
    }
    let nobody = a2
        .rsplit_once('.')
        .map(|(net, _)| format!("{net}.200"))
        .unwrap();
    assert_wrong(&h1, "c1", &nobody, &["endpoint: ", "nobody is known at"]);

    // Each damage is the first thing that is wrong; what came before it is put right in between.
    let overlay = overlay_namespace(&h1);
    for (damage, part) in [
        (
            "bridge fdb show dev vxlan0 | grep dst | while read mac rest; do bridge fdb del $mac dev vxlan0; done",
            "kernel: fdb ",
        ),
        (
            "ip neigh flush all nud permanent; ip neigh flush all",
            "kernel: neighbour ",
        ),
        ("ip link set vxlan0 down", "kernel: link vxlan0 "),
        ("ip link del vxlan0", "kernel: link vxlan0 "),
    ] {
        let before = drift(&h1, "--hold 30");
        h1.ok(&format!("nsenter --net={overlay} sh -euc '{damage}'"));
        assert_wrong(&h1, "c1", "c2", &[part, "was "]);
        heal(&h1, &before);
        eventually(5, FINE.to_string(), || wrong(&h1, "c1", "c2"));
    }
    world.lab().partition(&["h2"]).unwrap();
    assert_wrong(&h1, "c1", &a2, &["reply: ", "does not answer either"]);
    world.lab().heal().unwrap();
    h1.ok("docker rm -f c1");
    h2.ok("docker rm -f c2");
    world.end();
}
