//! Against the oracle on random and extreme numbers.

use dashu_int::{IBig, UBig};

use super::super::test_support::{Random, big};

use super::*;

fn power(len: usize) -> UBig {
    UBig::ONE << (64 * len)
}

#[test]
fn sums_and_differences_wrap_at_the_length() {
    let mut random = Random::new(3);
    for _ in 0..20_000 {
        let x = random.limbs(20);
        let y: Vec<u64> = random.limbs(x.len()).into_iter().take(x.len()).collect();
        let mut sum = x.clone();
        let carry = add_assign(&mut sum, &y);
        assert_eq!(big(&sum) + (power(x.len()) * carry as u8), big(&x) + big(&y));
        assert_eq!(sub_assign(&mut sum, &y), carry);
        assert_eq!(sum, x);
        negate(&mut sum);
        assert_eq!(add_assign(&mut sum, &x), x.iter().any(|&limb| limb != 0));
        assert_eq!(used(&sum), 0);
        assert_eq!(used(&x), big(&x).as_words().len());
        assert_eq!(bits(&x), dashu_int::ops::BitTest::bit_len(&big(&x)));
    }
}

#[test]
fn products_agree_with_dashu() {
    let mut random = Random::new(4);
    for _ in 0..20_000 {
        let (x, y) = (random.nonzero(18), random.nonzero(18));
        let want = big(&x) * big(&y);
        let mut out = vec![7; x.len() + y.len()];
        mul(&mut out, &x, &y);
        assert_eq!(big(&out), want);
        let mut low = vec![7; 1 + random.below(40)];
        mul_low(&mut low, &x, &y);
        assert_eq!(big(&low), want % power(low.len()));
        let mut out = vec![7; 2 * x.len()];
        square(&mut out, &x);
        assert_eq!(big(&out), big(&x) * big(&x));
    }
}

#[test]
fn products_by_a_limb_add_and_subtract() {
    let mut random = Random::new(5);
    for _ in 0..20_000 {
        let x = random.nonzero(18);
        let mut out: Vec<u64> = x.iter().map(|_| random.limb()).collect();
        let (old, y) = (out.clone(), random.limb());
        let top = add_mul_limb(&mut out, &x, y);
        assert_eq!(big(&out) + power(x.len()) * top, big(&old) + big(&x) * y);
        assert_eq!(sub_mul_limb(&mut out, &x, y), top);
        assert_eq!(out, old);
    }
}

#[test]
fn shifts_move_bits_across_limbs() {
    let mut random = Random::new(6);
    for _ in 0..5_000 {
        let x = random.nonzero(18);
        let count = 1 + random.below(63) as u32;
        let mut shifted = x.clone();
        let out = shift_left(&mut shifted, count);
        assert_eq!(big(&shifted) + power(x.len()) * out, big(&x) << count as usize);
        shift_right(&mut shifted, count, out);
        assert_eq!(shifted, x);
        let shift = random.below(64 * x.len());
        assert_eq!(UBig::from(window(&x, shift)), (big(&x) >> shift) % power(2));
    }
}

#[test]
fn both_combinations_agree_with_dashu() {
    let mut random = Random::new(7);
    let mut checked = 0;
    while checked < 20_000 {
        let x = random.nonzero(18);
        let y: Vec<u64> = x.iter().map(|_| random.limb()).collect();
        let m: [u64; 4] = std::array::from_fn(|_| random.limb() >> 1);
        let [a, b, c, d] = m.map(UBig::from);
        let (mut x1, mut y1) = (x.clone(), y.clone());
        let (x_top, y_top) = combine_cofactors(&mut x1, &mut y1, m);
        assert_eq!(big(&x1) + power(x.len()) * x_top, &a * big(&x) + &b * big(&y));
        assert_eq!(big(&y1) + power(x.len()) * y_top, &c * big(&x) + &d * big(&y));
        // Random numbers seldom give remainders in range: make them from the result. d x1 - b y1 = (ad - bc) x.
        let m = [random.limb() >> 34, random.limb() >> 34, random.limb() >> 34, random.limb() >> 34];
        let [a, b, c, d] = m.map(IBig::from);
        let want =
            [&a * IBig::from(big(&x)) - &b * IBig::from(big(&y)), d * IBig::from(big(&y)) - c * IBig::from(big(&x))];
        if want.iter().all(|w| *w >= IBig::ZERO && *w < IBig::from(power(x.len()))) {
            let (mut x1, mut y1) = (x.clone(), y.clone());
            combine_remainders(&mut x1, &mut y1, m);
            assert_eq!([big(&x1), big(&y1)].map(IBig::from), want);
        }
        checked += 1;
    }
}
