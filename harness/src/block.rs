//! Block headers: what a leader announces and every signature points at.
//!
//! The body travels apart, as chunks; the header commits to them, and a block's hash is the hash of its header.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::fbft::certificate::Certificate;
use crate::types::{BlockNum, ChainId, Hash, ShardId, Signature, ValidatorIndex, ViewId};

/// Domain tag of the header hash.
const HEADER_TAG: &[u8] = b"shardmark/header/v1";

/// A block without its body.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// Height; at least 1.
    pub block_num: BlockNum,
    /// The view in which it was first proposed. A later view proposes the same header again.
    pub view_id: ViewId,
    /// The leader of that view.
    pub proposer: ValidatorIndex,
    /// Hash of the parent's header.
    pub parent: Hash,
    /// The fullest commit certificate the proposer holds for the parent; `None` exactly at height 1.
    pub parent_seal: Option<Certificate>,
    /// How the body was cut, and the root over its chunks.
    pub chunks: ChunkCommitment,
    /// Transactions in the body.
    pub transactions: u32,
    /// State after the body was executed.
    pub state_root: Hash,
    /// Root over the receipts, in order.
    pub receipts_root: Hash,
    /// Randomness.
    pub beacon: BeaconField,
}

/// How a body was cut into chunks, and the commitment to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChunkCommitment {
    /// Code identifier of `kernels::erasure`; [`WHOLE_BLOCK`] is the body itself as one chunk.
    pub code: u8,
    /// Chunks that suffice (k).
    pub data_chunks: u16,
    /// Chunks beyond those (m).
    pub parity_chunks: u16,
    /// Length of the body before padding.
    pub body_bytes: u32,
    /// Merkle root over all k + m chunks.
    pub chunk_root: Hash,
}

/// The code identifier of whole-block broadcast: k = 1, m = 0, the chunk is the body.
pub const WHOLE_BLOCK: u8 = 0;

/// The randomness fields of a header.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BeaconField {
    /// The proposer's BLS signature over (tag, chain, shard, block_num, previous output).
    pub vrf_proof: Signature,
    /// SHA-256 of the proof.
    pub vrf_output: Hash,
    /// A finished delay function, once per window.
    pub vdf: Option<VdfField>,
}

/// The result of one window's delay function.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VdfField {
    /// Which window, from 0.
    pub window: u64,
    /// Output and proof in the kernel's wire format.
    pub output_and_proof: Vec<u8>,
}

impl Header {
    /// The block's hash: blake3 over a tag and the header's only encoding.
    pub fn hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(HEADER_TAG);
        borsh::to_writer(&mut hasher, self).expect("hashing a header does no I/O");
        Hash(*hasher.finalize().as_bytes())
    }
}
