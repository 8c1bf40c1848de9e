//! Backend `wgpu`: sums of keys and of signatures on a GPU.
//!
//! A committee's keys stay on the device, and a call sends indices. Signatures are decoded and checked for the subgroup by
//! the host's threads: the check is most of the work, and no program here does it.

mod sums;

use std::sync::Arc;

use blst::{blst_p1, blst_p2};

use self::sums::{Job, Keys, Points, Signatures};
use super::cpu::{committee_keys, executed};
use super::points::{
    G2, add_g1, affine_g1, affine_g2, decode_g2, encode_g1, encode_g2, in_g2, is_infinite_g2, negate_g1, sum_g1,
};
use super::signers::{Mask, check_bitmap};
use super::{AggregateKeys, AggregateSignatures, Refusal, SIGNATURE_BYTES, aggregate_keys, aggregate_signatures};
use crate::backend::{Backend, Control, Description, Error, Options, Prepared, Session, Unavailable};
use crate::device::wgpu::Gpu;
use crate::pool::Pool;

/// A device, and the host's threads beside it.
#[derive(Clone)]
pub(super) struct Device {
    gpu: Arc<Gpu>,
    pool: Pool,
}

impl Device {
    /// # Errors
    ///
    /// As [`Gpu::open`] and [`Pool::new`].
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::new(options.threads)?, gpu: Gpu::open(options)? })
    }

    fn describe(&self) -> Description {
        self.gpu.describe("complete additions, a tree of passes; decoding by blst", self.pool.threads())
    }
}

impl Backend<AggregateKeys> for Device {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &aggregate_keys::Setup) -> Result<Box<dyn Prepared<AggregateKeys>>, Error> {
        let keys = committee_keys(&self.pool, &setup.keys)?;
        let total = sum_g1(&keys);
        Ok(Box::new(KeySummer { slots: keys.len(), total, keys: Points::upload(&self.gpu, &keys)? }))
    }
}

/// Resident keys and their sum.
struct KeySummer {
    slots: usize,
    total: blst_p1,
    keys: Points<Keys>,
}

impl Prepared<AggregateKeys> for KeySummer {
    fn load<'a>(&'a self, input: &'a aggregate_keys::Input) -> Result<Box<dyn Session<AggregateKeys> + 'a>, Error> {
        let check = |bitmap: &'a Vec<u8>| check_bitmap(bitmap, self.slots).map(|()| Mask::new(bitmap, self.slots));
        let masks: Vec<Result<Mask<'a>, Refusal>> = input.iter().map(check).collect();
        let lists: Vec<Vec<u32>> = masks
            .iter()
            .filter_map(|mask| mask.as_ref().ok())
            .map(|mask| mask.slots(self.slots).map(|slot| slot as u32).collect())
            .collect();
        Ok(Box::new(KeySums { summer: self, masks, job: self.keys.job(&lists)?, done: false }))
    }
}

struct KeySums<'a> {
    summer: &'a KeySummer,
    masks: Vec<Result<Mask<'a>, Refusal>>,
    /// Of the bitmaps that were not refused.
    job: Job,
    done: bool,
}

impl Session<AggregateKeys> for KeySums<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.done = false;
        control.check()?;
        self.summer.keys.add(&self.job)?;
        self.done = true;
        Ok(())
    }

    fn output(&mut self) -> Result<aggregate_keys::Output, Error> {
        executed(self.done.then_some(()))?;
        let mut sums = self.summer.keys.sums(&self.job)?.into_iter();
        let sum = |mask: &Result<Mask<'_>, Refusal>| {
            let mask = mask.as_ref().map_err(|refusal| *refusal)?;
            let sum = sums.next().unwrap_or_default();
            Ok(if mask.inverted { add_g1(&self.summer.total, &negate_g1(sum)) } else { sum })
        };
        let sums: Vec<Result<blst_p1, Refusal>> = self.masks.iter().map(sum).collect();
        let points = affine_g1(&sums.iter().map(|sum| sum.unwrap_or_default()).collect::<Vec<_>>());
        Ok(sums.iter().zip(&points).map(|(sum, point)| sum.map(|_| encode_g1(point))).collect())
    }
}

impl Backend<AggregateSignatures> for Device {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, _setup: &()) -> Result<Box<dyn Prepared<AggregateSignatures>>, Error> {
        Ok(Box::new(SignatureSummer { device: self.clone() }))
    }
}

struct SignatureSummer {
    device: Device,
}

impl Prepared<AggregateSignatures> for SignatureSummer {
    fn load<'a>(
        &'a self,
        input: &'a aggregate_signatures::Input,
    ) -> Result<Box<dyn Session<AggregateSignatures> + 'a>, Error> {
        let flat: Vec<&[u8; SIGNATURE_BYTES]> = input.iter().flatten().collect();
        let mut decoded = self.device.pool.map(flat.len(), |i| decode_g2(flat[i])).into_iter();
        let groups = input.iter().map(|group| decoded.by_ref().take(group.len()).collect()).collect();
        Ok(Box::new(SignatureSums { device: &self.device, groups, sums: None }))
    }
}

struct SignatureSums<'a> {
    device: &'a Device,
    groups: Vec<Vec<Result<G2, Refusal>>>,
    sums: Option<Vec<Result<blst_p2, Refusal>>>,
}

impl SignatureSums<'_> {
    /// The reason for which a group has no sum.
    fn refusal(&self, group: &[Result<G2, Refusal>], control: &Control) -> Result<Option<Refusal>, Error> {
        let check = |i: usize| {
            control.check()?;
            let inside = |point: G2| if in_g2(&point) { None } else { Some(Refusal::NotInSubgroup) };
            Ok::<_, Error>(group[i].map_or_else(Some, inside))
        };
        let refusals = self.device.pool.try_map(group.len(), check)?;
        Ok(if group.is_empty() { Some(Refusal::Empty) } else { refusals.into_iter().flatten().next() })
    }
}

impl Session<AggregateSignatures> for SignatureSums<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.sums = None;
        let refusals =
            self.groups.iter().map(|group| self.refusal(group, control)).collect::<Result<Vec<_>, Error>>()?;
        let mut points: Vec<G2> = Vec::new();
        let mut lists = Vec::new();
        for (group, _) in self.groups.iter().zip(&refusals).filter(|(_, refusal)| refusal.is_none()) {
            let first = points.len() as u32;
            points.extend(group.iter().flatten().filter(|point| !is_infinite_g2(point)));
            lists.push((first..points.len() as u32).collect());
        }
        let points = Points::<Signatures>::upload(&self.device.gpu, &points)?;
        let job = points.job(&lists)?;
        points.add(&job)?;
        let mut sums = points.sums(&job)?.into_iter();
        let sum = |refusal: Option<Refusal>| refusal.map_or_else(|| Ok(sums.next().unwrap_or_default()), Err);
        self.sums = Some(refusals.into_iter().map(sum).collect());
        Ok(())
    }

    fn output(&mut self) -> Result<aggregate_signatures::Output, Error> {
        let sums = executed(self.sums.as_ref())?;
        let points = affine_g2(&sums.iter().map(|sum| sum.unwrap_or_default()).collect::<Vec<_>>());
        Ok(sums.iter().zip(&points).map(|(sum, point)| sum.map(|_| encode_g2(point))).collect())
    }
}
