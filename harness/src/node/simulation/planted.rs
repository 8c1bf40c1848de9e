//! Faults built in on purpose, each with the adversary and the weather that show it: some seed must fail, and must not fail
//! without the fault.

use rayon::prelude::*;

use super::promises::Failure;
use super::scenario::{Fault, Scenario};
use super::storms::run;
use crate::fbft::api::Planted;
use crate::net::sim::Link;

/// Four validators of which one may be faulty, on links that lose some frames, in a net that falls apart now and then.
fn with_one(fault: Option<Fault>) -> impl Fn(u64) -> Scenario + Sync {
    move |seed| {
        let mut faults = vec![None; 4];
        faults[1] = fault;
        let link = Link { lost_per_mille: 50, ..Link::reliable(1, 100) };
        Scenario { faults, link, partitions: true, rotation_blocks: 1, heal_at: 12_000, ..Scenario::calm(seed, 4) }
    }
}

/// The first seed below `bound` at which the fault breaks such a promise. Only consequences count: nothing watches the faulty
/// step itself.
fn caught(planted: Planted, bound: u64, counts: fn(&Failure) -> bool, storm: impl Fn(u64) -> Scenario + Sync) {
    let found = (0..bound).into_par_iter().find_map_first(|seed| {
        let failure = run(Scenario { planted: Some(planted), strict: false, ..storm(seed) }).err()?;
        counts(&failure).then_some((seed, failure))
    });
    let (seed, failure) = found.unwrap_or_else(|| panic!("{planted:?}: no seed below {bound} fails"));
    println!("{planted:?}: seed {seed} fails: {failure:?}");
    run(storm(seed)).unwrap_or_else(|failure| panic!("{planted:?}: seed {seed} fails without the fault: {failure:?}"));
}

fn forks(failure: &Failure) -> bool {
    matches!(failure, Failure::Fork { .. })
}

#[test]
fn a_quorum_one_vote_short_is_caught() {
    caught(Planted::QuorumMinusOne, 200, forks, with_one(Some(Fault::Equivocating)));
}

#[test]
fn an_ignored_lock_is_caught() {
    caught(Planted::LockIgnored, 400, forks, with_one(None));
}

#[test]
fn a_certificate_that_is_not_persisted_is_caught() {
    caught(Planted::CertificateNotPersisted, 800, forks, |seed| Scenario { outages: true, ..with_one(None)(seed) });
}

#[test]
fn an_unsigned_view_is_caught() {
    caught(Planted::ViewUnsigned, 800, forks, with_one(Some(Fault::Withholding)));
}

#[test]
fn an_unchecked_choice_of_a_new_view_is_caught() {
    caught(Planted::NewViewChoiceUnchecked, 400, forks, with_one(Some(Fault::Lying)));
}

#[test]
fn an_unchecked_chunk_root_is_caught() {
    // Those who decode from the wrong chunk never get the body that the others committed to, and call honest helpers liars.
    let consequence = |failure: &Failure| {
        matches!(
            failure,
            Failure::Fork { .. } | Failure::Stuck { .. } | Failure::Accused { .. } | Failure::Accepted { .. }
        )
    };
    caught(Planted::ChunkRootUnchecked, 50, consequence, with_one(Some(Fault::BadEncoding)));
}
