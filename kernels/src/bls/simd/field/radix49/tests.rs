//! The kernels against the model, limb for limb, within and at the limits of what they take.

use super::super::constants;
use super::*;

fn skipped() -> bool {
    if !Fp49::available() {
        println!("SKIPPED: no AVX2 and FMA");
    }
    !Fp49::available()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 12
    }
    /// Between `-largest` and `largest`.
    fn limb(&mut self, largest: i64) -> i64 {
        (self.next() % (2 * largest as u64 + 1)) as i64 - largest
    }
}

fn last(multiple: u64) -> i64 {
    multiple_of_p::<LIMBS, BITS>(multiple)[LIMBS - 1] as i64 - 1
}

/// Every limb at the invariant's end, of a value that is below a multiple of the prime.
fn full(multiple: u64, sign: impl Fn(usize) -> i64) -> [i64; LIMBS] {
    std::array::from_fn(|i| sign(i) * if i < LIMBS - 1 { LARGEST } else { last(multiple) })
}

/// Products of such limbs are halfway between multiples of `2^49`.
fn ties() -> [i64; LIMBS] {
    std::array::from_fn(|i| if i < LIMBS - 1 { 1 << 24 } else { 0 })
}

fn vector(lanes: [[i64; LIMBS]; LANES], bound: Bound) -> Fp49 {
    let lanes = lanes.map(weighted);
    Fp49::with(Limbs(std::array::from_fn(|i| lanes.map(|lane| lane[i]))), bound)
}

/// Values below a multiple of the prime: the extremes, then random ones.
fn values(multiple: u64, seed: u64) -> Vec<Fp49> {
    let mut random = Random(seed);
    let exact = balanced(multiple_of_p::<LIMBS, BITS>(multiple)).map(|limb| -limb);
    let mut lone = [0; LIMBS];
    lone[0] = 1;
    let alternating = |i: usize| if i.is_multiple_of(2) { 1 } else { -1 };
    let extremes = [
        [0; LIMBS],
        lone,
        P,
        exact,
        full(multiple, |_| 1),
        full(multiple, |_| -1),
        full(multiple, alternating),
        ties(),
        ties().map(|limb| -limb),
    ];
    let n = extremes.len();
    let mut pick = |round: usize, lane: usize| -> [i64; LIMBS] {
        if round < n * n {
            return extremes[if lane.is_multiple_of(2) { round / n } else { round % n }];
        }
        let mut limbs: [i64; LIMBS] = std::array::from_fn(|_| random.limb(LARGEST));
        limbs[LIMBS - 1] = random.limb(last(multiple));
        limbs
    };
    (0..300).map(|round| vector(std::array::from_fn(|lane| pick(round, lane)), Bound::CANONICAL)).collect()
}

impl Fp49 {
    /// Values below `31p`, of limbs at the invariant's ends too.
    pub(in super::super) fn extremes() -> Vec<Self> {
        let bounded = |value: Self| Self { bound: Bound::below(31), ..value };
        if skipped() { Vec::new() } else { values(31, 3).into_iter().take(100).map(bounded).collect() }
    }
}

fn limbs(value: &Fp2<Fp49>) -> [[[f64; LANES]; LIMBS]; 2] {
    [value.c0.limbs.0, value.c1.limbs.0]
}

/// Elements of the quadratic extension, the extremes with each other too.
fn elements(multiple: u64, seed: u64) -> Vec<Fp2<Fp49>> {
    let (c0, c1) = (values(multiple, seed), values(multiple, seed + 1));
    (0..c0.len()).map(|i| Fp2 { c0: c0[i], c1: c1[i * 7 % c1.len()] }).collect()
}

type Binary<T> = fn(&T, &T, Bound) -> T;
type Unary<T> = fn(&T, Bound) -> T;

fn agree([kernel, model]: [Binary<Fp49>; 2], (left, right): (u64, u64)) {
    if skipped() {
        return;
    }
    let (a, b) = (values(left, 1), values(right, 2));
    let n = a.len();
    for step in [1, 7, 83] {
        for i in 0..n {
            for (a, b) in [(&a[i], &b[i * step % n]), (&b[i * step % n], &a[i])] {
                let [got, expected] = [kernel, model].map(|f| f(a, b, Bound::CANONICAL).limbs.0);
                assert_eq!(got, expected, "of {:?} and {:?}", a.limbs.0, b.limbs.0);
            }
        }
    }
}

fn agree_quadratic([kernel, model]: [Binary<Fp2<Fp49>>; 2], (left, right): (u64, u64)) {
    if skipped() {
        return;
    }
    let (a, b) = (elements(left, 1), elements(right, 3));
    for step in [1, 11, 83] {
        for (i, a) in a.iter().enumerate() {
            let b = &b[i * step % b.len()];
            let [got, expected] = [kernel, model].map(|f| limbs(&f(a, b, Bound::CANONICAL)));
            assert_eq!(got, expected, "of {:?}", [limbs(a), limbs(b)]);
        }
    }
}

#[test]
fn products_agree_with_the_model() {
    agree([kernels::mul, model::mul], (32, 32));
    agree([kernels::mul, model::mul], (2, 512));
}

#[test]
fn squares_agree_with_the_model() {
    agree([|a, _, bound| kernels::sqr(a, bound), |a, _, bound| model::sqr(a, bound)], (32, 32));
}

#[test]
fn a_square_is_a_product() {
    for value in values(32, 5) {
        let [square, product] = [model::sqr(&value, Bound::PRODUCT), model::mul(&value, &value, Bound::PRODUCT)];
        let difference = model::sub(&square, &product, Bound::PRODUCT);
        assert_eq!(model::tight(&difference, Bound::TIGHT).limbs.0, [[0.0; LANES]; LIMBS]);
    }
}

#[test]
fn quadratic_products_and_squares_agree_with_the_model() {
    for bounds in [(32, 32), (2, 512), (512, 2)] {
        agree_quadratic([kernels::mul_quadratic, model::mul_quadratic], bounds);
    }
    let square: [Binary<_>; 2] =
        [|a, _, bound| kernels::sqr_quadratic(a, bound), |a, _, bound| model::sqr_quadratic(a, bound)];
    agree_quadratic(square, (32, 32));
}

#[test]
fn cubic_products_agree_with_the_model() {
    if skipped() {
        return;
    }
    for (left, right) in [(16, 16), (1, 256), (256, 1)] {
        let (a, b) = (elements(left, 1), elements(right, 3));
        let n = a.len();
        for i in 0..n {
            let a = [&a[i], &a[i * 11 % n], &a[i * 13 % n]];
            let b = [&b[n - 1 - i], &b[i * 17 % n], &b[i * 19 % n]];
            let square = |i: usize| model::wide_quadratic(a[i], b[i]);
            let cross = |i: usize, j: usize| model::wide_quadratic(&a[i].add(a[j]), &b[i].add(b[j]));
            let mut columns = [cross(1, 2), cross(0, 1), cross(0, 2)];
            model::combine_cubic(&mut columns, &[square(0), square(1), square(2)]);
            for (got, columns) in Fp49::mul_cubic(a, b).iter().zip(&columns) {
                assert_eq!(limbs(got), limbs(&model::reduce_quadratic(columns, Bound::PRODUCT)));
            }
        }
    }
}

#[test]
fn sums_and_differences_agree_with_the_model() {
    agree([kernels::add, model::add], (256, 256));
    agree([kernels::sub, model::sub], (256, 31));
    agree_quadratic([kernels::add_quadratic, model::add_quadratic], (256, 256));
    agree_quadratic([kernels::sub_quadratic, model::sub_quadratic], (256, 31));
}

#[test]
fn other_functions_agree_with_the_model() {
    agree([|a, _, bound| kernels::tight(a, bound), |a, _, bound| model::tight(a, bound)], (128, 128));
    let unary: [(u64, [Unary<Fp2<Fp49>>; 2]); 2] =
        [(31, [kernels::nonresidue, model::nonresidue]), (128, [kernels::tight_quadratic, model::tight_quadratic])];
    for (bound, functions) in unary {
        for a in elements(bound, 1) {
            let [got, expected] = functions.map(|f| limbs(&f(&a, Bound::CANONICAL)));
            assert_eq!(got, expected, "of {:?}", limbs(&a));
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
        let (mut got, mut expected) = ([[0.0; LIMBS]; LANES], [[0.0; LIMBS]; LANES]);
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
        let exact = balanced(multiple_of_p::<LIMBS, BITS>(multiple));
        let [mut above, mut other] = [exact; 2];
        above[0] += 1;
        other[5] ^= 1;
        let lanes = [exact, above, other, exact.map(|limb| -limb)];
        assert_eq!(vector(lanes, Bound::below(128)).is_zero(), 0b1001, "{multiple}p");
    }
}

#[test]
fn a_tight_value_is_next_to_zero() {
    for multiple in 0..128 {
        let exact = balanced(multiple_of_p::<LIMBS, BITS>(multiple));
        let tight =
            model::tight(&vector([exact, exact.map(|limb| -limb), exact, exact], Bound::below(128)), Bound::TIGHT);
        assert_eq!(tight.limbs.0, [[0.0; LANES]; LIMBS], "{multiple}p");
    }
    for value in values(128, 9) {
        let tight = model::tight(&value, Bound::TIGHT);
        let most = (P[LIMBS - 1] / 2 + 2) as f64 * weight(LIMBS - 1);
        assert!(tight.limbs.0[LIMBS - 1].iter().all(|limb| limb.abs() <= most));
    }
}

#[test]
fn the_constants_fit() {
    assert_eq!(constants::P[0] & ((1 << BITS) - 1), P[0] as u64 & ((1 << BITS) - 1));
    assert_eq!((P[0].wrapping_mul(NEGATED_INVERSE) + 1) & ((1 << BITS) - 1), 0);
}
