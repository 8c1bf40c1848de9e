//! Both aggregation kernels in lanes.
//!
//! Signatures are checked for the subgroup together, by the row sums of `msm`; only a batch that fails is looked through
//! one by one, for the first bad one.

use blst::{blst_p1, blst_p2};

use super::Simd;
use super::committee::Committee;
use super::convert::affine_g2 as affine;
use super::crossover::Crossover;
use super::curve::Stored;
use super::field::{Field, Fp2};
use super::msm::draw;
use super::signatures::{decode_g2, in_g2, rows_in_g2};
use super::sums::sum;
use crate::backend::{Backend, Control, Description, Error, Prepared, Session};
use crate::bls::cpu::executed;
use crate::bls::points::{add_g2, affine_g1, affine_g2, encode_g1, encode_g2, sum_g2};
use crate::bls::signers::check_bitmap;
use crate::bls::{AggregateKeys, AggregateSignatures, Refusal, SIGNATURE_BYTES, aggregate_keys, aggregate_signatures};
use crate::pool::Pool;

/// Fewer points than this are checked and summed by one thread: each pays for its own row sums.
const LEAST_SUM: usize = 128;

impl<F: Field> Backend<AggregateKeys> for Simd<F> {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, setup: &aggregate_keys::Setup) -> Result<Box<dyn Prepared<AggregateKeys>>, Error> {
        let committee = Committee::<F>::prepare(&self.pool, self.crossover, &setup.keys)?;
        Ok(Box::new(KeySummer { pool: self.pool.clone(), committee }))
    }
}

struct KeySummer<F: Field> {
    pool: Pool,
    committee: Committee<F>,
}

impl<F: Field> Prepared<AggregateKeys> for KeySummer<F> {
    fn load<'a>(&'a self, input: &'a aggregate_keys::Input) -> Result<Box<dyn Session<AggregateKeys> + 'a>, Error> {
        let check = |bitmap: &'a Vec<u8>| check_bitmap(bitmap, self.committee.slots()).map(|()| &bitmap[..]);
        Ok(Box::new(KeySums { summer: self, bitmaps: input.iter().map(check).collect(), sums: None }))
    }
}

struct KeySums<'a, F: Field> {
    summer: &'a KeySummer<F>,
    bitmaps: Vec<Result<&'a [u8], Refusal>>,
    /// Of the bitmaps that were not refused.
    sums: Option<Vec<blst_p1>>,
}

impl<F: Field> Session<AggregateKeys> for KeySums<'_, F> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.sums = None;
        let bitmaps: Vec<&[u8]> = self.bitmaps.iter().filter_map(|bitmap| bitmap.ok()).collect();
        self.sums = Some(self.summer.committee.sums(&self.summer.pool, control, &bitmaps)?);
        Ok(())
    }

    fn path(&self) -> Option<&'static str> {
        let bitmaps: Vec<&[u8]> = self.bitmaps.iter().filter_map(|bitmap| bitmap.ok()).collect();
        Some(self.summer.committee.path(&bitmaps))
    }

    fn output(&mut self) -> Result<aggregate_keys::Output, Error> {
        let mut points = affine_g1(executed(self.sums.as_ref())?).into_iter();
        Ok(self.bitmaps.iter().map(|bitmap| bitmap.map(|_| encode_g1(&points.next().unwrap_or_default()))).collect())
    }
}

impl<F: Field> Backend<AggregateSignatures> for Simd<F> {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, _setup: &()) -> Result<Box<dyn Prepared<AggregateSignatures>>, Error> {
        Ok(Box::new(SignatureSummer { pool: self.pool.clone(), crossover: self.crossover, lanes: self.lanes }))
    }
}

struct SignatureSummer<F> {
    pool: Pool,
    crossover: &'static Crossover,
    lanes: std::marker::PhantomData<fn() -> F>,
}

impl<F: Field> Prepared<AggregateSignatures> for SignatureSummer<F> {
    fn load<'a>(
        &'a self,
        input: &'a aggregate_signatures::Input,
    ) -> Result<Box<dyn Session<AggregateSignatures> + 'a>, Error> {
        let flat: Vec<&[u8; SIGNATURE_BYTES]> = input.iter().flatten().collect();
        let mut decoded = decode_g2::<F>(&self.pool, self.crossover, &flat).into_iter();
        let group = |group: &Vec<_>| {
            let decoded: Vec<_> = decoded.by_ref().take(group.len()).collect();
            // What comes behind the first bad encoding cannot matter; infinity adds nothing.
            let points = decoded.iter().map_while(|point| point.ok()).flatten().collect();
            let refusal =
                if decoded.is_empty() { Some(Refusal::Empty) } else { decoded.into_iter().find_map(Result::err) };
            Group { points, refusal }
        };
        let groups = input.iter().map(group).collect();
        Ok(Box::new(SignatureSums { pool: &self.pool, crossover: self.crossover, groups, sums: None }))
    }
}

struct Group<F: Field> {
    /// The finite points before the first bad encoding.
    points: Vec<Stored<Fp2<F>>>,
    /// What the group is refused for if these points are all in the subgroup.
    refusal: Option<Refusal>,
}

struct SignatureSums<'a, F: Field> {
    pool: &'a Pool,
    crossover: &'static Crossover,
    groups: Vec<Group<F>>,
    sums: Option<Vec<Result<blst_p2, Refusal>>>,
}

impl<F: Field> SignatureSums<'_, F> {
    fn add(&self, points: &[Stored<Fp2<F>>]) -> blst_p2 {
        if points.len() < self.crossover.signatures { sum_g2(&affine(points)) } else { sum(points) }
    }

    fn sum(&self, group: &Group<F>, control: &Control) -> Result<Result<blst_p2, Refusal>, Error> {
        let ranges = self.pool.ranges(group.points.len(), LEAST_SUM);
        let parts = self.pool.try_map(ranges.len(), |i| {
            control.check()?;
            let points = &group.points[ranges[i].clone()];
            let digits = if points.len() < self.crossover.rows { Vec::new() } else { draw(points.len())? };
            let inside = rows_in_g2(self.crossover, points, &digits).is_some()
                || in_g2(self.crossover, points).into_iter().all(|inside| inside);
            let sum = inside.then(|| if group.refusal.is_none() { self.add(points) } else { blst_p2::default() });
            Ok::<_, Error>(sum)
        })?;
        let add = |sum: blst_p2, part: &Option<blst_p2>| part.map(|part| add_g2(&sum, &part));
        let sum = parts.iter().try_fold(blst_p2::default(), add).ok_or(Refusal::NotInSubgroup);
        Ok(sum.and_then(|sum| group.refusal.map_or(Ok(sum), Err)))
    }
}

impl<F: Field> Session<AggregateSignatures> for SignatureSums<'_, F> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.sums = None;
        let sums = self.pool.try_map(self.groups.len(), |i| self.sum(&self.groups[i], control))?;
        self.sums = Some(sums);
        Ok(())
    }

    fn path(&self) -> Option<&'static str> {
        let largest = self.groups.iter().map(|group| group.points.len()).max().unwrap_or_default();
        Some(self.crossover.path_of_sum(largest))
    }

    fn output(&mut self) -> Result<aggregate_signatures::Output, Error> {
        let sums = executed(self.sums.as_ref())?;
        let points = affine_g2(&sums.iter().map(|sum| sum.unwrap_or_default()).collect::<Vec<_>>());
        Ok(sums.iter().zip(&points).map(|(sum, point)| sum.map(|_| encode_g2(point))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::*;
    use crate::backend::{Isa, Kernel, Options, generator};
    use crate::bls::cpu::Cpu;
    use crate::bls::material::Fault;

    fn simd<F>(isa: Isa, threads: usize) -> Simd<F> {
        Simd::new(isa, &Options { threads, isa: Some(isa), ..Options::default() }).unwrap()
    }

    /// The output that lanes of 4, lanes of 8 and the scalar backend agree on.
    fn agreed<K: Kernel>(setup: &K::Setup, input: &K::Input, threads: usize) -> K::Output
    where
        Simd<Fp49>: Backend<K>,
        Simd<Fp52<Emulated>>: Backend<K>,
        Cpu: Backend<K>,
    {
        let run =
            |backend: &dyn Backend<K>| backend.prepare(setup).unwrap().compute(input, &Control::default()).unwrap();
        let output = run(&Cpu::open(&Options { threads, ..Options::default() }).unwrap());
        assert_eq!(run(&simd::<Fp49>(Isa::Avx2, threads)), output);
        assert_eq!(run(&simd::<Fp52<Emulated>>(Isa::Avx512IfmaEmulated, threads)), output);
        output
    }

    #[test]
    fn signatures_are_refused_and_summed_as_the_scalar_backend_does() {
        let good = aggregate_signatures::Params { groups: 1, signatures: 140 };
        let valid = AggregateSignatures::generate(&good, &(), 3, 0).remove(0);
        // A point outside the subgroup and an encoding of none.
        let mut stray = valid[0];
        Fault::OutsideSubgroup.spoil(&mut generator("simd", 0, 0), &mut stray);
        let broken = [0xff; SIGNATURE_BYTES];
        let mut infinity = [0; SIGNATURE_BYTES];
        infinity[0] = 0xc0;
        let with = |n: usize, spoiled: &[(usize, [u8; SIGNATURE_BYTES])]| {
            let mut group = valid[..n].to_vec();
            for (i, bytes) in spoiled {
                group[*i] = *bytes;
            }
            group
        };
        let input = vec![
            vec![],
            with(1, &[]),
            with(140, &[]),
            with(140, &[(139, stray)]),
            with(140, &[(0, stray), (3, broken)]),
            with(140, &[(0, broken), (3, stray)]),
            with(140, &[(70, infinity), (71, infinity)]),
            with(5, &[(2, stray), (3, broken)]),
            with(5, &[(3, stray), (2, broken)]),
            with(1, &[(0, infinity)]),
            with(2, &[(0, infinity), (1, infinity)]),
            vec![valid[0]; 100],
            with(40, &[(39, stray), (38, stray)]),
        ];
        for threads in [1, 3] {
            let got = agreed::<AggregateSignatures>(&(), &input, threads);
            assert_eq!(got[4], Err(Refusal::NotInSubgroup));
            assert_eq!(got[5], Err(Refusal::BadEncoding));
            AggregateSignatures::check(&(), &input, &got).unwrap();
        }
    }

    #[test]
    fn bitmaps_are_refused_and_summed_as_the_scalar_backend_does() {
        let params = aggregate_keys::Params { committee: 70, bitmaps: 9, absent_percent: 20 };
        let setup = AggregateKeys::setup(&params, 4);
        let mut input = AggregateKeys::generate(&params, &setup, 4, 0);
        input[2] = vec![0; 9];
        input[4] = vec![1; 8];
        input[8][8] |= 0x80;
        for threads in [1, 3] {
            let got = agreed::<AggregateKeys>(&setup, &input, threads);
            assert_eq!(
                [&got[2], &got[4], &got[8]].map(|refused| refused.unwrap_err()),
                [Refusal::Empty, Refusal::BadSigners, Refusal::BadSigners]
            );
            AggregateKeys::check(&setup, &input, &got).unwrap();
        }
    }

    #[test]
    fn a_cancelled_call_says_so() {
        let params = aggregate_keys::Params { committee: 5, bitmaps: 2, absent_percent: 20 };
        let setup = AggregateKeys::setup(&params, 4);
        let input = AggregateKeys::generate(&params, &setup, 4, 0);
        let control = Control::default();
        control.cancel();
        let prepared = Backend::<AggregateKeys>::prepare(&simd::<Fp49>(Isa::Avx2, 1), &setup).unwrap();
        assert_eq!(prepared.compute(&input, &control).unwrap_err(), Error::Cancelled);
    }
}
