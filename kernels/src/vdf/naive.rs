//! The oracle: the same verdicts and discriminants by the shortest way from the definitions.
//!
//! Gauss' composition, complete reduction, square-and-multiply, two separate exponentiations, over `dashu-int` directly:
//! none of the code of `form.rs`, `lehmer.rs`, `integer.rs`, `wire.rs` and `wesolowski.rs` is used. Shared with them are
//! the challenge (pinned by published rows and by an independent script), Chia's compressed forms (pinned by published
//! rows: where their Euclid stops has no other definition than its code) and, for proofs, the discriminant's search, which
//! [`discriminant`] checks in its own kernel.
//!
//! Source: Cohen, *A Course in Computational Algebraic Number Theory*, algorithms 5.4.2 and 5.4.7.

use dashu_int::modular::IntoRing;
use dashu_int::ops::{ExtendedGcd, RemEuclid, UnsignedAbs};
use dashu_int::{IBig, UBig, fast_div::ConstDivisor};
use sha2::{Digest, Sha256};

use super::form::Form;
use super::integer::Int;
use super::modular::Engine;
use super::{DiscriminantValue, FormDefect, Part, Refusal, Scheme, challenge, chia};

/// `(a, b)`; `c` follows from the discriminant.
type Pair = (IBig, IBig);

fn third(a: &IBig, b: &IBig, d: &IBig) -> IBig {
    (b * b - d) / (IBig::from(4) * a)
}

pub(super) fn reduce((mut a, mut b): Pair, d: &IBig) -> Pair {
    loop {
        // The residue of b modulo 2a in (-a, a].
        let twice = &a * IBig::from(2);
        b = IBig::from(b.rem_euclid(&twice));
        if b > a {
            b -= twice;
        }
        let c = third(&a, &b, d);
        if a < c {
            return (a, b);
        }
        if a == c {
            let b = IBig::from(b.unsigned_abs());
            return (a, b);
        }
        (a, b) = (c, -b);
    }
}

pub(super) fn compose((a1, b1): &Pair, (a2, b2): &Pair, d: &IBig) -> Pair {
    let two = IBig::from(2);
    let s = (b1 + b2) / &two;
    // u a1 + v a2 = g1, x g1 + w s = g.
    let (g1, _, v) = a1.gcd_ext(a2);
    let (g, x, w) = IBig::from(g1).gcd_ext(&s);
    let g = IBig::from(g);
    let a = a1 * a2 / (&g * &g);
    let b = b2 + &two * (a2 / &g) * (x * v * ((b1 - b2) / &two) - w * third(a2, b2, d));
    reduce((a, b), d)
}

pub(super) fn power(form: &Pair, exponent: &UBig, d: &IBig) -> Pair {
    use dashu_int::ops::BitTest;
    let mut power = (IBig::ONE, IBig::ONE);
    for index in (0..exponent.bit_len()).rev() {
        power = compose(&power, &power, d);
        if exponent.bit(index) {
            power = compose(&power, form, d);
        }
    }
    power
}

fn signed(bytes: &[u8]) -> IBig {
    let magnitude = IBig::from(UBig::from_be_bytes(bytes));
    if bytes[0] < 0x80 { magnitude } else { magnitude - (IBig::ONE << (8 * bytes.len())) }
}

fn decode(bytes: &[u8], d: &IBig) -> Result<Pair, FormDefect> {
    let half = bytes.len() / 2;
    let (a, b) = (signed(&bytes[..half]), signed(&bytes[half..]));
    if a <= IBig::ZERO {
        return Err(FormDefect::NotPositive);
    }
    if IBig::from((&b).rem_euclid(IBig::from(2))) == IBig::ZERO {
        return Err(FormDefect::EvenMiddle);
    }
    if b > a || b < -&a {
        return Err(FormDefect::NotReduced);
    }
    if &b * &b - d != IBig::from(4) * &a * third(&a, &b, d) {
        return Err(FormDefect::OtherDiscriminant);
    }
    if a > third(&a, &b, d) {
        return Err(FormDefect::NotReduced);
    }
    // Reducing a form within the bounds changes at most the sign of b.
    if reduce((a.clone(), b.clone()), d).1 != b {
        return Err(FormDefect::WrongSign);
    }
    Ok((a, b))
}

/// `proof^prime x^(2^iterations mod prime)`.
fn claimed(proof: &Pair, prime: &UBig, x: &Pair, iterations: u64, d: &IBig) -> Pair {
    let remainder = UBig::from(2u8).into_ring(&ConstDivisor::new(prime.clone())).pow(&UBig::from(iterations)).residue();
    compose(&power(proof, prime, d), &power(x, &remainder, d), d)
}

/// The verdict on `y` then `proof`, then segments.
fn verify_chia(value: &DiscriminantValue, iterations: u64, bytes: &[u8], d: &IBig) -> Result<(), Refusal> {
    let depth = (bytes.len().saturating_sub(200) / 141).min(63);
    if bytes.len() != 200 + 141 * depth {
        return Err(Refusal::Length { got: bytes.len(), want: 200 + 141 * depth });
    }
    let form = |part, bytes: &[u8]| {
        let form =
            chia::decode(&value.group(), value.bits(), bytes).map_err(|defect| Refusal::Form { part, defect })?;
        Ok::<_, Refusal>((form.a.0, form.b.0))
    };
    let (y, proof) = (form(Part::Output, &bytes[..100])?, form(Part::Proof, &bytes[100..200])?);
    let mut left = iterations;
    let mut segments = Vec::new();
    for index in 0..depth {
        let segment = &bytes[bytes.len() - 141 * (index + 1)..][..141];
        let count = segment[..8].iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
        if count == 0 || count >= left {
            return Err(Refusal::SegmentIterations(index));
        }
        left -= count;
        let prime = UBig::from_be_bytes(&segment[8..41]);
        if segment[8] < 0x80 || segment[40].is_multiple_of(2) {
            return Err(Refusal::WrongSegment(index));
        }
        segments.push((count, prime, form(Part::Segment(index), &segment[41..])?));
    }
    let challenge = |x: &Pair, y: &Pair| {
        let encode = |(a, b): &Pair| {
            let form = Form { a: Int(a.clone()), b: Int(b.clone()), c: Int(third(a, b, d)) };
            chia::encode(&form, value.bits()).unwrap_or_default()
        };
        chia::challenge(Engine::SCALAR, &encode(x), &encode(y)).0.unsigned_abs()
    };
    let mut x = (IBig::from(2), IBig::ONE);
    for (index, (count, prime, proof)) in segments.iter().enumerate() {
        let output = claimed(proof, prime, &x, *count, d);
        if challenge(&x, &output) != *prime {
            return Err(Refusal::WrongSegment(index));
        }
        x = output;
    }
    let prime = challenge(&x, &y);
    if claimed(&proof, &prime, &x, left, d) == y { Ok(()) } else { Err(Refusal::WrongProof) }
}

/// The verdict on `y` then `proof`.
pub(super) fn verify(scheme: Scheme, value: &DiscriminantValue, iterations: u64, bytes: &[u8]) -> Result<(), Refusal> {
    if iterations == 0 {
        return Err(Refusal::NoIterations);
    }
    let d = -IBig::from(UBig::from_be_bytes(&value.to_bytes()));
    if scheme == Scheme::Chia264 {
        return verify_chia(value, iterations, bytes, &d);
    }
    // Half of the bits and a sign bit, rounded up to bytes.
    let coefficient = (value.bits() as usize / 2 + 1).div_ceil(8);
    let want = 4 * coefficient;
    if bytes.len() != want {
        return Err(Refusal::Length { got: bytes.len(), want });
    }
    let form = |part, bytes: &[u8]| decode(bytes, &d).map_err(|defect| Refusal::Form { part, defect });
    let y = form(Part::Output, &bytes[..want / 2])?;
    let proof = form(Part::Proof, &bytes[want / 2..])?;

    let mut x_bytes = vec![0; 2 * coefficient];
    x_bytes[coefficient - 1] = 2;
    x_bytes[2 * coefficient - 1] = 1;
    let prime = challenge::challenge(Engine::SCALAR, scheme, value, &x_bytes, &bytes[..want / 2], iterations);
    let prime = prime.0.unsigned_abs();
    let x = (IBig::from(2), IBig::ONE);
    if claimed(&proof, &prime, &x, iterations, &d) == y { Ok(()) } else { Err(Refusal::WrongProof) }
}

/// Whether no prime below 2000 divides `n`, and Fermat's test to two bases takes it for a prime.
fn seems_prime(n: &UBig) -> bool {
    let small = (3u32..2000).step_by(2).filter(|p| (3..*p).take_while(|d| d * d <= *p).all(|d| p % d != 0));
    let fermat = |base: u32| {
        let ring = ConstDivisor::new(n.clone());
        UBig::from(base).into_ring(&ring).pow(&(n - UBig::ONE)).residue() == UBig::ONE
    };
    small.into_iter().all(|p| n % p != 0) && fermat(2) && fermat(3)
}

/// The discriminant's magnitude for a seed: every candidate in turn.
pub(super) fn discriminant(scheme: Scheme, bits: u32, seed: &[u8; 32]) -> Vec<u8> {
    const M: u32 = 120_120;
    let len = bits as usize / 8;
    if scheme == Scheme::Chia264 {
        let mut sprout = UBig::from_be_bytes(seed);
        loop {
            let mut bytes = Vec::new();
            while bytes.len() < len {
                sprout += UBig::ONE;
                let number = sprout.to_be_bytes();
                // 32 bytes, modulo 2^256.
                let number = [vec![0; 32], number.to_vec()].concat();
                bytes.extend_from_slice(&Sha256::digest(&number[number.len() - 32..]));
            }
            bytes.truncate(len);
            bytes[0] |= 0x80;
            bytes[len - 1] |= 7;
            if seems_prime(&UBig::from_be_bytes(&bytes)) {
                return bytes;
            }
        }
    }
    let entropy: Vec<u8> =
        (0u16..).flat_map(|i| Sha256::digest([&seed[..], &i.to_be_bytes()].concat()).to_vec()).take(len + 2).collect();
    let residues: Vec<u32> =
        (0..M).filter(|r| r % 8 == 7 && [3, 5, 7, 11, 13].into_iter().all(|p| r % p != 0)).collect();
    let selector = usize::from(entropy[len]) * 256 + usize::from(entropy[len + 1]);
    let mut n = UBig::from_be_bytes(&entropy[..len]) | (UBig::ONE << (bits as usize - 1));
    n = &n - &n % UBig::from(M) + UBig::from(residues[selector % residues.len()]);
    while !seems_prime(&n) {
        n += UBig::from(M);
    }
    let bytes = n.to_be_bytes();
    [vec![0; len.saturating_sub(bytes.len())], bytes.to_vec()].concat()
}
