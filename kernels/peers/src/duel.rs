//! The timed loop: both sides in turn, the order swapped every round, medians and spread over rounds.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use shardmark_kernels::backend::{BackendId, Description};

use crate::host;

/// A round repeats a side until it took about this long, so that the clock's grain does not show.
const SLICE: Duration = Duration::from_millis(3);

/// Makes one call, and says whether its result was right.
pub type Side<'a> = &'a mut dyn FnMut() -> bool;

/// One comparison. `*_ns` are per item, medians over rounds; the ratios are taken per round, then at percentiles.
#[derive(Debug, Serialize)]
struct Row<'a> {
    kernel: &'a str,
    case: &'a str,
    backend: BackendId,
    path: &'a str,
    ours_ns: f64,
    peer: &'a str,
    peer_ns: f64,
    /// Peer over ours: above 1 we are faster.
    ratio: f64,
    ratio_p10: f64,
    ratio_p90: f64,
    rounds: u32,
    threads: usize,
    timed: &'a str,
    build: &'a str,
}

/// What both sides work on.
pub struct Case<'a> {
    /// The kernel's name.
    pub kernel: &'a str,
    /// `key=value` pairs.
    pub name: &'a str,
    /// Items that one call handles, as the kernel counts them.
    pub items: u64,
    /// Our side.
    pub ours: &'a Description,
    /// The way our side takes for this input, if it has several.
    pub path: Option<&'static str>,
}

/// Measures the rows that match a filter, and prints them as they come.
pub struct Table {
    filter: String,
    json: bool,
    rounds: u32,
    rows: usize,
    /// The backend under test.
    pub backend: BackendId,
}

impl Table {
    /// A table of the rows whose `kernel case peer` contains `filter`.
    pub fn new(filter: &str, json: bool, rounds: u32, backend: BackendId) -> Self {
        Self { filter: filter.to_owned(), json, rounds, rows: 0, backend }
    }

    /// Whether nothing matched so far.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether a row is wanted.
    pub fn wants(&self, kernel: &str, case: &str, peer: &str) -> bool {
        format!("{kernel} {case} {peer}").contains(&self.filter)
    }

    /// Whether any of these rows is wanted: asked before an input is built.
    pub fn wants_any(&self, kernel: &str, case: &str, peers: &[&str]) -> bool {
        peers.iter().any(|peer| self.wants(kernel, case, peer))
    }

    /// Says how and on what the rows are measured: on the error output beside JSON lines.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn header(&self, pinned: &Result<usize, String>) -> Result<(), String> {
        let core = match pinned {
            Ok(core) => format!("pinned to core {core}"),
            Err(reason) => format!("NOT pinned: {reason}"),
        };
        let text = format!(
            "# one thread, {core}; {} rounds, the order swapped each round; ratio = peer / ours, median [p10, p90]\n{}",
            self.rounds,
            host::build()
        );
        if self.json { writeln!(std::io::stderr(), "{text}") } else { writeln!(std::io::stdout(), "{text}") }
            .map_err(|e| e.to_string())
    }

    /// Measures one row, if it is wanted. `timed` says what is inside the timed region on both sides.
    ///
    /// # Errors
    ///
    /// A side gave a wrong result, or the output cannot be written.
    pub fn duel(&mut self, case: &Case, peer: &str, timed: &str, ours: Side, theirs: Side) -> Result<(), String> {
        if !self.wants(case.kernel, case.name, peer) {
            return Ok(());
        }
        let wrong = |who: &str| format!("{} {}: {who} gave a wrong result", case.kernel, case.name);
        let repeat_ours = repeats(ours).ok_or_else(|| wrong("ours"))?;
        let repeat_theirs = repeats(theirs).ok_or_else(|| wrong(peer))?;
        let (mut ours_ns, mut peer_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        // Round 0 warms caches, branch predictors and the clock rate for the pair as it will run, and is not counted.
        for round in 0..=self.rounds {
            let (a, b) = if round.is_multiple_of(2) {
                let a = time(ours, repeat_ours);
                (a, time(theirs, repeat_theirs))
            } else {
                let b = time(theirs, repeat_theirs);
                (time(ours, repeat_ours), b)
            };
            let (a, b) = (a.ok_or_else(|| wrong("ours"))?, b.ok_or_else(|| wrong(peer))?);
            if round > 0 {
                ours_ns.push(a / case.items as f64);
                peer_ns.push(b / case.items as f64);
                ratios.push(b / a);
            }
        }
        self.print(&Row {
            kernel: case.kernel,
            case: case.name,
            backend: self.backend,
            path: case.path.unwrap_or(&case.ours.path),
            ours_ns: percentile(&mut ours_ns, 0.5),
            peer,
            peer_ns: percentile(&mut peer_ns, 0.5),
            ratio: percentile(&mut ratios, 0.5),
            ratio_p10: percentile(&mut ratios, 0.1),
            ratio_p90: percentile(&mut ratios, 0.9),
            rounds: self.rounds,
            threads: case.ours.threads,
            timed,
            build: &case.ours.build,
        })
    }

    fn print(&mut self, row: &Row) -> Result<(), String> {
        self.rows += 1;
        let mut out = std::io::stdout().lock();
        let line = if self.json {
            serde_json::to_string(row).map_err(|e| e.to_string())?
        } else {
            format!(
                "{} {} {}/{}\n  {:.2}x [{:.2}, {:.2}]: ours {:.0} ns, {} {:.0} ns an item\n  timed: {}; ours: {}",
                row.kernel,
                row.case,
                row.backend,
                row.path,
                row.ratio,
                row.ratio_p10,
                row.ratio_p90,
                row.ours_ns,
                row.peer,
                row.peer_ns,
                row.timed,
                row.build
            )
        };
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
    }
}

/// Calls that fill a slice, after a call that warms up; None if a result was wrong.
fn repeats(side: Side) -> Option<u32> {
    time(side, 1)?;
    let once = time(side, 1)?.max(1.0);
    Some((SLICE.as_nanos() as f64 / once).ceil().clamp(1.0, 1e6) as u32)
}

/// Nanoseconds a call; None if a result was wrong.
fn time(side: Side, repeat: u32) -> Option<f64> {
    let mut right = true;
    let start = Instant::now();
    for _ in 0..repeat {
        right &= side();
    }
    let nanoseconds = start.elapsed().as_nanos() as f64;
    right.then(|| nanoseconds / f64::from(repeat))
}

/// The sample of nearest rank. `samples` is not empty.
fn percentile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank_whatever_the_order() {
        let mut samples: Vec<f64> = (0..=20).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.1, 0.5, 0.9, 1.0].map(|q| percentile(&mut samples, q)), [0.0, 2.0, 10.0, 18.0, 20.0]);
        assert_eq!(percentile(&mut [7.0], 0.9), 7.0);
    }

    #[test]
    fn a_wrong_result_on_either_side_is_no_row() {
        let ours = Description {
            backend: BackendId::Cpu,
            path: "scalar".into(),
            device: "d".into(),
            build: "b".into(),
            threads: 1,
            software_adapter: false,
        };
        let case = Case { kernel: "k", name: "n=1", items: 1, ours: &ours, path: None };
        let mut table = Table::new("", true, 3, BackendId::Cpu);
        let ours_is_wrong = table.duel(&case, "peer", "all", &mut || false, &mut || true);
        assert_eq!(ours_is_wrong, Err("k n=1: ours gave a wrong result".into()));
        // Right while warming up, wrong later.
        let mut calls = 0;
        let theirs = &mut || {
            calls += 1;
            calls < 10
        };
        let peer_is_wrong = table.duel(&case, "peer", "all", &mut || true, theirs);
        assert_eq!(peer_is_wrong, Err("k n=1: peer gave a wrong result".into()));
        assert!(table.is_empty());
    }

    #[test]
    fn slices_hold_as_many_calls_as_fit() {
        let mut sleep = || {
            std::thread::sleep(2 * SLICE);
            true
        };
        assert_eq!(repeats(&mut sleep), Some(1));
        assert!(repeats(&mut || true) > Some(1));
    }

    #[test]
    fn a_filter_matches_kernel_case_and_peer() {
        let table = Table::new("batch=1 lib", false, 3, BackendId::Cpu);
        assert!(table.wants("secp256k1/recover", "batch=1", "libsecp256k1"));
        assert!(!table.wants("secp256k1/recover", "batch=10", "libsecp256k1"));
        assert!(table.wants_any("secp256k1/recover", "batch=1", &["other", "libsecp256k1"]));
    }
}
