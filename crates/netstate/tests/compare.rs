//! Looking without healing: every difference is named, nothing is put right while that is held, and all of it afterwards.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;
use std::time::Duration;

use common::*;
use netstate::nft::{Base, BaseKind, Chain, Family, Hook, Table};
use netstate::{NetState, Ns, Row};

const FDB: &str = "02:42:0a:09:00:07";

/// A container on a bridge, its way out, a tunnel's entry, a sysctl and a chain.
fn rows() -> Vec<Row> {
    let mut rows = endpoint("c1", "10.9.0.2/24");
    rows.push(route(named("c1"), "0.0.0.0/0", Some("10.9.0.1"), "eth0"));
    rows.push(Row::Sysctl {
        ns: named("c1"),
        key: "net.ipv4.conf.eth0.arp_ignore".into(),
        value: "1".into(),
    });
    rows.push(Row::Link(link(
        named("c1"),
        "vxlan0",
        netstate::LinkKind::Vxlan {
            vni: 4097,
            port: 4789,
            local: None,
            socket_ns: Ns::Host,
        },
    )));
    rows.push(Row::Fdb {
        ns: named("c1"),
        link: "vxlan0".into(),
        mac: mac(FDB),
        dst: ip("192.0.2.1"),
    });
    let table = Table {
        ns: Ns::Host,
        family: Family::Inet,
        name: "pontoon".into(),
    };
    rows.push(Row::NftTable(table.clone()));
    rows.push(Row::NftChain(Chain {
        table,
        name: "forward".into(),
        base: Some(Base {
            kind: BaseKind::Filter,
            hook: Hook::Forward,
            priority: 0,
            drop_by_default: false,
            device: None,
        }),
    }));
    rows
}

async fn differences(state: &NetState) -> Vec<String> {
    let found = state.compare().await.unwrap().differences;
    found.into_iter().map(|d| d.text).collect()
}

#[test]
fn differences_are_named_and_healed_when_the_hold_ends() {
    isolated(|| async {
        let state = start().await;
        state
            .set("network/a", network("10.9.0.1/24"))
            .await
            .unwrap();
        state.set("endpoint/1", rows()).await.unwrap();
        assert_eq!(differences(&state).await, Vec::<String>::new());

        state.hold(Duration::from_secs(60)).await.unwrap();
        for (command, expected) in [
            (
                "ip addr del 10.9.0.2/24 dev eth0",
                vec![
                    "address 10.9.0.2/24 dev eth0 netns c1 was missing",
                    // It goes with the address that leads to its gateway.
                    "route 0.0.0.0/0 via 10.9.0.1 dev eth0 netns c1 was missing",
                ],
            ),
            (
                "bridge fdb del 02:42:0a:09:00:07 dev vxlan0",
                vec!["fdb 02:42:0a:09:00:07 dev vxlan0 dst 192.0.2.1 netns c1 was missing"],
            ),
            (
                "sysctl -qw net.ipv4.conf.eth0.arp_ignore=0",
                vec![
                    "sysctl net.ipv4.conf.eth0.arp_ignore=1 netns c1 was sysctl \
                      net.ipv4.conf.eth0.arp_ignore=0 netns c1 instead",
                ],
            ),
            (
                "ip link set vxlan0 down",
                vec![
                    "link vxlan0 type vxlan id 4097 dstport 4789 socket netns host netns c1 was down",
                ],
            ),
        ] {
            let before = differences(&state).await;
            run_in("c1", command);
            let after = differences(&state).await;
            let news: Vec<_> = after.iter().filter(|d| !before.contains(d)).collect();
            assert_eq!(news, expected, "{command}");
        }
        run("nft flush ruleset && ip link set v-c1 down");
        let all = differences(&state).await;
        for part in ["link v-c1 type veth", "table inet pontoon was missing"] {
            assert!(all.iter().any(|d| d.contains(part)), "{part}: {all:?}");
        }
        // Nothing has been put right, nothing of it is counted, and looking again tells the same.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let comparison = state.compare().await.unwrap();
        assert_eq!(comparison.differences.len(), all.len());
        assert!(comparison.held > Duration::from_secs(50));
        assert_eq!((comparison.stats.healed, comparison.stats.failed), (0, 0));
        // What is asked for is done all the same.
        state
            .set("extra", vec![address(Ns::Host, "br0", "10.9.7.1/24")])
            .await
            .unwrap();
        assert!(run("ip -4 addr show dev br0").contains("10.9.7.1"));

        state.hold(Duration::ZERO).await.unwrap();
        within_a_second("healed", || state.stats().healed >= all.len() as u64).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let comparison = state.compare().await.unwrap();
        assert_eq!(comparison.differences, []);
        assert_eq!(
            (comparison.held, comparison.stats.failed),
            (Duration::ZERO, 0)
        );
        run_in("c1", "ping -c1 -W1 10.9.0.1");
    });
}
