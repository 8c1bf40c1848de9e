//! The steps of a plan on vectors: each kind in code of its own, entered once a step.

// Loops over constant counts unroll into registers by index; adapters of iterators may stay calls.
#![allow(clippy::needless_range_loop)]

use super::plan::{Butterflies, Direction, Mix, Step};
use crate::erasure::pattern::MOST_BLOCKS;
use crate::erasure::simd::vectors::{Kernel, Vectors};

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Most layers of a transform.
const LAYERS: usize = 8;

/// Rows of one column.
pub(super) struct Rows<'a, V: Vectors> {
    pub multipliers: &'a [V::Multiplier],
    /// [`Plan::factors`](super::plan::Plan::factors).
    pub factors: &'a [u8],
    pub rows: &'a [*mut u8],
    /// Bytes, a multiple of two vectors'.
    pub width: usize,
}

/// One step on rows. Whoever makes one vouches that the step's rows have so many bytes, and may be written where it writes.
struct On<'a, V: Vectors, S>(&'a Rows<'a, V>, S);

/// As [`Step::Scale`].
struct Scale {
    to: u16,
    from: u16,
    factors: u16,
    count: u16,
}

/// Butterflies on `R` rows, `L` vectors of each at a time; with `ZERO`, the first twiddle of each layer is 0.
struct Group<'a, const R: usize, const L: usize, const DIRECTION: u8, const ZERO: bool>(&'a Butterflies);

const INVERSE: u8 = 0;
const FORWARD: u8 = 1;
const ACROSS: u8 = 2;

impl<V: Vectors> Rows<'_, V> {
    /// # Safety
    ///
    /// The rows of the step have `width` bytes, to write where the step writes.
    pub(super) unsafe fn take(&self, v: V, step: &Step) {
        match step {
            Step::Combine { .. } => v.run(On(self, step)),
            &Step::Scale { to, from, factors, count } => v.run(On(self, Scale { to, from, factors, count })),
            Step::Mix(mix) => v.run(On(self, mix)),
            Step::Butterflies(step) => {
                macro_rules! variant {
                    ($rows:literal, $vectors:literal) => {
                        match (step.direction, step.twiddles[1] == 0) {
                            (Direction::Inverse, true) => variant!($rows, $vectors, INVERSE, true),
                            (Direction::Inverse, false) => variant!($rows, $vectors, INVERSE, false),
                            (Direction::Forward, true) => variant!($rows, $vectors, FORWARD, true),
                            (Direction::Forward, false) => variant!($rows, $vectors, FORWARD, false),
                            (Direction::Across, _) => variant!($rows, $vectors, ACROSS, false),
                        }
                    };
                    ($rows:literal, $vectors:literal, $direction:ident, $zero:literal) => {
                        v.run(On(self, Group::<$rows, $vectors, $direction, $zero>(step)))
                    };
                }
                match step.radix {
                    2 => variant!(2, 2),
                    4 => variant!(4, 2),
                    _ => variant!(8, 1),
                }
            }
        }
    }
}

impl<V: Vectors> Kernel<V> for On<'_, V, &Step> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self(&Rows { multipliers, rows, width, .. }, step) = self;
        let &Step::Combine { to, add, from, factor, count } = step else { return };
        let by = v.factor(&multipliers[usize::from(factor)]);
        for r in 0..usize::from(count) {
            let row = |first: u16| rows[usize::from(first) + r];
            let (to, from, add) = (row(to), row(from), add.map(row));
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
    }
}

impl<V: Vectors> Kernel<V> for On<'_, V, Scale> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self(&Rows { multipliers, factors, rows, width }, step) = self;
        for r in 0..usize::from(step.count) {
            let row = |first: u16| rows[usize::from(first) + r];
            let (to, from) = (row(step.to), row(step.from));
            let by = v.factor(&multipliers[usize::from(factors[usize::from(step.factors) + r])]);
            for at in (0..width).step_by(2 * V::WIDTH) {
                // The row in the next column, if the step reads rows outside the buffer.
                v.prefetch(from.wrapping_add(width + at));
                // SAFETY: the rows go on to here.
                unsafe {
                    let (x, y) = (v.load(from.add(at)), v.load(from.add(at + V::WIDTH)));
                    v.store(to.add(at), v.multiply(by, x));
                    v.store(to.add(at + V::WIDTH), v.multiply(by, y));
                }
            }
        }
    }
}

impl<V: Vectors> Kernel<V> for On<'_, V, &Mix> {
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self(&Rows { multipliers, rows, width, .. }, mix) = self;
        let block = usize::from(mix.block);
        let mut by = [v.factor(&multipliers[0]); MOST_BLOCKS];
        for (by, (_, factor)) in by.iter_mut().zip(&mix.inputs) {
            *by = v.factor(&multipliers[usize::from(*factor)]);
        }
        for j in 0..block {
            let mut terms = [std::ptr::null::<u8>(); LAYERS];
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
}

impl<V: Vectors, const R: usize, const L: usize, const DIRECTION: u8, const ZERO: bool> Kernel<V>
    for On<'_, V, Group<'_, R, L, DIRECTION, ZERO>>
{
    type Output = ();

    #[inline(always)]
    fn run(self, v: V) {
        let Self(&Rows { multipliers, rows, width, .. }, Group(step)) = self;
        let (from, to, stride) = (usize::from(step.from), usize::from(step.to), usize::from(step.stride));
        let mut by = [v.factor(&multipliers[usize::from(step.twiddles[0])]); R];
        for i in 1..R {
            by[i] = v.factor(&multipliers[usize::from(step.twiddles[i])]);
        }
        // Of the block of the first points, which is where one goes to from another: 0, 0 2, 0 2 4 6.
        let mut back = by;
        if DIRECTION == ACROSS {
            for i in 1..R {
                back[i] = v.factor(&multipliers[2 * (i - (1 << i.ilog2()))]);
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
type Vectored<V, const R: usize, const L: usize> = [[<V as Vectors>::Vector; L]; R];

/// Values to coefficients. With `ZERO`, the first twiddle of each layer is 0.
#[inline(always)]
fn inverse<V: Vectors, const R: usize, const L: usize, const ZERO: bool>(
    v: V,
    x: &mut Vectored<V, R, L>,
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
    x: &mut Vectored<V, R, L>,
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
