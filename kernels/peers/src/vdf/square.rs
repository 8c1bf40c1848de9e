//! `vdf/square`: the sequential part alone, squarings in the class group of one discriminant from the generator on.
//!
//! Both sides start at `(2, 1, c)` and their last forms are compared, `a` and `b` byte for byte.

use std::path::Path;

use shardmark_kernels::backend::{BackendId, Control, Description, Kernel, Options};
use shardmark_kernels::vdf::{DiscriminantValue, Evaluate, square_chain};

use super::chiavdf::Bench;
use super::{NOT_BUILT_IN, poanetwork, seed, without};
use crate::clock::watch;
use crate::duel::{Case, Table};

const KERNEL: &str = "vdf/square";
const CHIAVDF: &str = "chiavdf vdf_bench square";
const TIMED: &str =
    "squarings from the generator to the reduced form, the discriminant and its group prepared; one thread";

/// Bits and squarings of a call against `vdf_bench`, which counts whole milliseconds: more than half a second of them.
const LONG: [(u32, u64); 3] = [(2048, 30_000), (1024, 60_000), (512, 120_000)];
/// Against a library.
const SHORT: u64 = 10_000;

/// Prepares so many squarings under a discriminant whose magnitude is given, big-endian and of full length. Each call makes
/// them from the generator on, and gives the last form as the kernels encode it.
pub type Open = fn(magnitude: &[u8], iterations: u64) -> Box<dyn FnMut() -> Vec<u8>>;

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table, bench: Option<&Path>) -> Result<(), String> {
    for (bits, iterations) in LONG {
        against_chiavdf(table, bits, iterations, bench)?;
        against_poanetwork(table, bits)?;
    }
    Ok(())
}

fn name(bits: u32, iterations: u64) -> String {
    format!("bits={bits} iterations={iterations}")
}

/// Our side: a chain, and what it gives.
struct Chain {
    description: Description,
    discriminant: DiscriminantValue,
    iterations: u64,
    /// `a` and `b` of the last form.
    want: Vec<u8>,
}

impl Chain {
    fn open(backend: BackendId, bits: u32, iterations: u64) -> Result<Self, String> {
        if backend != BackendId::Cpu {
            return Err(format!("{KERNEL} on {backend}: a chain is sequential, its code is that of cpu"));
        }
        let opened = Evaluate::open(backend, &Options::default()).map_err(|e| format!("{KERNEL} on {backend}: {e}"))?;
        let discriminant = DiscriminantValue::from_seed(bits, &seed(0)).map_err(|e| format!("{KERNEL}: {e}"))?;
        let want = square_chain(&discriminant, iterations, &Control::default()).map_err(|e| e.to_string())?;
        Ok(Self { description: opened.description(), discriminant, iterations, want })
    }

    fn run(&self) -> bool {
        square_chain(&self.discriminant, self.iterations, &Control::default()).is_ok_and(|y| y == self.want)
    }
}

fn against_chiavdf(table: &mut Table, bits: u32, iterations: u64, bench: Option<&Path>) -> Result<(), String> {
    let name = name(bits, iterations);
    if !table.wants(KERNEL, &name, CHIAVDF) {
        return Ok(());
    }
    let chain = match Chain::open(table.backend, bits, iterations) {
        Ok(chain) => chain,
        Err(reason) => return table.unavailable(KERNEL, &name, &reason),
    };
    let Some(bench) = bench else {
        return without(table, KERNEL, &name, CHIAVDF, "not given (--chiavdf-bench, scripts/build-chiavdf-bench.sh)");
    };
    let bench = match Bench::open(bench, &chain.discriminant) {
        Ok(bench) => bench,
        Err(reason) => return without(table, KERNEL, &name, CHIAVDF, &reason),
    };
    if bench.square(iterations, &chain.want).is_none() {
        let reason = "another result: was it built by scripts/build-chiavdf-bench.sh?";
        return without(table, KERNEL, &name, CHIAVDF, reason);
    }
    let case = Case { kernel: KERNEL, name: &name, items: iterations, ours: &chain.description, path: None };
    let peer = format!("{CHIAVDF} ({})", bench.version);
    let timed = format!(
        "{TIMED}; the peer is a process a call on the same core (NUDUPL, one thread), timed by itself: its start is not in it"
    );
    let ours = &mut || watch(|| chain.run());
    table.duel_long(&case, &peer, &timed, ours, &mut || bench.square(iterations, &chain.want))
}

fn against_poanetwork(table: &mut Table, bits: u32) -> Result<(), String> {
    let (name, peer) = (name(bits, SHORT), poanetwork::SQUARINGS);
    let Some(open) = peer.call else {
        return without(table, KERNEL, &name, peer.name, NOT_BUILT_IN);
    };
    if !table.wants(KERNEL, &name, peer.name) {
        return Ok(());
    }
    let chain = match Chain::open(table.backend, bits, SHORT) {
        Ok(chain) => chain,
        Err(reason) => return table.unavailable(KERNEL, &name, &reason),
    };
    let mut squarings = open(&chain.discriminant.to_bytes(), SHORT);
    let case = Case { kernel: KERNEL, name: &name, items: SHORT, ours: &chain.description, path: None };
    let ours = &mut || watch(|| chain.run());
    let timed = format!("{TIMED}; {}", peer.timed);
    table.duel_long(&case, peer.name, &timed, ours, &mut || watch(|| squarings() == chain.want))
}
