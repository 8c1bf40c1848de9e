//! Seeded keys, messages, signatures and faults for the kernels' inputs: never secret, the same on every host.
//!
//! Randomness is drawn in one sequential pass; only the signing, which draws nothing, runs on several threads.

use blst::{blst_p2, blst_scalar};
use rand::Rng;
use rand_chacha::ChaCha20Rng;

use super::keys::SecretKey;
use super::points::{G2, add_g2, affine_g2, decode_g2, encode_g2, in_g2, jacobian_g2};
use super::{PUBLIC_KEY_BYTES, SIGNATURE_BYTES};
use crate::backend::{Error, generator};

/// Iteration of the generator that setups draw from; inputs count up from zero.
const SETUP: u64 = u64::MAX;

/// The field's modulus, big-endian.
const MODULUS: [u8; 48] = [
    0x1a, 0x01, 0x11, 0xea, 0x39, 0x7f, 0xe6, 0x9a, 0x4b, 0x1b, 0xa7, 0xb6, 0x43, 0x4b, 0xac, 0xd7, 0x64, 0x77, 0x4b,
    0x84, 0xf3, 0x85, 0x12, 0xbf, 0x67, 0x30, 0xd2, 0xa0, 0xf6, 0xb0, 0xf6, 0x24, 0x1e, 0xab, 0xff, 0xfe, 0xb1, 0x53,
    0xff, 0xff, 0xb9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xaa, 0xab,
];

/// The order of G1 and G2, big-endian.
const ORDER: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05, 0x53, 0xbd, 0xa4,
    0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// Refuses a count outside `1..=`[`super::MAX_ITEMS`].
pub(super) fn check_count(name: &str, count: u32) -> Result<(), Error> {
    check_range(name, count, 1, super::MAX_ITEMS)
}

/// Refuses a value outside `low..=high`.
pub(super) fn check_range(name: &str, value: u32, low: u32, high: u32) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(Error::InvalidInput(format!("{name} is {value}: must be in {low}..={high}")))
    }
}

/// A number below `bound`, from 32 bits of `rng`: the bias is below 2^-12 for every bound in use, and no library's
/// sampling algorithm, which may change between versions, decides an input.
pub(super) fn below(rng: &mut ChaCha20Rng, bound: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// `count` distinct numbers below `bound`, in ascending order.
pub(super) fn choose(rng: &mut ChaCha20Rng, count: u32, bound: u32) -> Vec<u32> {
    let mut all: Vec<u32> = (0..bound).collect();
    let count = count.min(bound);
    for i in 0..count {
        let j = i + below(rng, bound - i);
        all.swap(i as usize, j as usize);
    }
    all.truncate(count as usize);
    all.sort_unstable();
    all
}

/// `N` bytes of `rng`.
pub(super) fn bytes<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A key of `rng`.
pub(super) fn secret(rng: &mut ChaCha20Rng) -> SecretKey {
    SecretKey::from_ikm(&bytes(rng))
}

/// The committee's secrets, the same for every input of one seed.
pub(super) fn secrets(kernel: &str, committee: u32, seed: u64) -> Vec<SecretKey> {
    let mut rng = generator(kernel, seed, SETUP);
    (0..committee).map(|_| secret(&mut rng)).collect()
}

/// The committee's public keys.
pub(super) fn committee(kernel: &str, committee: u32, seed: u64) -> Vec<[u8; PUBLIC_KEY_BYTES]> {
    use rayon::prelude::*;
    secrets(kernel, committee, seed).par_iter().map(SecretKey::public_key).collect()
}

/// The scalar of a key.
pub(super) fn scalar(secret: &SecretKey) -> &blst_scalar {
    (&secret.0).into()
}

/// The way in which one item is bad.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A valid signature of the right key over another message.
    SwappedMessage,
    /// A valid signature of another key over the right message.
    WrongKey,
    /// One bit of the encoding is flipped.
    BitFlip,
    /// A point whose order divides the cofactor is added: the component in the subgroup is still right.
    OutsideSubgroup,
    /// The same point with a coordinate that is not reduced.
    NonCanonical,
}

impl Fault {
    /// Faults that a sum without messages can meet.
    pub(super) const OF_POINTS: [Fault; 2] = [Fault::OutsideSubgroup, Fault::NonCanonical];
    /// All faults.
    pub(super) const ALL: [Fault; 5] =
        [Fault::SwappedMessage, Fault::WrongKey, Fault::BitFlip, Fault::OutsideSubgroup, Fault::NonCanonical];

    /// One of `faults`.
    pub(super) fn pick(rng: &mut ChaCha20Rng, faults: &[Fault]) -> Fault {
        faults[below(rng, faults.len() as u32) as usize]
    }

    /// Applies a fault of the encoding; the faults of signing happened before.
    pub(super) fn spoil(self, rng: &mut ChaCha20Rng, signature: &mut [u8; SIGNATURE_BYTES]) {
        match self {
            Self::SwappedMessage | Self::WrongKey => {}
            Self::BitFlip => {
                let bit = below(rng, 8 * SIGNATURE_BYTES as u32) as usize;
                signature[bit / 8] ^= 1 << (bit % 8);
            }
            Self::OutsideSubgroup => {
                let stray = jacobian_g2(&outside_subgroup(rng));
                if let Ok(point) = decode_g2(signature) {
                    *signature = encode_g2(&affine_g2(&[add_g2(&jacobian_g2(&point), &stray)])[0]);
                }
            }
            Self::NonCanonical => add_modulus(signature),
        }
    }
}

/// Adds the modulus to the second coordinate, which has no flag bits, so that 48 bytes always hold the sum.
fn add_modulus(signature: &mut [u8; SIGNATURE_BYTES]) {
    let mut carry = 0;
    for (byte, modulus) in signature[48..].iter_mut().zip(MODULUS).rev() {
        let sum = u16::from(*byte) + u16::from(modulus) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

/// A point whose order divides the cofactor: a random point of the twist times the order of G2.
fn outside_subgroup(rng: &mut ChaCha20Rng) -> G2 {
    loop {
        let mut encoding: [u8; SIGNATURE_BYTES] = bytes(rng);
        encoding[0] = 0x80 | encoding[0] & 0x0f;
        encoding[48] &= 0x0f;
        let Ok(point) = decode_g2(&encoding) else { continue };
        let (point, mut product) = (jacobian_g2(&point), blst_p2::default());
        for bit in (0..256).map(|i| ORDER[i / 8] >> (7 - i % 8) & 1) {
            product = add_g2(&product, &product);
            if bit == 1 {
                product = add_g2(&product, &point);
            }
        }
        let product = affine_g2(&[product])[0];
        if !in_g2(&product) {
            return product;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Refusal;
    use super::super::keys::verify;
    use super::*;

    #[test]
    fn every_fault_of_encoding_is_refused_for_its_reason() {
        let mut rng = generator("material", 0, 0);
        let key = secret(&mut rng);
        let signature = key.sign(b"message");
        for (fault, reason) in
            [(Fault::OutsideSubgroup, Refusal::NotInSubgroup), (Fault::NonCanonical, Refusal::BadEncoding)]
        {
            for _ in 0..8 {
                let mut bad = signature;
                fault.spoil(&mut rng, &mut bad);
                assert_eq!(verify(&key.public_key(), b"message", &bad), Err(reason));
            }
        }
    }

    #[test]
    fn choices_are_distinct_and_in_range() {
        let mut rng = generator("material", 0, 1);
        for (count, bound) in [(0, 5), (5, 5), (3, 100), (7, 3)] {
            let chosen = choose(&mut rng, count, bound);
            assert_eq!(chosen.len() as u32, count.min(bound));
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen.iter().all(|&i| i < bound));
        }
    }
}
