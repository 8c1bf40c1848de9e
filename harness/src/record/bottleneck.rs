//! One sentence on what sets the pace: a kernel that fills the CPU, or the longest phase of a block.

use std::collections::BTreeMap;

use super::collect::Collected;
use super::summarise::Facts;
use super::summary::{Bottleneck, Summary};

/// Part of the host's CPU time from which it counts as full.
const FULL: f64 = 0.85;
/// Part of the scheduled transactions that may fail to become final before the chain counts as behind.
const BEHIND: f64 = 0.01;
/// Part of the CPU time, or of a phase, from which a kernel is named.
const DOMINANT: f64 = 0.35;

/// `None` when nothing was recorded that could name one.
pub(super) fn find(run: &Collected, facts: &Facts, summary: &Summary) -> Option<Bottleneck> {
    let cpu: Vec<u64> = facts.nodes.iter().filter_map(|node| node.cpu_within(&facts.window_ns)).collect();
    let cpu_ns = (!cpu.is_empty()).then(|| cpu.iter().fold(0u64, |a, &b| a.saturating_add(b)) as f64);
    let window_ns = summary.rates.window_ns as f64;
    let threads: u64 = run.hosts.iter().filter_map(|host| host.cpu.threads).sum();
    let cpu_share = cpu_ns.filter(|_| threads > 0).map(|ns| ns / (threads as f64 * window_ns));

    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    if let Some(cpu_ns) = cpu_ns.filter(|&ns| ns > 0.0) {
        for row in &summary.kernels {
            let time = row.sum_ns.unwrap_or(0) as f64 * f64::from(row.threads);
            *shares.entry(row.kernel.clone()).or_default() += time / cpu_ns;
        }
    }
    // Where calls wait for a core their time is more than the CPU's: then it shows their proportion, and an upper bound.
    let all = shares.values().sum::<f64>().max(1.0);
    let top = shares.iter().max_by(|a, b| a.1.total_cmp(b.1)).map(|(kernel, share)| (kernel.clone(), *share / all));
    let dominant = top.filter(|(_, share)| *share >= DOMINANT);

    let transactions = &summary.transactions;
    let lost = transactions.scheduled.saturating_sub(transactions.finalized);
    let behind = lost as f64 > BEHIND * transactions.scheduled as f64;
    let full = cpu_share.is_some_and(|share| share >= FULL);
    let phase = summary.phases.iter().max_by(|a, b| a.share.total_cmp(&b.share));
    let percent = |share: f64| (100.0 * share).round();

    let (verdict, kernel, phase_name) = match (&dominant, phase) {
        // Of a CPU with room no kernel is the limit, whatever its share.
        (Some((kernel, share)), _) if full => {
            let state = if behind { "the CPU is full and the chain does not keep up" } else { "the CPU is full" };
            let verdict = format!(
                "{} is the limit: {state}, and {kernel} takes up to {}% of the validators' CPU time.",
                capitalised(plain_name(kernel)),
                percent(*share),
            );
            (verdict, Some(kernel.clone()), None)
        }
        (_, Some(phase)) => {
            let inside =
                phase.kernels.iter().max_by(|a, b| a.1.total_cmp(b.1)).filter(|(_, share)| **share >= DOMINANT);
            let state = match (full, behind) {
                (true, _) => "The CPU is full, and no kernel dominates it",
                (_, true) => "The chain does not keep up, though the CPU has room",
                _ => "The chain keeps up",
            };
            let because = inside.map_or(String::new(), |(kernel, share)| {
                format!("; {}% of that is {} ({kernel})", percent(*share), plain_name(kernel))
            });
            let verdict = format!(
                "{state}; a block's longest phase is “{}”, {}% of its path{because}.",
                phase.phase,
                percent(phase.share)
            );
            (verdict, inside.map(|(kernel, _)| kernel.clone()), Some(phase.phase.clone()))
        }
        _ => return None,
    };
    Some(Bottleneck { verdict, kernel, phase: phase_name, cpu_share, kernel_cpu_shares: shares })
}

/// A kernel's work in plain words.
fn plain_name(kernel: &str) -> &str {
    match kernel {
        "secp256k1/recover" => "sender recovery",
        "bls/verify-batch" => "signature verification",
        "bls/aggregate-keys" => "key aggregation",
        "bls/aggregate-signatures" => "signature aggregation",
        "erasure/encode" => "erasure encoding",
        "erasure/reconstruct" => "erasure decoding",
        "erasure/disperse" => "erasure encoding with its commitment",
        "erasure/retrieve" => "erasure decoding with its check",
        "vdf/evaluate" => "the delay function",
        "vdf/verify" => "checking the delay function",
        other => other,
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
