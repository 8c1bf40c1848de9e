//! 4 lanes of 8 limbs of 49 bits, as doubles, one limb of each lane in a 256-bit vector: a fused multiply-add has products
//! of 106 bits, which AVX2 has in no other instruction.
//!
//! Montgomery form with `R = 2^392`, so `R / p > 2^11`: no product needs a final subtraction.
//!
//! Limbs are signed and carry their weight: limb `i` of a value `X` is an integer times `w_i = 2^(49 i - 392)`, so that
//! they add up to `X / R`. A product of limbs `i` and `j` belongs to column `i + j`, of unit `u_k = 2^(49 k - 784)`; the
//! upper half of column `k` is what column `k + 1` counts in, and column `8 + i` of a product is limb `i` of its `1/R`.
//!
//! Invariant of every element, in these units: limbs 0 to 6 at most `2^48 + 2^7`, the last one below `2^48`, and the value
//! at most its [`Bound`], above or below zero.
//!
//! Products: the upper halves of column `k` are summed from `1.5 * 2^101 u_k` on, among doubles that are `2^49 u_k` apart,
//! so a multiply-add into the sum rounds a product to a multiple of `2^49`. The sum before minus the sum after is exact,
//! and a second multiply-add to that leaves the lower half, at most `2^48`, exactly. This needs nothing but rounding to
//! nearest, the only mode there is in Rust. Bounds, asserted below for columns at their worst:
//! - upper halves add up to less than `2^100 u_k`, even if all limbs of one factor are sums of two;
//! - a column is less than `2^53 u_k` in all: its lower halves, the upper ones of the column before and its carry.
//!
//! Products in the quadratic extension that wait for their reduction are carried once, by columns; sums of seven of those,
//! as in the cubic extension over it, leave a reduction more room than products do.
//!
//! Reduction: a column of value `v` has the digit `m = -v/p mod 2^49`, nearest to zero, and `m p` is added from there
//! on. The lowest of its products, with `v`, is a multiple of `2^49` of at most 97 bits: one exact multiply-add. Digits add
//! less than `0.51 R p`, so a value of `1024 p^2`, or `2048 p^2` as in the quadratic extension, comes out below `1.4p`; one
//! of `4096 p^2`, as in the cubic extension, below `2.2p`.

use blst::blst_fp;

use super::bound::Bound;
use super::constants::{multiple_of_p, negated_inverse, power_of_two, reduce, split};
use super::{Field, Fp2, Mask, Ring};

#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod model;

#[cfg(not(target_arch = "x86_64"))]
use model as kernels;

const LANES: usize = 4;
const LIMBS: usize = 8;
const BITS: usize = 49;
/// Sums of limb products in a product of two elements, and what the last of them carries.
const COLUMNS: usize = 2 * LIMBS;
/// How far limbs but the last may be from zero.
const LARGEST: i64 = (1 << (BITS - 1)) + (1 << 7);

/// One vector a limb.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Limbs([[f64; LANES]; LIMBS]);

/// Columns of a product before its reduction.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Wide([[f64; LANES]; COLUMNS]);

/// One element at rest: its limbs.
type Packed = [f64; LIMBS];

/// 4 elements of the base field.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::bls) struct Fp49 {
    limbs: Limbs,
    bound: Bound,
}

const fn two_to(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// The unit of a limb.
const fn weight(limb: usize) -> f64 {
    two_to((BITS * limb) as i32 - 392)
}

/// The middle of doubles of which neighbours differ by one.
const WHOLE: f64 = 1.5 * two_to(52);

/// Where upper halves are summed from, by column: among multiples of `2^49`.
const START: [f64; COLUMNS] = {
    let mut starts = [0.0; COLUMNS];
    let mut k = 0;
    while k < COLUMNS {
        starts[k] = WHOLE * two_to((BITS * (k + 1)) as i32 - 784);
        k += 1;
    }
    starts
};

/// The same for a digit of the quotient, which has the unit of a limb.
const DIGIT_START: [f64; LIMBS] = {
    let mut starts = [0.0; LIMBS];
    let mut k = 0;
    while k < LIMBS {
        starts[k] = WHOLE * weight(k + 1);
        k += 1;
    }
    starts
};

/// Limbs between `-2^48` and `2^48`, but the last.
const fn balanced(limbs: [u64; LIMBS]) -> [i64; LIMBS] {
    let mut out = [0; LIMBS];
    let mut carry = 0;
    let mut i = 0;
    while i < LIMBS {
        let limb = limbs[i] as i64 + carry;
        carry = if i < LIMBS - 1 && limb > 1 << (BITS - 1) { 1 } else { 0 };
        out[i] = limb - (carry << BITS);
        i += 1;
    }
    out
}

/// Integers as limbs.
const fn weighted(limbs: [i64; LIMBS]) -> [f64; LIMBS] {
    let mut out = [0.0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        out[i] = limbs[i] as f64 * weight(i);
        i += 1;
    }
    out
}

const P: [i64; LIMBS] = balanced(multiple_of_p::<LIMBS, BITS>(1));
const PRIME: [f64; LIMBS] = weighted(P);

/// `-1/p mod 2^49`, nearest to zero.
const NEGATED_INVERSE: i64 = (negated_inverse() << (64 - BITS)) as i64 >> (64 - BITS);
/// From the unit of a column to that of its digit.
const INVERSE: f64 = NEGATED_INVERSE as f64 * two_to(392);
/// Takes the last limb to the value in multiples of the prime: what is below the limb counts for less than `2^-37`.
const RECIPROCAL: f64 = 1.0 / (P[LIMBS - 1] as f64 * weight(LIMBS - 1));

/// The bounds of the module's notes: in the columns of a reduced product with one factor of sums of two, and in the
/// difference of two products of columns, reduced. `2^48` is counted as one.
const _: () = {
    // With what a limb may exceed 2^48, and what a quotient's rounding may add.
    let one = 1.0 + 1e-9;
    // No product below the last limb of either factor matters: it is that of a value below 512p.
    let last = P[LIMBS - 1] as f64 * 512.0 / two_to(48);
    assert!(last < 0.5 && LARGEST as f64 <= one * two_to(48));
    let mut carried = [0.0; 2];
    let mut upper = [0.0; 2];
    let mut k = 0;
    while k < COLUMNS {
        let (mut products, mut halves, mut digits, mut digit_halves) = (0.0, 0.0, 0.0, 0.0);
        let mut i = 0;
        while i < LIMBS {
            if k >= i && k - i < LIMBS {
                let j = k - i;
                products += one * if i == LIMBS - 1 || j == LIMBS - 1 { last } else { 1.0 };
                halves += 1.0;
                if j > 0 {
                    digits += one * (if P[j] < 0 { -P[j] } else { P[j] }) as f64 / two_to(48);
                    digit_halves += 1.0;
                }
            }
            i += 1;
        }
        // Upper halves, in units of 2^96, and columns, in units of 2^48.
        let sums = [2.0 * products + digits, 2.0 * products + digits];
        let columns = [halves + digit_halves + 1.001 * one, 2.0 * halves + digit_halves];
        let mut case = 0;
        while case < 2 {
            let value = columns[case] + upper[case] / 2.0 + carried[case];
            assert!((case == 1 || sums[case] + 0.001 < 16.0) && value < 32.0);
            carried[case] = 0.5 + 1e-12;
            upper[case] = sums[case] + 1e-12 * 32.0;
            case += 1;
        }
        k += 1;
    }
    // The product that finds a digit stays among its multiples of 2^49.
    assert!(NEGATED_INVERSE.unsigned_abs() < 1 << 47);
};

/// `2^392 mod p`.
const ONE: [f64; LIMBS] = weighted(balanced(split::<LIMBS, BITS>(&power_of_two(392))));
/// Montgomery form of blst (`2^384`) times this, reduced, is ours.
const FROM_BLST: [f64; LIMBS] = weighted(balanced(split::<LIMBS, BITS>(&power_of_two(400))));
/// Ours times this, reduced, is blst's.
const TO_BLST: [f64; LIMBS] = weighted(balanced(split::<LIMBS, BITS>(&power_of_two(384))));

/// The same limbs in every lane.
const fn spread<const N: usize>(limbs: [f64; N]) -> [[f64; LANES]; N] {
    let mut out = [[0.0; LANES]; N];
    let mut i = 0;
    while i < N {
        out[i] = [limbs[i]; LANES];
        i += 1;
    }
    out
}

/// A value that is the same in every lane.
macro_rules! constant {
    ($limbs:expr) => {{
        static VALUE: Fp49 = Fp49 { limbs: Limbs(spread($limbs)), bound: Bound::CANONICAL };
        &VALUE
    }};
}

impl Fp49 {
    /// Whether this processor can compute with it. Every other function asks for that.
    pub(in crate::bls::simd) fn available() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        #[cfg(not(target_arch = "x86_64"))]
        true
    }

    #[inline(always)]
    fn with(limbs: Limbs, bound: Bound) -> Self {
        let this = Self { limbs, bound };
        #[cfg(debug_assertions)]
        this.assert_limbs();
        this
    }

    #[cfg(debug_assertions)]
    fn assert_limbs(&self) {
        for (i, limbs) in self.limbs.0.iter().enumerate() {
            let largest = if i < LIMBS - 1 { LARGEST as f64 } else { two_to(48) };
            for limb in limbs.map(|limb| limb / weight(i)) {
                assert!(limb.fract() == 0.0 && limb.abs() <= largest, "limb {i} is {limb}");
            }
        }
    }

    /// 64-bit words by lane.
    fn from_words(mut lane: impl FnMut(usize) -> [u64; 6], bound: Bound) -> Self {
        let mut limbs = [[0.0; LANES]; LIMBS];
        for i in 0..LANES {
            for (limb, part) in limbs.iter_mut().zip(weighted(balanced(split::<LIMBS, BITS>(&lane(i))))) {
                limb[i] = part;
            }
        }
        Self::with(Limbs(limbs), bound)
    }

    /// The residue in one lane of a value between `-p` and `p`, as 64-bit words.
    fn to_words(self, lane: usize) -> [u64; 6] {
        let mut words = [0; 6];
        let mut carry = 0;
        for (j, limb) in self.limbs.0.iter().enumerate() {
            // More than zero with the prime.
            let sum = (limb[lane] * (1.0 / weight(j))) as i64 + P[j] + carry;
            carry = sum >> BITS;
            let limb = sum as u64 & ((1 << BITS) - 1);
            let (word, shift) = (j * BITS / 64, j * BITS % 64);
            words[word] |= limb << shift;
            if shift + BITS > 64 && word + 1 < 6 {
                words[word + 1] |= limb >> (64 - shift);
            }
        }
        reduce(words)
    }
}

/// All ones in the lanes of a mask.
const MASKS: [[u64; LANES]; 1 << LANES] = {
    let mut masks = [[0; LANES]; 1 << LANES];
    let mut i = 0;
    while i < LANES << LANES {
        if (i / LANES) >> (i % LANES) & 1 == 1 {
            masks[i / LANES][i % LANES] = u64::MAX;
        }
        i += 1;
    }
    masks
};

impl Ring for Fp49 {
    const LANES: usize = LANES;
    type Scalar = blst_fp;
    type Packed = Packed;

    fn load(mut lane: impl FnMut(usize) -> blst_fp) -> Self {
        Self::from_words(|i| lane(i).l, Bound::CANONICAL).mul(constant!(FROM_BLST))
    }
    fn store(&self, lanes: &mut [blst_fp]) {
        self.bound.check(128);
        // Below p: 128 p / R and the half of what digits add.
        let value = self.mul(constant!(TO_BLST));
        for (i, lane) in lanes.iter_mut().take(LANES).enumerate() {
            lane.l = value.to_words(i);
        }
    }
    fn unpack<'a>(lane: impl FnMut(usize) -> &'a Self::Packed) -> Self {
        Self::with(kernels::unpack(std::array::from_fn(lane)), Bound::PRODUCT)
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        let Some(lanes) = lanes.first_chunk_mut() else { unreachable!("a place for every lane") };
        kernels::pack(&self.tight(), lanes);
    }
    fn zero() -> Self {
        *constant!([0.0; LIMBS])
    }
    fn one() -> Self {
        *constant!(ONE)
    }
    #[inline]
    fn add(&self, rhs: &Self) -> Self {
        kernels::add(self, rhs, self.bound.plus(rhs.bound))
    }
    #[inline]
    fn sub(&self, rhs: &Self) -> Self {
        rhs.bound.check(7);
        kernels::sub(self, rhs, self.bound.plus(Bound::below(8)))
    }
    #[inline]
    fn sub_wide(&self, rhs: &Self) -> Self {
        rhs.bound.check(31);
        kernels::sub(self, rhs, self.bound.plus(Bound::below(32)))
    }
    #[inline]
    fn neg(&self) -> Self {
        constant!([0.0; LIMBS]).sub(self)
    }
    #[inline]
    fn mul(&self, rhs: &Self) -> Self {
        self.bound.check_product(rhs.bound);
        kernels::mul(self, rhs, Bound::PRODUCT)
    }
    #[inline]
    fn sqr(&self) -> Self {
        self.bound.check_product(self.bound);
        kernels::sqr(self, Bound::PRODUCT)
    }
    #[inline]
    fn tight(&self) -> Self {
        self.bound.check(128);
        kernels::tight(self, Bound::TIGHT)
    }
    #[inline]
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self::with(kernels::select(MASKS[usize::from(mask) % MASKS.len()], yes, no), yes.bound.or(no.bound))
    }
    fn is_zero(&self) -> Mask {
        // Less than p from zero, so zero or no multiple of it. Limbs that are nearest to zero add up to it only if all are.
        let tight = self.tight();
        let is_zero = |lane: usize| tight.limbs.0.iter().all(|limb| limb[lane] == 0.0);
        (0..LANES).fold(0, |mask, lane| mask | Mask::from(is_zero(lane)) << lane)
    }
    fn invert(&self) -> Self {
        let mut lanes = [blst_fp::default(); LANES];
        self.store(&mut lanes);
        super::invert_lanes(&mut lanes);
        Self::load(|lane| lanes[lane])
    }
}

impl Fp2<Fp49> {
    #[inline(always)]
    fn bound(&self) -> Bound {
        self.c0.bound.or(self.c1.bound)
    }
}

impl Field for Fp49 {
    #[inline]
    fn mul_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        a.bound().check_product(b.bound());
        kernels::mul_quadratic(a, b, Bound::PRODUCT)
    }
    #[inline]
    fn sqr_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        a.bound().check_product(a.bound());
        kernels::sqr_quadratic(a, Bound::PRODUCT)
    }
    fn mul_cubic(a: [&Fp2<Self>; 3], b: [&Fp2<Self>; 3]) -> [Fp2<Self>; 3] {
        let bound = |[c0, c1, c2]: [&Fp2<Self>; 3]| c0.bound().or(c1.bound()).or(c2.bound());
        bound(a).plus(bound(a)).plus(bound(a).plus(bound(a))).check_product(bound(b));
        let square = |i: usize| kernels::wide_quadratic(a[i], b[i]);
        let cross = |i: usize, j: usize| kernels::wide_quadratic(&a[i].add(a[j]), &b[i].add(b[j]));
        let squares = [square(0), square(1), square(2)];
        let mut columns = [cross(1, 2), cross(0, 1), cross(0, 2)];
        kernels::combine_cubic(&mut columns, &squares);
        columns.each_ref().map(|columns| kernels::reduce_quadratic(columns, Bound::PRODUCT))
    }
    #[inline]
    fn add_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        let sum = kernels::add_quadratic(a, b, Bound::CANONICAL);
        bounded(sum, a.c0.bound.plus(b.c0.bound), a.c1.bound.plus(b.c1.bound))
    }
    #[inline]
    fn sub_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        b.bound().check(7);
        let added = Bound::below(8);
        bounded(kernels::sub_quadratic(a, b, Bound::CANONICAL), a.c0.bound.plus(added), a.c1.bound.plus(added))
    }
    #[inline]
    fn sub_wide_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        b.bound().check(31);
        let added = Bound::below(32);
        bounded(kernels::sub_quadratic(a, b, Bound::CANONICAL), a.c0.bound.plus(added), a.c1.bound.plus(added))
    }
    #[inline]
    fn nonresidue(a: &Fp2<Self>) -> Fp2<Self> {
        a.c1.bound.check(7);
        let product = kernels::nonresidue(a, Bound::CANONICAL);
        bounded(product, a.c0.bound.plus(Bound::below(8)), a.c0.bound.plus(a.c1.bound))
    }
    #[inline]
    fn nonresidue_wide(a: &Fp2<Self>) -> Fp2<Self> {
        a.c1.bound.check(31);
        let product = kernels::nonresidue(a, Bound::CANONICAL);
        bounded(product, a.c0.bound.plus(Bound::below(32)), a.c0.bound.plus(a.c1.bound))
    }
    #[inline]
    fn tight_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        a.bound().check(128);
        kernels::tight_quadratic(a, Bound::TIGHT)
    }
}

/// The same value with the bounds of its coordinates.
#[inline(always)]
fn bounded(mut value: Fp2<Fp49>, c0: Bound, c1: Bound) -> Fp2<Fp49> {
    value.c0.bound = c0;
    value.c1.bound = c1;
    value
}

#[cfg(test)]
mod tests;
