//! `versus`: our kernels against named peers, interleaved in one process, one thread, on the same input.
//!
//! Every row states what is inside its timed region. Ratios are peer time over our time: above 1 we are faster.
//! `README.md` says who the peers are and what the numbers do not show.

mod aggregate;
mod clock;
mod duel;
mod erasure;
mod host;
mod layers;
mod ours;
mod secp256k1;
mod vdf;
mod verify_batch;

use clap::Parser;
use shardmark_kernels::backend::{BackendId, Kernel, Options};
use shardmark_kernels::bls::VerifyBatch;
use shardmark_kernels::erasure::{Encode, Reconstruct};
use shardmark_kernels::secp256k1::Recover;

/// Our kernels against named peers, interleaved in one process, one thread, on the same input.
#[derive(Parser)]
#[command(name = "versus")]
struct Arguments {
    /// Runs only rows whose `kernel case peer` contains this text.
    filter: Option<String>,
    /// Prints JSON lines instead of text; what they were measured on goes to the error output.
    #[arg(long)]
    json: bool,
    /// Our backend.
    #[arg(long, default_value = "cpu")]
    backend: BackendId,
    /// Rounds a row; each times both sides once or more.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    rounds: u32,
    /// Instead of the peers: every batch size against our own scalar backend.
    #[arg(long, conflicts_with = "intercept")]
    curve: bool,
    /// Instead of the rows: the fixed cost of a reconstruct call, ours and the peers', in microseconds.
    #[arg(long)]
    intercept: bool,
    /// The core to pin to.
    #[arg(long, default_value_t = 0)]
    core: usize,
    #[command(flatten)]
    programs: vdf::Programs,
}

fn main() {
    let arguments = Arguments::parse();
    let filter = arguments.filter.as_deref().unwrap_or("");
    let mut table = duel::Table::new(filter, arguments.json, arguments.rounds, arguments.backend);
    let missing = run(&mut table, &host::pin(arguments.core), &arguments).unwrap_or_else(|reason| {
        eprintln!("error: {reason}");
        std::process::exit(4);
    });
    if !table.is_empty() {
        return;
    }
    if missing.is_empty() && table.unavailable_rows() == 0 {
        eprintln!("error: no row matches `{filter}`");
        std::process::exit(2);
    }
    for reason in missing {
        eprintln!("error: {reason}");
    }
    std::process::exit(4);
}

/// Prints the rows. Returns the kernels that our backend has not at all, with the reason.
fn run(table: &mut duel::Table, pinned: &Result<usize, String>, arguments: &Arguments) -> Result<Vec<String>, String> {
    table.header(pinned)?;
    let mut missing = Vec::new();
    if arguments.curve {
        verify_batch::curve(table)?;
    } else if arguments.intercept {
        if available::<Reconstruct>(table.backend, &mut missing) {
            erasure::intercept::rows(table)?;
        }
    } else {
        if available::<VerifyBatch>(table.backend, &mut missing) {
            layers::rows(table)?;
            verify_batch::rows(table)?;
            aggregate::rows(table)?;
        }
        if available::<Encode>(table.backend, &mut missing) {
            erasure::rows(table)?;
        }
        if available::<Recover>(table.backend, &mut missing) {
            secp256k1::rows(table)?;
        }
        // A backend can have one of these kernels and not another: each row says so itself.
        vdf::rows(table, &arguments.programs)?;
    }
    Ok(missing)
}

/// Whether our backend has the family of this kernel; says why not.
fn available<K: Kernel>(backend: BackendId, missing: &mut Vec<String>) -> bool {
    let reason = K::open(backend, &Options::default()).err();
    if let Some(reason) = &reason {
        eprintln!("# {}/{backend}: unavailable: {reason}", K::NAME);
        missing.push(format!("{} on {backend}: {reason}", K::NAME));
    }
    reason.is_none()
}
