//! Points of `y^2 = x^3 + b` in lanes, over the base field (G1) or its quadratic extension (G2).
//!
//! Formulas: Explicit-Formulas Database, short Weierstrass curves with a = 0, Jacobian coordinates: dbl-2009-l, add-1998-cmo-2 and
//! their mixed forms, with products where those formulas save a squaring by additions. Endomorphisms: Galbraith and Scott,
//! ePrint 2008/117.
//!
//! Additions here are not complete, but they never err in silence: the `z` of a sum is a product with both `z` and with
//! the difference of the affine `x` as factors, and the `z` of a double is `2yz`. So as soon as a chain adds infinity, equal
//! or opposite points, its `z` is zero in that lane and stays zero to the end. A chain whose last `z` is not zero met no such
//! case and is right; who gets a zero decides that lane another way.

use blst::blst_fp;

use super::field::constants::residue;
use super::field::{Field, Fp2, Mask, Ring, invert_all};

/// One affine point a lane. Infinity has no such form: who may meet it keeps a [`Mask`] beside.
#[derive(Clone, Copy)]
pub(super) struct Affine<R> {
    pub(super) x: R,
    pub(super) y: R,
}

/// One affine point as it rests in memory, to be gathered into lanes.
pub(super) struct Stored<R: Ring> {
    pub(super) x: R::Packed,
    pub(super) y: R::Packed,
}

/// One point a lane, `(x / z^2, y / z^3)`; infinity if `z` is zero.
///
/// Operations take `x` and `y` below `32p` and `z` below `11p`, and give `x` below `19p`, `y` below `11p` and `z` below `3p`.
#[derive(Clone, Copy)]
pub(super) struct Jacobian<R> {
    pub(super) x: R,
    pub(super) y: R,
    pub(super) z: R,
}

/// `1 / (1 + i)^((p - 1) / 3)` is this times `i`. It is minus a cube root of unity.
const PSI_X: blst_fp = residue([
    0x8bfd_0000_0000_aaad,
    0x4094_27eb_4f49_fffd,
    0x897d_2965_0fb8_5f9b,
    0xaa0d_857d_8975_9ad4,
    0xec02_4086_63d4_de85,
    0x1a01_11ea_397f_e699,
]);
/// `1 / (1 + i)^((p - 1) / 2)` is this times `1 - i`: a square root of `-1/2`.
const PSI_Y: blst_fp = residue([
    0xf1ee_7b04_121b_dea2,
    0x3044_66cf_3e67_fa0a,
    0xef39_6489_f61e_b45e,
    0x1c3d_edd9_30b1_cf60,
    0xe2e9_c448_d77a_2cd9,
    0x1352_03e6_0180_a68e,
]);

/// The parameter of the curve is `-X`: it has 64 bits, six of them set.
pub(super) const X: u64 = 0xd201_0000_0001_0000;

impl<R: Ring> Clone for Stored<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Ring> Copy for Stored<R> {}

impl<R: Ring> Default for Stored<R> {
    fn default() -> Self {
        Self { x: R::Packed::default(), y: R::Packed::default() }
    }
}

impl<R: Ring> Affine<R> {
    /// Points at rest, by lane; coordinates come out below `3p`.
    pub(super) fn unpack<'a>(mut lane: impl FnMut(usize) -> &'a Stored<R>) -> Self {
        Self { x: R::unpack(|i| &lane(i).x), y: R::unpack(|i| &lane(i).y) }
    }

    /// Points at rest, the first in every lane that is left over. Takes 1 to [`Ring::LANES`] points.
    pub(super) fn unpack_some(points: &[Stored<R>]) -> Self {
        Self::unpack(|lane| points.get(lane).unwrap_or(&points[0]))
    }

    /// The points at rest, into the first [`Ring::LANES`] places. Takes coordinates below `128p`.
    pub(super) fn pack(&self, lanes: &mut [Stored<R>]) {
        let mut parts = [R::Packed::default(); 8];
        self.x.pack(&mut parts);
        for (lane, part) in lanes.iter_mut().zip(&parts[..R::LANES]) {
            lane.x = *part;
        }
        self.y.pack(&mut parts);
        for (lane, part) in lanes.iter_mut().zip(&parts[..R::LANES]) {
            lane.y = *part;
        }
    }

    /// Canonical coordinates in blst's form, into the first [`Ring::LANES`] places. Takes coordinates below `128p`.
    pub(super) fn store(&self, lanes: &mut [(R::Scalar, R::Scalar)]) {
        let (mut x, mut y) = ([R::Scalar::default(); 8], [R::Scalar::default(); 8]);
        self.x.store(&mut x);
        self.y.store(&mut y);
        for (lane, point) in lanes.iter_mut().zip(x.into_iter().zip(y)).take(R::LANES) {
            *lane = point;
        }
    }

    /// Lane by lane: `yes` where the mask is set, else `no`.
    pub(super) fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self { x: R::select(mask, &yes.x, &no.x), y: R::select(mask, &yes.y, &no.y) }
    }

    /// The sum of points below `3p` of any curve `y^2 = x^3 + a x + b`. Equal and opposite points give a zero `z`.
    pub(super) fn add(&self, rhs: &Self) -> Jacobian<R> {
        let h = rhs.x.sub(&self.x);
        finish(&self.x, &self.y, &h, &rhs.y.sub(&self.y), h.tight())
    }
}

/// The last steps of every addition: from the first point's coordinates on the common denominator, below `7p`, and the
/// differences of the coordinates. `z` is the sum's, a multiple of `h`.
fn finish<R: Ring>(u: &R, s: &R, h: &R, r: &R, z: R) -> Jacobian<R> {
    let hh = h.sqr();
    let hhh = h.mul(&hh);
    let v = u.mul(&hh);
    let x = r.sqr().sub(&hhh).sub(&v.double());
    let y = r.mul(&v.sub_wide(&x)).sub(&s.mul(&hhh));
    Jacobian { x, y, z }
}

impl<R: Ring> Jacobian<R> {
    /// Twice the point. Right for infinity too, and for every point of a curve without points of order two, as those of
    /// G1 and G2 are.
    pub(super) fn double(&self) -> Self {
        let a = self.x.sqr();
        let b = self.y.sqr().double();
        let d = self.x.mul(&b.double());
        let e = a.double().add(&a);
        let f = e.sqr();
        let x = f.sub(&d.double());
        let y = e.mul(&d.sub_wide(&x)).sub(&b.sqr().double());
        Self { x, y, z: self.y.double().mul(&self.z) }
    }

    /// The sum; `z` is zero if a point is infinite or they are equal or opposite.
    pub(super) fn add(&self, rhs: &Self) -> Self {
        let (zz, rhs_zz) = (self.z.sqr(), rhs.z.sqr());
        let u = self.x.mul(&rhs_zz);
        let s = self.y.mul(&rhs.z.mul(&rhs_zz));
        let h = rhs.x.mul(&zz).sub(&u);
        let r = rhs.y.mul(&self.z.mul(&zz)).sub(&s);
        let z = self.z.mul(&rhs.z).mul(&h);
        finish(&u, &s, &h, &r, z)
    }

    /// The sum; `z` is zero if the point is infinite or they are equal or opposite.
    pub(super) fn add_affine(&self, rhs: &Affine<R>) -> Self {
        let zz = self.z.sqr();
        // The roles of the points are exchanged: the affine one's coordinates are raised to the other's denominator.
        let h = rhs.x.mul(&zz).sub_wide(&self.x);
        let r = rhs.y.mul(&self.z.mul(&zz)).sub_wide(&self.y);
        let (h, r) = (h.tight(), r.tight());
        let z = self.z.mul(&h);
        finish(&self.x, &self.y, &h, &r, z)
    }

    /// The opposite point.
    pub(super) fn negate(&self) -> Self {
        Self { y: self.y.tight().neg(), ..*self }
    }

    /// Lane by lane: `yes` where the mask is set, else `no`.
    pub(super) fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self { x: R::select(mask, &yes.x, &no.x), y: R::select(mask, &yes.y, &no.y), z: R::select(mask, &yes.z, &no.z) }
    }

    /// `X` times the point, for [`X`]; `add` adds the point itself.
    pub(super) fn multiply_by_x(&self, add: impl Fn(&Self) -> Self) -> Self {
        let mut product = *self;
        for bit in (0..X.ilog2()).rev() {
            product = product.double();
            if X >> bit & 1 == 1 {
                product = add(&product);
            }
        }
        product
    }

    /// All points affine, with one inversion, and which are infinite: those come out as anything.
    pub(super) fn normalize(points: &[Self]) -> (Vec<Affine<R>>, Vec<Mask>) {
        let mut inverses: Vec<R> = points.iter().map(|point| point.z).collect();
        let infinite = invert_or(&mut inverses, &R::one());
        let affine = |(point, inverse): (&Self, &R)| {
            let square = inverse.sqr();
            Affine { x: point.x.mul(&square), y: point.y.mul(&square.mul(inverse)) }
        };
        (points.iter().zip(&inverses).map(affine).collect(), infinite)
    }
}

impl<R: Ring> From<&Affine<R>> for Jacobian<R> {
    fn from(point: &Affine<R>) -> Self {
        Self { x: point.x, y: point.y, z: R::one() }
    }
}

impl<F: Field> Affine<Fp2<F>> {
    /// Untwist, Frobenius, twist. On G2 it multiplies by `-X`, for [`X`].
    pub(super) fn psi(&self) -> Self {
        let (x, y) = (&self.x, &self.y);
        // (a - b i) i = b + a i, and (a - b i)(1 - i) = (a - b) - (a + b) i.
        let x = Fp2 { c0: x.c1, c1: x.c0 }.scale(&F::splat(&PSI_X));
        let turned = Fp2 { c0: y.c0.sub(&y.c1), c1: y.c0.add(&y.c1).neg() };
        Self { x, y: turned.scale(&F::splat(&PSI_Y)) }
    }
}

impl<F: Field> Jacobian<Fp2<F>> {
    /// [`Affine::psi`] twice: `x` times a cube root of unity, and `-y`.
    pub(super) fn psi_squared(&self) -> Self {
        Self { x: self.x.scale(&F::splat(&PSI_X).sqr()), y: self.y.tight().neg(), z: self.z }
    }
}

/// Inverts every lane of every value, with `instead` in place of those that are zero: says which. Takes values below `32p`.
pub(super) fn invert_or<R: Ring>(values: &mut [R], instead: &R) -> Vec<Mask> {
    if invert_all(values) {
        return vec![0; values.len()];
    }
    let zero: Vec<Mask> = values.iter().map(R::is_zero).collect();
    for (value, zero) in values.iter_mut().zip(&zero) {
        *value = R::select(*zero, instead, value);
    }
    let inverted = invert_all(values);
    debug_assert!(inverted);
    zero
}

#[cfg(test)]
mod tests {
    use super::super::convert::{affine_g2, stored_g2};
    use super::super::field::Fp49;
    use super::super::field::constants::small;
    use super::super::samples::{Numbers, first, points_of_small_order};
    use super::*;
    use crate::bls::points::{self, G2};

    type Lanes = Affine<Fp2<Fp49>>;

    fn lanes(points: &[G2]) -> Lanes {
        Affine::unpack_some(&stored_g2(points))
    }

    /// The points back, infinity as blst has it.
    fn affine(point: &Jacobian<Fp2<Fp49>>) -> Vec<G2> {
        let (affine, infinite) = Jacobian::normalize(&[*point, *point]);
        let mut stored = vec![Stored::default(); 4];
        affine[1].pack(&mut stored);
        let finite = |lane: usize| infinite[1] >> lane & 1 == 0;
        let points = affine_g2(&stored).into_iter().enumerate();
        points.map(|(lane, point)| if finite(lane) { point } else { G2::default() }).collect()
    }

    fn sum(a: &G2, b: &G2) -> G2 {
        points::affine_g2(&[points::add_g2(&points::jacobian_g2(a), &points::jacobian_g2(b))])[0]
    }

    fn opposite(point: &G2) -> G2 {
        affine(&Jacobian::from(&lanes(&[*point])).negate())[0]
    }

    fn eight() -> (Vec<G2>, Vec<G2>) {
        let mut numbers = Numbers(3);
        let mut four = || (0..4).map(|_| numbers.point_of_twist()).collect();
        (four(), four())
    }

    fn pairwise(a: &[G2], b: &[G2], f: impl Fn(&G2, &G2) -> G2) -> Vec<G2> {
        a.iter().zip(b).map(|(a, b)| f(a, b)).collect()
    }

    #[test]
    fn the_constants_are_what_they_are_said_to_be() {
        let load = |value: &blst_fp| Fp49::splat(value);
        let zero = |value: &Fp49| assert_eq!(value.is_zero(), Fp49::ALL);
        let (psi_x, psi_y) = (load(&PSI_X), load(&PSI_Y));
        zero(&psi_x.sqr().sub(&psi_x).add(&Fp49::one()));
        zero(&psi_y.sqr().double().add(&Fp49::one()));
        assert_eq!(first(&load(&small(-3)).add(&load(&small(3)))), blst_fp::default());
    }

    #[test]
    fn sums_and_doubles_are_blsts() {
        let (a, b) = eight();
        let (p, q) = (lanes(&a), lanes(&b));
        let expected = pairwise(&a, &b, sum);
        assert_eq!(affine(&p.add(&q)), expected);
        assert_eq!(affine(&Jacobian::from(&p).add_affine(&q)), expected);
        let (double_p, double_q) = (Jacobian::from(&p).double(), Jacobian::from(&q).double());
        assert_eq!(affine(&double_p), pairwise(&a, &a, sum));
        let doubles = pairwise(&expected, &expected, sum);
        assert_eq!(affine(&double_p.add(&double_q)), doubles);
        // Results serve as operands: the bounds close.
        let twice = double_p.add(&double_q).double().add(&p.add(&q)).add_affine(&p).negate().double();
        let third = double_p.negate().add(&double_q.negate()).add(&twice.negate()).negate().add_affine(&p);
        let triples = pairwise(&doubles, &expected, |double, once| sum(double, &sum(double, once)));
        let quadruples = pairwise(&triples, &a, |triple, a| sum(&sum(triple, a), &sum(triple, a)));
        assert_eq!(affine(&twice), quadruples.iter().map(opposite).collect::<Vec<_>>());
        // third = -(-2p - 2q - twice) + p
        let back = pairwise(&affine(&twice), &pairwise(&doubles, &a, sum), sum);
        assert_eq!(affine(&third), back);
    }

    #[test]
    fn an_exceptional_sum_has_no_z_and_nothing_after_it_does() {
        let (a, mut b) = eight();
        b[1] = a[1];
        b[2] = opposite(&a[2]);
        let (p, q) = (lanes(&a), lanes(&b));
        for sum in [p.add(&q), Jacobian::from(&p).add_affine(&q), Jacobian::from(&p).add(&Jacobian::from(&q))] {
            assert_eq!(sum.z.is_zero(), 0b110);
            let later = sum.double().add_affine(&p).add(&Jacobian::from(&q).double()).negate().psi_squared();
            assert_eq!(later.z.is_zero(), 0b110);
        }
    }

    #[test]
    fn psi_is_the_parameter_on_g2_and_a_homomorphism_everywhere() {
        let mut numbers = Numbers(4);
        let members: Vec<G2> = (0..4).map(|_| numbers.point_of_g2()).collect();
        let p = lanes(&members);
        let multiple = Jacobian::from(&p).multiply_by_x(|multiple| multiple.add_affine(&p));
        assert_eq!(affine(&Jacobian::from(&p.psi())), affine(&multiple.negate()));
        // Everywhere, it is a homomorphism.
        let any = lanes(&eight().0);
        let double = Jacobian::from(&any).double();
        let psi_of_double = Jacobian::normalize(&[double]).0[0].psi();
        assert_eq!(affine(&Jacobian::from(&any.psi()).double()), affine(&Jacobian::from(&psi_of_double)));
        assert_eq!(affine(&Jacobian::from(&psi_of_double.psi())), affine(&double.psi_squared()));
    }

    #[test]
    fn normalizing_marks_infinity() {
        let small: Vec<G2> = points_of_small_order().iter().filter(|(n, _)| *n == 13).map(|(_, p)| *p).collect();
        let p = lanes(&small[..1]);
        // 13 P = 2 (2 (2P + P)) + P: the last addition meets opposite points.
        let triple = Jacobian::from(&p).double().add_affine(&p);
        let end = triple.double().double().add_affine(&p);
        let (_, infinite) = Jacobian::normalize(&[triple, end, triple]);
        assert_eq!(infinite, [0, Fp49::ALL, 0]);
    }
}
