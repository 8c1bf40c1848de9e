//! What every backend on the CPU shares, and those on devices where chunks go there and back in one call: sessions of both kernels over one [`Coder`], byte columns by thread, and the choice
//! of the chunks that a reconstruction computes from.
//!
//! A backend implements [`Coder`] for each code: rows of bytes in, rows of bytes out, no allocation it can avoid, nothing
//! kept from one call to the next.

use std::ops::Range;

use super::encode::chunk_bytes;
use super::simd::hash::Hasher;
use super::{Chunks, Encode, Reconstruct, Refusal, Shape, reconstruct};
use crate::backend::{Control, Error, Prepared, Session};
use crate::pool::Pool;

/// Widths of columns are multiples of this many bytes, but for the last one: whole cache lines, and whole blocks of the
/// 16-bit code.
pub(super) const COLUMN: usize = 64;

/// A code of one shape, ready for any data.
pub(super) trait Coder: Send + Sync {
    /// The parity of `k` data rows into `m` rows, all equally long, at least 1 byte.
    ///
    /// # Errors
    ///
    /// What the backend's library reports; ours report nothing.
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error>;

    /// Solves a pattern in which something is missing. Part of every call's work.
    ///
    /// # Errors
    ///
    /// As [`Coder::encode`].
    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error>;
}

/// A solved pattern.
pub(super) trait Restore: Send + Sync {
    /// The missing rows, overwritten, from the used ones; both in the order of [`Erasures`], all equally long.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] on a device.
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error>;
}

/// Which chunks a reconstruction computes from and which it computes. `used` holds `k` indices, all data chunks that
/// arrived and then parity of lowest index; `missing` the data chunks that did not arrive. Both ascending.
pub(super) struct Erasures {
    /// Chunks to compute from.
    pub used: Vec<usize>,
    /// Data chunks to compute.
    pub missing: Vec<usize>,
}

impl Erasures {
    pub(super) fn new(shape: &Shape, places: &[Option<&[u8]>]) -> Self {
        let k = shape.k();
        let (mut used, mut missing) = (Vec::with_capacity(k), Vec::with_capacity(k));
        for (chunk, place) in places.iter().enumerate().take(k) {
            if place.is_some() { &mut used } else { &mut missing }.push(chunk);
        }
        let parity = (k..shape.total()).filter(|chunk| places[*chunk].is_some());
        used.extend(parity.take(missing.len()));
        Self { used, missing }
    }
}

/// A coder on a backend's threads: what both kernels prepare.
pub(super) struct Codec {
    pub(super) pool: Pool,
    pub(super) shape: Shape,
    pub(super) coder: Box<dyn Coder>,
    hasher: Option<Hasher>,
}

impl Codec {
    /// `shape` is valid, and the coder's.
    pub(super) fn new(pool: &Pool, shape: &Shape, coder: Box<dyn Coder>) -> Self {
        Self { pool: pool.clone(), shape: *shape, coder, hasher: None }
    }

    /// Commits to chunks in one pass, where the CPU has lanes to hash in.
    pub(super) fn in_one_pass(self) -> Self {
        Self { hasher: Hasher::detect(), ..self }
    }

    /// Who hashes chunks of this size in lanes, if anybody.
    pub(super) fn hasher(&self, chunk_bytes: usize) -> Option<&Hasher> {
        self.hasher.as_ref().filter(|hasher| hasher.suits(chunk_bytes))
    }

    /// Cuts rows into one byte column per thread and runs `work` on each.
    fn by_columns<F>(
        &self,
        mut rows: Vec<&mut [u8]>,
        chunk_bytes: usize,
        control: &Control,
        work: F,
    ) -> Result<(), Error>
    where
        F: Fn(Range<usize>, &mut [&mut [u8]]) -> Result<(), Error> + Sync,
    {
        if self.pool.threads() == 1 || chunk_bytes <= COLUMN {
            control.check()?;
            return work(0..chunk_bytes, &mut rows);
        }
        // Whole cache lines, so that no two threads write to one.
        let width = chunk_bytes.div_ceil(self.pool.threads()).next_multiple_of(COLUMN);
        let mut columns: Vec<(Range<usize>, Vec<&mut [u8]>)> =
            (0..chunk_bytes).step_by(width).map(|start| (start..chunk_bytes.min(start + width), Vec::new())).collect();
        for row in rows {
            for ((_, rows), piece) in columns.iter_mut().zip(row.chunks_mut(width)) {
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

impl Prepared<Encode> for Codec {
    fn load<'a>(&'a self, data: &'a Vec<u8>) -> Result<Box<dyn Session<Encode> + 'a>, Error> {
        let chunk_bytes = chunk_bytes(&self.shape, data.len())?;
        let parity = vec![0; self.shape.m() * chunk_bytes];
        Ok(Box::new(Encoding { codec: self, data, chunk_bytes, parity, done: false }))
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
        codec.encode(data, chunk_bytes, &mut self.parity, control)?;
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

impl Prepared<Reconstruct> for Codec {
    fn load<'a>(&'a self, chunks: &'a Chunks) -> Result<Box<dyn Session<Reconstruct> + 'a>, Error> {
        let places = reconstruct::validate(&self.shape, chunks);
        let chunk_bytes = chunks.chunk_bytes;
        // Refused chunks may claim any length.
        let data = if places.is_ok() { vec![0; self.shape.k() * chunk_bytes] } else { Vec::new() };
        Ok(Box::new(Reconstruction { codec: self, places, chunk_bytes, data, done: false }))
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
    /// The parity of `k` chunks into `m`, both one after the other.
    pub(super) fn encode(
        &self,
        data: &[u8],
        chunk_bytes: usize,
        parity: &mut [u8],
        control: &Control,
    ) -> Result<(), Error> {
        let parity = parity.chunks_exact_mut(chunk_bytes).collect();
        self.by_columns(parity, chunk_bytes, control, |range, parity| {
            let data: Vec<&[u8]> = data.chunks_exact(chunk_bytes).map(|chunk| &chunk[range.clone()]).collect();
            self.coder.encode(&data, parity)
        })
    }

    /// The data from the chunks at their places.
    pub(super) fn reconstruct(
        &self,
        places: &[Option<&[u8]>],
        chunk_bytes: usize,
        data: &mut [u8],
        control: &Control,
    ) -> Result<(), Error> {
        let erasures = Erasures::new(&self.shape, places);
        let mut missing = Vec::with_capacity(erasures.missing.len());
        for (row, place) in data.chunks_exact_mut(chunk_bytes).zip(places) {
            match place {
                Some(chunk) => row.copy_from_slice(chunk),
                None => missing.push(row),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let solved = self.coder.solve(&erasures)?;
        let mut used: Vec<&[u8]> = Vec::with_capacity(erasures.used.len());
        used.extend(erasures.used.iter().filter_map(|chunk| places[*chunk]));
        self.by_columns(missing, chunk_bytes, control, |range, missing| {
            if range.len() == chunk_bytes {
                solved.restore(&used, missing)
            } else {
                let used: Vec<&[u8]> = used.iter().map(|row| &row[range.clone()]).collect();
                solved.restore(&used, missing)
            }
        })
    }
}
