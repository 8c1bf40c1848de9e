//! Wesolowski's proof: evaluation with checkpoints, and verification by one joint exponentiation.
//!
//! `y = x^(2^T)`, `B` the challenge prime, `proof = x^floor(2^T / B)` (`tail.rs`), and `proof^B x^r = y` for `r = 2^T mod
//! B`. Source: Wesolowski, "Efficient verifiable delay functions", eprint 2018/623.

use std::sync::atomic::{AtomicU64, Ordering};

use super::challenge::challenge;
use super::fixed::{KeptForm, Nat};
use super::form::{Form, Group};
use super::group::{FixedGroup, Operations};
use super::integer::Int;
use super::modular::Engine;
use super::tail::{Plan, Quotient, prove, square_keeping};
use super::{DiscriminantValue, Part, Refusal, Scheme, wire};
use crate::backend::{Control, Error};

/// Group operations between two looks at [`Control`].
const STRIDE: u64 = 64;

/// Group operations of one evaluation, for progress.
pub(super) fn evaluation_steps(iterations: u64, threads: usize) -> u64 {
    iterations.saturating_add(Plan::new(iterations, threads).steps(iterations))
}

/// Progress over everything that one call computes, on any number of threads.
pub(super) struct Progress<'a> {
    control: &'a Control,
    done: AtomicU64,
    total: u64,
}

impl<'a> Progress<'a> {
    pub fn new(control: &'a Control, total: u64) -> Self {
        Self { control, done: AtomicU64::new(0), total }
    }

    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub fn add(&self, steps: u64) -> Result<(), Error> {
        let done = self.done.fetch_add(steps, Ordering::Relaxed).saturating_add(steps);
        self.control.report(done.min(self.total), self.total);
        self.control.check()
    }
}

/// Squares `form` `count` times.
///
/// # Errors
///
/// [`Error::Cancelled`].
pub(super) fn square_times(group: &Group, form: Form, count: u64, progress: &Progress) -> Result<Form, Error> {
    match (group.fixed(), form.to_fixed()) {
        (Some(fixed), Some(form)) => Ok(Form::from_fixed(&squared(&fixed, form, count, progress)?)),
        _ => squared(group, form, count, progress),
    }
}

fn squared<G: Operations>(group: &G, mut form: G::Form, count: u64, progress: &Progress) -> Result<G::Form, Error> {
    let mut space = group.space();
    let mut left = count;
    while left > 0 {
        let run = left.min(STRIDE);
        (0..run).for_each(|_| group.square(&mut space, &mut form));
        left -= run;
        progress.add(run)?;
    }
    Ok(form)
}

/// `y` then `proof`, in the scheme's format; the proof on `threads` threads of the current pool.
///
/// # Errors
///
/// [`Error::Cancelled`]; [`Error::InvalidInput`] for 0 iterations.
pub(super) fn evaluate(
    engine: Engine,
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    iterations: u64,
    threads: usize,
    progress: &Progress,
) -> Result<Vec<u8>, Error> {
    square(scheme, discriminant, iterations, threads, progress)?.prove(engine, progress)
}

/// An evaluation whose squarings are done.
pub(super) struct Squared<'a> {
    scheme: Scheme,
    discriminant: &'a DiscriminantValue,
    iterations: u64,
    plan: Plan,
    /// The generator and `y`, in the scheme's format.
    x: Vec<u8>,
    y: Vec<u8>,
    powers: Powers,
}

/// What the proof is made of: powers on the way to `y`.
enum Powers {
    Fixed(Box<FixedGroup>, Vec<KeptForm>),
    Any(Group, Vec<Form>),
}

/// The squarings of [`evaluate`], for a proof on `threads` threads.
///
/// # Errors
///
/// As [`evaluate`].
pub(super) fn square<'a>(
    scheme: Scheme,
    discriminant: &'a DiscriminantValue,
    iterations: u64,
    threads: usize,
    progress: &Progress,
) -> Result<Squared<'a>, Error> {
    if iterations == 0 {
        return Err(Error::InvalidInput(Refusal::NoIterations.to_string()));
    }
    let (plan, step) = (Plan::new(iterations, threads), |steps| progress.add(steps));
    let group = discriminant.group();
    let x = group.generator();
    let (y, powers) = match (group.fixed(), x.to_fixed()) {
        (Some(fixed), Some(x)) => {
            let (y, kept) = square_keeping(&fixed, plan, &x, iterations, &step)?;
            (Form::from_fixed(&y), Powers::Fixed(Box::new(fixed), kept))
        }
        _ => {
            let (y, kept) = square_keeping(&group, plan, &x, iterations, &step)?;
            (y, Powers::Any(group, kept))
        }
    };
    let (x, y) = (encode(scheme, discriminant, &x)?, encode(scheme, discriminant, &y)?);
    Ok(Squared { scheme, discriminant, iterations, plan, x, y, powers })
}

impl Squared<'_> {
    /// Group operations of [`Self::prove`], for progress.
    pub fn steps(&self) -> u64 {
        self.plan.steps(self.iterations)
    }

    /// `y` then `proof`, on as many threads of the current pool as the squarings were for.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub fn prove(&self, engine: Engine, progress: &Progress) -> Result<Vec<u8>, Error> {
        let Self { scheme, discriminant, iterations, plan, x, y, powers } = self;
        let prime = challenge(engine, *scheme, discriminant, x, y, *iterations);
        let prime =
            Nat::from_limbs(prime.limbs()).ok_or_else(|| Error::InvalidInput("the challenge is too long".into()))?;
        let (quotient, step) = (Quotient::new(*iterations, &prime), |steps| progress.add(steps));
        let proof = match powers {
            Powers::Fixed(group, kept) => Form::from_fixed(&prove(&**group, *plan, kept, &quotient, &step)?),
            Powers::Any(group, kept) => prove(group, *plan, kept, &quotient, &step)?,
        };
        Ok([y.as_slice(), &encode(*scheme, discriminant, &proof)?].concat())
    }
}

fn encode(scheme: Scheme, discriminant: &DiscriminantValue, form: &Form) -> Result<Vec<u8>, Error> {
    wire::encode(scheme, form, discriminant.bits())
        .ok_or_else(|| Error::InvalidInput("the form does not fit the wire format".into()))
}

/// `2^iterations` modulo `prime`.
pub(super) fn power_of_two_modulo(iterations: u64, prime: &Int) -> Int {
    let mut power = Int::from(1).rem_floor(prime);
    for index in (0..u64::BITS - iterations.leading_zeros()).rev() {
        power = power.square();
        if iterations >> index & 1 == 1 {
            power = power.double();
        }
        power = power.rem_floor(prime);
    }
    power
}

/// Checks `y` and `proof` for the form `input`, or the generator of `discriminant`; in Chia's format also the segments
/// before.
///
/// A segment has no output of its own: its proof and challenge give one, and the challenge must be the one of that output.
/// Source: Wesolowski, eprint 2018/623; Chia-Network/chiavdf `src/verifier.h`.
///
/// # Errors
///
/// Why the bytes prove nothing.
pub(super) fn verify(
    engine: Engine,
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    input: Option<&[u8]>,
    iterations: u64,
    bytes: &[u8],
) -> Result<(), Refusal> {
    if iterations == 0 {
        return Err(Refusal::NoIterations);
    }
    let group = discriminant.group();
    let bits = discriminant.bits();
    scheme.check_bits(bits)?;
    wire::check_length(scheme, bits, bytes.len())?;
    let (y_bytes, rest) = bytes.split_at(wire::form_bytes(scheme, bits));
    let (proof, rest) = rest.split_at(wire::form_bytes(scheme, bits));
    // All forms first: what is malformed anywhere costs no group operation.
    let decode = |part, bytes| wire::decode(scheme, &group, bits, part, bytes);
    let mut x = input.map_or_else(|| Ok(group.generator()), |bytes| decode(Part::Input, bytes))?;
    let y = decode(Part::Output, y_bytes)?;
    let proof = decode(Part::Proof, proof)?;
    let mut left = iterations;
    let mut segments = Vec::new();
    for (index, segment) in wire::segments(rest).enumerate() {
        left = left.saturating_sub(segment.iterations);
        if segment.iterations == 0 || left == 0 {
            return Err(Refusal::SegmentIterations(index));
        }
        let prime = Int::from_be_bytes(segment.challenge);
        if prime.bits() != 8 * segment.challenge.len() || !prime.is_odd() {
            return Err(Refusal::WrongSegment(index));
        }
        segments.push((segment.iterations, prime, decode(Part::Segment(index), segment.proof)?));
    }

    // Reduced forms fit.
    let encode = |form: &Form| wire::encode(scheme, form, bits).ok_or(Refusal::WrongProof);
    let mut x_bytes = encode(&x)?;
    for (index, (iterations, prime, proof)) in segments.iter().enumerate() {
        let output = group.joint_power(proof, prime, &x, &power_of_two_modulo(*iterations, prime));
        let output_bytes = encode(&output)?;
        if challenge(engine, scheme, discriminant, &x_bytes, &output_bytes, *iterations) != *prime {
            return Err(Refusal::WrongSegment(index));
        }
        (x, x_bytes) = (output, output_bytes);
    }
    let prime = challenge(engine, scheme, discriminant, &x_bytes, y_bytes, left);
    let remainder = power_of_two_modulo(left, &prime);
    if group.joint_power(&proof, &prime, &x, &remainder) == y { Ok(()) } else { Err(Refusal::WrongProof) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_modulo_a_prime_are_those_of_the_definition() {
        for prime in [2u64, 3, 251, 257, 65_537, (1 << 61) - 1] {
            for iterations in (0..40).chain([63, 64, 100, 1001]) {
                let prime = Int::from(prime);
                let remainder = Int::power_of_two(iterations as usize).rem_floor(&prime);
                assert_eq!(power_of_two_modulo(iterations, &prime), remainder);
            }
        }
    }
}
