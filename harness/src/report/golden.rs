//! Golden files: committed events in, exact summary and pages out.
//!
//! `tests/bundle` holds a small run as plain text; the test compresses its events into a real bundle. The run itself comes
//! from [`small_run`]. `SHARDMARK_UPDATE=1 cargo test` rewrites both.

use std::path::{Path, PathBuf};

use super::{csv, write};
use crate::record::bundle::tests::manifest;
use crate::record::event::{Event, Job, Mark, NetSample, Payload, TransactionCounts};
use crate::record::histogram::{Log, Series};
use crate::record::{Bundle, DelayAlone, Grade, Summary};
use crate::types::{BlockNum, Hash, ShardId, ValidatorIndex, ViewId};
use shardmark_kernels::backend::BackendId;

const MS: u64 = 1_000_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn updating() -> bool {
    std::env::var_os("SHARDMARK_UPDATE").is_some()
}

/// Four validators, twelve blocks a second apart; validator 3 is slow, block 7 needs a second view.
pub(crate) fn small_run() -> Vec<Vec<Event>> {
    (0..4u16).map(node).collect()
}

fn node(index: u16) -> Vec<Event> {
    let shard = ShardId(0);
    let mut events = Vec::new();
    let mut add = |t_ns: u64, payload: Payload| events.push(Event { t_ns, shard, payload });
    add(0, Payload::Started { validator: ValidatorIndex(index), power: 1, pid: 100 + u32::from(index) });
    let late = 4 * u64::from(index) * MS + if index == 3 { 60 * MS } else { 0 };
    for num in 1..=12u64 {
        let view = ViewId(u64::from(num == 7));
        let block_num = BlockNum(num);
        let mut start = (num * 1000 + 10) * MS;
        let leader = ((num / 10) % 4) as u16 + view.0 as u16;
        if num == 7 {
            if index == leader - 1 {
                add(start, Payload::Phase { block_num, view_id: ViewId(0), mark: Mark::Propose });
            }
            add(start + 400 * MS, Payload::ViewChange { block_num, view_id: view });
            add(start + 420 * MS + late, Payload::NewView { block_num, view_id: view });
            start += 430 * MS;
        }
        let mut mark = |ms: u64, mark| add(start + ms * MS, Payload::Phase { block_num, view_id: view, mark });
        let late_ms = late / MS;
        if index == leader {
            for (ms, step) in [
                (0, Mark::Propose),
                (2, Mark::Cut),
                (12, Mark::AnnounceSent),
                (95, Mark::PrepareQuorum),
                (97, Mark::PreparedSent),
                (130, Mark::CommitQuorum),
                (131, Mark::CommittedSent),
            ] {
                mark(ms, step);
            }
        }
        for (ms, step) in [
            (13, Mark::AnnounceReceived),
            (14, Mark::FirstChunk),
            (18, Mark::KthChunk),
            (25, Mark::Decoded),
            (70, Mark::Checked),
            (74, Mark::PrepareSent),
            (102, Mark::PreparedReceived),
            (110, Mark::CommitSent),
            (134, Mark::Final),
        ] {
            mark(ms + late_ms, step);
        }
        let mut kernel = |end_ms: u64, name: &'static str, items: u64, bytes: u64, ms: u64, job| {
            let payload = Payload::Kernel {
                kernel: name.into(),
                backend: BackendId::Cpu,
                path: "scalar".into(),
                threads: 1,
                items,
                bytes,
                total_ns: ms * MS,
                job,
                block_num: Some(block_num),
            };
            add(start + end_ms * MS + late, payload);
        };
        kernel(24, "erasure/reconstruct", 2, 20_000, 5, Job::Chunks);
        kernel(69, "secp256k1/recover", 100, 9_700, 40, Job::Check);
        kernel(101, "bls/verify-batch", 1, 100, 3, Job::Prepared);
        if index == leader {
            kernel(94 - late_ms, "bls/verify-batch", 3, 300, 4, Job::Prepare);
        }
        let payload = Payload::Final {
            block_num,
            block_hash: Hash([num as u8; 32]),
            view_id: view,
            proposer: ValidatorIndex(leader),
            transactions: 100,
            body_bytes: 20_000,
            state_root: Hash([100 + num as u8; 32]),
        };
        add(start + 134 * MS + late, payload);
        let resources = Payload::Resources {
            cpu_ns: num * 120 * MS,
            rss_bytes: Some((50 + num) << 20),
            host_busy_ns: Some(num * 600 * MS),
            host_steal_ns: Some(0),
        };
        add(start + 140 * MS + late, resources);
    }
    if index != 2 {
        let from = Some(ValidatorIndex(2));
        add(5000 * MS, Payload::Refused { from, reason: "bad signature".into(), count: 2 });
    }
    add(
        9000 * MS,
        Payload::Vdf {
            window: 0,
            evaluate_ns: (index == 0).then_some(2500 * MS),
            verify_ns: Some(40 * MS),
            deadline_ns: 6000 * MS,
        },
    );
    let counts = TransactionCounts {
        scheduled: 303,
        sent: 303,
        unsent: 0,
        admitted: 302,
        rejected_at_home: [("full".to_owned(), 1)].into(),
        rejected_later: [("stale".to_owned(), 1)].into(),
        finalized: 300,
        expired: 1,
        unfinished: 0,
        duplicates: 5,
    };
    add(13_500 * MS, Payload::Transactions(counts));
    let net = NetSample {
        sent_bytes: 400_000 + 30_000 * u64::from(index),
        received_bytes: 420_000,
        sent_datagrams: 900,
        received_datagrams: 930,
        lost_packets: u64::from(index == 3) * 7,
        sent_chunk_bytes: Some(350_000 + 20_000 * u64::from(index)),
        ..NetSample::default()
    };
    add(13_500 * MS, Payload::Net(net));
    add(13_600 * MS, Payload::Closed);
    events
}

/// Writes the run as text.
fn write_text(folder: &Path) {
    for sub in ["events", "hist", "system"] {
        std::fs::create_dir_all(folder.join(sub)).unwrap();
    }
    let mut manifest = manifest();
    manifest.config.name = "golden".into();
    manifest.config.backend = crate::config::Backends::all(BackendId::Cpu);
    manifest.config_hash = manifest.config.hash();
    std::fs::write(folder.join("manifest.json"), serde_json::to_string_pretty(&manifest).unwrap() + "\n").unwrap();
    for (index, events) in small_run().iter().enumerate() {
        let lines: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        std::fs::write(folder.join(format!("events/node-0{index}.jsonl")), lines).unwrap();
        for (series, base) in [(Series::Finality, 600), (Series::FinalityUncorrected, 599), (Series::Lateness, 0)] {
            let path = folder.join(format!("hist/node-0{index}-{}.hlog", series.name()));
            let _ = std::fs::remove_file(&path);
            let mut log = Log::create(&path).unwrap();
            for second in 2..12u64 {
                let values: Vec<u64> =
                    (0..25).map(|i| (base + i * 40) * MS / if base == 0 { 1000 } else { 1 } + 5_000).collect();
                log.write(&values, second * 1000 * MS..(second + 1) * 1000 * MS).unwrap();
            }
        }
    }
    let alone = DelayAlone { evaluate_ns: 2000 * MS, verify_ns: 25 * MS };
    std::fs::write(folder.join(DelayAlone::FILE), serde_json::to_string_pretty(&alone).unwrap() + "\n").unwrap();
    let host = serde_json::json!({
        "schema": 1, "host": "golden", "memory_bytes": 8u64 << 30, "os": "Test OS 1", "kernel": "6.0", "sensors": [], "kernels": [],
        "cpu": { "model": "Test CPU", "cores": 4, "threads": 8, "features": ["avx2"], "caches": [] },
        "build": manifest.build, "obstacles": [{ "grade": "B", "reason": "the frequency governor cannot be read" }],
    });
    std::fs::write(folder.join("system/golden.json"), serde_json::to_string_pretty(&host).unwrap() + "\n").unwrap();
}

/// The committed run as a real bundle.
pub(crate) fn bundle(target: &Path) -> Bundle {
    let source = folder("bundle");
    std::fs::create_dir_all(target).unwrap();
    for name in ["manifest.json", DelayAlone::FILE] {
        std::fs::copy(source.join(name), target.join(name)).unwrap();
    }
    for sub in ["events", "hist", "system"] {
        std::fs::create_dir_all(target.join(sub)).unwrap();
        for entry in std::fs::read_dir(source.join(sub)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            match sub {
                "events" => {
                    let packed = zstd::bulk::compress(&bytes, 3).unwrap();
                    std::fs::write(target.join(sub).join(format!("{name}.zst")), packed).unwrap();
                }
                _ => std::fs::write(target.join(sub).join(name), bytes).unwrap(),
            }
        }
    }
    Bundle::open(target).unwrap()
}

#[test]
fn a_committed_run_gives_exactly_the_committed_reports() {
    if updating() {
        write_text(&folder("bundle"));
        std::fs::create_dir_all(folder("golden")).unwrap();
    }
    let target = tempfile::tempdir().unwrap();
    let bundle = bundle(target.path());
    let summary = write(&bundle).unwrap();
    let read = |name: &str| std::fs::read_to_string(target.path().join(name)).unwrap();
    let outputs = [
        ("summary.json", read("summary.json")),
        ("report.md", read("report.md")),
        ("report.html", read("report.html")),
        ("summary.csv", csv::render(&summary)),
    ];
    for (name, output) in outputs {
        let path = folder("golden").join(name);
        if updating() {
            std::fs::write(&path, &output).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == output, "{} is stale: SHARDMARK_UPDATE=1 cargo test rewrites it", path.display());
    }
}

#[test]
fn the_summary_says_what_the_run_did() {
    let target = tempfile::tempdir().unwrap();
    let summary = write(&bundle(target.path())).unwrap();
    let t = &summary.transactions;
    assert!(t.reconciled);
    assert_eq!((t.scheduled, t.finalized, t.rejected, t.expired), (1212, 1200, 8, 4));
    assert_eq!(t.scheduled, t.finalized + t.rejected + t.expired);
    assert_eq!((summary.blocks.finalized, summary.blocks.view_changes, summary.blocks.transactions), (12, 1, 1200));
    assert_eq!(summary.refused.get("bad signature"), Some(&6));
    assert_eq!(summary.finality_ns.unwrap().n, 1000);
    let shares: f64 = summary.phases.iter().map(|phase| phase.share).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let check = summary.phases.iter().find(|phase| phase.phase == "check").unwrap();
    assert_eq!(check.p50_ns, 45 * MS);
    assert!((check.kernels["secp256k1/recover"] - 40.0 / 45.0).abs() < 1e-9);
    let travelled = summary.propagation.unwrap();
    assert_eq!((travelled.blocks, travelled.unverified, travelled.body_bytes.unwrap().p50), (10, 0, 20_000));
    // Decoded 25 ms after the proposal begins, each validator 4 ms later than the one before, and validator 3 60 ms more.
    let verified = travelled.verified_ns.unwrap();
    assert_eq!((verified.n, verified.max), (30, 95 * MS));
    assert_eq!((travelled.chunk_bytes.unwrap().max, travelled.chunk_bytes.unwrap().leader), (410_000 / 12, None));
    let beacon = summary.beacon.unwrap();
    assert_eq!((beacon.windows, beacon.deadline_ns), (1, Some(6000 * MS)));
    assert!((beacon.margin.unwrap() - (6000.0 - 2540.0) / 6000.0).abs() < 1e-9);
    let alone = beacon.alone.unwrap();
    assert_eq!((alone.evaluate_ns, alone.verify_ns), (2000 * MS, 25 * MS));
    assert!((alone.margin.unwrap() - (6000.0 - 2025.0) / 6000.0).abs() < 1e-9);
    assert_eq!(summary.quality.grade, Grade::B, "{:?}", summary.quality);
}

#[test]
fn summaries_satisfy_the_published_schema_and_edited_ones_do_not() {
    let target = tempfile::tempdir().unwrap();
    let summary = write(&bundle(target.path())).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&crate::record::summary::json_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut value = serde_json::to_value(&summary).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{error}");
    }
    assert_eq!(serde_json::from_value::<Summary>(value.clone()).unwrap().blocks, summary.blocks);
    value["transactions"]["invented"] = 1.into();
    assert!(!validator.is_valid(&value));
}

fn changed(change: impl Fn(usize, &mut Vec<Event>)) -> Summary {
    let target = tempfile::tempdir().unwrap();
    let bundle = bundle(target.path());
    for (index, mut events) in small_run().into_iter().enumerate() {
        change(index, &mut events);
        let lines: String = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        let packed = zstd::bulk::compress(lines.as_bytes(), 3).unwrap();
        std::fs::write(target.path().join(format!("events/node-0{index}.jsonl.zst")), packed).unwrap();
    }
    write(&bundle).unwrap()
}

fn reasons(summary: &Summary, grade: Grade) -> String {
    summary.quality.reasons.iter().filter(|r| r.grade == grade).map(|r| r.reason.clone() + "\n").collect()
}

#[test]
fn what_the_delay_function_takes_alone_is_unknown_in_old_recordings_and_kept_where_no_window_ended() {
    let target = tempfile::tempdir().unwrap();
    let written = bundle(target.path());
    std::fs::remove_file(target.path().join(DelayAlone::FILE)).unwrap();
    let summary = write(&written).unwrap();
    assert_eq!(summary.beacon.as_ref().unwrap().alone, None);
    assert!(serde_json::to_value(&summary).unwrap()["beacon"].get("alone").is_none());
    let page = std::fs::read_to_string(target.path().join("report.md")).unwrap();
    assert!(page.contains("What the delay function takes alone was not measured."), "{page}");

    let summary = changed(|_, events| events.retain(|event| !matches!(event.payload, Payload::Vdf { .. })));
    let beacon = summary.beacon.unwrap();
    assert_eq!((beacon.windows, beacon.evaluate_ns, beacon.margin), (0, None, None));
    assert!(beacon.alone.unwrap().margin.is_some() && beacon.deadline_ns.is_some());
}

#[test]
fn two_final_blocks_at_one_height_make_the_run_invalid() {
    let summary = changed(|node, events| {
        for event in events.iter_mut() {
            if let Payload::Final { block_num: BlockNum(5), block_hash, .. } = &mut event.payload
                && node == 3
            {
                *block_hash = Hash([9; 32]);
            }
        }
    });
    assert!(reasons(&summary, Grade::Invalid).contains("at height 5"));
    let summary = changed(|node, events| {
        for event in events.iter_mut() {
            if let Payload::Final { block_num: BlockNum(6), state_root, .. } = &mut event.payload
                && node == 1
            {
                *state_root = Hash([9; 32]);
            }
        }
    });
    assert!(reasons(&summary, Grade::Invalid).contains("at height 6"));
}

#[test]
fn a_run_without_final_blocks_is_invalid() {
    let summary = changed(|_, events| events.retain(|event| !matches!(event.payload, Payload::Final { .. })));
    assert!(reasons(&summary, Grade::Invalid).contains("no block became final"));
    assert_eq!(summary.quality.grade, Grade::Invalid);
    assert_eq!(summary.rates.finalized_per_s, None, "unknown is null, never 0");
}

#[test]
fn one_lost_transaction_makes_the_run_invalid() {
    let summary = changed(|node, events| {
        for event in events.iter_mut() {
            if let Payload::Transactions(counts) = &mut event.payload
                && node == 2
            {
                counts.finalized -= 1;
            }
        }
    });
    assert!(reasons(&summary, Grade::Invalid).contains("do not reconcile"));
}

#[test]
fn more_final_transactions_than_blocks_hold_make_the_run_invalid() {
    let summary = changed(|node, events| {
        for event in events.iter_mut() {
            if let Payload::Transactions(counts) = &mut event.payload
                && node == 0
            {
                counts.finalized += 1;
                counts.expired -= 1;
            }
        }
    });
    assert!(reasons(&summary, Grade::Invalid).contains("1201 transactions count as final, but final blocks hold 1200"));
}

#[test]
fn a_killed_node_lowers_the_grade_and_keeps_the_run() {
    let summary = changed(|node, events| {
        if node == 3 {
            events.truncate(150);
        }
    });
    assert_eq!(summary.quality.grade, Grade::C);
    assert!(reasons(&summary, Grade::C).contains("node-03 did not end in order"));
    assert!(!summary.nodes[3].closed);
    assert_eq!(summary.nodes[3].sent_bytes, None);
    assert_eq!(summary.amplification, None);
}

#[test]
fn a_full_cpu_names_the_kernel_that_fills_it() {
    let summary = changed(|_, events| {
        for event in events.iter_mut() {
            match &mut event.payload {
                Payload::Resources { cpu_ns, .. } => *cpu_ns *= 20,
                Payload::Kernel { kernel, total_ns, .. } if kernel == "secp256k1/recover" => *total_ns *= 40,
                _ => {}
            }
        }
    });
    let bottleneck = summary.bottleneck.unwrap();
    assert!(bottleneck.verdict.starts_with("Sender recovery is the limit: the CPU is full"), "{}", bottleneck.verdict);
    assert_eq!(bottleneck.kernel.as_deref(), Some("secp256k1/recover"));
}

#[test]
fn a_chain_behind_on_a_cpu_with_room_names_a_phase_and_no_kernel() {
    let summary = changed(|_, events| {
        for event in events.iter_mut() {
            match &mut event.payload {
                // Calls that wait for a core last longer than the CPU time of all validators.
                Payload::Kernel { kernel, total_ns, .. } if kernel == "secp256k1/recover" => *total_ns *= 40,
                Payload::Transactions(counts) => {
                    counts.unfinished += counts.finalized / 2;
                    counts.finalized -= counts.finalized / 2;
                }
                _ => {}
            }
        }
    });
    let verdict = summary.bottleneck.unwrap().verdict;
    assert!(
        verdict.starts_with("The chain does not keep up, though the CPU has room; a block's longest phase"),
        "{verdict}"
    );
}

#[test]
fn a_report_never_hides_an_edited_bundle_and_check_tells() {
    let target = tempfile::tempdir().unwrap();
    let bundle = bundle(target.path());
    write(&bundle).unwrap();
    write(&bundle).unwrap();
    assert_eq!(super::check::check(target.path()).1, Vec::<String>::new());

    let summary = std::fs::read_to_string(target.path().join("summary.json")).unwrap();
    bundle.write("summary.json", summary.replace("1200", "1201").as_bytes()).unwrap();
    let findings = super::check::check(target.path()).1.join("\n");
    assert!(
        findings.contains("summary.json: changed since the run") && findings.contains("does not follow"),
        "{findings}"
    );
    write(&bundle).unwrap();
    assert_eq!(super::check::check(target.path()).1, Vec::<String>::new());

    std::fs::write(target.path().join("hist/node-00-finality.hlog"), "").unwrap();
    assert!(write(&bundle).unwrap_err().0.contains("hist/node-00-finality.hlog: changed since the run"));
    assert!(!super::check::check(target.path()).1.is_empty());
}
