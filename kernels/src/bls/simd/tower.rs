//! The field of the pairing's values in lanes, in blst's tower: `Fp6 = Fp2[v] / (v^3 - (1 + i))` and
//! `Fp12 = Fp6[w] / (w^2 - v)`.
//!
//! Sources: Karatsuba's products in cubic and quadratic extensions and the complex squaring as in Devegili, O hEigeartaigh,
//! Scott, Dahab, "Multiplication and Squaring on Pairing-Friendly Fields" (ePrint 2006/471); Toom and Cook's product for
//! the line. Bounds are in multiples of `p`, as everywhere in the field.

use blst::{blst_fp2, blst_fp6, blst_fp12};

use super::field::{Field, Fp2, Ring};

/// `c0 + c1 v + c2 v^2`.
#[derive(Clone, Copy)]
pub(super) struct Fp6<F> {
    pub(super) c0: Fp2<F>,
    pub(super) c1: Fp2<F>,
    pub(super) c2: Fp2<F>,
}

impl<F: Field> Fp6<F> {
    fn zero() -> Self {
        Self { c0: Fp2::zero(), c1: Fp2::zero(), c2: Fp2::zero() }
    }

    fn one() -> Self {
        Self { c0: Fp2::one(), ..Self::zero() }
    }

    fn add(&self, rhs: &Self) -> Self {
        Self { c0: self.c0.add(&rhs.c0), c1: self.c1.add(&rhs.c1), c2: self.c2.add(&rhs.c2) }
    }

    /// For a `rhs` below `31p`. Adds `32p` to the bound.
    fn sub_wide(&self, rhs: &Self) -> Self {
        Self { c0: self.c0.sub_wide(&rhs.c0), c1: self.c1.sub_wide(&rhs.c1), c2: self.c2.sub_wide(&rhs.c2) }
    }

    fn tight(&self) -> Self {
        Self { c0: self.c0.tight(), c1: self.c1.tight(), c2: self.c2.tight() }
    }

    /// Times `v`. Takes coefficients below `7p` and adds at most `8p` to the bound.
    fn mul_by_v(&self) -> Self {
        Self { c0: self.c2.mul_by_nonresidue(), c1: self.c0, c2: self.c1 }
    }

    /// The product, below `3p`. The factors' bounds may multiply to `256`.
    fn mul(&self, rhs: &Self) -> Self {
        let [c0, c1, c2] = F::mul_cubic([&self.c0, &self.c1, &self.c2], [&rhs.c0, &rhs.c1, &rhs.c2]);
        Self { c0, c1, c2 }
    }
}

/// `c0 + c1 w`.
///
/// Bounds of the coefficients, which all operations give and take: below `2p` but for the three that
/// [`Fp12::mul_by_line`] leaves wider, `c0.c2` and `c1.c2` below `16p` and `c1.c1` below `21p`.
#[derive(Clone, Copy)]
pub(super) struct Fp12<F> {
    pub(super) c0: Fp6<F>,
    pub(super) c1: Fp6<F>,
}

impl<F: Field> Fp12<F> {
    pub(super) fn one() -> Self {
        Self { c0: Fp6::one(), c1: Fp6::zero() }
    }

    /// Squares, by two products in `Fp6`: `(c0 + c1) (c0 + v c1) - (1 + v) c0 c1` and `2 c0 c1`.
    pub(super) fn square(&mut self) {
        let (a0, a1) = (self.c0.tight(), self.c1.tight());
        let product = a0.mul(&a1);
        let both = a0.add(&a1).mul(&a0.add(&a1.mul_by_v()));
        self.c0 = both.sub_wide(&product.add(&product.mul_by_v())).tight();
        self.c1 = product.add(&product).tight();
    }

    /// Multiplies by `2 a + 2 b v + v w`, whose coefficients `a` and `b` are below `3p`, by eight products in `Fp2`.
    ///
    /// With the line's first two terms `l = 2 (a + b v)`: `c0 l + c1 v^2` and `c1 l + c0 v`.
    pub(super) fn mul_by_line(&mut self, a: &Fp2<F>, b: &Fp2<F>) {
        let linear = Linear { zero: a.double(), one: a.add(b), minus_one: a.sub(b), infinity: b.double() };
        let p = linear.twice_mul(&self.c0);
        let q = linear.twice_mul(&self.c1);
        // Only three coefficients are made tight: each of the others is tight after the next line, before it could grow.
        let (c0, c1) = (&mut self.c0, &mut self.c1);
        let low = q.c3.add(&c0.c2).mul_by_nonresidue_wide().add(&q.c0).tight();
        c0.c2 = c1.c0.add(&p.c2);
        c1.c0 = low;
        let low = p.c3.add(&c1.c1).mul_by_nonresidue_wide().add(&p.c0).tight();
        c1.c1 = c0.c0.add(&q.c1);
        c0.c0 = low;
        let middle = c1.c2.mul_by_nonresidue_wide().add(&p.c1).tight();
        c1.c2 = c0.c1.add(&q.c2);
        c0.c1 = middle;
    }

    /// The elements, by lane.
    pub(super) fn store(&self, lanes: &mut [blst_fp12]) {
        let mut parts = [blst_fp2::default(); 8];
        for (i, half) in [&self.c0, &self.c1].into_iter().enumerate() {
            for (j, coefficient) in [&half.c0, &half.c1, &half.c2].into_iter().enumerate() {
                coefficient.store(&mut parts);
                for (lane, part) in lanes.iter_mut().zip(&parts[..F::LANES]) {
                    lane.fp6[i].fp2[j] = *part;
                }
            }
        }
    }

    /// The product of all lanes.
    pub(super) fn product_of_lanes(&self) -> blst_fp12 {
        let zero = blst_fp12 { fp6: [blst_fp6::default(); 2] };
        let mut lanes = [zero; 8];
        self.store(&mut lanes);
        lanes[1..F::LANES].iter().fold(lanes[0], |product, lane| product * *lane)
    }
}

/// `a + b v`: its values at one and minus one, and twice those at zero and infinity.
struct Linear<F> {
    zero: Fp2<F>,
    one: Fp2<F>,
    minus_one: Fp2<F>,
    infinity: Fp2<F>,
}

/// A polynomial in `v` before its reduction.
struct Cubic<F> {
    c0: Fp2<F>,
    c1: Fp2<F>,
    c2: Fp2<F>,
    c3: Fp2<F>,
}

impl<F: Field> Linear<F> {
    /// `2 x (a + b v)`: twice the product, as the product itself would need halving. Coefficients come out below `3p`,
    /// `19p`, `14p` and `3p`.
    fn twice_mul(&self, x: &Fp6<F>) -> Cubic<F> {
        let even = x.c0.add(&x.c2);
        let at_one = even.add(&x.c1).mul(&self.one);
        let at_minus_one = even.sub_wide(&x.c1).mul(&self.minus_one);
        let c0 = x.c0.mul(&self.zero);
        let c3 = x.c2.mul(&self.infinity);
        let c1 = at_one.sub(&at_minus_one).sub(&c3);
        let c2 = at_one.add(&at_minus_one).sub(&c0);
        Cubic { c0, c1, c2, c3 }
    }
}

#[cfg(test)]
mod tests {
    use blst::blst_fp;

    use super::*;
    use crate::bls::simd::field::{Emulated, Fp49, Fp52};

    /// Elements of the base field: extremes and numbers without a pattern.
    struct Source(u64);

    impl Source {
        fn fp(&mut self) -> blst_fp {
            let mut word = || {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                self.0 ^ self.0 >> 29
            };
            match word() >> 60 {
                0 => blst_fp::default(),
                // The prime less one.
                1 => blst_fp {
                    l: [
                        0xb9fe_ffff_ffff_aaaa,
                        0x1eab_fffe_b153_ffff,
                        0x6730_d2a0_f6b0_f624,
                        0x6477_4b84_f385_12bf,
                        0x4b1b_a7b6_434b_acd7,
                        0x1a01_11ea_397f_e69a,
                    ],
                },
                _ => {
                    let mut l = std::array::from_fn(|_| word());
                    l[5] >>= 4;
                    blst_fp { l }
                }
            }
        }

        fn fp2(&mut self) -> blst_fp2 {
            blst_fp2 { fp: std::array::from_fn(|_| self.fp()) }
        }

        fn fp12(&mut self) -> blst_fp12 {
            blst_fp12 { fp6: std::array::from_fn(|_| blst_fp6 { fp2: std::array::from_fn(|_| self.fp2()) }) }
        }

        fn lanes<F: Field>(&mut self) -> Vec<blst_fp12> {
            (0..F::LANES).map(|_| self.fp12()).collect()
        }
    }

    fn load<F: Field>(lanes: &[blst_fp12]) -> Fp12<F> {
        let fp6 = |i: usize| {
            let fp2 = |j: usize| Fp2::load(|lane| lanes[lane].fp6[i].fp2[j]);
            Fp6 { c0: fp2(0), c1: fp2(1), c2: fp2(2) }
        };
        Fp12 { c0: fp6(0), c1: fp6(1) }
    }

    fn stored<F: Field>(value: &Fp12<F>) -> Vec<blst_fp12> {
        let mut lanes = vec![blst_fp12::default(); F::LANES];
        value.store(&mut lanes);
        lanes
    }

    fn agrees<F: Field>() {
        let mut source = Source(1);
        let pairwise = |a: &[blst_fp12], b: &[blst_fp12]| a.iter().zip(b).map(|(a, b)| *a * *b).collect::<Vec<_>>();
        for _ in 0..30 {
            let a = source.lanes::<F>();
            let mut x = load::<F>(&a);
            assert_eq!(stored(&x), a);
            assert_eq!(x.product_of_lanes(), a[1..].iter().fold(a[0], |product, lane| product * *lane));
            // Lines and squares by turns: no coefficient may grow without end.
            let mut expected = a;
            for step in 0..8 {
                let coefficients: Vec<[blst_fp2; 2]> = (0..F::LANES).map(|_| [source.fp2(), source.fp2()]).collect();
                let line = |i: usize| Fp2::<F>::load(|lane| coefficients[lane][i]);
                x.mul_by_line(&line(0), &line(1));
                let lines = (0..F::LANES).map(|lane| {
                    let mut line = blst_fp12 { fp6: [blst_fp6::default(); 2] };
                    line.fp6[0].fp2[..2].copy_from_slice(&coefficients[lane].map(|c| double(&c)));
                    line.fp6[1].fp2[1] = blst_fp12::default().fp6[0].fp2[0];
                    line
                });
                expected = pairwise(&expected, &lines.collect::<Vec<_>>());
                if step % 3 == 2 {
                    x.square();
                    expected = pairwise(&expected, &expected);
                }
                assert_eq!(stored(&x), expected);
            }
            // The widest bounds that a line leaves.
            x.square();
            assert_eq!(stored(&x), pairwise(&expected, &expected));
        }
    }

    fn double(a: &blst_fp2) -> blst_fp2 {
        let mut lanes = [blst_fp2::default(); Fp49::LANES];
        Fp2::<Fp49>::splat(a).double().store(&mut lanes);
        lanes[0]
    }

    #[test]
    fn the_tower_agrees_with_blsts() {
        agrees::<Fp49>();
        agrees::<Fp52<Emulated>>();
    }
}
