//! Weighted sums with small random weights, and the row sums that prove a batch of points to be in the subgroup.
//!
//! Each item `i` draws 18 digits `d[i][k]`, independent and uniform in `-6..=6`. Its weight is
//!
//! ```text
//! r[i]  =  sum over k < 9 of d[i][k] 13^k  +  lambda * (sum over k < 9 of d[i][9 + k] 13^k)    mod r
//! ```
//!
//! with `lambda = z^2 - 1`, `z` the curve's parameter, the eigenvalue of the endomorphism `phi(x, y) = (beta x, y)` on both
//! groups. Pippenger's method in base 13 computes the *row sums* `S[k] = sum over i of d[i][k] P[i]` on its way: 6 buckets
//! a row, by the digit's size, and a sign. So the same additions serve twice:
//!
//! - *Membership.* The row sums are 18 independent random combinations of the points. If any point is outside the
//!   subgroup, all 18 row sums are inside with a chance of at most `13^-18 < 2^-66`: the curve is the direct sum of the
//!   subgroup and a group of the cofactor's order, which the stray point reaches with a component of some order `q^e`.
//!   Fix the digits of all other points. If two different digits of the stray point both led into the subgroup, their
//!   difference times that component would vanish; but the difference is at most 12, so no multiple of `q`, for the least
//!   prime factor of the cofactor of G2 is 13. So at most one digit in 13 does, row by row. (One combination with weights of any
//!   size would not do: the component of order 13 vanishes from it with a chance of 1/13.) This holds for G2 only. The
//!   cofactor of G1 has the factor 3: its points must be known to be in the subgroup.
//! - *Weights.* Where the row sums are in the subgroup, `sum r[i] P[i]` is Horner's rule in 13 over `S[k] + phi(S[9 + k])`.
//!   Different digits are different weights modulo `r`: both halves are below `13^9 / 2 < 2^33` in size and `lambda > 2^127`,
//!   so two weights agree as integers only digit by digit, and their difference is below `2^162 < r`. So each of `13^18`
//!   weights is equally likely, and a product of powers `d[i]^r[i]` with some `d[i] != 1`, in a group of order `r`, is one
//!   with a chance of at most `13^-18 < 2^-66`.
//!
//! Sources: N. Pippenger 1976 (buckets); R. Gallant, R. Lambert, S. Vanstone, Crypto 2001 (`phi`); M. Bellare, J. Garay,
//! T. Rabin, Eurocrypt 1998 (small exponents).

use blst::{blst_fp, blst_fp2};
use rand::TryRng;

use super::curve::{Affine, Stored};
use super::field::{Mask, Ring};
use super::sums::{Coordinate, Point, Term, add_pairs, affine_sums};
use crate::backend::Error;

/// Row sums of one weighted sum.
pub(super) const ROWS: usize = 18;
/// The number of a digit's values.
const BASE: u8 = 13;
/// The largest digit, and the buckets of a row.
const MOST: usize = 6;

/// The digits of one weight, in `-6..=6`, in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits(pub(super) [i8; ROWS]);

impl Digits {
    /// Whether the weight is zero: digits and weights are one to one.
    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; ROWS]
    }
}

/// A row sum; none if it is infinite.
pub(super) type Row<R> = Option<Stored<R>>;

/// Digits for `n` items, from the operating system's generator.
///
/// # Errors
///
/// [`Error::Device`] if that fails.
pub(super) fn draw(n: usize) -> Result<Vec<Digits>, Error> {
    let mut digits = Vec::with_capacity(n * ROWS);
    let mut bytes = [0; 1024];
    while digits.len() < n * ROWS {
        rand::rngs::SysRng
            .try_fill_bytes(&mut bytes)
            .map_err(|e| Error::Device(format!("the operating system's random generator failed: {e}")))?;
        // Two digits a byte; a byte from 169 on would favour some.
        let pairs = bytes.iter().filter(|byte| **byte < BASE * BASE);
        digits.extend(pairs.flat_map(|byte| [byte / BASE, byte % BASE]).map(|digit| digit as i8 - MOST as i8));
    }
    Ok(digits.as_chunks().0.iter().take(n).map(|digits| Digits(*digits)).collect())
}

/// The row sums of any points of the curve, in the subgroup or not. `points` and `digits` are of one length.
pub(super) fn row_sums<R: Ring>(points: &[Stored<R>], digits: &[Digits]) -> [Row<R>; ROWS] {
    debug_assert_eq!(points.len(), digits.len());
    let mut buckets = vec![Vec::new(); ROWS * MOST];
    for (i, digits) in digits.iter().enumerate() {
        for (buckets, digit) in buckets.chunks_mut(MOST).zip(digits.0) {
            match digit {
                0 => {}
                1.. => buckets[digit as usize - 1].push(Term::plus(i)),
                _ => buckets[digit.unsigned_abs() as usize - 1].push(Term::minus(i)),
            }
        }
    }
    let lists: Vec<&[Term]> = buckets.iter().map(|bucket| &bucket[..]).collect();
    weigh_buckets(&affine_sums(points, &lists))
}

/// `sum over j of j * bucket[j]` of each row: `running[j] = bucket[j] + running[j + 1]`, and the sum of these. One row a
/// lane; in each round the next `running` and the sum with the last one.
fn weigh_buckets<R: Ring>(buckets: &[Option<Stored<R>>]) -> [Row<R>; ROWS] {
    let vectors = ROWS.div_ceil(R::LANES);
    let nowhere = Stored::default();
    let bucket = |row: usize, j: usize| (row < ROWS).then(|| buckets[row * MOST + j].as_ref()).flatten();
    // Vector `j * vectors + v`: bucket `j` of the rows in `v`; behind the buckets the sums, which begin as the last bucket.
    let (mut points, mut finite) = (Vec::new(), Vec::new());
    for j in (0..MOST).chain([MOST - 1]) {
        for v in 0..vectors {
            let at = |lane: usize| bucket(v * R::LANES + lane, j);
            points.push(Affine::unpack(|lane| at(lane).unwrap_or(&nowhere)));
            finite.push((0..R::LANES).fold(0, |mask, lane| mask | Mask::from(at(lane).is_some()) << lane));
        }
    }
    for j in (0..MOST).rev() {
        let running = (1..=j).rev().take(1).flat_map(|j| (0..vectors).map(move |v| (j - 1, j, v)));
        let totals = (0..vectors).filter(|_| j < MOST - 1).map(|v| (MOST, j, v));
        let pairs: Vec<_> = running.chain(totals).map(|(a, b, v)| (a * vectors + v, b * vectors + v)).collect();
        add_pairs(&mut points, &mut finite, &pairs);
    }
    let mut rows = [None; ROWS];
    let mut lanes = vec![nowhere; R::LANES];
    for (v, rows) in rows.chunks_mut(R::LANES).enumerate() {
        points[MOST * vectors + v].pack(&mut lanes);
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = (finite[MOST * vectors + v] >> lane & 1 == 1).then_some(lanes[lane]);
        }
    }
    rows
}

/// A coordinate field with a primitive third root of unity.
pub(super) trait Endomorphism: Coordinate {
    /// `beta` in `phi(x, y) = (beta x, y)`, the root that makes the eigenvalue on the subgroup `z^2 - 1`.
    const BETA: Self;
}

impl Endomorphism for blst_fp {
    const BETA: Self = blst_fp {
        l: [
            0xcd03_c9e4_8671_f071,
            0x5dab_2246_1fcd_a5d2,
            0x5870_42af_d385_1b95,
            0x8eb6_0ebe_01ba_cb9e,
            0x03f9_7d6e_83d0_50d2,
            0x18f0_2065_5463_8741,
        ],
    };
}

impl Endomorphism for blst_fp2 {
    const BETA: Self = blst_fp2 {
        fp: [
            blst_fp {
                l: [
                    0x30f1_361b_798a_64e8,
                    0xf3b8_ddab_7ece_5a2a,
                    0x16a8_ca3a_c615_77f7,
                    0xc26a_2ff8_74fd_029b,
                    0x3636_b766_6070_1c6e,
                    0x051b_a4ab_241b_6160,
                ],
            },
            blst_fp { l: [0; 6] },
        ],
    };
}

/// `sum over i of r[i] P[i]` from the row sums, which must be in the subgroup.
pub(super) fn combine<R: Ring<Scalar: Endomorphism>>(rows: &[Row<R>; ROWS]) -> Point<R> {
    let nowhere = Stored::default();
    let beta = R::splat(&R::Scalar::BETA);
    let mut affine = Vec::with_capacity(ROWS + R::LANES);
    for (v, rows) in rows.chunks(R::LANES).enumerate() {
        let row = |lane: usize| rows.get(lane).and_then(Option::as_ref);
        let mut points = Affine::<R>::unpack(|lane| row(lane).unwrap_or(&nowhere));
        let upper = (0..R::LANES).fold(0, |mask, lane| mask | Mask::from(v * R::LANES + lane >= ROWS / 2) << lane);
        points.x = R::select(upper, &points.x.mul(&beta), &points.x);
        let mut lanes = vec![(R::Scalar::default(), R::Scalar::default()); R::LANES];
        points.store(&mut lanes);
        affine.extend((0..R::LANES).map(|lane| row(lane).map(|_| lanes[lane])));
    }
    let mut sum = Point::<R>::default();
    for k in (0..ROWS / 2).rev() {
        let double = R::Scalar::double(&sum);
        let four = R::Scalar::double(&double);
        let twelve = R::Scalar::add(&R::Scalar::double(&four), &four);
        sum = R::Scalar::add(&twelve, &sum);
        for (x, y) in [affine[k], affine[ROWS / 2 + k]].into_iter().flatten() {
            sum = R::Scalar::add_affine(&sum, x, y);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::super::field::{Emulated, Fp2, Fp49, Fp52};
    use super::super::sums::tests::{Curve, at_rest, honest, hostile, multiply, plain_sum, point_of, random};
    use super::*;

    /// `z^2 - 1`, big-endian.
    const LAMBDA: [u8; 16] = 0xac45_a401_0001_a402_0000_0000_ffff_ffff_u128.to_be_bytes();

    fn times<S: Curve>(point: &S::Point, factor: i64) -> S::Point {
        let multiple = multiply::<S>(point, &factor.unsigned_abs().to_be_bytes());
        if factor < 0 { S::negate(&multiple) } else { multiple }
    }

    #[test]
    fn drawn_digits_take_every_value_about_as_often() {
        let digits = draw(2000).unwrap();
        let mut counts = [0; BASE as usize];
        for digit in digits.iter().flat_map(|digits| digits.0) {
            counts[(digit + 6) as usize] += 1;
        }
        // 2769 expected, with a deviation of 51.
        assert!(counts.iter().all(|count| (2400..3150).contains(count)), "{counts:?}");
        assert!(draw(0).unwrap().is_empty());
        assert_ne!(draw(3).unwrap(), draw(3).unwrap());
    }

    fn digits(rng: &mut impl Rng, n: usize) -> Vec<Digits> {
        (0..n).map(|_| Digits(std::array::from_fn(|_| (rng.next_u32() % 13) as i8 - 6))).collect()
    }

    /// Row by row, by blst's additions.
    fn plain_rows<S: Curve>(points: &[S::Point], digits: &[Digits]) -> Vec<S::Point> {
        let row = |k: usize| {
            let terms = points.iter().zip(digits).map(|(point, digits)| times::<S>(point, digits.0[k].into()));
            plain_sum::<S>(&terms.collect::<Vec<_>>())
        };
        (0..ROWS).map(row).collect()
    }

    fn rows_are_blsts<R: Ring<Scalar: Curve>>(sizes: &[usize]) {
        let mut rng = random(11);
        let honest = honest::<R::Scalar>(&mut rng, 100);
        let hostile = hostile::<R::Scalar>(&mut rng);
        for (round, &n) in sizes.iter().enumerate() {
            for pool in [&honest[..], &hostile, &hostile[..1], &hostile[2..3]] {
                let points: Vec<_> = (0..n).map(|i| pool[(i + round) % pool.len()]).collect();
                let digits = digits(&mut rng, n);
                let rows = row_sums(&at_rest::<R>(&points), &digits);
                let want = plain_rows::<R::Scalar>(&points, &digits);
                assert_eq!(rows.iter().map(point_of::<R>).collect::<Vec<_>>(), want, "{n} points");
            }
        }
    }

    #[test]
    fn row_sums_of_keys_are_blsts() {
        rows_are_blsts::<Fp49>(&[0, 1, 3, 5, 40]);
        rows_are_blsts::<Fp52<Emulated>>(&[0, 1, 9, 40]);
    }

    #[test]
    fn row_sums_of_signatures_are_blsts() {
        rows_are_blsts::<Fp2<Fp49>>(&[0, 1, 2, 9, 25]);
        rows_are_blsts::<Fp2<Fp52<Emulated>>>(&[1, 9]);
    }

    #[test]
    fn row_sums_of_equal_digits_are_right() {
        let mut rng = random(12);
        let points = hostile::<blst_fp2>(&mut rng);
        for digit in -6..=6 {
            let digits = vec![Digits([digit; ROWS]); points.len()];
            let rows = row_sums(&at_rest::<Fp2<Fp49>>(&points), &digits);
            let want = times::<blst_fp2>(&plain_sum::<blst_fp2>(&points), digit.into());
            assert!(rows.iter().all(|row| point_of(row) == want), "digit {digit}");
        }
    }

    fn weighted_sums_are_blsts<R: Ring<Scalar: Curve + Endomorphism>>(sizes: &[usize]) {
        let mut rng = random(13);
        for &n in sizes {
            let points = honest::<R::Scalar>(&mut rng, n);
            let digits = digits(&mut rng, n);
            let half = |rows: std::ops::Range<usize>| {
                let value =
                    |digits: &Digits| digits.0[rows.clone()].iter().rev().fold(0, |v, d| 13 * v + i64::from(*d));
                let terms = points.iter().zip(&digits).map(|(point, digits)| times::<R::Scalar>(point, value(digits)));
                plain_sum::<R::Scalar>(&terms.collect::<Vec<_>>())
            };
            let want = R::Scalar::add(&half(0..9), &multiply::<R::Scalar>(&half(9..18), &LAMBDA));
            assert_eq!(combine(&row_sums(&at_rest::<R>(&points), &digits)), want, "{n} points");
        }
    }

    #[test]
    fn weighted_sums_are_blsts_with_one_eigenvalue_on_both_groups() {
        weighted_sums_are_blsts::<Fp49>(&[0, 1, 2, 7, 40]);
        weighted_sums_are_blsts::<Fp2<Fp49>>(&[0, 1, 2, 7, 40]);
        weighted_sums_are_blsts::<Fp52<Emulated>>(&[1, 9]);
        weighted_sums_are_blsts::<Fp2<Fp52<Emulated>>>(&[1, 9]);
    }

    #[test]
    fn a_point_outside_the_subgroup_shows_in_the_row_sums() {
        let mut rng = random(14);
        let good = honest::<blst_fp2>(&mut rng, 20);
        for stray in hostile::<blst_fp2>(&mut rng) {
            if <blst_fp2 as Curve>::in_subgroup(&stray) {
                continue;
            }
            let mut points = good.clone();
            points[7] = stray;
            let rows = row_sums(&at_rest::<Fp2<Fp49>>(&points), &draw(points.len()).unwrap());
            let inside = rows.iter().filter(|row| <blst_fp2 as Curve>::in_subgroup(&point_of(row))).count();
            // 18/13 expected for a component of order 13 alone.
            assert!(inside < 12, "{inside} rows of a batch with a stray point are in the subgroup");
        }
    }
}
