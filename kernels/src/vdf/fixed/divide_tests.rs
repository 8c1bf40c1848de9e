//! Against the oracle on random and extreme numbers.

use super::super::test_support::{Random, big, nat};

use super::*;

#[test]
fn quotient_and_remainder_agree_with_dashu() {
    let mut random = Random::new(1);
    let mut space = Remainder::NEW;
    for _ in 0..30_000 {
        let x = random.limbs(33);
        let y = random.nonzero(33);
        let (mut r, mut q) = (nat(&x), Nat::ZERO);
        div_rem(&mut r, &nat(&y), &mut q);
        assert_eq!((big(q.limbs()), big(r.limbs())), (big(&x) / big(&y), big(&x) % big(&y)), "{x:x?} / {y:x?}");
        let mut again = nat(&x);
        space.reduce(&mut again, &nat(&y));
        assert_eq!(again, r);
    }
}

#[test]
fn a_quotient_limb_of_all_ones_is_found() {
    // The dividend's leading limbs equal the divisor's, or nearly.
    for low in [0, 1, u64::MAX] {
        for next in [0, 1, u64::MAX - 1, u64::MAX] {
            let y = [low, next, 1 << 63];
            let product = big(&y) * big(&[u64::MAX, u64::MAX, u64::MAX]);
            for offset in 0..3u32 {
                let x = &product + (big(&y) - dashu_int::UBig::ONE) * offset;
                let x: Vec<u64> = x.as_words().to_vec();
                let (mut r, mut q) = (nat(&x), Nat::ZERO);
                div_rem(&mut r, &nat(&y), &mut q);
                assert_eq!((big(q.limbs()), big(r.limbs())), (big(&x) / big(&y), big(&x) % big(&y)));
            }
        }
    }
}

#[test]
fn exact_quotients_of_both_signs_come_back() {
    let mut random = Random::new(2);
    let mut divisor = ExactDivisor::ONE;
    for _ in 0..30_000 {
        let y = random.nonzero(17);
        let q = random.limbs(16);
        divisor.set(&nat(&y));
        let len = q.len() + 1;
        let mut dividend: Vec<u64> = (big(&y) * big(&q)).as_words().to_vec();
        dividend.resize(divisor.dividend_len(len), 0);
        let mut negated = dividend.clone();
        limbs::negate(&mut negated);
        divisor.divide(&mut dividend, len);
        assert_eq!(big(&dividend), big(&q));
        divisor.divide(&mut negated, len);
        limbs::negate(&mut negated[..len]);
        assert_eq!(big(&negated), big(&q));
    }
}
