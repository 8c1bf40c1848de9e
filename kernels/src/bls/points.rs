//! The safe door to blst's group functions: every `unsafe` block of the BLS kernels is here.
//!
//! blst's C functions take raw pointers and leave the edge cases to their callers: empty slices, the point at infinity
//! in a Miller loop. The wrappers settle them once. Points are affine unless a name says Jacobian.
//! Names follow blst 0.3.17, `bindings/blst.h`.

#[cfg(feature = "wgpu")]
use blst::blst_fp;
use blst::{
    BLST_ERROR, MultiPoint, blst_fp2, blst_fp12, blst_p1, blst_p1_affine, blst_p2, blst_p2_affine, blst_scalar,
    p1_affines, p2_affines,
};

use super::{PUBLIC_KEY_BYTES, Refusal, SCHEME, SIGNATURE_BYTES};

/// An affine point of the curve over the base field; all zero is infinity.
pub(super) type G1 = blst_p1_affine;
/// An affine point of the twist; all zero is infinity.
pub(super) type G2 = blst_p2_affine;

/// Bits of the random weights.
const WEIGHT_BITS: usize = 64;

/// Decodes a compressed point on the curve; the subgroup is not checked.
pub(super) fn decode_g1(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<G1, Refusal> {
    let mut point = G1::default();
    // SAFETY: the function reads 48 bytes from `bytes` and writes one affine point.
    match unsafe { blst::blst_p1_uncompress(&mut point, bytes.as_ptr()) } {
        BLST_ERROR::BLST_SUCCESS => Ok(point),
        _ => Err(Refusal::BadEncoding),
    }
}

/// Decodes a compressed point on the twist; the subgroup is not checked.
pub(super) fn decode_g2(bytes: &[u8; SIGNATURE_BYTES]) -> Result<G2, Refusal> {
    let mut point = G2::default();
    // SAFETY: the function reads 96 bytes from `bytes` and writes one affine point.
    match unsafe { blst::blst_p2_uncompress(&mut point, bytes.as_ptr()) } {
        BLST_ERROR::BLST_SUCCESS => Ok(point),
        _ => Err(Refusal::BadEncoding),
    }
}

/// The canonical compressed encoding.
pub(super) fn encode_g1(point: &G1) -> [u8; PUBLIC_KEY_BYTES] {
    let mut bytes = [0; PUBLIC_KEY_BYTES];
    // SAFETY: the function reads one affine point and writes 48 bytes.
    unsafe { blst::blst_p1_affine_compress(bytes.as_mut_ptr(), point) };
    bytes
}

/// The canonical compressed encoding.
pub(super) fn encode_g2(point: &G2) -> [u8; SIGNATURE_BYTES] {
    let mut bytes = [0; SIGNATURE_BYTES];
    // SAFETY: the function reads one affine point and writes 96 bytes.
    unsafe { blst::blst_p2_affine_compress(bytes.as_mut_ptr(), point) };
    bytes
}

/// Whether a point of the curve is in G1 (infinity is).
pub(super) fn in_g1(point: &G1) -> bool {
    // SAFETY: the function reads one affine point.
    unsafe { blst::blst_p1_affine_in_g1(point) }
}

/// Whether a point of the twist is in G2 (infinity is).
pub(super) fn in_g2(point: &G2) -> bool {
    // SAFETY: the function reads one affine point.
    unsafe { blst::blst_p2_affine_in_g2(point) }
}

/// Whether the point is infinity.
pub(super) fn is_infinite_g1(point: &G1) -> bool {
    // SAFETY: the function reads one affine point.
    unsafe { blst::blst_p1_affine_is_inf(point) }
}

/// Whether the point is infinity.
pub(super) fn is_infinite_g2(point: &G2) -> bool {
    // SAFETY: the function reads one affine point.
    unsafe { blst::blst_p2_affine_is_inf(point) }
}

/// The same point in Jacobian coordinates.
pub(super) fn jacobian_g1(point: &G1) -> blst_p1 {
    let mut out = blst_p1::default();
    // SAFETY: the function reads one affine point and writes one Jacobian point.
    unsafe { blst::blst_p1_from_affine(&mut out, point) };
    out
}

/// The same point in Jacobian coordinates.
pub(super) fn jacobian_g2(point: &G2) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads one affine point and writes one Jacobian point.
    unsafe { blst::blst_p2_from_affine(&mut out, point) };
    out
}

/// `a + b`, equal and opposite points included.
pub(super) fn add_g1(a: &blst_p1, b: &blst_p1) -> blst_p1 {
    let mut out = blst_p1::default();
    // SAFETY: the function reads two Jacobian points and writes one.
    unsafe { blst::blst_p1_add_or_double(&mut out, a, b) };
    out
}

/// `a + b`, equal and opposite points included.
pub(super) fn add_g2(a: &blst_p2, b: &blst_p2) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads two Jacobian points and writes one.
    unsafe { blst::blst_p2_add_or_double(&mut out, a, b) };
    out
}

/// `a + b` for an affine `b`, equal and opposite points and infinity included.
pub(super) fn add_affine_g1(a: &blst_p1, b: &G1) -> blst_p1 {
    let mut out = blst_p1::default();
    // SAFETY: the function reads a Jacobian and an affine point and writes a Jacobian one.
    unsafe { blst::blst_p1_add_or_double_affine(&mut out, a, b) };
    out
}

/// `2a`.
pub(super) fn double_g1(a: &blst_p1) -> blst_p1 {
    let mut out = blst_p1::default();
    // SAFETY: the function reads one Jacobian point and writes one.
    unsafe { blst::blst_p1_double(&mut out, a) };
    out
}

/// `a + b` for an affine `b`, equal and opposite points and infinity included.
pub(super) fn add_affine_g2(a: &blst_p2, b: &G2) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads a Jacobian and an affine point and writes a Jacobian one.
    unsafe { blst::blst_p2_add_or_double_affine(&mut out, a, b) };
    out
}

/// `2a`.
pub(super) fn double_g2(a: &blst_p2) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads one Jacobian point and writes one.
    unsafe { blst::blst_p2_double(&mut out, a) };
    out
}

/// `-a`.
pub(super) fn negate_g1(mut a: blst_p1) -> blst_p1 {
    // SAFETY: the function negates one Jacobian point in place.
    unsafe { blst::blst_p1_cneg(&mut a, true) };
    a
}

/// The sum by batch-affine additions, equal and opposite points and infinity included; infinity if empty.
pub(super) fn sum_g1(points: &[G1]) -> blst_p1 {
    if points.is_empty() { blst_p1::default() } else { points.add() }
}

/// The sum by batch-affine additions, equal and opposite points and infinity included; infinity if empty.
pub(super) fn sum_g2(points: &[G2]) -> blst_p2 {
    if points.is_empty() { blst_p2::default() } else { points.add() }
}

/// The point (X : Y : Z) with x = X / Z and y = Y / Z; infinity has Z = 0.
#[cfg(feature = "wgpu")]
pub(super) fn from_homogeneous_g1([x, y, z]: [blst_fp; 3]) -> blst_p1 {
    let mul = |a: &blst_fp, b: &blst_fp| {
        let mut out = blst_fp::default();
        // SAFETY: the function reads two elements and writes one.
        unsafe { blst::blst_fp_mul(&mut out, a, b) };
        out
    };
    blst_p1 { x: mul(&x, &z), y: mul(&y, &mul(&z, &z)), z }
}

/// The point (X : Y : Z) with x = X / Z and y = Y / Z; infinity has Z = 0.
#[cfg(feature = "wgpu")]
pub(super) fn from_homogeneous_g2([x, y, z]: [blst_fp2; 3]) -> blst_p2 {
    let mul = |a: &blst_fp2, b: &blst_fp2| {
        let mut out = blst_fp2::default();
        // SAFETY: the function reads two elements and writes one.
        unsafe { blst::blst_fp2_mul(&mut out, a, b) };
        out
    };
    blst_p2 { x: mul(&x, &z), y: mul(&y, &mul(&z, &z)), z }
}

/// Converts to affine with one inversion for up to 1,536 points.
pub(super) fn affine_g1(points: &[blst_p1]) -> Vec<G1> {
    if points.is_empty() { Vec::new() } else { p1_affines::from(points).as_slice().to_vec() }
}

/// Converts to affine with one inversion for up to 768 points.
pub(super) fn affine_g2(points: &[blst_p2]) -> Vec<G2> {
    if points.is_empty() { Vec::new() } else { p2_affines::from(points).as_slice().to_vec() }
}

/// `sum weights[i] * points[i]`. Points must be in G1: the tables assume that small multiples are not infinite.
pub(super) fn weighted_sum_g1(points: &[G1], weights: &[u64]) -> blst_p1 {
    debug_assert_eq!(points.len(), weights.len());
    match (points, weights) {
        ([], _) => blst_p1::default(),
        ([point], [1]) => jacobian_g1(point),
        ([point], [weight]) => multiply_g1(point, *weight),
        _ => points.mult(&little_endian(weights), WEIGHT_BITS),
    }
}

/// `sum weights[i] * points[i]`. Points must be in G2: the tables assume that small multiples are not infinite.
pub(super) fn weighted_sum_g2(points: &[G2], weights: &[u64]) -> blst_p2 {
    debug_assert_eq!(points.len(), weights.len());
    match (points, weights) {
        ([], _) => blst_p2::default(),
        ([point], [1]) => jacobian_g2(point),
        ([point], [weight]) => multiply_g2(point, *weight),
        _ => points.mult(&little_endian(weights), WEIGHT_BITS),
    }
}

// Narrower windows than blst's multi-scalar call takes for a single point: they pay at 64 bits.
fn multiply_g1(point: &G1, weight: u64) -> blst_p1 {
    let mut out = blst_p1::default();
    // SAFETY: the function reads one Jacobian point and the weight's 8 bytes, and writes one Jacobian point.
    unsafe { blst::blst_p1_mult(&mut out, &jacobian_g1(point), weight.to_le_bytes().as_ptr(), WEIGHT_BITS) };
    out
}

fn multiply_g2(point: &G2, weight: u64) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads one Jacobian point and the weight's 8 bytes, and writes one Jacobian point.
    unsafe { blst::blst_p2_mult(&mut out, &jacobian_g2(point), weight.to_le_bytes().as_ptr(), WEIGHT_BITS) };
    out
}

fn little_endian(weights: &[u64]) -> Vec<u8> {
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// RFC 9380 `hash_to_curve` of [`SCHEME`].
pub(super) fn hash_to_g2(message: &[u8]) -> blst_p2 {
    let mut out = blst_p2::default();
    let (dst, none) = (SCHEME.as_bytes(), std::ptr::null());
    // SAFETY: both slices outlive the call and come with their lengths; the augmentation is empty.
    unsafe { blst::blst_hash_to_g2(&mut out, message.as_ptr(), message.len(), dst.as_ptr(), dst.len(), none, 0) };
    out
}

/// The sum of the map's values at two elements, brought to G2: the hash of a message with these elements.
pub(super) fn map_to_g2(u: &blst_fp2, v: &blst_fp2) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads two field elements and writes one Jacobian point.
    unsafe { blst::blst_map_to_g2(&mut out, u, v) };
    out
}

/// `secret * hash`: the signature of a message that is already hashed. Constant time.
pub(super) fn sign_hash(hash: &blst_p2, secret: &blst_scalar) -> blst_p2 {
    let mut out = blst_p2::default();
    // SAFETY: the function reads one Jacobian point and one scalar and writes one Jacobian point.
    unsafe { blst::blst_sign_pk_in_g1(&mut out, hash, secret) };
    out
}

/// `a + b` modulo the group order.
pub(super) fn add_scalars(a: &blst_scalar, b: &blst_scalar) -> blst_scalar {
    let mut out = blst_scalar::default();
    // SAFETY: the function reads two scalars and writes one; it says whether the sum is zero, which is no error here.
    unsafe { blst::blst_sk_add_n_check(&mut out, a, b) };
    out
}

/// The generator of G1, negated: a signature is paired with it.
pub(super) fn negated_generator() -> G1 {
    // SAFETY: the static is a constant of the library, never written.
    unsafe { blst::BLS12_381_NEG_G1 }
}

/// The product of the pairs' Miller loops, before the final exponentiation. Pairs with infinity count as one, which
/// blst's loop over several pairs does not do by itself.
pub(super) fn miller_loop(pairs: impl Iterator<Item = (G1, G2)>) -> blst_fp12 {
    let (p, q): (Vec<G1>, Vec<G2>) = pairs.filter(|(p, q)| !is_infinite_g1(p) && !is_infinite_g2(q)).unzip();
    if p.is_empty() { blst_fp12::default() } else { blst_fp12::miller_loop_n(&q, &p) }
}

/// The inverse of a value after the final exponentiation: there, conjugation inverts.
pub(super) fn inverse_gt(mut value: blst_fp12) -> blst_fp12 {
    // SAFETY: the function conjugates one field element in place.
    unsafe { blst::blst_fp12_conjugate(&mut value) };
    value
}
