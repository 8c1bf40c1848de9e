//! Arithmetic on slices of 64-bit limbs, lowest first: the loops under every integer of this crate.
//!
//! Lengths are the caller's: a function works on whole slices, and a carry out of the top is returned. Sources: Knuth,
//! *The Art of Computer Programming*, volume 2, section 4.3.1 (schoolbook methods); Brent and Zimmermann, *Modern
//! Computer Arithmetic*, section 1.3.

use std::cmp::Ordering;

/// The number of limbs without leading zeros.
#[inline]
pub(crate) fn used(x: &[u64]) -> usize {
    x.iter().rposition(|&limb| limb != 0).map_or(0, |top| top + 1)
}

/// Length in bits; 0 for 0.
#[inline]
pub(crate) fn bits(x: &[u64]) -> usize {
    let len = used(x);
    if len == 0 { 0 } else { 64 * len - x[len - 1].leading_zeros() as usize }
}

/// Compares numbers of the same length.
#[inline]
pub(crate) fn compare(x: &[u64], y: &[u64]) -> Ordering {
    debug_assert_eq!(x.len(), y.len());
    x.iter().rev().cmp(y.iter().rev())
}

#[inline(always)]
fn add_carry(x: u64, y: u64, carry: &mut bool) -> u64 {
    let (sum, over) = x.overflowing_add(y);
    let (sum, again) = sum.overflowing_add(*carry as u64);
    *carry = over | again;
    sum
}

#[inline(always)]
fn sub_borrow(x: u64, y: u64, borrow: &mut bool) -> u64 {
    let (difference, under) = x.overflowing_sub(y);
    let (difference, again) = difference.overflowing_sub(*borrow as u64);
    *borrow = under | again;
    difference
}

/// `x += y`, `y` no longer than `x`; whether it leaves `x`'s length.
#[inline]
pub(crate) fn add_assign(x: &mut [u64], y: &[u64]) -> bool {
    let (low, high) = x.split_at_mut(y.len());
    let mut carry = false;
    for (x, &y) in low.iter_mut().zip(y) {
        *x = add_carry(*x, y, &mut carry);
    }
    for x in high {
        if !carry {
            break;
        }
        (*x, carry) = x.overflowing_add(1);
    }
    carry
}

/// `x -= y` modulo the power of two of `x`'s length, `y` no longer than `x`; whether it goes below 0.
#[inline]
pub(crate) fn sub_assign(x: &mut [u64], y: &[u64]) -> bool {
    let (low, high) = x.split_at_mut(y.len());
    let mut borrow = false;
    for (x, &y) in low.iter_mut().zip(y) {
        *x = sub_borrow(*x, y, &mut borrow);
    }
    for x in high {
        if !borrow {
            break;
        }
        (*x, borrow) = x.overflowing_sub(1);
    }
    borrow
}

/// `x = -x` modulo the power of two of its length.
#[inline]
pub(crate) fn negate(x: &mut [u64]) {
    let mut carry = true;
    for x in x {
        (*x, carry) = (!*x).overflowing_add(carry as u64);
    }
}

/// `x <<= 1`; the bit shifted out.
#[inline]
pub(crate) fn double(x: &mut [u64]) -> u64 {
    shift_left(x, 1)
}

/// `x <<= count`, `0 < count < 64`; the bits shifted out.
#[inline]
pub(crate) fn shift_left(x: &mut [u64], count: u32) -> u64 {
    let mut carry = 0;
    for x in x {
        let limb = *x;
        *x = limb << count | carry;
        carry = limb >> (64 - count);
    }
    carry
}

/// `x >>= count`, `0 < count < 64`, with `top` above the highest limb.
#[inline]
pub(crate) fn shift_right(x: &mut [u64], count: u32, top: u64) {
    let mut above = top;
    for x in x.iter_mut().rev() {
        let limb = *x;
        *x = limb >> count | above << (64 - count);
        above = limb;
    }
}

#[inline(always)]
fn multiply_add(x: u64, y: u64, addend: u64, carry: &mut u64) -> u64 {
    // At most (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1.
    let wide = u128::from(x) * u128::from(y) + u128::from(addend) + u128::from(*carry);
    *carry = (wide >> 64) as u64;
    wide as u64
}

/// `out = x y`; the top limb.
#[inline]
pub(crate) fn mul_limb(out: &mut [u64], x: &[u64], y: u64) -> u64 {
    let mut carry = 0;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = multiply_add(x, y, 0, &mut carry);
    }
    carry
}

/// `out += x y`, `x` at least as long as `out` and cut to its length; the top limb.
#[inline]
pub(crate) fn add_mul_limb(out: &mut [u64], x: &[u64], y: u64) -> u64 {
    let mut carry = 0;
    for (out, &x) in out.iter_mut().zip(x) {
        *out = multiply_add(x, y, *out, &mut carry);
    }
    carry
}

/// `out -= x y`, `x` at least as long as `out` and cut to its length; the top limb of what is still to subtract.
#[inline]
pub(crate) fn sub_mul_limb(out: &mut [u64], x: &[u64], y: u64) -> u64 {
    let mut carry = 0;
    for (out, &x) in out.iter_mut().zip(x) {
        let product = multiply_add(x, y, 0, &mut carry);
        let (difference, under) = out.overflowing_sub(product);
        *out = difference;
        // The top limb of a product is below 2^64 - 1.
        carry += under as u64;
    }
    carry
}

/// `out = x y`, `out` as long as both together, neither empty.
#[inline]
pub(crate) fn mul(out: &mut [u64], x: &[u64], y: &[u64]) {
    debug_assert_eq!(out.len(), x.len() + y.len());
    out[x.len()] = mul_limb(&mut out[..x.len()], x, y[0]);
    for (i, &limb) in y.iter().enumerate().skip(1) {
        out[i + x.len()] = add_mul_limb(&mut out[i..i + x.len()], x, limb);
    }
}

/// `out = x y` modulo the power of two of `out`'s length.
#[inline]
pub(crate) fn mul_low(out: &mut [u64], x: &[u64], y: &[u64]) {
    out.fill(0);
    add_mul_low(out, x, y);
}

/// `out += x y` modulo the power of two of `out`'s length.
#[inline]
pub(crate) fn add_mul_low(out: &mut [u64], x: &[u64], y: &[u64]) {
    for (i, &limb) in y.iter().enumerate().take(out.len()) {
        let (low, high) = part(out, i, x.len());
        let carry = add_mul_limb(low, x, limb);
        if !high.is_empty() {
            add_assign(high, &[carry]);
        }
    }
}

/// `out -= x y` modulo the power of two of `out`'s length.
#[inline]
pub(crate) fn sub_mul_low(out: &mut [u64], x: &[u64], y: &[u64]) {
    for (i, &limb) in y.iter().enumerate().take(out.len()) {
        let (low, high) = part(out, i, x.len());
        let borrow = sub_mul_limb(low, x, limb);
        if !high.is_empty() {
            sub_assign(high, &[borrow]);
        }
    }
}

/// At most `len` limbs from `start` on, and those above.
#[inline(always)]
fn part(x: &mut [u64], start: usize, len: usize) -> (&mut [u64], &mut [u64]) {
    let rest = &mut x[start..];
    let len = len.min(rest.len());
    rest.split_at_mut(len)
}

/// `out = x²`, `out` twice as long as `x`, not empty.
#[inline]
pub(crate) fn square(out: &mut [u64], x: &[u64]) {
    let n = x.len();
    debug_assert_eq!(out.len(), 2 * n);
    // The products of different limbs once, doubled, then the squares.
    out[0] = 0;
    out[n] = mul_limb(&mut out[1..n], &x[1..], x[0]);
    for i in 1..n {
        out[n + i] = add_mul_limb(&mut out[2 * i + 1..n + i], &x[i + 1..], x[i]);
    }
    let mut shifted = 0;
    let mut carry = false;
    for (pair, &limb) in out.chunks_exact_mut(2).zip(x) {
        let wide = u128::from(limb) * u128::from(limb);
        let (low, high) = (pair[0] << 1 | shifted, pair[1] << 1 | pair[0] >> 63);
        shifted = pair[1] >> 63;
        pair[0] = add_carry(low, wide as u64, &mut carry);
        pair[1] = add_carry(high, (wide >> 64) as u64, &mut carry);
    }
}

/// `(x, y) = (a x - b y, d y - c x)` in one pass, both results known to be from 0 to the power of two of the length.
///
/// Coefficients are below 2^63, so that each column fits 128 signed bits.
#[inline]
pub(crate) fn combine_remainders(x: &mut [u64], y: &mut [u64], [a, b, c, d]: [u64; 4]) {
    debug_assert!((a | b | c | d) >> 63 == 0);
    let product = |x: u64, y: u64| (u128::from(x) * u128::from(y)) as i128;
    let (mut carry0, mut carry1) = (0i64, 0i64);
    for (x, y) in x.iter_mut().zip(y) {
        let (first, second) = (*x, *y);
        let column0 = product(a, first) - product(b, second) + i128::from(carry0);
        let column1 = product(d, second) - product(c, first) + i128::from(carry1);
        (*x, carry0) = (column0 as u64, (column0 >> 64) as i64);
        (*y, carry1) = (column1 as u64, (column1 >> 64) as i64);
    }
    debug_assert_eq!((carry0, carry1), (0, 0));
}

/// `(x, y) = (a x + b y, c x + d y)` in one pass; the top limbs. Coefficients are below 2^63.
#[inline]
pub(crate) fn combine_cofactors(x: &mut [u64], y: &mut [u64], [a, b, c, d]: [u64; 4]) -> (u64, u64) {
    debug_assert!((a | b | c | d) >> 63 == 0);
    let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
    let (mut carry0, mut carry1) = (0u64, 0u64);
    for (x, y) in x.iter_mut().zip(y) {
        let (first, second) = (*x, *y);
        // At most 2 (2^63 - 1) (2^64 - 1) + 2^64 - 1 < 2^128.
        let column0 = product(a, first) + product(b, second) + u128::from(carry0);
        let column1 = product(c, first) + product(d, second) + u128::from(carry1);
        (*x, carry0) = (column0 as u64, (column0 >> 64) as u64);
        (*y, carry1) = (column1 as u64, (column1 >> 64) as u64);
    }
    (carry0, carry1)
}

/// The 128 bits of `x` above bit `shift`, which lies in the last 3 limbs.
#[inline]
pub(crate) fn window(x: &[u64], shift: usize) -> u128 {
    let limb = |index: usize| x.get(index).copied().unwrap_or(0);
    let (index, count) = (shift / 64, shift % 64);
    let low = u128::from(limb(index)) | u128::from(limb(index + 1)) << 64;
    if count == 0 { low } else { low >> count | u128::from(limb(index + 2)) << (128 - count) }
}

#[cfg(test)]
#[path = "limbs_tests.rs"]
mod tests;
