//! Sums of points in lanes, over the base field (G1) or its quadratic extension (G2).
//!
//! Points stay affine: an addition needs the inverse of `x2 - x1`, and all additions of a round share one inversion
//! (Montgomery's trick), which leaves 5 products and a square each. The points of a sum are piled up in vectors, lane over
//! lane; a round adds neighbours in all piles at once and halves their heights. Once a round has too few additions to
//! pay for its inversion, what is left is added in Jacobian coordinates, without one.
//!
//! Anybody may choose the points, so every combination on the curve is right: rounds that meet a zero denominator look for the lanes
//! with equal points (the slope is the tangent's, `3x^2 / 2y`) and opposite ones (the sum is infinite, kept as a mask
//! beside the vector). Both curves have odd order, so no point has `y = 0`. Such a round costs about half as much again.

use blst::{blst_fp, blst_fp2, blst_p1, blst_p2};

use super::curve::{Affine, Jacobian, Stored};
use super::field::{Mask, Ring};
use crate::bls::points::{G1, G2, add_affine_g1, add_affine_g2, add_g1, add_g2, double_g1, double_g2};

/// Fewer additions than this are not worth an inversion: see the module's text.
const LEAST_ROUND: usize = 12;

/// A coordinate in blst's form: leads from lanes to its points.
pub(super) trait Coordinate: Copy + Default {
    /// A point in Jacobian coordinates.
    type Point: Copy + Default + Send + Sync;
    fn point(x: Self, y: Self, z: Self) -> Self::Point;
    /// The sum, equal and opposite points and infinity included.
    fn add(a: &Self::Point, b: &Self::Point) -> Self::Point;
    /// The sum with the affine point `(x, y)`, likewise.
    fn add_affine(a: &Self::Point, x: Self, y: Self) -> Self::Point;
    fn double(a: &Self::Point) -> Self::Point;
}

impl Coordinate for blst_fp {
    type Point = blst_p1;
    fn point(x: Self, y: Self, z: Self) -> blst_p1 {
        blst_p1 { x, y, z }
    }
    fn add(a: &blst_p1, b: &blst_p1) -> blst_p1 {
        add_g1(a, b)
    }
    fn add_affine(a: &blst_p1, x: Self, y: Self) -> blst_p1 {
        add_affine_g1(a, &G1 { x, y })
    }
    fn double(a: &blst_p1) -> blst_p1 {
        double_g1(a)
    }
}

impl Coordinate for blst_fp2 {
    type Point = blst_p2;
    fn point(x: Self, y: Self, z: Self) -> blst_p2 {
        blst_p2 { x, y, z }
    }
    fn add(a: &blst_p2, b: &blst_p2) -> blst_p2 {
        add_g2(a, b)
    }
    fn add_affine(a: &blst_p2, x: Self, y: Self) -> blst_p2 {
        add_affine_g2(a, &G2 { x, y })
    }
    fn double(a: &blst_p2) -> blst_p2 {
        double_g2(a)
    }
}

/// blst's Jacobian point over the coordinates of `R`.
pub(super) type Point<R> = <<R as Ring>::Scalar as Coordinate>::Point;

/// One point of a sum, or its negative, by its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Term(u32);

impl Term {
    pub(super) fn plus(index: usize) -> Self {
        Self((index as u32) << 1)
    }
    pub(super) fn minus(index: usize) -> Self {
        Self((index as u32) << 1 | 1)
    }
    pub(super) fn index(self) -> usize {
        (self.0 >> 1) as usize
    }
    fn is_minus(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The sum of all points.
pub(super) fn sum<R: Ring<Scalar: Coordinate>>(points: &[Stored<R>]) -> Point<R> {
    let terms: Vec<Term> = (0..points.len()).map(Term::plus).collect();
    sums(points, &[&terms])[0]
}

/// The sum of each list. The rounds of all lists share their inversions; lists of similar lengths share vectors.
pub(super) fn sums<R: Ring<Scalar: Coordinate>>(points: &[Stored<R>], lists: &[&[Term]]) -> Vec<Point<R>> {
    let order = by_length(lists);
    // As many lists as there are lanes go side by side; those left over are cut into one part a lane.
    let (whole, cut) = order.split_at(order.len() - order.len() % R::LANES);
    let parts = |list: &usize| {
        let terms = lists[*list];
        (0..R::LANES).map(|i| &terms[terms.len() * i / R::LANES..terms.len() * (i + 1) / R::LANES]).collect::<Vec<_>>()
    };
    let columns: Vec<&[Term]> = whole.iter().map(|list| lists[*list]).chain(cut.iter().flat_map(parts)).collect();

    let mut piles = Piles::gather(points, &columns, LEAST_ROUND);
    while piles.pairs().len() >= LEAST_ROUND {
        piles.halve();
    }
    let sums = piles.finish();
    let mut out = vec![Point::<R>::default(); lists.len()];
    for (list, sum) in whole.iter().zip(&sums) {
        out[*list] = *sum;
    }
    for (list, parts) in cut.iter().zip(sums[whole.len()..].chunks(R::LANES)) {
        out[*list] = parts[1..].iter().fold(parts[0], |sum, part| R::Scalar::add(&sum, part));
    }
    out
}

/// The sum of each list, affine; none where it is infinite. For many lists: all stay affine to the end.
pub(super) fn affine_sums<R: Ring>(points: &[Stored<R>], lists: &[&[Term]]) -> Vec<Option<Stored<R>>> {
    let order = by_length(lists);
    let mut columns: Vec<&[Term]> = order.iter().map(|list| lists[*list]).collect();
    columns.resize(columns.len().next_multiple_of(R::LANES), &[]);
    let mut piles = Piles::gather(points, &columns, 1);
    while !piles.pairs().is_empty() {
        piles.halve();
    }
    let mut out = vec![None; lists.len()];
    let mut lanes = vec![Stored::default(); R::LANES];
    for (pile, lists) in piles.piles.iter().zip(order.chunks(R::LANES)) {
        if pile.height == 0 {
            continue;
        }
        piles.points[pile.start].pack(&mut lanes);
        for (lane, list) in lists.iter().enumerate() {
            out[*list] = (piles.finite[pile.start] >> lane & 1 == 1).then_some(lanes[lane]);
        }
    }
    out
}

/// The lists' indices, longest first: neighbours have similar lengths.
fn by_length(lists: &[&[Term]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|list| std::cmp::Reverse(lists[*list].len()));
    order
}

/// Vectors of points, to be added lane by lane within each pile.
pub(super) struct Piles<R> {
    points: Vec<Affine<R>>,
    /// By vector, the lanes that hold a point; the others are infinite, and their coordinates mean nothing.
    finite: Vec<Mask>,
    piles: Vec<Pile>,
}

/// Vectors `start`, `start + stride`, ..: `height` of them.
#[derive(Clone, Copy)]
struct Pile {
    start: usize,
    height: usize,
    stride: usize,
}

impl Pile {
    fn at(&self, i: usize) -> usize {
        self.start + i * self.stride
    }
}

impl<R: Ring> Piles<R> {
    /// Most pairs in one round: so many stay in a cache of 512 KiB from its first pass to its last.
    const MOST_ROUND: usize = (448 << 10) / (6 * size_of::<R>());

    /// One pile for each [`Ring::LANES`] columns, one column a lane. Neighbours are added at once if there are at least
    /// `least` of them.
    fn gather(points: &[Stored<R>], columns: &[&[Term]], least: usize) -> Self {
        let heights = columns.chunks(R::LANES).map(|columns| columns.iter().map(|c| c.len()).max().unwrap_or(0));
        let heights: Vec<usize> = heights.collect();
        let halved = heights.iter().map(|height| height / 2).sum::<usize>() >= least.max(1);
        let mut this = Self { points: Vec::new(), finite: Vec::new(), piles: Vec::new() };
        // Where the sums of the vectors from `start` on will be, and what must be added first.
        let (mut start, mut sums, mut pairs) = (0, Vec::new(), Vec::new());
        for (columns, height) in columns.chunks(R::LANES).zip(heights) {
            let first = start + sums.len();
            for row in 0..height {
                let slot = this.points.len();
                this.push(points, columns, row);
                if halved && row % 2 == 1 {
                    pairs.push((slot - 1, slot));
                } else {
                    sums.push(slot);
                }
                if pairs.len() >= Self::MOST_ROUND {
                    this.compact(&mut start, &mut sums, &mut pairs);
                }
            }
            let height = if halved { height.div_ceil(2) } else { height };
            this.piles.push(Pile { start: first, height, stride: 1 });
        }
        this.compact(&mut start, &mut sums, &mut pairs);
        this
    }

    /// The vector of a row.
    fn push(&mut self, points: &[Stored<R>], columns: &[&[Term]], row: usize) {
        let term = |lane: usize| columns.get(lane).and_then(|column| column.get(row)).copied();
        let mask = |holds: &dyn Fn(Term) -> bool| {
            (0..R::LANES).fold(0, |mask, lane| mask | Mask::from(term(lane).is_some_and(holds)) << lane)
        };
        let mut point = Affine::unpack(|lane| &points[term(lane).unwrap_or_default().index()]);
        let minus = mask(&Term::is_minus);
        if minus != 0 {
            point.y = R::select(minus, &point.y.neg().tight(), &point.y);
        }
        self.points.push(point);
        self.finite.push(mask(&|_| true));
    }

    /// Adds the pairs, and moves the sums together, from `start` on.
    fn compact(&mut self, start: &mut usize, sums: &mut Vec<usize>, pairs: &mut Vec<(usize, usize)>) {
        add_pairs(&mut self.points, &mut self.finite, pairs);
        for (to, &from) in (*start..).zip(&*sums) {
            self.points[to] = self.points[from];
            self.finite[to] = self.finite[from];
        }
        *start += sums.len();
        self.points.truncate(*start);
        self.finite.truncate(*start);
        sums.clear();
        pairs.clear();
    }

    /// The neighbours in all piles.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let pairs = |pile: &Pile| {
            let pile = *pile;
            (0..pile.height / 2).map(move |i| (pile.at(2 * i), pile.at(2 * i + 1)))
        };
        self.piles.iter().flat_map(pairs).collect()
    }

    /// Adds all neighbours.
    fn halve(&mut self) {
        let pairs = self.pairs();
        let rounds = pairs.len().div_ceil(Self::MOST_ROUND).max(1);
        for pairs in pairs.chunks(pairs.len().div_ceil(rounds).max(1)) {
            add_pairs(&mut self.points, &mut self.finite, pairs);
        }
        for pile in &mut self.piles {
            pile.height = pile.height.div_ceil(2);
            pile.stride *= 2;
        }
    }
}

impl<R: Ring<Scalar: Coordinate>> Piles<R> {
    /// The sum of each column.
    fn finish(mut self) -> Vec<Point<R>> {
        let chains: Vec<Option<Vec<Point<R>>>> = self.piles.iter().map(|pile| self.chain(pile)).collect();
        if chains.iter().any(Option::is_none) {
            while !self.pairs().is_empty() {
                self.halve();
            }
        }
        let columns = |(pile, chain): (&Pile, Option<Vec<_>>)| match chain {
            Some(points) => points,
            None if pile.height == 0 => vec![Point::<R>::default(); R::LANES],
            None => store(&self.points[pile.start].x, &self.points[pile.start].y, &R::one(), self.finite[pile.start]),
        };
        self.piles.iter().zip(chains).flat_map(columns).collect()
    }

    /// The sums of a pile's columns without inversions; none if it meets equal or opposite points, or if a column is
    /// empty.
    fn chain(&self, pile: &Pile) -> Option<Vec<Point<R>>> {
        let vector = |i: usize| (&self.points[pile.at(i)], self.finite[pile.at(i)]);
        if pile.height < 2 || vector(0).1 != R::ALL || vector(1).1 != R::ALL {
            return None;
        }
        let mut sum = vector(0).0.add(vector(1).0);
        for (point, finite) in (2..pile.height).map(vector) {
            let next = sum.add_affine(point);
            sum = if finite == R::ALL { next } else { Jacobian::select(finite, &next, &sum) };
        }
        (sum.z.is_zero() == 0).then(|| store(&sum.x, &sum.y, &sum.z, R::ALL))
    }
}

/// blst's points from Jacobian coordinates, infinity where the mask is clear.
fn store<R: Ring<Scalar: Coordinate>>(x: &R, y: &R, z: &R, finite: Mask) -> Vec<Point<R>> {
    let coordinates = [x, y, z].map(|value| {
        let mut lanes = vec![R::Scalar::default(); R::LANES];
        value.store(&mut lanes);
        lanes
    });
    let [x, y, z] = &coordinates;
    let lane = |i: usize| if finite >> i & 1 == 1 { R::Scalar::point(x[i], y[i], z[i]) } else { Point::<R>::default() };
    (0..R::LANES).map(lane).collect()
}

/// For each pair `(a, b)`: `points[a] += points[b]`, where `finite` holds the lanes that are not infinite. All pairs share
/// one inversion. No `a` may be in another pair. Takes coordinates below `3p`; sums come out below `2p`.
pub(super) fn add_pairs<R: Ring>(points: &mut [Affine<R>], finite: &mut [Mask], pairs: &[(usize, usize)]) {
    let denominator = |&(a, b): &(usize, usize)| {
        let (difference, both) = (points[b].x.sub(&points[a].x), finite[a] & finite[b]);
        if both == R::ALL { difference } else { R::select(both, &difference, &R::one()) }
    };
    let mut denominators: Vec<R> = pairs.iter().map(denominator).collect();
    let mut products = products(&denominators);
    let mut meetings = Vec::new();
    if products.last().is_some_and(|product| product.is_zero() != 0) {
        let meeting = |(&(a, b), denominator)| Meeting::of(&points[a], &points[b], denominator);
        meetings.extend(pairs.iter().zip(&mut denominators).map(meeting));
        products = self::products(&denominators);
    }
    // Points on the curve have left no denominator zero; others give no meaningful sum anyway.
    let Some(mut inverse) = products.last().map(R::invert) else { return };
    for (i, &(a, b)) in pairs.iter().enumerate().rev() {
        let meeting = meetings.get(i).copied().unwrap_or_default();
        let sum = if i == 0 {
            chord(&points[a], &points[b], &inverse, meeting.equal)
        } else {
            let this = inverse.mul(&products[i - 1]);
            inverse = inverse.mul(&denominators[i]);
            chord(&points[a], &points[b], &this, meeting.equal)
        };
        let both = finite[a] & finite[b] & !meeting.opposite;
        if both == R::ALL {
            points[a] = sum;
        } else {
            let one = Affine::select(finite[a], &points[a], &points[b]);
            points[a] = Affine::select(both, &sum, &one);
            finite[a] = (finite[a] | finite[b]) & !meeting.opposite;
        }
    }
}

/// The products of the first value, the first two, and so on.
fn products<R: Ring>(values: &[R]) -> Vec<R> {
    let mut products = Vec::with_capacity(values.len());
    products.extend(values.first());
    for (i, value) in values.iter().enumerate().skip(1) {
        products.push(value.mul(&products[i - 1]));
    }
    products
}

/// The lanes of a pair in which the points have the same `x`.
#[derive(Clone, Copy, Default)]
struct Meeting {
    equal: Mask,
    opposite: Mask,
}

impl Meeting {
    /// Looks at the lanes with the denominator zero, and gives them one that is not.
    fn of<R: Ring>(a: &Affine<R>, b: &Affine<R>, denominator: &mut R) -> Self {
        let zero = denominator.is_zero();
        if zero == 0 {
            return Self::default();
        }
        let opposite = zero & a.y.add(&b.y).is_zero();
        let equal = zero & !opposite;
        *denominator = R::select(equal, &a.y.double(), denominator);
        *denominator = R::select(opposite, &R::one(), denominator);
        Self { equal, opposite }
    }
}

/// `a + b` on the line through both: its slope's denominator is given inverted. In the lanes of `equal`, where `a = b`,
/// it is the tangent.
#[inline(always)]
fn chord<R: Ring>(a: &Affine<R>, b: &Affine<R>, inverse: &R, equal: Mask) -> Affine<R> {
    let mut numerator = b.y.sub_wide(&a.y);
    if equal != 0 {
        let square = a.x.sqr();
        numerator = R::select(equal, &square.double().add(&square), &numerator);
    }
    let slope = numerator.mul(inverse);
    let x = slope.sqr().sub(&a.x.add(&b.x)).tight();
    let y = slope.mul(&a.x.sub(&x)).sub_wide(&a.y).tight();
    Affine { x, y }
}

#[cfg(test)]
pub(super) mod tests {
    use rand::Rng;
    use rand_chacha::ChaCha20Rng;

    use super::super::convert::stored;
    use super::super::field::{Fp2, Fp28};
    use super::*;
    use crate::backend::generator;
    use crate::bls::points::{
        affine_g1, affine_g2, decode_g1, decode_g2, hash_to_g2, in_g1, in_g2, jacobian_g1, jacobian_g2,
        negated_generator,
    };

    /// The order of the subgroup, big-endian.
    const ORDER: &str = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";

    /// What tests need of a curve's points outside lanes.
    pub(in crate::bls::simd) trait Curve: Coordinate<Point: PartialEq + std::fmt::Debug> {
        /// The number of the curve's points without a small prime factor, big-endian: leads to points of that order.
        const PART: &str;
        fn affine(points: &[Self::Point]) -> Vec<(Self, Self)>;
        fn jacobian(x: &Self, y: &Self) -> Self::Point;
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
        fn jacobian(x: &Self, y: &Self) -> blst_p1 {
            jacobian_g1(&G1 { x: *x, y: *y })
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
        fn jacobian(x: &Self, y: &Self) -> blst_p2 {
            jacobian_g2(&G2 { x: *x, y: *y })
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
            Fp2::<Fp28>::splat(&point.y).neg().store(&mut y);
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
        let mut points =
            vec![stray, torsion, small, good[0], good[1], S::add(&good[0], &small), S::add(&small, &torsion)];
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
        sums_are_blsts::<Fp28>((0..70).chain([95, 96, 97, 127, 128, 129, 250, 300]));
    }

    #[test]
    fn a_sum_of_signatures_of_any_length_is_blsts() {
        sums_are_blsts::<Fp2<Fp28>>((0..20).chain([31, 32, 33, 96, 129, 250]));
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
        hostile_sums_are_blsts::<Fp28>(3);
    }

    #[test]
    fn a_sum_of_hostile_points_of_the_twist_is_blsts() {
        hostile_sums_are_blsts::<Fp2<Fp28>>(2);
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
        regular_patterns_are_blsts::<Fp28>();
        regular_patterns_are_blsts::<Fp2<Fp28>>();
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
        lists_are_blsts::<Fp28>(2);
        lists_are_blsts::<Fp2<Fp28>>(3);
    }
}
