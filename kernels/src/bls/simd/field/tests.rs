//! Every field against blst, in the base field and in the quadratic extension over it: on random elements, on edges of
//! the field, and on representations at the edges of what the operations take.

use blst::{blst_fp, blst_fp2};

use super::fuzzing::{Binary, Unary, binary, conjugates, stored, unary, zeros};
use super::*;

pub(super) fn random(seed: &mut u64) -> blst_fp {
    let mut words = [0u64; 6];
    for byte in 0..48 {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        words[byte / 8] |= (*seed >> 56) << (byte % 8 * 8);
    }
    words[5] &= (1 << 60) - 1;
    blst_fp { l: words }
}

/// One blst function for each operation.
struct Oracle<T> {
    add: Binary<T>,
    sub: Binary<T>,
    mul: Binary<T>,
    sqr: Unary<T>,
    inverse: Unary<T>,
}

const BASE: Oracle<blst_fp> = Oracle {
    add: blst::blst_fp_add,
    sub: blst::blst_fp_sub,
    mul: blst::blst_fp_mul,
    sqr: blst::blst_fp_sqr,
    inverse: blst::blst_fp_eucl_inverse,
};
const QUADRATIC: Oracle<blst_fp2> = Oracle {
    add: blst::blst_fp2_add,
    sub: blst::blst_fp2_sub,
    mul: blst::blst_fp2_mul,
    sqr: blst::blst_fp2_sqr,
    inverse: blst::blst_fp2_eucl_inverse,
};

/// All operations of a ring on two values. These are below `31p`, so that they may be multiplied and subtracted.
fn check_ring<R: Ring>(x: &R, y: &R, oracle: &Oracle<R::Scalar>)
where
    R::Scalar: PartialEq + std::fmt::Debug,
{
    let (a, b) = (stored(x), stored(y));
    let zero = R::Scalar::default();
    let difference = binary(oracle.sub, &a, &b);
    assert_eq!(stored(&x.mul(y)), binary(oracle.mul, &a, &b), "mul");
    assert_eq!(stored(&x.sqr()), unary(oracle.sqr, &a), "sqr");
    assert_eq!(stored(&x.add(y)), binary(oracle.add, &a, &b), "add");
    assert_eq!(stored(&x.double()), binary(oracle.add, &a, &a), "double");
    assert_eq!(stored(&x.tight()), a, "tight");
    assert_eq!(stored(&x.sub(&y.tight())), difference, "sub");
    assert_eq!(stored(&x.sub_wide(y)), difference, "sub_wide");
    assert_eq!(stored(&x.tight().neg()), binary(oracle.sub, &vec![zero; R::LANES], &a), "neg");
    assert_eq!(stored(&x.sub_wide(y).sub_wide(&R::zero()).add(x).tight().sub(&x.tight())), difference, "a chain");

    assert_eq!(x.is_zero(), zeros(&a), "is_zero");
    assert_eq!(x.sub_wide(y).is_zero(), zeros(&difference), "is_zero of a difference");
    assert_eq!(x.sub_wide(x).is_zero(), R::ALL, "is_zero of nothing");

    for mask in [0, 0b0101_0101 & R::ALL, 0b1001_0011 & R::ALL, R::ALL] {
        let chosen: Vec<_> = (0..R::LANES).map(|i| if mask >> i & 1 == 1 { a[i] } else { b[i] }).collect();
        assert_eq!(stored(&R::select(mask, x, y)), chosen, "select");
    }

    let mut packed = vec![R::Packed::default(); R::LANES];
    x.sub_wide(y).pack(&mut packed);
    assert_eq!(stored(&R::unpack(|i| &packed[R::LANES - 1 - i])), rotated(&difference), "pack and unpack");
    assert_eq!(stored(&R::load(|i| a[R::LANES - 1 - i])), rotated(&a), "load and store");
}

/// Lanes in another order than they came in.
fn rotated<T: Copy>(lanes: &[T]) -> Vec<T> {
    lanes.iter().rev().copied().collect()
}

/// Inverses of values below `22p`, and all at once.
fn check_inverses<R: Ring>(values: &[R], oracle: &Oracle<R::Scalar>)
where
    R::Scalar: PartialEq + std::fmt::Debug,
{
    for value in values {
        assert_eq!(stored(&value.invert()), unary(oracle.inverse, &stored(value)), "invert");
    }
    let whole: Vec<R> = values.iter().filter(|value| value.is_zero() == 0).copied().collect();
    let mut inverses = whole.clone();
    assert!(invert_all(&mut inverses));
    for (value, inverse) in whole.iter().zip(&inverses) {
        assert_eq!(stored(inverse), unary(oracle.inverse, &stored(value)), "invert_all");
    }
    let mut spoiled = whole.clone();
    spoiled[whole.len() / 2] = R::select(R::ALL ^ 1 << (R::LANES - 1), &whole[0], &R::zero());
    let before: Vec<_> = spoiled.iter().map(stored).collect();
    assert!(!invert_all(&mut spoiled));
    assert_eq!(spoiled.iter().map(stored).collect::<Vec<_>>(), before);
}

/// What only the extension has; takes values below `7p`.
fn check_quadratic<F: Field>(x: &Fp2<F>, factor: &F) {
    let a = stored(x);
    let one_and_i = blst_fp2 { fp: [stored(&F::one())[0]; 2] };
    let turned = binary(blst::blst_fp2_mul, &a, &vec![one_and_i; F::LANES]);
    assert_eq!(stored(&x.mul_by_nonresidue()), turned);
    assert_eq!(stored(&x.mul_by_nonresidue_wide()), turned);
    let norm: Vec<blst_fp> = binary(blst::blst_fp2_mul, &a, &conjugates(&a)).iter().map(|norm| norm.fp[0]).collect();
    assert_eq!(stored(&x.norm()), norm);
    let factors: Vec<blst_fp2> =
        stored(factor).into_iter().map(|c0| blst_fp2 { fp: [c0, blst_fp::default()] }).collect();
    assert_eq!(stored(&x.scale(factor)), binary(blst::blst_fp2_mul, &a, &factors));
}

/// The same residue, `8p` higher each time; the bound grows by `9p`.
fn raised<F: Field>(value: &F, times: usize) -> F {
    let eight = F::zero().sub(&F::zero());
    (0..times).fold(*value, |value, _| value.add(&eight))
}

/// Checks a field, with `extremes` as further values below `31p` in the worst shape that the field allows itself.
fn agrees<F: Field>(extremes: &[F]) {
    let mut seed = 1;
    let mut last = constants::P;
    last[0] -= 1;
    let one = blst_fp { l: constants::power_of_two(384) };
    let edges = [blst_fp::default(), one, blst_fp { l: last }, blst_fp { l: [1, 0, 0, 0, 0, 0] }];
    let mut values: Vec<F> = edges.iter().map(F::splat).collect();
    for round in 0..32 {
        let shared = random(&mut seed);
        // All lanes random; some of them equal; some of them edges.
        let lane = |lane: usize| match (round % 3, (lane + round) % 4) {
            (1, 0 | 2) => shared,
            (2, edge) if lane.is_multiple_of(2) => edges[edge],
            _ => random(&mut seed),
        };
        values.push(F::load(lane));
    }
    assert_eq!(stored(&values[0]), vec![edges[0]; F::LANES]);
    assert_eq!(stored(&F::one()), vec![one; F::LANES]);
    check_inverses(&values, &BASE);
    let mut heights = values.clone();
    heights.extend(values.iter().enumerate().map(|(i, value)| raised(value, i % 4)));
    heights.extend_from_slice(extremes);

    let partner = |i: usize, step: usize| &heights[(i * step + 5) % heights.len()];
    for (i, x) in heights.iter().enumerate() {
        check_ring(x, partner(i, 7), &BASE);
        check_ring(x, x, &BASE);
        let y = Fp2 { c0: *x, c1: *partner(i, 3) };
        let z = Fp2 { c0: *partner(i, 11), c1: *partner(i, 1) };
        check_ring(&y, &z, &QUADRATIC);
        check_ring(&y, &y, &QUADRATIC);
        check_quadratic(&y.tight(), partner(i, 13));
    }
    // Bounds that multiply to nearly 1024.
    let high = raised(&values[5], 12);
    let low = values[6].tight().neg();
    let product = binary(blst::blst_fp_mul, &stored(&high), &stored(&low));
    assert_eq!(stored(&high.mul(&low)), product);
    assert_eq!(stored(&low.mul(&high)), product);

    let pairs = |i: usize| Fp2 { c0: values[i], c1: values[(i * 5 + 1) % values.len()] };
    check_inverses(&(0..values.len()).map(pairs).collect::<Vec<_>>(), &QUADRATIC);
}

#[test]
fn random_programs_agree_with_blst() {
    let mut seed = 7;
    for _ in 0..100 {
        let program: Vec<u8> = (0..100).flat_map(|_| random(&mut seed).l.map(|word| word as u8)).collect();
        fuzzing::field(&program);
    }
}

#[test]
fn radix49_agrees_with_blst() {
    if !Fp49::available() {
        println!("SKIPPED: no AVX2 and FMA");
        return;
    }
    agrees(&Fp49::extremes());
}

#[test]
fn emulated_radix52_agrees_with_blst() {
    agrees(&Fp52::<Emulated>::extremes());
}

#[test]
#[cfg(target_arch = "x86_64")]
fn radix52_by_ifma_instructions_agrees_with_blst() {
    if !Fp52::<Avx512>::available() {
        println!("SKIPPED: no AVX-512 IFMA here; scripts/emulate-ifma.sh runs its arithmetic");
        return;
    }
    agrees(&Fp52::<Avx512>::extremes());
}
