//! Chia's formats: the compressed form of 100 bytes, and HashPrime, which derives discriminants and challenges.
//!
//! A reduced form `(a, b, c)` of discriminant `D` is known by `a` and half as many bits more: Euclid's algorithm on
//! `(a, |b|)` stops at a remainder `r <= sqrt(a)`, whose cofactor `t` satisfies `t |b| = r` modulo `a`. Since
//! `b² = D` modulo `a`, the decoder finds `r` as the root of `t² D` modulo `a`, and then `|b| = r / t`. A common factor
//! `g` of `a` and `t` has no inverse, so it is divided out, and the quotient `|b| / (a / g)` written beside it.
//!
//! Source of the formats: Chia-Network/chiavdf `src/bqfc.c`, `src/proof_common.h`, `src/create_discriminant.h`. Decoding
//! here is strict, as chiavdf's is on request since its pull request 335: only what the encoder writes is accepted.

use sha2::{Digest, Sha256};

use super::FormDefect;
use super::form::{Form, Group};
use super::integer::Int;
use super::modular::Engine;
use super::prime;
use super::wire::member;

/// Longest discriminant: the form's size is fixed for it.
pub(super) const MAX_BITS: u32 = 1024;
/// Bytes of every form, whatever the discriminant; the tail of a shorter one is zeros.
pub(super) const FORM_BYTES: usize = 100;
/// Bits of a challenge prime, and its bytes.
const CHALLENGE_BITS: usize = 264;
pub(super) const CHALLENGE_BYTES: usize = CHALLENGE_BITS / 8;

const NEGATIVE_B: u8 = 1;
const NEGATIVE_T: u8 = 1 << 1;
const IDENTITY: u8 = 1 << 2;
const GENERATOR: u8 = 1 << 3;

/// Lengths of the fields, given how many bytes `g` takes beyond one: `a / g`, `t / g`, `g` and `b0`.
fn field_bytes(discriminant_bits: u32, extra: usize) -> Option<[usize; 4]> {
    let words = discriminant_bits.div_ceil(32) as usize;
    (extra < words).then(|| [2 * words - extra, words - extra, extra + 1, extra + 1])
}

/// The 100 bytes of a reduced form; `None` if a field does not fit, which happens for no reduced form.
pub(super) fn encode(form: &Form, discriminant_bits: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(FORM_BYTES);
    let Form { a, b, .. } = form;
    if b.is_one() && (a.is_one() || *a == Int::from(2)) {
        bytes.push(if a.is_one() { IDENTITY } else { GENERATOR });
        bytes.resize(FORM_BYTES, 0);
        return Some(bytes);
    }
    let magnitude = b.abs();
    let t = short_cofactor(a, &magnitude);
    let (g, _, _) = a.gcd_ext(&t);
    let (a, t) = (a.div_exact(&g), t.div_exact(&g));
    let b0 = if g.is_one() { Int::from(0) } else { magnitude.div_floor(&a) };
    let extra = g.bits().div_ceil(8).checked_sub(1)?;
    bytes.push(if b.is_negative() { NEGATIVE_B } else { 0 } | if t.is_negative() { NEGATIVE_T } else { 0 });
    bytes.push(u8::try_from(extra).ok()?);
    for (field, len) in [a, t.abs(), g, b0].iter().zip(field_bytes(discriminant_bits, extra)?) {
        let mut field = field.to_be_bytes(len)?;
        field.reverse();
        bytes.extend(field);
    }
    bytes.resize(FORM_BYTES, 0);
    Some(bytes)
}

/// The cofactor `t` of `b` in a remainder `r <= sqrt(a)` of Euclid's algorithm on `(a, b)`, `0 < b <= a`.
///
/// Which remainder is part of the format, and is not always the first: chiavdf takes whole batches of steps, found from the
/// leading 63 bits of both numbers, that end where the leading bits no longer tell or fall to those of the root. So the
/// batches here are its own (`src/xgcd_partial.c`, after FLINT's `fmpz_xgcd_partial`).
fn short_cofactor(a: &Int, b: &Int) -> Int {
    let root = a.sqrt_floor();
    let (mut r0, mut r1) = (a.clone(), b.clone());
    let (mut t0, mut t1) = (Int::from(0), Int::from(1));
    while r1 > root {
        let shift = r0.bits().max(r1.bits()).saturating_sub(63);
        let [[u0, v0], [u1, v1]] = batch(r0.word_at(shift), r1.word_at(shift), root.word_at(shift));
        if v0 == 0 {
            let quotient = r0.div_floor(&r1);
            (r0, r1) = (r1.clone(), r0 - &quotient * &r1);
            (t0, t1) = (t1.clone(), t0 - quotient * t1);
            continue;
        }
        let [u0, v0, u1, v1] = [u0, v0, u1, v1].map(Int::from_signed);
        (r0, r1) = (&r0 * &u0 + &r1 * &v0, r0 * &u1 + r1 * &v1);
        (t0, t1) = (&t0 * &u0 + &t1 * &v0, t0 * &u1 + t1 * &v1);
        if r0.is_negative() {
            (r0, t0) = (-r0, -t0);
        }
        if r1.is_negative() {
            (r1, t1) = (-r1, -t1);
        }
    }
    t1
}

/// The matrix of the steps that leading words `x >= y` of 63 bits decide, down to `floor`; the unit matrix for none. Every
/// entry that is kept is below 2^63: wrapping only ever meets a step that is then refused.
fn batch(x: u64, y: u64, floor: u64) -> [[i64; 2]; 2] {
    let (mut x, mut y, floor) = (x as i64, y as i64, floor as i64);
    let (mut row0, mut row1) = ([1i64, 0i64], [0i64, 1i64]);
    let mut odd = false;
    while y != 0 && y > floor {
        let quotient = x / y;
        let next = x - quotient * y;
        let step = |i: usize| row0[i].wrapping_sub(quotient.wrapping_mul(row1[i]));
        let row2 = [step(0), step(1)];
        // Jebelean's condition, by the parity of the step.
        let (low, high) = if odd { (0, 1) } else { (1, 0) };
        if next < row2[low].wrapping_neg() || y - next < row2[high].wrapping_sub(row1[high]) {
            break;
        }
        (x, y) = (y, next);
        (row0, row1) = (row1, row2);
        odd = !odd;
    }
    [row0, row1]
}

/// # Errors
///
/// The first rule that the bytes break. [`FormDefect::NotCanonical`] for all that the encoder would not write.
pub(super) fn decode(group: &Group, discriminant_bits: u32, bytes: &[u8]) -> Result<Form, FormDefect> {
    let form = match bytes.first() {
        Some(&IDENTITY) => group.identity(),
        Some(&GENERATOR) => group.generator(),
        _ => {
            let (a, b) = decompress(group, discriminant_bits, bytes).ok_or(FormDefect::NotCanonical)?;
            member(group, a, b)?
        }
    };
    if encode(&form, discriminant_bits).as_deref() == Some(bytes) { Ok(form) } else { Err(FormDefect::NotCanonical) }
}

/// The two coefficients that the fields describe, whatever they are; `None` if they describe none.
fn decompress(group: &Group, discriminant_bits: u32, bytes: &[u8]) -> Option<(Int, Int)> {
    let (&[flags, extra], mut rest) = bytes.split_first_chunk()?;
    let mut fields = Vec::with_capacity(4);
    for len in field_bytes(discriminant_bits, usize::from(extra))? {
        let (field, tail) = rest.split_at_checked(len)?;
        fields.push(Int::from_be_bytes(&field.iter().rev().copied().collect::<Vec<_>>()));
        rest = tail;
    }
    let [a, t, g, b0] = <[Int; 4]>::try_from(fields).ok()?;
    if a.is_zero() || t.is_zero() || g.is_zero() {
        return None;
    }
    let t = if flags & NEGATIVE_T != 0 { -t } else { t };
    let (one, inverse, _) = t.rem_floor(&a).gcd_ext(&a);
    if !one.is_one() {
        return None;
    }
    let square = (t.square() * group.discriminant()).rem_floor(&a);
    let root = square.sqrt_floor();
    if root.square() != square {
        return None;
    }
    let magnitude = (root * inverse).rem_floor(&a) + &a * b0;
    Some((a * g, if flags & NEGATIVE_B != 0 { -magnitude } else { magnitude }))
}

/// The first prime among the numbers hashed from `seed`.
fn hash_prime<const N: usize>(engine: Engine, seed: &[u8], bits: usize, set: [usize; N]) -> Int {
    prime::first_prime(engine, hashed(seed, bits, set))
}

/// Numbers of `bits` bits hashed from `seed`, the bits of `set` set in each: SHA-256 of the seed, incremented as one
/// big-endian number before every hash, as many hashes as fill a number.
fn hashed<const N: usize>(seed: &[u8], bits: usize, set: [usize; N]) -> impl FnMut() -> Int + use<N> {
    let mut sprout = seed.to_vec();
    move || {
        let mut bytes = Vec::with_capacity(bits / 8 + 31);
        while bytes.len() < bits / 8 {
            for byte in sprout.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
            bytes.extend_from_slice(&Sha256::digest(&sprout));
        }
        bytes.truncate(bits / 8);
        for bit in set {
            bytes[bits / 8 - 1 - bit / 8] |= 1 << (bit % 8);
        }
        Int::from_be_bytes(&bytes)
    }
}

/// Bits that are set in a discriminant's magnitude.
fn set_in_discriminant(bits: u32) -> [usize; 4] {
    [0, 1, 2, bits as usize - 1]
}

/// The magnitude of Chia's discriminant for a challenge: prime, 7 modulo 8, of exactly `bits` bits.
pub(super) fn discriminant(engine: Engine, bits: u32, challenge: &[u8]) -> Int {
    hash_prime(engine, challenge, bits as usize, set_in_discriminant(bits))
}

/// What may be that magnitude, in order, without a small factor.
pub(super) fn candidates(bits: u32, challenge: &[u8]) -> impl Iterator<Item = Int> + use<> {
    prime::likely(hashed(challenge, bits as usize, set_in_discriminant(bits)))
}

/// The challenge prime for encoded forms `x` and `y`. It binds neither the discriminant nor the number of iterations.
pub(super) fn challenge(engine: Engine, x: &[u8], y: &[u8]) -> Int {
    hash_prime(engine, &[x, y].concat(), CHALLENGE_BITS, [0, CHALLENGE_BITS - 1])
}

#[cfg(test)]
#[path = "chia_tests.rs"]
mod tests;
