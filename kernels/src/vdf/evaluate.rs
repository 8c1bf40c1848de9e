//! `vdf/evaluate`: seeds to outputs with their proofs.
//!
//! Discriminants are derived while loading, so `execute` is squarings and proof alone and `total` is all of it.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Refusal, Scheme, backends, invalid, naive};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// The kernel `vdf/evaluate`.
#[derive(Debug)]
pub struct Evaluate;

/// The shape of [`Evaluate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateParams {
    /// The rules and the format.
    #[serde(default)]
    pub scheme: Scheme,
    /// A multiple of 8 from 256 to 4096; Harmony's is 2048, Chia's 1024 and at most that.
    pub discriminant_bits: u32,
    /// Squarings per instance, at least 1. Below the challenge's bits (128 or 264) the proof is the identity.
    pub iterations: u64,
    /// Independent instances in one input, at least 1.
    pub instances: usize,
}

/// What all inputs of one run share.
#[derive(Clone, Debug)]
pub struct EvaluateSetup {
    /// The rules and the format.
    pub scheme: Scheme,
    /// Bits of every discriminant.
    pub discriminant_bits: u32,
}

/// Instances to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluateInput {
    /// One seed per instance.
    pub seeds: Vec<[u8; 32]>,
    /// Squarings per instance.
    pub iterations: u64,
}

impl Kernel for Evaluate {
    const NAME: &'static str = "vdf/evaluate";
    type Params = EvaluateParams;
    type Setup = EvaluateSetup;
    type Input = EvaluateInput;
    /// `y` then proof per seed.
    type Output = Vec<Vec<u8>>;

    fn validate(params: &EvaluateParams) -> Result<(), Error> {
        check_shape(params.scheme, params.discriminant_bits, params.iterations, params.instances, "instances")
    }

    fn setup(params: &EvaluateParams, _seed: u64) -> EvaluateSetup {
        EvaluateSetup { scheme: params.scheme, discriminant_bits: params.discriminant_bits }
    }

    fn generate(params: &EvaluateParams, _setup: &EvaluateSetup, seed: u64, iteration: u64) -> EvaluateInput {
        let mut rng = generator(Self::NAME, seed, iteration);
        EvaluateInput {
            seeds: (0..params.instances).map(|_| random_seed(&mut rng)).collect(),
            iterations: params.iterations,
        }
    }

    /// A proof that the naive verifier accepts shows `y`, and `y` and proof are then unique but for a low-order element.
    fn check(setup: &EvaluateSetup, input: &EvaluateInput, output: &Vec<Vec<u8>>) -> Result<(), Mismatch> {
        let mismatch = |item, got: String, want: &str| Err(Mismatch { item, got, want: want.into() });
        if output.len() != input.seeds.len() {
            return mismatch(output.len().min(input.seeds.len()), format!("{} outputs", output.len()), "one per seed");
        }
        for (item, (seed, bytes)) in input.seeds.iter().zip(output).enumerate() {
            if let Err(refusal) = judge(setup.scheme, setup.discriminant_bits, seed, input.iterations, bytes) {
                return mismatch(item, refusal.to_string(), "a valid proof");
            }
        }
        Ok(())
    }

    /// Items are squarings; bytes are the encoded results.
    fn work(params: &EvaluateParams) -> Work {
        let instances = params.instances as u64;
        let bytes = super::wire::proof_bytes(params.scheme, params.discriminant_bits) as u64;
        Work { items: params.iterations.saturating_mul(instances), bytes: bytes.saturating_mul(instances) }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        Ok(Box::new(backends::Host::open(id, options)?))
    }
}

/// The oracle's verdict on an evaluation of one instance.
pub(super) fn judge(
    scheme: Scheme,
    discriminant_bits: u32,
    seed: &[u8; 32],
    iterations: u64,
    bytes: &[u8],
) -> Result<(), Refusal> {
    naive::verify(scheme, &scheme.discriminant(discriminant_bits, seed)?, iterations, bytes)
}

pub(super) fn random_seed(rng: &mut impl Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    seed
}

/// # Errors
///
/// The first parameter that no backend can run.
pub(super) fn check_shape(scheme: Scheme, bits: u32, iterations: u64, count: usize, name: &str) -> Result<(), Error> {
    scheme.check_bits(bits).map_err(invalid)?;
    if iterations == 0 {
        return Err(invalid("iterations must be at least 1"));
    }
    if !(1..=1 << 20).contains(&count) {
        return Err(invalid(format!("{name} must be from 1 to {}", 1 << 20)));
    }
    Ok(())
}
