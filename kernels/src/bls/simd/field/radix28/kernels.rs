//! The AVX2 kernels, written by `build/radix28.rs`; same functions as [`super::model`], limb for limb.
//!
//! Each takes and gives limbs within the invariant of [`Fp28`] and asks for nothing but AVX2 of the processor. A kernel
//! knows nothing of bounds: the result's is the caller's to say.

use std::arch::naked_asm;
use std::mem::MaybeUninit;

use super::{
    BITS, BLOCKS, Bound, COLUMNS, COMPLEMENT, FINAL, Fp2, Fp28, K, LANES, LIMBS, LOW, Limbs, M_BLOCKS, MULTIPLE_8,
    MULTIPLE_32, PRIME, RECIPROCAL, SQUARE, spread,
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
                out.assume_init()
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

impl Fp28 {
    /// # Safety
    /// The pointer is valid for writes.
    #[inline(always)]
    unsafe fn set_bound(this: *mut Self, bound: Bound) {
        // SAFETY: as the caller says.
        unsafe { (&raw mut (*this).bound).write(bound) };
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
}
