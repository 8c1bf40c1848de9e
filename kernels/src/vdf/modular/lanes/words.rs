//! Digits as integers: 8 lanes, as instructions of AVX-512 IFMA, and as plain code that gives the same bits.
//!
//! The instructions split a product at bit 52. Digits have 51 bits, so that one may be doubled, and an upper half counts
//! twice. A column of `L` products (a product by a doubled digit is two) is below `2 L * 2^52`, far from overflow: below
//! `2^63` for the sizes of [`fits`], which the model holds against every column with debug assertions.
//! Semantics: Intel 64 and IA-32 Software Developer's Manual, volume 2, `VPMADD52LUQ` and `VPMADD52HUQ`.

use super::vector::{Carry, Task, Tile, Vector};

/// Whether columns of so many products are within the bounds.
pub(super) const fn fits(w: u32, rows: usize) -> bool {
    w == 51 && rows < 1 << 10
}

/// Plain arithmetic on lanes, wrapping.
trait Words: Copy {
    fn splat(value: u64) -> Self;
    fn add(self, rhs: Self) -> Self;
    fn and(self, rhs: Self) -> Self;
    /// Zeros come in from above.
    fn shift_right<const N: u32>(self) -> Self;
    /// Adds bits 0 to 51 of the product of the factors' low 52 bits.
    fn multiply_low(self, a: Self, b: Self) -> Self;
    /// Adds bits 52 to 103 of the product of the factors' low 52 bits.
    fn multiply_high(self, a: Self, b: Self) -> Self;
    /// In the model: that every lane is below `2^bits`.
    #[inline(always)]
    fn assert_below(self, _bits: u32) {}
}

/// The low `W` bits, and the rest, of a sum and what comes from below it.
#[inline(always)]
fn split<V: Words, const W: u32>(sum: V, excess: &mut V) -> V {
    const { assert!(W == 51) };
    let sum = sum.add(*excess);
    *excess = sum.shift_right::<51>();
    sum.and(V::splat((1 << W) - 1))
}

/// [`Vector`] of [`Words`].
macro_rules! vector_of_words {
    ($($own:item)*) => {
        const LANES: usize = 8;
        const SIGNED: bool = false;
        fn from_lanes(mut lane: impl FnMut(usize) -> i64) -> Self {
            Self::of(std::array::from_fn(|i| lane(i) as u64))
        }
        fn lane(&self, lane: usize) -> i64 {
            self.lanes()[lane] as i64
        }
        #[inline(always)]
        fn zero() -> Self {
            Self::splat(0)
        }
        #[inline(always)]
        fn empty<const W: u32>() -> Self {
            Self::splat(0)
        }
        #[inline(always)]
        fn add(self, rhs: Self) -> Self {
            Words::add(self, rhs)
        }
        #[inline(always)]
        fn multiply(high: &mut Self, low: &mut Self, a: Self, b: Self) {
            *low = low.multiply_low(a, b);
            *high = high.multiply_high(a, b);
        }
        #[inline(always)]
        fn column<const W: u32>(carry: &mut Carry<Self>, tile: &Tile<Self>, k: usize) -> Self {
            let sum = Words::add(tile.low[k], carry.high);
            let high = Words::add(tile.even[k], tile.odd[k]);
            high.assert_below(62);
            carry.high = Words::add(high, high);
            sum.assert_below(63);
            split::<Self, W>(sum, &mut carry.excess)
        }
        #[inline(always)]
        fn estimate(sum: &mut Self, a: Self, b: Self) {
            *sum = sum.multiply_high(a, b);
        }
        /// What the estimate lacks is positive and less than one: an excess is rounded up.
        #[inline(always)]
        fn guard<const W: u32>(sum: Self) -> Carry<Self> {
            Carry { high: Words::add(sum, sum), excess: Self::splat((1 << W) - 1) }
        }
        #[inline(always)]
        fn double<const W: u32>(x: Self, bit: Self, excess: &mut Self) -> Self {
            split::<Self, W>(x.multiply_low(x, bit), excess)
        }
        $($own)*
    };
}

/// Plain code: the model of [`Avx512`], for any machine.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Emulated([u64; 8]);

impl Emulated {
    fn of(lanes: [u64; 8]) -> Self {
        Self(lanes)
    }
    fn lanes(&self) -> [u64; 8] {
        self.0
    }
    fn zip(self, rhs: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], rhs.0[lane])))
    }
    fn product(self, rhs: Self, shift: u32) -> Self {
        const LOW: u64 = (1 << 52) - 1;
        self.zip(rhs, |a, b| ((u128::from(a & LOW) * u128::from(b & LOW)) >> shift) as u64 & LOW)
    }
}

impl Words for Emulated {
    fn splat(value: u64) -> Self {
        Self([value; 8])
    }
    fn add(self, rhs: Self) -> Self {
        self.zip(rhs, u64::wrapping_add)
    }
    fn and(self, rhs: Self) -> Self {
        self.zip(rhs, |a, b| a & b)
    }
    fn shift_right<const N: u32>(self) -> Self {
        Self(self.0.map(|lane| lane >> N))
    }
    fn multiply_low(self, a: Self, b: Self) -> Self {
        Words::add(self, a.product(b, 0))
    }
    fn multiply_high(self, a: Self, b: Self) -> Self {
        Words::add(self, a.product(b, 52))
    }
    fn assert_below(self, bits: u32) {
        debug_assert!(self.0.iter().all(|lane| lane >> bits == 0), "{:x?} above 2^{bits}", self.0);
    }
}

impl Vector for Emulated {
    vector_of_words! {
        fn run<T: Task>(task: T) {
            task.run();
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::*;

    /// A 512-bit register. To be made only on a CPU with AVX-512 F and IFMA.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub struct Avx512(__m512i);

    /// One intrinsic, once it is inlined where the instructions are enabled.
    macro_rules! intrinsic {
        ($call:expr) => {
            // SAFETY: a vector is made only on a CPU that has the instructions.
            unsafe { $call }
        };
    }

    impl Avx512 {
        fn of(lanes: [u64; 8]) -> Self {
            Self(intrinsic!(_mm512_loadu_si512(lanes.as_ptr().cast())))
        }
        fn lanes(&self) -> [u64; 8] {
            let mut lanes = [0; 8];
            intrinsic!(_mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0));
            lanes
        }
    }

    impl Words for Avx512 {
        #[inline(always)]
        fn splat(value: u64) -> Self {
            Self(intrinsic!(_mm512_set1_epi64(value as i64)))
        }
        #[inline(always)]
        fn add(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm512_add_epi64(self.0, rhs.0)))
        }
        #[inline(always)]
        fn and(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm512_and_si512(self.0, rhs.0)))
        }
        #[inline(always)]
        fn shift_right<const N: u32>(self) -> Self {
            Self(intrinsic!(_mm512_srli_epi64::<N>(self.0)))
        }
        #[inline(always)]
        fn multiply_low(self, a: Self, b: Self) -> Self {
            Self(intrinsic!(_mm512_madd52lo_epu64(self.0, a.0, b.0)))
        }
        #[inline(always)]
        fn multiply_high(self, a: Self, b: Self) -> Self {
            Self(intrinsic!(_mm512_madd52hi_epu64(self.0, a.0, b.0)))
        }
    }

    impl Vector for Avx512 {
        vector_of_words! {
            fn run<T: Task>(task: T) {
                #[target_feature(enable = "avx512f,avx512ifma")]
                fn enabled<T: Task>(task: T) {
                    task.run();
                }
                // SAFETY: a task has vectors, which are made only on a CPU that has the instructions.
                unsafe { enabled(task) }
            }
        }
    }
}
