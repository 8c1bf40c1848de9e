//! The arithmetic in portable code: what the assembly is tested against, and what runs where there is none.

use super::{
    BITS, BLOCKS, Bound, COLUMNS, COMPLEMENT, FINAL, Fp2, Fp28, K, LANES, LIMBS, LOW, Limbs, M_BLOCKS, MULTIPLE_8,
    MULTIPLE_32, PRIME, Packed, RECIPROCAL, SQUARE, SQUARES, Wide,
};

/// Sums of products, before carries.
type Columns = [[u64; LANES]; COLUMNS];

/// The Montgomery product.
pub(super) fn mul(a: &Fp28, b: &Fp28, bound: Bound) -> Fp28 {
    montgomery(multiply(a, b), bound)
}

/// The product in the quadratic extension, not reduced.
pub(super) fn wide_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>) -> [Wide; 2] {
    let [mut real, mut imaginary] = [multiply(&a.c0, &b.c0), multiply(&a.c0, &b.c1)];
    for (k, (high, cross)) in multiply(&a.c1, &b.c1).iter().zip(&multiply(&a.c1, &b.c0)).enumerate() {
        for lane in 0..LANES {
            real[k][lane] = real[k][lane].wrapping_sub(high[lane]);
            imaginary[k][lane] += cross[lane];
        }
    }
    [Wide(real), Wide(imaginary)]
}

/// Columns below `2^64`, and their value below `4096 p^2`, over `R` modulo `p`.
pub(super) fn reduce(columns: &mut Wide, bound: Bound) -> Fp28 {
    montgomery(columns.0, bound)
}

/// Karatsuba's method in the cubic extension: from the products of sums `(a_i + a_j) (b_i + b_j)`, in the order 12, 01, 02,
/// and the products `a_i b_i`, the product's columns, made positive by a multiple of `p`, in place of the former.
pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
    let [t0, t1, t2] = squares;
    for (k, positive) in SQUARES.into_iter().enumerate() {
        for lane in 0..LANES {
            let at = |value: &[Wide; 2], c: usize| i128::from(value[c].0[k][lane] as i64);
            let cross = |n: usize, ti: &[Wide; 2], tj: &[Wide; 2]| {
                [0, 1].map(|c| i128::from(crosses[n][c].0[k][lane]) - at(ti, c) - at(tj, c))
            };
            let [m12, m01, m02] = [cross(0, t1, t2), cross(1, t0, t1), cross(2, t0, t2)];
            let sums = [
                [at(t0, 0) + m12[0] - m12[1], at(t0, 1) + m12[0] + m12[1]],
                [m01[0] + at(t2, 0) - at(t2, 1), m01[1] + at(t2, 0) + at(t2, 1)],
                [m02[0] + at(t1, 0), m02[1] + at(t1, 1)],
            ];
            for (columns, sums) in crosses.iter_mut().zip(sums) {
                for (column, sum) in columns.iter_mut().zip(sums) {
                    column.0[k][lane] = (sum + i128::from(positive)) as u64;
                }
            }
        }
    }
}

/// The sum.
pub(super) fn add(a: &Fp28, b: &Fp28, bound: Bound) -> Fp28 {
    carried(bound, |i, lane| a.limbs.0[i][lane] + b.limbs.0[i][lane])
}

/// `a + 8p - b`.
pub(super) fn sub(a: &Fp28, b: &Fp28, bound: Bound) -> Fp28 {
    // The last limb may be below zero until the carry arrives: wrapping, as its sum is not.
    carried(bound, |i, lane| (a.limbs.0[i][lane] + MULTIPLE_8[i]).wrapping_sub(b.limbs.0[i][lane]))
}

/// `a + 32p - b`.
pub(super) fn sub_wide(a: &Fp28, b: &Fp28, bound: Bound) -> Fp28 {
    carried(bound, |i, lane| (a.limbs.0[i][lane] + MULTIPLE_32[i]).wrapping_sub(b.limbs.0[i][lane]))
}

/// The same residue below `2p`.
pub(super) fn tight(a: &Fp28, bound: Bound) -> Fp28 {
    carried(bound, |i, lane| {
        let q = (a.limbs.0[LIMBS - 1][lane] * RECIPROCAL) >> 40;
        let (limb, multiple) = (a.limbs.0[i][lane], q * COMPLEMENT[i]);
        if i < LIMBS - 1 { limb + multiple } else { limb - multiple }
    })
}

/// Lane by lane: `yes` where the mask is all ones, else `no`.
pub(super) fn select(mask: [u64; LANES], yes: &Fp28, no: &Fp28) -> Limbs {
    let pick = |i: usize, lane: usize| (yes.limbs.0[i][lane] & mask[lane]) | (no.limbs.0[i][lane] & !mask[lane]);
    Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| pick(i, lane))))
}

/// Limbs at rest, by lane.
pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
    let limb = |pair: u64, i: usize| if i.is_multiple_of(2) { pair & LOW } else { pair >> BITS };
    Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| limb(lanes[lane][i / 2], i))))
}

/// Puts limbs to rest.
pub(super) fn pack(a: &Fp28, lanes: &mut [Packed; LANES]) {
    for (lane, packed) in lanes.iter_mut().enumerate() {
        *packed = std::array::from_fn(|i| a.limbs.0[2 * i][lane] + (a.limbs.0[2 * i + 1][lane] << BITS));
    }
}

/// Carries once, all limbs at a time: what is above the lowest 28 bits of a limb goes to the next.
fn carried(bound: Bound, limb: impl Fn(usize, usize) -> u64) -> Fp28 {
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
    Fp28 { limbs: out, bound }
}

/// The Montgomery square.
pub(super) fn sqr(a: &Fp28, bound: Bound) -> Fp28 {
    mul(a, a, bound)
}

/// The sum.
pub(super) fn add_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: add(&a.c0, &b.c0, bound), c1: add(&a.c1, &b.c1, bound) }
}

/// `a + 8p - b`.
pub(super) fn sub_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: sub(&a.c0, &b.c0, bound), c1: sub(&a.c1, &b.c1, bound) }
}

/// `a + 32p - b`.
pub(super) fn sub_wide_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: sub_wide(&a.c0, &b.c0, bound), c1: sub_wide(&a.c1, &b.c1, bound) }
}

/// `a0 + 8p - a1` and `a0 + a1`.
pub(super) fn nonresidue(a: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: sub(&a.c0, &a.c1, bound), c1: add(&a.c0, &a.c1, bound) }
}

/// `a0 + 32p - a1` and `a0 + a1`.
pub(super) fn nonresidue_wide(a: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: sub_wide(&a.c0, &a.c1, bound), c1: add(&a.c0, &a.c1, bound) }
}

/// The same residue below `2p`.
pub(super) fn tight_quadratic(a: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    Fp2 { c0: tight(&a.c0, bound), c1: tight(&a.c1, bound) }
}

/// The product in the quadratic extension.
pub(super) fn mul_quadratic(a: &Fp2<Fp28>, b: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    let mut real = multiply(&a.c0, &b.c0);
    let mut imaginary = multiply(&a.c0, &b.c1);
    for (k, (high, cross)) in multiply(&a.c1, &b.c1).iter().zip(&multiply(&a.c1, &b.c0)).enumerate() {
        for lane in 0..LANES {
            real[k][lane] = (real[k][lane] + SQUARE[k]).wrapping_sub(high[lane]);
            imaginary[k][lane] += cross[lane];
        }
    }
    Fp2 { c0: montgomery(real, bound), c1: montgomery(imaginary, bound) }
}

/// The square in the quadratic extension.
pub(super) fn sqr_quadratic(a: &Fp2<Fp28>, bound: Bound) -> Fp2<Fp28> {
    mul_quadratic(a, a, bound)
}

fn multiply(a: &Fp28, b: &Fp28) -> Columns {
    let mut columns = [[0; LANES]; COLUMNS];
    for (i, x) in a.limbs.0.iter().enumerate() {
        for (j, y) in b.limbs.0.iter().enumerate() {
            for lane in 0..LANES {
                columns[i + j][lane] += x[lane] * y[lane];
            }
        }
    }
    columns
}

fn montgomery(columns: Columns, bound: Bound) -> Fp28 {
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
    Fp28 { limbs: out, bound }
}
