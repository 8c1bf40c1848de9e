//! The AVX2 kernels, written by `build/radix28.rs`; same functions as [`super::model`], limb for limb.
//!
//! Each takes and gives limbs within the invariant of [`super::Fp28`] and asks for nothing but AVX2 of the processor.

use std::arch::naked_asm;

use super::{BITS, K, LANES, LENT, LIMBS, LOW, Limbs, M, MULTIPLE_8, MULTIPLE_32, PRIME, RECIPROCAL, spread};

type Vector = [u64; LANES];

/// What the kernels read; the order is known to `build/radix28.rs`.
#[repr(C, align(32))]
struct Table {
    low: Vector,
    k: Vector,
    reciprocal: Vector,
    prime: Limbs,
    m: Limbs,
    multiple_8: Limbs,
    multiple_32: Limbs,
    lent: Limbs,
}

static TABLE: Table = Table {
    low: [LOW; LANES],
    k: [K; LANES],
    reciprocal: [RECIPROCAL; LANES],
    prime: spread(PRIME),
    m: spread(M),
    multiple_8: spread(MULTIPLE_8),
    multiple_32: spread(MULTIPLE_32),
    lent: spread(LENT),
};

const _: () = assert!(LIMBS == 14 && BITS == 28 && LANES == 4);

macro_rules! kernel {
    ($(#[$doc:meta])* $name:ident($($operand:ident),*) $file:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($operand: &Limbs),*) -> Limbs {
            #[unsafe(naked)]
            unsafe extern "sysv64" fn kernel($($operand: &Limbs),*) -> Limbs {
                naked_asm!(include_str!(concat!(env!("OUT_DIR"), "/radix28_", $file, ".s")), table = sym TABLE)
            }
            // SAFETY: the kernel reads its operands and writes its result; the backend opens only where there is AVX2.
            unsafe { kernel($($operand),*) }
        }
    };
}

kernel! {
    /// The Montgomery product.
    mul(a, b) "mul"
}
kernel! {
    /// The sum.
    add(a, b) "add"
}
kernel! {
    /// `a + 8p - b`.
    sub(a, b) "sub"
}
kernel! {
    /// `a + 32p - b`.
    sub_wide(a, b) "sub_wide"
}
kernel! {
    /// The same residue below `2p`.
    tight(a) "tight"
}
