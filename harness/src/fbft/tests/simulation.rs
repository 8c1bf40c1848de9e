//! Whole committees under loss, delay, restarts and faulty members. A failing seed is printed and replays alone:
//! `SHARDMARK_SEED=17 cargo test -p shardmark --lib fbft::tests::simulation`. `SHARDMARK_SEEDS=2000` runs more of them, and
//! `SHARDMARK_BLS_SEEDS=20` more of those on real signatures; `SHARDMARK_TRACE=1` prints every action.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::byzantine::{BEHAVIOURS, Behaviour};
use super::world::{Failure, Setup, Summary, World};
use crate::fbft::api::Planted;
use crate::fbft::committee::Votes;
use crate::net::sim::Link;

fn seeds(count: &str, default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("SHARDMARK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number(count).unwrap_or(default),
    }
}

fn calm(n: usize) -> Setup {
    Setup {
        seed: 1,
        slots: vec![1; n],
        votes: Votes::PerValidator,
        rotation_blocks: 4,
        behaviours: vec![Behaviour::Honest; n],
        planted: None,
        link: Link::reliable(1, 20),
        crash_per_mille: 0,
        partitions: false,
        outages: false,
        heal_at: 3000,
        bls: false,
        strict: true,
    }
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

/// Bad times drawn from a seed, with up to f faulty validators.
fn stormy(seed: u64, n: usize) -> Setup {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (n as u64) << 48);
    let rng = &mut rng;
    let mut behaviours = vec![Behaviour::Honest; n];
    let faulty = rng.random_range(0..=(n - 1) / 3);
    for _ in 0..faulty {
        behaviours[rng.random_range(0..n)] = pick(rng, &BEHAVIOURS);
    }
    let keys = pick(rng, &[1, 1, 3]);
    Setup {
        seed,
        slots: vec![keys; n],
        votes: pick(rng, &[Votes::PerKey, Votes::PerValidator]),
        rotation_blocks: pick(rng, &[0, 1, 3]),
        behaviours,
        link: Link {
            min_delay_ms: 1,
            max_delay_ms: pick(rng, &[10, 60, 300]),
            lost_per_mille: pick(rng, &[0, 20, 100, 300]),
            duplicated_per_mille: pick(rng, &[0, 50]),
            reordered_per_mille: pick(rng, &[0, 100]),
        },
        crash_per_mille: pick(rng, &[0, 1, 5]),
        partitions: rng.random_bool(0.4),
        outages: rng.random_bool(0.2),
        heal_at: 6000,
        ..calm(n)
    }
}

#[test]
fn a_calm_committee_finalizes_without_a_view_change() {
    for n in [1, 2, 4, 7, 10] {
        let summary = World::new(calm(n)).run().unwrap();
        assert!(summary.blocks > 15, "{n}: {summary:?}");
        assert_eq!(
            (summary.views, summary.refused.keys().any(|reason| reason.is_offence())),
            (0, false),
            "{n}: {summary:?}"
        );
    }
}

#[test]
fn per_key_votes_finalize_as_per_validator_votes_do() {
    for votes in [Votes::PerKey, Votes::PerValidator] {
        let summary = World::new(Setup { votes, slots: vec![5, 1, 3, 4], ..calm(4) }).run().unwrap();
        assert!(summary.blocks > 15 && summary.views == 0, "{summary:?}");
    }
}

/// Runs storms and prints the worst that happened in them.
fn weather(n: usize, seeds: std::ops::Range<u64>, bls: bool) {
    let mut worst = Summary::default();
    for seed in seeds {
        let setup = Setup { bls, ..stormy(seed, n) };
        let summary = World::new(setup.clone()).run();
        let summary = summary.unwrap_or_else(|failure| panic!("SHARDMARK_SEED={seed} n={n}: {failure:?}\n{setup:#?}"));
        worst.blocks += summary.blocks;
        worst.restarts += summary.restarts;
        worst.equivocations += summary.equivocations;
        worst.views = worst.views.max(summary.views);
        worst.healed_after_ms = worst.healed_after_ms.max(summary.healed_after_ms);
        for (reason, count) in summary.refused {
            *worst.refused.entry(reason).or_default() += count;
        }
    }
    println!("n={n} bls={bls}: at most {} view changes in a row; {worst:?}", worst.views);
}

#[test]
fn no_storm_makes_two_blocks_final_or_outlasts_ten_view_timeouts() {
    for n in [4, 7, 10] {
        weather(n, seeds("SHARDMARK_SEEDS", 60), false);
    }
}

#[test]
fn storms_on_real_signatures_end_as_well() {
    for n in [4, 7, 10] {
        weather(n, seeds("SHARDMARK_BLS_SEEDS", 1), true);
    }
}

/// Runs with a planted fault until one forks.
fn caught(planted: Planted, storm: impl Fn(u64) -> Setup) -> Option<(u64, Failure)> {
    (0..2000).find_map(|seed| {
        let setup = Setup { planted: Some(planted), strict: false, ..storm(seed) };
        World::new(setup)
            .run()
            .err()
            .filter(|failure| matches!(failure, Failure::Fork { .. }))
            .map(|failure| (seed, failure))
    })
}

/// Four validators of which one is as told, on links that lose a lot.
fn with_one(behaviour: Behaviour) -> impl Fn(u64) -> Setup {
    move |seed| {
        let mut behaviours = vec![Behaviour::Honest; 4];
        behaviours[1] = behaviour;
        let link = Link { lost_per_mille: 50, ..Link::reliable(1, 100) };
        Setup { seed, behaviours, link, partitions: true, rotation_blocks: 1, heal_at: 15_000, ..calm(4) }
    }
}

#[test]
fn a_quorum_one_vote_short_is_caught() {
    let found = caught(Planted::QuorumMinusOne, with_one(Behaviour::Equivocating));
    println!("{found:?}");
    assert!(found.is_some());
}

#[test]
fn an_ignored_lock_is_caught() {
    let found = caught(Planted::LockIgnored, with_one(Behaviour::Honest));
    println!("{found:?}");
    assert!(found.is_some());
}

#[test]
fn a_certificate_that_is_not_persisted_is_caught() {
    let storm = |seed| Setup { outages: true, ..with_one(Behaviour::Honest)(seed) };
    let found = caught(Planted::CertificateNotPersisted, storm);
    println!("{found:?}");
    assert!(found.is_some());
}

#[test]
fn an_unsigned_view_is_caught() {
    let found = caught(Planted::ViewUnsigned, with_one(Behaviour::Withholding));
    println!("{found:?}");
    assert!(found.is_some());
}

#[test]
fn an_unchecked_choice_of_a_new_view_is_caught() {
    let found = caught(Planted::NewViewChoiceUnchecked, with_one(Behaviour::Lying));
    println!("{found:?}");
    assert!(found.is_some());
}

#[test]
fn the_storms_of_the_planted_faults_break_nothing_without_them() {
    for behaviour in [Behaviour::Equivocating, Behaviour::Silent, Behaviour::Withholding, Behaviour::Lying] {
        for seed in seeds("SHARDMARK_SEEDS", 15) {
            let setup = Setup { crash_per_mille: 5, outages: true, ..with_one(behaviour)(seed) };
            let result = World::new(setup).run();
            result.unwrap_or_else(|failure| panic!("SHARDMARK_SEED={seed} {behaviour:?}: {failure:?}"));
        }
    }
}
