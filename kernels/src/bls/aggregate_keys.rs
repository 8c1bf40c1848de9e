//! Kernel `bls/aggregate-keys`: for each bitmap, the sum of the committee keys that it marks.
//!
//! This is what a quorum certificate's signature is checked against. Unlike [`super::AggregateSignatures`], the points
//! are resident: an input is bitmaps only. Keys are summed as they are, so their owners must have proven possession.

use blst::min_pk::{AggregatePublicKey, PublicKey};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::material::{self, check_count, check_range};
use super::signers::{bitmap_bytes, bitmap_of, check_bitmap, is_marked};
use super::{PUBLIC_KEY_BYTES, Refusal, cpu, simd};
use crate::backend::{Backend, BackendId, Error, Kernel, Mismatch, Options, Unavailable, Work, generator};

/// The kernel.
#[derive(Debug)]
pub enum AggregateKeys {}

/// The shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Keys in the committee.
    pub committee: u32,
    /// Bitmaps in one input.
    pub bitmaps: u32,
    /// Percent of the committee that no bitmap marks, rounded down; 100 makes every bitmap empty.
    #[serde(default)]
    pub absent_percent: u32,
}

/// The committee, resident across calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Compressed keys by slot: on the curve, in the subgroup, not infinity.
    pub keys: Vec<[u8; PUBLIC_KEY_BYTES]>,
}

/// Bitmaps of signers, in the encoding of [`super::signers`].
pub type Input = Vec<Vec<u8>>;

/// For each bitmap the compressed sum, which is the encoding of infinity if the keys cancel; or [`Refusal::BadSigners`],
/// [`Refusal::Empty`].
pub type Output = Vec<Result<[u8; PUBLIC_KEY_BYTES], Refusal>>;

impl Kernel for AggregateKeys {
    const NAME: &'static str = "bls/aggregate-keys";
    type Params = Params;
    type Setup = Setup;
    type Input = Input;
    type Output = Output;

    fn validate(params: &Params) -> Result<(), Error> {
        check_count("committee", params.committee)?;
        check_count("bitmaps", params.bitmaps)?;
        check_range("absent_percent", params.absent_percent, 0, 100)
    }

    fn setup(params: &Params, seed: u64) -> Setup {
        Setup { keys: material::committee(Self::NAME, params.committee, seed) }
    }

    fn generate(params: &Params, _setup: &Setup, seed: u64, iteration: u64) -> Input {
        let mut rng = generator(Self::NAME, seed, iteration);
        let absent = (u64::from(params.committee) * u64::from(params.absent_percent) / 100) as u32;
        let mut bitmap = || {
            let absent = material::choose(&mut rng, absent, params.committee);
            bitmap_of(params.committee as usize, |slot| absent.binary_search(&(slot as u32)).is_err())
        };
        (0..params.bitmaps).map(|_| bitmap()).collect()
    }

    /// Adds one key after the other through blst's aggregate interface: mixed additions, no resident sums.
    fn check(setup: &Setup, input: &Input, output: &Output) -> Result<(), Mismatch> {
        let keys = decode_keys(&setup.keys)?;
        let want: Output = input
            .par_iter()
            .map(|bitmap| {
                check_bitmap(bitmap, keys.len()).map(|()| sum_marked(&keys, bitmap).to_public_key().compress())
            })
            .collect();
        compare(output, &want)
    }

    fn work(params: &Params) -> Work {
        let bitmaps = u64::from(params.bitmaps);
        Work { items: bitmaps, bytes: bitmaps * bitmap_bytes(params.committee as usize) as u64 }
    }

    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
        match id {
            BackendId::Cpu => Ok(Box::new(cpu::Cpu::open(options)?)),
            BackendId::Simd => simd::open(options),
            #[cfg(feature = "wgpu")]
            BackendId::Wgpu => Ok(Box::new(super::wgpu::Device::open(options)?)),
            #[cfg(not(feature = "wgpu"))]
            BackendId::Wgpu => Err(Unavailable::NotCompiled),
            BackendId::Cuda => Err(Unavailable::NotImplemented),
        }
    }
}

/// The oracle's keys.
pub(super) fn decode_keys(keys: &[[u8; PUBLIC_KEY_BYTES]]) -> Result<Vec<PublicKey>, Mismatch> {
    let decode = |(item, key): (usize, &[u8; PUBLIC_KEY_BYTES])| {
        PublicKey::uncompress(key).map_err(|e| Mismatch {
            item,
            got: "a prepared setup".to_owned(),
            want: format!("a refusal of key {item}: {e:?}"),
        })
    };
    keys.par_iter().enumerate().map(|(item, key)| decode((item, key))).collect()
}

/// The oracle's sum: one mixed addition a key. `bitmap` was checked.
pub(super) fn sum_marked(keys: &[PublicKey], bitmap: &[u8]) -> AggregatePublicKey {
    let mut marked = keys.iter().enumerate().filter(|(slot, _)| is_marked(bitmap, *slot)).map(|(_, key)| key);
    let first = marked.next().map(AggregatePublicKey::from_public_key);
    let mut sum = first.unwrap_or_else(|| AggregatePublicKey::from(blst::blst_p1::default()));
    for key in marked {
        // Only a requested validation could fail, and none is.
        let _ = sum.add_public_key(key, false);
    }
    sum
}

/// The first item on which two outputs differ.
pub(super) fn compare<T: PartialEq + std::fmt::Debug>(got: &[T], want: &[T]) -> Result<(), Mismatch> {
    if got.len() != want.len() {
        let item = got.len().min(want.len());
        return Err(Mismatch { item, got: format!("{} items", got.len()), want: format!("{} items", want.len()) });
    }
    match got.iter().zip(want).position(|(got, want)| got != want) {
        None => Ok(()),
        Some(item) => Err(Mismatch { item, got: format!("{:02x?}", got[item]), want: format!("{:02x?}", want[item]) }),
    }
}
