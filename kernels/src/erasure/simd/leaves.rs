//! Leaves and nodes of the chunk tree ([`crate::erasure::merkle`]) in lanes, and proofs.
//!
//! All leaves of a tree are equally long, so they fall into the same hash chunks; each (hash chunk, leaf) is a string of its
//! own for a lane of [`Hasher`], and lanes stay full even where leaves are few. Values lie hash chunk after hash chunk, in
//! each one leaf after leaf, so a range of them is what one thread, or one byte column, gives. A leaf's 5 bytes of prefix shift
//! its blocks against the row: the first one is put together apart, all others are read where they lie, and hash chunk
//! `c` covers the row from `1024 c - 5` on.
//!
//! The few strings that are left where a batch does not fill half the lanes go to crate blake3 one by one.

use std::cell::Cell;
use std::ops::Range;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::hash::{BLOCK, CHUNK, CHUNK_END, CHUNK_START, Form, Hasher, LANES, PARENT, Place, ROOT, Value};
use crate::erasure::merkle::{self, Hash, Proof};

/// What stands before the row in a leaf: its kind and its index.
const PREFIX: usize = 5;
/// Up to this many strings, one after the other takes no longer than all of them in lanes.
const ONE_BY_ONE: usize = 3;

/// A byte column of some chunks of a tree.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    /// Index in the tree, and the column's bytes.
    pub rows: &'a [(u32, &'a [u8])],
    /// Where in a chunk the column starts; at least 5 bytes before the multiple of 1024 of the hash chunks asked for.
    pub start: usize,
    /// Bytes of a whole chunk.
    pub chunk_bytes: usize,
}

/// Hash chunks of the leaf of a chunk of so many bytes; at least 1.
pub fn hash_chunks(chunk_bytes: usize) -> usize {
    (chunk_bytes + PREFIX).div_ceil(CHUNK)
}

/// Quotient and remainder. All chunks of a body have fewer than 2^32 bytes, and 32 bits are divided several times faster.
fn divide(number: usize, by: usize) -> (usize, usize) {
    debug_assert!(u32::try_from(number).is_ok());
    let (number, by) = (number as u32, (by as u32).max(1));
    ((number / by) as usize, (number % by) as usize)
}

impl Column<'_> {
    /// The bytes of hash chunk `chunk` that are in the row, `bytes` with the prefix.
    fn body(&self, row: usize, chunk: usize, bytes: usize) -> &[u8] {
        match chunk {
            0 => &self.rows[row].1[..bytes - PREFIX],
            _ => &self.rows[row].1[chunk * CHUNK - PREFIX - self.start..][..bytes],
        }
    }

    fn prefix(&self, row: usize) -> [u8; PREFIX] {
        let [a, b, c, d] = self.rows[row].0.to_le_bytes();
        [0, a, b, c, d]
    }

    /// The value of one hash chunk.
    fn single(&self, row: usize, chunk: usize, bytes: usize) -> Value {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset((chunk * CHUNK) as u64);
        if chunk == 0 {
            hasher.update(&self.prefix(row));
        }
        hasher.update(self.body(row, chunk, bytes));
        if hash_chunks(self.chunk_bytes) == 1 { hasher.finalize().into() } else { hasher.finalize_non_root() }
    }

    /// Where a hash chunk's blocks are: in the row, or put together where they are not there as such.
    fn place(&self, row: usize, chunk: usize, bytes: usize, [first, second]: &mut [[u8; BLOCK]; 2]) -> Place {
        let body = self.body(row, chunk, bytes);
        let prefix = bytes - body.len();
        let last = (bytes - 1) / BLOCK;
        let in_row = |block: usize| body[(block * BLOCK).saturating_sub(prefix)..].as_ptr();
        let middle = if last > 1 { in_row(1) } else { body.as_ptr() };
        let mut place = Place { first: body.as_ptr(), middle, last: in_row(last), counter: chunk as u64 };
        if chunk == 0 {
            let head = body.len().min(BLOCK - PREFIX);
            first[..PREFIX].copy_from_slice(&self.prefix(row));
            first[PREFIX..PREFIX + head].copy_from_slice(&body[..head]);
            place.first = first.as_ptr();
            if last == 0 {
                place.last = place.first;
                return place;
            }
        }
        let tail = bytes - last * BLOCK;
        if tail < BLOCK {
            second[..tail].copy_from_slice(&body[body.len() - tail..]);
            place.last = second.as_ptr();
        }
        place
    }
}

impl Hasher {
    /// The values of hash chunks, those of the first one of them for all rows first.
    ///
    /// Lanes go along a row as far as the chunks reach, which memory likes best, and then on to the next row.
    pub fn chunks(&self, column: &Column<'_>, chunks: Range<usize>, values: &mut [Value]) {
        let (rows, last) = (column.rows.len(), hash_chunks(column.chunk_bytes) - 1);
        // Those of full length, then that of what is left.
        let rest = column.chunk_bytes + PREFIX - last * CHUNK;
        let root = if last == 0 { ROOT } else { 0 };
        for (run, bytes) in [(chunks.start..chunks.end.min(last), CHUNK), (chunks.start.max(last)..chunks.end, rest)] {
            let form = Form {
                blocks: bytes.div_ceil(BLOCK),
                last_bytes: (bytes - 1) % BLOCK + 1,
                first: CHUNK_START,
                last: CHUNK_END | root,
            };
            let of = |job: usize| {
                let (row, chunk) = divide(job, run.len());
                (row, run.start + chunk)
            };
            self.batches(
                run.len() * rows,
                &form,
                |job, scratch| {
                    let (row, chunk) = of(job);
                    column.place(row, chunk, bytes, scratch)
                },
                |job| {
                    let (row, chunk) = of(job);
                    column.single(row, chunk, bytes)
                },
                |job, value| {
                    let (row, chunk) = of(job);
                    values[(chunk - chunks.start) * rows + row] = value;
                },
            );
        }
    }

    /// From the values of all hash chunks of `rows` leaves, as [`Hasher::chunks`] gives them, to those of the leaves, in place.
    pub fn leaves(&self, values: &mut Vec<Value>, rows: usize) {
        while values.len() > rows {
            let count = values.len() / rows;
            let (pairs, root) = (count / 2, count == 2);
            let form = Form { blocks: 1, last_bytes: BLOCK, first: PARENT, last: if root { ROOT } else { 0 } };
            // No pair is before the place of its parent, and a batch is read before its parents are written.
            let cells = Cell::from_mut(&mut values[..]).as_slice_of_cells();
            let pair = |job: usize| {
                let left = job + divide(job, rows).0 * rows;
                (cells[left].get(), cells[left + rows].get())
            };
            self.batches(
                pairs * rows,
                &form,
                |job, [block, _]| {
                    let (left, right) = pair(job);
                    block[..32].copy_from_slice(&left);
                    block[32..].copy_from_slice(&right);
                    Place { first: block.as_ptr(), middle: block.as_ptr(), last: block.as_ptr(), counter: 0 }
                },
                |job| {
                    let (left, right) = pair(job);
                    match root {
                        true => merge_subtrees_root(&left, &right, Mode::Hash).into(),
                        false => merge_subtrees_non_root(&left, &right, Mode::Hash),
                    }
                },
                |job, value| cells[job].set(value),
            );
            // The odd one waits a level.
            values.copy_within(2 * pairs * rows.., pairs * rows);
            values.truncate(count.div_ceil(2) * rows);
        }
    }

    /// The nodes of the chunk tree over pairs of hashes.
    pub fn nodes<'a>(&self, count: usize, pair: impl Fn(usize) -> (&'a Hash, &'a Hash)) -> Vec<Hash> {
        let form = Form { blocks: 2, last_bytes: 1, first: CHUNK_START, last: CHUNK_END | ROOT };
        let mut nodes = vec![Hash::default(); count];
        self.batches(
            count,
            &form,
            |job, [first, last]| {
                let (left, right) = pair(job);
                first[0] = 1;
                first[1..33].copy_from_slice(left);
                first[33..].copy_from_slice(&right[..31]);
                last[0] = right[31];
                Place { first: first.as_ptr(), middle: first.as_ptr(), last: last.as_ptr(), counter: 0 }
            },
            |job| {
                let (left, right) = pair(job);
                merkle::node(left, right)
            },
            |job, value| nodes[job] = value,
        );
        nodes
    }

    /// Strings of one form, as many at once as there are lanes. `place` may put blocks into a lane's scratch.
    fn batches(
        &self,
        count: usize,
        form: &Form,
        place: impl Fn(usize, &mut [[u8; BLOCK]; 2]) -> Place,
        single: impl Fn(usize) -> Value,
        mut give: impl FnMut(usize, Value),
    ) {
        let mut scratch = [[[0; BLOCK]; 2]; LANES];
        let mut batch = [[0; 32]; LANES];
        for start in (0..count).step_by(LANES) {
            let left = (count - start).min(LANES);
            if left <= ONE_BY_ONE {
                (start..count).for_each(|job| give(job, single(job)));
                continue;
            }
            // Lanes without a string repeat the last one.
            let mut jobs = (start..start + LANES).map(|job| job.min(start + left - 1));
            let places = scratch.each_mut().map(|scratch| place(jobs.next().unwrap_or(start), scratch));
            // SAFETY: `place` gives addresses in slices as long as the form says, which outlive the call.
            unsafe { self.hash(&places, form, &mut batch) };
            (start..).zip(&batch[..left]).for_each(|(job, value)| give(job, *value));
        }
    }

    /// The first of some leaves whose proof does not show it under the root of a tree of `leaves` leaves.
    ///
    /// Each tells its index and its hash. Where two paths meet they have the same node if both are right, which is
    /// hashed once.
    pub fn first_unproven(&self, root: &Hash, leaves: usize, claims: &[(usize, Hash, &Proof)]) -> Option<usize> {
        let height = merkle::proof_len(leaves);
        let fits = |index: usize, proof: &Proof| index < leaves && proof.siblings.len() == height;
        let right: Vec<bool> = claims.iter().map(|(index, _, proof)| fits(*index, proof)).collect();
        let mut hashes: Vec<Hash> = claims.iter().map(|(_, leaf, _)| *leaf).collect();
        for level in 0..height {
            let mut pairs: Vec<(&Hash, &Hash)> = Vec::with_capacity(claims.len());
            // For each node of the next level the last pair that claims to be its children; for each claim its pair.
            let mut at: Vec<Option<usize>> = vec![None; leaves.next_power_of_two() >> (level + 1)];
            let mut of = vec![0; claims.len()];
            for (claim, (index, _, proof)) in claims.iter().enumerate().filter(|(claim, _)| right[*claim]) {
                let (own, sibling) = (&hashes[claim], &proof.siblings[level]);
                let pair = if index >> level & 1 == 0 { (own, sibling) } else { (sibling, own) };
                let node = &mut at[index >> (level + 1)];
                of[claim] = match *node {
                    Some(known) if pairs[known] == pair => known,
                    _ => {
                        pairs.push(pair);
                        pairs.len() - 1
                    }
                };
                *node = Some(of[claim]);
            }
            let nodes = self.nodes(pairs.len(), |i| pairs[i]);
            hashes = (0..claims.len()).map(|claim| nodes.get(of[claim]).copied().unwrap_or_default()).collect();
        }
        let mut top: Option<Hash> = None;
        let mut is_top = |hash: &Hash| {
            let found = top.as_ref() == Some(hash) || merkle::is_root(root, leaves, hash);
            if found {
                top = Some(*hash);
            }
            found
        };
        (0..claims.len()).find(|claim| !right[*claim] || !is_top(&hashes[*claim]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk as a peer sends it.
    type Sent = (usize, Vec<u8>, Proof);

    use crate::erasure::merkle::{Tree, verify};

    fn bytes(len: usize, salt: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + salt * 31 + (i >> 8) * 13) as u8).collect()
    }

    fn hashers() -> impl Iterator<Item = Hasher> {
        [Some(super::super::hash::tests::model()), Hasher::detect()].into_iter().flatten()
    }

    /// Leaf hashes, with the chunks cut into columns of so many hash chunks, and levels above in two parts.
    fn leaves(hasher: &Hasher, chunks: &[Vec<u8>], width: usize) -> Vec<Hash> {
        let (rows, chunk_bytes) = (chunks.len(), chunks[0].len());
        let count = hash_chunks(chunk_bytes);
        let mut values = vec![[0; 32]; count * rows];
        for (first, values) in (0..count).step_by(width).zip(values.chunks_mut(width * rows)) {
            let end = count.min(first + width);
            let start = (first * CHUNK).saturating_sub(BLOCK);
            let bytes = start..chunk_bytes.min(end * CHUNK);
            let own: Vec<(u32, &[u8])> = chunks.iter().zip(0..).map(|(row, i)| (i, &row[bytes.clone()])).collect();
            hasher.chunks(&Column { rows: &own, start, chunk_bytes }, first..end, values);
        }
        hasher.leaves(&mut values, rows);
        values
    }

    fn equals_the_tree(hasher: &Hasher, rows: usize, chunk_bytes: usize, width: usize) {
        let chunks: Vec<Vec<u8>> = (0..rows).map(|row| bytes(chunk_bytes, row)).collect();
        let want = Tree::build(&chunks).unwrap();
        let leaves = leaves(hasher, &chunks, width);
        assert_eq!(leaves, want.leaf_hashes(), "{rows} rows of {chunk_bytes} bytes, {width} at once");
        let nodes = |level: &[Hash]| hasher.nodes(level.len() / 2, |i| (&level[2 * i], &level[2 * i + 1]));
        assert_eq!(Tree::over(leaves, nodes).unwrap(), want);
    }

    #[test]
    fn leaves_of_every_length_equal_the_crates() {
        let Some(hasher) = Hasher::detect() else { return };
        for chunk_bytes in 1..=5000 {
            equals_the_tree(&hasher, 3 + chunk_bytes % 7, chunk_bytes, 1 + chunk_bytes % 3);
        }
    }

    #[test]
    fn any_number_of_leaves_and_columns_gives_the_crates_tree() {
        for hasher in hashers() {
            for rows in (1..=40).chain([64, 65, 255, 256, 257]) {
                for chunk_bytes in [1, 59, 1019, 1020, 3000] {
                    equals_the_tree(&hasher, rows, chunk_bytes, 1);
                }
            }
            for (chunk_bytes, width) in [(100_000, 4), (100_001, 1), (65_531, 64), (65_532, 2), (1 << 20, 32)] {
                for rows in [1, 2, 3, 14] {
                    equals_the_tree(&hasher, rows, chunk_bytes, width);
                }
            }
        }
    }

    #[test]
    fn proofs_are_judged_as_one_by_one() {
        for hasher in hashers() {
            for leaves in [1, 2, 3, 7, 16, 33] {
                let chunks: Vec<Vec<u8>> = (0..leaves).map(|row| bytes(40, row)).collect();
                let tree = Tree::build(&chunks).unwrap();
                let proofs: Vec<Proof> = (0..leaves).map(|i| tree.proof(i).unwrap()).collect();
                let judge = |root: &Hash, claims: &[(usize, Vec<u8>, Proof)]| {
                    let hash = |index: usize, chunk: &[u8]| merkle::leaf(index as u32, chunk);
                    let hashed: Vec<_> = claims.iter().map(|(i, chunk, proof)| (*i, hash(*i, chunk), proof)).collect();
                    let want = claims.iter().position(|(i, chunk, proof)| !verify(root, leaves, *i, chunk, proof));
                    assert_eq!(hasher.first_unproven(root, leaves, &hashed), want, "{leaves}");
                    want
                };
                let good: Vec<(usize, Vec<u8>, Proof)> =
                    (0..leaves).rev().map(|i| (i, chunks[i].clone(), proofs[i].clone())).collect();
                assert_eq!(judge(&tree.root(), &good), None);
                assert_eq!(judge(&tree.root(), &[]), None);
                assert_eq!(judge(&[0; 32], &good), Some(0));
                for at in 0..leaves {
                    let spoiled = |change: &dyn Fn(&mut Sent)| {
                        let mut claims = good.clone();
                        change(&mut claims[at]);
                        judge(&tree.root(), &claims)
                    };
                    assert_eq!(spoiled(&|claim| claim.1[3] ^= 1), Some(at));
                    assert_eq!(spoiled(&|claim| claim.2.siblings.push([0; 32])), Some(at));
                    assert_eq!(spoiled(&|claim| claim.0 = leaves), Some(at));
                    for level in 0..merkle::proof_len(leaves) {
                        assert_eq!(spoiled(&|claim| claim.2.siblings[level][0] ^= 1), Some(at));
                        assert_eq!(spoiled(&|claim| claim.2.siblings.truncate(level)), Some(at));
                    }
                }
            }
        }
    }
}
