//! The kernel `erasure/retrieve`: chunks with Merkle proofs in, the data under the root out.
//!
//! What a receiver does: it verifies each chunk's proof, reconstructs, encodes again and compares the root, so that what comes
//! out is the one set of data whose chunks the root commits to, whichever chunks arrived. Without the last step, receivers
//! of different chunks of something that is no code word would reconstruct different data. The names of the pair are those
//! of C. Cachin, S. Tessaro, "Asynchronous verifiable information dispersal" (SRDS 2005).

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::merkle::{Hash, Proof, Tree, verify};
use super::reconstruct::{ReconstructParams, places};
use super::{Reconstruct, Refusal, Shape, cpu, naive, simd};
use crate::backend::{
    Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, carries_invalid, generator,
};

/// `erasure/retrieve`. Output: the `k * chunk_bytes` data bytes, chunk after chunk, or the first reason for refusing:
///
/// 1. those of [`Reconstruct`], in its order;
/// 2. [`Refusal::Proof`] of the first chunk, in the order of arrival, whose proof does not verify;
/// 3. [`Refusal::Encoding`] if the chunks of the data that [`Reconstruct`] gives do not have the root.
#[derive(Debug)]
pub struct Retrieve;

/// What arrived for one root, in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The commitment to all `k + m` chunks.
    pub root: Hash,
    /// The length that every chunk must have.
    pub chunk_bytes: usize,
    /// The chunks.
    pub received: Vec<Delivered>,
}

/// One chunk as a peer sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its index in `0..k + m`.
    pub index: u16,
    /// The chunk.
    pub bytes: Vec<u8>,
    /// Its place under the root; `None` if the caller has verified that. Where the caller has not, the data is still the
    /// root's or refused; only a chunk that `k` others make superfluous is then not looked at.
    pub proof: Option<Proof>,
}

impl Delivered {
    /// Whether the chunk is under the root, by its proof or by the caller's word.
    pub(super) fn is_proven(&self, root: &Hash, leaves: usize) -> bool {
        let verifies = |proof| verify(root, leaves, usize::from(self.index), &self.bytes, proof);
        self.proof.as_ref().is_none_or(verifies)
    }
}

/// The received chunks by index, `k + m` places. Every backend calls this first.
///
/// # Errors
///
/// As [`super::reconstruct::validate`].
pub fn validate<'a>(shape: &Shape, delivery: &'a Delivery) -> Result<Vec<Option<&'a [u8]>>, Refusal> {
    places(shape, delivery.chunk_bytes, delivery.received.iter().map(|chunk| (chunk.index, &chunk.bytes[..])))
}

/// What one generated input has wrong.
enum Fault {
    /// A byte of a received chunk.
    Chunk,
    /// A sibling in a received chunk's proof.
    Sibling,
    /// A byte of any chunk, before the tree was made: every proof verifies.
    Encoding,
}

impl Kernel for Retrieve {
    const NAME: &'static str = "erasure/retrieve";
    const VERDICT: bool = true;
    type Params = ReconstructParams;
    type Setup = Shape;
    type Input = Delivery;
    type Output = Result<Vec<u8>, Refusal>;

    fn validate(params: &Self::Params) -> Result<(), Error> {
        Reconstruct::validate(params)
    }

    fn setup(params: &Self::Params, _seed: u64) -> Shape {
        params.shape()
    }

    fn generate(params: &Self::Params, shape: &Shape, seed: u64, iteration: u64) -> Delivery {
        let mut rng = generator(Self::NAME, seed, iteration);
        let mut data = vec![0; shape.k() * params.chunk_bytes];
        rng.fill_bytes(&mut data);
        let mut chunks = code_word(shape, &data, params.chunk_bytes);
        let fault = carries_invalid(seed, iteration).then(|| match rng.random_range(0..3) {
            0 => Fault::Chunk,
            1 => Fault::Sibling,
            _ => Fault::Encoding,
        });
        if matches!(fault, Some(Fault::Encoding)) {
            let chunk = rng.random_range(0..chunks.len());
            spoil(&mut rng, &mut chunks[chunk]);
        }
        let (root, proofs) = match Tree::build(&chunks) {
            Ok(tree) => (tree.root(), (0..chunks.len()).map(|index| tree.proof(index)).collect()),
            // A shape has as many chunks as a tree may have leaves.
            Err(_) => (Hash::default(), vec![None; chunks.len()]),
        };

        let mut chosen: Vec<u16> = (0..params.data_chunks).collect();
        chosen.shuffle(&mut rng);
        chosen.truncate(shape.k() - usize::from(params.missing));
        let mut parity: Vec<u16> = (params.data_chunks..).take(shape.m()).collect();
        parity.shuffle(&mut rng);
        chosen.extend(parity.into_iter().take(usize::from(params.missing)));
        chosen.shuffle(&mut rng);
        let deliver = |index: u16| {
            let at = usize::from(index);
            Delivered { index, bytes: chunks[at].clone(), proof: proofs[at].clone() }
        };
        let mut received: Vec<Delivered> = chosen.into_iter().map(deliver).collect();
        let victim = rng.random_range(0..received.len());
        let Delivered { bytes, proof, .. } = &mut received[victim];
        match fault {
            Some(Fault::Chunk) => spoil(&mut rng, bytes),
            Some(Fault::Sibling) => {
                // A shape has at least two chunks, so a proof has a sibling.
                let siblings = proof.iter_mut().flat_map(|proof| &mut proof.siblings).collect::<Vec<_>>();
                let at = rng.random_range(0..siblings.len().max(1));
                siblings.into_iter().nth(at).into_iter().for_each(|sibling| spoil(&mut rng, sibling));
            }
            Some(Fault::Encoding) | None => {}
        }
        Delivery { root, chunk_bytes: params.chunk_bytes, received }
    }

    fn check(shape: &Shape, delivery: &Delivery, output: &Self::Output) -> Result<(), Mismatch> {
        let want = retrieve(shape, delivery);
        let show = |output: &Self::Output| match output {
            Ok(data) => format!("{} data bytes", data.len()),
            Err(reason) => format!("refused: {reason}"),
        };
        if *output == want {
            return Ok(());
        }
        let mut item = 0;
        if let (Ok(got), Ok(want)) = (output, &want) {
            let differ = got.iter().zip(want).position(|(got, want)| got != want);
            item = differ.unwrap_or(got.len().min(want.len())) / delivery.chunk_bytes.max(1);
        }
        Err(Mismatch { item, got: show(output), want: show(&want) })
    }

    fn work(params: &Self::Params) -> Work {
        let shape = params.shape();
        Work { items: shape.total() as u64, bytes: (shape.k() * params.chunk_bytes) as u64 }
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

/// Flips one bit.
fn spoil(rng: &mut impl Rng, bytes: &mut [u8]) {
    let at = rng.random_range(0..bytes.len());
    bytes[at] ^= 1 << rng.random_range(0..8);
}

/// All chunks, data first, by the oracle: inputs then owe nothing to any backend.
fn code_word(shape: &Shape, data: &[u8], chunk_bytes: usize) -> Vec<Vec<u8>> {
    let known: Vec<(usize, &[u8])> = data.chunks_exact(chunk_bytes).enumerate().collect();
    let parity = naive::extend(shape, &known, &(shape.k()..shape.total()).collect::<Vec<_>>());
    known.iter().map(|(_, chunk)| chunk.to_vec()).chain(parity).collect()
}

/// The kernel by the oracle.
fn retrieve(shape: &Shape, delivery: &Delivery) -> Result<Vec<u8>, Refusal> {
    let places = validate(shape, delivery)?;
    for chunk in &delivery.received {
        if !chunk.is_proven(&delivery.root, shape.total()) {
            return Err(Refusal::Proof { index: chunk.index });
        }
    }
    let arrived = places.iter().enumerate().filter_map(|(index, chunk)| Some((index, (*chunk)?)));
    let known: Vec<(usize, &[u8])> = arrived.take(shape.k()).collect();
    let missing: Vec<usize> = (0..shape.k()).filter(|index| places[*index].is_none()).collect();
    let mut restored = naive::extend(shape, &known, &missing).into_iter();
    let row = |place: &Option<&[u8]>| place.map_or_else(|| restored.next().unwrap_or_default(), <[u8]>::to_vec);
    let data: Vec<u8> = places[..shape.k()].iter().flat_map(row).collect();
    let root = Tree::build(&code_word(shape, &data, delivery.chunk_bytes)).map(|tree| tree.root());
    if root == Ok(delivery.root) { Ok(data) } else { Err(Refusal::Encoding) }
}
