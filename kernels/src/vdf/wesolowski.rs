//! Wesolowski's proof: evaluation with checkpoints, and verification by one joint exponentiation.
//!
//! `y = x^(2^T)`, `B` the challenge prime, `proof = x^floor(2^T / B)`, and `proof^B x^r = y` for `r = 2^T mod B`.
//! Source: Wesolowski, "Efficient verifiable delay functions", eprint 2018/623, section 4.1: with every `k l`-th power
//! kept while squaring, the proof needs about `T / k + l 2^(k+1)` group operations instead of `T`. The digits of
//! `floor(2^T / B)` in base `2^k` come from one long division, most significant digit first.

use std::sync::atomic::{AtomicU64, Ordering};

use super::challenge::challenge;
use super::form::{Form, Group};
use super::integer::Int;
use super::modular::Engine;
use super::{DiscriminantValue, Part, Refusal, Scheme, wire};
use crate::backend::{Control, Error};

/// Group operations between two looks at [`Control`].
const STRIDE: u64 = 64;
/// Forms kept while squaring: at 2048 bits about 0.5 KiB each.
const MAX_CHECKPOINTS: u64 = 1 << 17;

/// How a proof is put together: digits of `digit_bits`, a checkpoint for every `interval` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    digit_bits: u32,
    interval: u64,
}

impl Plan {
    /// The cheapest `k` up to 8 for `T` iterations, and the smallest `l` that keeps checkpoints in memory.
    fn new(iterations: u64) -> Self {
        let plan = |digit_bits: u32| {
            let digits = iterations.div_ceil(u64::from(digit_bits));
            Plan { digit_bits, interval: digits.div_ceil(MAX_CHECKPOINTS).max(1) }
        };
        (2..=8)
            .map(plan)
            .fold(plan(1), |best, next| if next.cost(iterations) < best.cost(iterations) { next } else { best })
    }

    /// Group operations of the proof.
    fn cost(self, iterations: u64) -> u64 {
        let buckets = 2u64 << self.digit_bits;
        let per_pass = buckets + u64::from(self.digit_bits);
        (iterations / u64::from(self.digit_bits)).saturating_add(self.interval.saturating_mul(per_pass))
    }
}

/// Group operations of one evaluation, for progress.
pub(super) fn evaluation_steps(iterations: u64) -> u64 {
    iterations.saturating_add(Plan::new(iterations).cost(iterations))
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
    let mut form = form;
    let mut left = count;
    while left > 0 {
        let run = left.min(STRIDE);
        form = group.square_times(&form, run);
        left -= run;
        progress.add(run)?;
    }
    Ok(form)
}

/// `y` then `proof`, in the wire format.
///
/// # Errors
///
/// [`Error::Cancelled`]; [`Error::InvalidInput`] for 0 iterations.
pub(super) fn evaluate(
    engine: Engine,
    scheme: Scheme,
    discriminant: &DiscriminantValue,
    iterations: u64,
    progress: &Progress,
) -> Result<Vec<u8>, Error> {
    if iterations == 0 {
        return Err(Error::InvalidInput(Refusal::NoIterations.to_string()));
    }
    let group = discriminant.group();
    let plan = Plan::new(iterations);
    let x = group.generator();
    let (y, checkpoints) = square_keeping(&group, plan, &x, iterations, progress)?;
    let encode = |form: &Form| {
        wire::encode(scheme, form, discriminant.bits())
            .ok_or_else(|| Error::InvalidInput("the form does not fit the wire format".into()))
    };
    let mut bytes = encode(&y)?;
    let prime = challenge(engine, scheme, discriminant, &encode(&x)?, &bytes, iterations);
    let proof = prove(&group, plan, &checkpoints, &prime, iterations, progress)?;
    bytes.extend(encode(&proof)?);
    Ok(bytes)
}

/// `x` squared `iterations` times, and every power on the way that the proof needs.
fn square_keeping(
    group: &Group,
    plan: Plan,
    x: &Form,
    iterations: u64,
    progress: &Progress,
) -> Result<(Form, Vec<Form>), Error> {
    let interval = u64::from(plan.digit_bits).saturating_mul(plan.interval);
    let mut checkpoints = Vec::new();
    let mut power = x.clone();
    let mut left = iterations;
    while left > 0 {
        checkpoints.push(power.clone());
        let run = left.min(interval);
        power = square_times(group, power, run, progress)?;
        left -= run;
    }
    Ok((power, checkpoints))
}

/// `x^floor(2^T / prime)`: the sum over digits `d_i` of `2^(k i) d_i`, by buckets of equal digits.
fn prove(
    group: &Group,
    plan: Plan,
    checkpoints: &[Form],
    prime: &Int,
    iterations: u64,
    progress: &Progress,
) -> Result<Form, Error> {
    let digits = quotient_digits(prime, iterations, plan.digit_bits);
    let mut proof = group.identity();
    // Pass j takes the digits i = j modulo l; their checkpoint is x^(2^(k (i - j))).
    for pass in (0..plan.interval).rev() {
        if pass + 1 < plan.interval {
            proof = square_times(group, proof, u64::from(plan.digit_bits), progress)?;
        }
        let mut buckets = vec![group.identity(); 1 << plan.digit_bits];
        let mut pending = 0;
        let of_pass = digits.iter().skip(pass as usize).step_by(plan.interval as usize);
        for (digit, checkpoint) in of_pass.zip(checkpoints) {
            if *digit != 0 {
                let bucket = &mut buckets[usize::from(*digit)];
                *bucket = group.compose(bucket, checkpoint);
            }
            pending += 1;
            if pending == STRIDE {
                progress.add(pending)?;
                pending = 0;
            }
        }
        // The product of bucket_d^d: each running product of the upper buckets once.
        let mut running = group.identity();
        let mut product = group.identity();
        for bucket in buckets[1..].iter().rev() {
            running = group.compose(&running, bucket);
            product = group.compose(&product, &running);
            pending += 2;
            if pending >= STRIDE {
                progress.add(pending)?;
                pending = 0;
            }
        }
        proof = group.compose(&proof, &product);
        progress.add(pending)?;
    }
    Ok(proof)
}

/// The digits of `floor(2^iterations / prime)` in base `2^digit_bits`, lowest first.
fn quotient_digits(prime: &Int, iterations: u64, digit_bits: u32) -> Vec<u8> {
    let base_bits = u64::from(digit_bits);
    let (full, head) = (iterations / base_bits, iterations % base_bits);
    let divide = |dividend: Int| {
        let quotient = dividend.div_floor(prime);
        let remainder = dividend - &quotient * prime;
        (quotient.rem_u64(256) as u8, remainder)
    };
    // 2^T = 2^head followed by `full` zero digits.
    let (digit, mut remainder) = divide(Int::power_of_two(head as usize));
    let mut digits = vec![digit];
    let base = Int::power_of_two(digit_bits as usize);
    for _ in 0..full {
        let (digit, next) = divide(remainder * &base);
        digits.push(digit);
        remainder = next;
    }
    digits.reverse();
    digits
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
    fn digits_spell_the_quotient_for_any_prime_and_base() {
        for prime in [2u64, 3, 251, 257, 65_537, (1 << 61) - 1] {
            for iterations in (1..40).chain([63, 64, 100, 1001]) {
                let prime = Int::from(prime);
                let want = Int::power_of_two(iterations as usize).div_floor(&prime);
                for digit_bits in 1..=8 {
                    let digits = quotient_digits(&prime, iterations, digit_bits);
                    let base = Int::power_of_two(digit_bits as usize);
                    let sum = digits.iter().rev().fold(Int::from(0), |sum, d| sum * &base + Int::from(u64::from(*d)));
                    assert_eq!(sum, want, "2^{iterations} / {prime:?} in base 2^{digit_bits}");
                }
                let remainder = Int::power_of_two(iterations as usize).rem_floor(&prime);
                assert_eq!(power_of_two_modulo(iterations, &prime), remainder);
            }
        }
    }

    #[test]
    fn the_proof_is_the_power_by_the_quotient_under_every_plan() {
        let discriminant = DiscriminantValue::from_seed(256, &[4; 32]).unwrap();
        let group = discriminant.group();
        let x = group.generator();
        let control = Control::default();
        for (prime, iterations) in [((1u64 << 61) - 1, 203), (65_537, 64), (3, 7)] {
            let prime = Int::from(prime);
            let quotient = Int::power_of_two(iterations as usize).div_floor(&prime);
            let want = group.power(&x, &quotient);
            for digit_bits in [1, 2, 3, 5, 8] {
                for interval in [1, 2, 7, 1000, u64::MAX] {
                    // A pass per digit position of the interval: the huge ones are for checkpoints alone.
                    let plan = Plan { digit_bits, interval };
                    let progress = Progress::new(&control, 0);
                    let (y, checkpoints) = square_keeping(&group, plan, &x, iterations, &progress).unwrap();
                    assert_eq!(y, group.power(&x, &Int::power_of_two(iterations as usize)));
                    let spacing = u64::from(digit_bits).saturating_mul(interval);
                    assert_eq!(checkpoints.len() as u64, iterations.div_ceil(spacing));
                    if interval <= 7 {
                        let got = prove(&group, plan, &checkpoints, &prime, iterations, &progress).unwrap();
                        assert_eq!(got, want, "{plan:?} for T = {iterations}");
                    }
                }
            }
        }
    }

    #[test]
    fn plans_are_the_cheapest_and_bound_the_checkpoints() {
        assert_eq!(Plan::new(50_000), Plan { digit_bits: 8, interval: 1 });
        assert_eq!(Plan::new(1), Plan { digit_bits: 1, interval: 1 });
        for iterations in [1, 2, 100, 2000, 50_000, 1 << 20, 1 << 32, u64::MAX - 1, u64::MAX] {
            let plan = Plan::new(iterations);
            let digits = iterations.div_ceil(u64::from(plan.digit_bits));
            assert!(digits.div_ceil(plan.interval) <= MAX_CHECKPOINTS);
            assert!(evaluation_steps(iterations) >= iterations);
        }
    }
}
