//! Secret keys and signatures, one at a time and in constant time (k256): for load generators and tests.

use std::fmt;

use k256::ecdsa::SigningKey;
use rand::Rng;

use super::{Address, SignedDigest, address_of};

/// A secret key. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// Bytes that are not a secret key: 0, or at least the group order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret key must be from 1 to the group order minus 1")]
pub struct InvalidKey;

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl SecretKey {
    /// From 32 big-endian bytes.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, InvalidKey> {
        SigningKey::from_bytes(&(*bytes).into()).map(Self).map_err(|_| InvalidKey)
    }

    /// The next key of a generator: the first 32 bytes that make one. The caller chooses between a seed and entropy.
    pub fn generate(rng: &mut impl Rng) -> Self {
        loop {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }
}

/// The address of a key's transactions.
pub fn address(key: &SecretKey) -> Address {
    let point = key.0.verifying_key().to_sec1_point(false);
    // 0x04 || x || y.
    address_of(&point.as_bytes()[1..33], &point.as_bytes()[33..])
}

/// Signs a digest: deterministic (RFC 6979, HMAC-SHA-256), `s` in the lower half, as Ethereum wants it.
pub fn sign_recoverable(key: &SecretKey, digest: &[u8; 32]) -> SignedDigest {
    let (signature, id) = key.0.sign_prehash_recoverable(digest);
    let (r, s) = signature.split_bytes();
    // A nonce point with x at or above the group order has no parity byte; no input is known that leads to one (odds 2^-127).
    SignedDigest { digest: *digest, r: r.into(), s: s.into(), y_parity: u8::from(id.is_y_odd()) }
}
