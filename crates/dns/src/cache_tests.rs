use hickory_proto::op::{Message, MessageType, Query as Question, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A message with an A question.
fn message(asked: &str) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Question::query(name(asked), RecordType::A));
    message
}

fn reply(asked: &str, code: ResponseCode) -> Message {
    let mut reply = message(asked);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.response_code = code;
    reply
}

fn address(owner: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, 1)))
}

fn alias(owner: &str, ttl: u32) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name("real.example."))))
}

fn denial(ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(
        name("ns.example."),
        name("who.example."),
        1,
        2,
        3,
        4,
        minimum,
    );
    Record::from_rdata(name("example."), ttl, RData::SOA(soa))
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap()
}

fn insert(cache: &Cache, now: Instant, asked: &str, reply: &[u8]) {
    let query = bytes(&message(asked));
    let mut question = Vec::new();
    assert!(Query::parse(&query).unwrap().onward(&mut question));
    cache.insert(now, &question, reply);
}

fn get(cache: &Cache, now: Instant, asked: &str) -> Option<Message> {
    let query = bytes(&message(asked));
    let query = Query::parse(&query).unwrap();
    let (mut question, mut out) = (Vec::new(), Vec::new());
    query.onward(&mut question);
    cache
        .answer(now, &question, &query, 512, &mut out)
        .then(|| Message::from_vec(&out).unwrap())
}

/// For how many seconds the reply is kept.
fn kept(reply: &Message) -> u64 {
    let (cache, now) = (Cache::default(), Instant::now());
    insert(&cache, now, "a.example.", &bytes(reply));
    let is_there =
        |seconds: u64| get(&cache, now + Duration::from_secs(seconds), "a.example.").is_some();
    let (mut low, mut high) = (0, 100_000);
    while low < high {
        let middle = (low + high) / 2;
        match is_there(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

#[test]
fn a_reply_is_kept_as_long_as_its_shortest_record() {
    let mut good = reply("a.example.", ResponseCode::NoError);
    good.add_answer(alias("a.example.", 300));
    good.add_answer(address("real.example.", 60));
    assert_eq!(kept(&good), 60);
    good.add_additional(address("extra.example.", 20));
    assert_eq!(kept(&good), 20);
    good.add_answer(address("real.example.", 0));
    assert_eq!(kept(&good), 0);
    let mut forever = reply("a.example.", ResponseCode::NoError);
    forever.add_answer(address("a.example.", 2_000_000));
    assert_eq!(kept(&forever), 86_400);
    let mut nonsense = reply("a.example.", ResponseCode::NoError);
    nonsense.add_answer(address("a.example.", 1 << 31));
    assert_eq!(kept(&nonsense), 0);
}

/// RFC 2308.
#[test]
fn what_is_not_there_is_kept_as_long_as_the_zone_says() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let mut nothing = reply("a.example.", code);
        assert_eq!(kept(&nothing), 0, "nobody says for how long");
        nothing.add_authority(denial(120, 30));
        assert_eq!(kept(&nothing), 30);
        let mut nothing = reply("a.example.", code);
        nothing.add_answer(alias("a.example.", 10));
        assert_eq!(kept(&nothing), 0);
        nothing.add_authority(denial(20, 30));
        assert_eq!(kept(&nothing), 10);
        let mut nothing = reply("a.example.", code);
        nothing.add_authority(denial(20, 30));
        assert_eq!(kept(&nothing), 20);
        let mut nothing = reply("a.example.", code);
        nothing.add_authority(denial(86_400, 86_400));
        assert_eq!(kept(&nothing), 300);
    }
}

#[test]
fn failures_and_halves_are_not_kept() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::FormErr,
        ResponseCode::NotImp,
    ] {
        let mut failure = reply("a.example.", code);
        failure.add_answer(address("a.example.", 60));
        assert_eq!(kept(&failure), 0);
    }
    let mut half = reply("a.example.", ResponseCode::NoError);
    half.add_answer(address("a.example.", 60));
    assert_eq!(kept(&half), 60);
    half.metadata.truncation = true;
    assert_eq!(kept(&half), 0);
}

#[test]
fn ttls_count_down_and_the_query_is_answered_as_it_was_put() {
    let (cache, now) = (Cache::default(), Instant::now());
    let mut good = reply("a.example.", ResponseCode::NoError);
    good.add_answer(alias("a.example.", 300));
    good.add_answer(address("real.example.", 60));
    insert(&cache, now, "a.example.", &bytes(&good));
    for (after, ttls) in [(0, [300, 60]), (1, [299, 59]), (59, [241, 1])] {
        let answer = get(&cache, now + after * S, "A.eXample.").unwrap();
        assert_eq!(
            answer.answers.iter().map(|r| r.ttl).collect::<Vec<_>>(),
            ttls
        );
        assert_eq!(answer.queries[0].name().to_ascii(), "A.eXample.");
    }
    assert!(get(&cache, now + 60 * S, "a.example.").is_none());
    assert!(get(&cache, now, "b.example.").is_none());
}

#[test]
fn it_is_bounded_and_keeps_what_is_asked_for() {
    let (cache, now) = (Cache::default(), Instant::now());
    let named = |n: u32| format!("n{n}.example.");
    let mut wanted = 0;
    for n in 0..50_000 {
        let mut good = reply(&named(n), ResponseCode::NoError);
        good.add_answer(address(&named(n), 60));
        insert(&cache, now, &named(n), &bytes(&good));
        if n % 100 == 0 {
            wanted += u32::from(get(&cache, now, &named(0)).is_some());
        }
    }
    assert_eq!(wanted, 500);
    assert!(get(&cache, now, &named(49_999)).is_some() && get(&cache, now, &named(1)).is_none());
    let generations = cache.lock();
    for generation in [&generations.young, &generations.old] {
        let sizes = generation
            .entries
            .iter()
            .map(|(question, entry)| entry.size(question));
        assert_eq!(sizes.sum::<usize>(), generation.bytes);
        assert!(generation.bytes <= GENERATION + LARGEST + OVERHEAD);
    }
}

#[test]
fn servers_have_one_cache_each() {
    let upstream = |n: u8| Upstream {
        addr: ([198, 18, 0, n], 53).into(),
        from_host: true,
    };
    let caches = Caches::default();
    let one = caches.of(&[upstream(1), upstream(2)]);
    assert!(Arc::ptr_eq(&one, &caches.of(&[upstream(1), upstream(2)])));
    assert!(!Arc::ptr_eq(&one, &caches.of(&[upstream(2), upstream(1)])));
    drop(one);
    assert_eq!(
        caches
            .0
            .lock()
            .unwrap()
            .values()
            .filter(|c| c.strong_count() > 0)
            .count(),
        0
    );
    caches.of(&[]);
    assert_eq!(caches.0.lock().unwrap().len(), 1);
}

proptest! {
    /// A damaged reply is never kept longer than it could have been, nor makes an answer that others cannot follow.
    #[test]
    fn damage_does_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        after in 0u64..400,
    ) {
        let mut good = reply("a.example.", ResponseCode::NoError);
        good.add_answer(alias("a.example.", 300));
        good.add_answer(address("real.example.", 60));
        good.add_authority(denial(20, 30));
        let mut reply = bytes(&good);
        for (at, byte) in damage {
            let at = at.index(reply.len());
            reply[at] = byte;
        }
        reply.truncate(cut.index(reply.len() * 4).max(12));
        let (cache, now) = (Cache::default(), Instant::now());
        let query = bytes(&message("a.example."));
        let query = Query::parse(&query).unwrap();
        let (mut question, mut out) = (Vec::new(), Vec::new());
        query.onward(&mut question);
        cache.insert(now, &question, &reply);
        if let Some(lifetime) = wire::lifetime(&reply) {
            prop_assert!((1..=86_400).contains(&lifetime.ttl));
            let there = cache.answer(now + after as u32 * S, &question, &query, 65_535, &mut out);
            prop_assert_eq!(there, after < lifetime.ttl.into());
            if there {
                prop_assert_eq!(out.len(), reply.len());
                prop_assert_eq!(&out[..2], &query.bytes[..2]);
            }
        }
    }
}
