//! The kernels against the model, limb for limb, within and at the limits of what they take.

use super::super::constants;
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
fn values(multiple: u64, seed: u64) -> Vec<Fp28> {
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
            limbs = extremes[if lane.is_multiple_of(2) { round / 6 } else { round % 6 }];
        }
        limbs[LIMBS - 1] = limbs[LIMBS - 1].min(top);
        limbs
    };
    (0..300)
        .map(|round| {
            let lanes: [_; LANES] = std::array::from_fn(|lane| pick(round, lane));
            let limbs = Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| lanes[lane][i])));
            Fp28 { limbs, bound: Bound::CANONICAL }
        })
        .collect()
}

fn agree(
    kernel: impl Fn(&Fp28, &Fp28, Bound) -> Fp28,
    model: impl Fn(&Fp28, &Fp28, Bound) -> Fp28,
    (left, right): (u64, u64),
) {
    if skipped() {
        return;
    }
    for (a, b) in values(left, 1).iter().zip(values(right, 2).iter().rev()) {
        for (a, b) in [(a, b), (b, a)] {
            let [got, expected] = [kernel(a, b, Bound::CANONICAL), model(a, b, Bound::CANONICAL)];
            assert_eq!(got.limbs.0, expected.limbs.0, "of {:?} and {:?}", a.limbs.0, b.limbs.0);
        }
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
    agree(|a, _, bound| kernels::sqr(a, bound), |a, _, bound| model::sqr(a, bound), (32, 32));
}

#[test]
fn quadratic_products_and_squares_agree_with_the_model() {
    if skipped() {
        return;
    }
    let limbs = |value: Fp2<Fp28>| [value.c0.limbs.0, value.c1.limbs.0];
    for (left, right) in [(32, 32), (2, 512), (1024, 1)] {
        let (a, b) = ([values(left, 1), values(left, 2)], [values(right, 3), values(right, 4)]);
        let n = a[0].len();
        for i in 0..n {
            // Each with the others in an order of its own, so that the extremes meet.
            let a = Fp2 { c0: a[0][i], c1: a[1][i * 7 % n] };
            let b = Fp2 { c0: b[0][n - 1 - i], c1: b[1][i * 11 % n] };
            let [got, expected] =
                [kernels::mul_quadratic, model::mul_quadratic].map(|f| limbs(f(&a, &b, Bound::CANONICAL)));
            assert_eq!(got, expected, "of {:?}", [limbs(a), limbs(b)]);
            if left == 32 {
                let [got, expected] =
                    [kernels::sqr_quadratic, model::sqr_quadratic].map(|f| limbs(f(&a, Bound::CANONICAL)));
                assert_eq!(got, expected, "of {:?}", limbs(a));
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
    agree(|a, _, bound| kernels::tight(a, bound), |a, _, bound| model::tight(a, bound), (128, 128));
}

#[test]
fn quadratic_sums_and_differences_agree_with_the_model() {
    if skipped() {
        return;
    }
    let limbs = |value: Fp2<Fp28>| [value.c0.limbs.0, value.c1.limbs.0];
    type Binary = fn(&Fp2<Fp28>, &Fp2<Fp28>, Bound) -> Fp2<Fp28>;
    type Unary = fn(&Fp2<Fp28>, Bound) -> Fp2<Fp28>;
    let binary: [(u64, [Binary; 2]); 3] = [
        (256, [kernels::add_quadratic, model::add_quadratic]),
        (7, [kernels::sub_quadratic, model::sub_quadratic]),
        (31, [kernels::sub_wide_quadratic, model::sub_wide_quadratic]),
    ];
    let unary: [(u64, [Unary; 2]); 3] = [
        (7, [kernels::nonresidue, model::nonresidue]),
        (31, [kernels::nonresidue_wide, model::nonresidue_wide]),
        (128, [kernels::tight_quadratic, model::tight_quadratic]),
    ];
    let elements = |bound| -> Vec<Fp2<Fp28>> {
        let (c0, c1) = (values(bound, 1), values(bound, 2));
        (0..c0.len()).map(|i| Fp2 { c0: c0[i], c1: c1[i * 7 % c1.len()] }).collect()
    };
    for (bound, functions) in binary {
        let all = elements(bound);
        for (a, b) in all.iter().zip(all.iter().rev()) {
            let [got, expected] = functions.map(|f| limbs(f(a, b, Bound::CANONICAL)));
            assert_eq!(got, expected, "of {:?}", [limbs(*a), limbs(*b)]);
        }
    }
    for (bound, functions) in unary {
        for a in &elements(bound) {
            let [got, expected] = functions.map(|f| limbs(f(a, Bound::CANONICAL)));
            assert_eq!(got, expected, "of {:?}", limbs(*a));
        }
    }
}

#[test]
fn packing_and_selection_agree_with_the_model() {
    if skipped() {
        return;
    }
    let all = values(128, 1);
    for (i, value) in all.iter().enumerate() {
        let (mut got, mut expected) = ([[0; LIMBS / 2]; LANES], [[0; LIMBS / 2]; LANES]);
        kernels::pack(value, &mut got);
        model::pack(value, &mut expected);
        assert_eq!(got, expected);
        assert_eq!(kernels::unpack(got.each_ref()).0, model::unpack(got.each_ref()).0);
        let (mask, other) = (MASKS[i % 16], &all[(i * 7 + 1) % all.len()]);
        assert_eq!(kernels::select(mask, value, other).0, model::select(mask, value, other).0);
    }
}

#[test]
fn multiples_of_the_prime_are_zero_and_their_neighbours_are_not() {
    if skipped() {
        return;
    }
    for multiple in 0..128 {
        let exact = multiple_of_p::<LIMBS, BITS>(multiple);
        let [mut above, mut other, mut redundant] = [exact; 3];
        above[0] += 1;
        other[7] ^= 1;
        // The same value, a limb's worth lower.
        if redundant[6] > 0 && redundant[5] < 1 << 10 {
            redundant[6] -= 1;
            redundant[5] += 1 << BITS;
        }
        let lanes = [exact, above, other, redundant];
        let limbs = Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| lanes[lane][i])));
        assert_eq!(Fp28::with(limbs, Bound::below(128)).is_zero(), 0b1001, "{multiple}p");
    }
}

#[test]
fn a_multiple_of_the_prime_is_zero_or_the_prime_when_tight() {
    if skipped() {
        return;
    }
    let prime = Fp28::with(Limbs(spread(PRIME)), Bound::CANONICAL);
    let mut multiple = Fp28::zero();
    for _ in 0..64 {
        let tight = kernels::tight(&multiple, Bound::TIGHT).limbs.0;
        assert!(tight == spread([0; LIMBS]) || tight == prime.limbs.0, "{tight:x?}");
        multiple = kernels::add(&multiple, &prime, Bound::below(128));
    }
}

#[test]
fn cubic_products_agree_with_the_model() {
    if skipped() {
        return;
    }
    for (left, right) in [(16, 16), (1, 256), (256, 1)] {
        let elements = |multiple: u64, seed: u64| {
            let all = values(multiple, seed);
            let n = all.len();
            (0..n).map(|i| Fp2 { c0: all[i], c1: all[(i * 7 + 3) % n] }).collect::<Vec<_>>()
        };
        let (a, b) = (elements(left, 1), elements(right, 2));
        let n = a.len();
        for i in 0..n {
            let a = [&a[i], &a[i * 11 % n], &a[i * 13 % n]];
            let b = [&b[n - 1 - i], &b[i * 17 % n], &b[i * 19 % n]];
            let got = Fp28::mul_cubic(a, b);
            let square = |i: usize| model::wide_quadratic(a[i], b[i]);
            let cross = |i: usize, j: usize| model::wide_quadratic(&a[i].add(a[j]), &b[i].add(b[j]));
            let mut columns = [cross(1, 2), cross(0, 1), cross(0, 2)];
            model::combine_cubic(&mut columns, &[square(0), square(1), square(2)]);
            for (got, columns) in got.iter().zip(&mut columns) {
                for (got, columns) in [&got.c0, &got.c1].into_iter().zip(columns) {
                    assert_eq!(got.limbs.0, model::reduce(columns, Bound::PRODUCT).limbs.0);
                }
            }
        }
    }
}
