//! Against Gauss' composition, on chains and on hostile forms.

use dashu_int::ops::Gcd;
use dashu_int::{IBig, UBig};

use super::super::test_support::{Random, Triple, big, form, hostile, prime_discriminant, product, triple, with_first};
use super::*;

fn check_chain(d: &IBig, start: Triple, steps: usize) {
    let mut workspace = Workspace::new(big(d.as_sign_words().1).as_words().len() * 64).expect("it fits");
    let mut state = form(&start);
    let mut want = start;
    for step in 0..steps {
        workspace.square(&mut state);
        want = product(&want, &want, d);
        assert_eq!(triple(&state), want, "step {step} of {d}");
        assert!(state.is_reduced());
    }
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

#[test]
fn hostile_forms_of_any_discriminant_are_squared() {
    let mut random = Random::new(13);
    let mut common = 0;
    let mut count = 0;
    while count < 20_000 {
        let d_bits = [128, 256, 512, 1024, 2048][random.below(5)];
        let Some((d, start)) = hostile(&mut random, d_bits) else { continue };
        common += ((&start.0).gcd(&start.1) != UBig::ONE) as usize;
        let mut workspace = Workspace::new(limbs::bits(d.as_sign_words().1)).expect("it fits");
        let mut state = form(&start);
        assert!(state.is_reduced());
        workspace.square(&mut state);
        assert_eq!(triple(&state), product(&start, &start, &d), "{start:?}");
        count += 1;
    }
    assert!(common > 1000, "{common}");
}
