//! The oracle: Reed-Solomon as polynomial evaluation, over a field written out by hand.
//!
//! Shares no code or tables with any backend. In `rs-vandermonde` chunk `i` is, byte for byte, the value at point `i` of
//! the one polynomial of degree below `k` over GF(2^8) = GF(2)\[x\] / (x^8 + x^4 + x^3 + x^2 + 1) whose values at
//! `0..k` are the data. That equals the usual description (the Vandermonde matrix with row `i` = (1, i, i^2, ..),
//! times the inverse of its top square), because both are systematic and linear in the same monomials. So any `k`
//! chunks give any other one by Lagrange interpolation.

use std::ops::Range;
use std::sync::LazyLock;

use rand::RngExt;

use crate::backend::{Mismatch, generator};

/// Up to this many multiplications, [`compare`] looks at every byte.
const FULL_PRODUCTS: usize = 1 << 25;
/// Byte columns that it looks at beyond that.
const SAMPLED_COLUMNS: usize = 256;

/// Product in GF(2^8), polynomial 0x11D, by shifting and adding.
pub fn mul(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (u16::from(a), 0u16);
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= 0x11d;
        }
    }
    product.to_le_bytes()[0]
}

/// Inverse in GF(2^8) as the 254th power; 0 for 0.
pub fn inverse(a: u8) -> u8 {
    (0..254).fold(1, |power, _| mul(power, a))
}

static PRODUCTS: LazyLock<Vec<[u8; 256]>> =
    LazyLock::new(|| (0..=255).map(|a| std::array::from_fn(|b| mul(a, b.to_le_bytes()[0]))).collect());

fn product(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

/// A chunk index as a point of the field; indices of this code are below 256.
fn point(index: usize) -> u8 {
    index.to_le_bytes()[0]
}

/// Lagrange coefficients: the chunk `index` as a combination of the known ones.
fn coefficients(known: &[(usize, &[u8])], index: usize) -> Vec<u8> {
    let points: Vec<u8> = known.iter().map(|(i, _)| point(*i)).collect();
    let product_over_others = |j: usize, from: u8| {
        let others = points.iter().enumerate().filter(|(i, _)| *i != j);
        others.fold(1, |acc, (_, other)| product(acc, from ^ other))
    };
    let x = point(index);
    (0..points.len()).map(|j| product(product_over_others(j, x), inverse(product_over_others(j, points[j])))).collect()
}

/// Bytes `columns` of the chunk `index`, from exactly `k` known chunks with distinct indices below 256.
///
/// # Panics
///
/// If `columns` exceeds a chunk: it is an oracle.
pub fn extend(known: &[(usize, &[u8])], index: usize, columns: Range<usize>) -> Vec<u8> {
    combine(&coefficients(known, index), known, columns)
}

fn combine(coefficients: &[u8], known: &[(usize, &[u8])], columns: Range<usize>) -> Vec<u8> {
    let mut sum = vec![0; columns.len()];
    for (coefficient, (_, chunk)) in coefficients.iter().zip(known) {
        let products = &PRODUCTS[usize::from(*coefficient)];
        for (sum, byte) in sum.iter_mut().zip(&chunk[columns.clone()]) {
            *sum ^= products[usize::from(*byte)];
        }
    }
    sum
}

/// Compares claimed chunks with those that `known` (exactly `k`, equally long) define: every byte where that is
/// affordable, else the first and last column and random ones that follow from the claim.
///
/// # Errors
///
/// The first chunk that differs.
pub fn compare(known: &[(usize, &[u8])], claimed: &[(usize, &[u8])]) -> Result<(), Mismatch> {
    let chunk_bytes = known.first().map_or(0, |(_, chunk)| chunk.len());
    let columns: Vec<Range<usize>> = if known.len() * claimed.len() * chunk_bytes <= FULL_PRODUCTS {
        std::iter::once(0..chunk_bytes).collect()
    } else {
        let mut hash = blake3::Hasher::new();
        for (_, chunk) in claimed {
            hash.update(chunk);
        }
        let seed = hash.finalize().as_bytes().iter().fold(0u64, |seed, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let mut rng = generator("erasure columns", seed, 0);
        let random = (0..SAMPLED_COLUMNS).map(|_| rng.random_range(0..chunk_bytes));
        [0, chunk_bytes - 1].into_iter().chain(random).map(|column| column..column + 1).collect()
    };
    for &(item, chunk) in claimed {
        let coefficients = coefficients(known, item);
        for range in &columns {
            let want = combine(&coefficients, known, range.clone());
            if let Some(at) = want.iter().zip(&chunk[range.clone()]).position(|(want, got)| want != got) {
                let column = range.start + at;
                let want = format!("{:#04x}", want[at]);
                return Err(Mismatch { item, got: format!("{:#04x} in byte {column}", chunk[column]), want });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_non_zero_element_has_an_inverse_and_two_generates_them_all() {
        for a in 1..=255 {
            assert_eq!(mul(a, inverse(a)), 1);
        }
        assert_eq!(inverse(0), 0);
        // 0x11D is primitive: the powers of 2 are all 255 non-zero elements.
        let powers: std::collections::BTreeSet<u8> =
            std::iter::successors(Some(1), |p| Some(mul(*p, 2))).take(255).collect();
        assert_eq!(powers.len(), 255);
    }

    #[test]
    fn one_data_chunk_is_repeated_and_two_lie_on_a_line() {
        assert_eq!(extend(&[(0, &[7, 9])], 5, 0..2), [7, 9]);
        // The line through (0, a) and (1, b) is a + (a + b) x.
        let (a, b) = (0x53, 0xca);
        assert_eq!(extend(&[(0, &[a]), (1, &[b])], 2, 0..1), [a ^ mul(a ^ b, 2)]);
        assert_eq!(extend(&[(0, &[a]), (1, &[b])], 200, 0..1), [a ^ mul(a ^ b, 200)]);
    }

    #[test]
    fn a_wrong_byte_is_found_in_small_and_in_large_chunks() {
        let large = FULL_PRODUCTS + 1;
        for len in [1, 64, large] {
            let data = vec![0xa5; len];
            let mut parity = data.clone();
            assert_eq!(compare(&[(0, &data)], &[(1, &parity)]), Ok(()));
            parity[len - 1] ^= 1;
            assert_eq!(compare(&[(0, &data)], &[(1, &parity)]).unwrap_err().item, 1);
        }
    }
}
