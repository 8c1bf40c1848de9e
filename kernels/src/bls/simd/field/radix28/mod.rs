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

#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod model;

#[cfg(not(target_arch = "x86_64"))]
use model as kernels;

const LANES: usize = 4;
const LIMBS: usize = 14;
const BITS: usize = 28;
const LOW: u64 = (1 << BITS) - 1;

/// One vector a limb.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Limbs([[u64; LANES]; LIMBS]);

/// 4 elements of the base field.
#[derive(Clone, Copy)]
#[repr(C)]
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

/// `2^40 / (p / 2^364)`, rounded down twice: the quotient of a value by `p` comes out at most one too small.
const RECIPROCAL: u64 = (1 << 40) / (PRIME[LIMBS - 1] + 1);
/// `-p`, every limb but the last with `2^29` lent to it by the next; the last one's negative. Times the quotient zero it
/// leaves a value as it is: one that lends regardless would leave a small value's last limb below zero.
const LENT: [u64; LIMBS] = {
    let mut limbs = PRIME;
    let mut i = 0;
    while i < LIMBS - 1 {
        limbs[i] = (1 << 29) - limbs[i];
        if i > 0 {
            limbs[i] -= 1 << (29 - BITS);
        }
        i += 1;
    }
    limbs[LIMBS - 1] += 1 << (29 - BITS);
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
    Limbs(out)
}

/// A value that is the same in every lane.
macro_rules! constant {
    ($limbs:expr) => {{
        static VALUE: Fp28 = Fp28 { limbs: spread($limbs), bound: Bound::CANONICAL };
        &VALUE
    }};
}

impl Fp28 {
    /// Whether this processor can compute with it. Every other function asks for that.
    pub(in crate::bls::simd) fn available() -> bool {
        #[cfg(target_arch = "x86_64")]
        return std::is_x86_feature_detected!("avx2");
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
        assert!(self.limbs.0[..LIMBS - 1].iter().flatten().all(|limb| *limb < (1 << BITS) + (1 << 10)));
        assert!(self.limbs.0[LIMBS - 1].iter().all(|limb| *limb < 1 << BITS));
    }

    /// 64-bit words by lane, at most `2^392`.
    fn from_words(mut lane: impl FnMut(usize) -> [u64; 6], bound: Bound) -> Self {
        let mut limbs = [[0; LANES]; LIMBS];
        for i in 0..LANES {
            for (limb, part) in limbs.iter_mut().zip(split::<LIMBS, BITS>(&lane(i))) {
                limb[i] = part;
            }
        }
        Self::with(Limbs(limbs), bound)
    }
}

impl Ring for Fp28 {
    const LANES: usize = LANES;
    type Scalar = blst_fp;
    type Packed = [u64; LIMBS / 2];

    fn load(mut lane: impl FnMut(usize) -> blst_fp) -> Self {
        Self::from_words(|i| lane(i).l, Bound::CANONICAL).mul(constant!(FROM_BLST))
    }
    fn store(&self, lanes: &mut [blst_fp]) {
        self.bound.check(128);
        let value = self.mul(constant!(TO_BLST));
        for (i, lane) in lanes.iter_mut().take(LANES).enumerate() {
            let mut words = [0; 6];
            for (j, limb) in value.limbs.0.iter().enumerate() {
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
        Self::with(Limbs(limbs), Bound::PRODUCT)
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        let value = self.mul(&Self::one());
        for (i, lane) in lanes.iter_mut().take(LANES).enumerate() {
            for (j, pair) in lane.iter_mut().enumerate() {
                *pair = value.limbs.0[2 * j][i] | value.limbs.0[2 * j + 1][i] << BITS;
            }
        }
    }
    fn zero() -> Self {
        *constant!([0; LIMBS])
    }
    fn one() -> Self {
        *constant!(ONE)
    }
    #[inline]
    fn add(&self, rhs: &Self) -> Self {
        Self::with(kernels::add(&self.limbs, &rhs.limbs), self.bound.plus(rhs.bound))
    }
    #[inline]
    fn sub(&self, rhs: &Self) -> Self {
        rhs.bound.check(7);
        Self::with(kernels::sub(&self.limbs, &rhs.limbs), self.bound.plus(Bound::below(8)))
    }
    #[inline]
    fn sub_wide(&self, rhs: &Self) -> Self {
        rhs.bound.check(31);
        Self::with(kernels::sub_wide(&self.limbs, &rhs.limbs), self.bound.plus(Bound::below(32)))
    }
    #[inline]
    fn neg(&self) -> Self {
        constant!([0; LIMBS]).sub(self)
    }
    #[inline]
    fn mul(&self, rhs: &Self) -> Self {
        self.bound.check_product(rhs.bound);
        Self::with(kernels::mul(&self.limbs, &rhs.limbs), Bound::PRODUCT)
    }
    #[inline]
    fn sqr(&self) -> Self {
        self.mul(self)
    }
    #[inline]
    fn tight(&self) -> Self {
        self.bound.check(128);
        Self::with(kernels::tight(&self.limbs), Bound::TIGHT)
    }
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        // All ones where the mask is set.
        let chosen: [u64; LANES] = std::array::from_fn(|lane| 0u64.wrapping_sub(u64::from(mask >> lane & 1)));
        let mut limbs = no.limbs;
        for (limb, yes) in limbs.0.iter_mut().zip(&yes.limbs.0) {
            for lane in 0..LANES {
                limb[lane] ^= (limb[lane] ^ yes[lane]) & chosen[lane];
            }
        }
        Self::with(limbs, yes.bound.or(no.bound))
    }
    fn is_zero(&self) -> Mask {
        // Times the integer one: a multiple of p comes out as 0, p or 2p, with its limbs fully carried.
        const INTEGER: [u64; LIMBS] = split::<LIMBS, BITS>(&[1]);
        let value = self.mul(constant!(INTEGER));
        let multiples = [[0; LIMBS], PRIME, multiple_of_p::<LIMBS, BITS>(2)];
        let is = |lane: usize| multiples.iter().any(|m| (0..LIMBS).all(|i| value.limbs.0[i][lane] == m[i]));
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
mod tests;
