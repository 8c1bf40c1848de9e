//! The protocol's signatures on the BLS kernels: what real runs use. `simulated.rs` holds what simulations may use instead.
//!
//! A committee's keys are decoded once and stay resident in the backend; every slice of messages is one call of
//! `bls/verify-batch`, every certificate one of `bls/aggregate-signatures`. Signing is one key at a time on the CPU.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shardmark_kernels::backend::{BackendId, Control, Description, Error, Kernel, Options, Prepared, Unavailable};
use shardmark_kernels::bls::verify_batch::{Input, Setup};
use shardmark_kernels::bls::{AggregateSignatures, SecretKey, SignatureSet, Signers, VerifyBatch, keys};

use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto};
use crate::types::{Signature, Slot, ValidatorIndex};

/// Why a committee can not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The backend is not to be had here.
    #[error("{kernel} on {backend}: {reason}")]
    Unavailable {
        /// Which kernel.
        kernel: &'static str,
        /// On which backend.
        backend: BackendId,
        /// Why.
        reason: Unavailable,
    },
    /// A key of the committee is none.
    #[error("committee keys: {0}")]
    Keys(Error),
    /// The secret keys are not those of this validator's slots.
    #[error("validator {0} does not hold the secret keys of its slots")]
    NotOwner(ValidatorIndex),
}

/// A committee's keys, resident in a backend. Shared by all validators of one process.
pub struct BlsCommittee {
    slots: u16,
    verifier: Box<dyn Prepared<VerifyBatch>>,
    aggregator: Box<dyn Prepared<AggregateSignatures>>,
    descriptions: [Description; 2],
    failure: Mutex<Option<Error>>,
}

impl BlsCommittee {
    /// Opens both kernels and decodes the keys.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unavailable`], [`OpenError::Keys`].
    pub fn open(
        committee: &Committee,
        verify: BackendId,
        aggregate: BackendId,
        options: &Options,
    ) -> Result<Arc<Self>, OpenError> {
        let unavailable = |kernel, backend| move |reason| OpenError::Unavailable { kernel, backend, reason };
        let verifier = VerifyBatch::open(verify, options).map_err(unavailable(VerifyBatch::NAME, verify))?;
        let aggregator =
            AggregateSignatures::open(aggregate, options).map_err(unavailable(AggregateSignatures::NAME, aggregate))?;
        let descriptions = [verifier.description(), aggregator.description()];
        let setup = Setup { keys: committee.keys().to_vec() };
        Ok(Arc::new(Self {
            slots: committee.slots(),
            verifier: verifier.prepare(&setup).map_err(OpenError::Keys)?,
            aggregator: aggregator.prepare(&()).map_err(OpenError::Keys)?,
            descriptions,
            failure: Mutex::new(None),
        }))
    }

    /// What verifies, and what aggregates.
    pub fn descriptions(&self) -> &[Description; 2] {
        &self.descriptions
    }

    /// The first error of a backend, if there was one: every verdict since may be a refusal without reason, so the run is over.
    pub fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        let mut input = Input { messages: Vec::new(), sets: Vec::with_capacity(claims.len()) };
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        for claim in claims {
            let message = *known.entry(&claim.message).or_insert_with(|| {
                input.messages.push(claim.message.clone());
                (input.messages.len() - 1) as u32
            });
            let mut slots = claim.signers.iter();
            let signers = match (slots.next(), slots.next()) {
                (Some(slot), None) => Signers::One(u32::from(slot.0)),
                _ => Signers::Bitmap(claim.signers.as_bytes().to_vec()),
            };
            input.sets.push(SignatureSet { signers, message, signature: claim.signature.0 });
        }
        match self.verifier.compute(&input, &Control::default()) {
            Ok(verdicts) => verdicts.iter().map(Result::is_ok).collect(),
            Err(error) => {
                self.fail(error);
                vec![false; claims.len()]
            }
        }
    }
}

/// Signs for one validator and verifies for all, over IETF min-pk BLS.
pub struct BlsCrypto {
    committee: Arc<BlsCommittee>,
    /// The first own slot; the keys are those of the slots from there on.
    first: u16,
    keys: Vec<SecretKey>,
}

impl BlsCrypto {
    /// The signer of validator `me`; `keys` are those of its slots, in order.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotOwner`] unless the public keys agree.
    pub fn new(
        opened: Arc<BlsCommittee>,
        committee: &Committee,
        me: ValidatorIndex,
        keys: Vec<SecretKey>,
    ) -> Result<Self, OpenError> {
        let own = committee.slots_of(me);
        let public = &committee.keys()[usize::from(own.start)..usize::from(own.end)];
        let owns = opened.slots == committee.slots()
            && !public.is_empty()
            && keys.len() == public.len()
            && keys.iter().zip(public).all(|(key, public)| key.public_key() == *public);
        if owns { Ok(Self { committee: opened, first: own.start, keys }) } else { Err(OpenError::NotOwner(me)) }
    }

    /// The secret key of the first own slot: the one that signs proposals and the randomness beacon.
    pub fn first_key(&self) -> &SecretKey {
        &self.keys[0]
    }

    fn own(&self, slots: &[Slot]) -> Vec<&SecretKey> {
        let key = |slot: &Slot| self.keys.get(usize::from(slot.0.checked_sub(self.first)?));
        slots.iter().map(|slot| key(slot).expect("a validator signs with its own slots only")).collect()
    }
}

impl Crypto for BlsCrypto {
    /// # Panics
    ///
    /// If `slots` is empty or holds a slot that is not this validator's.
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        assert!(!slots.is_empty(), "a signature has a signer");
        Signature(keys::sign_sum(&self.own(slots), message))
    }

    /// # Panics
    ///
    /// If `slots` holds a slot that is not this validator's.
    fn sign_each(&self, slots: &[Slot], message: &[u8]) -> Vec<Signature> {
        keys::sign_each(&self.own(slots), message).into_iter().map(Signature).collect()
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        let input = vec![signatures.iter().map(|signature| signature.0).collect()];
        match self.committee.aggregator.compute(&input, &Control::default()) {
            Ok(sums) => sums.into_iter().next()?.ok().map(Signature),
            Err(error) => {
                self.committee.fail(error);
                None
            }
        }
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        if claims.is_empty() { Vec::new() } else { self.committee.verify(claims) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::fbft::bitmap::SignerBitmap;
    use crate::types::{ChainId, ShardId};

    fn secrets(slots: &[u16]) -> Vec<Vec<SecretKey>> {
        let mut seed = [3u8; 32];
        let mut next = || {
            seed = *blake3::hash(&seed).as_bytes();
            SecretKey::from_ikm(&seed)
        };
        slots.iter().map(|&count| (0..count).map(|_| next()).collect()).collect()
    }

    /// A committee whose validators hold these numbers of slots, and everybody's signer.
    pub(crate) fn committee(slots: &[u16]) -> (Committee, Vec<Arc<dyn Crypto>>) {
        let secrets = secrets(slots);
        let public = secrets.iter().map(|own| own.iter().map(SecretKey::public_key).collect()).collect();
        let committee = Committee::new(ChainId(7), ShardId(0), public).unwrap();
        let opened = BlsCommittee::open(&committee, BackendId::Cpu, BackendId::Cpu, &Options::default()).unwrap();
        let signer = |(me, keys)| -> Arc<dyn Crypto> {
            Arc::new(BlsCrypto::new(opened.clone(), &committee, ValidatorIndex(me as u16), keys).unwrap())
        };
        let signers = secrets.into_iter().enumerate().map(signer).collect();
        (committee, signers)
    }

    #[test]
    fn an_aggregate_verifies_for_exactly_its_slots_and_message_and_taints_no_neighbour() {
        let (_, signers) = committee(&[1, 3]);
        let (a, b) = (signers[0].sign(&[Slot(0)], b"m"), signers[1].sign(&[Slot(1), Slot(3)], b"m"));
        let signature = signers[0].aggregate(&[a, b]).unwrap();
        let claim = |slots: &[u16], message: &[u8], signature| Claim {
            signers: SignerBitmap::of(4, slots.iter().map(|&slot| Slot(slot))),
            message: message.to_vec(),
            signature,
        };
        let claims = [
            claim(&[0, 1, 3], b"m", signature),
            claim(&[0, 1], b"m", signature),
            claim(&[0, 1, 3], b"n", signature),
            claim(&[], b"m", signature),
            claim(&[0], b"m", a),
            claim(&[1], b"m", a),
            claim(&[0], b"m", Signature([0xff; 96])),
            claim(&[1, 3], b"m", b),
        ];
        assert_eq!(signers[0].verify(&claims), [true, false, false, false, true, false, false, true]);
        assert!(signers[0].verify(&[]).is_empty());
        assert_eq!(signers[0].aggregate(&[a, Signature([0xff; 96])]), None);
    }

    #[test]
    fn keys_of_other_slots_are_refused() {
        let slots = [1, 2];
        let public = secrets(&slots).iter().map(|own| own.iter().map(SecretKey::public_key).collect()).collect();
        let committee = Committee::new(ChainId(7), ShardId(0), public).unwrap();
        let opened = BlsCommittee::open(&committee, BackendId::Cpu, BackendId::Cpu, &Options::default()).unwrap();
        let of = |me, keys| BlsCrypto::new(opened.clone(), &committee, ValidatorIndex(me), keys).err();
        let mut keys = secrets(&slots);
        let (second, first) = (keys.pop().unwrap(), keys.pop().unwrap());
        assert_eq!(of(1, first), Some(OpenError::NotOwner(ValidatorIndex(1))));
        assert_eq!(of(0, second), Some(OpenError::NotOwner(ValidatorIndex(0))));
        assert_eq!(of(9, vec![]), Some(OpenError::NotOwner(ValidatorIndex(9))));
        assert_eq!(of(1, secrets(&slots).pop().unwrap()), None);
    }

    #[test]
    fn an_absent_backend_and_a_bad_key_say_so() {
        let (committee, _) = committee(&[1]);
        let open = |committee: &Committee, backend| {
            BlsCommittee::open(committee, backend, BackendId::Cpu, &Options::default())
                .err()
                .map(|error| error.to_string())
        };
        let absent = open(&committee, BackendId::Wgpu).unwrap();
        assert!(absent.starts_with("bls/verify-batch on wgpu: "), "{absent}");
        let bad = Committee::new(ChainId(7), ShardId(0), vec![vec![[0xff; 48]]]).unwrap();
        assert!(open(&bad, BackendId::Cpu).unwrap().starts_with("committee keys: "));
    }
}
