//! The arithmetic in portable code: what the assembly is tested against, and what runs where there is none.

use super::{
    BITS, BLOCKS, COLUMNS, COMPLEMENT, FINAL, K, LANES, LIMBS, LOW, Limbs, M_BLOCKS, MULTIPLE_8, MULTIPLE_32, PRIME,
    Pair, RECIPROCAL, SQUARE,
};

/// Sums of products, before carries.
type Columns = [[u64; LANES]; COLUMNS];

/// The Montgomery product.
pub(super) fn mul(a: &Limbs, b: &Limbs) -> Limbs {
    montgomery(multiply(a, b))
}

/// The sum.
pub(super) fn add(a: &Limbs, b: &Limbs) -> Limbs {
    carried(|i, lane| a.0[i][lane] + b.0[i][lane])
}

/// `a + 8p - b`.
pub(super) fn sub(a: &Limbs, b: &Limbs) -> Limbs {
    // The last limb may be below zero until the carry arrives: wrapping, as its sum is not.
    carried(|i, lane| (a.0[i][lane] + MULTIPLE_8[i]).wrapping_sub(b.0[i][lane]))
}

/// `a + 32p - b`.
pub(super) fn sub_wide(a: &Limbs, b: &Limbs) -> Limbs {
    carried(|i, lane| (a.0[i][lane] + MULTIPLE_32[i]).wrapping_sub(b.0[i][lane]))
}

/// The same residue below `2p`.
pub(super) fn tight(a: &Limbs) -> Limbs {
    carried(|i, lane| {
        let q = (a.0[LIMBS - 1][lane] * RECIPROCAL) >> 40;
        let multiple = q * COMPLEMENT[i];
        if i < LIMBS - 1 { a.0[i][lane] + multiple } else { a.0[i][lane] - multiple }
    })
}

/// Carries once, all limbs at a time: what is above the lowest 28 bits of a limb goes to the next.
fn carried(limb: impl Fn(usize, usize) -> u64) -> Limbs {
    let mut out = Limbs([[0; LANES]; LIMBS]);
    for lane in 0..LANES {
        let mut above = 0;
        for i in 0..LIMBS - 1 {
            let sum = limb(i, lane);
            out.0[i][lane] = (sum & LOW) + above;
            above = sum >> BITS;
        }
        out.0[LIMBS - 1][lane] = limb(LIMBS - 1, lane).wrapping_add(above);
    }
    out
}

/// The Montgomery square.
pub(super) fn sqr(a: &Limbs) -> Limbs {
    mul(a, a)
}

/// The product of `a0 + a1 i` and `b0 + b1 i`.
pub(super) fn mul_quadratic(a0: &Limbs, a1: &Limbs, b0: &Limbs, b1: &Limbs) -> Pair {
    let mut real = multiply(a0, b0);
    let mut imaginary = multiply(a0, b1);
    for (k, (high, cross)) in multiply(a1, b1).iter().zip(&multiply(a1, b0)).enumerate() {
        for lane in 0..LANES {
            real[k][lane] = (real[k][lane] + SQUARE[k]).wrapping_sub(high[lane]);
            imaginary[k][lane] += cross[lane];
        }
    }
    Pair(montgomery(real), montgomery(imaginary))
}

/// The square of `a0 + a1 i`.
pub(super) fn sqr_quadratic(a0: &Limbs, a1: &Limbs) -> Pair {
    mul_quadratic(a0, a1, a0, a1)
}

fn multiply(a: &Limbs, b: &Limbs) -> Columns {
    let mut columns = [[0; LANES]; COLUMNS];
    for (i, x) in a.0.iter().enumerate() {
        for (j, y) in b.0.iter().enumerate() {
            for lane in 0..LANES {
                columns[i + j][lane] += x[lane] * y[lane];
            }
        }
    }
    columns
}

fn montgomery(columns: Columns) -> Limbs {
    let mut out = Limbs([[0; LANES]; LIMBS]);
    for lane in 0..LANES {
        let mut t = [0u64; 2 * LIMBS];
        for (t, column) in t.iter_mut().zip(&columns) {
            *t = column[lane];
        }
        let mut start = 0;
        for (block, m) in BLOCKS.iter().zip(&M_BLOCKS) {
            let next = start + block;
            for i in start..next {
                t[i + 1] += t[i] >> BITS;
                t[i] &= LOW;
            }
            for i in 0..*block {
                for (j, m) in m.iter().enumerate() {
                    // Wrapping: the highest column may be below zero until a carry arrives.
                    t[next + i + j] = t[next + i + j].wrapping_add(t[start + i] * m);
                }
            }
            start = next;
        }
        t[start + 1] += t[start] >> BITS;
        t[start] &= LOW;
        let product = t[start] * K[0];
        let q = [product & LOW, ((product >> BITS) + t[start] * K[1] + (t[start + 1] & LOW) * K[0]) & LOW];
        for i in 0..FINAL {
            for (j, p) in PRIME.iter().enumerate() {
                t[start + i + j] = t[start + i + j].wrapping_add(q[i] * p);
            }
        }
        for i in start..COLUMNS {
            t[i + 1] = t[i + 1].wrapping_add(t[i] >> BITS);
            t[i] &= LOW;
        }
        for (limb, column) in out.0.iter_mut().zip(&t[LIMBS..]) {
            limb[lane] = *column;
        }
    }
    out
}
