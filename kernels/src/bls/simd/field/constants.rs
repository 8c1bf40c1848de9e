//! Constants of BLS12-381 at compile time: integers modulo the prime, and their form in blst.

use blst::blst_fp;

pub(in crate::bls::simd) use super::prime::{P, power_of_two};
use super::prime::{difference, shift_left};
pub(super) use super::prime::{multiple_of_p, negated_inverse, reduce, split};

/// The residue of an integer below the prime, in blst's Montgomery form.
pub(in crate::bls::simd) const fn residue(mut value: [u64; 6]) -> blst_fp {
    let mut i = 0;
    while i < 384 {
        value = reduce(shift_left(value));
        i += 1;
    }
    blst_fp { l: value }
}

/// The residue of a small integer.
pub(in crate::bls::simd) const fn small(value: i64) -> blst_fp {
    let words = [value.unsigned_abs(), 0, 0, 0, 0, 0];
    residue(if value < 0 { difference(P, words).0 } else { words })
}
