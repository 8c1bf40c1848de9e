//! The steps of a plan on vectors: rows are cut into columns narrow enough that all of a column's rows fit the first cache.

// Loops over constant counts unroll into registers by index; adapters of iterators may stay calls.
#![allow(clippy::needless_range_loop)]

use std::mem::MaybeUninit;

use super::plan::{Butterflies, Direction, Mix, Place, Plan, Step};
use crate::erasure::pattern::MOST_BLOCKS;
use crate::erasure::simd::vectors::{Kernel, Vectors};

/// Bytes of the buffer.
const BUFFER: usize = 1 << 17;
/// Bytes of the first cache that a column's rows may fill.
const FIRST_CACHE: usize = 3 << 13;
/// Bytes of a column's rows where all of them fit the first cache.
const NARROW: usize = 512;
/// The same where parts do, in which steps then stay for longest.
const WIDEST: usize = 1024;
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
        debug_assert!(
            self.inputs.iter().all(|row| row.len() == len) && self.outputs.iter().all(|row| row.len() == len)
        );
        let inputs: Vec<*mut u8> = self.inputs.iter().map(|row| row.as_ptr().cast_mut()).collect();
        let outputs: Vec<*mut u8> = self.outputs.iter_mut().map(|row| row.as_mut_ptr()).collect();
        let mut buffer = Buffer([const { MaybeUninit::uninit() }; BUFFER]);
        let run = Run { v, plan: self.plan, multipliers: self.multipliers };
        let unit = 2 * V::WIDTH;
        if len >= unit {
            // SAFETY: the rows are `len` bytes long, inputs are only read.
            unsafe { run.columns(&inputs, &outputs, len, &mut buffer) };
            return;
        }
        // Shorter than a vector: in copies that are one vector long.
        let mut copies = vec![0; (inputs.len() + outputs.len()) * unit];
        for (copy, row) in copies.chunks_exact_mut(unit).zip(self.inputs) {
            copy[..len].copy_from_slice(row);
        }
        let rows: Vec<*mut u8> = copies.chunks_exact_mut(unit).map(|row| row.as_mut_ptr()).collect();
        let (inputs, outputs) = rows.split_at(inputs.len());
        // SAFETY: the rows are one vector long.
        unsafe { run.columns(inputs, outputs, unit, &mut buffer) };
        let copies = copies.chunks_exact(unit).skip(inputs.len());
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
        let rows = usize::from(self.plan.work) + 1;
        let widest = if rows * NARROW <= FIRST_CACHE { NARROW } else { WIDEST };
        let unit = 2 * V::WIDTH;
        let step = unit.max(LINE);
        let pitch = (BUFFER / rows / step * step).min(widest);
        let work = buffer.0.as_mut_ptr().cast::<u8>();
        let fixed = |at: u16| (work.wrapping_add(usize::from(at) * pitch), 0);
        let place = |place: &Place| match *place {
            Place::Work(at) => fixed(at),
            Place::Input(at) => (inputs[usize::from(at)], usize::MAX),
            Place::Output(at) => (outputs[usize::from(at)], usize::MAX),
            Place::Zero => (ZEROS.0.as_ptr().cast_mut(), 0),
            Place::Unwanted => fixed(self.plan.work),
        };
        // The rows, and which of them go on with the columns.
        let (mut rows, moves): (Vec<*mut u8>, Vec<usize>) = self.plan.places.iter().map(place).unzip();
        let (mut start, mut last) = (0, 0);
        while start < len {
            let mut width = pitch.min(len - start);
            if !width.is_multiple_of(unit) {
                width = width.next_multiple_of(unit);
                if len >= width {
                    // The last column overlaps the one before: both compute the same bytes.
                    start = len - width;
                } else {
                    width -= unit;
                }
            }
            for (row, moves) in rows.iter_mut().zip(&moves) {
                *row = row.wrapping_add((start - last) & moves);
            }
            last = start;
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
                    // A variant of the code for each combination.
                    macro_rules! variant {
                        ($rows:literal, $across:literal) => {
                            match (step.direction, step.twiddles[1] == 0) {
                                (Direction::Inverse, true) => variant!($rows, $across, INVERSE, true),
                                (Direction::Inverse, false) => variant!($rows, $across, INVERSE, false),
                                (Direction::Forward, true) => variant!($rows, $across, FORWARD, true),
                                (Direction::Forward, false) => variant!($rows, $across, FORWARD, false),
                                (Direction::Across, _) => variant!($rows, $across, ACROSS, false),
                            }
                        };
                        ($rows:literal, $across:literal, $direction:ident, $zero:literal) => {
                            self.butterflies::<$rows, $across, $direction, $zero>(step, rows, width)
                        };
                    }
                    match step.radix {
                        2 => variant!(2, 2),
                        4 => variant!(4, 2),
                        _ => variant!(8, 1),
                    }
                }
                Step::Mix(mix) => self.mix(mix, rows, width),
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
    unsafe fn mix(&self, mix: &Mix, rows: &[*mut u8], width: usize) {
        let v = self.v;
        let block = usize::from(mix.block);
        let mut by = [v.factor(&self.multipliers[0]); MOST_BLOCKS];
        for (by, (_, factor)) in by.iter_mut().zip(&mix.inputs) {
            *by = v.factor(&self.multipliers[usize::from(*factor)]);
        }
        for j in 0..block {
            let mut terms = [std::ptr::null::<u8>(); 8];
            let mut count = 0;
            if let Some(from) = mix.derivative {
                for bit in (0..block.trailing_zeros()).map(|i| 1 << i).filter(|bit| j & bit == 0) {
                    terms[count] = rows[usize::from(from) + (j | bit)];
                    count += 1;
                }
            }
            let mut products = [std::ptr::null::<u8>(); MOST_BLOCKS];
            for (product, (from, _)) in products.iter_mut().zip(&mix.inputs) {
                *product = rows[usize::from(*from) + j];
            }
            let to = rows[usize::from(mix.to) + j];
            for at in (0..width).step_by(V::WIDTH) {
                let mut sum = v.zero();
                for term in &terms[..count] {
                    // SAFETY: the rows go on to here.
                    sum = v.xor(sum, unsafe { v.load(term.add(at)) });
                }
                for i in 0..mix.inputs.len().min(MOST_BLOCKS) {
                    // SAFETY: the rows go on to here.
                    sum = v.xor(sum, v.multiply(by[i], unsafe { v.load(products[i].add(at)) }));
                }
                // SAFETY: the rows go on to here.
                unsafe { v.store(to.add(at), sum) };
            }
        }
    }

    /// # Safety
    ///
    /// As [`Self::step`].
    #[inline(always)]
    unsafe fn butterflies<const R: usize, const L: usize, const DIRECTION: u8, const ZERO: bool>(
        &self,
        step: &Butterflies,
        rows: &[*mut u8],
        width: usize,
    ) {
        let v = self.v;
        let (from, to, stride) = (usize::from(step.from), usize::from(step.to), usize::from(step.stride));
        let mut by = [v.factor(&self.multipliers[usize::from(step.twiddles[0])]); R];
        for i in 1..R {
            by[i] = v.factor(&self.multipliers[usize::from(step.twiddles[i])]);
        }
        // Of the block of the first points, which is where one goes to from another: 0, 0 2, 0 2 4 6.
        let mut back = by;
        if DIRECTION == ACROSS {
            for i in 1..R {
                back[i] = v.factor(&self.multipliers[2 * (i - (1 << i.ilog2()))]);
            }
        }
        for r in 0..usize::from(step.count) {
            let row = |first: usize, i: usize| rows[first + r + i * stride];
            let (mut load, mut store) = ([std::ptr::null::<u8>(); R], [std::ptr::null_mut::<u8>(); R]);
            for i in 0..R {
                load[i] = row(from, i);
                store[i] = row(to, i);
            }
            let mut ahead = load;
            if let Some((first, next)) = step.ahead {
                for i in 0..R {
                    ahead[i] = row(first.into(), i).wrapping_add(if next { width } else { 0 });
                }
            }
            for at in (0..width).step_by(L * V::WIDTH) {
                if step.ahead.is_some() && at % LINE == 0 {
                    for i in 0..R {
                        v.prefetch(ahead[i].wrapping_add(at));
                    }
                }
                let mut x = [[v.zero(); L]; R];
                for i in 0..R {
                    for l in 0..L {
                        // SAFETY: the rows go on to here.
                        x[i][l] = unsafe { v.load(load[i].add(at + l * V::WIDTH)) };
                    }
                }
                if DIRECTION != FORWARD {
                    inverse::<V, R, L, ZERO>(v, &mut x, &by);
                }
                if DIRECTION == FORWARD {
                    forward::<V, R, L, ZERO>(v, &mut x, &by);
                }
                if DIRECTION == ACROSS {
                    forward::<V, R, L, true>(v, &mut x, &back);
                }
                for i in 0..R {
                    for l in 0..L {
                        // SAFETY: the rows go on to here.
                        unsafe { v.store(store[i].add(at + l * V::WIDTH), x[i][l]) };
                    }
                }
            }
        }
    }
}

const INVERSE: u8 = 0;
const FORWARD: u8 = 1;
const ACROSS: u8 = 2;

/// Butterflies side by side, so that neighbouring instructions do not wait for each other: low row, high row, twiddle.
macro_rules! butterflies {
    (inverse $v:ident $x:ident $by:ident $zero:ident $(($low:literal $high:literal $node:literal))*) => {
        $(for l in 0..L {
            $x[$high][l] = $v.xor($x[$high][l], $x[$low][l]);
        })*
        butterflies!(low $v $x $by $zero $(($low $high $node))*);
    };
    (forward $v:ident $x:ident $by:ident $zero:ident $(($low:literal $high:literal $node:literal))*) => {
        butterflies!(low $v $x $by $zero $(($low $high $node))*);
        $(for l in 0..L {
            $x[$high][l] = $v.xor($x[$high][l], $x[$low][l]);
        })*
    };
    (low $v:ident $x:ident $by:ident $zero:ident $(($low:literal $high:literal $node:literal))*) => {
        let operands = [$({
            let mut operands = [$v.operand($x[$high][0]); L];
            for l in 1..L {
                operands[l] = $v.operand($x[$high][l]);
            }
            operands
        }),*];
        let mut operands = operands.iter();
        $(if let (Some(operands), false) = (operands.next(), $zero && u8::is_power_of_two($node)) {
            for l in 0..L {
                $x[$low][l] = $v.xor($x[$low][l], $v.product($by[$node], operands[l]));
            }
        })*
    };
}

/// Rows of `L` vectors.
type Rows<V, const R: usize, const L: usize> = [[<V as Vectors>::Vector; L]; R];

/// Values to coefficients. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn inverse<V: Vectors, const R: usize, const L: usize, const ZERO: bool>(
    v: V,
    x: &mut Rows<V, R, L>,
    by: &[V::Factor; R],
) {
    if R == 2 {
        butterflies!(inverse v x by ZERO (0 1 1));
    }
    if R == 4 {
        butterflies!(inverse v x by ZERO (0 1 2));
        butterflies!(inverse v x by ZERO (2 3 3));
        butterflies!(inverse v x by ZERO (0 2 1));
        butterflies!(inverse v x by ZERO (1 3 1));
    }
    if R == 8 {
        butterflies!(inverse v x by ZERO (0 1 4) (2 3 5));
        butterflies!(inverse v x by ZERO (4 5 6) (6 7 7));
        butterflies!(inverse v x by ZERO (0 2 2) (1 3 2));
        butterflies!(inverse v x by ZERO (4 6 3) (5 7 3));
        butterflies!(inverse v x by ZERO (0 4 1) (1 5 1));
        butterflies!(inverse v x by ZERO (2 6 1) (3 7 1));
    }
}

/// Coefficients to values. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn forward<V: Vectors, const R: usize, const L: usize, const ZERO: bool>(
    v: V,
    x: &mut Rows<V, R, L>,
    by: &[V::Factor; R],
) {
    if R == 8 {
        butterflies!(forward v x by ZERO (0 4 1) (1 5 1));
        butterflies!(forward v x by ZERO (2 6 1) (3 7 1));
        butterflies!(forward v x by ZERO (0 2 2) (1 3 2));
        butterflies!(forward v x by ZERO (4 6 3) (5 7 3));
        butterflies!(forward v x by ZERO (0 1 4) (2 3 5));
        butterflies!(forward v x by ZERO (4 5 6) (6 7 7));
    }
    if R == 4 {
        butterflies!(forward v x by ZERO (0 2 1));
        butterflies!(forward v x by ZERO (1 3 1));
        butterflies!(forward v x by ZERO (0 1 2));
        butterflies!(forward v x by ZERO (2 3 3));
    }
    if R == 2 {
        butterflies!(forward v x by ZERO (0 1 1));
    }
}
