//! Decoding compressed points of the twist, square roots in lanes.
//!
//! The encoding: draft-irtf-cfrg-pairing-friendly-curves-11, appendix C. The verdicts are those of
//! [`points::decode_g2`](crate::bls::points::decode_g2) on every string of bytes.

use blst::blst_fp2;

use super::curve::{Affine, Stored};
use super::field::constants::small;
use super::field::{Field, Fp2, Mask, Ring};
use super::integer::{Words, from_words, is_reduced, is_upper};
use super::sqrt::{norm_root, root};
use crate::bls::{Refusal, SIGNATURE_BYTES};

/// What the bytes say before any arithmetic.
enum Header {
    Infinity,
    /// The coordinate `x = c0 + c1 i`, reduced, and the sign of `y`.
    Finite {
        c0: Words,
        c1: Words,
        upper: bool,
    },
}

/// Decodes points on the twist; the subgroup is not checked. None is infinity.
pub(super) fn decode_g2<F: Field>(encoded: &[&[u8; SIGNATURE_BYTES]]) -> Vec<Result<Option<Stored<Fp2<F>>>, Refusal>> {
    let mut results = vec![Err(Refusal::BadEncoding); encoded.len()];
    let mut finite = Vec::with_capacity(encoded.len());
    for (index, (bytes, result)) in encoded.iter().zip(&mut results).enumerate() {
        match header(bytes) {
            Some(Header::Infinity) => *result = Ok(None),
            Some(Header::Finite { c0, c1, upper }) => finite.push((index, c0, c1, upper)),
            None => {}
        }
    }
    for lanes in finite.chunks(F::LANES) {
        let lane = |i: usize| lanes.get(i).unwrap_or(&lanes[0]);
        let x = Fp2 { c0: from_words(|i| lane(i).1), c1: from_words(|i| lane(i).2) };
        let upper = (0..lanes.len()).fold(0, |mask, i| mask | Mask::from(lane(i).3) << i);
        let (point, on_curve) = lift::<F>(x, upper);
        let mut stored = [Stored::default(); 8];
        point.pack(&mut stored);
        for (i, (index, ..)) in lanes.iter().enumerate().filter(|(i, _)| on_curve >> i & 1 == 1) {
            results[*index] = Ok(Some(stored[i]));
        }
    }
    results
}

/// None if the flags contradict each other or the bytes, or a coordinate is not reduced.
fn header(bytes: &[u8; SIGNATURE_BYTES]) -> Option<Header> {
    let flag = |bit: u8| bytes[0] & bit != 0;
    let (compressed, infinity, upper) = (flag(0x80), flag(0x40), flag(0x20));
    if !compressed {
        return None;
    }
    if infinity {
        let stray = upper || bytes[0] & 0x1f != 0 || bytes[1..].iter().any(|byte| *byte != 0);
        return (!stray).then_some(Header::Infinity);
    }
    let words = |from: usize, mask: u64| {
        let word = |i: usize| bytes[from + 40 - 8 * i..][..8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        [word(0), word(1), word(2), word(3), word(4), word(5) & mask]
    };
    // The flags are no part of the number; the second one has none.
    let (c1, c0) = (words(0, u64::MAX >> 3), words(48, u64::MAX));
    (is_reduced(&c0) && is_reduced(&c1)).then_some(Header::Finite { c0, c1, upper })
}

/// The point with this `x` below `3p` and the sign of `y`, and the lanes where there is one.
fn lift<F: Field>(x: Fp2<F>, upper: Mask) -> (Affine<Fp2<F>>, Mask) {
    let b = Fp2::splat(&blst_fp2 { fp: [small(4), small(4)] });
    let g = x.sqr().mul(&x).add(&b);
    let (norm, on_curve) = norm_root(&g);
    // Never zero on the curve: the twist has no point of order two.
    let y = root(&g, &norm);
    let flip = is_upper(&y) ^ upper;
    (Affine { x, y: Fp2::select(flip, &y.neg(), &y) }, on_curve)
}

#[cfg(test)]
mod tests {
    use super::super::convert::affine_g2;
    use super::super::field::constants::P;
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::super::samples::Numbers;
    use super::*;
    use crate::bls::points::{self, G2};

    type Encoded = [u8; SIGNATURE_BYTES];

    /// The number of points, if all verdicts are blst's.
    fn agrees_with_blst(encoded: &[Encoded]) -> usize {
        let points = agrees::<Fp49>(encoded);
        assert_eq!(agrees::<Fp52<Emulated>>(encoded), points);
        points
    }

    fn agrees<F: Field>(encoded: &[Encoded]) -> usize {
        let results = decode_g2::<F>(&encoded.iter().collect::<Vec<_>>());
        assert_eq!(results.len(), encoded.len());
        for (bytes, result) in encoded.iter().zip(&results) {
            let result = result.map(|point| point.map_or(G2::default(), |point| affine_g2(&[point])[0]));
            assert_eq!(result, points::decode_g2(bytes), "{}", hex::encode(bytes));
        }
        results.iter().flatten().count()
    }

    fn big_endian(words: &Words) -> [u8; 48] {
        let mut bytes = [0; 48];
        for (bytes, word) in bytes.chunks_mut(8).zip(words.iter().rev()) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    fn encoded(c1: &Words, c0: &Words, flags: u8) -> Encoded {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes[..48].copy_from_slice(&big_endian(c1));
        bytes[48..].copy_from_slice(&big_endian(c0));
        bytes[0] |= flags;
        bytes
    }

    #[test]
    fn points_come_back_at_any_number_and_place() {
        let mut numbers = Numbers(10);
        assert_eq!(agrees_with_blst(&[]), 0);
        let mut encoded: Vec<Encoded> = (0..9).map(|_| points::encode_g2(&numbers.point_of_twist())).collect();
        encoded.extend((0..4).map(|_| points::encode_g2(&numbers.point_of_g2())));
        for len in 0..encoded.len() {
            assert_eq!(agrees_with_blst(&encoded[..len]), len);
            let mut other_sign = encoded[..len].to_vec();
            other_sign.iter_mut().for_each(|bytes| bytes[0] ^= 0x20);
            assert_eq!(agrees_with_blst(&other_sign), len);
        }
    }

    #[test]
    fn random_and_changed_bytes_get_the_same_verdict() {
        let mut numbers = Numbers(11);
        let mut encoded = Vec::new();
        for _ in 0..100 {
            encoded.push(numbers.bytes());
            let mut bytes: Encoded = numbers.bytes();
            bytes[0] = 0x80 | bytes[0] & 0x2f;
            encoded.push(bytes);
            let mut bytes = points::encode_g2(&numbers.point_of_twist());
            bytes[numbers.next() as usize % SIGNATURE_BYTES] ^= 1 << (numbers.next() % 8);
            encoded.push(bytes);
        }
        let points = agrees_with_blst(&encoded);
        assert!((50..200).contains(&points), "{points}");
    }

    #[test]
    fn flags_and_edges_of_the_field_get_the_same_verdict() {
        let less = |amount: u64| {
            let mut words = P;
            words[0] -= amount;
            words
        };
        let more = [P[0] + 1, P[1], P[2], P[3], P[4], P[5]];
        let top = [u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 3];
        let edges = [[0; 6], [1, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0], less(1), less(2), P, more, top, [u64::MAX; 6]];
        let mut all = Vec::new();
        for c1 in &edges[..8] {
            for c0 in &edges {
                all.extend((0..8).map(|flags| encoded(c1, c0, flags << 5)));
            }
        }
        // Infinity, and infinity with one stray bit.
        let infinity = encoded(&[0; 6], &[0; 6], 0xc0);
        all.push(infinity);
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut bytes = infinity;
            bytes[bit / 8] ^= 1 << (bit % 8);
            all.push(bytes);
        }
        assert!(agrees_with_blst(&all) > 10);
    }

    #[test]
    fn coordinates_in_the_base_field_get_the_same_verdict() {
        // Real x, imaginary x: g(x) still has both coordinates. Zero there: x = 0 and cube roots of multiples of 4.
        let mut numbers = Numbers(12);
        let mut all = Vec::new();
        for _ in 0..24 {
            let words: Words = std::array::from_fn(|i| if i < 5 { numbers.next() } else { 3 });
            for flags in [0x80, 0xa0] {
                all.push(encoded(&words, &[0; 6], flags));
                all.push(encoded(&[0; 6], &words, flags));
                all.push(encoded(&words, &words, flags));
            }
        }
        assert!(agrees_with_blst(&all) > 20);
    }
}
