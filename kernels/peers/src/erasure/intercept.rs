//! The fixed cost of a reconstruct call: where the line of its time against chunk bytes meets zero.
//!
//! What a call does once for its pattern, whatever the chunks hold, is that intercept; what it does for each byte is the slope.
//! Both sides meet a fresh pattern in every call. Sizes and sides take turns within a round, each point is the median of
//! rounds, and the line is the one of least squares. The spread is that of the lines through single rounds.

use std::time::Duration;

use serde::Serialize;
use shardmark_kernels::backend::{BackendId, Kernel};
use shardmark_kernels::erasure::{Code, Reconstruct};

use super::codec::Block;
use super::loss::{Draw, Loss};
use super::side::Side;
use super::{PEERS, rse};
use crate::duel::{Table, middle, percentile, repeats_of};

const SIZES: usize = 8;
/// Bytes of a chunk: small, so that the line rests on its left end, and multiples of what every peer demands.
const CHUNK_BYTES: [usize; SIZES] = [64, 128, 192, 256, 384, 512, 768, 1024];
const CODES: [Code; 2] = [Code::RsFft8, Code::RsVandermonde];
/// `k` and `m`.
const CHUNKS: [usize; 3] = [32, 64, 128];
const LOSSES: [Loss; 4] = [Loss::Most, Loss::Random, Loss::Few(4), Loss::Few(1)];

/// What of a call of ours is timed, and in which words.
const EXECUTE: (&str, &str) = ("ours, execute", "as in the rows: chunks loaded before, into a buffer that exists");
const COMPUTE: (&str, &str) =
    ("ours, compute", "from received chunks to data in a new buffer: validation, allocation and all");

/// One line.
#[derive(Debug, Serialize)]
struct Row<'a> {
    kernel: &'a str,
    case: &'a str,
    backend: BackendId,
    path: &'a str,
    /// Whose line: ours or a peer's.
    who: &'a str,
    /// Microseconds at no bytes.
    intercept_us: f64,
    intercept_us_p10: f64,
    intercept_us_p90: f64,
    /// Nanoseconds for each byte of a chunk's length.
    slope_ns: f64,
    chunk_bytes: [usize; SIZES],
    /// Median microseconds at each of them.
    median_us: [f64; SIZES],
    rounds: u32,
    timed: &'a str,
}

/// Somebody who restores chunks of any of the sizes.
struct Runner<'a> {
    who: &'a str,
    timed: &'a str,
    /// One call on chunks of the size at this index.
    call: Box<dyn FnMut(usize) -> Option<Duration> + 'a>,
}

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    for code in CODES {
        for k in CHUNKS {
            for loss in LOSSES {
                lines(table, code, k, loss)?;
            }
        }
    }
    Ok(())
}

fn lines(table: &mut Table, code: Code, k: usize, loss: Loss) -> Result<(), String> {
    let name = format!("code={code} k={k} m={k} missing={}", loss.name(k, k));
    let peers = PEERS.iter().filter(|peer| peer.most_chunks >= 2 * k && peer.name != rse::WARM.name);
    let wanted: Vec<&str> = [EXECUTE.0, COMPUTE.0].into_iter().chain(peers.clone().map(|peer| peer.name)).collect();
    if !table.wants_any(Reconstruct::NAME, &name, &wanted) {
        return Ok(());
    }
    let side = Side::open(table.backend, code, k, k);
    let (side, ours) = match side.as_ref().map_err(Clone::clone).and_then(|side| Ok((side, side.restores()?))) {
        Ok(both) => both,
        Err(reason) => return table.unavailable(Reconstruct::NAME, &name, &reason),
    };
    let blocks = CHUNK_BYTES.map(|chunk_bytes| Block::new(k, k, k * chunk_bytes));
    let draw = Draw::new(loss, k, k);
    let mut path = None;
    let mut runners = Vec::new();
    for (who, timed) in [EXECUTE, COMPUTE] {
        let mut sizes = blocks.iter().map(|block| side.chunks(block)).collect::<Result<Vec<_>, _>>()?;
        for arrivals in &mut sizes {
            path = arrivals.checked_draws(ours, &draw)?;
        }
        let mut draw = draw.clone();
        let call: Box<dyn FnMut(usize) -> Option<Duration>> = if who == EXECUTE.0 {
            Box::new(move |size| sizes[size].execute(ours, draw.next()))
        } else {
            Box::new(move |size| sizes[size].compute(ours, draw.next()))
        };
        runners.push(Runner { who, timed, call });
    }
    for peer in peers {
        let mut sizes = blocks.iter().map(|block| peer.checked(block)).collect::<Result<Vec<_>, _>>()?;
        let mut draw = draw.clone();
        let call = Box::new(move |size: usize| sizes[size].reconstruct(draw.next(), false));
        runners.push(Runner { who: peer.name, timed: peer.reconstruct, call });
    }
    runners.retain(|runner| table.wants(Reconstruct::NAME, &name, runner.who));

    let points = measure(&mut runners, table.rounds()).map_err(|who| format!("{name}: {who} gave a wrong result"))?;
    for (Runner { who, timed, .. }, points) in runners.iter().zip(&points) {
        let median = |size: usize| percentile(&mut points.iter().map(|round| round[size]).collect::<Vec<_>>(), 0.5);
        let median_us = std::array::from_fn(median);
        let (intercept_us, slope_us) = line(&CHUNK_BYTES, &median_us);
        let mut spread: Vec<f64> = points.iter().map(|round| line(&CHUNK_BYTES, round).0).collect();
        let ours = path.unwrap_or(&ours.description.path);
        let row = Row {
            kernel: Reconstruct::NAME,
            case: &name,
            backend: table.backend,
            path: if [EXECUTE.0, COMPUTE.0].contains(who) { ours } else { "peer" },
            who,
            intercept_us,
            intercept_us_p10: percentile(&mut spread, 0.1),
            intercept_us_p90: percentile(&mut spread, 0.9),
            slope_ns: slope_us * 1e3,
            chunk_bytes: CHUNK_BYTES,
            median_us,
            rounds: table.rounds(),
            timed,
        };
        table.found(&row, || row.text())?;
    }
    Ok(())
}

/// By runner and round, microseconds at each size. The error is who gave a wrong result.
fn measure<'a>(runners: &mut [Runner<'a>], rounds: u32) -> Result<Vec<Vec<[f64; SIZES]>>, &'a str> {
    let mut calls = vec![[0; SIZES]; runners.len()];
    for (Runner { who, call, .. }, calls) in runners.iter_mut().zip(&mut calls) {
        for (size, calls) in calls.iter_mut().enumerate() {
            *calls = repeats_of(&mut || call(size)).ok_or(*who)?;
        }
    }
    let mut points = vec![Vec::new(); runners.len()];
    // Round 0 warms up and is not counted.
    for round in 0..=rounds as usize {
        let mut now = vec![[0.0; SIZES]; runners.len()];
        for size in 0..SIZES {
            for turn in 0..runners.len() {
                let at = (turn + round) % runners.len();
                let Runner { who, call, .. } = &mut runners[at];
                now[at][size] = middle(&mut || call(size), calls[at][size]).ok_or(*who)? / 1e3;
            }
        }
        if round > 0 {
            points.iter_mut().zip(now).for_each(|(points, now)| points.push(now));
        }
    }
    Ok(points)
}

impl Row<'_> {
    fn text(&self) -> String {
        let medians = self.chunk_bytes.iter().zip(self.median_us).map(|(bytes, us)| format!("{bytes}: {us:.2}"));
        format!(
            "{} {} {}/{}\n  {}: {:.2} us [{:.2}, {:.2}] a call + {:.2} ns a chunk byte\n  us by chunk bytes: {}\n  timed: {}",
            self.kernel,
            self.case,
            self.backend,
            self.path,
            self.who,
            self.intercept_us,
            self.intercept_us_p10,
            self.intercept_us_p90,
            self.slope_ns,
            medians.collect::<Vec<_>>().join(", "),
            self.timed,
        )
    }
}

/// Value at zero and slope of the line of least squares. `x` holds two different values at least.
fn line(x: &[usize], y: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean_x = x.iter().map(|x| *x as f64).sum::<f64>() / n;
    let mean_y = y.iter().sum::<f64>() / n;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let from_mean = *x as f64 - mean_x;
        covariance += from_mean * (y - mean_y);
        variance += from_mean * from_mean;
    }
    let slope = covariance / variance;
    (mean_y - slope * mean_x, slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_a_line_give_the_line() {
        let y = CHUNK_BYTES.map(|x| 3.5 + 0.25 * x as f64);
        let (intercept, slope) = line(&CHUNK_BYTES, &y);
        assert!((intercept - 3.5).abs() < 1e-9 && (slope - 0.25).abs() < 1e-12, "{intercept} {slope}");
    }

    #[test]
    fn points_off_the_line_pull_by_the_least_squares() {
        // By hand: means 1 and 2, slope ((-1)(-2) + 0 + 1 * 1) / 2.
        let (intercept, slope) = line(&[0, 1, 2], &[0.0, 3.0, 3.0]);
        assert!((intercept - 0.5).abs() < 1e-12 && (slope - 1.5).abs() < 1e-12, "{intercept} {slope}");
    }

    #[test]
    fn runners_take_turns_and_a_wrong_one_is_named() {
        let runner = |who, wrong| {
            let call = move |size: usize| (size != wrong).then_some(Duration::from_millis(4 + size as u64));
            Runner { who, timed: "", call: Box::new(call) }
        };
        let points = measure(&mut [runner("a", SIZES), runner("b", SIZES)], 3).unwrap();
        assert_eq!((points.len(), points[0].len()), (2, 3));
        let of_round = std::array::from_fn(|size| 1e3 * (4 + size) as f64);
        assert!(points.iter().flatten().all(|round| *round == of_round));
        assert_eq!(measure(&mut [runner("a", SIZES), runner("b", 5)], 3), Err("b"));
    }

    #[test]
    fn sizes_suit_every_peer() {
        for peer in PEERS {
            assert!(CHUNK_BYTES.iter().all(|bytes| bytes.is_multiple_of(peer.unit)), "{}", peer.name);
        }
    }
}
