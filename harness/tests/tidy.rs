//! Holds the house rules: who may import whom, who may know a clock or a socket, how long a file may be.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

/// Files over 800 lines, each with its reason. None so far.
const LONG_FILES: [&str; 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below a folder of the repository, or the file itself.
fn files(at: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), found));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    walk(&root().join(at), &mut found);
    assert!(!found.is_empty(), "{at} has no Rust file");
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The code of a file before its tests, without comments.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn nowhere(at: &str, words: &[&str]) {
    for (name, text) in files(at) {
        if name.contains("/tests/") || name.contains("/simulation/") {
            continue;
        }
        let code = code(&text);
        for word in words {
            assert!(!code.contains(word), "{name} mentions `{word}`");
        }
    }
}

#[test]
fn kernels_know_no_clock_no_runtime_no_harness() {
    nowhere("kernels/src", &["Instant", "SystemTime", "tokio", "shardmark::", "std::fs", "std::net"]);
}

#[test]
fn kernel_families_never_import_one_another() {
    let families = ["bls", "vdf", "erasure", "secp256k1"];
    for own in families {
        for other in families.iter().filter(|&&other| other != own) {
            nowhere(&format!("kernels/src/{own}"), &[&format!("crate::{other}"), &format!("super::super::{other}")]);
        }
    }
}

#[test]
fn state_machines_know_no_io_and_no_clock() {
    let io = ["tokio", "quinn", "Instant", "SystemTime", "std::fs", "std::net", "crate::record", "crate::report"];
    for at in ["fbft", "ledger", "propagation", "beacon.rs", "load.rs", "node/core"] {
        nowhere(&format!("harness/src/{at}"), &io);
    }
}

#[test]
fn the_transport_knows_no_phase() {
    nowhere("harness/src/net", &["crate::fbft", "crate::ledger", "crate::propagation", "crate::block", "crate::node"]);
}

#[test]
fn reports_read_bundles_only() {
    let others = ["crate::node", "crate::cluster", "crate::net::", "crate::fbft::replica", "crate::cli"];
    nowhere("harness/src/report", &others);
}

#[test]
fn only_the_node_joins_consensus_network_and_kernels() {
    for at in ["fbft", "ledger", "propagation"] {
        nowhere(&format!("harness/src/{at}"), &["crate::net", "crate::node", "crate::cluster"]);
    }
}

#[test]
fn files_stay_short_or_say_why() {
    for at in ["kernels/src", "kernels/peers/src", "harness/src"] {
        for (name, text) in files(at) {
            let lines = text.lines().count();
            assert!(lines <= 800 || LONG_FILES.contains(&name.as_str()), "{name} has {lines} lines");
        }
    }
}

#[test]
fn every_file_opens_with_what_it_does() {
    for at in ["kernels/src", "kernels/peers/src", "harness/src"] {
        for (name, text) in files(at) {
            assert!(text.starts_with("//!"), "{name} does not open with a description");
        }
    }
}
