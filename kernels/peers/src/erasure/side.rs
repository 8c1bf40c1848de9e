//! Our side: one block of one code, encoded and checked, and its chunks as they arrive.

use std::time::Duration;

use shardmark_kernels::backend::{BackendId, Kernel};
use shardmark_kernels::erasure::{Chunks, Code, Encode, Reconstruct, Shape};

use super::codec::Block;
use super::loss::Draw;
use super::{rse, rss};
use crate::clock::watch;
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
    /// The code has no such shape, or the backend has it not.
    pub fn open(id: BackendId, code: Code, k: usize, m: usize) -> Result<Self, String> {
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
        block.chunk_bytes(self.shape.code.symbol_bytes())
    }

    /// All chunks of the block: compared with the kernel's oracle, and with the crate that the code is byte-equal to where
    /// there is one, and restored from the last `k` chunks, which tries every byte.
    ///
    /// # Errors
    ///
    /// The chunks are wrong.
    pub fn chunks(&self, block: &Block) -> Result<Arrivals, String> {
        let chunk_bytes = self.chunk_bytes(block);
        let data = block.padded(chunk_bytes);
        let parity = self.encode.checked(&self.shape, &data)?;
        let same = match self.shape.code {
            Code::RsVandermonde => rse::parity(block.k, block.m, &data)? == parity,
            Code::RsFft16 => rss::parity(block.k, block.m, &data)? == parity,
            Code::RsFft8 => true,
        };
        if !same {
            return Err(format!("{}: parity differs from that of the crate with this code", Encode::NAME));
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
            watch(|| session.execute())
        })
    }

    /// The time from received chunks to data in a new buffer.
    pub fn compute(&mut self, ours: &Ours<Reconstruct>, arrived: &[usize]) -> Option<Duration> {
        self.with(arrived, |chunks| {
            let mut output = None;
            let elapsed = watch(|| {
                output = ours.compute(chunks);
                matches!(output, Some(Ok(_)))
            });
            // Freed after the clock was read.
            drop(output);
            elapsed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::loss::Loss;
    use super::*;

    #[test]
    fn a_block_is_checked_and_every_chunk_comes_back_to_the_pool() {
        for (code, chunk_bytes) in [(Code::RsVandermonde, 201), (Code::RsFft8, 201), (Code::RsFft16, 202)] {
            let side = Side::open(BackendId::Cpu, code, 5, 3).unwrap();
            let block = Block::new(5, 3, 1_003);
            let mut arrivals = side.chunks(&block).unwrap();
            let ours = side.restores().unwrap();
            let mut draw = Draw::new(Loss::Most, 5, 3);
            assert_eq!(arrivals.checked_draws(ours, &draw), Ok(None));
            for _ in 0..3 {
                assert!(arrivals.execute(ours, draw.next()).is_some());
                assert!(arrivals.compute(ours, draw.next()).is_some());
            }
            assert_eq!((arrivals.chunk_bytes, arrivals.pool.len()), (chunk_bytes, 8));
            assert!(arrivals.pool.iter().all(|chunk| chunk.len() == chunk_bytes));
            // One wrong byte is found.
            arrivals.data[7] ^= 1;
            assert!(arrivals.checked(ours, draw.next()).is_err());
        }
    }

    #[test]
    fn a_shape_or_a_backend_that_is_not_there_is_a_reason() {
        let reason = |id, k| Side::open(id, Code::RsVandermonde, k, 100).err().unwrap();
        assert!(reason(BackendId::Cpu, 200).contains("256 chunks"));
        assert!(reason(BackendId::Cpu, 70_000).contains("out of range"));
        assert!(reason(BackendId::Cuda, 100).contains("cuda"));
    }
}
