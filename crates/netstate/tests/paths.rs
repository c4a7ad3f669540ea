//! What was learned of paths can be forgotten.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use common::*;
use netstate::{Link, LinkKind, Ns, Row, VethPeer};

fn veth(ns: Ns, name: &str, peer: (&str, &str)) -> Link {
    let peer = VethPeer {
        ns: named(peer.0),
        name: peer.1.into(),
        mac: None,
    };
    link(ns, name, LinkKind::Veth { peer })
}

/// Through a router to another host, by a link that carries less; what the kernel says it takes the way for.
#[test]
fn a_path_that_was_narrow_is_tried_anew() {
    isolated(|| async {
        let netstate = start().await;
        let mut narrow = veth(named("router"), "far", ("host", "eth0"));
        narrow.mtu = Some(1400);
        let mut rows = vec![
            Row::Netns(named("router")),
            Row::Netns(named("host")),
            Row::Link(veth(Ns::Host, "eth0", ("router", "near"))),
            Row::Link(narrow),
        ];
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            rows.push(Row::Sysctl {
                ns: named("router"),
                key: key.into(),
                value: "1".into(),
            });
        }
        for (near, far, length) in [("10.1.0.", "10.2.0.", 24), ("fd01::", "fd02::", 64)] {
            rows.extend([
                address(Ns::Host, "eth0", &format!("{near}2/{length}")),
                address(named("router"), "near", &format!("{near}1/{length}")),
                address(named("router"), "far", &format!("{far}1/{length}")),
                address(named("host"), "eth0", &format!("{far}2/{length}")),
                route(
                    Ns::Host,
                    &format!("{far}0/{length}"),
                    Some(&format!("{near}1")),
                    "eth0",
                ),
                route(
                    named("host"),
                    &format!("{near}0/{length}"),
                    Some(&format!("{far}1")),
                    "eth0",
                ),
            ]);
        }
        netstate.set("path", rows).await.unwrap();
        for to in ["10.2.0.2", "fd02::2"] {
            let taken_for = || run(&format!("ip route get {to}"));
            let full = || try_run(&format!("ping -c 1 -W 1 -M do -s 1452 {to}")).0;
            run(&format!("ping -c 1 -w 5 {to}"));
            assert!(
                !full() && taken_for().contains("mtu 1400"),
                "{}",
                taken_for()
            );
            netstate::forget_paths().unwrap();
            assert!(!taken_for().contains("mtu"), "{}", taken_for());
            // It is learned again, and the rest of what is known of routes is as it was.
            assert!(!full() && taken_for().contains("mtu 1400"));
        }
        let drift = netstate.audit().await.unwrap();
        assert!(drift.is_empty(), "{drift:?}");
    });
}
