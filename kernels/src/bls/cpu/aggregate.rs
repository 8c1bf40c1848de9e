//! Both aggregation kernels on the CPU. Sums are batch-affine: one inversion a tree level instead of one projective
//! addition a point (blst's bulk_addition.c).

use blst::{blst_p1, blst_p2};

use super::Cpu;
use super::committee::Committee;
use crate::backend::{Backend, Control, Description, Error, Prepared, Session};
use crate::bls::points::{G2, add_g2, affine_g1, affine_g2, decode_g2, encode_g1, encode_g2, in_g2, sum_g2};
use crate::bls::signers::check_bitmap;
use crate::bls::{AggregateKeys, AggregateSignatures, Refusal, SIGNATURE_BYTES, aggregate_keys, aggregate_signatures};
use crate::pool::Pool;

/// Fewer points than this are summed by one thread: splitting costs more than it gains.
const LEAST_SUM: usize = 128;

impl Backend<AggregateKeys> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &aggregate_keys::Setup) -> Result<Box<dyn Prepared<AggregateKeys>>, Error> {
        Ok(Box::new(KeySummer { pool: self.pool.clone(), committee: Committee::prepare(&self.pool, &setup.keys)? }))
    }
}

struct KeySummer {
    pool: Pool,
    committee: Committee,
}

impl Prepared<AggregateKeys> for KeySummer {
    fn load<'a>(&'a self, input: &'a aggregate_keys::Input) -> Result<Box<dyn Session<AggregateKeys> + 'a>, Error> {
        let bitmaps = input.iter().map(|bitmap| check_bitmap(bitmap, self.committee.slots()).map(|()| &bitmap[..]));
        Ok(Box::new(KeySums { summer: self, bitmaps: bitmaps.collect(), sums: None }))
    }
}

struct KeySums<'a> {
    summer: &'a KeySummer,
    bitmaps: Vec<Result<&'a [u8], Refusal>>,
    sums: Option<Vec<Result<blst_p1, Refusal>>>,
}

impl Session<AggregateKeys> for KeySums<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.sums = None;
        let sums = self.summer.pool.try_map(self.bitmaps.len(), |i| {
            control.check()?;
            Ok(self.bitmaps[i].map(|bitmap| self.summer.committee.sum(bitmap)))
        })?;
        self.sums = Some(sums);
        Ok(())
    }

    fn output(&mut self) -> Result<aggregate_keys::Output, Error> {
        let sums = executed(self.sums.as_ref())?;
        let points = affine_g1(&sums.iter().map(|sum| sum.unwrap_or_default()).collect::<Vec<_>>());
        Ok(sums.iter().zip(&points).map(|(sum, point)| sum.map(|_| encode_g1(point))).collect())
    }
}

impl Backend<AggregateSignatures> for Cpu {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, _setup: &()) -> Result<Box<dyn Prepared<AggregateSignatures>>, Error> {
        Ok(Box::new(SignatureSummer { pool: self.pool.clone() }))
    }
}

struct SignatureSummer {
    pool: Pool,
}

impl Prepared<AggregateSignatures> for SignatureSummer {
    fn load<'a>(
        &'a self,
        input: &'a aggregate_signatures::Input,
    ) -> Result<Box<dyn Session<AggregateSignatures> + 'a>, Error> {
        let flat: Vec<&[u8; SIGNATURE_BYTES]> = input.iter().flatten().collect();
        let mut decoded = self.pool.map(flat.len(), |i| decode_g2(flat[i])).into_iter();
        let groups = input.iter().map(|group| decoded.by_ref().take(group.len()).collect()).collect();
        Ok(Box::new(SignatureSums { pool: &self.pool, groups, sums: None }))
    }
}

struct SignatureSums<'a> {
    pool: &'a Pool,
    groups: Vec<Vec<Result<G2, Refusal>>>,
    sums: Option<Vec<Result<blst_p2, Refusal>>>,
}

impl SignatureSums<'_> {
    fn sum(&self, group: &[Result<G2, Refusal>], control: &Control) -> Result<Result<blst_p2, Refusal>, Error> {
        if group.is_empty() {
            return Ok(Err(Refusal::Empty));
        }
        let checked = self.pool.try_map(group.len(), |i| {
            control.check()?;
            Ok(group[i].and_then(|point| if in_g2(&point) { Ok(point) } else { Err(Refusal::NotInSubgroup) }))
        })?;
        let points: Vec<G2> = match checked.into_iter().collect() {
            Ok(points) => points,
            Err(first) => return Ok(Err(first)),
        };
        let ranges = self.pool.ranges(points.len(), LEAST_SUM);
        let parts = self.pool.map(ranges.len(), |i| sum_g2(&points[ranges[i].clone()]));
        Ok(Ok(parts.iter().fold(blst_p2::default(), |sum, part| add_g2(&sum, part))))
    }
}

impl Session<AggregateSignatures> for SignatureSums<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.sums = None;
        let sums = self.pool.try_map(self.groups.len(), |i| self.sum(&self.groups[i], control))?;
        self.sums = Some(sums);
        Ok(())
    }

    fn output(&mut self) -> Result<aggregate_signatures::Output, Error> {
        let sums = executed(self.sums.as_ref())?;
        let points = affine_g2(&sums.iter().map(|sum| sum.unwrap_or_default()).collect::<Vec<_>>());
        Ok(sums.iter().zip(&points).map(|(sum, point)| sum.map(|_| encode_g2(point))).collect())
    }
}

/// The result of the last `execute`.
pub(in crate::bls) fn executed<T>(result: Option<T>) -> Result<T, Error> {
    result.ok_or_else(|| Error::InvalidInput("output was asked for before anything was executed".to_owned()))
}
