//! The key ring: AES-GCM under a version byte and a random nonce.
//!
//! `version(1) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`; version 0 pads the plaintext to 16 bytes (PKCS7), version 1 does not. We
//! write version 1, which every Docker since 2015 reads.

use std::fmt;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};

use super::Error;

/// What version 1 adds to a message.
pub const OVERHEAD: usize = 1 + NONCE_LEN + TAG_LEN;
const TAG_LEN: usize = 16;
const BLOCK: usize = 16;

struct Key {
    bytes: Vec<u8>,
    cipher: LessSafeKey,
}

/// The first key encrypts, all decrypt. An empty ring means plain text (tests, and clusters without keys).
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.keys.len())
    }
}

impl Keyring {
    /// Keys of 16, 24 or 32 bytes; another length is an error, and then nothing is taken.
    pub fn new(keys: &[Vec<u8>]) -> Result<Self, Error> {
        let mut ring: Vec<Key> = Vec::new();
        for bytes in keys {
            if ring.iter().any(|key| key.bytes == *bytes) {
                continue;
            }
            let algorithm = match bytes.len() {
                16 => &AES_128_GCM,
                24 => &AES_192_GCM,
                32 => &AES_256_GCM,
                _ => return Err(Error::Malformed("key: it must have 16, 24 or 32 bytes")),
            };
            let unbound = UnboundKey::new(algorithm, bytes).map_err(|_| Error::Malformed("key"))?;
            ring.push(Key {
                bytes: bytes.clone(),
                cipher: LessSafeKey::new(unbound),
            });
        }
        Ok(Self { keys: ring })
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Appends the sealed `plain` to `out`.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let key = self.keys.first().ok_or(Error::Undecryptable)?;
        out.reserve(plain.len() + OVERHEAD);
        out.push(1);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(plain);
        let tag = key
            .cipher
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(aad),
                &mut out[start..],
            )
            .map_err(|_| Error::TooLarge("message to encrypt"))?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Tries every key.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (&version, rest) = sealed.split_first().ok_or(Error::Truncated)?;
        if version > 1 {
            return Err(Error::Undecryptable);
        }
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Error::Truncated)?;
        if body.len() < TAG_LEN {
            return Err(Error::Truncated);
        }
        for key in &self.keys {
            let mut plain = body.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let Ok(opened) = key.cipher.open_in_place(nonce, Aad::from(aad), &mut plain) else {
                continue;
            };
            let len = if version == 0 {
                unpadded(opened)?
            } else {
                opened.len()
            };
            plain.truncate(len);
            return Ok(plain);
        }
        Err(Error::Undecryptable)
    }
}

/// The length of the message under PKCS7 padding.
fn unpadded(plain: &[u8]) -> Result<usize, Error> {
    let pad = usize::from(*plain.last().ok_or(Error::Truncated)?);
    if pad == 0 || pad > BLOCK || pad > plain.len() {
        return Err(Error::Malformed("padding"));
    }
    Ok(plain.len() - pad)
}
