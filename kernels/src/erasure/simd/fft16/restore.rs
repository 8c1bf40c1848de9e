//! Reconstruction: the solved pattern of `erasure/pattern.rs` applied column by column, by a matrix or by transforms.

use super::super::vectors::{Kernel, Vectors};
use super::Fft16;
use super::columns::{Block, Columns, Short, Sink, Source};
use super::tower::{self, Tower};
use super::transform::Transform;
use crate::backend::Error;
use crate::erasure::coder::{COLUMN, Erasures, Restore};
use crate::erasure::field::Field;
use crate::erasure::pattern::{Pattern, Transforms};

/// What a product of rows costs in a matrix, where factors are wide, and in a transform, where most are not. Measured at
/// (667, 1333), where both ways take as long with 17 chunks missing.
const MATRIX_COST: usize = 3;
const TRANSFORM_COST: usize = 2;

pub(super) fn solve<'a, V: Vectors>(coder: &'a Fft16<V>, erasures: &Erasures) -> Box<dyn Restore + 'a> {
    let pattern = Pattern::solve(&coder.points, &erasures.used, &erasures.missing);
    let (used, missing) = (erasures.used.len(), erasures.missing.len());
    let transforms = pattern.transforms();
    let by_matrix = pattern.matrix_products() * MATRIX_COST <= transforms.products() * TRANSFORM_COST;
    let way = match by_matrix {
        true => Way::Matrix(matrix_blocks(used, missing), pattern.matrix()),
        false => Way::Transforms(plan(coder.points.field, transforms)),
    };
    Box::new(Solved { coder, used, missing, way })
}

struct Solved<'a, V: Vectors> {
    coder: &'a Fft16<V>,
    used: usize,
    missing: usize,
    way: Way,
}

enum Way {
    /// Used and missing rows in order, and coefficients.
    Matrix([Block; 2], Vec<Vec<u16>>),
    Transforms(Plan),
}

struct Plan {
    block: usize,
    inputs: Vec<Block>,
    outputs: Vec<Output>,
    /// The input that is transformed where the sum of the only output begins.
    lead: Option<usize>,
}

struct Output {
    block: Block,
    derivative: Option<usize>,
    mix: Vec<u16>,
}

fn matrix_blocks(used: usize, missing: usize) -> [Block; 2] {
    [used, missing].map(|count| Block::consecutive(0, count, 0, 0..count))
}

fn plan(field: &Field, mut transforms: Transforms) -> Plan {
    let block = transforms.block;
    // A factor for a whole block costs nothing where the rows are scaled anyway.
    let mut lead = None;
    if let [output] = &mut transforms.outputs[..] {
        for (i, input) in transforms.inputs.iter_mut().enumerate().filter(|(i, _)| output.derivative != Some(*i)) {
            let mix = std::mem::replace(&mut output.mix[i], 1);
            input.rows.iter_mut().for_each(|row| row.factor = field.multiply(row.factor, mix));
            lead = Some(i);
        }
    }
    let inputs = transforms.inputs.into_iter().map(|input| Block::new(input.first, block, input.rows)).collect();
    let outputs = transforms.outputs.into_iter().map(|output| Output {
        block: Block::new(output.first, block, output.rows),
        derivative: output.derivative,
        mix: output.mix,
    });
    Plan { block, inputs, outputs: outputs.collect(), lead }
}

impl<V: Vectors> Restore for Solved<'_, V> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        if missing.first().is_none_or(|row| row.len() >= COLUMN) {
            self.restore_long(used, missing);
        } else {
            let mut padded = Short::zero(missing.len());
            self.restore_long(&Short::read(used).rows(), &mut padded.rows_mut());
            padded.write(missing);
        }
        Ok(())
    }
}

impl<V: Vectors> Solved<'_, V> {
    fn restore_long(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        let block = match &self.way {
            Way::Matrix(..) => self.used,
            Way::Transforms(plan) => plan.block,
        };
        let columns = self.coder.columns(missing.first().map_or(0, |row| row.len()), block);
        assert!(used.len() == self.used && missing.len() == self.missing);
        assert!(columns.fit(used.iter().map(|row| row.len())) && columns.fit(missing.iter().map(|row| row.len())));
        match &self.way {
            Way::Matrix(blocks, matrix) => self.by_matrix(&columns, blocks, matrix, used, missing),
            Way::Transforms(plan) => self.by_transforms(&columns, plan, used, missing),
        }
    }

    fn by_transforms(&self, columns: &Columns, plan: &Plan, used: &[&[u8]], missing: &mut [&mut [u8]]) {
        let transform = self.coder.transform(columns.row_bytes::<V>());
        let size = plan.block * transform.row_bytes;
        let mut buffer = self.coder.scratch.take((plan.inputs.len() + 1) * size);
        let (sum, polynomials) = buffer.bytes().split_at_mut(size);
        for column in 0..columns.count() {
            let source = columns.source(column, used);
            let mut sink = columns.sink(column, missing);
            for (i, (input, polynomial)) in plan.inputs.iter().zip(polynomials.chunks_exact_mut(size)).enumerate() {
                let to = if plan.lead == Some(i) { &mut *sum } else { polynomial };
                transform.inverse(source, input, true, 0, to);
            }
            for output in &plan.outputs {
                if plan.lead.is_none() {
                    sum.fill(0);
                }
                if let Some(input) = output.derivative {
                    derivative(&transform, &polynomials[input * size..][..size], sum);
                }
                let inputs = polynomials.chunks_exact(size).zip(&output.mix).enumerate();
                for (_, (polynomial, factor)) in inputs.filter(|(i, _)| plan.lead != Some(*i)) {
                    transform.accumulate(*factor, polynomial, sum);
                }
                transform.forward(&mut sink, &output.block, true, 0, None, sum);
            }
        }
    }

    fn by_matrix(
        &self,
        columns: &Columns,
        [used_block, missing_block]: &[Block; 2],
        matrix: &[Vec<u16>],
        used: &[&[u8]],
        missing: &mut [&mut [u8]],
    ) {
        let (v, tower) = (self.coder.v, &self.coder.tower);
        let row_bytes = columns.row_bytes::<V>();
        let mut buffer = self.coder.scratch.take((self.used + self.missing) * row_bytes);
        let (from, to) = buffer.bytes().split_at_mut(self.used * row_bytes);
        for column in 0..columns.count() {
            let (source, sink) = (columns.source(column, used), columns.sink(column, missing));
            v.run(Multiply { tower, source, sink, used_block, missing_block, matrix, row_bytes, from, to });
        }
    }
}

/// `sum += D(polynomial)`: every `s_i` has derivative 1, so the product rule takes each bit of an index away in turn.
fn derivative<V: Vectors>(transform: &Transform<V>, polynomial: &[u8], sum: &mut [u8]) {
    let mut half = sum.len() / 2;
    while half >= transform.row_bytes {
        for (sum, polynomial) in sum.chunks_exact_mut(2 * half).zip(polynomial.chunks_exact(2 * half)) {
            transform.accumulate(1, &polynomial[half..], &mut sum[..half]);
        }
        half /= 2;
    }
}

/// One column by a matrix.
struct Multiply<'a, 'b, 'c, V: Vectors> {
    tower: &'a Tower<V>,
    source: Source<'a>,
    sink: Sink<'b, 'c>,
    used_block: &'a Block,
    missing_block: &'a Block,
    matrix: &'a [Vec<u16>],
    row_bytes: usize,
    from: &'a mut [u8],
    to: &'a mut [u8],
}

impl<V: Vectors> Kernel<V> for Multiply<'_, '_, '_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self { tower, source, mut sink, used_block, missing_block, matrix, row_bytes, from, to } = self;
        assert!(matrix.iter().all(|factors| factors.len() * row_bytes <= from.len()));
        source.read::<V, false>(v, tower, used_block, 0, row_bytes, from);
        for (to, factors) in to.chunks_exact_mut(row_bytes).zip(matrix) {
            let mut at = 0;
            while at < row_bytes {
                // In a row of an odd number of pairs the last one is done alone.
                let step = 2 * V::WIDTH * if at + 4 * V::WIDTH <= row_bytes { 2 } else { 1 };
                // SAFETY: the step ends in the row, and rows are whole pairs of vectors.
                unsafe { dot(v, tower, factors, from, row_bytes, at, step, to.as_mut_ptr().add(at)) };
                at += step;
            }
        }
        sink.write::<V, false>(v, tower, missing_block, 0, row_bytes, to);
    }
}

/// The sum of all rows of `from`, each times its factor: one pair of vectors, `at` bytes into each row, or two if `step` is
/// more.
///
/// # Safety
///
/// So many pairs from there on are in each row, and can be written.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn dot<V: Vectors>(
    v: V,
    tower: &Tower<V>,
    factors: &[u16],
    from: &[u8],
    row_bytes: usize,
    at: usize,
    step: usize,
    to: *mut u8,
) {
    let pair = 2 * V::WIDTH;
    let mut sums = [[v.zero(); 2]; 2];
    let mut row = from.as_ptr();
    // SAFETY: there are as many rows as factors, and so many pairs in each.
    unsafe {
        if step > pair {
            for factor in factors {
                let pairs = [tower::load(v, row.add(at)), tower::load(v, row.add(at + pair))];
                sums = tower::multiply_add_both(v, sums, tower.constant(*factor), pairs);
                row = row.add(row_bytes);
            }
            tower::store(v, to.add(pair), sums[1]);
        } else {
            for factor in factors {
                let x = tower::load(v, row.add(at));
                sums[0] = tower::multiply_add::<V, { tower::WIDE }>(v, sums[0], tower.constant(*factor), x);
                row = row.add(row_bytes);
            }
        }
        tower::store(v, to, sums[0]);
    }
}
