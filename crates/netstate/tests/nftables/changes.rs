//! Changes: by others, in part, and among very many.

use std::time::{Duration, Instant};

use netstate::nft::*;
use netstate::{Ns, Row};

use crate::common::*;
use crate::every::everything;
use crate::rows::*;

/// The same without counters and without the order in which tables came to be.
fn sorted() -> Vec<String> {
    let text = ruleset().replace(|c: char| c.is_ascii_digit(), "");
    let mut tables: Vec<String> = text.split("\n}\n").map(Into::into).collect();
    tables.sort();
    tables
}

#[test]
fn a_flushed_ruleset_heals_itself() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        let whole = sorted();
        for (i, command) in [
            "nft flush ruleset",
            "nft flush table inet pontoon",
            "nft delete rule ip pontoon prerouting handle $(nft -a list chain ip pontoon prerouting | sed -n 's/.*map @published.*handle //p')",
            "nft delete element ip pontoon published { tcp . 8080 }",
            "nft delete table ip6 pontoon",
            "nft flush map ip pontoon published",
        ]
        .iter()
        .enumerate()
        {
            run(command);
            let time = within_a_second(command, || sorted() == whole).await;
            println!("{time:?} {command}");
            assert!(state.stats().healed > i as u64, "{command}");
            tokio::time::sleep(Duration::from_millis(220)).await;
        }
        // What others add to our tables goes once everything of ours is declared.
        state.collect().await.unwrap();
        run("nft insert rule inet pontoon forward drop");
        within_a_second("foreign rule", || sorted() == whole).await;
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        assert_eq!(state.stats().failed, 0);
    });
}

#[test]
fn a_bad_row_changes_nothing_and_is_named() {
    isolated(|| async {
        let state = start().await;
        state.set("all", everything()).await.unwrap();
        let before = ruleset();
        let t = table(Family::Inet);
        let cases = [
            (
                rule(
                    &t,
                    "from-br0",
                    9,
                    &[Statement::Verdict(Verdict::Jump("nowhere".into()))],
                ),
                "rule inet pontoon from-br0 9: jump nowhere",
            ),
            (
                rule(&t, "nowhere", 9, &[ACCEPT]),
                "rule inet pontoon nowhere 9: accept",
            ),
            (
                rule(&t, "forward", 9, &[is(Field::IpSaddr, TCP)]),
                "ip saddr cannot be compared with tcp",
            ),
            (
                element(&t, "ports", &[addr("10.0.0.1")], None),
                "it is not of the types of set inet pontoon ports",
            ),
            (
                element(&t, "absent", &[addr("10.0.0.1")], None),
                "its set is not declared",
            ),
            (
                rule(
                    &t,
                    "forward",
                    9,
                    &[Statement::InSet {
                        key: vec![Field::ThDport],
                        not: false,
                        set: "nets".into(),
                    }],
                ),
                "the fields are not of the types",
            ),
        ];
        for (row, text) in cases {
            let good = chain(&t, "good");
            let error = state
                .set("bad", vec![good, row])
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains(text), "{error}");
            assert_eq!(ruleset(), before);
        }
        // A link that cannot be made takes its rules with it.
        let rows = vec![chain(&t, "good"), address(Ns::Host, "absent", "10.0.0.1/8")];
        state.set("bad", rows).await.unwrap_err();
        assert_eq!(ruleset(), before);
        // What refers to the chain that goes is in the way.
        let mut rows = everything();
        rows.retain(|row| row.to_string() != "chain inet pontoon from-br0");
        state.set("all", rows).await.unwrap_err();
        assert_eq!(ruleset(), before);
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn one_change_costs_the_same_among_ten_thousand() {
    isolated(|| async {
        let state = start().await;
        let t = table(Family::Ip);
        let frame = vec![
            Row::NftTable(t.clone()),
            set(
                &t,
                "published",
                &[Type::Protocol, Type::Port],
                Some(&[Type::Ipv4, Type::Port]),
                false,
            ),
            chain(&t, "c"),
        ];
        state.set("frame", frame).await.unwrap();
        let port = |n: u16| {
            let to = [addr("10.9.0.2"), Value::Port(n)];
            element(&t, "published", &[TCP, Value::Port(n)], Some(&to))
        };
        // The kernel lays out a chain anew with every change in it, so many things belong in a map and rules stay few.
        let with_rule = |n: u16| {
            let body = [is(Field::MetaMark, Value::Mark(n.into())), ACCEPT];
            vec![port(n), rule(&t, "c", n.into(), &body)]
        };
        let measure = async |from: u16| {
            let mut times = Vec::new();
            for n in from..from + 40 {
                let start = Instant::now();
                state.set(&format!("port/{n}"), with_rule(n)).await.unwrap();
                times.push(start.elapsed());
            }
            times.sort();
            times[20]
        };
        let few = measure(1).await;
        let all = (1000..11_000)
            .map(|n| (format!("port/{n}"), vec![port(n)]))
            .collect();
        let start = Instant::now();
        state.set_many(all).await.unwrap();
        println!("10,000 ports in {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
        let many = measure(500).await;
        println!("one port among few: {few:?}, among 10,000: {many:?}");
        assert!(many < few * 10 + Duration::from_millis(5));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn neighbouring_intervals_come_and_go_one_by_one() {
    isolated(|| async {
        let state = start().await;
        let t = table(Family::Ip);
        let frame = vec![
            Row::NftTable(t.clone()),
            set(&t, "subnets", &[Type::Ipv4], None, true),
        ];
        state.set("frame", frame).await.unwrap();
        let subnet = |n: u8| {
            let at = |last: u8| Value::Ip([172, n, last, last].into());
            vec![range(&t, "subnets", &[at(0)], &[at(255)])]
        };
        for n in [18, 17, 19, 255] {
            state.set(&format!("network/{n}"), subnet(n)).await.unwrap();
        }
        let list = || run("nft list set ip pontoon subnets");
        assert!(
            list().contains("172.17.0.0/16, 172.18.0.0/16,"),
            "{}",
            list()
        );
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
        state.remove("network/18").await.unwrap();
        assert!(!list().contains("172.18"), "{}", list());
        assert!(list().contains("172.17.0.0/16") && list().contains("172.19.0.0/16"));
        assert_eq!(state.audit().await.unwrap(), Vec::<String>::new());
    });
}
