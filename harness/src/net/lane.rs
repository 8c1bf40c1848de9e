//! The four lanes between two validators, and a value for each of them.

use std::ops::{Index, IndexMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A class of traffic: one QUIC stream a direction and peer. Declared from most to least urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Votes, certificates, announcements: small, and what everybody waits for.
    Consensus,
    /// Block bodies and their chunks: bulk.
    Chunks,
    /// Certified blocks that a validator missed, asked for and answered.
    Fetch,
    /// Transactions on their way to a leader: bulk that can wait.
    Transactions,
}

impl Lane {
    /// Every lane, most urgent first.
    pub const ALL: [Self; 4] = [Self::Consensus, Self::Chunks, Self::Fetch, Self::Transactions];

    /// The byte that opens the lane's stream.
    pub(super) fn tag(self) -> u8 {
        self as u8
    }

    /// The lane whose stream opens with `tag`.
    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.get(usize::from(tag)).copied()
    }

    /// QUIC stream priority: data of a higher one leaves first.
    pub(super) fn priority(self) -> i32 {
        Self::ALL.len() as i32 - self as i32
    }
}

/// One `T` for each lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PerLane<T> {
    /// [`Lane::Consensus`]
    pub consensus: T,
    /// [`Lane::Chunks`]
    pub chunks: T,
    /// [`Lane::Fetch`]
    pub fetch: T,
    /// [`Lane::Transactions`]
    pub transactions: T,
}

impl<T> PerLane<T> {
    /// Makes each value, most urgent lane first.
    pub fn from_fn(mut make: impl FnMut(Lane) -> T) -> Self {
        Self {
            consensus: make(Lane::Consensus),
            chunks: make(Lane::Chunks),
            fetch: make(Lane::Fetch),
            transactions: make(Lane::Transactions),
        }
    }
}

impl<T> Index<Lane> for PerLane<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Consensus => &self.consensus,
            Lane::Chunks => &self.chunks,
            Lane::Fetch => &self.fetch,
            Lane::Transactions => &self.transactions,
        }
    }
}

impl<T> IndexMut<Lane> for PerLane<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Consensus => &mut self.consensus,
            Lane::Chunks => &mut self.chunks,
            Lane::Fetch => &mut self.fetch,
            Lane::Transactions => &mut self.transactions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_lanes_and_nothing_else() {
        for lane in Lane::ALL {
            assert_eq!(Lane::from_tag(lane.tag()), Some(lane));
        }
        for tag in 4..=255 {
            assert_eq!(Lane::from_tag(tag), None);
        }
    }

    #[test]
    fn the_most_urgent_lane_has_the_highest_priority() {
        assert!(Lane::ALL.is_sorted_by(|a, b| a.priority() > b.priority()));
    }
}
