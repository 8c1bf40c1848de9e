//! Kernel `bls/aggregate-signatures`: for each group, the sum of its signatures.
//!
//! This is how a leader makes a certificate from votes. Each signature is decoded strictly and checked for the subgroup;
//! whether it verifies is [`super::VerifyBatch`]'s work, and a leader does that first.

use blst::min_pk::{AggregateSignature, Signature};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::aggregate_keys::compare;
use super::material::{self, Fault, check_count};
use super::points::{affine_g2, encode_g2, hash_to_g2, sign_hash};
use super::{MAX_ITEMS, Refusal, SIGNATURE_BYTES, cpu, simd};
use crate::backend::{
    Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, carries_invalid, generator,
};

/// The kernel.
#[derive(Debug)]
pub enum AggregateSignatures {}

/// The shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Groups in one input.
    pub groups: u32,
    /// Signatures in each group.
    pub signatures: u32,
}

/// Compressed signatures by group.
pub type Input = Vec<Vec<[u8; SIGNATURE_BYTES]>>;

/// For each group the compressed sum; or [`Refusal::Empty`], or the reason of its first bad signature.
pub type Output = Vec<Result<[u8; SIGNATURE_BYTES], Refusal>>;

impl Kernel for AggregateSignatures {
    const NAME: &'static str = "bls/aggregate-signatures";
    const VERDICT: bool = true;
    type Params = Params;
    type Setup = ();
    type Input = Input;
    type Output = Output;

    fn validate(params: &Params) -> Result<(), Error> {
        check_count("groups", params.groups)?;
        check_count("signatures", params.signatures)?;
        match params.groups.checked_mul(params.signatures) {
            Some(total) if total <= MAX_ITEMS => Ok(()),
            _ => Err(Error::InvalidInput(format!("groups times signatures must be at most {MAX_ITEMS}"))),
        }
    }

    fn setup(_params: &Params, _seed: u64) {}

    fn generate(params: &Params, _setup: &(), seed: u64, iteration: u64) -> Input {
        let mut rng = generator(Self::NAME, seed, iteration);
        let group = |rng: &mut _| {
            let hash = hash_to_g2(&material::bytes::<32>(rng));
            let secrets: Vec<_> = (0..params.signatures).map(|_| material::secret(rng)).collect();
            let points: Vec<_> = secrets.par_iter().map(|secret| sign_hash(&hash, material::scalar(secret))).collect();
            affine_g2(&points).iter().map(encode_g2).collect::<Vec<_>>()
        };
        let mut input: Input = (0..params.groups).map(|_| group(&mut rng)).collect();
        if carries_invalid(seed, iteration) {
            let group = material::below(&mut rng, params.groups) as usize;
            let item = material::below(&mut rng, params.signatures) as usize;
            Fault::pick(&mut rng, &Fault::OF_POINTS).spoil(&mut rng, &mut input[group][item]);
        }
        input
    }

    /// Adds one signature after the other through blst's aggregate interface: mixed additions.
    fn check(_setup: &(), input: &Input, output: &Output) -> Result<(), Mismatch> {
        let want: Output = input.par_iter().map(|group| sum_checked(group)).collect();
        compare(output, &want)
    }

    fn work(params: &Params) -> Work {
        let items = u64::from(params.groups) * u64::from(params.signatures);
        Work { items, bytes: items * SIGNATURE_BYTES as u64 }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu => Ok(Box::new(cpu::Cpu::open(options)?)),
            BackendId::Simd => simd::open(options),
            #[cfg(feature = "wgpu")]
            BackendId::Wgpu => Ok(Box::new(super::wgpu::Device::open(options)?)),
            #[cfg(not(feature = "wgpu"))]
            BackendId::Wgpu => Err(Unavailable::NotCompiled),
            BackendId::Cuda => Err(Unavailable::NotImplemented),
        }
    }
}

fn sum_checked(group: &[[u8; SIGNATURE_BYTES]]) -> Result<[u8; SIGNATURE_BYTES], Refusal> {
    let mut sum: Option<AggregateSignature> = None;
    for bytes in group {
        let signature = Signature::uncompress(bytes).map_err(|_| Refusal::BadEncoding)?;
        if !signature.subgroup_check() {
            return Err(Refusal::NotInSubgroup);
        }
        match &mut sum {
            None => sum = Some(AggregateSignature::from_signature(&signature)),
            Some(sum) => sum.add_signature(&signature, false).map_err(|_| Refusal::NotInSubgroup)?,
        }
    }
    Ok(sum.ok_or(Refusal::Empty)?.to_signature().compress())
}
