//! What the peers have in common: the block they code, the rows they hold it in, and what one of them has to do.

use std::time::Duration;

use rand::Rng;
use shardmark_kernels::backend::generator;

use super::recorded::Reference;

/// A library under comparison, and how it is called.
pub struct Peer {
    /// Library, version, build.
    pub name: &'static str,
    /// Most chunks, `k + m`, of its code.
    pub most_chunks: usize,
    /// Its chunks are a multiple of so many bytes.
    pub unit: usize,
    /// Whether peers that are not built here were recorded beside it.
    pub reference: Option<Reference>,
    /// What an encoding times; none if it is a peer for reconstruction alone.
    pub encode: Option<&'static str>,
    /// What a reconstruction times.
    pub reconstruct: &'static str,
    /// Prepares all that does not depend on what is lost.
    pub open: fn(&Block, chunk_bytes: usize) -> Opened,
}

/// A codec, or why there is none.
pub type Opened = Result<Box<dyn Codec>, String>;

impl Peer {
    /// Bytes of its chunks of a block.
    pub fn chunk_bytes(&self, block: &Block) -> usize {
        block.chunk_bytes(self.unit)
    }

    /// The codec of a block, once it has restored the data from what two different losses leave.
    ///
    /// # Errors
    ///
    /// It refuses the shape, or the data comes out wrong.
    pub fn checked(&self, block: &Block) -> Opened {
        let mut codec = (self.open)(block, self.chunk_bytes(block)).map_err(|e| format!("{}: {e}", self.name))?;
        let n = block.k + block.m;
        for arrived in
            [(n - block.k..n).rev().collect::<Vec<_>>(), (0..n).step_by(2).chain((1..n).step_by(2)).collect()]
        {
            if !codec.encode() || codec.reconstruct(&arrived[..block.k], true).is_none() {
                return Err(format!("{}: its own round trip failed at ({}, {})", self.name, block.k, block.m));
            }
        }
        Ok(codec)
    }
}

/// One block in a peer's buffers. Everything that depends on the block alone is prepared.
pub trait Codec {
    /// Data to parity. False if the library refused.
    fn encode(&mut self) -> bool;
    /// The time to restore the data from exactly these `k` distinct chunks, in the order of their arrival. Handing the
    /// chunks over is inside where the library takes copies of them. With `check` the data is compared afterwards; None if it
    /// is wrong or the library refused.
    fn reconstruct(&mut self, arrived: &[usize], check: bool) -> Option<Duration>;
}

/// A block body and how it is coded.
pub struct Block {
    /// Data chunks.
    pub k: usize,
    /// Parity chunks.
    pub m: usize,
    /// The data.
    pub body: Vec<u8>,
}

impl Block {
    /// A random body, the same for the same shape and length.
    pub fn new(k: usize, m: usize, body_bytes: usize) -> Self {
        let mut body = vec![0; body_bytes];
        generator("versus/erasure", (k * 65_536 + m) as u64, body_bytes as u64).fill_bytes(&mut body);
        Self { k, m, body }
    }

    /// Bytes of a chunk that is a multiple of `unit`.
    pub fn chunk_bytes(&self, unit: usize) -> usize {
        self.body.len().div_ceil(self.k).next_multiple_of(unit)
    }

    /// The body, chunk after chunk, filled with zeros to `k` of them.
    pub fn padded(&self, chunk_bytes: usize) -> Vec<u8> {
        let mut data = self.body.clone();
        data.resize(self.k * chunk_bytes, 0);
        data
    }

    /// `k + m` rows, the first `k` of them holding the data.
    pub fn rows(&self, chunk_bytes: usize) -> Rows {
        let mut rows = Rows::new(self.k + self.m, chunk_bytes);
        for (row, chunk) in rows.iter_mut().zip(self.padded(chunk_bytes).chunks_exact(chunk_bytes)) {
            row.copy_from_slice(chunk);
        }
        rows
    }
}

/// Bytes between rows beyond their length. Rows that lie a power of two apart share few sets of the first cache and cost
/// matrix codes up to a sixth.
const PADDING: usize = 192;
const CACHE_LINE: usize = 64;

/// Rows of one length in one buffer, each from the start of a cache line.
pub struct Rows {
    buffer: Vec<u8>,
    first: usize,
    stride: usize,
    row_bytes: usize,
}

impl Rows {
    /// `count` rows of zeros.
    pub fn new(count: usize, row_bytes: usize) -> Self {
        let stride = row_bytes.next_multiple_of(CACHE_LINE) + PADDING;
        let buffer = vec![0; count * stride + CACHE_LINE];
        let first = buffer.as_ptr().align_offset(CACHE_LINE);
        Self { buffer, first, stride, row_bytes }
    }

    /// The row `index`.
    pub fn row(&self, index: usize) -> &[u8] {
        &self.buffer[self.first + index * self.stride..][..self.row_bytes]
    }

    /// The row `index`.
    pub fn row_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.buffer[self.first + index * self.stride..][..self.row_bytes]
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.buffer[self.first..].chunks_exact(self.stride).map(|row| &row[..self.row_bytes])
    }

    /// All rows.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.buffer[self.first..].chunks_exact_mut(self.stride).map(|row| &mut row[..self.row_bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_fills_its_rows_in_order_and_the_rest_with_zeros() {
        let block = Block::new(3, 2, 100);
        assert_eq!((block.chunk_bytes(1), block.chunk_bytes(2), block.chunk_bytes(64)), (34, 34, 64));
        for chunk_bytes in [34, 64] {
            let rows = block.rows(chunk_bytes);
            let all = rows.iter().collect::<Vec<_>>().concat();
            assert_eq!(all.len(), 5 * chunk_bytes);
            assert_eq!(all[..100], block.body);
            assert!(all[100..].iter().all(|byte| *byte == 0));
            assert_eq!(block.padded(chunk_bytes), all[..3 * chunk_bytes]);
        }
        assert_ne!(Block::new(3, 2, 100).body, Block::new(2, 3, 100).body);
    }

    #[test]
    fn rows_begin_at_cache_lines_and_never_a_power_of_two_apart() {
        for row_bytes in [1, 63, 64, 4096, 32768] {
            let mut rows = Rows::new(4, row_bytes);
            for (i, row) in rows.iter_mut().enumerate() {
                row.fill(i as u8 + 1);
            }
            assert_eq!(rows.iter().count(), 4);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!((row.len(), row[0], row), (row_bytes, i as u8 + 1, rows.row(i)));
                assert_eq!(row.as_ptr() as usize % CACHE_LINE, 0);
            }
            assert!(!(rows.row(1).as_ptr() as usize - rows.row(0).as_ptr() as usize).is_multiple_of(4096));
            rows.row_mut(2)[0] = 9;
            assert_eq!((rows.row(1)[0], rows.row(2)[0], rows.row(3)[0]), (2, 9, 4));
        }
    }
}
