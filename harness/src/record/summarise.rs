//! From events and histograms to a [`Summary`]. Reads a bundle's files and nothing else, so any summary can be rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::bundle::{Bundle, BundleError, DelayAlone};
use super::collect::Collected;
use super::critical_path::{Busy, Height, PHASES, Power, UNATTRIBUTED};
use super::event::{Job, Mark, NetSample, Payload, TransactionCounts};
use super::histogram::Series;
use super::summary::{
    BeaconAlone, BeaconSummary, Blocks, Distribution, KernelRow, Node, Outcome, Percentiles, Phase, Rates, SCHEMA,
    Summary, Timed, Transactions, margin, nearest_rank,
};
use super::{bottleneck, propagation, quality};
use crate::config::Family;
use crate::types::{BlockNum, Hash, ValidatorIndex, ViewId};

/// Computes a bundle's summary.
///
/// # Errors
///
/// A file that is unreadable or malformed. A bad *run* is no error: it is a summary of grade `invalid`.
pub fn summarise(bundle: &Bundle) -> Result<Summary, BundleError> {
    Ok(conclude(&Collected::read(bundle)?))
}

/// What the events of all nodes add up to.
pub(super) struct Facts {
    pub window_ns: Range<u64>,
    pub nodes: Vec<NodeFacts>,
    pub heights: BTreeMap<BlockNum, BlockFacts>,
    pub new_views: BTreeSet<(BlockNum, ViewId)>,
    pub paths: BTreeMap<BlockNum, Height>,
    pub power: Power,
    /// Two nodes, or one node twice, finalized different blocks or states at one height.
    pub conflicts: Vec<BlockNum>,
}

#[derive(Default)]
pub(super) struct NodeFacts {
    pub name: String,
    pub validator: Option<u16>,
    pub processes: u64,
    pub closed: bool,
    pub finalized: BTreeSet<BlockNum>,
    /// One for each process.
    pub counts: Vec<TransactionCounts>,
    pub net: Vec<NetSample>,
    /// For each process the blocks that it made final, and its traffic when the last of them was.
    pub net_at_final: Vec<(u64, NetSample)>,
    /// For each process its samples of CPU time: `(t_ns, cpu_ns)`.
    pub cpu: Vec<Vec<(u64, u64)>>,
    /// `(t_ns, steal_ns)` of the host.
    pub steal: Vec<(u64, u64)>,
    pub rss_bytes_max: Option<u64>,
    pub refused: BTreeMap<String, u64>,
    pub busy: Busy,
    pub power: u64,
}

pub(super) struct BlockFacts {
    pub hash: Hash,
    pub state_root: Hash,
    pub view: ViewId,
    pub proposer: ValidatorIndex,
    pub transactions: u64,
    pub body_bytes: u64,
    pub first_final_ns: u64,
}

struct Calls {
    items: Vec<u64>,
    bytes: u64,
    total_ns: Vec<u64>,
}

type CallKey = (String, Job, String, String, u32);

/// Computes the summary of files already read.
pub fn conclude(run: &Collected) -> Summary {
    let config = &run.manifest.config;
    let mut calls: BTreeMap<CallKey, Calls> = BTreeMap::new();
    let mut delays = Delays::default();
    let facts = gather(run, &mut calls, &mut delays);

    let transactions = transactions(&facts);
    let in_window = |block: &BlockFacts| facts.window_ns.contains(&block.first_final_ns);
    let seconds = config.load.duration.as_secs_f64();
    let sum = |value: fn(&BlockFacts) -> u64| {
        let total: u64 = facts.heights.values().filter(|b| in_window(b)).map(value).fold(0, u64::saturating_add);
        (!facts.heights.is_empty()).then_some(total as f64 / seconds)
    };
    let rates = Rates {
        window_ns: config.load.duration.as_nanos(),
        scheduled_per_s: config.load.rate,
        finalized_per_s: sum(|block| block.transactions),
        goodput_bytes_per_s: sum(|block| block.body_bytes),
    };

    let mut block_finality = Vec::new();
    let mut checked_ns = Vec::new();
    for (num, block) in facts.heights.iter().filter(|(_, block)| in_window(block)) {
        let Some(height) = facts.paths.get(num) else { continue };
        let quorum = |mark| height.quorum(block.view, mark, &facts.power);
        if let (Some(start), Some((_, end))) = (height.proposed_ns(), quorum(Mark::Final)) {
            block_finality.push(end.saturating_sub(start));
        }
        if let (Some((_, checked)), Some(announced)) = (quorum(Mark::Checked), height.announced_ns(block.view)) {
            checked_ns.push(checked.saturating_sub(announced));
        }
    }

    let kernels = kernel_rows(calls);
    let phases = phases(&facts);
    let mut refused = BTreeMap::new();
    for (reason, count) in facts.nodes.iter().flat_map(|node| &node.refused) {
        add(&mut refused, reason, *count);
    }
    let mut summary = Summary {
        schema: SCHEMA,
        name: config.name.clone(),
        chain: config.cluster.chain,
        shard: config.cluster.shard,
        seed: config.seed,
        backends: Family::ALL.map(|f| (f.name().to_owned(), config.backend.of(f).to_string())).into(),
        config_hash: run.manifest.config_hash.clone(),
        revision: run.manifest.build.revision.clone(),
        quality: super::summary::Quality::new(Vec::new()),
        transactions,
        rates,
        blocks: blocks(&facts),
        finality_ns: Percentiles::of_histogram(&run.merged(Series::Finality)),
        finality_uncorrected_ns: Percentiles::of_histogram(&run.merged(Series::FinalityUncorrected)),
        lateness_ns: Percentiles::of_histogram(&run.merged(Series::Lateness)),
        block_finality_ns: Percentiles::of(block_finality.clone()),
        propagation_ns: Percentiles::of(checked_ns),
        propagation: propagation::summary(config, &facts),
        phases,
        bottleneck: None,
        kernels,
        nodes: facts.nodes.iter().map(node).collect(),
        amplification: amplification(&facts, config.cluster.validators),
        refused,
        beacon: delays.summary(run.alone, config.beacon.timeout.as_nanos()),
    };
    summary.bottleneck = bottleneck::find(run, &facts, &summary);
    summary.quality = quality::grade(run, &facts, &summary, &block_finality);
    summary
}

fn gather(run: &Collected, calls: &mut BTreeMap<CallKey, Calls>, delays: &mut Delays) -> Facts {
    let config = &run.manifest.config;
    let start = config.load.warmup.as_nanos();
    let window_ns = start..start + config.load.duration.as_nanos();
    let mut names: Vec<&str> = run.processes.iter().map(|process| process.node.as_str()).collect();
    names.dedup();
    let mut facts = Facts {
        window_ns,
        nodes: names.iter().map(|&name| NodeFacts { name: name.to_owned(), ..Default::default() }).collect(),
        heights: BTreeMap::new(),
        new_views: BTreeSet::new(),
        paths: BTreeMap::new(),
        power: Power { of: Vec::new(), total: 0 },
        conflicts: Vec::new(),
    };
    for process in &run.processes {
        let Some(index) = names.iter().position(|name| *name == process.node) else { continue };
        facts.add_process(index, process, calls, delays);
    }
    facts.power.of = facts.nodes.iter().map(|node| node.power).collect();
    // Of the configured committee: a validator without a file still has its power.
    facts.power.total = u64::from(config.cluster.validators) * u64::from(config.cluster.keys_per_validator);
    for node in &mut facts.nodes {
        node.busy.merge();
    }
    facts.conflicts.sort_unstable();
    facts.conflicts.dedup();
    facts
}

impl Facts {
    fn add_process(
        &mut self,
        index: usize,
        process: &super::collect::Process,
        calls: &mut BTreeMap<CallKey, Calls>,
        delays: &mut Delays,
    ) {
        let node = &mut self.nodes[index];
        node.processes += 1;
        node.closed = false;
        let (mut counts, mut net, mut cpu) = (None, None, Vec::new());
        let (mut finals, mut at_final) = (0, None);
        for event in &process.events {
            let t_ns = event.t_ns;
            match &event.payload {
                Payload::Started { validator, power, .. } => {
                    node.validator = Some(validator.0);
                    node.power = u64::from(*power);
                }
                Payload::Phase { block_num, view_id, mark } => {
                    self.paths.entry(*block_num).or_default().add(index, *view_id, *mark, t_ns);
                }
                Payload::Final { block_num, block_hash, view_id, proposer, transactions, body_bytes, state_root } => {
                    node.finalized.insert(*block_num);
                    finals += 1;
                    let block = self.heights.entry(*block_num).or_insert(BlockFacts {
                        hash: *block_hash,
                        state_root: *state_root,
                        view: *view_id,
                        proposer: *proposer,
                        transactions: *transactions,
                        body_bytes: *body_bytes,
                        first_final_ns: t_ns,
                    });
                    if (block.hash, block.state_root) != (*block_hash, *state_root) {
                        self.conflicts.push(*block_num);
                    }
                    block.first_final_ns = block.first_final_ns.min(t_ns);
                    self.paths.entry(*block_num).or_default().add(index, *view_id, Mark::Final, t_ns);
                }
                Payload::ViewChange { .. } => {}
                Payload::NewView { block_num, view_id } => {
                    self.new_views.insert((*block_num, *view_id));
                }
                Payload::Refused { reason, count, .. } => add(&mut node.refused, reason, *count),
                Payload::Kernel { kernel, backend, path, threads, items, bytes, total_ns, job, .. } => {
                    node.busy.add(kernel, t_ns.saturating_sub(*total_ns), t_ns);
                    if self.window_ns.contains(&t_ns) {
                        let key = (kernel.to_string(), *job, backend.to_string(), path.to_string(), *threads);
                        let calls = calls.entry(key).or_insert_with(|| Calls {
                            items: Vec::new(),
                            bytes: 0,
                            total_ns: Vec::new(),
                        });
                        calls.items.push(*items);
                        calls.bytes = calls.bytes.saturating_add(*bytes);
                        calls.total_ns.push(*total_ns);
                    }
                }
                Payload::Vdf { window, evaluate_ns, verify_ns, deadline_ns } => {
                    delays.add(*window, *evaluate_ns, *verify_ns, *deadline_ns);
                }
                Payload::Transactions(sample) => counts = Some(sample.clone()),
                Payload::Net(sample) => {
                    if at_final.as_ref().map_or(0, |(counted, _)| *counted) < finals {
                        at_final = Some((finals, sample.clone()));
                    }
                    net = Some(sample.clone());
                }
                Payload::Resources { cpu_ns, rss_bytes, host_steal_ns, .. } => {
                    cpu.push((t_ns, *cpu_ns));
                    node.rss_bytes_max = node.rss_bytes_max.max(*rss_bytes);
                    node.steal.extend(host_steal_ns.map(|steal| (t_ns, steal)));
                }
                Payload::Closed => node.closed = true,
            }
        }
        node.counts.extend(counts);
        node.net.extend(net);
        node.net_at_final.extend(at_final);
        node.cpu.push(cpu);
    }
}

impl NodeFacts {
    /// CPU time spent between two moments, of all its processes, as far as samples tell.
    pub(super) fn cpu_within(&self, window_ns: &Range<u64>) -> Option<u64> {
        let mut total = None;
        for samples in &self.cpu {
            let at = |t: u64| samples.iter().rfind(|sample| sample.0 <= t).or(samples.first());
            if let (Some(from), Some(to)) = (at(window_ns.start), at(window_ns.end)) {
                total = Some(total.unwrap_or(0u64).saturating_add(to.1.saturating_sub(from.1)));
            }
        }
        total
    }
}

fn transactions(facts: &Facts) -> Transactions {
    let mut total = Transactions { reconciled: true, ..Default::default() };
    for counts in facts.nodes.iter().flat_map(|node| &node.counts) {
        let sum = |reasons: &BTreeMap<String, u64>| reasons.values().fold(0u64, |a, &b| a.saturating_add(b));
        let mut one = Transactions {
            scheduled: counts.scheduled,
            sent: counts.sent,
            unsent: counts.unsent,
            admitted: counts.admitted,
            rejected_at_home: sum(&counts.rejected_at_home),
            rejected_later: sum(&counts.rejected_later),
            finalized: counts.finalized,
            expired: counts.expired,
            unfinished: counts.unfinished,
            duplicates: counts.duplicates,
            ..Default::default()
        };
        one.rejected = one.rejected_at_home.saturating_add(one.rejected_later);
        for (reason, count) in counts.rejected_at_home.iter().chain(&counts.rejected_later) {
            add(&mut one.reasons, reason, *count);
        }
        total.reconciled &= one.reconciles();
        let fields: [fn(&mut Transactions) -> &mut u64; 11] = [
            |t| &mut t.scheduled,
            |t| &mut t.sent,
            |t| &mut t.unsent,
            |t| &mut t.admitted,
            |t| &mut t.rejected,
            |t| &mut t.rejected_at_home,
            |t| &mut t.rejected_later,
            |t| &mut t.finalized,
            |t| &mut t.expired,
            |t| &mut t.unfinished,
            |t| &mut t.duplicates,
        ];
        for field in fields {
            let value = *field(&mut one);
            let sum = field(&mut total);
            *sum = sum.saturating_add(value);
        }
        for (reason, count) in &one.reasons {
            add(&mut total.reasons, reason, *count);
        }
    }
    total.reconciled &= total.reconciles();
    total
}

fn blocks(facts: &Facts) -> Blocks {
    let mut intervals = Vec::new();
    let mut previous: Option<(BlockNum, u64)> = None;
    for (&num, block) in &facts.heights {
        if let Some((parent, parent_ns)) = previous
            && num.0 == parent.0.saturating_add(1)
            && facts.window_ns.contains(&block.first_final_ns)
        {
            intervals.push(block.first_final_ns.saturating_sub(parent_ns));
        }
        previous = Some((num, block.first_final_ns));
    }
    let sum = |value: fn(&BlockFacts) -> u64| facts.heights.values().map(value).fold(0, u64::saturating_add);
    Blocks {
        finalized: facts.heights.len() as u64,
        view_changes: facts.new_views.iter().filter(|(_, view)| view.0 > 0).count() as u64,
        transactions: sum(|block| block.transactions),
        body_bytes: sum(|block| block.body_bytes),
        interval_ns: Percentiles::of(intervals),
    }
}

fn phases(facts: &Facts) -> Vec<Phase> {
    let mut times: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut kernels: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    let mut total = 0u64;
    for (num, block) in &facts.heights {
        if !facts.window_ns.contains(&block.first_final_ns) {
            continue;
        }
        let Some(path) = facts.paths.get(num).and_then(|height| height.path(block.view, &facts.power)) else {
            continue;
        };
        let mut of_block: BTreeMap<&str, u64> = BTreeMap::new();
        for stretch in path {
            let time = stretch.to_ns - stretch.from_ns;
            total = total.saturating_add(time);
            *of_block.entry(stretch.phase).or_default() += time;
            let Some(node) = stretch.node.and_then(|node| facts.nodes.get(node)) else { continue };
            for (kernel, busy) in node.busy.within(stretch.from_ns, stretch.to_ns) {
                *kernels.entry(stretch.phase).or_default().entry(kernel.to_owned()).or_default() += busy;
            }
        }
        for (phase, time) in of_block {
            times.entry(phase).or_default().push(time);
        }
    }
    let mut rows = Vec::new();
    for phase in PHASES {
        let mut values = times.remove(phase).unwrap_or_default();
        if values.is_empty() && (phase != UNATTRIBUTED || total == 0) {
            continue;
        }
        values.sort_unstable();
        let time = values.iter().fold(0u64, |a, &b| a.saturating_add(b));
        let part = |value: u64, whole: u64| if whole == 0 { 0.0 } else { value as f64 / whole as f64 };
        rows.push(Phase {
            phase: phase.to_owned(),
            share: part(time, total),
            p50_ns: if values.is_empty() { 0 } else { nearest_rank(&values, 50) },
            p90_ns: if values.is_empty() { 0 } else { nearest_rank(&values, 90) },
            n: values.len() as u64,
            kernels: kernels
                .remove(phase)
                .unwrap_or_default()
                .into_iter()
                .map(|(kernel, busy)| (kernel, part(busy, time)))
                .collect(),
        });
    }
    rows
}

fn kernel_rows(calls: BTreeMap<CallKey, Calls>) -> Vec<KernelRow> {
    let row = |((kernel, job, backend, path, threads), mut calls): (CallKey, Calls)| {
        calls.items.sort_unstable();
        let sum_ns = calls.total_ns.iter().fold(0u64, |a, &b| a.saturating_add(b));
        let seconds = sum_ns as f64 / 1e9;
        let rate = |count: u64| (seconds > 0.0 && count > 0).then(|| count as f64 / seconds);
        KernelRow {
            kernel,
            job: Some(job),
            params: None,
            backend,
            threads,
            batch: (!calls.items.is_empty()).then(|| nearest_rank(&calls.items, 50)),
            batch_min: calls.items.first().copied(),
            batch_max: calls.items.last().copied(),
            outcome: Outcome::Ok,
            reason: None,
            path: Some(path),
            device: None,
            build: None,
            prepare_ns: None,
            load_ns: None,
            execute_ns: None,
            output_ns: None,
            sum_ns: Some(sum_ns),
            items_per_s: rate(calls.items.iter().fold(0u64, |a, &b| a.saturating_add(b))),
            bytes_per_s: rate(calls.bytes),
            total_ns: Distribution::of(calls.total_ns),
            invalid_total_ns: None,
            timed: Timed::Total,
            deadline: None,
        }
    };
    calls.into_iter().map(row).collect()
}

fn node(facts: &NodeFacts) -> Node {
    let net = |value: fn(&NetSample) -> u64| {
        (!facts.net.is_empty()).then(|| facts.net.iter().map(value).fold(0, u64::saturating_add))
    };
    let cpu: Vec<u64> = facts.cpu.iter().filter_map(|samples| samples.last().map(|sample| sample.1)).collect();
    Node {
        node: facts.name.clone(),
        validator: facts.validator,
        closed: facts.closed,
        processes: facts.processes,
        finalized: facts.finalized.len() as u64,
        sent_bytes: net(|sample| sample.sent_bytes),
        received_bytes: net(|sample| sample.received_bytes),
        lost_packets: net(|sample| sample.lost_packets),
        dropped_frames: net(|sample| sample.dropped_frames),
        cpu_ns: (!cpu.is_empty()).then(|| cpu.iter().fold(0u64, |a, &b| a.saturating_add(b))),
        rss_bytes_max: facts.rss_bytes_max,
        refused: facts.refused.values().fold(0u64, |a, &b| a.saturating_add(b)),
    }
}

fn amplification(facts: &Facts, validators: u16) -> Option<f64> {
    let body: u64 = facts.heights.values().map(|block| block.body_bytes).fold(0, u64::saturating_add);
    let needed = body as f64 * f64::from(validators.saturating_sub(1));
    if needed <= 0.0 || facts.nodes.iter().any(|node| node.net.is_empty()) {
        return None;
    }
    let sent: f64 = facts.nodes.iter().flat_map(|node| &node.net).map(|sample| sample.sent_bytes as f64).sum();
    Some(sent / needed)
}

#[derive(Default)]
struct Delays {
    windows: BTreeSet<u64>,
    evaluate: Vec<u64>,
    verify: Vec<u64>,
    deadline: Option<u64>,
}

impl Delays {
    fn add(&mut self, window: u64, evaluate_ns: Option<u64>, verify_ns: Option<u64>, deadline_ns: u64) {
        if evaluate_ns.is_some() {
            self.windows.insert(window);
        }
        self.evaluate.extend(evaluate_ns);
        self.verify.extend(verify_ns);
        self.deadline = Some(self.deadline.map_or(deadline_ns, |shortest| shortest.min(deadline_ns)));
    }

    /// `timeout_ns` is the deadline where no evaluation ended.
    fn summary(self, alone: Option<DelayAlone>, timeout_ns: u64) -> Option<BeaconSummary> {
        let deadline = self.deadline.or(alone.map(|_| timeout_ns))?;
        let evaluate_ns = Percentiles::of(self.evaluate);
        let verify_ns = Percentiles::of(self.verify);
        let used = evaluate_ns.map(|e| e.max.saturating_add(verify_ns.map_or(0, |v| v.max)));
        Some(BeaconSummary {
            windows: self.windows.len() as u64,
            evaluate_ns,
            verify_ns,
            deadline_ns: Some(deadline),
            margin: used.and_then(|used| margin(deadline, used)),
            alone: alone.map(|DelayAlone { evaluate_ns, verify_ns }| BeaconAlone {
                evaluate_ns,
                verify_ns,
                margin: margin(deadline, evaluate_ns.saturating_add(verify_ns)),
            }),
        })
    }
}

fn add(counts: &mut BTreeMap<String, u64>, reason: &str, count: u64) {
    let sum = counts.entry(reason.to_owned()).or_default();
    *sum = sum.saturating_add(count);
}
