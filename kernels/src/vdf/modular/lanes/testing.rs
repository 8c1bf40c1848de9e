//! Numbers for tests.

use dashu_int::UBig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

pub(super) fn limbs(value: &UBig) -> Vec<u64> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(bytes.len().next_multiple_of(8).max(8), 0);
    bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes"))).collect()
}

pub(super) fn number(limbs: &[u64]) -> UBig {
    UBig::from_le_bytes(&limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect::<Vec<_>>())
}

pub(super) fn random(rng: &mut ChaCha8Rng, bits: usize) -> UBig {
    let mut bytes = vec![0u8; bits.div_ceil(8)];
    rng.fill(&mut bytes[..]);
    UBig::from_le_bytes(&bytes) & ((UBig::ONE << bits) - UBig::ONE)
}

/// An odd number of so many bits: random, of long runs of equal bits, next to a power of two, or sparse.
pub(super) fn hostile(rng: &mut ChaCha8Rng, bits: usize) -> UBig {
    let top = UBig::ONE << (bits - 1);
    let value = match rng.random_range(0..6) {
        0 | 1 => random(rng, bits),
        2 => {
            let mut value = UBig::ZERO;
            let mut at = 0;
            while at < bits {
                let run = rng.random_range(1..=90.min(bits - at));
                if rng.random() {
                    value |= ((UBig::ONE << run) - UBig::ONE) << at;
                }
                at += run;
            }
            value
        }
        3 => (UBig::ONE << bits) - UBig::ONE,
        4 => top.clone(),
        _ => (UBig::ONE << rng.random_range(0..bits)) | (UBig::ONE << rng.random_range(0..bits)),
    };
    value | top | UBig::ONE
}
