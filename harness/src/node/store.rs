//! Where final blocks and certified bodies are read back from: the journal on a disk, or memory in a simulation.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::block::Header;
use crate::fbft::certificate::Certificate;
use crate::types::{BlockNum, Hash};

/// A block with its proof of finality.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalBlock {
    /// The header.
    pub header: Header,
    /// Its commit certificate.
    pub seal: Certificate,
    /// The encoded body.
    pub body: Vec<u8>,
}

/// Read access to what was persisted.
pub trait BlockStore: Send {
    /// The final block at a height.
    fn final_block(&self, block_num: BlockNum) -> Option<FinalBlock>;
    /// The body of a block, final or not, that was persisted.
    fn body(&self, block_hash: &Hash) -> Option<Vec<u8>>;
}

impl<T: BlockStore> BlockStore for std::sync::Arc<std::sync::Mutex<T>> {
    fn final_block(&self, block_num: BlockNum) -> Option<FinalBlock> {
        self.lock().ok()?.final_block(block_num)
    }

    fn body(&self, block_hash: &Hash) -> Option<Vec<u8>> {
        self.lock().ok()?.body(block_hash)
    }
}
