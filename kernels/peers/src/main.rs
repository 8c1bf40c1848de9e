//! `versus`: our kernels against named peers, interleaved in one process, one thread, on the same input.
//!
//! Every row states what is inside its timed region. Ratios are peer time over our time: above 1 we are faster.

mod bls;
mod duel;
mod secp256k1;

use clap::Parser;
use shardmark_kernels::backend::BackendId;

/// Our kernels against named peers, interleaved in one process, one thread, on the same input.
#[derive(Parser)]
#[command(name = "versus")]
struct Arguments {
    /// Runs only rows whose `kernel case peer` contains this text.
    filter: Option<String>,
    /// Prints JSON lines instead of a table.
    #[arg(long)]
    json: bool,
    /// Our backend.
    #[arg(long, default_value = "cpu")]
    backend: BackendId,
    /// Rounds a row; each times both sides once or more.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// The core to pin to.
    #[arg(long, default_value_t = 0)]
    core: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let filter = arguments.filter.as_deref().unwrap_or("");
    let mut table = duel::Table::new(filter, arguments.json, arguments.rounds, arguments.backend);
    if let Err(reason) = duel::pin(arguments.core) {
        eprintln!("warning: not pinned to core {}: {reason}", arguments.core);
    }
    table.header();
    let result = bls::rows(&mut table).and_then(|()| secp256k1::rows(&mut table));
    if let Err(reason) = result {
        eprintln!("error: {reason}");
        std::process::exit(4);
    }
    if table.is_empty() {
        eprintln!("error: no row matches `{filter}`");
        std::process::exit(2);
    }
}
