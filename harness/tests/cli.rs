//! The binary from outside: exit codes, and errors of one line on stderr.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn shardmark(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shardmark")).args(arguments).output().expect("the binary starts")
}

fn configs(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-configs").join(name).display().to_string()
}

/// The one line of stderr of a command that must end with `code`.
fn refused(code: i32, arguments: &[&str]) -> String {
    let output = shardmark(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    stderr.strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}")).trim_end().to_owned()
}

fn accepted(arguments: &[&str]) -> String {
    let output = shardmark(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn file(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("t.toml");
    std::fs::write(&path, text).expect("a file");
    path
}

#[test]
fn usage_errors_end_with_2() {
    assert_eq!(refused(2, &["run"]), "the following required arguments were not provided: <CONFIG>");
    assert!(refused(2, &["fly"]).starts_with("unrecognized subcommand 'fly'"));
    assert!(refused(2, &["probe", "--format", "yaml"]).contains("'yaml'"));
    assert!(refused(2, &["kernel", "bls/nothing"]).starts_with("unknown kernel `bls/nothing`: one of bls/"));
    assert!(refused(2, &["kernel", "--backend", "gpu"]).contains("unknown backend `gpu`"));
    assert!(refused(2, &["report", "/nonexistent"]).ends_with("not a bundle: no manifest.json"));
    assert!(refused(2, &["check", "/nonexistent"]).ends_with("no such file or folder"));
    assert!(accepted(&["--help"]).contains("probe"));
    assert!(!accepted(&["--help"]).contains("node "), "internal commands are hidden");
    assert!(accepted(&["--version"]).starts_with("shardmark "));
    assert_eq!(shardmark(&[]).status.code(), Some(2));
}

#[test]
fn configuration_errors_name_file_place_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "schema = 1\nname = \"t\"\n[cluster]\nvalidator = 4\n");
    let config = config.to_str().unwrap();
    assert!(refused(2, &["run", config]).starts_with(&format!("{config}:4:1: [cluster] unknown field `validator`")));
    assert!(refused(2, &["run", "absent.toml"]).starts_with("absent.toml: "));
    let smoke = configs("smoke.toml");
    assert!(refused(2, &["run", &smoke, "--set", "load.rate=0"]).contains("load.rate is 0"));
    assert!(refused(2, &["run", &smoke, "--set", "load.rtae=1"]).starts_with("--set load.rtae=1: "));
    assert!(refused(2, &["run", &smoke, "--set", "consensus.view_timeout=1s"]).contains("at least 4 block times"));
    assert!(refused(2, &["run", &configs("kernels.toml")]).contains("shardmark kernel"));
    assert!(refused(2, &["kernel", "--config", &smoke]).contains("shardmark run"));
}

#[test]
fn a_dry_run_prints_the_plan_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let matrix = "matrix={ backends = [\"cpu\", \"cuda\"], repeats = 2 }";
    let plan = accepted(&["run", &configs("smoke.toml"), "--set", matrix, "--dry-run", "--out", out.to_str().unwrap()]);
    let backends: Vec<&str> =
        plan.lines().map(|line| if line.contains("backend cuda") { "cuda" } else { "cpu" }).collect();
    assert_eq!(backends, ["cpu", "cuda", "cuda", "cpu"]);
    assert!(!out.exists());
}

#[test]
fn an_unavailable_backend_ends_a_single_run_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Votes have no wgpu backend yet.
    let arguments = ["run", &configs("smoke.toml"), "--set", "backend=wgpu", "--out", out.to_str().unwrap()];
    assert!(refused(4, &arguments).starts_with("backend `wgpu` of `bls`: bls/"));
    assert!(!out.exists());
}

#[test]
fn an_output_folder_that_is_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let smoke = configs("smoke.toml");
    let out = folder.path().to_str().unwrap();
    assert_eq!(refused(2, &["run", &smoke, "--out", out]), format!("{out}: exists and is not empty"));
    let below = format!("{out}/file/below");
    assert!(refused(2, &["run", &smoke, "--out", &below]).starts_with(&below));
    assert!(refused(2, &["run", &smoke, "--out", "/proc/shardmark"]).starts_with("/proc/shardmark: "));
}

#[test]
fn probe_describes_the_host_in_text_and_json() {
    assert!(accepted(&["probe"]).contains("kernels"));
    let probe: serde_json::Value = serde_json::from_str(&accepted(&["probe", "--format", "json"])).unwrap();
    assert_eq!(probe["schema"], 1);
    assert!(probe["cpu"]["threads"].as_u64().unwrap() > 0);
    for row in probe["kernels"].as_array().unwrap() {
        assert!(row["description"].is_null() != row["reason"].is_null(), "{row}");
    }
}

#[test]
fn a_kernel_sweep_gives_a_row_for_each_backend() {
    let folder = tempfile::tempdir().unwrap();
    let text = "schema = 1\nname = \"t\"\n[[kernel]]\nname = \"secp256k1/recover\"\nparams = { batch = 2 }\n\
                backends = [\"cpu\", \"wgpu\"]\nrounds = 20\nwarmup = 0\n";
    let config = file(folder.path(), text);
    let config = config.to_str().unwrap();
    let lines = accepted(&["kernel", "--config", config, "--json"]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["outcome"], &rows[0]["backend"], &rows[0]["batch"]), (&"ok".into(), &"cpu".into(), &2.into()));
    let timed = |key: &str| rows[0][key]["n"].as_u64().unwrap_or(0);
    assert_eq!(timed("total_ns") + timed("invalid_total_ns"), 20);
    assert_eq!(timed("execute_ns"), timed("total_ns"));
    assert_eq!(rows[1]["outcome"], "unavailable");
    assert!(rows[1]["reason"].is_string() && rows[1]["total_ns"].is_null());

    let text = accepted(&["kernel", "--config", config, "--rounds", "2"]);
    assert!(text.contains("secp256k1/recover") && text.contains("unavailable: "), "{text}");
    assert!(accepted(&["kernel", "--list"]).lines().any(|name| name == "vdf/evaluate"));
    let reason = refused(4, &["kernel", "--config", config, "--backend", "wgpu"]);
    assert_eq!(reason, "no backend that was asked for is available");
    let bad = file(
        folder.path(),
        "schema = 1\nname = \"t\"\n[[kernel]]\nname = \"vdf/verify\"\nparams = { iterations = 1 }\n",
    );
    assert!(refused(2, &["kernel", "--config", bad.to_str().unwrap()]).contains("vdf/verify: params: missing field"));
}

#[test]
fn delay_functions_are_shown_in_three_tables_with_margin_and_share() {
    let folder = tempfile::tempdir().unwrap();
    let case = |name: &str, params: &str, rest: &str| {
        format!("[[kernel]]\nname = \"{name}\"\nparams = {{ discriminant_bits = 256, {params} }}\nrounds = 2\n{rest}\n")
    };
    let cases = [
        case("vdf/prove", "iterations = 2000", ""),
        case("vdf/evaluate", "iterations = 300, instances = 3", ""),
        case("vdf/evaluate", "iterations = 300, instances = 1", "deadline = \"90s\""),
    ];
    let config = file(folder.path(), &format!("schema = 1\nname = \"t\"\n{}", cases.concat()));
    let text = accepted(&["kernel", "vdf", "--config", config.to_str().unwrap()]);
    let mut rest = text.as_str();
    for words in [
        "Delay functions, latency: one instance.",
        "vdf/evaluate ",
        "deadline margin alone: the slowest evaluation, ",
        "of the 90.0 s until its proof is due; the margin under a loaded pipeline is in the report of `shardmark run`",
        "Delay functions, throughput: N independent instances",
        "vdf/evaluate, N=3 ",
        "Delay functions, service: ",
        "vdf/prove ",
        "times are of the proof alone: ",
        " of squarings and proof together, whose p50 is ",
    ] {
        let (_, after) =
            rest.split_once(words).unwrap_or_else(|| panic!("`{words}` is missing or out of place:\n{text}"));
        rest = after;
    }
}

#[test]
fn check_accepts_the_committed_configurations_and_lists_findings() {
    for name in [
        "smoke.toml",
        "local-4.toml",
        "local-16.toml",
        "local-250.toml",
        "opaque-4.toml",
        "kernels.toml",
        "propagation.toml",
    ] {
        assert!(accepted(&["check", &configs(name)]).ends_with(": ok\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    let config = file(folder.path(), "schema = 1\nname = \"t\"\nseed = -1\n");
    let output = shardmark(&["check", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: 1 finding\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);

    std::fs::write(folder.path().join("manifest.json"), "{}").unwrap();
    let output = shardmark(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("manifest.json: missing field"));
}
