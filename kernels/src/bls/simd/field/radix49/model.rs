//! The arithmetic in portable code: what the assembly is tested against, and what runs where there is none. Upper halves
//! are summed in the same order, so that products halfway between two multiples of `2^49` go the same way.

use super::{
    Bound, COLUMNS, DIGIT_START, Fp2, Fp49, INVERSE, LANES, LIMBS, Limbs, PRIME, Packed, RECIPROCAL, START, WHOLE, Wide,
};

/// One lane's limbs, and sums of two.
type Lane = [f64; LIMBS];
/// One lane's columns.
type Columns = [f64; COLUMNS];

/// The sums of a column's upper and lower halves.
struct Column {
    upper: f64,
    lower: f64,
}

impl Column {
    fn new(k: usize) -> Self {
        Self { upper: START[k], lower: 0.0 }
    }

    fn product(&mut self, a: f64, b: f64) {
        let before = self.upper;
        self.upper = a.mul_add(b, before);
        self.lower += a.mul_add(b, before - self.upper);
    }

    /// Of different limbs only once, one of them doubled, if it is a square.
    fn products(&mut self, k: usize, a: &Lane, b: &Lane, is_square: bool) {
        for (i, x) in a.iter().enumerate() {
            let Some((j, y)) = k.checked_sub(i).and_then(|j| Some((j, b.get(j)?))) else { continue };
            if !is_square || i == j {
                self.product(*x, *y);
            } else if i < j {
                self.product(2.0 * x, *y);
            }
        }
    }
}

/// The columns of a product.
fn multiply(a: &Lane, b: &Lane) -> Columns {
    let mut carry = 0.0;
    std::array::from_fn(|k| {
        let mut column = Column::new(k);
        if k < COLUMNS - 1 {
            column.products(k, a, b, false);
        }
        let sum = column.lower + carry;
        carry = column.upper - START[k];
        sum
    })
}

/// The product, if any, and columns, over `R` modulo `p`.
fn reduce(factors: Option<(&Lane, &Lane)>, is_square: bool, columns: &Columns) -> Lane {
    let mut digits = [0.0; LIMBS];
    let mut sums = [0.0; LIMBS];
    let mut carry = 0.0;
    for k in 0..COLUMNS {
        let mut column = Column::new(k);
        if let Some((a, b)) = factors
            && k < COLUMNS - 1
        {
            column.products(k, a, b, is_square);
        }
        for (j, digit) in digits.iter().enumerate().take(k) {
            if k - j < LIMBS {
                column.product(*digit, PRIME[k - j]);
            }
        }
        let value = column.lower + columns[k] + carry;
        carry = column.upper - START[k];
        if k < LIMBS {
            let rounded = value.mul_add(INVERSE, DIGIT_START[k]);
            digits[k] = value.mul_add(INVERSE, DIGIT_START[k] - rounded);
            carry += digits[k].mul_add(PRIME[0], value);
        } else {
            sums[k - LIMBS] = value;
        }
    }
    carried(sums)
}

/// A sum without its multiple of `2^49` and with the excess of the one before; leaves its own.
fn carry(sum: f64, k: usize, excess: &mut f64) -> f64 {
    let upper = (sum + START[k]) - START[k];
    (sum - upper) + std::mem::replace(excess, upper)
}

/// Carries once, all limbs at a time.
fn carried(sums: Lane) -> Lane {
    let mut excess = 0.0;
    std::array::from_fn(|i| if i < LIMBS - 1 { carry(sums[i], LIMBS + i, &mut excess) } else { sums[i] + excess })
}

fn carried_columns(sums: Columns) -> Columns {
    let mut excess = 0.0;
    std::array::from_fn(|k| if k < COLUMNS - 1 { carry(sums[k], k, &mut excess) } else { sums[k] + excess })
}

fn lane(limbs: &Limbs, lane: usize) -> Lane {
    limbs.0.map(|limb| limb[lane])
}

fn each<const N: usize>(values: [&Fp49; N], bound: Bound, f: impl Fn([Lane; N]) -> Lane) -> Fp49 {
    let lanes: [Lane; LANES] = std::array::from_fn(|i| f(values.map(|value| lane(&value.limbs, i))));
    let limbs = Limbs(std::array::from_fn(|i| lanes.map(|lane| lane[i])));
    Fp49 { limbs, bound }
}

fn plus(a: &Lane, b: &Lane) -> Lane {
    std::array::from_fn(|i| a[i] + b[i])
}

fn minus(a: &Lane, b: &Lane) -> Lane {
    std::array::from_fn(|i| a[i] - b[i])
}

const NOTHING: Columns = [0.0; COLUMNS];

/// The Montgomery product.
pub(super) fn mul(a: &Fp49, b: &Fp49, bound: Bound) -> Fp49 {
    each([a, b], bound, |[a, b]| reduce(Some((&a, &b)), false, &NOTHING))
}

/// The Montgomery square.
pub(super) fn sqr(a: &Fp49, bound: Bound) -> Fp49 {
    each([a], bound, |[a]| reduce(Some((&a, &a)), true, &NOTHING))
}

/// The product in the quadratic extension.
pub(super) fn mul_quadratic(a: &Fp2<Fp49>, b: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    let parts = [&a.c0, &a.c1, &b.c0, &b.c1];
    let c0 = each(parts, bound, |[a0, a1, b0, b1]| {
        let (low, high) = (multiply(&a0, &b0), multiply(&a1, &b1));
        reduce(None, false, &std::array::from_fn(|k| low[k] - high[k]))
    });
    let c1 = each(parts, bound, |[a0, a1, b0, b1]| {
        let (low, high) = (multiply(&a0, &b0), multiply(&a1, &b1));
        let both = carried_columns(std::array::from_fn(|k| low[k] + high[k]));
        let rest = both.map(|column| -column);
        reduce(Some((&carried(plus(&a0, &a1)), &plus(&b0, &b1))), false, &rest)
    });
    Fp2 { c0, c1 }
}

/// The square in the quadratic extension.
pub(super) fn sqr_quadratic(a: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    let parts = [&a.c0, &a.c1];
    Fp2 {
        c0: each(parts, bound, |[a0, a1]| reduce(Some((&carried(plus(&a0, &a1)), &minus(&a0, &a1))), false, &NOTHING)),
        c1: each(parts, bound, |[a0, a1]| reduce(Some((&plus(&a0, &a0), &a1)), false, &NOTHING)),
    }
}

/// The product in the quadratic extension, not reduced.
pub(super) fn wide_quadratic(a: &Fp2<Fp49>, b: &Fp2<Fp49>) -> [Wide; 2] {
    let mut out = [Wide([[0.0; LANES]; COLUMNS]); 2];
    for i in 0..LANES {
        let [a0, a1, b0, b1] = [&a.c0, &a.c1, &b.c0, &b.c1].map(|value| lane(&value.limbs, i));
        let (low, high) = (multiply(&a0, &b0), multiply(&a1, &b1));
        let cross = multiply(&carried(plus(&a0, &a1)), &plus(&b0, &b1));
        let real = carried_columns(std::array::from_fn(|k| low[k] - high[k]));
        let both = carried_columns(std::array::from_fn(|k| low[k] + high[k]));
        let imaginary = carried_columns(std::array::from_fn(|k| cross[k] - both[k]));
        for k in 0..COLUMNS {
            (out[0].0[k][i], out[1].0[k][i]) = (real[k], imaginary[k]);
        }
    }
    out
}

/// Columns at most `20 * 2^48`, and their value below `4096 p^2`, over `R` modulo `p`.
pub(super) fn reduce_quadratic(columns: &[Wide; 2], bound: Bound) -> Fp2<Fp49> {
    let [c0, c1] = columns.each_ref().map(|columns| {
        let lanes: [Lane; LANES] = std::array::from_fn(|i| reduce(None, false, &columns.0.map(|column| column[i])));
        Fp49 { limbs: Limbs(std::array::from_fn(|i| lanes.map(|lane| lane[i]))), bound }
    });
    Fp2 { c0, c1 }
}

/// Karatsuba's method in the cubic extension: from the products of sums `(a_i + a_j) (b_i + b_j)`, in the order 12, 01, 02,
/// and the products `a_i b_i`, the product's columns in place of the former: sums of seven columns at most.
pub(super) fn combine_cubic(crosses: &mut [[Wide; 2]; 3], squares: &[[Wide; 2]; 3]) {
    let [t0, t1, t2] = squares;
    for k in 0..COLUMNS {
        for lane in 0..LANES {
            let at = |value: &[Wide; 2], c: usize| value[c].0[k][lane];
            let cross = |n: usize, ti: &[Wide; 2], tj: &[Wide; 2]| {
                [0, 1].map(|c| crosses[n][c].0[k][lane] - at(ti, c) - at(tj, c))
            };
            let [m12, m01, m02] = [cross(0, t1, t2), cross(1, t0, t1), cross(2, t0, t2)];
            let sums = [
                [at(t0, 0) + m12[0] - m12[1], at(t0, 1) + m12[0] + m12[1]],
                [m01[0] + at(t2, 0) - at(t2, 1), m01[1] + at(t2, 0) + at(t2, 1)],
                [m02[0] + at(t1, 0), m02[1] + at(t1, 1)],
            ];
            for (columns, sums) in crosses.iter_mut().zip(sums) {
                for (column, sum) in columns.iter_mut().zip(sums) {
                    column.0[k][lane] = sum;
                }
            }
        }
    }
}

/// The sum.
pub(super) fn add(a: &Fp49, b: &Fp49, bound: Bound) -> Fp49 {
    each([a, b], bound, |[a, b]| carried(plus(&a, &b)))
}

/// The difference.
pub(super) fn sub(a: &Fp49, b: &Fp49, bound: Bound) -> Fp49 {
    each([a, b], bound, |[a, b]| carried(minus(&a, &b)))
}

/// The same residue below `2p`.
pub(super) fn tight(a: &Fp49, bound: Bound) -> Fp49 {
    each([a], bound, |[a]| {
        let quotient = a[LIMBS - 1].mul_add(RECIPROCAL, WHOLE) - WHOLE;
        let mut excess = 0.0;
        std::array::from_fn(|i| {
            let about = (-quotient).mul_add(PRIME[i], a[i]);
            if i == LIMBS - 1 {
                return about + excess;
            }
            let start = START[LIMBS + i];
            let upper = (about + start) - start;
            (a[i] - quotient.mul_add(PRIME[i], upper)) + std::mem::replace(&mut excess, upper)
        })
    })
}

/// The sum.
pub(super) fn add_quadratic(a: &Fp2<Fp49>, b: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    Fp2 { c0: add(&a.c0, &b.c0, bound), c1: add(&a.c1, &b.c1, bound) }
}

/// The difference.
pub(super) fn sub_quadratic(a: &Fp2<Fp49>, b: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    Fp2 { c0: sub(&a.c0, &b.c0, bound), c1: sub(&a.c1, &b.c1, bound) }
}

/// `a0 - a1` and `a0 + a1`.
pub(super) fn nonresidue(a: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    Fp2 { c0: sub(&a.c0, &a.c1, bound), c1: add(&a.c0, &a.c1, bound) }
}

/// The same residue below `2p`.
pub(super) fn tight_quadratic(a: &Fp2<Fp49>, bound: Bound) -> Fp2<Fp49> {
    Fp2 { c0: tight(&a.c0, bound), c1: tight(&a.c1, bound) }
}

/// Lane by lane: `yes` where the mask is all ones, else `no`.
pub(super) fn select(mask: [u64; LANES], yes: &Fp49, no: &Fp49) -> Limbs {
    let pick = |i: usize, lane: usize| if mask[lane] != 0 { yes.limbs.0[i][lane] } else { no.limbs.0[i][lane] };
    Limbs(std::array::from_fn(|i| std::array::from_fn(|lane| pick(i, lane))))
}

/// Limbs at rest, by lane.
pub(super) fn unpack(lanes: [&Packed; LANES]) -> Limbs {
    Limbs(std::array::from_fn(|i| lanes.map(|lane| lane[i])))
}

/// Puts limbs to rest.
pub(super) fn pack(a: &Fp49, lanes: &mut [Packed; LANES]) {
    for (i, packed) in lanes.iter_mut().enumerate() {
        *packed = lane(&a.limbs, i);
    }
}
