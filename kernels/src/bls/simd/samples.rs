//! Points for tests, random and hostile.

use ark_bls12_381::{G2Affine, G2Projective, g2};
use ark_ec::{CurveConfig, CurveGroup, PrimeGroup};
use ark_ff::PrimeField;
use ark_serialize::CanonicalSerialize;

use super::field::Ring;
use crate::bls::points::{self, G1, G2};

/// A generator of reproducible numbers (SplitMix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    /// A point of the twist, hardly ever in G2.
    pub(super) fn point_of_twist(&mut self) -> G2 {
        loop {
            let mut bytes = self.bytes();
            bytes[0] = 0x80 | bytes[0] & 0x2f;
            if let Ok(point) = points::decode_g2(&bytes) {
                return point;
            }
        }
    }

    /// A point of G2.
    pub(super) fn point_of_g2(&mut self) -> G2 {
        points::affine_g2(&[points::hash_to_g2(&self.bytes::<8>())])[0]
    }

    /// A point of G1.
    pub(super) fn point_of_g1(&mut self) -> G1 {
        let sum = points::weighted_sum_g1(&[points::negated_generator()], &[self.next() | 2]);
        points::affine_g1(&[sum])[0]
    }
}

/// Finite points of the twist whose order is a small prime, one per such prime and attempt.
pub(super) fn points_of_small_order() -> Vec<(u64, G2)> {
    let mut numbers = Numbers(13);
    let mut out = Vec::new();
    for order in [13, 23, 2713, 11953, 262_069] {
        for _ in 0..2 {
            // The twist has `cofactor * r` points.
            let start: G2Projective = ark(&numbers.point_of_twist()).into();
            let quotient = divide(g2::Config::COFACTOR, order);
            let point = start.mul_bigint(&quotient).mul_bigint(ark_bls12_381::Fr::MODULUS);
            let point = if point == G2Projective::default() {
                // The component of this order is too small: its group is not cyclic.
                start.mul_bigint(divide(&quotient, order)).mul_bigint(ark_bls12_381::Fr::MODULUS)
            } else {
                point
            };
            if point != G2Projective::default() {
                out.push((order, from_ark(&point.into_affine())));
            }
        }
    }
    out
}

fn divide(words: &[u64], divisor: u64) -> Vec<u64> {
    let mut out = words.to_vec();
    let mut rest = 0;
    for word in out.iter_mut().rev() {
        let value = u128::from(rest) << 64 | u128::from(*word);
        *word = (value / u128::from(divisor)) as u64;
        rest = (value % u128::from(divisor)) as u64;
    }
    out
}

/// The same point for arkworks.
pub(super) fn ark(point: &G2) -> G2Affine {
    use ark_serialize::{CanonicalDeserialize, Compress, Validate};
    let bytes = points::encode_g2(point);
    G2Affine::deserialize_with_mode(&bytes[..], Compress::Yes, Validate::No).unwrap()
}

/// The same point for blst.
pub(super) fn from_ark(point: &G2Affine) -> G2 {
    let mut bytes = Vec::new();
    point.serialize_compressed(&mut bytes).unwrap();
    points::decode_g2(&bytes.try_into().unwrap()).unwrap()
}

/// The first lane.
pub(super) fn first<R: Ring>(value: &R) -> R::Scalar {
    let mut lanes = [R::Scalar::default(); 8];
    value.store(&mut lanes);
    lanes[0]
}
