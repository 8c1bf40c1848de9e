//! Products of optimal ate Miller loops, pairs side by side in lanes.
//!
//! The loop runs over the bits of `|x|`, `x` the curve family's parameter, and multiplies an accumulator by the line
//! through the running multiple `T` of `Q` at each step, evaluated at `P` (Vercauteren, "Optimal Pairings", ePrint
//! 2008/096; affine steps as in Lauter, Montgomery, Naehrig, "An Analysis of Affine Coordinates for Pairing
//! Computation", ePrint 2010/363). One accumulator serves a whole chunk of pairs, so a squaring a step serves them all.
//!
//! `T` stays affine: a step of all pairs shares one inversion. Each pair's coordinates are first scaled by
//! `(X, Y) -> (u^2 X, u^3 Y)`, an isomorphism to another curve with `a = 0`, whose formulas are the same. `u` is
//! chosen so that `x_P = 2 y_P` there. With the slope `s` of the line, twisted to the pairing's field by `w^2` and `w^3`,
//!
//! ```text
//! (s x_T - y_T) - s x_P w^2 + y_P w^3  =  y_P (2 a' - 2 s v + v w)     for  a' = (s x_T - y_T) / 2 y_P
//! ```
//!
//! so after dropping `y_P` one coefficient is one and another is the slope itself. The loop multiplies by
//! `-2 a' + 2 s v + v w`, the line at `-P` but for the sign: conjugate to the above, which also is what a negative `x`
//! asks for at the end. The final exponentiation sends to one the factors that are dropped, `y_P` and signs, and those
//! that differ from other ways to write the loop: all lie in proper subfields of `Fp12`.

use blst::{blst_fp, blst_fp2, blst_fp6, blst_fp12};

use super::curve::{Affine, Stored};
use super::field::{Field, Fp2, Mask, Ring, invert_all};
use super::tower::Fp12;

/// `-x`: the curve family's parameter is negative.
const LOOP: u64 = 0xd201_0000_0001_0000;

/// What no Miller loop gives, and no equation holds by.
const NO_VALUE: blst_fp12 = blst_fp12 { fp6: [blst_fp6 { fp2: [blst_fp2 { fp: [blst_fp { l: [0; 6] }; 2] }; 3] }; 2] };

/// The product of the Miller loops of all pairs, up to factors that the final exponentiation sends to one; one if there
/// are no pairs.
///
/// Points must be in their subgroups and not infinite: else the result has no meaning.
pub(super) fn miller_product<F: Field>(p: &[Stored<F>], q: &[Stored<Fp2<F>>]) -> blst_fp12 {
    miller_chunks(p, q, p.len()).pop().unwrap_or_default()
}

/// As [`miller_product`], one product for each chunk of `size` pairs, the last of which may be shorter. A chunk costs its
/// own squarings and pads its last vector to full lanes; inversions are shared by all chunks.
pub(super) fn miller_chunks<F: Field>(p: &[Stored<F>], q: &[Stored<Fp2<F>>], size: usize) -> Vec<blst_fp12> {
    debug_assert_eq!(p.len(), q.len());
    let size = size.max(1);
    match Loops::new(p, q, size).and_then(Loops::run) {
        Some(values) => values.iter().map(Fp12::product_of_lanes).collect(),
        // Never for points as documented.
        None => vec![NO_VALUE; p.len().div_ceil(size)],
    }
}

/// The Miller loop of each pair by itself, as [`miller_product`].
pub(super) fn miller_each<F: Field>(p: &[Stored<F>], q: &[Stored<Fp2<F>>]) -> Vec<blst_fp12> {
    debug_assert_eq!(p.len(), q.len());
    let mut values = match Loops::new(p, q, F::LANES).and_then(Loops::run) {
        Some(vectors) => {
            let mut values = vec![blst_fp12::default(); vectors.len() * F::LANES];
            vectors.iter().zip(values.chunks_mut(F::LANES)).for_each(|(vector, lanes)| vector.store(lanes));
            values
        }
        None => vec![NO_VALUE; p.len()],
    };
    values.truncate(p.len());
    values
}

/// One vector of pairs: what stays the same over the loop.
struct Pairs<F: Field> {
    /// `Q`, scaled.
    base: Affine<Fp2<F>>,
    /// `-1 / 2 y_P`, scaled.
    factor: F,
    /// Lanes that hold a pair of their own, not padding.
    mask: Mask,
}

impl<F: Field> Pairs<F> {
    /// Takes `1 / 2 x_P y_P` along: `u = x_P / 2 y_P`, and the scaled `2 y_P` is `x_P^3 / (2 y_P)^2`.
    fn new(p: &Affine<F>, q: &Affine<Fp2<F>>, inverse: &F, mask: Mask) -> Self {
        let u = p.x.sqr().mul(inverse);
        let square = u.sqr();
        let base = Affine { x: q.x.scale(&square), y: q.y.scale(&square.mul(&u)) };
        let y = p.y.double();
        let x_inverse = y.mul(inverse);
        let factor = y.mul(&x_inverse).sqr().mul(&x_inverse).neg();
        Self { base, factor, mask }
    }
}

/// Many loops in step.
struct Loops<F: Field> {
    pairs: Vec<Pairs<F>>,
    /// The running multiple of each base, below `3p`.
    multiples: Vec<Affine<Fp2<F>>>,
    /// Running products of a step's denominators.
    products: Vec<Fp2<F>>,
    three_halves: F,
    /// By chunk.
    values: Vec<Fp12<F>>,
    /// In each chunk but the last.
    vectors: usize,
}

impl<F: Field> Loops<F> {
    /// None if a coordinate of a `P` is zero: then its order is two or three.
    fn new(p: &[Stored<F>], q: &[Stored<Fp2<F>>], size: usize) -> Option<Self> {
        let p: Vec<&[Stored<F>]> = p.chunks(size).flat_map(|chunk| chunk.chunks(F::LANES)).collect();
        let q = q.chunks(size).flat_map(|chunk| chunk.chunks(F::LANES));
        let products = p.iter().map(|p| padded(p)).map(|p| p.x.double().mul(&p.y));
        let mut inverses: Vec<F> = products.chain([F::one().double()]).collect();
        if !invert_all(&mut inverses) {
            return None;
        }
        let half = inverses.pop()?;
        let pairs = p.iter().zip(q).zip(&inverses);
        let pairs =
            pairs.map(|((p, q), inverse)| Pairs::new(&padded(p), &padded(q), inverse, F::ALL >> (F::LANES - p.len())));
        let pairs: Vec<Pairs<F>> = pairs.collect();
        let vectors = size.div_ceil(F::LANES);
        Some(Self {
            multiples: pairs.iter().map(|pairs| pairs.base).collect(),
            products: Vec::with_capacity(pairs.len()),
            three_halves: half.double().add(&half),
            values: vec![Fp12::one(); pairs.len().div_ceil(vectors)],
            vectors,
            pairs,
        })
    }

    /// The values of the chunks. None if a slope has no denominator, which no point of large prime order meets: doubling,
    /// the multiple has order two; adding, it is the base or its negative.
    fn run(mut self) -> Option<Vec<Fp12<F>>> {
        for bit in (0..LOOP.ilog2()).rev() {
            self.values.iter_mut().for_each(Fp12::square);
            self.double()?;
            if LOOP >> bit & 1 == 1 {
                self.add()?;
            }
        }
        Some(self.values)
    }

    /// The slopes are `3 x^2 / 2 y`.
    fn double(&mut self) -> Option<()> {
        // The factor of all slopes goes into the one inverse that they share.
        let mut inverse = self.invert_product(|t, _| t.y)?.scale(&self.three_halves);
        for i in (0..self.pairs.len()).rev() {
            let t = &self.multiples[i];
            let slope = self.split_off(i, &mut inverse, &t.y).mul(&t.x.sqr());
            let sum = t.x.double();
            self.step(i, &slope, &sum);
        }
        Some(())
    }

    fn add(&mut self) -> Option<()> {
        let mut inverse = self.invert_product(|t, base| t.x.sub(&base.x))?;
        for i in (0..self.pairs.len()).rev() {
            let (t, base) = (&self.multiples[i], &self.pairs[i].base);
            let slope = self.split_off(i, &mut inverse, &t.x.sub(&base.x)).mul(&t.y.sub(&base.y));
            let sum = t.x.add(&base.x);
            self.step(i, &slope, &sum);
        }
        Some(())
    }

    /// The inverse of the product of all denominators, each below `11p`, of a multiple and its base.
    fn invert_product(&mut self, denominator: impl Fn(&Affine<Fp2<F>>, &Affine<Fp2<F>>) -> Fp2<F>) -> Option<Fp2<F>> {
        self.products.clear();
        for (t, pairs) in self.multiples.iter().zip(&self.pairs) {
            let denominator = denominator(t, &pairs.base);
            self.products.push(self.products.last().map_or(denominator, |product| product.mul(&denominator)));
        }
        let product = self.products.last()?;
        (product.is_zero() == 0).then(|| product.invert())
    }

    /// The inverse of denominator `i`, from that of the product of the first `i + 1`, which loses its last factor.
    fn split_off(&self, i: usize, inverse: &mut Fp2<F>, denominator: &Fp2<F>) -> Fp2<F> {
        if i == 0 {
            return *inverse;
        }
        let own = inverse.mul(&self.products[i - 1]);
        *inverse = inverse.mul(denominator);
        own
    }

    /// One vector's step along the line through its multiple with this slope: to the multiple's sum with another point on
    /// it, given the sum of their abscissas, below `7p`.
    fn step(&mut self, i: usize, slope: &Fp2<F>, sum: &Fp2<F>) {
        let (t, pairs, value) = (&mut self.multiples[i], &self.pairs[i], &mut self.values[i / self.vectors]);
        let intercept = slope.mul(&t.x).sub(&t.y);
        t.x = slope.sqr().sub(sum).tight();
        t.y = intercept.sub(&slope.mul(&t.x)).tight();
        let a = intercept.scale(&pairs.factor);
        if pairs.mask == F::ALL {
            value.mul_by_line(&a, slope);
        } else {
            // Other lanes multiply by `v w`, which lies in a proper subfield.
            let (mask, zero) = (pairs.mask, Fp2::zero());
            value.mul_by_line(&Fp2::select(mask, &a, &zero), &Fp2::select(mask, slope, &zero));
        }
    }
}

/// Up to a vector of points, at least one; lanes past the last repeat it.
fn padded<R: Ring>(points: &[Stored<R>]) -> Affine<R> {
    Affine::unpack(|lane| &points[lane.min(points.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bls::points::{self, G1, G2, affine_g1, affine_g2, hash_to_g2, miller_loop, negated_generator};
    use crate::bls::simd::convert::{stored_g1, stored_g2};
    use crate::bls::simd::field::{Emulated, Fp49, Fp52};

    /// Points of both groups, from a seed.
    fn points(n: usize, seed: u64) -> (Vec<G1>, Vec<G2>) {
        let weights = |i: u64| seed.wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let p: Vec<_> = (0..n as u64).map(|i| points::weighted_sum_g1(&[negated_generator()], &[weights(i)])).collect();
        let q: Vec<_> = (0..n as u64).map(|i| hash_to_g2(&weights(i).to_le_bytes())).collect();
        (affine_g1(&p), affine_g2(&q))
    }

    fn product<F: Field>(p: &[G1], q: &[G2]) -> blst_fp12 {
        miller_product::<F>(&stored_g1(p), &stored_g2(q)).final_exp()
    }

    fn expected(p: &[G1], q: &[G2]) -> blst_fp12 {
        miller_loop(p.iter().copied().zip(q.iter().copied())).final_exp()
    }

    fn agrees<F: Field>(counts: &[usize]) {
        for &n in counts {
            let (p, q) = points(n, n as u64);
            assert_eq!(product::<F>(&p, &q), expected(&p, &q), "{n} pairs");
        }
    }

    fn is_bilinear<F: Field>() {
        let (p, q) = points(3, 7);
        let multiply_g1 = |weight| affine_g1(&[points::weighted_sum_g1(&p[..1], &[weight])])[0];
        let multiply_g2 = |weight| affine_g2(&[points::weighted_sum_g2(&q[..1], &[weight])])[0];
        let weight = 0xfedc_ba98_7654_3211;
        let value = product::<F>(&[multiply_g1(weight)], &q[..1]);
        assert_ne!(value, blst_fp12::default());
        assert_eq!(value, product::<F>(&p[..1], &[multiply_g2(weight)]));
        assert_eq!(value * value, product::<F>(&[multiply_g1(weight); 2], &[q[0]; 2]));

        // Each pair, then its opposite by either side: nothing is left.
        let negated_p = affine_g1(&p.iter().map(|p| points::negate_g1(points::jacobian_g1(p))).collect::<Vec<_>>());
        let both = [&p[..], &negated_p].concat();
        assert_eq!(product::<F>(&both, &q.repeat(2)), blst_fp12::default());
        // (P, Q + R) against (P, Q) and (P, R).
        let sum = affine_g2(&[points::sum_g2(&q[..2])])[0];
        let (left, right) = ([p[0], negated_p[0], negated_p[0]], [sum, q[0], q[1]]);
        assert_eq!(product::<F>(&left, &right), blst_fp12::default());
        assert_ne!(product::<F>(&left, &[sum, q[0], q[2]]), blst_fp12::default());
    }

    fn chunks_agree<F: Field>() {
        let n = 4 * F::LANES + 1;
        let (p, q) = points(n, 11);
        for size in [1, F::LANES + 1, 2 * F::LANES, n + 1] {
            let chunks = miller_chunks::<F>(&stored_g1(&p), &stored_g2(&q), size);
            let chunks: Vec<blst_fp12> = chunks.iter().map(blst_fp12::final_exp).collect();
            let by_blst = p.chunks(size).zip(q.chunks(size)).map(|(p, q)| expected(p, q));
            assert_eq!(chunks, by_blst.collect::<Vec<_>>(), "chunks of {size}");
        }
    }

    #[test]
    fn products_agree_with_blst() {
        agrees::<Fp49>(&[0, 1, 3, 4, 5, 33]);
        agrees::<Fp52<Emulated>>(&[1, 7, 9]);
    }

    #[test]
    fn the_pairing_is_bilinear() {
        is_bilinear::<Fp49>();
    }

    #[test]
    fn chunks_agree_with_blst() {
        chunks_agree::<Fp49>();
    }

    /// Outside the subgroups, where nothing is promised, a vanishing denominator must not come out as one.
    #[test]
    fn a_point_of_order_three_gives_zero() {
        let (_, q) = points(1, 5);
        let mut p = [Stored::default(); Fp49::LANES];
        Affine { x: Fp49::zero(), y: Fp49::one().double() }.pack(&mut p);
        let value = miller_product(&p[..1], &stored_g2(&q));
        assert_eq!(value, blst_fp12 { fp6: [blst_fp6::default(); 2] });
        assert_ne!(value.final_exp(), blst_fp12::default());
    }
}
