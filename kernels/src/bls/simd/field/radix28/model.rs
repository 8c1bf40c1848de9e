//! The arithmetic in portable code: what the assembly is tested against, and what runs where there is none.

use super::{BITS, K, LANES, LENT, LIMBS, LOW, Limbs, M, MULTIPLE_8, MULTIPLE_32, PRIME, RECIPROCAL};

/// Sums of products, before carries.
type Columns = [[u64; LANES]; 2 * LIMBS];

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
        let q = a.0[LIMBS - 1][lane] * RECIPROCAL >> 40;
        if i < LIMBS - 1 { a.0[i][lane] + q * LENT[i] } else { a.0[i][lane].wrapping_sub(q * LENT[i]) }
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

fn multiply(a: &Limbs, b: &Limbs) -> Columns {
    let mut columns = [[0; LANES]; 2 * LIMBS];
    for (i, x) in a.0.iter().enumerate() {
        for (j, y) in b.0.iter().enumerate() {
            for lane in 0..LANES {
                columns[i + j][lane] += x[lane] * y[lane];
            }
        }
    }
    columns
}

fn montgomery(mut columns: Columns) -> Limbs {
    for i in 0..LIMBS - 1 {
        for lane in 0..LANES {
            let q = columns[i][lane] & LOW;
            columns[i + 1][lane] += columns[i][lane] >> BITS;
            for (j, m) in M.iter().enumerate() {
                columns[i + 1 + j][lane] += q * m;
            }
        }
    }
    let last = LIMBS - 1;
    let mut out = Limbs([[0; LANES]; LIMBS]);
    for lane in 0..LANES {
        let q = (columns[last][lane] & LOW) * K & LOW;
        for (j, p) in PRIME.iter().enumerate() {
            columns[last + j][lane] += q * p;
        }
        let mut carried = columns[last][lane] >> BITS;
        for (limb, column) in out.0.iter_mut().zip(&columns[LIMBS..]) {
            let sum = column[lane] + carried;
            limb[lane] = sum & LOW;
            carried = sum >> BITS;
        }
        debug_assert_eq!(carried, 0, "a product came out too large");
    }
    out
}
