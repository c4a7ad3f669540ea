//! What the sandbox is told about names of ours. Queries are written and responses read by hickory's codec, which
//! shares nothing with ours.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dns::{Outcome, Scope, TTL, Transport, View, Zone, answer};
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

fn ips(text: &str) -> BTreeSet<IpAddr> {
    text.split_whitespace()
        .map(|ip| ip.parse().unwrap())
        .collect()
}

fn zone(network: &str, names: &[(&str, &str)]) -> Scope {
    let names: BTreeMap<_, _> = names.iter().map(|(n, a)| (n.to_string(), ips(a))).collect();
    let reverse = names
        .iter()
        .flat_map(|(name, ips)| ips.iter().map(move |ip| (*ip, name.clone())))
        .collect();
    let zone = Zone {
        network: network.into(),
        names,
        reverse,
    };
    Scope {
        zone: Arc::new(ArcSwap::from_pointee(zone)),
        links: BTreeMap::new(),
    }
}

fn view() -> View {
    let many: Vec<String> = (1..=200).map(|n| format!("10.3.0.{n}")).collect();
    let mut networks = vec![
        zone(
            "front",
            &[
                ("c1", "10.1.0.2"),
                ("shared", "10.1.0.9"),
                ("six", "fd00::6"),
                ("gone", ""),
            ],
        ),
        zone(
            "Back.End",
            &[
                ("c2", "10.2.0.2 fd00::2"),
                ("shared", "10.2.0.9"),
                ("tasks.web", &many.join(" ")),
            ],
        ),
    ];
    // `c2` here, but not in the other network, is another name for c1; and one that leads nowhere.
    networks[0].links = [("db", "c1"), ("c2", "c1"), ("lost", "nobody")]
        .map(|(alias, name)| (alias.into(), name.into()))
        .into();
    View {
        networks,
        ..View::default()
    }
}

fn name_of(text: &str) -> Name {
    let labels = text.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).unwrap()
}

fn message(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 0xbeef;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name_of(name), kind));
    message
}

fn ask_bytes(query: &[u8], view: &View, transport: Transport) -> Result<Vec<u8>, Outcome> {
    let mut out = Vec::new();
    match answer(
        query,
        view,
        transport,
        &mut StdRng::seed_from_u64(1),
        &mut out,
    ) {
        Outcome::Answer => Ok(out),
        other => Err(other),
    }
}

fn ask(message: &Message, view: &View) -> Result<Message, Outcome> {
    ask_bytes(&message.to_vec().unwrap(), view, Transport::Udp)
        .map(|out| Message::from_vec(&out).unwrap())
}

/// The answer as `code: data data`, or what else happens to the query.
fn check_in(view: &View, name: &str, kind: RecordType, expected: &str) {
    let got = match ask(&message(name, kind), view) {
        Ok(response) => {
            assert_eq!(response.metadata.id, 0xbeef);
            assert_eq!(response.metadata.message_type, MessageType::Response);
            assert!(response.metadata.recursion_available && response.metadata.recursion_desired);
            assert!(!response.metadata.authoritative && !response.metadata.truncation);
            assert_eq!(response.queries, message(name, kind).queries);
            let mut data: Vec<String> = response
                .answers
                .iter()
                .map(|r| r.data.to_string())
                .collect();
            assert!(
                response
                    .answers
                    .iter()
                    .all(|r| r.ttl == TTL && r.name == response.queries[0].name)
            );
            data.sort();
            format!("{:?}: {}", response.metadata.response_code, data.join(" "))
        }
        Err(other) => format!("{other:?}"),
    };
    assert_eq!(got, expected, "{name} {kind}");
}

fn check(name: &str, kind: RecordType, expected: &str) {
    check_in(&view(), name, kind, expected);
}

#[test]
fn names_resolve_in_order_of_networks() {
    use RecordType::{A, AAAA, ANY};
    check("c1.", A, "NoError: 10.1.0.2");
    check("C1.", A, "NoError: 10.1.0.2");
    check("c2.back.end.", A, "NoError: 10.2.0.2");
    check("c2.back.end.", AAAA, "NoError: fd00::2");
    check("c2.back.end.", ANY, "NoError: 10.2.0.2 fd00::2");
    check("shared.", A, "NoError: 10.1.0.9");
}

#[test]
fn links_go_before_names_in_their_own_network() {
    use RecordType::A;
    check("db.", A, "NoError: 10.1.0.2");
    check("DB.front.", A, "NoError: 10.1.0.2");
    check("db.back.end.", A, "Forward");
    check("c2.", A, "NoError: 10.1.0.2");
    check("lost.", A, "Forward");
}

#[test]
fn networks_qualify_names_at_every_dot() {
    use RecordType::A;
    check("shared.front.", A, "NoError: 10.1.0.9");
    check("shared.back.end.", A, "NoError: 10.2.0.9");
    check("c1.back.end.", A, "Forward");
    check("c1.end.", A, "Forward");
    check("c1.front.example.", A, "Forward");
}

#[test]
fn a_known_name_without_the_record_is_empty() {
    use RecordType::{A, AAAA, HTTPS, MX, SRV, TXT};
    for (name, kind) in [
        ("c1.", AAAA),
        ("six.", A),
        ("gone.", A),
        ("c1.", MX),
        ("c1.front.", MX),
        ("c1.", SRV),
    ] {
        check(name, kind, "NoError: ");
    }
    for (name, kind) in [("c1.", TXT), ("c1.", HTTPS), ("_http._tcp.c1.", SRV)] {
        check(name, kind, "NoError: ");
    }
    check("mail.example.", MX, "Forward");
    check("_http._tcp.example.", SRV, "Forward");
}

#[test]
fn addresses_resolve_to_names() {
    use RecordType::PTR;
    check("2.0.1.10.in-addr.arpa.", PTR, "NoError: c1.front.");
    check("2.0.2.10.in-addr.arpa.", PTR, "NoError: c2.Back.End.");
    let nibbles = format!("6.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
    check(&nibbles, PTR, "NoError: six.front.");
    for foreign in [
        "1.0.1.10.in-addr.arpa.",
        "2.0.1.in-addr.arpa.",
        "9.2.0.1.10.in-addr.arpa.",
        "x.0.1.10.in-addr.arpa.",
    ] {
        check(foreign, PTR, "Forward");
    }
}

#[test]
fn the_users_own_ndots_keeps_single_labels_here() {
    use RecordType::{A, AAAA, MX};
    let view = View {
        ndots_set: true,
        ..view()
    };
    check_in(&view, "nobody.", A, "NoError: ");
    check_in(&view, "nobody.", AAAA, "NoError: ");
    check_in(&view, "nobody.", MX, "Forward");
    check_in(&view, "nobody.example.", A, "Forward");
    check("nobody.", A, "Forward");
    check(".", A, "Forward");
}

#[test]
fn many_addresses_are_shuffled_and_cut_to_size() {
    let mut query = message("tasks.web.", RecordType::A);
    let full =
        Message::from_vec(&ask_bytes(&query.to_vec().unwrap(), &view(), Transport::Tcp).unwrap())
            .unwrap();
    assert_eq!((full.answers.len(), full.metadata.truncation), (200, false));
    let sorted: BTreeSet<String> = full.answers.iter().map(|r| r.data.to_string()).collect();
    assert_eq!(sorted.len(), 200);
    assert_ne!(full.answers[0].data.to_string(), "10.3.0.1");
    let cut = ask(&query, &view()).unwrap();
    assert!(cut.metadata.truncation && cut.to_vec().unwrap().len() <= 512);
    assert_eq!(cut.answers.len(), (512 - 12 - 15) / 16);
    for (size, answers) in [(100, 29), (1232, 74), (4096, 200)] {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        query.set_edns(edns);
        // hickory does not write sizes below 512, so patch it in.
        let mut bytes = query.to_vec().unwrap();
        let at = bytes.len() - 8;
        bytes[at..at + 2].copy_from_slice(&size.to_be_bytes());
        let raw = ask_bytes(&bytes, &view(), Transport::Udp).unwrap();
        assert!(raw.len() <= usize::from(size.max(512)));
        let response = Message::from_vec(&raw).unwrap();
        assert_eq!(
            (response.answers.len(), response.metadata.truncation),
            (answers, answers < 200)
        );
        assert_eq!(response.edns.unwrap().max_payload(), 1232);
    }
}

#[test]
fn order_changes_from_query_to_query() {
    let (view, mut out) = (view(), Vec::new());
    let mut rng = StdRng::seed_from_u64(1);
    let query = message("tasks.web.", RecordType::A).to_vec().unwrap();
    let firsts: BTreeSet<String> = (0..100)
        .map(|_| {
            answer(&query, &view, Transport::Tcp, &mut rng, &mut out);
            Message::from_vec(&out).unwrap().answers[0].data.to_string()
        })
        .collect();
    assert!(firsts.len() > 50, "{}", firsts.len());
}

#[test]
fn what_is_no_plain_query_is_told_so() {
    let good = message("c1.", RecordType::A);
    let code = |bytes: &[u8]| {
        ask_bytes(bytes, &view(), Transport::Udp)
            .map(|out| Message::from_vec(&out).unwrap().metadata.response_code)
    };
    let bytes = good.to_vec().unwrap();
    let with = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        changed
    };
    assert_eq!(code(&bytes), Ok(ResponseCode::NoError));
    assert_eq!(code(&with(2, 0x80)), Err(Outcome::Ignore));
    assert_eq!(code(&bytes[..11]), Err(Outcome::Ignore));
    assert_eq!(code(&with(2, 0x28)), Ok(ResponseCode::NotImp));
    assert_eq!(code(&with(5, 0)), Ok(ResponseCode::FormErr));
    assert_eq!(code(&with(5, 2)), Ok(ResponseCode::FormErr));
    assert_eq!(code(&with(11, 1)), Ok(ResponseCode::FormErr));
    assert_eq!(code(&with(12, 0xc0)), Ok(ResponseCode::FormErr));
    assert_eq!(code(&bytes[..bytes.len() - 1]), Ok(ResponseCode::FormErr));
    let mut chaos = good.clone();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&chaos.to_vec().unwrap()), Err(Outcome::Forward));
    let mut future = good.clone();
    let mut edns = Edns::new();
    edns.set_version(1);
    future.set_edns(edns);
    let response = ask(&future, &view()).unwrap();
    assert_eq!(response.edns.unwrap().rcode_high(), 1);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = ask_bytes(&bytes, &view(), Transport::Udp);
    }

    /// Damage to a good query: either no answer, or one that a real codec reads and that is about the same question.
    #[test]
    fn damaged_queries_get_readable_answers(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        edns in any::<bool>(),
    ) {
        let mut query = message("tasks.web.", RecordType::A);
        if edns { query.set_edns(Edns::new()); }
        let mut bytes = query.to_vec().unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2).max(12));
        if let Ok(out) = ask_bytes(&bytes, &view(), Transport::Udp) {
            let response = Message::from_vec(&out).unwrap();
            prop_assert_eq!(&out[..2], &bytes[..2]);
            prop_assert_eq!(response.metadata.message_type, MessageType::Response);
        }
    }

    /// Any legal name that is in the zone is found, in any case of letters, with and without its network.
    #[test]
    fn every_name_of_the_zone_is_found(
        name in "[a-z0-9][a-z0-9_-]{0,19}(\\.[a-z0-9][a-z0-9_-]{0,19}){0,2}",
        network in "[A-Za-z0-9][A-Za-z0-9_-]{0,19}(\\.[a-z0-9]{1,20})?",
        qualified in any::<bool>(),
        upper in any::<bool>(),
        address in any::<[u8; 4]>(),
    ) {
        let ip = IpAddr::from(address);
        let view = View { networks: vec![zone(&network, &[(&name, &ip.to_string())])], ..View::default() };
        let mut asked = if qualified { format!("{name}.{network}.") } else { format!("{name}.") };
        if upper { asked = asked.to_uppercase(); }
        let response = ask(&message(&asked, RecordType::A), &view).unwrap();
        prop_assert_eq!(&response.answers[0].data, &RData::A(std::net::Ipv4Addr::from(address).into()));
        let [d, c, b, a] = address;
        let ptr = ask(&message(&format!("{a}.{b}.{c}.{d}.in-addr.arpa."), RecordType::PTR), &view).unwrap();
        prop_assert_eq!(ptr.answers[0].data.to_string(), format!("{name}.{network}."));
    }
}
