//! Join tokens: `SWMTKN-1-<digest of the root CA>-<secret>`, both in base 36; version 2 adds the FIPS digit.
//!
//! A joiner checks the digest, so that nobody in the middle can pose as the swarm; a manager compares the whole string.

use sha2::{Digest, Sha256};

use super::Error;
use crate::id::{base36, parse_base36, random};

const DIGEST_DIGITS: usize = 50;
const SECRET_DIGITS: usize = 25;

/// What a joiner learns from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the root CA's PEM bundle.
    pub digest: [u8; 32],
    /// The cluster wants nodes in FIPS mode only.
    pub fips: bool,
}

impl JoinToken {
    pub fn parse(token: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = token.split('-').collect();
        let (fips, digest, secret) = match parts[..] {
            ["SWMTKN", "1", digest, secret] => (false, digest, secret),
            ["SWMTKN", "2", "0", digest, secret] => (false, digest, secret),
            ["SWMTKN", "2", "1", digest, secret] => (true, digest, secret),
            _ => return Err(Error::InvalidToken),
        };
        if digest.len() != DIGEST_DIGITS || secret.len() != SECRET_DIGITS {
            return Err(Error::InvalidToken);
        }
        parse_base36::<16>(secret).ok_or(Error::InvalidToken)?;
        let digest = parse_base36(digest).ok_or(Error::InvalidToken)?;
        Ok(Self { digest, fips })
    }

    /// Whether `root_pem`, exactly as it came, is the root that the token names.
    pub fn check(&self, root_pem: &[u8]) -> Result<(), Error> {
        let got: [u8; 32] = Sha256::digest(root_pem).into();
        if got == self.digest {
            return Ok(());
        }
        Err(Error::Fingerprint {
            expected: hex(&self.digest),
            got: hex(&got),
        })
    }
}

/// A new token for a cluster with this root bundle.
pub fn generate(root_pem: &[u8]) -> String {
    with_secret(root_pem, &random())
}

fn with_secret(root_pem: &[u8], secret: &[u8; 16]) -> String {
    format!(
        "SWMTKN-1-{}-{}",
        base36(&Sha256::digest(root_pem), DIGEST_DIGITS),
        base36(secret, SECRET_DIGITS)
    )
}

/// `sha256:<hex>` of a root bundle, as `RootCA.ca_cert_hash` holds it.
pub fn root_hash(root_pem: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(root_pem)))
}

/// Takes as long for a near miss as for any other wrong token.
pub fn matches(stored: &str, presented: &str) -> bool {
    !stored.is_empty()
        && aws_lc_rs::constant_time::verify_slices_are_equal(
            stored.as_bytes(),
            presented.as_bytes(),
        )
        .is_ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VECTOR: &str =
        "SWMTKN-1-5wizlrkkfmv9wu6t108w411ywqpws5ddd2y91xe9y22c2fa4jd-000avh9he7dy896m08s18udxr";

    fn secret() -> [u8; 16] {
        std::array::from_fn(|i| i as u8)
    }

    #[test]
    fn the_reference_vector() {
        assert_eq!(with_secret(b"test-root-ca\n", &secret()), VECTOR);
        let token = JoinToken::parse(VECTOR).unwrap();
        assert!(!token.fips);
        token.check(b"test-root-ca\n").unwrap();
        assert!(matches!(
            token.check(b"another"),
            Err(Error::Fingerprint { .. })
        ));
    }

    #[test]
    fn version_two_says_fips() {
        let two = VECTOR.replacen("-1-", "-2-1-", 1);
        assert!(JoinToken::parse(&two).unwrap().fips);
        assert!(JoinToken::parse(&VECTOR.replacen("-1-", "-2-2-", 1)).is_err());
        assert!(JoinToken::parse(&VECTOR.replacen("-1-", "-3-", 1)).is_err());
    }

    #[test]
    fn only_the_whole_string_matches() {
        assert!(matches(VECTOR, VECTOR));
        assert!(!matches(VECTOR, &VECTOR[..VECTOR.len() - 1]));
        assert!(!matches("", ""));
    }

    proptest! {
        #[test]
        fn generated_tokens_parse_and_name_their_root(root in prop::collection::vec(any::<u8>(), 0..64), secret: [u8; 16]) {
            let token = with_secret(&root, &secret);
            prop_assert!(JoinToken::parse(&token).unwrap().check(&root).is_ok());
        }

        #[test]
        fn parser_never_panics(text in "\\PC{0,120}") {
            let _ = JoinToken::parse(&text);
        }

        #[test]
        fn near_tokens_never_panic(tail in "[0-9a-zA-Z-]{70,80}") {
            let _ = JoinToken::parse(&format!("SWMTKN-1-{tail}"));
        }
    }
}
