use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn upstream(n: u8) -> Upstream {
    Upstream {
        addr: ([198, 18, 0, n], 53).into(),
        from_host: true,
    }
}

fn forwarder() -> Forwarder<u8> {
    Forwarder::new(StdRng::seed_from_u64(7))
}

/// A query for `name`, type A, with an OPT record that must arrive as it is.
fn query(id: u16, name: &str) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn reply_to(query: &[u8], rcode: u8) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply[3] = rcode;
    reply
}

fn sent(f: &mut Forwarder<u8>) -> Vec<Transmit> {
    std::iter::from_fn(|| f.poll_transmit()).collect()
}

fn replies(f: &mut Forwarder<u8>) -> Vec<(u8, Vec<u8>)> {
    std::iter::from_fn(|| f.poll_event())
        .map(|r| (r.client, r.bytes))
        .collect()
}

#[test]
fn forwards_byte_for_byte_but_the_id() {
    let (mut f, now) = (forwarder(), Instant::now());
    let asked = query(0x1234, "example.org");
    f.handle_query(now, 1, &asked, &[upstream(1)]);
    let out = sent(&mut f);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].upstream, upstream(1));
    assert_eq!(out[0].bytes[2..], asked[2..]);
    f.handle_reply(now, upstream(1), &reply_to(&out[0].bytes, 0));
    assert_eq!(replies(&mut f), [(1, reply_to(&asked, 0))]);
    assert_eq!(f.poll_timeout(), None);
}

#[test]
fn refusal_goes_to_the_next_and_silence_soon_too() {
    for rcode in [2, 5] {
        let (mut f, now) = (forwarder(), Instant::now());
        let upstreams = [upstream(1), upstream(2), upstream(3), upstream(4)];
        f.handle_query(now, 1, &query(7, "a.b"), &upstreams);
        let first = sent(&mut f).remove(0);
        f.handle_reply(now, upstream(1), &reply_to(&first.bytes, rcode));
        assert_eq!(sent(&mut f)[0].upstream, upstream(2));
        f.handle_timeout(now + 300 * MS);
        assert_eq!(sent(&mut f)[0].upstream, upstream(3));
        // The late answer of the second still counts.
        f.handle_reply(now + 400 * MS, upstream(2), &reply_to(&first.bytes, 3));
        assert_eq!(replies(&mut f), [(1, reply_to(&query(7, "a.b"), 3))]);
    }
}

#[test]
fn nobody_left_is_servfail() {
    let (mut f, now) = (forwarder(), Instant::now());
    f.handle_query(now, 1, &query(7, "a.b"), &[]);
    let [(1, failure)] = &replies(&mut f)[..] else {
        panic!("no reply");
    };
    assert_eq!((&failure[..2], failure[3] & 15), (&[0u8, 7][..], 2));
    f.handle_query(now, 2, &query(8, "a.b"), &[upstream(1)]);
    let out = sent(&mut f).remove(0);
    f.handle_reply(now, upstream(1), &reply_to(&out.bytes, 5));
    assert_eq!(replies(&mut f)[0].1[3] & 15, 2);
    f.handle_query(now, 3, &query(9, "a.b"), &[upstream(1)]);
    f.handle_timeout(now + 4000 * MS);
    assert_eq!(replies(&mut f)[0].1[3] & 15, 2);
    assert_eq!(f.poll_timeout(), None);
}

#[test]
fn forged_replies_are_ignored() {
    let (mut f, now) = (forwarder(), Instant::now());
    f.handle_query(now, 1, &query(7, "bank.example"), &[upstream(1)]);
    let out = sent(&mut f).remove(0).bytes;
    let good = reply_to(&out, 0);
    let mut wrong_id = good.clone();
    wrong_id[0] ^= 1;
    let mut other_name = good.clone();
    other_name[13] = b'x';
    f.handle_reply(now, upstream(2), &good);
    for bad in [
        &wrong_id[..],
        &other_name,
        &out,
        &good[..11],
        &good[..20],
        &[],
    ] {
        f.handle_reply(now, upstream(1), bad);
    }
    assert_eq!(replies(&mut f), []);
    f.handle_reply(now, upstream(1), &good);
    assert_eq!(replies(&mut f).len(), 1);
    f.handle_reply(now, upstream(1), &good);
    assert_eq!(replies(&mut f), []);
}

/// An upstream that sends what we forward back to us: haproxy#2503's 1,500 queries a second to itself.
#[test]
fn a_loop_comes_to_rest() {
    let (mut f, now) = (forwarder(), Instant::now());
    f.handle_query(now, 1, &query(7, "loop.example"), &[upstream(1)]);
    let mut total = 0;
    for ms in 0..6000 {
        f.handle_timeout(now + ms * MS);
        for transmit in sent(&mut f) {
            total += 1;
            f.handle_query(now + ms * MS, 2, &transmit.bytes, &[upstream(1)]);
        }
    }
    assert!(total <= 4, "{total}");
    assert_eq!(replies(&mut f).len(), 2);
    assert_eq!(f.poll_timeout(), None);
}

#[test]
fn too_many_drop_the_oldest_of_the_busiest() {
    let (mut f, now) = (forwarder(), Instant::now());
    f.handle_query(now, 1, &query(1, "quiet.example"), &[upstream(1)]);
    let quiet = sent(&mut f).remove(0).bytes;
    for n in 0..3000 {
        f.handle_query(now, 2, &query(n, &format!("n{n}.example")), &[upstream(1)]);
    }
    assert_eq!(f.waiting.len(), MAX_WAITING);
    assert_eq!(f.flights.len(), MAX_WAITING);
    let noisy = sent(&mut f);
    f.handle_reply(now, upstream(1), &reply_to(&quiet, 0));
    f.handle_reply(now, upstream(1), &reply_to(&noisy[0].bytes, 0));
    f.handle_reply(now, upstream(1), &reply_to(&noisy[2999].bytes, 0));
    let served: Vec<u8> = replies(&mut f).iter().map(|(client, _)| *client).collect();
    assert_eq!(served, [1, 2]);
}

#[derive(Clone, Debug)]
enum Step {
    Query {
        client: u8,
        id: u16,
        name: u8,
    },
    Reply {
        pick: prop::sample::Index,
        rcode: u8,
    },
    Garbage(Vec<u8>),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..4, 0u16..4, 0u8..8).prop_map(|(client, id, name)| Step::Query { client, id, name }),
        2 => (any::<prop::sample::Index>(), 0u8..6).prop_map(|(pick, rcode)| Step::Reply { pick, rcode }),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Garbage),
        1 => (0u64..1500).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Each query that was taken gets exactly one reply, with its own id, and nothing stays behind.
    #[test]
    fn every_query_gets_one_reply(steps in prop::collection::vec(step(), 0..120)) {
        let (mut f, mut now) = (forwarder(), Instant::now());
        let upstreams = [upstream(1), upstream(2)];
        let mut open: BTreeSet<(u8, u16, u8)> = BTreeSet::new();
        let mut seen: Vec<Transmit> = Vec::new();
        for step in steps {
            match step {
                Step::Query { client, id, name } => {
                    f.handle_query(now, client, &query(id, &format!("n{name}")), &upstreams);
                    open.insert((client, id, name));
                }
                Step::Reply { pick, rcode } if !seen.is_empty() => {
                    let transmit = &seen[pick.index(seen.len())];
                    f.handle_reply(now, transmit.upstream, &reply_to(&transmit.bytes, rcode));
                }
                Step::Reply { .. } => {}
                Step::Garbage(bytes) => f.handle_reply(now, upstreams[0], &bytes),
                Step::Wait(ms) => {
                    now += Duration::from_millis(ms);
                    f.handle_timeout(now);
                }
            }
            seen.extend(sent(&mut f));
            for (client, bytes) in replies(&mut f) {
                let id = u16::from_be_bytes([bytes[0], bytes[1]]);
                prop_assert!(open.remove(&(client, id, bytes[14] - b'0')));
            }
        }
        f.handle_timeout(now + 5000 * MS);
        for (client, bytes) in replies(&mut f) {
            let id = u16::from_be_bytes([bytes[0], bytes[1]]);
            prop_assert!(open.remove(&(client, id, bytes[14] - b'0')));
        }
        prop_assert!(open.is_empty());
        prop_assert!(f.flights.is_empty() && f.by_query.is_empty() && f.timers.is_empty());
        prop_assert!(f.waiting.is_empty() && f.by_client.is_empty());
    }
}
