//! `summary.json`: what a run concludes. Its JSON Schema is committed as `schema/summary.schema.json`.
//!
//! Unknown is null, never 0. Durations are nanoseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::Job;
use super::propagation::Propagation;
use crate::types::{ChainId, ShardId};

/// Version of `summary.json`.
pub const SCHEMA: u32 = 1;

/// One run's conclusions, computed from its bundle's files alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// 1.
    pub schema: u32,
    /// Name of the run.
    pub name: String,
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// Seed.
    pub seed: u64,
    /// Backend of each kernel family: `bls`, `vdf`, `erasure`, `secp256k1`.
    pub backends: BTreeMap<String, String>,
    /// Hash of the configuration.
    pub config_hash: String,
    /// Git revision of the binary.
    pub revision: Option<String>,
    /// How far the numbers can be trusted.
    pub quality: Quality,
    /// What became of every scheduled transaction, over the whole run.
    pub transactions: Transactions,
    /// Rates over the measured window.
    pub rates: Rates,
    /// Blocks, over the whole run.
    pub blocks: Blocks,
    /// Transactions scheduled in the window: final at the home validator - scheduled.
    pub finality_ns: Option<Percentiles>,
    /// The same transactions: final at the home validator - sent.
    pub finality_uncorrected_ns: Option<Percentiles>,
    /// The same schedule: sent - scheduled.
    pub lateness_ns: Option<Percentiles>,
    /// Blocks in the window: final at validators with more than 2/3 of the power - proposed.
    pub block_finality_ns: Option<Percentiles>,
    /// Blocks in the window: body checked at validators with more than 2/3 of the power - announced.
    pub propagation_ns: Option<Percentiles>,
    /// How bodies travelled; absent in recordings of versions that did not mark when a proposer begins to cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// The critical path of a block, in order; shares sum to 1 with the phase `unattributed`.
    pub phases: Vec<Phase>,
    /// What sets the pace.
    pub bottleneck: Option<Bottleneck>,
    /// Kernel calls of all nodes in the window.
    pub kernels: Vec<KernelRow>,
    /// Each node.
    pub nodes: Vec<Node>,
    /// Bytes that all nodes sent / (body bytes of final blocks x receivers); the whole run's traffic.
    pub amplification: Option<f64>,
    /// What was refused, by reason, all nodes.
    pub refused: BTreeMap<String, u64>,
    /// The delay function; null when it did not run.
    pub beacon: Option<BeaconSummary>,
}

/// How far a run's numbers can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Grade {
    /// Fit to publish.
    A,
    /// Fit to compare on one machine.
    B,
    /// Shows that it works; the numbers are indicative.
    C,
    /// No result: the reasons say why.
    #[serde(rename = "invalid")]
    Invalid,
}

/// A grade and everything that lowered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// The worst grade among the reasons; A without any.
    pub grade: Grade,
    /// Each with the grade that it allows at best.
    pub reasons: Vec<Reason>,
}

/// Something that lowers a grade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The best grade a run with it can have.
    pub grade: Grade,
    /// What it is.
    pub reason: String,
}

/// Counts of transactions. Exactly:
///
/// - `scheduled = sent + unsent`
/// - `sent = admitted + rejected_at_home`
/// - `admitted = finalized + rejected_later + expired + unfinished`
/// - `rejected = rejected_at_home + rejected_later`, and `reasons` sums to `rejected`
///
/// so that `scheduled = finalized + rejected + expired` when nothing was left unsent or unfinished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    /// Due by the schedule.
    pub scheduled: u64,
    /// Handed to their home validators.
    pub sent: u64,
    /// Due and never handed over.
    pub unsent: u64,
    /// Accepted by the home validator's pool.
    pub admitted: u64,
    /// Refused, at home or later.
    pub rejected: u64,
    /// Of these, refused by the home validator.
    pub rejected_at_home: u64,
    /// Of these, dropped after admission.
    pub rejected_later: u64,
    /// In a final block.
    pub finalized: u64,
    /// Dropped because of their age.
    pub expired: u64,
    /// Still waiting when the run ended.
    pub unfinished: u64,
    /// Copies of known transactions that were refused; not among the others.
    pub duplicates: u64,
    /// `rejected` by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Whether the equations hold at every node.
    pub reconciled: bool,
}

/// Rates over the measured window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Length of the window.
    pub window_ns: u64,
    /// What the configuration asked for.
    pub scheduled_per_s: f64,
    /// Transactions in blocks that became final in the window / window.
    pub finalized_per_s: Option<f64>,
    /// Body bytes of blocks that became final in the window / window.
    pub goodput_bytes_per_s: Option<f64>,
}

/// Counts of blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Blocks {
    /// Heights final at one validator at least.
    pub finalized: u64,
    /// Views above 0 that some validator entered.
    pub view_changes: u64,
    /// Transactions in final blocks.
    pub transactions: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Blocks in the window: one's first finality - its parent's.
    pub interval_ns: Option<Percentiles>,
}

/// A distribution read from all its values or from a histogram of three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// Values.
    pub n: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile. With fewer than 100 values it is the largest.
    pub p99: u64,
    /// Largest value.
    pub max: u64,
}

/// A distribution of repeated timings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    /// Values.
    pub n: u64,
    /// Smallest.
    pub min: u64,
    /// 10th percentile.
    pub p10: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
}

/// One stretch of the critical path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Name; `unattributed` is what no recorded step explains.
    pub phase: String,
    /// Its time / all time of all blocks' critical paths.
    pub share: f64,
    /// Median over blocks.
    pub p50_ns: u64,
    /// 90th percentile over blocks.
    pub p90_ns: u64,
    /// Blocks in which it was seen.
    pub n: u64,
    /// Of this phase's time, the part in which the node that everyone waits for was inside each kernel.
    pub kernels: BTreeMap<String, f64>,
}

/// What sets the pace of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// One sentence.
    pub verdict: String,
    /// The kernel that it names, if it names one.
    pub kernel: Option<String>,
    /// The phase that it names, if it names one.
    pub phase: Option<String>,
    /// CPU time of all nodes / (cores x window); null when the cores are unknown.
    pub cpu_share: Option<f64>,
    /// Time inside each kernel (times its threads) / CPU time of all nodes, in the window. Calls that wait for a core make it
    /// larger than it is.
    pub kernel_cpu_shares: BTreeMap<String, f64>,
}

/// Calls of one kernel for one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelRow {
    /// Name.
    pub kernel: String,
    /// What the calls were for; null in a kernel sweep.
    pub job: Option<Job>,
    /// The shape; null in a pipeline, where it varies from call to call.
    pub params: Option<serde_json::Value>,
    /// Who computed.
    pub backend: String,
    /// Threads of one call.
    pub threads: u32,
    /// Items of one call: median.
    pub batch: Option<u64>,
    /// Smallest.
    pub batch_min: Option<u64>,
    /// Largest.
    pub batch_max: Option<u64>,
    /// `ok`, `unavailable` or `failed`.
    pub outcome: Outcome,
    /// Why it is not `ok`.
    pub reason: Option<String>,
    /// The path that ran.
    pub path: Option<String>,
    /// The device that ran it.
    pub device: Option<String>,
    /// Versions and build modes of what ran.
    pub build: Option<String>,
    /// Setup, once; a kernel sweep measures it.
    pub prepare_ns: Option<u64>,
    /// Decoding one input; a kernel sweep measures it.
    pub load_ns: Option<Distribution>,
    /// The work alone; a kernel sweep measures it.
    pub execute_ns: Option<Distribution>,
    /// Encoding one output; a kernel sweep measures it.
    pub output_ns: Option<Distribution>,
    /// Bytes in to verdict out.
    pub total_ns: Option<Distribution>,
    /// `total_ns` of the iterations that carry an invalid item, which the other distributions leave out.
    pub invalid_total_ns: Option<Distribution>,
    /// All calls' `total_ns` together.
    pub sum_ns: Option<u64>,
    /// Items / time.
    pub items_per_s: Option<f64>,
    /// Data bytes / time; null for kernels without data bytes.
    pub bytes_per_s: Option<f64>,
    /// Which time the rates are of; `total` when absent.
    #[serde(default, skip_serializing_if = "Timed::is_total")]
    pub timed: Timed,
    /// What evaluations of a delay function left of a deadline; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Deadline>,
}

/// Which time of a kernel row is the kernel's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Timed {
    /// `total_ns`.
    #[default]
    Total,
    /// `execute_ns`: loading does another kernel's work.
    Execute,
}

impl Timed {
    fn is_total(&self) -> bool {
        *self == Self::Total
    }
}

/// A deadline, and the evaluation that came nearest to it or was latest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    /// Time that was available.
    pub deadline_ns: u64,
    /// The slowest evaluation.
    pub slowest_ns: u64,
    /// (deadline - slowest) / deadline; below 0 is too late.
    pub margin: Option<f64>,
}

/// What came of a kernel case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Measured, and every output checked.
    Ok,
    /// The backend cannot run here.
    Unavailable,
    /// It ran, and a result was wrong or missing.
    Failed,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Name.
    pub node: String,
    /// Its index in the committee.
    pub validator: Option<u16>,
    /// Whether it ended in order; a killed node did not.
    pub closed: bool,
    /// Processes that ran under the name: above 1, it was restarted.
    pub processes: u64,
    /// Heights it finalized.
    pub finalized: u64,
    /// UDP payload bytes sent.
    pub sent_bytes: Option<u64>,
    /// UDP payload bytes received.
    pub received_bytes: Option<u64>,
    /// Packets that QUIC declared lost.
    pub lost_packets: Option<u64>,
    /// Frames dropped because a queue was full.
    pub dropped_frames: Option<u64>,
    /// CPU time of the process, from its start to its end.
    pub cpu_ns: Option<u64>,
    /// Largest sampled resident memory.
    pub rss_bytes_max: Option<u64>,
    /// Messages refused.
    pub refused: u64,
}

/// The delay function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeaconSummary {
    /// Windows in which an evaluation ended.
    pub windows: u64,
    /// Evaluations.
    pub evaluate_ns: Option<Percentiles>,
    /// Verifications.
    pub verify_ns: Option<Percentiles>,
    /// The shortest time that was available.
    pub deadline_ns: Option<u64>,
    /// (deadline - slowest evaluation - slowest verification) / deadline; below 0 is too late.
    pub margin: Option<f64>,
    /// One evaluation and one verification with nothing beside them; absent in recordings of versions that did not measure it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<BeaconAlone>,
}

/// One evaluation and one verification before any validator ran.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeaconAlone {
    /// The evaluation.
    pub evaluate_ns: u64,
    /// The verification.
    pub verify_ns: u64,
    /// (deadline - evaluation - verification) / deadline; below 0 is too late.
    pub margin: Option<f64>,
}

/// What is left of a deadline after so much time, as a part of it; below 0 is too late. `None` for a deadline of 0.
pub fn margin(deadline_ns: u64, used_ns: u64) -> Option<f64> {
    (deadline_ns > 0).then(|| (deadline_ns as f64 - used_ns as f64) / deadline_ns as f64)
}

impl KernelRow {
    /// The kernel's own time: what its rates are of.
    pub fn time_ns(&self) -> Option<&Distribution> {
        match self.timed {
            Timed::Total => self.total_ns.as_ref(),
            Timed::Execute => self.execute_ns.as_ref(),
        }
    }
}

impl Percentiles {
    /// Of all values, in any order: the smallest value that at least the fraction is not above. `None` without values.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let max = *values.last()?;
        let at = |q| nearest_rank(&values, q);
        Some(Self { n: values.len() as u64, p50: at(50), p90: at(90), p99: at(99), max })
    }

    /// Of a histogram. `None` if it is empty.
    pub fn of_histogram(histogram: &hdrhistogram::Histogram<u64>) -> Option<Self> {
        let max = histogram.max();
        // A histogram answers with the upper end of a bucket, which may lie above the largest value.
        let at = |q| histogram.value_at_quantile(q).min(max);
        (!histogram.is_empty()).then(|| Self { n: histogram.len(), p50: at(0.5), p90: at(0.9), p99: at(0.99), max })
    }
}

impl Distribution {
    /// Of all values, in any order. `None` without values.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let min = *values.first()?;
        let at = |q| nearest_rank(&values, q);
        Some(Self { n: values.len() as u64, min, p10: at(10), p50: at(50), p90: at(90) })
    }
}

/// Nearest-rank percentile of sorted, non-empty values.
pub(super) fn nearest_rank(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

impl Transactions {
    /// Whether the totals satisfy the equations. Sums saturate, so no count can wrap into place.
    pub fn reconciles(&self) -> bool {
        let sum = |parts: &[u64]| parts.iter().fold(0u64, |a, &b| a.saturating_add(b));
        self.scheduled == sum(&[self.sent, self.unsent])
            && self.sent == sum(&[self.admitted, self.rejected_at_home])
            && self.admitted == sum(&[self.finalized, self.rejected_later, self.expired, self.unfinished])
            && self.rejected == sum(&[self.rejected_at_home, self.rejected_later])
            && self.rejected == sum(&self.reasons.values().copied().collect::<Vec<_>>())
    }
}

impl Quality {
    /// The grade that these reasons allow.
    pub fn new(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.grade));
        Self { grade: reasons.first().map_or(Grade::A, |reason| reason.grade), reasons }
    }
}

/// The committed JSON Schema, pretty, with a final line break.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Summary);
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/summary.schema.json");
        if std::env::var_os("SHARDMARK_UPDATE").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")).unwrap();
            std::fs::write(path, json_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == json_schema(), "{path} is stale: SHARDMARK_UPDATE=1 cargo test rewrites it");
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let all: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(
            Percentiles::of(all.clone()).unwrap(),
            Percentiles { n: 200, p50: 100, p90: 180, p99: 198, max: 200 }
        );
        assert_eq!(Distribution::of(all).unwrap(), Distribution { n: 200, min: 1, p10: 20, p50: 100, p90: 180 });
        assert_eq!(Percentiles::of(vec![7]).unwrap(), Percentiles { n: 1, p50: 7, p90: 7, p99: 7, max: 7 });
        assert_eq!(Percentiles::of(vec![]), None);
        let mut histogram = super::super::histogram::empty();
        assert_eq!(Percentiles::of_histogram(&histogram), None);
        histogram.saturating_record(1_234_567);
        assert_eq!(Percentiles::of_histogram(&histogram).unwrap().p99, histogram.max());
    }

    #[test]
    fn each_unbalanced_count_is_noticed() {
        let balanced = Transactions {
            scheduled: 100,
            sent: 99,
            unsent: 1,
            admitted: 90,
            rejected: 11,
            rejected_at_home: 9,
            rejected_later: 2,
            finalized: 80,
            expired: 5,
            unfinished: 3,
            duplicates: 4,
            reasons: BTreeMap::from([("full".to_owned(), 9), ("stale".to_owned(), 2)]),
            reconciled: true,
        };
        assert!(balanced.reconciles());
        let changes: [fn(&mut Transactions); 9] = [
            |t| t.scheduled += 1,
            |t| t.sent += 1,
            |t| t.admitted -= 1,
            |t| t.rejected += 1,
            |t| t.rejected_at_home += 1,
            |t| t.finalized += 1,
            |t| t.expired -= 1,
            |t| t.unfinished = u64::MAX,
            |t| t.reasons.clear(),
        ];
        for change in changes {
            let mut bent = balanced.clone();
            change(&mut bent);
            assert!(!bent.reconciles(), "{bent:?}");
        }
    }
}
