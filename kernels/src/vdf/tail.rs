//! An evaluation's squarings, and the tail after them: the proof, on many threads.
//!
//! `proof = x^q` for `q = floor(2^T / B)`, from every `k l`-th power of two that was kept while squaring. With signed
//! digits `d_i` of `q` in base `2^k`, pass `j` of `l` takes the digits `i = j` modulo `l` and multiplies, for each
//! magnitude, the kept powers where it stands: inverses are free, so half of the magnitudes do. Sorted by magnitude,
//! the digits fall into equal shares, one for a thread, and every share raises its powers to its own magnitudes.
//!
//! Sources: Wesolowski, "Efficient verifiable delay functions", eprint 2018/623, section 4.1; Brickell, Gordon,
//! McCurley and Wilson, "Fast exponentiation with precomputation", EUROCRYPT '92 (one running product for all
//! magnitudes), as in Menezes, van Oorschot, Vanstone, *Handbook of Applied Cryptography*, algorithm 14.109.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::fixed::{Nat, div_rem};
use super::group::Operations;

/// Group operations between two looks at the progress.
const STRIDE: u64 = 64;
/// Forms kept while squaring: at 2048 bits about 0.4 KiB each.
const MAX_KEPT: u64 = 1 << 17;
/// More never pay: the magnitudes of a pass would outnumber its digits.
const MAX_DIGIT_BITS: u32 = 17;

/// Costs in thousandths of a squaring, measured from 512 to 2048 bits.
const SQUARE: u128 = 1000;
const COMPOSE: u128 = 1170;
const KEEP: u128 = 20;

/// Digits that make a share. Threads of unequal speed end together if they take several, but each costs some squarings.
const SHARE: u64 = 2048;

/// Called with group operations done; its error ends the computation.
pub(super) type Step<'a, E> = &'a (dyn Fn(u64) -> Result<(), E> + Sync);

/// How a proof is put together: digits of `digit_bits`, one power kept for every `passes` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    digit_bits: u32,
    passes: u64,
    threads: usize,
}

impl Plan {
    /// The plan that ends first after `iterations` squarings with `threads` at work, of those that keep the powers in
    /// memory.
    pub fn new(iterations: u64, threads: usize) -> Self {
        let threads = threads.max(1);
        let plans = (1..=MAX_DIGIT_BITS).flat_map(|digit_bits| {
            let least = iterations.div_ceil(u64::from(digit_bits)).div_ceil(MAX_KEPT).max(1);
            [1, 2, 4, 8].map(|more| Plan { digit_bits, passes: least.saturating_mul(more), threads })
        });
        let first = Plan { digit_bits: 1, passes: iterations.div_ceil(MAX_KEPT).max(1), threads };
        plans.fold(first, |best, next| if next.cost(iterations) < best.cost(iterations) { next } else { best })
    }

    /// Squarings from one kept power to the next; the first is `x` itself.
    pub fn spacing(self) -> u64 {
        u64::from(self.digit_bits).saturating_mul(self.passes)
    }

    /// Digits of one pass, at most.
    fn pass_digits(self, iterations: u64) -> u64 {
        iterations.div_ceil(u64::from(self.digit_bits)).div_ceil(self.passes)
    }

    /// Shares of a pass of so many digits: a multiple of the threads.
    fn shares(self, digits: u64) -> u64 {
        let threads = self.threads as u64;
        if threads == 1 { 1 } else { threads * (digits / (threads * SHARE)).clamp(1, 4) }
    }

    /// Thousandths of a squaring on the longest path, of keeping powers and of the proof.
    fn cost(self, iterations: u64) -> u128 {
        let digits = self.pass_digits(iterations);
        let shares = self.shares(digits);
        let magnitudes = 1 << (self.digit_bits - 1);
        let per_share = digits.div_ceil(shares) + u64::div_ceil(magnitudes, shares);
        // The lowest magnitude of a share, of random bits, times the share's product.
        let bits = u128::from(self.digit_bits);
        let lift = if shares == 1 { 0 } else { (bits - 1) * SQUARE + bits / 2 * COMPOSE };
        let share = u128::from(per_share) * COMPOSE + lift;
        let merge = u128::from(shares.ilog2() + !shares.is_power_of_two() as u32) * COMPOSE;
        let shift = if self.passes == 1 { 0 } else { bits * SQUARE + COMPOSE };
        let pass = share * u128::from(shares.div_ceil(self.threads as u64)) + merge + shift;
        pass.saturating_mul(u128::from(self.passes)) + KEEP * u128::from(iterations.div_ceil(self.spacing()))
    }

    /// Group operations of the proof on all threads, about: for progress.
    pub fn steps(self, iterations: u64) -> u64 {
        let digits = self.pass_digits(iterations);
        let shares = self.shares(digits);
        let magnitudes = 1 << (self.digit_bits - 1);
        let bits = u64::from(self.digit_bits);
        let lift = if shares == 1 { 0 } else { shares * (bits + bits / 2) };
        (digits + magnitudes + lift + shares + bits).saturating_mul(self.passes)
    }
}

/// `floor(2^T / B)`.
pub(super) struct Quotient {
    limbs: Vec<u64>,
    iterations: u64,
}

impl Quotient {
    /// For `iterations = T` and `prime = B`.
    ///
    /// # Panics
    ///
    /// If the prime is 0 or has more than 768 bits.
    pub fn new(iterations: u64, prime: &Nat) -> Self {
        // The dividend is 2^head and then limbs of 0; the remainder and a block of those fit a Nat.
        const BLOCK: usize = 24;
        let (mut left, head) = ((iterations / 64) as usize, iterations % 64);
        let mut limbs = vec![0; left + 1];
        let (mut dividend, mut quotient) = (Nat::ZERO, Nat::ZERO);
        dividend.assign(&[1 << head]);
        div_rem(&mut dividend, prime, &mut quotient);
        limbs[left..].iter_mut().zip(quotient.limbs()).for_each(|(out, limb)| *out = *limb);
        let mut shifted = [0; BLOCK + 12];
        while left > 0 {
            let block = left.min(BLOCK);
            let len = dividend.limbs().len();
            shifted[block..block + len].copy_from_slice(dividend.limbs());
            shifted[..block].fill(0);
            dividend.assign(&shifted[..block + len]);
            div_rem(&mut dividend, prime, &mut quotient);
            left -= block;
            limbs[left..].iter_mut().zip(quotient.limbs()).for_each(|(out, limb)| *out = *limb);
        }
        Self { limbs, iterations }
    }

    /// Length in bits.
    fn bits(&self) -> u64 {
        let top = self.limbs.iter().rposition(|&limb| limb != 0);
        top.map_or(0, |top| 64 * top as u64 + u64::from(64 - self.limbs[top].leading_zeros()))
    }

    /// Digits in base `2^digit_bits`: one more than the unsigned ones have room for, if the highest carries.
    fn digits(&self, digit_bits: u32) -> u64 {
        self.bits() / u64::from(digit_bits) + 1
    }

    fn unsigned_digit(&self, digit_bits: u32, index: u64) -> u64 {
        let place = index * u64::from(digit_bits);
        let (limb, shift) = ((place / 64) as usize, place % 64);
        let limb_at = |index: usize| self.limbs.get(index).copied().unwrap_or(0);
        let low = limb_at(limb) >> shift;
        let high = if shift == 0 { 0 } else { limb_at(limb + 1) << (64 - shift) };
        (low | high) & ((1 << digit_bits) - 1)
    }

    /// The digit of base `2^k` at `index`, above `-2^(k-1)` and at most `2^(k-1)`.
    fn digit(&self, digit_bits: u32, index: u64) -> i64 {
        let half = 1 << (digit_bits - 1);
        // A digit carries if it is above half, or is half and carried into.
        let carry = (0..index).rev().try_for_each(|below| match self.unsigned_digit(digit_bits, below) {
            digit if digit == half => ControlFlow::Continue(()),
            digit => ControlFlow::Break(digit > half),
        });
        let digit = (self.unsigned_digit(digit_bits, index) + (carry == ControlFlow::Break(true)) as u64) as i64;
        if digit > half as i64 { digit - 2 * half as i64 } else { digit }
    }
}

/// A digit that is not 0: its magnitude above 32 bits, the index of its kept power above one, its sign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u64);

impl Entry {
    fn new(digit: i64, index: usize) -> Self {
        Self(digit.unsigned_abs() << 32 | (index as u64) << 1 | (digit < 0) as u64)
    }

    fn magnitude(self) -> u64 {
        self.0 >> 32
    }

    fn index(self) -> usize {
        (self.0 as u32 >> 1) as usize
    }

    fn negative(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Group operations on one thread, and how many are not yet reported.
struct Worker<'a, G: Operations, E> {
    group: &'a G,
    space: G::Space,
    step: Step<'a, E>,
    pending: u64,
}

impl<'a, G: Operations, E> Worker<'a, G, E> {
    fn new(group: &'a G, step: Step<'a, E>) -> Self {
        Self { group, space: group.space(), step, pending: 0 }
    }

    fn count(&mut self) -> Result<(), E> {
        self.pending += 1;
        if self.pending == STRIDE { self.report() } else { Ok(()) }
    }

    fn report(&mut self) -> Result<(), E> {
        (self.step)(std::mem::take(&mut self.pending))
    }

    fn square(&mut self, form: &mut G::Form) -> Result<(), E> {
        self.group.square(&mut self.space, form);
        self.count()
    }

    fn compose(&mut self, form: &mut G::Form, other: &G::Form) -> Result<(), E> {
        self.group.compose(&mut self.space, form, other);
        self.count()
    }

    /// The product of kept powers to their digits, the magnitudes of which descend.
    ///
    /// With the product `R_d` of all powers of digits from `d` on, that is the product of `R_d^(d - d')`, `d'` the next
    /// magnitude or 0: mostly `R_d` itself. The others go by the bits of `d - d'` to a product for each bit.
    fn share(&mut self, entries: &[Entry], kept: &[G::Kept]) -> Result<G::Form, E> {
        let mut running = self.group.identity();
        let mut sums: Vec<Option<G::Form>> = Vec::new();
        let magnitude = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.magnitude());
        for (position, entry) in entries.iter().enumerate() {
            self.group.compose_kept(&mut self.space, &mut running, &kept[entry.index()], entry.negative());
            self.count()?;
            let mut gap = entry.magnitude() - magnitude(entries.get(position + 1));
            while gap != 0 {
                let bit = gap.trailing_zeros() as usize;
                gap &= gap - 1;
                sums.resize(sums.len().max(bit + 1), None);
                match &mut sums[bit] {
                    Some(sum) => self.compose(sum, &running)?,
                    empty => *empty = Some(running.clone()),
                }
            }
        }
        let mut product = sums.pop().flatten().unwrap_or_else(|| self.group.identity());
        while let Some(sum) = sums.pop() {
            self.square(&mut product)?;
            if let Some(sum) = sum {
                self.compose(&mut product, &sum)?;
            }
        }
        self.report()?;
        Ok(product)
    }
}

/// `x` squared `iterations` times, and the powers on the way that the proof needs.
///
/// # Errors
///
/// As [`prove`].
pub(super) fn square_keeping<G: Operations, E>(
    group: &G,
    plan: Plan,
    x: &G::Form,
    iterations: u64,
    step: Step<'_, E>,
) -> Result<(G::Form, Vec<G::Kept>), E> {
    let mut worker = Worker::new(group, step);
    let (mut kept, mut power) = (Vec::new(), x.clone());
    let mut left = iterations;
    while left > 0 {
        kept.push(group.keep(&power));
        let run = left.min(plan.spacing());
        for _ in 0..run {
            worker.square(&mut power)?;
        }
        left -= run;
    }
    worker.report()?;
    Ok((power, kept))
}

/// `x^quotient`, from the powers of `x` that the plan keeps, on the current pool's threads unless the plan has one.
///
/// # Errors
///
/// That of `step`, which is called after at most 64 group operations of any thread, and in the end with those that the
/// plan counted and a short or sparse quotient spared.
pub(super) fn prove<G: Operations, E: Send>(
    group: &G,
    plan: Plan,
    kept: &[G::Kept],
    quotient: &Quotient,
    step: Step<'_, E>,
) -> Result<G::Form, E> {
    let done = AtomicU64::new(0);
    let report = |steps| {
        done.fetch_add(steps, Ordering::Relaxed);
        step(steps)
    };
    let mut worker = Worker::new(group, &report);
    let mut proof = group.identity();
    let digits = quotient.digits(plan.digit_bits);
    for pass in (0..plan.passes).rev() {
        if pass + 1 < plan.passes {
            for _ in 0..plan.digit_bits {
                worker.square(&mut proof)?;
            }
        }
        let mut entries: Vec<Entry> = (pass..digits)
            .step_by(plan.passes as usize)
            .enumerate()
            .map(|(i, index)| Entry::new(quotient.digit(plan.digit_bits, index), i))
            .filter(|entry| entry.magnitude() != 0)
            .collect();
        let shares = plan.shares(entries.len() as u64) as usize;
        let product = if shares == 1 {
            entries.sort_unstable_by(|a, b| b.cmp(a));
            worker.share(&entries, kept)?
        } else {
            entries.par_sort_unstable_by(|a, b| b.cmp(a));
            entries
                .par_chunks(entries.len().div_ceil(shares).max(1))
                .with_max_len(1)
                .map(|share| Worker::new(group, &report).share(share, kept))
                .try_reduce_with(|mut left, right| {
                    let mut worker = Worker::new(group, &report);
                    worker.compose(&mut left, &right)?;
                    worker.report()?;
                    Ok(left)
                })
                .unwrap_or_else(|| Ok(group.identity()))?
        };
        worker.compose(&mut proof, &product)?;
    }
    worker.report()?;
    step(plan.steps(quotient.iterations).saturating_sub(done.into_inner()))?;
    Ok(proof)
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
