//! Links on a parent: macvlan, ipvlan and VLAN. A kernel without a kind must say so: `make vm` runs this on one that has
//! them all.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use common::*;
use netstate::{IpvlanFlag, IpvlanMode, LinkKind, MacvlanMode, Ns, Parent, Row};

/// `eth1` on a wire whose other end is `far`.
fn wire() {
    run("ip link add eth1 type veth peer name far && ip link set eth1 up && ip link set far up");
}

fn on(name: &str) -> Parent {
    Parent {
        ns: Ns::Host,
        name: name.into(),
    }
}

/// A container whose `eth0` is a link of that kind.
fn station(ns: &str, net: &str, kind: LinkKind) -> Vec<Row> {
    vec![
        Row::Netns(named(ns)),
        Row::Link(link(named(ns), "eth0", kind)),
        address(named(ns), "eth0", net),
    ]
}

fn macvlan(ns: &str, net: &str, mode: MacvlanMode) -> Vec<Row> {
    let parent = on("eth1");
    let mut rows = station(ns, net, LinkKind::Macvlan { parent, mode });
    if let Row::Link(link) = &mut rows[1] {
        let last: u8 = ns.trim_start_matches('c').parse().unwrap();
        link.mac = Some(mac(&format!("02:42:0a:09:00:{last:02x}")));
    }
    rows
}

fn index_in(ns: &str) -> String {
    run_in(ns, "ip -o link show eth0")
        .split(':')
        .next()
        .unwrap()
        .to_owned()
}

fn mac_of(link: &str) -> String {
    let text = run(&format!("ip -br link show {link}"));
    text.split_whitespace().nth(2).unwrap().to_owned()
}

fn kernel_has(kind: &str) -> bool {
    !try_run(&format!("ip link add probe type {kind}"))
        .1
        .contains("Unknown device type")
}

#[test]
fn stations_of_a_macvlan_reach_each_other_and_are_adopted() {
    isolated(|| async {
        wire();
        run("ip addr add 10.9.0.1/24 dev far");
        let state = start().await;
        let rows = |n: u8| {
            macvlan(
                &format!("c{n}"),
                &format!("10.9.0.{n}/24"),
                MacvlanMode::Bridge,
            )
        };
        for n in [2, 3] {
            let owner = format!("endpoint/{n}");
            state.set(&owner, rows(n)).await.unwrap();
        }
        run_in("c2", "ping -c1 -W1 10.9.0.3");
        assert!(run_in("c2", "ip -d link show eth0").contains("macvlan mode bridge"));
        assert!(run_in("c2", "ip link show eth0").contains("02:42:0a:09:00:02"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());

        let before = (index_in("c2"), index_in("c3"));
        drop(state);
        let state = start().await;
        for n in [2, 3] {
            let owner = format!("endpoint/{n}");
            state.set(&owner, rows(n)).await.unwrap();
        }
        assert_eq!(state.collect().await.unwrap(), 0);
        assert_eq!((index_in("c2"), index_in("c3")), before);

        run_in("c2", "ip link del eth0");
        within_a_second("a deleted link is back", || {
            try_in("c2", "ping -c1 -W0.2 10.9.0.3")
        })
        .await;
        // In private mode there is only the wire.
        let private = macvlan("c2", "10.9.0.2/24", MacvlanMode::Private);
        state.set("endpoint/2", private).await.unwrap();
        assert!(!try_in("c2", "ping -c1 -W0.3 10.9.0.3"));

        for n in [2, 3] {
            state.remove(&format!("endpoint/{n}")).await.unwrap();
        }
        assert_eq!(run("ip -o link | wc -l").trim(), "3", "lo and the wire");
        assert_eq!(run(&format!("ls {DIR}")), "");
    });
}

/// Up to Linux 6.13 a name that is taken in the parent's namespace cannot be had at once.
#[test]
fn a_station_may_have_its_parents_name() {
    isolated(|| async {
        run(
            "ip link add eth0 type veth peer name far && ip link set eth0 up && ip link set far up",
        );
        let state = start().await;
        for n in [2, 3] {
            let kind = LinkKind::Macvlan {
                parent: on("eth0"),
                mode: MacvlanMode::Bridge,
            };
            let rows = station(&format!("c{n}"), &format!("10.9.0.{n}/24"), kind);
            state.set(&format!("endpoint/{n}"), rows).await.unwrap();
        }
        run_in("c2", "ping -c1 -W1 10.9.0.3");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        state.remove("endpoint/2").await.unwrap();
        state.remove("endpoint/3").await.unwrap();
        assert_eq!(run("ip -o link | wc -l").trim(), "3");
    });
}

#[test]
fn a_parent_that_comes_back_gets_its_stations_again() {
    isolated(|| async {
        wire();
        let state = start().await;
        for n in [2, 3] {
            let rows = macvlan(
                &format!("c{n}"),
                &format!("10.9.0.{n}/24"),
                MacvlanMode::Bridge,
            );
            state.set(&format!("endpoint/{n}"), rows).await.unwrap();
        }
        run("ip link del eth1");
        assert!(
            !try_in("c2", "ip link show eth0"),
            "it went with its parent"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        wire();
        within_a_second("the stations are back", || {
            try_in("c2", "ping -c1 -W0.2 10.9.0.3")
        })
        .await;
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn passthru_takes_the_parent_for_itself() {
    isolated(|| async {
        wire();
        let own = mac_of("eth1");
        let state = start().await;
        let passthru = |n| macvlan(n, "10.9.0.2/24", MacvlanMode::Passthru);
        state.set("endpoint/2", passthru("c2")).await.unwrap();
        assert!(run("ip link show eth1").contains("02:42:0a:09:00:02"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        let error = state.set("endpoint/3", passthru("c3")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot create link eth0 link eth1 type macvlan mode passthru"),
            "{error}"
        );
        assert_eq!(run(&format!("ls {DIR}")).trim(), "c2");
        state.remove("endpoint/2").await.unwrap();
        assert_eq!(mac_of("eth1"), own);
    });
}

#[test]
fn a_parent_is_looked_for() {
    isolated(|| async {
        wire();
        let state = start().await;
        let links = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let has = async |names: &[&str]| state.has_parent("macvlan", links(names)).await.unwrap();
        assert!(has(&["eth1"]).await && has(&["eth1.5", "eth1"]).await);
        assert!(!has(&["eth9"]).await && !has(&[]).await);
        let mut rows = macvlan("c2", "10.9.0.2/24", MacvlanMode::Bridge);
        if let Row::Link(link) = &mut rows[1] {
            link.kind = LinkKind::Macvlan {
                parent: on("eth9"),
                mode: MacvlanMode::Bridge,
            };
        }
        let error = state.set("endpoint/2", rows).await.unwrap_err().to_string();
        assert!(
            error.ends_with("netns c2: there is no link eth9"),
            "{error}"
        );
        assert_eq!(run(&format!("ls {DIR}")), "");
        let absent = state.has_parent("nonsense", links(&["eth1"])).await;
        assert_eq!(
            absent.unwrap_err().to_string(),
            "cannot make links of type nonsense: this kernel has no nonsense devices: load the module nonsense or use a kernel built with it"
        );
    });
}

#[test]
fn ipvlan_where_the_kernel_has_it() {
    isolated(|| async {
        wire();
        let state = start().await;
        let ipvlan = |mode, flag, n: u8| {
            let parent = on("eth1");
            let kind = LinkKind::Ipvlan { parent, mode, flag };
            station(&format!("c{n}"), &format!("10.9.0.{n}/24"), kind)
        };
        let probe = state.has_parent("ipvlan", vec!["eth1".into()]).await;
        if !kernel_has("ipvlan") {
            let error = probe.unwrap_err().to_string();
            assert!(
                error.contains("this kernel has no ipvlan devices"),
                "{error}"
            );
            let rows = ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge, 2);
            let error = state.set("endpoint/2", rows).await.unwrap_err().to_string();
            assert!(
                error.contains("this kernel has no ipvlan devices"),
                "{error}"
            );
            assert_eq!(run(&format!("ls {DIR}")), "");
            return;
        }
        assert!(probe.unwrap());
        for mode in IpvlanMode::ALL {
            for n in [2, 3] {
                let owner = format!("endpoint/{n}");
                state
                    .set(&owner, ipvlan(mode, IpvlanFlag::Bridge, n))
                    .await
                    .unwrap();
            }
            run_in("c2", "ping -c1 -W1 10.9.0.3");
            let text = run_in("c2", "ip -d link show eth0");
            assert!(
                text.contains(&format!(" mode {} bridge", mode.name())),
                "{text}"
            );
            assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        }
        for n in [2, 3] {
            let owner = format!("endpoint/{n}");
            let rows = ipvlan(IpvlanMode::L2, IpvlanFlag::Private, n);
            state.set(&owner, rows).await.unwrap();
        }
        assert!(!try_in("c2", "ping -c1 -W1 10.9.0.3"), "private");
        let before = index_in("c3");
        drop(state);
        let state = start().await;
        let rows = ipvlan(IpvlanMode::L2, IpvlanFlag::Private, 3);
        state.set("endpoint/3", rows).await.unwrap();
        assert!(state.collect().await.unwrap() > 0);
        assert_eq!(run(&format!("ls {DIR}")).trim(), "c3", "nobody wants c2");
        assert_eq!(index_in("c3"), before);
        run_in("c3", "ip link del eth0");
        within_a_second("a deleted link is back", || {
            try_in("c3", "ip -4 addr show eth0 | grep -q 10.9.0.3")
        })
        .await;
        state.remove("endpoint/3").await.unwrap();
        assert_eq!(run("ip -o link | wc -l").trim(), "3", "lo and the wire");
    });
}

#[test]
fn a_vlan_where_the_kernel_has_it() {
    isolated(|| async {
        wire();
        let state = start().await;
        let kind = LinkKind::Vlan {
            parent: "eth1".into(),
            id: 50,
        };
        let vlan = || vec![Row::Link(link(Ns::Host, "eth1.50", kind.clone()))];
        if !kernel_has("vlan") {
            let error = state.set("network/a", vlan()).await.unwrap_err();
            assert!(
                error.to_string().ends_with(
                    "this kernel has no vlan devices: load the module 8021q or use a kernel built with it"
                ),
                "{error}"
            );
            return;
        }
        run(
            "ip link add link far name far.50 type vlan id 50 && ip addr add 10.9.0.1/24 dev far.50 && ip link set far.50 up",
        );
        state.set("network/a", vlan()).await.unwrap();
        let mut rows = macvlan("c2", "10.9.0.2/24", MacvlanMode::Bridge);
        if let Row::Link(link) = &mut rows[1] {
            link.kind = LinkKind::Macvlan {
                parent: on("eth1.50"),
                mode: MacvlanMode::Bridge,
            };
        }
        state.set("endpoint/2", rows).await.unwrap();
        run_in("c2", "ping -c1 -W1 10.9.0.1");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        // With it go its stations; both come back.
        run("ip link del eth1.50");
        within_a_second("the VLAN and its station are back", || {
            try_in("c2", "ping -c1 -W0.2 10.9.0.1")
        })
        .await;
        for owner in ["endpoint/2", "network/a"] {
            state.remove(owner).await.unwrap();
        }
        assert!(!try_run("ip link show eth1.50").0, "ours goes");
        run("ip link add link eth1 name eth1.50 type vlan id 50");
        state.set("network/a", vlan()).await.unwrap();
        state.remove("network/a").await.unwrap();
        assert!(try_run("ip link show eth1.50").0, "somebody else's stays");
    });
}
