//! Arithmetic modulo the prime of BLS12-381, at compile time. Free of std and of everything else here, so that a bare image
//! can hold it (`kernels/emulation`).
//!
//! Source of the prime: draft-irtf-cfrg-pairing-friendly-curves-11, section 4.2.1.

/// The prime `p`, 64-bit limbs, least significant first.
pub const P: [u64; 6] = [
    0xb9fe_ffff_ffff_aaab,
    0x1eab_fffe_b153_ffff,
    0x6730_d2a0_f6b0_f624,
    0x6477_4b84_f385_12bf,
    0x4b1b_a7b6_434b_acd7,
    0x1a01_11ea_397f_e69a,
];

/// `2^n mod p`.
pub const fn power_of_two(n: usize) -> [u64; 6] {
    let mut value = [1, 0, 0, 0, 0, 0];
    let mut i = 0;
    while i < n {
        value = reduce(shift_left(value));
        i += 1;
    }
    value
}

/// `value / p` is 0 or 1: the remainder.
pub const fn reduce(value: [u64; 6]) -> [u64; 6] {
    let (out, below) = difference(value, P);
    if below { value } else { out }
}

/// `a - b` modulo `2^384`, and whether it is below zero.
pub const fn difference(a: [u64; 6], b: [u64; 6]) -> ([u64; 6], bool) {
    let mut out = [0; 6];
    let mut borrow = false;
    let mut i = 0;
    while i < 6 {
        let (d, b1) = a[i].overflowing_sub(b[i]);
        let (d, b2) = d.overflowing_sub(borrow as u64);
        out[i] = d;
        borrow = b1 | b2;
        i += 1;
    }
    (out, borrow)
}

/// Twice a value below `2^383`.
pub const fn shift_left(value: [u64; 6]) -> [u64; 6] {
    let mut out = [0; 6];
    let mut carry = 0;
    let mut i = 0;
    while i < 6 {
        out[i] = value[i] << 1 | carry;
        carry = value[i] >> 63;
        i += 1;
    }
    out
}

/// The limbs of `multiple * p`, `BITS` bits each. `multiple` is small: no limb but the last may exceed its bits.
pub const fn multiple_of_p<const N: usize, const BITS: usize>(multiple: u64) -> [u64; N] {
    let mut wide = [0u64; 7];
    let mut carry = 0u128;
    let mut i = 0;
    while i < 7 {
        let limb = if i < 6 { P[i] } else { 0 };
        carry += limb as u128 * multiple as u128;
        wide[i] = carry as u64;
        carry >>= 64;
        i += 1;
    }
    split::<N, BITS>(&wide)
}

/// The limbs of a number, `BITS` bits each.
pub const fn split<const N: usize, const BITS: usize>(value: &[u64]) -> [u64; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        let (word, shift) = (i * BITS / 64, i * BITS % 64);
        let low = if word < value.len() { value[word] >> shift } else { 0 };
        let high = if shift + BITS > 64 && word + 1 < value.len() { value[word + 1] << (64 - shift) } else { 0 };
        out[i] = (low | high) & (u64::MAX >> (64 - BITS));
        i += 1;
    }
    out
}

/// `-1 / p` modulo `2^64` (Newton's iteration).
pub const fn negated_inverse() -> u64 {
    let mut inverse = 1u64;
    let mut i = 0;
    while i < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(P[0].wrapping_mul(inverse)));
        i += 1;
    }
    inverse.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prime_is_blsts() {
        // blst's one is 2^384 mod p.
        assert_eq!(blst::blst_fp12::default().fp6[0].fp2[0].fp[0].l, power_of_two(384));
        assert_eq!(P[0].wrapping_mul(negated_inverse()), u64::MAX);
    }

    #[test]
    fn limbs_add_up() {
        let limbs: [u64; 14] = multiple_of_p::<14, 28>(1);
        let mut back = [0u64; 7];
        for (i, limb) in limbs.iter().enumerate() {
            let (word, shift) = (i * 28 / 64, i * 28 % 64);
            back[word] |= limb << shift;
            if shift > 36 {
                back[word + 1] |= limb >> (64 - shift);
            }
        }
        assert_eq!(back[..6], P);
    }
}
