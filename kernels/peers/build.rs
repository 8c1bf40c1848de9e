//! Records what both sides are built with: versions from the lock file, compiler, flags and profile.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Packages whose versions stand in rows, and the variables that hold them.
const PACKAGES: [(&str, &str); 7] = [
    ("blst", "VERSUS_BLST"),
    ("commonware-cryptography", "VERSUS_COMMONWARE"),
    ("raptorq", "VERSUS_RAPTORQ"),
    ("reed-solomon-erasure", "VERSUS_REED_SOLOMON"),
    ("reed-solomon-simd", "VERSUS_REED_SOLOMON_SIMD"),
    ("secp256k1", "VERSUS_SECP256K1"),
    ("vdf", "VERSUS_POANETWORK"),
];

/// Features that bind a library of the system: its name for pkg-config, the variable that holds its version, its package.
const SYSTEM: [(&str, &str, &str, &str); 3] = [
    ("isal", "libisal", "VERSUS_ISAL", "libisal-dev"),
    ("gmp", "gmp", "VERSUS_GMP", "libgmp-dev"),
    ("openssl", "libcrypto", "VERSUS_OPENSSL", "libssl-dev"),
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
    for (feature, library, variable, package) in SYSTEM {
        if env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase())).is_none() {
            continue;
        }
        match Command::new("pkg-config").args(["--modversion", library]).output() {
            Ok(out) if out.status.success() => {
                println!("cargo::rustc-env={variable}={}", String::from_utf8_lossy(&out.stdout).trim());
            }
            _ => println!("cargo::error=feature {feature} needs the packages {package} and pkg-config"),
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
