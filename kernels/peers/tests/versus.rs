//! What `versus` prints: rows of exactly the documented fields, and one clear line where there are none.

// Helpers of tests: a failure is the point.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

/// Of rows on coded data besides.
const CODED_FIELDS: [&str; 3] = ["derived", "ours_bytes_per_s", "peer_bytes_per_s"];

const FIELDS: [&str; 14] = [
    "backend",
    "build",
    "case",
    "kernel",
    "ours_ns",
    "path",
    "peer",
    "peer_ns",
    "ratio",
    "ratio_p10",
    "ratio_p90",
    "rounds",
    "threads",
    "timed",
];

fn versus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_versus")).args(arguments).output().unwrap()
}

#[test]
fn json_rows_have_exactly_the_documented_fields() {
    // The smallest row of each kernel.
    let filters = [
        ("bls/verify-batch", "sets=1 messages=1 bad=0"),
        ("bls/aggregate-keys", "committee=1000 absent_percent=10 bitmaps=16"),
        ("bls/aggregate-signatures", "groups=1 signatures=250 from=points"),
        ("erasure/encode", "code=rs-vandermonde k=10 m=4 body_bytes=131072"),
        ("erasure/reconstruct", "code=rs-vandermonde k=10 m=4 missing=4 body_bytes=131072"),
        ("secp256k1/recover", "batch=1 lib"),
        ("vdf/verify", "scheme=harmony-128 bits=2048 iterations=300 discriminant=cached"),
        #[cfg(feature = "poanetwork")]
        ("vdf/square", "bits=512 iterations=10000"),
    ];
    for (kernel, case) in filters {
        let output = versus(&["--json", "--rounds", "3", &format!("{kernel} {case}")]);
        let (out, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{kernel}: {log}");
        assert!(log.contains("# blst 0."), "the build modes are on the error output: {log}");
        assert!(!out.is_empty());
        for line in out.lines() {
            let Value::Object(row) = serde_json::from_str(line).unwrap() else { panic!("no object: {line}") };
            let mut fields: Vec<&str> = row.keys().map(String::as_str).collect();
            fields.sort_unstable();
            if kernel.starts_with("erasure/") {
                let (coded, rest) = fields.iter().partition::<Vec<_>, _>(|field| CODED_FIELDS.contains(field));
                assert_eq!(coded, CODED_FIELDS);
                fields = rest;
                let rate = |field: &str| row[field].as_f64().unwrap();
                let medians = rate("ours_bytes_per_s") / rate("peer_bytes_per_s");
                assert!((medians - rate("peer_ns") / rate("ours_ns")).abs() < 1e-6 * medians, "{line}");
            }
            assert_eq!(fields, FIELDS);
            assert_eq!(
                (&row["kernel"], &row["backend"], &row["path"]),
                (&kernel.into(), &"cpu".into(), &"scalar".into())
            );
            assert_eq!((&row["rounds"], &row["threads"]), (&3.into(), &1.into()));
            let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("{field} is no text: {line}"));
            for pair in text("case").split(' ') {
                let (key, value) = pair.split_once('=').unwrap();
                assert!(!key.is_empty() && !value.is_empty(), "{pair}");
            }
            assert!(["peer", "timed", "build"].iter().all(|field| !text(field).is_empty()), "{line}");
            let number = |field: &str| row[field].as_f64().unwrap_or_else(|| panic!("{field} is no number: {line}"));
            assert!(["ours_ns", "peer_ns", "ratio_p10"].iter().all(|field| number(field) > 0.0), "{line}");
            assert!(number("ratio_p10") <= number("ratio") && number("ratio") <= number("ratio_p90"), "{line}");
        }
    }
}

#[test]
fn text_rows_follow_a_header_that_names_the_build() {
    let output = versus(&["--rounds", "3", "secp256k1/recover batch=1 lib"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.starts_with("# one thread"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("secp256k1/recover batch=1 cpu/scalar")), "{text}");
}

#[test]
fn a_filter_without_rows_and_a_missing_backend_are_one_line_and_a_code() {
    let none = versus(&["no such row"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("error: no row matches `no such row`"));
    let cuda = versus(&["--backend", "cuda", "secp256k1/recover batch=1 lib"]);
    assert_eq!(cuda.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&cuda.stderr).contains("error: secp256k1/recover on cuda: not implemented"));
    assert_eq!(versus(&["--backend", "abacus"]).status.code(), Some(2));
    assert_eq!(versus(&["--rounds", "2"]).status.code(), Some(2));
    assert_eq!(versus(&["--curve", "--intercept"]).status.code(), Some(2));
    for mode in [&["--intercept"][..], &["erasure/encode code=rs-fft8 k=32 m=32"]] {
        let cuda = versus(&[&["--backend", "cuda"], mode].concat());
        assert_eq!(cuda.status.code(), Some(4));
        assert!(String::from_utf8_lossy(&cuda.stderr).contains("on cuda: not implemented"));
    }
}

/// What is said of the cases that match, none of which can be measured.
fn unavailable(arguments: &[&str]) -> Vec<String> {
    let output = versus(&[&["--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let reason = |line: &str| {
        let Value::Object(row) = serde_json::from_str(line).unwrap() else { panic!("no object: {line}") };
        assert_eq!(row.keys().collect::<Vec<_>>(), ["backend", "case", "kernel", "unavailable"], "{line}");
        row["unavailable"].as_str().unwrap().to_owned()
    };
    String::from_utf8(output.stdout).unwrap().lines().map(reason).collect()
}

#[test]
fn peers_of_the_delay_functions_that_are_not_here_are_a_reason() {
    let square = "vdf/square bits=512 iterations=120000 chiavdf";
    let reasons = unavailable(&[square]);
    assert!(matches!(&reasons[..], [reason] if reason.contains("not given (--chiavdf-bench")), "{reasons:?}");
    let reasons = unavailable(&["--chiavdf-bench", "no/such/program", square]);
    assert!(matches!(&reasons[..], [reason] if reason.contains("no/such/program: ")), "{reasons:?}");
    let prove = "vdf/evaluate scheme=bound-264 bits=1024 iterations=100000 instances=1 chiavdf";
    let reasons = unavailable(&["--chiavdf-python", "no/such/program", prove]);
    assert!(matches!(&reasons[..], [reason] if reason.contains("no/such/program: ")), "{reasons:?}");
    for feature in ["gmp", "openssl", "poanetwork"] {
        let built_in = match feature {
            "gmp" => cfg!(feature = "gmp"),
            "openssl" => cfg!(feature = "openssl"),
            _ => cfg!(feature = "poanetwork"),
        };
        if !built_in {
            let (row, peer) = match feature {
                "gmp" => ("vdf/discriminant bits=2048 seeds=16", "GMP"),
                "openssl" => ("vdf/rsa-square bits=1024 instances=1 iterations=200000", "OpenSSL"),
                _ => ("vdf/square bits=1024 iterations=10000", "poanetwork vdf"),
            };
            let reasons = unavailable(&[&format!("{row} {peer}")]);
            let want = format!("{peer}: not built in");
            assert!(matches!(&reasons[..], [reason] if reason.starts_with(&want)), "{reasons:?}");
        }
    }
    let reasons = unavailable(&["--backend", "cuda", "vdf/verify scheme=bound-264 bits=2048 iterations=300"]);
    assert_eq!(reasons, ["vdf/verify on cuda: not implemented"]);
}

#[cfg(unix)]
#[test]
fn a_benchmark_with_another_result_is_no_peer() {
    use std::os::unix::fs::PermissionsExt;

    let program = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("vdf_bench");
    let text =
        "#!/bin/sh\n[ $1 = --version ] && echo vdf_bench 1 || printf 'Time: 9 ms; \\na = 0x2\\nb = 0x1\\nc = 0x3\\n'\n";
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let square = "vdf/square bits=512 iterations=120000 chiavdf";
    let reasons = unavailable(&["--chiavdf-bench", program.to_str().unwrap(), square]);
    assert!(matches!(&reasons[..], [reason] if reason.contains("another result")), "{reasons:?}");
}

#[test]
fn the_fixed_cost_of_a_call_is_a_line_through_sizes() {
    let filter = "erasure/reconstruct code=rs-vandermonde k=32 m=32 missing=1";
    let output = versus(&["--intercept", "--json", "--rounds", "3", filter]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let who: Vec<&str> = rows.iter().map(|row| row["who"].as_str().unwrap()).collect();
    assert_eq!(who[..2], ["ours, execute", "ours, compute"]);
    assert!(who.iter().any(|who| who.starts_with("reed-solomon-simd 3.")), "{who:?}");
    for row in &rows {
        let numbers =
            |field: &str| row[field].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers("chunk_bytes").len(), numbers("median_us").len());
        assert!(numbers("median_us").iter().all(|us| *us > 0.0), "{row}");
        assert!(
            ["intercept_us", "intercept_us_p10", "intercept_us_p90", "slope_ns"].iter().all(|f| row[f].is_f64()),
            "{row}"
        );
        assert!(["case", "path", "timed"].iter().all(|field| !row[field].as_str().unwrap().is_empty()), "{row}");
    }
}
