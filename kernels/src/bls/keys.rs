//! One key at a time: generation, signing, proofs of possession, one-by-one verification and aggregation.
//!
//! The batched kernels do the same group operations many at once; this module is what validators call for their own
//! votes and for the beacon, whose verifiable random function is the (unique) signature. Secret-key operations are
//! constant time in blst and secrets are wiped when dropped. Source: draft-irtf-cfrg-bls-signature-05, sections 2 and 3.3.

use std::fmt;

use blst::{BLST_ERROR, blst_scalar, min_pk};

use super::material::scalar;
use super::points::{
    add_scalars, affine_g2, decode_g1, decode_g2, encode_g2, hash_to_g2, in_g1, in_g2, is_infinite_g1, sign_hash,
    sum_g2,
};
use super::{POSSESSION_SCHEME, PUBLIC_KEY_BYTES, Refusal, SCHEME, SIGNATURE_BYTES};

/// A secret scalar, never zero. Wiped when dropped, never printed.
pub struct SecretKey(pub(super) min_pk::SecretKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

impl SecretKey {
    /// `KeyGen` of the draft (section 2.3): HKDF over 32 bytes of secret entropy, without key info.
    pub fn from_ikm(ikm: &[u8; 32]) -> Self {
        // blst refuses only key material below 32 bytes.
        Self(min_pk::SecretKey::key_gen(ikm, &[]).expect("32 bytes suffice"))
    }

    /// Reads a big-endian scalar.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadEncoding`] for zero and for values not below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Refusal> {
        min_pk::SecretKey::from_bytes(bytes).map(Self).map_err(|_| Refusal::BadEncoding)
    }

    /// The compressed public key.
    pub fn public_key(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.sk_to_pk().compress()
    }

    /// The compressed signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message, SCHEME.as_bytes(), &[]).compress()
    }

    /// Signs its own public key in the domain of possession proofs: aggregation is safe only over proven keys.
    pub fn prove_possession(&self) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&self.public_key(), POSSESSION_SCHEME.as_bytes(), &[]).compress()
    }
}

/// The signature of each key over one message, which is hashed once: what a validator with many keys casts as votes.
pub fn sign_each(keys: &[&SecretKey], message: &[u8]) -> Vec<[u8; SIGNATURE_BYTES]> {
    let hash = hash_to_g2(message);
    let points: Vec<_> = keys.iter().map(|key| sign_hash(&hash, scalar(key))).collect();
    affine_g2(&points).iter().map(encode_g2).collect()
}

/// The sum of the keys' signatures over one message, by one multiplication with the sum of the keys: the same bytes as
/// [`aggregate`] of [`sign_each`]. The encoding of infinity for no key.
pub fn sign_sum(keys: &[&SecretKey], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let sum = keys.iter().fold(blst_scalar::default(), |sum, key| add_scalars(&sum, scalar(key)));
    encode_g2(&affine_g2(&[sign_hash(&hash_to_g2(message), &sum)])[0])
}

/// Checks a proof of possession, the key's own validity included.
///
/// # Errors
///
/// The [`Refusal`] of the key or of the proof.
pub fn verify_possession(public_key: &[u8; PUBLIC_KEY_BYTES], proof: &[u8; SIGNATURE_BYTES]) -> Result<(), Refusal> {
    verify_in(POSSESSION_SCHEME, public_key, public_key, proof)
}

/// Verifies one signature, the key's own validity included. Costs one pairing check; batches belong in
/// [`super::VerifyBatch`].
///
/// # Errors
///
/// The [`Refusal`] of the key or of the signature.
pub fn verify(
    public_key: &[u8; PUBLIC_KEY_BYTES],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), Refusal> {
    verify_in(SCHEME, public_key, message, signature)
}

fn verify_in(
    scheme: &str,
    public_key: &[u8; PUBLIC_KEY_BYTES],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), Refusal> {
    let (key, signature) = (decode_g1(public_key)?, decode_g2(signature)?);
    if !in_g1(&key) || !in_g2(&signature) {
        return Err(Refusal::NotInSubgroup);
    }
    if is_infinite_g1(&key) {
        return Err(Refusal::Invalid);
    }
    let (key, signature) = (min_pk::PublicKey::from(key), min_pk::Signature::from(signature));
    match signature.verify(false, message, scheme.as_bytes(), &[], &key, false) {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        _ => Err(Refusal::Invalid),
    }
}

/// Adds signatures, each checked for encoding and subgroup. Signatures at infinity are neutral.
///
/// # Errors
///
/// [`Refusal::Empty`], or the reason of the first bad signature.
pub fn aggregate(signatures: &[[u8; SIGNATURE_BYTES]]) -> Result<[u8; SIGNATURE_BYTES], Refusal> {
    if signatures.is_empty() {
        return Err(Refusal::Empty);
    }
    let checked = |bytes| decode_g2(bytes).and_then(|p| if in_g2(&p) { Ok(p) } else { Err(Refusal::NotInSubgroup) });
    let points = signatures.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
    Ok(encode_g2(&affine_g2(&[sum_g2(&points)])[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_together_gives_the_bytes_of_signing_alone() {
        let keys: Vec<_> = (0..5).map(|i| SecretKey::from_ikm(&[i; 32])).collect();
        let keys: Vec<_> = keys.iter().collect();
        for count in 0..=keys.len() {
            let alone: Vec<_> = keys[..count].iter().map(|key| key.sign(b"vote")).collect();
            assert_eq!(sign_each(&keys[..count], b"vote"), alone);
            match aggregate(&alone) {
                Ok(sum) => assert_eq!(sign_sum(&keys[..count], b"vote"), sum),
                Err(_) => assert_eq!(sign_sum(&[], b"vote")[0], 0xc0, "infinity"),
            }
        }
    }

    #[test]
    fn a_signature_verifies_only_for_its_key_and_message() {
        let (a, b) = (SecretKey::from_ikm(&[1; 32]), SecretKey::from_ikm(&[2; 32]));
        let signature = a.sign(b"block");
        assert_eq!(verify(&a.public_key(), b"block", &signature), Ok(()));
        assert_eq!(verify(&a.public_key(), b"other", &signature), Err(Refusal::Invalid));
        assert_eq!(verify(&b.public_key(), b"block", &signature), Err(Refusal::Invalid));
        assert_eq!(a.sign(b"block"), signature, "signatures are unique");
    }

    #[test]
    fn a_possession_proof_is_no_signature_and_proves_one_key() {
        let (a, b) = (SecretKey::from_ikm(&[1; 32]), SecretKey::from_ikm(&[2; 32]));
        let proof = a.prove_possession();
        assert_eq!(verify_possession(&a.public_key(), &proof), Ok(()));
        assert_eq!(verify_possession(&b.public_key(), &proof), Err(Refusal::Invalid));
        assert_eq!(verify(&a.public_key(), &a.public_key(), &proof), Err(Refusal::Invalid), "domains differ");
        assert_eq!(verify_possession(&a.public_key(), &a.sign(&a.public_key())), Err(Refusal::Invalid));
    }

    #[test]
    fn infinity_never_verifies() {
        let (mut key, mut signature) = ([0; PUBLIC_KEY_BYTES], [0; SIGNATURE_BYTES]);
        (key[0], signature[0]) = (0xc0, 0xc0);
        assert_eq!(verify(&key, b"block", &signature), Err(Refusal::Invalid));
        assert_eq!(verify_possession(&key, &signature), Err(Refusal::Invalid));
        assert_eq!(verify(&SecretKey::from_ikm(&[1; 32]).public_key(), b"block", &signature), Err(Refusal::Invalid));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", SecretKey::from_ikm(&[1; 32])), "SecretKey(redacted)");
    }

    #[test]
    fn secret_scalars_must_be_in_range() {
        let order = hex::decode("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001").unwrap();
        let order: [u8; 32] = order.try_into().unwrap();
        let mut below = order;
        below[31] = 0;
        assert!(SecretKey::from_bytes(&below).is_ok());
        for bytes in [[0; 32], order, [0xff; 32]] {
            assert_eq!(SecretKey::from_bytes(&bytes).err(), Some(Refusal::BadEncoding));
        }
    }
}
