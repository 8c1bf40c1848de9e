//! Lanes of the base field: one value holds [`Ring::LANES`] independent elements and computes with all of them at once.
//!
//! | module | what |
//! |---|---|
//! | `bound` | how far a value may exceed the prime: tracked and asserted in debug builds |
//! | `constants` | constants at compile time, in the form of blst too |
//! | `prime` | the prime and arithmetic modulo it, at compile time |
//! | `radix49` | 4 lanes of 8 limbs of 49 bits, as doubles, for AVX2 and FMA |
//! | `radix52` | 8 lanes of 8 limbs of 52 bits, for AVX-512 IFMA |
//! | `quadratic` | the extension by `i`, `i^2 = -1`, over any of them |
//!
//! Everything here is variable time and for verification only: a secret never enters a lane.

pub(super) mod bound;
pub(super) mod constants;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod prime;
mod quadratic;
mod radix49;
mod radix52;
#[cfg(test)]
mod tests;

use blst::blst_fp;

pub(super) use quadratic::Fp2;
pub(super) use radix49::Fp49;
#[cfg(target_arch = "x86_64")]
pub(super) use radix52::Avx512;
/// There are no such instructions; the backend never opens on them.
#[cfg(not(target_arch = "x86_64"))]
pub(super) use radix52::Emulated as Avx512;
pub(super) use radix52::{Emulated, Fp52};

/// One bit a lane; bits past the last lane are clear.
pub(super) type Mask = u8;

/// Lanes of a commutative ring: the base field or an extension of it.
///
/// Elements are redundant: a value stands for its residue and may exceed the prime by a small factor, its bound; where an
/// implementation has signed values, it may lie as far below zero. Products
/// come out below `3p`; operations state what they take and give in multiples of `p`, and debug builds track and assert
/// it. Bounds of an extension's element are those of its largest coordinate.
pub(super) trait Ring: Copy + Send + Sync + 'static {
    /// Elements in one value.
    const LANES: usize;
    /// The mask of all lanes.
    const ALL: Mask = ((1u16 << Self::LANES) - 1) as Mask;
    /// One element in blst's Montgomery form: `blst_fp` or `blst_fp2`.
    type Scalar: Copy + Default + Send + Sync;
    /// One element as it rests in memory, to be gathered into lanes.
    type Packed: Copy + Default + Send + Sync;

    /// The elements, by lane.
    fn load(lane: impl FnMut(usize) -> Self::Scalar) -> Self;
    /// The same element in every lane.
    fn splat(value: &Self::Scalar) -> Self {
        Self::load(|_| *value)
    }
    /// The elements in canonical form, into the first [`Ring::LANES`] places. Takes a value below `128p`.
    fn store(&self, lanes: &mut [Self::Scalar]);
    /// Elements at rest, by lane; comes out below `3p`.
    fn unpack<'a>(lane: impl FnMut(usize) -> &'a Self::Packed) -> Self
    where
        Self::Packed: 'a;
    /// The elements at rest, into the first [`Ring::LANES`] places. Takes a value below `128p`.
    fn pack(&self, lanes: &mut [Self::Packed]);

    fn zero() -> Self;
    fn one() -> Self;
    /// The sum; bounds add.
    fn add(&self, rhs: &Self) -> Self;
    /// The difference, for a `rhs` below `7p`: a sum or a difference of products. Adds `8p` to the bound.
    fn sub(&self, rhs: &Self) -> Self;
    /// The difference, for a `rhs` below `31p`. Adds `32p` to the bound.
    fn sub_wide(&self, rhs: &Self) -> Self;
    /// The negative of a value below `7p`; comes out below `8p`.
    fn neg(&self) -> Self {
        Self::zero().sub(self)
    }
    fn double(&self) -> Self {
        self.add(self)
    }
    /// The product, below `3p`. The bounds of the factors may multiply to `1024` at most, in units of `p`.
    fn mul(&self, rhs: &Self) -> Self;
    /// As [`Ring::mul`] by itself: takes a value below `32p`.
    fn sqr(&self) -> Self;
    /// The same residue below `2p`; takes a value below `128p`. A fraction of a product's cost.
    fn tight(&self) -> Self;
    /// Lane by lane: `yes` where the mask is set, else `no`.
    fn select(mask: Mask, yes: &Self, no: &Self) -> Self;
    /// The lanes whose residue is zero. Costs about a product: for the rare question.
    fn is_zero(&self) -> Mask;
    /// The inverse of each lane, zero of zero. Takes a value below `32p`. Goes through one scalar inversion: dear, see
    /// [`invert_all`].
    fn invert(&self) -> Self;
}

/// Lanes of the base field itself.
pub(super) trait Field: Ring<Scalar = blst_fp> {
    /// A product in the quadratic extension: by Karatsuba, unless an implementation knows better. Bounds as [`Ring::mul`].
    fn mul_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self>;
    /// A square in the quadratic extension. Bounds as [`Ring::sqr`].
    fn sqr_quadratic(a: &Fp2<Self>) -> Fp2<Self>;
    /// A product in the cubic extension of the quadratic one, by `v` with `v^3 = 1 + i`, lowest coefficients first; below
    /// `3p`. The factors' bounds may multiply to `256`. By Karatsuba's method, unless an implementation knows better.
    fn mul_cubic(a: [&Fp2<Self>; 3], b: [&Fp2<Self>; 3]) -> [Fp2<Self>; 3] {
        let [t0, t1, t2] = [0, 1, 2].map(|i| a[i].mul(b[i]));
        let cross = |i: usize, j: usize| a[i].add(a[j]).mul(&b[i].add(b[j]));
        let m12 = cross(1, 2).sub(&t1.add(&t2));
        let nonresidue = Fp2 { c0: m12.c0.sub_wide(&m12.c1), c1: m12.c0.add(&m12.c1) };
        [
            nonresidue.add(&t0).tight(),
            cross(0, 1).sub(&t0.add(&t1)).add(&t2.mul_by_nonresidue()).tight(),
            cross(0, 2).sub(&t0.add(&t2)).add(&t1).tight(),
        ]
    }
    // What works coordinate by coordinate is here for implementations that handle both at once: compilers copy an element
    // put together from two results.
    /// [`Ring::add`] in the quadratic extension.
    fn add_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.add(&b.c0), c1: a.c1.add(&b.c1) }
    }
    /// [`Ring::sub`] in the quadratic extension.
    fn sub_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.sub(&b.c0), c1: a.c1.sub(&b.c1) }
    }
    /// [`Ring::sub_wide`] in the quadratic extension.
    fn sub_wide_quadratic(a: &Fp2<Self>, b: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.sub_wide(&b.c0), c1: a.c1.sub_wide(&b.c1) }
    }
    /// [`Fp2::mul_by_nonresidue`].
    fn nonresidue(a: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.sub(&a.c1), c1: a.c0.add(&a.c1) }
    }
    /// [`Fp2::mul_by_nonresidue_wide`].
    fn nonresidue_wide(a: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.sub_wide(&a.c1), c1: a.c0.add(&a.c1) }
    }
    /// [`Ring::tight`] in the quadratic extension.
    fn tight_quadratic(a: &Fp2<Self>) -> Fp2<Self> {
        Fp2 { c0: a.c0.tight(), c1: a.c1.tight() }
    }
}

/// Inverts every lane of every value, with one scalar inversion in all and three products a value (Montgomery's trick).
/// Gives false, and leaves the values as they were, if any lane is zero. Takes values below `32p`.
pub(super) fn invert_all<R: Ring>(values: &mut [R]) -> bool {
    let Some((first, rest)) = values.split_first() else { return true };
    let mut prefixes = Vec::with_capacity(rest.len() + 1);
    let mut product = *first;
    for value in rest {
        prefixes.push(product);
        product = product.mul(value);
    }
    if product.is_zero() != 0 {
        return false;
    }
    let mut inverse = product.invert();
    for i in (1..values.len()).rev() {
        let value = values[i];
        values[i] = inverse.mul(&prefixes[i - 1]);
        inverse = inverse.mul(&value);
    }
    values[0] = inverse;
    true
}

/// Inverts each element, with one inversion in all; zero stays zero.
fn invert_lanes(lanes: &mut [blst_fp]) {
    const ONE: blst_fp = blst_fp { l: constants::power_of_two(384) };
    let mut product = ONE;
    let mut prefixes = [ONE; 8];
    for (prefix, lane) in prefixes.iter_mut().zip(&*lanes) {
        *prefix = product;
        if *lane != blst_fp::default() {
            product = multiply(&product, lane);
        }
    }
    let mut inverse = blst_fp::default();
    // SAFETY: the function reads one field element and writes one.
    unsafe { blst::blst_fp_eucl_inverse(&mut inverse, &product) };
    for (prefix, lane) in prefixes.iter().zip(&mut *lanes).rev() {
        if *lane != blst_fp::default() {
            let value = *lane;
            *lane = multiply(&inverse, prefix);
            inverse = multiply(&inverse, &value);
        }
    }
}

fn multiply(a: &blst_fp, b: &blst_fp) -> blst_fp {
    let mut out = blst_fp::default();
    // SAFETY: the function reads two field elements and writes one.
    unsafe { blst::blst_fp_mul(&mut out, a, b) };
    out
}
