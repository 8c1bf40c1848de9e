//! The AVX2 kernels, written by `build/radix28.rs`; same functions as [`super::model`], limb for limb.
//!
//! Each takes and gives limbs within the invariant of [`super::Fp28`] and asks for nothing but AVX2 of the processor.

use std::arch::naked_asm;

use super::{
    BITS, BLOCKS, COLUMNS, COMPLEMENT, FINAL, K, LANES, LIMBS, LOW, Limbs, M_BLOCKS, MULTIPLE_8, MULTIPLE_32, PRIME,
    Pair, RECIPROCAL, SQUARE, spread,
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
    ($(#[$doc:meta])* $name:ident($($operand:ident),*) -> $out:ty, $file:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($operand: &Limbs),*) -> $out {
            #[unsafe(naked)]
            unsafe extern "sysv64" fn kernel($($operand: &Limbs),*) -> $out {
                naked_asm!(include_str!(concat!(env!("OUT_DIR"), "/radix28_", $file, ".s")), table = sym TABLE)
            }
            // SAFETY: the kernel reads its operands and writes its result; the backend opens only where there is AVX2.
            unsafe { kernel($($operand),*) }
        }
    };
}

kernel! {
    /// The Montgomery product.
    mul(a, b) -> Limbs, "mul"
}
kernel! {
    /// The Montgomery square.
    sqr(a) -> Limbs, "sqr"
}
kernel! {
    /// The product of `a0 + a1 i` and `b0 + b1 i`.
    mul_quadratic(a0, a1, b0, b1) -> Pair, "mul_quadratic"
}
kernel! {
    /// The square of `a0 + a1 i`.
    sqr_quadratic(a0, a1) -> Pair, "sqr_quadratic"
}
kernel! {
    /// The sum.
    add(a, b) -> Limbs, "add"
}
kernel! {
    /// `a + 8p - b`.
    sub(a, b) -> Limbs, "sub"
}
kernel! {
    /// `a + 32p - b`.
    sub_wide(a, b) -> Limbs, "sub_wide"
}
kernel! {
    /// The same residue below `2p`.
    tight(a) -> Limbs, "tight"
}
