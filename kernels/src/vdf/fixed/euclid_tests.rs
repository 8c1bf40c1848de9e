//! Against the oracle on random and extreme numbers.

use dashu_int::ops::Gcd;
use dashu_int::{IBig, UBig};

use super::super::test_support::{Random, big, nat};

use super::*;

fn check_inverse(euclid: &mut Euclid, a: &UBig, b: &UBig) {
    let (mut g, mut t) = (Nat::ZERO, Nat::ZERO);
    let negative = euclid.inverse(&nat(a.as_words()), &nat(b.as_words()), &mut g, &mut t);
    assert_eq!(big(g.limbs()), a.gcd(b), "gcd of {a} and {b}");
    let signed = IBig::from(big(t.limbs()) * b) * if negative { -1 } else { 1 };
    assert_eq!((signed - IBig::from(big(g.limbs()))) % IBig::from(a.clone()), IBig::ZERO);
    assert!(big(t.limbs()) <= *a);
}

/// Rows of the lattice, of the right determinant and signs, the later remainder at most at the stop.
fn check_partial(euclid: &mut Euclid, a: &UBig, k: &UBig, stop: usize) {
    euclid.partial(&nat(a.as_words()), &nat(k.as_words()), stop);
    let [u0, u1] = euclid.remainders().map(|u| IBig::from(big(u)));
    let [y0, y1] = euclid.cofactors().map(|y| IBig::from(big(y)));
    let y0 = -y0;
    let a = IBig::from(a.clone());
    let k = IBig::from(k.clone());
    assert_eq!((&u0 - &k * &y0) % &a, IBig::ZERO);
    assert_eq!((&u1 - &k * &y1) % &a, IBig::ZERO);
    let determinant = &u0 * &y1 - &u1 * &y0;
    assert_eq!(determinant, a);
    let [r0, r1] = euclid.remainders().map(limbs::bits);
    assert!(r0.min(r1) <= stop);
    // No step too many, but for one by a remainder on the edge.
    assert!(r0.max(r1) >= stop || euclid.cofactors()[0] == [0], "{r0} {r1} {stop}");
}

fn pair(random: &mut Random) -> (UBig, UBig) {
    let (x, y) = (big(&random.nonzero(17)), big(&random.limbs(17)));
    if x >= y { (x, y) } else { (y, x) }
}

#[test]
fn inverses_agree_with_dashu() {
    let mut random = Random::new(8);
    let mut euclid = Euclid::NEW;
    for _ in 0..20_000 {
        let (a, b) = pair(&mut random);
        check_inverse(&mut euclid, &a, &b);
        let common = big(&random.nonzero(8));
        check_inverse(&mut euclid, &(&a * &common), &(&b * &common));
    }
}

#[test]
fn partial_rows_are_rows_of_the_lattice() {
    let mut random = Random::new(9);
    let mut euclid = Euclid::NEW;
    for _ in 0..40_000 {
        let (a, b) = pair(&mut random);
        let k = b % &a;
        check_partial(&mut euclid, &a, &k, random.below(17 * 64 + 10));
    }
}

#[test]
fn fibonacci_and_chosen_quotients_are_followed() {
    // Numbers from their continued fractions: all ones, huge quotients, and every mixture.
    let mut random = Random::new(10);
    let mut euclid = Euclid::NEW;
    for case in 0..10_000 {
        let (mut x, mut y) = (UBig::ONE, UBig::ZERO);
        while x.as_words().len() < 16 {
            let q = match (case % 4, random.below(40)) {
                (0, _) => 1,
                (1, 0) => random.limb().max(1),
                (2, _) => 1 + random.word() % 20,
                (3, _) => 1 << random.below(40),
                _ => 1 + random.word() % 3,
            };
            (x, y) = (&x * q + y, x);
            if case > 3 && random.below(200) == 0 {
                break;
            }
        }
        check_inverse(&mut euclid, &x, &y);
        let k = y % &x;
        check_partial(&mut euclid, &x, &k, random.below(17 * 64));
    }
}

#[test]
fn small_quotients_need_no_division() {
    let mut random = Random::new(11);
    for _ in 0..100_000 {
        let x = random.limb() >> (3 + random.below(60));
        let y = (random.limb() >> (3 + random.below(60))).max(1);
        assert_eq!(quotient(x, y), (x / y, x % y));
    }
}
