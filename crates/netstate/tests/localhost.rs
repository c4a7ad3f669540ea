//! The way back to the host's own connections at `::1`.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use common::*;
use netstate::{Ns, Row};

fn network(name: &str) -> Vec<Row> {
    let link = name.to_string();
    vec![
        bridge(Ns::Host, name),
        Row::RouteLocalhost { ns: Ns::Host, link },
    ]
}

fn ways() -> String {
    let found = run(
        "ip -6 route show table local ::1 | grep -v 'dev lo' | grep -o 'dev [a-z0-9]*' | sort | xargs",
    );
    found.trim().to_string()
}

#[test]
fn each_bridge_is_a_way_to_the_loopback_as_long_as_it_is_wanted() {
    isolated(|| async {
        let state = start().await;
        for name in ["br1", "br2"] {
            state
                .set(&format!("network/{name}"), network(name))
                .await
                .unwrap();
        }
        assert_eq!(ways(), "dev br1 dev br2");
        // The host's own way stays the first.
        assert!(run("ip -6 route get ::1").contains("dev lo"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        run("ip -6 route del local ::1 dev br1 table local");
        within_a_second("it is back", || ways() == "dev br1 dev br2").await;
        state.remove("network/br1").await.unwrap();
        assert_eq!(ways(), "dev br2");

        // A new process knows its own, and takes away what nobody wants.
        drop(state);
        let state = start().await;
        state.set("network/br2", network("br2")).await.unwrap();
        assert_eq!(ways(), "dev br2");
        state
            .set("network/br2", vec![bridge(Ns::Host, "br2")])
            .await
            .unwrap();
        assert_eq!(ways(), "");
        state.remove("network/br2").await.unwrap();
        assert_eq!(run("ip -o link | wc -l").trim(), "1", "only lo is left");
    });
}
