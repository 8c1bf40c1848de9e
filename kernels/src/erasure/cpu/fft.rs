//! `rs-fft8` and `rs-fft16` in plain code: every row as symbols, every transform whole, one butterfly at a time.
//!
//! The transform over the points of a block is that of Lin, Chung and Han ("Novel polynomial basis and its application to
//! Reed-Solomon erasure codes", FOCS 2014): in the basis of products of `s_i(x)`, the polynomials that vanish on the points
//! below `2^i`, the two halves of a polynomial `low + s_i high` have on the two halves of a block the values of
//!
//! ```text
//! low + t high     and     low + (t + 1) high,      t = s_i(first point of the block) = first point >> i
//! ```
//!
//! Bytes are symbols in `rs-fft8`. In `rs-fft16` a row is cut into runs of 64 bytes (the last may be shorter, but even): the
//! first half of a run holds the low bytes of its symbols, the second the high bytes.

use crate::backend::Error;
use crate::erasure::coder::{COLUMN, Coder, Erasures, Restore};
use crate::erasure::field::Field;
use crate::erasure::pattern::{Pattern, Transforms};
use crate::erasure::points::{Class, Points};

/// What lives across calls.
pub(in crate::erasure) struct Fft {
    points: Points,
}

/// One row.
type Symbols = Vec<u16>;

impl Fft {
    pub(in crate::erasure) fn new(points: Points) -> Self {
        Self { points }
    }

    /// `count` rows, the first of which are given; the rest 0.
    fn padded<'a>(&self, rows: impl Iterator<Item = &'a &'a [u8]>, count: usize, len: usize) -> Vec<Symbols> {
        let mut symbols: Vec<Symbols> = rows.map(|row| read(self.points.field, row)).collect();
        symbols.resize(count, vec![0; symbol_count(self.points.field, len)]);
        symbols
    }
}

impl Coder for Fft {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        let Points { field, block, k, m, class } = self.points;
        let len = parity.first().map_or(0, |row| row.len());
        match class {
            Class::HighRate => {
                let mut sum = self.padded([].iter(), block, len);
                for (i, rows) in data.chunks(block).enumerate() {
                    let mut rows = self.padded(rows.iter(), block, len);
                    inverse(field, &mut rows, block * (i + 1));
                    for (sum, row) in sum.iter_mut().zip(&rows) {
                        add(sum, row);
                    }
                }
                forward(field, &mut sum, 0);
                parity.iter_mut().zip(&sum).for_each(|(out, row)| write(field, row, out));
            }
            Class::LowRate | Class::Full => {
                let mut polynomial = self.padded(data.iter(), block, len);
                // With low rate, the rows behind the data are values 0; in the full class, coefficients 0.
                let known = if class == Class::LowRate { block } else { k };
                truncated_inverse(field, &mut polynomial, 0, known);
                let points = self.points.parity();
                for first in (points.start & !(block - 1)..points.end).step_by(block) {
                    let mut rows = polynomial.clone();
                    forward(field, &mut rows, first);
                    for (point, row) in (first..).zip(&rows).filter(|(point, _)| points.contains(point)) {
                        write(field, row, parity[point - points.start]);
                    }
                }
                debug_assert_eq!(parity.len(), m);
            }
        }
        Ok(())
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        let pattern = Pattern::solve(&self.points, &erasures.used, &erasures.missing);
        let field = self.points.field;
        let transforms = pattern.transforms();
        Ok(if pattern.matrix_products() <= transforms.products() {
            Box::new(ByMatrix { field, rows: pattern.matrix() })
        } else {
            Box::new(ByTransforms { field, transforms })
        })
    }
}

struct ByMatrix {
    field: &'static Field,
    rows: Vec<Vec<u16>>,
}

impl Restore for ByMatrix {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        let used: Vec<Symbols> = used.iter().map(|row| read(self.field, row)).collect();
        for (out, row) in missing.iter_mut().zip(&self.rows) {
            let mut sum = vec![0; symbol_count(self.field, out.len())];
            for (symbols, factor) in used.iter().zip(row) {
                multiply_add(self.field, &mut sum, symbols, *factor);
            }
            write(self.field, &sum, out);
        }
        Ok(())
    }
}

struct ByTransforms {
    field: &'static Field,
    transforms: Transforms,
}

impl Restore for ByTransforms {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        let (field, block) = (self.field, self.transforms.block);
        let len = symbol_count(field, missing.first().map_or(0, |row| row.len()));
        let mut inputs = Vec::with_capacity(self.transforms.inputs.len());
        for input in &self.transforms.inputs {
            let mut rows = vec![vec![0; len]; block];
            for row in &input.rows {
                multiply_add(field, &mut rows[row.at], &read(field, used[row.chunk]), row.factor);
            }
            inverse(field, &mut rows, input.first);
            inputs.push(rows);
        }
        for output in &self.transforms.outputs {
            let mut sum = match output.derivative {
                Some(input) => derivative(&inputs[input]),
                None => vec![vec![0; len]; block],
            };
            for (rows, factor) in inputs.iter().zip(&output.mix) {
                for (sum, row) in sum.iter_mut().zip(rows) {
                    multiply_add(field, sum, row, *factor);
                }
            }
            forward(field, &mut sum, output.first);
            for row in &output.rows {
                let mut out = vec![0; len];
                multiply_add(field, &mut out, &sum[row.at], row.factor);
                write(field, &out, missing[row.chunk]);
            }
        }
        Ok(())
    }
}

/// Values on the block from `first` on to coefficients. The number of rows is a power of two.
fn inverse(field: &Field, rows: &mut [Symbols], first: usize) {
    truncated_inverse(field, rows, first, rows.len());
}

/// The first `known` rows hold values on the block from `first` on, the others coefficients; out come all coefficients.
///
/// The idea of the truncated transform (J. van der Hoeven, "The truncated Fourier transform and applications", 2004) in
/// this basis: whichever half is whole is solved first and turns the other's coefficients into what its points need.
fn truncated_inverse(field: &Field, rows: &mut [Symbols], first: usize, known: usize) {
    let half = rows.len() / 2;
    if half == 0 || known == 0 {
        return;
    }
    let twiddle = (first >> half.trailing_zeros()) as u16;
    let (low, high) = rows.split_at_mut(half);
    if known >= half {
        truncated_inverse(field, low, first, half);
        let rest = known - half;
        for (low, high) in low.iter().zip(high.iter_mut()).skip(rest) {
            add(high, low);
        }
        truncated_inverse(field, high, first + half, rest);
        for (low, high) in low.iter_mut().zip(high) {
            add(high, low);
            multiply_add(field, low, high, twiddle);
        }
    } else {
        for (low, high) in low.iter_mut().zip(high.iter()).skip(known) {
            multiply_add(field, low, high, twiddle);
        }
        truncated_inverse(field, low, first, known);
        for (low, high) in low.iter_mut().zip(high) {
            multiply_add(field, low, high, twiddle);
        }
    }
}

/// Coefficients to values on the block from `first` on.
fn forward(field: &Field, rows: &mut [Symbols], first: usize) {
    let half = rows.len() / 2;
    if half == 0 {
        return;
    }
    let twiddle = (first >> half.trailing_zeros()) as u16;
    let (low, high) = rows.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high.iter_mut()) {
        multiply_add(field, low, high, twiddle);
        add(high, low);
    }
    forward(field, low, first);
    forward(field, high, first + half);
}

/// The derivative: every `s_i` has derivative 1, so the product rule takes each bit of an index away in turn.
fn derivative(rows: &[Symbols]) -> Vec<Symbols> {
    let of = |j: usize| {
        let mut sum = vec![0; rows[0].len()];
        for bit in (0..rows.len().trailing_zeros()).map(|i| 1 << i).filter(|bit| j & bit == 0) {
            add(&mut sum, &rows[j | bit]);
        }
        sum
    };
    (0..rows.len()).map(of).collect()
}

fn add(sum: &mut [u16], row: &[u16]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum ^= x);
}

/// `sum += factor * row`.
fn multiply_add(field: &Field, sum: &mut [u16], row: &[u16], factor: u16) {
    if factor == 0 {
        return;
    }
    // A product is linear: that of the low byte plus that of the high byte.
    let mut tables = [[0u16; 256]; 2];
    for bit in 0..field.bits() as usize {
        let image = field.multiply(factor, 1 << bit);
        let (table, bit) = (&mut tables[bit / 8], bit % 8);
        for x in 0..1 << bit {
            table[x | 1 << bit] = table[x] ^ image;
        }
    }
    for (sum, x) in sum.iter_mut().zip(row) {
        let [low, high] = x.to_le_bytes();
        *sum ^= tables[0][usize::from(low)] ^ tables[1][usize::from(high)];
    }
}

fn symbol_count(field: &Field, bytes: usize) -> usize {
    bytes / (field.bits() as usize / 8)
}

fn read(field: &Field, row: &[u8]) -> Symbols {
    if field.bits() == 8 {
        return row.iter().map(|byte| u16::from(*byte)).collect();
    }
    let symbols = row.chunks(COLUMN).flat_map(|run| {
        let (low, high) = run.split_at(run.len() / 2);
        low.iter().zip(high).map(|(low, high)| u16::from_le_bytes([*low, *high]))
    });
    symbols.collect()
}

fn write(field: &Field, symbols: &[u16], row: &mut [u8]) {
    if field.bits() == 8 {
        row.iter_mut().zip(symbols).for_each(|(byte, symbol)| *byte = symbol.to_le_bytes()[0]);
        return;
    }
    for (run, symbols) in row.chunks_mut(COLUMN).zip(symbols.chunks(COLUMN / 2)) {
        let (low, high) = run.split_at_mut(run.len() / 2);
        for ((low, high), symbol) in low.iter_mut().zip(high).zip(symbols) {
            [*low, *high] = symbol.to_le_bytes();
        }
    }
}
