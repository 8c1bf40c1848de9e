//! `vdf/verify`: proofs to verdicts, the discriminant derived each time or cached.
//!
//! A statement (seed, iterations) has one proof, so the valid ones are evaluated once, in [`Verify::setup`], and every
//! input draws from them; [`VerifySetup::discriminants`] is all that a backend may read across calls.

use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::evaluate::{check_shape, random_seed};
use super::{Refusal, Scheme, backends, naive, wire};
use crate::backend::{
    Backend, BackendId, Control, Error, Kernel, Mismatch, Options, Unavailable, Work, carries_invalid, generator,
};

/// The kernel `vdf/verify`.
#[derive(Debug)]
pub struct Verify;

/// The shape of [`Verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyParams {
    /// The rules and the format.
    #[serde(default)]
    pub scheme: Scheme,
    /// A multiple of 8 from 256 to 4096; Harmony's is 2048, Chia's 1024 and at most that.
    pub discriminant_bits: u32,
    /// Squarings that each proof claims, at least 1; the setup evaluates them. Below the challenge's bits (128, 264)
    /// proofs are the identity.
    pub iterations: u64,
    /// Proofs in one input, at least 1.
    pub proofs: usize,
    /// Whether the setup holds the discriminants, or each verification derives its own.
    pub cached_discriminant: bool,
}

/// What all inputs of one run share.
#[derive(Clone, Debug)]
pub struct VerifySetup {
    /// The rules and the format.
    pub scheme: Scheme,
    /// Bits of every discriminant.
    pub discriminant_bits: u32,
    /// The cached discriminants, as seed and magnitude; `None` where each verification derives its own.
    pub discriminants: Option<Vec<([u8; 32], Vec<u8>)>>,
    /// Valid proofs for the generator, one more than an input holds. No business of a backend.
    valid: Vec<VerifyItem>,
}

/// One claim: the generator of the seed's group, squared `iterations` times, is the `y` in `proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyItem {
    /// Gives the discriminant.
    pub seed: [u8; 32],
    /// Squarings claimed.
    pub iterations: u64,
    /// `y` then proof; in Chia's format segments may follow.
    pub proof: Vec<u8>,
}

impl Kernel for Verify {
    const NAME: &'static str = "vdf/verify";
    const VERDICT: bool = true;
    type Params = VerifyParams;
    type Setup = VerifySetup;
    type Input = Vec<VerifyItem>;
    /// A verdict per item.
    type Output = Vec<Result<(), Refusal>>;

    fn validate(params: &VerifyParams) -> Result<(), Error> {
        check_shape(params.scheme, params.discriminant_bits, params.iterations, params.proofs, "proofs")
    }

    fn setup(params: &VerifyParams, seed: u64) -> VerifySetup {
        let mut rng = generator("vdf/verify setup", seed, 0);
        let seeds: Vec<_> = (0..=params.proofs).map(|_| random_seed(&mut rng)).collect();
        let evaluate = |seed: &[u8; 32]| {
            let bits = params.discriminant_bits;
            let proof = super::evaluate(params.scheme, bits, seed, params.iterations, &Control::default());
            // Only a seed without a discriminant fails (a chance below 2^-200); its empty proof is then refused.
            VerifyItem { seed: *seed, iterations: params.iterations, proof: proof.unwrap_or_default() }
        };
        let discriminant = |seed: &[u8; 32]| {
            let value = params.scheme.discriminant(params.discriminant_bits, seed);
            (*seed, value.map(|value| value.to_bytes()).unwrap_or_default())
        };
        VerifySetup {
            scheme: params.scheme,
            discriminant_bits: params.discriminant_bits,
            discriminants: params.cached_discriminant.then(|| seeds.par_iter().map(discriminant).collect()),
            valid: seeds.par_iter().map(evaluate).collect(),
        }
    }

    fn generate(params: &VerifyParams, setup: &VerifySetup, seed: u64, iteration: u64) -> Vec<VerifyItem> {
        let mut rng = generator(Self::NAME, seed, iteration);
        let mut items = setup.valid.clone();
        items.shuffle(&mut rng);
        let spare = items.split_off(params.proofs.min(items.len()));
        if carries_invalid(seed, iteration) {
            let bad = rng.random_range(0..items.len());
            spoil(&mut items[bad], &spare[0], rng.random_range(0..5), rng.random());
        }
        items
    }

    fn check(setup: &VerifySetup, input: &Vec<VerifyItem>, output: &Self::Output) -> Result<(), Mismatch> {
        for item in 0..input.len().max(output.len()) {
            let want = input.get(item).map(|claim| expected(setup, claim));
            if output.get(item) != want.as_ref() {
                let show = |verdict| format!("{verdict:?}");
                return Err(Mismatch { item, got: show(output.get(item)), want: show(want.as_ref()) });
            }
        }
        Ok(())
    }

    fn work(params: &VerifyParams) -> Work {
        let proofs = params.proofs as u64;
        let bytes = wire::proof_bytes(params.scheme, params.discriminant_bits) as u64;
        Work { items: proofs, bytes: proofs.saturating_mul(bytes) }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        Ok(Box::new(backends::Host::open(id, options)?))
    }
}

fn expected(setup: &VerifySetup, claim: &VerifyItem) -> Result<(), Refusal> {
    let known = |seeds: &Vec<([u8; 32], Vec<u8>)>| seeds.iter().any(|(seed, _)| *seed == claim.seed);
    if setup.discriminants.as_ref().is_some_and(|seeds| !known(seeds)) {
        return Err(Refusal::UnknownSeed);
    }
    let discriminant = setup.scheme.discriminant(setup.discriminant_bits, &claim.seed)?;
    naive::verify(setup.scheme, &discriminant, claim.iterations, &claim.proof)
}

/// Makes a valid claim invalid, in one of five ways.
fn spoil(item: &mut VerifyItem, other: &VerifyItem, way: u32, position: u32) {
    let coefficient = item.proof.len() / 4;
    match way {
        // Another number of iterations.
        0 => item.iterations = item.iterations.wrapping_add(1).max(1),
        // A flipped bit of y, or of the proof.
        1 | 2 => {
            let form = if way == 1 { 0 } else { 2 * coefficient };
            let bit = position as usize % (16 * coefficient);
            item.proof[form + bit / 8] ^= 1 << (bit % 8);
        }
        // y's class, not reduced: b + 2a for b.
        3 => {
            for _ in 0..2 {
                let mut carry = 0;
                for index in (0..coefficient).rev() {
                    let sum = u16::from(item.proof[index]) + u16::from(item.proof[coefficient + index]) + carry;
                    item.proof[coefficient + index] = sum as u8;
                    carry = sum >> 8;
                }
            }
        }
        // The proof of another seed.
        _ => item.proof.clone_from(&other.proof),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_spoil_a_claim_is_refused_for_its_reason() {
        use super::super::FormDefect;
        let params = VerifyParams {
            scheme: Scheme::Bound264,
            discriminant_bits: 256,
            iterations: 300,
            proofs: 1,
            cached_discriminant: true,
        };
        let setup = Verify::setup(&params, 1);
        let [good, other] = &setup.valid[..] else { panic!("one proof and a spare") };
        assert_eq!(expected(&setup, good), Ok(()));
        for way in 0..5 {
            for position in [0, 7, 100, 1_000_003] {
                let mut bad = good.clone();
                spoil(&mut bad, other, way, position);
                let refusal = expected(&setup, &bad).unwrap_err();
                match way {
                    0 => assert_eq!(refusal, Refusal::WrongProof),
                    3 => assert!(matches!(refusal, Refusal::Form { defect: FormDefect::NotReduced, .. })),
                    4 => assert!(matches!(refusal, Refusal::Form { defect: FormDefect::OtherDiscriminant, .. })),
                    _ => assert!(matches!(refusal, Refusal::Form { .. } | Refusal::WrongProof)),
                }
            }
        }
        let stranger = VerifyItem { seed: [9; 32], ..good.clone() };
        assert_eq!(expected(&setup, &stranger), Err(Refusal::UnknownSeed));
    }
}
