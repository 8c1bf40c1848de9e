//! Reconstruction: the solved pattern of `erasure/pattern.rs` as a plan of steps, or as a matrix while few rows are missing.

use super::Fft8;
use super::columns::Columns;
use super::plan::{Mix, Place, Plan, Step};

use crate::erasure::coder::{Erasures, Restore};
use crate::erasure::field::Field;
use crate::erasure::pattern::{Pattern, Transforms};
use crate::erasure::simd::matrix::Matrix;
use crate::erasure::simd::vectors::Vectors;

/// How many products of a matrix take the time of how many of transforms, which load and store more; measured at chunks
/// of 2 to 8 KiB, less something for the time that many coefficients take in short ones.
const MATRIX: (usize, usize) = (3, 2);

/// The way that costs less.
pub(super) fn solve<'a, V: Vectors>(coder: &'a Fft8<V>, erasures: &Erasures) -> Box<dyn Restore + 'a> {
    let pattern = Pattern::solve(&coder.points, &erasures.used, &erasures.missing);
    let transforms = pattern.transforms();
    if MATRIX.1 * pattern.matrix_products() <= MATRIX.0 * transforms.products() {
        let coefficients: Vec<u8> = pattern.matrix().into_iter().flatten().map(|factor| factor as u8).collect();
        return Box::new(ByMatrix(Matrix::new(&coder.constants, erasures.used.len(), &coefficients)));
    }
    by_transforms(coder, &transforms)
}

/// The way by transforms.
pub(super) fn by_transforms<'a, V: Vectors>(coder: &'a Fft8<V>, transforms: &Transforms) -> Box<dyn Restore + 'a> {
    Box::new(ByTransforms { coder, plan: plan(coder.points.field, transforms) })
}

struct ByMatrix<V: Vectors>(Matrix<V>);

impl<V: Vectors> Restore for ByMatrix<V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        self.0.multiply(used, missing);
    }
}

struct ByTransforms<'a, V: Vectors> {
    coder: &'a Fft8<V>,
    plan: Plan,
}

impl<V: Vectors> Restore for ByTransforms<'_, V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        let multipliers = self.coder.constants.multipliers();
        Columns::<V> { plan: &self.plan, multipliers, inputs: used, outputs: missing }.run(self.coder.v);
    }
}

fn plan(field: &'static Field, transforms: &Transforms) -> Plan {
    let block = transforms.block;
    let rows: usize = transforms.inputs.iter().map(|input| input.rows.len()).sum();
    let mut plan = Plan::with_capacity(2 * (rows + block), 4 * (transforms.inputs.len() + 2) * block);
    plan.basis = field.basis();
    // With slopes other than 1, the derivative is this step's of coefficients times the slopes of their bits.
    let slopes = (plan.basis.is_some() && transforms.outputs.iter().any(|output| output.derivative.is_some()))
        .then(|| slopes(field, block));
    let coefficients = plan.work(block * transforms.inputs.len());
    let sum = plan.work(block);
    for (i, input) in transforms.inputs.iter().enumerate() {
        let to = coefficients + i * block;
        let mut live = [false; 256];
        let mut places = [Place::Zero; 256];
        for row in &input.rows {
            live[row.at] = true;
            places[row.at] = Place::Input(row.chunk as u16);
            if row.factor != 1 {
                let from = plan.rows([places[row.at]]);
                plan.combine(to + row.at, None, from, row.factor as u8, 1);
                places[row.at] = Place::Work((to + row.at) as u16);
            }
        }
        let from = plan.rows(places[..block].iter().copied());
        plan.inverse(from, to, input.first, &live[..block]);
        for (j, slope) in slopes.iter().flatten().enumerate().skip(1) {
            plan.combine(to + j, None, to + j, *slope as u8, 1);
        }
    }
    for output in &transforms.outputs {
        let inputs = output.mix.iter().enumerate().filter(|(_, factor)| **factor != 0);
        let inputs: Vec<(u16, u8)> =
            inputs.map(|(i, factor)| ((coefficients + i * block) as u16, *factor as u8)).collect();
        // The one factor of a whole block is moved to the rows that come out.
        let (from, scale) = match (output.derivative, &inputs[..]) {
            (None, [(from, factor)]) if slopes.is_none() => (usize::from(*from), u16::from(*factor)),
            _ => {
                let derivative = output.derivative.map(|i| (coefficients + i * block) as u16);
                plan.steps.push(Step::Mix(Mix { block: block as u16, to: sum as u16, derivative, inputs }));
                for (j, slope) in slopes.iter().flatten().enumerate().skip(1) {
                    plan.combine(sum + j, None, sum + j, field.invert(*slope) as u8, 1);
                }
                (sum, 1)
            }
        };
        let mut wanted = [false; 256];
        let mut places = [Place::Unwanted; 256];
        let factor = |factor: u16| field.multiply(factor, scale) as u8;
        for row in &output.rows {
            wanted[row.at] = true;
            places[row.at] = match factor(row.factor) {
                1 => Place::Output(row.chunk as u16),
                _ => Place::Work((sum + row.at) as u16),
            };
        }
        let out = plan.rows(places[..block].iter().copied());
        plan.forward(from, sum, out, output.first, &wanted[..block]);
        for row in output.rows.iter().filter(|row| factor(row.factor) != 1) {
            let missing = plan.rows([Place::Output(row.chunk as u16)]);
            plan.combine(missing, None, sum + row.at, factor(row.factor), 1);
        }
    }
    plan.finish();
    plan
}

/// For each coefficient of a block the product of the slopes of its bits.
fn slopes(field: &Field, block: usize) -> Vec<u16> {
    let mut slopes = vec![1; block];
    for i in 0..block.trailing_zeros() {
        for j in 0..1 << i {
            slopes[j | 1 << i] = field.multiply(slopes[j], field.slope(i));
        }
    }
    slopes
}
