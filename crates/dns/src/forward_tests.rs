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

/// A view of these upstreams; each call another one.
fn view(upstreams: &[Upstream]) -> View {
    View {
        upstreams: upstreams.to_vec(),
        ..View::default()
    }
}

fn ask(f: &mut Forwarder<u8>, now: Instant, client: u8, bytes: &[u8], view: &View) {
    let query = Query::parse(bytes).unwrap();
    let mut question = Vec::new();
    let shared = query.onward(&mut question);
    f.handle_query(now, client, &query, (&question, shared), view);
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
    ask(&mut f, now, 1, &asked, &view(&[upstream(1)]));
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
        ask(&mut f, now, 1, &query(7, "a.b"), &view(&upstreams));
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
    ask(&mut f, now, 1, &query(7, "a.b"), &view(&[]));
    let [(1, failure)] = &replies(&mut f)[..] else {
        panic!("no reply");
    };
    assert_eq!((&failure[..2], failure[3] & 15), (&[0u8, 7][..], 2));
    ask(&mut f, now, 2, &query(8, "a.b"), &view(&[upstream(1)]));
    let out = sent(&mut f).remove(0);
    f.handle_reply(now, upstream(1), &reply_to(&out.bytes, 5));
    assert_eq!(replies(&mut f)[0].1[3] & 15, 2);
    ask(&mut f, now, 3, &query(9, "a.b"), &view(&[upstream(1)]));
    f.handle_timeout(now + 4000 * MS);
    assert_eq!(replies(&mut f)[0].1[3] & 15, 2);
    assert_eq!(f.poll_timeout(), None);
}

#[test]
fn forged_replies_are_ignored() {
    let (mut f, now) = (forwarder(), Instant::now());
    ask(
        &mut f,
        now,
        1,
        &query(7, "bank.example"),
        &view(&[upstream(1)]),
    );
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
    let (mut f, now, view) = (forwarder(), Instant::now(), view(&[upstream(1)]));
    ask(&mut f, now, 1, &query(7, "loop.example"), &view);
    let mut total = 0;
    for ms in 0..6000 {
        f.handle_timeout(now + ms * MS);
        for transmit in sent(&mut f) {
            total += 1;
            ask(&mut f, now + ms * MS, 2, &transmit.bytes, &view);
        }
    }
    assert!(total <= 4, "{total}");
    assert_eq!(replies(&mut f).len(), 2);
    assert_eq!(f.poll_timeout(), None);
}

#[test]
fn too_many_drop_the_oldest_of_the_busiest() {
    let (mut f, now) = (forwarder(), Instant::now());
    ask(
        &mut f,
        now,
        1,
        &query(1, "quiet.example"),
        &view(&[upstream(1)]),
    );
    let quiet = sent(&mut f).remove(0).bytes;
    for n in 0..3000 {
        ask(
            &mut f,
            now,
            2,
            &query(n, &format!("n{n}.example")),
            &view(&[upstream(1)]),
        );
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

/// One address, good for a minute.
fn answer_to(query: &[u8]) -> Vec<u8> {
    let mut reply = reply_to(query, 0);
    reply[7] = 1;
    let question = reply.len() - 11;
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";
    reply.splice(question..question, record.iter().copied());
    reply
}

/// Whether the view's cache answers it.
fn is_cached(view: &View, now: Instant, bytes: &[u8]) -> bool {
    let (query, mut question, mut out) = (Query::parse(bytes).unwrap(), Vec::new(), Vec::new());
    query.onward(&mut question)
        && view
            .cache
            .answer(now, &question, &query, query.udp_limit(), &mut out)
}

#[test]
fn a_question_is_asked_once_however_it_is_spelled() {
    let (mut f, now, view) = (forwarder(), Instant::now(), view(&[upstream(1)]));
    let (plain, loud) = (query(7, "a.example"), query(8, "A.Example"));
    ask(&mut f, now, 1, &plain, &view);
    ask(&mut f, now, 2, &loud, &view);
    // With a cookie, which is between it and us.
    let mut cookie = query(9, "a.example");
    let length = cookie.len();
    cookie[length - 1] = 12;
    cookie.extend_from_slice(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    ask(&mut f, now, 3, &cookie, &view);
    let [transmit] = &sent(&mut f)[..] else {
        panic!("not one query");
    };
    assert_eq!(transmit.bytes[2..], plain[2..]);
    assert!(!is_cached(&view, now, &plain));
    f.handle_reply(now, upstream(1), &answer_to(&transmit.bytes));
    assert_eq!(
        replies(&mut f),
        [(1, answer_to(&plain)), (2, answer_to(&loud)), {
            let mut like_the_first = answer_to(&plain);
            like_the_first[1] = 9;
            (3, like_the_first)
        }]
    );
    assert!(is_cached(&view, now, &plain) && is_cached(&view, now, &loud));
    assert!(is_cached(&view, now + 59_999 * MS, &plain));
    assert!(!is_cached(&view, now + 60_000 * MS, &plain));
}

#[test]
fn what_is_more_than_a_question_is_not_shared() {
    let (mut f, now, view) = (forwarder(), Instant::now(), view(&[upstream(1)]));
    // An additional record beside the OPT, as a signature is.
    let mut signed = query(7, "a.example");
    signed[11] = 2;
    signed.extend_from_slice(&[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0]);
    ask(&mut f, now, 1, &query(7, "a.example"), &view);
    ask(&mut f, now, 1, &signed, &view);
    let out = sent(&mut f);
    assert_eq!((out.len(), &out[1].bytes[2..]), (2, &signed[2..]));
    f.handle_reply(now, upstream(1), &answer_to(&out[1].bytes));
    assert!(!is_cached(&view, now, &signed) && !is_cached(&view, now, &query(7, "a.example")));
}

#[test]
fn another_view_gets_nothing_of_this_one() {
    let (mut f, now) = (forwarder(), Instant::now());
    let (before, after) = (view(&[upstream(1)]), view(&[upstream(2)]));
    let asked = query(7, "a.example");
    ask(&mut f, now, 1, &asked, &before);
    ask(&mut f, now, 2, &asked, &after);
    let out = sent(&mut f);
    assert_eq!(
        out.iter().map(|t| t.upstream).collect::<Vec<_>>(),
        [upstream(1), upstream(2)]
    );
    f.handle_reply(now, upstream(1), &answer_to(&out[0].bytes));
    assert_eq!(replies(&mut f), [(1, answer_to(&asked))]);
    assert!(is_cached(&before, now, &asked) && !is_cached(&after, now, &asked));
    // The earlier flight's end leaves the later one joinable.
    ask(&mut f, now, 3, &asked, &after);
    assert_eq!(sent(&mut f), []);
}

#[test]
fn a_long_reply_is_cut_for_whoever_takes_less() {
    let (mut f, now, view) = (forwarder(), Instant::now(), view(&[upstream(1)]));
    let mut small = query(7, "a.example");
    let at = small.len() - 8;
    small[at..at + 2].copy_from_slice(&600u16.to_be_bytes());
    ask(&mut f, now, 1, &small, &view);
    ask(&mut f, now, 2, &query(7, "a.example"), &view);
    let out = sent(&mut f).remove(0).bytes;
    let mut long = answer_to(&out);
    long[11] = 2;
    long.extend_from_slice(&[0, 0, 16, 0, 1, 0, 0, 0, 60, 3, 32]);
    long.extend_from_slice(&[0; 800]);
    f.handle_reply(now, upstream(1), &long);
    let [(1, cut), (2, whole)] = &replies(&mut f)[..] else {
        panic!("not two replies");
    };
    assert_eq!((cut[2] & 2, cut.len()), (2, small.len()));
    assert_eq!((whole[2] & 2, whole.len()), (0, long.len()));
}

#[test]
fn a_silent_upstream_is_waited_for_once() {
    let (mut f, now) = (forwarder(), Instant::now());
    let (mute, fine) = (upstream(1), upstream(2));
    let view = view(&[mute, fine]);
    let first = |f: &mut Forwarder<u8>, at: Instant, name: &str| {
        ask(f, at, 1, &query(7, name), &view);
        let out = sent(f);
        let asked = out.iter().map(|t| t.upstream).collect::<Vec<_>>();
        (asked, out[0].bytes.clone())
    };
    let (asked, bytes) = first(&mut f, now, "a");
    assert_eq!(asked, [mute]);
    f.handle_timeout(now + 300 * MS);
    assert_eq!(sent(&mut f)[0].upstream, fine);
    f.handle_reply(now + 301 * MS, fine, &answer_to(&bytes));
    assert_eq!(first(&mut f, now + 400 * MS, "b").0, [fine]);
    // Now and then it gets a chance, at nobody's cost.
    assert_eq!(first(&mut f, now + 10_400 * MS, "c").0, [fine, mute]);
    assert_eq!(first(&mut f, now + 10_500 * MS, "d").0, [fine]);
    f.handle_reply(now + 10_600 * MS, mute, b"anything");
    assert_eq!(first(&mut f, now + 10_700 * MS, "e").0, [mute]);
}

#[test]
fn what_is_out_of_reach_is_not_waited_for() {
    let (mut f, now) = (forwarder(), Instant::now());
    let view = view(&[upstream(1), upstream(2)]);
    ask(&mut f, now, 1, &query(7, "a"), &view);
    assert_eq!(sent(&mut f)[0].upstream, upstream(1));
    f.handle_unreachable(now + MS, upstream(1));
    assert_eq!(sent(&mut f)[0].upstream, upstream(2));
    f.handle_unreachable(now + 2 * MS, upstream(2));
    assert_eq!(replies(&mut f)[0].1[3] & 15, 2);
    assert_eq!(f.poll_timeout(), None);
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
        let view = view(&[upstream(1), upstream(2)]);
        let mut open: BTreeSet<(u8, u16, u8)> = BTreeSet::new();
        let mut seen: Vec<Transmit> = Vec::new();
        for step in steps {
            match step {
                Step::Query { client, id, name } => {
                    ask(&mut f, now, client, &query(id, &format!("n{name}")), &view);
                    open.insert((client, id, name));
                }
                Step::Reply { pick, rcode } if !seen.is_empty() => {
                    let transmit = &seen[pick.index(seen.len())];
                    f.handle_reply(now, transmit.upstream, &reply_to(&transmit.bytes, rcode));
                }
                Step::Reply { .. } => {}
                Step::Garbage(bytes) => f.handle_reply(now, upstream(1), &bytes),
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
        prop_assert!(f.flights.is_empty() && f.by_question.is_empty() && f.timers.is_empty());
        prop_assert!(f.waiting.is_empty() && f.by_client.is_empty());
    }
}
