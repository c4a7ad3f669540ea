//! Names, in labels and in text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::HEADER;

/// Longest name on the wire, its root label included.
const MAX_NAME: usize = 255;

/// The address that a `…in-addr.arpa` or `…ip6.arpa` name stands for.
pub(crate) fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes = [0u8; 4];
        let mut labels = octets.split('.');
        for byte in bytes.iter_mut().rev() {
            *byte = labels.next()?.parse().ok()?;
        }
        return labels
            .next()
            .is_none()
            .then_some(IpAddr::V4(Ipv4Addr::from(bytes)));
    }
    let nibbles = name.strip_suffix(".ip6.arpa")?;
    let mut bits = 0u128;
    let mut labels = nibbles.split('.');
    for place in 0..32 {
        let label = labels.next().filter(|label| label.len() == 1)?;
        bits |= u128::from(u8::from_str_radix(label, 16).ok()?) << (4 * place);
    }
    labels
        .next()
        .is_none()
        .then_some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}

/// Where the question's name ends; it has nothing before it to point to, so compression is an error.
pub(super) fn question_name_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length > 63 || at - HEADER > MAX_NAME {
            return None;
        }
        if length == 0 {
            return Some(at);
        }
    }
}

pub(super) fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// `labels` are well formed. A label with a dot, a space or worse in it is no name that we could have.
pub(super) fn presentation(mut labels: &[u8]) -> Option<String> {
    let mut name = String::with_capacity(labels.len());
    while let [length, rest @ ..] = labels
        && *length > 0
    {
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            if !byte.is_ascii_graphic() || *byte == b'.' {
                return None;
            }
            name.push(char::from(byte.to_ascii_lowercase()));
        }
        labels = rest;
    }
    Some(name)
}

pub(super) fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut encoded = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|n| (1..=63).contains(n))?;
        encoded.push(length);
        encoded.extend_from_slice(label.as_bytes());
    }
    encoded.push(0);
    (encoded.len() <= MAX_NAME).then_some(encoded)
}
