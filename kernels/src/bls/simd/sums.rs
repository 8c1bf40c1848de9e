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
pub(super) mod tests;
