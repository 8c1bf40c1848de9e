//! Rows of `bls/verify-batch`: against blst's batch call, one by one and aggregation, and against commonware-cryptography.
//!
//! `from=points`: keys and signatures are decoded before, as each side holds them; `from=bytes`: signatures are decoded
//! inside the timed region. Keys are validated and resident in both.

use blst::min_pk::{PublicKey, Signature};
use blst::{BLST_ERROR, MultiPoint, blst_scalar};
use commonware_codec::{Copying, DecodeExt};
use commonware_cryptography::bls12381::primitives::group::{G1, G2};
use commonware_cryptography::bls12381::primitives::ops::batch;
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_parallel::Sequential;
use commonware_utils::iter::NonEmpty;
use shardmark_kernels::backend::{BackendId, Kernel, generator};
use shardmark_kernels::bls::verify_batch::{Input, Setup};
use shardmark_kernels::bls::{SCHEME, SecretKey, SignatureSet, Signers, VerifyBatch};

use crate::duel::{Case, Side, Table};
use crate::ours::Ours;

const MULTIPLE: &str = concat!("blst ", env!("VERSUS_BLST"), " verify_multiple_aggregate_signatures");
const ONE_BY_ONE: &str = concat!("blst ", env!("VERSUS_BLST"), " one by one");
const AGGREGATED: &str =
    concat!("blst ", env!("VERSUS_BLST"), " sums and one verification, NO verdict per vote: forged votes can cancel");
const RECOMPOSED: &str = concat!(
    "blst ",
    env!("VERSUS_BLST"),
    " recomposed: subgroup checks, two 64-bit Pippenger sums, two pairings; one verdict for all"
);
const OUR_CPU: &str = "shardmark cpu";
const COMMONWARE: &str = concat!("commonware-cryptography ", env!("VERSUS_COMMONWARE"), " verify_same_message");

/// Weights of [`MULTIPLE`], as wide as ours.
const WEIGHT_BITS: usize = 64;
/// One-by-one verification of more sets tells nothing new and takes long.
const MOST_ONE_BY_ONE: usize = 250;

/// What a batch holds and how it arrives.
#[derive(Clone, Copy)]
struct Shape {
    sets: usize,
    messages: usize,
    bad: usize,
    from_bytes: bool,
}

const fn shape(sets: usize, messages: usize, bad: usize, from_bytes: bool) -> Shape {
    Shape { sets, messages, bad, from_bytes }
}

const SHAPES: [Shape; 15] = [
    shape(1, 1, 0, false),
    shape(8, 8, 0, false),
    shape(32, 32, 0, false),
    shape(128, 128, 0, false),
    shape(1024, 1024, 0, false),
    shape(10, 1, 0, false),
    shape(100, 1, 0, false),
    shape(250, 1, 0, false),
    shape(1000, 1, 0, false),
    shape(250, 1, 1, false),
    shape(250, 1, 8, false),
    shape(128, 128, 0, true),
    shape(1024, 1024, 0, true),
    shape(250, 1, 0, true),
    shape(250, 1, 1, true),
];

/// Batch sizes of the curve: our own backends against each other.
const CURVE: [usize; 19] = [1, 2, 3, 4, 6, 8, 10, 16, 24, 32, 48, 64, 96, 128, 250, 512, 1024, 2048, 4096];

/// All rows.
///
/// # Errors
///
/// The backend is unavailable, a side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    SHAPES.into_iter().try_for_each(|shape| shape.rows(table))
}

/// Every size from 1 to 4,096 sets against our own `cpu`: one message for all, ten sets a message, all distinct.
///
/// # Errors
///
/// As [`rows`].
pub fn curve(table: &mut Table) -> Result<(), String> {
    CURVE.into_iter().try_for_each(|sets| {
        let mut messages = vec![1, sets.div_ceil(10), sets];
        messages.dedup();
        messages.into_iter().try_for_each(|messages| shape(sets, messages, 0, false).against(table, &[OUR_CPU]))
    })
}

impl Shape {
    /// The peers that can do this batch.
    fn peers(&self) -> Vec<&'static str> {
        let mut peers = Vec::new();
        // A batch that fails as a whole gives blst's call no verdict per set.
        if self.bad == 0 {
            peers.push(MULTIPLE);
        }
        if self.sets <= MOST_ONE_BY_ONE {
            peers.push(ONE_BY_ONE);
        }
        if self.messages == 1 && self.sets > 1 {
            peers.push(COMMONWARE);
            if self.bad == 0 {
                peers.push(RECOMPOSED);
                peers.push(AGGREGATED);
            }
        }
        peers
    }

    fn rows(&self, table: &mut Table) -> Result<(), String> {
        let mut peers = self.peers();
        if table.backend != BackendId::Cpu {
            peers.push(OUR_CPU);
        }
        self.against(table, &peers)
    }

    fn against(&self, table: &mut Table, peers: &[&'static str]) -> Result<(), String> {
        let Self { sets, messages, bad, from_bytes } = *self;
        let from = if from_bytes { "bytes" } else { "points" };
        let name = format!("sets={sets} messages={messages} bad={bad} from={from}");
        if !table.wants_any(VerifyBatch::NAME, &name, peers) {
            return Ok(());
        }
        let votes = Votes::new(self)?;
        let ours = Ours::<VerifyBatch>::open(table.backend, &votes.setup)?;
        let verdicts = ours.checked(&votes.setup, &votes.input)?;
        if (0..sets).any(|i| verdicts[i].is_ok() == votes.is_bad(i)) {
            return Err(format!("{} {name}: not the sets that were made bad", VerifyBatch::NAME));
        }
        let cpu = Ours::<VerifyBatch>::open(BackendId::Cpu, &votes.setup)?;
        let mut cpu_session = cpu.load(&votes.input)?;
        let mut session = ours.load(&votes.input)?;
        let _ = session.output();
        let path = session.path();
        let case = Case { kernel: VerifyBatch::NAME, name: &name, items: sets as u64, ours: &ours.description, path };
        let mut our_points = || session.output().as_ref() == Some(&verdicts);
        let mut our_bytes = || ours.compute(&votes.input).as_ref() == Some(&verdicts);
        for &peer in peers {
            let ours: Side = if from_bytes { &mut our_bytes } else { &mut our_points };
            let theirs: Side = match (peer, from_bytes) {
                (MULTIPLE, false) => &mut votes.multiple(),
                (MULTIPLE, true) => &mut || votes.multiple_from_bytes(),
                (ONE_BY_ONE, false) => &mut || votes.one_by_one(),
                (ONE_BY_ONE, true) => &mut || votes.one_by_one_from_bytes(),
                (COMMONWARE, false) => &mut votes.commonware()?,
                (COMMONWARE, true) => &mut votes.commonware_from_bytes()?,
                (OUR_CPU, false) => &mut || cpu_session.output().as_ref() == Some(&verdicts),
                (OUR_CPU, true) => &mut || cpu.compute(&votes.input).as_ref() == Some(&verdicts),
                (RECOMPOSED, false) => &mut || votes.recomposed(&votes.signatures),
                (RECOMPOSED, true) => &mut || votes.decoded().is_some_and(|signatures| votes.recomposed(&signatures)),
                (_, false) => &mut || votes.aggregated(&votes.signatures),
                (_, true) => &mut || votes.decoded().is_some_and(|signatures| votes.aggregated(&signatures)),
            };
            table.duel(&case, peer, &timed(peer, from_bytes), ours, theirs)?;
        }
        Ok(())
    }
}

fn timed(peer: &str, from_bytes: bool) -> String {
    let decoding = if from_bytes { "signatures from compressed bytes" } else { "signatures decoded before" };
    let theirs = match peer {
        MULTIPLE => "the peer's 64 bits, drawn before",
        ONE_BY_ONE => "the peer's none",
        OUR_CPU => "the cpu backend's 64 bits likewise",
        RECOMPOSED => "the peer's 64 bits, drawn before",
        COMMONWARE if from_bytes => "the peer's 128 bits from a fast generator; its decoder checks the subgroup",
        COMMONWARE => {
            "the peer's 128 bits from a fast generator; its caller's subgroup checks are inside, through blst"
        }
        _ => "the peer's none",
    };
    format!(
        "keys resident, {decoding}, hashing and signature subgroup checks inside; weights: ours at least 64 bits drawn \
         from the system inside, {theirs}"
    )
}

/// One batch, as our side and as blst's users hold it.
struct Votes {
    setup: Setup,
    input: Input,
    keys: Vec<PublicKey>,
    signatures: Vec<Signature>,
    scalars: Vec<blst_scalar>,
    bad: Vec<usize>,
}

impl Votes {
    /// Each set has its own key; messages are dealt in turn. Each message begins with the zero byte by which commonware
    /// frames an empty namespace, so that every peer verifies the same bytes. A bad set carries its key's signature of
    /// another message: a point of the subgroup, which only the equation can refuse.
    fn new(shape: &Shape) -> Result<Self, String> {
        let secrets: Vec<SecretKey> = (0..shape.sets).map(secret).collect();
        let messages: Vec<Vec<u8>> =
            (0..shape.messages).map(|i| [&[0u8][..], &(i as u64).to_le_bytes(), &[7; 24]].concat()).collect();
        // Spread evenly, on no boundary of a search by halves.
        let bad: Vec<usize> = (0..shape.bad).map(|i| shape.sets * (9 * i + 5) / (9 * shape.bad)).collect();
        let sets = secrets.iter().enumerate().map(|(i, secret)| {
            let message = i % messages.len();
            let signed: &[u8] = if bad.contains(&i) { b"another message" } else { &messages[message] };
            SignatureSet { signers: Signers::One(i as u32), message: message as u32, signature: secret.sign(signed) }
        });
        let sets: Vec<SignatureSet> = sets.collect();
        let encoded: Vec<_> = secrets.iter().map(SecretKey::public_key).collect();
        let keys: Result<Vec<_>, _> = encoded.iter().map(|bytes| PublicKey::key_validate(bytes)).collect();
        let signatures: Result<Vec<_>, _> = sets.iter().map(|set| Signature::uncompress(&set.signature)).collect();
        let text = |e: BLST_ERROR| format!("{e:?}");
        Ok(Self {
            setup: Setup { keys: encoded },
            keys: keys.map_err(text)?,
            signatures: signatures.map_err(text)?,
            scalars: (0..shape.sets).map(scalar).collect(),
            input: Input { messages, sets },
            bad,
        })
    }

    fn is_bad(&self, set: usize) -> bool {
        self.bad.contains(&set)
    }

    fn message(&self, set: usize) -> &[u8] {
        &self.input.messages[set % self.input.messages.len()]
    }

    /// The signatures from their bytes; the subgroup is not checked.
    fn decoded(&self) -> Option<Vec<Signature>> {
        self.input.sets.iter().map(|set| Signature::uncompress(&set.signature).ok()).collect()
    }

    /// blst's call wants slices of references: they are built once.
    fn multiple(&self) -> impl FnMut() -> bool {
        let messages: Vec<&[u8]> = (0..self.keys.len()).map(|set| self.message(set)).collect();
        let keys: Vec<&PublicKey> = self.keys.iter().collect();
        let signatures: Vec<&Signature> = self.signatures.iter().collect();
        move || verify_multiple(&messages, &keys, &signatures, &self.scalars)
    }

    fn multiple_from_bytes(&self) -> bool {
        let Some(signatures) = self.decoded() else { return false };
        let messages: Vec<&[u8]> = (0..self.keys.len()).map(|set| self.message(set)).collect();
        let keys: Vec<&PublicKey> = self.keys.iter().collect();
        verify_multiple(&messages, &keys, &signatures.iter().collect::<Vec<_>>(), &self.scalars)
    }

    fn verify(&self, set: usize, signature: &Signature) -> bool {
        let verdict = signature.verify(true, self.message(set), SCHEME.as_bytes(), &[], &self.keys[set], false);
        (verdict == BLST_ERROR::BLST_SUCCESS) != self.is_bad(set)
    }

    fn one_by_one(&self) -> bool {
        self.signatures.iter().enumerate().all(|(set, signature)| self.verify(set, signature))
    }

    fn one_by_one_from_bytes(&self) -> bool {
        let mut sets = self.input.sets.iter().enumerate();
        sets.all(|(i, set)| Signature::uncompress(&set.signature).is_ok_and(|signature| self.verify(i, &signature)))
    }

    /// The sums by blst's batch-affine additions, its fastest.
    fn aggregated(&self, signatures: &[Signature]) -> bool {
        let sum = signatures.add().to_signature();
        let key = self.keys.add().to_public_key();
        let verdict = sum.fast_aggregate_verify_pre_aggregated(false, self.message(0), SCHEME.as_bytes(), &key);
        signatures.validate().is_ok() && verdict == BLST_ERROR::BLST_SUCCESS
    }

    /// What blst's public calls allow for votes on one message, with weights.
    fn recomposed(&self, signatures: &[Signature]) -> bool {
        let weights: Vec<u8> = self.scalars.iter().flat_map(|scalar| scalar.b[..WEIGHT_BITS / 8].to_vec()).collect();
        let sum = signatures.mult(&weights, WEIGHT_BITS).to_signature();
        let key = self.keys.mult(&weights, WEIGHT_BITS).to_public_key();
        let verdict = sum.fast_aggregate_verify_pre_aggregated(false, self.message(0), SCHEME.as_bytes(), &key);
        signatures.iter().all(Signature::subgroup_check) && verdict == BLST_ERROR::BLST_SUCCESS
    }

    /// commonware's call asks that its caller checked the groups: blst does, in the timed region, because ours does too.
    fn commonware(&self) -> Result<impl FnMut() -> bool, String> {
        let keys = self.commonware_keys()?;
        let signatures = self.input.sets.iter().map(|set| G2::decode(Copying(&set.signature)));
        let signatures: Vec<G2> = signatures.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        Ok(move || self.signatures.iter().all(Signature::subgroup_check) && self.same_message(&keys, &signatures))
    }

    fn commonware_from_bytes(&self) -> Result<impl FnMut() -> bool, String> {
        let keys = self.commonware_keys()?;
        Ok(move || {
            let signatures = self.input.sets.iter().map(|set| G2::decode(Copying(&set.signature)));
            signatures.collect::<Result<Vec<G2>, _>>().is_ok_and(|signatures| self.same_message(&keys, &signatures))
        })
    }

    fn commonware_keys(&self) -> Result<Vec<G1>, String> {
        let keys = self.setup.keys.iter().map(|bytes| G1::decode(Copying(bytes)));
        keys.collect::<Result<_, _>>().map_err(|e| e.to_string())
    }

    fn same_message(&self, keys: &[G1], signatures: &[G2]) -> bool {
        let message = &self.message(0)[1..];
        let Some(entries) = NonEmpty::try_new(keys.iter().copied().zip(signatures.iter().copied())) else {
            return false;
        };
        let mut rng = generator("versus", 1, 1);
        let bad = batch::verify_same_message::<_, MinPk, _>(&mut rng, &[], message, entries, &Sequential);
        bad.into_iter().eq(self.bad.iter().copied())
    }
}

fn verify_multiple(
    messages: &[&[u8]],
    keys: &[&PublicKey],
    signatures: &[&Signature],
    scalars: &[blst_scalar],
) -> bool {
    let dst = SCHEME.as_bytes();
    let verdict = Signature::verify_multiple_aggregate_signatures(
        messages,
        dst,
        keys,
        false,
        signatures,
        true,
        scalars,
        WEIGHT_BITS,
    );
    verdict == BLST_ERROR::BLST_SUCCESS
}

fn secret(index: usize) -> SecretKey {
    let mut material = [0x5a; 32];
    material[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SecretKey::from_ikm(&material)
}

/// A fixed odd 64-bit weight: blst leaves drawing them to its caller, and the peer's timed region holds none of it.
fn scalar(index: usize) -> blst_scalar {
    let mut scalar = blst_scalar::default();
    scalar.b[..8].copy_from_slice(&((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes());
    scalar
}
