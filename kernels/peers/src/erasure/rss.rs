//! reed-solomon-simd: GF(2^16), additive FFT, the instruction set chosen at run time.

use std::hint::black_box;
use std::time::Duration;

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use super::codec::{Block, Codec, Opened, Peer, Rows};
use super::recorded::Reference;
use crate::clock::Clock;

/// The crate.
pub const PEER: Peer = Peer {
    name: concat!("reed-solomon-simd ", env!("VERSUS_REED_SOLOMON_SIMD"), " default engine"),
    most_chunks: 65_536,
    unit: 2,
    reference: Some(Reference::ReedSolomonSimd),
    encode: Some(
        "the peer's encoder and its working space are reused, it copies the data in, its parity is left there",
    ),
    reconstruct: "the peer's decoder and its working space are reused, it copies what arrived in, what it restores is left there",
    open,
};

struct Rss {
    k: usize,
    /// Data, then parity.
    chunks: Rows,
    encoder: ReedSolomonEncoder,
    decoder: ReedSolomonDecoder,
}

fn open(block: &Block, chunk_bytes: usize) -> Opened {
    let Block { k, m, .. } = *block;
    let mut chunks = block.rows(chunk_bytes);
    let encoder = ReedSolomonEncoder::new(k, m, chunk_bytes).map_err(|e| e.to_string())?;
    let decoder = ReedSolomonDecoder::new(k, m, chunk_bytes).map_err(|e| e.to_string())?;
    let parity = parity(k, m, &block.padded(chunk_bytes))?;
    chunks.iter_mut().skip(k).zip(parity.chunks_exact(chunk_bytes)).for_each(|(row, chunk)| row.copy_from_slice(chunk));
    Ok(Box::new(Rss { k, chunks, encoder, decoder }))
}

/// The parity of `data`, chunk after chunk.
///
/// # Errors
///
/// The crate refuses the shape.
pub fn parity(k: usize, m: usize, data: &[u8]) -> Result<Vec<u8>, String> {
    let chunks = data.chunks_exact(data.len() / k);
    Ok(reed_solomon_simd::encode(k, m, chunks).map_err(|e| e.to_string())?.concat())
}

impl Codec for Rss {
    fn encode(&mut self) -> bool {
        let mut rows = self.chunks.iter().take(self.k);
        rows.all(|row| self.encoder.add_original_shard(row).is_ok())
            && self.encoder.encode().is_ok_and(|parity| black_box(parity.recovery(0)).is_some())
    }

    fn reconstruct(&mut self, arrived: &[usize], check: bool) -> Option<Duration> {
        let Self { k, chunks, decoder, .. } = self;
        let clock = Clock::start();
        for index in arrived {
            match index.checked_sub(*k) {
                None => decoder.add_original_shard(*index, chunks.row(*index)),
                Some(parity) => decoder.add_recovery_shard(parity, chunks.row(*index)),
            }
            .ok()?;
        }
        let restored = decoder.decode().ok()?;
        black_box(restored.restored_original(0));
        let elapsed = clock.stop();
        let right = !check || {
            let missing = (0..*k).filter(|index| !arrived.contains(index));
            missing.map(|j| (j, chunks.row(j))).eq(restored.restored_original_iter())
        };
        right.then_some(elapsed)
    }
}
