//! `vdf/rsa-square`: independent chains of squarings modulo one RSA number whose factors nobody knows.
//!
//! The group is `Z_N*` modulo ±1: `-1` has order 2, and a verifier that told `y` from `-y` would accept a false one. So a
//! value is written as the smaller of `x` and `N - x`, big-endian in the modulus's bytes, and only such encodings of units
//! are accepted. Sources: Boneh, Bünz, Fisch, eprint 2018/712, section 6 (the quotient by ±1); the time-lock of Rivest,
//! Shamir and Wagner, 1996; moduli of the RSA Factoring Challenge (1991), whose factors were destroyed and never found.

use dashu_int::UBig;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::modular::IntoRing;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::integer::Int;
use super::{backends, invalid};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

const RSA_1024: &str = "13506641086599522334960321627880596993888147560566702752448514385152651060485953383394028715\
    05719094417982072821644715513736804197039641917430464965892742562393410208643832021103729587257623585096431105640735015\
    08187510676594629205563685529475213500852879416377328533906109750544334999811150056977236890927563";
const RSA_2048: &str = "25195908475657893494027183240048398571429282126204032027777137836043662020707595556264018525880784406\
    91829064124951508218929855914917618450280848912007284499268739280728777673597141834727026189637501497182469116507761\
    33798590957000973304597488084284017974291006424586918171951187461215151726546322822168699875491824224336372590851418\
    65462043576798423387184774447920739934236584823824281198163815010674810451660377306056201619676256133844143603833904\
    41495263443219011465754445417842402092461651572335077870774981712577246796292638635637328991215483143816789988504044\
    5364023527381951378636564391212010397122822120720357";

/// The kernel `vdf/rsa-square`.
#[derive(Debug)]
pub struct RsaSquare;

/// The shape of [`RsaSquare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RsaSquareParams {
    /// 1024 or 2048: RSA-1024 or RSA-2048 of the factoring challenge.
    pub modulus_bits: u32,
    /// Squarings per instance, at least 1.
    pub iterations: u64,
    /// Independent chains in one input, at least 1. Only this number raises squarings a second, never one chain's.
    pub instances: usize,
}

/// What all inputs of one run share.
#[derive(Clone, Debug)]
pub struct RsaSquareSetup {
    /// The modulus, big-endian: odd, its top bit set, 32 to 512 bytes, a multiple of 8.
    pub modulus: Vec<u8>,
}

/// Chains to run.
#[derive(Clone, Debug)]
pub struct RsaSquareInput {
    /// Where each starts, as many bytes as the modulus.
    pub values: Vec<Vec<u8>>,
    /// Squarings per chain.
    pub iterations: u64,
}

/// Why a number is no modulus, or bytes no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RsaDefect {
    /// Not 32 to 512 bytes, or not a multiple of 8.
    #[error("a modulus of {0} bytes: a multiple of 8 from 32 to 512 is allowed")]
    ModulusLength(usize),
    /// Even, or its top bit is not set.
    #[error("the modulus is even or shorter than its size")]
    Modulus,
    /// Another number of bytes than the modulus.
    #[error("{got} bytes, want {want}")]
    Length {
        /// What came.
        got: usize,
        /// Those of the modulus.
        want: usize,
    },
    /// Above half of the modulus: the larger of `x` and `N - x`, or not reduced.
    #[error("the value is not the smaller of the two that mean the same")]
    NotCanonical,
    /// 0, or another value that shares a factor with the modulus.
    #[error("the value shares a factor with the modulus")]
    NoUnit,
}

/// A checked modulus.
#[derive(Clone, Debug)]
pub(super) struct Modulus {
    number: Int,
    bytes: usize,
}

impl Modulus {
    /// # Errors
    ///
    /// The first rule that the bytes break.
    pub fn new(bytes: &[u8]) -> Result<Self, RsaDefect> {
        if !(32..=512).contains(&bytes.len()) || !bytes.len().is_multiple_of(8) {
            return Err(RsaDefect::ModulusLength(bytes.len()));
        }
        let number = Int::from_be_bytes(bytes);
        if number.bits() != 8 * bytes.len() || !number.is_odd() {
            return Err(RsaDefect::Modulus);
        }
        Ok(Self { number, bytes: bytes.len() })
    }

    /// Little-endian limbs.
    pub fn limbs(&self) -> Vec<u64> {
        self.number.limbs().to_vec()
    }

    /// The little-endian limbs of a value.
    ///
    /// # Errors
    ///
    /// The first rule that the bytes break.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<u64>, RsaDefect> {
        if bytes.len() != self.bytes {
            return Err(RsaDefect::Length { got: bytes.len(), want: self.bytes });
        }
        let value = Int::from_be_bytes(bytes);
        if value.clone().double() > self.number {
            return Err(RsaDefect::NotCanonical);
        }
        if value.is_zero() || !value.gcd_ext(&self.number).0.is_one() {
            return Err(RsaDefect::NoUnit);
        }
        let mut limbs = value.limbs().to_vec();
        limbs.resize(self.bytes / 8, 0);
        Ok(limbs)
    }

    /// The bytes of a value below the modulus, as little-endian limbs.
    pub fn encode(&self, limbs: &[u64]) -> Vec<u8> {
        let value = Int::from_limbs(limbs);
        let other = &self.number - &value;
        // Below the modulus, so it fits.
        value.min(other).to_be_bytes(self.bytes).unwrap_or_default()
    }
}

/// A challenge number of the size, if there is one.
fn challenge_number(bits: u32) -> Option<Vec<u8>> {
    let digits = match bits {
        1024 => RSA_1024,
        2048 => RSA_2048,
        _ => return None,
    };
    let number: UBig = digits.parse().ok()?;
    Some(number.to_be_bytes().into())
}

impl Kernel for RsaSquare {
    const NAME: &'static str = "vdf/rsa-square";
    type Params = RsaSquareParams;
    type Setup = RsaSquareSetup;
    type Input = RsaSquareInput;
    /// A value per chain, in the form of the inputs.
    type Output = Vec<Vec<u8>>;

    fn validate(params: &RsaSquareParams) -> Result<(), Error> {
        let RsaSquareParams { modulus_bits, iterations, instances } = *params;
        if challenge_number(modulus_bits).is_none() {
            return Err(invalid(format!("{modulus_bits} modulus bits: 1024 or 2048 are possible")));
        }
        if iterations == 0 {
            return Err(invalid("iterations must be at least 1"));
        }
        if !(1..=1 << 20).contains(&instances) {
            return Err(invalid(format!("instances must be from 1 to {}", 1 << 20)));
        }
        Ok(())
    }

    fn setup(params: &RsaSquareParams, _seed: u64) -> RsaSquareSetup {
        RsaSquareSetup { modulus: challenge_number(params.modulus_bits).unwrap_or_default() }
    }

    fn generate(params: &RsaSquareParams, setup: &RsaSquareSetup, seed: u64, iteration: u64) -> RsaSquareInput {
        let mut rng = generator(Self::NAME, seed, iteration);
        let mut value = || {
            // Below a quarter of the modulus; no factor of it was ever met by chance.
            let mut bytes = vec![0; setup.modulus.len()];
            rng.fill_bytes(&mut bytes[1..]);
            bytes
        };
        RsaSquareInput { values: (0..params.instances).map(|_| value()).collect(), iterations: params.iterations }
    }

    fn check(setup: &RsaSquareSetup, input: &RsaSquareInput, output: &Vec<Vec<u8>>) -> Result<(), Mismatch> {
        let modulus = UBig::from_be_bytes(&setup.modulus);
        let ring = ConstDivisor::new(modulus.clone());
        for item in 0..input.values.len().max(output.len()) {
            let want = input.values.get(item).map(|bytes| {
                let mut value = UBig::from_be_bytes(bytes).into_ring(&ring);
                (0..input.iterations).for_each(|_| value = value.sqr());
                let value = value.residue();
                let other = &modulus - &value;
                let bytes = value.min(other).to_be_bytes();
                [vec![0; setup.modulus.len() - bytes.len()], bytes.to_vec()].concat()
            });
            if output.get(item) != want.as_ref() {
                let show = |bytes: Option<&Vec<u8>>| bytes.map_or("nothing".into(), |b| format!("{b:02x?}"));
                return Err(Mismatch { item, got: show(output.get(item)), want: show(want.as_ref()) });
            }
        }
        Ok(())
    }

    /// Items are squarings; bytes are the results.
    fn work(params: &RsaSquareParams) -> Work {
        let instances = params.instances as u64;
        Work {
            items: params.iterations.saturating_mul(instances),
            bytes: instances.saturating_mul(u64::from(params.modulus_bits / 8)),
        }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu | BackendId::Simd => Ok(Box::new(backends::Host::open(id, options)?)),
            #[cfg(feature = "wgpu")]
            BackendId::Wgpu => Ok(Box::new(super::wgpu::Device::open(options)?)),
            #[cfg(not(feature = "wgpu"))]
            BackendId::Wgpu => Err(Unavailable::NotCompiled),
            BackendId::Cuda => Err(Unavailable::NotImplemented),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moduli_are_the_challenges_own() {
        let published = include_str!("../../vectors/vdf/rsa2048_challenge.txt").trim();
        assert_eq!(UBig::from_be_bytes(&challenge_number(2048).unwrap()).to_string(), published);
        // The challenge's check: the sum of the decimal digits, 1369 of RSA-1024 and 2738 of RSA-2048.
        for (bits, sum) in [(1024, 1369), (2048, 2738)] {
            let bytes = challenge_number(bits).unwrap();
            assert_eq!(8 * bytes.len(), bits as usize);
            let digits = UBig::from_be_bytes(&bytes).to_string();
            assert_eq!(digits.bytes().map(|digit| u32::from(digit - b'0')).sum::<u32>(), sum, "RSA-{bits}");
            assert!(Modulus::new(&bytes).is_ok());
        }
    }

    #[test]
    fn values_are_canonical_units_of_the_right_length() {
        // 3 times an odd number, so that there are values with a common factor to be found.
        let mut bytes = vec![0xff; 32];
        assert!(Int::from_be_bytes(&bytes).rem_u64(3) == 0);
        let modulus = Modulus::new(&bytes).unwrap();
        let value = |low: u8| [vec![0; 31], vec![low]].concat();
        assert_eq!(modulus.decode(&value(2)).unwrap(), [2, 0, 0, 0]);
        assert_eq!(modulus.encode(&[2, 0, 0, 0]), value(2));
        assert_eq!(modulus.decode(&value(0)), Err(RsaDefect::NoUnit));
        assert_eq!(modulus.decode(&value(3)), Err(RsaDefect::NoUnit));
        // -2: the same element, refused as input and never written.
        bytes[31] = 0xfd;
        assert_eq!(modulus.decode(&bytes), Err(RsaDefect::NotCanonical));
        assert_eq!(modulus.encode(Int::from_be_bytes(&bytes).limbs()), value(2));
        // Half of the modulus is the last one, the modulus and above are none.
        bytes = vec![0xff; 32];
        assert_eq!(modulus.decode(&bytes), Err(RsaDefect::NotCanonical));
        bytes[0] = 0x7f;
        // 2^255 - 1 = 1 modulo 3.
        assert!(modulus.decode(&bytes).is_ok());
        bytes = vec![0; 32];
        bytes[0] = 0x80;
        assert_eq!(modulus.decode(&bytes), Err(RsaDefect::NotCanonical));
        for len in [0, 31, 33] {
            assert_eq!(modulus.decode(&vec![1; len]), Err(RsaDefect::Length { got: len, want: 32 }));
        }
    }

    #[test]
    fn moduli_that_no_arithmetic_takes_are_refused() {
        for len in [0, 31, 33, 520] {
            assert_eq!(Modulus::new(&vec![0xff; len]).unwrap_err(), RsaDefect::ModulusLength(len));
        }
        let mut bytes = vec![0xff; 256];
        bytes[255] = 0xfe;
        assert_eq!(Modulus::new(&bytes).unwrap_err(), RsaDefect::Modulus);
        bytes = vec![1; 256];
        assert_eq!(Modulus::new(&bytes).unwrap_err(), RsaDefect::Modulus);
    }
}
