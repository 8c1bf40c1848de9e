//! `vdf/prove`: the tail of an evaluation, from squarings that are done to the proof.
//!
//! `load` does the squarings and keeps the powers on their way, so `execute` is the proof alone and `total` what
//! `vdf/evaluate` takes to `execute`. Threads share a proof, where they do nothing for the squarings.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::evaluate::{check_shape, judge, random_seed};
use super::{Scheme, backends, wire};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// The kernel `vdf/prove`.
#[derive(Debug)]
pub struct Prove;

/// The shape of [`Prove`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProveParams {
    /// The rules and the format.
    #[serde(default)]
    pub scheme: Scheme,
    /// A multiple of 8 from 256 to 4096; Harmony's is 2048, Chia's 1024 and at most that.
    pub discriminant_bits: u32,
    /// Squarings that the proof shows, at least 1. Below the challenge's bits (128 or 264) it is the identity.
    pub iterations: u64,
}

/// What all inputs of one run share.
#[derive(Clone, Debug)]
pub struct ProveSetup {
    /// The rules and the format.
    pub scheme: Scheme,
    /// Bits of every discriminant.
    pub discriminant_bits: u32,
    /// The instances that inputs are drawn from: a backend derives their discriminants once.
    pub seeds: Vec<[u8; 32]>,
}

/// One instance to evaluate.
#[derive(Clone, Debug)]
pub struct ProveInput {
    /// One of the setup's.
    pub seed: [u8; 32],
    /// Squarings.
    pub iterations: u64,
}

/// Instances of a setup.
const SEEDS: usize = 4;

impl Kernel for Prove {
    const NAME: &'static str = "vdf/prove";
    const EXECUTE_ALONE: bool = true;
    type Params = ProveParams;
    type Setup = ProveSetup;
    type Input = ProveInput;
    /// `y` then proof: as from [`super::Evaluate`], of one seed.
    type Output = Vec<u8>;

    fn validate(params: &ProveParams) -> Result<(), Error> {
        check_shape(params.scheme, params.discriminant_bits, params.iterations, 1, "proofs")
    }

    fn setup(params: &ProveParams, seed: u64) -> ProveSetup {
        let mut rng = generator("vdf/prove setup", seed, 0);
        ProveSetup {
            scheme: params.scheme,
            discriminant_bits: params.discriminant_bits,
            seeds: (0..SEEDS).map(|_| random_seed(&mut rng)).collect(),
        }
    }

    fn generate(params: &ProveParams, setup: &ProveSetup, seed: u64, iteration: u64) -> ProveInput {
        let mut rng = generator(Self::NAME, seed, iteration);
        ProveInput { seed: setup.seeds[rng.random_range(0..setup.seeds.len())], iterations: params.iterations }
    }

    /// As of [`super::Evaluate`].
    fn check(setup: &ProveSetup, input: &ProveInput, output: &Vec<u8>) -> Result<(), Mismatch> {
        judge(setup.scheme, setup.discriminant_bits, &input.seed, input.iterations, output)
            .map_err(|refusal| Mismatch { item: 0, got: refusal.to_string(), want: "a valid proof".into() })
    }

    /// One proof; bytes are those of the encoded result.
    fn work(params: &ProveParams) -> Work {
        Work { items: 1, bytes: wire::proof_bytes(params.scheme, params.discriminant_bits) as u64 }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        Ok(Box::new(backends::Host::open(id, options)?))
    }
}
