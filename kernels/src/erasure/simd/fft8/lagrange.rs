//! Chunks as combinations of `k` others, with coefficients in closed form.
//!
//! A code word is the values of one polynomial, at the chunks' points and at those where every code word is 0. With `P` the
//! product of all `x - y` over as many known points `y` as the polynomial has coefficients, the zeros among them,
//!
//! ```text
//! chunk x = sum over known y of  P(x) / ((x - y) P'(y))  chunk y
//! ```
//!
//! which is Lagrange's formula. The generator's rows are those of the parity points over the data points; the rows of a
//! pattern are those of the missing points over the received ones. No system is solved and no matrix inverted. `P` and
//! `P'` at all points are sums of logarithms, 16 points at a time: of the `k` received points, or of the `2 e` by which
//! those differ from the data's, whichever is less. Then a coefficient is a look-up in each of two tables.

use crate::erasure::field::Field;
use crate::erasure::points::Points;

/// The order of the multiplicative group.
const ORDER: u16 = 255;

/// For one shape.
pub(super) struct Lagrange {
    points: Points,
    tables: Tables,
    /// Over the points of zeros.
    zeros: LogProducts,
    /// Over those and the points of the data.
    data: LogProducts,
}

impl Lagrange {
    /// For points of a field of bytes.
    pub(super) fn new(points: &Points) -> Self {
        let tables = Tables::new(points.field);
        let end = points.data().end.max(points.parity().end);
        let mut zeros = LogProducts::none(end);
        points.zeros().for_each(|point| zeros.include(&tables, point));
        zeros.reduce();
        let mut data = zeros.clone();
        points.data().for_each(|point| data.include(&tables, point));
        data.reduce();
        Self { points: *points, tables, zeros, data }
    }

    /// Parity from data: a row of coefficients for each parity chunk.
    pub(super) fn generator(&self) -> Vec<u8> {
        let data: Vec<usize> = self.points.data().collect();
        let parity: Vec<usize> = self.points.parity().collect();
        self.coefficients(&self.data, &data, &parity)
    }

    /// A row of coefficients for each missing data chunk, from the `k` used ones. Both ascending.
    pub(super) fn pattern(&self, used: &[usize], missing: &[usize]) -> Vec<u8> {
        let point = |chunk: &usize| self.points.of(*chunk);
        let used: Vec<usize> = used.iter().map(point).collect();
        let missing: Vec<usize> = missing.iter().map(point).collect();
        let (arrived, parity) = used.split_at(used.len() - missing.len());
        let mut logs;
        if arrived.len() < missing.len() {
            logs = self.zeros.clone();
            arrived.iter().for_each(|point| logs.include(&self.tables, *point));
        } else {
            logs = self.data.clone();
            missing.iter().for_each(|point| logs.exclude(&self.tables, *point));
        }
        parity.iter().for_each(|point| logs.include(&self.tables, *point));
        logs.reduce();
        self.coefficients(&logs, &used, &missing)
    }

    /// The values at the points `wanted` as combinations of those at `known`, all different; `logs` over these and the zeros.
    fn coefficients(&self, logs: &LogProducts, known: &[usize], wanted: &[usize]) -> Vec<u8> {
        let Tables { log, exp } = &self.tables;
        // The logarithm of 1 / P'(y), and room for what is taken away.
        let known: Vec<(usize, u16)> = known.iter().map(|y| (*y, 2 * ORDER - logs.at(*y))).collect();
        let mut coefficients = Vec::with_capacity(wanted.len() * known.len());
        for x in wanted {
            let log_x = logs.at(*x);
            let coefficient = |&(y, weight): &(usize, u16)| exp[usize::from(log_x + weight - u16::from(log[0][x ^ y]))];
            coefficients.extend(known.iter().map(coefficient));
        }
        coefficients
    }
}

/// Of a field of bytes.
struct Tables {
    /// `log[i][x]` is the logarithm of `x ^ i`; 0 for that of 0.
    log: Box<[[u8; 256]; 16]>,
    /// Up to three times the order.
    exp: Box<[u8; 3 * ORDER as usize]>,
}

impl Tables {
    fn new(field: &Field) -> Self {
        let exp = std::array::from_fn(|log| field.exp(log as u32) as u8);
        let log = |x: usize| if x == 0 { 0 } else { field.log(x as u16) as u8 };
        let log = std::array::from_fn(|i| std::array::from_fn(|x| log(x ^ i)));
        Self { log: Box::new(log), exp: Box::new(exp) }
    }
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

    fn include(&mut self, tables: &Tables, point: usize) {
        self.add(tables, point, |log| log);
    }

    fn exclude(&mut self, tables: &Tables, point: usize) {
        self.add(tables, point, |log| ORDER - log);
    }

    /// Differences are exclusive-or: the low half permutes blocks within, the high half among themselves. From reduced
    /// sums on, 256 additions fit.
    #[inline(always)]
    fn add(&mut self, tables: &Tables, point: usize, term: impl Fn(u16) -> u16) {
        let (blocks, _) = tables.log[point & 15].as_chunks::<16>();
        for (block, sums) in self.sums[..self.blocks].iter_mut().enumerate() {
            let logs: &[u8; 16] = &blocks[block ^ point >> 4];
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
    fn at(&self, point: usize) -> u16 {
        self.sums.as_flattened()[point]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::erasure::field::{GF8, GF8_POWERS};

    #[test]
    fn products_of_differences_leave_the_point_itself_out() {
        for field in [&*GF8, &*GF8_POWERS] {
            let tables = Tables::new(field);
            let points: Vec<u16> = (0..=255).step_by(3).collect();
            let mut logs = LogProducts::none(256);
            (0..256).for_each(|point| logs.include(&tables, point));
            logs.reduce();
            (0..256).filter(|point| point % 3 != 0).for_each(|point| logs.exclude(&tables, point));
            logs.reduce();
            for x in 0..=255 {
                let others = points.iter().filter(|y| **y != x);
                let product = others.fold(1, |product, y| field.multiply(product, x ^ y));
                assert_eq!(u16::from(tables.exp[usize::from(logs.at(x.into()))]), product);
            }
        }
    }
}
