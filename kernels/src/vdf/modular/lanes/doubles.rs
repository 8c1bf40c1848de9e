//! Digits as doubles: 4 lanes, as instructions of AVX2 and FMA, and as plain code that gives the same bits.
//!
//! A sum of upper halves starts at `1.5 * 2^(52+W)`, in the middle of doubles that are `2^W` apart, so a multiply-add into
//! it rounds a product to a multiple of `2^W`. What that leaves is exact: the difference of the sums, before minus after,
//! is exact, and a second multiply-add to it has a rounding error for result, at most `2^(W-1)`. Both need nothing but
//! rounding to nearest, the only mode there is in Rust.
//!
//! Bounds, for `rows` products at most in a column (a product by a doubled digit is two), see [`fits`]:
//! - a digit is at most `D = 2^(W-1) + 2^(53-W)`: [`Vector::column`] leaves `2^(W-1)` of a sum below `2^53` and adds what
//!   the column before had in excess;
//! - the sums of upper halves are off their start by `rows * (D^2 + 2^(W-1))`, which must stay below `2^(51+W)`;
//! - a column is the rest of its products, `rows * 2^(W-1)`, the upper halves of the column before over `2^W`, and a digit
//!   that is added. It must stay below `2^53`, up to where integers are exact.
//!
//! With debug assertions the model holds all three against every column.

use super::vector::{Carry, Task, Tile, Vector};

pub(super) const fn power_of_2(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// Whether columns of so many products are within the bounds.
pub(super) const fn fits(w: u32, rows: usize) -> bool {
    let rows = rows as u128;
    let digit = (1u128 << (w - 1)) + (1 << (53 - w));
    let rest = 1u128 << (w - 1);
    let upper = rows * (digit * digit + rest);
    upper < 1 << (51 + w) && rows * rest + (upper >> w) + 1 + digit < 1 << 53
}

/// The largest digit, `D`.
const fn largest_digit(w: u32) -> f64 {
    power_of_2(w as i32 - 1) + power_of_2(53 - w as i32)
}

/// Where a sum of upper halves starts, in units of `2^W`.
const START: f64 = 1.5 * power_of_2(52);

/// The arithmetic, lane by lane, rounded to nearest, ties to even.
trait Floats: Copy {
    fn splat(value: f64) -> Self;
    fn add(self, rhs: Self) -> Self;
    fn sub(self, rhs: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// In the model: that no lane is larger in size.
    #[inline(always)]
    fn assert_at_most(self, _most: f64) {}
}

/// A sum below `2^53` as a digit of at most `2^(W-1)`, and the multiple of `2^W` that it leaves.
#[inline(always)]
fn split<F: Floats, const W: u32>(sum: F) -> (F, F) {
    let rounded = sum.add(F::splat(const { START * power_of_2(W as i32) }));
    let excess = rounded.mul_add(F::splat(const { power_of_2(-(W as i32)) }), F::splat(-START));
    (excess.mul_add(F::splat(const { -power_of_2(W as i32) }), sum), excess)
}

/// [`Vector`] of [`Floats`].
macro_rules! vector_of_floats {
    ($($own:item)*) => {
        const LANES: usize = 4;
        const SIGNED: bool = true;
        fn from_lanes(mut lane: impl FnMut(usize) -> i64) -> Self {
            Self::of(std::array::from_fn(|i| lane(i) as f64))
        }
        fn lane(&self, lane: usize) -> i64 {
            self.lanes()[lane] as i64
        }
        #[inline(always)]
        fn zero() -> Self {
            Self::splat(0.0)
        }
        #[inline(always)]
        fn empty<const W: u32>() -> Self {
            Self::splat(const { START * power_of_2(W as i32) })
        }
        #[inline(always)]
        fn add(self, rhs: Self) -> Self {
            Floats::add(self, rhs)
        }
        #[inline(always)]
        fn multiply(high: &mut Self, low: &mut Self, a: Self, b: Self) {
            let next = a.mul_add(b, *high);
            let rest = a.mul_add(b, high.sub(next));
            *low = Floats::add(*low, rest);
            *high = next;
        }
        #[inline(always)]
        fn column<const W: u32>(carry: &mut Carry<Self>, tile: &Tile<Self>, k: usize) -> Self {
            // As many multiply-adds as additions: they have pipes of their own.
            let unit = Self::splat(const { power_of_2(-(W as i32)) });
            let sum = Floats::add(carry.high, tile.low[k]);
            let [even, odd] = [tile.even[k], tile.odd[k]].map(|high| high.mul_add(unit, Self::splat(-START)));
            carry.high = Floats::add(even, odd);
            let (digit, excess) = split::<Self, W>(sum);
            let out = Floats::add(digit, carry.excess);
            carry.excess = excess;
            sum.assert_at_most(const { power_of_2(53) - 1.0 });
            even.assert_at_most(const { power_of_2(51) - 1.0 });
            odd.assert_at_most(const { power_of_2(51) - 1.0 });
            out.assert_at_most(const { largest_digit(W) });
            out
        }
        #[inline(always)]
        fn estimate(sum: &mut Self, a: Self, b: Self) {
            *sum = a.mul_add(b, *sum);
        }
        /// An excess is rounded to nearest, and the estimate is that near.
        #[inline(always)]
        fn guard<const W: u32>(sum: Self) -> Carry<Self> {
            let unit = Self::splat(const { power_of_2(-(W as i32)) });
            Carry { high: sum.mul_add(unit, Self::zero()), excess: Self::zero() }
        }
        #[inline(always)]
        fn double<const W: u32>(x: Self, bit: Self, excess: &mut Self) -> Self {
            let (digit, above) = split::<Self, W>(x.mul_add(bit, x));
            let out = Floats::add(digit, *excess);
            *excess = above;
            out.assert_at_most(const { largest_digit(W) });
            out
        }
        $($own)*
    };
}

/// Plain code: the model of [`Avx2`], for any machine.
#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Emulated([f64; 4]);

impl Emulated {
    fn of(lanes: [f64; 4]) -> Self {
        Self(lanes)
    }
    fn lanes(&self) -> [f64; 4] {
        self.0
    }
}

impl Floats for Emulated {
    fn splat(value: f64) -> Self {
        Self([value; 4])
    }
    fn add(self, rhs: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + rhs.0[lane]))
    }
    fn sub(self, rhs: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] - rhs.0[lane]))
    }
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(b.0[lane], c.0[lane])))
    }
    fn assert_at_most(self, most: f64) {
        debug_assert!(self.0.iter().all(|lane| lane.abs() <= most), "{:?} above {most}", self.0);
    }
}

impl Vector for Emulated {
    vector_of_floats! {
        fn run<T: Task>(task: T) {
            task.run();
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::rows;
    use super::*;

    /// A 256-bit register. To be made only on a CPU with AVX2 and FMA.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub struct Avx2(pub(in super::super) __m256d);

    /// One intrinsic, once it is inlined where the instructions are enabled.
    macro_rules! intrinsic {
        ($call:expr) => {
            // SAFETY: a vector is made only on a CPU that has the instructions.
            unsafe { $call }
        };
    }

    impl Avx2 {
        fn of(lanes: [f64; 4]) -> Self {
            Self(intrinsic!(_mm256_loadu_pd(lanes.as_ptr())))
        }
        fn lanes(&self) -> [f64; 4] {
            let mut lanes = [0.0; 4];
            intrinsic!(_mm256_storeu_pd(lanes.as_mut_ptr(), self.0));
            lanes
        }
    }

    impl Floats for Avx2 {
        #[inline(always)]
        fn splat(value: f64) -> Self {
            Self(intrinsic!(_mm256_set1_pd(value)))
        }
        #[inline(always)]
        fn add(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm256_add_pd(self.0, rhs.0)))
        }
        #[inline(always)]
        fn sub(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm256_sub_pd(self.0, rhs.0)))
        }
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            Self(intrinsic!(_mm256_fmadd_pd(self.0, b.0, c.0)))
        }
    }

    impl Vector for Avx2 {
        vector_of_floats! {
            fn run<T: Task>(task: T) {
                #[target_feature(enable = "avx2,fma")]
                fn enabled<T: Task>(task: T) {
                    task.run();
                }
                // SAFETY: a task has vectors, which are made only on a CPU that has the instructions.
                unsafe { enabled(task) }
            }
            #[inline(always)]
            unsafe fn rows(tile: &mut Tile<Self>, a: *const Self, b: *const Self, rows: usize) {
                if rows > 0 {
                    // SAFETY: the caller's, and as above.
                    unsafe { rows::rows(tile, a, b, rows) }
                }
            }
        }
    }
}
