//! 4 lanes of 14 limbs of 28 bits, one limb of each lane in a 256-bit vector: products of limbs fit 64-bit columns with
//! room for whole sums of them, which AVX2 has instructions for and nothing wider.
//!
//! Montgomery form with `R = 2^392`, so `R / p > 2^11`: no product needs a final subtraction.
//!
//! Invariant of every element: limbs 0 to 12 below `2^28 + 2^10`, and the value below its [`Bound`].
//!
//! Reduction: a block of `n` limbs of value `q`, lowest first, is cleared by adding `q k p` with
//! `k = -1/p mod 2^(28 n)`, which adds `q M` above the block, `M = (k p + 1) / 2^(28 n)`: no product to find a quotient.
//! For a block that starts at limb `s`, that is below `2^(28 (s + 2 n)) p`, so for blocks of 6, 3, 2 and 1 limbs less
//! than `3 R p / 2^28` in all. The last two limbs go Montgomery's way, by `q = -t/p mod 2^56` and `q p`: below `R p`.
//! So a value below `1024 p^2`, or `2048 p^2` as in the quadratic extension, comes out below `1.5p` or `1.9p`:
//! `p / R < 0.0004`.

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
const LIMBS: usize = 14;
const BITS: usize = 28;
/// Sums of limb products in a product of two elements.
const COLUMNS: usize = 2 * LIMBS - 1;
const LOW: u64 = (1 << BITS) - 1;

/// One vector a limb.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Limbs([[u64; LANES]; LIMBS]);

/// Columns of a product before its reduction, below zero or not.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Wide([[u64; LANES]; COLUMNS]);

/// One element at rest: two limbs a word, the upper one from bit 28 on, as they are.
type Packed = [u64; LIMBS / 2];

/// 4 elements of the base field.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::bls) struct Fp28 {
    limbs: Limbs,
    bound: Bound,
}

const PRIME: [u64; LIMBS] = multiple_of_p::<LIMBS, BITS>(1);
/// So many limbs are cleared at once, block after block; see the module's notes on reduction.
const BLOCKS: [usize; 4] = [6, 3, 2, 1];
/// What clearing a block adds above it for each unit of its value.
const M_BLOCKS: [[u64; LIMBS]; BLOCKS.len()] =
    [clearing(BLOCKS[0]), clearing(BLOCKS[1]), clearing(BLOCKS[2]), clearing(BLOCKS[3])];
/// So many limbs are cleared in the end.
const FINAL: usize = 2;
/// `-1 / p mod 2^56`.
const K: [u64; FINAL] = split::<FINAL, BITS>(&[negated_inverse()]);

/// `(k p + 1) / 2^(28 n)` for `k = -1 / p mod 2^(28 n)`.
const fn clearing(n: usize) -> [u64; LIMBS] {
    // One, plus what clears its limbs in turn.
    let mut sum = [0u64; 2 * LIMBS];
    sum[0] = 1;
    let mut i = 0;
    while i < n {
        let q = (sum[i] * K[0]) & LOW;
        let mut carry = 0;
        let mut j = 0;
        while i + j < 2 * LIMBS {
            let limb = sum[i + j] + carry + if j < LIMBS { q * PRIME[j] } else { 0 };
            sum[i + j] = limb & LOW;
            carry = limb >> BITS;
            j += 1;
        }
        assert!(sum[i] == 0);
        i += 1;
    }
    let mut out = [0; LIMBS];
    let mut j = 0;
    while j < LIMBS {
        out[j] = sum[n + j];
        j += 1;
    }
    out
}

/// For a product in the quadratic extension: `1024 p^2`, with `2^62` lent to every column: more than one product's.
const SQUARE: [u64; COLUMNS] = lend_columns(1024, 62);
/// For a product in the cubic extension over it: `2048 p^2`, with `2^63` lent: more than seven products'.
const SQUARES: [u64; COLUMNS] = lend_columns(2048, 63);

/// A multiple of `p^2`, every column but the last with `2^bits` lent to it by the next. The last may be below zero until
/// a carry arrives.
const fn lend_columns(multiple: u64, bits: u32) -> [u64; COLUMNS] {
    let multiple: [u64; LIMBS] = multiple_of_p::<LIMBS, BITS>(multiple);
    let mut columns = [0u64; COLUMNS];
    let mut i = 0;
    while i < LIMBS {
        let mut j = 0;
        while j < LIMBS {
            columns[i + j] += multiple[i] * PRIME[j];
            j += 1;
        }
        i += 1;
    }
    let mut k = 0;
    while k < COLUMNS - 1 {
        columns[k + 1] += columns[k] >> BITS;
        columns[k] &= LOW;
        // What this column lends to the one before, and borrows.
        columns[k] += (1 << bits) - if k > 0 { 1 << (bits - BITS as u32) } else { 0 };
        k += 1;
    }
    columns[k] = columns[k].wrapping_sub(1 << (bits - BITS as u32));
    columns
}

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
/// What a quotient adds to each limb but the last in the place of `-p`, lent `2^28` by the next; and takes from the last.
/// A quotient of zero changes nothing, and no limb ever falls below zero.
const COMPLEMENT: [u64; LIMBS] = {
    let mut limbs = PRIME;
    let mut i = 0;
    while i < LIMBS {
        let returned = if i > 0 { 1 } else { 0 };
        limbs[i] = if i < LIMBS - 1 { (1 << BITS) - returned - PRIME[i] } else { PRIME[i] + returned };
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
const fn spread<const N: usize>(limbs: [u64; N]) -> [[u64; LANES]; N] {
    let mut out = [[0; LANES]; N];
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
        static VALUE: Fp28 = Fp28 { limbs: Limbs(spread($limbs)), bound: Bound::CANONICAL };
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

impl Ring for Fp28 {
    const LANES: usize = LANES;
    type Scalar = blst_fp;
    type Packed = Packed;

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
    fn unpack<'a>(lane: impl FnMut(usize) -> &'a Self::Packed) -> Self {
        Self::with(kernels::unpack(std::array::from_fn(lane)), Bound::PRODUCT)
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        let Some(lanes) = lanes.first_chunk_mut() else { unreachable!("a place for every lane") };
        kernels::pack(&self.tight(), lanes);
    }
    fn zero() -> Self {
        *constant!([0; LIMBS])
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
        kernels::sub_wide(self, rhs, self.bound.plus(Bound::below(32)))
    }
    #[inline]
    fn neg(&self) -> Self {
        constant!([0; LIMBS]).sub(self)
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
        let tight = self.tight();
        let is_zero = |lane: usize| {
            // The lowest limb is carried already and answers nearly always.
            let low = tight.limbs.0[0][lane];
            if low != 0 && low != PRIME[0] {
                return false;
            }
            let mut carried = 0;
            let limbs: [u64; LIMBS] = std::array::from_fn(|i| {
                let limb = tight.limbs.0[i][lane] + carried;
                carried = limb >> BITS;
                limb & LOW
            });
            limbs == [0; LIMBS] || limbs == PRIME
        };
        (0..LANES).fold(0, |mask, lane| mask | Mask::from(is_zero(lane)) << lane)
    }
    fn invert(&self) -> Self {
        let mut lanes = [blst_fp::default(); LANES];
        self.store(&mut lanes);
        super::invert_lanes(&mut lanes);
        Self::load(|lane| lanes[lane])
    }
}

impl Fp2<Fp28> {
    #[inline(always)]
    fn bound(&self) -> Bound {
        self.c0.bound.or(self.c1.bound)
    }
}

impl Field for Fp28 {
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
        let bound = |[c0, c1, c2]: [&Fp2<Self>; 3]| [c1, c2].iter().fold(c0.bound(), |most, c| most.or(c.bound()));
        bound(a).plus(bound(a)).plus(bound(a).plus(bound(a))).check_product(bound(b));
        let square = |i: usize| kernels::wide_quadratic(a[i], b[i]);
        let cross = |i: usize, j: usize| kernels::wide_quadratic(&a[i].add(a[j]), &b[i].add(b[j]));
        let squares = [square(0), square(1), square(2)];
        let mut columns = [cross(1, 2), cross(0, 1), cross(0, 2)];
        kernels::combine_cubic(&mut columns, &squares);
        columns
            .each_mut()
            .map(|[c0, c1]| Fp2 { c0: kernels::reduce(c0, Bound::PRODUCT), c1: kernels::reduce(c1, Bound::PRODUCT) })
    }
    #[inline]
    fn add_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        bounded(
            kernels::add_quadratic(a, b, Bound::CANONICAL),
            a.c0.bound.plus(b.c0.bound),
            a.c1.bound.plus(b.c1.bound),
        )
    }
    #[inline]
    fn sub_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        b.c0.bound.or(b.c1.bound).check(7);
        let added = Bound::below(8);
        bounded(kernels::sub_quadratic(a, b, Bound::CANONICAL), a.c0.bound.plus(added), a.c1.bound.plus(added))
    }
    #[inline]
    fn sub_wide_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        b.c0.bound.or(b.c1.bound).check(31);
        let added = Bound::below(32);
        bounded(kernels::sub_wide_quadratic(a, b, Bound::CANONICAL), a.c0.bound.plus(added), a.c1.bound.plus(added))
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
        let product = kernels::nonresidue_wide(a, Bound::CANONICAL);
        bounded(product, a.c0.bound.plus(Bound::below(32)), a.c0.bound.plus(a.c1.bound))
    }
    #[inline]
    fn tight_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        a.c0.bound.or(a.c1.bound).check(128);
        kernels::tight_quadratic(a, Bound::TIGHT)
    }
}

/// The same value with the bounds of its coordinates.
#[inline(always)]
fn bounded(mut value: Fp2<Fp28>, c0: Bound, c1: Bound) -> Fp2<Fp28> {
    value.c0.bound = c0;
    value.c1.bound = c1;
    value
}

#[cfg(test)]
mod tests;
