//! A service's address as a route through a group of nexthops.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::collections::BTreeSet;

use common::*;
use netstate::{Nexthop, NexthopGroup, Ns, Row};

const VIP: &str = "10.1.0.200";
const GROUP: u32 = 200;

/// The group of these backends (`10.1.0.<n>`), and the address that leads to it.
fn service(backends: &[u8]) -> Vec<Row> {
    let link = || "br0".to_owned();
    let nexthop = |n: &u8| {
        Row::Nexthop(Nexthop {
            ns: Ns::Host,
            id: u32::from(*n),
            via: [10, 1, 0, *n].into(),
            link: link(),
        })
    };
    let members: BTreeSet<u32> = backends.iter().map(|n| u32::from(*n)).collect();
    let mut rows: Vec<Row> = backends.iter().map(nexthop).collect();
    rows.push(Row::NexthopGroup(NexthopGroup {
        ns: Ns::Host,
        id: GROUP,
        link: link(),
        members,
    }));
    rows.push(Row::GroupRoute {
        ns: Ns::Host,
        dst: format!("{VIP}/32").parse().unwrap(),
        group: GROUP,
        link: link(),
    });
    rows
}

fn nexthops() -> Vec<String> {
    let list = run("ip nexthop list");
    let words = |line: &str| line.split(" proto").next().unwrap().trim().to_owned();
    list.lines().map(words).collect()
}

async fn world() -> netstate::NetState {
    let state = start().await;
    state.set("net", network("10.1.0.1/24")).await.unwrap();
    // A port, so that the bridge has a carrier.
    state.set("c", endpoint("c", "10.1.0.2/24")).await.unwrap();
    state
}

#[test]
fn a_group_follows_its_members_and_goes() {
    isolated(|| async {
        let state = world().await;
        state.set("service", service(&[2, 3, 4])).await.unwrap();
        let route = || run(&format!("ip route show {VIP}"));
        assert!(route().contains("nhid 200"), "{}", route());
        let group = || nexthops().into_iter().find(|line| line.contains("group"));
        assert!(group().unwrap().contains("group 2/3/4 type resilient"));

        state.set("service", service(&[2, 4, 5])).await.unwrap();
        assert!(group().unwrap().contains("group 2/4/5"), "{:?}", group());
        assert!(route().contains("nhid 200"));
        state.set("service", service(&[5])).await.unwrap();
        assert_eq!(nexthops().len(), 2);
        assert_eq!(state.audit().await.unwrap(), [""; 0]);

        state.remove("service").await.unwrap();
        assert_eq!((nexthops(), route()), (vec![], String::new()));
        assert_eq!(state.stats().failed, 0);
    });
}

#[test]
fn what_others_take_away_is_put_back() {
    isolated(|| async {
        let state = world().await;
        state.set("service", service(&[2, 3])).await.unwrap();
        let before = nexthops();
        for damage in [
            "ip nexthop del id 2",
            "ip nexthop del id 200",
            "ip nexthop flush",
            "ip route del 10.1.0.200",
            "ip link set br0 down",
        ] {
            run(damage);
            let healed = || nexthops() == before && run("ip route").contains("nhid 200");
            within_a_second(damage, healed).await;
        }
    });
}

#[test]
fn a_restart_adopts_and_sweeps() {
    isolated(|| async {
        let state = world().await;
        state.set("service", service(&[2, 3])).await.unwrap();
        drop(state);
        let state = world().await;
        state.set("service", service(&[2])).await.unwrap();
        state.collect().await.unwrap();
        let left = nexthops();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(
            left.iter().any(|line| line.contains("group 2 ")),
            "{left:?}"
        );
        state.remove("service").await.unwrap();
        drop(state);
    });
}
