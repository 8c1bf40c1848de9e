//! Resident committee keys and their masked sums, in lanes.
//!
//! As the scalar backend's committee: the sum of all keys is computed once, and a bitmap that marks more than half of them
//! costs the keys that it leaves out. The masked sums of several bitmaps share vectors and inversions; few keys are added
//! by blst, whose sums are faster where lanes stay empty.

use std::ops::Range;

use blst::blst_p1;

use super::convert::stored_g1;
use super::crossover::Crossover;
use super::curve::Stored;
use super::field::Field;
use super::sums::{Term, sum, sums};
use crate::backend::{Control, Error};
use crate::bls::cpu::committee_keys;
use crate::bls::points::{G1, add_g1, affine_g1, is_infinite_g1, negate_g1, sum_g1};
use crate::bls::signers::Mask;
use crate::bls::{PUBLIC_KEY_BYTES, Signers};
use crate::pool::Pool;

/// Bitmaps that one thread sums at once: enough for full vectors and cheap inversions, few enough for its cache.
const MOST_BITMAPS: usize = 64;

/// Decoded keys by slot, all in the subgroup and none infinite, and their sum.
pub(super) struct Committee<F: Field> {
    crossover: &'static Crossover,
    keys: Vec<G1>,
    total: blst_p1,
    /// The keys, and behind them their sum unless it is infinite: it is one more term of the sums that need it.
    rest: Vec<Stored<F>>,
}

impl<F: Field> Committee<F> {
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for an empty committee, or for the first key that is no valid public key.
    pub(super) fn prepare(
        pool: &Pool,
        crossover: &'static Crossover,
        encoded: &[[u8; PUBLIC_KEY_BYTES]],
    ) -> Result<Self, Error> {
        let keys = committee_keys(pool, encoded)?;
        let mut rest = stored_g1(&keys);
        let total = if keys.len() < crossover.keys { sum_g1(&keys) } else { sum(&rest) };
        if total != blst_p1::default() {
            rest.extend(stored_g1::<F>(&affine_g1(&[total])));
        }
        Ok(Self { crossover, keys, total, rest })
    }

    /// Slots in the committee.
    pub(super) fn slots(&self) -> usize {
        self.keys.len()
    }

    /// The sum of the keys of each item's signers, none if it is infinite. They passed [`Signers::check`].
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub(super) fn keys(
        &self,
        pool: &Pool,
        control: &Control,
        signers: &[&Signers],
    ) -> Result<Vec<Option<Stored<F>>>, Error> {
        let bitmaps: Vec<&[u8]> = signers
            .iter()
            .filter_map(|signers| match signers {
                Signers::One(_) => None,
                Signers::Bitmap(bitmap) => Some(&bitmap[..]),
            })
            .collect();
        let sums = affine_g1(&self.sums(pool, control, &bitmaps)?);
        let finite: Vec<G1> = sums.iter().filter(|sum| !is_infinite_g1(sum)).copied().collect();
        let mut finite = stored_g1(&finite).into_iter();
        let mut sums = sums.iter().map(|sum| if is_infinite_g1(sum) { None } else { finite.next() });
        let key = |signers: &&Signers| match signers {
            Signers::One(slot) => Some(self.rest[*slot as usize]),
            Signers::Bitmap(_) => sums.next().flatten(),
        };
        Ok(signers.iter().map(key).collect())
    }

    /// The sum of the keys that each bitmap marks. They passed `check_bitmap`.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`].
    pub(super) fn sums(&self, pool: &Pool, control: &Control, bitmaps: &[&[u8]]) -> Result<Vec<blst_p1>, Error> {
        let ranges = chunks(pool, bitmaps.len());
        let sums = pool.try_map(ranges.len(), |i| {
            control.check()?;
            Ok(self.masked_sums(&bitmaps[ranges[i].clone()]))
        })?;
        Ok(sums.into_iter().flatten().collect())
    }

    /// Which way [`Committee::sums`] goes for these bitmaps.
    pub(super) fn path(&self, bitmaps: &[&[u8]]) -> &'static str {
        let terms: usize = bitmaps.iter().map(|bitmap| Mask::new(bitmap, self.slots()).terms).sum();
        if terms < self.crossover.keys { "scalar" } else { "lanes" }
    }

    fn masked_sums(&self, bitmaps: &[&[u8]]) -> Vec<blst_p1> {
        let masks: Vec<Mask<'_>> = bitmaps.iter().map(|bitmap| Mask::new(bitmap, self.slots())).collect();
        if masks.iter().map(|mask| mask.terms).sum::<usize>() < self.crossover.keys {
            return masks.iter().map(|mask| self.scalar_sum(mask)).collect();
        }
        let terms = |mask: &Mask<'_>| {
            // The other keys less the total: the negative of what is asked for.
            let total = (mask.inverted && self.rest.len() > self.slots()).then(|| Term::minus(self.slots()));
            mask.slots(self.slots()).map(Term::plus).chain(total).collect::<Vec<_>>()
        };
        let lists: Vec<Vec<Term>> = masks.iter().map(terms).collect();
        let sums = sums(&self.rest, &lists.iter().map(|list| &list[..]).collect::<Vec<_>>());
        let signed = |(sum, mask): (blst_p1, &Mask<'_>)| if mask.inverted { negate_g1(sum) } else { sum };
        sums.into_iter().zip(&masks).map(signed).collect()
    }

    fn scalar_sum(&self, mask: &Mask<'_>) -> blst_p1 {
        let keys: Vec<G1> = mask.slots(self.slots()).map(|slot| self.keys[slot]).collect();
        let sum = sum_g1(&keys);
        if mask.inverted { add_g1(&self.total, &negate_g1(sum)) } else { sum }
    }
}

/// Cuts `0..n` bitmaps into pieces for all threads.
fn chunks(pool: &Pool, n: usize) -> Vec<Range<usize>> {
    let cut = |range: Range<usize>| {
        let pieces = range.len().div_ceil(MOST_BITMAPS);
        let at = move |i: usize| range.start + range.len() * i / pieces.max(1);
        (0..pieces).map(move |i| at(i)..at(i + 1)).collect::<Vec<_>>()
    };
    pool.ranges(n, 1).into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::super::field::{Emulated, Fp49, Fp52};
    use super::*;
    use crate::backend::Kernel;
    use crate::bls::AggregateKeys;
    use crate::bls::material;
    use crate::bls::points::jacobian_g1;
    use crate::bls::signers::{bitmap_of, is_marked};
    use rand::Rng;

    fn masked_sums_are_blsts<F: Field>(counts: &[usize]) {
        let encoded = material::committee(AggregateKeys::NAME, 130, 5);
        let mut rng = super::super::sums::tests::random(21);
        for threads in [1, 3] {
            let pool = Pool::new(threads).unwrap();
            for slots in [1, 2, 3, 9, 130] {
                let committee = Committee::<F>::prepare(&pool, Crossover::whole(), &encoded[..slots]).unwrap();
                for &count in counts {
                    let mut marked = |percent: u32| {
                        let draws: Vec<u32> = (0..slots).map(|_| rng.next_u32() % 100).collect();
                        bitmap_of(slots, |slot| slot == 0 || draws[slot] < percent)
                    };
                    let bitmaps: Vec<Vec<u8>> =
                        [0, 100, 50, 10, 90, 97].into_iter().cycle().take(count).map(&mut marked).collect();
                    let want = |bitmap: &Vec<u8>| {
                        let keys = (0..slots).filter(|slot| is_marked(bitmap, *slot)).map(|slot| committee.keys[slot]);
                        sum_g1(&keys.collect::<Vec<_>>())
                    };
                    let want: Vec<_> = bitmaps.iter().map(want).collect();
                    let signers: Vec<Signers> = bitmaps.iter().cloned().map(Signers::Bitmap).collect();
                    let signers: Vec<&Signers> = signers.iter().collect();
                    assert_eq!(keys(&committee, &pool, &signers), affine_g1(&want), "{slots} slots");
                }
                assert_eq!(keys(&committee, &pool, &[&Signers::One(0)]), [committee.keys[0]]);
            }
        }
    }

    #[test]
    fn masked_sums_are_blsts_for_any_mask_and_any_number_of_bitmaps() {
        masked_sums_are_blsts::<Fp49>(&[0, 1, 2, 3, 4, 7, 70]);
        masked_sums_are_blsts::<Fp52<Emulated>>(&[1, 7, 8, 9]);
    }

    fn keys<F: Field>(committee: &Committee<F>, pool: &Pool, signers: &[&Signers]) -> Vec<G1> {
        let keys = committee.keys(pool, &Control::default(), signers).unwrap();
        keys.iter().map(|key| key.map_or_else(G1::default, |key| super::super::convert::affine_g1(&[key])[0])).collect()
    }

    #[test]
    fn the_same_key_in_every_slot_is_summed_right() {
        let pool = Pool::new(1).unwrap();
        let encoded = vec![material::committee(AggregateKeys::NAME, 1, 6)[0]; 40];
        let committee = Committee::<Fp49>::prepare(&pool, Crossover::whole(), &encoded).unwrap();
        for marked in [1, 2, 20, 21, 39, 40] {
            let bitmap = bitmap_of(40, |slot| slot < marked);
            let want = (0..marked).fold(blst_p1::default(), |sum, _| add_g1(&sum, &jacobian_g1(&committee.keys[0])));
            assert_eq!(committee.sums(&pool, &Control::default(), &[&bitmap]).unwrap(), [want]);
        }
    }

    #[test]
    fn a_bad_key_is_named() {
        let pool = Pool::new(1).unwrap();
        let mut encoded = material::committee(AggregateKeys::NAME, 3, 7);
        encoded[1] = [0xff; PUBLIC_KEY_BYTES];
        let refused =
            |encoded: &[_]| Committee::<Fp49>::prepare(&pool, Crossover::whole(), encoded).err().unwrap().to_string();
        assert!(refused(&encoded).contains("key 1: bad point encoding"));
        assert!(refused(&[]).contains("no keys"));
    }
}
