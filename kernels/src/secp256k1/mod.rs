//! The kernel `secp256k1/recover`: Ethereum senders from signatures, a batch at a time.
//!
//! This file holds the encodings, the rules and the oracle; [`cpu`] computes, [`key`] signs for load generators and
//! tests. Rules and sources: `README.md` beside this file.

pub mod cpu;
pub mod key;

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::elliptic_curve::point::AffineCoordinates;
use k256::elliptic_curve::scalar::IsHigh;
use k256::{FieldBytes, ProjectivePoint, Scalar};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use sha3::{Digest, Keccak256};

pub use key::{InvalidKey, SecretKey, address, sign_recoverable};

use crate::backend::{
    Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, carries_invalid, generator,
};

/// Most signatures of one batch.
pub const MAX_BATCH: u32 = 1 << 20;

/// The last 20 bytes of Keccak-256 over the 64 bytes x || y of a public key.
pub type Address = [u8; 20];

/// A signature over a digest, as bytes from anywhere. Numbers are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignedDigest {
    /// What was signed: for a transaction, Keccak-256 of its signing payload.
    pub digest: [u8; 32],
    /// x of the nonce point.
    pub r: [u8; 32],
    /// The other half.
    pub s: [u8; 32],
    /// Whether y of the nonce point is odd: 0 or 1.
    pub y_parity: u8,
}

/// Why a signature has no sender. The first that applies, in this order, on every backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// `y_parity` is above 1. (Points whose x exceeds the group order cannot be written; Ethereum has none either.)
    #[error("y parity is above 1")]
    Parity,
    /// `r` is 0 or at least the group order.
    #[error("r is 0 or at least the group order")]
    R,
    /// `s` is 0 or at least the group order.
    #[error("s is 0 or at least the group order")]
    S,
    /// `s` is above half the group order (EIP-2).
    #[error("s is above half the group order")]
    HighS,
    /// No point of the curve has x = `r`.
    #[error("r is not on the curve")]
    NotOnCurve,
    /// The recovered key is the point at infinity.
    #[error("the key is the point at infinity")]
    Infinity,
}

/// `secp256k1/recover`. Output: for each signature its sender's address or the reason why there is none.
///
/// Everything happens in `execute`, parsing included; `load` and the setup hold nothing.
#[derive(Debug)]
pub struct Recover;

/// The shape of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverParams {
    /// Signatures in one input.
    pub batch: u32,
}

impl Kernel for Recover {
    const NAME: &'static str = "secp256k1/recover";
    const VERDICT: bool = true;
    type Params = RecoverParams;
    type Setup = ();
    type Input = Vec<SignedDigest>;
    type Output = Vec<Result<Address, Refusal>>;

    fn validate(params: &Self::Params) -> Result<(), Error> {
        if !(1..=MAX_BATCH).contains(&params.batch) {
            return Err(Error::InvalidInput(format!("batch must be 1 to {MAX_BATCH}, not {}", params.batch)));
        }
        Ok(())
    }

    fn setup(_params: &Self::Params, _seed: u64) {}

    /// Every signature has its own key. An invalid item, where [`carries_invalid`] plants one, has one of the kinds of
    /// [`Refusal`], chosen with its place by the generator.
    fn generate(params: &Self::Params, _setup: &(), seed: u64, iteration: u64) -> Vec<SignedDigest> {
        let mut rng = generator(Self::NAME, seed, iteration);
        let mut batch: Vec<SignedDigest> = (0..params.batch)
            .map(|_| {
                let key = SecretKey::generate(&mut rng);
                sign_recoverable(&key, &random_digest(&mut rng))
            })
            .collect();
        if carries_invalid(seed, iteration) {
            let at = rng.random_range(0..batch.len());
            let kind = REFUSALS[rng.random_range(0..REFUSALS.len())];
            spoil(&mut batch[at], kind, &mut rng);
        }
        batch
    }

    fn check(_setup: &(), input: &Vec<SignedDigest>, output: &Self::Output) -> Result<(), Mismatch> {
        if input.len() != output.len() {
            let (got, want) = (format!("{} verdicts", output.len()), input.len().to_string());
            return Err(Mismatch { item: output.len().min(input.len()), got, want });
        }
        for (item, (signed, got)) in input.iter().zip(output).enumerate() {
            let want = oracle(signed);
            if *got != want {
                return Err(Mismatch { item, got: format!("{got:02x?}"), want: format!("{want:02x?}") });
            }
        }
        Ok(())
    }

    fn work(params: &Self::Params) -> Work {
        // Digest, r, s and parity of each signature.
        Work { items: params.batch.into(), bytes: u64::from(params.batch) * 97 }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu => Ok(Box::new(cpu::Cpu::open(options)?)),
            BackendId::Simd | BackendId::Cuda | BackendId::Wgpu => Err(Unavailable::NotImplemented),
        }
    }
}

const REFUSALS: [Refusal; 6] =
    [Refusal::Parity, Refusal::R, Refusal::S, Refusal::HighS, Refusal::NotOnCurve, Refusal::Infinity];

/// The group order, big-endian.
pub(crate) const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

fn random_digest(rng: &mut impl Rng) -> [u8; 32] {
    let mut digest = [0; 32];
    rng.fill_bytes(&mut digest);
    digest
}

/// The last 20 bytes of Keccak-256 over x || y.
fn address_of(x: &[u8], y: &[u8]) -> Address {
    let hash = Keccak256::new().chain_update(x).chain_update(y).finalize();
    let mut address = Address::default();
    address.copy_from_slice(&hash[12..]);
    address
}

/// Turns a valid item into one that is refused for exactly this reason.
fn spoil(item: &mut SignedDigest, kind: Refusal, rng: &mut impl Rng) {
    let scalar = |bytes: [u8; 32]| Option::<Scalar>::from(Scalar::from_repr(bytes.into())).unwrap_or(Scalar::ONE);
    match kind {
        Refusal::Parity => item.y_parity += 2,
        Refusal::R => item.r = if rng.random() { [0; 32] } else { ORDER },
        Refusal::S => item.s = if rng.random() { [0; 32] } else { ORDER },
        // (r, -s) with the other parity is the same key's second, malleable signature.
        Refusal::HighS => {
            item.s = (-scalar(item.s)).to_bytes().into();
            item.y_parity ^= 1;
        }
        // About half of all x have no point.
        Refusal::NotOnCurve => {
            while oracle(item) != Err(Refusal::NotOnCurve) {
                item.r = random_digest(rng);
            }
        }
        // s R = z G gives the key (s R - z G) / r = 0: choose R = k G and s = z / k.
        Refusal::Infinity => {
            let (z, k) = (Scalar::reduce(&FieldBytes::from(item.digest)), scalar(item.s));
            let nonce = (ProjectivePoint::GENERATOR * k).to_affine();
            let s = z * Option::<Scalar>::from(k.invert()).unwrap_or(Scalar::ONE);
            let high = bool::from(s.is_high());
            item.r = nonce.x().into();
            item.s = if high { -s } else { s }.to_bytes().into();
            item.y_parity = u8::from(bool::from(nonce.y_is_odd()) ^ high);
        }
    }
}

/// k256's own signature type and recovery, one at a time; range checks by comparing bytes. The tests hold both against
/// libsecp256k1.
fn oracle(item: &SignedDigest) -> Result<Address, Refusal> {
    if item.y_parity > 1 {
        return Err(Refusal::Parity);
    }
    // Big-endian numbers compare as bytes do.
    if item.r == [0; 32] || item.r >= ORDER {
        return Err(Refusal::R);
    }
    if item.s == [0; 32] || item.s >= ORDER {
        return Err(Refusal::S);
    }
    let signature = Signature::from_scalars(item.r, item.s).map_err(|_| Refusal::S)?;
    if signature.normalize_s() != signature {
        return Err(Refusal::HighS);
    }
    let mut compressed = [2 + item.y_parity; 33];
    compressed[1..].copy_from_slice(&item.r);
    VerifyingKey::from_sec1_bytes(&compressed).map_err(|_| Refusal::NotOnCurve)?;
    let id = RecoveryId::new(item.y_parity == 1, false);
    let key = VerifyingKey::recover_from_prehash(&item.digest, &signature, id).map_err(|_| Refusal::Infinity)?;
    let point = key.to_sec1_point(false);
    Ok(address_of(&point.as_bytes()[1..33], &point.as_bytes()[33..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_planted_fault_is_refused_for_its_own_reason() {
        let mut rng = generator("planted faults", 1, 0);
        for kind in REFUSALS {
            for _ in 0..8 {
                let key = SecretKey::generate(&mut rng);
                let mut item = sign_recoverable(&key, &random_digest(&mut rng));
                assert_eq!(oracle(&item), Ok(address(&key)));
                spoil(&mut item, kind, &mut rng);
                assert_eq!(oracle(&item), Err(kind));
                assert_eq!(cpu::recover(&item), Err(kind));
            }
        }
    }

    #[test]
    fn iterations_that_carry_an_invalid_item_have_exactly_one() {
        for iteration in 0..64 {
            let input = Recover::generate(&RecoverParams { batch: 5 }, &(), 7, iteration);
            let refused = input.iter().filter(|item| oracle(item).is_err()).count();
            assert_eq!(refused, usize::from(carries_invalid(7, iteration)));
        }
    }

    #[test]
    fn a_backend_that_says_yes_or_forgets_an_item_is_caught() {
        let input = Recover::generate(&RecoverParams { batch: 3 }, &(), 7, 0);
        let mut output: Vec<_> = input.iter().map(oracle).collect();
        assert_eq!(Recover::check(&(), &input, &output), Ok(()));
        output[2] = Ok([1; 20]);
        assert_eq!(Recover::check(&(), &input, &output).unwrap_err().item, 2);
        output.truncate(2);
        assert!(Recover::check(&(), &input, &output).is_err());
    }

    #[test]
    fn empty_and_oversized_batches_are_refused() {
        assert!(Recover::validate(&RecoverParams { batch: 0 }).is_err());
        assert!(Recover::validate(&RecoverParams { batch: MAX_BATCH + 1 }).is_err());
        assert!(Recover::validate(&RecoverParams { batch: MAX_BATCH }).is_ok());
    }
}
