//! Integers as little-endian limbs of 64 bits: what happens once a modulus or a value, off the vectors.

/// Bits up to the highest that is set.
pub(super) fn bit_length(a: &[u64]) -> usize {
    a.iter().rposition(|limb| *limb != 0).map_or(0, |top| 64 * top + 64 - a[top].leading_zeros() as usize)
}

/// One bit; clear past the end.
pub(super) fn bit(a: &[u64], index: usize) -> bool {
    a.get(index / 64).is_some_and(|limb| limb >> (index % 64) & 1 == 1)
}

/// The 64 bits from `index` on; clear past the end.
fn word(a: &[u64], index: usize) -> u64 {
    let limb = |i: usize| a.get(i).copied().unwrap_or(0);
    let (i, shift) = (index / 64, index % 64);
    limb(i) >> shift | if shift == 0 { 0 } else { limb(i + 1) << (64 - shift) }
}

/// Whether `a < b`, of equal lengths.
pub(super) fn less(a: &[u64], b: &[u64]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a - b` in place, wrapping, of equal lengths.
pub(super) fn subtract(a: &mut [u64], b: &[u64]) {
    let mut borrow = false;
    for (a, b) in a.iter_mut().zip(b) {
        let (difference, under) = a.overflowing_sub(*b);
        let (difference, again) = difference.overflowing_sub(borrow.into());
        (*a, borrow) = (difference, under | again);
    }
}

/// `a + b` in place, wrapping, of equal lengths.
pub(super) fn add(a: &mut [u64], b: &[u64]) {
    let mut carry = false;
    for (a, b) in a.iter_mut().zip(b) {
        let (sum, over) = a.overflowing_add(*b);
        let (sum, again) = sum.overflowing_add(carry.into());
        (*a, carry) = (sum, over | again);
    }
}

/// `-a` in place, wrapping.
pub(super) fn negate(a: &mut [u64]) {
    let mut carry = true;
    for limb in a {
        (*limb, carry) = (!*limb).overflowing_add(carry.into());
    }
}

/// `value * 2^shift mod modulus`, as many limbs as the modulus, whose last is not zero. By long division (D. E. Knuth,
/// "The Art of Computer Programming", volume 2, 4.3.1, algorithm D), of which only the remainder is kept.
pub(super) fn shift_modulo(value: &[u64], shift: usize, modulus: &[u64]) -> Vec<u64> {
    let length = modulus.len();
    // With the modulus' top bit set, a digit of the quotient is estimated at most 2 too high.
    let slack = 64 * length - bit_length(modulus);
    let divisor: Vec<u64> = (0..length).map(|i| below(modulus, 64 * i, slack)).collect();
    let (top, next) = (divisor[length - 1], if length > 1 { divisor[length - 2] } else { 0 });
    let shift = shift + slack;
    let limbs = (bit_length(value) + shift).div_ceil(64);
    let mut rest = vec![0; length + 1];
    for i in (0..limbs).rev() {
        rest.copy_within(..length, 1);
        rest[0] = below(value, 64 * i, shift);
        let high = u128::from(rest[length]) << 64 | u128::from(rest[length - 1]);
        let mut digit = (high / u128::from(top)).min(u64::MAX.into());
        let mut remainder = high - digit * u128::from(top);
        let third = if length > 1 { rest[length - 2] } else { 0 };
        while remainder >> 64 == 0 && digit * u128::from(next) > (remainder << 64 | u128::from(third)) {
            digit -= 1;
            remainder += u128::from(top);
        }
        let (mut carry, mut borrow) = (0, false);
        for (rest, divisor) in rest.iter_mut().zip(divisor.iter().chain([&0])) {
            let product = digit * u128::from(*divisor) + carry;
            carry = product >> 64;
            let (difference, under) = rest.overflowing_sub(product as u64);
            let (difference, again) = difference.overflowing_sub(borrow.into());
            (*rest, borrow) = (difference, under | again);
        }
        if borrow {
            add(&mut rest[..length], &divisor);
            rest[length] = 0;
        }
    }
    (0..length).map(|i| word(&rest[..length], 64 * i + slack)).collect()
}

/// The 64 bits from `index` on of `a * 2^shift`.
fn below(a: &[u64], index: usize, shift: usize) -> u64 {
    match index.checked_sub(shift) {
        Some(index) => word(a, index),
        None if shift - index < 64 => a.first().map_or(0, |limb| limb << (shift - index)),
        None => 0,
    }
}

/// `-1 / modulus mod 2^bits`, of an odd modulus: digit by digit, each ending one more of `modulus * x = -1` in ones.
pub fn negative_inverse(modulus: &[u64], bits: usize) -> Vec<u64> {
    let length = bits.div_ceil(64);
    let mut first = modulus[0];
    for _ in 0..5 {
        first = first.wrapping_mul(2u64.wrapping_sub(modulus[0].wrapping_mul(first)));
    }
    // `rest` is what is left of `-1 - modulus * x`.
    let mut rest = vec![u64::MAX; length];
    let mut out = vec![0; length];
    for i in 0..length {
        let digit = rest[i].wrapping_mul(first);
        out[i] = digit;
        let (mut carry, mut borrow) = (0u64, false);
        for (rest, limb) in rest[i..].iter_mut().zip(modulus.iter().chain(std::iter::repeat(&0))) {
            let product = u128::from(digit) * u128::from(*limb) + u128::from(carry);
            carry = (product >> 64) as u64;
            let (difference, under) = rest.overflowing_sub(product as u64);
            let (difference, again) = difference.overflowing_sub(borrow.into());
            (*rest, borrow) = (difference, under | again);
        }
    }
    if !bits.is_multiple_of(64) {
        out[length - 1] &= (1 << (bits % 64)) - 1;
    }
    out
}

/// Digits in radix `2^width`, from 0 up or, if signed, balanced: then modulo `2^(width * count)`.
pub(super) fn digits(value: &[u64], width: u32, count: usize, signed: bool) -> Vec<i64> {
    let (radix, mut carry) = (1i64 << width, 0);
    let digit = |i| (word(value, i * width as usize) & ((1 << width) - 1)) as i64;
    (0..count)
        .map(|i| {
            let digit = digit(i) + carry;
            carry = (signed && digit >= radix / 2).into();
            digit - carry * radix
        })
        .collect()
}

/// The number with these digits, which need be no canonical ones, in two's complement of `length` limbs.
pub(super) fn from_digits(digits: impl DoubleEndedIterator<Item = i64>, width: u32, length: usize) -> Vec<u64> {
    let mut out = vec![0u64; length];
    for digit in digits.rev() {
        let mut carry = i128::from(digit);
        for limb in &mut out {
            let sum = (i128::from(*limb) << width) + carry;
            (*limb, carry) = (sum as u64, sum >> 64);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use dashu_int::ops::BitTest;

    use super::super::testing::{hostile, limbs, number, rng};
    use super::*;

    #[test]
    fn remainders_are_right() {
        let mut rng = rng(1);
        for case in 0..3000 {
            let modulus = hostile(&mut rng, 64 + case % 700);
            let value = hostile(&mut rng, 1 + case % 900);
            let shift = case % 1100;
            let got = shift_modulo(&limbs(&value), shift, &limbs(&modulus));
            assert_eq!(number(&got), (value << shift) % modulus);
        }
    }

    #[test]
    fn inverses_are_right() {
        let mut rng = rng(2);
        for bits in [1, 63, 64, 65, 128, 294, 2091] {
            for _ in 0..50 {
                let modulus = hostile(&mut rng, 300);
                let got = number(&negative_inverse(&limbs(&modulus), bits));
                assert!(got.bit_len() <= bits);
                assert_eq!(
                    (got * modulus + dashu_int::UBig::ONE) % (dashu_int::UBig::ONE << bits),
                    dashu_int::UBig::ZERO
                );
            }
        }
    }

    #[test]
    fn digits_make_the_number() {
        let mut rng = rng(3);
        for width in [46, 47, 48, 49, 51] {
            for signed in [false, true] {
                for _ in 0..100 {
                    let value = hostile(&mut rng, 400);
                    let digits = digits(&limbs(&value), width, 10, signed);
                    let bound = if signed { 1 << (width - 1) } else { 1 << width };
                    assert!(digits.iter().all(|digit| digit.abs() <= bound && (signed || *digit >= 0)));
                    assert_eq!(number(&from_digits(digits.into_iter(), width, 8)), value);
                }
            }
        }
        let mut minus_one = from_digits([-1].into_iter(), 47, 4);
        assert_eq!(minus_one, [u64::MAX; 4]);
        negate(&mut minus_one);
        assert_eq!(minus_one, [1, 0, 0, 0]);
    }
}
