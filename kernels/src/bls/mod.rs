//! BLS signatures on BLS12-381: aggregation and batch verification.
//!
//! | module | what |
//! |---|---|
//! | [`keys`] | one key at a time: generate, sign, prove possession, verify, aggregate |
//! | [`aggregate_keys`] | kernel `bls/aggregate-keys`: masked sums of committee keys |
//! | [`aggregate_signatures`] | kernel `bls/aggregate-signatures`: sums of votes |
//! | [`verify_batch`] | kernel `bls/verify-batch`: a verdict per (signers, message, signature) set |
//! | [`signers`] | who signed: a slot or a bitmap |
//! | `points` | the safe door to blst's group functions |
//! | `material` | seeded keys, messages and faults for inputs |
//! | `bisect` | verify-batch's search for bad sets, for every backend |
//! | `cpu` | the scalar backend over blst |
//!
//! The scheme is [`SCHEME`]: keys in G1 (48 bytes), signatures in G2 (96 bytes), both in the compressed encoding of
//! draft-irtf-cfrg-pairing-friendly-curves appendix C, big-endian; messages hashed by RFC 9380. `README.md` has the
//! formulas and the soundness argument.

pub mod aggregate_keys;
pub mod aggregate_signatures;
mod bisect;
mod cpu;
pub mod keys;
mod material;
mod points;
pub mod signers;
mod simd;
pub mod verify_batch;
#[cfg(feature = "wgpu")]
mod wgpu;

use serde::{Deserialize, Serialize};

pub use aggregate_keys::AggregateKeys;
pub use aggregate_signatures::AggregateSignatures;
pub use keys::SecretKey;
pub use signers::Signers;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use simd::fuzzing;
#[doc(hidden)]
pub use simd::layers;
pub use verify_batch::{SignatureSet, VerifyBatch};

/// The signature scheme, part of every result's identity: IETF min-pk with proof of possession
/// (draft-irtf-cfrg-bls-signature-05, section 4.2.3).
pub const SCHEME: &str = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

/// Domain of proofs of possession (same draft, section 4.2.3).
pub const POSSESSION_SCHEME: &str = "BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

/// Bytes of an encoded public key: a compressed G1 point.
pub const PUBLIC_KEY_BYTES: usize = 48;

/// Bytes of an encoded signature: a compressed G2 point.
pub const SIGNATURE_BYTES: usize = 96;

/// Most keys, sets, groups or bitmaps in one setup or input.
pub const MAX_ITEMS: u32 = 1 << 20;

/// Why one item is refused. When several reasons hold, the first in this order is given, so that every backend says the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The bitmap has the wrong length or a spare bit set, or the slot does not exist.
    #[error("signers do not fit the committee")]
    BadSigners,
    /// No signer is marked, or a group holds no signature.
    #[error("nothing to aggregate")]
    Empty,
    /// Not the canonical compressed encoding of a point on the curve.
    #[error("bad point encoding")]
    BadEncoding,
    /// A point of the curve outside the prime-order subgroup.
    #[error("point outside the prime-order subgroup")]
    NotInSubgroup,
    /// The pairing equation fails, or the key or the signature is the point at infinity.
    #[error("signature does not verify")]
    Invalid,
}
