//! Kernel `bls/verify-batch`: a verdict for each (signers, message, signature) set.
//!
//! The batch is checked as one equation with secret random weights, and searched by halves when that fails, so that each
//! bad set is found and no good one is blamed (`README.md`, Soundness). Keys are resident: a set names its signers by
//! slot, or by bitmap as a quorum certificate does.

use std::collections::HashMap;

use blst::BLST_ERROR;
use blst::blst_scalar;
use blst::min_pk::{PublicKey, Signature};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::aggregate_keys::{compare, decode_keys, sum_marked};
use super::keys::SecretKey;
use super::material::{self, Fault, check_count, check_range, scalar};
use super::points::{add_scalars, affine_g2, encode_g2, hash_to_g2, sign_hash};
use super::signers::{bitmap_bytes, bitmap_of, is_marked};
use super::{PUBLIC_KEY_BYTES, Refusal, SCHEME, SIGNATURE_BYTES, Signers, cpu, simd};
use crate::backend::{
    Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, carries_invalid, generator,
};

/// Bytes of a generated message: a block hash.
const MESSAGE_BYTES: usize = 32;

/// The kernel.
#[derive(Debug)]
pub enum VerifyBatch {}

/// The shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Sets in one input.
    pub sets: u32,
    /// Distinct messages, dealt to the sets in turn; at most `sets`.
    pub distinct_messages: u32,
    /// Invalid sets in every input. With 0, [`carries_invalid`] plants one in about a tenth of the inputs.
    #[serde(default)]
    pub invalid: u32,
    /// Keys in the committee.
    pub committee: u32,
    /// Who signs each set.
    #[serde(default)]
    pub signers: SignerShape,
    /// With [`SignerShape::Bitmap`], percent of the committee that did not sign, rounded down.
    #[serde(default)]
    pub absent_percent: u32,
}

/// Who signs each generated set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerShape {
    /// One key: votes.
    #[default]
    One,
    /// All but `absent_percent` of the committee: quorum certificates.
    Bitmap,
}

/// The committee, resident across calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Compressed keys by slot: on the curve, in the subgroup, not infinity. Their owners must have proven possession.
    pub keys: Vec<[u8; PUBLIC_KEY_BYTES]>,
}

/// One batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The messages that sets refer to; each distinct one is hashed once.
    pub messages: Vec<Vec<u8>>,
    /// The sets.
    pub sets: Vec<SignatureSet>,
}

/// One claim: these signers signed this message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureSet {
    /// The signers.
    pub signers: Signers,
    /// Index into [`Input::messages`]. One out of range makes the input as a whole invalid: the caller wrote it.
    pub message: u32,
    /// The compressed signature, or the sum of the signers' signatures.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// A verdict for each set.
pub type Output = Vec<Result<(), Refusal>>;

impl Kernel for VerifyBatch {
    const NAME: &'static str = "bls/verify-batch";
    const VERDICT: bool = true;
    type Params = Params;
    type Setup = Setup;
    type Input = Input;
    type Output = Output;

    fn validate(params: &Params) -> Result<(), Error> {
        check_count("sets", params.sets)?;
        check_count("committee", params.committee)?;
        check_range("distinct_messages", params.distinct_messages, 1, params.sets)?;
        check_range("invalid", params.invalid, 0, params.sets)?;
        check_range("absent_percent", params.absent_percent, 0, 100)?;
        if params.signers == SignerShape::One && params.absent_percent != 0 {
            return Err(Error::InvalidInput("absent_percent needs signers = \"bitmap\"".to_owned()));
        }
        Ok(())
    }

    fn setup(params: &Params, seed: u64) -> Setup {
        Setup { keys: material::committee(Self::NAME, params.committee, seed) }
    }

    fn generate(params: &Params, _setup: &Setup, seed: u64, iteration: u64) -> Input {
        let mut rng = generator(Self::NAME, seed, iteration);
        let secrets = material::secrets(Self::NAME, params.committee, seed);
        let messages: Vec<_> =
            (0..params.distinct_messages).map(|_| material::bytes::<MESSAGE_BYTES>(&mut rng).to_vec()).collect();
        let invalid = if params.invalid == 0 { u32::from(carries_invalid(seed, iteration)) } else { params.invalid };
        let invalid = material::choose(&mut rng, invalid, params.sets);
        let offset = material::below(&mut rng, params.committee);

        let drafts: Vec<Draft> = (0..params.sets)
            .map(|set| {
                let signers = match params.signers {
                    SignerShape::One => {
                        Signers::One(((u64::from(set) + u64::from(offset)) % u64::from(params.committee)) as u32)
                    }
                    SignerShape::Bitmap => {
                        let absent = (u64::from(params.committee) * u64::from(params.absent_percent) / 100) as u32;
                        let absent = material::choose(&mut rng, absent, params.committee);
                        let marked = |slot: usize| absent.binary_search(&(slot as u32)).is_err();
                        Signers::Bitmap(bitmap_of(params.committee as usize, marked))
                    }
                };
                let fault = invalid.binary_search(&set).ok().map(|_| Fault::pick(&mut rng, &Fault::ALL));
                let stranger = material::secret(&mut rng);
                Draft { signers, message: set % params.distinct_messages, fault, stranger }
            })
            .collect();

        let hashes: Vec<_> = messages.par_iter().map(|message| hash_to_g2(message)).collect();
        let points: Vec<_> = drafts
            .par_iter()
            .map(|draft| {
                let hash = match draft.fault {
                    Some(Fault::SwappedMessage) if hashes.len() == 1 => hash_to_g2(b"a message of no set"),
                    Some(Fault::SwappedMessage) => hashes[(draft.message as usize + 1) % hashes.len()],
                    _ => hashes[draft.message as usize],
                };
                match draft.fault {
                    Some(Fault::WrongKey) => sign_hash(&hash, scalar(&draft.stranger)),
                    _ => sign_hash(&hash, &signing_scalar(&secrets, &draft.signers)),
                }
            })
            .collect();

        let signatures = affine_g2(&points);
        let sets = drafts.into_iter().zip(&signatures).map(|(draft, point)| {
            let mut signature = encode_g2(point);
            if let Some(fault) = draft.fault {
                fault.spoil(&mut rng, &mut signature);
            }
            SignatureSet { signers: draft.signers, message: draft.message, signature }
        });
        Input { sets: sets.collect(), messages }
    }

    /// Verifies one set after the other through blst's own `verify`: no weights, no grouping, no shared hash.
    fn check(setup: &Setup, input: &Input, output: &Output) -> Result<(), Mismatch> {
        let keys = decode_keys(&setup.keys)?;
        let want: Output = input.sets.par_iter().map(|set| verify_one(&keys, &input.messages, set)).collect();
        compare(output, &want)
    }

    fn work(params: &Params) -> Work {
        let signers = match params.signers {
            SignerShape::One => 4,
            SignerShape::Bitmap => bitmap_bytes(params.committee as usize) as u64,
        };
        let sets = u64::from(params.sets);
        let messages = u64::from(params.distinct_messages) * MESSAGE_BYTES as u64;
        Work { items: sets, bytes: messages + sets * (SIGNATURE_BYTES as u64 + signers) }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu => Ok(Box::new(cpu::Cpu::open(options)?)),
            BackendId::Simd => simd::open(options),
            BackendId::Cuda | BackendId::Wgpu => Err(Unavailable::NotImplemented),
        }
    }
}

impl Input {
    /// The distinct messages by first appearance, and for each message of the input its place among those.
    pub(super) fn distinct_messages(&self) -> (Vec<&[u8]>, Vec<usize>) {
        let mut distinct: Vec<&[u8]> = Vec::new();
        let mut index = HashMap::new();
        let place = |message| {
            *index.entry(message).or_insert_with(|| {
                distinct.push(message);
                distinct.len() - 1
            })
        };
        let by_reference = self.messages.iter().map(Vec::as_slice).map(place).collect();
        (distinct, by_reference)
    }
}

/// The place of the message that a set names.
///
/// # Errors
///
/// [`Error::InvalidInput`] if there is no such message.
pub(super) fn resolve(by_reference: &[usize], set: usize, message: u32) -> Result<usize, Error> {
    by_reference
        .get(message as usize)
        .copied()
        .ok_or_else(|| Error::InvalidInput(format!("set {set} names message {message} of {}", by_reference.len())))
}

/// What is drawn for one set before anything is signed.
struct Draft {
    signers: Signers,
    message: u32,
    fault: Option<Fault>,
    stranger: SecretKey,
}

/// The sum of the signers' secrets signs what the sum of their signatures would be.
fn signing_scalar(secrets: &[SecretKey], signers: &Signers) -> blst_scalar {
    match signers {
        Signers::One(slot) => scalar(&secrets[*slot as usize]).clone(),
        Signers::Bitmap(bitmap) => (0..secrets.len())
            .filter(|&slot| is_marked(bitmap, slot))
            .fold(blst_scalar::default(), |sum, slot| add_scalars(&sum, scalar(&secrets[slot]))),
    }
}

fn verify_one(keys: &[PublicKey], messages: &[Vec<u8>], set: &SignatureSet) -> Result<(), Refusal> {
    set.signers.check(keys.len())?;
    let key = match &set.signers {
        Signers::One(slot) => keys[*slot as usize],
        Signers::Bitmap(bitmap) => sum_marked(keys, bitmap).to_public_key(),
    };
    let signature = Signature::uncompress(&set.signature).map_err(|_| Refusal::BadEncoding)?;
    if !signature.subgroup_check() {
        return Err(Refusal::NotInSubgroup);
    }
    let message = messages.get(set.message as usize).ok_or(Refusal::Invalid)?;
    match signature.verify(false, message, SCHEME.as_bytes(), &[], &key, false) {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        _ => Err(Refusal::Invalid),
    }
}
