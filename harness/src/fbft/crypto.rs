//! What the protocol asks of signatures. Real runs use BLS on a kernels backend, simulations may use a keyed hash.

use crate::fbft::bitmap::SignerBitmap;
use crate::types::{BlockNum, ChainId, Hash, ShardId, Signature, Slot, ViewId};

/// Domain tag of every consensus signature.
const VOTE_TAG: &[u8; 20] = b"shardmark/fbft/v1\0\0\0";

/// What a signature says, apart from the block it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The leader proposes the block in this view.
    Announce = 1,
    /// First-phase vote.
    Prepare = 2,
    /// Second-phase vote.
    Commit = 3,
    /// The signer leaves for this view; the hash is the digest of its highest prepared certificate.
    ViewChange = 4,
}

/// The bytes a consensus signature covers: tag, chain, shard, kind, block_num, view_id, block hash; integers little-endian.
/// Always 81 bytes.
pub fn payload(
    chain: ChainId,
    shard: ShardId,
    kind: Kind,
    block_num: BlockNum,
    view_id: ViewId,
    hash: &Hash,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(81);
    bytes.extend_from_slice(VOTE_TAG);
    bytes.extend_from_slice(&chain.0.to_le_bytes());
    bytes.extend_from_slice(&shard.0.to_le_bytes());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&block_num.0.to_le_bytes());
    bytes.extend_from_slice(&view_id.0.to_le_bytes());
    bytes.extend_from_slice(&hash.0);
    bytes
}

/// A statement that these slots signed these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who is said to have signed: one slot, or several whose signatures were aggregated. Never empty.
    pub signers: SignerBitmap,
    /// The bytes; see [`payload`].
    pub message: Vec<u8>,
    /// The (aggregated) signature.
    pub signature: Signature,
}

/// Signing and verifying for one validator of one committee.
pub trait Crypto: Send + Sync {
    /// Signs with each of this validator's own `slots` and aggregates. One slot gives a plain signature.
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature;
    /// Signs the same bytes with each of this validator's own `slots`, one signature a slot.
    fn sign_each(&self, slots: &[Slot], message: &[u8]) -> Vec<Signature> {
        slots.iter().map(|&slot| self.sign(&[slot], message)).collect()
    }
    /// Sums signatures that were verified before. `None` if one does not decode.
    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature>;
    /// A verdict per claim, each as if verified alone: one bad claim never taints or saves another.
    fn verify(&self, claims: &[Claim]) -> Vec<bool>;
}
