//! Chunks that overtook their header: nothing can be checked yet, so what is kept is bounded for each sender.
//!
//! A sender over its bound loses its own oldest chunks, never another's: whoever floods loses only what it sent itself.

use std::collections::{HashMap, VecDeque};

use crate::propagation::ChunkMessage;
use crate::types::{BlockNum, Hash, ValidatorIndex};

/// What is kept for each sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyLimits {
    /// Most chunks.
    pub max_chunks: usize,
    /// Most bytes of chunks.
    pub max_bytes: usize,
}

#[derive(Default)]
struct Sender {
    messages: VecDeque<ChunkMessage>,
    bytes: usize,
}

impl Sender {
    fn keep(&mut self, keep: impl Fn(&ChunkMessage) -> bool) {
        self.messages.retain(keep);
        self.bytes = self.messages.iter().map(|message| message.chunk.bytes.len()).sum();
    }
}

/// See the module.
pub struct Early {
    limits: EarlyLimits,
    senders: HashMap<ValidatorIndex, Sender>,
    dropped: u64,
}

impl Early {
    /// Nothing yet.
    pub fn new(limits: EarlyLimits) -> Self {
        Self { limits, senders: HashMap::new(), dropped: 0 }
    }

    /// Keeps a chunk of a sender in the committee.
    pub fn push(&mut self, from: ValidatorIndex, message: ChunkMessage) {
        let EarlyLimits { max_chunks, max_bytes } = self.limits;
        let sender = self.senders.entry(from).or_default();
        sender.bytes += message.chunk.bytes.len();
        sender.messages.push_back(message);
        while sender.messages.len() > max_chunks || sender.bytes > max_bytes {
            let Some(oldest) = sender.messages.pop_front() else { break };
            sender.bytes -= oldest.chunk.bytes.len();
            self.dropped += 1;
        }
    }

    /// The chunks of a block whose header came, in order of arrival for each sender; senders ascending.
    pub fn take(&mut self, block_hash: &Hash) -> Vec<(ValidatorIndex, ChunkMessage)> {
        let mut taken = Vec::new();
        for (&from, sender) in &mut self.senders {
            let of_block = sender.messages.iter().filter(|message| message.block_hash == *block_hash);
            taken.extend(of_block.map(|message| (from, message.clone())));
            sender.keep(|message| message.block_hash != *block_hash);
        }
        taken.sort_by_key(|(from, _)| *from);
        taken
    }

    /// Forgets the chunks of blocks at or below a final height.
    pub fn forget(&mut self, block_num: BlockNum) {
        self.senders.values_mut().for_each(|sender| sender.keep(|message| message.block_num > block_num));
        self.senders.retain(|_, sender| !sender.messages.is_empty());
    }

    /// Chunks kept.
    pub fn len(&self) -> usize {
        self.senders.values().map(|sender| sender.messages.len()).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Chunks lost to the bounds so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::Chunk;
    use crate::types::{ChainId, ShardId};

    fn message(height: u64, index: u16, bytes: usize) -> ChunkMessage {
        ChunkMessage {
            chain: ChainId(1),
            shard: ShardId(0),
            block_num: BlockNum(height),
            block_hash: Hash([height as u8; 32]),
            chunk: Chunk { index, bytes: vec![0; bytes], proof: vec![] },
        }
    }

    fn early() -> Early {
        Early::new(EarlyLimits { max_chunks: 3, max_bytes: 100 })
    }

    #[test]
    fn chunks_wait_for_their_header() {
        let mut early = early();
        early.push(ValidatorIndex(2), message(1, 2, 5));
        early.push(ValidatorIndex(1), message(1, 1, 5));
        early.push(ValidatorIndex(1), message(2, 1, 5));
        let taken: Vec<_> = early.take(&Hash([1; 32])).into_iter().map(|(from, m)| (from.0, m.chunk.index)).collect();
        assert_eq!(taken, [(1, 1), (2, 2)]);
        assert_eq!(early.take(&Hash([1; 32])), []);
        assert_eq!(early.len(), 1);
    }

    #[test]
    fn a_flood_drops_only_its_own_oldest() {
        let mut early = early();
        early.push(ValidatorIndex(1), message(1, 0, 5));
        for index in 0..10 {
            early.push(ValidatorIndex(2), message(1, index, 5));
        }
        let taken: Vec<_> = early.take(&Hash([1; 32])).into_iter().map(|(from, m)| (from.0, m.chunk.index)).collect();
        assert_eq!(taken, [(1, 0), (2, 7), (2, 8), (2, 9)]);
        assert_eq!(early.dropped(), 7);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut early = early();
        early.push(ValidatorIndex(1), message(1, 0, 60));
        early.push(ValidatorIndex(1), message(1, 1, 60));
        assert_eq!(early.take(&Hash([1; 32])).len(), 1);
        early.push(ValidatorIndex(1), message(1, 2, 101));
        assert!(early.is_empty());
        early.push(ValidatorIndex(1), message(1, 3, 100));
        assert_eq!(early.len(), 1);
    }

    #[test]
    fn final_heights_are_forgotten() {
        let mut early = early();
        early.push(ValidatorIndex(1), message(1, 0, 5));
        early.push(ValidatorIndex(1), message(2, 0, 5));
        early.forget(BlockNum(1));
        assert_eq!((early.len(), early.take(&Hash([2; 32])).len()), (1, 1));
        early.forget(BlockNum(2));
        assert!(early.senders.is_empty());
    }
}
