//! The kernels against dashu over moduli and values of many shapes, and one path against the other.

use dashu_int::UBig;
use dashu_int::ops::{BitTest, SquareRoot};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

fn to_big(limbs: &[u64]) -> UBig {
    UBig::from_le_bytes(&limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect::<Vec<_>>())
}

fn to_limbs(value: &UBig, limbs: usize) -> Vec<u64> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(8 * limbs, 0);
    bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap())).collect()
}

fn power(base: &UBig, exponent: &[u64], modulus: &UBig) -> UBig {
    let exponent = to_big(exponent);
    let mut result = UBig::ONE;
    for index in (0..exponent.bit_len()).rev() {
        result = result.sqr() % modulus;
        if exponent.bit(index) {
            result = result * base % modulus;
        }
    }
    result
}

fn random(rng: &mut impl Rng, limbs: usize) -> Vec<u64> {
    (0..limbs).map(|_| rng.random()).collect()
}

fn both(modulus: &[u64]) -> Vec<Montgomery> {
    let mut all = vec![Montgomery::portable(modulus).unwrap()];
    // Whatever the length: the choice by length is one of speed.
    let fast = Path::detect(MAX_LIMBS);
    if fast != Path::Portable {
        all.push(Montgomery::on(fast, modulus).unwrap());
    }
    all
}

/// Odd moduli with the top limb set: random, of ones, sparse, and of few top bits.
fn moduli(rng: &mut impl Rng, limbs: usize) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    for top in [u64::MAX, 1 << 63 | 0x1234, 1 << 63, 1 << 62, 3 << 60, 1 << 60, (1 << 60) - 1, 1 << 59, 17, 1] {
        let mut modulus = random(rng, limbs);
        modulus[0] |= 1;
        modulus[limbs - 1] = top;
        all.push(modulus);
        // A power of two plus one, or with all bits below.
        for fill in [0, u64::MAX] {
            let mut modulus = vec![fill; limbs];
            modulus[0] |= 1;
            modulus[limbs - 1] = top;
            all.push(modulus);
        }
    }
    let mut minus = vec![u64::MAX; limbs];
    minus[limbs - 1] = u64::MAX >> 1;
    all.push(minus.clone());
    minus[0] = u64::MAX - 188;
    all.push(minus.clone());
    minus[limbs - 1] = u64::MAX;
    if limbs > 2 {
        minus[limbs / 2] = 0;
    }
    all.push(minus);
    let mut sparse = vec![0; limbs];
    sparse[0] = 3 << 60 | 1;
    sparse[limbs / 2] |= 1 << 17;
    sparse[limbs - 1] = 1 << 63 | 1;
    all.push(sparse);
    all
}

fn values(rng: &mut impl Rng, modulus: &[u64]) -> Vec<Vec<u64>> {
    let limbs = modulus.len();
    let mut one = vec![0; limbs];
    one[0] = 1;
    let mut less = modulus.to_vec();
    less[0] -= 1;
    let half = to_limbs(&(to_big(modulus) >> 1), limbs);
    let mut high = vec![0; limbs];
    high[limbs - 1] = 1 << 63;
    vec![vec![0; limbs], one, less, half, modulus.to_vec(), high, vec![u64::MAX; limbs], random(rng, limbs)]
}

fn check(modulus: &[u64], values: &[Vec<u64>]) {
    let big = to_big(modulus);
    for field in both(modulus) {
        for (index, value) in values.iter().enumerate() {
            let reduced = to_big(value) % &big;
            let form = field.to_form(value).unwrap();
            assert_eq!(to_big(&field.value_of(&form)), reduced, "{field:?} {modulus:x?} {value:x?}");
            let mut square = form.clone();
            let mut expected = reduced.clone();
            for _ in 0..3 {
                field.square_times(&mut square, 1);
                expected = expected.sqr() % &big;
                assert_eq!(to_big(&field.value_of(&square)), expected, "{field:?} {modulus:x?} {value:x?}");
            }
            let other = &values[(index + 1) % values.len()];
            let mut product = form.clone();
            field.multiply(&mut product, &field.to_form(other).unwrap());
            let expected = &reduced * to_big(other) % &big;
            assert_eq!(to_big(&field.value_of(&product)), expected, "{field:?} {modulus:x?} {value:x?}");
            let mut double = form.clone();
            field.double(&mut double);
            assert_eq!(to_big(&field.value_of(&double)), (&reduced << 1) % &big);
            // Any limbs below R, as if a kernel had left them.
            if field.modulus.len() == modulus.len() {
                let mut square = Form(value.clone());
                field.square_times(&mut square, 2);
                let r2 = (UBig::ONE << (128 * modulus.len())) % &big;
                let back = to_big(&field.value_of(&square)) * r2.sqr() % &big;
                assert_eq!(back, to_big(value).sqr().sqr() % &big, "{field:?} {modulus:x?} {value:x?}");
            }
        }
    }
}

#[test]
fn every_width_matches_dashu() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for limbs in MIN_LIMBS..=MAX_LIMBS {
        for modulus in moduli(&mut rng, limbs) {
            check(&modulus, &values(&mut rng, &modulus));
        }
    }
}

#[test]
fn random_moduli_match_dashu() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..400 {
        let limbs = [8, 16, 24, 32, 40, 64][rng.random_range(0..6)];
        let mut modulus = random(&mut rng, limbs);
        modulus[0] |= 1;
        modulus[limbs - 1] |= u64::from(rng.random::<bool>()) << 63 | 1;
        check(&modulus, &values(&mut rng, &modulus));
    }
}

#[test]
fn moduli_outside_the_contract_are_refused() {
    for bad in [vec![], vec![1; 1], vec![1; 65], vec![2, 1, 1, 1], vec![1, 1, 1, 0]] {
        assert!(Montgomery::new(&bad).is_none() && Montgomery::portable(&bad).is_none());
    }
    assert!(Montgomery::new(&[1; 4]).unwrap().to_form(&[0; 5]).is_none());
}

#[test]
fn long_chains_agree() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (limbs, count) in [(4, 20_000), (13, 20_000), (16, 20_000), (32, 20_000), (33, 5_000), (64, 2_000)] {
        for modulus in moduli(&mut rng, limbs).into_iter().step_by(3) {
            let big = to_big(&modulus);
            let start = random(&mut rng, limbs);
            let ends: Vec<_> = both(&modulus)
                .iter()
                .map(|field| {
                    let mut form = field.to_form(&start).unwrap();
                    field.square_times(&mut form, count);
                    field.value_of(&form)
                })
                .collect();
            assert!(ends.iter().all(|end| *end == ends[0]));
            if limbs == 16 {
                let mut expected = to_big(&start) % &big;
                for _ in 0..count {
                    expected = expected.sqr() % &big;
                }
                assert_eq!(to_big(&ends[0]), expected);
            }
        }
    }
}

#[test]
fn powers_match_dashu() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for limbs in [4, 7, 8, 16, 17] {
        for modulus in moduli(&mut rng, limbs) {
            let big = to_big(&modulus);
            for exponent in [vec![], vec![0], vec![1], vec![63], vec![64, 0], random(&mut rng, 3)] {
                let base = random(&mut rng, limbs);
                let expected = |base: UBig| power(&base, &exponent, &big);
                for field in both(&modulus) {
                    let power = field.power(&field.to_form(&base).unwrap(), &exponent);
                    assert_eq!(to_big(&field.value_of(&power)), expected(to_big(&base)));
                    let power = field.power_of_two(&exponent);
                    assert_eq!(to_big(&field.value_of(&power)), expected(UBig::from(2u8)));
                }
            }
        }
    }
}

/// `2^bits + low` for `low` of either sign.
fn near_power(bits: usize, low: i128) -> UBig {
    let power = UBig::ONE << bits;
    if low < 0 { power - UBig::from(low.unsigned_abs()) } else { power + UBig::from(low as u128) }
}

fn limbs_of(value: &UBig) -> Vec<u64> {
    to_limbs(value, value.bit_len().div_ceil(64))
}

fn verdicts(modulus: &UBig, base: u64) -> (bool, bool) {
    let verdicts: Vec<_> = both(&limbs_of(modulus))
        .iter()
        .map(|field| {
            let base = field.to_form(&[base]).unwrap();
            (field.is_fermat_probable_prime_base_2(), field.is_strong_probable_prime(&base))
        })
        .collect();
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]));
    verdicts[0]
}

/// Mersenne primes, the primes of Curve25519, Curve448, P-256 and P-384, and secp256k1's.
fn primes() -> Vec<UBig> {
    let mut all: Vec<UBig> = [521, 607, 1279, 2203, 2281, 3217].map(|bits| near_power(bits, -1)).to_vec();
    all.push(near_power(255, -19));
    all.push(near_power(448, -1) - near_power(224, 0));
    all.push(near_power(256, -1) - near_power(224, 0) + near_power(192, 0) + near_power(96, 0));
    all.push(near_power(384, -1) - near_power(128, 0) - near_power(96, 0) + near_power(32, 0));
    all.push(near_power(256, -(1 << 32) - 977));
    all
}

#[test]
fn primes_pass() {
    for prime in primes() {
        for base in [2, 3, 65_537] {
            assert_eq!(verdicts(&prime, base), (true, true), "{prime}");
        }
    }
}

#[test]
fn composites_fail() {
    let mut composites: Vec<UBig> = primes().windows(2).map(|pair| &pair[0] * &pair[1]).collect();
    composites.retain(|composite| composite.bit_len() <= 64 * MAX_LIMBS);
    composites.push(near_power(2048, 1));
    composites.extend([259, 1021, 2047, 2049].map(|bits| near_power(bits, -189)));
    for composite in composites {
        let fermat_number = composite == near_power(2048, 1);
        // A Fermat number passes for base 2, and for no other here.
        assert_eq!(verdicts(&composite, 3), (fermat_number, false), "{composite}");
    }
}

#[test]
fn carmichael_numbers_pass_fermat_and_fail_miller_rabin() {
    // (6 k + 1) (12 k + 1) (18 k + 1) with all three prime (J. Chernick, "On Fermat's simple theorem", 1939).
    for k in [near_power(82, 1_631), near_power(168, 198_074)] {
        let [a, b, c] = [6u8, 12, 18].map(|factor| &k * UBig::from(factor) + UBig::ONE);
        let number = &a * &b * &c;
        let strong = [2, 3, 5, 7].map(|base| verdicts(&number, base));
        assert!(strong.iter().all(|verdict| verdict.0), "{number}");
        assert!(strong.iter().any(|verdict| !verdict.1), "{number}");
        for prime in [a, b, c].iter().filter(|prime| prime.bit_len() > 64 * (MIN_LIMBS - 1)) {
            assert_eq!(verdicts(prime, 2), (true, true));
        }
    }
}

#[test]
fn one_and_minus_one_are_told() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for limbs in [4, 8, 9, 16, 32, 64] {
        for modulus in moduli(&mut rng, limbs) {
            for field in both(&modulus) {
                let mut minus = modulus.clone();
                minus[0] -= 1;
                let minus = field.to_form(&minus).unwrap();
                let mut square = minus.clone();
                field.square_times(&mut square, 1);
                assert!(field.is_minus_one(&minus) && !field.is_one(&minus));
                assert!(field.is_one(&square) && field.is_one(&field.one()) && !field.is_minus_one(&square));
                field.square_times(&mut square, 0);
                assert!(field.is_one(&square));
            }
        }
    }
}

/// The largest root of a number just below a carry into the limb after `limbs`: with that limb all ones.
fn root_below_carry(rng: &mut impl Rng, limbs: usize) -> UBig {
    let mut high = random(rng, limbs);
    high[0] = u64::MAX;
    high[limbs - 1] |= 1 << 63;
    (((to_big(&high) + UBig::ONE) << (64 * limbs)) - UBig::ONE).sqrt()
}

fn check_raw(modulus: &[u64], value: &[u64]) {
    let big = to_big(modulus);
    let r2 = (UBig::ONE << (128 * modulus.len())) % &big;
    for field in both(modulus) {
        let mut form = Form(value.to_vec());
        field.square_times(&mut form, 1);
        assert_eq!(to_big(&field.value_of(&form)) * &r2 % &big, to_big(value).sqr() % &big, "{modulus:x?} {value:x?}");
    }
}

#[test]
fn carries_pass_the_upper_half_of_a_square() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for limbs in [32, 48, 64] {
        for _ in 0..50 {
            let mut modulus = random(&mut rng, limbs);
            modulus[0] |= 1;
            modulus[limbs - 1] |= 1 << 63;
            let mut value = random(&mut rng, limbs / 2);
            value.extend(to_limbs(&root_below_carry(&mut rng, limbs / 2), limbs / 2));
            check_raw(&modulus, &value);
        }
    }
}

/// `a` with `a value = 1 mod 2^bits` if `square` is false, or `a^2 value = 1`, for a value that is 1 mod 8; by Newton.
fn inverse(value: &UBig, bits: usize, square: bool) -> UBig {
    let mask = (UBig::ONE << (bits + 64)) - UBig::ONE;
    let mut guess = UBig::ONE;
    for _ in 0..14 {
        let product = if square { &guess * &guess * value } else { &guess * value } & &mask;
        let factor = (UBig::from(if square { 3u8 } else { 2 }) + &mask + UBig::ONE - product) & &mask;
        guess = ((guess * factor) & &mask) >> usize::from(square);
    }
    guess & ((UBig::ONE << bits) - UBig::ONE)
}

#[test]
fn carries_pass_the_end_of_a_folded_product() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..200 {
        let mut modulus = random(&mut rng, 32);
        modulus[0] |= 1;
        modulus[31] |= 1 << 63;
        let big = to_big(&modulus);
        // The multiple by which the lower 16 limbs are eliminated, and one of the parts that the upper eight are
        // multiplied by.
        let all = (UBig::ONE << 1024) - UBig::ONE;
        let factor = (UBig::ONE << 1024) - inverse(&big, 1024, false);
        let folded = ((&factor & &all) * &big + UBig::ONE) >> 1024;
        let part = (folded >> (if round % 2 == 0 { 512 } else { 1536 })) & ((UBig::ONE << 512) - UBig::ONE);
        let mut high = random(&mut rng, 8);
        high[0] = u64::MAX;
        high[7] >>= 8;
        let upper = ((to_big(&high) + UBig::ONE) << 512) / &part;
        let mut lower = random(&mut rng, 8);
        lower[0] = lower[0] & !7 | 1;
        let low = ((upper & ((UBig::ONE << 512) - UBig::ONE)) << 512) + to_big(&lower);
        // A root of that, modulo 2^1024.
        let root = (&low * inverse(&low, 1024, true)) & &all;
        assert_eq!(root.sqr() & &all, low);
        let mut value = to_limbs(&root, 16);
        value.extend(random(&mut rng, 16));
        check_raw(&modulus, &value);
    }
}
