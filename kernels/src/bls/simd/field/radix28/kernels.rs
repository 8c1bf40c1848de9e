//! The AVX2 kernels, written by `build/radix28.rs`; same functions as [`super::model`], limb for limb.
//!
//! Each takes and gives limbs within the invariant of [`Fp28`] and asks for nothing but AVX2 of the processor. A kernel
//! knows nothing of bounds: the result's is the caller's to say.

use std::arch::naked_asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::{
    BITS, BLOCKS, Bound, COLUMNS, COMPLEMENT, FINAL, Fp2, Fp28, K, LANES, LIMBS, LOW, Limbs, M_BLOCKS, MULTIPLE_8,
    MULTIPLE_32, PRIME, Packed, RECIPROCAL, SQUARE, SQUARES, Wide, spread,
};

type Vector = [u64; LANES];
type Columns = [Vector; COLUMNS];

/// What the kernels read; the order is known to `build/radix28.rs`.
#[repr(C, align(32))]
struct Table {
    low: Vector,
    reciprocal: Vector,
    k: [Vector; FINAL],
    prime: Limbs,
    multiple_8: Limbs,
    multiple_32: Limbs,
    complement: Limbs,
    m_blocks: [Limbs; BLOCKS.len()],
    square: Columns,
}

static TABLE: Table = Table {
    low: [LOW; LANES],
    reciprocal: [RECIPROCAL; LANES],
    k: [[K[0]; LANES], [K[1]; LANES]],
    prime: Limbs(spread(PRIME)),
    multiple_8: Limbs(spread(MULTIPLE_8)),
    multiple_32: Limbs(spread(MULTIPLE_32)),
    complement: Limbs(spread(COMPLEMENT)),
    m_blocks: [
        Limbs(spread(M_BLOCKS[0])),
        Limbs(spread(M_BLOCKS[1])),
        Limbs(spread(M_BLOCKS[2])),
        Limbs(spread(M_BLOCKS[3])),
    ],
    square: spread(SQUARE),
};

const _: () = assert!(LIMBS == 14 && BITS == 28 && LANES == 4 && FINAL == 2 && matches!(BLOCKS, [6, 3, 2, 1]));

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
                    include_str!(concat!(env!("OUT_DIR"), "/radix28_", $file, ".s")),
                    table = sym TABLE,
                    stride = const size_of::<Fp28>(),
                )
            }
            // SAFETY: the kernel reads its operands and writes all limbs; the backend opens only where there is AVX2.
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
    mul(a, b: &Fp28), "mul"
}
kernel! {
    /// The Montgomery square.
    sqr(a: &Fp28), "sqr"
}
kernel! {
    /// The product in the quadratic extension.
    mul_quadratic(a, b: &Fp2<Fp28>), "mul_quadratic"
}
kernel! {
    /// The square in the quadratic extension.
    sqr_quadratic(a: &Fp2<Fp28>), "sqr_quadratic"
}
kernel! {
    /// The sum.
    add(a, b: &Fp28), "add"
}
kernel! {
    /// `a + 8p - b`.
    sub(a, b: &Fp28), "sub"
}
kernel! {
    /// `a + 32p - b`.
    sub_wide(a, b: &Fp28), "sub_wide"
}
kernel! {
    /// The same residue below `2p`.
    tight(a: &Fp28), "tight"
}
kernel! {
    /// The sum.
    add_quadratic(a, b: &Fp2<Fp28>), "add_quadratic"
}
kernel! {
    /// `a + 8p - b`.
    sub_quadratic(a, b: &Fp2<Fp28>), "sub_quadratic"
}
kernel! {
    /// `a + 32p - b`.
    sub_wide_quadratic(a, b: &Fp2<Fp28>), "sub_wide_quadratic"
}
kernel! {
    /// `a0 + 8p - a1` and `a0 + a1`.
    nonresidue(a: &Fp2<Fp28>), "nonresidue"
}
kernel! {
    /// `a0 + 32p - a1` and `a0 + a1`.
    nonresidue_wide(a: &Fp2<Fp28>), "nonresidue_wide"
}
kernel! {
    /// The same residue below `2p`.
    tight_quadratic(a: &Fp2<Fp28>), "tight_quadratic"
}

/// The product in the quadratic extension, not reduced. Limbs may be sums of two.
#[inline(always)]
pub(super) fn wide_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>) -> [Wide; 2] {
    #[allow(improper_ctypes_definitions)]
    #[unsafe(naked)]
    unsafe extern "sysv64" fn kernel(a: &Fp2<Fp28>, b: &Fp2<Fp28>) -> MaybeUninit<[Wide; 2]> {
        naked_asm!(
            include_str!(concat!(env!("OUT_DIR"), "/radix28_wide_quadratic.s")),
            table = sym TABLE,
            stride = const size_of::<Fp28>(),
        )
    }
    // SAFETY: the kernel reads its operands and writes all columns; the backend opens only where there is AVX2.
    unsafe { kernel(a, b).assume_init() }
}

/// Columns below `2^64`, and their value below `4096 p^2`, over `R` modulo `p`. Spoils the columns.
#[inline(always)]
pub(super) fn reduce(columns: &mut Wide, bound: Bound) -> Fp28 {
    #[allow(improper_ctypes_definitions)]
    #[unsafe(naked)]
    unsafe extern "sysv64" fn kernel(columns: &mut Wide) -> MaybeUninit<Fp28> {
        naked_asm!(
            include_str!(concat!(env!("OUT_DIR"), "/radix28_reduce.s")),
            table = sym TABLE,
            stride = const size_of::<Fp28>(),
        )
    }
    // SAFETY: the kernel reads and writes the columns and writes all limbs; the backend opens only where there is AVX2.
    unsafe {
        let mut out = kernel(columns);
        Fp28::set_bound(out.as_mut_ptr(), bound);
        out.assume_init().checked()
    }
}

/// As [`super::model::combine_cubic`].
#[inline(always)]
pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
    // SAFETY: the backend opens only where there is AVX2.
    unsafe { avx2::combine_cubic(crosses, squares) }
}

/// Lane by lane: `yes` where the mask is all ones, else `no`.
#[inline(always)]
pub(super) fn select(mask: Vector, yes: &Fp28, no: &Fp28) -> Limbs {
    // SAFETY: the backend opens only where there is AVX2.
    unsafe { avx2::select(mask, &yes.limbs, &no.limbs) }
}

/// Limbs at rest, by lane.
#[inline(always)]
pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
    // SAFETY: the backend opens only where there is AVX2.
    unsafe { avx2::unpack(lanes) }
}

/// Puts limbs to rest.
#[inline(always)]
pub(super) fn pack(a: &Fp28, lanes: &mut [Packed; LANES]) {
    // SAFETY: the backend opens only where there is AVX2.
    unsafe { avx2::pack(&a.limbs, lanes) }
}

/// What compilers write well enough.
mod avx2 {
    use super::*;

    const BITS: i32 = super::BITS as i32;

    fn vector(words: Vector) -> __m256i {
        // SAFETY: both are 32 bytes without padding.
        unsafe { std::mem::transmute(words) }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn select(mask: Vector, yes: &Limbs, no: &Limbs) -> Limbs {
        let mask = vector(mask);
        let mut out = MaybeUninit::<Limbs>::uninit();
        for i in 0..LIMBS {
            let limb = _mm256_blendv_epi8(vector(no.0[i]), vector(yes.0[i]), mask);
            // SAFETY: each limb has its aligned place.
            unsafe { _mm256_store_si256(out.as_mut_ptr().cast::<__m256i>().add(i), limb) };
        }
        // SAFETY: all limbs are written.
        unsafe { out.assume_init() }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
        let low = _mm256_set1_epi64x(LOW as i64);
        let mut out = MaybeUninit::<Limbs>::uninit();
        // Words 0 to 3 and 3 to 6 of each lane; word 3 is written twice.
        for offset in [0, 3] {
            // SAFETY: four of seven words are read.
            let rows = lanes.map(|lane| unsafe { _mm256_loadu_si256(lane.as_ptr().add(offset).cast()) });
            for (i, word) in transpose(rows).into_iter().enumerate() {
                // SAFETY: each limb has its aligned place.
                unsafe {
                    let limbs = out.as_mut_ptr().cast::<__m256i>().add(2 * (offset + i));
                    _mm256_store_si256(limbs, _mm256_and_si256(word, low));
                    _mm256_store_si256(limbs.add(1), _mm256_srli_epi64::<BITS>(word));
                }
            }
        }
        // SAFETY: all limbs are written.
        unsafe { out.assume_init() }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn pack(limbs: &Limbs, lanes: &mut [Packed; LANES]) {
        let word =
            |i: usize| _mm256_add_epi64(vector(limbs.0[2 * i]), _mm256_slli_epi64::<BITS>(vector(limbs.0[2 * i + 1])));
        // Words 0 to 3 and 3 to 6 of each lane; word 3 is written twice.
        for offset in [0, 3] {
            let rows = transpose([word(offset), word(offset + 1), word(offset + 2), word(offset + 3)]);
            for (lane, row) in lanes.iter_mut().zip(rows) {
                // SAFETY: four of seven words are written.
                unsafe { _mm256_storeu_si256(lane.as_mut_ptr().add(offset).cast(), row) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
        let add = |a, b| _mm256_add_epi64(a, b);
        let sub = |a, b| _mm256_sub_epi64(a, b);
        for (k, positive) in SQUARES.into_iter().enumerate() {
            let [t0, t1, t2] = squares.each_ref().map(|[c0, c1]| [vector(c0.0[k]), vector(c1.0[k])]);
            let [m12, m01, m02] = crosses.each_ref().map(|[c0, c1]| [vector(c0.0[k]), vector(c1.0[k])]);
            let positive = _mm256_set1_epi64x(positive as i64);
            let low = [sub(positive, t0[0]), sub(positive, t0[1])];
            let both = [add(t1[0], t2[0]), add(t1[1], t2[1])];
            let d = [sub(m12[0], both[0]), sub(m12[1], both[1])];
            let u = [sub(add(m01[0], low[0]), t1[0]), sub(add(m01[1], low[1]), t1[1])];
            let sums = [
                [add(add(t0[0], positive), sub(d[0], d[1])), add(add(t0[1], positive), add(d[0], d[1]))],
                [add(u[0], sub(t2[0], t2[1])), add(u[1], add(t2[0], t2[1]))],
                [add(sub(add(m02[0], low[0]), t2[0]), t1[0]), add(sub(add(m02[1], low[1]), t2[1]), t1[1])],
            ];
            for (columns, sums) in crosses.iter_mut().zip(sums) {
                for (column, sum) in columns.iter_mut().zip(sums) {
                    // SAFETY: both are 32 bytes without padding.
                    column.0[k] = unsafe { std::mem::transmute::<__m256i, Vector>(sum) };
                }
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
        let (ab, cd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d));
        let (upper_ab, upper_cd) = (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d));
        [
            _mm256_permute2x128_si256::<0x20>(ab, cd),
            _mm256_permute2x128_si256::<0x20>(upper_ab, upper_cd),
            _mm256_permute2x128_si256::<0x31>(ab, cd),
            _mm256_permute2x128_si256::<0x31>(upper_ab, upper_cd),
        ]
    }
}

impl Fp28 {
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

impl Fp2<Fp28> {
    /// # Safety
    /// The pointer is valid for writes.
    #[inline(always)]
    unsafe fn set_bound(this: *mut Self, bound: Bound) {
        // SAFETY: as the caller says.
        unsafe {
            Fp28::set_bound(&raw mut (*this).c0, bound);
            Fp28::set_bound(&raw mut (*this).c1, bound);
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
