//! Plain operations on little-endian limbs, for what is done once a modulus and for reductions.

/// `-value^-1 mod 2^64` for an odd value, by Newton's iteration.
pub fn negative_inverse(value: u64) -> u64 {
    // Right for five bits, which every step doubles (Dussé and Kaliski's constant; initial value of Montgomery).
    let mut inverse = value.wrapping_mul(3) ^ 2;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(value.wrapping_mul(inverse)));
    }
    inverse.wrapping_neg()
}

/// The 64 bits from `bit` on.
pub fn limb_at(value: &[u64], bit: usize) -> u64 {
    let (word, offset) = (bit / 64, bit % 64);
    let low = value[word] >> offset;
    match value.get(word + 1) {
        Some(next) if offset > 0 => low | next << (64 - offset),
        _ => low,
    }
}

/// Clears the bits from `bits` on.
pub fn keep_bits(value: &mut [u64], bits: usize) {
    for (index, limb) in value.iter_mut().enumerate() {
        let kept = bits.saturating_sub(64 * index);
        if kept < 64 {
            *limb &= (1 << kept) - 1;
        }
    }
}

/// Whether `left < right`, of one length.
pub fn less(left: &[u64], right: &[u64]) -> bool {
    left.iter().rev().lt(right.iter().rev())
}

/// `value -= other`; whether it went below zero.
pub fn subtract(value: &mut [u64], other: &[u64]) -> bool {
    let mut borrow = false;
    for (limb, &other) in value.iter_mut().zip(other) {
        (*limb, borrow) = limb.borrowing_sub_stable(other, borrow);
    }
    borrow
}

/// Subtraction with a borrow, which the standard library has from 1.91 on only.
trait BorrowingSub: Sized {
    fn borrowing_sub_stable(self, other: Self, borrow: bool) -> (Self, bool);
}

impl BorrowingSub for u64 {
    #[inline]
    fn borrowing_sub_stable(self, other: Self, borrow: bool) -> (Self, bool) {
        let (difference, first) = self.overflowing_sub(other);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (difference, first | second)
    }
}

/// `value -= factor * other`; the limb to take from above.
pub fn subtract_multiple(value: &mut [u64], other: &[u64], factor: u64) -> u64 {
    let mut carry = 0;
    for (limb, &other) in value.iter_mut().zip(other) {
        let product = u128::from(other) * u128::from(factor) + u128::from(carry);
        let (difference, borrow) = limb.overflowing_sub(product as u64);
        *limb = difference;
        carry = (product >> 64) as u64 + u64::from(borrow);
    }
    carry
}

/// `value += factor * other`; the limb that leaves.
#[inline]
pub fn add_multiple(value: &mut [u64], other: &[u64], factor: u64) -> u64 {
    let mut carry = 0;
    for (limb, &other) in value.iter_mut().zip(other) {
        let sum = u128::from(other) * u128::from(factor) + u128::from(*limb) + u128::from(carry);
        *limb = sum as u64;
        carry = (sum >> 64) as u64;
    }
    carry
}

/// `value <<= bits` for fewer than 64 bits; what leaves.
pub fn shift_left(value: &mut [u64], bits: u32) -> u64 {
    let mut carry = 0;
    for limb in value {
        let wide = u128::from(*limb) << bits;
        *limb = wide as u64 | carry;
        carry = (wide >> 64) as u64;
    }
    carry
}

/// Shifts right until odd, for a value other than 0; by how much.
pub fn shift_out_twos(value: &mut [u64]) -> usize {
    let words = value.iter().take_while(|&&limb| limb == 0).count();
    let twos = 64 * words + value.get(words).map_or(0, |limb| limb.trailing_zeros() as usize);
    for index in 0..value.len() {
        let bit = 64 * index + twos;
        value[index] = if bit / 64 < value.len() { limb_at(value, bit) } else { 0 };
    }
    twos
}

/// The digits of `bits` bits, the highest first, without zeros before the first other one.
pub fn digits(value: &[u64], bits: u32) -> impl Iterator<Item = usize> {
    let count = (64 * value.len()).div_ceil(bits as usize);
    let digit = move |index| (limb_at(value, bits as usize * index) & ((1 << bits) - 1)) as usize;
    (0..count).rev().map(digit).skip_while(|&digit| digit == 0)
}
