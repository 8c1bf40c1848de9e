//! 4 lanes of 14 limbs of 28 bits, one limb of each lane in a 256-bit vector: products of limbs fit 64-bit columns with
//! room for whole sums of them, which AVX2 has instructions for and nothing wider.
//!
//! Montgomery form with `R = 2^392`, so `R / p > 2^11`: no product needs a final subtraction.
//!
//! Invariant of every element: limbs 0 to 12 below `2^28 + 2^10`, and the value below its [`Bound`].
//!
//! Reduction: with `k = -1/p mod 2^28` and `M = (k p + 1) / 2^28`, adding `q k p` for `q` the lowest limb clears that
//! limb and adds `q M` one limb up: no product to find `q`. Thirteen limbs go that way and add less than `p` to the
//! result, since `2^364 k p < R p`; the last one goes the usual way, by `q = t k mod 2^28` and `q p`, and adds less than
//! `p` again.

use blst::blst_fp;

use super::bound::Bound;
use super::constants::{self, multiple_of_p, negated_inverse, power_of_two, reduce, split};
use super::{Field, Fp2, Mask, Ring};

const LANES: usize = 4;
const LIMBS: usize = 14;
const BITS: usize = 28;
const LOW: u64 = (1 << BITS) - 1;

type Limbs = [[u64; LANES]; LIMBS];
/// Sums of products, before carries.
type Columns = [[u64; LANES]; 2 * LIMBS];

/// 4 elements of the base field.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(in crate::bls::simd) struct Fp28 {
    limbs: Limbs,
    bound: Bound,
}

const PRIME: [u64; LIMBS] = multiple_of_p::<LIMBS, BITS>(1);
/// `-1 / p mod 2^28`.
const K: u64 = negated_inverse() & LOW;
/// `(k p + 1) / 2^28`.
const M: [u64; LIMBS] = {
    let kp: [u64; LIMBS + 1] = multiple_of_p::<{ LIMBS + 1 }, BITS>(K);
    // The lowest limb is all ones: adding one carries out of it.
    assert!(kp[0] == LOW);
    let mut m = [0; LIMBS];
    let mut i = 0;
    let mut carry = 1;
    while i < LIMBS {
        let sum = kp[i + 1] + carry;
        m[i] = sum & LOW;
        carry = sum >> BITS;
        i += 1;
    }
    m
};
/// `2^392 mod p`.
const ONE: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(392));
/// Montgomery form of blst (`2^384`) times this, reduced, is ours.
const FROM_BLST: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(400));
/// Ours times this, reduced, is blst's.
const TO_BLST: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(384));
/// `8p` and `32p`, every limb but the last with `2^30` lent to it by the next.
const MULTIPLE_8: [u64; LIMBS] = lend(8);
const MULTIPLE_32: [u64; LIMBS] = lend(32);

/// `-p` modulo `2^364`: `-p` is this less `PRIME[13] + 1` times `2^364`.
const COMPLEMENT: [u64; LIMBS] = {
    let mut limbs = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS - 1 {
        limbs[i] = LOW - PRIME[i] + if i == 0 { 1 } else { 0 };
        i += 1;
    }
    limbs
};

const fn lend(multiple: u64) -> [u64; LIMBS] {
    let mut limbs = multiple_of_p::<LIMBS, BITS>(multiple);
    let mut i = 0;
    while i < LIMBS - 1 {
        limbs[i] += 1 << 30;
        limbs[i + 1] -= 1 << (30 - BITS);
        i += 1;
    }
    limbs
}

/// The same limbs in every lane.
const fn spread(limbs: [u64; LIMBS]) -> Limbs {
    let mut out = [[0; LANES]; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        out[i] = [limbs[i]; LANES];
        i += 1;
    }
    out
}

/// Carries once, all limbs at a time; what is above the lowest 28 bits of a limb goes to the next.
fn carry(limbs: &mut Limbs) {
    for lane in 0..LANES {
        let mut carried = 0;
        for limb in &mut limbs[..LIMBS - 1] {
            let above = limb[lane] >> BITS;
            limb[lane] = (limb[lane] & LOW) + carried;
            carried = above;
        }
        limbs[LIMBS - 1][lane] += carried;
    }
}

fn multiply(a: &Limbs, b: &Limbs) -> Columns {
    let mut columns = [[0; LANES]; 2 * LIMBS];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            for lane in 0..LANES {
                columns[i + j][lane] += x[lane] * y[lane];
            }
        }
    }
    columns
}

fn montgomery(mut columns: Columns) -> Limbs {
    for i in 0..LIMBS - 1 {
        for lane in 0..LANES {
            let q = columns[i][lane] & LOW;
            columns[i + 1][lane] += columns[i][lane] >> BITS;
            for (j, m) in M.iter().enumerate() {
                columns[i + 1 + j][lane] += q * m;
            }
        }
    }
    let last = LIMBS - 1;
    let mut out = [[0; LANES]; LIMBS];
    for lane in 0..LANES {
        let q = (columns[last][lane] & LOW) * K & LOW;
        for (j, p) in PRIME.iter().enumerate() {
            columns[last + j][lane] += q * p;
        }
        let mut carried = columns[last][lane] >> BITS;
        for (limb, column) in out.iter_mut().zip(&columns[LIMBS..]) {
            let sum = column[lane] + carried;
            limb[lane] = sum & LOW;
            carried = sum >> BITS;
        }
        debug_assert_eq!(carried, 0, "a product came out too large");
    }
    out
}

impl Fp28 {
    fn with(limbs: Limbs, bound: Bound) -> Self {
        let this = Self { limbs, bound };
        this.assert_limbs();
        this
    }

    fn assert_limbs(&self) {
        debug_assert!(self.limbs[..LIMBS - 1].iter().flatten().all(|limb| *limb < (1 << BITS) + (1 << 10)));
        debug_assert!(self.limbs[LIMBS - 1].iter().all(|limb| *limb < 1 << BITS));
    }

    fn constant(limbs: [u64; LIMBS]) -> Self {
        Self::with(spread(limbs), Bound::CANONICAL)
    }

    fn subtract(&self, rhs: &Self, multiple: &[u64; LIMBS], bound: Bound) -> Self {
        let mut limbs = [[0; LANES]; LIMBS];
        for i in 0..LIMBS {
            for lane in 0..LANES {
                limbs[i][lane] = (self.limbs[i][lane] + multiple[i]).wrapping_sub(rhs.limbs[i][lane]);
            }
        }
        // The last limb may be below zero until the carry arrives: wrapping, as its sum is not.
        for lane in 0..LANES {
            let mut carried = 0;
            for limb in &mut limbs[..LIMBS - 1] {
                let above = limb[lane] >> BITS;
                limb[lane] = (limb[lane] & LOW) + carried;
                carried = above;
            }
            limbs[LIMBS - 1][lane] = limbs[LIMBS - 1][lane].wrapping_add(carried);
        }
        Self::with(limbs, self.bound.plus(bound))
    }

    /// 64-bit words by lane, at most `2^392`.
    fn from_words(mut lane: impl FnMut(usize) -> [u64; 6], bound: Bound) -> Self {
        let mut limbs = [[0; LANES]; LIMBS];
        for i in 0..LANES {
            for (limb, part) in limbs.iter_mut().zip(split::<LIMBS, BITS>(&lane(i))) {
                limb[i] = part;
            }
        }
        Self::with(limbs, bound)
    }
}

impl Ring for Fp28 {
    const LANES: usize = LANES;
    type Scalar = blst_fp;
    type Packed = [u64; LIMBS / 2];

    fn load(mut lane: impl FnMut(usize) -> blst_fp) -> Self {
        Self::from_words(|i| lane(i).l, Bound::CANONICAL).mul(&Self::constant(FROM_BLST))
    }
    fn store(&self, lanes: &mut [blst_fp]) {
        self.bound.check(128);
        let value = self.mul(&Self::constant(TO_BLST));
        for (i, lane) in lanes.iter_mut().take(LANES).enumerate() {
            let mut words = [0; 6];
            for (j, limb) in value.limbs.iter().enumerate() {
                let (word, shift) = (j * BITS / 64, j * BITS % 64);
                if word < 6 {
                    words[word] |= limb[i] << shift;
                }
                if shift + BITS > 64 && word + 1 < 6 {
                    words[word + 1] |= limb[i] >> (64 - shift);
                }
            }
            lane.l = reduce(reduce(words));
        }
    }
    fn unpack<'a>(mut lane: impl FnMut(usize) -> &'a Self::Packed) -> Self {
        let mut limbs = [[0; LANES]; LIMBS];
        for i in 0..LANES {
            for (j, pair) in lane(i).iter().enumerate() {
                limbs[2 * j][i] = pair & LOW;
                limbs[2 * j + 1][i] = pair >> BITS;
            }
        }
        Self::with(limbs, Bound::PRODUCT)
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        let value = self.mul(&Self::one());
        for (i, lane) in lanes.iter_mut().take(LANES).enumerate() {
            for (j, pair) in lane.iter_mut().enumerate() {
                *pair = value.limbs[2 * j][i] | value.limbs[2 * j + 1][i] << BITS;
            }
        }
    }
    fn zero() -> Self {
        Self::constant([0; LIMBS])
    }
    fn one() -> Self {
        Self::constant(ONE)
    }
    fn add(&self, rhs: &Self) -> Self {
        let mut limbs = self.limbs;
        for i in 0..LIMBS {
            for lane in 0..LANES {
                limbs[i][lane] += rhs.limbs[i][lane];
            }
        }
        carry(&mut limbs);
        Self::with(limbs, self.bound.plus(rhs.bound))
    }
    fn sub(&self, rhs: &Self) -> Self {
        rhs.bound.check(7);
        self.subtract(rhs, &MULTIPLE_8, Bound::below(8))
    }
    fn sub_wide(&self, rhs: &Self) -> Self {
        rhs.bound.check(31);
        self.subtract(rhs, &MULTIPLE_32, Bound::below(32))
    }
    fn mul(&self, rhs: &Self) -> Self {
        self.bound.check_product(rhs.bound);
        Self::with(montgomery(multiply(&self.limbs, &rhs.limbs)), Bound::PRODUCT)
    }
    fn sqr(&self) -> Self {
        self.mul(self)
    }
    fn tight(&self) -> Self {
        /// `2^40 / (p / 2^364)`, rounded down twice: the quotient is at most one too small.
        const RECIPROCAL: u64 = (1 << 40) / (PRIME[LIMBS - 1] + 1);
        self.bound.check(128);
        let mut limbs = self.limbs;
        for lane in 0..LANES {
            let q = limbs[LIMBS - 1][lane] * RECIPROCAL >> 40;
            // No limb falls below zero at any time, whatever the carries: a value next to zero has nothing to lend.
            let mut carried = 0;
            for (limb, complement) in limbs.iter_mut().zip(&COMPLEMENT[..LIMBS - 1]) {
                let sum = limb[lane] + q * complement;
                limb[lane] = (sum & LOW) + carried;
                carried = sum >> BITS;
            }
            limbs[LIMBS - 1][lane] = limbs[LIMBS - 1][lane] + carried - q * (PRIME[LIMBS - 1] + 1);
        }
        Self::with(limbs, Bound::TIGHT)
    }
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        let mut limbs = no.limbs;
        for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
            for (limb, chosen) in limbs.iter_mut().zip(&yes.limbs) {
                limb[lane] = chosen[lane];
            }
        }
        Self::with(limbs, yes.bound.or(no.bound))
    }
    fn is_zero(&self) -> Mask {
        // Times the integer one: a multiple of p comes out as 0, p or 2p, with its limbs fully carried.
        let mut one = [0; LIMBS];
        one[0] = 1;
        let value = self.mul(&Self::constant(one));
        let multiples = [[0; LIMBS], PRIME, multiple_of_p::<LIMBS, BITS>(2)];
        let is = |lane: usize| multiples.iter().any(|m| (0..LIMBS).all(|i| value.limbs[i][lane] == m[i]));
        (0..LANES).fold(0, |mask, lane| mask | Mask::from(is(lane)) << lane)
    }
    fn invert(&self) -> Self {
        let mut lanes = [blst_fp::default(); LANES];
        self.store(&mut lanes);
        super::invert_lanes(&mut lanes);
        Self::load(|lane| lanes[lane])
    }
}

impl Field for Fp28 {
    fn mul_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        a.c0.bound.or(a.c1.bound).check_product(b.c0.bound.or(b.c1.bound));
        let (low, high) = (a.c0.mul(&b.c0), a.c1.mul(&b.c1));
        // The tracked bounds allow what the lazy reduction will: the sums may be twice as large as a factor.
        let cross = a.c0.mul(&b.c1).add(&a.c1.mul(&b.c0));
        Fp2 { c0: low.sub(&high).tight(), c1: cross.tight() }
    }
    fn sqr_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        Self::mul_quadratic(a, a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_fit() {
        assert_eq!(constants::P[0] & LOW, PRIME[0]);
        assert_eq!(PRIME[0] * K & LOW, LOW);
    }
}
