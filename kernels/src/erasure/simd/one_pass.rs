//! Both kernels that commit, in one pass: a byte column of all chunks is restored, encoded and hashed while it is in cache.
//!
//! Rows that are computed (missing data, parity) are made in a scratch as wide as the column, hashed there, and copied to where
//! they are wanted, if anywhere: a receiver needs no parity, and never holds all of it. Columns and threads are cut by hash chunks
//! ([`super::leaves`]), each of which begins 5 bytes before a multiple of 1024. So a column keeps the end of the one before it;
//! and a thread, which has none, computes that end once more.
//!
//! A receiver hashes each chunk once. It hashes those that arrived to verify their proofs. The data being computed from
//! `k` of these, encoding gives the same `k` again, so only the others are left to hash.

use std::ops::Range;

use super::hash::{CHUNK, Hasher, Value};
use super::leaves::{Column, hash_chunks};
use crate::backend::{Control, Error};
use crate::erasure::coder::{COLUMN, Codec, Erasures, Restore};
use crate::erasure::merkle::{Hash, Tree};
use crate::erasure::retrieve::Delivery;
use crate::erasure::{Refusal, merkle};

/// From so many bytes on, a chunk that is not in cache is best read from its start to its end: crate blake3 has lanes for that.
const LONG: usize = 1 << 14;
/// Bytes of a column of all chunks: half of a small second-level cache.
const CACHE: usize = 1 << 18;

impl Codec {
    /// Parity, and the tree over all chunks.
    pub(in crate::erasure) fn commit_in_one_pass(
        &self,
        hasher: &Hasher,
        data: &[u8],
        chunk_bytes: usize,
        parity: &mut [u8],
        control: &Control,
    ) -> Result<Tree, Error> {
        let places: Vec<Option<&[u8]>> = data.chunks_exact(chunk_bytes).map(Some).collect();
        let hashed: Vec<usize> = (0..self.shape.total()).collect();
        let pass = Pass { codec: self, hasher, chunk_bytes, data: &places, restore: None, hashed: &hashed };
        let leaves = pass.run(parity.chunks_exact_mut(chunk_bytes).map(Some).collect(), control)?;
        self.tree(leaves, |level| nodes(hasher, level))
    }

    /// The data into `data`, or the refusal.
    pub(in crate::erasure) fn retrieve_in_one_pass(
        &self,
        hasher: &Hasher,
        delivery: &Delivery,
        places: &[Option<&[u8]>],
        data: &mut [u8],
        control: &Control,
    ) -> Result<Result<(), Refusal>, Error> {
        let Delivery { root, chunk_bytes, received } = delivery;
        let (chunk_bytes, total) = (*chunk_bytes, self.shape.total());
        control.check()?;
        let erasures = Erasures::new(&self.shape, places);
        // Used chunks, and further ones that have a proof.
        let is_used = |index: usize| erasures.used.binary_search(&index).is_ok();
        let arrived: Vec<_> =
            received.iter().filter(|chunk| chunk.proof.is_some() || is_used(chunk.index.into())).collect();
        let rows: Vec<(u32, &[u8])> = arrived.iter().map(|chunk| (chunk.index.into(), &chunk.bytes[..])).collect();
        let hashes = self.leaves(hasher, &rows, chunk_bytes);
        let claims: Vec<(usize, Hash, &merkle::Proof)> = arrived
            .iter()
            .zip(&hashes)
            .filter_map(|(chunk, hash)| Some((chunk.index.into(), *hash, chunk.proof.as_ref()?)))
            .collect();
        if let Some(claim) = hasher.first_unproven(root, total, &claims) {
            // The index came as one.
            return Ok(Err(Refusal::Proof { index: u16::try_from(claims[claim].0).unwrap_or_default() }));
        }

        let mut made: Vec<Option<&mut [u8]>> = Vec::with_capacity(total);
        for (row, place) in data.chunks_exact_mut(chunk_bytes).zip(places) {
            match place {
                Some(chunk) => row.copy_from_slice(chunk),
                None => made.push(Some(row)),
            }
        }
        made.resize_with(erasures.missing.len() + self.shape.m(), || None);
        let restore = match erasures.missing[..] {
            [] => None,
            _ => {
                let used = erasures.used.iter().filter_map(|index| places[*index]).collect();
                Some(Restoration { solved: self.coder.solve(&erasures)?, used })
            }
        };
        let hashed: Vec<usize> = (0..total).filter(|index| !is_used(*index)).collect();
        let data = &places[..self.shape.k()];
        let pass = Pass { codec: self, hasher, chunk_bytes, data, restore, hashed: &hashed };
        let others = pass.run(made, control)?;
        let mut leaves = vec![Hash::default(); total];
        arrived.iter().zip(hashes).for_each(|(chunk, hash)| leaves[usize::from(chunk.index)] = hash);
        // A chunk that arrived but was not used counts as encoded again, not as it came.
        hashed.iter().zip(others).for_each(|(index, hash)| leaves[*index] = hash);
        let tree = self.tree(leaves, |level| nodes(hasher, level))?;
        Ok(if tree.root() == *root { Ok(()) } else { Err(Refusal::Encoding) })
    }

    /// The leaves of whole chunks, cut among the threads by rows.
    fn leaves(&self, hasher: &Hasher, rows: &[(u32, &[u8])], chunk_bytes: usize) -> Vec<Value> {
        if chunk_bytes >= LONG {
            return self.pool.map(rows.len(), |row| merkle::leaf(rows[row].0, rows[row].1));
        }
        let ranges = self.pool.ranges(rows.len(), 1);
        let parts = self.pool.map(ranges.len(), |i| {
            let column = Column { rows: &rows[ranges[i].clone()], start: 0, chunk_bytes };
            let chunks = hash_chunks(chunk_bytes);
            let mut values = vec![Value::default(); chunks * column.rows.len()];
            hasher.chunks(&column, 0..chunks, &mut values);
            hasher.leaves(&mut values, column.rows.len());
            values
        });
        parts.concat()
    }
}

/// The next level of a chunk tree.
fn nodes(hasher: &Hasher, level: &[Hash]) -> Vec<Hash> {
    hasher.nodes(level.len() / 2, |i| (&level[2 * i], &level[2 * i + 1]))
}

/// A solved pattern, and the chunks to restore from.
struct Restoration<'a> {
    solved: Box<dyn Restore + 'a>,
    used: Vec<&'a [u8]>,
}

/// One pass over the chunks of a body.
struct Pass<'a> {
    codec: &'a Codec,
    hasher: &'a Hasher,
    chunk_bytes: usize,
    /// Data chunks, where they are there.
    data: &'a [Option<&'a [u8]>],
    /// How the others are restored.
    restore: Option<Restoration<'a>>,
    /// Chunks to hash, by index.
    hashed: &'a [usize],
}

/// Some hash chunks of all rows: one thread's part.
struct Part<'a> {
    chunks: Range<usize>,
    /// Where computed rows go.
    made: Vec<Option<&'a mut [u8]>>,
    values: Vec<Value>,
}

impl Pass<'_> {
    /// Computes missing data and parity, in this order, into the rows of `made` that are wanted; returns the leaves of the
    /// chunks to hash.
    fn run(&self, made: Vec<Option<&mut [u8]>>, control: &Control) -> Result<Vec<Hash>, Error> {
        let ranges = self.codec.pool.ranges(hash_chunks(self.chunk_bytes), 1);
        let mut parts: Vec<Part> = ranges
            .into_iter()
            .map(|chunks| Part { chunks, made: Vec::with_capacity(made.len()), values: Vec::new() })
            .collect();
        for mut row in made {
            for part in &mut parts {
                let bytes = self.bytes(&part.chunks);
                let piece = row.take().map(|whole| whole.split_at_mut(bytes.len()));
                let (piece, rest) = piece.unzip();
                part.made.push(piece);
                row = rest;
            }
        }
        self.codec.pool.try_each(&mut parts, |part| self.columns(part, control))?;
        let values = parts.into_iter().map(|part| part.values).reduce(|mut all, more| {
            all.extend(more);
            all
        });
        let mut values = values.unwrap_or_default();
        self.hasher.leaves(&mut values, self.hashed.len());
        Ok(values)
    }

    /// The bytes between some hash chunks' multiples of 1024.
    fn bytes(&self, chunks: &Range<usize>) -> Range<usize> {
        let at = |chunk: usize| self.chunk_bytes.min(chunk * CHUNK);
        at(chunks.start)..at(chunks.end)
    }

    fn columns(&self, part: &mut Part<'_>, control: &Control) -> Result<(), Error> {
        let total = self.codec.shape.total();
        let at_once = (CACHE / CHUNK / total).clamp(1, part.chunks.len().max(1));
        let own = self.bytes(&part.chunks);
        // A row of the scratch has the end of the column before, then the column.
        let width = COLUMN + at_once * CHUNK;
        let mut scratch = vec![0; part.made.len() * width];
        part.values.reserve(part.chunks.len() * self.hashed.len());
        for first in part.chunks.clone().step_by(at_once) {
            control.check()?;
            let chunks = first..part.chunks.end.min(first + at_once);
            let bytes = self.bytes(&chunks);
            // Hashed from here on; `first * CHUNK` may be behind the last byte, by less than a prefix.
            let start = (first * CHUNK).saturating_sub(COLUMN);
            let begins = first == part.chunks.start;
            let coded = if begins { start..bytes.end } else { bytes.clone() };
            // Rows that are wanted are made in place, where the end of the column before is at hand.
            let in_place = start >= own.start;
            // Where the scratch has its first byte: a column before the first chunk.
            let origin = first as isize * CHUNK as isize - COLUMN as isize;
            let at = |byte: usize| (byte as isize - origin) as usize;
            {
                let rows =
                    part.made.iter_mut().zip(scratch.chunks_exact_mut(width)).map(|(wanted, row)| match wanted {
                        Some(wanted) if in_place => &mut wanted[coded.start - own.start..coded.end - own.start],
                        _ => {
                            if !begins {
                                row.copy_within(at_once * CHUNK.., 0);
                            }
                            &mut row[at(coded.start)..at(coded.end)]
                        }
                    });
                self.make(coded.clone(), rows.collect())?;
            }
            let made: Vec<&[u8]> = part
                .made
                .iter()
                .zip(scratch.chunks_exact(width))
                .map(|(wanted, row)| match wanted {
                    Some(wanted) if in_place => &wanted[start - own.start..bytes.end - own.start],
                    _ => &row[at(start)..at(bytes.end)],
                })
                .collect();
            self.hash(chunks, start..bytes.end, &made, &mut part.values);
            if !in_place {
                for (wanted, row) in part.made.iter_mut().zip(scratch.chunks_exact(width)) {
                    if let Some(wanted) = wanted {
                        wanted[bytes.start - own.start..bytes.end - own.start]
                            .copy_from_slice(&row[at(bytes.start)..at(bytes.end)]);
                    }
                }
            }
        }
        Ok(())
    }

    /// A column of missing data and parity.
    fn make(&self, bytes: Range<usize>, mut rows: Vec<&mut [u8]>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let parity = rows.len() - self.codec.shape.m();
        let (missing, parity) = rows.split_at_mut(parity);
        if let Some(Restoration { solved, used }) = &self.restore {
            let used: Vec<&[u8]> = used.iter().map(|row| &row[bytes.clone()]).collect();
            solved.restore(&used, missing)?;
        }
        let mut restored = missing.iter().map(|row| &**row);
        let data = self.data.iter().map(|place| place.map(|row| &row[bytes.clone()]).or_else(|| restored.next()));
        // As many rows are missing as are restored.
        let data: Vec<&[u8]> = data.map(Option::unwrap_or_default).collect();
        self.codec.coder.encode(&data, parity)
    }

    /// Hashes chunks of the rows, all of which are in the column `bytes`; `made` are its computed rows.
    fn hash(&self, chunks: Range<usize>, bytes: Range<usize>, made: &[&[u8]], values: &mut Vec<Value>) {
        let k = self.data.len();
        let (missing, parity) = made.split_at(made.len() - self.codec.shape.m());
        let mut missing = missing.iter();
        let data = self.data.iter().map(|row| row.map(|row| &row[bytes.clone()]).or_else(|| missing.next().copied()));
        let all: Vec<&[u8]> = data.map(Option::unwrap_or_default).chain(parity.iter().copied()).collect();
        debug_assert_eq!(all.len(), k + parity.len());
        // Indices are u16 in every shape.
        let row = |index: &usize| (u32::try_from(*index).unwrap_or_default(), all[*index]);
        let rows: Vec<(u32, &[u8])> = self.hashed.iter().map(row).collect();
        let column = Column { rows: &rows, start: bytes.start, chunk_bytes: self.chunk_bytes };
        let known = values.len();
        values.resize(known + chunks.len() * rows.len(), Value::default());
        self.hasher.chunks(&column, chunks, &mut values[known..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Options, Prepared};
    use crate::erasure::cpu::Cpu;
    use crate::erasure::{Code, Delivered, Disperse, Retrieve, Shape};

    fn codecs(shape: &Shape) -> Vec<Codec> {
        let open = |threads| Cpu::open(&Options { threads, ..Options::default() }).unwrap().codec(shape).unwrap();
        [1, 2, 5].map(|threads| open(threads).in_one_pass()).into()
    }

    fn plain(shape: &Shape) -> Codec {
        Cpu::open(&Options::default()).unwrap().codec(shape).unwrap()
    }

    fn retrieve(codec: &Codec, delivery: &Delivery) -> Result<Vec<u8>, Refusal> {
        Prepared::<Retrieve>::compute(codec, delivery, &Control::default()).unwrap()
    }

    /// What both ways say of a body and of deliveries of it, right and wrong.
    fn agrees(shape: &Shape, chunk_bytes: usize, salt: usize) {
        let what = format!("{shape:?} {chunk_bytes}");
        let data: Vec<u8> = (0..shape.k() * chunk_bytes).map(|i| (i * 7 + (i >> 8) * salt) as u8).collect();
        let pass_after_pass = plain(shape);
        let want = Prepared::<Disperse>::compute(&pass_after_pass, &data, &Control::default()).unwrap();
        let codecs = codecs(shape);
        for codec in &codecs {
            let got = Prepared::<Disperse>::compute(codec, &data, &Control::default()).unwrap();
            assert!(got == want, "{what}");
        }
        let (root, total) = (want.tree.root(), shape.total());
        let chunk = |i: usize| {
            let bytes = data.chunks_exact(chunk_bytes).chain(want.parity.chunks_exact(chunk_bytes)).nth(i);
            Delivered { index: i as u16, bytes: bytes.unwrap().to_vec(), proof: want.tree.proof(i) }
        };
        // The first k, the last k, every other one, one more than needed.
        let (k, spread) = (shape.k(), (0..total).map(|i| i * 7 % total).collect::<std::collections::BTreeSet<_>>());
        let spread: Vec<usize> = spread.into_iter().rev().step_by(2).collect();
        let sets: [Vec<usize>; 4] =
            [(0..k).collect(), (total - k..total).rev().collect(), spread, (0..total).skip(1).collect()];
        for set in sets.into_iter().filter(|set| set.len() >= k) {
            let received: Vec<Delivered> = set.iter().map(|i| chunk(*i)).collect();
            let good = Delivery { root, chunk_bytes, received };
            let mut wrong = good.clone();
            wrong.received[salt % set.len()].bytes[salt % chunk_bytes] ^= 1;
            let unproven = |mut delivery: Delivery| {
                delivery.received.iter_mut().for_each(|chunk| chunk.proof = None);
                delivery
            };
            let other_root = unproven(Delivery { root: [1; 32], ..good.clone() });
            let refused = Refusal::Proof { index: set[salt % set.len()] as u16 };
            for codec in &codecs {
                assert!(retrieve(codec, &good).as_ref() == Ok(&data), "{what}");
                assert!(retrieve(codec, &unproven(good.clone())).as_ref() == Ok(&data), "{what}");
                assert_eq!(retrieve(codec, &wrong), Err(refused.clone()), "{what}");
                assert_eq!(retrieve(codec, &other_root), Err(Refusal::Encoding), "{what}");
                let wrong = unproven(wrong.clone());
                assert!(retrieve(codec, &wrong) == retrieve(&pass_after_pass, &wrong), "{what}");
            }
        }
    }

    #[test]
    fn one_pass_equals_pass_after_pass_on_every_code_and_size() {
        for code in Code::ALL {
            for (i, (k, m)) in [(1, 1), (3, 2), (2, 5), (10, 4), (16, 17)].into_iter().enumerate() {
                let shape = Shape::new(code, k, m).unwrap();
                for bytes in
                    [1, 2, 58, 60, 100, 1018, 1019, 1020, 1023, 1024, 1025, 2042, 2043, 2044, 2048, 5115, 5116, 5117]
                {
                    if bytes % code.symbol_bytes() == 0 {
                        agrees(&shape, bytes, i + bytes);
                    }
                }
            }
        }
    }

    /// More hash chunks than a column or a thread has, and their ends at and around the ends of columns.
    #[test]
    fn columns_and_threads_meet_without_a_gap() {
        for (k, m, sizes) in
            [(5, 3, [32_764, 65_536, 100_001]), (100, 60, [1022, 3068, 7200]), (1, 2, [90_000, 87_034, 87_036])]
        {
            let shape = Shape::new(Code::RsFft8, k, m).unwrap();
            sizes.into_iter().for_each(|bytes| agrees(&shape, bytes, 5));
        }
        agrees(&Shape::new(Code::RsFft16, 200, 300).unwrap(), 3070, 1);
    }

    /// A chunk beyond `k` that is no part of the code word, but is under the root.
    #[test]
    fn what_arrived_is_not_taken_for_what_should_have() {
        for code in Code::ALL {
            let shape = Shape::new(code, 2, 2).unwrap();
            let data: Vec<u8> = (0..2 * 1500).map(|i| (i * 5) as u8).collect();
            let want = Prepared::<Disperse>::compute(&plain(&shape), &data, &Control::default()).unwrap();
            let good = data.chunks_exact(1500).chain(want.parity.chunks_exact(1500)).map(<[u8]>::to_vec);
            let good: Vec<Vec<u8>> = good.collect();
            for spoiled in 0..4 {
                let mut chunks = good.clone();
                chunks[spoiled][1499] ^= 1;
                let tree = Tree::build(&chunks).unwrap();
                let row = |i: usize| Delivered { index: i as u16, bytes: chunks[i].clone(), proof: tree.proof(i) };
                for missing in 0..4 {
                    let received = (0..4).filter(|i| *i != missing).map(row).collect();
                    let delivery = Delivery { root: tree.root(), chunk_bytes: 1500, received };
                    for codec in &codecs(&shape) {
                        assert_eq!(retrieve(codec, &delivery), Err(Refusal::Encoding), "{code} {spoiled} {missing}");
                    }
                }
            }
        }
    }

    /// A chunk beyond `k` that the caller vouches for, wrongly, takes no part.
    #[test]
    fn what_is_not_used_does_not_matter_where_nobody_looks() {
        let shape = Shape::new(Code::RsVandermonde, 2, 2).unwrap();
        let data = vec![9; 2 * 1500];
        let want = Prepared::<Disperse>::compute(&plain(&shape), &data, &Control::default()).unwrap();
        let row = |i: usize| Delivered { index: i as u16, bytes: data[..1500].to_vec(), proof: want.tree.proof(i) };
        let mut received: Vec<Delivered> = (0..2).map(row).collect();
        received.push(Delivered { index: 3, bytes: vec![0; 1500], proof: None });
        let delivery = Delivery { root: want.tree.root(), chunk_bytes: 1500, received };
        for codec in codecs(&shape).iter().chain([&plain(&shape)]) {
            assert_eq!(retrieve(codec, &delivery), Ok(data.clone()));
        }
    }
}
