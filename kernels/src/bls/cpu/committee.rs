//! Resident committee keys and their masked sums.
//!
//! The sum of all keys is computed once, when the setup is prepared; a bitmap that marks more than half of the committee
//! then costs the keys that it leaves out: `sum(marked) = sum(all) - sum(unmarked)`. At most half of the keys are added.

use blst::blst_p1;

use crate::backend::Error;
use crate::bls::points::{G1, add_g1, decode_g1, in_g1, is_infinite_g1, jacobian_g1, negate_g1, sum_g1};
use crate::bls::signers::Mask;
use crate::bls::{PUBLIC_KEY_BYTES, Signers};
use crate::pool::Pool;

/// Decoded keys by slot, all in the subgroup and none infinite, and their sum.
pub(super) struct Committee {
    keys: Vec<G1>,
    total: blst_p1,
}

impl Committee {
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for an empty committee, or for the first key that is no valid public key.
    pub(super) fn prepare(pool: &Pool, encoded: &[[u8; PUBLIC_KEY_BYTES]]) -> Result<Self, Error> {
        let keys = committee_keys(pool, encoded)?;
        let total = sum_g1(&keys);
        Ok(Self { keys, total })
    }

    /// Slots in the committee.
    pub(super) fn slots(&self) -> usize {
        self.keys.len()
    }

    /// The sum of the signers' keys. They passed [`Signers::check`].
    pub(super) fn key(&self, signers: &Signers) -> blst_p1 {
        match signers {
            Signers::One(slot) => jacobian_g1(&self.keys[*slot as usize]),
            Signers::Bitmap(bitmap) => self.sum(bitmap),
        }
    }

    /// The sum of the marked keys. The bitmap passed `check_bitmap`.
    pub(super) fn sum(&self, bitmap: &[u8]) -> blst_p1 {
        let mask = Mask::new(bitmap, self.slots());
        let keys: Vec<G1> = mask.slots(self.slots()).map(|slot| self.keys[slot]).collect();
        let sum = sum_g1(&keys);
        if mask.inverted { add_g1(&self.total, &negate_g1(sum)) } else { sum }
    }
}

/// Decodes and validates the keys of a committee.
///
/// # Errors
///
/// As [`Committee::prepare`].
pub(in crate::bls) fn committee_keys(pool: &Pool, encoded: &[[u8; PUBLIC_KEY_BYTES]]) -> Result<Vec<G1>, Error> {
    if encoded.is_empty() {
        return Err(Error::InvalidInput("the committee has no keys".to_owned()));
    }
    let decoded = pool.map(encoded.len(), |slot| public_key(&encoded[slot]));
    let refused = |slot, reason| Error::InvalidInput(format!("committee key {slot}: {reason}"));
    decoded.into_iter().enumerate().map(|(slot, key)| key.map_err(|reason| refused(slot, reason))).collect()
}

/// `KeyValidate` of the draft (section 2.5).
fn public_key(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<G1, &'static str> {
    match decode_g1(bytes) {
        Err(_) => Err("bad point encoding"),
        Ok(key) if is_infinite_g1(&key) => Err("the point at infinity"),
        Ok(key) if !in_g1(&key) => Err("point outside the prime-order subgroup"),
        Ok(key) => Ok(key),
    }
}
