//! Records in the binary how it was built: revision, compiler, flags. A result without them cannot be compared.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for source in ["src", "Cargo.toml", "../kernels/src", "../kernels/Cargo.toml", "../Cargo.lock", "../Cargo.toml"] {
        println!("cargo::rerun-if-changed={source}");
    }
    // A commit changes no source file, but it changes what the sources are called.
    if let Some(folder) = output("git", &["rev-parse", "--git-dir"]) {
        for file in ["HEAD", "logs/HEAD"] {
            let path = Path::new(&folder).join(file);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    set("REVISION", output("git", &["rev-parse", "HEAD"]));
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no", "--", "..", ":!../bench-configs"]);
    set("DIRTY", changed.map(|files| (!files.is_empty()).to_string()));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    set("COMPILER", output(&rustc, &["--version"]));
    set("TARGET", std::env::var("TARGET").ok());
    let profile = |key| std::env::var(key).unwrap_or_default();
    set("PROFILE", Some(format!("{}, opt-level {}", profile("PROFILE"), profile("OPT_LEVEL"))));
    set("FLAGS", std::env::var("CARGO_ENCODED_RUSTFLAGS").ok().map(|flags| flags.replace('\u{1f}', " ")));
}

/// An unknown value is an unset variable.
fn set(key: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env=SHARDMARK_{key}={value}");
    }
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().replace('\n', " "))
}
