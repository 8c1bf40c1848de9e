//! The command line: what each command does, what it prints, and with which code it ends.
//!
//! Results go to stdout, progress and errors to stderr; an error is one line. Exit codes: [`Code`].

mod inspect;
mod kernel;
pub mod progress;
pub mod run;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// What was asked for was done.
    Ok = 0,
    /// A gate failed.
    Gate = 1,
    /// The command line, a configuration or a folder cannot be used.
    Usage = 2,
    /// The run, the bundle or a kernel's output is invalid.
    Invalid = 3,
    /// Something outside failed: a missing backend, a process, a port, a disk.
    Infrastructure = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command does not end with [`Code::Ok`]: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Exit code.
    pub code: Code,
    /// The line, without `error: `.
    pub message: String,
}

impl Failure {
    /// [`Code::Usage`].
    pub fn usage(message: impl Display) -> Self {
        Self { code: Code::Usage, message: message.to_string() }
    }

    /// [`Code::Invalid`].
    pub fn invalid(message: impl Display) -> Self {
        Self { code: Code::Invalid, message: message.to_string() }
    }

    /// [`Code::Infrastructure`].
    pub fn infrastructure(message: impl Display) -> Self {
        Self { code: Code::Infrastructure, message: message.to_string() }
    }
}

/// How fast this machine is at the work of consensus, on which backend, and how much of it reaches finality.
#[derive(Debug, Parser)]
#[command(name = "shardmark", version, propagate_version = true, arg_required_else_help = true)]
struct Cli {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    /// Print more: every step on stderr, every column in tables.
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: JSON, one document or one object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Describe hardware, system, backends and sensors, and what stands in the way of a good run.
    Probe,
    /// Measure kernels; every output is checked.
    Kernel(KernelArgs),
    /// Run the pipeline, or a matrix of pipelines, and report.
    Run(RunArgs),
    /// Rebuild the reports of bundles from their measurements.
    Report(ReportArgs),
    /// Check bundles and configurations: schema, checksums, reconciliation.
    Check(CheckArgs),
    /// One validator; started by `run`.
    #[command(hide = true)]
    Node(NodeArgs),
}

/// Arguments of `kernel`.
#[derive(Debug, Args)]
pub struct KernelArgs {
    /// Kernels or families, such as `bls` or `vdf/verify`; all when absent.
    names: Vec<String>,
    /// Measure on these backends instead of the file's.
    #[arg(long, value_delimiter = ',')]
    backend: Vec<shardmark_kernels::backend::BackendId>,
    /// Sweep to run; the one of bench-configs/kernels.toml when absent.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replace one value of the file, such as `seed=7`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Timed iterations, instead of the file's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rounds: Option<u32>,
    /// Print one JSON object a row; short for `--format json`.
    #[arg(long)]
    json: bool,
    /// Print the names of all kernels and end.
    #[arg(long)]
    list: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Configuration.
    config: PathBuf,
    /// Replace one value, such as `load.rate=500`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for the bundle, which must not exist or be empty; `results/NAME-TIME` when absent.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print what would run and end.
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Bundles, or folders of matrices.
    #[arg(required = true)]
    bundles: Vec<PathBuf>,
    /// Write summary.csv too.
    #[arg(long)]
    csv: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Bundles, folders of matrices, or configurations.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
}

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's file, written by the launcher.
    spec: PathBuf,
}

/// What every command is told.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// How results are printed.
    pub format: Format,
    /// Print more.
    pub verbose: bool,
}

/// Parses the command line, runs the command, prints its error. The whole binary.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if !error.use_stderr()
                || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            // Help and version. A closed pipe is the reader's wish.
            let _ = error.print();
            return if error.use_stderr() { Code::Usage.into() } else { Code::Ok.into() };
        }
        Err(error) => return end(Err(Failure::usage(first_paragraph(&error.to_string())))),
    };
    let context = Context { format: cli.format, verbose: cli.verbose };
    end(match cli.command {
        Command::Probe => inspect::probe(context),
        Command::Kernel(args) => kernel::kernel(context, args),
        Command::Run(args) => run::run(context, args),
        Command::Report(args) => inspect::report(context, args),
        Command::Check(args) => inspect::check(context, args),
        Command::Node(args) => return crate::node::main(&args.spec),
    })
}

fn end(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => Code::Ok.into(),
        Err(failure) => {
            eprintln!("error: {}", failure.message.replace('\n', " "));
            failure.code.into()
        }
    }
}

/// clap's message without its usage and hints, on one line.
fn first_paragraph(message: &str) -> String {
    let lines = message.lines().take_while(|line| !line.trim().is_empty());
    let text = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// Prints to stdout. A closed pipe is the reader's wish, any other failure is one line.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::infrastructure(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one JSON object on its own line.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(Failure::infrastructure)?;
    print(&(json + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn claps_messages_become_one_line() {
        let error = Cli::try_parse_from(["shardmark", "run"]).unwrap_err().to_string();
        assert_eq!(first_paragraph(&error), "the following required arguments were not provided: <CONFIG>");
    }
}
