//! One weight for each point of G1, in lanes: products with short weights, through the endomorphism.
//!
//! A weight comes as two halves, `a + b lambda`, of up to 33 bits each (see `msm`); the endomorphism `phi(x, y) = (beta x, y)`
//! multiplies by `lambda`, so `a P + b phi(P)` needs 32 doublings (Gallant, Lambert and Vanstone, CRYPTO 2001). Both halves go by signed
//! digits of four bits over one table of `P` to `8P`, affine, whose denominators are inverted together.

use blst::blst_fp;

use super::curve::{Affine, Jacobian, Stored};
use super::field::{Field, Mask, invert_all};
use super::msm::{Digits, Endomorphism, ROWS};

/// Digits of a half, in base 13, least significant first.
const HALF: usize = ROWS / 2;
const BASE: i64 = 13;
/// Multiples in a table: `P` to `8P`.
const TABLE: usize = 8;
/// Signed digits of four bits that hold a half: it is below `13^9 / 2`, and `16^9 / 4` is above.
const WINDOWS: usize = 9;

/// `weights[i] * points[i]`, the weights given by their digits, for points of G1, none of them infinite; none for a weight of zero digits, the only one whose
/// product is infinite.
///
/// No addition here is exceptional: the points' order is a prime above `2^254`, and of all pairs `(a, b)` below `2^36` only
/// `(0, 0)` has `a + b lambda = 0` modulo that order. So multiples of `P` and `phi(P)` are equal or opposite only if their pairs
/// are, and the chain adds a digit of one half to a sum whose own part in that half is zero or at least 16.
pub(super) fn multiply_g1<F: Field>(points: &[Stored<F>], weights: &[Digits]) -> Vec<Option<Stored<F>>> {
    debug_assert_eq!(points.len(), weights.len());
    let tables = tables(points);
    let beta = F::splat(&blst_fp::BETA);
    let mut products = Vec::with_capacity(points.len().div_ceil(F::LANES));
    let mut started = Vec::with_capacity(products.capacity());
    for (weights, table) in weights.chunks(F::LANES).zip(tables.chunks_exact(TABLE * F::LANES)) {
        let halves = |from: usize| -> Vec<[i8; WINDOWS]> {
            (0..F::LANES)
                .map(|lane| weights.get(lane).map_or([0; WINDOWS], |digits| recode(&digits.0[from..from + HALF])))
                .collect()
        };
        let mut chain = Chain::new();
        let (low, high) = (halves(0), halves(HALF));
        for window in (0..WINDOWS).rev() {
            chain.shift();
            let entry = |half: &[[i8; WINDOWS]]| Entry::look_up(table, |lane| half[lane][window]);
            chain.add(&entry(&low));
            let mut entry = entry(&high);
            entry.point.x = entry.point.x.mul(&beta);
            chain.add(&entry);
        }
        started.push(chain.started);
        products.push(chain.sum);
    }
    let (affine, infinite) = Jacobian::normalize(&products);
    let mut stored = vec![Stored::default(); affine.len() * F::LANES];
    for (point, lanes) in affine.iter().zip(stored.chunks_mut(F::LANES)) {
        point.pack(lanes);
    }
    debug_assert!(infinite.iter().zip(&started).all(|(infinite, started)| infinite & started == 0));
    let finite = |i: &usize| started[i / F::LANES] >> (i % F::LANES) & 1 == 1;
    (0..points.len()).map(|i| finite(&i).then_some(stored[i])).collect()
}

/// Signed digits from -8 to 8 in base 16, least significant first, of a half given in base 13.
fn recode(half: &[i8]) -> [i8; WINDOWS] {
    let mut value = half.iter().rev().fold(0, |value, digit| value * BASE + i64::from(*digit));
    let digits = std::array::from_fn(|_| {
        let digit = (value + 8).rem_euclid(16) - 8;
        value = (value - digit) / 16;
        digit as i8
    });
    debug_assert_eq!(value, 0);
    digits
}

/// The sum so far; nothing yet in lanes that have not started.
struct Chain<F> {
    sum: Jacobian<F>,
    started: Mask,
}

impl<F: Field> Chain<F> {
    fn new() -> Self {
        Self { sum: Jacobian { x: F::one(), y: F::one(), z: F::zero() }, started: 0 }
    }

    /// Times 16.
    fn shift(&mut self) {
        if self.started != 0 {
            self.sum = self.sum.double().double().double().double();
        }
    }

    fn add(&mut self, entry: &Entry<F>) {
        let first = entry.present & !self.started;
        let both = entry.present & self.started;
        if both != 0 {
            let sum = self.sum.add_affine(&entry.point);
            self.sum = if both == F::ALL { sum } else { Jacobian::select(both, &sum, &self.sum) };
        }
        if first != 0 {
            self.sum = Jacobian::select(first, &Jacobian::from(&entry.point), &self.sum);
        }
        self.started |= entry.present;
    }
}

/// A digit's multiple; anything in lanes whose digit is zero.
struct Entry<F> {
    point: Affine<F>,
    present: Mask,
}

impl<F: Field> Entry<F> {
    fn look_up(table: &[Stored<F>], digit: impl Fn(usize) -> i8) -> Self {
        let mask = |is: fn(i8) -> bool| (0..F::LANES).fold(0, |mask, lane| mask | Mask::from(is(digit(lane))) << lane);
        let row = |lane: usize| usize::from(digit(lane).unsigned_abs()).saturating_sub(1);
        let point = Affine::unpack(|lane| &table[row(lane) * F::LANES + lane]);
        let y = F::select(mask(|digit| digit < 0), &point.y.neg(), &point.y);
        Self { point: Affine { x: point.x, y }, present: mask(|digit| digit != 0) }
    }
}

/// For every vector of points, [`TABLE`] rows of lanes: row `i` holds the points times `i + 1`.
fn tables<F: Field>(points: &[Stored<F>]) -> Vec<Stored<F>> {
    let mut rows: Vec<[Affine<F>; TABLE]> =
        points.chunks(F::LANES).map(|points| [Affine::unpack_some(points); TABLE]).collect();
    // Each step fills rows from earlier ones, as sums (a row and another) or doubles (a row and itself).
    for step in [&[(0, 0)][..], &[(1, 0), (1, 1)], &[(3, 0), (2, 2), (3, 2), (3, 3)]] {
        let mut denominators = Vec::with_capacity(rows.len() * step.len());
        for row in &rows {
            denominators.extend(step.iter().map(|&(i, j)| match i == j {
                true => row[i].y.double(),
                false => row[i].x.sub(&row[j].x),
            }));
        }
        let inverted = invert_all(&mut denominators);
        debug_assert!(inverted, "small multiples of a point of G1 are equal or opposite");
        for (row, inverses) in rows.iter_mut().zip(denominators.chunks_exact(step.len())) {
            for (&(i, j), inverse) in step.iter().zip(inverses) {
                row[i + j + 1] = combine(&row[i], &row[j], inverse, i == j);
            }
        }
    }
    let mut tables = vec![Stored::default(); rows.len() * TABLE * F::LANES];
    for (point, lanes) in rows.iter().flatten().zip(tables.chunks_exact_mut(F::LANES)) {
        point.pack(lanes);
    }
    tables
}

/// The sum of two points below `3p`, or their double if they are equal, given the inverse of the slope's denominator.
fn combine<F: Field>(a: &Affine<F>, b: &Affine<F>, inverse: &F, equal: bool) -> Affine<F> {
    let rise = if equal {
        let square = a.x.sqr();
        square.double().add(&square)
    } else {
        a.y.sub(&b.y)
    };
    let slope = rise.mul(inverse);
    let x = slope.sqr().sub(&a.x.add(&b.x)).tight();
    let y = slope.mul(&a.x.sub(&x)).sub(&a.y).tight();
    Affine { x, y }
}

#[cfg(test)]
mod tests {
    use ark_bls12_381::{Fr, G1Affine};
    use ark_ec::{AffineRepr, CurveGroup};
    use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};

    use super::super::convert::{affine_g1, stored_g1};
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::super::samples::Numbers;
    use super::*;
    use crate::bls::points::{self, G1};

    /// `a + b lambda` modulo the order, from arkworks.
    fn scalar(digits: &Digits) -> Fr {
        let half = |digits: &[i8]| Fr::from(value(digits));
        let x = Fr::from(super::super::curve::X);
        half(&digits.0[..HALF]) + (x * x - Fr::from(1)) * half(&digits.0[HALF..])
    }

    fn value(half: &[i8]) -> i64 {
        half.iter().rev().fold(0, |value, digit| value * BASE + i64::from(*digit))
    }

    fn expected(point: &G1, digits: &Digits) -> Option<G1> {
        let point = G1Affine::deserialize_compressed(&points::encode_g1(point)[..]).unwrap();
        let product = (point * scalar(digits)).into_affine();
        let mut bytes = Vec::new();
        product.serialize_compressed(&mut bytes).unwrap();
        (!product.is_zero()).then(|| points::decode_g1(&bytes.try_into().unwrap()).unwrap())
    }

    fn agrees_with_arkworks(points: &[G1], weights: &[Digits]) {
        agrees::<Fp49>(points, weights);
        agrees::<Fp52<Emulated>>(points, weights);
    }

    fn agrees<F: Field>(points: &[G1], weights: &[Digits]) {
        let products = multiply_g1(&stored_g1::<F>(points), weights);
        assert_eq!(products.len(), points.len());
        for ((point, weight), product) in points.iter().zip(weights).zip(products) {
            assert_eq!(product.map(|product| affine_g1(&[product])[0]), expected(point, weight), "{weight:?}");
        }
    }

    fn digits(numbers: &mut Numbers) -> Digits {
        Digits(std::array::from_fn(|_| (numbers.next() % 13) as i8 - 6))
    }

    #[test]
    fn random_weights_agree_with_arkworks_at_any_number_of_points() {
        let mut numbers = Numbers(20);
        let points: Vec<G1> = (0..18).map(|_| numbers.point_of_g1()).collect();
        let weights: Vec<Digits> = points.iter().map(|_| digits(&mut numbers)).collect();
        for count in 0..=points.len() {
            agrees_with_arkworks(&points[..count], &weights[..count]);
        }
    }

    #[test]
    fn sparse_extreme_and_empty_weights_agree_with_arkworks() {
        let mut numbers = Numbers(21);
        let mut weights = vec![[0; ROWS], [6; ROWS], [-6; ROWS]];
        for at in 0..ROWS {
            for digit in [-6, -1, 1, 2, 6] {
                let mut one = [0; ROWS];
                one[at] = digit;
                weights.push(one);
            }
            let mut two = [0; ROWS];
            (two[at], two[(at + HALF) % ROWS]) = (1, -1);
            weights.push(two);
        }
        // Halves below 16 in all signs, where sums of digits are smallest.
        for a in -2i8..=2 {
            for b in -2i8..=2 {
                let mut small = [0; ROWS];
                (small[0], small[HALF]) = (3 * a, 3 * b);
                (small[1], small[HALF + 1]) = (a.signum(), -b.signum());
                weights.push(small);
            }
        }
        let weights: Vec<Digits> = weights.into_iter().map(Digits).collect();
        let points: Vec<G1> = weights.iter().map(|_| numbers.point_of_g1()).collect();
        agrees_with_arkworks(&points, &weights);
    }

    #[test]
    fn halves_survive_the_change_of_base() {
        let mut numbers = Numbers(22);
        for round in 0..1000 {
            let digits = match round {
                0 => [6; ROWS],
                1 => [-6; ROWS],
                _ => digits(&mut numbers).0,
            };
            let value = value(&digits[..HALF]);
            let recoded = recode(&digits[..HALF]);
            assert!(recoded.iter().all(|digit| (-8..=8).contains(digit)));
            assert_eq!(recoded.iter().rev().fold(0, |value, digit| value * 16 + i64::from(*digit)), value);
        }
    }
}
