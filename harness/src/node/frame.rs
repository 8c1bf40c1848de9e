//! What travels in a frame of each lane. Decoding is strict: one encoding a value, nothing left over.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::beacon::VdfMessage;
use crate::fbft::message::Envelope;
use crate::node::store::FinalBlock;
use crate::types::{BlockNum, ChainId, Hash, ShardId};

/// Lane `consensus`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[expect(clippy::large_enum_variant, reason = "it lives from a frame to the next line only")]
pub enum Urgent {
    /// A message of the consensus protocol.
    Fbft(Envelope),
    /// A finished delay function.
    Vdf(VdfMessage),
}

/// Lane `transactions`: encoded transactions on their way to a leader.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Forward {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// As many as the frame holds.
    pub transactions: Vec<Vec<u8>>,
}

/// Lane `fetch`: what a validator missed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Fetch {
    /// Asks for final blocks from this height on.
    Blocks {
        /// The first height wanted.
        from: BlockNum,
    },
    /// Consecutive final blocks from the height asked for; none if it is not final here.
    BlocksAre(Vec<FinalBlock>),
    /// Asks for the body of a block.
    Body {
        /// Hash of its header.
        block_hash: Hash,
    },
    /// The body asked for, or nothing.
    BodyIs {
        /// Hash of its header.
        block_hash: Hash,
        /// The encoded body.
        body: Option<Vec<u8>>,
    },
}
