//! How bodies travelled: a section of a run's report, and the report of a matrix over codes, loss and faulty relays.
//!
//! Runs of such a matrix differ in what they measure, not in where they run, so they stand side by side as rows; nothing is
//! averaged over them.

use super::page::{Part, Section, Table};
use super::svg::{Bar, Drawing};
use super::text::{bytes, count, duration, number, or_unknown, percent};
use crate::record::matrix::{Matrix, MatrixRow};
use crate::record::propagation::{Propagation, Sent};
use crate::record::summary::Percentiles;
use crate::record::{Grade, Summary, Variant};

/// What the time is, once on every page that shows it.
const TIME: &str = "A time runs from the moment the proposer begins to cut the body until a validator has the body, has encoded it \
                    again and found the announced root. Every block of the window counts once for each validator but its proposer; \
                    faulty relays are left out. With fewer than 100 times the 99th percentile is the largest.";
const BYTES: &str = "Bytes are each node's from its start to its last final block, over its final blocks. “Copies” are all nodes' \
                     bytes over one body for each receiver: for chunks alone it is 1 with whole-block broadcast, and n / k where \
                     any k of n chunks suffice.";

/// The section of one run.
pub fn section(travelled: &Propagation) -> Section {
    let mut times = Table::new(&["", "n", "p50", "p90", "p99", "max"], 0..1);
    let of = |name: &str, value: &Option<Percentiles>, show: fn(u64) -> String| {
        let cell = |get: fn(&Percentiles) -> u64| or_unknown(value.as_ref(), |p| show(get(p)));
        let n = or_unknown(value.as_ref(), |p| count(p.n));
        [name.to_owned(), n, cell(|p| p.p50), cell(|p| p.p90), cell(|p| p.p99), cell(|p| p.max)]
    };
    times.row(of("block verified, after the proposer began to cut it", &travelled.verified_ns, duration));
    times.row(of("body", &travelled.body_bytes, bytes));
    let mut sent = Table::new(&["sent for a block", "median node", "most", "leader", "copies"], 0..1);
    for (name, value) in [("UDP payload", &travelled.sent_bytes), ("chunks", &travelled.chunk_bytes)] {
        let [median, most, leader] = sent_cells(value.as_ref());
        sent.row([name.to_owned(), median, most, leader, copies(value.as_ref())]);
    }
    let mut notes = Vec::new();
    let validators = |them: &[u16]| them.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    if !travelled.silent_relays.is_empty() {
        notes.push(format!("Relayed nothing, on purpose: validator {}.", validators(&travelled.silent_relays)));
    }
    if !travelled.corrupting_relays.is_empty() {
        notes.push(format!(
            "Relayed corrupted chunks, on purpose: validator {}.",
            validators(&travelled.corrupting_relays)
        ));
    }
    if let Some(lost) = travelled.lost_share {
        notes.push(format!("The configured link lost {} of the datagrams.", percent(lost)));
    }
    if travelled.unverified > 0 {
        let n = travelled.verified_ns.map_or(0, |p| p.n) + travelled.unverified;
        notes.push(format!("{} of {} times are missing: the body never came.", count(travelled.unverified), count(n)));
    }
    let mut parts = vec![Part::Table(times), Part::Text(TIME.into()), Part::Table(sent), Part::Text(BYTES.into())];
    if !notes.is_empty() {
        parts.push(Part::List(notes));
    }
    Section { heading: format!("Propagation by {}", travelled.code), parts }
}

fn sent_cells(sent: Option<&Sent>) -> [String; 3] {
    let cell = |get: fn(&Sent) -> Option<u64>| or_unknown(sent.and_then(get), bytes);
    [cell(|s| Some(s.p50)), cell(|s| Some(s.max)), cell(|s| s.leader)]
}

fn copies(sent: Option<&Sent>) -> String {
    or_unknown(sent.and_then(|sent| sent.expansion), number)
}

/// One run of the matrix, if it has its place on the axes of propagation.
struct Cell<'a> {
    row: &'a MatrixRow,
    variant: &'a Variant,
    summary: Option<&'a Summary>,
}

impl Cell<'_> {
    fn travelled(&self) -> Option<&Propagation> {
        self.summary?.propagation.as_ref()
    }

    fn verified(&self) -> Option<&Percentiles> {
        self.travelled()?.verified_ns.as_ref()
    }

    /// Its grade, or why it is no result.
    fn outcome(&self) -> String {
        match (self.summary, &self.row.reason) {
            (Some(summary), _) if summary.quality.grade == Grade::Invalid => {
                let reason = summary.quality.reasons.first();
                format!("invalid: {}", reason.map_or("", |reason| reason.reason.as_str()))
            }
            (Some(summary), _) => format!("{:?}", summary.quality.grade),
            (None, Some(reason)) => reason.clone(),
            (None, None) => "not run".into(),
        }
    }

    /// Its place, with backend and repeat where they tell runs apart.
    fn place(&self, several: Several) -> Vec<String> {
        let Variant { code, loss, faults } = self.variant;
        let mut place = vec![code.clone(), loss.clone(), faults.clone()];
        if several.backends {
            place.push(self.row.backend.clone());
        }
        if several.repeats {
            place.push(self.row.repeat.to_string());
        }
        place
    }
}

#[derive(Clone, Copy)]
struct Several {
    backends: bool,
    repeats: bool,
}

impl Several {
    fn columns(self) -> Vec<&'static str> {
        let mut columns = vec!["code", "loss", "faulty relays"];
        if self.backends {
            columns.push("backend");
        }
        if self.repeats {
            columns.push("repeat");
        }
        columns
    }
}

/// Verdict and sections of a matrix over codes, loss or faulty relays; `None` for a matrix of backends alone.
pub fn compare(matrix: &Matrix, summaries: &[Option<Summary>]) -> Option<(String, Vec<Section>)> {
    let cells: Vec<Cell<'_>> = matrix
        .rows
        .iter()
        .zip(summaries)
        .filter_map(|(row, summary)| Some(Cell { row, variant: row.variant.as_ref()?, summary: summary.as_ref() }))
        .collect();
    let first = cells.first()?;
    let several = Several {
        backends: cells.iter().any(|cell| cell.row.backend != first.row.backend),
        repeats: cells.iter().any(|cell| cell.row.repeat > 0),
    };
    let mut sections: Vec<Section> = losses(&cells).into_iter().map(|loss| times(&cells, several, loss)).collect();
    if let Some(last) = sections.last_mut() {
        last.parts.push(Part::Text(TIME.into()));
    }
    sections.push(Section {
        heading: "Bytes sent for a block".into(),
        parts: vec![Part::Table(byte_table(&cells, several)), Part::Text(BYTES.into())],
    });
    Some((verdict(&cells), sections))
}

/// Each loss once, in order of appearance.
fn losses<'a>(cells: &[Cell<'a>]) -> Vec<&'a str> {
    let mut losses: Vec<&str> = Vec::new();
    for cell in cells {
        if !losses.contains(&cell.variant.loss.as_str()) {
            losses.push(&cell.variant.loss);
        }
    }
    losses
}

/// The runs with one loss: bars to the 99th percentile, filled to the median, and all numbers.
fn times(cells: &[Cell<'_>], several: Several, loss: &str) -> Section {
    let shown: Vec<_> = cells.iter().filter(|cell| cell.variant.loss == loss).collect();
    let longest = shown.iter().filter_map(|cell| cell.verified()).map(|p| p.p99).max().unwrap_or(0).max(1) as f64;
    let bar = |cell: &&Cell<'_>| {
        let p = cell.verified()?;
        let mut words = cell.place(several);
        words.remove(1);
        words.retain(|word| word != "none");
        Some(Bar {
            label: words.join(", "),
            start: 0.0,
            length: p.p99 as f64 / longest,
            filled: p.p50 as f64 / p.p99.max(1) as f64,
            value: format!("{} · {}", duration(p.p50), duration(p.p99)),
            note: format!("90%: {}, longest: {}", duration(p.p90), duration(p.max)),
        })
    };
    let heading = format!("Time to a verified block, {loss} of datagrams lost");
    let drawing = Drawing {
        title: format!("{heading}: median · 99th percentile"),
        legend: Some(("median".into(), "99th percentile".into())),
        bars: shown.iter().filter_map(bar).collect(),
    };
    let mut parts = vec![Part::Table(time_table(&shown, several))];
    if !drawing.bars.is_empty() {
        parts.insert(0, Part::Drawing(drawing, Table::default()));
    }
    Section { heading, parts }
}

fn time_table(cells: &[&Cell<'_>], several: Several) -> Table {
    let mut columns = several.columns();
    let words = columns.len() + 1;
    columns.extend(["grade or reason", "blocks", "body", "n", "p50", "p90", "p99", "max", "missing", "view changes"]);
    let mut table = Table::new(&columns, 0..words);
    for cell in cells {
        let time = |get: fn(&Percentiles) -> u64| or_unknown(cell.verified(), |p| duration(get(p)));
        let mut cells = cell.place(several);
        cells.extend([
            cell.outcome(),
            or_unknown(cell.travelled(), |t| count(t.blocks)),
            or_unknown(cell.travelled().and_then(|t| t.body_bytes), |p| bytes(p.p50)),
            or_unknown(cell.verified(), |p| count(p.n)),
            time(|p| p.p50),
            time(|p| p.p90),
            time(|p| p.p99),
            time(|p| p.max),
            or_unknown(cell.travelled(), |t| count(t.unverified)),
            or_unknown(cell.summary, |s| count(s.blocks.view_changes)),
        ]);
        table.rows.push(cells);
    }
    table
}

fn byte_table(cells: &[Cell<'_>], several: Several) -> Table {
    let mut columns = several.columns();
    let words = columns.len();
    columns.extend(["UDP, median node", "most", "leader"]);
    columns.extend(["chunks, median node", "most", "leader", "copies", "datagrams lost", "corrupt chunks refused"]);
    let mut table = Table::new(&columns, 0..words);
    for cell in cells.iter().filter(|cell| cell.summary.is_some()) {
        let travelled = cell.travelled();
        let chunks = travelled.and_then(|t| t.chunk_bytes.as_ref());
        let mut cells = cell.place(several);
        cells.extend(sent_cells(travelled.and_then(|t| t.sent_bytes.as_ref())));
        cells.extend(sent_cells(chunks));
        cells.extend([
            copies(chunks),
            travelled.and_then(|t| t.lost_share).map_or_else(|| "0".to_owned(), percent),
            or_unknown(cell.summary, |s| count(s.refused.get("chunk not under the root").copied().unwrap_or(0))),
        ]);
        table.rows.push(cells);
    }
    table
}

/// For each loss, without faulty relays: the fastest code against whole-block broadcast.
fn verdict(cells: &[Cell<'_>]) -> String {
    let mut sentences: Vec<String> = Vec::new();
    for loss in losses(cells) {
        let valid = |cell: &&Cell<'_>| cell.summary.is_some_and(|s| s.quality.grade != Grade::Invalid);
        let here = || cells.iter().filter(|c| c.variant.loss == loss && c.variant.faults == "none").filter(valid);
        let whole = here().find(|cell| cell.variant.code == "whole-block").and_then(|cell| cell.verified());
        let coded = here().filter(|cell| cell.variant.code != "whole-block");
        let fastest = coded.filter_map(|cell| Some((cell, cell.verified()?))).min_by_key(|(_, p)| p.p50);
        let times = |p: &Percentiles| format!("{} (99%: {})", duration(p.p50), duration(p.p99));
        sentences.push(match (fastest, whole) {
            (Some((cell, p)), Some(whole)) => format!(
                "With {loss} loss the median block is verified after {} with {}, and after {} by whole-block broadcast.",
                times(p),
                cell.variant.code,
                times(whole)
            ),
            (Some((cell, p)), None) => {
                format!("With {loss} loss the median block is verified after {} with {}.", times(p), cell.variant.code)
            }
            (None, Some(p)) => {
                format!("With {loss} loss the median block is verified after {} by whole-block broadcast.", times(p))
            }
            (None, None) => format!("With {loss} loss there is no result."),
        });
    }
    sentences.join(" ")
}
