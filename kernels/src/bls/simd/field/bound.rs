//! How far above zero a redundant value may lie, in multiples of the prime.
//!
//! A bound holds for all values that a formula can produce, not for the one at hand: so one run of a formula in a debug
//! build proves that it never leaves the range in which the arithmetic is exact. Release builds carry nothing.

/// A value is below this many times the prime.
#[derive(Clone, Copy, Debug)]
pub(in crate::bls::simd) struct Bound(#[cfg(debug_assertions)] u32);

impl Bound {
    /// A residue's canonical form, and zero.
    pub(in crate::bls::simd) const CANONICAL: Self = Self::below(1);
    /// What [`super::Ring::tight`] gives.
    pub(in crate::bls::simd) const TIGHT: Self = Self::below(2);
    /// What a product gives.
    pub(in crate::bls::simd) const PRODUCT: Self = Self::below(3);

    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    pub(in crate::bls::simd) const fn below(multiple: u32) -> Self {
        Self(
            #[cfg(debug_assertions)]
            multiple,
        )
    }

    /// Of a sum.
    #[inline(always)]
    pub(in crate::bls::simd) fn plus(self, rhs: Self) -> Self {
        #[cfg(debug_assertions)]
        {
            let sum = self.0 + rhs.0;
            assert!(sum <= 512, "a sum grows to {sum}p");
            Self(sum)
        }
        #[cfg(not(debug_assertions))]
        {
            let _ = rhs;
            self
        }
    }

    /// The larger one.
    #[inline(always)]
    pub(in crate::bls::simd) fn or(self, rhs: Self) -> Self {
        #[cfg(debug_assertions)]
        return Self(self.0.max(rhs.0));
        #[cfg(not(debug_assertions))]
        {
            let _ = rhs;
            self
        }
    }

    /// Asserts that the value is below this multiple.
    #[inline(always)]
    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    pub(in crate::bls::simd) fn check(self, limit: u32) {
        #[cfg(debug_assertions)]
        assert!(self.0 <= limit, "a value below {}p where one below {limit}p is taken", self.0);
    }

    /// Asserts that two values may be multiplied.
    #[inline(always)]
    #[cfg_attr(not(debug_assertions), expect(unused_variables))]
    pub(in crate::bls::simd) fn check_product(self, rhs: Self) {
        #[cfg(debug_assertions)]
        assert!(self.0 * rhs.0 <= 1024, "a product of values below {}p and {}p", self.0, rhs.0);
    }
}
