//! From a block body to chunks and back, through the kernels: what a validator's pipeline calls.
//!
//! The rule. A body of `n` bytes has chunks of `max(1, ceil(n / k))` bytes, rounded up to whole symbols of the code: it is laid out over the `k` data chunks in
//! order and the rest is zero. `n` is not in the chunks; the block header carries it with the code, `k` and `m`. Going
//! back, bytes behind `n` that are not zero are refused, so exactly one set of chunks stands for a body.

use super::disperse::{Disperse, Dispersed};
use super::merkle::{Hash, Tree};
use super::retrieve::{Delivered, Delivery, Retrieve};
use super::{Chunks, Code, Encode, Reconstruct, Refusal, Shape};
use crate::backend::{Backend, BackendId, Control, Error, Kernel, Options, Prepared, Unavailable};

/// The opened backends that a [`Plan`] runs on; they may differ by verb.
pub struct Backends {
    /// The code and its dimensions.
    pub shape: Shape,
    /// Who encodes.
    pub encode: Box<dyn Backend<Encode>>,
    /// Who reconstructs.
    pub reconstruct: Box<dyn Backend<Reconstruct>>,
    /// Who encodes and commits.
    pub disperse: Box<dyn Backend<Disperse>>,
    /// Who reconstructs and checks the commitment.
    pub retrieve: Box<dyn Backend<Retrieve>>,
}

impl Backends {
    /// Opens `id` for all verbs.
    ///
    /// # Errors
    ///
    /// The reason, when this host or build cannot run it.
    pub fn open(id: BackendId, options: &Options, shape: Shape) -> Result<Self, Unavailable> {
        Ok(Self {
            shape,
            encode: Encode::open(id, options)?,
            reconstruct: Reconstruct::open(id, options)?,
            disperse: Disperse::open(id, options)?,
            retrieve: Retrieve::open(id, options)?,
        })
    }
}

/// A code ready for block bodies. Shared between threads freely.
pub struct Plan {
    shape: Shape,
    encode: Box<dyn Prepared<Encode>>,
    reconstruct: Box<dyn Prepared<Reconstruct>>,
    disperse: Box<dyn Prepared<Disperse>>,
    retrieve: Box<dyn Prepared<Retrieve>>,
}

/// Why chunks gave no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBody {
    /// The chunks do not make a code word of this shape.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Bytes behind the body are not zero.
    #[error("padding is not zero")]
    Padding,
    /// The length is over the limit of the shape, or the backend failed.
    #[error(transparent)]
    Backend(#[from] Error),
}

impl Plan {
    /// The scalar backend on the caller's thread.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a shape that the code does not have.
    pub fn new(code: Code, data_chunks: u16, parity_chunks: u16) -> Result<Self, Error> {
        let shape = Shape::new(code, data_chunks, parity_chunks)?;
        let backends = Backends::open(BackendId::Cpu, &Options::default(), shape);
        Self::prepare(&backends.map_err(|e| Error::Device(e.to_string()))?)
    }

    /// Prepares all verbs for the shape.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a shape that the code does not have; [`Error::Device`].
    pub fn prepare(backends: &Backends) -> Result<Self, Error> {
        let encode = backends.encode.prepare(&backends.shape)?;
        let reconstruct = backends.reconstruct.prepare(&backends.shape)?;
        let disperse = backends.disperse.prepare(&backends.shape)?;
        let retrieve = backends.retrieve.prepare(&backends.shape)?;
        Ok(Self { shape: backends.shape, encode, reconstruct, disperse, retrieve })
    }

    /// The code and its dimensions.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of each chunk of a body of `body_len` bytes.
    pub fn chunk_bytes(&self, body_len: usize) -> usize {
        body_len.div_ceil(self.shape.k()).max(1).next_multiple_of(self.shape.code.symbol_bytes())
    }

    /// All `k + m` chunks of a body, data first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a body whose chunks exceed [`super::MAX_CODED_BYTES`]; [`Error::Device`].
    pub fn encode(&self, body: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let (data, chunk_bytes) = self.lay_out(body)?;
        let parity = self.encode.compute(&data, &Control::default())?;
        Ok(cut(&data, &parity, chunk_bytes))
    }

    /// All `k + m` chunks of a body, data first, and the tree over them.
    ///
    /// # Errors
    ///
    /// As [`Plan::encode`].
    pub fn disperse(&self, body: &[u8]) -> Result<(Vec<Vec<u8>>, Tree), Error> {
        let (data, chunk_bytes) = self.lay_out(body)?;
        let Dispersed { parity, tree } = self.disperse.compute(&data, &Control::default())?;
        Ok((cut(&data, &parity, chunk_bytes), tree))
    }

    /// The body of `body_len` bytes from any `k` or more of its chunks, each with its index.
    ///
    /// Chunks are taken as they are: authenticate each one before, and compare the root of the re-encoded body after; or
    /// call [`Plan::retrieve`].
    ///
    /// # Errors
    ///
    /// [`NoBody`]: refused chunks, non-zero padding, a length over the limit.
    pub fn reconstruct(&self, chunks: Vec<(u16, Vec<u8>)>, body_len: usize) -> Result<Vec<u8>, NoBody> {
        let chunk_bytes = self.chunk_bytes(body_len);
        self.shape.validate_chunk_bytes(chunk_bytes)?;
        let input = Chunks { chunk_bytes, received: chunks };
        trim(self.reconstruct.compute(&input, &Control::default())??, body_len)
    }

    /// The one body of `body_len` bytes whose chunks have this root, from `k` or more of them. Whatever `k` chunks arrived,
    /// the outcome is the same: the body, or that there is none ([`Refusal::Encoding`], [`NoBody::Padding`]).
    ///
    /// # Errors
    ///
    /// [`NoBody`]: refused chunks, a proof that does not verify, a root over something else than a body's chunks, non-zero
    /// padding, a length over the limit.
    pub fn retrieve(&self, root: Hash, received: Vec<Delivered>, body_len: usize) -> Result<Vec<u8>, NoBody> {
        let chunk_bytes = self.chunk_bytes(body_len);
        self.shape.validate_chunk_bytes(chunk_bytes)?;
        let input = Delivery { root, chunk_bytes, received };
        trim(self.retrieve.compute(&input, &Control::default())??, body_len)
    }

    /// The body over the data chunks, the rest zero, and the size of one.
    fn lay_out(&self, body: &[u8]) -> Result<(Vec<u8>, usize), Error> {
        let chunk_bytes = self.chunk_bytes(body.len());
        self.shape.validate_chunk_bytes(chunk_bytes)?;
        let mut data = Vec::with_capacity(self.shape.k() * chunk_bytes);
        data.extend_from_slice(body);
        data.resize(self.shape.k() * chunk_bytes, 0);
        Ok((data, chunk_bytes))
    }
}

fn cut(data: &[u8], parity: &[u8], chunk_bytes: usize) -> Vec<Vec<u8>> {
    data.chunks_exact(chunk_bytes).chain(parity.chunks_exact(chunk_bytes)).map(<[u8]>::to_vec).collect()
}

/// The body without its padding, which must be zero.
fn trim(mut data: Vec<u8>, body_len: usize) -> Result<Vec<u8>, NoBody> {
    if data[body_len..].iter().any(|byte| *byte != 0) {
        return Err(NoBody::Padding);
    }
    data.truncate(body_len);
    Ok(data)
}
