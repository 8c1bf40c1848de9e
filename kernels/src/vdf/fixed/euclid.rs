//! Euclid's algorithm on long numbers, complete and partial, by Lehmer's method.
//!
//! Leading bits decide a batch of quotients, whose 2 x 2 matrix then updates the long numbers in one pass. A batch is
//! two rounds of 30 bits on single words, with 128 leading bits in between: one long pass for 60 bits. A matrix of any
//! quotients has determinant 1, so an inexact quotient can cost steps, never correctness; only signs have to be kept.
//!
//! Sources: Lehmer's method as in Cohen, *A Course in Computational Algebraic Number Theory*, algorithm 1.3.7; two
//! rounds to a batch after Jebelean, "A double-digit Lehmer-Euclid algorithm", J. Symb. Comp. 19, 1995.

use super::divide::div_rem;
use super::limbs;
use super::nat::{CAPACITY, Nat};

/// Leading bits of a round: 3 fewer than a word has, for multiples of a number.
const ROUND_BITS: u32 = 61;

/// A round's remainders stay above this. It is twice the largest cofactor that can then occur, which bounds what the
/// bits left out can do to a remainder, so that no true remainder is negative.
const ROUND_END: u64 = 1 << 31;

/// Quotients combined: remainders `(x, y)` become `(u0 x - v0 y, v1 y - u1 x)`. The determinant is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Matrix {
    u0: u64,
    v0: u64,
    u1: u64,
    v1: u64,
}

impl Matrix {
    const ONE: Self = Self { u0: 1, v0: 0, u1: 0, v1: 1 };

    /// `self` first, then `next`. Entries are at most 2^30, those of the result at most 2^61.
    #[inline(always)]
    fn then(&self, next: &Self) -> Self {
        Self {
            u0: next.u0 * self.u0 + next.v0 * self.u1,
            v0: next.u0 * self.v0 + next.v0 * self.v1,
            u1: next.u1 * self.u0 + next.v1 * self.u1,
            v1: next.u1 * self.v0 + next.v1 * self.v1,
        }
    }

    /// The remainders, from the first and the second.
    #[inline(always)]
    fn apply(&self, x: u128, y: u128) -> (u128, u128) {
        let product = |coefficient: u64, value: u128| u128::from(coefficient).wrapping_mul(value);
        let first = product(self.u0, x).wrapping_sub(product(self.v0, y));
        let second = product(self.v1, y).wrapping_sub(product(self.u1, x));
        (first, second)
    }

    #[inline(always)]
    fn coefficients(&self) -> [u64; 4] {
        [self.u0, self.v0, self.u1, self.v1]
    }
}

/// Quotient and remainder of numbers below 2^61. Most quotients are small, and comparing costs less than dividing.
#[inline(always)]
fn quotient(x: u64, y: u64) -> (u64, u64) {
    if x >> 4 >= y {
        if x >> 8 >= y {
            return (x / y, x % y);
        }
        let (high, rest) = small_quotient(x, y << 4);
        let (low, r) = small_quotient(rest, y);
        return (16 * high + low, r);
    }
    small_quotient(x, y)
}

/// Quotient and remainder of any words.
#[inline(always)]
fn word_quotient(x: u64, y: u64) -> (u64, u64) {
    if (x | y) >> ROUND_BITS == 0 { quotient(x, y) } else { (x / y, x % y) }
}

/// [`quotient`] below 16: 4 conditional subtractions.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn small_quotient(x: u64, y: u64) -> (u64, u64) {
    let (mut r, mut missed) = (x, 0u64);
    // SAFETY: reads and writes registers only.
    //
    // A subtraction, then a move on its borrow: the compiler makes a comparison, a move and a subtraction of it,
    // half as much again on the longest path of the program.
    unsafe {
        std::arch::asm!(
            "mov {t}, {r}", "sub {t}, {y8}", "cmovae {r}, {t}", "adc {missed}, {missed}",
            "mov {t}, {r}", "sub {t}, {y4}", "cmovae {r}, {t}", "adc {missed}, {missed}",
            "mov {t}, {r}", "sub {t}, {y2}", "cmovae {r}, {t}", "adc {missed}, {missed}",
            "mov {t}, {r}", "sub {t}, {y}", "cmovae {r}, {t}", "adc {missed}, {missed}",
            t = out(reg) _, r = inout(reg) r, missed = inout(reg) missed,
            y8 = in(reg) y << 3, y4 = in(reg) y << 2, y2 = in(reg) y << 1, y = in(reg) y,
            options(pure, nomem, nostack),
        );
    }
    (missed ^ 15, r)
}

/// [`quotient`] below 16: 4 conditional subtractions.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn small_quotient(x: u64, y: u64) -> (u64, u64) {
    let (mut q, mut r) = (0, x);
    for bit in [3, 2, 1, 0] {
        let fits = r >= y << bit;
        r -= if fits { y << bit } else { 0 };
        q = 2 * q + fits as u64;
    }
    (q, r)
}

/// Steps on leading words, each by a divisor of at least `floor`.
#[inline(always)]
fn round(mut x: u64, mut y: u64, floor: u64) -> Matrix {
    let floor = floor.max(ROUND_END);
    // Both coefficients of a row in one word, each at most 2^61 / 2^31: with the last remainders x', y' the first x is
    // v1 x' + v0 y', and so is y. If x is below y, the first step is none.
    let (mut row0, mut row1) = (1u64, 1u64 << 32);
    let update = |row: u64, q: u64, other: u64| row.wrapping_add(q.wrapping_mul(other));
    while y >= floor {
        let (q, r) = quotient(x, y);
        if r < floor {
            if r >= ROUND_END {
                row0 = update(row0, q, row1);
            }
            break;
        }
        (x, row0) = (r, update(row0, q, row1));
        let (q, r) = quotient(y, x);
        if r < floor {
            if r >= ROUND_END {
                row1 = update(row1, q, row0);
            }
            break;
        }
        (y, row1) = (r, update(row1, q, row0));
    }
    const LOW: u64 = u32::MAX as u64;
    Matrix { u0: row0 & LOW, v0: row0 >> 32, u1: row1 & LOW, v1: row1 >> 32 }
}

/// [`round`] on the leading bits of both remainders.
#[inline(always)]
fn leading_round(x: u128, y: u128, stop: i64) -> Matrix {
    let zeros = (x | y).leading_zeros();
    let dropped = 128 - ROUND_BITS;
    let word = |x: u128| ((x << zeros) >> dropped) as u64;
    let floor_bit = stop + i64::from(zeros) - i64::from(dropped);
    let floor = if floor_bit < 0 { 0 } else { 1 << floor_bit.min(63) };
    round(word(x), word(y), floor)
}

/// A batch from the leading 128 bits of both remainders; divisors are not below 2^`stop`, unless `stop` is negative.
#[inline]
fn batch(x: u128, y: u128, stop: i64) -> Matrix {
    let first = leading_round(x, y, stop);
    if first == Matrix::ONE {
        return first;
    }
    let (x, y) = first.apply(x, y);
    // The images are wrong by at most 2^30 in the last place, far below the next round's words.
    first.then(&leading_round(x, y, stop))
}

/// The leading 128 bits of two numbers of the same length, at the same place, and the place of the lowest of them.
#[inline]
fn leading(x: &[u64], y: &[u64]) -> (u128, u128, i64) {
    let len = x.len();
    let top = |x: &[u64], i: usize| if i <= len { x[len - i] } else { 0 };
    let zeros = (top(x, 1) | top(y, 1)).leading_zeros();
    let lead = |x: &[u64]| {
        let high = u128::from(top(x, 1)) << 64 | u128::from(top(x, 2));
        high << zeros | u128::from(top(x, 3) >> 1 >> (63 - zeros))
    };
    (lead(x), lead(y), 64 * (len as i64 - 2) - i64::from(zeros))
}

/// The space of Euclid's algorithm on `(a, b)`, and two rows of it: remainders `r` with the cofactors `t` of `b`, such
/// that `r0 = -t0 b` and `r1 = t1 b` modulo `a`, and `r0 t1 + r1 t0 = a`. Either remainder may be the smaller.
#[derive(Clone)]
pub(crate) struct Euclid {
    r: [[u64; CAPACITY]; 2],
    t: [[u64; CAPACITY]; 2],
    r_len: usize,
    t_len: usize,
}

impl Euclid {
    pub(crate) const NEW: Self = Self { r: [[0; CAPACITY]; 2], t: [[0; CAPACITY]; 2], r_len: 0, t_len: 0 };

    /// The rows `(a, 0)`, `(b, 1)`, `b <= a`.
    fn start(&mut self, a: &Nat, b: &Nat) {
        self.r_len = a.len();
        self.r[0][..a.len()].copy_from_slice(a.limbs());
        self.r[1][..b.len()].copy_from_slice(b.limbs());
        self.r[1][b.len()..a.len()].fill(0);
        self.t_len = 1;
        (self.t[0][0], self.t[1][0]) = (0, 1);
    }

    /// `g = gcd(a, b)` and `t` with `±t b = g` modulo `a`, for `b <= a`, `a` not 0. Whether the sign is minus.
    pub(crate) fn inverse(&mut self, a: &Nat, b: &Nat, g: &mut Nat, t: &mut Nat) -> bool {
        self.start(a, b);
        while self.r_len > 1 {
            if !self.step(0) {
                let row = (limbs::used(&self.r[0][..self.r_len]) == 0) as usize;
                g.assign(self.remainders()[row]);
                t.assign(self.cofactors()[row]);
                return row == 0;
            }
        }
        let (mut x, mut y) = (self.r[0][0], self.r[1][0]);
        let Matrix { mut u0, mut v0, mut u1, mut v1 } = Matrix::ONE;
        while y != 0 {
            let (q, r) = word_quotient(x, y);
            (x, u0, v0) = (r, u0 + q * u1, v0 + q * v1);
            if x == 0 {
                break;
            }
            let (q, r) = word_quotient(y, x);
            (y, u1, v1) = (r, u1 + q * u0, v1 + q * v0);
        }
        let first = y == 0;
        let (gcd, u, v) = if first { (x, u0, v0) } else { (y, u1, v1) };
        g.assign(&[gcd]);
        t.fill(self.t_len + 1, |out| {
            let len = self.t_len;
            out[len] = limbs::mul_limb(&mut out[..len], &self.t[0][..len], u);
            out[len] += limbs::add_mul_limb(&mut out[..len], &self.t[1][..len], v);
        });
        first
    }

    /// Runs on `(a, b)`, `b < a`, until a remainder has at most `stop_bits` bits.
    pub(crate) fn partial(&mut self, a: &Nat, b: &Nat, stop_bits: usize) {
        self.start(a, b);
        while self.remainders().iter().all(|r| limbs::bits(r) > stop_bits) {
            self.step(stop_bits);
        }
    }

    /// Both remainders, leading zeros allowed.
    pub(crate) fn remainders(&self) -> [&[u64]; 2] {
        [&self.r[0][..self.r_len], &self.r[1][..self.r_len]]
    }

    /// The magnitudes of both cofactors, leading zeros allowed.
    pub(crate) fn cofactors(&self) -> [&[u64]; 2] {
        [&self.t[0][..self.t_len], &self.t[1][..self.t_len]]
    }

    /// A batch of steps, or one division. Whether there was anything to do.
    #[inline]
    fn step(&mut self, stop_bits: usize) -> bool {
        let [r0, r1] = &mut self.r;
        let (r0, r1) = (&mut r0[..self.r_len], &mut r1[..self.r_len]);
        let (x, y, place) = leading(r0, r1);
        let matrix = batch(x, y, stop_bits as i64 - place);
        if matrix == Matrix::ONE {
            return self.divide();
        }
        limbs::combine_remainders(r0, r1, matrix.coefficients());
        while self.r_len > 1 && r0[self.r_len - 1] | r1[self.r_len - 1] == 0 {
            self.r_len -= 1;
        }
        let len = self.t_len;
        let [t0, t1] = &mut self.t;
        let carry = limbs::combine_cofactors(&mut t0[..len], &mut t1[..len], matrix.coefficients());
        if carry != (0, 0) {
            (t0[len], t1[len]) = carry;
            self.t_len += 1;
        }
        true
    }

    /// One step by a long division: for a quotient that leading words do not give.
    #[cold]
    fn divide(&mut self) -> bool {
        let nat = |limbs: &[u64]| Nat::from_limbs(limbs).unwrap_or(Nat::ZERO);
        let mut r = self.remainders().map(nat);
        let mut t = self.cofactors().map(nat);
        let larger = (r[1] > r[0]) as usize;
        let [r0, r1] = &mut r;
        let [t0, t1] = &mut t;
        let (x, y, tx, ty) = if larger == 0 { (r0, r1, t0, t1) } else { (r1, r0, t1, t0) };
        if y.is_zero() {
            return false;
        }
        let (mut q, mut product) = (Nat::ZERO, Nat::ZERO);
        div_rem(x, y, &mut q);
        product.set_product(&q, ty);
        tx.add(&product);
        self.r_len = r[0].len().max(r[1].len()).max(1);
        self.t_len = t[0].len().max(t[1].len()).max(1);
        for i in 0..2 {
            for (out, value, len) in [(&mut self.r[i], &r[i], self.r_len), (&mut self.t[i], &t[i], self.t_len)] {
                out[..value.len()].copy_from_slice(value.limbs());
                out[value.len()..len].fill(0);
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "euclid_tests.rs"]
mod tests;
