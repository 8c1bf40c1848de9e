//! The oracle: Reed-Solomon as polynomial interpolation, over fields written out by hand.
//!
//! Shares no code or tables with any backend. Every code is the same sentence with other numbers: chunk `i` is, column by
//! column, the value at its point of the one polynomial of lowest degree through the chunks that are known and through 0 at
//! the code's padding points. So any `k` chunks give any other one by Lagrange interpolation.
//!
//! In `rs-vandermonde` the point of chunk `i` is `i` and there is no padding; that equals the usual description (the
//! Vandermonde matrix with row `i` = (1, i, i^2, ..), times the inverse of its top square), because both are systematic and
//! linear in the same monomials. The other codes' points are in `README.md` beside this file.

use std::ops::Range;
use std::sync::LazyLock;

use rand::RngExt;

use super::{Code, Shape};
use crate::backend::{Mismatch, generator};

/// Up to this many multiplications, [`compare`] looks at every symbol.
const FULL_PRODUCTS: usize = 1 << 25;

/// Product of polynomials over GF(2) modulo another of degree `bits`, by shifting and adding.
fn multiply(bits: u32, modulus: u32, mut a: u32, b: u32) -> u32 {
    let mut product = 0;
    for bit in 0..bits {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a >> bits == 1 {
            a ^= modulus;
        }
    }
    product
}

/// A field whose elements are numbered by their coordinates in some basis.
struct Field {
    bits: u32,
    log: Vec<u16>,
    exp: Vec<u16>,
}

impl Field {
    /// `basis`: polynomials that the bits of a number stand for. `modulus` is primitive: 2 generates the field.
    fn new(bits: u32, modulus: u32, basis: &[u32]) -> Self {
        let polynomial = |x: usize| (0..bits).filter(|i| x >> i & 1 == 1).fold(0, |sum, i| sum ^ basis[i as usize]);
        let mut number = vec![0; 1 << bits];
        for x in 0..1 << bits {
            number[polynomial(x) as usize] = x as u16;
        }
        let powers = std::iter::successors(Some(1), |power| Some(multiply(bits, modulus, *power, 2)));
        let exp: Vec<u16> = powers.take((1 << bits) - 1).map(|power| number[power as usize]).collect();
        let mut log = vec![0; 1 << bits];
        (0..).zip(&exp).for_each(|(i, x)| log[usize::from(*x)] = i);
        Self { bits, log, exp }
    }

    /// Of an element that is not 0.
    fn log(&self, x: usize) -> usize {
        usize::from(self.log[x])
    }

    fn exp(&self, log: usize) -> u16 {
        self.exp[log % self.exp.len()]
    }

    fn product(&self, a: u16, b: u16) -> u16 {
        if a == 0 || b == 0 { 0 } else { self.exp(self.log(usize::from(a)) + self.log(usize::from(b))) }
    }
}

static POLYNOMIAL_8: LazyLock<Field> = LazyLock::new(|| Field::new(8, 0x11d, &[1, 2, 4, 8, 16, 32, 64, 128]));
static CANTOR_8: LazyLock<Field> = LazyLock::new(|| Field::new(8, 0x11d, &[1, 214, 152, 146, 86, 200, 88, 230]));
static CANTOR_16: LazyLock<Field> = LazyLock::new(|| {
    let basis =
        [1, 44234, 15374, 5694, 50562, 60718, 37196, 16402, 27800, 4312, 27250, 47360, 64952, 64308, 65336, 39198];
    Field::new(16, 0x1_002d, &basis)
});

/// A code of one shape: where its chunks lie, and where 0 does.
struct Layout {
    field: &'static Field,
    /// First points of data and of parity.
    data: usize,
    parity: usize,
    k: usize,
    padding: Range<usize>,
}

impl Layout {
    fn new(shape: &Shape) -> Self {
        let (k, m) = (shape.k(), shape.m());
        let (padded_k, padded_m) = (k.next_power_of_two(), m.next_power_of_two());
        let (field, prefers_high): (&'static Field, bool) = match shape.code {
            Code::RsVandermonde => {
                return Self { field: &POLYNOMIAL_8, data: 0, parity: k, k, padding: 0..0 };
            }
            Code::RsFft8 => (&CANTOR_8, k >= m),
            Code::RsFft16 if padded_k == padded_m => (&CANTOR_16, k <= m),
            Code::RsFft16 => (&CANTOR_16, padded_k > padded_m),
        };
        let order = 1 << field.bits;
        let high_fits = padded_m + k <= order;
        let low_fits = padded_k + m <= order;
        if high_fits && (prefers_high || !low_fits) {
            let end = padded_m + k;
            Self { field, data: padded_m, parity: 0, k, padding: end..end.next_power_of_two() }
        } else if low_fits {
            Self { field, data: 0, parity: padded_k, k, padding: k..padded_k }
        } else {
            Self { field, data: 0, parity: k, k, padding: 0..0 }
        }
    }

    fn point(&self, chunk: usize) -> usize {
        if chunk < self.k { self.data + chunk } else { self.parity + chunk - self.k }
    }

    /// Bytes of a symbol.
    fn symbol_bytes(&self) -> usize {
        self.field.bits as usize / 8
    }

    /// Symbol number `at` of a chunk.
    fn symbol(&self, chunk: &[u8], at: usize) -> u16 {
        if self.field.bits == 8 {
            return u16::from(chunk[at]);
        }
        // Runs of 64 bytes: 32 low bytes, 32 high bytes; a shorter one at the end, halved alike.
        let (run, at) = (at / 32 * 64, at % 32);
        let high = (chunk.len() - run).min(64) / 2;
        u16::from_le_bytes([chunk[run + at], chunk[run + high + at]])
    }
}

/// Interpolates over fixed known chunks.
struct Interpolation<'a> {
    layout: Layout,
    known: &'a [(usize, &'a [u8])],
    /// All points with known values.
    nodes: Vec<usize>,
    /// For each known chunk, the logarithm of the product of its point's differences to all other nodes.
    denominators: Vec<usize>,
}

impl<'a> Interpolation<'a> {
    fn new(shape: &Shape, known: &'a [(usize, &'a [u8])]) -> Self {
        let layout = Layout::new(shape);
        let points = known.iter().map(|(chunk, _)| layout.point(*chunk));
        let nodes: Vec<usize> = points.chain(layout.padding.clone()).collect();
        let denominator =
            |point: &usize| nodes.iter().filter(|node| *node != point).map(|n| layout.field.log(n ^ point)).sum();
        let denominators = nodes[..known.len()].iter().map(denominator).collect();
        Self { layout, known, nodes, denominators }
    }

    /// Lagrange coefficients: a chunk that is not known as a combination of the known ones.
    fn coefficients(&self, chunk: usize) -> Vec<u16> {
        let (x, field) = (self.layout.point(chunk), self.layout.field);
        let numerator: usize = self.nodes.iter().map(|node| field.log(node ^ x)).sum();
        let group = field.exp.len();
        let coefficient = |(node, denominator): (&usize, &usize)| {
            field.exp(numerator + 2 * group - field.log(node ^ x) - denominator % group)
        };
        self.nodes.iter().zip(&self.denominators).map(coefficient).collect()
    }

    /// Symbols at `columns` of the combination.
    fn combine(&self, coefficients: &[u16], columns: &[usize]) -> Vec<u16> {
        let mut sum = vec![0; columns.len()];
        for (coefficient, (_, chunk)) in coefficients.iter().zip(self.known) {
            // A product is linear: that of the low byte plus that of the high one. Tables pay for many columns.
            let byte_products = |shift: u32| -> Vec<u16> {
                let count = if columns.len() < 256 || shift >= self.layout.field.bits { 0u16 } else { 256 };
                (0..count).map(|byte| self.layout.field.product(*coefficient, byte << shift)).collect()
            };
            let (low, high) = (byte_products(0), byte_products(8));
            for (sum, column) in sum.iter_mut().zip(columns) {
                let symbol = self.layout.symbol(chunk, *column);
                *sum ^= if low.is_empty() {
                    self.layout.field.product(*coefficient, symbol)
                } else {
                    low[usize::from(symbol & 0xff)] ^ high.get(usize::from(symbol >> 8)).unwrap_or(&0)
                };
            }
        }
        sum
    }
}

/// The chunk `index`, from exactly `k` known chunks with distinct indices below `k + m`, not among them itself.
///
/// # Panics
///
/// If the known chunks are not such: it is an oracle.
pub fn extend(shape: &Shape, known: &[(usize, &[u8])], indices: &[usize]) -> Vec<Vec<u8>> {
    let interpolation = Interpolation::new(shape, known);
    let bytes = known[0].1.len();
    let width = interpolation.layout.symbol_bytes();
    let columns: Vec<usize> = (0..bytes / width).collect();
    let extend = |index: &usize| {
        let symbols = interpolation.combine(&interpolation.coefficients(*index), &columns);
        if width == 1 {
            return symbols.iter().map(|symbol| symbol.to_le_bytes()[0]).collect();
        }
        let low_then_high = |run: &[u16]| {
            let low = run.iter().map(|symbol| symbol.to_le_bytes()[0]);
            low.chain(run.iter().map(|symbol| symbol.to_le_bytes()[1])).collect::<Vec<u8>>()
        };
        symbols.chunks(32).flat_map(low_then_high).collect()
    };
    indices.iter().map(extend).collect()
}

/// Compares claimed chunks with those that `known` (exactly `k`, equally long) define: every symbol where that is
/// affordable, else the first and last column and random ones that follow from the claim.
///
/// # Errors
///
/// The first chunk that differs.
pub fn compare(shape: &Shape, known: &[(usize, &[u8])], claimed: &[(usize, &[u8])]) -> Result<(), Mismatch> {
    let interpolation = Interpolation::new(shape, known);
    let layout = &interpolation.layout;
    let symbols = known.first().map_or(0, |(_, chunk)| chunk.len()) / layout.symbol_bytes();
    let products_a_column = known.len() * claimed.len().max(1);
    let columns: Vec<usize> = if products_a_column * symbols <= FULL_PRODUCTS {
        (0..symbols).collect()
    } else {
        let mut hash = blake3::Hasher::new();
        for (_, chunk) in claimed {
            hash.update(chunk);
        }
        let seed = hash.finalize().as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let mut rng = generator("erasure columns", seed, 0);
        let count = (FULL_PRODUCTS / products_a_column).clamp(8, 256);
        let random = (0..count).map(|_| rng.random_range(0..symbols));
        [0, symbols - 1].into_iter().chain(random).collect()
    };
    for &(item, chunk) in claimed {
        let want = interpolation.combine(&interpolation.coefficients(item), &columns);
        for (column, want) in columns.iter().zip(want) {
            let got = layout.symbol(chunk, *column);
            if got != want {
                let width = 2 + 2 * layout.symbol_bytes();
                let got = format!("{got:#0width$x} in symbol {column}");
                return Err(Mismatch { item, got, want: format!("{want:#0width$x}") });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_multiply_as_shifting_and_adding_does() {
        for (a, b) in [(1, 1), (2, 128), (0x53, 0xca), (255, 255), (0, 9), (9, 0)] {
            assert_eq!(u32::from(POLYNOMIAL_8.product(a, b)), multiply(8, 0x11d, a.into(), b.into()));
        }
        for field in [&*POLYNOMIAL_8, &*CANTOR_8, &*CANTOR_16] {
            let all: std::collections::BTreeSet<u16> = field.exp.iter().copied().collect();
            assert_eq!(all.len(), field.exp.len(), "2 generates the field");
            assert!(!all.contains(&0));
            assert_eq!(field.product(1, 77), 77);
        }
    }

    #[test]
    fn one_data_chunk_is_repeated_and_two_lie_on_a_line() {
        let one = Shape::new(Code::RsVandermonde, 1, 9).unwrap();
        assert_eq!(extend(&one, &[(0, &[7, 9])], &[5]), [[7, 9]]);
        // The line through (0, a) and (1, b) is a + (a + b) x.
        let two = Shape::new(Code::RsVandermonde, 2, 250).unwrap();
        let (a, b) = (0x53u8, 0xcau8);
        let line = |x: u32| a ^ multiply(8, 0x11d, (a ^ b).into(), x).to_le_bytes()[0];
        assert_eq!(extend(&two, &[(0, &[a]), (1, &[b])], &[2, 200]), [[line(2)], [line(200)]]);
    }

    #[test]
    fn the_additive_codes_are_polynomials_too() {
        // k = 2, m = 4: low rate without padding. The line through (0, a) and (1, b), at points 2.. in the Cantor basis.
        let (a, b) = (0x53, 0xca);
        let line = |x: u16| (a ^ CANTOR_8.product(a ^ b, x)).to_le_bytes()[0];
        let shape = Shape::new(Code::RsFft8, 2, 4).unwrap();
        assert_eq!(extend(&shape, &[(0, &[0x53]), (1, &[0xca])], &[2, 5]), [[line(2)], [line(5)]]);
        let shape = Shape::new(Code::RsFft16, 1, 3).unwrap();
        assert_eq!(extend(&shape, &[(0, &[1, 2, 3, 4])], &[3]), [[1, 2, 3, 4]]);
    }

    #[test]
    fn a_wrong_byte_is_found_in_small_and_in_large_chunks() {
        let large = FULL_PRODUCTS + 2;
        for code in Code::ALL {
            let shape = Shape::new(code, 1, 1).unwrap();
            for len in [2, 64, large] {
                let data = vec![0xa5; len];
                let mut parity = data.clone();
                assert_eq!(compare(&shape, &[(0, &data)], &[(1, &parity)]), Ok(()));
                parity[len - 1] ^= 1;
                assert_eq!(compare(&shape, &[(0, &data)], &[(1, &parity)]).unwrap_err().item, 1);
            }
        }
    }
}
