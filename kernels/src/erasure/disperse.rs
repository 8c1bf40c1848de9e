//! The kernel `erasure/disperse`: data in, parity and the Merkle tree over all chunks out.
//!
//! What a leader does with a body: [`super::Encode`] and [`Tree::build`] as one computation, so that a backend may hash a
//! byte column of the chunks while it is in cache. The mirror on the receiver's side is [`super::Retrieve`].

use rand::Rng;

use super::merkle::Tree;
use super::{Encode, EncodeParams, Shape, cpu, simd};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// `erasure/disperse`. Input: as of [`Encode`]. The commitment is over data and parity chunks, in this order.
#[derive(Debug)]
pub struct Disperse;

/// What goes out beside the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispersed {
    /// `m * chunk_bytes` parity bytes, chunk after chunk.
    pub parity: Vec<u8>,
    /// The tree over all `k + m` chunks: leaf hashes, nodes, root.
    pub tree: Tree,
}

impl Kernel for Disperse {
    const NAME: &'static str = "erasure/disperse";
    type Params = EncodeParams;
    type Setup = Shape;
    type Input = Vec<u8>;
    type Output = Dispersed;

    fn validate(params: &Self::Params) -> Result<(), Error> {
        Encode::validate(params)
    }

    fn setup(params: &Self::Params, _seed: u64) -> Shape {
        params.shape()
    }

    fn generate(params: &Self::Params, shape: &Shape, seed: u64, iteration: u64) -> Vec<u8> {
        let mut data = vec![0; shape.k() * params.chunk_bytes];
        generator(Self::NAME, seed, iteration).fill_bytes(&mut data);
        data
    }

    fn check(shape: &Shape, data: &Vec<u8>, output: &Dispersed) -> Result<(), Mismatch> {
        Encode::check(shape, data, &output.parity)?;
        let chunk_bytes = (data.len() / shape.k()).max(1);
        let chunks = data.chunks_exact(chunk_bytes).chain(output.parity.chunks_exact(chunk_bytes));
        let fail = |item, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
            Err(Mismatch { item, got: format!("{got:02x?}"), want: format!("{want:02x?}") })
        };
        let want = match Tree::build(&chunks.collect::<Vec<_>>()) {
            Ok(tree) => tree,
            Err(want) => return fail(0, &output.tree.leaves(), &want),
        };
        if want.leaves() != output.tree.leaves() {
            return fail(0, &output.tree.leaves(), &want.leaves());
        }
        let leaves = want.leaf_hashes().iter().zip(output.tree.leaf_hashes());
        if let Some((item, (want, got))) = leaves.enumerate().find(|(_, (want, got))| want != got) {
            return fail(item, got, want);
        }
        if want == output.tree { Ok(()) } else { fail(0, &output.tree.root(), &want.root()) }
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
