//! Fiat-Shamir challenges: the prime that turns Wesolowski's proof into bytes. One rule per [`Scheme`].
//!
//! `harmony-128`: harmony-one/vdf and poanetwork/vdf, `hash_prime`. It binds neither the discriminant nor the number of
//! iterations, and a 128-bit prime leaves about 64 bits against a precomputing adversary: for compatibility only.
//! `bound-264`: ours; it binds every public value. 264 bits for 128-bit security are Wesolowski's own count
//! (eprint 2018/623), as Chia and fastcrypto take them. The bytes of both are written down in `README.md`.
//! `chia-264`: chiavdf's (`chia.rs`); like Harmony's, it binds neither.

use sha2::{Digest, Sha256};

use super::integer::Int;
use super::modular::Engine;
use super::{DiscriminantValue, Scheme, chia, prime};

/// Opens every `bound-264` transcript.
const TAG: &[u8] = b"shardmark/vdf/bound-264/v1";

/// The challenge prime for encoded forms `x` and `y`.
pub(super) fn challenge(
    engine: Engine,
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    x: &[u8],
    y: &[u8],
    iterations: u64,
) -> Int {
    match scheme {
        Scheme::Chia264 => chia::challenge(engine, x, y),
        Scheme::Harmony128 => first_prime(engine, |counter| {
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
            first_prime(engine, |counter| {
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

/// The first prime among the candidates of counters 0, 1, ...
fn first_prime(engine: Engine, candidate: impl Fn(u64) -> Int) -> Int {
    let mut counter = 0;
    prime::first_prime(engine, || {
        counter += 1;
        candidate(counter - 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vdf::wire;

    fn known(line: &str) -> (DiscriminantValue, u64, Int, Vec<u8>) {
        let [seed, bits, iterations, prime, blob] = line.split(',').collect::<Vec<_>>().try_into().unwrap();
        let seed = hex::decode(seed).unwrap().try_into().unwrap();
        let discriminant = DiscriminantValue::from_seed(bits.parse().unwrap(), &seed).unwrap();
        let prime = Int::from_be_bytes(&hex::decode(prime).unwrap());
        let mut y = hex::decode(blob).unwrap();
        y.truncate(wire::form_bytes(Scheme::Bound264, discriminant.bits()));
        (discriminant, iterations.parse().unwrap(), prime, y)
    }

    fn generator_bytes(discriminant: &DiscriminantValue) -> Vec<u8> {
        wire::encode(Scheme::Bound264, &discriminant.group().generator(), discriminant.bits()).unwrap()
    }

    #[test]
    fn bound_challenges_are_those_of_the_independent_script() {
        for line in include_str!("../../vectors/vdf/bound-264.csv").lines() {
            let (discriminant, iterations, prime, y) = known(line);
            let x = generator_bytes(&discriminant);
            assert_eq!(challenge(Engine::SCALAR, Scheme::Bound264, &discriminant, &x, &y, iterations), prime);
            assert_eq!(prime.bits(), 264);
        }
    }

    #[test]
    fn the_bound_challenge_depends_on_every_public_value_and_the_old_one_on_x_and_y_alone() {
        let line = include_str!("../../vectors/vdf/bound-264.csv").lines().next().unwrap();
        let (discriminant, iterations, _, y) = known(line);
        let other = DiscriminantValue::from_seed(256, &[0; 32]).unwrap();
        let x = generator_bytes(&discriminant);
        let changed = |scheme, what: u32| {
            let (mut x, mut y) = (x.clone(), y.clone());
            x[0] ^= u8::from(what == 1);
            y[0] ^= u8::from(what == 2);
            let discriminant = if what == 3 { &other } else { &discriminant };
            challenge(Engine::SCALAR, scheme, discriminant, &x, &y, iterations + u64::from(what == 4))
        };
        for what in 1..=4 {
            assert_ne!(changed(Scheme::Bound264, what), changed(Scheme::Bound264, 0));
            let same = changed(Scheme::Harmony128, what) == changed(Scheme::Harmony128, 0);
            assert_eq!(same, what > 2);
        }
    }
}
