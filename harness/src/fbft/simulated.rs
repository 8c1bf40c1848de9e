//! A keyed hash in place of BLS, for simulations only: fast, and as unforgeable to an actor that holds only its own signer.
//!
//! A slot's signature is a blake3 keyed hash of the message, 96 bytes long; an aggregate is the XOR of its slots' signatures,
//! as a BLS aggregate is their sum. Verifying needs every key, which no real network has: all signers of a simulated committee
//! share them in one place that only this file reads.

use std::ops::Range;
use std::sync::Arc;

use crate::fbft::crypto::{Claim, Crypto};
use crate::types::{PublicKeyBytes, Signature, Slot};

/// Signs for some slots of a simulated committee and verifies for all.
#[derive(Clone)]
pub struct HashCrypto {
    keys: Arc<Vec<[u8; 32]>>,
    own: Range<u16>,
}

impl HashCrypto {
    /// The signers of a committee whose validators hold these numbers of slots, and the stand-ins for their public keys, in
    /// the shape that `Committee::new` takes.
    ///
    /// # Panics
    ///
    /// Beyond 65,535 slots.
    pub fn committee(seed: u64, slots: &[u16]) -> (Vec<Self>, Vec<Vec<PublicKeyBytes>>) {
        let total: usize = slots.iter().map(|&count| usize::from(count)).sum();
        let total = u16::try_from(total).expect("a committee has at most 65535 slots");
        let secret = |slot: u16| {
            let mut hasher = blake3::Hasher::new_derive_key("shardmark simulated slot key v1");
            hasher.update(&seed.to_le_bytes());
            hasher.update(&slot.to_le_bytes());
            *hasher.finalize().as_bytes()
        };
        let keys: Arc<Vec<[u8; 32]>> = Arc::new((0..total).map(secret).collect());
        let mut next = 0;
        let owners: Vec<Range<u16>> = slots
            .iter()
            .map(|&count| {
                let own = next..next + count;
                next += count;
                own
            })
            .collect();
        let public = |slot: u16| {
            let mut key = [0; 48];
            blake3::Hasher::new_derive_key("shardmark simulated public key v1")
                .update(&keys[usize::from(slot)])
                .finalize_xof()
                .fill(&mut key);
            key
        };
        let publics = owners.iter().map(|own| own.clone().map(public).collect()).collect();
        (owners.into_iter().map(|own| Self { keys: keys.clone(), own }).collect(), publics)
    }

    fn mac(&self, slot: Slot, message: &[u8]) -> [u8; 96] {
        let mut mac = [0; 96];
        blake3::Hasher::new_keyed(&self.keys[usize::from(slot.0)]).update(message).finalize_xof().fill(&mut mac);
        mac
    }
}

fn xor(parts: impl Iterator<Item = [u8; 96]>) -> Signature {
    let mut sum = [0; 96];
    for part in parts {
        for (a, b) in sum.iter_mut().zip(part) {
            *a ^= b;
        }
    }
    Signature(sum)
}

impl Crypto for HashCrypto {
    /// # Panics
    ///
    /// If a slot is not this signer's: no simulated actor may hold another one's key.
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        assert!(slots.iter().all(|slot| self.own.contains(&slot.0)), "a signer signs with its own slots only");
        xor(slots.iter().map(|&slot| self.mac(slot, message)))
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        Some(xor(signatures.iter().map(|signature| signature.0)))
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        let valid = |claim: &Claim| {
            let slots = || claim.signers.iter();
            slots().next().is_some()
                && slots().all(|slot| usize::from(slot.0) < self.keys.len())
                && xor(slots().map(|slot| self.mac(slot, &claim.message))) == claim.signature
        };
        claims.iter().map(valid).collect()
    }
}

/// The planted fault `ViewUnsigned`: a scheme whose signatures do not cover the view.
#[cfg(test)]
pub(crate) struct ViewBlind(pub(crate) Arc<dyn Crypto>);

#[cfg(test)]
impl ViewBlind {
    fn blind(message: &[u8]) -> Vec<u8> {
        // Where `payload` puts the view: after tag, chain, shard, kind and height.
        let mut message = message.to_vec();
        message[41..49].fill(0);
        message
    }
}

#[cfg(test)]
impl Crypto for ViewBlind {
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        self.0.sign(slots, &Self::blind(message))
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        self.0.aggregate(signatures)
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        let blind = |claim: &Claim| Claim { message: Self::blind(&claim.message), ..claim.clone() };
        self.0.verify(&claims.iter().map(blind).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fbft::bitmap::SignerBitmap;
    use crate::fbft::crypto::{Kind, payload};
    use crate::types::{BlockNum, ChainId, Hash, ShardId, ViewId};

    #[test]
    fn an_aggregate_verifies_for_exactly_its_slots_and_message() {
        let (signers, publics) = HashCrypto::committee(1, &[1, 3]);
        assert_eq!(publics.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
        let (a, b) = (signers[0].sign(&[Slot(0)], b"m"), signers[1].sign(&[Slot(1), Slot(3)], b"m"));
        let signature = signers[0].aggregate(&[a, b]).unwrap();
        let claim = |slots: &[u16], message: &[u8]| Claim {
            signers: SignerBitmap::of(4, slots.iter().map(|&slot| Slot(slot))),
            message: message.to_vec(),
            signature,
        };
        let claims =
            [claim(&[0, 1, 3], b"m"), claim(&[0, 1], b"m"), claim(&[0, 1, 2, 3], b"m"), claim(&[0, 1, 3], b"n")];
        assert_eq!(signers[0].verify(&claims), [true, false, false, false]);
    }

    #[test]
    #[should_panic(expected = "own slots only")]
    fn a_signer_cannot_sign_for_others() {
        HashCrypto::committee(1, &[1, 1]).0[0].sign(&[Slot(1)], b"m");
    }

    #[test]
    fn the_view_blind_scheme_forgets_the_view_and_nothing_else() {
        let (signers, _) = HashCrypto::committee(1, &[1]);
        let crypto = ViewBlind(Arc::new(signers[0].clone()));
        let at =
            |num, view| payload(ChainId(1), ShardId(2), Kind::Prepare, BlockNum(num), ViewId(view), &Hash([7; 32]));
        assert_eq!(crypto.sign(&[Slot(0)], &at(3, 0)), crypto.sign(&[Slot(0)], &at(3, u64::MAX)));
        assert_ne!(crypto.sign(&[Slot(0)], &at(3, 0)), crypto.sign(&[Slot(0)], &at(4, 0)));
    }
}
