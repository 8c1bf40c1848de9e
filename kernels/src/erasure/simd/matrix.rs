//! Products of a matrix of constants with rows of bytes: `output r = sum over j of C[r][j] input j`, column by column.
//!
//! The cheapest way while rows of the matrix are few, as with few parity chunks or few losses. A product costs
//! `rows * columns` multiplications a byte, where the transforms cost about `size log size`.
//!
//! - **Registers.** A tile is [`TALL`] outputs by [`ACROSS`] vectors: 8 sums, which stay in registers over all inputs. A
//!   vector of input is loaded once a tile and a constant once in [`ACROSS`] products.
//! - **Cache.** Rows are cut into strips. The first tile reads a strip from the rows and leaves it behind in one buffer, made
//!   ready for products; further tiles read the buffer, in order. So rows are read once, whatever their distance: at a
//!   multiple of 4 KiB all of them would compete for one set of the first cache. With one tile there is no buffer.
//! - **Constants.** A field of 256 elements has 256 multipliers, 8 KiB as nibble tables; a matrix is a byte a coefficient, in
//!   the order of use. A matrix that serves one call costs no more than to write its coefficients.
//!
//! Outputs are stored as usual: stores past the caches gained nothing, and the next reader is near.

use std::sync::Arc;

use super::vectors::{ByteMap, Kernel, Vectors};

/// Rows of a tile.
const TALL: usize = 4;
/// Vectors of a tile's rows.
const ACROSS: usize = 2;
/// Bytes of the buffer of a strip, at most but for many columns: fits the first cache, or nearly.
const STRIP: usize = 1 << 15;
/// How many bytes ahead rows are asked for: the hardware does not follow so many at once.
const AHEAD: usize = 256;
/// Bytes of a cache line.
const LINE: usize = 64;

/// The multipliers of all constants of a field.
pub(super) struct Constants<V: Vectors> {
    vectors: V,
    multipliers: [V::Multiplier; 256],
}

impl<V: Vectors> Constants<V> {
    /// By the field's product.
    pub(super) fn new(vectors: V, product: impl Fn(u8, u8) -> u8) -> Arc<Self> {
        let multiplier = |constant: u8| V::multiplier(&ByteMap::new(|x| product(constant, x)));
        let multipliers = std::array::from_fn(|constant| multiplier(constant.to_le_bytes()[0]));
        Arc::new(Self { vectors, multipliers })
    }

    /// That of each constant.
    pub(super) fn multipliers(&self) -> &[V::Multiplier; 256] {
        &self.multipliers
    }
}

/// A matrix, ready for rows.
pub(super) struct Matrix<V: Vectors> {
    constants: Arc<Constants<V>>,
    rows: usize,
    columns: usize,
    /// Tile after tile, in each column after column, in each row after row.
    coefficients: Vec<u8>,
}

impl<V: Vectors> Matrix<V> {
    /// `coefficients` row after row, `columns` in each.
    pub(super) fn new(constants: &Arc<Constants<V>>, columns: usize, coefficients: &[u8]) -> Self {
        let rows = coefficients.len().checked_div(columns).unwrap_or(0);
        let mut ordered = vec![0; coefficients.len()];
        for (tile, rows) in
            ordered.chunks_mut((TALL * columns).max(1)).zip(coefficients.chunks((TALL * columns).max(1)))
        {
            match rows.len() / columns {
                TALL => interleave::<TALL>(tile, rows, columns),
                3 => interleave::<3>(tile, rows, columns),
                2 => interleave::<2>(tile, rows, columns),
                _ => tile.copy_from_slice(rows),
            }
        }
        Self { constants: Arc::clone(constants), rows, columns, coefficients: ordered }
    }

    /// Overwrites the outputs, one for each row, by the inputs, one for each column.
    ///
    /// # Panics
    ///
    /// If the counts differ from the matrix's, or a length from the others: rows are cut by the same code that counts them.
    pub(super) fn multiply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let len = outputs.first().map_or(0, |row| row.len());
        assert_eq!((outputs.len(), inputs.len()), (self.rows, self.columns));
        assert!(outputs.iter().all(|row| row.len() == len) && inputs.iter().all(|row| row.len() == len));
        let least = ACROSS * V::WIDTH;
        if len >= least {
            return self.constants.vectors.run(Product { matrix: self, inputs, outputs, len });
        }
        if len == 0 {
            return;
        }
        // Too short for one tile: the same on rows with zeros behind.
        let mut padded = vec![0; (self.columns + self.rows) * least];
        let (padded_inputs, padded_outputs) = padded.split_at_mut(self.columns * least);
        for (padded, input) in padded_inputs.chunks_exact_mut(least).zip(inputs) {
            padded[..len].copy_from_slice(input);
        }
        let padded_inputs: Vec<&[u8]> = padded_inputs.chunks_exact(least).collect();
        self.multiply(&padded_inputs, &mut padded_outputs.chunks_exact_mut(least).collect::<Vec<_>>());
        for (output, padded) in outputs.iter_mut().zip(padded_outputs.chunks_exact(least)) {
            output.copy_from_slice(&padded[..len]);
        }
    }
}

/// `R` rows of `columns` coefficients to `columns` runs of `R`.
fn interleave<const R: usize>(tile: &mut [u8], rows: &[u8], columns: usize) {
    let rows: [&[u8]; R] = std::array::from_fn(|row| &rows[row * columns..][..columns]);
    for (column, run) in tile.as_chunks_mut::<R>().0.iter_mut().enumerate() {
        *run = rows.map(|row| row[column]);
    }
}

/// One product with rows of `len` bytes, at least a tile's width.
struct Product<'a, 'b, V: Vectors> {
    matrix: &'a Matrix<V>,
    inputs: &'a [&'a [u8]],
    outputs: &'a mut [&'b mut [u8]],
    len: usize,
}

impl<V: Vectors> Kernel<V> for Product<'_, '_, V> {
    type Output = ();

    #[inline(always)]
    fn run(mut self, v: V) {
        let (rows, columns, width) = (self.matrix.rows, self.matrix.columns, ACROSS * V::WIDTH);
        let per_place = columns * ACROSS;
        // Tiles' widths, counted along the rows.
        let places = self.len / width;
        let strip = match rows {
            0..=TALL => places,
            _ => (STRIP / (per_place * size_of::<V::Operand>()).max(1)).clamp(1, places),
        };
        let buffered = if rows > TALL { strip * per_place } else { 0 };
        let mut buffer: Vec<V::Operand> = Vec::with_capacity(buffered);
        let kept = buffer.as_mut_ptr();
        let mut start = 0;
        // The last strip ends where the rows end, and may write again what is there already.
        while start < self.len {
            let places = strip.min(((self.len - start) / width).max(1));
            let first = start.min(self.len - places * width);
            for row in (0..rows).step_by(TALL) {
                let coefficients = &self.matrix.coefficients[row * columns..][..TALL.min(rows - row) * columns];
                let strip = Strip { row, coefficients, first, places, kept };
                // SAFETY: the places lie in the rows, as `first` plus their widths is at most the rows' length; the buffer, if
                // it is used, has that many places, and the first tile fills it for the others.
                unsafe {
                    match (rows - row, row) {
                        (1, 0) => self.strip::<1, ROWS>(v, strip),
                        (2, 0) => self.strip::<2, ROWS>(v, strip),
                        (3, 0) => self.strip::<3, ROWS>(v, strip),
                        (4, 0) => self.strip::<4, ROWS>(v, strip),
                        (_, 0) => self.strip::<4, ROWS_TO_BUFFER>(v, strip),
                        (1, _) => self.strip::<1, BUFFER>(v, strip),
                        (2, _) => self.strip::<2, BUFFER>(v, strip),
                        (3, _) => self.strip::<3, BUFFER>(v, strip),
                        _ => self.strip::<4, BUFFER>(v, strip),
                    }
                }
            }
            start = first + places * width;
        }
    }
}

/// Operands come from the rows.
const ROWS: u8 = 0;
/// Operands come from the rows and go to the buffer too.
const ROWS_TO_BUFFER: u8 = 1;
/// Operands come from the buffer.
const BUFFER: u8 = 2;

/// A tile's work on one strip.
struct Strip<'a, V: Vectors> {
    /// The first of the tile's outputs.
    row: usize,
    /// Of the tile.
    coefficients: &'a [u8],
    /// Where the strip begins in the rows.
    first: usize,
    /// Tiles side by side.
    places: usize,
    /// The buffer: [`ACROSS`] operands for each column in each place.
    kept: *mut V::Operand,
}

impl<V: Vectors> Product<'_, '_, V> {
    /// # Safety
    ///
    /// The strip lies in the rows, `R` outputs follow its `row`, and the buffer has its places if `OPERANDS` names it;
    /// they are written if operands come from there.
    #[inline(always)]
    unsafe fn strip<const R: usize, const OPERANDS: u8>(&mut self, v: V, strip: Strip<V>) {
        let (coefficients, _) = strip.coefficients.as_chunks::<R>();
        // With registers for it, two columns a turn: a sum of three can be one instruction.
        let paired = if V::REGISTERS >= 32 { self.inputs.len() / 2 * 2 } else { 0 };
        let (input_pairs, inputs) = self.inputs.split_at(paired);
        let (coefficient_pairs, coefficients) = coefficients.split_at(paired);
        let (input_pairs, _) = input_pairs.as_chunks::<2>();
        let (coefficient_pairs, _) = coefficient_pairs.as_chunks::<2>();
        let mut kept = strip.kept;
        for place in 0..strip.places {
            let at = strip.first + place * ACROSS * V::WIDTH;
            let mut sums = [[v.zero(); ACROSS]; R];
            for (pair, coefficients) in input_pairs.iter().zip(coefficient_pairs) {
                // SAFETY: the vectors lie in the rows, and the operands in the buffer.
                unsafe {
                    self.column::<R, OPERANDS>(v, pair[0], &coefficients[0], at, &mut kept, &mut sums);
                    self.column::<R, OPERANDS>(v, pair[1], &coefficients[1], at, &mut kept, &mut sums);
                }
            }
            for (input, coefficients) in inputs.iter().zip(coefficients) {
                // SAFETY: the vectors lie in the rows, and the operands in the buffer.
                unsafe { self.column::<R, OPERANDS>(v, input, coefficients, at, &mut kept, &mut sums) };
            }
            for (output, sums) in self.outputs[strip.row..strip.row + R].iter_mut().zip(sums) {
                for (across, sum) in sums.into_iter().enumerate() {
                    // SAFETY: the vector lies in the row.
                    unsafe { v.store(output.as_mut_ptr().add(at + across * V::WIDTH), sum) };
                }
            }
        }
    }

    /// Adds one column's products, and moves on in the buffer.
    ///
    /// # Safety
    ///
    /// The input has [`ACROSS`] vectors at `at`, and the buffer room for as many operands if `OPERANDS` names it; they are
    /// written if they come from there.
    #[inline(always)]
    unsafe fn column<const R: usize, const OPERANDS: u8>(
        &self,
        v: V,
        input: &[u8],
        coefficients: &[u8; R],
        at: usize,
        kept: &mut *mut V::Operand,
        sums: &mut [[V::Vector; ACROSS]; R],
    ) {
        let mut operands = [v.operand(v.zero()); ACROSS];
        for (across, operand) in operands.iter_mut().enumerate() {
            // SAFETY: the vector lies in the row, or the operand in the buffer.
            *operand = unsafe {
                match OPERANDS {
                    BUFFER => kept.add(across).read(),
                    _ => v.operand(v.load(input.as_ptr().add(at + across * V::WIDTH))),
                }
            };
            if OPERANDS == ROWS_TO_BUFFER {
                // SAFETY: the buffer has this place.
                unsafe { kept.add(across).write(*operand) };
            }
        }
        if OPERANDS != BUFFER {
            for line in (0..ACROSS * V::WIDTH).step_by(LINE) {
                v.prefetch(input.as_ptr().wrapping_add(at + AHEAD + line));
            }
        }
        if OPERANDS != ROWS {
            // SAFETY: the buffer goes on, or ends here with the last column of the last place.
            *kept = unsafe { kept.add(ACROSS) };
        }
        for (sums, coefficient) in sums.iter_mut().zip(coefficients) {
            let factor = v.factor(&self.matrix.constants.multipliers[usize::from(*coefficient)]);
            for (sum, operand) in sums.iter_mut().zip(operands) {
                *sum = v.xor(*sum, v.product(factor, operand));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::simd::vectors::{BitMatrixModel, NibbleModel};

    /// Product in GF(2^8) by shifts, polynomial 0x11D.
    fn product(a: u8, b: u8) -> u8 {
        (0..8).rev().fold(0, |sum: u8, bit| {
            let doubled = sum << 1 ^ if sum >> 7 == 1 { 0x1d } else { 0 };
            doubled ^ if b >> bit & 1 == 1 { a } else { 0 }
        })
    }

    /// Bytes without a pattern.
    fn noise(seed: usize, len: usize) -> Vec<u8> {
        let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// Rows of `len` bytes, `stride` apart, from `shift` on.
    struct Layout {
        len: usize,
        stride: usize,
        shift: usize,
    }

    /// Compares one product on one layout with byte-wise sums, and all bytes around the outputs with what they were.
    fn compare<V: Vectors>(
        constants: &Arc<Constants<V>>,
        rows: usize,
        columns: usize,
        layout: &Layout,
        fill: Option<u8>,
    ) {
        let Layout { len, stride, shift } = *layout;
        let case = format!("{} {rows} x {columns}, {len} bytes, stride {stride}, shift {shift}", V::NAME);
        let coefficients = noise(rows * 256 + columns, rows * columns);
        let matrix = Matrix::new(constants, columns, &coefficients);
        let memory = match fill {
            Some(byte) => vec![byte; shift + columns * stride],
            None => noise(len, shift + columns * stride),
        };
        let inputs: Vec<&[u8]> = memory[shift..].chunks_exact(stride).map(|row| &row[..len]).collect();
        let before = noise(len + 1, shift + rows * stride);
        let mut after = before.clone();
        matrix.multiply(
            &inputs,
            &mut after[shift..].chunks_exact_mut(stride).map(|row| &mut row[..len]).collect::<Vec<_>>(),
        );
        assert_eq!(after[..shift], before[..shift], "{case}");
        let rows_after = after[shift..].chunks_exact(stride).zip(before[shift..].chunks_exact(stride));
        for ((after, before), coefficients) in rows_after.zip(coefficients.chunks_exact(columns)) {
            let sum = |at: usize| coefficients.iter().zip(&inputs).fold(0, |sum, (c, row)| sum ^ product(*c, row[at]));
            assert!((0..len).all(|at| after[at] == sum(at)), "{case}");
            assert_eq!(after[len..], before[len..], "{case}");
        }
    }

    fn multiplies<V: Vectors>() {
        let Some(vectors) = V::detect() else { return };
        let constants = Constants::new(vectors, product);
        for rows in 1..=9 {
            for columns in [1, 2, 5] {
                for len in [0, 1, 63, 64, 65, 127, 128, 129, 200] {
                    compare(&constants, rows, columns, &Layout { len, stride: len + 3, shift: columns % 3 }, None);
                }
            }
        }
        for len in 0..200 {
            compare(&constants, 5, 3, &Layout { len, stride: len + 1, shift: 0 }, None);
        }
        for (rows, columns) in [(3, 40), (11, 40), (6, 255)] {
            for shift in [0, 1] {
                // Several strips, the last one short; rows compete for cache sets.
                compare(&constants, rows, columns, &Layout { len: 1111, stride: 2048, shift }, None);
            }
            for fill in [0, 0xff] {
                compare(&constants, rows, columns, &Layout { len: 150, stride: 150, shift: 0 }, Some(fill));
            }
        }
    }

    #[test]
    fn products_equal_byte_wise_sums_with_nibble_tables_in_plain_code() {
        multiplies::<NibbleModel>();
    }

    #[test]
    fn products_equal_byte_wise_sums_with_bit_matrices_in_plain_code() {
        multiplies::<BitMatrixModel>();
    }

    #[test]
    fn products_equal_byte_wise_sums_on_every_set_that_the_cpu_has() {
        #[cfg(target_arch = "x86_64")]
        {
            use crate::erasure::simd::vectors::{Avx2, Gfni256, Gfni512};
            multiplies::<Avx2>();
            multiplies::<Gfni256>();
            multiplies::<Gfni512>();
        }
        #[cfg(target_arch = "aarch64")]
        multiplies::<crate::erasure::simd::vectors::Neon>();
    }
}
