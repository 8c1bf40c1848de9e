//! The partial extended Euclid of NUCOMP and NUDUPL: stops halfway, and batches small quotients into 2 x 2 matrices.
//!
//! Sources: Lehmer's method as in Cohen, *A Course in Computational Algebraic Number Theory*, algorithm 1.3.7; a
//! quotient computed from leading words is accepted under Collins' condition (Jebelean, "A double-digit
//! Lehmer-Euclid algorithm", J. Symb. Comp. 19, 1995, section 2). Any accepted matrix has determinant ±1, so a wrong
//! quotient could cost reduction steps later, never correctness; the condition keeps remainders non-negative.

use dashu_int::ops::DivRem;
use dashu_int::{IBig, UBig};

use super::integer::Int;

/// Two consecutive rows of Euclid's algorithm on `(a, k)`, of the lattice `{(x, y, u) : u = a x + k y}`.
///
/// `u` are remainders, `y` the cofactors of `k`, so `u0 y1 - u1 y0 = orientation * a`.
pub(super) struct Rows {
    pub u0: Int,
    pub y0: Int,
    pub u1: Int,
    pub y1: Int,
    /// Whether an even number of steps was taken: the rows then keep the orientation of the basis `(1, 0), (0, 1)`.
    pub positive: bool,
}

/// Runs Euclid on `(a, k)`, `0 <= k < a`, until the second remainder has at most `stop_bits` bits.
pub(super) fn partial_gcd(a: &Int, k: &Int, stop_bits: usize) -> Rows {
    let (mut r0, mut r1) = (a.magnitude(), k.magnitude());
    // Magnitudes: the signs of the cofactors alternate, those of row i being positive for odd i.
    let (mut y0, mut y1) = (UBig::ZERO, UBig::ONE);
    let mut even = true;
    while bits(&r1) > stop_bits {
        let batch = Batch::simulate(&r0, &r1, stop_bits);
        if batch.steps == 0 {
            let (quotient, remainder) = (&r0).div_rem(&r1);
            let y2 = y0 + quotient * &y1;
            (r0, r1) = (r1, remainder);
            (y0, y1) = (y1, y2);
            even = !even;
        } else {
            let Batch { u0, v0, u1, v1, steps } = batch;
            let rows_even = steps % 2 == 0;
            let next0 = combine(&r0, u0, &r1, v0, rows_even);
            let next1 = combine(&r0, u1, &r1, v1, !rows_even);
            (r0, r1) = (next0, next1);
            (y0, y1) = (&y0 * u0 + &y1 * v0, y0 * u1 + y1 * v1);
            even ^= !rows_even;
        }
    }
    let (y0, y1) = (IBig::from(y0), IBig::from(y1));
    let (y0, y1) = if even { (-y0, y1) } else { (y0, -y1) };
    Rows { u0: Int(IBig::from(r0)), y0: Int(y0), u1: Int(IBig::from(r1)), y1: Int(y1), positive: even }
}

/// `u r0 - v r1`, or its negation: whichever is not negative.
fn combine(r0: &UBig, u: u64, r1: &UBig, v: u64, positive: bool) -> UBig {
    let (left, right) = (r0 * u, r1 * v);
    if positive { left - right } else { right - left }
}

/// Steps found from leading words: after them the remainders are `±(u0 r0 - v0 r1)` and `∓(u1 r0 - v1 r1)`.
struct Batch {
    u0: u64,
    v0: u64,
    u1: u64,
    v1: u64,
    steps: u32,
}

impl Batch {
    fn simulate(r0: &UBig, r1: &UBig, stop_bits: usize) -> Self {
        let shift = bits(r0).saturating_sub(64);
        let (mut x, mut y) = (word_at(r0, shift), word_at(r1, shift));
        // No step past the wanted size, up to the error of one word.
        let floor = stop_bits.checked_sub(shift).map_or(1, |bits| 1u64.checked_shl(bits as u32).unwrap_or(u64::MAX));
        let mut batch = Batch { u0: 1, v0: 0, u1: 0, v1: 1, steps: 0 };
        while y >= floor {
            let (quotient, next) = (x / y, x % y);
            let (Some(u2), Some(v2)) = (
                quotient.checked_mul(batch.u1).and_then(|p| p.checked_add(batch.u0)),
                quotient.checked_mul(batch.v1).and_then(|p| p.checked_add(batch.v0)),
            ) else {
                break;
            };
            // Collins: the true remainder is within v2 of `next`, the one before within v1 of `y`.
            if next < v2 || y - next < batch.v1.saturating_add(v2) {
                break;
            }
            (x, y) = (y, next);
            batch = Batch { u0: batch.u1, v0: batch.v1, u1: u2, v1: v2, steps: batch.steps + 1 };
        }
        batch
    }
}

fn bits(value: &UBig) -> usize {
    value.as_words().last().map_or(0, |top| value.as_words().len() * 64 - top.leading_zeros() as usize)
}

/// The 64 bits of `value` above bit `shift`.
fn word_at(value: &UBig, shift: usize) -> u64 {
    let words = value.as_words();
    let word = |index: usize| words.get(index).copied().unwrap_or(0);
    let pair = u128::from(word(shift / 64)) | u128::from(word(shift / 64 + 1)) << 64;
    (pair >> (shift % 64)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: one division a step.
    fn naive(a: &IBig, k: &IBig, stop_bits: usize) -> (IBig, IBig, IBig, IBig) {
        let (mut r0, mut r1) = (a.clone(), k.clone());
        let (mut y0, mut y1) = (IBig::ZERO, IBig::ONE);
        while Int(r1.clone()).bits() > stop_bits {
            let q = &r0 / &r1;
            (r0, r1) = (r1.clone(), r0 - &q * r1);
            (y0, y1) = (y1.clone(), y0 - q * y1);
        }
        (r0, y0, r1, y1)
    }

    fn holds(a: &[u8], k: &[u8], stop: usize) {
        let a = Int::from_be_bytes(a) + Int::from(1);
        let k = Int::from_be_bytes(k).rem_floor(&a);
        let rows = partial_gcd(&a, &k, stop);
        // The rows are lattice vectors of the right orientation, whatever the stopping point.
        assert!(rows.u1.bits() <= stop);
        let determinant = &rows.u0 * &rows.y1 - &rows.u1 * &rows.y0;
        assert_eq!(determinant, if rows.positive { a.clone() } else { -a.clone() });
        for (u, y) in [(&rows.u0, &rows.y0), (&rows.u1, &rows.y1)] {
            assert!(!u.is_negative());
            assert!((u - &k * y).is_multiple_of(&a));
        }
        // They are Euclid's own rows, or rows a word's error away at the stop.
        let (r0, y0, r1, y1) = naive(&a.0, &k.0, rows.u1.bits());
        if r1 == rows.u1.0 {
            assert_eq!((r0, y0, y1), (rows.u0.0.clone(), rows.y0.0.clone(), rows.y1.0.clone()));
        }
        assert!(rows.u0.bits() + 1 >= stop, "stopped at most one bit late: {} against {stop}", rows.u0.bits());
    }

    proptest! {
        #[test]
        fn rows_are_those_of_euclid(
            a in prop::collection::vec(any::<u8>(), 0..140),
            k in prop::collection::vec(any::<u8>(), 0..140),
            stop in 0usize..700,
        ) {
            prop_assume!(a.len() * 8 > stop + 64 && a[0] != 0);
            holds(&a, &k, stop);
        }
    }

    #[test]
    fn extreme_quotients_are_handled() {
        let ones = [0xff; 128];
        let mut power = [0; 128];
        power[0] = 0x80;
        for stop in [0, 1, 63, 64, 65, 512] {
            for k in [&[][..], &[1], &[2], &[0xff; 8], &[0xff; 64], &ones[..127], &power[..], &ones] {
                holds(&ones, k, stop);
                holds(&power, k, stop);
            }
        }
    }
}
