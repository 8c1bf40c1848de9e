//! Byte columns: where the pieces of a column lie in a row, which rows belong to a block, and buffers for both.
//!
//! A column is a few vectors' worth of every row. It is read into a buffer, as pairs of vectors `a`, `b` (see
//! [`super::tower`]), all rows alike, transformed there and written. Elements do not meet within a row, so the vectors of a
//! short last run may begin before it: the pieces there are read, transformed and written as well, in vain. Such vectors come
//! first, and the high bytes of a pair before its low ones; what they overwrite is then written again.

use std::sync::{Mutex, PoisonError};

use super::super::vectors::Vectors;
use super::tower::{self, Tower};
use crate::erasure::coder::COLUMN;
use crate::erasure::pattern::Row;

/// Where a pair of vectors lies in a row: the low bytes of its elements, and the high bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub low: usize,
    pub high: usize,
}

/// The places of rows of `len` bytes, at least [`COLUMN`], in the order of writing.
pub(super) fn places(len: usize, width: usize) -> Vec<Place> {
    let end = len / COLUMN * COLUMN;
    let pieces = |start: usize, count: usize| {
        // In what is shorter than a vector the one vector ends where it ends, and so does the last of what is longer.
        (0..count).step_by(width).map(move |at| {
            let low = (start + at).min(start + count - width);
            Place { low, high: low + count }
        })
    };
    let runs = (0..end).step_by(COLUMN).flat_map(|run| pieces(run, COLUMN / 2));
    pieces(end, (len - end) / 2).chain(runs).collect()
}

/// Rows of a block that are read or written; the others are 0, or nobody's.
pub(super) struct Block {
    /// The block's first point.
    pub first: usize,
    /// Ascending by place.
    rows: Vec<Row>,
    /// How many of them lie before each place, and in all.
    before: Vec<u32>,
}

impl Block {
    /// `rows` ascend by place, all below `size`.
    pub(super) fn new(first: usize, size: usize, rows: Vec<Row>) -> Self {
        let mut before = Vec::with_capacity(size + 1);
        let mut count = 0;
        for at in 0..=size {
            before.push(count as u32);
            count += usize::from(rows.get(count).is_some_and(|row| row.at == at));
        }
        Self { first, rows, before }
    }

    /// Chunks `chunks` in order, unscaled, from place `at` on.
    pub(super) fn consecutive(first: usize, size: usize, at: usize, chunks: std::ops::Range<usize>) -> Self {
        let start = chunks.start;
        Self::new(first, size, chunks.map(|chunk| Row { at: at + chunk - start, chunk, factor: 1 }).collect())
    }

    /// How many of the rows lie before each place from `at` to `at + count`.
    pub(super) fn before(&self, at: usize, count: usize) -> &[u32] {
        &self.before[at..=at + count]
    }

    /// Whether there are rows in `at..at + count`.
    pub(super) fn any(&self, at: usize, count: usize) -> bool {
        self.before[at] != self.before[at + count]
    }

    /// The rows in `at..at + count`.
    pub(super) fn rows(&self, at: usize, count: usize) -> &[Row] {
        &self.rows[self.before[at] as usize..self.before[at + count] as usize]
    }
}

/// One column of rows that are read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    rows: &'a [&'a [u8]],
    places: &'a [Place],
    /// How far on the next column lies.
    next: usize,
}

/// One column of rows that are written.
pub(super) struct Sink<'a, 'b> {
    rows: &'a mut [&'b mut [u8]],
    places: &'a [Place],
    next: usize,
}

/// The columns of rows of one length.
pub(super) struct Columns {
    places: Vec<Place>,
    /// Places of a column.
    width: usize,
    len: usize,
}

impl Columns {
    /// Columns of at most `most` places, all about as wide.
    pub(super) fn new<V: Vectors>(len: usize, most: usize) -> Self {
        let places = places(len, V::WIDTH);
        let columns = places.len().div_ceil(most).max(1);
        let width = places.len().div_ceil(columns).max(1);
        Self { places, width, len }
    }

    /// Bytes of a row in a buffer.
    pub(super) fn row_bytes<V: Vectors>(&self) -> usize {
        self.width * 2 * V::WIDTH
    }

    pub(super) fn count(&self) -> usize {
        self.places.len().div_ceil(self.width)
    }

    fn places(&self, column: usize) -> &[Place] {
        let start = (column * self.width).min(self.places.len());
        &self.places[start..(start + self.width).min(self.places.len())]
    }

    fn next(&self) -> usize {
        self.width * COLUMN
    }

    pub(super) fn source<'a>(&'a self, column: usize, rows: &'a [&'a [u8]]) -> Source<'a> {
        Source { rows, places: self.places(column), next: self.next() }
    }

    pub(super) fn sink<'a, 'b>(&'a self, column: usize, rows: &'a mut [&'b mut [u8]]) -> Sink<'a, 'b> {
        Sink { rows, places: self.places(column), next: self.next() }
    }

    /// Whether all rows have the length that places were made for.
    pub(super) fn fit(&self, mut lengths: impl Iterator<Item = usize>) -> bool {
        lengths.all(|len| len == self.len)
    }
}

impl Source<'_> {
    /// Reads rows `at..` of a block into a buffer that holds nothing else.
    #[inline(always)]
    pub(super) fn read<V: Vectors, const SCALED: bool>(
        &self,
        v: V,
        tower: &Tower<V>,
        block: &Block,
        at: usize,
        row_bytes: usize,
        buffer: &mut [u8],
    ) {
        assert!(self.places.len() * 2 * V::WIDTH <= row_bytes);
        let (mut to, end) = (buffer.as_mut_ptr(), buffer.as_mut_ptr_range().end);
        for row in block.rows(at, buffer.len() / row_bytes) {
            let from = self.rows[row.chunk].as_ptr();
            let factor = tower.constant(row.factor);
            // SAFETY: the block has so many rows from `at` on; a place lies in the row, and all of them fit the buffer's.
            unsafe {
                let start = buffer.as_mut_ptr().add((row.at - at) * row_bytes);
                clear(v, to, start);
                to = start;
                for place in self.places {
                    let pair = [v.load(from.add(place.low)), v.load(from.add(place.high))];
                    v.prefetch(from.wrapping_add(place.high + self.next));
                    let pair = tower.convert(v, pair);
                    tower::store(v, to, if SCALED { tower::multiply(v, factor, pair) } else { pair });
                    to = to.add(2 * V::WIDTH);
                }
                to = start.add(row_bytes);
            }
        }
        // SAFETY: both are in the buffer or at its end.
        unsafe { clear(v, to, end) };
    }
}

/// # Safety
///
/// What lies between can be written, and is a multiple of two vectors.
#[inline(always)]
unsafe fn clear<V: Vectors>(v: V, mut from: *mut u8, to: *mut u8) {
    while from < to {
        // SAFETY: two vectors lie between.
        unsafe {
            tower::store(v, from, [v.zero(); 2]);
            from = from.add(2 * V::WIDTH);
        }
    }
}

impl Sink<'_, '_> {
    /// Writes rows `at..` of a block from a buffer that holds nothing else.
    #[inline(always)]
    pub(super) fn write<V: Vectors, const SCALED: bool>(
        &mut self,
        v: V,
        tower: &Tower<V>,
        block: &Block,
        at: usize,
        row_bytes: usize,
        buffer: &[u8],
    ) {
        let rows = block.rows(at, buffer.len() / row_bytes);
        assert!(self.places.len() * 2 * V::WIDTH <= row_bytes);
        for row in rows {
            let to = self.rows[row.chunk].as_mut_ptr();
            let factor = tower.constant(row.factor);
            // SAFETY: the block has so many rows from `at` on; a place lies in the row, and all of them fit the buffer's.
            unsafe {
                let mut from = buffer.as_ptr().add((row.at - at) * row_bytes);
                for place in self.places {
                    let pair = tower::load(v, from);
                    let pair = if SCALED { tower::multiply(v, factor, pair) } else { pair };
                    let [low, high] = tower.convert_back(v, pair);
                    v.store(to.add(place.high), high);
                    v.store(to.add(place.low), low);
                    v.prefetch(to.wrapping_add(place.high + self.next));
                    from = from.add(2 * V::WIDTH);
                }
            }
        }
    }
}

/// Buffers that are handed out again and again: fresh memory costs a page fault every 4 KiB.
#[derive(Default)]
pub(super) struct Scratch(Mutex<Vec<Vec<Line>>>);

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A buffer handed out, with any bytes in it.
pub(super) struct Buffer<'a> {
    scratch: &'a Scratch,
    lines: Vec<Line>,
    len: usize,
}

impl Scratch {
    /// A buffer of `len` bytes that starts on a cache line.
    pub(super) fn take(&self, len: usize) -> Buffer<'_> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if lines.len() * 64 < len {
            lines = vec![Line([0; 64]); len.div_ceil(64)];
        }
        Buffer { scratch: self, lines, len }
    }
}

impl Buffer<'_> {
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: lines are bytes without padding, and there are at least so many.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.scratch.0.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
    }
}

/// Rows shorter than a run of 64 bytes, padded to one: the low halves at 0, the high halves at 32.
pub(super) struct Short(Vec<u8>);

impl Short {
    pub(super) fn read(rows: &[&[u8]]) -> Self {
        let mut padded = vec![0; rows.len() * COLUMN];
        for (padded, row) in padded.chunks_exact_mut(COLUMN).zip(rows) {
            let (low, high) = row.split_at(row.len() / 2);
            let count = low.len().min(COLUMN / 2);
            padded[..count].copy_from_slice(&low[..count]);
            padded[COLUMN / 2..][..count].copy_from_slice(&high[..count]);
        }
        Self(padded)
    }

    pub(super) fn zero(rows: usize) -> Self {
        Self(vec![0; rows * COLUMN])
    }

    pub(super) fn rows(&self) -> Vec<&[u8]> {
        self.0.chunks_exact(COLUMN).collect()
    }

    pub(super) fn rows_mut(&mut self) -> Vec<&mut [u8]> {
        self.0.chunks_exact_mut(COLUMN).collect()
    }

    pub(super) fn write(&self, rows: &mut [&mut [u8]]) {
        for (padded, row) in self.0.chunks_exact(COLUMN).zip(rows) {
            let (low, high) = row.split_at_mut(row.len() / 2);
            let count = low.len().min(COLUMN / 2);
            low[..count].copy_from_slice(&padded[..count]);
            high[..count].copy_from_slice(&padded[COLUMN / 2..][..count]);
        }
    }
}
