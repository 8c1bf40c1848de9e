//! The commitment to a block's chunks: a binary blake3 tree.
//!
//! ```text
//! leaf(i) = blake3(0x00 || i as u32, little-endian || chunk i)      i in 0..leaves
//! node    = blake3(0x01 || left || right)
//! absent  = blake3(0x02)                                            fills the leaves up to the next power of two
//! root    = blake3(0x03 || leaves as u32, little-endian || top)     top: the one node that is left
//! ```
//!
//! The first byte keeps the four kinds apart, the index binds a chunk to its place, and the root binds the number of
//! leaves, so no chunk has two places and no tree is a part of another. A proof is the siblings from the leaf upwards,
//! exactly `ceil(log2(leaves))` of them.

/// A blake3 hash.
pub type Hash = [u8; 32];

/// Most leaves of one tree: chunk indices are `u16`.
pub const MAX_LEAVES: usize = 1 << 16;

/// Why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree has 1 to {MAX_LEAVES} leaves, not {0}")]
pub struct LeafCount(pub usize);

/// Every node over one set of chunks. The leaves and their number determine the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    leaves: usize,
    /// Leaves first, each further level half as long, the top alone in the last.
    levels: Vec<Vec<Hash>>,
}

/// The siblings of one leaf and its ancestors, from the leaf upwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proof {
    /// Hashes, [`proof_len`] of them in a proof that verifies.
    pub siblings: Vec<Hash>,
}

/// Siblings in a proof for a tree of `leaves` leaves: what a decoder bounds its allocation by.
pub fn proof_len(leaves: usize) -> usize {
    // The power of two up to which a tree is filled; 0 leaves have no proof and count as one.
    leaves.max(1).checked_next_power_of_two().map_or(usize::MAX, |width| width.trailing_zeros() as usize)
}

/// The hash of one chunk.
pub(super) fn leaf(index: u32, chunk: &[u8]) -> Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(&[0x00]).update(&index.to_le_bytes()).update(chunk);
    hash.finalize().into()
}

/// The hash over two.
pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(&[0x01]).update(left).update(right);
    hash.finalize().into()
}

fn bind(leaves: u32, top: &Hash) -> Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(&[0x03]).update(&leaves.to_le_bytes()).update(top);
    hash.finalize().into()
}

/// The count as it is hashed, if a tree may have it.
fn leaf_count(leaves: usize) -> Result<u32, LeafCount> {
    u32::try_from(leaves).ok().filter(|_| (1..=MAX_LEAVES).contains(&leaves)).ok_or(LeafCount(leaves))
}

impl Tree {
    /// Hashes all chunks, in order.
    ///
    /// # Errors
    ///
    /// [`LeafCount`] for no chunks or more than [`MAX_LEAVES`].
    pub fn build<C: AsRef<[u8]>>(chunks: &[C]) -> Result<Self, LeafCount> {
        leaf_count(chunks.len())?;
        let leaves = (0u32..).zip(chunks).map(|(index, chunk)| leaf(index, chunk.as_ref())).collect();
        Self::over(leaves, |level| level.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect())
    }

    /// The tree over hashes of chunks. `nodes` hashes a level's pairs.
    ///
    /// # Errors
    ///
    /// As [`Tree::build`].
    pub(super) fn over(leaves: Vec<Hash>, nodes: impl Fn(&[Hash]) -> Vec<Hash>) -> Result<Self, LeafCount> {
        leaf_count(leaves.len())?;
        let (count, mut level) = (leaves.len(), leaves);
        level.resize(count.next_power_of_two(), blake3::hash(&[0x02]).into());
        let mut levels = Vec::with_capacity(proof_len(count) + 1);
        while level.len() > 1 {
            let next = nodes(&level);
            levels.push(std::mem::replace(&mut level, next));
        }
        levels.push(level);
        Ok(Self { leaves: count, levels })
    }

    /// The hashes of the chunks, in order.
    pub fn leaf_hashes(&self) -> &[Hash] {
        self.levels.first().map_or(&[], |level| &level[..self.leaves])
    }

    /// Chunks under the root.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let top = self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default();
        bind(u32::try_from(self.leaves).unwrap_or_default(), &top)
    }

    /// The proof for chunk `index`; `None` if there is no such chunk.
    pub fn proof(&self, index: usize) -> Option<Proof> {
        if index >= self.leaves {
            return None;
        }
        let below_top = &self.levels[..self.levels.len() - 1];
        let siblings = below_top.iter().enumerate().map(|(height, level)| level[(index >> height) ^ 1]).collect();
        Some(Proof { siblings })
    }
}

/// Whether `chunk` is number `index` of the `leaves` chunks under `root`. False for any proof of another length.
pub fn verify(root: &Hash, leaves: usize, index: usize, chunk: &[u8], proof: &Proof) -> bool {
    let (Ok(count), Ok(position)) = (leaf_count(leaves), u32::try_from(index)) else { return false };
    if index >= leaves || proof.siblings.len() != proof_len(leaves) {
        return false;
    }
    let top = proof.siblings.iter().enumerate().fold(leaf(position, chunk), |hash, (height, sibling)| {
        if (index >> height) & 1 == 0 { node(&hash, sibling) } else { node(sibling, &hash) }
    });
    bind(count, &top) == *root
}

/// Whether `top` is the one node below the root of a tree of `leaves` leaves.
pub(super) fn is_root(root: &Hash, leaves: usize, top: &Hash) -> bool {
    leaf_count(leaves).is_ok_and(|count| bind(count, top) == *root)
}
