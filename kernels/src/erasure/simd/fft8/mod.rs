//! `rs-fft8` on vectors.

mod plan;
mod transform;

use crate::backend::Error;
use crate::erasure::coder::{Coder, Erasures, Restore};
use crate::erasure::pattern::{Pattern, Transforms};
use crate::erasure::points::{Class, Points};
use crate::erasure::simd::vectors::{ByteMap, Vectors};
use plan::{Place, Plan};
use transform::Columns;

/// What lives across calls.
pub(super) struct Fft8<V: Vectors> {
    v: V,
    points: Points,
    /// That of each element.
    multipliers: Vec<V::Multiplier>,
    encode: Plan,
}

impl<V: Vectors> Fft8<V> {
    /// `points` are those of `rs-fft8`.
    pub(super) fn new(v: V, points: Points) -> Self {
        let product = |a: u8, b: u8| points.field.multiply(a.into(), b.into()) as u8;
        let multipliers = (0..=255).map(|a| V::multiplier(&ByteMap::new(|x| product(a, x)))).collect();
        let mut encode = encode(&points);
        encode.look_ahead();
        Self { v, points, multipliers, encode }
    }
}

impl<V: Vectors> Coder for Fft8<V> {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        self.v.run(Columns::<V> { plan: &self.encode, multipliers: &self.multipliers, inputs: data, outputs: parity });
        Ok(())
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        let pattern = Pattern::solve(&self.points, &erasures.used, &erasures.missing);
        let transforms = pattern.transforms();
        let plan = if pattern.matrix_products() <= transforms.products() {
            matrix(&pattern.matrix())
        } else {
            restore(&transforms)
        };
        Ok(Box::new(Solved { coder: self, plan }))
    }
}

struct Solved<'a, V: Vectors> {
    coder: &'a Fft8<V>,
    plan: Plan,
}

impl<V: Vectors> Restore for Solved<'_, V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        let multipliers = &self.coder.multipliers;
        self.coder.v.run(Columns::<V> { plan: &self.plan, multipliers, inputs: used, outputs: missing });
    }
}

/// The plan of a shape's parity.
fn encode(points: &Points) -> Plan {
    let Points { class, k, m, block, .. } = *points;
    let mut plan = Plan::default();
    let sum = plan.work(block);
    let input = |at: usize| if at < k { Place::Input(at as u16) } else { Place::Zero };
    match class {
        Class::HighRate => {
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
            if class == Class::LowRate {
                let live: Vec<bool> = (0..block).map(|at| at < k).collect();
                plan.inverse(data, sum, 0, &live);
            } else {
                let mut live = vec![false; block];
                plan.truncated(data, sum, 0, k, &mut live);
                // Where coefficients stay 0, rows must be so.
                for at in (0..block).filter(|at| !live[*at]) {
                    plan.combine(sum + at, None, data + k, 1, 1);
                }
            }
            let points = points.parity();
            let start = points.start & !(block - 1);
            let blocks = (start..points.end).step_by(block);
            let at = if blocks.len() > 1 { plan.work(block) } else { sum };
            for first in blocks {
                let here = |point: &usize| points.contains(point);
                let place = |point: usize| {
                    if here(&point) { Place::Output((point - points.start) as u16) } else { Place::Unwanted }
                };
                let wanted: Vec<bool> = (first..first + block).map(|point| here(&point)).collect();
                let parity = plan.rows((first..first + block).map(place));
                plan.forward(sum, at, parity, first, &wanted);
            }
        }
    }
    plan
}

/// The plan of a product with a matrix.
fn matrix(rows: &[Vec<u16>]) -> Plan {
    let mut plan = Plan::default();
    let columns = rows.first().map_or(0, Vec::len);
    let sum = plan.work(1);
    let used = plan.rows((0..columns).map(|at| Place::Input(at as u16)));
    let missing = plan.rows((0..rows.len()).map(|at| Place::Output(at as u16)));
    for (r, row) in rows.iter().enumerate() {
        for (i, factor) in row.iter().enumerate() {
            let to = if i + 1 == row.len() { missing + r } else { sum };
            plan.combine(to, (i > 0).then_some(sum), used + i, *factor as u8, 1);
        }
    }
    plan
}

/// The plan of a restoration by transforms.
fn restore(transforms: &Transforms) -> Plan {
    let mut plan = Plan::default();
    let block = transforms.block;
    let coefficients = plan.work(block * transforms.inputs.len());
    let sum = plan.work(block);
    for (i, input) in transforms.inputs.iter().enumerate() {
        let mut live = vec![false; block];
        let to = coefficients + i * block;
        for row in &input.rows {
            live[row.at] = true;
        }
        let mut places = vec![Place::Zero; block];
        for row in &input.rows {
            places[row.at] = Place::Work((to + row.at) as u16);
            let from = plan.rows([Place::Input(row.chunk as u16)]);
            plan.combine(to + row.at, None, from, row.factor as u8, 1);
        }
        let from = plan.rows(places);
        plan.inverse(from, to, input.first, &live);
    }
    for output in &transforms.outputs {
        let mut live = vec![false; block];
        if let Some(input) = output.derivative {
            for j in 0..block {
                for bit in (0..block.trailing_zeros()).map(|i| 1 << i).filter(|bit| j & bit == 0) {
                    let from = coefficients + input * block + (j | bit);
                    plan.combine(sum + j, live[j].then_some(sum + j), from, 1, 1);
                    live[j] = true;
                }
            }
        }
        for (i, factor) in output.mix.iter().enumerate().filter(|(_, factor)| **factor != 0) {
            for j in 0..block {
                plan.combine(sum + j, live[j].then_some(sum + j), coefficients + i * block + j, *factor as u8, 1);
                live[j] = true;
            }
        }
        // The derivative has no coefficient in the last row.
        if let Some(j) = live.iter().position(|live| !live) {
            let zero = plan.rows([Place::Zero]);
            plan.combine(sum + j, None, zero, 1, 1);
        }
        let mut wanted = vec![false; block];
        let mut places = vec![Place::Unwanted; block];
        for row in &output.rows {
            wanted[row.at] = true;
            places[row.at] = Place::Work((sum + row.at) as u16);
        }
        let out = plan.rows(places);
        plan.forward(sum, sum, out, output.first, &wanted);
        for row in &output.rows {
            let missing = plan.rows([Place::Output(row.chunk as u16)]);
            plan.combine(missing, None, sum + row.at, row.factor as u8, 1);
        }
    }
    plan
}
