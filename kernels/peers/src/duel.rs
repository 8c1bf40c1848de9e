//! The timed loop: both sides in turn, the order swapped every round, medians and spread over rounds.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use shardmark_kernels::backend::{BackendId, Description};

use crate::host;

/// A round repeats a side until it took about this long, so that the clock's grain does not show.
const SLICE: Duration = Duration::from_millis(3);

/// Most rounds of a row whose rounds go over many long items.
const LONG_ROUNDS: u32 = 5;

/// Makes one call, and says whether its result was right.
pub type Side<'a> = &'a mut dyn FnMut() -> bool;

/// Makes one call and times what of it counts; None if the result was wrong.
pub type Watched<'a> = &'a mut dyn FnMut() -> Option<Duration>;

/// As [`Watched`], on one of several items.
pub type Each<'a> = &'a mut dyn FnMut(usize) -> Option<Duration>;

/// Makes so many calls: nanoseconds a call, or None if a result was wrong.
type Timer<'a> = &'a mut dyn FnMut(u32) -> Option<f64>;

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
    #[serde(flatten)]
    rates: Option<Rates<'a>>,
}

/// What rows of coded data say besides. Rates count data bytes, never parity.
#[derive(Debug, Serialize)]
struct Rates<'a> {
    ours_bytes_per_s: f64,
    peer_bytes_per_s: f64,
    derived: &'a [Derived],
}

/// A ratio to a peer that is not built here: this row's ratio over the one that this peer had to the row's peer elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Derived {
    /// Who is not here.
    pub peer: &'static str,
    /// Peer time over ours, as far as the recorded ratio carries over.
    pub ratio: f64,
    /// Its rate over that of the row's peer, recorded on another machine.
    pub recorded_elsewhere: f64,
}

impl Derived {
    fn new(peer: &'static str, recorded_elsewhere: f64, ratio: f64) -> Self {
        Self { peer, ratio: ratio / recorded_elsewhere, recorded_elsewhere }
    }
}

/// What a case of coded data has besides.
#[derive(Clone, Copy)]
pub struct Coded<'a> {
    /// Data bytes of a call.
    pub bytes: usize,
    /// Peers that are not built here, each with its rate over that of the row's peer, recorded on another machine.
    pub recorded: &'a [(&'static str, f64)],
}

/// An input that cannot be measured. Printed like a row, so that it is not missed.
#[derive(Debug, Serialize)]
struct Unavailable<'a> {
    kernel: &'a str,
    case: &'a str,
    backend: BackendId,
    unavailable: &'a str,
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
    unavailable: usize,
    /// The backend under test.
    pub backend: BackendId,
}

impl Table {
    /// A table of the rows whose `kernel case peer` contains `filter`.
    pub fn new(filter: &str, json: bool, rounds: u32, backend: BackendId) -> Self {
        Self { filter: filter.to_owned(), json, rounds, rows: 0, unavailable: 0, backend }
    }

    /// Rounds of a row.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether nothing was measured so far.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Inputs that matched and could not be measured.
    pub fn unavailable_rows(&self) -> usize {
        self.unavailable
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

    /// Says why an input is not measured, if a row of it is wanted.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn unavailable(&mut self, kernel: &str, case: &str, reason: &str) -> Result<(), String> {
        self.unavailable += 1;
        let row = Unavailable { kernel, case, backend: self.backend, unavailable: reason };
        self.line(&row, || format!("{kernel} {case} {}\n  unavailable: {reason}", row.backend))
    }

    /// Measures one row, if it is wanted. `timed` says what is inside the timed region on both sides.
    ///
    /// # Errors
    ///
    /// A side gave a wrong result, or the output cannot be written.
    pub fn duel(&mut self, case: &Case, peer: &str, timed: &str, ours: Side, theirs: Side) -> Result<(), String> {
        self.measure(case, None, peer, timed, &mut |calls| looped(ours, calls), &mut |calls| looped(theirs, calls))
    }

    /// As [`Table::duel`] for coded data. A call here can be shorter than its preparation, which is then not timed, and is
    /// short beside what the system does in between, so a side's time is the median of its calls.
    ///
    /// # Errors
    ///
    /// As [`Table::duel`].
    pub fn duel_coded(
        &mut self,
        case: &Case,
        coded: Coded,
        peer: &str,
        timed: &str,
        ours: Watched,
        theirs: Watched,
    ) -> Result<(), String> {
        self.measure(case, Some(coded), peer, timed, &mut |calls| middle(ours, calls), &mut |calls| {
            middle(theirs, calls)
        })
    }

    /// As [`Table::duel`] for calls so long that the clock's grain and the preparation do not matter, but interruptions do:
    /// each side times itself.
    ///
    /// # Errors
    ///
    /// As [`Table::duel`].
    pub fn duel_long(
        &mut self,
        case: &Case,
        peer: &str,
        timed: &str,
        ours: Watched,
        theirs: Watched,
    ) -> Result<(), String> {
        self.measure(case, None, peer, timed, &mut |calls| middle(ours, calls), &mut |calls| middle(theirs, calls))
    }

    /// As [`Table::duel_long`] over items that take very different times: a round is one call for every item of the case,
    /// the sides in turn item by item, so its ratio is that of the means. At most five rounds.
    ///
    /// # Errors
    ///
    /// As [`Table::duel`].
    pub fn duel_each(&mut self, case: &Case, peer: &str, timed: &str, ours: Each, theirs: Each) -> Result<(), String> {
        if !self.wants(case.kernel, case.name, peer) {
            return Ok(());
        }
        let mut turn = |swapped: bool, item: usize| {
            in_turn(case, peer, swapped, &mut || ours(item).map(nanoseconds), &mut || theirs(item).map(nanoseconds))
        };
        // Warms up: an item is long enough.
        turn(false, 0)?;
        let mut times = Vec::new();
        for round in 0..self.rounds.min(LONG_ROUNDS) as usize {
            let mut sums = (0.0, 0.0);
            for item in 0..case.items as usize {
                let (ours, theirs) = turn(!(round + item).is_multiple_of(2), item)?;
                sums = (sums.0 + ours, sums.1 + theirs);
            }
            times.push(sums);
        }
        self.row(case, None, peer, timed, &times)
    }

    fn measure(
        &mut self,
        case: &Case,
        coded: Option<Coded>,
        peer: &str,
        timed: &str,
        ours: Timer,
        theirs: Timer,
    ) -> Result<(), String> {
        if !self.wants(case.kernel, case.name, peer) {
            return Ok(());
        }
        let repeat_ours = repeats(ours).ok_or_else(|| wrong(case, "ours"))?;
        let repeat_theirs = repeats(theirs).ok_or_else(|| wrong(case, peer))?;
        let mut times = Vec::new();
        // Round 0 warms caches, branch predictors and the clock rate for the pair as it will run, and is not counted.
        for round in 0..=self.rounds {
            let swapped = !round.is_multiple_of(2);
            let pair = in_turn(case, peer, swapped, &mut || ours(repeat_ours), &mut || theirs(repeat_theirs))?;
            if round > 0 {
                times.push(pair);
            }
        }
        self.row(case, coded, peer, timed, &times)
    }

    /// Prints the row of these rounds: nanoseconds a call of ours and of the peer.
    fn row(
        &mut self,
        case: &Case,
        coded: Option<Coded>,
        peer: &str,
        timed: &str,
        times: &[(f64, f64)],
    ) -> Result<(), String> {
        let mut ours_ns: Vec<f64> = times.iter().map(|(ours, _)| ours / case.items as f64).collect();
        let mut peer_ns: Vec<f64> = times.iter().map(|(_, peer)| peer / case.items as f64).collect();
        let mut ratios: Vec<f64> = times.iter().map(|(ours, peer)| peer / ours).collect();
        let (ours_ns, peer_ns) = (percentile(&mut ours_ns, 0.5), percentile(&mut peer_ns, 0.5));
        let ratio = percentile(&mut ratios, 0.5);
        let recorded = coded.map(|coded| coded.recorded).unwrap_or_default();
        let derived: Vec<Derived> = recorded.iter().map(|(peer, rate)| Derived::new(peer, *rate, ratio)).collect();
        let rate = |bytes: usize, ns: f64| bytes as f64 * 1e9 / (ns * case.items as f64);
        self.print(&Row {
            kernel: case.kernel,
            case: case.name,
            backend: self.backend,
            path: case.path.unwrap_or(&case.ours.path),
            ours_ns,
            peer,
            peer_ns,
            ratio,
            ratio_p10: percentile(&mut ratios, 0.1),
            ratio_p90: percentile(&mut ratios, 0.9),
            rounds: times.len() as u32,
            threads: case.ours.threads,
            timed,
            build: &case.ours.build,
            rates: coded.map(|Coded { bytes, .. }| Rates {
                ours_bytes_per_s: rate(bytes, ours_ns),
                peer_bytes_per_s: rate(bytes, peer_ns),
                derived: &derived,
            }),
        })
    }

    /// Prints a row that was measured elsewhere.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn found<T: Serialize>(&mut self, row: &T, text: impl FnOnce() -> String) -> Result<(), String> {
        self.rows += 1;
        self.line(row, text)
    }

    fn print(&mut self, row: &Row) -> Result<(), String> {
        self.found(row, || {
            let mut text = format!(
                "{} {} {}/{}\n  {:.2}x [{:.2}, {:.2}]: ours {:.0} ns, {} {:.0} ns an item\n",
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
            );
            if let Some(rates) = &row.rates {
                let (ours, peer) = (rates.ours_bytes_per_s / 1e6, rates.peer_bytes_per_s / 1e6);
                text += &format!("  data bytes: ours {ours:.0} MB/s, peer {peer:.0} MB/s\n");
                for Derived { peer, ratio, recorded_elsewhere } in rates.derived {
                    text += &format!(
                        "  derived: {ratio:.2}x {peer}, which had {recorded_elsewhere:.2}x the rate of this row's peer; \
                         recorded on another machine\n"
                    );
                }
            }
            text + &format!("  timed: {}; ours: {}", row.timed, row.build)
        })
    }

    fn line<T: Serialize>(&self, row: &T, text: impl FnOnce() -> String) -> Result<(), String> {
        let line = if self.json { serde_json::to_string(row).map_err(|e| e.to_string())? } else { text() };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
    }
}

fn wrong(case: &Case, who: &str) -> String {
    format!("{} {}: {who} gave a wrong result", case.kernel, case.name)
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// What both sides return, ours first unless `swapped`.
fn in_turn(
    case: &Case,
    peer: &str,
    swapped: bool,
    ours: &mut dyn FnMut() -> Option<f64>,
    theirs: &mut dyn FnMut() -> Option<f64>,
) -> Result<(f64, f64), String> {
    let mut call_ours = || ours().ok_or_else(|| wrong(case, "ours"));
    let mut call_theirs = || theirs().ok_or_else(|| wrong(case, peer));
    if swapped {
        let theirs = call_theirs()?;
        Ok((call_ours()?, theirs))
    } else {
        Ok((call_ours()?, call_theirs()?))
    }
}

/// Calls that fill a slice, by the shortest of a few; None if a result was wrong.
fn repeats(side: Timer) -> Option<u32> {
    const TRIES: u32 = 3;
    let shortest = (0..TRIES).try_fold(f64::INFINITY, |shortest, _| Some(side(1)?.min(shortest)))?.max(1.0);
    Some((SLICE.as_nanos() as f64 / shortest).ceil().clamp(1.0, 1e6) as u32)
}

/// As `repeats`, of a side that times itself.
pub fn repeats_of(side: Watched) -> Option<u32> {
    repeats(&mut |calls| middle(side, calls))
}

/// Nanoseconds a call; None if a result was wrong.
fn looped(side: Side, calls: u32) -> Option<f64> {
    let mut right = true;
    let start = Instant::now();
    for _ in 0..calls {
        right &= side();
    }
    let nanoseconds = start.elapsed().as_nanos() as f64;
    right.then(|| nanoseconds / f64::from(calls))
}

/// Nanoseconds of the middle one of so many calls; None if a result was wrong.
pub fn middle(side: Watched, calls: u32) -> Option<f64> {
    let mut times = (0..calls).map(|_| Some(side()?.as_nanos() as f64)).collect::<Option<Vec<f64>>>()?;
    Some(percentile(&mut times, 0.5))
}

/// The sample of nearest rank. `samples` is not empty.
pub fn percentile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            backend: BackendId::Cpu,
            path: "scalar".into(),
            device: "d".into(),
            build: "b".into(),
            threads: 1,
            software_adapter: false,
        }
    }

    #[test]
    fn percentiles_are_of_nearest_rank_whatever_the_order() {
        let mut samples: Vec<f64> = (0..=20).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.1, 0.5, 0.9, 1.0].map(|q| percentile(&mut samples, q)), [0.0, 2.0, 10.0, 18.0, 20.0]);
        assert_eq!(percentile(&mut [7.0], 0.9), 7.0);
    }

    #[test]
    fn a_wrong_result_on_either_side_is_no_row() {
        let ours = description();
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
    fn a_derived_ratio_is_the_rows_over_the_recorded_one() {
        // Twice as fast as the row's peer, which another one beats by half: ahead of that one by a third.
        let derived = Derived::new("another", 1.5, 2.0);
        assert_eq!(derived, Derived { peer: "another", ratio: 2.0 / 1.5, recorded_elsewhere: 1.5 });
    }

    #[test]
    fn slices_hold_as_many_calls_as_fit() {
        let mut sleep = || {
            std::thread::sleep(2 * SLICE);
            true
        };
        assert_eq!(repeats(&mut |calls| looped(&mut sleep, calls)), Some(1));
        assert!(repeats(&mut |calls| looped(&mut || true, calls)) > Some(1));
    }

    #[test]
    fn a_side_that_times_itself_is_charged_the_middle_of_its_own_times() {
        let mut times = [5, 9_000_000, 3].into_iter();
        let mut side = || {
            std::thread::sleep(SLICE);
            Some(Duration::from_nanos(times.next()?))
        };
        assert_eq!(middle(&mut side, 3), Some(5.0));
        // None as soon as one call is.
        assert_eq!(middle(&mut side, 1), None);
    }

    #[test]
    fn a_round_over_items_meets_each_once_on_either_side_and_swaps_the_order() {
        let ours = description();
        let case = Case { kernel: "k", name: "n=1", items: 3, ours: &ours, path: None };
        let calls = std::cell::RefCell::new(Vec::new());
        let side = |who: char, item: usize| {
            calls.borrow_mut().push((who, item));
            Some(Duration::from_nanos(100 * (item as u64 + 1)))
        };
        let mut table = Table::new("", true, 25, BackendId::Cpu);
        let timed = table.duel_each(&case, "peer", "all", &mut |item| side('o', item), &mut |item| side('p', item));
        assert_eq!((timed, table.is_empty()), (Ok(()), false));
        let calls = calls.take();
        assert_eq!(calls.len() as u32, 2 + LONG_ROUNDS * 2 * 3);
        let first = [('o', 0), ('p', 0), ('p', 1), ('o', 1), ('o', 2), ('p', 2)];
        let second = [('p', 0), ('o', 0), ('o', 1), ('p', 1), ('p', 2), ('o', 2)];
        assert_eq!((&calls[2..8], &calls[8..14]), (&first[..], &second[..]));
        let wrong = table.duel_each(&case, "peer", "all", &mut |item| side('o', item), &mut |_| None);
        assert_eq!(wrong, Err("k n=1: peer gave a wrong result".into()));
    }

    #[test]
    fn what_cannot_be_measured_is_counted_and_is_no_row() {
        let mut table = Table::new("", true, 3, BackendId::Simd);
        assert_eq!(table.unavailable("k", "n=1", "not here"), Ok(()));
        assert_eq!((table.is_empty(), table.unavailable_rows()), (true, 1));
    }

    #[test]
    fn a_filter_matches_kernel_case_and_peer() {
        let table = Table::new("batch=1 lib", false, 3, BackendId::Cpu);
        assert!(table.wants("secp256k1/recover", "batch=1", "libsecp256k1"));
        assert!(!table.wants("secp256k1/recover", "batch=10", "libsecp256k1"));
        assert!(table.wants_any("secp256k1/recover", "batch=1", &["other", "libsecp256k1"]));
    }
}
