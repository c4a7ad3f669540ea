//! Random choice of a few.

use rand::{rngs::StdRng, seq::SliceRandom};

/// Up to `count` of `from`.
pub fn pick<T>(rng: &mut StdRng, mut from: Vec<T>, count: usize) -> Vec<T> {
    let rest = from.len().saturating_sub(count);
    // The chosen ones end up last.
    let _ = from.partial_shuffle(rng, count);
    from.split_off(rest)
}
