//! Hashing to G2 in lanes: RFC 9380, suite `BLS12381G2_XMD:SHA-256_SSWU_RO_` (sections 3, 5.2, 5.3.1, 6.6.3 and 8.8.2).
//!
//! Where the steps differ from those of the RFC, with the same results:
//!
//! - The map's square root needs no test for squares and no third exponentiation: if `g(x1)` is no square, the root `n` of its
//!   norm has `n^2 = -norm`, and that of the other candidate is `5 sqrt(-5) norm(u)^3 n`, for its norm is
//!   `norm(Z)^3 norm(u)^6` times as large and `norm(Z) = 5`.
//! - The two points of a message are added on the isogenous curve, so one of them passes through the isogeny.
//! - The isogeny by Velu's formulas: its kernel is `x = -6 + 6i`, and the image is scaled by `1/9` and `1/27`.
//! - Clearing the cofactor: Budroni and Pintore, ePrint 2017/419, with the parameter's multiples nested.

use blst::{blst_fp, blst_fp2};
use sha2::{Digest, Sha256};

use super::curve::{Affine, Jacobian, Stored, invert_or};
use super::field::constants::{residue, small};
use super::field::{Field, Fp2, Mask, Ring};
use super::integer::{from_wide, is_odd};
use super::sqrt::{norm_root, root};
use crate::bls::{SCHEME, points};

/// Bytes that a message expands to: four elements of the base field.
const EXPANDED: usize = 4 * 64;

/// `253/60`: `-B / A` of the isogenous curve is this times `-1 + i`.
const X_SCALE: blst_fp = residue([
    0x47a1_7333_3332_f8e8,
    0x4828_bbba_d70a_7777,
    0x6461_5cba_cab4_a832,
    0xc8eb_1e45_8445_999c,
    0x4cec_7f67_3684_c72c,
    0x11c4_ff71_1ec2_10c7,
]);
/// `5 sqrt(-5)`.
const NORM_SCALE: blst_fp = residue([
    0x9a24_f149_67c0_8578,
    0xa1ad_422a_4c6a_f0df,
    0x83a4_89b7_2ed3_4261,
    0xcc8a_25c3_1c87_0e7a,
    0x383c_d606_f329_2533,
    0x11f0_2c47_fcc4_5f9d,
]);

/// The hash of each message under the scheme's domain.
pub(super) fn hash_to_g2<F: Field>(messages: &[&[u8]]) -> Vec<Stored<Fp2<F>>> {
    // A hash is infinite with a chance of 2^-255; no such message is known.
    hash(SCHEME.as_bytes(), messages).into_iter().map(Option::unwrap_or_default).collect()
}

fn hash<F: Field>(domain: &[u8], messages: &[&[u8]]) -> Vec<Option<Stored<Fp2<F>>>> {
    let mut elements = Vec::with_capacity(messages.len().div_ceil(F::LANES));
    for messages in messages.chunks(F::LANES) {
        let expanded: Vec<_> = messages.iter().map(|message| expand(domain, message)).collect();
        let part = |part: usize| from_wide(|lane| &expanded.get(lane).unwrap_or(&expanded[0])[part]);
        elements.push([Fp2 { c0: part(0), c1: part(1) }, Fp2 { c0: part(2), c1: part(3) }]);
    }
    map_to_g2(&elements, messages.len())
}

/// `expand_message_xmd` (section 5.3.1), in parts for one field element each. The domain has at most 255 bytes.
fn expand(domain: &[u8], message: &[u8]) -> [[u8; 64]; EXPANDED / 64] {
    let finish = |hash: Sha256, i: u8| -> [u8; 32] {
        hash.chain_update([i]).chain_update(domain).chain_update([domain.len() as u8]).finalize().into()
    };
    let length = (EXPANDED as u16).to_be_bytes();
    let first = finish(Sha256::new().chain_update([0; 64]).chain_update(message).chain_update(length), 0);
    let mut out = [[0; 64]; EXPANDED / 64];
    let mut previous = [0; 32];
    for (i, block) in (1..).zip(out.iter_mut().flat_map(|part| part.chunks_exact_mut(32))) {
        let mixed: [u8; 32] = std::array::from_fn(|byte| first[byte] ^ previous[byte]);
        previous = finish(Sha256::new().chain_update(mixed), i);
        block.copy_from_slice(&previous);
    }
    out
}

/// Both elements of each message mapped, added and brought to G2; the first `count` lanes count. Elements are below `6p`.
fn map_to_g2<F: Field>(elements: &[[Fp2<F>; 2]], count: usize) -> Vec<Option<Stored<Fp2<F>>>> {
    let map = Map::new();
    let squares: Vec<Fp2<F>> = elements.iter().flatten().map(|u| map.z.mul(&u.sqr())).collect();
    let mut inverses: Vec<Fp2<F>> = squares.iter().map(|square| square.sqr().add(square)).collect();
    // It is zero only for u = 0, since neither Z nor -Z is a square. There, this denominator makes the formula for x give
    // the RFC's exceptional value: -(3 - i) / 2 = 1 / (-1 / Z - 1).
    let exceptional = Fp2::splat(&blst_fp2 { fp: [small(-3), small(1)] }).scale(&F::splat(&small(2)).invert());
    invert_or(&mut inverses, &exceptional);
    let mut sums = Vec::with_capacity(elements.len());
    for (i, [u, v]) in elements.iter().enumerate() {
        let first = map.map(u, &squares[2 * i], &inverses[2 * i]);
        let second = map.map(v, &squares[2 * i + 1], &inverses[2 * i + 1]);
        sums.push(map.isogeny(&first.add(&second)));
    }
    let (affine, infinite) = clear_cofactor(&sums);
    let mut hashes = vec![Stored::default(); elements.len() * F::LANES];
    for (point, lanes) in affine.iter().zip(hashes.chunks_mut(F::LANES)) {
        point.pack(lanes);
    }
    let hash = |i: usize| {
        let (vector, lane) = (i / F::LANES, i % F::LANES);
        match infinite[vector] >> lane & 1 {
            0 => Some(hashes[i]),
            _ => scalar(&elements[vector], lane),
        }
    };
    (0..count).map(hash).collect()
}

/// One lane again, for points that are equal, opposite or of small order.
fn scalar<F: Field>(elements: &[Fp2<F>; 2], lane: usize) -> Option<Stored<Fp2<F>>> {
    let [u, v] = elements.map(|element| {
        let mut lanes = [blst_fp2::default(); 8];
        element.store(&mut lanes);
        lanes[lane]
    });
    let point = points::affine_g2(&[points::map_to_g2(&u, &v)])[0];
    if points::is_infinite_g2(&point) { None } else { super::convert::stored_g2(&[point]).pop() }
}

/// Constants of the curve `y^2 = x^3 + A x + B` with `A = 240 i` and `B = 1012 (1 + i)`, of the map to it and of the
/// isogeny from it.
struct Map<F> {
    a: Fp2<F>,
    b: Fp2<F>,
    /// `-(2 + i)`, no square.
    z: Fp2<F>,
    /// `-B / A`.
    x_scale: Fp2<F>,
    norm_scale: F,
    /// Minus the kernel's `x`.
    shift: Fp2<F>,
    /// Velu's `v` and `u` of the kernel.
    v: Fp2<F>,
    u: Fp2<F>,
}

impl<F: Field> Map<F> {
    fn new() -> Self {
        let pair = |c0: i64, c1: i64| Fp2::splat(&blst_fp2 { fp: [small(c0), small(c1)] });
        Self {
            a: pair(0, 240),
            b: pair(1012, 1012),
            z: pair(-2, -1),
            x_scale: pair(-1, 1).scale(&F::splat(&X_SCALE)),
            norm_scale: F::splat(&NORM_SCALE),
            shift: pair(6, -6),
            v: pair(0, 48),
            u: pair(16, 16),
        }
    }

    /// The simplified map of `u` below `6p`, given `t = Z u^2` and `1 / (t^2 + t)`. Comes out below `3p`.
    fn map(&self, u: &Fp2<F>, t: &Fp2<F>, inverse: &Fp2<F>) -> Affine<Fp2<F>> {
        let x1 = inverse.add(&Fp2::one()).mul(&self.x_scale);
        let g1 = x1.sqr().add(&self.a).mul(&x1).add(&self.b);
        let (norm1, is_square) = norm_root(&g1);
        let u_norm = u.norm();
        let norm2 = u_norm.sqr().mul(&u_norm).mul(&norm1).mul(&self.norm_scale);
        let g2 = t.sqr().mul(t).mul(&g1);
        let x = Fp2::select(is_square, &x1, &t.mul(&x1));
        let g = Fp2::select(is_square, &g1, &g2);
        let y = root(&g, &F::select(is_square, &norm1, &norm2));
        let flip = is_odd(u) ^ is_odd(&y);
        Affine { x, y: Fp2::select(flip, &y.neg(), &y).tight() }
    }

    /// The image on `y^2 = x^3 + 4 (1 + i)`: with `t = x + shift` it is `(x + v / t + u / t^2) / 9` and
    /// `y (1 - v / t^2 - 2 u / t^3) / -27`. The kernel goes to infinity.
    fn isogeny(&self, point: &Jacobian<Fp2<F>>) -> Jacobian<Fp2<F>> {
        let zz = point.z.sqr();
        let t = point.x.add(&self.shift.mul(&zz));
        let tt = t.sqr();
        let z4 = zz.sqr();
        let v = self.v.mul(&t.mul(&z4));
        let u = self.u.mul(&z4.mul(&zz));
        let y = t.mul(&tt).sub_wide(&v.add(&u.double()));
        Jacobian { x: point.x.mul(&tt).add(&v).add(&u), y: point.y.mul(&y), z: t.double().add(&t).mul(&point.z).neg() }
    }
}

/// `[x^2 - x - 1] P + [x - 1] psi(P) + psi^2(2P)` for the parameter `x`, as `x Q - Q - P + psi^2(2P)` with `Q = x P + psi(P)`.
/// Anything in lanes whose mask is set: the point or the result is infinite, or an addition was exceptional.
fn clear_cofactor<F: Field>(points: &[Jacobian<Fp2<F>>]) -> (Vec<Affine<Fp2<F>>>, Vec<Mask>) {
    let times_x = |p: &Affine<Fp2<F>>| Jacobian::from(p).multiply_by_x(|multiple| multiple.add_affine(p));
    let (points, mut infinite) = Jacobian::normalize(points);
    let sums: Vec<_> = points.iter().map(|p| times_x(p).negate().add_affine(&p.psi())).collect();
    let (sums, infinite_sums) = Jacobian::normalize(&sums);
    let product = |(p, q): (&Affine<Fp2<F>>, &Affine<Fp2<F>>)| {
        let rest = Jacobian::from(p).double().psi_squared();
        times_x(q).add_affine(q).add_affine(p).negate().add(&rest)
    };
    let products: Vec<_> = points.iter().zip(&sums).map(product).collect();
    let (products, infinite_products) = Jacobian::normalize(&products);
    for (mask, (sum, product)) in infinite.iter_mut().zip(infinite_sums.iter().zip(&infinite_products)) {
        *mask |= sum | product;
    }
    (products, infinite)
}

#[cfg(test)]
mod tests {
    use ark_serialize::CanonicalSerialize;
    use serde_json::Value;

    use super::super::convert::affine_g2;
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::super::samples::{Numbers, ark};
    use super::*;
    use crate::bls::points::G2;

    fn read(path: &str) -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/bls").join(path);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The uncompressed form of `x` and `y`, each given as `c0,c1`.
    fn point(value: &Value) -> Vec<u8> {
        let coordinate = |name: &str| {
            let text = value[name].as_str().unwrap().replace("0x", "");
            let (c0, c1) = text.split_once(',').unwrap();
            hex::decode([c1, c0].concat()).unwrap()
        };
        [coordinate("x"), coordinate("y")].concat()
    }

    fn serialized(point: &G2) -> Vec<u8> {
        let mut bytes = Vec::new();
        ark(point).serialize_uncompressed(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_constants_are_what_they_are_said_to_be() {
        let times = |value: &blst_fp, factor: i64| Fp49::splat(value).mul(&Fp49::splat(&small(factor)));
        assert_eq!(times(&X_SCALE, 60).sub(&Fp49::splat(&small(253))).is_zero(), Fp49::ALL);
        assert_eq!(Fp49::splat(&NORM_SCALE).sqr().add(&Fp49::splat(&small(125))).is_zero(), Fp49::ALL);
    }

    #[test]
    fn published_hashes_come_out() {
        let suite = read("h2c/BLS12381G2_XMD_SHA-256_SSWU_RO_.json");
        let vectors = suite["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 5);
        let messages: Vec<&[u8]> = vectors.iter().map(|vector| vector["msg"].as_str().unwrap().as_bytes()).collect();
        let hashes: Option<Vec<_>> =
            hash::<Fp49>(suite["dst"].as_str().unwrap().as_bytes(), &messages).into_iter().collect();
        for (vector, hash) in vectors.iter().zip(affine_g2(&hashes.unwrap())) {
            assert_eq!(serialized(&hash), point(&vector["P"]));
        }
    }

    #[test]
    fn hashes_are_blsts_for_any_length_and_number_of_messages() {
        let mut numbers = Numbers(9);
        let messages: Vec<Vec<u8>> = [0, 1, 31, 32, 55, 64, 119, 200, 1000]
            .iter()
            .map(|len| (0..*len).map(|_| numbers.next() as u8).collect())
            .collect();
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let expected: Vec<_> = messages.iter().map(|message| points::hash_to_g2(message)).collect();
        let expected = points::affine_g2(&expected);
        for count in 0..messages.len() {
            assert_eq!(affine_g2(&hash_to_g2::<Fp49>(&messages[..count])), expected[..count]);
            assert_eq!(affine_g2(&hash_to_g2::<Fp52<Emulated>>(&messages[..count])), expected[..count]);
        }
    }

    #[test]
    fn a_message_more_than_once_has_one_hash() {
        let messages: Vec<&[u8]> = vec![b"again"; 6];
        let expected = points::affine_g2(&[points::hash_to_g2(b"again")]);
        assert!(affine_g2(&hash_to_g2::<Fp49>(&messages)).iter().all(|hash| *hash == expected[0]));
    }

    #[test]
    fn exceptional_elements_map_as_blst_maps_them() {
        let element = |c0: i64, c1: i64| blst_fp2 { fp: [small(c0), small(c1)] };
        let zero = element(0, 0);
        let special =
            [zero, element(1, 0), element(-1, 0), element(0, 1), element(0, -1), element(5, 7), element(-5, -7)];
        let mut pairs = Vec::new();
        for u in &special {
            for v in &special {
                pairs.push((*u, *v));
            }
        }
        let expected: Vec<G2> = pairs.iter().map(|(u, v)| points::affine_g2(&[points::map_to_g2(u, v)])[0]).collect();
        maps_to::<Fp49>(&pairs, &expected);
        maps_to::<Fp52<Emulated>>(&pairs, &expected);
        assert!(expected.iter().any(points::is_infinite_g2));
    }

    fn maps_to<F: Field>(pairs: &[(blst_fp2, blst_fp2)], expected: &[G2]) {
        let lanes: Vec<_> = pairs
            .chunks(F::LANES)
            .map(|pairs| {
                let pair = |lane: usize| pairs.get(lane).unwrap_or(&pairs[0]);
                [Fp2::<F>::load(|lane| pair(lane).0), Fp2::load(|lane| pair(lane).1)]
            })
            .collect();
        let hashes = map_to_g2(&lanes, pairs.len());
        assert_eq!(hashes.len(), expected.len());
        for (i, (hash, expected)) in hashes.iter().zip(expected).enumerate() {
            match hash {
                None => assert!(points::is_infinite_g2(expected), "{i}"),
                Some(hash) => assert_eq!(affine_g2(&[*hash]), [*expected], "{i}"),
            }
        }
    }
}
