//! Verifiable delay functions: class-group Wesolowski in Harmony's and Chia's wire formats.
//!
//! | kernel | input | output |
//! |---|---|---|
//! | [`Evaluate`] `vdf/evaluate` | seeds, iterations | `y` then proof per seed |
//! | [`Prove`] `vdf/prove` | a seed, squared already | `y` then proof |
//! | [`Verify`] `vdf/verify` | seed, iterations, `y` then proof | a verdict per proof, with its reason |
//! | [`Discriminant`] `vdf/discriminant` | seeds | the discriminant's magnitude per seed |
//! | [`RsaSquare`] `vdf/rsa-square` | values modulo an RSA number, iterations | each squared so often |
//!
//! [`evaluate()`] and [`verify()`] are the same computation for one instance. A VDF is sequential by design: threads and
//! batches raise the number of instances per second, never the speed of one.
//!
//! `form.rs` and `fixed/` are the class group, `modular/` the arithmetic that finds primes and squares modulo RSA numbers;
//! `discriminant.rs` and `challenge.rs` derive primes (`prime.rs`); `wesolowski.rs` proves (`tail.rs`) and verifies;
//! `wire.rs` and `chia.rs` are the strict codecs; `naive.rs` is the oracle of [`crate::backend::Kernel::check`]. Formats
//! and soundness: `README.md`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backend::{Control, Error};

mod backends;
mod challenge;
mod chia;
mod discriminant;
mod evaluate;
mod fixed;
mod form;
mod group;
mod integer;
mod lehmer;
mod modular;
mod naive;
mod prime;
mod prove;
mod rsa_square;
mod search;
mod tail;
mod verify;
mod wesolowski;
#[cfg(feature = "wgpu")]
mod wgpu;
mod wire;

pub use discriminant::DiscriminantValue;
pub use evaluate::{Evaluate, EvaluateInput, EvaluateParams, EvaluateSetup};
pub use modular::Engine;
pub use prove::{Prove, ProveInput, ProveParams, ProveSetup};
pub use rsa_square::{RsaDefect, RsaSquare, RsaSquareInput, RsaSquareParams, RsaSquareSetup};
pub use search::{Discriminant, DiscriminantParams, DiscriminantSetup};
pub use verify::{Verify, VerifyItem, VerifyParams, VerifySetup};

/// How discriminants and challenge primes are derived, and what the bytes are. Part of a result's identity: proofs of one scheme are never those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// Harmony's and POA's rule: 128 bits over `x` and `y`. Binds neither discriminant nor iterations.
    #[serde(rename = "harmony-128")]
    Harmony128,
    /// 264 bits over tag, discriminant, `x`, `y` and iterations.
    #[default]
    #[serde(rename = "bound-264")]
    Bound264,
    /// Chia's: HashPrime discriminants of at most 1024 bits, compressed forms, 264 bits over `x` and `y`. Binds neither
    /// discriminant nor iterations. Verifies proofs of several segments too (n-Wesolowski).
    #[serde(rename = "chia-264")]
    Chia264,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Scheme; 3] = [Self::Harmony128, Self::Bound264, Self::Chia264];

    /// The discriminant of a seed, by the scheme's rule.
    ///
    /// # Errors
    ///
    /// As [`DiscriminantValue::from_seed`] or [`DiscriminantValue::from_challenge`].
    pub fn discriminant(self, bits: u32, seed: &[u8; 32]) -> Result<DiscriminantValue, DiscriminantDefect> {
        self.discriminant_on(Engine::SCALAR, bits, seed)
    }

    fn discriminant_on(
        self,
        engine: Engine,
        bits: u32,
        seed: &[u8; 32],
    ) -> Result<DiscriminantValue, DiscriminantDefect> {
        match self {
            Self::Harmony128 | Self::Bound264 => DiscriminantValue::from_seed_on(engine, bits, seed),
            Self::Chia264 => DiscriminantValue::from_challenge_on(engine, bits, seed),
        }
    }

    /// What may be the magnitude of a seed's discriminant, in order, without a small factor: the first prime is.
    #[cfg_attr(not(feature = "wgpu"), expect(dead_code, reason = "for devices"))]
    fn candidates(
        self,
        bits: u32,
        seed: &[u8; 32],
    ) -> Result<Box<dyn Iterator<Item = integer::Int> + Send>, DiscriminantDefect> {
        self.check_bits(bits)?;
        match self {
            Self::Harmony128 | Self::Bound264 => {
                let candidates = discriminant::candidates(bits as usize, seed);
                Ok(Box::new(candidates.ok_or(DiscriminantDefect::NoneForSeed)?))
            }
            Self::Chia264 => Ok(Box::new(chia::candidates(bits, seed))),
        }
    }

    /// Bytes of `y` and proof: 516 for 2048 bits in Harmony's format, 200 in Chia's.
    pub fn proof_bytes(self, discriminant_bits: u32) -> usize {
        wire::proof_bytes(self, discriminant_bits)
    }

    /// Whether the scheme has discriminants of this size.
    ///
    /// # Errors
    ///
    /// [`DiscriminantDefect::Bits`].
    pub fn check_bits(self, bits: u32) -> Result<(), DiscriminantDefect> {
        discriminant::check_bits(bits)?;
        let too_long = self == Self::Chia264 && bits > chia::MAX_BITS;
        if too_long { Err(DiscriminantDefect::Bits(bits)) } else { Ok(()) }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Harmony128 => "harmony-128",
            Self::Bound264 => "bound-264",
            Self::Chia264 => "chia-264",
        })
    }
}

impl FromStr for Scheme {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.to_string() == name)
            .ok_or_else(|| format!("unknown scheme `{name}`: one of harmony-128, bound-264, chia-264"))
    }
}

/// Which of the two forms of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The form that is squared.
    Input,
    /// `y`.
    Output,
    /// The proof.
    Proof,
    /// The proof of a segment before the last, counted from 0.
    Segment(usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Proof => "proof",
            Self::Segment(index) => return write!(f, "proof of segment {index}"),
        })
    }
}

/// Why bytes are not the encoding of a form, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormDefect {
    /// `a <= 0`.
    #[error("the first coefficient is not positive")]
    NotPositive,
    /// `b` is even.
    #[error("the middle coefficient is even")]
    EvenMiddle,
    /// Not `|b| <= a <= c`.
    #[error("the form is not reduced")]
    NotReduced,
    /// `4a` does not divide `b² - D`.
    #[error("the form has another discriminant")]
    OtherDiscriminant,
    /// `b < 0` where `|b| = a` or `a = c`.
    #[error("the middle coefficient has the wrong sign")]
    WrongSign,
    /// A compressed form that describes none, or is not the one way of writing it.
    #[error("the compressed form is not canonical")]
    NotCanonical,
}

/// Why a number is not a discriminant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscriminantDefect {
    /// The size is not a multiple of 8 from 256 to 4096, or above Chia's 1024.
    #[error("{0} discriminant bits: a multiple of 8 from 256 to 4096 is allowed, to 1024 in Chia's format")]
    Bits(u32),
    /// Another number of bytes.
    #[error("a discriminant of {got} bytes, want {want}")]
    Length {
        /// What came.
        got: usize,
        /// What the size demands.
        want: usize,
    },
    /// The top bit is not set.
    #[error("the discriminant is shorter than its size")]
    NotFullLength,
    /// `|D|` is not 7 modulo 8.
    #[error("the discriminant's magnitude is not 7 modulo 8")]
    NotSevenModuloEight,
    /// `|D|` is not prime.
    #[error("the discriminant is composite")]
    Composite,
    /// The seed's progression holds no prime of this size.
    #[error("the seed gives no discriminant of this size")]
    NoneForSeed,
}

/// Why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 0 iterations prove nothing.
    #[error("at least one iteration is required")]
    NoIterations,
    /// There is no discriminant for the statement.
    #[error("{0}")]
    Discriminant(#[from] DiscriminantDefect),
    /// The setup holds discriminants, but none for this seed.
    #[error("the setup holds no discriminant for the seed")]
    UnknownSeed,
    /// Another number of bytes.
    #[error("{got} bytes, want {want}")]
    Length {
        /// What came.
        got: usize,
        /// What the discriminant's size demands.
        want: usize,
    },
    /// A form's bytes are not canonical.
    #[error("{part}: {defect}")]
    Form {
        /// Which form.
        part: Part,
        /// The first rule that it breaks.
        defect: FormDefect,
    },
    /// A segment's iterations are 0, or leave none for the segments after it.
    #[error("segment {0} takes no iterations, or leaves none to the next")]
    SegmentIterations(usize),
    /// A segment's proof leads to an output whose challenge is not the segment's.
    #[error("segment {0} does not show its challenge")]
    WrongSegment(usize),
    /// The forms are well made, and `proof^B x^r` is not `y`.
    #[error("the proof does not show the output")]
    WrongProof,
}

/// Evaluates one instance: `y` then proof, as many bytes as [`Scheme::proof_bytes`] says.
///
/// # Errors
///
/// [`Error::InvalidInput`] for a size that is not allowed or 0 iterations, [`Error::Cancelled`].
pub fn evaluate(
    scheme: Scheme,
    discriminant_bits: u32,
    seed: &[u8; 32],
    iterations: u64,
    control: &Control,
) -> Result<Vec<u8>, Error> {
    Engine::SCALAR.evaluate(scheme, discriminant_bits, seed, iterations, control)
}

/// Verifies one instance, its discriminant derived from the seed.
///
/// # Errors
///
/// Why it is refused.
pub fn verify(
    scheme: Scheme,
    discriminant_bits: u32,
    seed: &[u8; 32],
    iterations: u64,
    proof: &[u8],
) -> Result<(), Refusal> {
    Engine::SCALAR.verify(scheme, discriminant_bits, seed, iterations, proof)
}

/// The same functions where candidates for primes are tested on lanes.
impl Engine {
    /// [`evaluate()`], on this engine. It finds the discriminant and the challenge, and has no part in the squarings: no
    /// engine makes a single chain of them faster.
    ///
    /// # Errors
    ///
    /// As [`evaluate()`].
    pub fn evaluate(
        self,
        scheme: Scheme,
        discriminant_bits: u32,
        seed: &[u8; 32],
        iterations: u64,
        control: &Control,
    ) -> Result<Vec<u8>, Error> {
        scheme.check_bits(discriminant_bits).map_err(invalid)?;
        let discriminant = scheme.discriminant_on(self, discriminant_bits, seed).map_err(invalid)?;
        control.check()?;
        let progress = wesolowski::Progress::new(control, wesolowski::evaluation_steps(iterations, 1));
        wesolowski::evaluate(self, scheme, &discriminant, iterations, 1, &progress)
    }

    /// [`verify()`], on this engine.
    ///
    /// # Errors
    ///
    /// As [`verify()`].
    pub fn verify(
        self,
        scheme: Scheme,
        discriminant_bits: u32,
        seed: &[u8; 32],
        iterations: u64,
        proof: &[u8],
    ) -> Result<(), Refusal> {
        scheme.check_bits(discriminant_bits)?;
        // The length costs nothing, the discriminant most of the time.
        wire::check_length(scheme, discriminant_bits, proof.len())?;
        if iterations == 0 {
            return Err(Refusal::NoIterations);
        }
        let discriminant = scheme.discriminant_on(self, discriminant_bits, seed)?;
        wesolowski::verify(self, scheme, &discriminant, None, iterations, proof)
    }
}

/// Verifies one instance under a known discriminant.
///
/// # Errors
///
/// Why it is refused.
pub fn verify_with(
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    iterations: u64,
    proof: &[u8],
) -> Result<(), Refusal> {
    wesolowski::verify(Engine::SCALAR, scheme, discriminant, None, iterations, proof)
}

/// As [`verify_with`] for another form than the generator, as the scheme encodes it: one step of a chain of proofs.
///
/// # Errors
///
/// Why it is refused.
pub fn verify_from(
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    input: &[u8],
    iterations: u64,
    proof: &[u8],
) -> Result<(), Refusal> {
    wesolowski::verify(Engine::SCALAR, scheme, discriminant, Some(input), iterations, proof)
}

/// The sequential part of an evaluation alone: the generator squared `iterations` times, as Harmony's format has it.
///
/// # Errors
///
/// [`Error::Cancelled`].
pub fn square_chain(discriminant: &DiscriminantValue, iterations: u64, control: &Control) -> Result<Vec<u8>, Error> {
    let group = discriminant.group();
    let progress = wesolowski::Progress::new(control, iterations);
    let y = wesolowski::square_times(&group, group.generator(), iterations, &progress)?;
    wire::encode(Scheme::Bound264, &y, discriminant.bits())
        .ok_or_else(|| Error::InvalidInput("the form does not fit the wire format".into()))
}

fn invalid(reason: impl fmt::Display) -> Error {
    Error::InvalidInput(reason.to_string())
}
