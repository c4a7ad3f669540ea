//! Default pools in Docker's order, and subnets that never overlap.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use ipam::{DefaultPool, Error, Pools};
use ipnet::IpNet;
use proptest::prelude::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn local_defaults_come_in_dockers_order_and_run_out() {
    let mut pools = Pools::local();
    let all: Vec<IpNet> = std::iter::from_fn(|| pools.take_default(false, &[]).ok()).collect();
    let mut expected: Vec<IpNet> = (17..32).map(|n| net(&format!("172.{n}.0.0/16"))).collect();
    expected.extend((0..16).map(|n| net(&format!("192.168.{}.0/20", n * 16))));
    assert_eq!(all, expected);
    assert_eq!(pools.take_default(false, &[]), Err(Error::NoPool));
    pools.release(&net("172.20.0.0/16"));
    assert_eq!(pools.take_default(false, &[]), Ok(net("172.20.0.0/16")));
    assert_eq!(pools.take_default(true, &[]), Err(Error::NoPool));
}

#[test]
fn what_the_host_uses_is_avoided() {
    let mut pools = Pools::local();
    let host = [
        net("172.16.0.0/13"),
        net("172.25.3.0/24"),
        net("fd00::/8"),
        net("0.0.0.0/32"),
    ];
    assert_eq!(pools.take_default(false, &host), Ok(net("172.24.0.0/16")));
    assert_eq!(pools.take_default(false, &host), Ok(net("172.26.0.0/16")));
}

#[test]
fn claims_do_not_overlap() {
    let mut pools = Pools::new(vec![DefaultPool::swarm()]);
    pools.claim(net("10.0.0.0/24")).unwrap();
    pools.claim(net("10.0.2.0/23")).unwrap();
    pools.claim(net("fd00::/64")).unwrap();
    for bad in [
        "10.0.0.0/8",
        "10.0.0.128/25",
        "10.0.0.0/24",
        "10.0.3.9/32",
        "0.0.0.0/0",
        "fd00::7/128",
        "::/0",
    ] {
        assert_eq!(pools.claim(net(bad)), Err(Error::Overlap), "{bad}");
    }
    assert_eq!(
        pools.overlapping(&net("10.0.3.9/32")),
        Some(net("10.0.2.0/23"))
    );
    pools.claim(net("::a00:0/120")).unwrap();
    assert_eq!(pools.take_default(false, &[]), Ok(net("10.0.1.0/24")));
    assert_eq!(pools.take_default(false, &[]), Ok(net("10.0.4.0/24")));
    pools.release(&net("10.0.2.0/24"));
    assert_eq!(pools.claim(net("10.0.3.0/24")), Err(Error::Overlap));
}

#[test]
fn pool_sizes_are_checked() {
    let base = net("10.0.0.0/16");
    assert_eq!(DefaultPool::new(base, 8), Err(Error::PoolSize(8)));
    assert_eq!(DefaultPool::new(base, 33), Err(Error::PoolSize(33)));
    assert!(DefaultPool::new(base, 16).is_ok());
    let unchecked = DefaultPool { base, size: 8 };
    assert_eq!(
        Pools::new(vec![unchecked]).take_default(false, &[]),
        Err(Error::NoPool)
    );
}

#[test]
fn unique_local_pool_is_derived_from_the_host() {
    let pool = DefaultPool::unique_local("host-a");
    // printf host-a | sha256sum: the last five of the first eight bytes
    assert_eq!(pool.base, net("fd92:ca52:d573::/48"));
    assert_ne!(pool, DefaultPool::unique_local("host-b"));
    let mut pools = Pools::new(vec![pool]);
    let first = pools.take_default(true, &[]).unwrap();
    assert_eq!(first, IpNet::new(pool.base.addr(), 64).unwrap());
    assert!(pools.take_default(true, &[]).unwrap() > first);
}

#[test]
fn a_pool_of_a_whole_family_is_never_expanded() {
    let mut pools = Pools::new(vec![DefaultPool::new(net("::/0"), 128).unwrap()]);
    let avoid = [net("::/1"), net("8000::/2")];
    assert_eq!(pools.take_default(true, &avoid), Ok(net("c000::/128")));
    assert_eq!(pools.take_default(true, &[net("::/0")]), Err(Error::NoPool));
}

proptest! {
    /// Against the naive model: the first subnet of the pool, counted one by one, that overlaps nothing.
    #[test]
    fn takes_the_first_that_overlaps_nothing(
        claims in prop::collection::vec((any::<u16>(), 16u8..=32), 0..20),
        avoid in prop::collection::vec((any::<u16>(), 14u8..=32), 0..5),
        size in 18u8..=24,
        releases in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let inside = |(n, prefix): (u16, u8)| IpNet::new([10, 7, (n >> 8) as u8, n as u8].into(), prefix).unwrap().trunc();
        let overlap = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
        let avoid: Vec<IpNet> = avoid.into_iter().map(inside).filter(|a| a.prefix_len() > 15).collect();
        let mut pools = Pools::new(vec![DefaultPool::new(net("10.7.0.0/17"), size).unwrap()]);
        let mut model: Vec<IpNet> = Vec::new();
        for claim in claims.into_iter().map(inside) {
            let free = !model.iter().any(|m| overlap(m, &claim));
            prop_assert_eq!(pools.claim(claim).is_ok(), free);
            if free { model.push(claim); }
        }
        for index in releases {
            if !model.is_empty() {
                pools.release(&model.swap_remove(index.index(model.len())));
            }
        }
        loop {
            let expected = net("10.7.0.0/17").subnets(size).unwrap()
                .find(|s| !model.iter().chain(&avoid).any(|m| overlap(m, s)));
            prop_assert_eq!(pools.take_default(false, &avoid), expected.ok_or(Error::NoPool));
            match expected { Some(taken) => model.push(taken), None => break }
        }
    }
}
