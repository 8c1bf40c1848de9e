//! `rs-vandermonde` over crate reed-solomon-erasure 6 (`galois_8`, without `simd-accel`).
//!
//! Encoding is the crate's own. Reconstruction uses its field and its slice loops, but not its `reconstruct`: that one
//! inverts a `k` by `k` matrix and keeps the last 254 inverses in a cache keyed by the erasure pattern, so a repeated
//! pattern would measure the cache and a fresh one a cubic inversion. Here nothing survives a call, every pattern is a
//! fresh one, and only the `e` by `e` system of the missing chunks is solved:
//!
//! ```text
//! parity_p = sum over data j of G[p][j] d_j                     (G: the parity rows of the generator matrix)
//! s_p      = parity_p + sum over received j of G[p][j] d_j      (one row for each of e parity chunks)
//! d_missing = G[parity rows, missing columns]^-1 s
//! ```
//!
//! The code is MDS, so that square part of `G` is always regular. Work is `e k` slice multiplications, as in the crate.

use reed_solomon_erasure::galois_8::{ReedSolomon, div, mul, mul_slice, mul_slice_xor};

use crate::backend::Error;
use crate::erasure::Shape;
use crate::erasure::coder::{Coder, Erasures, Restore};

/// What lives across calls.
pub(super) struct Vandermonde {
    k: usize,
    rs: ReedSolomon,
    /// The `m` parity rows of the generator matrix, `k` coefficients each.
    generator: Vec<Vec<u8>>,
}

impl Vandermonde {
    /// For a valid shape of this code.
    pub(super) fn new(shape: &Shape) -> Result<Self, Error> {
        let rs = ReedSolomon::new(shape.k(), shape.m()).map_err(invalid)?;
        // The parity of the unit vectors is the generator matrix.
        let unit = |j: usize| (0..shape.k()).map(|i| u8::from(i == j)).collect::<Vec<u8>>();
        let units: Vec<Vec<u8>> = (0..shape.k()).map(unit).collect();
        let mut generator = vec![vec![0; shape.k()]; shape.m()];
        rs.encode_sep(&units, &mut generator).map_err(invalid)?;
        Ok(Self { k: shape.k(), rs, generator })
    }
}

fn invalid(error: reed_solomon_erasure::Error) -> Error {
    Error::InvalidInput(error.to_string())
}

impl Coder for Vandermonde {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        self.rs.encode_sep(data, parity).map_err(invalid)
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        let data = erasures.used.iter().filter(|chunk| **chunk < self.k).copied().collect();
        let parity = erasures.used.iter().filter_map(|chunk| chunk.checked_sub(self.k));
        let rows: Vec<&[u8]> = parity.map(|row| self.generator[row].as_slice()).collect();
        let system = rows.iter().map(|row| erasures.missing.iter().map(|j| row[*j]).collect()).collect();
        let inverse = invert(system).ok_or_else(|| Error::InvalidInput("singular erasure pattern".into()))?;
        Ok(Box::new(Solved { data, rows, inverse }))
    }
}

struct Solved<'a> {
    /// The data chunks that arrived: the first of the used ones.
    data: Vec<usize>,
    /// Generator rows of the parity chunks in use.
    rows: Vec<&'a [u8]>,
    inverse: Vec<Vec<u8>>,
}

impl Restore for Solved<'_> {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        let (arrived, parity) = used.split_at(self.data.len());
        let syndrome = |(chunk, row): (&&[u8], &&[u8])| {
            let mut syndrome = chunk.to_vec();
            for (chunk, j) in arrived.iter().zip(&self.data) {
                mul_slice_xor(row[*j], chunk, &mut syndrome);
            }
            syndrome
        };
        let syndromes: Vec<Vec<u8>> = parity.iter().zip(&self.rows).map(syndrome).collect();
        for (out, row) in missing.iter_mut().zip(&self.inverse) {
            for (i, (coefficient, syndrome)) in row.iter().zip(&syndromes).enumerate() {
                let multiply = if i == 0 { mul_slice } else { mul_slice_xor };
                multiply(*coefficient, syndrome, out);
            }
        }
        Ok(())
    }
}

/// Inverse of a square matrix over GF(2^8) by Gauss and Jordan; `None` if it is singular.
fn invert(mut matrix: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let n = matrix.len();
    // The identity stands to the right of the matrix and becomes its inverse.
    for (i, row) in matrix.iter_mut().enumerate() {
        row.extend((0..n).map(|j| u8::from(i == j)));
    }
    for column in 0..n {
        let pivot = (column..n).find(|row| matrix[*row][column] != 0)?;
        matrix.swap(column, pivot);
        let mut row = std::mem::take(&mut matrix[column]);
        let scale = div(1, row[column]);
        row.iter_mut().for_each(|x| *x = mul(*x, scale));
        for other in matrix.iter_mut().filter(|other| !other.is_empty()) {
            let factor = other[column];
            mul_slice_xor(factor, &row, other);
        }
        matrix[column] = row;
    }
    Some(matrix.into_iter().map(|row| row[n..].to_vec()).collect())
}
