//! `rs-vandermonde`: by a matrix while that is small, and by additive transforms.
//!
//! Chunk `i` is the value at point `i` of the polynomial of degree below `k` through the data (see the README of the
//! codes), so every chunk is a combination of any `k` others with coefficients in closed form. With `P` the product of all
//! `x - y` over the known points `y`,
//!
//! ```text
//! chunk x = sum over known y of  P(x) / ((x - y) P'(y))  chunk y
//! ```
//!
//! which is Lagrange's formula. The generator's rows are those of the parity points over the data points; the rows of a
//! pattern are those of the missing points over the received ones. No system is solved and no matrix inverted. `P` and
//! `P'` at all points are sums of logarithms, 16 points at a time: of the `k` received points, or of the `2 e` by which
//! those differ from the data's, whichever is less. Then a coefficient is a look-up in each of two tables.
//!
//! The points are bytes, that is all sums of the powers of z below 2^8: values on them are also what the transforms of
//! `rs-fft8` compute, in another basis ([`GF8_POWERS`]). Its full class with the points in this order is this code, and
//! its patterns are solved alike. So parity of `m = k` costs about `k log k` products instead of `k^2`, with the same
//! bytes.

use std::sync::Arc;

use super::fft8::Fft8;
use super::matrix::{Constants, Matrix};
use super::vectors::Vectors;
use crate::backend::Error;
use crate::erasure::Shape;
use crate::erasure::coder::{Coder, Erasures, Restore};
use crate::erasure::field::GF8_POWERS;
use crate::erasure::pattern::Pattern;
use crate::erasure::points::{Class, Points};

/// How many products of a matrix take the time of how many of transforms, where rows are added and go through memory too:
/// when encoding, and by the rougher count of a pattern.
const ENCODING: (usize, usize) = (5, 2);
const PATTERN: (usize, usize) = (3, 2);

/// Whether so many products of a matrix take no more time than so many of transforms.
fn is_faster(matrix: usize, transforms: usize, ratio: (usize, usize)) -> bool {
    ratio.1 * matrix <= ratio.0 * transforms
}

/// What lives across calls.
pub(super) struct Vandermonde<V: Vectors> {
    k: usize,
    /// Over all data points.
    logs: LogProducts,
    /// Unless transforms are faster.
    generator: Option<Matrix<V>>,
    transforms: Fft8<V>,
}

impl<V: Vectors> Vandermonde<V> {
    /// For a valid shape of this code.
    pub(super) fn new(vectors: V, shape: &Shape) -> Self {
        let (data, parity): (Vec<usize>, Vec<usize>) = (0..shape.total()).partition(|chunk| *chunk < shape.k());
        let mut logs = LogProducts::none(shape.total());
        data.iter().for_each(|chunk| logs.include(point(*chunk)));
        logs.reduce();
        let (k, m) = (shape.k(), shape.m());
        let points = Points { field: &GF8_POWERS, class: Class::Full, k, m, block: k.next_power_of_two() };
        let transforms = Fft8::new(vectors, points);
        let by_matrix = is_faster(k * m, transforms.products(), ENCODING);
        let generator = by_matrix.then(|| interpolation(&transforms.constants, &logs, &data, &parity));
        Self { k, logs, generator, transforms }
    }
}

impl<V: Vectors> Coder for Vandermonde<V> {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        match &self.generator {
            Some(generator) => generator.multiply(data, parity),
            None => self.transforms.encode(data, parity)?,
        }
        Ok(())
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        let Erasures { used, missing } = erasures;
        let products = used.len() * missing.len();
        // An inverse and a forward transform are the least.
        let block = self.k.next_power_of_two();
        if !is_faster(products, block * block.ilog2() as usize, PATTERN) {
            let transforms = Pattern::solve(&self.transforms.points, used, missing).transforms();
            if !is_faster(products, transforms.products(), PATTERN) {
                return Ok(self.transforms.by_transforms(&transforms));
            }
        }
        let (arrived, parity) = used.split_at(self.k - missing.len());
        let mut logs = self.logs.clone();
        if arrived.len() < missing.len() {
            logs.clear();
            arrived.iter().for_each(|chunk| logs.include(point(*chunk)));
        } else {
            missing.iter().for_each(|chunk| logs.exclude(point(*chunk)));
        }
        parity.iter().for_each(|chunk| logs.include(point(*chunk)));
        logs.reduce();
        Ok(Box::new(Solved(interpolation(&self.transforms.constants, &logs, used, missing))))
    }
}

struct Solved<V: Vectors>(Matrix<V>);

impl<V: Vectors> Restore for Solved<V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        self.0.multiply(used, missing);
    }
}

/// Chunks are below 256.
fn point(chunk: usize) -> u8 {
    chunk.to_le_bytes()[0]
}

/// The chunks `wanted` as combinations of the chunks `known`, all different; `logs` over the known ones.
fn interpolation<V: Vectors>(
    constants: &Arc<Constants<V>>,
    logs: &LogProducts,
    known: &[usize],
    wanted: &[usize],
) -> Matrix<V> {
    // The logarithm of 1 / P'(y), and room for what is taken away.
    let weight = |y: &usize| (point(*y), 2 * ORDER - logs.at(point(*y)));
    let known: Vec<(u8, u16)> = known.iter().map(weight).collect();
    let mut coefficients = Vec::with_capacity(wanted.len() * known.len());
    for x in wanted.iter().map(|chunk| point(*chunk)) {
        let log_x = logs.at(x);
        let log = |y: u8, weight: u16| log_x + weight - u16::from(LOG[0][usize::from(x ^ y)]);
        coefficients.extend(known.iter().map(|&(y, weight)| EXP[usize::from(log(y, weight))]));
    }
    Matrix::new(constants, known.len(), &coefficients)
}

/// For every point the logarithm of the product of its differences from those of a set, itself left out.
#[derive(Clone)]
struct LogProducts {
    /// In blocks of 16 points.
    sums: [[u16; 16]; 16],
    /// Blocks in use.
    blocks: usize,
}

impl LogProducts {
    /// Over no points, for those below `end`, at most 256.
    fn none(end: usize) -> Self {
        Self { sums: [[0; 16]; 16], blocks: end.div_ceil(16) }
    }

    fn clear(&mut self) {
        self.sums = [[0; 16]; 16];
    }

    fn include(&mut self, point: u8) {
        self.add(point, |log| log);
    }

    fn exclude(&mut self, point: u8) {
        self.add(point, |log| ORDER - log);
    }

    /// Differences are exclusive-or: the low half permutes blocks within, the high half among themselves. From reduced
    /// sums on, 256 additions fit.
    #[inline(always)]
    fn add(&mut self, point: u8, term: impl Fn(u16) -> u16) {
        let (blocks, _) = LOG[usize::from(point & 15)].as_chunks::<16>();
        for (block, sums) in (0..).zip(&mut self.sums[..self.blocks]) {
            let logs: &[u8; 16] = &blocks[usize::from(block ^ point >> 4)];
            for (sum, log) in sums.iter_mut().zip(logs) {
                *sum += term(u16::from(*log));
            }
        }
    }

    /// Below the order.
    fn reduce(&mut self) {
        self.sums.as_flattened_mut().iter_mut().for_each(|sum| *sum %= ORDER);
    }

    /// Of a reduced set.
    fn at(&self, point: u8) -> u16 {
        self.sums.as_flattened()[usize::from(point)]
    }
}

/// The order of the multiplicative group, which the element 2 generates.
const ORDER: u16 = 255;

/// Powers of 2 in GF(2)\[z\] / (z^8 + z^4 + z^3 + z^2 + 1).
static EXP: [u8; 3 * ORDER as usize] = {
    let mut powers = [1; 3 * ORDER as usize];
    let mut i = 1;
    while i < powers.len() {
        let power: u8 = powers[i - 1];
        powers[i] = power << 1 ^ if power >> 7 == 1 { 0x1d } else { 0 };
        i += 1;
    }
    powers
};

/// `LOG[i][x]` is the logarithm of `x ^ i`; 0 for that of 0.
static LOG: [[u8; 256]; 16] = {
    let mut logs = [[0; 256]; 16];
    let mut log = 0;
    while log < ORDER as usize {
        let mut i = 0;
        while i < 16 {
            logs[i][EXP[log] as usize ^ i] = log as u8;
            i += 1;
        }
        log += 1;
    }
    logs
};

#[cfg(test)]
mod tests {
    use reed_solomon_erasure::galois_8;

    use super::*;
    use crate::erasure::simd::vectors::{BitMatrixModel, NibbleModel};
    use crate::erasure::{Code, naive};

    fn shape(k: u16, m: u16) -> Shape {
        Shape::new(Code::RsVandermonde, k, m).unwrap()
    }

    fn rows(count: usize, len: usize) -> Vec<Vec<u8>> {
        (0..count).map(|row| (0..len).map(|at| (row * 89 + at * 57 + row * at).to_le_bytes()[0]).collect()).collect()
    }

    fn slices(rows: &[Vec<u8>]) -> Vec<&[u8]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    fn outputs(rows: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
        rows.iter_mut().map(Vec::as_mut_slice).collect()
    }

    const SHAPES: [(u16, u16); 9] = [(1, 1), (2, 3), (10, 4), (4, 10), (7, 5), (32, 32), (85, 171), (255, 1), (1, 255)];

    fn encodes_as_the_crate<V: Vectors>() {
        let Some(vectors) = V::detect() else { return };
        for (k, m) in SHAPES {
            let data = rows(usize::from(k), 131);
            let mut parity = rows(usize::from(m), 131);
            let mut want = parity.clone();
            let coder = Vandermonde::new(vectors, &shape(k, m));
            coder.encode(&slices(&data), &mut outputs(&mut parity)).unwrap();
            let library = galois_8::ReedSolomon::new(usize::from(k), usize::from(m)).unwrap();
            library.encode_sep(&data, &mut want).unwrap();
            assert!(parity == want, "{} ({k}, {m})", V::NAME);
        }
    }

    /// Any `k` rows are some polynomial's values, so the oracle's answer for contradictory chunks is this one too.
    fn restores_as_the_oracle<V: Vectors>() {
        let Some(vectors) = V::detect() else { return };
        for (k, m) in SHAPES {
            let coder = Vandermonde::new(vectors, &shape(k, m));
            let (k, m) = (usize::from(k), usize::from(m));
            for lost in [1, 2, k.min(m).min(5), k.min(m) * 3 / 4, k.min(m)]
                .into_iter()
                .filter(|lost| (1..=k.min(m)).contains(lost))
            {
                let missing: Vec<usize> = (0..k).filter(|chunk| (chunk * 7 + lost) % k < lost).collect();
                let missing = if missing.len() == lost { missing } else { (k - lost..k).collect() };
                // Parity with gaps, where there is enough.
                let parity = (k..k + m).filter(|chunk| m < 2 * lost || chunk % 2 == 1).take(lost);
                let used: Vec<usize> = (0..k).filter(|chunk| !missing.contains(chunk)).chain(parity).collect();
                let received = rows(k, 70);
                let mut restored = rows(lost, 70);
                let erasures = Erasures { used, missing };
                coder.solve(&erasures).unwrap().restore(&slices(&received), &mut outputs(&mut restored));
                let known: Vec<(usize, &[u8])> =
                    erasures.used.iter().copied().zip(received.iter().map(Vec::as_slice)).collect();
                let want = naive::extend(&shape(k as u16, m as u16), &known, &erasures.missing);
                assert!(restored == want, "{} ({k}, {m}) without {lost}", V::NAME);
            }
        }
    }

    #[test]
    fn parity_equals_that_of_the_crate() {
        encodes_as_the_crate::<NibbleModel>();
        encodes_as_the_crate::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        encodes_as_the_crate::<crate::erasure::simd::vectors::Avx2>();
        #[cfg(target_arch = "aarch64")]
        encodes_as_the_crate::<crate::erasure::simd::vectors::Neon>();
    }

    #[test]
    fn any_received_rows_give_the_missing_rows_that_the_oracle_gives() {
        restores_as_the_oracle::<NibbleModel>();
        restores_as_the_oracle::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        restores_as_the_oracle::<crate::erasure::simd::vectors::Avx2>();
        #[cfg(target_arch = "aarch64")]
        restores_as_the_oracle::<crate::erasure::simd::vectors::Neon>();
    }

    #[test]
    fn the_tables_are_of_the_field() {
        for i in 1..EXP.len() {
            assert_eq!(EXP[i], galois_8::mul(EXP[i - 1], 2));
        }
        for (i, logs) in LOG.iter().enumerate() {
            assert!((0..256).all(|x| x == i || usize::from(EXP[usize::from(logs[x])]) == x ^ i));
        }
    }

    #[test]
    fn products_of_differences_leave_the_point_itself_out() {
        let points: Vec<u8> = (0..=255).step_by(3).collect();
        let mut logs = LogProducts::none(256);
        (0..=255).for_each(|point| logs.include(point));
        logs.reduce();
        (0..=255).filter(|point| point % 3 != 0).for_each(|point| logs.exclude(point));
        logs.reduce();
        for x in 0..=255 {
            let others = points.iter().filter(|y| **y != x);
            assert_eq!(EXP[usize::from(logs.at(x))], others.fold(1, |product, y| galois_8::mul(product, x ^ y)));
        }
    }
}
