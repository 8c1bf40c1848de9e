//! `vdf/verify`: proofs in Harmony's format at 2048 bits, one at a time, the discriminant derived from a fresh seed each
//! time or known; and in Chia's at 1024 bits, known.
//!
//! Deriving it is nearly all of the time and takes a different number of tests for every seed, so a round is 64 seeds. With
//! the discriminant known chiavdf alone has such a call; the other rows say which share of a limit in milliseconds is used.

use std::path::Path;
use std::time::Duration;

use shardmark_kernels::backend::{Kernel, carries_invalid};
use shardmark_kernels::vdf::{Scheme, Verify, VerifyItem, VerifyParams};

use super::chiavdf::Wheel;
use super::{NOT_BUILT_IN, Peer, poanetwork, without};
use crate::clock::watch;
use crate::duel::{Case, Table};
use crate::ours::Ours;

/// Seeds of a round where each has its discriminant derived.
const FRESH: usize = 64;
/// Where the discriminants are known: times differ little.
const CACHED: usize = 8;
/// Squarings proven: enough that no proof is the identity, and few, for verification hardly depends on them.
const ITERATIONS: u64 = 300;
/// Milliseconds for a proof under a known discriminant.
const LIMITS: [(Scheme, u64); 2] = [(Scheme::Harmony128, 5), (Scheme::Bound264, 8)];

const LIMIT_TIMED: &str = "the verification alone, decoding too, 8 seeds in turn, the discriminant in the setup; no peer: its \
                           time is a constant, the ratio says how far below the limit ours is";

/// Whether the proof of a seed for so many iterations, in Harmony's format at 2048 bits, is valid.
pub type Judge = fn(seed: &[u8; 32], iterations: u64, proof: &[u8]) -> bool;

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table, python: Option<&Path>) -> Result<(), String> {
    fresh(table)?;
    LIMITS.into_iter().try_for_each(|(scheme, limit)| cached(table, scheme, limit))?;
    chia(table, python)
}

fn name(scheme: Scheme, bits: u32, discriminant: &str) -> String {
    format!("scheme={scheme} bits={bits} iterations={ITERATIONS} discriminant={discriminant}")
}

/// Our side, and valid proofs of as many seeds.
struct Side {
    ours: Ours<Verify>,
    /// One proof an input.
    inputs: Vec<Vec<VerifyItem>>,
}

impl Side {
    /// Makes the proofs, and has every one of them accepted.
    fn open(table: &Table, params: &VerifyParams) -> Result<Result<Self, String>, String> {
        const SEED: u64 = 1;
        // Before the proofs: they take their time.
        if let Err(reason) = Verify::open(table.backend, &Default::default()) {
            return Ok(Err(format!("{} on {}: {reason}", Verify::NAME, table.backend)));
        }
        let setup = Verify::setup(params, SEED);
        let iteration = (0..).find(|iteration| !carries_invalid(SEED, *iteration)).unwrap_or(0);
        let items = Verify::generate(params, &setup, SEED, iteration);
        let ours = match Ours::<Verify>::open(table.backend, &setup) {
            Ok(ours) => ours,
            Err(reason) => return Ok(Err(reason)),
        };
        if ours.checked(&setup, &items)?.iter().any(Result::is_err) {
            return Err(format!("{}: ours refuses a valid proof", Verify::NAME));
        }
        // Whoever says yes to everything verifies nothing.
        let wrong = vec![VerifyItem { iterations: ITERATIONS + 1, ..items[0].clone() }];
        if ours.checked(&setup, &wrong)?.iter().any(Result::is_ok) {
            return Err(format!("{}: ours accepts a proof of other iterations", Verify::NAME));
        }
        Ok(Ok(Self { ours, inputs: items.into_iter().map(|item| vec![item]).collect() }))
    }

    /// One row. `theirs` says whether it accepts the proof of this index.
    fn duel(&self, table: &mut Table, name: &str, peer: &str, timed: &str, theirs: Theirs) -> Result<(), String> {
        let mut sessions = self.inputs.iter().map(|input| self.ours.load(input)).collect::<Result<Vec<_>, _>>()?;
        let path = sessions.first().and_then(|session| session.path());
        let items = self.inputs.len() as u64;
        let case = Case { kernel: Verify::NAME, name, items, ours: &self.ours.description, path };
        let mut ours = |index: usize| watch(|| sessions[index].output().is_some_and(|verdicts| verdicts == [Ok(())]));
        table.duel_each(&case, peer, timed, &mut ours, theirs)
    }
}

/// The time to accept a proof.
type Theirs<'a> = &'a mut dyn FnMut(usize) -> Option<Duration>;

fn cached(table: &mut Table, scheme: Scheme, limit: u64) -> Result<(), String> {
    let (name, peer) = (name(scheme, 2048, "cached"), format!("limit of {limit} ms"));
    if !table.wants(Verify::NAME, &name, &peer) {
        return Ok(());
    }
    let params = VerifyParams {
        scheme,
        discriminant_bits: 2048,
        iterations: ITERATIONS,
        proofs: CACHED,
        cached_discriminant: true,
    };
    match Side::open(table, &params)? {
        Ok(side) => side.duel(table, &name, &peer, LIMIT_TIMED, &mut |_| Some(Duration::from_millis(limit))),
        Err(reason) => table.unavailable(Verify::NAME, &name, &reason),
    }
}

fn chia(table: &mut Table, python: Option<&Path>) -> Result<(), String> {
    const PEER: &str = "chiavdf wheel verify_wesolowski";
    const BITS: u32 = 1024;
    const TIMED: &str = "the verification alone, decoding too, 8 seeds in turn, the discriminant in the setup (ours) or as text \
                         (the peer, a process that stays on the same core and times itself around its call)";
    let name = name(Scheme::Chia264, BITS, "cached");
    if !table.wants(Verify::NAME, &name, PEER) {
        return Ok(());
    }
    let Some(python) = python else {
        return without(table, Verify::NAME, &name, PEER, "not given (--chiavdf-python, pip install chiavdf)");
    };
    let mut wheel = match Wheel::open(python) {
        Ok(wheel) => wheel,
        Err(reason) => return without(table, Verify::NAME, &name, PEER, &reason),
    };
    let params = VerifyParams {
        scheme: Scheme::Chia264,
        discriminant_bits: BITS,
        iterations: ITERATIONS,
        proofs: CACHED,
        cached_discriminant: true,
    };
    let side = match Side::open(table, &params)? {
        Ok(side) => side,
        Err(reason) => return table.unavailable(Verify::NAME, &name, &reason),
    };
    let mut discriminants = Vec::new();
    for input in &side.inputs {
        let (discriminant, _) = wheel.discriminant(&input[0].seed, BITS)?;
        if wheel.verify(&discriminant, input[0].iterations + 1, &input[0].proof)?.is_some() {
            return Err(format!("{} {name}: the wheel accepts a proof of other iterations", Verify::NAME));
        }
        discriminants.push(discriminant);
    }
    let peer = format!("{PEER} ({})", wheel.version);
    side.duel(table, &name, &peer, TIMED, &mut |index| {
        let item = &side.inputs[index][0];
        wheel.verify(&discriminants[index], item.iterations, &item.proof).ok().flatten()
    })
}

fn fresh(table: &mut Table) -> Result<(), String> {
    let name = name(Scheme::Harmony128, 2048, "derived");
    let mut wanted = Vec::new();
    for peer in [poanetwork::PUBLISHED, poanetwork::CORRECTED] {
        match peer.call {
            None => without(table, Verify::NAME, &name, peer.name, NOT_BUILT_IN)?,
            Some(judge) if table.wants(Verify::NAME, &name, peer.name) => wanted.push((peer, judge)),
            Some(_) => {}
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let params = VerifyParams {
        scheme: Scheme::Harmony128,
        discriminant_bits: 2048,
        iterations: ITERATIONS,
        proofs: FRESH,
        cached_discriminant: false,
    };
    let side = match Side::open(table, &params)? {
        Ok(side) => side,
        Err(reason) => return table.unavailable(Verify::NAME, &name, &reason),
    };
    for (Peer { name: peer, timed, .. }, judge) in wanted {
        let item = &side.inputs[0][0];
        if judge(&item.seed, item.iterations + 1, &item.proof) {
            return Err(format!("{} {name}: {peer} accepts a proof of other iterations", Verify::NAME));
        }
        let timed =
            format!("from seed and bytes to the verdict, {FRESH} seeds in turn, the discriminant derived; {timed}");
        side.duel(table, &name, peer, &timed, &mut |index| {
            let item = &side.inputs[index][0];
            watch(|| judge(&item.seed, item.iterations, &item.proof))
        })?;
    }
    Ok(())
}
