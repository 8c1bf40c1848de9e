//! Random bad times for whole committees, on keyed hashes and on real signatures.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rayon::prelude::*;
use shardmark_kernels::erasure::Code;

use super::promises::{Failure, Summary};
use super::scenario::{Fault, Scenario};
use super::world::World;
use crate::propagation::Relay;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a scenario; a panic inside is a broken promise too.
pub fn run(scenario: Scenario) -> Result<Summary, Failure> {
    catch_unwind(AssertUnwindSafe(|| World::new(scenario).run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(Failure::Panic(text.unwrap_or_default()))
    })
}

/// Runs seeds at every size and prints what they were like; the first that fails says how to run it alone.
fn weather(test: &str, count: &str, default: u64, storm: impl Fn(u64, usize) -> Scenario + Sync) {
    let sizes: Vec<usize> = number("SHARDMARK_SIZE").map_or(vec![4, 7, 10], |size| vec![size as usize]);
    let seeds = match number("SHARDMARK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(count).unwrap_or(default),
    };
    let trace = number("SHARDMARK_TRACE").is_some();
    for n in sizes {
        let results: Vec<_> =
            seeds.clone().into_par_iter().map(|seed| (seed, run(Scenario { trace, ..storm(seed, n) }))).collect();
        let mut all = Summary::default();
        let (mut failed, ran) = (0, results.len());
        for (seed, result) in results {
            match result {
                Ok(summary) => all.add(summary),
                Err(failure) => {
                    failed += 1;
                    println!(
                        "{failure:?}: SHARDMARK_SEED={seed} SHARDMARK_SIZE={n} cargo test -p shardmark --lib \
                         node::simulation::storms::{test} -- --nocapture (SHARDMARK_TRACE=1 for every step)"
                    );
                    if failed == 1 {
                        println!("{:?}", storm(seed, n));
                    }
                }
            }
        }
        println!("{ran} runs of {n}: at most {} view changes in a row; {all:?}", all.most_views());
        assert_eq!(failed, 0, "{failed} of {ran} runs of {n} validators broke a promise");
    }
}

#[test]
fn no_storm_breaks_a_promise_of_whole_validators() {
    weather("no_storm_breaks_a_promise_of_whole_validators", "SHARDMARK_SEEDS", 200, Scenario::storm);
}

#[test]
fn no_storm_on_real_signatures_breaks_a_promise() {
    weather("no_storm_on_real_signatures_breaks_a_promise", "SHARDMARK_BLS_SEEDS", 20, Scenario::bls_storm);
}

#[test]
fn a_calm_committee_finalizes_everything_without_a_view_change_and_refuses_nothing() {
    for n in [4, 7, 10] {
        for code in codes() {
            let summary = run(Scenario { code, beacon_blocks: 4, ..Scenario::calm(1, n) }).unwrap();
            assert!(summary.blocks >= 14, "{n}: {summary:?}");
            assert_eq!(summary.most_views(), 0, "{n}: {summary:?}");
            assert_eq!((summary.punished, summary.invalid.len()), (0, 0), "{n}: {summary:?}");
            assert!(summary.vdf_evaluations > 0, "{n}: {summary:?}");
        }
    }
}

/// Whole blocks and every code.
pub fn codes() -> impl Iterator<Item = Option<Code>> {
    [None].into_iter().chain(Code::ALL.map(Some))
}

#[test]
fn a_silent_and_a_corrupting_relay_stop_nobody_and_only_the_corrupting_one_is_punished() {
    for code in codes() {
        let mut faults = vec![None; 7];
        (faults[2], faults[5]) = (Some(Fault::Relay(Relay::Silent)), Some(Fault::Relay(Relay::Corrupting)));
        let summary = run(Scenario { code, faults, ..Scenario::calm(3, 7) }).unwrap();
        assert!(summary.blocks >= 14, "{code:?}: {summary:?}");
        assert_eq!(summary.most_views(), 0, "{code:?}: {summary:?}");
        assert_eq!(summary.invalid.len(), 0, "{code:?}: {summary:?}");
        // Whole blocks are not relayed.
        assert_eq!(summary.punished > 0, code.is_some(), "{code:?}: {summary:?}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 0..4 {
        let [one, two] = [run(Scenario::storm(seed, 4)), run(Scenario::storm(seed, 4))].map(Result::unwrap);
        assert_eq!((one.fingerprint, format!("{one:?}")), (two.fingerprint, format!("{two:?}")));
    }
    let other = run(Scenario::storm(0, 4)).unwrap().fingerprint;
    assert_ne!(run(Scenario::storm(1, 4)).unwrap().fingerprint, other);
}
