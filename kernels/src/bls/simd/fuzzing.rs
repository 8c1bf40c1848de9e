//! What the fuzz targets call (`kernels/fuzz`): one function a kernel over lanes, each of which takes bytes, computes with
//! every field of this processor, compares with blst and panics where they differ.

use std::sync::LazyLock;

use blst::blst_p2;

use super::convert::{affine_g2, stored_g1, stored_g2};
use super::decode::decode_g2;
use super::field::{Emulated, Field, Fp2, Fp49, Fp52};
use super::hash::hash_to_g2;
use super::miller::miller_product;
use super::msm::{Digits, ROWS, row_sums};
use super::subgroup::in_g2;
use super::sums::Term;
use crate::bls::points::{self, G1, G2};

pub use super::field::fuzzing::field;

/// Decodes the bytes as points of the twist, 96 bytes each, and checks them for the subgroup.
///
/// # Panics
///
/// Where the verdicts or the points are not blst's.
pub fn decode(bytes: &[u8]) {
    on_every_field(bytes, decode_on::<Fp49>, decode_on::<Fp52<Emulated>>);
}

/// Hashes the bytes, as messages of up to 61 bytes.
///
/// # Panics
///
/// Where a hash is not blst's.
pub fn hash(bytes: &[u8]) {
    on_every_field(bytes, hash_on::<Fp49>, hash_on::<Fp52<Emulated>>);
}

/// Sums lists of points that are close to one another, opposites among them: a byte a term, and some end a list.
///
/// # Panics
///
/// Where a sum is not blst's.
pub fn sums(bytes: &[u8]) {
    on_every_field(bytes, sums_on::<Fp49>, sums_on::<Fp52<Emulated>>);
}

/// Computes the row sums of such points: a byte for the point and 18 for its digits.
///
/// # Panics
///
/// Where a row's sum is not blst's.
pub fn rows(bytes: &[u8]) {
    on_every_field(bytes, rows_on::<Fp49>, rows_on::<Fp52<Emulated>>);
}

/// Multiplies Miller loops: a byte a pair.
///
/// # Panics
///
/// Where the product of pairings is not blst's.
pub fn miller(bytes: &[u8]) {
    on_every_field(bytes, miller_on::<Fp49>, miller_on::<Fp52<Emulated>>);
}

fn on_every_field(bytes: &[u8], four: fn(&[u8]), eight: fn(&[u8])) {
    if Fp49::available() {
        four(bytes);
    }
    eight(bytes);
}

fn decode_on<F: Field>(bytes: &[u8]) {
    let encoded: Vec<_> = bytes.as_chunks().0.iter().collect();
    let decoded = decode_g2::<F>(&encoded);
    let expected: Vec<_> = encoded.iter().map(|bytes| points::decode_g2(bytes)).collect();
    assert_eq!(decoded.len(), expected.len());
    let finite: Vec<_> = decoded.iter().flatten().flatten().copied().collect();
    let (members, mut affine) = (in_g2(&finite), affine_g2(&finite).into_iter());
    let points = decoded.iter().map(|result| result.map(|point| point.and_then(|_| affine.next()).unwrap_or_default()));
    assert!(points.eq(expected.iter().copied()));
    let expected = expected.iter().flatten().filter(|point| !points::is_infinite_g2(point));
    assert!(expected.map(points::in_g2).eq(members));
}

fn hash_on<F: Field>(bytes: &[u8]) {
    let messages: Vec<&[u8]> = bytes.chunks(61).collect();
    let expected: Vec<_> = messages.iter().map(|message| points::hash_to_g2(message)).collect();
    assert_eq!(affine_g2(&hash_to_g2::<F>(&messages)), points::affine_g2(&expected));
}

/// Points and their opposites in turn: multiples of one of G2, then points of the twist outside.
static POINTS: LazyLock<Vec<G2>> = LazyLock::new(|| {
    let member = points::affine_g2(&[points::hash_to_g2(b"fuzz")])[0];
    let multiple = |n: usize| points::affine_g2(&[points::sum_g2(&vec![member; n])])[0];
    let outside = (0..=u8::MAX).filter_map(|x| {
        let mut bytes = [0; 96];
        (bytes[0], bytes[95]) = (0x80, x);
        points::decode_g2(&bytes).ok().filter(|point| !points::in_g2(point))
    });
    let opposite = |point: &G2| {
        let mut bytes = points::encode_g2(point);
        bytes[0] ^= 0x20;
        points::decode_g2(&bytes).unwrap_or_default()
    };
    (1..=MEMBERS / 2).map(multiple).chain(outside.take(4)).flat_map(|point| [point, opposite(&point)]).collect()
});

/// How many of [`POINTS`] are in G2.
const MEMBERS: usize = 12;

fn expected_sum(terms: impl Iterator<Item = usize>) -> blst_p2 {
    points::sum_g2(&terms.map(|at| POINTS[at]).collect::<Vec<_>>())
}

fn sums_on<F: Field>(bytes: &[u8]) {
    let lists: Vec<&[u8]> = bytes.split(|byte| *byte >= 224).collect();
    let at = |byte: u8| usize::from(byte) % POINTS.len();
    // A minus stands for the opposite, which lies beside the point.
    let term = |byte: &u8| if byte & 128 == 0 { Term::plus(at(*byte)) } else { Term::minus(at(*byte) ^ 1) };
    let terms: Vec<Vec<Term>> = lists.iter().map(|list| list.iter().map(term).collect()).collect();
    let got = super::sums::sums::<Fp2<F>>(&stored_g2(&POINTS), &terms.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let want: Vec<blst_p2> = lists.iter().map(|list| expected_sum(list.iter().map(|byte| at(*byte)))).collect();
    assert_eq!(points::affine_g2(&got), points::affine_g2(&want));
}

fn rows_on<F: Field>(bytes: &[u8]) {
    let (chosen, digits): (Vec<usize>, Vec<Digits>) = bytes
        .as_chunks::<{ ROWS + 1 }>()
        .0
        .iter()
        .map(|item| {
            let digit = |row: usize| (item[row + 1] % 13) as i8 - 6;
            (usize::from(item[0]) % POINTS.len(), Digits(std::array::from_fn(digit)))
        })
        .unzip();
    let points: Vec<G2> = chosen.iter().map(|at| POINTS[*at]).collect();
    let rows = row_sums(&stored_g2::<F>(&points), &digits);
    for (k, row) in rows.iter().enumerate() {
        let multiple = |(at, digits): (&usize, &Digits)| {
            let at = if digits.0[k] < 0 { at ^ 1 } else { *at };
            vec![at; digits.0[k].unsigned_abs().into()]
        };
        let want = expected_sum(chosen.iter().zip(&digits).flat_map(multiple));
        let got = row.map(|row| affine_g2(&[row])[0]).unwrap_or_default();
        assert_eq!(got, points::affine_g2(&[want])[0], "row {k}");
    }
}

fn miller_on<F: Field>(bytes: &[u8]) {
    let keys: Vec<G1> = bytes
        .iter()
        .map(|byte| points::weighted_sum_g1(&[points::negated_generator()], &[u64::from(byte >> 4) + 1]))
        .map(|key| points::affine_g1(&[key])[0])
        .collect();
    let signatures: Vec<G2> = bytes.iter().map(|byte| POINTS[usize::from(byte & 15) % MEMBERS]).collect();
    let got = miller_product::<F>(&stored_g1(&keys), &stored_g2(&signatures)).final_exp();
    assert_eq!(got, points::miller_loop(keys.into_iter().zip(signatures)).final_exp());
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Numbers, points_of_small_order};
    use super::*;

    #[test]
    fn the_targets_take_their_seeds() {
        let mut numbers = Numbers(30);
        let mut bytes: Vec<u8> = (0..10).flat_map(|_| points::encode_g2(&numbers.point_of_g2())).collect();
        bytes.extend(points_of_small_order().iter().flat_map(|(_, point)| points::encode_g2(point)));
        bytes.extend(numbers.bytes::<1000>());
        for end in [0, 95, 96, 960, bytes.len()] {
            decode(&bytes[..end]);
            hash(&bytes[..end.min(700)]);
            sums(&bytes[..end]);
            rows(&bytes[..end]);
            miller(&bytes[..end.min(40)]);
        }
        assert_eq!(POINTS.iter().filter(|point| points::in_g2(point)).count(), MEMBERS);
        assert_eq!(POINTS.len(), MEMBERS + 8);
    }
}
