//! Forms of a negative discriminant and their reduction.
//!
//! Source: Cohen, *A Course in Computational Algebraic Number Theory*, algorithm 5.4.2.

use std::mem::swap;

use super::divide;
use super::limbs;
use super::nat::Nat;

/// A positive definite form `a x² + b x y + c y²`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The first coefficient.
    pub a: Nat,
    /// The magnitude of the middle coefficient.
    pub b: Nat,
    /// Whether the middle coefficient is below 0.
    pub negative: bool,
    /// The last coefficient.
    pub c: Nat,
}

impl Form {
    /// Whether `|b| <= a <= c`, and `b >= 0` if either is an equality.
    pub fn is_reduced(&self) -> bool {
        let edge = self.b == self.a || self.a == self.c;
        self.b <= self.a && self.a <= self.c && !(self.negative && (edge || self.b.is_zero()))
    }

    /// `self = other`, with this sign of the middle coefficient. `other` is reduced, and so is the result.
    pub(super) fn assign(&mut self, other: &Self, negative: bool) {
        self.a.assign(other.a.limbs());
        self.b.assign(other.b.limbs());
        self.c.assign(other.c.limbs());
        let edge = self.b == self.a || self.a == self.c || self.b.is_zero();
        self.negative = negative && !edge;
    }

    /// Brings the form to the reduced one of its class.
    pub fn reduce(&mut self) {
        let Self { a, b, negative, c } = self;
        let mut swapped = false;
        let (mut low, mut high) = (&mut *a, &mut *c);
        loop {
            if *b > *low {
                *negative ^= shorten(low, b, high);
            } else if *low > *high {
                swap(&mut low, &mut high);
                swapped = !swapped;
                *negative = !*negative;
            } else {
                break;
            }
        }
        if *b == *low || *low == *high || b.is_zero() {
            *negative = false;
        }
        if swapped {
            swap(a, c);
        }
    }
}

/// A form in as much memory as its coefficients take: to keep many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptForm {
    /// Those of `a`, then of `b`, then of `c`.
    limbs: Box<[u64]>,
    a_len: usize,
    b_len: usize,
    negative: bool,
}

impl KeptForm {
    /// The same form.
    pub fn new(form: &Form) -> Self {
        let Form { a, b, negative, c } = form;
        let limbs = [a.limbs(), b.limbs(), c.limbs()].concat().into_boxed_slice();
        Self { limbs, a_len: a.len(), b_len: b.len(), negative: *negative }
    }

    /// Writes the form.
    pub fn write(&self, form: &mut Form) {
        let (a, rest) = self.limbs.split_at(self.a_len);
        let (b, c) = rest.split_at(self.b_len);
        form.a.assign(a);
        form.b.assign(b);
        form.c.assign(c);
        form.negative = self.negative;
    }
}

/// `b -= 2 q a` and `c -= q (b - q a)` for the `q` that makes `|b|` smallest, or nearly; `b` is above `a` before and a
/// magnitude after. Whether its sign changes.
#[inline]
fn shorten(a: &Nat, b: &mut Nat, c: &mut Nat) -> bool {
    // The leading bits, of which a has at least 42 if q is to be found from them.
    let shift = b.bits().saturating_sub(62);
    let (b_top, a_top) = (limbs::window(b.limbs(), shift) as u64, limbs::window(a.limbs(), shift) as u64);
    if shift != 0 && a_top >> 42 == 0 || a_top == 0 {
        return shorten_far(a, b, c);
    }
    let mut q = 1;
    if b_top - a_top >= 2 * a_top {
        q = (b_top + a_top) / (2 * a_top);
    }
    // With q = 1 both differences are of b > a; otherwise q a < b, as q is wrong by less than 1 at most.
    b.sub_mul(a, q);
    c.sub_mul(b, q);
    b.sub_mul(a, q)
}

/// [`shorten`] where `b` is much longer than `a`.
#[cold]
fn shorten_far(a: &Nat, b: &mut Nat, c: &mut Nat) -> bool {
    let mut twice = a.clone();
    twice.double();
    let (mut q, mut product) = (Nat::ZERO, Nat::ZERO);
    divide::div_rem(&mut b.clone(), &twice, &mut q);
    product.set_product(&q, a);
    b.sub(&product);
    let mut change = Nat::ZERO;
    change.set_product(&q, b);
    c.sub(&change);
    b.sub(&product)
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
