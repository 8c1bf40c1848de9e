//! The product of two classes by NUCOMP.
//!
//! Sources: Cohen, *A Course in Computational Algebraic Number Theory*, algorithms 5.4.7 (Gauss' composition) and 5.4.9
//! (NUCOMP); Jacobson and van der Poorten, "Computational aspects of NUCOMP", ANTS-V, 2002. The formulas are those of a
//! lattice, derived at [`Workspace::compose`].

use super::form::Form;
use super::nat::Nat;
use super::square::{Workspace, exact_quotient};

impl Workspace {
    /// Replaces a reduced form by the reduced form of the product of its class and that of `other`, also reduced.
    ///
    /// With `g = gcd(a1, a2, s)`, `s = (b1 + b2) / 2`, Gauss' product is `(A, B, C)`, `A = a1' a2'`, `a' = a / g`,
    /// `B = b2 + 2 a2' k`. On the lattice of `v = (u, y)`, `u = k y` modulo `a1'`, it takes the values
    /// `F(v) = (a2' u² + b2 u y + c' y²) / a1' = u P(v) + y Q(v)`, `c' = g c2`, with the integers
    /// `P(v) = (a2' u + m y) / a1'` and `Q(v) = (s u + c' y) / a1'`, `m = (b2 - b1) / 2`. For a basis
    /// `(u0, y0), (u1, y1)` of determinant `e a1'`, `e = ±1`, that is the form
    /// `(u0 p0 + y0 q0, e (u0 p1 + u1 p0 + y0 q1 + y1 q0), u1 p1 + y1 q1)`. The determinant spares products:
    /// `y1 p0 = y0 p1 + e a2'`, `y1 q0 = y0 q1 + e s` and `u1 p0 = u0 p1 - e m`, so that the middle coefficient is
    /// `e (2 (u0 p1 + y0 q1) + e b1)`. As in [`Workspace::square`], two rows of Euclid's algorithm are a short basis.
    ///
    /// # Panics
    ///
    /// If a form is not reduced or the discriminant longer than this is for, numbers may not fit.
    pub fn compose(&mut self, form: &mut Form, other: &Form) {
        self.compose_signed(form, other, other.negative);
    }

    /// [`Workspace::compose`] with the inverse of `other`.
    ///
    /// # Panics
    ///
    /// As [`Workspace::compose`].
    pub fn compose_inverse(&mut self, form: &mut Form, other: &Form) {
        self.compose_signed(form, other, !other.negative);
    }

    /// [`Workspace::compose`], the sign of `other`'s middle coefficient given.
    fn compose_signed(&mut self, form: &mut Form, other: &Form, other_negative: bool) {
        debug_assert!(form.is_reduced() && other.is_reduced());
        if other.a.is_one() {
            return;
        }
        if form.a.is_one() {
            form.assign(other, other_negative);
            return;
        }
        // The smaller first coefficient gives the shorter lattice.
        let ((f1, negative1), (f2, negative2)) = if form.a <= other.a {
            ((&*form, form.negative), (other, other_negative))
        } else {
            ((other, other_negative), (&*form, form.negative))
        };
        let Self { euclid, remainder, divisor, k, g, t, s, m, product, .. } = self;
        let (sum, difference) = if negative1 == negative2 { (&mut *s, &mut *m) } else { (&mut *m, &mut *s) };
        sum.assign(f2.b.limbs());
        sum.add(&f1.b);
        sum.halve();
        difference.assign(f2.b.limbs());
        let below = difference.sub(&f1.b);
        difference.halve();
        let (s_negative, m_negative) =
            if negative1 == negative2 { (negative2, negative2 != below) } else { (negative2 != below, negative2) };

        // ±t a2 = g modulo a1, and where g = 1 that is all: k = ∓t m.
        k.assign(f2.a.limbs());
        remainder.reduce(k, &f1.a);
        let t_negative = euclid.inverse(&f1.a, k, g, t);
        k.set_product(t, m);
        let mut e_negative = t_negative == m_negative;
        let (mut a1, mut a2, mut c2) = (&f1.a, &f2.a, &f2.c);
        if !g.is_one() {
            // w s = G modulo g, G = gcd(g, s) and x = (G - w s) / g: k = ∓x t m - w c2.
            let [x, w, common] = &mut self.common;
            product.assign(s.limbs());
            remainder.reduce(product, g);
            let w_negative = euclid.inverse(g, product, common, w);
            if !w.is_zero() {
                remainder.reduce(k, a1);
                product.set_product(w, s);
                let x_negative = !w_negative && product > common;
                x.assign(product.limbs());
                x.add_signed(common, !w_negative);
                divisor.set(g);
                divisor.quotient(x, g.bits(), t);
                product.set_product(k, t);
                k.set_product(w, c2);
                // x is the same for |s| and s, w is not.
                let product_negative = e_negative != x_negative;
                let w_term_negative = w_negative == s_negative;
                e_negative = w_term_negative ^ k.add_signed(product, product_negative != w_term_negative);
            }
            if !common.is_one() {
                divisor.set(common);
                divisor.quotient(a1, common.bits(), x);
                divisor.quotient(a2, common.bits(), w);
                g.set_product(common, c2);
                (a1, a2, c2) = (x, w, g);
            }
        }
        remainder.reduce(k, a1);

        // Balances a2' u² against c' y². The rows are those of |k|; -yi in place of yi makes them rows of -|k|.
        euclid.partial(a1, k, (2 * self.stop_bits + a1.bits()).saturating_sub(a2.bits()) / 2);
        for (u, limbs) in self.u.iter_mut().zip(euclid.remainders()) {
            u.assign(limbs);
        }
        for (y, limbs) in self.y.iter_mut().zip(euclid.cofactors()) {
            y.assign(limbs);
        }
        let ([u0, u1], [y0, y1]) = (&self.u, &self.y);
        // With magnitudes yi, y0 becomes -e y0 and y1 becomes e y1. With μ = e m, β = e s, Q1 = e q1, Q0 = -e q0:
        // p1 = (a2' u1 + μ y1) / a1', p0 = (a2' - y0 p1) / y1, Q1 = (c' y1 + β u1) / a1', Q0 = (y0 Q1 - β) / y1.
        let ([p0, p1], [q0, q1]) = (&mut self.p, &mut self.q);
        divisor.set(a1);
        let p1_negative = exact_quotient(divisor, a1.bits(), (m, m_negative != e_negative, y1), (a2, u1), p1);
        let beta_negative = s_negative != e_negative;
        let q1_negative = exact_quotient(divisor, a1.bits(), (s, beta_negative, u1), (c2, y1), q1);
        divisor.set(y1);
        let p0_negative = exact_quotient(divisor, y1.bits(), (p1, !p1_negative, y0), (a2, &Nat::ONE), p0);
        product.set_product(y0, q1);
        k.assign(product.limbs());
        let q0_negative = q1_negative ^ k.add_signed(s, q1_negative == beta_negative);
        divisor.quotient(k, y1.bits(), q0);
        // A = u0 p0 + y0 Q0, B = e (2 (u0 p1 - y0 Q1) + e b1), C = u1 p1 + y1 Q1.
        k.set_product(u0, p1);
        let mut cross_negative = p1_negative ^ k.add_signed(product, p1_negative == q1_negative);
        k.double();
        cross_negative ^= k.add_signed(&f1.b, cross_negative != (negative1 != e_negative));
        form.b.assign(k.limbs());
        form.negative = cross_negative != e_negative;
        form.a.set_product(u0, p0);
        product.set_product(y0, q0);
        form.a.add_signed(product, p0_negative != q0_negative);
        form.c.set_product(u1, p1);
        product.set_product(y1, q1);
        form.c.add_signed(product, p1_negative != q1_negative);
        form.reduce();
    }
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
