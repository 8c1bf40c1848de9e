//! `vdf/discriminant`: seeds to discriminants, most of a verifier's time when nothing is cached.

use serde::{Deserialize, Serialize};

use super::evaluate::{check_shape, random_seed};
use super::{Scheme, backends, naive};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// The kernel `vdf/discriminant`.
#[derive(Debug)]
pub struct Discriminant;

/// The shape of [`Discriminant`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscriminantParams {
    /// Whose rule; `harmony-128` and `bound-264` have the same.
    #[serde(default)]
    pub scheme: Scheme,
    /// A multiple of 8 from 256 to 4096; Harmony's is 2048, Chia's 1024 and at most that.
    pub discriminant_bits: u32,
    /// Seeds in one input, at least 1.
    pub seeds: usize,
}

/// What all inputs of one run share.
#[derive(Clone, Debug)]
pub struct DiscriminantSetup {
    /// Whose rule.
    pub scheme: Scheme,
    /// Bits of every discriminant.
    pub discriminant_bits: u32,
}

impl Kernel for Discriminant {
    const NAME: &'static str = "vdf/discriminant";
    type Params = DiscriminantParams;
    type Setup = DiscriminantSetup;
    type Input = Vec<[u8; 32]>;
    /// The magnitude per seed, big-endian, `discriminant_bits / 8` bytes.
    type Output = Vec<Vec<u8>>;

    fn validate(params: &DiscriminantParams) -> Result<(), Error> {
        check_shape(params.scheme, params.discriminant_bits, 1, params.seeds, "seeds")
    }

    fn setup(params: &DiscriminantParams, _seed: u64) -> DiscriminantSetup {
        DiscriminantSetup { scheme: params.scheme, discriminant_bits: params.discriminant_bits }
    }

    fn generate(params: &DiscriminantParams, _: &DiscriminantSetup, seed: u64, iteration: u64) -> Vec<[u8; 32]> {
        let mut rng = generator(Self::NAME, seed, iteration);
        (0..params.seeds).map(|_| random_seed(&mut rng)).collect()
    }

    fn check(setup: &DiscriminantSetup, input: &Vec<[u8; 32]>, output: &Vec<Vec<u8>>) -> Result<(), Mismatch> {
        for item in 0..input.len().max(output.len()) {
            let want = input.get(item).map(|seed| naive::discriminant(setup.scheme, setup.discriminant_bits, seed));
            if output.get(item) != want.as_ref() {
                let show = |bytes: Option<&Vec<u8>>| bytes.map_or("nothing".into(), |b| format!("{b:02x?}"));
                return Err(Mismatch { item, got: show(output.get(item)), want: show(want.as_ref()) });
            }
        }
        Ok(())
    }

    fn work(params: &DiscriminantParams) -> Work {
        let seeds = params.seeds as u64;
        Work { items: seeds, bytes: seeds.saturating_mul(u64::from(params.discriminant_bits / 8)) }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu | BackendId::Simd => Ok(Box::new(backends::Host::open(id, options)?)),
            #[cfg(feature = "wgpu")]
            BackendId::Wgpu => Ok(Box::new(super::wgpu::Device::open(options)?)),
            #[cfg(not(feature = "wgpu"))]
            BackendId::Wgpu => Err(Unavailable::NotCompiled),
            BackendId::Cuda => Err(Unavailable::NotImplemented),
        }
    }
}
