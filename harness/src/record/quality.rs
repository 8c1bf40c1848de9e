//! The grade of a run: everything that stands between its numbers and a reader's trust.
//!
//! The outlier rule is hyperfine's: a modified z-score above 14.826 (Iglewicz and Hoaglin, with the constant folded in).

use super::collect::{Collected, merge};
use super::histogram::Series;
use super::summarise::Facts;
use super::summary::{Grade, Percentiles, Quality, Reason, Summary, nearest_rank};
use crate::environment;

/// Part of the due transactions that a generator may fail to send.
const MAX_UNSENT: f64 = 0.001;
/// Transactions below which a 99th percentile rests on a handful.
const MIN_SAMPLES: u64 = 1000;
/// Change of the median between the first and last third of a run that counts as drift.
const MAX_DRIFT: f64 = 0.10;
/// The same change, when it says that the system does not keep up.
const MAX_GROWTH: f64 = 1.0;
/// Part of the host's time that a hypervisor may withhold.
const MAX_STEAL: f64 = 0.01;
/// Deviations from the median, in medians of deviations, above which a block is an outlier.
const OUTLIER: f64 = 14.826;

/// Every reason, and the grade that follows.
pub(super) fn grade(run: &Collected, facts: &Facts, summary: &Summary, block_finality: &[u64]) -> Quality {
    let mut reasons = Vec::new();
    let mut say = |grade, reason: String| reasons.push(Reason { grade, reason });
    invalidity(run, facts, summary, &mut say);
    incompleteness(run, facts, summary, &mut say);
    circumstances(run, facts, &mut say);
    steadiness(run, summary, block_finality, &mut say);
    Quality::new(reasons)
}

type Say<'a> = &'a mut dyn FnMut(Grade, String);

fn invalidity(run: &Collected, facts: &Facts, summary: &Summary, say: Say<'_>) {
    let transactions = &summary.transactions;
    if summary.blocks.finalized == 0 {
        say(Grade::Invalid, "no block became final".into());
    } else if transactions.finalized == 0 {
        say(Grade::Invalid, "no transaction became final".into());
    }
    if !transactions.reconciled {
        say(Grade::Invalid, "the counts of transactions do not reconcile".into());
    }
    for num in &facts.conflicts {
        say(Grade::Invalid, format!("two different blocks or states are final at height {num}"));
    }
    if transactions.finalized > summary.blocks.transactions {
        say(
            Grade::Invalid,
            format!(
                "{} transactions count as final, but final blocks hold {}",
                transactions.finalized, summary.blocks.transactions
            ),
        );
    }
    let limit = run.manifest.config.load.max_lateness;
    match summary.lateness_ns {
        Some(late) if late.p99 > limit.as_nanos() => say(
            Grade::Invalid,
            format!("the generator was late: p99 {:.1} ms, at most {limit} allowed", late.p99 as f64 / 1e6),
        ),
        Some(_) => {}
        None => say(Grade::Invalid, "no transaction of the window was sent".into()),
    }
    if transactions.unsent as f64 > MAX_UNSENT * transactions.scheduled as f64 {
        say(
            Grade::Invalid,
            format!("{} of {} due transactions were not sent", transactions.unsent, transactions.scheduled),
        );
    }
}

fn incompleteness(run: &Collected, facts: &Facts, summary: &Summary, say: Say<'_>) {
    let validators = usize::from(run.manifest.config.cluster.validators);
    if facts.nodes.len() != validators {
        say(Grade::C, format!("{} of {validators} validators left a recording", facts.nodes.len()));
    }
    for node in &facts.nodes {
        if !node.closed {
            say(Grade::C, format!("{} did not end in order: its counts stop at its last flush", node.name));
        }
        if node.processes > 1 {
            say(Grade::C, format!("{} was restarted", node.name));
        }
        if node.counts.is_empty() {
            say(Grade::C, format!("{} recorded no transaction counts", node.name));
        }
    }
    for name in &run.torn {
        say(Grade::C, format!("{name} ends in the middle of a record"));
    }
    let (first, last) = (facts.heights.keys().next(), facts.heights.keys().next_back());
    if let (Some(first), Some(last)) = (first, last) {
        let missing = (last.0 - first.0 + 1).saturating_sub(facts.heights.len() as u64) + first.0.saturating_sub(1);
        if missing > 0 {
            say(Grade::C, format!("{missing} heights up to {last} have no final block on record"));
        }
    }
    let left = summary.transactions.unfinished;
    if left > 0 {
        say(Grade::C, format!("{left} transactions were neither final nor expired when the run ended"));
    }
}

fn circumstances(run: &Collected, facts: &Facts, say: Say<'_>) {
    for reason in environment::build_obstacles(&run.manifest.build) {
        say(reason.grade, reason.reason);
    }
    if run.hosts.is_empty() {
        say(Grade::B, "the hosts are not described".into());
    }
    let threads: u64 = run.hosts.iter().filter_map(|host| host.cpu.threads).sum();
    let nodes = facts.nodes.len() as u64;
    if threads > 0 && nodes > threads {
        say(
            Grade::C,
            format!("{nodes} validators share {threads} hardware threads: durations include waiting for them"),
        );
    }
    for obstacle in run.hosts.iter().flat_map(|host| &host.obstacles) {
        say(obstacle.grade, obstacle.reason.clone());
    }
    // All nodes of a host sample the same counter.
    let stolen = facts.nodes.iter().filter_map(|node| {
        let (first, last) = (node.steal.first()?, node.steal.last()?);
        let time = last.0.checked_sub(first.0).filter(|&time| time > 0)?;
        Some(last.1.saturating_sub(first.1) as f64 / (time as f64 * threads.max(1) as f64))
    });
    let stolen = stolen.fold(0.0, f64::max);
    if stolen > MAX_STEAL {
        let grade = if stolen > 5.0 * MAX_STEAL { Grade::C } else { Grade::B };
        say(grade, format!("the hypervisor withheld {:.1}% of the CPU time", 100.0 * stolen));
    }
}

fn steadiness(run: &Collected, summary: &Summary, block_finality: &[u64], say: Say<'_>) {
    if let Some(finality) = summary.finality_ns
        && finality.n < MIN_SAMPLES
    {
        say(Grade::B, format!("{} transactions are few for a 99th percentile", finality.n));
    }
    let intervals = &run.series[Series::Finality as usize];
    let third = |from: usize, to: usize| Percentiles::of_histogram(&merge(&intervals[from..to]));
    let n = intervals.len();
    if n >= 9
        && let (Some(first), Some(last)) = (third(0, n / 3), third(n - n / 3, n))
    {
        let change = last.p50 as f64 / first.p50.max(1) as f64 - 1.0;
        let told = format!(
            "finality drifts: median {:.0} ms in the first third, {:.0} ms in the last",
            first.p50 as f64 / 1e6,
            last.p50 as f64 / 1e6
        );
        if change > MAX_GROWTH {
            say(Grade::C, format!("{told}: the chain does not keep up"));
        } else if change.abs() > MAX_DRIFT {
            say(Grade::B, told);
        }
    }
    let outliers = outliers(block_finality);
    if outliers > 0 {
        say(Grade::B, format!("{outliers} of {} blocks are outliers in their finality", block_finality.len()));
    }
}

fn outliers(values: &[u64]) -> usize {
    if values.len() < 5 {
        return 0;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let median = nearest_rank(&sorted, 50);
    let mut deviations: Vec<u64> = sorted.iter().map(|v| v.abs_diff(median)).collect();
    deviations.sort_unstable();
    let mad = nearest_rank(&deviations, 50).max(1) as f64;
    values.iter().filter(|v| v.abs_diff(median) as f64 / mad > OUTLIER).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_far_blocks_are_outliers() {
        let mut values: Vec<u64> = (1000..1100).collect();
        assert_eq!(outliers(&values), 0);
        values.push(2000);
        assert_eq!(outliers(&values), 1);
        assert_eq!(outliers(&[1, 1000]), 0);
    }
}
