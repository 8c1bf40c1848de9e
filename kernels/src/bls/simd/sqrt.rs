//! Square roots in the quadratic extension, in lanes, by two exponentiations in the base field and without a test for
//! squares before: the root of the norm tells (Scott, ePrint 2020/1497).
//!
//! For `g = a + b i` and `s` with `s^2 = a^2 + b^2`, let `t = (a + s) / 2` and `d = t^((p - 3) / 4)`, so `t d^2` is 1 or -1:
//!
//! - 1: `t d` is a root of `t`, and its inverse is `d`. The root of `g` is `t d + (b d / 2) i`.
//! - -1: the same with the roots of `t' = (a - s) / 2`, since `t t' = -b^2 / 4`: the root of `g` is `b d / 2 - (t d) i`.

use blst::blst_fp;

use super::field::constants::{P, residue};
use super::field::{Field, Fp2, Mask, Ring};

const HALF: blst_fp = residue({
    let mut words = P;
    let mut i = 0;
    while i < 6 {
        words[i] = P[i] >> 1 | if i < 5 { P[i + 1] << 63 } else { 0 };
        i += 1;
    }
    // (p - 1) / 2 + 1
    words[0] += 1;
    words
});

/// A root of the norm and the lanes in which it is one. Elsewhere its square is minus the norm: there, `g` is no square.
/// Takes `g` below `31p`.
pub(super) fn norm_root<F: Field>(g: &Fp2<F>) -> (F, Mask) {
    let norm = g.norm();
    let root = power(&norm).mul(&norm);
    let is_root = root.sqr().sub(&norm).is_zero();
    (root, is_root)
}

/// A root of a square, given a root of its norm below `4p`. Takes `g` below `31p`; comes out below `2p`. Anything in lanes that
/// hold no square.
pub(super) fn root<F: Field>(g: &Fp2<F>, norm_root: &F) -> Fp2<F> {
    let half = F::splat(&HALF);
    let mut t = g.c0.add(norm_root).mul(&half);
    let zero = t.is_zero();
    if zero != 0 {
        // The other root of the norm: b is zero, so t becomes a.
        t = F::select(zero, &g.c0.tight(), &t);
    }
    let d = power(&t);
    let a = t.mul(&d);
    let b = g.c1.mul(&half).mul(&d);
    let is_root = a.mul(&d).sub(&F::one()).is_zero();
    Fp2::select(is_root, &Fp2 { c0: a, c1: b }, &Fp2 { c0: b, c1: a.neg() }).tight()
}

/// Bits taken at a time.
const WINDOW: usize = 5;

/// The power `(p - 3) / 4`: 375 squarings and 82 products. Takes a value below `32p`.
fn power<F: Field>(x: &F) -> F {
    let bit = |i: usize| P[(i + 2) / 64] >> ((i + 2) % 64) & 1;
    // (p - 3) / 4 is p shifted by two: p ends in 11.
    const { assert!(P[0] & 3 == 3) };
    // The odd powers, up to 31.
    let square = x.sqr();
    let mut odd = [*x; 1 << (WINDOW - 1)];
    for i in 1..odd.len() {
        odd[i] = odd[i - 1].mul(&square);
    }
    let mut result = None;
    let mut top = 384 - 2 - P[5].leading_zeros() as usize;
    while top > 0 {
        if bit(top - 1) == 0 {
            result = result.map(|value: F| value.sqr());
            top -= 1;
            continue;
        }
        let mut low = top.saturating_sub(WINDOW);
        while bit(low) == 0 {
            low += 1;
        }
        let index = (low..top).rev().fold(0, |index, i| index << 1 | bit(i)) as usize >> 1;
        result = Some(match result {
            None => odd[index],
            Some(value) => (low..top).fold(value, |value, _| value.sqr()).mul(&odd[index]),
        });
        top = low;
    }
    result.unwrap_or(F::one())
}

#[cfg(test)]
mod tests {
    use blst::blst_fp2;

    use super::super::field::Fp49;
    use super::super::field::constants::small;
    use super::super::integer::from_words;
    use super::super::samples::Numbers;
    use super::*;

    type Lanes = Fp2<Fp49>;

    fn random(numbers: &mut Numbers) -> Fp49 {
        let words: Vec<_> = (0..4).map(|_| std::array::from_fn(|i| if i < 5 { numbers.next() } else { 7 })).collect();
        from_words(|lane| words[lane])
    }

    /// The lanes of squares; their roots are checked.
    fn squares(g: &Lanes) -> Mask {
        let (norm, is_root) = norm_root(g);
        let root = root(g, &norm);
        assert_eq!(root.sqr().sub_wide(g).is_zero() & is_root, is_root);
        is_root
    }

    #[test]
    fn the_exponent_is_right() {
        // x^(p - 3) = x^-2.
        let x = random(&mut Numbers(6));
        let power = power(&x).sqr().sqr();
        assert_eq!(power.mul(&x.sqr()).sub(&Fp49::one()).is_zero(), Fp49::ALL);
        assert_eq!(Fp49::splat(&HALF).double().sub(&Fp49::one()).is_zero(), Fp49::ALL);
    }

    #[test]
    fn squares_have_roots_and_others_none() {
        let mut numbers = Numbers(7);
        // -(2 + i) is no square.
        let z = Lanes::splat(&blst_fp2 { fp: [small(-2), small(-1)] });
        for _ in 0..10 {
            let square = Fp2 { c0: random(&mut numbers), c1: random(&mut numbers) }.sqr();
            assert_eq!(squares(&square), Fp49::ALL);
            assert_eq!(squares(&square.mul(&z)), 0);
        }
    }

    #[test]
    fn elements_of_the_base_field_and_their_multiples_by_i_have_roots() {
        let mut numbers = Numbers(8);
        let zero = Fp49::zero();
        assert_eq!(squares(&Lanes::zero()), Fp49::ALL);
        for _ in 0..6 {
            // Each of them is a square there: a or -a is one in the base field, and so is 2.
            let a = random(&mut numbers);
            assert_eq!(squares(&Fp2 { c0: a, c1: zero }), Fp49::ALL);
            assert_eq!(squares(&Fp2 { c0: a.neg(), c1: zero }), Fp49::ALL);
            squares(&Fp2 { c0: zero, c1: a });
            // Lanes of both kinds at once.
            let mixed = Fp2::select(5, &Fp2 { c0: a, c1: zero }, &Fp2 { c0: a, c1: a }.sqr());
            assert_eq!(squares(&mixed), Fp49::ALL);
        }
    }
}
