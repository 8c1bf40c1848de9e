//! Who may vote: validators, their slots (BLS keys) and what a quorum is.

use std::ops::Range;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::fbft::bitmap::SignerBitmap;
use crate::types::{BlockNum, ChainId, PublicKeyBytes, ShardId, Slot, ValidatorIndex, ViewId};

/// One shard's committee. Each slot has voting power 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    chain: ChainId,
    shard: ShardId,
    keys: Vec<PublicKeyBytes>,
    /// First slot of each validator, and one past the last slot at the end.
    bounds: Vec<u16>,
    /// A planted fault: votes that a quorum may lack.
    #[cfg(test)]
    missing: u64,
}

/// How a validator with several keys votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Votes {
    /// One message per key.
    PerKey,
    /// One message per validator: all its slots in the bitmap, one aggregated signature.
    PerValidator,
}

impl Committee {
    /// `keys[v]` are the keys of validator `v`. Possession of each was proven to whoever calls this.
    ///
    /// # Errors
    ///
    /// No validator, a validator without keys, or more than 65,535 slots.
    pub fn new(chain: ChainId, shard: ShardId, keys: Vec<Vec<PublicKeyBytes>>) -> Result<Self, String> {
        if keys.is_empty() || keys.iter().any(Vec::is_empty) {
            return Err("a committee needs at least one validator and every validator at least one key".into());
        }
        let mut bounds = vec![0u16];
        for own in &keys {
            let next = usize::from(bounds[bounds.len() - 1]) + own.len();
            bounds.push(u16::try_from(next).map_err(|_| "a committee has at most 65535 slots".to_owned())?);
        }
        Ok(Self {
            chain,
            shard,
            keys: keys.into_iter().flatten().collect(),
            bounds,
            #[cfg(test)]
            missing: 0,
        })
    }

    /// The same committee with a planted fault: one vote less counts as a quorum.
    #[cfg(test)]
    pub(crate) fn with_quorum_minus_one(mut self) -> Self {
        self.missing = 1;
        self
    }

    /// The network.
    pub fn chain(&self) -> ChainId {
        self.chain
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Number of validators.
    pub fn validators(&self) -> u16 {
        (self.bounds.len() - 1) as u16
    }

    /// Number of slots, which is the total voting power.
    pub fn slots(&self) -> u16 {
        self.bounds[self.bounds.len() - 1]
    }

    /// The public key of each slot.
    pub fn keys(&self) -> &[PublicKeyBytes] {
        &self.keys
    }

    /// The slots of one validator; empty for an index beyond the committee.
    pub fn slots_of(&self, validator: ValidatorIndex) -> Range<u16> {
        let v = usize::from(validator.0);
        if v + 1 < self.bounds.len() { self.bounds[v]..self.bounds[v + 1] } else { 0..0 }
    }

    /// All slots of one validator as a bitmap.
    pub fn bitmap_of(&self, validator: ValidatorIndex) -> SignerBitmap {
        SignerBitmap::of(self.slots(), self.slots_of(validator).map(Slot))
    }

    /// The validator that holds a slot.
    pub fn owner(&self, slot: Slot) -> Option<ValidatorIndex> {
        (slot.0 < self.slots()).then(|| ValidatorIndex((self.bounds.partition_point(|&b| b <= slot.0) - 1) as u16))
    }

    /// Whether this much voting power is a quorum: strictly above 2/3 of the total.
    pub fn is_quorum(&self, power: u64) -> bool {
        #[cfg(test)]
        let power = power + self.missing;
        3 * power > 2 * u64::from(self.slots())
    }

    /// Whether this much voting power must hold an honest validator: strictly above 1/3 can not all be faulty.
    pub fn has_honest(&self, power: u64) -> bool {
        3 * power > u64::from(self.slots())
    }

    /// Faulty validators tolerated when all hold the same number of slots: the largest f with 3f < n.
    pub fn faults(&self) -> u16 {
        (self.validators() - 1) / 3
    }

    /// The leader of a view, given the leader of view 0 of that height.
    pub fn leader(&self, base: ValidatorIndex, view: ViewId) -> ValidatorIndex {
        let n = u64::from(self.validators());
        ValidatorIndex(((u64::from(base.0) + view.0 % n) % n) as u16)
    }

    /// The leader of view 0 at `block_num`: the parent's proposer stays, and every `rotation_blocks` the next one follows.
    /// Genesis counts as proposed by validator 0.
    pub fn base_leader(
        &self,
        block_num: BlockNum,
        parent_proposer: ValidatorIndex,
        rotation_blocks: u64,
    ) -> ValidatorIndex {
        let rotate = block_num.0 > 1 && rotation_blocks > 0 && block_num.0.is_multiple_of(rotation_blocks);
        self.leader(parent_proposer, ViewId(u64::from(rotate)))
    }
}
