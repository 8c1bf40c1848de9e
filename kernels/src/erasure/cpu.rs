//! The scalar backend, over crate reed-solomon-erasure 6 (`galois_8`, without `simd-accel`).
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

use std::ops::Range;

use reed_solomon_erasure::galois_8::{ReedSolomon, div, mul, mul_slice, mul_slice_xor};

use super::encode::chunk_bytes;
use super::{Chunks, Code, Encode, Reconstruct, Refusal, Shape, reconstruct};
use crate::backend::{Backend, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::pool::Pool;

/// The opened backend: its threads.
pub struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for no threads or more than 1024, for a forced instruction set or device, or when the
    /// system gives no threads.
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::open(options)? })
    }

    fn describe(&self) -> Description {
        self.pool.describe("reed-solomon-erasure 6.0, without simd-accel")
    }
}

/// A code ready to use: what lives across calls.
struct Codec {
    pool: Pool,
    shape: Shape,
    rs: ReedSolomon,
    /// The `m` parity rows of the generator matrix, `k` coefficients each.
    generator: Vec<Vec<u8>>,
}

impl Codec {
    fn new(pool: &Pool, shape: &Shape) -> Result<Self, Error> {
        shape.validate()?;
        let Code::RsVandermonde = shape.code;
        let invalid = |e: reed_solomon_erasure::Error| Error::InvalidInput(e.to_string());
        let rs = ReedSolomon::new(shape.k(), shape.m()).map_err(invalid)?;
        // The parity of the unit vectors is the generator matrix.
        let unit = |j: usize| (0..shape.k()).map(|i| u8::from(i == j)).collect::<Vec<u8>>();
        let units: Vec<Vec<u8>> = (0..shape.k()).map(unit).collect();
        let mut generator = vec![vec![0; shape.k()]; shape.m()];
        rs.encode_sep(&units, &mut generator).map_err(invalid)?;
        Ok(Self { pool: pool.clone(), shape: *shape, rs, generator })
    }

    /// Cuts `buffer` (chunk after chunk) into one byte column per thread and runs `work` on each.
    fn by_columns<F>(&self, buffer: &mut [u8], chunk_bytes: usize, control: &Control, work: F) -> Result<(), Error>
    where
        F: Fn(Range<usize>, &mut [&mut [u8]]) -> Result<(), Error> + Sync,
    {
        // Whole cache lines, so that no two threads write to one.
        let width = chunk_bytes.div_ceil(self.pool.threads()).next_multiple_of(64);
        let mut columns: Vec<(Range<usize>, Vec<&mut [u8]>)> =
            (0..chunk_bytes).step_by(width).map(|start| (start..chunk_bytes.min(start + width), Vec::new())).collect();
        for chunk in buffer.chunks_exact_mut(chunk_bytes) {
            for ((_, rows), piece) in columns.iter_mut().zip(chunk.chunks_mut(width)) {
                rows.push(piece);
            }
        }
        let run = |(range, rows): &mut (Range<usize>, Vec<&mut [u8]>)| {
            control.check()?;
            work(range.clone(), rows)
        };
        self.pool.try_each(&mut columns, run)
    }
}

impl Backend<Encode> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<Encode>>, Error> {
        Ok(Box::new(Codec::new(&self.pool, shape)?))
    }
}

impl Prepared<Encode> for Codec {
    fn load<'a>(&'a self, data: &'a Vec<u8>) -> Result<Box<dyn Session<Encode> + 'a>, Error> {
        let chunk_bytes = chunk_bytes(&self.shape, data.len())?;
        Ok(Box::new(Encoding {
            codec: self,
            data,
            chunk_bytes,
            parity: vec![0; self.shape.m() * chunk_bytes],
            done: false,
        }))
    }
}

struct Encoding<'a> {
    codec: &'a Codec,
    data: &'a [u8],
    chunk_bytes: usize,
    parity: Vec<u8>,
    done: bool,
}

impl Session<Encode> for Encoding<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        let Self { codec, data, chunk_bytes, .. } = *self;
        self.done = false;
        self.parity.resize(codec.shape.m() * chunk_bytes, 0);
        codec.by_columns(&mut self.parity, chunk_bytes, control, |range, parity| {
            let data: Vec<&[u8]> = data.chunks_exact(chunk_bytes).map(|chunk| &chunk[range.clone()]).collect();
            codec.rs.encode_sep(&data, parity).map_err(|e| Error::InvalidInput(e.to_string()))
        })?;
        self.done = true;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<u8>, Error> {
        if !std::mem::take(&mut self.done) {
            return Err(Error::InvalidInput("nothing was executed".into()));
        }
        Ok(std::mem::take(&mut self.parity))
    }
}

impl Backend<Reconstruct> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<Reconstruct>>, Error> {
        Ok(Box::new(Codec::new(&self.pool, shape)?))
    }
}

impl Prepared<Reconstruct> for Codec {
    fn load<'a>(&'a self, chunks: &'a Chunks) -> Result<Box<dyn Session<Reconstruct> + 'a>, Error> {
        let places = reconstruct::validate(&self.shape, chunks);
        Ok(Box::new(Reconstruction {
            codec: self,
            places,
            chunk_bytes: chunks.chunk_bytes,
            data: Vec::new(),
            done: false,
        }))
    }
}

struct Reconstruction<'a> {
    codec: &'a Codec,
    places: Result<Vec<Option<&'a [u8]>>, Refusal>,
    chunk_bytes: usize,
    data: Vec<u8>,
    done: bool,
}

impl Session<Reconstruct> for Reconstruction<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.done = false;
        if let Ok(places) = &self.places {
            self.data.resize(self.codec.shape.k() * self.chunk_bytes, 0);
            self.codec.reconstruct(places, self.chunk_bytes, &mut self.data, control)?;
        }
        self.done = true;
        Ok(())
    }

    fn output(&mut self) -> Result<Result<Vec<u8>, Refusal>, Error> {
        if !std::mem::take(&mut self.done) {
            return Err(Error::InvalidInput("nothing was executed".into()));
        }
        Ok(match &self.places {
            Ok(_) => Ok(std::mem::take(&mut self.data)),
            Err(refusal) => Err(refusal.clone()),
        })
    }
}

impl Codec {
    fn reconstruct(
        &self,
        places: &[Option<&[u8]>],
        chunk_bytes: usize,
        data: &mut [u8],
        control: &Control,
    ) -> Result<(), Error> {
        let (data_places, parity_places) = places.split_at(self.shape.k());
        let missing: Vec<usize> = (0..self.shape.k()).filter(|j| data_places[*j].is_none()).collect();
        let parity: Vec<(&[u8], &[u8])> = parity_places
            .iter()
            .zip(&self.generator)
            .filter_map(|(chunk, row)| chunk.map(|chunk| (chunk, row.as_slice())))
            .take(missing.len())
            .collect();
        let system = parity.iter().map(|(_, row)| missing.iter().map(|j| row[*j]).collect()).collect();
        let inverse = invert(system).ok_or_else(|| Error::InvalidInput("singular erasure pattern".into()))?;

        self.by_columns(data, chunk_bytes, control, |range, data| {
            for (out, chunk) in data.iter_mut().zip(data_places) {
                if let Some(chunk) = chunk {
                    out.copy_from_slice(&chunk[range.clone()]);
                }
            }
            let syndromes: Vec<Vec<u8>> = parity
                .iter()
                .map(|(chunk, row)| {
                    let mut syndrome = chunk[range.clone()].to_vec();
                    for (chunk, coefficient) in data_places.iter().zip(*row) {
                        if let Some(chunk) = chunk {
                            mul_slice_xor(*coefficient, &chunk[range.clone()], &mut syndrome);
                        }
                    }
                    syndrome
                })
                .collect();
            for (j, row) in missing.iter().zip(&inverse) {
                for (i, (coefficient, syndrome)) in row.iter().zip(&syndromes).enumerate() {
                    let multiply = if i == 0 { mul_slice } else { mul_slice_xor };
                    multiply(*coefficient, syndrome, data[*j]);
                }
            }
            Ok(())
        })
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
