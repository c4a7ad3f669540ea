//! Identifiers: 17 random bytes, 25 characters of base 36. Sessions, nodes and every stored object carry one.

/// A fresh identifier: `[0-9a-z]`, always 25 characters.
pub fn new_id() -> String {
    from_bytes(random())
}

/// `N` bytes nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    rand::random()
}

/// The top bit makes the number 27 digits long; the first digit is not uniform and the last is not needed.
fn from_bytes(mut bytes: [u8; 17]) -> String {
    bytes[0] |= 0x80;
    base36(&bytes, 27)[1..26].to_owned()
}

/// A big-endian number in base 36, lower case, zero-padded on the left to `width` digits.
pub(crate) fn base36(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(width);
    while digits.len() < width || number.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = (value / 36) as u8;
            rest = value % 36;
        }
        digits.push(char::from_digit(rest, 36).unwrap_or('0'));
    }
    digits.iter().rev().collect()
}

/// The other way round: `None` for a foreign digit or a number of more than `N` bytes.
pub(crate) fn parse_base36<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut number = [0u8; N];
    for digit in text.chars() {
        if digit.is_ascii_uppercase() {
            return None;
        }
        let mut carry = digit.to_digit(36)?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 36 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_25_characters_whatever_the_bytes() {
        for bytes in [[0; 17], [0xff; 17], [0x5a; 17]] {
            let id = from_bytes(bytes);
            assert_eq!(id.len(), 25);
            assert!(
                id.chars()
                    .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
            );
        }
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn base36_round_trips_and_refuses_what_does_not_fit() {
        assert_eq!(base36(&[0xff; 2], 0), "1ekf");
        assert_eq!(base36(&[0, 35], 3), "00z");
        assert_eq!(parse_base36::<2>("1ekf"), Some([0xff; 2]));
        assert_eq!(parse_base36::<2>("1ekg"), None);
        assert_eq!(parse_base36::<2>("A"), None);
        assert_eq!(parse_base36::<2>("-"), None);
    }
}
