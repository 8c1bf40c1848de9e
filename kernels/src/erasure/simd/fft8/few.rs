//! Encoding with 3 or 4 parity chunks and 5 to 12 data chunks: high rate in blocks of 4, a vector of every row at a time, with
//! all sums in registers and no buffer.
//!
//! The parity is the forward transform of the sum of the blocks' inverse transforms. Block `j` (from 1 on) has the twiddle
//! `2 j` in its upper layer, which is linear in the bits of `j`: what it multiplies is summed by bit first, so that 3 blocks
//! cost 2 products a row, not 3.

// Loops over constant counts unroll into registers by index; adapters of iterators may stay calls.
#![allow(clippy::needless_range_loop)]

use crate::erasure::points::{Class, Points};
use crate::erasure::simd::vectors::{Kernel, Vectors};

/// Rows of a block.
const BLOCK: usize = 4;
/// Blocks of data, each number of them with code of its own.
const BLOCKS: std::ops::RangeInclusive<usize> = 2..=3;
/// Bits of a block's number.
const BITS: usize = 2;
/// How many bytes ahead rows are asked for.
const AHEAD: usize = 512;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Whether shape and length are for this code.
pub(super) fn takes<V: Vectors>(points: &Points, len: usize) -> bool {
    let high = points.class == Class::HighRate && points.block == BLOCK;
    high && BLOCKS.contains(&points.k.div_ceil(BLOCK)) && len >= V::WIDTH
}

/// The parity of data rows, all as long as [`takes`] was told.
pub(super) struct Encode<'a, 'i, 'o, V: Vectors> {
    pub multipliers: &'a [V::Multiplier],
    pub data: &'a [&'i [u8]],
    pub parity: &'a mut [&'o mut [u8]],
}

impl<V: Vectors> Kernel<V> for Encode<'_, '_, '_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        macro_rules! by_shape {
            ($($blocks:literal $last:literal)*) => {
                match (self.data.len().div_ceil(BLOCK), (self.data.len() - 1) % BLOCK / 2 * 2 + 2) {
                    $(($blocks, $last) => encode::<V, $blocks, $last>(v, self),)*
                    _ => debug_assert!(false, "a shape that is not taken"),
                }
            };
        }
        by_shape!(2 2  2 4  3 2  3 4);
    }
}

/// With `BLOCKS` blocks of data, of which the last has `LAST` rows, or one less.
#[inline(always)]
fn encode<V: Vectors, const BLOCKS: usize, const LAST: usize>(v: V, rows: Encode<'_, '_, '_, V>) {
    let len = rows.parity[0].len();
    let odd = !rows.data.len().is_multiple_of(2);
    let factor = |twiddle: usize| v.factor(&rows.multipliers[twiddle]);
    let mut data = [[rows.data[0].as_ptr(); BLOCK]; BLOCKS];
    for (to, row) in data.as_flattened_mut().iter_mut().zip(rows.data) {
        assert_eq!(row.len(), len);
        *to = row.as_ptr();
    }
    // A fourth row that nobody wants goes where the third goes after it.
    let third = rows.parity[2].as_mut_ptr();
    let mut parity = [third; BLOCK];
    for (to, row) in parity.iter_mut().zip(rows.parity.iter_mut()) {
        assert_eq!(row.len(), len);
        *to = row.as_mut_ptr();
    }
    // Lower layer, two a block; upper layer, one a bit; the one of the forward transform.
    let zero = factor(0);
    let (mut lower, mut upper) = ([[zero; 2]; BLOCKS], [zero; BITS]);
    for j in 0..BLOCKS {
        lower[j] = [factor(4 * (j + 1)), factor(4 * (j + 1) + 2)];
    }
    for bit in 0..BITS {
        upper[bit] = factor(2 << bit);
    }
    let mut at = 0;
    loop {
        if at % LINE < V::WIDTH {
            for block in data {
                for row in block {
                    v.prefetch(row.wrapping_add(at + AHEAD));
                }
            }
            for row in parity {
                v.prefetch(row.wrapping_add(at + AHEAD));
            }
        }
        let mut sum = [v.zero(); BLOCK];
        let (mut c_by_bit, mut d_by_bit) = ([v.zero(); BITS], [v.zero(); BITS]);
        for j in 0..BLOCKS {
            let count = if j + 1 == BLOCKS { LAST } else { BLOCK };
            let mut x = [v.zero(); BLOCK];
            for i in 0..count {
                if !(odd && j + 1 == BLOCKS && i + 1 == LAST) {
                    // SAFETY: rows have a vector here.
                    x[i] = unsafe { v.load(data[j][i].add(at)) };
                }
            }
            let [mut a, mut b, mut c, mut d] = x;
            b = v.xor(b, a);
            a = v.xor(a, v.multiply(lower[j][0], b));
            if count > 2 {
                d = v.xor(d, c);
                c = v.xor(c, v.multiply(lower[j][1], d));
            }
            c = v.xor(c, a);
            d = v.xor(d, b);
            sum = [v.xor(sum[0], a), v.xor(sum[1], b), v.xor(sum[2], c), v.xor(sum[3], d)];
            for bit in 0..BITS {
                if (j + 1) >> bit & 1 == 1 {
                    c_by_bit[bit] = v.xor(c_by_bit[bit], c);
                    d_by_bit[bit] = v.xor(d_by_bit[bit], d);
                }
            }
        }
        let [mut a, mut b, mut c, mut d] = sum;
        for bit in 0..BITS {
            if BLOCKS >> bit > 0 {
                a = v.xor(a, v.multiply(upper[bit], c_by_bit[bit]));
                b = v.xor(b, v.multiply(upper[bit], d_by_bit[bit]));
            }
        }
        c = v.xor(c, a);
        d = v.xor(d, b);
        b = v.xor(b, a);
        c = v.xor(c, v.multiply(upper[0], d));
        d = v.xor(d, c);
        // SAFETY: rows have a vector here.
        unsafe {
            v.store(parity[0].add(at), a);
            v.store(parity[1].add(at), b);
            v.store(parity[3].add(at), d);
            v.store(parity[2].add(at), c);
        }
        at += V::WIDTH;
        if at >= len {
            return;
        }
        // The last vector overlaps the one before: both compute the same bytes.
        at = at.min(len - V::WIDTH);
    }
}
