//! Rows of `bls/aggregate-keys` and `bls/aggregate-signatures`, against blst's sums.
//!
//! Our keys are resident with the sum of all of them, so a bitmap costs the keys it leaves out. Against a sum from
//! nothing that is an algorithm's gain, not code's: a peer with the same trick stands beside it. With half of the
//! committee absent both sides add as many keys, and the ratio is the code's alone.

use blst::min_pk::{AggregatePublicKey, AggregateSignature, PublicKey, Signature};
use blst::{BLST_ERROR, MultiPoint, blst_p1, blst_p1_affine};
use shardmark_kernels::backend::{Kernel, carries_invalid};
use shardmark_kernels::bls::signers::is_marked;
use shardmark_kernels::bls::{AggregateKeys, AggregateSignatures, aggregate_keys, aggregate_signatures};

use crate::duel::{Case, Side, Table};
use crate::ours::Ours;

const SUM_KEYS: &str = concat!("blst ", env!("VERSUS_BLST"), " blst_p1s_add over the marked keys");
const ONE_AFTER_ANOTHER: &str = concat!("blst ", env!("VERSUS_BLST"), " AggregatePublicKey::aggregate");
const SAME_TRICK: &str = concat!("blst ", env!("VERSUS_BLST"), " total less blst_p1s_add over the absent keys");
const AGGREGATE: &str = concat!("blst ", env!("VERSUS_BLST"), " AggregateSignature::aggregate");
const SUM_SIGNATURES: &str = concat!("blst ", env!("VERSUS_BLST"), " subgroup checks and blst_p2s_add");

const SEED: u64 = 1;
/// Bitmaps in one call: enough that no branch predictor learns them.
const BITMAPS: u32 = 16;

/// All rows.
///
/// # Errors
///
/// The backend is unavailable, a side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for (committee, absent_percent) in [(250, 10), (1000, 10), (4096, 10), (2000, 50), (8192, 50)] {
        aggregate_keys(table, committee, absent_percent)?;
    }
    for signatures in [16, 64, 250, 1000] {
        aggregate_signatures(table, signatures, false)?;
    }
    aggregate_signatures(table, 250, true)
}

fn aggregate_keys(table: &mut Table, committee: u32, absent_percent: u32) -> Result<(), String> {
    let name = format!("committee={committee} absent_percent={absent_percent} bitmaps={BITMAPS}");
    let peers = [SUM_KEYS, ONE_AFTER_ANOTHER, SAME_TRICK];
    if !table.wants_any(AggregateKeys::NAME, &name, &peers) {
        return Ok(());
    }
    let params = aggregate_keys::Params { committee, bitmaps: BITMAPS, absent_percent };
    let setup = AggregateKeys::setup(&params, SEED);
    let input = AggregateKeys::generate(&params, &setup, SEED, 0);
    let ours = Ours::<AggregateKeys>::open(table.backend, &setup)?;
    let want = ours.checked(&setup, &input)?;
    let mut session = ours.load(&input)?;
    let path = session.path();
    let keys = setup.keys.iter().map(|bytes| PublicKey::key_validate(bytes));
    let keys = Committee::new(keys.collect::<Result<_, _>>().map_err(|e| format!("{e:?}"))?);
    let items = AggregateKeys::work(&params).items;
    let case = Case { kernel: AggregateKeys::NAME, name: &name, items, ours: &ours.description, path };
    let resident =
        "from bitmaps to compressed sums, keys validated and resident, ours with their total; an item is a bitmap";
    for peer in peers {
        let timed = match peer {
            SAME_TRICK => format!("{resident}; the peer's total is resident too"),
            _ if absent_percent == 0 => {
                format!("{resident}: with nobody absent ours returns the total, which says nothing about additions")
            }
            _ => format!("{resident}; the peer sums from nothing"),
        };
        let sum = |bitmap: &[u8]| match peer {
            SUM_KEYS => Some(keys.sum(|slot| is_marked(bitmap, slot)).to_public_key()),
            ONE_AFTER_ANOTHER => keys.one_after_another(bitmap),
            _ => Some(keys.total_less_absent(bitmap)),
        };
        let mut theirs = || {
            let mut pairs = input.iter().zip(&want);
            pairs.all(|(bitmap, want)| sum(bitmap).map(|key| key.compress()) == want.ok())
        };
        table.duel(&case, peer, &timed, &mut || session.output().as_ref() == Some(&want), &mut theirs)?;
    }
    Ok(())
}

/// Resident keys, as blst's user holds them.
struct Committee {
    keys: Vec<PublicKey>,
    total: AggregatePublicKey,
}

impl Committee {
    fn new(keys: Vec<PublicKey>) -> Self {
        let total = keys.add();
        Self { keys, total }
    }

    /// blst's batch-affine sum, by pointers so that no key is copied; infinity if none is chosen.
    fn sum(&self, chosen: impl Fn(usize) -> bool) -> AggregatePublicKey {
        let chosen = self.keys.iter().enumerate().filter(|(slot, _)| chosen(*slot));
        let points: Vec<*const blst_p1_affine> = chosen.map(|(_, key)| <&blst_p1_affine>::from(key) as _).collect();
        let mut sum = blst_p1::default();
        if !points.is_empty() {
            // SAFETY: the function reads as many pointers as it is told, each to a point that `self` holds.
            unsafe { blst::blst_p1s_add(&mut sum, points.as_ptr(), points.len()) };
        }
        sum.into()
    }

    fn one_after_another(&self, bitmap: &[u8]) -> Option<PublicKey> {
        let marked = self.keys.iter().enumerate().filter(|(slot, _)| is_marked(bitmap, *slot));
        let marked: Vec<&PublicKey> = marked.map(|(_, key)| key).collect();
        AggregatePublicKey::aggregate(&marked, false).ok().map(|sum| sum.to_public_key())
    }

    fn total_less_absent(&self, bitmap: &[u8]) -> PublicKey {
        let mut sum = self.total;
        sum.sub_aggregate(&self.sum(|slot| !is_marked(bitmap, slot)));
        sum.to_public_key()
    }
}

fn aggregate_signatures(table: &mut Table, signatures: u32, from_bytes: bool) -> Result<(), String> {
    let from = if from_bytes { "bytes" } else { "points" };
    let name = format!("groups=1 signatures={signatures} from={from}");
    let peers = [AGGREGATE, SUM_SIGNATURES];
    if !table.wants_any(AggregateSignatures::NAME, &name, &peers) {
        return Ok(());
    }
    let params = aggregate_signatures::Params { groups: 1, signatures };
    let iteration = (0..).find(|&iteration| !carries_invalid(SEED, iteration)).unwrap_or_default();
    let input = AggregateSignatures::generate(&params, &(), SEED, iteration);
    let ours = Ours::<AggregateSignatures>::open(table.backend, &())?;
    let want = ours.checked(&(), &input)?;
    let mut session = ours.load(&input)?;
    let path = session.path();
    let mut our_points = || session.output().as_ref() == Some(&want);
    let mut our_bytes = || ours.compute(&input).as_ref() == Some(&want);

    let decode = || input[0].iter().map(|bytes| Signature::uncompress(bytes)).collect::<Result<Vec<_>, _>>();
    let signatures = decode().map_err(|e| format!("{e:?}"))?;
    let references: Vec<&Signature> = signatures.iter().collect();
    let encoded: Vec<&[u8]> = input[0].iter().map(<[u8; 96]>::as_slice).collect();
    let is_right = |sum: Result<AggregateSignature, BLST_ERROR>| {
        sum.is_ok_and(|sum| [Ok(sum.to_signature().compress())] == want[..])
    };
    let sum = |signatures: &[Signature]| signatures.validate().map(|()| signatures.add());

    // As everywhere, an item is what the kernel counts.
    let items = AggregateSignatures::work(&params).items;
    let case = Case { kernel: AggregateSignatures::NAME, name: &name, items, ours: &ours.description, path };
    let decoding = if from_bytes { "signatures from compressed bytes" } else { "signatures decoded before" };
    let timed = format!("{decoding}, subgroup checks, sum and its compressed encoding inside");
    for peer in peers {
        let ours: Side = if from_bytes { &mut our_bytes } else { &mut our_points };
        let theirs: Side = match (peer, from_bytes) {
            (AGGREGATE, false) => &mut || is_right(AggregateSignature::aggregate(&references, true)),
            (AGGREGATE, true) => &mut || is_right(AggregateSignature::aggregate_serialized(&encoded, true)),
            (_, false) => &mut || is_right(sum(&signatures)),
            (_, true) => &mut || is_right(decode().and_then(|signatures| sum(&signatures))),
        };
        table.duel(&case, peer, &timed, ours, theirs)?;
    }
    Ok(())
}
