//! The arithmetic of 8 limbs of 52 bits over any [`Vector52`]: what AVX-512 IFMA multiplies.
//!
//! Free of std and of everything else here but the prime, so that a bare image can hold it (`kernels/emulation`).
//!
//! A factor counts by its low 52 bits only, so every operation carries to the end: limbs 0 to 6 of what it takes and
//! gives are below `2^52`. Bounds on values are the caller's business, in the units of [`super::super::Ring`].
//!
//! Reduction: with `k = -1/p mod 2^52` and `M = (k p + 1) / 2^52`, adding `q k p` for `q` the low 52 bits of the lowest
//! column clears them and adds `q M` one column up: no product to find `q`. Seven columns go that way and add less than
//! `p` to the result, since `2^364 k p < R p`; the last one goes the usual way, by `q = t k mod 2^52` and `q p`, and
//! adds less than `p` again.

use super::super::prime::{multiple_of_p, negated_inverse, split};
use super::vector::{LANES, Vector52};

/// Limbs of an element.
pub const LIMBS: usize = 8;
/// Bits of a limb.
pub const BITS: usize = 52;

/// One limb of each lane in a vector, the lowest first.
pub type Limbs<V> = [V; LIMBS];
/// Sums of products, before carries; each below `2^62`, but the last may be below zero until the carry arrives.
type Columns<V> = [V; 2 * LIMBS];

const LOW: u64 = (1 << BITS) - 1;
const PRIME: [u64; LIMBS] = multiple_of_p::<LIMBS, BITS>(1);
/// `-1 / p mod 2^52`.
const K: u64 = negated_inverse() & LOW;
/// `(k p + 1) / 2^52`.
const M: [u64; LIMBS] = {
    let kp: [u64; LIMBS + 1] = multiple_of_p::<{ LIMBS + 1 }, BITS>(K);
    // The lowest limb is all ones: adding one carries out of it.
    assert!(kp[0] == LOW);
    let mut m = [0; LIMBS];
    let mut i = 0;
    let mut carry = 1;
    while i < LIMBS {
        let sum = kp[i + 1] + carry;
        m[i] = sum & LOW;
        carry = sum >> BITS;
        i += 1;
    }
    m
};
/// `2^416 - p`.
const NEGATED: [u64; LIMBS] = {
    let mut limbs = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        limbs[i] = LOW - PRIME[i];
        i += 1;
    }
    // The prime is odd, so its complement is even.
    limbs[0] += 1;
    limbs
};
/// `8p` and `32p`, with a limb's worth lent downwards: no limb of a difference but the last is below zero.
const MULTIPLE_8: [u64; LIMBS] = lend(multiple_of_p::<LIMBS, BITS>(8), BITS);
const MULTIPLE_32: [u64; LIMBS] = lend(multiple_of_p::<LIMBS, BITS>(32), BITS);
/// `2^392 p`, more than a product of factors whose bounds multiply to `1024`; lent so much that a sum of 16 parts of
/// products may be taken from each column twice.
const WIDE: [u64; 2 * LIMBS] = {
    let p = super::super::prime::P;
    let mut words = [0; 13];
    let mut i = 0;
    while i < 6 {
        words[i + 6] |= p[i] << 8;
        words[i + 7] |= p[i] >> 56;
        i += 1;
    }
    lend(split::<{ 2 * LIMBS }, BITS>(&words), 60)
};

/// Adds `2^bits` to every limb but the last, and takes the same from the next one. The last may wrap below zero.
const fn lend<const N: usize>(mut limbs: [u64; N], bits: usize) -> [u64; N] {
    let mut i = 0;
    while i < N - 1 {
        limbs[i] = limbs[i].wrapping_add(1 << bits);
        limbs[i + 1] = limbs[i + 1].wrapping_sub(1 << (bits - BITS));
        i += 1;
    }
    limbs
}

/// What is above 52 bits of a limb goes to the next, all the way.
#[inline(always)]
fn carry<V: Vector52>(mut limbs: Limbs<V>) -> Limbs<V> {
    let low = V::splat(LOW);
    for i in 0..LIMBS - 1 {
        limbs[i + 1] = limbs[i + 1].add(limbs[i].shift_right::<52>());
        limbs[i] = limbs[i].and(low);
    }
    limbs
}

#[inline(always)]
fn sum<V: Vector52>(a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> {
    let mut limbs = *a;
    for i in 0..LIMBS {
        limbs[i] = limbs[i].add(b[i]);
    }
    carry(limbs)
}

/// `a + multiple - b`.
#[inline(always)]
fn difference<V: Vector52>(a: &Limbs<V>, b: &Limbs<V>, multiple: &[u64; LIMBS]) -> Limbs<V> {
    let mut limbs = *a;
    for i in 0..LIMBS {
        limbs[i] = limbs[i].add(V::splat(multiple[i])).sub(b[i]);
    }
    carry(limbs)
}

/// Adds the product: 16 parts of 52 bits to a column at most.
#[inline(always)]
fn multiply<V: Vector52>(mut columns: Columns<V>, a: &Limbs<V>, b: &Limbs<V>) -> Columns<V> {
    for i in 0..LIMBS {
        for j in 0..LIMBS {
            columns[i + j] = columns[i + j].madd52lo(a[i], b[j]);
            columns[i + j + 1] = columns[i + j + 1].madd52hi(a[i], b[j]);
        }
    }
    columns
}

/// The square: each product of two limbs once, doubled as a sum, for a doubled limb would not fit a factor.
#[inline(always)]
fn square<V: Vector52>(a: &Limbs<V>) -> Columns<V> {
    let mut columns = [V::splat(0); 2 * LIMBS];
    for i in 0..LIMBS {
        for j in i + 1..LIMBS {
            columns[i + j] = columns[i + j].madd52lo(a[i], a[j]);
            columns[i + j + 1] = columns[i + j + 1].madd52hi(a[i], a[j]);
        }
    }
    for i in 0..LIMBS {
        columns[2 * i] = columns[2 * i].add(columns[2 * i]).madd52lo(a[i], a[i]);
        columns[2 * i + 1] = columns[2 * i + 1].add(columns[2 * i + 1]).madd52hi(a[i], a[i]);
    }
    columns
}

/// The columns over `R = 2^416`, modulo `p`: below `3p` for a value below `R p`.
#[inline(always)]
fn reduce<V: Vector52>(mut columns: Columns<V>) -> Limbs<V> {
    for i in 0..LIMBS - 1 {
        let q = columns[i];
        columns[i + 1] = columns[i + 1].add(q.shift_right::<52>());
        for j in 0..LIMBS {
            columns[i + 1 + j] = columns[i + 1 + j].madd52lo(q, V::splat(M[j]));
            columns[i + 2 + j] = columns[i + 2 + j].madd52hi(q, V::splat(M[j]));
        }
    }
    let last = LIMBS - 1;
    let q = V::splat(0).madd52lo(columns[last], V::splat(K));
    for j in 0..LIMBS {
        columns[last + j] = columns[last + j].madd52lo(q, V::splat(PRIME[j]));
        columns[last + 1 + j] = columns[last + 1 + j].madd52hi(q, V::splat(PRIME[j]));
    }
    let mut limbs = [columns[last].shift_right::<52>(); LIMBS];
    limbs[0] = limbs[0].add(columns[LIMBS]);
    limbs[1..].copy_from_slice(&columns[LIMBS + 1..]);
    carry(limbs)
}

/// The value less the greatest multiple of `p` that its last limb proves: for a value below `512p` comes out below
/// `1.006p`.
///
/// The quotient is the last limb over that of the prime plus one: never too large. It falls short by less than
/// `512 / 106513` for the prime's lower limbs, `1 / 106513` for the value's, `2^-26` for the reciprocal's rounding, and
/// by 1 for its own.
#[inline(always)]
fn remainder<V: Vector52>(a: &Limbs<V>) -> Limbs<V> {
    const RECIPROCAL: u64 = (1 << BITS) / (PRIME[LIMBS - 1] + 1);
    let q = V::splat(0).madd52hi(a[LIMBS - 1], V::splat(RECIPROCAL));
    let mut limbs = *a;
    for i in 0..LIMBS {
        limbs[i] = limbs[i].madd52lo(q, V::splat(NEGATED[i]));
        if i + 1 < LIMBS {
            limbs[i + 1] = limbs[i + 1].madd52hi(q, V::splat(NEGATED[i]));
        }
    }
    limbs = carry(limbs);
    // The quotient times 2^416 is on top.
    limbs[LIMBS - 1] = limbs[LIMBS - 1].and(V::splat(LOW));
    limbs
}

#[inline(always)]
fn equal<V: Vector52>(a: &Limbs<V>, b: &[u64; LIMBS]) -> u8 {
    let mut mask = u8::MAX;
    for i in 0..LIMBS {
        mask &= a[i].equal(V::splat(b[i]));
    }
    mask
}

#[inline(always)]
fn zero<V: Vector52>(a: &Limbs<V>) -> u8 {
    let value = remainder(a);
    equal(&value, &[0; LIMBS]) | equal(&value, &PRIME)
}

/// Karatsuba over whole columns, with one reduction a coordinate.
#[inline(always)]
fn multiply_pairs<V: Vector52>(a: [&Limbs<V>; 2], b: [&Limbs<V>; 2]) -> [Limbs<V>; 2] {
    let nothing = [V::splat(0); 2 * LIMBS];
    let low = multiply(nothing, a[0], b[0]);
    let high = multiply(nothing, a[1], b[1]);
    let (mut real, mut cross) = (nothing, nothing);
    for i in 0..2 * LIMBS {
        let without_high = V::splat(WIDE[i]).sub(high[i]);
        real[i] = without_high.add(low[i]);
        cross[i] = without_high.sub(low[i]);
    }
    let cross = multiply(cross, &sum(a[0], a[1]), &sum(b[0], b[1]));
    [reduce(real), reduce(cross)]
}

/// `(a0 + a1) (a0 - a1) + 2 a0 a1 i`.
#[inline(always)]
fn square_pair<V: Vector52>(a: [&Limbs<V>; 2]) -> [Limbs<V>; 2] {
    let nothing = [V::splat(0); 2 * LIMBS];
    let real = multiply(nothing, &sum(a[0], a[1]), &difference(a[0], a[1], &MULTIPLE_32));
    let cross = multiply(nothing, &sum(a[0], a[0]), a[1]);
    [reduce(real), reduce(cross)]
}

/// Loops, for closures would not be inlined where the instructions are enabled.
#[inline(always)]
fn columns_of<V: Vector52>(rows: [&[u64; LIMBS]; LANES]) -> Limbs<V> {
    let mut vectors = [V::splat(0); LANES];
    for i in 0..LANES {
        vectors[i] = V::load(rows[i]);
    }
    V::transpose(vectors)
}

#[inline(always)]
fn rows_of<V: Vector52>(a: &Limbs<V>) -> [[u64; LIMBS]; LANES] {
    let vectors = V::transpose(*a);
    let mut rows = [[0; LIMBS]; LANES];
    for i in 0..LANES {
        rows[i] = vectors[i].store();
    }
    rows
}

#[inline(always)]
fn constant<V: Vector52>(limbs: &[u64; LIMBS]) -> Limbs<V> {
    let mut vectors = [V::splat(0); LIMBS];
    for i in 0..LIMBS {
        vectors[i] = V::splat(limbs[i]);
    }
    vectors
}

#[inline(always)]
fn choose<V: Vector52>(mask: u8, yes: &Limbs<V>, no: &Limbs<V>) -> Limbs<V> {
    let mut limbs = *no;
    for i in 0..LIMBS {
        limbs[i] = V::select(mask, yes[i], no[i]);
    }
    limbs
}

/// Makes of each body one function with the instructions enabled, into which everything above inlines.
macro_rules! operations {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty { $body:expr })*) => {$(
        $(#[$doc])*
        pub fn $name<V: Vector52>($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if V::NATIVE {
                #[target_feature(enable = "avx512f,avx512ifma")]
                fn enabled<V: Vector52>($($arg: $type),*) -> $out {
                    $body
                }
                // SAFETY: a native vector is used only on a CPU that has its instructions.
                return unsafe { enabled::<V>($($arg),*) };
            }
            $body
        }
    )*};
}

operations! {
    /// `a + b`.
    fn add(a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> { sum(a, b) }
    /// `a + 8p - b`, for `b` at most `8p`.
    fn sub(a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> { difference(a, b, &MULTIPLE_8) }
    /// `a + 32p - b`, for `b` at most `32p`.
    fn sub_wide(a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> { difference(a, b, &MULTIPLE_32) }
    /// `a b / R`, below `3p`.
    fn mul(a: &Limbs<V>, b: &Limbs<V>) -> Limbs<V> { reduce(multiply([V::splat(0); 2 * LIMBS], a, b)) }
    /// `a b / R`, below `3p`, for the same `b` in every lane.
    fn mul_constant(a: &Limbs<V>, b: &[u64; LIMBS]) -> Limbs<V> {
        reduce(multiply([V::splat(0); 2 * LIMBS], &constant(b), a))
    }
    /// `a^2 / R`, below `3p`.
    fn sqr(a: &Limbs<V>) -> Limbs<V> { reduce(square(a)) }
    /// `(a0 + a1 i) (b0 + b1 i) / R`, below `3p`.
    fn mul_quadratic(a: [&Limbs<V>; 2], b: [&Limbs<V>; 2]) -> [Limbs<V>; 2] { multiply_pairs(a, b) }
    /// `(a0 + a1 i)^2 / R`, below `3p`, for coordinates at most `32p`.
    fn sqr_quadratic(a: [&Limbs<V>; 2]) -> [Limbs<V>; 2] { square_pair(a) }
    /// The same residue below `2p`.
    fn tight(a: &Limbs<V>) -> Limbs<V> { remainder(a) }
    /// The lanes that are multiples of `p`.
    fn is_zero(a: &Limbs<V>) -> u8 { zero(a) }
    /// Lane by lane: `yes` where the mask is set, else `no`.
    fn select(mask: u8, yes: &Limbs<V>, no: &Limbs<V>) -> Limbs<V> { choose(mask, yes, no) }
    /// The same in every lane.
    fn splat(limbs: &[u64; LIMBS]) -> Limbs<V> { constant(limbs) }
    /// The limbs of each lane side by side, to vectors.
    fn from_rows(rows: [&[u64; LIMBS]; LANES]) -> Limbs<V> { columns_of(rows) }
    /// The limbs of each lane side by side.
    fn to_rows(a: &Limbs<V>) -> [[u64; LIMBS]; LANES] { rows_of(a) }
}
