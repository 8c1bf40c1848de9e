//! `vdf/evaluate`: a whole proof from its seed at 1024 bits, the size that Chia runs.
//!
//! The wheel's squarings cannot be called alone. Both sides make the same bytes: each side's proof is checked by its own
//! kind before anything is timed (ours by the kernel's oracle, theirs by the wheel's verifier), and compared in every timed
//! call.

use std::path::Path;

use shardmark_kernels::backend::Kernel;
use shardmark_kernels::vdf::{Evaluate, EvaluateInput, EvaluateSetup, Scheme};

use super::chiavdf::Wheel;
use super::{seed, without};
use crate::clock::watch;
use crate::duel::{Case, Table};
use crate::ours::Ours;

const PEER: &str = "chiavdf wheel prove";
const BITS: u32 = 1024;
const ITERATIONS: u64 = 100_000;
const TIMED: &str = "from the seed: discriminant, squarings, challenge of 264 bits, proof, encoding; one thread; the peer is a \
                     process that stays, on the same core, timed by itself around its call";

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table, python: Option<&Path>) -> Result<(), String> {
    let setup = EvaluateSetup { scheme: Scheme::Chia264, discriminant_bits: BITS };
    let name = format!("scheme={} bits={BITS} iterations={ITERATIONS} instances=1", setup.scheme);
    if !table.wants(Evaluate::NAME, &name, PEER) {
        return Ok(());
    }
    let ours = match Ours::<Evaluate>::open(table.backend, &setup) {
        Ok(ours) => ours,
        Err(reason) => return table.unavailable(Evaluate::NAME, &name, &reason),
    };
    let Some(python) = python else {
        return without(table, Evaluate::NAME, &name, PEER, "not given (--chiavdf-python, pip install chiavdf)");
    };
    let mut wheel = match Wheel::open(python) {
        Ok(wheel) => wheel,
        Err(reason) => return without(table, Evaluate::NAME, &name, PEER, &reason),
    };
    let seed = seed(0);
    let proof = wheel.checked_proof(&seed, BITS, ITERATIONS)?;
    let input = EvaluateInput { seeds: vec![seed], iterations: ITERATIONS };
    let want = ours.checked(&setup, &input)?;
    if want != [proof.clone()] {
        return Err(format!("{} {name}: the wheel's proof is another", Evaluate::NAME));
    }
    let case = Case { kernel: Evaluate::NAME, name: &name, items: ITERATIONS, ours: &ours.description, path: None };
    let peer = format!("{PEER} ({})", wheel.version);
    table.duel_long(
        &case,
        &peer,
        TIMED,
        &mut || watch(|| ours.compute(&input).is_some_and(|output| output == want)),
        &mut || wheel.prove(&seed, BITS, ITERATIONS).ok().filter(|(found, _)| *found == proof).map(|(_, time)| time),
    )
}
