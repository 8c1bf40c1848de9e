//! The steps of a plan on vectors: rows are cut into columns narrow enough that all of a column's rows fit the first cache.

use std::mem::MaybeUninit;

use super::plan::{Butterflies, Direction, Place, Plan, Step};
use crate::erasure::simd::vectors::{Kernel, Vectors};

/// Bytes of the buffer.
const BUFFER: usize = 1 << 16;
/// Bytes of a column's rows, at most.
const WIDEST: usize = 512;
/// Columns are multiples of this many bytes, but for the last ones.
const LINE: usize = 64;

/// Rows of one column.
#[repr(C, align(64))]
struct Buffer([MaybeUninit<u8>; BUFFER]);

/// What an absent row reads as.
#[repr(C, align(64))]
struct Zeros([u8; WIDEST]);

static ZEROS: Zeros = Zeros([0; WIDEST]);

/// A plan's work on some rows, all equally long.
pub(super) struct Columns<'a, 'i, 'o, V: Vectors> {
    pub plan: &'a Plan,
    pub multipliers: &'a [V::Multiplier],
    pub inputs: &'a [&'i [u8]],
    pub outputs: &'a mut [&'o mut [u8]],
}

impl<V: Vectors> Kernel<V> for Columns<'_, '_, '_, V> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let len = self.outputs.first().map_or(0, |row| row.len());
        debug_assert!(self.inputs.iter().all(|row| row.len() == len) && self.outputs.iter().all(|row| row.len() == len));
        let inputs: Vec<*mut u8> = self.inputs.iter().map(|row| row.as_ptr().cast_mut()).collect();
        let outputs: Vec<*mut u8> = self.outputs.iter_mut().map(|row| row.as_mut_ptr()).collect();
        let mut buffer = Buffer([const { MaybeUninit::uninit() }; BUFFER]);
        let run = Run { v, plan: self.plan, multipliers: self.multipliers };
        if len >= V::WIDTH {
            // SAFETY: the rows are `len` bytes long, inputs are only read.
            unsafe { run.columns(&inputs, &outputs, len, &mut buffer) };
            return;
        }
        // Shorter than a vector: in copies that are one vector long.
        let mut copies = vec![0; (inputs.len() + outputs.len()) * V::WIDTH];
        for (copy, row) in copies.chunks_exact_mut(V::WIDTH).zip(self.inputs) {
            copy[..len].copy_from_slice(row);
        }
        let rows: Vec<*mut u8> = copies.chunks_exact_mut(V::WIDTH).map(|row| row.as_mut_ptr()).collect();
        let (inputs, outputs) = rows.split_at(inputs.len());
        // SAFETY: the rows are one vector long.
        unsafe { run.columns(inputs, outputs, V::WIDTH, &mut buffer) };
        let copies = copies.chunks_exact(V::WIDTH).skip(inputs.len());
        for (row, copy) in self.outputs.iter_mut().zip(copies) {
            row.copy_from_slice(&copy[..len]);
        }
    }
}

struct Run<'a, V: Vectors> {
    v: V,
    plan: &'a Plan,
    multipliers: &'a [V::Multiplier],
}

impl<V: Vectors> Run<'_, V> {
    /// # Safety
    ///
    /// Rows have `len` bytes, which is no less than a vector; inputs to read, outputs to write.
    #[inline(always)]
    unsafe fn columns(&self, inputs: &[*mut u8], outputs: &[*mut u8], len: usize, buffer: &mut Buffer) {
        // One row more for what nobody wants.
        let pitch = (BUFFER / (usize::from(self.plan.work) + 1) / LINE * LINE).clamp(LINE, WIDEST);
        let mut rows = vec![std::ptr::null_mut(); self.plan.places.len()];
        let mut start = 0;
        while start < len {
            let mut width = pitch.min(len - start);
            if width < V::WIDTH {
                // The last vector overlaps the one before: both compute the same bytes.
                start = len - V::WIDTH;
                width = V::WIDTH;
            } else if width < pitch {
                width -= width % V::WIDTH;
            }
            let work = buffer.0.as_mut_ptr().cast::<u8>();
            for (row, place) in rows.iter_mut().zip(&self.plan.places) {
                *row = match *place {
                    Place::Work(at) => work.wrapping_add(usize::from(at) * pitch),
                    Place::Input(at) => inputs[usize::from(at)].wrapping_add(start),
                    Place::Output(at) => outputs[usize::from(at)].wrapping_add(start),
                    Place::Zero => ZEROS.0.as_ptr().cast_mut(),
                    Place::Unwanted => work.wrapping_add(usize::from(self.plan.work) * pitch),
                };
            }
            for step in &self.plan.steps {
                // SAFETY: every row has `width` bytes from here on, and the plan writes to none that is only read.
                unsafe { self.step(step, &rows, width) };
            }
            start += width;
        }
    }

    /// # Safety
    ///
    /// The rows of the step have `width` bytes, a multiple of a vector's.
    #[inline(always)]
    unsafe fn step(&self, step: &Step, rows: &[*mut u8], width: usize) {
        // SAFETY: as the caller says.
        unsafe {
            match step {
                Step::Combine { to, add, from, factor, count } => {
                    for r in 0..usize::from(*count) {
                        let to = rows[usize::from(*to) + r];
                        let add = add.map(|add| rows[usize::from(add) + r].cast_const());
                        self.combine(to, add, rows[usize::from(*from) + r], *factor, width);
                    }
                }
                Step::Butterflies(step) => {
                    let zero = step.twiddles[1] == 0;
                    match (step.direction, step.radix, zero) {
                        (Direction::Inverse, 2, true) => self.butterflies::<2, INVERSE, true>(step, rows, width),
                        (Direction::Inverse, 2, false) => self.butterflies::<2, INVERSE, false>(step, rows, width),
                        (Direction::Inverse, _, true) => self.butterflies::<4, INVERSE, true>(step, rows, width),
                        (Direction::Inverse, _, false) => self.butterflies::<4, INVERSE, false>(step, rows, width),
                        (Direction::Forward, 2, true) => self.butterflies::<2, FORWARD, true>(step, rows, width),
                        (Direction::Forward, 2, false) => self.butterflies::<2, FORWARD, false>(step, rows, width),
                        (Direction::Forward, _, true) => self.butterflies::<4, FORWARD, true>(step, rows, width),
                        (Direction::Forward, _, false) => self.butterflies::<4, FORWARD, false>(step, rows, width),
                        (Direction::Across, 2, _) => self.butterflies::<2, ACROSS, false>(step, rows, width),
                        (Direction::Across, 4, _) => self.butterflies::<4, ACROSS, false>(step, rows, width),
                        (Direction::Across, _, _) => self.butterflies::<8, ACROSS, false>(step, rows, width),
                    }
                }
            }
        }
    }

    /// # Safety
    ///
    /// As [`Self::step`].
    #[inline(always)]
    unsafe fn combine(&self, to: *mut u8, add: Option<*const u8>, from: *const u8, factor: u8, width: usize) {
        let v = self.v;
        let by = v.factor(&self.multipliers[usize::from(factor)]);
        for at in (0..width).step_by(V::WIDTH) {
            // SAFETY: the rows go on to here.
            unsafe {
                let x = v.load(from.add(at));
                let product = if factor == 1 { x } else { v.multiply(by, x) };
                let sum = match add {
                    Some(add) => v.xor(product, v.load(add.add(at))),
                    None => product,
                };
                v.store(to.add(at), sum);
            }
        }
    }

    /// # Safety
    ///
    /// As [`Self::step`].
    #[inline(always)]
    unsafe fn butterflies<const R: usize, const DIRECTION: u8, const ZERO: bool>(
        &self,
        step: &Butterflies,
        rows: &[*mut u8],
        width: usize,
    ) {
        let v = self.v;
        let (from, to, stride) = (usize::from(step.from), usize::from(step.to), usize::from(step.stride));
        let by: [V::Factor; R] = std::array::from_fn(|i| v.factor(&self.multipliers[usize::from(step.twiddles[i])]));
        // Of the block of the first points, which is where one goes to from another: 0, 0 2, 0 2 4 6.
        let back: [V::Factor; R] = if DIRECTION == ACROSS {
            std::array::from_fn(|i| v.factor(&self.multipliers[2 * (i - (1 << i.max(1).ilog2()).min(i))]))
        } else {
            by
        };
        for r in 0..usize::from(step.count) {
            let from: [*const u8; R] = std::array::from_fn(|i| rows[from + r + i * stride].cast_const());
            let to: [*mut u8; R] = std::array::from_fn(|i| rows[to + r + i * stride]);
            for at in (0..width).step_by(V::WIDTH) {
                // SAFETY: the rows go on to here.
                let mut x: [V::Vector; R] = std::array::from_fn(|i| unsafe { v.load(from[i].add(at)) });
                if DIRECTION != FORWARD {
                    inverse::<V, R, ZERO>(v, &mut x, &by);
                }
                if DIRECTION == FORWARD {
                    forward::<V, R, ZERO>(v, &mut x, &by);
                }
                if DIRECTION == ACROSS {
                    forward::<V, R, true>(v, &mut x, &back);
                }
                for i in 0..R {
                    // SAFETY: the rows go on to here.
                    unsafe { v.store(to[i].add(at), x[i]) };
                }
            }
        }
    }
}

const INVERSE: u8 = 0;
const FORWARD: u8 = 1;
const ACROSS: u8 = 2;

/// Values to coefficients. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn inverse<V: Vectors, const R: usize, const ZERO: bool>(v: V, x: &mut [V::Vector; R], by: &[V::Factor; R]) {
    let mut half = 1;
    while half < R {
        let nodes = R / (2 * half);
        for node in 0..nodes {
            for low in 2 * half * node..2 * half * node + half {
                x[low + half] = v.xor(x[low + half], x[low]);
                if !(ZERO && node == 0) {
                    x[low] = v.xor(x[low], v.multiply(by[nodes + node], x[low + half]));
                }
            }
        }
        half *= 2;
    }
}

/// Coefficients to values. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn forward<V: Vectors, const R: usize, const ZERO: bool>(v: V, x: &mut [V::Vector; R], by: &[V::Factor; R]) {
    let mut half = R / 2;
    while half > 0 {
        let nodes = R / (2 * half);
        for node in 0..nodes {
            for low in 2 * half * node..2 * half * node + half {
                if !(ZERO && node == 0) {
                    x[low] = v.xor(x[low], v.multiply(by[nodes + node], x[low + half]));
                }
                x[low + half] = v.xor(x[low + half], x[low]);
            }
        }
        half /= 2;
    }
}
