//! Links that another program makes for us, and ends that we make for another program.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use common::*;
use netstate::{LinkKind, Ns, Row};

/// `eth0` in `name`, taken from `from`.
fn taken(name: &str, from: &str, net: &str) -> Vec<Row> {
    let mut eth0 = link(named(name), "eth0", LinkKind::Taken { from: from.into() });
    eth0.mac = Some(mac("02:42:0a:09:00:02"));
    vec![
        Row::Netns(named(name)),
        Row::Link(eth0),
        address(named(name), "eth0", net),
        route(named(name), "0.0.0.0/0", Some("10.9.0.1"), "eth0"),
    ]
}

fn plugin_makes(host: &str, peer: &str) {
    run(&format!(
        "ip link add {host} type veth peer name {peer} && ip link set {host} up && ip addr add 10.9.0.1/24 dev {host}"
    ));
}

#[test]
fn a_link_of_others_is_taken_healed_adopted_and_given_back() {
    isolated(|| async {
        let state = start().await;
        plugin_makes("p0", "p1");
        let rows = taken("c1", "p1", "10.9.0.2/24");
        state.set("endpoint/1", rows.clone()).await.unwrap();
        run("ping -c1 -W1 10.9.0.2");
        assert!(run_in("c1", "ip link show eth0").contains("02:42:0a:09:00:02"));
        assert!(!try_run("ip link show p1").0);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());

        run_in("c1", "ip link set eth0 down");
        within_a_second("eth0 is up again, with its route", || {
            try_in("c1", "sh -c 'ip route | grep -q ^default'")
        })
        .await;
        run("ping -c1 -W1 10.9.0.2");

        // Another run finds it and lets it be.
        drop(state);
        let index = run_in("c1", "cat /sys/class/net/eth0/ifindex");
        let state = start().await;
        state.set("endpoint/1", rows).await.unwrap();
        assert_eq!(state.collect().await.unwrap(), 0);
        assert_eq!(run_in("c1", "cat /sys/class/net/eth0/ifindex"), index);

        state.remove("endpoint/1").await.unwrap();
        let back = run("ip -o link show p1");
        assert!(
            back.contains("state DOWN") && !back.contains(MARK),
            "{back}"
        );
        assert_eq!(run(&format!("ls {DIR}")), "");
        run("ip link del p0");
    });
}

#[test]
fn what_is_not_there_or_is_in_use_is_not_taken() {
    isolated(|| async {
        let state = start().await;
        state
            .set("network/a", network("10.8.0.1/24"))
            .await
            .unwrap();
        state
            .set("endpoint/0", endpoint("c0", "10.8.0.2/24"))
            .await
            .unwrap();
        run("ip link add used type veth peer name port && ip addr add 192.0.2.1/24 dev used");
        run("ip link add br9 type bridge && ip link set port master br9");
        let before = run("ip -o link | cut -d' ' -f2-3; ip -o addr");
        for (from, why) in [
            ("nothing", "there is no link nothing on the host"),
            ("lo", "the host uses it: it is the loopback"),
            ("br0", "the host uses it: it belongs to another network"),
            ("v-c0", "the host uses it: it belongs to another network"),
            ("port", "the host uses it: it is a port of a bridge"),
            ("used", "the host uses it: it has address 192.0.2.1/24"),
        ] {
            let rows = taken("c1", from, "10.9.0.2/24");
            let error = state.set("endpoint/1", rows).await.unwrap_err().to_string();
            assert!(error.ends_with(why), "{error}");
            assert_eq!(run("ip -o link | cut -d' ' -f2-3; ip -o addr"), before);
            assert_eq!(run(&format!("ls {DIR}")).trim(), "c0");
        }
    });
}

#[test]
fn a_failure_behind_it_gives_the_link_back() {
    isolated(|| async {
        let state = start().await;
        plugin_makes("p0", "p1");
        let mut rows = taken("c1", "p1", "10.9.0.2/24");
        rows.push(route(
            named("c1"),
            "198.51.100.0/24",
            Some("203.0.113.1"),
            "eth0",
        ));
        state.set("endpoint/1", rows).await.unwrap_err();
        assert!(try_run("ip link show p1").0);
        assert_eq!(run(&format!("ls {DIR}")), "");
    });
}

#[test]
fn the_other_end_of_a_handout_is_nobodys_here() {
    isolated(|| async {
        let state = start().await;
        let kind = LinkKind::Handout {
            peer: "given".into(),
            mac: Some(mac("02:42:0a:09:00:03")),
        };
        let mut end = link(Ns::Host, "kept", kind);
        end.master = Some("br0".into());
        let mut rows = network("10.9.0.1/24");
        rows.push(Row::Link(end));
        state.set("endpoint/1", rows).await.unwrap();
        assert_eq!(state.collect().await.unwrap(), 0);
        // Another program takes it away, and nobody here minds.
        run(
            "touch /mnt/other && unshare --net=/mnt/other true && ip link set given netns /mnt/other",
        );
        let inside = |command: &str| run(&format!("nsenter --net=/mnt/other {command}"));
        inside("ip link set given name eth0 up");
        inside("ip addr add 10.9.0.3/24 dev eth0");
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        assert!(inside("ip link show eth0").contains("02:42:0a:09:00:03"));
        run("ping -c1 -W1 10.9.0.3");
        state.remove("endpoint/1").await.unwrap();
        assert_eq!(inside("ip -o link | wc -l").trim(), "1");
    });
}
