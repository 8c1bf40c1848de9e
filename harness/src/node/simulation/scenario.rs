//! What a run is like: drawn from a seed for storms, or as a test needs it.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardmark_kernels::erasure::Code;

use crate::fbft::api::Planted;
use crate::fbft::committee::Votes;
use crate::ledger::workload::Workload;
use crate::net::sim::Link;
use crate::propagation::Relay;
use crate::types::Millis;

/// The timeout of view 0.
pub const VIEW_TIMEOUT_MS: Millis = 1000;

/// How a faulty validator behaves. It has its own keys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Sends nothing.
    Silent,
    /// As a leader proposes two valid blocks to two halves; as a voter votes for all it sees.
    Equivocating,
    /// Half of its consensus signatures are wrong.
    WrongSignature,
    /// Half of the chunks it sends or relays are corrupted, and half of what it answers to those who catch up.
    BadChunk,
    /// Relays as a run may ask for; honest otherwise.
    Relay(Relay),
    /// As a leader commits to chunks, rightly proven, that are no body's.
    BadEncoding,
    /// Repeats what it received and sent, on every lane, at any time to anybody.
    Replaying,
    /// Everything comes late.
    Late,
    /// As a leader proposes blocks that lie.
    InvalidBlock(Lie),
    /// As a leader of a later view proposes a fresh block whatever its NewView demands; hides its own lock.
    Lying,
    /// As a leader keeps the prepared certificate to itself, and later passes its votes off as votes of a newer view.
    Withholding,
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    StateRoot,
    ReceiptsRoot,
    Count,
    DoubleSpend,
    BadTransaction,
    TrailingByte,
    Vrf,
    VrfOutput,
    Delay,
}

const LIES: [Lie; 9] = [
    Lie::StateRoot,
    Lie::ReceiptsRoot,
    Lie::Count,
    Lie::DoubleSpend,
    Lie::BadTransaction,
    Lie::TrailingByte,
    Lie::Vrf,
    Lie::VrfOutput,
    Lie::Delay,
];

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub validators: usize,
    pub workload: Workload,
    /// How bodies are cut; `None` is broadcast of the whole block.
    pub code: Option<Code>,
    /// Keys of each validator.
    pub keys: u16,
    pub votes: Votes,
    pub rotation_blocks: u64,
    pub faults: Vec<Option<Fault>>,
    pub planted: Option<Planted>,
    /// The network until it heals.
    pub link: Link,
    /// Chance that a validator crashes while it carries out the answer to an input.
    pub crash_per_mille: u32,
    /// Whether the network is cut into parts now and then.
    pub partitions: bool,
    /// Whether all lose power at once now and then.
    pub outages: bool,
    /// Whether the first validator at which a block becomes final is at times cut off before it can tell anybody.
    pub isolates: bool,
    pub heal_at: Millis,
    /// Blocks of a beacon window; 0 is no beacon.
    pub beacon_blocks: u64,
    /// Real signatures instead of keyed hashes.
    pub bls: bool,
    /// Whether every promise is watched at every message, or only what comes of it.
    pub strict: bool,
    /// Prints every step.
    pub trace: bool,
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

impl Scenario {
    /// Nothing goes wrong.
    pub fn calm(seed: u64, validators: usize) -> Self {
        Self {
            seed,
            validators,
            workload: Workload::Transfers,
            code: Some(Code::RsVandermonde),
            keys: 1,
            votes: Votes::PerValidator,
            rotation_blocks: 3,
            faults: vec![None; validators],
            planted: None,
            link: Link::reliable(1, 20),
            crash_per_mille: 0,
            partitions: false,
            outages: false,
            isolates: false,
            heal_at: 3000,
            beacon_blocks: 0,
            bls: false,
            strict: true,
            trace: false,
        }
    }

    /// Bad times drawn from a seed, with up to f faulty validators.
    pub fn storm(seed: u64, validators: usize) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed ^ (validators as u64) << 48);
        let mut faults = vec![None; validators];
        for _ in 0..rng.random_range(0..=(validators - 1) / 3) {
            let lie = pick(rng, &LIES);
            faults[rng.random_range(0..validators)] = Some(pick(
                rng,
                &[
                    Fault::Silent,
                    Fault::Equivocating,
                    Fault::WrongSignature,
                    Fault::BadChunk,
                    Fault::BadEncoding,
                    Fault::Replaying,
                    Fault::Late,
                    Fault::InvalidBlock(lie),
                    Fault::Lying,
                    Fault::Withholding,
                ],
            ));
        }
        Self {
            workload: pick(rng, &[Workload::Transfers, Workload::Opaque]),
            code: (!rng.random_bool(0.15)).then(|| Code::ALL[seed as usize % Code::ALL.len()]),
            keys: pick(rng, &[1, 1, 2]),
            votes: pick(rng, &[Votes::PerKey, Votes::PerValidator]),
            rotation_blocks: pick(rng, &[0, 1, 3]),
            faults,
            link: Link {
                min_delay_ms: 1,
                max_delay_ms: pick(rng, &[10, 50, 150]),
                lost_per_mille: pick(rng, &[0, 20, 100, 250]),
                duplicated_per_mille: pick(rng, &[0, 50]),
                reordered_per_mille: pick(rng, &[0, 100]),
            },
            crash_per_mille: pick(rng, &[0, 1, 5]),
            partitions: rng.random_bool(0.4),
            outages: rng.random_bool(0.2),
            isolates: rng.random_bool(0.2),
            heal_at: 4000,
            beacon_blocks: pick(rng, &[0, 0, 0, 0, 0, 4]),
            ..Self::calm(seed, validators)
        }
    }

    /// A storm on real signatures, shorter because they are dear.
    pub fn bls_storm(seed: u64, validators: usize) -> Self {
        Self { bls: true, keys: 1, heal_at: 1500, ..Self::storm(seed, validators) }
    }

    pub fn is_honest(&self, validator: usize) -> bool {
        self.faults[validator].is_none()
    }

    /// How a validator relays.
    pub fn relay(&self, validator: usize) -> Relay {
        match self.faults[validator] {
            Some(Fault::Relay(relay)) => relay,
            _ => Relay::Honest,
        }
    }

    /// The honest validators.
    pub fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.validators).filter(|&validator| self.is_honest(validator))
    }
}
