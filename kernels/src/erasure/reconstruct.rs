//! The kernel `erasure/reconstruct`: any `k` chunks in, the data out.
//!
//! Chunks come from peers, so what they hold is a verdict and not an error: the output is the data, or the first reason
//! for refusing in the order that [`validate`] fixes for every backend. No code detects corruption: a caller
//! authenticates each chunk ([`super::merkle`]) before and re-encodes after.

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Code, Shape, cpu, naive, simd};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// `erasure/reconstruct`. Output: the `k * chunk_bytes` data bytes, chunk after chunk, or the reason for refusing.
///
/// Data chunks that were received come out as they are. Each of the `e` missing ones is computed from all received
/// data chunks and the `e` received parity chunks of lowest index; further parity chunks are ignored. So the output is
/// defined even where the chunks contradict each other.
#[derive(Debug)]
pub struct Reconstruct;

/// The shape of one reconstruction. Input holds exactly `k` chunks in random order; the pattern is new in each iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconstructParams {
    /// The code.
    pub code: Code,
    /// `k`.
    pub data_chunks: u16,
    /// `m`.
    pub parity_chunks: u16,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// How many data chunks are lost, at most `min(k, m)`; as many parity chunks replace them.
    pub missing: u16,
}

impl ReconstructParams {
    /// The dimensions without the chunk size.
    pub fn shape(&self) -> Shape {
        Shape { code: self.code, data_chunks: self.data_chunks, parity_chunks: self.parity_chunks }
    }
}

/// What arrived: chunks in any order, each with its index in `0..k + m`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// The length that every chunk must have.
    pub chunk_bytes: usize,
    /// Index and bytes.
    pub received: Vec<(u16, Vec<u8>)>,
}

/// Why chunks gave no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The common length is 0, or all chunks of that length together exceed [`super::MAX_CODED_BYTES`].
    #[error("chunks of {chunk_bytes} bytes are outside the limits")]
    ChunkBytes {
        /// The length asked for.
        chunk_bytes: usize,
    },
    /// An index is `k + m` or more.
    #[error("chunk index {index} is outside 0..{total}")]
    IndexOutOfRange {
        /// The index.
        index: u16,
        /// `k + m`.
        total: usize,
    },
    /// An index came twice, whatever the bytes.
    #[error("chunk index {index} came twice")]
    Duplicate {
        /// The index.
        index: u16,
    },
    /// A chunk has another length.
    #[error("chunk {index} has {got} bytes instead of {want}")]
    Length {
        /// Its index.
        index: u16,
        /// Its length.
        got: usize,
        /// The common length.
        want: usize,
    },
    /// Fewer than `k` chunks.
    #[error("{got} chunks are fewer than {want}")]
    TooFew {
        /// Chunks received.
        got: usize,
        /// `k`.
        want: usize,
    },
    /// A Merkle proof does not show the chunk under the root. Only `erasure/retrieve` looks.
    #[error("the proof of chunk {index} does not verify")]
    Proof {
        /// Its index.
        index: u16,
    },
    /// The data, encoded again, has another root: whoever made the root committed to chunks that are not a code word. Only
    /// `erasure/retrieve` looks.
    #[error("the chunks under the root are no code word")]
    Encoding,
}

/// The received chunks by index, `k + m` places. Every backend calls this first.
///
/// # Errors
///
/// The chunk length's; then, in the order of arrival, the first chunk's whose index is out of range, a repetition, or whose
/// length differs; then the count's.
pub fn validate<'a>(shape: &Shape, chunks: &'a Chunks) -> Result<Vec<Option<&'a [u8]>>, Refusal> {
    places(shape, chunks.chunk_bytes, chunks.received.iter().map(|(index, bytes)| (*index, &bytes[..])))
}

/// As [`validate`], of chunks as they come.
pub(super) fn places<'a>(
    shape: &Shape,
    want: usize,
    received: impl ExactSizeIterator<Item = (u16, &'a [u8])>,
) -> Result<Vec<Option<&'a [u8]>>, Refusal> {
    shape.validate_chunk_bytes(want).map_err(|_| Refusal::ChunkBytes { chunk_bytes: want })?;
    let (total, got) = (shape.total(), received.len());
    let mut places: Vec<Option<&[u8]>> = vec![None; total];
    for (index, bytes) in received {
        let place = places.get_mut(usize::from(index)).ok_or(Refusal::IndexOutOfRange { index, total })?;
        if place.is_some() {
            return Err(Refusal::Duplicate { index });
        }
        if bytes.len() != want {
            return Err(Refusal::Length { index, got: bytes.len(), want });
        }
        *place = Some(bytes);
    }
    // Each index came once, so the count of chunks is the count of places filled.
    if got < shape.k() {
        return Err(Refusal::TooFew { got, want: shape.k() });
    }
    Ok(places)
}

impl Kernel for Reconstruct {
    const NAME: &'static str = "erasure/reconstruct";
    type Params = ReconstructParams;
    type Setup = Shape;
    type Input = Chunks;
    type Output = Result<Vec<u8>, Refusal>;

    fn validate(params: &Self::Params) -> Result<(), Error> {
        params.shape().validate()?;
        params.shape().validate_chunk_bytes(params.chunk_bytes)?;
        let most = params.data_chunks.min(params.parity_chunks);
        if params.missing > most {
            return Err(Error::InvalidInput(format!("missing is {}, at most {most} can be restored", params.missing)));
        }
        Ok(())
    }

    fn setup(params: &Self::Params, _seed: u64) -> Shape {
        params.shape()
    }

    fn generate(params: &Self::Params, shape: &Shape, seed: u64, iteration: u64) -> Chunks {
        let mut rng = generator(Self::NAME, seed, iteration);
        let mut data = vec![0; shape.k() * params.chunk_bytes];
        rng.fill_bytes(&mut data);
        let data: Vec<(usize, &[u8])> = data.chunks_exact(params.chunk_bytes).enumerate().collect();
        let mut indices: Vec<u16> = (0..params.data_chunks).collect();
        indices.shuffle(&mut rng);
        indices.truncate(shape.k() - usize::from(params.missing));
        let mut parity: Vec<u16> = (0..params.parity_chunks).map(|i| params.data_chunks + i).collect();
        parity.shuffle(&mut rng);
        indices.extend(parity.into_iter().take(usize::from(params.missing)));
        indices.shuffle(&mut rng);
        // Only the chunks that arrive are computed, by the oracle: inputs then owe nothing to any backend.
        let wanted: Vec<usize> = indices.iter().map(|index| usize::from(*index)).filter(|i| *i >= shape.k()).collect();
        let mut parity = naive::extend(shape, &data, &wanted).into_iter();
        let received = indices
            .into_iter()
            .map(|index| {
                let sent = data.get(usize::from(index)).map(|(_, chunk)| chunk.to_vec());
                (index, sent.or_else(|| parity.next()).unwrap_or_default())
            })
            .collect();
        Chunks { chunk_bytes: params.chunk_bytes, received }
    }

    fn check(shape: &Shape, chunks: &Chunks, output: &Self::Output) -> Result<(), Mismatch> {
        let fail = |item, want: String| {
            let got = match output {
                Ok(data) => format!("{} data bytes", data.len()),
                Err(reason) => format!("refused: {reason}"),
            };
            Err(Mismatch { item, got, want })
        };
        let data = match (validate(shape, chunks), output) {
            (Ok(_), Ok(data)) => data,
            (Ok(_), Err(_)) => return fail(0, "data".into()),
            (Err(want), got) if got.as_ref() == Err(&want) => return Ok(()),
            (Err(want), _) => return fail(0, format!("refused: {want}")),
        };
        if data.len() != shape.k() * chunks.chunk_bytes {
            return fail(0, format!("{} data bytes", shape.k() * chunks.chunk_bytes));
        }
        let mut known: Vec<(usize, &[u8])> = Vec::new();
        let mut claimed: Vec<(usize, &[u8])> = data.chunks_exact(chunks.chunk_bytes).enumerate().collect();
        let mut received: Vec<(usize, &[u8])> =
            chunks.received.iter().map(|(i, c)| (usize::from(*i), &c[..])).collect();
        // Sorted, data comes first and parity follows by index: the first k are the ones that define the output.
        received.sort_by_key(|(index, _)| *index);
        known.extend(received.into_iter().take(shape.k()));
        for &(index, bytes) in known.iter().filter(|(index, _)| *index < shape.k()) {
            if claimed[index].1 != bytes {
                return fail(index, "the received chunk itself".into());
            }
        }
        claimed.retain(|(index, _)| known.iter().all(|(i, _)| i != index));
        naive::compare(shape, &known, &claimed)
    }

    fn work(params: &Self::Params) -> Work {
        let k = u64::from(params.data_chunks);
        Work { items: k, bytes: k * params.chunk_bytes as u64 }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu => Ok(Box::new(cpu::Cpu::open(options)?)),
            BackendId::Simd => Ok(Box::new(simd::Simd::open(options)?)),
            #[cfg(feature = "wgpu")]
            BackendId::Wgpu => Ok(Box::new(super::wgpu::Device::open(options)?)),
            #[cfg(not(feature = "wgpu"))]
            BackendId::Wgpu => Err(Unavailable::NotCompiled),
            BackendId::Cuda => Err(Unavailable::NotImplemented),
        }
    }
}
