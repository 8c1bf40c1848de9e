//! Temporary entry.
use std::path::Path;
fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "node" => shardmark::node::main(Path::new(&args[2])),
        _ => {
            struct P;
            impl shardmark::cluster::local::Progress for P {
                fn stage(&mut self, t: &str) { eprintln!("{t}"); }
                fn running(&mut self, at: std::time::Duration, _p: std::time::Duration, n: &[shardmark::cluster::local::NodeProgress]) { eprintln!("{at:?} {n:?}"); }
            }
            let config = shardmark::config::Config::load(Path::new(&args[2]), &args[4..]).unwrap();
            let out = Path::new(&args[3]);
            for d in ["events","hist","logs"] { std::fs::create_dir_all(out.join(d)).unwrap(); }
            let private = tempfile::tempdir().unwrap();
            let r = shardmark::cluster::local::run(&config, out, &private.path().join("p"), &std::sync::atomic::AtomicBool::new(false), &mut P);
            eprintln!("{r:?}");
            std::process::ExitCode::SUCCESS
        }
    }
}
