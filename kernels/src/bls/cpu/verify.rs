//! verify-batch on the CPU: the whole batch as one equation.
//!
//! With weights `r_i`, secret and drawn after the batch is fixed, all sets hold (but for a chance of 2^-64) if
//!
//! ```text
//! prod over messages m  e(sum r_i * key_i over the sets of m, H(m))  *  e(-g1, sum r_i * signature_i)  =  1
//! ```
//!
//! so a batch costs one hash and one Miller loop a distinct message, one subgroup check and its share of two multi-scalar
//! multiplications a set, and one final exponentiation. `bisect` takes over when the equation fails. Compared with
//! blst's own `verify_multiple_aggregate_signatures`: one Miller loop a message instead of one a set, Pippenger instead
//! of one multiplication a signature, one inversion for all conversions to affine.

use std::ops::Range;

use blst::{blst_fp12, blst_p1, blst_p2};
use rand::TryRng;

use super::Cpu;
use super::aggregate::executed;
use super::committee::Committee;
use crate::backend::{Backend, Control, Description, Error, Prepared, Session};
use crate::bls::bisect::{Bisection, Equation, groups};
use crate::bls::points::{
    G1, G2, add_g1, add_g2, affine_g1, affine_g2, decode_g2, hash_to_g2, in_g2, is_infinite_g1, is_infinite_g2,
    miller_loop, negated_generator, weighted_sum_g1, weighted_sum_g2,
};
use crate::bls::verify_batch::{Input, Output, Setup, resolve};
use crate::bls::{Refusal, Signers, VerifyBatch};
use crate::pool::Pool;

/// Most pairs whose Miller loops share their squarings: blst's MILLER_LOOP_N_MAX.
const MOST_PAIRS: usize = 16;

/// Fewest pairs that are worth a thread of their own: below, the squarings that are not shared outweigh it.
const LEAST_PAIRS: usize = 4;

/// Fewer points than this go through one multi-scalar multiplication: buckets pay only over many points.
const LEAST_SUM: usize = 64;

impl Backend<VerifyBatch> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &Setup) -> Result<Box<dyn Prepared<VerifyBatch>>, Error> {
        Ok(Box::new(Verifier { pool: self.pool.clone(), committee: Committee::prepare(&self.pool, &setup.keys)? }))
    }
}

struct Verifier {
    pool: Pool,
    committee: Committee,
}

/// A set whose signers exist and whose signature is a point of the curve.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    signers: &'a Signers,
    /// Index into [`Batch::messages`].
    message: usize,
    signature: G2,
}

impl Prepared<VerifyBatch> for Verifier {
    fn load<'a>(&'a self, input: &'a Input) -> Result<Box<dyn Session<VerifyBatch> + 'a>, Error> {
        let (messages, by_reference) = input.distinct_messages();
        let candidates = self.pool.try_map(input.sets.len(), |i| {
            let set = &input.sets[i];
            let message = resolve(&by_reference, i, set.message)?;
            let candidate = set.signers.check(self.committee.slots()).and_then(|()| decode_g2(&set.signature));
            Ok(candidate.map(|signature| Candidate { signers: &set.signers, message, signature }))
        })?;
        Ok(Box::new(Batch { verifier: self, messages, candidates, verdicts: None }))
    }
}

struct Batch<'a> {
    verifier: &'a Verifier,
    /// Distinct, by first appearance.
    messages: Vec<&'a [u8]>,
    candidates: Vec<Result<Candidate<'a>, Refusal>>,
    verdicts: Option<Output>,
}

impl Session<VerifyBatch> for Batch<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.verdicts = None;
        let (mut verdicts, sets) = self.admit(control)?;
        if !sets.is_empty() {
            let equation = BatchEquation::new(&self.verifier.pool, control, &self.messages, sets)?;
            for set in Bisection::new(&equation, control).bad_sets()? {
                verdicts[set] = Err(Refusal::Invalid);
            }
        }
        self.verdicts = Some(verdicts);
        Ok(())
    }

    fn output(&mut self) -> Result<Output, Error> {
        executed(self.verdicts.clone())
    }
}

impl Batch<'_> {
    /// Sums the signers' keys and checks each signature by itself. Gives the verdicts so far and the sets that the
    /// equation must decide, ordered by message so that the sets of one message are neighbours.
    fn admit(&self, control: &Control) -> Result<(Output, Vec<Set>), Error> {
        let pool = &self.verifier.pool;
        let checked = pool.try_map(self.candidates.len(), |i| {
            control.check()?;
            Ok(self.candidates[i].and_then(|candidate| {
                if !in_g2(&candidate.signature) {
                    return Err(Refusal::NotInSubgroup);
                }
                Ok((candidate, self.verifier.committee.key(candidate.signers)))
            }))
        })?;
        let sums: Vec<blst_p1> =
            checked.iter().map(|set| set.map_or_else(|_| blst_p1::default(), |(_, key)| key)).collect();

        let mut sets = Vec::with_capacity(checked.len());
        let mut verdicts = Vec::with_capacity(checked.len());
        for (index, (set, key)) in checked.into_iter().zip(affine_g1(&sums)).enumerate() {
            verdicts.push(set.and_then(|(candidate, _)| {
                if is_infinite_g1(&key) || is_infinite_g2(&candidate.signature) {
                    return Err(Refusal::Invalid);
                }
                sets.push(Set { index, message: candidate.message, key, signature: candidate.signature });
                Ok(())
            }));
        }
        sets.sort_by_key(|set| set.message);
        Ok((verdicts, sets))
    }
}

/// A set that only the equation can decide: points in their subgroups, none infinite.
struct Set {
    /// Position in the input.
    index: usize,
    message: usize,
    key: G1,
    signature: G2,
}

/// The equation of one batch, evaluated over any range of its sets.
struct BatchEquation<'a> {
    pool: &'a Pool,
    /// Ordered by message.
    sets: Vec<Set>,
    /// The sets of each message.
    groups: Vec<Range<usize>>,
    keys: Vec<G1>,
    signatures: Vec<G2>,
    weights: Vec<u64>,
    /// By group.
    weighted_keys: Vec<G1>,
    /// By group.
    hashes: Vec<G2>,
    /// Groups in a chunk.
    chunk: usize,
    /// Miller loops of the groups, a whole chunk at a time; the groups of a last chunk that is not whole are computed
    /// together with the signature's pair.
    chunks: Vec<blst_fp12>,
    negated_generator: G1,
}

impl<'a> BatchEquation<'a> {
    /// Hashes, draws the weights and computes the Miller loops of all messages. `sets` is ordered by message and not
    /// empty.
    fn new(pool: &'a Pool, control: &Control, messages: &[&[u8]], sets: Vec<Set>) -> Result<Self, Error> {
        let groups = groups(&sets, |set| set.message);
        let hashes = pool.try_map(groups.len(), |group| {
            control.check()?;
            Ok::<_, Error>(hash_to_g2(messages[sets[groups[group].start].message]))
        })?;
        let least_pairs = if pool.threads() == 1 { MOST_PAIRS } else { LEAST_PAIRS };
        let mut equation = Self {
            pool,
            keys: sets.iter().map(|set| set.key).collect(),
            signatures: sets.iter().map(|set| set.signature).collect(),
            weights: weights(sets.len())?,
            weighted_keys: Vec::new(),
            hashes: affine_g2(&hashes),
            chunk: (groups.len() / pool.threads()).clamp(least_pairs, MOST_PAIRS),
            chunks: Vec::new(),
            negated_generator: negated_generator(),
            sets,
            groups,
        };
        let sums = pool.try_map(equation.groups.len(), |group| {
            control.check()?;
            Ok::<_, Error>(equation.weighted_key(equation.groups[group].clone()))
        })?;
        equation.weighted_keys = affine_g1(&sums);
        let chunk = equation.chunk;
        equation.chunks = pool.try_map(equation.groups.len() / chunk, |i| {
            control.check()?;
            Ok::<_, Error>(miller_loop((i * chunk..(i + 1) * chunk).map(|group| equation.pair(group))))
        })?;
        Ok(equation)
    }

    fn pair(&self, group: usize) -> (G1, G2) {
        (self.weighted_keys[group], self.hashes[group])
    }

    fn signature_pair(&self, sets: Range<usize>) -> (G1, G2) {
        let (points, weights) = (&self.signatures[sets.clone()], &self.weights[sets]);
        let ranges = self.pool.ranges(points.len(), LEAST_SUM);
        let parts =
            self.pool.map(ranges.len(), |i| weighted_sum_g2(&points[ranges[i].clone()], &weights[ranges[i].clone()]));
        let sum = parts.iter().fold(blst_p2::default(), |sum, part| add_g2(&sum, part));
        (self.negated_generator, affine_g2(&[sum])[0])
    }

    fn weighted_key(&self, sets: Range<usize>) -> blst_p1 {
        let (points, weights) = (&self.keys[sets.clone()], &self.weights[sets]);
        let ranges = self.pool.ranges(points.len(), LEAST_SUM);
        let parts =
            self.pool.map(ranges.len(), |i| weighted_sum_g1(&points[ranges[i].clone()], &weights[ranges[i].clone()]));
        parts.iter().fold(blst_p1::default(), |sum, part| add_g1(&sum, part))
    }
}

impl Equation for BatchEquation<'_> {
    fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    fn chunk(&self) -> usize {
        self.chunk
    }

    fn index(&self, set: usize) -> usize {
        self.sets[set].index
    }

    fn over_groups(&self, groups: Range<usize>) -> blst_fp12 {
        let sets = self.groups[groups.start].start..self.groups[groups.end - 1].end;
        // Whole chunks inside the range are known; what sticks out at its sides is not.
        let first = groups.start.div_ceil(self.chunk);
        let last = (groups.end / self.chunk).max(first);
        let (head, tail) = (groups.start..groups.end.min(first * self.chunk), last * self.chunk..groups.end);
        let sides = head.chain(tail).map(|group| self.pair(group));
        let mut product = miller_loop(sides.chain([self.signature_pair(sets)]));
        for known in self.chunks.get(first..last).unwrap_or_default() {
            product *= *known;
        }
        product.final_exp()
    }

    fn within_group(&self, group: usize, sets: Range<usize>) -> blst_fp12 {
        let key = affine_g1(&[self.weighted_key(sets.clone())])[0];
        miller_loop([(key, self.hashes[group]), self.signature_pair(sets)].into_iter()).final_exp()
    }

    fn pool(&self) -> &Pool {
        self.pool
    }
}

/// `n` weights: the first is one, the others are drawn from the operating system, uniform over the nonzero 64-bit integers.
///
/// The first set needs no randomness of its own. If any other set of a range is bad, that one's weight hides it with a
/// chance of at most `1 / (2^64 - 1)`, whatever the rest; if none is, nothing can cancel the first.
fn weights(n: usize) -> Result<Vec<u64>, Error> {
    let failed = |e| Error::Device(format!("the operating system's random generator failed: {e}"));
    let mut bytes = vec![0; 8 * n.saturating_sub(1)];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(failed)?;
    let drawn = bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk));
    let mut weights: Vec<u64> = std::iter::once(1).chain(drawn).collect();
    for weight in &mut weights {
        while *weight == 0 {
            *weight = rand::rngs::SysRng.try_next_u64().map_err(failed)?;
        }
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_fresh_and_never_zero() {
        assert_eq!(weights(1).unwrap(), [1]);
        let (a, b) = (weights(100).unwrap(), weights(100).unwrap());
        assert!(a.len() == 100 && !a.contains(&0));
        assert!(a[1..].iter().zip(&b[1..]).all(|(a, b)| a != b), "two calls share a weight");
        assert!(a[1..].iter().any(|weight| weight >> 60 != 0), "all 64 bits are used");
    }
}
