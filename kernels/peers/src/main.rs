//! `versus`: our kernels against named peers, interleaved in one process, one thread, on the same input.
//!
//! Every row states what is inside its timed region. Ratios are peer time over our time: above 1 we are faster.
//! `README.md` says who the peers are and what the numbers do not show.

mod aggregate;
mod duel;
mod erasure;
mod host;
mod layers;
mod ours;
mod secp256k1;
mod verify_batch;

use clap::Parser;
use shardmark_kernels::backend::{BackendId, Kernel, Options};
use shardmark_kernels::bls::VerifyBatch;
use shardmark_kernels::erasure::Encode;
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
    #[arg(long)]
    curve: bool,
    /// The core to pin to.
    #[arg(long, default_value_t = 0)]
    core: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let filter = arguments.filter.as_deref().unwrap_or("");
    let mut table = duel::Table::new(filter, arguments.json, arguments.rounds, arguments.backend);
    if let Err(reason) = run(&mut table, &host::pin(arguments.core), arguments.curve) {
        eprintln!("error: {reason}");
        std::process::exit(4);
    }
    if table.is_empty() {
        eprintln!("error: no row matches `{filter}`");
        std::process::exit(2);
    }
}

fn run(table: &mut duel::Table, pinned: &Result<usize, String>, curve: bool) -> Result<(), String> {
    table.header(pinned)?;
    if curve {
        return verify_batch::curve(table);
    }
    if available::<VerifyBatch>(table.backend) {
        layers::rows(table)?;
        verify_batch::rows(table)?;
        aggregate::rows(table)?;
    }
    if available::<Encode>(table.backend) {
        erasure::rows(table)?;
    }
    if available::<Recover>(table.backend) {
        secp256k1::rows(table)?;
    }
    Ok(())
}

/// Whether our backend has the family of this kernel; says why not.
fn available<K: Kernel>(backend: BackendId) -> bool {
    let reason = K::open(backend, &Options::default()).err();
    if let Some(reason) = &reason {
        eprintln!("# {}/{backend}: unavailable: {reason}", K::NAME);
    }
    reason.is_none()
}
