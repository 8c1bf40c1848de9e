//! Codes over GF(2^8) on vectors, by the additive transforms of `cpu/fft.rs` (sources there) or by matrices: `rs-fft8`, and
//! `rs-vandermonde` in its own basis.
//!
//! | module | what |
//! |---|---|
//! | `plan` | transforms as lists of steps over rows, made once for a shape or for an erasure pattern |
//! | `columns`, `steps` | a plan at work on columns of bytes; its steps on vectors |
//! | `few` | encoding with 3 or 4 parity chunks, all in registers |
//! | `lagrange` | the coefficients of matrices |
//! | `restore` | the plan of an erasure pattern, or its matrix |

mod columns;
mod few;
mod lagrange;
mod plan;
mod restore;
mod steps;

use std::sync::Arc;

use crate::backend::Error;
use crate::erasure::coder::{Coder, Erasures, Restore};
use crate::erasure::points::{Class, Points};
use crate::erasure::simd::matrix::{Constants, Matrix};
use crate::erasure::simd::vectors::Vectors;
use columns::Columns;
use lagrange::Lagrange;
use plan::{Direction, Place, Plan, Whole};

/// How many products of a matrix take the time of how many of transforms, where rows are added and go through memory too:
/// when encoding, and by the rougher count of a pattern; measured at chunks of 2 to 8 KiB, less something for the time that
/// many coefficients take in short ones.
const ENCODING: (usize, usize) = (5, 2);
const PATTERN: (usize, usize) = (3, 2);

/// Whether so many products of a matrix take no more time than so many of transforms.
fn is_faster(matrix: usize, transforms: usize, ratio: (usize, usize)) -> bool {
    ratio.1 * matrix <= ratio.0 * transforms
}

/// What lives across calls.
pub(super) struct Fft8<V: Vectors> {
    v: V,
    points: Points,
    constants: Arc<Constants<V>>,
    lagrange: Lagrange,
    /// Unless transforms are faster.
    generator: Option<Matrix<V>>,
    encode: Plan,
    /// Of each block of points, inverse and forward.
    whole: Vec<[Whole; 2]>,
}

impl<V: Vectors> Fft8<V> {
    /// For points of a field of bytes; of the full class, if its basis is no Cantor basis.
    pub(super) fn new(v: V, points: Points) -> Self {
        let product = |a: u8, b: u8| points.field.multiply(a.into(), b.into()) as u8;
        let mut encode = encode(&points);
        encode.finish();
        let whole = |first: usize| {
            [Direction::Inverse, Direction::Forward]
                .map(|direction| Whole::new(points.field.basis(), direction, first, points.block))
        };
        let whole = (0..points.field.order()).step_by(points.block).map(whole).collect();
        let (constants, lagrange) = (Constants::new(v, product), Lagrange::new(&points));
        // A Cantor basis has more factors that are 0 or 1, and for few parity chunks code in registers.
        let by_matrix = points.field.basis().is_some() && is_faster(points.k * points.m, encode.products(), ENCODING);
        let generator = by_matrix.then(|| Matrix::new(&constants, points.k, &lagrange.generator()));
        Self { v, points, constants, lagrange, generator, encode, whole }
    }
}

impl<V: Vectors> Coder for Fft8<V> {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        let multipliers = self.constants.multipliers();
        if few::takes::<V>(&self.points, parity.first().map_or(0, |row| row.len())) {
            self.v.run(few::Encode::<V> { multipliers, data, parity });
        } else if let Some(generator) = &self.generator {
            generator.multiply(data, parity);
        } else {
            Columns::<V> { plan: &self.encode, multipliers, inputs: data, outputs: parity }.run(self.v);
        }
        Ok(())
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        Ok(restore::solve(self, erasures))
    }
}

/// The plan of a shape's parity.
fn encode(points: &Points) -> Plan {
    let Points { class, k, m, block, field } = *points;
    let mut plan = Plan { basis: field.basis(), ..Plan::default() };
    let input = |at: usize| if at < k { Place::Input(at as u16) } else { Place::Zero };
    match class {
        Class::HighRate => {
            let sum = plan.work(block);
            let chunks = k.div_ceil(block);
            let data = plan.rows((0..chunks * block).map(input));
            let parity =
                plan.rows((0..block).map(|at| if at < m { Place::Output(at as u16) } else { Place::Unwanted }));
            let wanted: Vec<bool> = (0..block).map(|at| at < m).collect();
            let live: Vec<bool> = (0..chunks * block).map(|at| at < k).collect();
            if chunks == 1 {
                plan.across(data, sum, parity, block, &live, &wanted);
                return plan;
            }
            let chunk = plan.work(block);
            for (i, live) in live.chunks(block).enumerate() {
                let to = if i == 0 { sum } else { chunk };
                plan.inverse(data + i * block, to, (i + 1) * block, live);
                if i > 0 {
                    plan.combine(sum, Some(sum), chunk, 1, block);
                }
            }
            plan.forward(sum, sum, parity, 0, &wanted);
        }
        Class::LowRate | Class::Full => {
            let data = plan.rows((0..block).map(input));
            let points = points.parity();
            let wanted =
                |first: usize| -> Vec<bool> { (first..first + block).map(|at| points.contains(&at)).collect() };
            let place = |at: usize| {
                if points.contains(&at) { Place::Output((at - points.start) as u16) } else { Place::Unwanted }
            };
            let at = plan.work(block);
            let coefficients = if class == Class::Full && k < block {
                let parity = plan.rows((0..block).map(place));
                plan.complete(data, at, parity, k, &wanted(0))
            } else {
                let live: Vec<bool> = (0..block).map(|at| at < k).collect();
                let to = if points.len() > block { plan.work(block) } else { at };
                plan.inverse(data, to, 0, &live);
                to
            };
            for first in (block..points.end).step_by(block) {
                let parity = plan.rows((first..first + block).map(place));
                plan.forward(coefficients, at, parity, first, &wanted(first));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests;
