//! Rendezvous hashing: clients have places, and a place keeps its backend as long as that is there.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The backend of each of so many places: the one that fits it best, so a change moves only what has to move, and every host
/// finds the same. None of no backends.
pub fn places(backends: &BTreeSet<IpAddr>, of: u32) -> Vec<IpAddr> {
    let number = |b: &IpAddr| match b {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => mixed((ip.to_bits() >> 64) as u64 ^ ip.to_bits() as u64) as u32,
    };
    let fit = |place: u32, b: &IpAddr| mixed(u64::from(place) << 32 | u64::from(number(b)));
    let best = |place| backends.iter().max_by_key(|b| fit(place, b)).copied();
    (0..of).filter_map(best).collect()
}

/// Every bit counts (the finalizer of splitmix64); the same in each version, or an upgrade would move everybody.
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_backends_moves_only_its_places() {
        moves_only_its_places(|i| [10, 0, 0, i].into());
        moves_only_its_places(|i| [0xfd61, 0, 0, 0, 0, 0, 0, i.into()].into());
    }

    fn moves_only_its_places(backend: fn(u8) -> IpAddr) {
        let all: BTreeSet<IpAddr> = (1..=4).map(backend).collect();
        let gone = backend(3);
        let without = all.iter().copied().filter(|b| *b != gone).collect();
        let (before, after) = (places(&all, 64), places(&without, 64));
        for (old, new) in before.iter().zip(&after) {
            assert!(old == new || *old == gone, "{old} became {new}");
        }
        for backend in &all {
            let share = before.iter().filter(|b| *b == backend).count();
            assert!((8..=24).contains(&share), "{backend} has {share} of 64");
        }
        assert!(places(&BTreeSet::new(), 64).is_empty());
    }
}
