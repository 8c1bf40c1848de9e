//! The AVX2 kernels, written by `build/radix49.rs`; same functions as [`super::model`], limb for limb.
//!
//! Each takes and gives limbs within the invariant of [`Fp49`] and asks for nothing but AVX2 and FMA of the processor. A
//! kernel knows nothing of bounds: the result's is the caller's to say.

use std::arch::naked_asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{
    BITS, Bound, COLUMNS, DIGIT_START, Fp2, Fp49, INVERSE, LANES, LIMBS, Limbs, PRIME, Packed, RECIPROCAL, START,
    WHOLE, Wide, spread,
};

type Vector = [f64; LANES];

/// What the kernels read; the order is known to `build/radix49.rs`.
#[repr(C, align(32))]
struct Table {
    start: [Vector; COLUMNS],
    digit_start: [Vector; LIMBS],
    prime: [Vector; LIMBS],
    inverse: Vector,
    reciprocal: Vector,
    whole: Vector,
}

static TABLE: Table = Table {
    start: spread(START),
    digit_start: spread(DIGIT_START),
    prime: spread(PRIME),
    inverse: [INVERSE; LANES],
    reciprocal: [RECIPROCAL; LANES],
    whole: [WHOLE; LANES],
};

const _: () = assert!(LIMBS == 8 && BITS == 49 && LANES == 4);

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident($($operand:ident),*: &$element:ty), $file:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($operand: &$element,)* bound: Bound) -> $element {
            // The elements' layout is C's; a bound is an integer or nothing.
            #[allow(improper_ctypes_definitions)]
            #[unsafe(naked)]
            unsafe extern "sysv64" fn kernel($($operand: &$element),*) -> MaybeUninit<$element> {
                naked_asm!(
                    include_str!(concat!(env!("OUT_DIR"), "/radix49_", $file, ".s")),
                    table = sym TABLE,
                    stride = const size_of::<Fp49>(),
                )
            }
            // SAFETY: the kernel reads its operands and writes all limbs; the backend opens only where there are AVX2 and FMA.
            unsafe {
                let mut out = kernel($($operand),*);
                <$element>::set_bound(out.as_mut_ptr(), bound);
                out.assume_init().checked()
            }
        }
    };
}

kernel! {
    /// The Montgomery product.
    mul(a, b: &Fp49), "mul"
}
kernel! {
    /// The Montgomery square.
    sqr(a: &Fp49), "sqr"
}
kernel! {
    /// The product in the quadratic extension.
    mul_quadratic(a, b: &Fp2<Fp49>), "mul_quadratic"
}
kernel! {
    /// The square in the quadratic extension.
    sqr_quadratic(a: &Fp2<Fp49>), "sqr_quadratic"
}
kernel! {
    /// The sum.
    add(a, b: &Fp49), "add"
}
kernel! {
    /// The difference.
    sub(a, b: &Fp49), "sub"
}
kernel! {
    /// The same residue below `2p`.
    tight(a: &Fp49), "tight"
}
kernel! {
    /// The sum.
    add_quadratic(a, b: &Fp2<Fp49>), "add_quadratic"
}
kernel! {
    /// The difference.
    sub_quadratic(a, b: &Fp2<Fp49>), "sub_quadratic"
}
kernel! {
    /// `a0 - a1` and `a0 + a1`.
    nonresidue(a: &Fp2<Fp49>), "nonresidue"
}
kernel! {
    /// The same residue below `2p`.
    tight_quadratic(a: &Fp2<Fp49>), "tight_quadratic"
}

/// The product in the quadratic extension, not reduced.
#[inline(always)]
pub(super) fn wide_quadratic(a: &Fp2<Fp49>, b: &Fp2<Fp49>) -> [Wide; 2] {
    #[allow(improper_ctypes_definitions)]
    #[unsafe(naked)]
    unsafe extern "sysv64" fn kernel(a: &Fp2<Fp49>, b: &Fp2<Fp49>) -> MaybeUninit<[Wide; 2]> {
        naked_asm!(
            include_str!(concat!(env!("OUT_DIR"), "/radix49_wide_quadratic.s")),
            table = sym TABLE,
            stride = const size_of::<Fp49>(),
        )
    }
    // SAFETY: the kernel reads its operands and writes all columns; the backend opens only where there are AVX2 and FMA.
    unsafe { kernel(a, b).assume_init() }
}

/// Columns at most `20 * 2^48`, and their value below `4096 p^2`, over `R` modulo `p`.
#[inline(always)]
pub(super) fn reduce_quadratic(columns: &[Wide; 2], bound: Bound) -> Fp2<Fp49> {
    #[allow(improper_ctypes_definitions)]
    #[unsafe(naked)]
    unsafe extern "sysv64" fn kernel(columns: &[Wide; 2]) -> MaybeUninit<Fp2<Fp49>> {
        naked_asm!(
            include_str!(concat!(env!("OUT_DIR"), "/radix49_reduce_quadratic.s")),
            table = sym TABLE,
            stride = const size_of::<Fp49>(),
        )
    }
    // SAFETY: the kernel reads the columns and writes all limbs; the backend opens only where there are AVX2 and FMA.
    unsafe {
        let mut out = kernel(columns);
        Fp2::<Fp49>::set_bound(out.as_mut_ptr(), bound);
        out.assume_init().checked()
    }
}

/// As [`super::model::combine_cubic`].
#[inline(always)]
pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
    // SAFETY: the backend opens only where there are AVX2 and FMA.
    unsafe { avx2::combine_cubic(crosses, squares) }
}

/// Lane by lane: `yes` where the mask is all ones, else `no`.
#[inline(always)]
pub(super) fn select(mask: [u64; LANES], yes: &Fp49, no: &Fp49) -> Limbs {
    // SAFETY: the backend opens only where there are AVX2 and FMA.
    unsafe { avx2::select(mask, &yes.limbs, &no.limbs) }
}

/// Limbs at rest, by lane.
#[inline(always)]
pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
    // SAFETY: the backend opens only where there are AVX2 and FMA.
    unsafe { avx2::unpack(lanes) }
}

/// Puts limbs to rest.
#[inline(always)]
pub(super) fn pack(a: &Fp49, lanes: &mut [Packed; LANES]) {
    // SAFETY: the backend opens only where there are AVX2 and FMA.
    unsafe { avx2::pack(&a.limbs, lanes) }
}

/// What compilers write well enough.
mod avx2 {
    use super::*;

    #[target_feature(enable = "avx2")]
    fn vector(limb: Vector) -> __m256d {
        // SAFETY: both are 32 bytes without padding.
        unsafe { std::mem::transmute(limb) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn select(mask: [u64; LANES], yes: &Limbs, no: &Limbs) -> Limbs {
        let mask = vector(mask.map(f64::from_bits));
        let mut out = MaybeUninit::<Limbs>::uninit();
        for i in 0..LIMBS {
            let limb = _mm256_blendv_pd(vector(no.0[i]), vector(yes.0[i]), mask);
            // SAFETY: each limb has its aligned place.
            unsafe { _mm256_store_pd(out.as_mut_ptr().cast::<f64>().add(LANES * i), limb) };
        }
        // SAFETY: all limbs are written.
        unsafe { out.assume_init() }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
        let mut out = MaybeUninit::<Limbs>::uninit();
        for offset in [0, LANES] {
            // SAFETY: four of eight limbs are read.
            let rows = lanes.map(|lane| unsafe { _mm256_loadu_pd(lane.as_ptr().add(offset)) });
            for (i, limb) in transpose(rows).into_iter().enumerate() {
                // SAFETY: each limb has its aligned place.
                unsafe { _mm256_store_pd(out.as_mut_ptr().cast::<f64>().add(LANES * (offset + i)), limb) };
            }
        }
        // SAFETY: all limbs are written.
        unsafe { out.assume_init() }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn pack(limbs: &Limbs, lanes: &mut [Packed; LANES]) {
        for offset in [0, LANES] {
            let rows = transpose([0, 1, 2, 3].map(|i| vector(limbs.0[offset + i])));
            for (lane, row) in lanes.iter_mut().zip(rows) {
                // SAFETY: four of eight limbs are written.
                unsafe { _mm256_storeu_pd(lane.as_mut_ptr().add(offset), row) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
        let add = |a, b| _mm256_add_pd(a, b);
        let sub = |a, b| _mm256_sub_pd(a, b);
        for k in 0..COLUMNS {
            let [t0, t1, t2] = squares.each_ref().map(|[c0, c1]| [vector(c0.0[k]), vector(c1.0[k])]);
            let [m12, m01, m02] = crosses.each_ref().map(|[c0, c1]| [vector(c0.0[k]), vector(c1.0[k])]);
            let of = |i: usize| sub(sub(m12[i], t1[i]), t2[i]);
            let d = [of(0), of(1)];
            let of = |i: usize| sub(sub(m01[i], t0[i]), t1[i]);
            let u = [of(0), of(1)];
            let of = |i: usize| add(sub(sub(m02[i], t0[i]), t2[i]), t1[i]);
            let sums = [
                [add(t0[0], sub(d[0], d[1])), add(t0[1], add(d[0], d[1]))],
                [add(u[0], sub(t2[0], t2[1])), add(u[1], add(t2[0], t2[1]))],
                [of(0), of(1)],
            ];
            for (columns, sums) in crosses.iter_mut().zip(sums) {
                for (column, sum) in columns.iter_mut().zip(sums) {
                    // SAFETY: both are 32 bytes without padding.
                    column.0[k] = unsafe { std::mem::transmute::<__m256d, Vector>(sum) };
                }
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn transpose([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
        let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
        let (upper_ab, upper_cd) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(upper_ab, upper_cd),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(upper_ab, upper_cd),
        ]
    }
}

impl Fp49 {
    /// # Safety
    /// The pointer is valid for writes.
    #[inline(always)]
    unsafe fn set_bound(this: *mut Self, bound: Bound) {
        // SAFETY: as the caller says.
        unsafe { (&raw mut (*this).bound).write(bound) };
    }

    #[inline(always)]
    fn checked(self) -> Self {
        #[cfg(debug_assertions)]
        self.assert_limbs();
        self
    }
}

impl Fp2<Fp49> {
    /// # Safety
    /// The pointer is valid for writes.
    #[inline(always)]
    unsafe fn set_bound(this: *mut Self, bound: Bound) {
        // SAFETY: as the caller says.
        unsafe {
            Fp49::set_bound(&raw mut (*this).c0, bound);
            Fp49::set_bound(&raw mut (*this).c1, bound);
        }
    }

    #[inline(always)]
    fn checked(self) -> Self {
        #[cfg(debug_assertions)]
        for coordinate in [&self.c0, &self.c1] {
            coordinate.assert_limbs();
        }
        self
    }
}
