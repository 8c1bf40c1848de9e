//! poanetwork's crates `classgroup` and `vdf`, as published: squarings, and verification in Harmony's format.
//!
//! Verification there is mostly the search for the discriminant, and most of that a slip: `BigNum::probab_prime` passes
//! `iterations.max(256)` rounds to GMP where the search asks for 2, so 232 rounds of Miller-Rabin follow Baillie-PSW on the
//! prime that is found. A row beside the published figure shows the crate without it: its own search, generic over the
//! integer, on an integer that is GMP's but for the number of rounds ([`Corrected`]), then the steps of its
//! `check_proof_of_time_wesolowski` and `verify_proof`, which are private, by its own public group operations. The challenge
//! prime has the same slip and the same correction. 25 is what GMP's manual calls reasonable: Baillie-PSW and one round.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, MulAssign, Neg, Rem, Shl, ShlAssign, Shr, Sub};
use std::str::FromStr;

use classgroup::gmp::mpz::{Mpz, ProbabPrimeResult};
use classgroup::gmp_classgroup::GmpClassGroup;
use classgroup::{BigNum, BigNumExt, ClassGroup};
use num_traits::{One, Zero};
use poanetwork_vdf::{VDF, VDFParams, WesolowskiVDFParams, create_discriminant};
use sha2::{Digest, Sha256};

use super::{Peer, discriminant, square, verify};

/// The chain of squarings.
pub const SQUARINGS: Peer<square::Open> = Peer {
    name: concat!("poanetwork vdf ", env!("VERSUS_POANETWORK")),
    timed: "the peer calls repeated_square of its class group",
    call: Some(squarings),
};
/// Verification as it is.
pub const PUBLISHED: Peer<verify::Judge> = Peer {
    name: concat!("poanetwork vdf ", env!("VERSUS_POANETWORK"), " as published, 256 Miller-Rabin rounds"),
    timed: "the peer calls its public verify",
    call: Some(judge),
};
/// Verification without the slip.
pub const CORRECTED: Peer<verify::Judge> = Peer {
    name: concat!("poanetwork vdf ", env!("VERSUS_POANETWORK"), " corrected to 25 Miller-Rabin rounds"),
    timed: "the peer is its own search and its own group operations, GMP asked for 25 rounds, not 256",
    call: Some(judge_corrected),
};
/// The search without the slip.
pub const SEARCH: Peer<discriminant::Find> = Peer {
    name: concat!("poanetwork vdf ", env!("VERSUS_POANETWORK"), " corrected to 25 Miller-Rabin rounds"),
    timed: "the peer is its own search, GMP asked for 25 rounds, not 256",
    call: Some(search),
};

/// GMP counts Baillie-PSW as 24.
const ROUNDS: i32 = 25;
/// Of Harmony's format.
const BITS: u16 = 2048;

fn squarings(magnitude: &[u8], iterations: u64) -> Box<dyn FnMut() -> Vec<u8>> {
    let generator = GmpClassGroup::generator_for_discriminant(-Mpz::from(magnitude));
    let form_bytes = 2 * coefficient_bytes(8 * magnitude.len());
    Box::new(move || {
        let mut form = generator.clone();
        form.repeated_square(iterations);
        encode(&form, form_bytes)
    })
}

fn coefficient_bytes(bits: usize) -> usize {
    (bits + 16) >> 4
}

/// Empty if the form does not fit, which no reduced form does.
fn encode(form: &GmpClassGroup, form_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; form_bytes];
    if form.serialize(&mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

/// The crate's verification.
fn judge(seed: &[u8; 32], iterations: u64, proof: &[u8]) -> bool {
    WesolowskiVDFParams(BITS).new().verify(seed, iterations, proof).is_ok()
}

/// The crate's verification without the slip.
fn judge_corrected(seed: &[u8; 32], iterations: u64, proof: &[u8]) -> bool {
    let Corrected(discriminant) = create_discriminant(seed, BITS);
    let form_bytes = 2 * coefficient_bytes(BITS.into());
    if proof.len() != 2 * form_bytes {
        return false;
    }
    let (result, proof) = proof.split_at(form_bytes);
    let mut x = GmpClassGroup::from_ab_discriminant(2.into(), One::one(), discriminant.clone());
    let mut proof = GmpClassGroup::from_bytes(proof, discriminant.clone());
    let y = GmpClassGroup::from_bytes(result, discriminant);
    let Corrected(prime) = challenge(&encode(&x, form_bytes), &encode(&y, form_bytes));
    let mut remainder = Mpz::zero();
    remainder.mod_powm(&2.into(), &iterations.into(), &prime);
    proof.pow(prime);
    x.pow(remainder);
    proof *= &x;
    proof == y
}

/// As the crate's `hash_prime`.
fn challenge(x: &[u8], y: &[u8]) -> Corrected {
    let candidate = |counter: u64| {
        let hash = Sha256::new().chain_update(b"prime").chain_update(counter.to_be_bytes()).chain_update(x);
        Corrected::from(&hash.chain_update(y).finalize()[..16])
    };
    let primes = (0..).map(candidate).find(|candidate| candidate.probab_prime(2));
    primes.unwrap_or_else(Corrected::one)
}

/// The crate's search without the slip.
fn search(bits: u32, seed: &[u8; 32]) -> Option<Vec<u8>> {
    let Corrected(discriminant) = create_discriminant(seed, u16::try_from(bits).ok()?);
    Some(Vec::from(&-discriminant))
}

/// The crate's integer, but for the rounds of its primality test. All else is what the traits ask for, passed on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
struct Corrected(Mpz);

impl BigNum for Corrected {
    fn probab_prime(&self, _iterations: u32) -> bool {
        self.0.probab_prime(ROUNDS) != ProbabPrimeResult::NotPrime
    }

    fn setbit(&mut self, offset: usize) {
        self.0.setbit(offset);
    }

    fn mod_powm(&mut self, base: &Self, exponent: &Self, modulus: &Self) {
        self.0.mod_powm(&base.0, &exponent.0, &modulus.0);
    }
}

impl BigNumExt for Corrected {
    fn frem_u32(&self, modulus: u32) -> u32 {
        self.0.frem_u32(modulus)
    }

    fn crem_u16(&mut self, modulus: u16) -> u16 {
        self.0.crem_u16(modulus)
    }
}

/// An operator whose left side is consumed, passed on.
macro_rules! pass_on {
    ($($operator:ident $method:ident $right:ty, $as:expr;)*) => {$(
        impl $operator<$right> for Corrected {
            type Output = Self;

            fn $method(self, right: $right) -> Self {
                Self(self.0.$method($as(right)))
            }
        }
    )*};
}

pass_on! {
    Add add Self, |right: Self| right.0;
    Mul mul Self, |right: Self| right.0;
    Rem rem Self, |right: Self| right.0;
    Add add u64, std::convert::identity;
    Sub sub u64, std::convert::identity;
    Shl shl usize, std::convert::identity;
    Shr shr usize, std::convert::identity;
}

impl Div<&Self> for Corrected {
    type Output = Self;

    fn div(self, right: &Self) -> Self {
        Self(self.0 / &right.0)
    }
}

impl Neg for Corrected {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl MulAssign<&Self> for Corrected {
    fn mul_assign(&mut self, right: &Self) {
        self.0 *= &right.0;
    }
}

impl ShlAssign<usize> for Corrected {
    fn shl_assign(&mut self, bits: usize) {
        self.0 <<= bits;
    }
}

impl From<u64> for Corrected {
    fn from(value: u64) -> Self {
        Self(value.into())
    }
}

impl From<&[u8]> for Corrected {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl FromStr for Corrected {
    type Err = <Mpz as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Zero for Corrected {
    fn zero() -> Self {
        Self(Mpz::zero())
    }

    fn is_zero(&self) -> bool {
        self.0.is_zero()
    }
}

impl One for Corrected {
    fn one() -> Self {
        Self(One::one())
    }
}

#[cfg(test)]
mod tests {
    use shardmark_kernels::backend::Control;
    use shardmark_kernels::vdf::{DiscriminantValue, Scheme, evaluate, square_chain};

    use super::super::seed;
    use super::*;

    #[test]
    fn squarings_give_the_kernels_bytes() {
        for bits in [512, 1024, 2048] {
            let discriminant = DiscriminantValue::from_seed(bits, &seed(1)).unwrap();
            for iterations in [1, 2, 100] {
                let want = square_chain(&discriminant, iterations, &Control::default()).unwrap();
                assert_eq!(squarings(&discriminant.to_bytes(), iterations)(), want);
            }
        }
    }

    #[test]
    fn the_correction_changes_neither_discriminants_nor_verdicts() {
        let published = |bits, seed: &[u8; 32]| Vec::from(&-create_discriminant::<Mpz>(seed, bits));
        for index in 0..4 {
            assert_eq!(search(512, &seed(index)), Some(published(512, &seed(index))));
        }
        let want = DiscriminantValue::from_seed(1024, &seed(0)).unwrap().to_bytes();
        assert_eq!(search(1024, &seed(0)), Some(want));

        let (seed, iterations) = (seed(2), 130);
        let proof = evaluate(Scheme::Harmony128, 2048, &seed, iterations, &Control::default()).unwrap();
        for Peer { name, call, .. } in [PUBLISHED, CORRECTED] {
            let judge = call.unwrap();
            assert!(judge(&seed, iterations, &proof), "{name}");
            assert!(!judge(&seed, iterations + 1, &proof), "{name}");
            assert!(!judge(&seed, iterations, &proof[1..]), "{name}");
        }
    }
}
