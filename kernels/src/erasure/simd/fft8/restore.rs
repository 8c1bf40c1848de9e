//! Reconstruction: the solved pattern of `erasure/pattern.rs` as a plan of steps, or as a matrix while few rows are missing.

use super::columns::Columns;
use super::plan::{Mix, Place, Plan, Step, Whole};
use super::{Fft8, PATTERN, is_faster};
use crate::backend::Error;
use crate::erasure::coder::{Erasures, Restore};
use crate::erasure::field::Field;
use crate::erasure::pattern::{Pattern, Row, Transforms, transform_products};
use crate::erasure::points::Points;
use crate::erasure::simd::matrix::Matrix;
use crate::erasure::simd::vectors::Vectors;

/// The way that costs less.
pub(super) fn solve<'a, V: Vectors>(coder: &'a Fft8<V>, erasures: &Erasures) -> Box<dyn Restore + 'a> {
    let Erasures { used, missing } = erasures;
    if is_faster(used.len() * missing.len(), transform_products(&coder.points, used, missing), PATTERN) {
        let coefficients = coder.lagrange.pattern(used, missing);
        return Box::new(ByMatrix(Matrix::new(&coder.constants, used.len(), &coefficients)));
    }
    let transforms = Pattern::solve(&coder.points, used, missing).transforms();
    Box::new(ByTransforms { coder, plan: plan(&coder.points, &coder.whole, &transforms) })
}

struct ByMatrix<V: Vectors>(Matrix<V>);

impl<V: Vectors> Restore for ByMatrix<V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        self.0.multiply(used, missing);
        Ok(())
    }
}

struct ByTransforms<'a, V: Vectors> {
    coder: &'a Fft8<V>,
    plan: Plan,
}

impl<V: Vectors> Restore for ByTransforms<'_, V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        let multipliers = self.coder.constants.multipliers();
        Columns::<V> { plan: &self.plan, multipliers, inputs: used, outputs: missing }.run(self.coder.v);
        Ok(())
    }
}

/// Whether so many of a block's rows matter that leaving out the others would save little.
fn all_over(rows: &[bool]) -> bool {
    rows.chunks(rows.len().div_ceil(8)).all(|part| part.contains(&true))
}

fn plan(points: &Points, whole: &[[Whole; 2]], transforms: &Transforms) -> Plan {
    let (field, block) = (points.field, transforms.block);
    let whole = |first: usize, rows: &[bool]| {
        if block == points.block && block > 1 && all_over(rows) { whole.get(first / block) } else { None }
    };
    let blocks = transforms.inputs.len() + transforms.outputs.len();
    let mut plan = Plan::with_capacity(blocks * block, (4 * blocks + 1) * block);
    plan.basis = field.basis();
    // With slopes other than 1, the derivative is this step's of coefficients times the slopes of their bits.
    let slopes = (plan.basis.is_some() && transforms.outputs.iter().any(|output| output.derivative.is_some()))
        .then(|| slopes(field, block));
    let coefficients = plan.work(block * transforms.inputs.len());
    let sum = plan.work(block);
    for (i, input) in transforms.inputs.iter().enumerate() {
        let to = coefficients + i * block;
        let rows = &input.rows;
        // As where all of a block is lost to another one.
        let unscaled = rows.iter().all(|row| row.factor == 1);
        let mut live = [false; 256];
        let mut places = [Place::Zero; 256];
        for row in rows {
            live[row.at] = true;
            places[row.at] = if unscaled { Place::Input(row.chunk as u16) } else { Place::Work((to + row.at) as u16) };
        }
        if !unscaled {
            let arrived = plan.rows(rows.iter().map(|row| Place::Input(row.chunk as u16)));
            let scaled = plan.rows(rows.iter().map(|row| places[row.at]));
            plan.scale(scaled, arrived, rows.iter().map(|row| row.factor as u8));
        }
        let from = plan.rows(places[..block].iter().copied());
        match whole(input.first, &live[..block]) {
            Some([inverse, _]) => plan.whole(inverse, [from, to, to]),
            None => _ = plan.inverse(from, to, input.first, &live[..block]),
        }
        if let Some(slopes) = &slopes {
            plan.scale(to, to, slopes.iter().map(|slope| *slope as u8));
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
                if let Some(slopes) = &slopes {
                    plan.scale(sum, sum, slopes.iter().map(|slope| field.invert(*slope) as u8));
                }
                (sum, 1)
            }
        };
        let rows = &output.rows;
        let factor = |row: &Row| field.multiply(row.factor, scale) as u8;
        let unscaled = rows.iter().all(|row| factor(row) == 1);
        let mut wanted = [false; 256];
        let mut places = [Place::Unwanted; 256];
        for row in rows {
            wanted[row.at] = true;
            places[row.at] =
                if unscaled { Place::Output(row.chunk as u16) } else { Place::Work((sum + row.at) as u16) };
        }
        let out = plan.rows(places[..block].iter().copied());
        match whole(output.first, &wanted[..block]) {
            Some([_, forward]) => plan.whole(forward, [from, sum, out]),
            None => plan.forward(from, sum, out, output.first, &wanted[..block]),
        }
        if !unscaled {
            let values = plan.rows(rows.iter().map(|row| places[row.at]));
            let missing = plan.rows(rows.iter().map(|row| Place::Output(row.chunk as u16)));
            plan.scale(missing, values, rows.iter().map(factor));
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
