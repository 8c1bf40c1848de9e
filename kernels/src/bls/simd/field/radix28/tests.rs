//! The kernels against the model, limb for limb, within and at the limits of what they take.

use super::*;

fn skipped() -> bool {
    if !Fp28::available() {
        println!("SKIPPED: no AVX2");
    }
    !Fp28::available()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 24
    }
}

/// The largest limbs of a value below a multiple of the prime: every limb but the last at the invariant's top.
fn full(multiple: u64) -> [u64; LIMBS] {
    let mut limbs = [LOW + (1 << 10); LIMBS];
    limbs[LIMBS - 1] = multiple_of_p::<LIMBS, BITS>(multiple)[LIMBS - 1] - 1;
    limbs
}

/// Values below a multiple of the prime: the extremes, then random ones.
fn values(multiple: u64, seed: u64) -> Vec<Limbs> {
    let mut random = Random(seed);
    let mut exact = multiple_of_p::<LIMBS, BITS>(multiple);
    exact[0] -= 1;
    let mut lone = [0; LIMBS];
    lone[0] = 1;
    let extremes = [[0; LIMBS], lone, PRIME, exact, full(multiple), [LOW + (1 << 10); LIMBS]];
    let top = full(multiple)[LIMBS - 1];
    let mut pick = |round: usize, lane: usize| -> [u64; LIMBS] {
        let mut limbs = std::array::from_fn(|_| random.next() % (LOW + (1 << 10) + 1));
        if round < 36 {
            limbs = extremes[if lane % 2 == 0 { round / 6 } else { round % 6 }];
        }
        limbs[LIMBS - 1] = limbs[LIMBS - 1].min(top);
        limbs
    };
    (0..300)
        .map(|round| {
            let lanes: [_; LANES] = std::array::from_fn(|lane| pick(round, lane));
            Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| lanes[lane][i])))
        })
        .collect()
}

fn agree(kernel: impl Fn(&Limbs, &Limbs) -> Limbs, model: impl Fn(&Limbs, &Limbs) -> Limbs, (left, right): (u64, u64)) {
    if skipped() {
        return;
    }
    for (a, b) in values(left, 1).iter().zip(values(right, 2).iter().rev()) {
        assert_eq!(kernel(a, b).0, model(a, b).0, "of {:?} and {:?}", a.0, b.0);
        assert_eq!(kernel(b, a).0, model(b, a).0, "of {:?} and {:?}", b.0, a.0);
    }
}

#[test]
fn the_constants_fit() {
    assert_eq!(constants::P[0] & LOW, PRIME[0]);
    assert_eq!((PRIME[0] * K[0]) & LOW, LOW);
}

#[test]
fn products_agree_with_the_model() {
    agree(kernels::mul, model::mul, (32, 32));
    agree(kernels::mul, model::mul, (2, 512));
}

#[test]
fn squares_agree_with_the_model() {
    agree(|a, _| kernels::sqr(a), |a, _| model::sqr(a), (32, 32));
}

#[test]
fn quadratic_products_and_squares_agree_with_the_model() {
    if skipped() {
        return;
    }
    let limbs = |Pair(c0, c1): Pair| [c0.0, c1.0];
    for (left, right) in [(32, 32), (2, 512), (1024, 1)] {
        let (a, b) = ([values(left, 1), values(left, 2)], [values(right, 3), values(right, 4)]);
        let n = a[0].len();
        for i in 0..n {
            // Each with the others in an order of its own, so that the extremes meet.
            let (a0, a1, b0, b1) = (&a[0][i], &a[1][i * 7 % n], &b[0][n - 1 - i], &b[1][i * 11 % n]);
            let [got, expected] = [kernels::mul_quadratic, model::mul_quadratic].map(|f| limbs(f(a0, a1, b0, b1)));
            assert_eq!(got, expected, "of {:?}", [a0.0, a1.0, b0.0, b1.0]);
            if left == 32 {
                let [got, expected] = [kernels::sqr_quadratic, model::sqr_quadratic].map(|f| limbs(f(a0, a1)));
                assert_eq!(got, expected, "of {:?}", [a0.0, a1.0]);
            }
        }
    }
}

#[test]
fn sums_and_differences_agree_with_the_model() {
    agree(kernels::add, model::add, (256, 256));
    agree(kernels::sub, model::sub, (7, 7));
    agree(kernels::sub_wide, model::sub_wide, (31, 31));
}

#[test]
fn tight_values_agree_with_the_model() {
    agree(|a, _| kernels::tight(a), |a, _| model::tight(a), (128, 128));
}

#[test]
fn a_multiple_of_the_prime_is_zero_or_the_prime_when_tight() {
    let prime = Limbs(spread(PRIME));
    let mut multiple = Limbs(spread([0; LIMBS]));
    for _ in 0..64 {
        let tight = kernels::tight(&multiple);
        assert!(tight.0 == spread([0; LIMBS]) || tight.0 == prime.0, "{:x?}", tight.0);
        multiple = kernels::add(&multiple, &prime);
    }
}
