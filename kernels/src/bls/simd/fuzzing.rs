//! What the fuzz targets call (`kernels/fuzz`): one function a kernel over lanes, each of which takes bytes, computes with
//! every field of this processor, compares with blst and panics where they differ.

use super::convert::affine_g2;
use super::decode::decode_g2;
use super::field::{Emulated, Field, Fp49, Fp52};
use super::hash::hash_to_g2;
use super::subgroup::in_g2;
use crate::bls::points;

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
        }
    }
}
