//! Whole transforms of the rows of a buffer, from the rows of a column and to them.
//!
//! Depth first: a block is passed over once for its two top layers, then each quarter of it is taken alone, until a quarter
//! and the tables fit the first-level cache; rows are read, or written, while they are there. A part of a block without rows
//! to read is zero, and a part without rows to write is not computed.

use super::super::vectors::{Kernel, Vectors};
use super::columns::{Block, Sink, Source};
use super::layers::{self, Group, Groups};
use super::tower::Tower;

/// Rows times bytes of a row that share the first-level cache with the tables.
const CACHED: usize = 16 << 10;

/// What transforms of one column share.
pub(super) struct Transform<'a, V: Vectors> {
    pub v: V,
    pub tower: &'a Tower<V>,
    pub row_bytes: usize,
}

impl<V: Vectors> Transform<'_, V> {
    fn rows(&self, buffer: &[u8]) -> usize {
        buffer.len() / self.row_bytes
    }

    /// Whether so many rows are transformed at one go: a power of 4.
    fn is_small(&self, rows: usize) -> bool {
        rows.trailing_zeros().is_multiple_of(2) && (rows <= 4 || rows <= 256 && rows * self.row_bytes <= CACHED)
    }

    fn group(&self, first: usize, part: usize) -> Group {
        Group { first, part, row_bytes: self.row_bytes }
    }

    /// Reads the values of rows `at..` of a block and makes them coefficients. The buffer holds a power of two of rows and is
    /// overwritten.
    pub(super) fn inverse(&self, source: Source, block: &Block, scaled: bool, at: usize, buffer: &mut [u8]) {
        let rows = self.rows(buffer);
        if !block.any(at, rows) {
            buffer.fill(0);
        } else if self.is_small(rows) {
            let Self { v, tower, row_bytes } = *self;
            v.run(Inverse { tower, source, block, scaled, at, row_bytes, buffer });
        } else {
            let parts = if rows.trailing_zeros().is_multiple_of(2) { 4 } else { 2 };
            let part = rows / parts;
            for (i, buffer) in buffer.chunks_exact_mut(part * self.row_bytes).enumerate() {
                self.inverse(source, block, scaled, at + i * part, buffer);
            }
            self.pass::<true>(self.group(block.first + at, part), None, buffer, false);
        }
    }

    /// As [`Transform::inverse`] for the values of the first `known` rows, where the rows behind hold coefficients.
    ///
    /// The idea of the truncated transform (J. van der Hoeven, "The truncated Fourier transform and applications", 2004):
    /// whichever half is whole is solved first and turns the other's coefficients into what its points need.
    pub(super) fn truncated_inverse(&self, source: Source, block: &Block, at: usize, known: usize, buffer: &mut [u8]) {
        let rows = self.rows(buffer);
        if known >= rows {
            return self.inverse(source, block, false, at, buffer);
        }
        if known == 0 {
            return;
        }
        let (half, first) = (rows / 2, block.first + at);
        let twiddle = (first >> half.trailing_zeros()) as u16;
        let (low, high) = buffer.split_at_mut(half * self.row_bytes);
        if known >= half {
            self.inverse(source, block, false, at, low);
            let rest = known - half;
            self.accumulate(1, &low[rest * self.row_bytes..], &mut high[rest * self.row_bytes..]);
            self.truncated_inverse(source, block, at + half, rest, high);
            self.pass::<true>(self.group(first, half), None, buffer, false);
        } else {
            self.accumulate(twiddle, &high[known * self.row_bytes..], &mut low[known * self.row_bytes..]);
            self.truncated_inverse(source, block, at, known, low);
            self.accumulate(twiddle, high, low);
        }
    }

    /// Makes coefficients values and writes rows `at..` of a block. The coefficients are in `from`, if given, or in the
    /// buffer, which holds a power of two of rows and is overwritten.
    pub(super) fn forward(
        &self,
        sink: &mut Sink,
        block: &Block,
        scaled: bool,
        at: usize,
        from: Option<&[u8]>,
        buffer: &mut [u8],
    ) {
        let rows = self.rows(buffer);
        if !block.any(at, rows) {
            return;
        }
        if self.is_small(rows) {
            if let Some(from) = from {
                buffer.copy_from_slice(from);
            }
            let Self { v, tower, row_bytes } = *self;
            return v.run(Forward { tower, sink, block, scaled, at, row_bytes, buffer });
        }
        let parts = if rows.trailing_zeros().is_multiple_of(2) { 4 } else { 2 };
        let part = rows / parts;
        let half = parts == 4 && !block.any(at + 2 * part, 2 * part);
        self.pass::<false>(self.group(block.first + at, part), from, buffer, half);
        for (i, buffer) in buffer.chunks_exact_mut(part * self.row_bytes).enumerate() {
            self.forward(sink, block, scaled, at + i * part, None, buffer);
        }
    }

    /// `to += factor * from`.
    pub(super) fn accumulate(&self, factor: u16, from: &[u8], to: &mut [u8]) {
        self.v.run(Accumulate { tower: self.tower, factor, from, to });
    }

    fn pass<const INVERSE: bool>(&self, group: Group, from: Option<&[u8]>, to: &mut [u8], half: bool) {
        self.v.run(Pass::<V, INVERSE> { tower: self.tower, group, from, to, half });
    }
}

/// One or two layers of a group.
struct Pass<'a, V: Vectors, const INVERSE: bool> {
    tower: &'a Tower<V>,
    group: Group,
    from: Option<&'a [u8]>,
    to: &'a mut [u8],
    half: bool,
}

impl<V: Vectors, const INVERSE: bool> Kernel<V> for Pass<'_, V, INVERSE> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self { tower, group, from, to, half } = self;
        let parts = to.len() / (group.part * group.row_bytes);
        assert!(from.is_none_or(|from| from.len() == to.len()));
        let rows = to.as_mut_ptr();
        let from = from.map_or(rows.cast_const(), <[u8]>::as_ptr);
        // SAFETY: both are so many parts long.
        unsafe {
            match (parts, INVERSE) {
                (4, true) => layers::group::<V, true>(v, tower, group, rows, rows, false),
                (4, false) => layers::group::<V, false>(v, tower, group, from, rows, half),
                (2, true) => layers::inverse_one(v, tower, group, rows),
                (2, false) => layers::forward_one(v, tower, group, from, rows),
                _ => {}
            }
        }
    }
}

/// Rows read, and all layers of a power of 4 of them.
struct Inverse<'a, V: Vectors> {
    tower: &'a Tower<V>,
    source: Source<'a>,
    block: &'a Block,
    scaled: bool,
    at: usize,
    row_bytes: usize,
    buffer: &'a mut [u8],
}

impl<V: Vectors> Kernel<V> for Inverse<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self { tower, source, block, scaled, at, row_bytes, buffer } = self;
        match scaled {
            true => source.read::<V, true>(v, tower, block, at, row_bytes, buffer),
            false => source.read::<V, false>(v, tower, block, at, row_bytes, buffer),
        }
        let rows = buffer.len() / row_bytes;
        let (before, first) = (block.before(at, rows), block.first + at);
        let mut part = 1;
        while part < rows {
            let groups = Groups { group: Group { first, part, row_bytes }, before, rows: buffer.as_mut_ptr() };
            // SAFETY: the buffer holds the rows, at most 256 and at such a place, and they are whole groups.
            unsafe { layers::groups::<V, true>(v, tower, groups) };
            part *= 4;
        }
    }
}

/// All layers of a power of 4 of rows, and rows written.
struct Forward<'a, 'b, 'c, V: Vectors> {
    tower: &'a Tower<V>,
    sink: &'a mut Sink<'b, 'c>,
    block: &'a Block,
    scaled: bool,
    at: usize,
    row_bytes: usize,
    buffer: &'a mut [u8],
}

impl<V: Vectors> Kernel<V> for Forward<'_, '_, '_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self { tower, sink, block, scaled, at, row_bytes, buffer } = self;
        let rows = buffer.len() / row_bytes;
        let (before, first) = (block.before(at, rows), block.first + at);
        let mut part = rows / 4;
        while part > 0 {
            let groups = Groups { group: Group { first, part, row_bytes }, before, rows: buffer.as_mut_ptr() };
            // SAFETY: the buffer holds the rows, at most 256 and at such a place, and they are whole groups.
            unsafe { layers::groups::<V, false>(v, tower, groups) };
            part /= 4;
        }
        match scaled {
            true => sink.write::<V, true>(v, tower, block, at, row_bytes, buffer),
            false => sink.write::<V, false>(v, tower, block, at, row_bytes, buffer),
        }
    }
}

/// `to += factor * from`.
struct Accumulate<'a, V: Vectors> {
    tower: &'a Tower<V>,
    factor: u16,
    from: &'a [u8],
    to: &'a mut [u8],
}

impl<V: Vectors> Kernel<V> for Accumulate<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self { tower, factor, from, to } = self;
        assert_eq!(from.len(), to.len());
        // SAFETY: rows are whole pairs of vectors.
        unsafe { layers::accumulate(v, tower, factor, from.as_ptr(), to.as_mut_ptr(), to.len()) };
    }
}
