//! 8 lanes of 64 bits with the multiply-add of AVX-512 IFMA: as instructions, and as plain code that gives the same bits.
//!
//! Free of std and of everything else here, so that a bare image can hold it (`kernels/emulation`). Semantics: Intel 64
//! and IA-32 Software Developer's Manual, volume 2, `VPMADD52LUQ` and `VPMADD52HUQ`.

/// Lanes in a vector.
pub const LANES: usize = 8;

/// A vector of 8 lanes. Every operation goes lane by lane and wraps.
pub trait Vector52: Copy + Send + Sync + 'static {
    /// Whether the methods are instructions, and want to be inlined where these are enabled.
    const NATIVE: bool;
    /// The lanes, in order.
    fn load(lanes: &[u64; LANES]) -> Self;
    /// The lanes, in order.
    fn store(self) -> [u64; LANES];
    /// The same in every lane.
    fn splat(value: u64) -> Self;
    /// Adds bits 0 to 51 of the product of the factors' low 52 bits.
    fn madd52lo(self, a: Self, b: Self) -> Self;
    /// Adds bits 52 to 103 of the product of the factors' low 52 bits.
    fn madd52hi(self, a: Self, b: Self) -> Self;
    fn add(self, rhs: Self) -> Self;
    fn sub(self, rhs: Self) -> Self;
    fn and(self, rhs: Self) -> Self;
    /// Zeros come in from above.
    fn shift_right<const N: u32>(self) -> Self;
    /// Lane by lane: `yes` where the bit is set, else `no`.
    fn select(mask: u8, yes: Self, no: Self) -> Self;
    /// The lanes that are equal.
    fn equal(self, rhs: Self) -> u8;
    /// Lane `i` of vector `j` becomes lane `j` of vector `i`.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];
}

/// Plain code: the model of [`Avx512`], for tests on any machine.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Emulated([u64; LANES]);

impl Emulated {
    fn zip(self, rhs: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self(core::array::from_fn(|lane| f(self.0[lane], rhs.0[lane])))
    }

    fn product(self, rhs: Self, shift: u32) -> Self {
        const LOW: u64 = (1 << 52) - 1;
        self.zip(rhs, |a, b| ((u128::from(a & LOW) * u128::from(b & LOW)) >> shift) as u64 & LOW)
    }
}

impl Vector52 for Emulated {
    const NATIVE: bool = false;
    fn load(lanes: &[u64; LANES]) -> Self {
        Self(*lanes)
    }
    fn store(self) -> [u64; LANES] {
        self.0
    }
    fn splat(value: u64) -> Self {
        Self([value; LANES])
    }
    fn madd52lo(self, a: Self, b: Self) -> Self {
        self.add(a.product(b, 0))
    }
    fn madd52hi(self, a: Self, b: Self) -> Self {
        self.add(a.product(b, 52))
    }
    fn add(self, rhs: Self) -> Self {
        self.zip(rhs, u64::wrapping_add)
    }
    fn sub(self, rhs: Self) -> Self {
        self.zip(rhs, u64::wrapping_sub)
    }
    fn and(self, rhs: Self) -> Self {
        self.zip(rhs, |a, b| a & b)
    }
    fn shift_right<const N: u32>(self) -> Self {
        Self(self.0.map(|lane| lane >> N))
    }
    fn select(mask: u8, yes: Self, no: Self) -> Self {
        Self(core::array::from_fn(|lane| if mask >> lane & 1 == 1 { yes.0[lane] } else { no.0[lane] }))
    }
    fn equal(self, rhs: Self) -> u8 {
        (0..LANES).fold(0, |mask, lane| mask | u8::from(self.0[lane] == rhs.0[lane]) << lane)
    }
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        core::array::from_fn(|i| Self(core::array::from_fn(|j| rows[j].0[i])))
    }
}

#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use core::arch::x86_64::*;

    use super::{LANES, Vector52};

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

    impl Vector52 for Avx512 {
        const NATIVE: bool = true;
        #[inline(always)]
        fn load(lanes: &[u64; LANES]) -> Self {
            Self(intrinsic!(_mm512_loadu_si512(lanes.as_ptr().cast())))
        }
        #[inline(always)]
        fn store(self) -> [u64; LANES] {
            let mut lanes = [0; LANES];
            intrinsic!(_mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0));
            lanes
        }
        #[inline(always)]
        fn splat(value: u64) -> Self {
            Self(intrinsic!(_mm512_set1_epi64(value as i64)))
        }
        #[inline(always)]
        fn madd52lo(self, a: Self, b: Self) -> Self {
            Self(intrinsic!(_mm512_madd52lo_epu64(self.0, a.0, b.0)))
        }
        #[inline(always)]
        fn madd52hi(self, a: Self, b: Self) -> Self {
            Self(intrinsic!(_mm512_madd52hi_epu64(self.0, a.0, b.0)))
        }
        #[inline(always)]
        fn add(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm512_add_epi64(self.0, rhs.0)))
        }
        #[inline(always)]
        fn sub(self, rhs: Self) -> Self {
            Self(intrinsic!(_mm512_sub_epi64(self.0, rhs.0)))
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
        fn select(mask: u8, yes: Self, no: Self) -> Self {
            Self(intrinsic!(_mm512_mask_blend_epi64(mask, no.0, yes.0)))
        }
        #[inline(always)]
        fn equal(self, rhs: Self) -> u8 {
            intrinsic!(_mm512_cmpeq_epu64_mask(self.0, rhs.0))
        }
        /// Pairs of lanes within 128 bits, then 128 bits from every second place twice.
        #[inline(always)]
        fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
            let mut columns = rows;
            for odd in 0..2 {
                let pair = |i: usize| match odd {
                    0 => intrinsic!(_mm512_unpacklo_epi64(rows[i].0, rows[i + 1].0)),
                    _ => intrinsic!(_mm512_unpackhi_epi64(rows[i].0, rows[i + 1].0)),
                };
                let (a, b, c, d) = (pair(0), pair(2), pair(4), pair(6));
                let even = intrinsic!((_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0x88>(c, d)));
                let rest = intrinsic!((_mm512_shuffle_i64x2::<0xdd>(a, b), _mm512_shuffle_i64x2::<0xdd>(c, d)));
                columns[odd] = Self(intrinsic!(_mm512_shuffle_i64x2::<0x88>(even.0, even.1)));
                columns[odd + 2] = Self(intrinsic!(_mm512_shuffle_i64x2::<0x88>(rest.0, rest.1)));
                columns[odd + 4] = Self(intrinsic!(_mm512_shuffle_i64x2::<0xdd>(even.0, even.1)));
                columns[odd + 6] = Self(intrinsic!(_mm512_shuffle_i64x2::<0xdd>(rest.0, rest.1)));
            }
            columns
        }
    }
}
