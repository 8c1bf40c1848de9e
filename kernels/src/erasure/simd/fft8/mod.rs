//! `rs-fft8` on vectors, by the additive transforms of `cpu/fft.rs` (sources there).
//!
//! | module | what |
//! |---|---|
//! | `plan` | transforms as lists of steps over rows, made once for a shape or for an erasure pattern |
//! | `columns`, `steps` | a plan at work on columns of bytes; its steps on vectors |
//! | `few` | encoding with 3 or 4 parity chunks, all in registers |
//! | `restore` | the plan of an erasure pattern, or its matrix |

mod columns;
mod few;
mod plan;
mod restore;
mod steps;

use std::sync::Arc;

use crate::backend::Error;
use crate::erasure::coder::{Coder, Erasures, Restore};
use crate::erasure::pattern::Transforms;
use crate::erasure::points::{Class, Points};
use crate::erasure::simd::matrix::Constants;
use crate::erasure::simd::vectors::Vectors;
use columns::Columns;
use plan::{Direction, Place, Plan, Whole};

/// What lives across calls.
pub(super) struct Fft8<V: Vectors> {
    v: V,
    pub(super) points: Points,
    pub(super) constants: Arc<Constants<V>>,
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
        Self { v, points, constants: Constants::new(v, product), encode, whole }
    }

    /// Row products of an encoding.
    pub(super) fn products(&self) -> usize {
        self.encode.products()
    }

    /// The way by transforms of a solved pattern.
    pub(super) fn by_transforms(&self, transforms: &Transforms) -> Box<dyn Restore + '_> {
        restore::by_transforms(self, transforms)
    }
}

impl<V: Vectors> Coder for Fft8<V> {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        let multipliers = self.constants.multipliers();
        if few::takes::<V>(&self.points, parity.first().map_or(0, |row| row.len())) {
            self.v.run(few::Encode::<V> { multipliers, data, parity });
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
    let mut plan = Plan::default();
    plan.basis = field.basis();
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
