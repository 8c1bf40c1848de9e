//! The kernel `erasure/encode`: data chunks in, parity chunks out.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Code, Shape, cpu, naive, simd};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// `erasure/encode`. Input: `k * chunk_bytes` data bytes, chunk after chunk. Output: `m * chunk_bytes` parity bytes, likewise.
#[derive(Debug)]
pub struct Encode;

/// The shape of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodeParams {
    /// The code.
    pub code: Code,
    /// `k`.
    pub data_chunks: u16,
    /// `m`.
    pub parity_chunks: u16,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
}

impl EncodeParams {
    /// The dimensions without the chunk size.
    pub fn shape(&self) -> Shape {
        Shape { code: self.code, data_chunks: self.data_chunks, parity_chunks: self.parity_chunks }
    }
}

/// The chunk size of an encoder's input.
///
/// # Errors
///
/// [`Error::InvalidInput`] unless `data_bytes` is a multiple of `k`, at least `k`, and within the limits of the shape.
pub(super) fn chunk_bytes(shape: &Shape, data_bytes: usize) -> Result<usize, Error> {
    let k = shape.k();
    if !data_bytes.is_multiple_of(k) {
        return Err(Error::InvalidInput(format!("{data_bytes} data bytes are not a multiple of {k} chunks")));
    }
    shape.validate_chunk_bytes(data_bytes / k)?;
    Ok(data_bytes / k)
}

impl Kernel for Encode {
    const NAME: &'static str = "erasure/encode";
    type Params = EncodeParams;
    type Setup = Shape;
    type Input = Vec<u8>;
    type Output = Vec<u8>;

    fn validate(params: &Self::Params) -> Result<(), Error> {
        params.shape().validate()?;
        params.shape().validate_chunk_bytes(params.chunk_bytes)
    }

    fn setup(params: &Self::Params, _seed: u64) -> Shape {
        params.shape()
    }

    fn generate(params: &Self::Params, shape: &Shape, seed: u64, iteration: u64) -> Vec<u8> {
        let mut data = vec![0; shape.k() * params.chunk_bytes];
        generator(Self::NAME, seed, iteration).fill_bytes(&mut data);
        data
    }

    fn check(shape: &Shape, data: &Vec<u8>, parity: &Vec<u8>) -> Result<(), Mismatch> {
        let chunk_bytes = match chunk_bytes(shape, data.len()) {
            Ok(chunk_bytes) => chunk_bytes,
            Err(want) => return Err(Mismatch { item: 0, got: "parity".into(), want: want.to_string() }),
        };
        if parity.len() != shape.m() * chunk_bytes {
            let want = format!("{} parity bytes", shape.m() * chunk_bytes);
            return Err(Mismatch { item: 0, got: format!("{}", parity.len()), want });
        }
        let known: Vec<(usize, &[u8])> = data.chunks_exact(chunk_bytes).enumerate().collect();
        let claimed: Vec<(usize, &[u8])> =
            parity.chunks_exact(chunk_bytes).zip(shape.k()..).map(|(c, i)| (i, c)).collect();
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
