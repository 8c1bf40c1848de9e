//! verify-batch in lanes: the equation of `cpu::verify`, each stage over all items at once.
//!
//! | stage | in lanes |
//! |---|---|
//! | signatures' subgroup checks | all at once by the row sums of their weights (`msm`), or each by itself (`subgroup`) |
//! | hashing | `hash`, distinct messages side by side |
//! | `sum r_i * key_i` of a message | `multiply` for messages of few sets, `msm` for many |
//! | `sum r_i * signature_i` | `msm`: of the whole batch, the row sums that the subgroup check has computed |
//! | Miller loops | `miller`, distinct messages side by side |
//!
//! A stage with too few items goes the scalar way, and a small batch as a whole is the `cpu` backend's: `crossover`.

use std::ops::Range;
use std::sync::OnceLock;

use blst::{blst_fp12, blst_p1, blst_p2};

use super::Simd;
use super::committee::Committee;
use super::convert::{affine_g1, affine_g2, stored_g1, stored_g2};
use super::crossover::Crossover;
use super::curve::Stored;
use super::field::{Field, Fp2};
use super::hash::hash_to_g2;
use super::miller::{miller_each, miller_product};
use super::msm::{Digits, combine, draw, row_sums};
use super::multiply::multiply_g1;
use super::signatures::{decode_g2, in_g2, rows_in_g2};
use crate::backend::{Backend, Control, Description, Error, Prepared, Session};
use crate::bls::bisect::{Bisection, Equation, groups};
use crate::bls::cpu::executed;
use crate::bls::points::{self, G1, add_g1, add_g2, is_infinite_g1, miller_loop, negated_generator};
use crate::bls::verify_batch::{Input, Output, Setup, resolve};
use crate::bls::{Refusal, Signers, VerifyBatch};
use crate::pool::Pool;

/// Fewest sets of one message whose keys are summed through buckets, not multiplied one by one in lanes.
const LEAST_BUCKETS: usize = 16;

/// Fewest points a thread that are worth their own buckets.
const LEAST_SUM: usize = 128;

impl<F: Field> Backend<VerifyBatch> for Simd<F> {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &Setup) -> Result<Box<dyn Prepared<VerifyBatch>>, Error> {
        Ok(Box::new(Verifier::<F> {
            pool: self.pool.clone(),
            crossover: self.crossover,
            committee: Committee::prepare(&self.pool, self.crossover, &setup.keys)?,
            scalar: Backend::<VerifyBatch>::prepare(&self.scalar, setup)?,
        }))
    }
}

struct Verifier<F: Field> {
    pool: Pool,
    crossover: &'static Crossover,
    committee: Committee<F>,
    scalar: Box<dyn Prepared<VerifyBatch>>,
}

/// A set whose signers exist and whose signature is a point of the curve, or infinity.
struct Candidate<'a, F: Field> {
    signers: &'a Signers,
    /// Index into [`Batch::messages`].
    message: usize,
    signature: Option<Stored<Fp2<F>>>,
}

impl<F: Field> Prepared<VerifyBatch> for Verifier<F> {
    fn load<'a>(&'a self, input: &'a Input) -> Result<Box<dyn Session<VerifyBatch> + 'a>, Error> {
        if input.sets.len() < self.crossover.sets {
            return Ok(Box::new(Small(self.scalar.load(input)?)));
        }
        let (messages, by_reference) = input.distinct_messages();
        let encoded: Vec<_> = input.sets.iter().map(|set| &set.signature).collect();
        let decoded = decode_g2::<F>(&self.pool, self.crossover, &encoded);
        let mut candidates = Vec::with_capacity(encoded.len());
        for (i, (set, signature)) in input.sets.iter().zip(decoded).enumerate() {
            let message = resolve(&by_reference, i, set.message)?;
            let known = set.signers.check(self.committee.slots()).and(signature);
            candidates.push(known.map(|signature| Candidate { signers: &set.signers, message, signature }));
        }
        Ok(Box::new(Batch { verifier: self, messages, candidates, verdicts: None, scalar_stages: false }))
    }
}

/// A batch that the scalar code decides.
struct Small<'a>(Box<dyn Session<VerifyBatch> + 'a>);

impl Session<VerifyBatch> for Small<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.0.execute(control)
    }

    fn path(&self) -> Option<&'static str> {
        Some("scalar")
    }

    fn output(&mut self) -> Result<Output, Error> {
        self.0.output()
    }
}

struct Batch<'a, F: Field> {
    verifier: &'a Verifier<F>,
    /// Distinct, by first appearance.
    messages: Vec<&'a [u8]>,
    candidates: Vec<Result<Candidate<'a, F>, Refusal>>,
    verdicts: Option<Output>,
    /// Whether a stage of the last execution went the scalar way.
    scalar_stages: bool,
}

impl<F: Field> Session<VerifyBatch> for Batch<'_, F> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.verdicts = None;
        let (mut verdicts, admitted) = self.admit(control)?;
        self.scalar_stages = false;
        if !admitted.sets.is_empty() {
            let equation = BatchEquation::new(self.verifier, control, &self.messages, admitted)?;
            self.scalar_stages = self.verifier.crossover.leaves(equation.indices.len(), equation.groups.len());
            for set in Bisection::new(&equation, control).bad_sets()? {
                verdicts[set] = Err(Refusal::Invalid);
            }
        }
        self.verdicts = Some(verdicts);
        Ok(())
    }

    fn path(&self) -> Option<&'static str> {
        Some(if self.scalar_stages { "lanes, some stages scalar" } else { "lanes" })
    }

    fn output(&mut self) -> Result<Output, Error> {
        executed(self.verdicts.clone())
    }
}

/// What the equation must decide.
struct Admitted<F: Field> {
    /// Ordered by message.
    sets: Vec<Set<F>>,
    /// `sum r_i * signature_i` over all of them, if the subgroup check left it behind.
    signature: Option<blst_p2>,
}

impl<F: Field> Batch<'_, F> {
    /// Sums the signers' keys and checks each signature by itself. Gives the verdicts so far and the sets that the
    /// equation must decide.
    fn admit(&self, control: &Control) -> Result<(Output, Admitted<F>), Error> {
        let pool = &self.verifier.pool;
        control.check()?;
        let points: Vec<Stored<Fp2<F>>> =
            self.candidates.iter().flatten().filter_map(|candidate| candidate.signature).collect();
        let digits = draw_nonzero(points.len())?;
        let (inside, mut signature) = check_g2(pool, control, self.verifier.crossover, &points, &digits)?;
        let present: Vec<&Signers> = self.candidates.iter().flatten().map(|candidate| candidate.signers).collect();
        let keys = self.verifier.committee.keys(pool, control, &present)?;

        let mut sets = Vec::with_capacity(self.candidates.len());
        let mut verdicts = Vec::with_capacity(self.candidates.len());
        let (mut keys, mut checked) = (keys.into_iter(), points.iter().zip(inside).zip(&digits));
        for (index, candidate) in self.candidates.iter().enumerate() {
            verdicts.push(candidate.as_ref().map_err(|refusal| *refusal).and_then(|candidate| {
                let key = keys.next().flatten();
                let known = if candidate.signature.is_some() { checked.next() } else { None };
                match (key, known) {
                    (_, Some(((_, false), _))) => Err(Refusal::NotInSubgroup),
                    (Some(key), Some(((point, true), digits))) => {
                        let (signature, digits) = (*point, *digits);
                        sets.push(Set { index, message: candidate.message, key, signature, digits });
                        Ok(())
                    }
                    // The key or the signature is infinite.
                    _ => Err(Refusal::Invalid),
                }
            }));
        }
        if sets.len() < points.len() {
            signature = None;
        }
        sets.sort_by_key(|set| set.message);
        Ok((verdicts, Admitted { sets, signature }))
    }
}

/// Digits of weights that are not zero.
///
/// # Errors
///
/// [`Error::Device`].
fn draw_nonzero(n: usize) -> Result<Vec<Digits>, Error> {
    let mut digits = draw(n)?;
    for weight in &mut digits {
        while weight.is_zero() {
            *weight = draw(1)?[0];
        }
    }
    Ok(digits)
}

/// Whether each point of the curve is in G2; and the weighted sum of all, if that was computed on the way and all are.
fn check_g2<F: Field>(
    pool: &Pool,
    control: &Control,
    crossover: &Crossover,
    points: &[Stored<Fp2<F>>],
    digits: &[Digits],
) -> Result<(Vec<bool>, Option<blst_p2>), Error> {
    let ranges = pool.ranges(points.len(), if points.len() < crossover.rows { F::LANES } else { LEAST_SUM });
    let parts = pool.try_map(ranges.len(), |i| {
        control.check()?;
        let points = &points[ranges[i].clone()];
        Ok::<_, Error>(match rows_in_g2(crossover, points, &digits[ranges[i].clone()]) {
            Some(rows) => (vec![true; points.len()], Some(combine(&rows))),
            None => (in_g2(crossover, points), None),
        })
    })?;
    let sum = parts.iter().try_fold(blst_p2::default(), |sum, (_, part)| Some(add_g2(&sum, part.as_ref()?)));
    Ok((parts.into_iter().flat_map(|(inside, _)| inside).collect(), sum))
}

/// A set that only the equation can decide: points in their subgroups, none infinite.
struct Set<F: Field> {
    /// Position in the input.
    index: usize,
    message: usize,
    key: Stored<F>,
    signature: Stored<Fp2<F>>,
    digits: Digits,
}

/// The equation of one batch, evaluated over any range of its sets.
struct BatchEquation<'a, F: Field> {
    pool: &'a Pool,
    crossover: &'static Crossover,
    indices: Vec<usize>,
    groups: Vec<Range<usize>>,
    keys: Vec<Stored<F>>,
    signatures: Vec<Stored<Fp2<F>>>,
    digits: Vec<Digits>,
    /// `sum r_i * signature_i` over all sets, if known.
    signature: Option<blst_p2>,
    /// By group: `sum r_i * key_i`, none if infinite.
    weighted_keys: Vec<Option<Stored<F>>>,
    /// By group.
    hashes: Vec<Stored<Fp2<F>>>,
    /// The Miller loops of each group, once a range that is not the whole batch is asked for.
    loops: OnceLock<Vec<blst_fp12>>,
    negated_generator: G1,
}

impl<'a, F: Field> BatchEquation<'a, F> {
    /// Hashes and weighs. There is a set.
    fn new(
        verifier: &'a Verifier<F>,
        control: &Control,
        messages: &[&[u8]],
        admitted: Admitted<F>,
    ) -> Result<Self, Error> {
        let Admitted { sets, signature } = admitted;
        let (pool, crossover) = (&verifier.pool, verifier.crossover);
        let groups = groups(&sets, |set| set.message);
        let used: Vec<&[u8]> = groups.iter().map(|group| messages[sets[group.start].message]).collect();
        let hashes = hashes(pool, crossover, control, &used)?;
        let mut equation = Self {
            pool,
            crossover,
            indices: sets.iter().map(|set| set.index).collect(),
            keys: sets.iter().map(|set| set.key).collect(),
            signatures: sets.iter().map(|set| set.signature).collect(),
            digits: sets.iter().map(|set| set.digits).collect(),
            groups,
            signature,
            weighted_keys: Vec::new(),
            hashes,
            loops: OnceLock::new(),
            negated_generator: negated_generator(),
        };
        control.check()?;
        equation.weighted_keys = equation.weigh_keys();
        control.check()?;
        Ok(equation)
    }

    /// The weighted key of each group.
    fn weigh_keys(&self) -> Vec<Option<Stored<F>>> {
        let few = |group: &Range<usize>| group.len() < LEAST_BUCKETS;
        let single: Vec<usize> = self.groups.iter().filter(|group| few(group)).cloned().flatten().collect();
        let keys: Vec<Stored<F>> = single.iter().map(|&set| self.keys[set]).collect();
        let digits: Vec<Digits> = single.iter().map(|&set| self.digits[set]).collect();
        let ranges = self.pool.ranges(single.len(), F::LANES);
        let parts = self.pool.map(ranges.len(), |i| multiply_g1(&keys[ranges[i].clone()], &digits[ranges[i].clone()]));
        let mut products = parts.into_iter().flatten();
        let mut sums = Vec::new();
        let mut weighted: Vec<Option<Stored<F>>> = Vec::with_capacity(self.groups.len());
        for (i, group) in self.groups.iter().enumerate() {
            if group.len() == 1 {
                weighted.push(products.next().flatten());
                continue;
            }
            weighted.push(None);
            let sum = if few(group) {
                let members: Vec<Stored<F>> = products.by_ref().take(group.len()).flatten().collect();
                points::sum_g1(&affine_g1(&members))
            } else {
                self.weighted_key(group.clone())
            };
            sums.push((i, sum));
        }
        let affine = points::affine_g1(&sums.iter().map(|(_, sum)| *sum).collect::<Vec<_>>());
        let finite: Vec<(usize, G1)> =
            sums.iter().map(|(group, _)| *group).zip(affine).filter(|(_, sum)| !is_infinite_g1(sum)).collect();
        let stored = stored_g1(&finite.iter().map(|(_, sum)| *sum).collect::<Vec<_>>());
        for ((group, _), sum) in finite.into_iter().zip(stored) {
            weighted[group] = Some(sum);
        }
        weighted
    }

    /// `sum r_i * key_i` through buckets.
    fn weighted_key(&self, sets: Range<usize>) -> blst_p1 {
        let ranges = self.pool.ranges(sets.len(), LEAST_SUM);
        let parts = self.pool.map(ranges.len(), |i| {
            let part = sets.start + ranges[i].start..sets.start + ranges[i].end;
            combine(&row_sums(&self.keys[part.clone()], &self.digits[part]))
        });
        parts.iter().fold(blst_p1::default(), |sum, part| add_g1(&sum, part))
    }

    /// `sum r_i * signature_i` through buckets.
    fn weighted_signature(&self, sets: Range<usize>) -> blst_p2 {
        let ranges = self.pool.ranges(sets.len(), LEAST_SUM);
        let parts = self.pool.map(ranges.len(), |i| {
            let part = sets.start + ranges[i].start..sets.start + ranges[i].end;
            combine(&row_sums(&self.signatures[part.clone()], &self.digits[part]))
        });
        parts.iter().fold(blst_p2::default(), |sum, part| add_g2(&sum, part))
    }

    /// The pair of a range's signatures.
    fn signature_pair(&self, sets: Range<usize>) -> (G1, points::G2) {
        let sum = match self.signature {
            Some(known) if sets.len() == self.signatures.len() => known,
            _ => self.weighted_signature(sets),
        };
        (self.negated_generator, points::affine_g2(&[sum])[0])
    }

    /// The pairs of some groups; none for an infinite key, whose pairing is one.
    fn pairs(&self, groups: Range<usize>) -> (Vec<Stored<F>>, Vec<Stored<Fp2<F>>>) {
        let keys = self.weighted_keys[groups.clone()].iter();
        keys.zip(&self.hashes[groups]).filter_map(|(key, hash)| Some(((*key)?, *hash))).unzip()
    }

    /// The product of the groups' Miller loops and one of blst's pairs.
    fn loops_with(&self, groups: Range<usize>, last: (G1, points::G2)) -> blst_fp12 {
        let (keys, hashes) = self.pairs(groups);
        if keys.len() < self.crossover.pairs {
            return miller_loop(affine_g1(&keys).into_iter().zip(affine_g2(&hashes)).chain([last]));
        }
        let ranges = self.pool.ranges(keys.len(), self.crossover.pairs);
        let parts =
            self.pool.map(ranges.len(), |i| miller_product(&keys[ranges[i].clone()], &hashes[ranges[i].clone()]));
        parts.into_iter().fold(miller_loop([last].into_iter()), |product, part| product * part)
    }

    /// The Miller loop of each group.
    fn each_loop(&self) -> Vec<blst_fp12> {
        let (keys, hashes) = self.pairs(0..self.groups.len());
        let ranges = self.pool.ranges(keys.len(), F::LANES);
        let parts = self.pool.map(ranges.len(), |i| miller_each(&keys[ranges[i].clone()], &hashes[ranges[i].clone()]));
        let mut loops = parts.into_iter().flatten();
        let one = blst_fp12::default;
        self.weighted_keys.iter().map(|key| key.and_then(|_| loops.next()).unwrap_or_else(one)).collect()
    }
}

impl<F: Field> Equation for BatchEquation<'_, F> {
    fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    fn chunk(&self) -> usize {
        1
    }

    fn index(&self, set: usize) -> usize {
        self.indices[set]
    }

    fn over_groups(&self, groups: Range<usize>) -> blst_fp12 {
        let pair = self.signature_pair(self.groups[groups.start].start..self.groups[groups.end - 1].end);
        if groups.len() == self.groups.len() {
            return self.loops_with(groups, pair).final_exp();
        }
        let known = &self.loops.get_or_init(|| self.each_loop())[groups];
        let product = known.iter().fold(miller_loop([pair].into_iter()), |product, known| product * *known);
        product.final_exp()
    }

    fn within_group(&self, group: usize, sets: Range<usize>) -> blst_fp12 {
        let key = points::affine_g1(&[self.weighted_key(sets.clone())])[0];
        let hash = affine_g2(&self.hashes[group..=group])[0];
        miller_loop([(key, hash), self.signature_pair(sets)].into_iter()).final_exp()
    }

    fn pool(&self) -> &Pool {
        self.pool
    }
}

fn hashes<F: Field>(
    pool: &Pool,
    crossover: &Crossover,
    control: &Control,
    messages: &[&[u8]],
) -> Result<Vec<Stored<Fp2<F>>>, Error> {
    let ranges = pool.ranges(messages.len(), F::LANES);
    let parts = pool.try_map(ranges.len(), |i| {
        control.check()?;
        let messages = &messages[ranges[i].clone()];
        if messages.len() >= crossover.hashes {
            return Ok::<_, Error>(hash_to_g2(messages));
        }
        let hashes: Vec<blst_p2> = messages.iter().map(|message| points::hash_to_g2(message)).collect();
        Ok(stored_g2(&points::affine_g2(&hashes)))
    })?;
    Ok(parts.into_iter().flatten().collect())
}
