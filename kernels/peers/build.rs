//! Records what both sides are built with: versions from the lock file, compiler, flags and profile.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Packages whose versions stand in rows, and the variables that hold them.
const PACKAGES: [(&str, &str); 6] = [
    ("blst", "VERSUS_BLST"),
    ("commonware-cryptography", "VERSUS_COMMONWARE"),
    ("raptorq", "VERSUS_RAPTORQ"),
    ("reed-solomon-erasure", "VERSUS_REED_SOLOMON"),
    ("reed-solomon-simd", "VERSUS_REED_SOLOMON_SIMD"),
    ("secp256k1", "VERSUS_SECP256K1"),
];

fn main() {
    let lock = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=build.rs");
    let text = fs::read_to_string(&lock).unwrap_or_default();
    for (package, variable) in PACKAGES {
        match versions(&text, package)[..] {
            // Both sides share a library only if there is one of it.
            [version] => println!("cargo::rustc-env={variable}={version}"),
            ref found => println!("cargo::error=one version of {package} must be locked, not {found:?}"),
        }
    }
    if env::var_os("CARGO_FEATURE_ISAL").is_some() {
        let version = Command::new("pkg-config").args(["--modversion", "libisal"]).output();
        match version {
            Ok(out) if out.status.success() => {
                println!("cargo::rustc-env=VERSUS_ISAL={}", String::from_utf8_lossy(&out.stdout).trim());
            }
            _ => println!("cargo::error=feature isal needs the packages libisal-dev and pkg-config"),
        }
    }
    let compiler = Command::new(variable("RUSTC")).arg("--version").output();
    let compiler = compiler.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " ");
    let flags = if flags.is_empty() { "none" } else { &flags };
    println!("cargo::rustc-env=VERSUS_COMPILER={compiler}, opt-level {}, flags {flags}", variable("OPT_LEVEL"));
}

fn versions<'a>(lock: &'a str, package: &str) -> Vec<&'a str> {
    let name = format!("name = \"{package}\"");
    let sections = lock.split("[[package]]").filter(|section| section.lines().any(|line| line == name));
    sections.filter_map(|section| section.split_once("version = \"")?.1.split('"').next()).collect()
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
