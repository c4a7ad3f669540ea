//! Container names: which are allowed, and one for those who give none.

use engine_types::{Error, Result};

const LEFT: &[&str] = &[
    "able", "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "candid", "clever",
    "cosmic", "curious", "daring", "deft", "eager", "earnest", "fair", "fleet", "fond", "frank",
    "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen",
    "kind", "lively", "loyal", "lucid", "merry", "mellow", "modest", "neat", "nimble", "noble",
    "patient", "placid", "polite", "proud", "quick", "quiet", "ready", "sharp", "silver", "smart",
    "sober", "steady", "stoic", "sunny", "swift", "tidy", "vivid", "warm", "wise", "witty",
];

const RIGHT: &[&str] = &[
    "abel",
    "ampere",
    "babbage",
    "baran",
    "bell",
    "bohr",
    "boole",
    "boyle",
    "cerf",
    "church",
    "clarke",
    "cray",
    "curie",
    "darwin",
    "davies",
    "dijkstra",
    "einstein",
    "engelbart",
    "euler",
    "fermat",
    "feynman",
    "floyd",
    "galois",
    "gauss",
    "goedel",
    "hamming",
    "hertz",
    "hilbert",
    "hoare",
    "hopper",
    "huffman",
    "kahn",
    "kepler",
    "kirchhoff",
    "kleinrock",
    "knuth",
    "lamport",
    "leibniz",
    "liskov",
    "lovelace",
    "marconi",
    "maxwell",
    "metcalfe",
    "mockapetris",
    "morse",
    "newton",
    "noether",
    "nyquist",
    "ohm",
    "pascal",
    "perlman",
    "postel",
    "ritchie",
    "shannon",
    "stallman",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "vixie",
    "volta",
    "wiener",
    "zuse",
];

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, a leading slash aside; returns the name without it.
pub(crate) fn validate(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let valid = bare.len() >= 2
        && bare.starts_with(|c: char| c.is_ascii_alphanumeric())
        && bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if valid {
        Ok(bare)
    } else {
        Err(Error::invalid(format!(
            "Invalid container name ({bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )))
    }
}

/// `adjective_surname`, with digits behind it after some tries.
pub fn random(attempt: u32) -> Result<String> {
    let bytes = random_bytes::<3>()?;
    let pick = |list: &[&'static str], byte: u8| list[usize::from(byte) % list.len()];
    let mut name = format!("{}_{}", pick(LEFT, bytes[0]), pick(RIGHT, bytes[1]));
    if attempt > 0 {
        name.push_str(&bytes[2].to_string());
    }
    Ok(name)
}

/// 64 hex digits.
pub(crate) fn random_id() -> Result<String> {
    Ok(hex::encode(random_bytes::<32>()?))
}

fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::system(format!("no randomness from the kernel: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_names() {
        for (name, ok) in [
            ("web", true),
            ("/web", true),
            ("a.b-c_1", true),
            ("a", false),
            ("", false),
            ("-a", false),
            ("a/b", false),
            ("a b", false),
        ] {
            assert_eq!(validate(name).is_ok(), ok, "{name}");
        }
        assert!(validate(&random(1).unwrap()).is_ok());
    }
}
