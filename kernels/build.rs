//! Records how the crate blst was built, because that moves every BLS result: version and use of the ADX instructions.
//!
//! blst says nothing about itself, so its own build script's rule (version 0.3.17) is repeated here, on the same host
//! and with the same flags: without its features `portable` and `force-adx`, which this workspace does not set, ADX is
//! used if the host that builds has it, or, where RUSTFLAGS name a `target-cpu`, if that target has it.
//!
//! Writes the assembly of the backend `simd`, see `build/radix49.rs`.

use std::env;
use std::path::Path;

#[path = "build/radix49.rs"]
mod radix49;
#[path = "build/schedule.rs"]
mod schedule;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let out = env::var("OUT_DIR").expect("Cargo names a directory");
    for (name, text) in radix49::kernels() {
        let path = Path::new(&out).join(format!("radix49_{name}.s"));
        std::fs::write(path, text).expect("the directory can be written");
    }
    println!("cargo::rustc-env=SHARDMARK_BLST={} ({})", version().as_deref().unwrap_or("of unknown version"), mode());
}

/// The version in blst's own manifest, next to the C sources that its build script points to.
fn version() -> Option<String> {
    let sources = env::var("DEP_BLST_C_SRC").ok()?;
    let manifest = Path::new(&sources).ancestors().nth(2)?.join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).ok()?;
    let line = manifest.lines().find(|line| line.starts_with("version = "))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn mode() -> &'static str {
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        return "no ADX on this architecture";
    }
    if env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().contains("target-cpu=") {
        let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        let has = |name| features.split(',').any(|feature| feature == name);
        return match (has("ssse3"), has("adx")) {
            (false, _) => "portable",
            (true, true) => "ADX, from target-cpu",
            (true, false) => "no ADX, from target-cpu",
        };
    }
    if host_has_adx() { "ADX, from the build host" } else { "no ADX, from the build host" }
}

#[cfg(target_arch = "x86_64")]
fn host_has_adx() -> bool {
    std::is_x86_feature_detected!("adx")
}

#[cfg(not(target_arch = "x86_64"))]
fn host_has_adx() -> bool {
    false
}
