//! The main job on the real binary: short runs of real processes, and what happens when something outside goes wrong.

#![allow(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A run of `seconds` of load, with these settings, into `out`.
fn command(seconds: u32, settings: &[&str], out: &Path) -> Command {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-configs/smoke.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardmark"));
    command.arg("run").arg(config).arg("--out").arg(out);
    // A test machine is busy: a late generator is no finding here.
    let load = format!("load.duration=\"{seconds}s\"");
    for setting in
        ["load.warmup=\"500ms\"", "load.max_lateness=\"5s\"", "beacon.blocks=0", &load].iter().chain(settings)
    {
        command.arg("--set").arg(setting);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn errors(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

fn summary(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

fn check(folder: &Path) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardmark"));
    command.arg("check").arg(folder).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
}

/// Waits until `node-00` has recorded something, so that the run is under way.
fn under_way(run: &mut Child, out: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let begun = || fs::metadata(out.join("events/node-00.jsonl.zst")).is_ok_and(|file| file.len() > 2000);
    while !begun() {
        assert!(Instant::now() < deadline && run.try_wait().unwrap().is_none(), "the run did not get under way");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Process ids of the validators that a launcher started, in order of their index.
fn validators(launcher: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: kill takes two numbers; the process is a child of a child of this test.
    assert_eq!(unsafe { libc::kill(pid as i32, signal) }, 0);
}

#[test]
fn a_run_finalizes_signed_transfers_and_its_bundle_checks() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = command(3, &[], &out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&out);
    let transactions = &summary["transactions"];
    assert!(transactions["finalized"].as_u64().unwrap() > 0);
    assert_eq!(transactions["finalized"], transactions["scheduled"]);
    assert_eq!(check(&out), Some(0));
    let secrets = Command::new("grep").args(["-rl", "secrets"]).arg(&out).output().unwrap();
    assert!(secrets.stdout.is_empty(), "keys of the run are in the bundle");
}

#[test]
fn opaque_payloads_and_whole_block_broadcast_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let settings = ["workload.kind=opaque", "propagation.mode=whole-block", "consensus.votes=per-validator"];
    let keys =
        ["cluster.keys_per_validator=3", "beacon.blocks=3", "beacon.iterations=300", "beacon.discriminant_bits=256"];
    let output = command(4, &[&settings[..], &keys[..]].concat(), &out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = summary(&out);
    assert!(summary["transactions"]["finalized"].as_u64().unwrap() > 0);
    let alone = &summary["beacon"]["alone"];
    assert!(alone["evaluate_ns"].as_u64().unwrap() > 0 && alone["verify_ns"].as_u64().unwrap() > 0, "{alone}");
    assert!(alone["margin"].as_f64().unwrap() > 0.0, "{alone}");
    let page = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(page.contains("No backend speeds up a single evaluation"), "{page}");
    assert_eq!(check(&out), Some(0));
}

/// Seven validators, of which six relay: three of the five chunks that a body needs come from relays.
fn with_faulty_relay(fault: &str, folder: &Path) -> serde_json::Value {
    let out = folder.join(fault);
    let fault = format!("faults.{fault}_relays=1");
    let settings = [
        "cluster.validators=7",
        "propagation.data_chunks=5",
        "propagation.code=rs-fft16",
        "consensus.rotation_blocks=0",
        "consensus.view_timeout=20s",
        "network={ loss = 0.02, delay = \"2ms\" }",
        "load.drain=30s",
        &fault,
    ];
    let output = command(4, &settings, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(check(&out), Some(0));
    let page = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(page.contains("## Propagation by rs-fft16") && page.contains("2% of datagrams lost, 2ms delay"), "{page}");
    let summary = summary(&out);
    assert_eq!(summary["transactions"]["finalized"], summary["transactions"]["scheduled"]);
    let travelled = &summary["propagation"];
    assert!(travelled["verified_ns"]["n"].as_u64().unwrap() > 0, "{travelled}");
    assert!((0.005..0.06).contains(&travelled["lost_share"].as_f64().unwrap()), "{travelled}");
    summary
}

/// The node that a fault was drawn for.
fn faulty<'a>(summary: &'a serde_json::Value, fault: &str) -> &'a serde_json::Value {
    let index = &summary["propagation"][format!("{fault}_relays")][0];
    assert_ne!(index, 0, "the first leader is spared");
    summary["nodes"].as_array().unwrap().iter().find(|node| node["validator"] == *index).unwrap()
}

#[test]
fn a_corrupting_relay_is_found_out_by_its_receivers_and_nobody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let summary = with_faulty_relay("corrupting", folder.path());
    assert!(summary["refused"]["chunk not under the root"].as_u64().unwrap() > 0, "{}", summary["refused"]);
    faulty(&summary, "corrupting");
}

#[test]
fn a_silent_relay_sends_no_chunk_and_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let summary = with_faulty_relay("silent", folder.path());
    assert_eq!(summary["refused"]["chunk not under the root"], serde_json::Value::Null);
    let silent = faulty(&summary, "silent")["sent_bytes"].as_u64().unwrap();
    let median = summary["propagation"]["sent_bytes"]["p50"].as_u64().unwrap();
    let blocks = summary["blocks"]["finalized"].as_u64().unwrap();
    assert!(silent < median * blocks, "{silent} bytes of the silent one, {median} a block of the median one");
}

#[test]
fn a_killed_validator_is_named_and_what_was_measured_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut run = command(5, &[], &out).spawn().unwrap();
    under_way(&mut run, &out);
    signal(validators(run.id())[2], libc::SIGKILL);
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(errors(&output), ["error: validator 2 ended early: signal: 9 (SIGKILL)"]);
    assert!(summary(&out)["blocks"]["finalized"].as_u64().unwrap() > 0);
    assert!(out.join("report.html").is_file());
}

#[test]
fn an_interrupt_stops_every_validator_and_keeps_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut run = command(60, &[], &out).spawn().unwrap();
    under_way(&mut run, &out);
    let nodes = validators(run.id());
    assert_eq!(nodes.len(), 4);
    signal(run.id(), libc::SIGINT);
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(errors(&output), [format!("error: interrupted: what was measured is in {}", out.display())]);
    assert!(nodes.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "a validator outlived its launcher");
    assert!(out.join("report.html").is_file());
}

#[test]
fn an_interrupt_stops_the_delay_function_that_is_measured_before_the_validators_start() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let endless = ["beacon.blocks=3", "beacon.iterations=1099511627776", "beacon.discriminant_bits=256"];
    let mut run = command(1, &endless, &out).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "evaluating the delay function alone");
    assert!(validators(run.id()).is_empty());
    signal(run.id(), libc::SIGINT);
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    assert_eq!(run.wait().unwrap().code(), Some(4));
    assert!(rest.iter().any(|line| line == "error: interrupted before the run began"), "{rest:?}");
}

#[test]
fn a_busy_port_is_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let setting = format!("cluster.base_port={port}");
    let output = command(1, &[&setting], &folder.path().join("run")).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let errors = errors(&output);
    assert!(errors.len() == 1 && errors[0].contains(&format!("cannot bind UDP 127.0.0.1:{port}")), "{errors:?}");
}

#[test]
fn a_matrix_shows_what_ran_and_why_the_rest_did_not() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("matrix");
    let output = command(2, &["matrix={ backends = [\"cpu\", \"wgpu\"], repeats = 2 }"], &out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(page.contains("wgpu could not run"), "{page}");
    assert_eq!(check(&out), Some(0));
}

#[test]
fn a_matrix_over_codes_compares_how_bodies_travel() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("matrix");
    let axes = "matrix={ codes = [\"whole-block\", \"rs-fft8\"], faults = [{}, { silent_relays = 1 }] }";
    let output = command(2, &[axes], &out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(page.contains("| rs-fft8 | 0% | 1 silent | ") && !page.contains("invalid"), "{page}");
    assert!(page.contains("| whole-block | 0% | 1 silent | whole-block broadcast has no relays"), "{page}");
    assert!(page.contains("With 0% loss the median block is verified after"), "{page}");
    assert!(!out.join("02-whole-block-loss-0-1-silent").exists() && out.join("03-rs-fft8-loss-0-1-silent").is_dir());
    assert_eq!(check(&out), Some(0));
}
