//! The square of a class by NUDUPL, and the space that it shares with composition.
//!
//! Sources: Cohen, *A Course in Computational Algebraic Number Theory*, algorithm 5.4.8 (NUDUPL); Jacobson and van der
//! Poorten, "Computational aspects of NUCOMP", ANTS-V, 2002. The formulas are those of a lattice, derived at
//! [`Workspace::square`].

use std::mem::swap;

use super::divide::{self, ExactDivisor, Remainder};
use super::euclid::Euclid;
use super::form::Form;
use super::limbs;
use super::nat::Nat;

/// Bits of the longest discriminant for which every number of a composition fits.
pub const MAX_BITS: usize = 2048;

/// Squares and composes forms of one discriminant. Holds the space for it, so that nothing is allocated.
#[derive(Clone)]
pub struct Workspace {
    /// Where the partial Euclid stops. One bit below the discriminant's fourth root, the remainder before it still has
    /// about the root's bits: at sizes that are multiples of 256 it then more often fits the root's limbs.
    pub(super) stop_bits: usize,
    pub(super) euclid: Euclid,
    pub(super) remainder: Remainder,
    pub(super) divisor: ExactDivisor,
    pub(super) k: Nat,
    pub(super) g: Nat,
    pub(super) t: Nat,
    pub(super) u: [Nat; 2],
    pub(super) y: [Nat; 2],
    pub(super) q: [Nat; 2],
    pub(super) product: Nat,
    // Of composition alone.
    pub(super) s: Nat,
    pub(super) m: Nat,
    pub(super) p: [Nat; 2],
    pub(super) common: [Nat; 3],
}

impl Workspace {
    /// For a negative discriminant of `bits` bits; `None` if the numbers would not fit.
    pub fn new(bits: usize) -> Option<Self> {
        const ZERO: Nat = Nat::ZERO;
        (bits <= MAX_BITS).then_some(Self {
            stop_bits: (bits / 4).saturating_sub(1),
            euclid: Euclid::NEW,
            remainder: Remainder::NEW,
            divisor: ExactDivisor::ONE,
            k: ZERO,
            g: ZERO,
            t: ZERO,
            u: [ZERO; 2],
            y: [ZERO; 2],
            q: [ZERO; 2],
            product: ZERO,
            s: ZERO,
            m: ZERO,
            p: [ZERO; 2],
            common: [ZERO; 3],
        })
    }

    /// Replaces a reduced form by the reduced form of the square of its class.
    ///
    /// With `g = gcd(a, b)`, `a' = a / g` and `c' = g c`, the square's values are those of
    /// `F(u, y) = (a' u² + b u y + c' y²) / a'`, on the lattice of `u = k y` modulo `a'`, `k b = -c'` modulo `a'`. For
    /// a basis `(u0, y0), (u1, y1)` of determinant `e a'`, `e = ±1`, and `qi = (b ui + c' yi) / a'`, that is the form
    /// `(u0² + y0 q0, e (2 (u0 u1 + y0 q1) + e b), u1² + y1 q1)`, because `y1 q0 = y0 q1 + e b`. The shorter the basis,
    /// the nearer the form is to reduced: two rows of Euclid's algorithm on `(a', k)` are one, and halfway they are
    /// short.
    ///
    /// # Panics
    ///
    /// If the form is not reduced or its discriminant longer than this is for, numbers may not fit.
    pub fn square(&mut self, form: &mut Form) {
        debug_assert!(form.is_reduced());
        let Form { a, b, negative, c } = form;
        let Self { euclid, remainder, divisor, k, g, t, product, .. } = self;
        // ±t b = g modulo a.
        let t_negative = euclid.inverse(a, b, g, t);
        k.set_product(t, c);
        if !g.is_one() {
            divide_by(a, g, product);
            product.set_product(c, g);
            swap(c, product);
        }
        remainder.reduce(k, a);
        // The rows are those of κ = -k where t b / g = 1; -yi in place of yi makes them rows of k.
        euclid.partial(a, k, self.stop_bits);
        let e_negative = t_negative == *negative;
        for (u, limbs) in self.u.iter_mut().zip(euclid.remainders()) {
            u.assign(limbs);
        }
        for (y, limbs) in self.y.iter_mut().zip(euclid.cofactors()) {
            y.assign(limbs);
        }
        let ([u0, u1], [y0, y1]) = (&self.u, &self.y);
        // With magnitudes yi, y0 becomes -e y0 and y1 becomes e y1. In terms of β = e b:
        // Q1 = e q1 = (c' y1 + β u1) / a', Q0 = -e q0 = (y0 Q1 - β) / y1.
        divisor.set(a);
        let beta_negative = *negative != e_negative;
        let [q0, q1] = &mut self.q;
        let q1_negative = exact_quotient(divisor, a.bits(), (b, beta_negative, u1), (c, y1), q1);
        product.set_product(y0, q1);
        k.assign(product.limbs());
        let q0_negative = q1_negative ^ k.add_signed(b, q1_negative == beta_negative);
        divisor.set(y1);
        divisor.quotient(k, y1.bits(), q0);
        // A = u0² + y0 Q0, B = e (2 (u0 u1 - y0 Q1) + β), C = u1² + y1 Q1.
        k.set_product(u0, u1);
        let mut cross_negative = k.add_signed(product, !q1_negative);
        a.set_square(u0);
        product.set_product(y0, q0);
        a.add_signed(product, q0_negative);
        c.set_square(u1);
        product.set_product(y1, q1);
        c.add_signed(product, q1_negative);
        k.double();
        if cross_negative == beta_negative {
            k.add(b);
        } else {
            cross_negative ^= k.sub(b);
        }
        b.assign(k.limbs());
        *negative = cross_negative != e_negative;
        form.reduce();
    }
}

/// `x /= y`, for a divisor `y`.
#[cold]
fn divide_by(x: &mut Nat, y: &Nat, space: &mut Nat) {
    divide::div_rem(x, y, space);
    swap(x, space);
}

/// `out = |±b u + c y| / a`, which is an integer; whether the quotient is negative.
#[inline]
pub(super) fn exact_quotient(
    divisor: &ExactDivisor,
    a_bits: usize,
    (b, negative, u): (&Nat, bool, &Nat),
    (c, y): (&Nat, &Nat),
    out: &mut Nat,
) -> bool {
    // The dividend has one bit more than its longer term, the quotient one more for a's leading bit, and a sign.
    let longer = (b.bits() + u.bits()).max(c.bits() + y.bits());
    let len = (longer + 3).saturating_sub(a_bits) / 64 + 1;
    out.fill(divisor.dividend_len(len), |sum| {
        limbs::mul_low(sum, c.limbs(), y.limbs());
        if negative {
            limbs::sub_mul_low(sum, b.limbs(), u.limbs());
        } else {
            limbs::add_mul_low(sum, b.limbs(), u.limbs());
        }
        divisor.divide(sum, len);
        let below = sum[len - 1] >> 63 == 1;
        if below {
            limbs::negate(&mut sum[..len]);
        }
        below
    })
}

#[cfg(test)]
#[path = "square_tests.rs"]
mod tests;
