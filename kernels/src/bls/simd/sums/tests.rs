//! Sums against blst's, of points honest and hostile; the samples serve other tests too.

use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::super::convert::stored;
use super::super::field::{Emulated, Fp2, Fp49, Fp52};
use super::*;
use crate::backend::generator;
use crate::bls::points::{
    affine_g1, affine_g2, decode_g1, decode_g2, hash_to_g2, in_g1, in_g2, jacobian_g1, jacobian_g2, negated_generator,
};

/// The order of the subgroup, big-endian.
const ORDER: &str = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

/// What tests need of a curve's points outside lanes.
pub(in crate::bls::simd) trait Curve: Coordinate<Point: PartialEq + std::fmt::Debug> {
    /// The number of the curve's points without a small prime factor, big-endian: leads to points of that order.
    const PART: &str;
    fn affine(points: &[Self::Point]) -> Vec<(Self, Self)>;
    fn in_subgroup(point: &Self::Point) -> bool;
    /// Any point of the curve.
    fn stray(rng: &mut ChaCha20Rng) -> Self::Point;
    /// Some point of the subgroup.
    fn generator() -> Self::Point;
    /// The same point with the last coordinate turned.
    fn negate(point: &Self::Point) -> Self::Point;
}

impl Curve for blst_fp {
    /// Without a factor of 3.
    const PART: &str =
        "08ab05f8bdd54cde190937e76bc3e447cc27c3d6fbd7063fcd104635a790520c0a395554e5c6aaaad955555555558e39";
    fn affine(points: &[blst_p1]) -> Vec<(Self, Self)> {
        points.iter().map(|point| affine_g1(&[*point])[0]).map(|point| (point.x, point.y)).collect()
    }
    fn in_subgroup(point: &blst_p1) -> bool {
        in_g1(&affine_g1(&[*point])[0])
    }
    fn stray(rng: &mut ChaCha20Rng) -> blst_p1 {
        loop {
            let mut bytes = [0; 48];
            rng.fill_bytes(&mut bytes);
            bytes[0] = 0x80 | bytes[0] & 0x2f;
            if let Ok(point) = decode_g1(&bytes) {
                return jacobian_g1(&point);
            }
        }
    }
    fn generator() -> blst_p1 {
        jacobian_g1(&negated_generator())
    }
    fn negate(point: &blst_p1) -> blst_p1 {
        crate::bls::points::negate_g1(*point)
    }
}

impl Curve for blst_fp2 {
    /// Without both factors of 13: no point has the order 169.
    const PART: &str = "04005449cda731a7136c440a0c65b728ba1c1fa6b6708356f3b9bdc84396cab33907d71557a7d33677f5d45f7cedb8cf\
                        dac10ff1fc5b48d6461e907737d78e96568f2d18c750b4b3ca5c33c3fd8ff8a70629888281914529f4e3380941cfdd";
    fn affine(points: &[blst_p2]) -> Vec<(Self, Self)> {
        points.iter().map(|point| affine_g2(&[*point])[0]).map(|point| (point.x, point.y)).collect()
    }
    fn in_subgroup(point: &blst_p2) -> bool {
        in_g2(&affine_g2(&[*point])[0])
    }
    fn stray(rng: &mut ChaCha20Rng) -> blst_p2 {
        loop {
            let mut bytes = [0; 96];
            rng.fill_bytes(&mut bytes);
            (bytes[0], bytes[48]) = (0x80 | bytes[0] & 0x2f, bytes[48] & 0x0f);
            if let Ok(point) = decode_g2(&bytes) {
                return jacobian_g2(&point);
            }
        }
    }
    fn generator() -> blst_p2 {
        hash_to_g2(b"a point of the subgroup")
    }
    fn negate(point: &blst_p2) -> blst_p2 {
        let mut y = [Self::default(); 4];
        Fp2::<Fp49>::splat(&point.y).neg().store(&mut y);
        blst_p2 { y: y[0], ..*point }
    }
}

/// `scalar * point`, for a big-endian scalar.
pub(in crate::bls::simd) fn multiply<S: Curve>(point: &S::Point, scalar: &[u8]) -> S::Point {
    let mut product = S::Point::default();
    for bit in scalar.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)) {
        product = S::add(&product, &product);
        if bit == 1 {
            product = S::add(&product, point);
        }
    }
    product
}

pub(in crate::bls::simd) fn random(seed: u64) -> ChaCha20Rng {
    generator("sums", seed, 0)
}

/// Random points of the subgroup.
pub(in crate::bls::simd) fn honest<S: Curve>(rng: &mut ChaCha20Rng, n: usize) -> Vec<S::Point> {
    let (mut scalar, mut point) = ([0; 16], S::generator());
    let mut next = || {
        rng.fill_bytes(&mut scalar);
        point = multiply::<S>(&point, &scalar);
        point
    };
    let steps: Vec<S::Point> = (0..n.min(8)).map(|_| next()).collect();
    // Sums of a few random points are as good and cheaper.
    let mut out = steps.clone();
    while out.len() < n {
        let i = out.len();
        out.push(S::add(&out[i - 1], &steps[i % steps.len()]));
    }
    out
}

/// Points that sums may stumble over: outside the subgroup, of small order, with their negatives and multiples, and twice.
pub(in crate::bls::simd) fn hostile<S: Curve>(rng: &mut ChaCha20Rng) -> Vec<S::Point> {
    let decode = |hex: &str| hex::decode(hex).unwrap();
    let stray = S::stray(rng);
    assert!(!S::in_subgroup(&stray));
    let torsion = multiply::<S>(&stray, &decode(ORDER));
    let small = loop {
        let point = multiply::<S>(&S::stray(rng), &decode(S::PART));
        if point != S::Point::default() {
            break point;
        }
    };
    assert_eq!(multiply::<S>(&small, &[3 * 13]), S::Point::default());
    let good = honest::<S>(rng, 2);
    let mut points = vec![stray, torsion, small, good[0], good[1], S::add(&good[0], &small), S::add(&small, &torsion)];
    points.push(S::add(&good[0], &good[1]));
    points.extend(points.clone().iter().map(|point| S::add(point, point)));
    points.extend(points.clone().iter().map(S::negate));
    points.retain(|point| *point != S::Point::default());
    points
}

pub(in crate::bls::simd) fn at_rest<R: Ring<Scalar: Curve>>(points: &[Point<R>]) -> Vec<Stored<R>> {
    let affine = R::Scalar::affine(points);
    stored(affine.len(), |i| affine[i])
}

pub(in crate::bls::simd) fn plain_sum<S: Curve>(points: &[S::Point]) -> S::Point {
    points.iter().fold(S::Point::default(), |sum, point| S::add(&sum, point))
}

fn sums_are_blsts<R: Ring<Scalar: Curve>>(lengths: impl Iterator<Item = usize>) {
    let mut rng = random(1);
    let points = honest::<R::Scalar>(&mut rng, 300);
    let rest = at_rest::<R>(&points);
    for n in lengths {
        assert_eq!(sum(&rest[..n]), plain_sum::<R::Scalar>(&points[..n]), "{n} points");
    }
}

#[test]
fn a_sum_of_keys_of_any_length_is_blsts() {
    sums_are_blsts::<Fp49>((0..70).chain([95, 96, 97, 127, 128, 129, 250, 300]));
    sums_are_blsts::<Fp52<Emulated>>((0..20).chain([191, 192, 193, 300]));
}

#[test]
fn a_sum_of_signatures_of_any_length_is_blsts() {
    sums_are_blsts::<Fp2<Fp49>>((0..20).chain([31, 32, 33, 96, 129, 250]));
    sums_are_blsts::<Fp2<Fp52<Emulated>>>([1, 7, 8, 9, 17, 193, 250].into_iter());
}

fn hostile_sums_are_blsts<R: Ring<Scalar: Curve>>(rounds: u64) {
    for seed in 0..rounds {
        let mut rng = random(seed);
        let pool = hostile::<R::Scalar>(&mut rng);
        for n in [1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 100, 250] {
            // From few distinct points, so that partial sums meet, too.
            let few = 1 + rng.next_u32() as usize % pool.len();
            let points: Vec<_> = (0..n).map(|_| pool[rng.next_u32() as usize % few]).collect();
            assert_eq!(
                sum(&at_rest::<R>(&points)),
                plain_sum::<R::Scalar>(&points),
                "{n} of {few} points, seed {seed}"
            );
        }
    }
}

#[test]
fn a_sum_of_hostile_points_of_the_curve_is_blsts() {
    hostile_sums_are_blsts::<Fp49>(3);
    hostile_sums_are_blsts::<Fp52<Emulated>>(2);
}

#[test]
fn a_sum_of_hostile_points_of_the_twist_is_blsts() {
    hostile_sums_are_blsts::<Fp2<Fp49>>(2);
    hostile_sums_are_blsts::<Fp2<Fp52<Emulated>>>(1);
}

/// All the same point, and all pairs opposite at every height of the tree.
fn regular_patterns_are_blsts<R: Ring<Scalar: Curve>>() {
    let mut rng = random(7);
    for point in hostile::<R::Scalar>(&mut rng).into_iter().take(6) {
        let negative = R::Scalar::negate(&point);
        for n in [2, 8, 64, 200] {
            for period in [1, 2, 4, 8, 16, 64, 128, 1000] {
                let points: Vec<_> = (0..n).map(|i| if i / period % 2 == 0 { point } else { negative }).collect();
                let count = (0..n).map(|i| if i / period % 2 == 0 { 1 } else { -1 }).sum::<i32>();
                let multiple = multiply::<R::Scalar>(&point, &count.unsigned_abs().to_be_bytes());
                let want = if count < 0 { R::Scalar::negate(&multiple) } else { multiple };
                assert_eq!(sum(&at_rest::<R>(&points)), want, "{n} points, period {period}");
            }
        }
    }
}

#[test]
fn sums_that_vanish_or_double_at_any_height_are_right() {
    regular_patterns_are_blsts::<Fp49>();
    regular_patterns_are_blsts::<Fp2<Fp49>>();
}

fn lists_are_blsts<R: Ring<Scalar: Curve>>(seed: u64) {
    let mut rng = random(seed);
    let mut points = honest::<R::Scalar>(&mut rng, 40);
    points.extend(hostile::<R::Scalar>(&mut rng));
    let rest = at_rest::<R>(&points);
    for count in [0, 1, 2, 3, 4, 5, 8, 9, 30] {
        let mut any = |bound: usize| rng.next_u32() as usize % bound;
        let lists: Vec<Vec<Term>> = (0..count)
            .map(|i| {
                let (length, range) = (any([1, 2, 5, 40][i % 4]), if i % 3 == 0 { points.len() } else { 40 });
                (0..length)
                    .map(|_| (any(2), any(range)))
                    .map(|(s, i)| if s == 0 { Term::plus(i) } else { Term::minus(i) })
                    .collect()
            })
            .collect();
        let signed = |term: &Term| {
            let point = points[term.index()];
            if term.is_minus() { R::Scalar::negate(&point) } else { point }
        };
        let want: Vec<_> =
            lists.iter().map(|list| plain_sum::<R::Scalar>(&list.iter().map(signed).collect::<Vec<_>>())).collect();
        let lists: Vec<&[Term]> = lists.iter().map(|list| &list[..]).collect();
        assert_eq!(sums(&rest, &lists), want);
        let affine: Vec<_> = affine_sums(&rest, &lists).iter().map(point_of::<R>).collect();
        assert_eq!(affine, want);
    }
}

/// Back from rest.
pub(in crate::bls::simd) fn point_of<R: Ring<Scalar: Curve>>(point: &Option<Stored<R>>) -> Point<R> {
    let Some(point) = point else { return Point::<R>::default() };
    let affine = Affine::<R>::unpack(|_| point);
    store(&affine.x, &affine.y, &R::one(), R::ALL)[0]
}

#[test]
fn sums_of_many_lists_are_blsts() {
    lists_are_blsts::<Fp49>(2);
    lists_are_blsts::<Fp2<Fp49>>(3);
    lists_are_blsts::<Fp52<Emulated>>(4);
    lists_are_blsts::<Fp2<Fp52<Emulated>>>(5);
}
