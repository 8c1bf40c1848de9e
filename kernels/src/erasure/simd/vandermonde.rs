//! `rs-vandermonde` as a code on the points of an additive FFT.
//!
//! Chunk `i` is the value at point `i` of the polynomial of degree below `k` through the data (see the README of the codes).
//! The points are bytes, that is all sums of the powers of z below 2^8: values on them are also what the transforms of
//! `rs-fft8` compute, in another basis ([`GF8_POWERS`]). Its full class with the points in this order is this code. So
//! parity of `m = k` costs about `k log k` products instead of `k^2`, with the same bytes.

use super::fft8::Fft8;
use super::vectors::Vectors;
use crate::erasure::Shape;
use crate::erasure::field::GF8_POWERS;
use crate::erasure::points::{Class, Points};

/// For a valid shape of this code.
pub(super) fn coder<V: Vectors>(vectors: V, shape: &Shape) -> Fft8<V> {
    let (k, m) = (shape.k(), shape.m());
    Fft8::new(vectors, Points { field: &GF8_POWERS, class: Class::Full, k, m, block: k.next_power_of_two() })
}

#[cfg(test)]
mod tests {
    use reed_solomon_erasure::galois_8;

    use super::*;
    use crate::erasure::coder::{Coder, Erasures};
    use crate::erasure::simd::vectors::{BitMatrixModel, NibbleModel};
    use crate::erasure::{Code, naive};

    fn shape(k: u16, m: u16) -> Shape {
        Shape::new(Code::RsVandermonde, k, m).unwrap()
    }

    fn rows(count: usize, len: usize) -> Vec<Vec<u8>> {
        (0..count).map(|row| (0..len).map(|at| (row * 89 + at * 57 + row * at).to_le_bytes()[0]).collect()).collect()
    }

    fn slices(rows: &[Vec<u8>]) -> Vec<&[u8]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    fn outputs(rows: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
        rows.iter_mut().map(Vec::as_mut_slice).collect()
    }

    const SHAPES: [(u16, u16); 9] = [(1, 1), (2, 3), (10, 4), (4, 10), (7, 5), (32, 32), (85, 171), (255, 1), (1, 255)];

    fn encodes_as_the_crate<V: Vectors>() {
        let Some(vectors) = V::detect() else { return };
        for (k, m) in SHAPES {
            let data = rows(usize::from(k), 131);
            let mut parity = rows(usize::from(m), 131);
            let mut want = parity.clone();
            let coder = super::coder(vectors, &shape(k, m));
            coder.encode(&slices(&data), &mut outputs(&mut parity)).unwrap();
            let library = galois_8::ReedSolomon::new(usize::from(k), usize::from(m)).unwrap();
            library.encode_sep(&data, &mut want).unwrap();
            assert!(parity == want, "{} ({k}, {m})", V::NAME);
        }
    }

    /// Any `k` rows are some polynomial's values, so the oracle's answer for contradictory chunks is this one too.
    fn restores_as_the_oracle<V: Vectors>() {
        let Some(vectors) = V::detect() else { return };
        for (k, m) in SHAPES {
            let coder = super::coder(vectors, &shape(k, m));
            let (k, m) = (usize::from(k), usize::from(m));
            for lost in [1, 2, k.min(m).min(5), k.min(m) * 3 / 4, k.min(m)]
                .into_iter()
                .filter(|lost| (1..=k.min(m)).contains(lost))
            {
                let missing: Vec<usize> = (0..k).filter(|chunk| (chunk * 7 + lost) % k < lost).collect();
                let missing = if missing.len() == lost { missing } else { (k - lost..k).collect() };
                // Parity with gaps, where there is enough.
                let parity = (k..k + m).filter(|chunk| m < 2 * lost || chunk % 2 == 1).take(lost);
                let used: Vec<usize> = (0..k).filter(|chunk| !missing.contains(chunk)).chain(parity).collect();
                let received = rows(k, 70);
                let mut restored = rows(lost, 70);
                let erasures = Erasures { used, missing };
                coder.solve(&erasures).unwrap().restore(&slices(&received), &mut outputs(&mut restored)).unwrap();
                let known: Vec<(usize, &[u8])> =
                    erasures.used.iter().copied().zip(received.iter().map(Vec::as_slice)).collect();
                let want = naive::extend(&shape(k as u16, m as u16), &known, &erasures.missing);
                assert!(restored == want, "{} ({k}, {m}) without {lost}", V::NAME);
            }
        }
    }

    #[test]
    fn parity_equals_that_of_the_crate() {
        encodes_as_the_crate::<NibbleModel>();
        encodes_as_the_crate::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        encodes_as_the_crate::<crate::erasure::simd::vectors::Avx2>();
        #[cfg(target_arch = "aarch64")]
        encodes_as_the_crate::<crate::erasure::simd::vectors::Neon>();
    }

    #[test]
    fn any_received_rows_give_the_missing_rows_that_the_oracle_gives() {
        restores_as_the_oracle::<NibbleModel>();
        restores_as_the_oracle::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        restores_as_the_oracle::<crate::erasure::simd::vectors::Avx2>();
        #[cfg(target_arch = "aarch64")]
        restores_as_the_oracle::<crate::erasure::simd::vectors::Neon>();
    }
}
