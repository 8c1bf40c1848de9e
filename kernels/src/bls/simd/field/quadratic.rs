//! The quadratic extension, `a + b i` with `i^2 = -1`, over any lanes of the base field.

use blst::{blst_fp, blst_fp2};

use super::{Field, Mask, Ring};

/// `c0 + c1 i`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::bls::simd) struct Fp2<F> {
    pub(in crate::bls::simd) c0: F,
    pub(in crate::bls::simd) c1: F,
}

impl<F: Field> Ring for Fp2<F> {
    const LANES: usize = F::LANES;
    type Scalar = blst_fp2;
    type Packed = [F::Packed; 2];

    fn load(mut lane: impl FnMut(usize) -> blst_fp2) -> Self {
        Self { c0: F::load(|i| lane(i).fp[0]), c1: F::load(|i| lane(i).fp[1]) }
    }
    fn store(&self, lanes: &mut [blst_fp2]) {
        let mut parts = [blst_fp::default(); 8];
        for (coordinate, value) in [&self.c0, &self.c1].into_iter().enumerate() {
            value.store(&mut parts);
            for (lane, part) in lanes.iter_mut().zip(&parts[..F::LANES]) {
                lane.fp[coordinate] = *part;
            }
        }
    }
    fn unpack<'a>(mut lane: impl FnMut(usize) -> &'a Self::Packed) -> Self
    where
        F::Packed: 'a,
    {
        Self { c0: F::unpack(|i| &lane(i)[0]), c1: F::unpack(|i| &lane(i)[1]) }
    }
    fn pack(&self, lanes: &mut [Self::Packed]) {
        let mut parts = [F::Packed::default(); 8];
        for (coordinate, value) in [&self.c0, &self.c1].into_iter().enumerate() {
            value.pack(&mut parts);
            for (lane, part) in lanes.iter_mut().zip(&parts[..F::LANES]) {
                lane[coordinate] = *part;
            }
        }
    }
    fn zero() -> Self {
        Self { c0: F::zero(), c1: F::zero() }
    }
    fn one() -> Self {
        Self { c0: F::one(), c1: F::zero() }
    }
    fn add(&self, rhs: &Self) -> Self {
        F::add_quadratic(self, rhs)
    }
    fn sub(&self, rhs: &Self) -> Self {
        F::sub_quadratic(self, rhs)
    }
    fn sub_wide(&self, rhs: &Self) -> Self {
        F::sub_wide_quadratic(self, rhs)
    }
    fn mul(&self, rhs: &Self) -> Self {
        F::mul_quadratic(self, rhs)
    }
    fn sqr(&self) -> Self {
        F::sqr_quadratic(self)
    }
    fn tight(&self) -> Self {
        F::tight_quadratic(self)
    }
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self { c0: F::select(mask, &yes.c0, &no.c0), c1: F::select(mask, &yes.c1, &no.c1) }
    }
    fn is_zero(&self) -> Mask {
        self.c0.is_zero() & self.c1.is_zero()
    }
    /// `(c0 - c1 i) / (c0^2 + c1^2)`. Takes a value below `22p`.
    fn invert(&self) -> Self {
        let inverse = self.norm().invert();
        let c1 = self.c1.mul(&inverse);
        Self { c0: self.c0.mul(&inverse), c1: c1.neg() }
    }
}

impl<F: Field> Fp2<F> {
    /// `c0^2 + c1^2`, below `6p`.
    pub(in crate::bls::simd) fn norm(&self) -> F {
        self.c0.sqr().add(&self.c1.sqr())
    }

    /// Times an element of the base field, below `3p`.
    pub(in crate::bls::simd) fn scale(&self, factor: &F) -> Self {
        Self { c0: self.c0.mul(factor), c1: self.c1.mul(factor) }
    }

    /// Times `1 + i`, the non-residue of the tower. Takes a value below `7p`.
    pub(in crate::bls::simd) fn mul_by_nonresidue(&self) -> Self {
        F::nonresidue(self)
    }

    /// As [`Fp2::mul_by_nonresidue`] for a value below `31p`; adds `32p` to its bound.
    pub(in crate::bls::simd) fn mul_by_nonresidue_wide(&self) -> Self {
        F::nonresidue_wide(self)
    }
}
