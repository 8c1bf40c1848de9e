//! The class group: reduced positive definite binary quadratic forms `(a, b, c)` of one negative discriminant.
//!
//! Composition is NUCOMP and squaring NUDUPL: a partial Euclid on the composition's own lattice keeps every number near
//! the size of the discriminant's root and leaves an almost reduced form, where Gauss' composition (the oracle in
//! `naive.rs`) makes numbers twice as long and then reduces them. Chains of squarings run in `fixed/` where they fit it.
//!
//! Sources: Cohen, *A Course in Computational Algebraic Number Theory*, algorithms 5.4.2 (reduction), 5.4.7
//! (composition), 5.4.8 and 5.4.9 (NUDUPL, NUCOMP); Jacobson and van der Poorten, "Computational aspects of NUCOMP",
//! ANTS-V, 2002. The lattice form of the formulas is derived in the comments of [`Group::compose`].

use std::cmp::Ordering;

use dashu_int::{IBig, UBig};

use super::fixed;
use super::group::{self, FixedGroup};
use super::integer::Int;
use super::lehmer::partial_gcd;

/// A form `a x² + b x y + c y²`. Those that [`Group`] returns are reduced, so equal classes are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub a: Int,
    pub b: Int,
    pub c: Int,
}

/// The group of one discriminant.
#[derive(Clone, Debug)]
pub(super) struct Group {
    discriminant: Int,
    /// Bits of the discriminant's fourth root: where the partial Euclid stops.
    root_bits: usize,
}

impl Group {
    /// # Correctness
    ///
    /// `discriminant` is negative and 1 modulo 4, and not a square times another such number.
    pub fn new(discriminant: Int) -> Self {
        let root_bits = discriminant.bits() / 4;
        Self { discriminant, root_bits }
    }

    pub fn discriminant(&self) -> &Int {
        &self.discriminant
    }

    /// The form with these first coefficients, if `c` is an integer. Not reduced.
    pub fn form(&self, a: Int, b: Int) -> Option<Form> {
        let numerator = b.square() - &self.discriminant;
        let denominator = a.clone().double().double();
        if !numerator.is_multiple_of(&denominator) {
            return None;
        }
        let c = numerator.div_exact(&denominator);
        Some(Form { a, b, c })
    }

    /// `(1, 1, c)`.
    pub fn identity(&self) -> Form {
        let c = (Int::from(1) - &self.discriminant).half().half();
        Form { a: Int::from(1), b: Int::from(1), c }
    }

    /// `(2, 1, c)`, for discriminants that are 1 modulo 8.
    pub fn generator(&self) -> Form {
        let c = (Int::from(1) - &self.discriminant).half().half().half();
        Form { a: Int::from(2), b: Int::from(1), c }
    }

    /// The same in integers of fixed capacity, if it fits.
    pub fn fixed(&self) -> Option<FixedGroup> {
        FixedGroup::new(self.discriminant.bits(), self.identity().to_fixed()?)
    }

    /// The inverse class.
    #[cfg(test)]
    pub fn invert(&self, form: &Form) -> Form {
        reduce(Form { a: form.a.clone(), b: -form.b.clone(), c: form.c.clone() })
    }

    /// The square of a class.
    pub fn square(&self, form: &Form) -> Form {
        self.square_times(form, 1)
    }

    /// A class squared `count` times, in integers of fixed capacity where the discriminant fits them. `form` is reduced.
    pub fn square_times(&self, form: &Form, count: u64) -> Form {
        match (fixed::Workspace::new(self.discriminant.bits()), form.to_fixed()) {
            (Some(mut squarer), Some(mut fixed)) => {
                (0..count).for_each(|_| squarer.square(&mut fixed));
                Form::from_fixed(&fixed)
            }
            _ => (0..count).fold(form.clone(), |form, _| self.square_long(&form)),
        }
    }

    /// NUDUPL of any size. The case `f1 = f2` of [`Group::compose`], where half of the lattice is known.
    fn square_long(&self, form: &Form) -> Form {
        let Form { a, b, c } = form;
        // v b = s modulo a. s divides the discriminant, so it is 1 when that is prime.
        let (s, v, _) = b.gcd_ext(a);
        let a = a.div_exact(&s);
        let k = (-(v * c)).rem_floor(&a);
        let rows = partial_gcd(&a, &k, self.root_bits);
        let q1 = (b * &rows.u1 + &(s * c) * &rows.y1).div_exact(&a);
        let signed_b = if rows.positive { b.clone() } else { -b.clone() };
        let q0 = (&q1 * &rows.y0 + &signed_b).div_exact(&rows.y1);
        let square = Form {
            a: rows.u0.square() + &rows.y0 * q0,
            // The cross term is 2 u0 u1 + y0 q1 + y1 q0, and y1 q0 = y0 q1 + signed_b.
            b: oriented((&rows.u0 * &rows.u1 + &rows.y0 * &q1).double() + signed_b, rows.positive),
            c: rows.u1.square() + &rows.y1 * q1,
        };
        reduce(square)
    }

    /// NUCOMP: the product of two classes.
    ///
    /// With `g = gcd(a1, a2, s)`, `s = (b1 + b2) / 2`, Gauss' product is `(A, B, C)` for `A = a1' a2'`, `a' = a / g` and
    /// `B = b2 + 2 a2' k`. In the lattice of `v = (x, y, u = a1' x + k y)` its value is
    /// `F(v) = (a2' u² + b2 u y + g c2 y²) / a1' = u P(v) + y Q(v)` with the integers
    /// `P(v) = (a2' u + m y) / a1'`, `Q(v) = (s u + g c2 y) / a1'`, `m = (b2 - b1) / 2`. Two short neighbouring rows of
    /// Euclid's algorithm on `(a1', k)` are a basis; the values and the cross term there are an almost reduced form.
    /// `P` and `Q` of the first row follow from those of the second, by the rows' determinant.
    pub fn compose(&self, left: &Form, right: &Form) -> Form {
        // The smaller first coefficient gives the shorter lattice.
        let (f1, f2) = if left.a <= right.a { (left, right) } else { (right, left) };
        let s = (&f1.b + &f2.b).half();
        let m = &f2.b - &s;
        // v a2 = g modulo a1.
        let (mut g, v, _) = f2.a.gcd_ext(&f1.a);
        let mut k = -(v * &m);
        if !g.is_one() {
            let (common, x, w) = g.gcd_ext(&s);
            k = x * k - w * &f2.c;
            g = common;
        }
        let a1 = f1.a.div_exact(&g);
        let a2 = f2.a.div_exact(&g);
        let k = k.rem_floor(&a1);
        // Balances a2' u² against c2 y²: u is near |D|^(1/4) sqrt(a1' / a2').
        let stop_bits = (self.root_bits + a1.bits() / 2).saturating_sub(a2.bits() / 2);
        let rows = partial_gcd(&a1, &k, stop_bits);
        let p1 = (&a2 * &rows.u1 + &m * &rows.y1).div_exact(&a1);
        let q1 = (&s * &rows.u1 + &(g * &f2.c) * &rows.y1).div_exact(&a1);
        let (signed_a2, signed_s) = if rows.positive { (a2, s) } else { (-a2, -s) };
        let p0 = (&p1 * &rows.y0 + signed_a2).div_exact(&rows.y1);
        let q0 = (&q1 * &rows.y0 + signed_s).div_exact(&rows.y1);
        let cross = &rows.u0 * &p1 + &rows.u1 * &p0 + &rows.y0 * &q1 + &rows.y1 * &q0;
        let product = Form {
            a: &rows.u0 * p0 + &rows.y0 * q0,
            b: oriented(cross, rows.positive),
            c: &rows.u1 * p1 + &rows.y1 * q1,
        };
        reduce(product)
    }

    /// `form` to the power `exponent`, which is not negative.
    #[cfg(test)]
    pub fn power(&self, form: &Form, exponent: &Int) -> Form {
        self.joint_power(form, exponent, &self.identity(), &Int::from(0))
    }

    /// `first^exponent * second^other`, in integers of fixed capacity where the discriminant fits them; exponents are not
    /// negative and forms are reduced.
    pub fn joint_power(&self, first: &Form, exponent: &Int, second: &Form, other: &Int) -> Form {
        match (self.fixed(), first.to_fixed(), second.to_fixed()) {
            (Some(group), Some(first), Some(second)) => {
                Form::from_fixed(&group::joint_power(&group, [(&first, exponent), (&second, other)]))
            }
            _ => group::joint_power(self, [(first, exponent), (second, other)]),
        }
    }
}

impl Form {
    /// The same in integers of fixed capacity, if it fits.
    pub(super) fn to_fixed(&self) -> Option<fixed::Form> {
        let magnitude = |x: &Int| fixed::Nat::from_limbs(x.0.as_sign_words().1);
        let (a, b, c) = (magnitude(&self.a)?, magnitude(&self.b)?, magnitude(&self.c)?);
        Some(fixed::Form { a, b, negative: self.b.is_negative(), c })
    }

    pub(super) fn from_fixed(form: &fixed::Form) -> Self {
        let int = |x: &fixed::Nat| Int(IBig::from(UBig::from_words(x.limbs())));
        let b = int(&form.b);
        Self { a: int(&form.a), b: if form.negative { -b } else { b }, c: int(&form.c) }
    }
}

/// Changes the orientation of a basis back: an improperly equivalent form has the opposite middle coefficient.
fn oriented(b: Int, positive: bool) -> Int {
    if positive { b } else { -b }
}

/// The reduced form of a class: `|b| <= a <= c`, and `b >= 0` if either is an equality. Cohen, algorithm 5.4.2.
pub(super) fn reduce(form: Form) -> Form {
    let Form { mut a, mut b, mut c } = form;
    if a > c {
        (a, b, c) = (c, -b, a);
    }
    loop {
        // -a < b <= a.
        let out_of_range = match b.compare_magnitude(&a) {
            Ordering::Less => false,
            Ordering::Equal => b.is_negative(),
            Ordering::Greater => true,
        };
        if out_of_range {
            let twice = a.clone().double();
            let q = (&b + &a - Int::from(1)).div_floor(&twice);
            let next = &b - &(twice * &q);
            c = c - (q * (b + &next)).half();
            b = next;
        }
        match a.cmp(&c) {
            Ordering::Greater => (a, b, c) = (c, -b, a),
            Ordering::Equal if b.is_negative() => return Form { a, b: -b, c },
            _ => return Form { a, b, c },
        }
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
