//! Our side: one block of one code, encoded and checked, and its chunks as they arrive.

use std::time::{Duration, Instant};

use shardmark_kernels::backend::{BackendId, Kernel};
use shardmark_kernels::erasure::{Chunks, Code, Encode, Reconstruct, Shape};

use super::codec::Block;
use super::loss::Draw;
use super::rse;
use crate::ours::Ours;

/// A code on the backend under test, ready for every block of a shape.
pub struct Side {
    /// The code and its dimensions.
    pub shape: Shape,
    /// Who encodes.
    pub encode: Ours<Encode>,
    /// Who restores, or why nobody does.
    pub reconstruct: Result<Ours<Reconstruct>, String>,
}

impl Side {
    /// # Errors
    ///
    /// There is no such code, or the backend has it not.
    pub fn open(id: BackendId, code: &str, k: usize, m: usize) -> Result<Self, String> {
        let known = Code::ALL.into_iter().find(|known| known.name() == code);
        let code = known.ok_or_else(|| format!("there is no code {code}"))?;
        let count = |count: usize| u16::try_from(count).map_err(|e| e.to_string());
        let shape = Shape::new(code, count(k)?, count(m)?).map_err(|e| e.to_string())?;
        Ok(Self { shape, encode: Ours::open(id, &shape)?, reconstruct: Ours::open(id, &shape) })
    }

    /// Who restores.
    ///
    /// # Errors
    ///
    /// Why nobody does.
    pub fn restores(&self) -> Result<&Ours<Reconstruct>, String> {
        self.reconstruct.as_ref().map_err(Clone::clone)
    }

    /// Bytes of a chunk of the block.
    pub fn chunk_bytes(&self, block: &Block) -> usize {
        block.chunk_bytes(if self.shape.code.name() == "rs-fft16" { 2 } else { 1 })
    }

    /// All chunks of the block: compared with the kernel's oracle, for `rs-vandermonde` with the crate that it is byte-equal
    /// to, and restored from the last `k` chunks, which tries every byte.
    ///
    /// # Errors
    ///
    /// The chunks are wrong.
    pub fn chunks(&self, block: &Block) -> Result<Arrivals, String> {
        let chunk_bytes = self.chunk_bytes(block);
        let data = block.padded(chunk_bytes);
        let parity = self.encode.checked(&self.shape, &data)?;
        if self.shape.code == Code::RsVandermonde && rse::parity(block.k, block.m, &data)? != parity {
            return Err(format!("{}: parity differs from crate reed-solomon-erasure's", Encode::NAME));
        }
        let pool = data.chunks_exact(chunk_bytes).chain(parity.chunks_exact(chunk_bytes)).map(<[u8]>::to_vec).collect();
        let mut arrivals = Arrivals { pool, chunk_bytes, data };
        if let Ok(ours) = &self.reconstruct {
            let last: Vec<usize> = (block.m..block.k + block.m).collect();
            arrivals.checked(ours, &last)?;
        }
        Ok(arrivals)
    }
}

/// All chunks of one block. Those that arrive are moved to the input of a call and back, so that every call has the same
/// memory, as warm as if one block were restored over and over.
pub struct Arrivals {
    pool: Vec<Vec<u8>>,
    chunk_bytes: usize,
    data: Vec<u8>,
}

impl Arrivals {
    fn with<T>(&mut self, arrived: &[usize], call: impl FnOnce(&Chunks) -> T) -> T {
        let take = |index: &usize| (*index as u16, std::mem::take(&mut self.pool[*index]));
        let chunks = Chunks { chunk_bytes: self.chunk_bytes, received: arrived.iter().map(take).collect() };
        let result = call(&chunks);
        for (index, chunk) in chunks.received {
            self.pool[usize::from(index)] = chunk;
        }
        result
    }

    /// The way the backend takes for this pattern, if it has several, once the data came out right.
    ///
    /// # Errors
    ///
    /// The data is wrong.
    pub fn checked(&mut self, ours: &Ours<Reconstruct>, arrived: &[usize]) -> Result<Option<&'static str>, String> {
        let (restored, path) = self.with(arrived, |chunks| {
            let mut session = ours.load(chunks)?;
            Ok::<_, String>((session.output(), session.path()))
        })?;
        match restored {
            Some(Ok(data)) if data == self.data => Ok(path),
            _ => Err(format!("{}: ours did not restore the data", Reconstruct::NAME)),
        }
    }

    /// As [`Arrivals::checked`] for several patterns of a sequence.
    ///
    /// # Errors
    ///
    /// The data is wrong.
    pub fn checked_draws(&mut self, ours: &Ours<Reconstruct>, draw: &Draw) -> Result<Option<&'static str>, String> {
        const PATTERNS: usize = 4;
        let mut draw = draw.clone();
        (0..PATTERNS).try_fold(None, |_, _| self.checked(ours, draw.next()))
    }

    /// The time of [`shardmark_kernels::backend::Session::execute`] alone, the input loaded before.
    pub fn execute(&mut self, ours: &Ours<Reconstruct>, arrived: &[usize]) -> Option<Duration> {
        self.with(arrived, |chunks| {
            let mut session = ours.load(chunks).ok()?;
            let start = Instant::now();
            let right = session.execute();
            let elapsed = start.elapsed();
            right.then_some(elapsed)
        })
    }

    /// The time from received chunks to data in a new buffer.
    pub fn compute(&mut self, ours: &Ours<Reconstruct>, arrived: &[usize]) -> Option<Duration> {
        self.with(arrived, |chunks| {
            let start = Instant::now();
            let output = ours.compute(chunks)?;
            let elapsed = start.elapsed();
            output.is_ok().then_some(elapsed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::loss::Loss;
    use super::*;

    #[test]
    fn a_block_is_checked_and_every_chunk_comes_back_to_the_pool() {
        let side = Side::open(BackendId::Cpu, "rs-vandermonde", 5, 3).unwrap();
        let block = Block::new(5, 3, 1_003);
        let mut arrivals = side.chunks(&block).unwrap();
        let ours = side.restores().unwrap();
        let mut draw = Draw::new(Loss::Most, 5, 3);
        assert_eq!(arrivals.checked_draws(ours, &draw), Ok(None));
        for _ in 0..3 {
            assert!(arrivals.execute(ours, draw.next()).is_some());
            assert!(arrivals.compute(ours, draw.next()).is_some());
        }
        assert_eq!((arrivals.chunk_bytes, arrivals.pool.len()), (201, 8));
        assert!(arrivals.pool.iter().all(|chunk| chunk.len() == 201));
        // One wrong byte is found.
        arrivals.data[7] ^= 1;
        assert!(arrivals.checked(ours, draw.next()).is_err());
    }

    #[test]
    fn a_code_or_a_shape_that_is_not_there_is_a_reason() {
        let reason = |code, k, m| Side::open(BackendId::Cpu, code, k, m).err().unwrap();
        assert_eq!(reason("rs-abacus", 5, 3), "there is no code rs-abacus");
        assert!(reason("rs-vandermonde", 200, 100).contains("256 chunks"));
        assert!(Side::open(BackendId::Cuda, "rs-vandermonde", 5, 3).err().unwrap().contains("cuda"));
    }
}
