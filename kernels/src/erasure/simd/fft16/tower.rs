//! GF(2^16) as a quadratic extension of GF(2^8), the form in which rows lie in buffers.
//!
//! In a Cantor basis the numbers below 256 are the subfield GF(2^8), and every other element is `a + b w` with `w = v[8]` and
//! `a`, `b` in it; `w^2 = w + v[7]`. So a product by `s + t w` is four products by elements of GF(2^8),
//!
//! ```text
//! (s + t w)(a + b w) = (s a + t v[7] b) + (t a + (s + t) b) w,
//! ```
//!
//! and one by an element of GF(2^8), as most twiddles are, is two, by the same tables. The tables of all constants of GF(2^8)
//! take 8 KiB (2 KiB as bit matrices), which stay in the first-level cache whatever the shape; tables for each constant of
//! GF(2^16) would take 8 MiB.
//!
//! The high byte of a number in the Cantor basis is a linear map of `b`, and adds a linear map of `b` to the low byte: rows
//! are converted as they are read, and back as they are written.

use super::super::vectors::{ByteMap, Vectors};
use crate::erasure::field::Field;

/// A constant of GF(2^16): `s`, `t v[7]`, `t`, `s + t`, each as a product of GF(2^8).
pub(super) type Constant<'a, V> = [&'a <V as Vectors>::Multiplier; 4];

/// The part of a constant that the high byte of its number decides: what it adds to `s`, then `t`, `t v[7]` and `t`.
#[derive(Clone, Copy)]
pub(super) struct High<'a, V: Vectors> {
    add: u8,
    t: u8,
    products: [&'a V::Multiplier; 2],
}

/// `a` and `b` of [`Vectors::WIDTH`] elements.
pub(super) type Pair<V> = [<V as Vectors>::Vector; 2];

/// What is known of a constant when code is generated: products by 0 and 1 cost nothing or little.
pub(super) const ZERO: u8 = 0;
/// An element of GF(2^8).
pub(super) const BYTE: u8 = 1;
/// Any.
pub(super) const WIDE: u8 = 2;
/// 1 itself.
pub(super) const ONE: u8 = 3;

/// The narrowest class of a twiddle.
#[inline(always)]
pub(super) fn class(twiddle: u16) -> u8 {
    match twiddle {
        0 => ZERO,
        1..256 => BYTE,
        _ => WIDE,
    }
}

/// Tables.
pub(super) struct Tower<V: Vectors> {
    /// Products by each element of GF(2^8).
    products: Box<[V::Multiplier; 256]>,
    /// For each high byte of a number what it adds to `s`, then `t` and `t v[7]`.
    high: Box<[[u8; 3]; 256]>,
    /// What a high byte adds to `a`, and `b`.
    into: [V::Multiplier; 2],
    /// What `b` adds to the low byte, and the high byte.
    out: [V::Multiplier; 2],
}

impl<V: Vectors> Tower<V> {
    /// `field` is GF(2^16). Takes some tens of microseconds.
    pub(super) fn new(field: &Field) -> Self {
        let byte = |s: usize, t: u8| field.multiply(s as u16, u16::from(t)).to_le_bytes()[0];
        let products = std::array::from_fn(|s| V::multiplier(&ByteMap::new(|x| byte(s, x))));
        let times_w = |b: usize| field.multiply(b as u16, 1 << 8).to_le_bytes();
        let mut high = [[0; 3]; 256];
        for b in 0..256 {
            let [low, at] = times_w(b);
            high[usize::from(at)] = [low, b as u8, byte(b, 1 << 7)];
        }
        let into = [0, 1].map(|part| V::multiplier(&ByteMap::new(|x| high[usize::from(x)][part])));
        let out = [0, 1].map(|part| V::multiplier(&ByteMap::new(|x| times_w(usize::from(x))[part])));
        Self { products: Box::new(products), high: Box::new(high), into, out }
    }

    /// The tables of a number of the Cantor basis.
    #[inline(always)]
    pub(super) fn constant(&self, number: u16) -> Constant<'_, V> {
        self.with_low(self.high(number), number)
    }

    /// What all numbers with the same high byte share.
    #[inline(always)]
    pub(super) fn high(&self, number: u16) -> High<'_, V> {
        let [add, t, tv] = self.high[usize::from(number >> 8)];
        High { add, t, products: [tv, t].map(|factor| &self.products[usize::from(factor)]) }
    }

    /// The tables of a number with that high byte; its own is not looked at.
    #[inline(always)]
    pub(super) fn with_low<'a>(&'a self, high: High<'a, V>, number: u16) -> Constant<'a, V> {
        let s = number as u8 ^ high.add;
        let [first, last] = [s, s ^ high.t].map(|factor| &self.products[usize::from(factor)]);
        [first, high.products[0], high.products[1], last]
    }

    /// From low and high bytes of numbers.
    #[inline(always)]
    pub(super) fn convert(&self, v: V, [low, high]: Pair<V>) -> Pair<V> {
        let [add, b] = self.into.each_ref().map(|map| v.factor(map));
        let high = v.operand(high);
        [v.xor(low, v.product(add, high)), v.product(b, high)]
    }

    /// To low and high bytes.
    #[inline(always)]
    pub(super) fn convert_back(&self, v: V, [a, b]: Pair<V>) -> Pair<V> {
        let [add, high] = self.out.each_ref().map(|map| v.factor(map));
        let b = v.operand(b);
        [v.xor(a, v.product(add, b)), v.product(high, b)]
    }
}

/// # Safety
///
/// Two vectors can be read.
#[inline(always)]
pub(super) unsafe fn load<V: Vectors>(v: V, from: *const u8) -> Pair<V> {
    // SAFETY: two vectors can be read.
    unsafe { [v.load(from), v.load(from.add(V::WIDTH))] }
}

/// # Safety
///
/// Two vectors can be written.
#[inline(always)]
pub(super) unsafe fn store<V: Vectors>(v: V, to: *mut u8, [a, b]: Pair<V>) {
    // SAFETY: two vectors can be written.
    unsafe {
        v.store(to, a);
        v.store(to.add(V::WIDTH), b);
    }
}

#[inline(always)]
pub(super) fn add<V: Vectors>(v: V, x: Pair<V>, y: Pair<V>) -> Pair<V> {
    [v.xor(x[0], y[0]), v.xor(x[1], y[1])]
}

/// `factor * y`, any factor.
#[inline(always)]
pub(super) fn multiply<V: Vectors>(v: V, factor: Constant<V>, y: Pair<V>) -> Pair<V> {
    let (a, b) = (v.operand(y[0]), v.operand(y[1]));
    let low = v.xor(v.product(v.factor(factor[0]), a), v.product(v.factor(factor[1]), b));
    [low, v.xor(v.product(v.factor(factor[2]), a), v.product(v.factor(factor[3]), b))]
}

/// `x + factor * y` for a factor of this class.
#[inline(always)]
pub(super) fn multiply_add<V: Vectors, const CLASS: u8>(v: V, x: Pair<V>, factor: Constant<V>, y: Pair<V>) -> Pair<V> {
    match CLASS {
        ZERO => x,
        ONE => add(v, x, y),
        BYTE => {
            let factor = v.factor(factor[0]);
            add(v, x, [v.multiply(factor, y[0]), v.multiply(factor, y[1])])
        }
        _ => {
            let (a, b) = (v.operand(y[0]), v.operand(y[1]));
            let low = v.xor3(x[0], v.product(v.factor(factor[0]), a), v.product(v.factor(factor[1]), b));
            [low, v.xor3(x[1], v.product(v.factor(factor[2]), a), v.product(v.factor(factor[3]), b))]
        }
    }
}

/// `x + factor * y` for two pairs, any factor: each table is brought to registers once.
#[inline(always)]
pub(super) fn multiply_add_both<V: Vectors>(
    v: V,
    [x, z]: [Pair<V>; 2],
    factor: Constant<V>,
    [y, w]: [Pair<V>; 2],
) -> [Pair<V>; 2] {
    let (y0, y1, w0, w1) = (v.operand(y[0]), v.operand(y[1]), v.operand(w[0]), v.operand(w[1]));
    let first = v.factor(factor[0]);
    let (x0, z0) = (v.xor(x[0], v.product(first, y0)), v.xor(z[0], v.product(first, w0)));
    let second = v.factor(factor[1]);
    let (x0, z0) = (v.xor(x0, v.product(second, y1)), v.xor(z0, v.product(second, w1)));
    let third = v.factor(factor[2]);
    let (x1, z1) = (v.xor(x[1], v.product(third, y0)), v.xor(z[1], v.product(third, w0)));
    let fourth = v.factor(factor[3]);
    [[x0, v.xor(x1, v.product(fourth, y1))], [z0, v.xor(z1, v.product(fourth, w1))]]
}
