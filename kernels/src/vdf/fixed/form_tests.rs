//! Against Gauss' reduction.

use dashu_int::IBig;

use super::super::test_support::{Random, form, hostile, reduce, triple};

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
