//! Discriminants: checked when constructed, or derived from a seed by Harmony's and POA's rule.
//!
//! The rule (poanetwork/vdf `create_discriminant.rs`, after Chia's `inkfish/create_discriminant.py`, and byte for byte the
//! same in harmony-one/vdf): SHA-256(seed, counter as 2 big-endian bytes) for counters 0, 1, ... gives `bits / 8 + 2` bytes;
//! the first `bits / 8` are a number whose top bit is set; it is brought to a residue modulo 8·3·5·7·11·13, chosen by the
//! last two bytes among those that are 7 modulo 8 and share no factor with the modulus; the next prime in that
//! progression is `|D|`. Chia's own rule today (HashPrime, `chia.rs`) is another: a discriminant of one is never one of
//! the other.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::form::Group;
use super::integer::Int;
use super::modular::Engine;
use super::prime::{self, Progression};
use super::{DiscriminantDefect, chia};

const MODULUS: u32 = 8 * 3 * 5 * 7 * 11 * 13;

static PROGRESSION: LazyLock<Progression> = LazyLock::new(|| Progression::new(MODULUS));

static RESIDUES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let shares_no_factor = |r: &u32| [3, 5, 7, 11, 13].into_iter().all(|p| !r.is_multiple_of(p));
    (7..MODULUS).step_by(8).filter(shares_no_factor).collect()
});

/// A negative discriminant `D` of exactly `bits` bits whose magnitude is prime and 7 modulo 8.
///
/// A prime magnitude makes the class number odd, so nobody knows an element of low order from the factors of `D`; 7
/// modulo 8 makes `(2, 1, c)` a form. Its encoding is the magnitude, big-endian, in `bits / 8` bytes: the sign is not
/// written, so a positive discriminant cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscriminantValue {
    bits: u32,
    magnitude: Int,
}

impl DiscriminantValue {
    /// Checks a discriminant that somebody supplies, with 64 Miller-Rabin rounds on bases derived from it: a composite
    /// passes with a chance of at most 2^-128.
    ///
    /// # Errors
    ///
    /// The first rule that `magnitude` breaks.
    pub fn new(bits: u32, magnitude: &[u8]) -> Result<Self, DiscriminantDefect> {
        check_bits(bits)?;
        let want = bits as usize / 8;
        if magnitude.len() != want {
            return Err(DiscriminantDefect::Length { got: magnitude.len(), want });
        }
        let magnitude = Int::from_be_bytes(magnitude);
        if magnitude.bits() != bits as usize {
            return Err(DiscriminantDefect::NotFullLength);
        }
        if magnitude.rem_u64(8) != 7 {
            return Err(DiscriminantDefect::NotSevenModuloEight);
        }
        if !prime::is_prime(&magnitude, prime::ROUNDS_SUPPLIED) {
            return Err(DiscriminantDefect::Composite);
        }
        Ok(Self { bits, magnitude })
    }

    /// Derives the discriminant of a seed by Harmony's and POA's rule. A composite comes out with a chance below 2^-127
    /// (from 256 bits on) or 2^-133 (from 1024 on) for a seed that was not chosen by trying.
    ///
    /// # Errors
    ///
    /// A size that is not allowed, or a seed whose progression leaves the size (a chance below 2^-200).
    pub fn from_seed(bits: u32, seed: &[u8; 32]) -> Result<Self, DiscriminantDefect> {
        Self::from_seed_on(Engine::SCALAR, bits, seed)
    }

    pub(super) fn from_seed_on(engine: Engine, bits: u32, seed: &[u8; 32]) -> Result<Self, DiscriminantDefect> {
        check_bits(bits)?;
        let magnitude = search(engine, bits as usize, seed).ok_or(DiscriminantDefect::NoneForSeed)?;
        Ok(Self { bits, magnitude })
    }

    /// A magnitude that a rule found.
    #[cfg(feature = "wgpu")]
    pub(super) fn found(bits: u32, magnitude: Int) -> Self {
        Self { bits, magnitude }
    }

    /// Derives the discriminant of a challenge by Chia's rule, HashPrime; a composite comes out as rarely. Challenges that
    /// differ by a small number, read as big-endian integers, can have the same discriminant.
    ///
    /// # Errors
    ///
    /// A size that is not allowed or above 1024 bits, or an empty challenge.
    pub fn from_challenge(bits: u32, challenge: &[u8]) -> Result<Self, DiscriminantDefect> {
        Self::from_challenge_on(Engine::SCALAR, bits, challenge)
    }

    pub(super) fn from_challenge_on(engine: Engine, bits: u32, challenge: &[u8]) -> Result<Self, DiscriminantDefect> {
        check_bits(bits)?;
        if bits > chia::MAX_BITS {
            return Err(DiscriminantDefect::Bits(bits));
        }
        if challenge.is_empty() {
            return Err(DiscriminantDefect::NoneForSeed);
        }
        Ok(Self { bits, magnitude: chia::discriminant(engine, bits, challenge) })
    }

    /// Length of the magnitude in bits.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The magnitude, big-endian, `bits / 8` bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // The length was checked when this was constructed.
        self.magnitude.to_be_bytes(self.bits as usize / 8).unwrap_or_default()
    }

    pub(super) fn group(&self) -> Group {
        Group::new(-self.magnitude.clone())
    }
}

/// # Errors
///
/// [`DiscriminantDefect::Bits`].
pub(super) fn check_bits(bits: u32) -> Result<(), DiscriminantDefect> {
    let allowed = (256..=4096).contains(&bits) && bits.is_multiple_of(8);
    if allowed { Ok(()) } else { Err(DiscriminantDefect::Bits(bits)) }
}

/// The first prime of [`candidates`].
fn search(engine: Engine, bits: usize, seed: &[u8]) -> Option<Int> {
    let (start, end) = progression(bits, seed)?;
    PROGRESSION.first_prime(engine, start, end)
}

/// What may be the magnitude for a seed, in order, without a small factor; `None` if the progression starts outside.
pub(super) fn candidates(bits: usize, seed: &[u8]) -> Option<impl Iterator<Item = Int> + use<>> {
    let (start, end) = progression(bits, seed)?;
    Some(PROGRESSION.candidates(start, end))
}

/// Where the progression of a seed starts and ends.
fn progression(bits: usize, seed: &[u8]) -> Option<(Int, Int)> {
    let bytes = expand(seed, bits / 8 + 2);
    let (number, selector) = bytes.split_at(bits / 8);
    let residue = RESIDUES[selector.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)) % RESIDUES.len()];
    let top = Int::power_of_two(bits - 1);
    let number = Int::from_be_bytes(number);
    let number = if number < top { number + &top } else { number };
    let start = &number - Int::from(number.rem_u64(u64::from(MODULUS))) + Int::from(u64::from(residue));
    if start < top {
        return None;
    }
    Some((start, top.double()))
}

/// SHA-256(seed, counter) for as many 2-byte counters as `len` needs; `len` is far below 2 MiB.
fn expand(seed: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    for counter in 0..=u16::MAX {
        if bytes.len() >= len {
            break;
        }
        bytes.extend_from_slice(&Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize());
    }
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poanetworks_published_discriminant_is_found() {
        let want = "112084717443890964296630631725167420667316836131914185144761743837816825098824273949638527\
                    430813476786932415236145329422682958682310811828192140542200803233457504073426238843426178\
                    098794592117225058677336074005099949757067786815439982423354682038602405861714139714858603\
                    829016409314686266660248501773529803183";
        let found = search(Engine::SCALAR, 1024, b"\xaa").unwrap();
        assert_eq!(found.0.to_string(), want);
    }

    #[test]
    fn a_supplied_discriminant_must_be_prime_of_full_length_and_7_modulo_8() {
        let good = DiscriminantValue::from_seed(256, &[7; 32]).unwrap();
        let bytes = good.to_bytes();
        assert_eq!(DiscriminantValue::new(256, &bytes), Ok(good.clone()));
        assert_eq!(DiscriminantValue::new(264, &bytes), Err(DiscriminantDefect::Length { got: 32, want: 33 }));
        for bits in [0, 248, 257, 4104, u32::MAX] {
            assert_eq!(DiscriminantValue::new(bits, &bytes), Err(DiscriminantDefect::Bits(bits)));
            assert_eq!(DiscriminantValue::from_seed(bits, &[0; 32]), Err(DiscriminantDefect::Bits(bits)));
        }
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            DiscriminantValue::new(256, &bytes)
        };
        assert_eq!(changed(&|b| b[0] &= 0x7f), Err(DiscriminantDefect::NotFullLength));
        assert_eq!(changed(&|b| b[31] ^= 4), Err(DiscriminantDefect::NotSevenModuloEight));
        assert_eq!(changed(&|b| b[30] ^= 1), Err(DiscriminantDefect::Composite));
        assert_eq!(DiscriminantValue::new(256, &[0; 32]), Err(DiscriminantDefect::NotFullLength));
    }

    #[test]
    fn a_product_of_two_large_primes_is_refused() {
        // (2^127 - 1) times a prime, 7 modulo 8 and of exactly 256 bits: no small factor betrays it.
        let mersenne = Int::power_of_two(127) - Int::from(1);
        let start = Int::power_of_two(128) + Int::power_of_two(127) + Int::from(1);
        let other = Progression::new(8).first_prime(Engine::SCALAR, start.clone(), Int::power_of_two(129)).unwrap();
        let product = mersenne * &other;
        assert_eq!((product.bits(), product.rem_u64(8)), (256, 7));
        let bytes = product.to_be_bytes(32).unwrap();
        assert_eq!(DiscriminantValue::new(256, &bytes), Err(DiscriminantDefect::Composite));
    }
}
