//! reed-solomon-erasure: GF(2^8), Vandermonde matrix; scalar, or C for AVX2 with its feature `simd-accel`.

use std::time::Duration;

use reed_solomon_erasure::galois_8::ReedSolomon;

use super::codec::{Block, Codec, Opened, Peer, Rows};
use crate::clock::Clock;

#[cfg(not(feature = "reed-solomon-simd-accel"))]
const FRESH: &str = concat!("reed-solomon-erasure ", env!("VERSUS_REED_SOLOMON"), " scalar, fresh codec");
#[cfg(feature = "reed-solomon-simd-accel")]
const FRESH: &str = concat!("reed-solomon-erasure ", env!("VERSUS_REED_SOLOMON"), " simd-accel, fresh codec");
#[cfg(not(feature = "reed-solomon-simd-accel"))]
const CACHED: &str = concat!("reed-solomon-erasure ", env!("VERSUS_REED_SOLOMON"), " scalar, pattern cached");
#[cfg(feature = "reed-solomon-simd-accel")]
const CACHED: &str = concat!("reed-solomon-erasure ", env!("VERSUS_REED_SOLOMON"), " simd-accel, pattern cached");

/// A new codec for every reconstruction, built before the clock starts: it has seen no pattern.
pub const PEER: Peer = Peer {
    name: FRESH,
    most_chunks: 256,
    unit: 1,
    reference: None,
    encode: Some("the peer's generator matrix is prepared, encode_sep"),
    reconstruct: "the peer's generator matrix is prepared, reconstruct_data inverts the pattern's and restores in place",
    open: |block, chunk_bytes| open(block, chunk_bytes, false),
};

/// A codec that has seen the pattern before the clock starts: what losing the same chunks again costs. Not what a validator
/// sees, which loses other chunks each time.
pub const WARM: Peer = Peer {
    name: CACHED,
    encode: None,
    reconstruct: "the peer looks the pattern's inverted matrix up, reconstruct_data restores in place",
    open: |block, chunk_bytes| open(block, chunk_bytes, true),
    ..PEER
};

struct Rse {
    k: usize,
    m: usize,
    data: Vec<u8>,
    /// Data, then parity.
    chunks: Rows,
    codec: ReedSolomon,
    warm: bool,
}

fn open(block: &Block, chunk_bytes: usize, warm: bool) -> Opened {
    let Block { k, m, .. } = *block;
    let codec = ReedSolomon::new(k, m).map_err(|e| e.to_string())?;
    let (data, chunks) = (block.padded(chunk_bytes), block.rows(chunk_bytes));
    Ok(Box::new(Rse { k, m, data, chunks, codec, warm }))
}

/// The parity of `data`, chunk after chunk.
///
/// # Errors
///
/// The crate refuses the shape.
pub fn parity(k: usize, m: usize, data: &[u8]) -> Result<Vec<u8>, String> {
    let chunk_bytes = data.len() / k;
    let data: Vec<&[u8]> = data.chunks_exact(chunk_bytes).collect();
    let mut parity = vec![vec![0; chunk_bytes]; m];
    let codec = ReedSolomon::new(k, m).map_err(|e| e.to_string())?;
    codec.encode_sep(&data, &mut parity).map_err(|e| e.to_string())?;
    Ok(parity.concat())
}

impl Codec for Rse {
    fn encode(&mut self) -> bool {
        let mut data: Vec<&mut [u8]> = self.chunks.iter_mut().collect();
        let mut parity = data.split_off(self.k);
        self.codec.encode_sep(&data, &mut parity).is_ok()
    }

    fn reconstruct(&mut self, arrived: &[usize], check: bool) -> Option<Duration> {
        let Self { k, m, data, chunks, codec, warm } = self;
        let mut present = vec![false; *k + *m];
        arrived.iter().for_each(|index| present[*index] = true);
        if *warm {
            // The cache knows a pattern by its indices, so rows of one byte fill it as well.
            let rows = chunks.iter_mut().map(|row| &mut row[..1]);
            codec.reconstruct_data(&mut rows.zip(present.iter().copied()).collect::<Vec<_>>()).ok()?;
        } else {
            *codec = ReedSolomon::new(*k, *m).ok()?;
        }
        if check {
            (0..*k).filter(|j| !present[*j]).for_each(|j| chunks.row_mut(j).fill(0));
        }
        let mut places: Vec<(&mut [u8], bool)> = chunks.iter_mut().zip(present).collect();
        let clock = Clock::start();
        codec.reconstruct_data(&mut places).ok()?;
        let elapsed = clock.stop();
        let right = !check || chunks.iter().take(*k).flatten().eq(data.iter());
        right.then_some(elapsed)
    }
}
