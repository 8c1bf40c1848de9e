//! The integers under the form arithmetic: a narrow seam, so that they can be replaced without touching a formula.
//!
//! [`Int`] offers what forms need and nothing more; today it wraps `dashu-int`. What needs words rather than integers
//! (the partial Euclid of NUCOMP, squaring) lives in `lehmer.rs` and `fixed/`. The oracle in `naive.rs` uses this module
//! for Chia's codec alone.

use std::cmp::Ordering;
use std::ops::{Add, Mul, Neg, Sub};

use dashu_int::ops::{BitTest, DivEuclid, DivRem, ExtendedGcd, RemEuclid, SquareRoot};
use dashu_int::{IBig, Sign, UBig};

/// A signed integer of any size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Int(pub(super) IBig);

macro_rules! binary {
    ($trait:ident, $method:ident) => {
        impl $trait<&Int> for &Int {
            type Output = Int;
            fn $method(self, other: &Int) -> Int {
                Int((&self.0).$method(&other.0))
            }
        }
        impl $trait<&Int> for Int {
            type Output = Int;
            fn $method(self, other: &Int) -> Int {
                Int(self.0.$method(&other.0))
            }
        }
        impl $trait<Int> for &Int {
            type Output = Int;
            fn $method(self, other: Int) -> Int {
                Int((&self.0).$method(other.0))
            }
        }
        impl $trait<Int> for Int {
            type Output = Int;
            fn $method(self, other: Int) -> Int {
                Int(self.0.$method(other.0))
            }
        }
    };
}

binary!(Add, add);
binary!(Sub, sub);
binary!(Mul, mul);

impl Neg for Int {
    type Output = Int;
    fn neg(self) -> Int {
        Int(-self.0)
    }
}

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        Int(IBig::from(value))
    }
}

impl Int {
    /// A non-negative integer from big-endian bytes.
    pub fn from_be_bytes(bytes: &[u8]) -> Self {
        Int(IBig::from(UBig::from_be_bytes(bytes)))
    }

    /// The magnitude as exactly `len` big-endian bytes; `None` if it does not fit.
    pub fn to_be_bytes(&self, len: usize) -> Option<Vec<u8>> {
        let bytes = self.magnitude().to_be_bytes();
        let mut out = vec![0; len.checked_sub(bytes.len())?];
        out.extend_from_slice(&bytes);
        Some(out)
    }

    /// A non-negative integer from little-endian limbs.
    pub fn from_limbs(limbs: &[u64]) -> Self {
        Int(IBig::from(UBig::from_words(limbs)))
    }

    /// The magnitude's little-endian limbs, the last of them not 0.
    pub fn limbs(&self) -> &[u64] {
        self.0.as_sign_words().1
    }

    /// Two's complement, big-endian; the empty slice is 0.
    pub fn from_signed_be_bytes(bytes: &[u8]) -> Self {
        let magnitude = Self::from_be_bytes(bytes);
        match bytes.first() {
            Some(first) if first & 0x80 != 0 => magnitude - Int::power_of_two(8 * bytes.len()),
            _ => magnitude,
        }
    }

    /// Two's complement in exactly `len` big-endian bytes; `None` if it does not fit.
    pub fn to_signed_be_bytes(&self, len: usize) -> Option<Vec<u8>> {
        if !self.is_negative() {
            return self.to_be_bytes(len).filter(|bytes| bytes.first().is_none_or(|first| first & 0x80 == 0));
        }
        let shifted = self + Int::power_of_two(8 * len);
        if shifted.is_negative() {
            return None;
        }
        shifted.to_be_bytes(len).filter(|bytes| bytes.first().is_some_and(|first| first & 0x80 != 0))
    }

    pub fn power_of_two(exponent: usize) -> Self {
        Int(IBig::from(UBig::ONE << exponent))
    }

    /// Length of the magnitude in bits; 0 for 0.
    pub fn bits(&self) -> usize {
        let (_, words) = self.0.as_sign_words();
        words.last().map_or(0, |top| words.len() * 64 - top.leading_zeros() as usize)
    }

    /// Bit `index` of a non-negative integer.
    pub fn bit(&self, index: usize) -> bool {
        let (_, words) = self.0.as_sign_words();
        words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub fn is_negative(&self) -> bool {
        self.0.sign() == Sign::Negative && !self.0.is_zero()
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    pub fn is_one(&self) -> bool {
        self.0.is_one()
    }

    pub fn is_odd(&self) -> bool {
        self.0.bit(0)
    }

    pub fn compare_magnitude(&self, other: &Int) -> Ordering {
        let ((_, a), (_, b)) = (self.0.as_sign_words(), other.0.as_sign_words());
        a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
    }

    pub fn square(&self) -> Self {
        Int(IBig::from(self.0.sqr()))
    }

    pub fn double(self) -> Self {
        Int(self.0 << 1)
    }

    /// The square root, rounded down; `self` is not negative.
    pub fn sqrt_floor(&self) -> Self {
        Int(IBig::from(self.magnitude().sqrt()))
    }

    pub fn from_signed(value: i64) -> Self {
        Int(IBig::from(value))
    }

    /// The 64 bits of the magnitude above bit `shift`.
    pub fn word_at(&self, shift: usize) -> u64 {
        let (_, words) = self.0.as_sign_words();
        let word = |index: usize| words.get(index).copied().unwrap_or(0);
        let pair = u128::from(word(shift / 64)) | u128::from(word(shift / 64 + 1)) << 64;
        (pair >> (shift % 64)) as u64
    }

    /// The absolute value.
    pub fn abs(&self) -> Self {
        Int(IBig::from(self.magnitude()))
    }

    /// Half, rounded down.
    pub fn half(self) -> Self {
        Int(self.0 >> 1)
    }

    /// Rounded down; `divisor` is positive.
    pub fn div_floor(&self, divisor: &Int) -> Self {
        Int((&self.0).div_euclid(&divisor.0))
    }

    /// In `0..divisor`; `divisor` is positive.
    pub fn rem_floor(&self, divisor: &Int) -> Self {
        Int(IBig::from((&self.0).rem_euclid(&divisor.0)))
    }

    /// # Correctness
    ///
    /// `divisor` divides `self` and is not 0.
    pub fn div_exact(&self, divisor: &Int) -> Self {
        if divisor.is_one() {
            return self.clone();
        }
        let (quotient, remainder) = (&self.0).div_rem(&divisor.0);
        debug_assert!(remainder.is_zero(), "the division is exact");
        Int(quotient)
    }

    pub fn is_multiple_of(&self, divisor: &Int) -> bool {
        self.rem_floor(divisor).is_zero()
    }

    /// `(g, u, v)` with `g = gcd(self, other) = u self + v other`; not both are 0.
    pub fn gcd_ext(&self, other: &Int) -> (Self, Self, Self) {
        let (g, u, v) = (&self.0).gcd_ext(&other.0);
        (Int(IBig::from(g)), Int(u), Int(v))
    }

    /// `self` modulo a small number, for non-negative `self`.
    pub fn rem_u64(&self, divisor: u64) -> u64 {
        let (_, words) = self.0.as_sign_words();
        let step = |rem: u64, word: &u64| (((u128::from(rem) << 64) | u128::from(*word)) % u128::from(divisor)) as u64;
        words.iter().rev().fold(0, step)
    }

    /// The magnitude.
    pub(super) fn magnitude(&self) -> UBig {
        self.0.clone().into_parts().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(value: i128) -> Int {
        Int(IBig::from(value))
    }

    #[test]
    fn signed_bytes_round_trip_at_the_edges_of_a_length() {
        for (value, bytes) in [
            (0, [0, 0]),
            (1, [0, 1]),
            (-1, [0xff, 0xff]),
            (0x7fff, [0x7f, 0xff]),
            (-0x8000, [0x80, 0]),
            (-0x7fff, [0x80, 1]),
        ] {
            assert_eq!(signed(value).to_signed_be_bytes(2).unwrap(), bytes);
            assert_eq!(Int::from_signed_be_bytes(&bytes), signed(value));
        }
        for value in [0x8000, -0x8001, 1 << 60, -(1 << 60)] {
            assert_eq!(signed(value).to_signed_be_bytes(2), None, "{value} does not fit");
        }
        assert_eq!(Int::from_signed_be_bytes(&[]), signed(0));
    }

    #[test]
    fn division_rounds_down_for_either_sign() {
        for (n, d, q, r) in [(7, 3, 2, 1), (-7, 3, -3, 2), (-6, 3, -2, 0), (0, 5, 0, 0)] {
            assert_eq!(signed(n).div_floor(&signed(d)), signed(q));
            assert_eq!(signed(n).rem_floor(&signed(d)), signed(r));
        }
        assert_eq!(signed(-7).half(), signed(-4));
    }

    #[test]
    fn bits_magnitudes_and_small_remainders_agree_with_wide_arithmetic() {
        let big = Int::power_of_two(130) - Int::from(5);
        assert_eq!((big.bits(), Int::from(0).bits(), Int::power_of_two(64).bits()), (130, 0, 65));
        assert!(big.bit(129) && !big.bit(2) && !big.bit(500));
        let two_64 = (1u128 << 64) % 1_000_003;
        assert_eq!(u128::from(big.rem_u64(1_000_003)), (two_64 * two_64 * 4 + 1_000_003 - 5) % 1_000_003);
        assert_eq!(signed(-9).compare_magnitude(&signed(8)), Ordering::Greater);
        assert_eq!(signed(-9).compare_magnitude(&signed(9)), Ordering::Equal);
        let (g, u, v) = signed(-12).gcd_ext(&signed(18));
        assert_eq!((&u * signed(-12) + &v * signed(18), g), (signed(6), signed(6)));
    }
}
