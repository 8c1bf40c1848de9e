//! The `shardmark` binary: everything is in [`shardmark::cli`].

fn main() -> std::process::ExitCode {
    shardmark::cli::main()
}
