//! A chunk on the wire.
//!
//! ```text
//! message = chain u64 | shard u32 | block_num u64 | block_hash 32 | index u16
//!         | length u32 | chunk | siblings u32 | { hash 32 }*siblings                 borsh: integers little-endian
//! ```

use borsh::{BorshDeserialize, BorshSerialize};
use shardmark_kernels::erasure::merkle::{MAX_LEAVES, Proof, proof_len};

use crate::types::{BlockNum, ChainId, Hash, ShardId};

/// Bytes of a message without its chunk and its proof.
const FIXED_BYTES: usize = 8 + 4 + 8 + 32 + 2 + 4 + 4;

/// One of a body's chunks, with its proof.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chunk {
    /// Its place: data chunks first.
    pub index: u16,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its siblings in the Merkle tree, from the leaf upwards.
    pub proof: Vec<Hash>,
}

impl Chunk {
    /// The proof as the kernels take it.
    pub(super) fn merkle_proof(&self) -> Proof {
        Proof { siblings: self.proof.iter().map(|hash| hash.0).collect() }
    }
}

/// A chunk and the block that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChunkMessage {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// Height.
    pub block_num: BlockNum,
    /// Hash of the header that commits to the chunk.
    pub block_hash: Hash,
    /// The chunk.
    pub chunk: Chunk,
}

/// Bytes that are not a chunk message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Longer than a message with the largest chunk.
    #[error("chunk message of {got} bytes exceeds {most}")]
    TooLong {
        /// Bytes.
        got: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Not the encoding of one message.
    #[error("malformed chunk message: {0}")]
    Malformed(String),
    /// More siblings than any tree has levels.
    #[error("proof of {0} siblings")]
    Proof(usize),
}

impl ChunkMessage {
    /// The only encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.chunk.bytes.len() + 32 * self.chunk.proof.len());
        borsh::to_writer(&mut bytes, self).expect("writing to memory does no I/O");
        bytes
    }

    /// Most bytes of a message whose chunk has at most `chunk_bytes`.
    pub fn max_bytes(chunk_bytes: usize) -> usize {
        chunk_bytes.saturating_add(FIXED_BYTES + 32 * proof_len(MAX_LEAVES))
    }

    /// Reads a message whose chunk has at most `chunk_bytes`. A false length costs at most the 1 MiB that borsh takes at first.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub fn decode(bytes: &[u8], chunk_bytes: usize) -> Result<Self, MessageError> {
        let most = Self::max_bytes(chunk_bytes);
        if bytes.len() > most {
            return Err(MessageError::TooLong { got: bytes.len(), most });
        }
        let message: Self = borsh::from_slice(bytes).map_err(|e| MessageError::Malformed(e.to_string()))?;
        let siblings = message.chunk.proof.len();
        if siblings > proof_len(MAX_LEAVES) {
            return Err(MessageError::Proof(siblings));
        }
        if message.chunk.bytes.len() > chunk_bytes {
            return Err(MessageError::TooLong { got: bytes.len(), most });
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: Vec<u8>, proof: usize) -> ChunkMessage {
        let chunk = Chunk { index: 3, bytes, proof: vec![Hash([7; 32]); proof] };
        let (chain, shard, block_num) = (ChainId(1), ShardId(2), BlockNum(4));
        ChunkMessage { chain, shard, block_num, block_hash: Hash([9; 32]), chunk }
    }

    #[test]
    fn the_encoding_is_as_documented() {
        let bytes = message(vec![5, 6], 1).encode();
        let head = [&1u64.to_le_bytes()[..], &[2, 0, 0, 0], &4u64.to_le_bytes(), &[9; 32], &[3, 0]].concat();
        assert_eq!(bytes, [&head[..], &[2, 0, 0, 0, 5, 6], &[1, 0, 0, 0], &[7; 32]].concat());
        assert_eq!(bytes.len(), FIXED_BYTES + 2 + 32);
    }

    #[test]
    fn chunks_and_proofs_over_the_bounds_are_refused() {
        assert!(ChunkMessage::decode(&message(vec![0; 10], 16).encode(), 10).is_ok());
        assert!(matches!(
            ChunkMessage::decode(&message(vec![0; 11], 16).encode(), 10),
            Err(MessageError::TooLong { .. })
        ));
        assert!(matches!(
            ChunkMessage::decode(&message(vec![0; 11], 0).encode(), 10),
            Err(MessageError::TooLong { .. })
        ));
        assert_eq!(ChunkMessage::decode(&message(vec![], 17).encode(), 99), Err(MessageError::Proof(17)));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        let mut bytes = message(vec![1, 2, 3], 0).encode();
        bytes[54..58].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(ChunkMessage::decode(&bytes, 1 << 20), Err(MessageError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn random_bytes_decode_to_themselves_or_not_at_all(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..200)) {
            if let Ok(message) = ChunkMessage::decode(&bytes, 1000) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn truncated_flipped_and_lengthened_messages_never_panic(
            chunk in prop::collection::vec(any::<u8>(), 0..50), siblings in 0usize..4,
            cut: prop::sample::Index, flip: prop::sample::Index, bit in 0u8..8, tail in 1usize..40,
        ) {
            let good = message(chunk, siblings);
            let bytes = good.encode();
            prop_assert_eq!(ChunkMessage::decode(&bytes, 50), Ok(good));
            prop_assert!(ChunkMessage::decode(&bytes[..cut.index(bytes.len())], 50).is_err());
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + tail, 0);
            prop_assert!(ChunkMessage::decode(&longer, 50).is_err());
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= 1 << bit;
            if let Ok(message) = ChunkMessage::decode(&flipped, 50) {
                prop_assert_eq!(message.encode(), flipped);
            }
        }
    }
}
