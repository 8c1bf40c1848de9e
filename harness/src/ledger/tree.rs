//! The hash trees of the ledger: fixed and incremental over the state's buckets, built at once over a block's receipts.
//!
//! ```text
//! node = blake3 keyed by "shardmark/ledger/node/v1", over left || right
//! list = blake3 keyed by "shardmark/ledger/list/v1", over count u64 || top; an odd node at a level's end moves up as it is
//! ```
//!
//! The keys keep nodes, lists and whatever the leaves hash apart. (Chunks have a tree of their own, with proofs, in the
//! kernels; it lives in the wire format, this one in the state.)

use crate::types::Hash;

/// A tag as the key of a blake3 hash, padded with zeros.
pub(crate) const fn key(tag: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let mut i = 0;
    while i < tag.len() {
        key[i] = tag[i];
        i += 1;
    }
    key
}

const NODE: [u8; 32] = key(b"shardmark/ledger/node/v1");
const LIST: [u8; 32] = key(b"shardmark/ledger/list/v1");

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&left.0);
    pair[32..].copy_from_slice(&right.0);
    Hash(blake3::keyed_hash(&NODE, &pair).into())
}

/// The root over leaves in order; of an empty list too.
pub fn list_root(leaves: Vec<Hash>) -> Hash {
    let mut bound = [0; 40];
    bound[..8].copy_from_slice(&(leaves.len() as u64).to_le_bytes());
    let mut level = leaves;
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [l, r] = pair { node(l, r) } else { pair[0] }).collect();
    }
    bound[8..].copy_from_slice(&level.first().copied().unwrap_or_default().0);
    Hash(blake3::keyed_hash(&LIST, &bound).into())
}

/// A complete binary tree over `2^DEPTH` leaves, all nodes in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedTree<const DEPTH: usize> {
    /// Node 1 is the root, the children of node i are 2 i and 2 i + 1; node 0 is unused.
    nodes: Vec<Hash>,
}

/// Nodes of a [`FixedTree`] that new leaves change: each with its place, the root last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update(Vec<(u32, Hash)>);

impl<const DEPTH: usize> FixedTree<DEPTH> {
    /// Number of leaves.
    pub const LEAVES: usize = 1 << DEPTH;

    /// Hashes all leaves.
    ///
    /// # Panics
    ///
    /// Unless there are exactly [`Self::LEAVES`].
    pub fn build(leaves: impl ExactSizeIterator<Item = Hash>) -> Self {
        assert_eq!(leaves.len(), Self::LEAVES);
        let mut nodes = vec![Hash::default(); Self::LEAVES];
        nodes.extend(leaves);
        // Most leaves of a young state are the empty one, and so are most pairs: the same pair is not hashed again.
        let mut last = None;
        for i in (1..Self::LEAVES).rev() {
            let pair = (nodes[2 * i], nodes[2 * i + 1]);
            nodes[i] = match last {
                Some((same, hash)) if same == pair => hash,
                _ => node(&pair.0, &pair.1),
            };
            last = Some((pair, nodes[i]));
        }
        Self { nodes }
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.nodes[1]
    }

    /// What changes when these leaves do; the tree stays as it is. `leaves` are in ascending order, without repetition.
    pub fn updated(&self, leaves: &[(u16, Hash)]) -> Update {
        debug_assert!(leaves.is_sorted_by(|a, b| a.0 < b.0));
        let mut changed: Vec<(u32, Hash)> =
            leaves.iter().map(|&(leaf, hash)| (Self::LEAVES as u32 + u32::from(leaf), hash)).collect();
        // The changed nodes of the level below, then their parents behind them, up to the root.
        let mut level = 0..changed.len();
        for _ in 0..DEPTH {
            let mut at = level.start;
            while at < level.end {
                let (place, hash) = changed[at];
                let parent = match changed[at + 1..level.end].first() {
                    Some((next, right)) if *next == place ^ 1 => {
                        at += 1;
                        node(&hash, right)
                    }
                    _ if place & 1 == 0 => node(&hash, &self.nodes[place as usize ^ 1]),
                    _ => node(&self.nodes[place as usize ^ 1], &hash),
                };
                at += 1;
                changed.push((place / 2, parent));
            }
            level = level.end..changed.len();
        }
        Update(changed)
    }

    /// The root after an update made from this tree.
    pub fn root_after(&self, update: &Update) -> Hash {
        update.0.last().map_or(self.root(), |&(_, hash)| hash)
    }

    /// Takes over an update made from this tree.
    pub fn apply(&mut self, update: Update) {
        for (place, hash) in update.0 {
            self.nodes[place as usize] = hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn leaf(seed: u64) -> Hash {
        Hash(*blake3::hash(&seed.to_le_bytes()).as_bytes())
    }

    #[test]
    fn lists_of_different_length_or_order_have_different_roots() {
        let (a, b) = (leaf(1), leaf(2));
        let lists = [
            vec![],
            vec![Hash::default()],
            vec![a],
            vec![a, a],
            vec![a, b],
            vec![b, a],
            vec![a, b, b],
            vec![node(&a, &b)],
        ];
        let roots: std::collections::BTreeSet<_> = lists.iter().map(|list| list_root(list.clone())).collect();
        assert_eq!(roots.len(), lists.len());
    }

    proptest! {
        #[test]
        fn an_updated_tree_equals_one_built_anew(rounds in prop::collection::vec(prop::collection::btree_map(0u16..32, any::<u64>(), 0..40), 1..6)) {
            let mut leaves = vec![Hash::default(); 32];
            let mut tree = FixedTree::<5>::build(leaves.clone().into_iter());
            for round in rounds {
                let changed: BTreeMap<u16, Hash> = round.into_iter().map(|(i, seed)| (i, leaf(seed))).collect();
                for (&i, &hash) in &changed {
                    leaves[usize::from(i)] = hash;
                }
                let update = tree.updated(&changed.into_iter().collect::<Vec<_>>());
                let naive = FixedTree::<5>::build(leaves.clone().into_iter());
                prop_assert_eq!(tree.root_after(&update), naive.root());
                tree.apply(update);
                prop_assert_eq!(&tree, &naive);
            }
        }
    }
}
