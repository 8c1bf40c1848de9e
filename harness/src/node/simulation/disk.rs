//! A journal in memory: what a simulated validator finds again after a crash. Holds the same records as the file, in order.

use std::collections::HashMap;

use crate::block::Header;
use crate::fbft::SafetyRecord;
use crate::fbft::certificate::Certificate;
use crate::node::journal::{Record, Recovered};
use crate::node::store::{BlockStore, FinalBlock};
use crate::types::{BlockNum, Hash};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Everything that was ever written.
    pub records: Vec<Record>,
    bodies: HashMap<Hash, usize>,
    finals: Vec<(Header, Certificate)>,
    safety: Option<SafetyRecord>,
}

impl Disk {
    /// Writes records; those behind a crash never get here.
    ///
    /// # Panics
    ///
    /// If a final block leaves a gap or comes without its body: the file would refuse it.
    pub fn append(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            match &record {
                Record::Body { block_hash, .. } => {
                    self.bodies.insert(*block_hash, self.records.len());
                }
                Record::Final { header, seal } => {
                    assert_eq!(header.block_num.0, self.height() + 1, "final blocks are not consecutive");
                    assert!(self.bodies.contains_key(&header.hash()), "a final block without its body");
                    self.finals.push((header.clone(), seal.clone()));
                }
                Record::Safety(safety) => self.safety = Some(safety.clone()),
            }
            self.records.push(record);
        }
    }

    /// What a restart begins with.
    pub fn recovered(&self) -> Recovered {
        Recovered { blocks: self.finals.clone(), safety: self.safety.clone(), torn_bytes: 0 }
    }

    /// The last final height.
    pub fn height(&self) -> u64 {
        self.finals.len() as u64
    }

    /// The last final header.
    pub fn tip(&self) -> Option<&Header> {
        self.finals.last().map(|(header, _)| header)
    }

    /// The last safety record.
    pub fn safety(&self) -> Option<&SafetyRecord> {
        self.safety.as_ref()
    }

    /// Whether a body is durable.
    pub fn holds(&self, block_hash: &Hash) -> bool {
        self.bodies.contains_key(block_hash)
    }
}

impl BlockStore for Disk {
    fn final_block(&self, block_num: BlockNum) -> Option<FinalBlock> {
        let index = usize::try_from(block_num.0.checked_sub(1)?).ok()?;
        let (header, seal) = self.finals.get(index)?.clone();
        let body = self.body(&header.hash())?;
        Some(FinalBlock { header, seal, body })
    }

    fn body(&self, block_hash: &Hash) -> Option<Vec<u8>> {
        match &self.records[*self.bodies.get(block_hash)?] {
            Record::Body { body, .. } => Some(body.clone()),
            _ => None,
        }
    }
}
