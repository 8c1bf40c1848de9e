//! The fixed cost of a reconstruct call: where the line of its time against chunk bytes meets zero.
//!
//! What a call does once for its pattern, whatever the chunks hold, is that intercept; what it does for each byte is the slope.
//! Both sides meet a fresh pattern in every call. Sizes and sides take turns within a round, each point is the median of
//! rounds, and the line is the one of least squares. The spread is that of the lines through single rounds.

use serde::Serialize;
use shardmark_kernels::backend::{BackendId, Kernel};
use shardmark_kernels::erasure::Reconstruct;

use super::codec::{Block, Codec, Peer};
use super::loss::{Draw, Loss};
use super::side::{Arrivals, Side};
use super::{PEERS, rse};
use crate::duel::{Table, percentile, repeats, summed};

/// Bytes of a chunk: small, so that the line rests on its left end, and multiples of what every peer demands.
const CHUNK_BYTES: [usize; 8] = [64, 128, 192, 256, 384, 512, 768, 1024];
const CODES: [&str; 2] = ["rs-fft8", "rs-vandermonde"];
const CHUNKS: [usize; 3] = [32, 64, 128];
const LOSSES: [Loss; 4] = [Loss::Most, Loss::Random, Loss::Few(4), Loss::Few(1)];

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
    chunk_bytes: [usize; 8],
    /// Median microseconds at each of them.
    median_us: [f64; 8],
    rounds: u32,
    timed: &'a str,
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

const EXECUTE: (&str, &str) = ("ours, execute", "as in the rows: chunks loaded before, into a buffer that exists");
const COMPUTE: (&str, &str) =
    ("ours, compute", "from received chunks to data in a new buffer: validation, allocation and all");

/// Who is timed: one member for each chunk size.
enum Who {
    Execute(Vec<Arrivals>),
    Compute(Vec<Arrivals>),
    Peer(Vec<Box<dyn Codec>>),
}

fn lines(table: &mut Table, code: &str, k: usize, loss: Loss) -> Result<(), String> {
    let name = format!("code={code} k={k} m={k} missing={}", loss.name(k, k));
    let peers = PEERS.iter().filter(|peer| peer.most_chunks >= 2 * k && peer.name != rse::WARM.name);
    let peers: Vec<&Peer> = peers.filter(|peer| table.wants(Reconstruct::NAME, &name, peer.name)).collect();
    let ours = [EXECUTE, COMPUTE].map(|who| table.wants(Reconstruct::NAME, &name, who.0).then_some(who));
    if peers.is_empty() && ours == [None, None] {
        return Ok(());
    }
    let side = Side::open(table.backend, code, k, k);
    let (side, restores) = match side.as_ref().map_err(Clone::clone).and_then(|side| Ok((side, side.restores()?))) {
        Ok(both) => both,
        Err(reason) => return table.unavailable(Reconstruct::NAME, &name, &reason),
    };
    let draw = Draw::new(loss, k, k);
    let blocks = CHUNK_BYTES.map(|chunk_bytes| Block::new(k, k, k * chunk_bytes));
    let mut path = None;
    let mut arrivals = || -> Result<Vec<Arrivals>, String> {
        let each = blocks.iter().map(|block| {
            let mut arrivals = side.chunks(block)?;
            path = arrivals.checked_draws(restores, &draw)?;
            Ok(arrivals)
        });
        each.collect()
    };
    let mut who: Vec<(&str, &str, Who)> = Vec::new();
    if let Some((name, timed)) = ours[0] {
        who.push((name, timed, Who::Execute(arrivals()?)));
    }
    if let Some((name, timed)) = ours[1] {
        who.push((name, timed, Who::Compute(arrivals()?)));
    }
    for peer in peers {
        let codecs = blocks.iter().map(|block| peer.checked(block)).collect::<Result<_, String>>()?;
        who.push((peer.name, peer.reconstruct, Who::Peer(codecs)));
    }

    let mut draws = vec![draw; who.len()];
    let time = |who: &mut Who, draw: &mut Draw, size: usize, calls: Option<u32>| {
        let mut call = || match who {
            Who::Execute(arrivals) => arrivals[size].execute(restores, draw.next()),
            Who::Compute(arrivals) => arrivals[size].compute(restores, draw.next()),
            Who::Peer(codecs) => codecs[size].reconstruct(draw.next(), false),
        };
        match calls {
            Some(calls) => summed(&mut call, calls),
            None => repeats(&mut |calls| summed(&mut call, calls)).map(f64::from),
        }
    };
    let wrong = |who: &str| format!("{} {name}: {who} gave a wrong result", Reconstruct::NAME);
    let mut calls = Vec::new();
    for ((name, _, who), draw) in who.iter_mut().zip(&mut draws) {
        for size in 0..CHUNK_BYTES.len() {
            calls.push(time(who, draw, size, None).ok_or_else(|| wrong(name))? as u32);
        }
    }
    // By side, then round: microseconds at each size. Round 0 warms up and is not counted.
    let mut points = vec![Vec::new(); who.len()];
    for round in 0..=table.rounds() as usize {
        let mut now = vec![[0.0; CHUNK_BYTES.len()]; who.len()];
        for size in 0..CHUNK_BYTES.len() {
            for turn in 0..who.len() {
                let at = (turn + round) % who.len();
                let (name, _, side) = &mut who[at];
                let calls = Some(calls[at * CHUNK_BYTES.len() + size]);
                now[at][size] = time(side, &mut draws[at], size, calls).ok_or_else(|| wrong(name))? / 1e3;
            }
        }
        if round > 0 {
            points.iter_mut().zip(now).for_each(|(points, now)| points.push(now));
        }
    }

    for ((who, timed, kind), points) in who.iter().zip(&points) {
        let median_us = std::array::from_fn(|size| {
            percentile(&mut points.iter().map(|round| round[size]).collect::<Vec<_>>(), 0.5)
        });
        let (intercept_us, slope_us) = line(&CHUNK_BYTES, &median_us);
        let mut spread: Vec<f64> = points.iter().map(|round| line(&CHUNK_BYTES, round).0).collect();
        let path = path.unwrap_or(&restores.description.path);
        let row = Row {
            kernel: Reconstruct::NAME,
            case: &name,
            backend: table.backend,
            path: if matches!(kind, Who::Peer(_)) { "peer" } else { path },
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
        table.found(&row, || {
            let medians = CHUNK_BYTES.iter().zip(median_us).map(|(bytes, us)| format!("{bytes}: {us:.2}"));
            format!(
                "{} {} {}/{}\n  {who}: {:.2} us [{:.2}, {:.2}] a call + {:.2} ns a chunk byte\n  us by chunk bytes: {}\n  \
                 timed: {timed}",
                row.kernel,
                row.case,
                row.backend,
                row.path,
                row.intercept_us,
                row.intercept_us_p10,
                row.intercept_us_p90,
                row.slope_ns,
                medians.collect::<Vec<_>>().join(", "),
            )
        })?;
    }
    Ok(())
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
    fn sizes_suit_every_peer() {
        for peer in PEERS {
            assert!(CHUNK_BYTES.iter().all(|bytes| bytes.is_multiple_of(peer.unit)), "{}", peer.name);
        }
    }
}
