//! The allocator of addresses against Docker's rules and against a naive model.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipam::{Addresses, Error};
use ipnet::IpNet;
use proptest::prelude::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn reserves_network_and_broadcast() {
    let mut a = Addresses::new(net("10.0.0.0/30"), None);
    assert_eq!(a.used(), 2);
    assert_eq!(a.claim(ip("10.0.0.0")), Err(Error::InUse));
    assert_eq!(a.claim(ip("10.0.0.3")), Err(Error::InUse));
    a.release(ip("10.0.0.0"));
    assert_eq!(a.take(), Ok(ip("10.0.0.1")));
    assert_eq!(a.take(), Ok(ip("10.0.0.2")));
    assert_eq!(a.take(), Err(Error::NoAddress));
    assert_eq!(a.take_serial(), Err(Error::NoAddress));
}

#[test]
fn small_subnets_give_all_they_have() {
    for (subnet, size) in [
        ("10.0.0.4/31", 2),
        ("10.0.0.4/32", 1),
        ("fd00::/127", 2),
        ("fd00::/128", 1),
        ("255.255.255.254/31", 2),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", 2),
    ] {
        let mut a = Addresses::new(net(subnet), None);
        let taken: BTreeSet<_> = std::iter::from_fn(|| a.take_serial().ok()).collect();
        assert_eq!(taken.len(), size, "{subnet}");
    }
}

#[test]
fn lowest_is_reused_at_once_and_serial_rests_it() {
    let mut a = Addresses::new(net("10.0.0.0/29"), None);
    assert_eq!(a.take(), Ok(ip("10.0.0.1")));
    assert_eq!(a.take(), Ok(ip("10.0.0.2")));
    a.release(ip("10.0.0.1"));
    assert_eq!(a.clone().take(), Ok(ip("10.0.0.1")));
    for expected in ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"] {
        assert_eq!(a.take_serial(), Ok(ip(expected)));
    }
}

#[test]
fn range_limits_taking_but_not_claiming() {
    let mut a = Addresses::new(net("10.0.0.0/16"), Some(net("10.0.8.0/30")));
    a.claim(ip("10.0.0.1")).unwrap();
    for expected in ["10.0.8.0", "10.0.8.1", "10.0.8.2", "10.0.8.3"] {
        assert_eq!(a.take(), Ok(ip(expected)));
    }
    assert_eq!(a.take(), Err(Error::NoAddress));
    assert_eq!(a.claim(ip("10.1.0.1")), Err(Error::OutOfRange));
    assert_eq!(a.claim(ip("fd00::1")), Err(Error::OutOfRange));
    let mut elsewhere = Addresses::new(net("10.0.0.0/16"), Some(net("10.9.0.0/24")));
    assert_eq!(elsewhere.take(), Err(Error::NoAddress));
}

#[test]
fn huge_subnets_cost_nothing() {
    let mut v6 = Addresses::new(net("fd00::/8"), None);
    assert_eq!(v6.used(), 1);
    assert_eq!(v6.take(), Ok(ip("fd00::1")));
    let mut v4 = Addresses::new(net("10.0.0.0/8"), None);
    v4.claim(ip("10.200.0.1")).unwrap();
    assert_eq!(v4.take(), Ok(ip("10.0.0.1")));
    assert_eq!(v4.used(), 4);
    assert_eq!(Addresses::new(net("::/0"), None).take(), Ok(ip("::1")));
}

#[derive(Clone, Debug)]
enum Op {
    Take,
    Serial,
    Claim(u8),
    Release(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Take),
        Just(Op::Serial),
        any::<u8>().prop_map(Op::Claim),
        any::<u8>().prop_map(Op::Release),
    ]
}

proptest! {
    /// Whatever happens, the allocator and a plain set agree: no duplicate, no leak, exhausted exactly when full.
    #[test]
    fn agrees_with_a_plain_set(
        prefix in 27u8..=32,
        v6 in any::<bool>(),
        range in prop::option::of((0u8..32, 0u8..=3)),
        ops in prop::collection::vec(op(), 0..200),
    ) {
        let (base, prefix) = if v6 { ("fd00::40", prefix + 96) } else { ("10.0.0.64", prefix) };
        let subnet = IpNet::new(ip(base), prefix).unwrap().trunc();
        let all: Vec<IpAddr> = match subnet {
            IpNet::V4(n) => (n.network().to_bits()..=n.broadcast().to_bits()).map(|b| IpAddr::V4(b.into())).collect(),
            IpNet::V6(n) => (n.network().to_bits()..=n.broadcast().to_bits()).map(|b| IpAddr::V6(b.into())).collect(),
        };
        let range = range.map(|(offset, extra)| {
            let at = all[usize::from(offset) % all.len()];
            IpNet::new(at, (prefix + extra).min(subnet.max_prefix_len())).unwrap().trunc()
        });
        let mut reserved = BTreeSet::new();
        if all.len() > 2 {
            reserved.insert(all[0]);
            if !v6 { reserved.insert(all[all.len() - 1]); }
        }
        let mut model = reserved.clone();
        let mut last: Option<IpAddr> = None;
        let pool: Vec<IpAddr> = all.iter().copied().filter(|a| range.is_none_or(|r| r.contains(a))).collect();
        let mut addresses = Addresses::new(subnet, range);
        for op in ops {
            match op {
                Op::Take | Op::Serial => {
                    let serial = matches!(op, Op::Serial);
                    let behind = |a: &&IpAddr| serial && last.is_some_and(|l| **a > l);
                    let expected = pool.iter().filter(behind).chain(pool.iter()).find(|a| !model.contains(a)).copied();
                    let got = if serial { addresses.take_serial() } else { addresses.take() };
                    prop_assert_eq!(got, expected.ok_or(Error::NoAddress));
                    if let Some(taken) = expected {
                        model.insert(taken);
                        last = expected;
                    }
                }
                Op::Claim(n) => {
                    let at = all[usize::from(n) % all.len()];
                    let expected = if model.insert(at) { Ok(()) } else { Err(Error::InUse) };
                    prop_assert_eq!(addresses.claim(at), expected);
                }
                Op::Release(n) => {
                    let at = all[usize::from(n) % all.len()];
                    if !reserved.contains(&at) { model.remove(&at); }
                    addresses.release(at);
                }
            }
            prop_assert_eq!(addresses.used(), model.len() as u128);
        }
    }
}
