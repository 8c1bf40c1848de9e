//! 8 lanes of 8 limbs of 52 bits, one limb of each lane in a 512-bit vector: for AVX-512 IFMA, whose multiply-add takes
//! factors of 52 bits.
//!
//! Montgomery form with `R = 2^416`, so `R / p > 2^35`: no product needs a final subtraction, and sums of factors need
//! no care in the quadratic extension.
//!
//! Invariant of every element: limbs 0 to 6 below `2^52`, and the value below its [`Bound`], so below `512p < 2^390`.
//!
//! | module | what |
//! |---|---|
//! | `vector` | the vector: instructions, or plain code for tests anywhere |
//! | `arithmetic` | the operations over either |

mod arithmetic;
mod vector;

use blst::blst_fp;

use self::arithmetic::{BITS, LIMBS, Limbs};
use self::vector::LANES;
use super::bound::Bound;
use super::constants::{power_of_two, reduce, split};
use super::{Field, Fp2, Mask, Ring};

#[cfg(target_arch = "x86_64")]
pub(in crate::bls::simd) use vector::Avx512;
pub(in crate::bls::simd) use vector::{Emulated, Vector52};

/// 8 elements of the base field.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::bls) struct Fp52<V> {
    limbs: Limbs<V>,
    bound: Bound,
}

/// `2^416 mod p`.
const ONE: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(416));
/// Montgomery form of blst (`2^384`) times this, reduced, is ours.
const FROM_BLST: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(448));
/// Ours times this, reduced, is blst's.
const TO_BLST: [u64; LIMBS] = split::<LIMBS, BITS>(&power_of_two(384));

impl<V: Vector52> Fp52<V> {
    /// Whether this processor, and the system on it, can compute with it. Every other function asks for that.
    pub(in crate::bls::simd) fn available() -> bool {
        #[cfg(target_arch = "x86_64")]
        return !V::NATIVE || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        #[cfg(not(target_arch = "x86_64"))]
        !V::NATIVE
    }

    fn with(limbs: Limbs<V>, bound: Bound) -> Self {
        debug_assert!(limbs[..LIMBS - 1].iter().all(|limb| limb.store().iter().all(|lane| lane >> BITS == 0)));
        debug_assert!(limbs[LIMBS - 1].store().iter().all(|lane| lane >> 26 == 0));
        Self { limbs, bound }
    }

    fn constant(limbs: &[u64; LIMBS]) -> Self {
        debug_assert!(Self::available(), "no AVX-512 IFMA here");
        Self::with(arithmetic::splat(limbs), Bound::CANONICAL)
    }

    fn from_rows(rows: [&[u64; LIMBS]; LANES], bound: Bound) -> Self {
        debug_assert!(Self::available(), "no AVX-512 IFMA here");
        Self::with(arithmetic::from_rows(rows), bound)
    }
}

impl<V: Vector52> Ring for Fp52<V> {
    const LANES: usize = LANES;
    type Scalar = blst_fp;
    /// The limbs as they are: no shifts on the way to the lanes, for a third more memory.
    type Packed = [u64; LIMBS];

    fn load(mut lane: impl FnMut(usize) -> blst_fp) -> Self {
        let rows: [_; LANES] = std::array::from_fn(|i| split::<LIMBS, BITS>(&lane(i).l));
        let value = Self::from_rows(rows.each_ref(), Bound::CANONICAL);
        Self::with(arithmetic::mul_constant(&value.limbs, &FROM_BLST), Bound::PRODUCT)
    }
    fn store(&self, lanes: &mut [blst_fp]) {
        self.bound.check(128);
        let rows = arithmetic::to_rows(&arithmetic::mul_constant(&self.limbs, &TO_BLST));
        for (lane, limbs) in lanes.iter_mut().zip(&rows) {
            let mut words = [0; 6];
            for (j, limb) in limbs.iter().enumerate() {
                let (word, shift) = (j * BITS / 64, j * BITS % 64);
                words[word] |= limb << shift;
                if shift + BITS > 64 && word + 1 < 6 {
                    words[word + 1] |= limb >> (64 - shift);
                }
            }
            lane.l = reduce(reduce(words));
        }
    }
    fn unpack<'a>(lane: impl FnMut(usize) -> &'a Self::Packed) -> Self {
        Self::from_rows(std::array::from_fn(lane), Bound::PRODUCT)
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        self.bound.check(128);
        for (lane, row) in lanes.iter_mut().zip(arithmetic::to_rows(&self.tight().limbs)) {
            *lane = row;
        }
    }
    fn zero() -> Self {
        Self::constant(&[0; LIMBS])
    }
    fn one() -> Self {
        Self::constant(&ONE)
    }
    fn add(&self, rhs: &Self) -> Self {
        Self::with(arithmetic::add(&self.limbs, &rhs.limbs), self.bound.plus(rhs.bound))
    }
    fn sub(&self, rhs: &Self) -> Self {
        rhs.bound.check(7);
        Self::with(arithmetic::sub(&self.limbs, &rhs.limbs), self.bound.plus(Bound::below(8)))
    }
    fn sub_wide(&self, rhs: &Self) -> Self {
        rhs.bound.check(31);
        Self::with(arithmetic::sub_wide(&self.limbs, &rhs.limbs), self.bound.plus(Bound::below(32)))
    }
    fn mul(&self, rhs: &Self) -> Self {
        self.bound.check_product(rhs.bound);
        Self::with(arithmetic::mul(&self.limbs, &rhs.limbs), Bound::PRODUCT)
    }
    fn sqr(&self) -> Self {
        self.bound.check(32);
        Self::with(arithmetic::sqr(&self.limbs), Bound::PRODUCT)
    }
    fn tight(&self) -> Self {
        self.bound.check(128);
        Self::with(arithmetic::tight(&self.limbs), Bound::TIGHT)
    }
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self::with(arithmetic::select(mask, &yes.limbs, &no.limbs), yes.bound.or(no.bound))
    }
    fn is_zero(&self) -> Mask {
        arithmetic::is_zero(&self.limbs)
    }
    fn invert(&self) -> Self {
        self.bound.check(32);
        let mut lanes = [blst_fp::default(); LANES];
        self.store(&mut lanes);
        super::invert_lanes(&mut lanes);
        Self::load(|lane| lanes[lane])
    }
}

impl<V: Vector52> Field for Fp52<V> {
    fn mul_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        a.c0.bound.or(a.c1.bound).check_product(b.c0.bound.or(b.c1.bound));
        let [c0, c1] = arithmetic::mul_quadratic([&a.c0.limbs, &a.c1.limbs], [&b.c0.limbs, &b.c1.limbs]);
        Fp2 { c0: Self::with(c0, Bound::PRODUCT), c1: Self::with(c1, Bound::PRODUCT) }
    }
    fn sqr_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        a.c0.bound.or(a.c1.bound).check(32);
        let [c0, c1] = arithmetic::sqr_quadratic([&a.c0.limbs, &a.c1.limbs]);
        Fp2 { c0: Self::with(c0, Bound::PRODUCT), c1: Self::with(c1, Bound::PRODUCT) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::constants::{P, multiple_of_p};
    use super::*;

    /// Limbs at their edges. Two factors of the last have both halves of their product near the top.
    const EDGES: [u64; 6] = [0, 1, (1 << 52) - 1, (1 << 52) - 2, 1 << 51, (1 << 52) - (1 << 26) + 1];

    impl<V: Vector52> Fp52<V> {
        /// Values below `31p`: at multiples of the prime and around them, and of limbs at their edges.
        pub(in super::super) fn extremes() -> Vec<Self> {
            let mut rows: Vec<[u64; LIMBS]> = (0..=30).map(multiple_of_p::<LIMBS, BITS>).collect();
            for multiple in 1..=31 {
                let mut below = multiple_of_p::<LIMBS, BITS>(multiple);
                below[0] -= 1;
                rows.push(below);
            }
            let last = multiple_of_p::<LIMBS, BITS>(31)[LIMBS - 1];
            for edge in EDGES {
                for other in EDGES {
                    let mut row: [u64; LIMBS] = std::array::from_fn(|i| if i % 2 == 0 { edge } else { other });
                    row[LIMBS - 1] = if other % 2 == 1 { last - 1 } else { 0 };
                    rows.push(row);
                }
            }
            // As neighbours in one vector, then apart.
            let mixed = (0..rows.len()).map(|i| rows[i * 29 % rows.len()]);
            let all: Vec<_> = rows.iter().copied().chain(mixed).collect();
            let eight = |rows: &[[u64; LIMBS]]| Self::from_rows(std::array::from_fn(|i| &rows[i]), Bound::below(31));
            all.chunks_exact(LANES).map(eight).collect()
        }
    }

    /// By doubling and adding: the residue that limbs in Montgomery form stand for, in blst's form.
    fn residue(limbs: &[u64; LIMBS]) -> blst_fp {
        let mut value = blst_fp::default();
        for bit in (0..LIMBS * BITS).rev() {
            let mut sum = value;
            // SAFETY: the function reads two elements and writes one.
            unsafe { blst::blst_fp_add(&mut sum, &value, &value) };
            let one = blst_fp { l: [limbs[bit / BITS] >> (bit % BITS) & 1, 0, 0, 0, 0, 0] };
            // SAFETY: as above.
            unsafe { blst::blst_fp_add(&mut value, &sum, &one) };
        }
        // blst multiplies modulo 2^384, and its form is 2^32 times smaller.
        super::super::multiply(&value, &blst_fp { l: power_of_two(352) })
    }

    #[test]
    fn limbs_at_their_edges_are_stored_as_what_they_stand_for() {
        for value in Fp52::<Emulated>::extremes() {
            let mut lanes = [blst_fp::default(); LANES];
            value.store(&mut lanes);
            for (lane, limbs) in lanes.iter().zip(&arithmetic::to_rows(&value.limbs)) {
                assert_eq!(*lane, residue(limbs));
            }
        }
    }

    #[test]
    fn tight_values_are_below_twice_the_prime() {
        let twice: [u64; LIMBS] = multiple_of_p::<LIMBS, BITS>(2);
        for value in Fp52::<Emulated>::extremes() {
            for row in arithmetic::to_rows(&value.tight().limbs) {
                assert!(row.iter().rev().lt(twice.iter().rev()));
            }
        }
        assert_eq!(P[0] & 1, 1);
    }
}
