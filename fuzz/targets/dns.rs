//! What the resolver's decoders are held to, whatever the bytes: no panic, and an answer that others can read.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use arc_swap::ArcSwap;
use dns::{Outcome, Scope, Transport, View, Zone, answer, fuzzing};
use hickory_proto::op::{Message, MessageType};
use rand::{SeedableRng, rngs::StdRng};

/// A zone with names of one, of both and of no address, one with more addresses than a datagram holds, and one that the
/// wire cannot say.
fn view(ndots_set: bool) -> View {
    let ips = |text: &str| -> BTreeSet<IpAddr> {
        text.split_whitespace()
            .map(|ip| ip.parse().expect("an address"))
            .collect()
    };
    let many = (1..=200)
        .map(|n| IpAddr::from([10, 3, 0, n]))
        .collect::<BTreeSet<_>>();
    let names = BTreeMap::from([
        ("web".to_owned(), ips("10.1.0.2 fd00::2")),
        ("gone".to_owned(), ips("")),
        ("many".to_owned(), many),
    ]);
    let reverse = BTreeMap::from([
        (IpAddr::from([10, 1, 0, 2]), "web".to_owned()),
        (IpAddr::from([10, 1, 0, 3]), "x".repeat(64)),
    ]);
    View {
        networks: vec![Scope {
            zone: Arc::new(ArcSwap::from_pointee(Zone {
                network: "net".to_owned(),
                names,
                reverse,
            })),
            links: BTreeMap::from([("db".to_owned(), "web".to_owned())]),
        }],
        ndots_set,
        ..View::default()
    }
}

fn ask(query: &[u8], view: &View, transport: Transport) -> (Outcome, Vec<u8>) {
    let mut out = Vec::new();
    let mut rng = StdRng::seed_from_u64(1);
    let outcome = answer(query, view, transport, &mut rng, &mut out);
    (outcome, out)
}

/// `how ‖ query`; bit 0 of `how`: over TCP, bit 1: the user set `ndots`.
pub fn query(data: &[u8]) {
    let Some((how, query)) = data.split_first() else {
        return;
    };
    let transport = match how & 1 {
        0 => Transport::Udp,
        _ => Transport::Tcp,
    };
    let view = view(how & 2 != 0);
    let (outcome, out) = ask(query, &view, transport);
    match outcome {
        Outcome::Ignore => assert!(query.len() < 12 || query[2] & 0x80 != 0),
        Outcome::Forward => assert!(query.len() >= 17),
        Outcome::Answer => {
            let message = Message::from_vec(&out).expect("others can read it");
            assert_eq!(message.metadata.message_type, MessageType::Response);
            assert_eq!(out[..2], query[..2], "another id");
            if transport == Transport::Udp {
                assert!(out.len() <= if message.edns.is_some() { 65_507 } else { 512 });
            }
            assert!(out.len() <= usize::from(u16::MAX));
            let (again, _) = ask(&out, &view, transport);
            assert_eq!(
                again,
                Outcome::Ignore,
                "two resolvers must not talk forever"
            );
        }
    }
}

/// `u16 length ‖ query ‖ reply`, as when an upstream has been asked.
pub fn reply(data: &[u8]) {
    let Some(([high, low], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (query, reply) = rest.split_at(length);
    if ask(query, &view(false), Transport::Tcp).0 != Outcome::Forward {
        return;
    }
    if fuzzing::is_reply_to(query, reply) {
        assert_eq!(reply[..2], query[..2], "another id");
        assert_ne!(reply[2] & 0x80, 0, "a query is no reply");
    }
    assert!(!fuzzing::is_reply_to(query, query));
    let failure = fuzzing::servfail(query);
    assert!(fuzzing::is_reply_to(query, &failure));
    Message::from_vec(&failure).expect("others can read it");
}

/// `u16 seconds ‖ u16 length ‖ query ‖ reply`: a reply that was kept for so long.
pub fn cache(data: &[u8]) {
    let Some(([s1, s0, l1, l0], rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let seconds = u32::from(u16::from_be_bytes([*s1, *s0]));
    let length = usize::from(u16::from_be_bytes([*l1, *l0])).min(rest.len());
    let (query, reply) = rest.split_at(length);
    let Some(out) = fuzzing::cached(query, reply, seconds) else {
        return;
    };
    assert_eq!(out[..2], query[..2], "another id");
    assert_ne!(out[2] & 0x80, 0, "a query is no reply");
    if out[2] & 0x02 != 0 {
        assert!(out.len() <= 512 && reply.len() > 512);
        Message::from_vec(&out).expect("others can read it");
        return;
    }
    assert_eq!(out.len(), reply.len());
    let Ok(before) = Message::from_vec(reply) else {
        return;
    };
    let after = Message::from_vec(&out).expect("others can still read it");
    for (before, after) in [
        (&before.answers, &after.answers),
        (&before.authorities, &after.authorities),
        (&before.additionals, &after.additionals),
    ] {
        for (before, after) in before.iter().zip(after) {
            assert_eq!(before.ttl - seconds, after.ttl);
            assert!(after.ttl > 0, "kept for too long");
        }
    }
}
