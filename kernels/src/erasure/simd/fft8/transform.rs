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
        debug_assert!(
            self.inputs.iter().all(|row| row.len() == len) && self.outputs.iter().all(|row| row.len() == len)
        );
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
            if width < V::WIDTH {
                // The last vector overlaps the one before: both compute the same bytes.
                start = len - V::WIDTH;
                width = V::WIDTH;
            } else if width < pitch {
                width -= width % V::WIDTH;
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
                    let zero = step.twiddles[1] == 0;
                    match (step.direction, step.radix, zero, step.ahead.is_some()) {
                        (Direction::Inverse, 2, true, true) => {
                            self.butterflies::<2, INVERSE, true, true>(step, rows, width)
                        }
                        (Direction::Inverse, 2, true, false) => {
                            self.butterflies::<2, INVERSE, true, false>(step, rows, width)
                        }
                        (Direction::Inverse, 2, false, true) => {
                            self.butterflies::<2, INVERSE, false, true>(step, rows, width)
                        }
                        (Direction::Inverse, 2, false, false) => {
                            self.butterflies::<2, INVERSE, false, false>(step, rows, width)
                        }
                        (Direction::Inverse, 4, true, true) => {
                            self.butterflies::<4, INVERSE, true, true>(step, rows, width)
                        }
                        (Direction::Inverse, 4, true, false) => {
                            self.butterflies::<4, INVERSE, true, false>(step, rows, width)
                        }
                        (Direction::Inverse, 4, false, true) => {
                            self.butterflies::<4, INVERSE, false, true>(step, rows, width)
                        }
                        (Direction::Inverse, 4, false, false) => {
                            self.butterflies::<4, INVERSE, false, false>(step, rows, width)
                        }
                        (Direction::Inverse, _, true, true) => {
                            self.butterflies::<8, INVERSE, true, true>(step, rows, width)
                        }
                        (Direction::Inverse, _, true, false) => {
                            self.butterflies::<8, INVERSE, true, false>(step, rows, width)
                        }
                        (Direction::Inverse, _, false, true) => {
                            self.butterflies::<8, INVERSE, false, true>(step, rows, width)
                        }
                        (Direction::Inverse, _, false, false) => {
                            self.butterflies::<8, INVERSE, false, false>(step, rows, width)
                        }
                        (Direction::Forward, 2, true, true) => {
                            self.butterflies::<2, FORWARD, true, true>(step, rows, width)
                        }
                        (Direction::Forward, 2, true, false) => {
                            self.butterflies::<2, FORWARD, true, false>(step, rows, width)
                        }
                        (Direction::Forward, 2, false, true) => {
                            self.butterflies::<2, FORWARD, false, true>(step, rows, width)
                        }
                        (Direction::Forward, 2, false, false) => {
                            self.butterflies::<2, FORWARD, false, false>(step, rows, width)
                        }
                        (Direction::Forward, 4, true, true) => {
                            self.butterflies::<4, FORWARD, true, true>(step, rows, width)
                        }
                        (Direction::Forward, 4, true, false) => {
                            self.butterflies::<4, FORWARD, true, false>(step, rows, width)
                        }
                        (Direction::Forward, 4, false, true) => {
                            self.butterflies::<4, FORWARD, false, true>(step, rows, width)
                        }
                        (Direction::Forward, 4, false, false) => {
                            self.butterflies::<4, FORWARD, false, false>(step, rows, width)
                        }
                        (Direction::Forward, _, true, true) => {
                            self.butterflies::<8, FORWARD, true, true>(step, rows, width)
                        }
                        (Direction::Forward, _, true, false) => {
                            self.butterflies::<8, FORWARD, true, false>(step, rows, width)
                        }
                        (Direction::Forward, _, false, true) => {
                            self.butterflies::<8, FORWARD, false, true>(step, rows, width)
                        }
                        (Direction::Forward, _, false, false) => {
                            self.butterflies::<8, FORWARD, false, false>(step, rows, width)
                        }
                        (Direction::Across, 2, _, _) => self.butterflies::<2, ACROSS, false, false>(step, rows, width),
                        (Direction::Across, 4, _, _) => self.butterflies::<4, ACROSS, false, false>(step, rows, width),
                        (Direction::Across, _, _, _) => self.butterflies::<8, ACROSS, false, false>(step, rows, width),
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
    unsafe fn butterflies<const R: usize, const DIRECTION: u8, const ZERO: bool, const AHEAD: bool>(
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
            if let (true, Some((first, next))) = (AHEAD, step.ahead) {
                for i in 0..R {
                    ahead[i] = row(first.into(), i).wrapping_add(if next { width } else { 0 });
                }
            }
            for at in (0..width).step_by(V::WIDTH) {
                if AHEAD && at % LINE == 0 {
                    for i in 0..R {
                        v.prefetch(ahead[i].wrapping_add(at));
                    }
                }
                let mut x = [v.zero(); R];
                for i in 0..R {
                    // SAFETY: the rows go on to here.
                    x[i] = unsafe { v.load(load[i].add(at)) };
                }
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
                    unsafe { v.store(store[i].add(at), x[i]) };
                }
            }
        }
    }
}

const INVERSE: u8 = 0;
const FORWARD: u8 = 1;
const ACROSS: u8 = 2;

/// Two butterflies side by side, so that neighbouring instructions do not wait for each other: low row, high row, twiddle.
macro_rules! pair {
    (inverse $v:ident $x:ident $by:ident $zero:ident $(($low:literal $high:literal $node:literal))*) => {
        $($x[$high] = $v.xor($x[$high], $x[$low]);)*
        pair!(low $v $x $by $zero $(($low $high $node))*);
    };
    (forward $v:ident $x:ident $by:ident $zero:ident $(($low:literal $high:literal $node:literal))*) => {
        pair!(low $v $x $by $zero $(($low $high $node))*);
        $($x[$high] = $v.xor($x[$high], $x[$low]);)*
    };
    (low $v:ident $x:ident $by:ident $zero:ident ($l0:literal $h0:literal $n0:literal) ($l1:literal $h1:literal $n1:literal)) => {
        let operands = ($v.operand($x[$h0]), $v.operand($x[$h1]));
        if !($zero && u8::is_power_of_two($n0)) {
            $x[$l0] = $v.xor($x[$l0], $v.product($by[$n0], operands.0));
        }
        if !($zero && u8::is_power_of_two($n1)) {
            $x[$l1] = $v.xor($x[$l1], $v.product($by[$n1], operands.1));
        }
    };
    (low $v:ident $x:ident $by:ident $zero:ident ($l0:literal $h0:literal $n0:literal)) => {
        if !($zero && u8::is_power_of_two($n0)) {
            $x[$l0] = $v.xor($x[$l0], $v.multiply($by[$n0], $x[$h0]));
        }
    };
}

/// Values to coefficients. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn inverse<V: Vectors, const R: usize, const ZERO: bool>(v: V, x: &mut [V::Vector; R], by: &[V::Factor; R]) {
    if R == 2 {
        pair!(inverse v x by ZERO (0 1 1));
    }
    if R == 4 {
        pair!(inverse v x by ZERO (0 1 2) (2 3 3));
        pair!(inverse v x by ZERO (0 2 1) (1 3 1));
    }
    if R == 8 {
        pair!(inverse v x by ZERO (0 1 4) (2 3 5));
        pair!(inverse v x by ZERO (4 5 6) (6 7 7));
        pair!(inverse v x by ZERO (0 2 2) (1 3 2));
        pair!(inverse v x by ZERO (4 6 3) (5 7 3));
        pair!(inverse v x by ZERO (0 4 1) (1 5 1));
        pair!(inverse v x by ZERO (2 6 1) (3 7 1));
    }
}

/// Coefficients to values. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn forward<V: Vectors, const R: usize, const ZERO: bool>(v: V, x: &mut [V::Vector; R], by: &[V::Factor; R]) {
    if R == 8 {
        pair!(forward v x by ZERO (0 4 1) (1 5 1));
        pair!(forward v x by ZERO (2 6 1) (3 7 1));
        pair!(forward v x by ZERO (0 2 2) (1 3 2));
        pair!(forward v x by ZERO (4 6 3) (5 7 3));
        pair!(forward v x by ZERO (0 1 4) (2 3 5));
        pair!(forward v x by ZERO (4 5 6) (6 7 7));
    }
    if R == 4 {
        pair!(forward v x by ZERO (0 2 1) (1 3 1));
        pair!(forward v x by ZERO (0 1 2) (2 3 3));
    }
    if R == 2 {
        pair!(forward v x by ZERO (0 1 1));
    }
}
