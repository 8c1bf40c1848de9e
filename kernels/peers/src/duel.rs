//! The timed loop: both sides in turn, the order swapped every round, medians and spread over rounds.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use shardmark_kernels::backend::{BackendId, Description};

/// A round repeats a side until it took at least this long, so that the clock's grain does not show.
const SLICE: Duration = Duration::from_millis(3);

/// One comparison. `*_ns` are per item, medians over rounds; the ratios are per round, then taken at percentiles.
#[derive(Debug, Serialize)]
pub struct Row {
    kernel: &'static str,
    case: String,
    backend: BackendId,
    path: String,
    ours_ns: f64,
    peer: String,
    peer_ns: f64,
    ratio: f64,
    ratio_p10: f64,
    ratio_p90: f64,
    rounds: u32,
    threads: u32,
    timed: String,
}

/// What a row is about, before it is timed.
pub struct Case<'a> {
    /// The kernel's name.
    pub kernel: &'static str,
    /// `key=value` pairs.
    pub case: String,
    /// Items one call handles.
    pub items: u64,
    /// Who we compare with, with its version.
    pub peer: &'a str,
    /// What is inside the timed region, on both sides.
    pub timed: &'a str,
}

/// Prints rows as they are measured.
pub struct Table {
    filter: String,
    json: bool,
    rounds: u32,
    rows: usize,
    /// The backend under test.
    pub backend: BackendId,
}

impl Table {
    /// A table that prints only matching rows.
    pub fn new(filter: &str, json: bool, rounds: u32, backend: BackendId) -> Self {
        Self { filter: filter.to_owned(), json, rounds, rows: 0, backend }
    }

    /// Whether nothing matched.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether a row is wanted; asked before its input is built.
    pub fn wants(&self, kernel: &str, case: &str, peer: &str) -> bool {
        format!("{kernel} {case} {peer}").contains(&self.filter)
    }

    /// What both sides were built with.
    pub fn header(&self) {
        let text = format!(
            "# one thread, rounds {}, order swapped each round; ratio = peer / ours, median [p10, p90] over rounds\n# cpu: {}; target-features: {}",
            self.rounds,
            cpu_model(),
            target_features(),
        );
        if self.json { eprintln!("{text}") } else { println!("{text}") }
    }

    /// Times both sides. Each closure does one call's work and panics if its result is wrong.
    pub fn duel(&mut self, case: &Case, ours: &Description, mut our_side: impl FnMut(), mut peer_side: impl FnMut()) {
        let repeat_ours = repeats(&mut our_side);
        let repeat_peer = repeats(&mut peer_side);
        let (mut ours_ns, mut peer_ns, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let (a, b) = if round % 2 == 0 {
                let a = time(&mut our_side, repeat_ours);
                (a, time(&mut peer_side, repeat_peer))
            } else {
                let b = time(&mut peer_side, repeat_peer);
                (time(&mut our_side, repeat_ours), b)
            };
            ours_ns.push(a / case.items as f64);
            peer_ns.push(b / case.items as f64);
            ratios.push(b / a);
        }
        let row = Row {
            kernel: case.kernel,
            case: case.case.clone(),
            backend: self.backend,
            path: ours.path.clone(),
            ours_ns: percentile(&mut ours_ns, 0.5),
            peer: case.peer.to_owned(),
            peer_ns: percentile(&mut peer_ns, 0.5),
            ratio: percentile(&mut ratios, 0.5),
            ratio_p10: percentile(&mut ratios, 0.1),
            ratio_p90: percentile(&mut ratios, 0.9),
            rounds: self.rounds,
            threads: 1,
            timed: format!("{}; build: {}", case.timed, ours.build),
        };
        self.print(&row);
    }

    fn print(&mut self, row: &Row) {
        self.rows += 1;
        let mut out = std::io::stdout().lock();
        let line = if self.json {
            serde_json::to_string(row).expect("a row of numbers and text serialises")
        } else {
            format!(
                "{} {} {}/{}\n  ours {:.0} ns, {} {:.0} ns an item: {:.2}x [{:.2}, {:.2}]\n  timed: {}",
                row.kernel, row.case, row.backend, row.path, row.ours_ns, row.peer, row.peer_ns, row.ratio, row.ratio_p10,
                row.ratio_p90, row.timed
            )
        };
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            std::process::exit(4);
        }
    }
}

/// Calls that fill a slice, after one warm-up call.
fn repeats(side: &mut impl FnMut()) -> u32 {
    side();
    let once = time(side, 1).max(1.0);
    (SLICE.as_nanos() as f64 / once).ceil().clamp(1.0, 1e6) as u32
}

/// Nanoseconds a call.
fn time(side: &mut impl FnMut(), repeat: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..repeat {
        side();
    }
    start.elapsed().as_nanos() as f64 / f64::from(repeat)
}

fn percentile(samples: &mut [f64], q: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * q).round() as usize]
}

/// Pins this thread, and those it starts, to one core.
///
/// # Errors
///
/// The system's reason.
pub fn pin(core: usize) -> Result<(), std::io::Error> {
    // SAFETY: `set` is a plain bit set that outlives the call, and CPU_SET writes within it for core < 1024.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core >= libc::CPU_SETSIZE as usize {
            return Err(std::io::Error::other("no such core"));
        }
        libc::CPU_SET(core, &mut set);
        match libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

fn target_features() -> &'static str {
    if cfg!(target_feature = "avx2") { "avx2 at compile time (a global target-cpu flag is set)" } else { "default" }
}
