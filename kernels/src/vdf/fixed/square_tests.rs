//! Against Gauss composition and reduction, on chains and on hostile forms.

use dashu_int::{IBig, UBig};

use super::super::test_support::{Random, big, nat};
use super::*;

/// Coefficients in the oracle's integers.
type Triple = (IBig, IBig, IBig);

fn triple(form: &Form) -> Triple {
    let b = IBig::from(big(form.b.limbs()));
    (IBig::from(big(form.a.limbs())), if form.negative { -b } else { b }, IBig::from(big(form.c.limbs())))
}

fn form((a, b, c): &Triple) -> Form {
    let magnitude = |x: &IBig| nat(x.as_sign_words().1);
    Form { a: magnitude(a), b: magnitude(b), negative: *b < IBig::ZERO, c: magnitude(c) }
}

/// Gauss' reduction.
fn reduce((mut a, mut b): (IBig, IBig), d: &IBig) -> Triple {
    use dashu_int::ops::{Abs, RemEuclid};
    loop {
        let twice = &a * IBig::from(2);
        b = IBig::from((&b).rem_euclid(&twice));
        if b > a {
            b -= twice;
        }
        let c = (&b * &b - d) / (IBig::from(4) * &a);
        if a < c {
            return (a, b, c);
        }
        if a == c {
            return (a, b.abs(), c);
        }
        (a, b) = (c, -b);
    }
}

/// Gauss' composition of a form with itself, for primitive forms.
fn squared((a, b, c): &Triple, d: &IBig) -> Triple {
    use dashu_int::ops::ExtendedGcd;
    let (g, _, w) = a.gcd_ext(b);
    let g = IBig::from(g);
    let a1 = a / &g;
    reduce((&a1 * &a1, b - IBig::from(2) * &a1 * w * c), d)
}

fn discriminant((a, b, c): &Triple) -> IBig {
    b * b - IBig::from(4) * a * c
}

/// `-p` for the least prime `p = 7 mod 8` above a random number, by Fermat's test.
fn prime_discriminant(random: &mut Random, bits: usize) -> IBig {
    use dashu_int::fast_div::ConstDivisor;
    use dashu_int::modular::IntoRing;
    let mut limbs: Vec<u64> = (0..bits / 64).map(|_| random.word()).collect();
    limbs[0] |= 7;
    limbs[bits / 64 - 1] |= 1 << 63;
    let mut p = big(&limbs);
    loop {
        let small = [3u32, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53].iter().all(|s| &p % *s != 0);
        if small {
            let ring = ConstDivisor::new(p.clone());
            if UBig::from(2u8).into_ring(&ring).pow(&(&p - UBig::ONE)).residue() == UBig::ONE {
                return -IBig::from(p);
            }
        }
        p += UBig::from(8u8);
    }
}

fn check_chain(d: &IBig, start: Triple, steps: usize) {
    let mut squarer = Squarer::new(big(d.as_sign_words().1).as_words().len() * 64).expect("it fits");
    let mut state = form(&start);
    let mut want = start;
    for step in 0..steps {
        squarer.square(&mut state);
        want = squared(&want, d);
        assert_eq!(triple(&state), want, "step {step} of {d}");
        assert!(state.is_reduced());
    }
}

fn with_first(a: u64, b: i64, d: &IBig) -> Triple {
    let (a, b) = (IBig::from(a), IBig::from(b));
    let c = (&b * &b - d) / (IBig::from(4) * &a);
    (a, b, c)
}

#[test]
fn chains_agree_with_gauss() {
    let mut random = Random::new(12);
    for (bits, discriminants, steps) in
        [(128, 10, 1000), (192, 10, 1000), (256, 8, 1000), (512, 6, 2500), (1024, 4, 3000), (2048, 3, 2000)]
    {
        for _ in 0..discriminants {
            let d = prime_discriminant(&mut random, bits);
            check_chain(&d, with_first(2, 1, &d), steps);
            check_chain(&d, with_first(2, -1, &d), steps / 10);
            check_chain(&d, with_first(1, 1, &d), 3);
        }
    }
}

/// A random reduced form whose first coefficient has about `a_bits` bits: `a` times the class of a random form.
fn hostile(random: &mut Random, d_bits: usize) -> Option<(IBig, Triple)> {
    // Any a, b, c with b² - 4ac < 0 of the size: no prime discriminant, but gcds and shapes of every kind.
    let max = d_bits / 64;
    let a = IBig::from(big(&random.nonzero(max / 2)));
    let b = match random.below(6) {
        0 => a.clone(),
        1 => IBig::ZERO,
        2 => &a - IBig::ONE,
        3 => IBig::from(big(&random.limbs(2))) % (&a + IBig::ONE),
        _ => IBig::from(big(&random.limbs(max / 2))) % (&a + IBig::ONE),
    };
    let b = if random.below(2) == 0 { -b } else { b };
    let c = match random.below(4) {
        0 => a.clone(),
        1 => &a + IBig::from(random.below(5) as u64),
        _ => &a + IBig::from(big(&random.limbs(max / 2))),
    };
    let form = (a, b, c);
    let d = discriminant(&form);
    let bits = limbs::bits(d.as_sign_words().1);
    let content = {
        use dashu_int::ops::Gcd;
        IBig::from((&form.0).gcd(&form.1)).gcd(&form.2)
    };
    (d < IBig::ZERO && bits <= d_bits && content == UBig::ONE).then(|| {
        let reduced = reduce((form.0, form.1), &d);
        (d, reduced)
    })
}

#[test]
fn hostile_forms_of_any_discriminant_are_squared() {
    let mut random = Random::new(13);
    let mut common = 0;
    let mut count = 0;
    while count < 20_000 {
        let d_bits = [128, 256, 512, 1024, 2048][random.below(5)];
        let Some((d, start)) = hostile(&mut random, d_bits) else { continue };
        use dashu_int::ops::Gcd;
        common += ((&start.0).gcd(&start.1) != UBig::ONE) as usize;
        let mut squarer = Squarer::new(limbs::bits(d.as_sign_words().1)).expect("it fits");
        let mut state = form(&start);
        assert!(state.is_reduced());
        squarer.square(&mut state);
        assert_eq!(triple(&state), squared(&start, &d), "{start:?}");
        count += 1;
    }
    assert!(common > 1000, "{common}");
}

#[test]
fn reduction_agrees_with_gauss() {
    let mut random = Random::new(14);
    let mut count = 0;
    while count < 20_000 {
        let Some((d, start)) = hostile(&mut random, 1024) else { continue };
        // A few substitutions x -> x + q y and swaps.
        let (mut a, mut b, mut c) = start;
        for _ in 0..random.below(4) {
            let q = IBig::from(random.limb() >> random.below(64)) * if random.below(2) == 0 { 1 } else { -1 };
            c += &q * &b + &q * &q * &a;
            b += IBig::from(2) * &q * &a;
            (a, b, c) = (c, -b, a);
        }
        let mut state = form(&(a.clone(), b.clone(), c));
        state.reduce();
        assert_eq!(triple(&state), reduce((a, b), &d));
        count += 1;
    }
}
