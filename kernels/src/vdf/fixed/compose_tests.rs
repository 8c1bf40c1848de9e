//! Against Gauss' composition: chains, random products, and pairs with every kind of common divisor.

use dashu_int::ops::{ExtendedGcd, Gcd};
use dashu_int::{IBig, UBig};

use super::super::test_support::{
    Random, Triple, big, discriminant, form, hostile, prime_discriminant, product, reduce, triple, with_first,
};
use super::*;

fn workspace(d: &IBig) -> Workspace {
    Workspace::new(big(d.as_sign_words().1).as_words().len() * 64).expect("it fits")
}

fn inverse((a, b, c): &Triple, d: &IBig) -> Triple {
    let (a, b, same) = reduce((a.clone(), -b), d);
    assert_eq!(&same, c);
    (a, b, same)
}

/// Products in both orders, with inverses, of each with itself and with the identity.
fn check_all(workspace: &mut Workspace, f: &Triple, g: &Triple, d: &IBig) {
    let one = with_first(1, if d % IBig::from(2) == IBig::ZERO { 0 } else { 1 }, d);
    for (left, right) in [(f, g), (g, f), (f, f), (f, &one), (&one, f), (&one, &one)] {
        let mut got = form(left);
        workspace.compose(&mut got, &form(right));
        assert!(got.is_reduced());
        assert_eq!(triple(&got), product(left, right, d), "{left:?} {right:?}");
        let mut got = form(left);
        workspace.compose_inverse(&mut got, &form(right));
        assert!(got.is_reduced());
        assert_eq!(triple(&got), product(left, &inverse(right, d), d), "{left:?} / {right:?}");
    }
    let mut got = form(f);
    workspace.compose_inverse(&mut got, &form(f));
    assert_eq!(triple(&got), one);
    workspace.compose(&mut got, &form(g));
    assert_eq!(&triple(&got), g);
}

#[test]
fn chains_agree_with_gauss() {
    let mut random = Random::new(15);
    for (bits, discriminants, steps) in
        [(128, 10, 200), (192, 10, 200), (256, 8, 200), (512, 6, 300), (1024, 4, 300), (2048, 3, 200)]
    {
        for _ in 0..discriminants {
            let d = prime_discriminant(&mut random, bits);
            let mut workspace = workspace(&d);
            let mut left = with_first(2, 1, &d);
            let mut right = product(&left, &left, &d);
            for step in 0..steps {
                // Fibonacci powers, with the squares of some between them.
                let next = product(&left, &right, &d);
                let mut got = form(&left);
                workspace.compose(&mut got, &form(&right));
                assert_eq!(triple(&got), next, "step {step} of {d}");
                (left, right) = (right, next);
                if step % 8 == 0 {
                    workspace.square(&mut got);
                    right = product(&right, &right, &d);
                    assert_eq!(triple(&got), right);
                }
                if step % 16 == 0 {
                    check_all(&mut workspace, &left, &right, &d);
                }
            }
        }
    }
}

/// Two forms of a discriminant that is no prime: `a1 = g α1`, `a2 = g α2`, and `g` divides `m s`.
///
/// `a2 c2 - a1 c1 = m s` leaves `c1 = c + α2 t`, for any `t`.
fn hostile_pair(random: &mut Random, d_bits: usize) -> Option<(IBig, Triple, Triple)> {
    let limbs = d_bits / 128;
    let part = |random: &mut Random, max: usize| {
        let part = IBig::from(big(&random.nonzero(max.max(1))));
        part >> (random.below(3) * random.below(64))
    };
    let (alpha1, alpha2) = (part(random, limbs), part(random, limbs));
    let small = |random: &mut Random| match random.below(4) {
        0 => IBig::ONE,
        1 => IBig::from(2 + random.below(30) as u64),
        2 => IBig::from(2 + random.below(1 << 20) as u64),
        _ => IBig::from(big(&random.nonzero((limbs / 2).max(1)))),
    };
    let (g1, g2) = (small(random), small(random));
    let sign = |random: &mut Random| IBig::from(1 - 2 * (random.below(2) as i64));
    let m = &g1 * IBig::from(random.below(6) as u64) * sign(random);
    let s = &g2 * IBig::from(random.below(6) as u64) * sign(random);
    let g = &g1 * &g2;
    if alpha1 == IBig::ZERO || alpha2 == IBig::ZERO {
        return None;
    }
    let (one, u, v) = (&alpha1).gcd_ext(&alpha2);
    if one != UBig::ONE {
        return None;
    }
    // α2 c2 - α1 c1 = h.
    let h = &m * &s / &g;
    let t = IBig::from(big(&random.nonzero(limbs)));
    let c1 = -(u * &h) + &alpha2 * &t;
    let c2 = v * h + &alpha1 * t;
    let (f1, f2) = ((&alpha1 * &g, &s - &m, c1), (alpha2 * g, s + m, c2));
    let d = discriminant(&f1);
    assert_eq!(d, discriminant(&f2));
    let primitive = |(a, b, c): &Triple| IBig::from(a.gcd(b)).gcd(c) == UBig::ONE;
    let fits = d < IBig::ZERO && big(d.as_sign_words().1).as_words().len() * 64 <= d_bits;
    (fits && primitive(&f1) && primitive(&f2)).then(|| {
        let (f1, f2) = (reduce((f1.0, f1.1), &d), reduce((f2.0, f2.1), &d));
        (d, f1, f2)
    })
}

#[test]
fn hostile_pairs_of_any_discriminant_are_composed() {
    let mut random = Random::new(16);
    let (mut common, mut partly, mut long) = (0, 0, 0);
    let mut count = 0;
    while count < 6000 {
        let d_bits = [128, 256, 512, 1024, 2048][random.below(5)];
        let Some((d, f1, f2)) = hostile_pair(&mut random, d_bits) else { continue };
        let g = (&f1.0).gcd(&f2.0);
        let all = IBig::from(g.clone()).gcd((&f1.1 + &f2.1) / IBig::from(2));
        common += (g != UBig::ONE) as usize;
        partly += (all != g && all != UBig::ONE) as usize;
        long += (g.as_words().len() > 1) as usize;
        check_all(&mut workspace(&d), &f1, &f2, &d);
        count += 1;
    }
    assert!(common > 1500 && partly > 150 && long > 300, "{common} {partly} {long}");
}

#[test]
fn hostile_forms_are_composed_with_their_powers() {
    let mut random = Random::new(17);
    let mut count = 0;
    while count < 2000 {
        let d_bits = [128, 256, 512, 1024, 2048][random.below(5)];
        let Some((d, f)) = hostile(&mut random, d_bits) else { continue };
        let mut workspace = workspace(&d);
        let square = product(&f, &f, &d);
        check_all(&mut workspace, &f, &square, &d);
        check_all(&mut workspace, &f, &product(&square, &square, &d), &d);
        count += 1;
    }
}
