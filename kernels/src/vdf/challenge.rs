//! Fiat-Shamir challenges: the prime that turns Wesolowski's proof into bytes. One rule per [`Scheme`].
//!
//! `harmony-128`: harmony-one/vdf and poanetwork/vdf, `hash_prime`. It binds neither the discriminant nor the number of
//! iterations, and a 128-bit prime leaves about 64 bits against a precomputing adversary: for compatibility only.
//! `bound-264`: ours; it binds every public value. 264 bits for 128-bit security are Wesolowski's own count
//! (eprint 2018/623), as Chia and fastcrypto take them. The bytes of both are written down in `README.md`.

use sha2::{Digest, Sha256};

use super::integer::Int;
use super::{DiscriminantValue, Scheme, prime};

/// Opens every `bound-264` transcript.
const TAG: &[u8] = b"shardmark/vdf/bound-264/v1";

/// The challenge prime for encoded forms `x` and `y`.
pub(super) fn challenge(scheme: Scheme, discriminant: &DiscriminantValue, x: &[u8], y: &[u8], iterations: u64) -> Int {
    match scheme {
        Scheme::Harmony128 => first_prime(|counter| {
            let hash = Sha256::new()
                .chain_update(b"prime")
                .chain_update(counter.to_be_bytes())
                .chain_update(x)
                .chain_update(y)
                .finalize();
            Int::from_be_bytes(&hash[..16])
        }),
        Scheme::Bound264 => {
            let transcript = Sha256::new()
                .chain_update(TAG)
                .chain_update(discriminant.bits().to_be_bytes())
                .chain_update(discriminant.to_bytes())
                .chain_update(x)
                .chain_update(y)
                .chain_update(iterations.to_be_bytes())
                .finalize();
            first_prime(|counter| {
                let block = |index: u8| {
                    Sha256::new()
                        .chain_update(transcript)
                        .chain_update(counter.to_be_bytes())
                        .chain_update([index])
                        .finalize()
                };
                let mut bytes = [0; 33];
                bytes[..32].copy_from_slice(&block(0));
                bytes[32] = block(1)[0];
                bytes[0] |= 0x80;
                bytes[32] |= 1;
                Int::from_be_bytes(&bytes)
            })
        }
    }
}

/// The first prime among the candidates of counters 0, 1, ...; about 90 (any 128-bit number) or as many odd ones are tried.
fn first_prime(candidate: impl Fn(u64) -> Int) -> Int {
    let mut counter = 0;
    loop {
        let candidate = candidate(counter);
        if prime::is_prime(&candidate, prime::rounds_hashed(candidate.bits())) {
            return candidate;
        }
        counter += 1;
    }
}
