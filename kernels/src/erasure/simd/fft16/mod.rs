//! `rs-fft16` in vectors: the additive FFT over GF(2^16), column by column in the first- and second-level caches.
//!
//! The mathematics is that of `cpu/fft.rs`. What differs:
//!
//! - elements lie in buffers as pairs over GF(2^8) ([`tower`]): tables for all constants take 8 KiB, and most products half
//!   the look-ups;
//! - a column of a few vector pairs of all rows is read, transformed and written while it is in the cache ([`columns`]);
//! - two layers are done in one pass, depth first, without what is zero or not wanted ([`transform`], [`layers`]).
//!
//! Vectors are at most 32 bytes wide, the half of a run: where bytes lie in a row then needs no permutation. With 64-byte
//! vectors the 32-byte form of the same instructions is to be used.

mod columns;
mod layers;
mod restore;
mod tower;
mod transform;

use columns::{Block, Columns, Scratch, Short};
use tower::Tower;
use transform::Transform;

use super::vectors::Vectors;
use crate::backend::Error;
use crate::erasure::coder::{COLUMN, Coder, Erasures, Restore};
use crate::erasure::points::{Class, Points};

/// Bytes of a block's column: two of them and the lines of rows they come from and go to share the second-level cache.
const COLUMN_BYTES: usize = 128 << 10;

/// Most 64-byte lines of a row in a column.
const MOST_LINES: usize = 8;

/// What lives across calls: tables (made in some 50 us), which rows are where, and buffers.
pub(in crate::erasure) struct Fft16<V: Vectors> {
    v: V,
    points: Points,
    tower: Tower<V>,
    data: Vec<Block>,
    parity: Vec<Block>,
    scratch: Scratch,
}

impl<V: Vectors> Fft16<V> {
    /// For points of GF(2^16) and vectors of at most 32 bytes.
    pub(in crate::erasure) fn new(v: V, points: Points) -> Self {
        const { assert!(V::WIDTH <= COLUMN / 2) };
        let Points { block, k, .. } = points;
        let data = match points.class {
            Class::HighRate => {
                let blocks = (0..k).step_by(block);
                blocks.map(|i| Block::consecutive(block + i, block, 0, i..k.min(i + block))).collect()
            }
            Class::LowRate | Class::Full => vec![Block::consecutive(0, block, 0, 0..k)],
        };
        let range = points.parity();
        let firsts = (range.start & !(block - 1)..range.end).step_by(block);
        let parity = firsts.map(|first| {
            let (start, end) = (first.max(range.start), range.end.min(first + block));
            Block::consecutive(first, block, start - first, start - range.start..end - range.start)
        });
        let parity = parity.collect();
        Self { v, points, tower: Tower::new(points.field), data, parity, scratch: Scratch::default() }
    }

    /// `block` rows share a buffer.
    fn columns(&self, len: usize, block: usize) -> Columns {
        let lines = (COLUMN_BYTES / COLUMN / block).clamp(1, MOST_LINES);
        Columns::new::<V>(len, lines * (COLUMN / 2 / V::WIDTH))
    }

    fn transform(&self, row_bytes: usize) -> Transform<'_, V> {
        Transform { v: self.v, tower: &self.tower, row_bytes }
    }

    /// Rows of at least [`COLUMN`] bytes.
    fn encode_long(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) {
        let Points { block, k, class, .. } = self.points;
        let columns = self.columns(parity.first().map_or(0, |row| row.len()), block);
        assert!(data.len() == k && parity.len() == self.points.m);
        assert!(columns.fit(data.iter().map(|row| row.len())) && columns.fit(parity.iter().map(|row| row.len())));
        let transform = self.transform(columns.row_bytes::<V>());
        let mut buffer = self.scratch.take(2 * block * transform.row_bytes);
        let (polynomial, values) = buffer.bytes().split_at_mut(block * transform.row_bytes);
        for column in 0..columns.count() {
            let source = columns.source(column, data);
            let mut sink = columns.sink(column, parity);
            match class {
                Class::HighRate => {
                    for (i, block) in self.data.iter().enumerate() {
                        let buffer = if i == 0 { &mut *polynomial } else { &mut *values };
                        transform.inverse(source, block, false, 0, buffer);
                        if i > 0 {
                            transform.accumulate(1, values, polynomial);
                        }
                    }
                }
                Class::LowRate => transform.inverse(source, &self.data[0], false, 0, polynomial),
                Class::Full => {
                    polynomial[k * transform.row_bytes..].fill(0);
                    transform.truncated_inverse(source, &self.data[0], 0, k, polynomial);
                }
            }
            for block in &self.parity {
                transform.forward(&mut sink, block, false, 0, Some(&*polynomial), values);
            }
        }
    }
}

impl<V: Vectors> Coder for Fft16<V> {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        if parity.first().is_none_or(|row| row.len() >= COLUMN) {
            self.encode_long(data, parity);
        } else {
            let mut padded = Short::zero(parity.len());
            self.encode_long(&Short::read(data).rows(), &mut padded.rows_mut());
            padded.write(parity);
        }
        Ok(())
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        Ok(restore::solve(self, erasures))
    }
}

#[cfg(test)]
mod tests;
