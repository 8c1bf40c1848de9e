//! What a report says, as sections of text, tables and one drawing: the same for every format.
//!
//! Order: verdict, setup and quality, finality, what sets the pace, transactions, nodes, propagation, refusals, kernels, beacon, how to
//! reproduce.

use std::ops::Range;

use super::svg::{Bar, Drawing};
use super::text::{bytes, count, duration, number, or_unknown, percent};
use crate::config::{Config, PropagationMode, WorkloadKind};
use crate::record::summary::{KernelRow, Outcome, Percentiles};
use crate::record::{Collected, Grade, Manifest, Summary};

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Title.
    pub title: String,
    /// One word and its meaning: the grade.
    pub grade: Option<(Grade, &'static str)>,
    /// The verdict: one or two sentences.
    pub verdict: String,
    /// Numbers that stand out: label and value.
    pub figures: Vec<(String, String)>,
    /// The rest.
    pub sections: Vec<Section>,
}

/// One heading and what is below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Section {
    /// Heading.
    pub heading: String,
    /// Below the heading, in order.
    pub parts: Vec<Part>,
}

/// A piece of a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// Paragraphs of equal rank.
    List(Vec<String>),
    /// A table.
    Table(Table),
    /// Horizontal bars; formats without drawings show its table.
    Drawing(Drawing, Table),
    /// Commands, verbatim.
    Code(String),
}

/// A table. Every row has as many cells as there are columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
    /// The columns that hold words; the others hold numbers.
    pub words: Range<usize>,
}

impl Table {
    /// An empty table; `words` are the columns that hold words.
    pub fn new(columns: &[&str], words: Range<usize>) -> Self {
        Self { columns: columns.iter().map(|&c| c.to_owned()).collect(), rows: Vec::new(), words }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

/// The report of one run.
pub fn run(run: &Collected, summary: &Summary) -> Page {
    let config = &run.manifest.config;
    let mut sections =
        vec![setup(run, config), finality(summary), pace(summary), transactions(summary), nodes(summary)];
    sections.extend(summary.propagation.as_ref().map(super::propagation::section));
    sections.push(refused(summary));
    sections.push(kernels(&summary.kernels));
    sections.extend(beacon(summary));
    sections.push(quality(summary));
    sections.push(reproduce(&run.manifest));
    Page {
        title: summary.name.clone(),
        grade: Some((summary.quality.grade, meaning(summary.quality.grade))),
        verdict: verdict(config, summary),
        figures: figures(summary),
        sections,
    }
}

/// A grade in words.
pub fn meaning(grade: Grade) -> &'static str {
    match grade {
        Grade::A => "fit to publish",
        Grade::B => "fit to compare on this machine",
        Grade::C => "shows that it works; the numbers are indicative",
        Grade::Invalid => "no result",
    }
}

fn section(heading: &str, parts: Vec<Part>) -> Section {
    Section { heading: heading.to_owned(), parts }
}

fn verdict(config: &Config, summary: &Summary) -> String {
    let t = &summary.transactions;
    if summary.quality.grade == Grade::Invalid {
        let reasons = summary.quality.reasons.iter().filter(|reason| reason.grade == Grade::Invalid);
        let reasons: Vec<&str> = reasons.map(|reason| reason.reason.as_str()).collect();
        return format!("This run is no result: {}.", reasons.join("; "));
    }
    let what = match config.workload.kind {
        WorkloadKind::Transfers => "signed transfers",
        WorkloadKind::Opaque => "opaque transactions",
    };
    let views = match summary.blocks.view_changes {
        0 => "without a view change".to_owned(),
        1 => "with one view change".to_owned(),
        n => format!("with {n} view changes"),
    };
    let mut text = format!(
        "{} validators finalized {} of {} {what} in {} blocks, {views}.",
        config.cluster.validators,
        count(t.finalized),
        count(t.scheduled),
        count(summary.blocks.finalized),
    );
    if let Some(f) = &summary.finality_ns {
        text += &format!(
            " Half were final within {} of their scheduled time, 99% within {}.",
            duration(f.p50),
            duration(f.p99)
        );
    }
    if let Some(bottleneck) = &summary.bottleneck {
        text += &format!(" {}", bottleneck.verdict);
    }
    text
}

fn figures(summary: &Summary) -> Vec<(String, String)> {
    let p = |percentiles: &Option<Percentiles>, value: fn(&Percentiles) -> u64| {
        or_unknown(percentiles.as_ref(), |p| duration(value(p)))
    };
    let rate = or_unknown(summary.rates.finalized_per_s, |r| format!("{} tx/s", number(r)));
    [
        ("finality, median", p(&summary.finality_ns, |p| p.p50)),
        ("finality, p99", p(&summary.finality_ns, |p| p.p99)),
        ("block finality, median", p(&summary.block_finality_ns, |p| p.p50)),
        ("finalized", rate),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

fn setup(run: &Collected, config: &Config) -> Section {
    let mut table = Table::new(&["", ""], 0..2);
    let mut line = |name: &str, value: String| table.row([name.to_owned(), value]);
    let (cluster, consensus, load) = (&config.cluster, &config.consensus, &config.load);
    line(
        "committee",
        format!(
            "{} validators x {} keys, {} votes, leader rotates every {} blocks",
            cluster.validators,
            cluster.keys_per_validator,
            serde_word(&consensus.votes),
            consensus.rotation_blocks
        ),
    );
    line(
        "blocks",
        format!(
            "every {}, up to {}, view timeout {}",
            consensus.block_time, consensus.block_bytes, consensus.view_timeout
        ),
    );
    let chunks = config.chunks();
    line(
        "propagation",
        match config.propagation.mode {
            PropagationMode::WholeBlock => "whole block to everyone".into(),
            PropagationMode::Chunks => {
                format!(
                    "{}, any {} of {} chunks",
                    config.propagation.code.name(),
                    chunks.data,
                    chunks.data + chunks.parity
                )
            }
        },
    );
    line(
        "load",
        format!(
            "{} arrivals, {} tx/s for {} after {} warm-up, seed {}",
            serde_word(&load.arrivals),
            number(load.rate),
            load.duration,
            load.warmup,
            config.seed
        ),
    );
    line("backends", format!("{}; {} thread(s) a call", config.backend, config.threads));
    let transport = &config.transport;
    line(
        "transport",
        format!(
            "QUIC, {}, windows {} / {}, GSO {}, UDP buffers {} / {}",
            serde_word(&transport.congestion),
            transport.send_window,
            transport.receive_window,
            if transport.gso { "on" } else { "off" },
            transport.udp_send_buffer,
            transport.udp_receive_buffer
        ),
    );
    if !config.network.is_plain() {
        line("network", format!("{}, at every validator's exit", config.network));
    }
    if !config.faults.is_none() {
        line("faulty relays", config.faults.to_string());
    }
    for host in &run.hosts {
        let known = |value: &Option<String>| or_unknown(value.clone(), |v| v);
        let cpu = &host.cpu;
        line(
            "host",
            format!(
                "{}, {} hardware threads, {}, {}, kernel {}",
                known(&cpu.model),
                or_unknown(cpu.threads, |n| n.to_string()),
                or_unknown(host.memory_bytes, bytes),
                known(&host.os),
                known(&host.kernel)
            ),
        );
    }
    let build = &run.manifest.build;
    line("binary", format!("{}, {}, {}", run.manifest.tool, build.compiler, build.profile));
    section("Setup", vec![Part::Table(table)])
}

/// How serde writes a word.
fn serde_word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn finality(summary: &Summary) -> Section {
    let mut table = Table::new(&["", "n", "p50", "p90", "p99", "max"], 0..1);
    let rows = [
        ("transaction finality, from the scheduled time", &summary.finality_ns),
        ("uncorrected, from the time sent", &summary.finality_uncorrected_ns),
        ("block finality, at a quorum", &summary.block_finality_ns),
        ("body checked at a quorum, after announce", &summary.propagation_ns),
        ("time between blocks", &summary.blocks.interval_ns),
        ("lateness of the generator", &summary.lateness_ns),
    ];
    for (name, value) in rows {
        let cell = |get: fn(&Percentiles) -> u64| or_unknown(value.as_ref(), |p| duration(get(p)));
        let n = or_unknown(value.as_ref(), |p| count(p.n));
        table.row([name.to_owned(), n, cell(|p| p.p50), cell(|p| p.p90), cell(|p| p.p99), cell(|p| p.max)]);
    }
    let mut parts = vec![Part::Table(table)];
    if let (Some(corrected), Some(uncorrected)) = (&summary.finality_ns, &summary.finality_uncorrected_ns) {
        let gap = corrected.p99.abs_diff(uncorrected.p99);
        parts.push(Part::Text(format!(
            "Latency counts from the scheduled time, so a stalled system cannot hide by slowing its load. Counted from the time \
             sent, the 99th percentile would differ by {}.",
            duration(gap)
        )));
    }
    section("Finality", parts)
}

fn pace(summary: &Summary) -> Section {
    let mut parts = Vec::new();
    if let Some(bottleneck) = &summary.bottleneck {
        parts.push(Part::Text(bottleneck.verdict.clone()));
        if let Some(cpu) = bottleneck.cpu_share {
            parts.push(Part::Text(format!(
                "The validators used {} of the host's CPU time in the window.",
                percent(cpu)
            )));
        }
    }
    if summary.phases.is_empty() {
        parts.push(Part::Text("No block's phases were recorded in the window.".into()));
        return section("Where a block's time goes", parts);
    }
    let mut table = Table::new(&["phase", "share", "p50", "p90", "blocks", "inside kernels"], 0..1);
    let mut bars = Vec::new();
    let mut start = 0.0;
    for phase in &summary.phases {
        let mut inside: Vec<(&String, &f64)> = phase.kernels.iter().collect();
        inside.sort_by(|a, b| b.1.total_cmp(a.1));
        let inside: Vec<String> =
            inside.iter().map(|(kernel, share)| format!("{kernel} {}", percent(**share))).collect();
        table.row([
            phase.phase.clone(),
            percent(phase.share),
            duration(phase.p50_ns),
            duration(phase.p90_ns),
            count(phase.n),
            inside.join(", "),
        ]);
        let busiest = phase.kernels.iter().max_by(|a, b| a.1.total_cmp(b.1));
        bars.push(Bar {
            label: phase.phase.clone(),
            start,
            length: phase.share,
            filled: busiest.map_or(0.0, |(_, share)| share.min(1.0)),
            value: format!("{} · {}", duration(phase.p50_ns), percent(phase.share)),
            note: busiest.map_or_else(String::new, |(kernel, share)| {
                format!("{}: {} inside {kernel}", phase.phase, percent(*share))
            }),
        });
        start += phase.share;
    }
    let drawing = Drawing {
        title: "Critical path of a block, from proposal to finality at a quorum".into(),
        legend: Some(("inside the phase's main kernel".into(), "waiting, network and the rest".into())),
        bars,
    };
    parts.push(Part::Drawing(drawing, table));
    parts.push(Part::Text(
        "Each phase is timed at the validator that completes the quorum, or at the leader, so phases follow one another and \
         their shares add up to 100%; values are medians over blocks."
            .into(),
    ));
    section("Where a block's time goes", parts)
}

fn transactions(summary: &Summary) -> Section {
    let t = &summary.transactions;
    let mut table = Table::new(&["", "transactions", "of scheduled"], 0..1);
    let mut line = |name: &str, n: u64| {
        let share = if t.scheduled == 0 { or_unknown(None, percent) } else { percent(n as f64 / t.scheduled as f64) };
        table.row([name.to_owned(), count(n), share]);
    };
    line("scheduled", t.scheduled);
    line("finalized", t.finalized);
    line("rejected by the home validator", t.rejected_at_home);
    line("dropped after admission", t.rejected_later);
    line("expired", t.expired);
    line("unfinished at the end", t.unfinished);
    line("never sent", t.unsent);
    let mut parts = vec![Part::Table(table)];
    let reasons: Vec<String> = t.reasons.iter().map(|(reason, n)| format!("{reason}: {}", count(*n))).collect();
    if !reasons.is_empty() {
        parts.push(Part::Text(format!("Rejected by reason: {}.", reasons.join(", "))));
    }
    parts.push(Part::Text(match t.reconciled {
        true => format!("The counts reconcile exactly at every node. Duplicates refused: {}.", count(t.duplicates)),
        false => "The counts do NOT reconcile.".into(),
    }));
    section("Transactions", parts)
}

fn nodes(summary: &Summary) -> Section {
    let mut table = Table::new(
        &["node", "blocks", "sent", "received", "lost packets", "dropped frames", "CPU", "memory", "ended"],
        0..1,
    );
    for node in &summary.nodes {
        table.row([
            node.node.clone(),
            count(node.finalized),
            or_unknown(node.sent_bytes, bytes),
            or_unknown(node.received_bytes, bytes),
            or_unknown(node.lost_packets, count),
            or_unknown(node.dropped_frames, count),
            or_unknown(node.cpu_ns, duration),
            or_unknown(node.rss_bytes_max, bytes),
            match (node.closed, node.processes) {
                (false, _) => "killed".into(),
                (true, 1) => "in order".into(),
                (true, n) => format!("in order, {} restarts", n - 1),
            },
        ]);
    }
    let largest = summary.nodes.iter().filter_map(|node| node.sent_bytes).max().unwrap_or(0).max(1);
    let bars = summary.nodes.iter().map(|node| Bar {
        label: node.node.clone(),
        start: 0.0,
        length: node.sent_bytes.map_or(0.0, |sent| sent as f64 / largest as f64),
        filled: 0.0,
        value: or_unknown(node.sent_bytes, bytes),
        note: String::new(),
    });
    let drawing = Drawing { title: "UDP bytes sent, whole run".into(), legend: None, bars: bars.collect() };
    let mut parts = vec![Part::Table(table.clone())];
    if summary.nodes.iter().any(|node| node.sent_bytes.is_some()) {
        parts = vec![Part::Drawing(drawing, Table::default()), Part::Table(table)];
    }
    if let Some(amplification) = summary.amplification {
        parts.push(Part::Text(format!(
            "All nodes together sent {} times the bytes that one copy of every body for every receiver has.",
            number(amplification)
        )));
    }
    section("Nodes", parts)
}

fn refused(summary: &Summary) -> Section {
    if summary.refused.is_empty() {
        return section("Refused", vec![Part::Text("No message was refused.".into())]);
    }
    let mut table = Table::new(&["reason", "messages"], 0..1);
    for (reason, n) in &summary.refused {
        table.row([reason.clone(), count(*n)]);
    }
    section("Refused", vec![Part::Table(table)])
}

/// The table of kernel rows, of a pipeline or of a sweep.
pub fn kernels(rows: &[KernelRow]) -> Section {
    if rows.is_empty() {
        return section("Kernels", vec![Part::Text("No kernel call was recorded in the window.".into())]);
    }
    let mut table = Table::new(
        &["kernel", "for", "backend", "path", "threads", "batch", "calls", "min", "p50", "p90", "items/s", "data/s"],
        0..4,
    );
    for row in rows {
        let cell = |get: fn(&crate::record::summary::Distribution) -> u64| {
            or_unknown(row.total_ns.as_ref(), |d| duration(get(d)))
        };
        let batch = match (row.batch_min, row.batch, row.batch_max) {
            (Some(low), Some(_), Some(high)) if low == high => count(low),
            (Some(low), Some(median), Some(high)) => format!("{} ({}–{})", count(median), count(low), count(high)),
            _ => or_unknown(row.batch, count),
        };
        let path = match row.outcome {
            Outcome::Ok => or_unknown(row.path.clone(), |p| p),
            _ => format!("{}: {}", serde_word(&row.outcome), row.reason.as_deref().unwrap_or("unknown")),
        };
        table.row([
            row.kernel.clone(),
            row.job.map_or_else(String::new, |job| serde_word(&job).replace('_', " ")),
            row.backend.clone(),
            path,
            row.threads.to_string(),
            batch,
            or_unknown(row.total_ns.as_ref(), |d| count(d.n)),
            cell(|d| d.min),
            cell(|d| d.p50),
            cell(|d| d.p90),
            or_unknown(row.items_per_s, number),
            or_unknown(row.bytes_per_s, |b| format!("{}/s", bytes(b.round() as u64))),
        ]);
    }
    let note = "Times are bytes in to verdict out, as the caller waited for them.";
    section("Kernels", vec![Part::Table(table), Part::Text(note.into())])
}

fn beacon(summary: &Summary) -> Option<Section> {
    let beacon = summary.beacon.as_ref()?;
    let mut table = Table::new(&["", "n", "p50", "max"], 0..1);
    let mut times = vec![("evaluate", beacon.evaluate_ns), ("verify", beacon.verify_ns)];
    if let Some(alone) = &beacon.alone {
        let once = |ns| Percentiles::of(vec![ns]);
        times.extend([("evaluate, alone", once(alone.evaluate_ns)), ("verify, alone", once(alone.verify_ns))]);
    }
    for (name, value) in times {
        let cell = |get: fn(&Percentiles) -> u64| or_unknown(value.as_ref(), |p| duration(get(p)));
        table.row([name.to_owned(), or_unknown(value.as_ref(), |p| count(p.n)), cell(|p| p.p50), cell(|p| p.max)]);
    }
    let said = |margin: Option<f64>, what: &str, unknown: &str| match (margin, beacon.deadline_ns) {
        (Some(margin), Some(deadline)) if margin >= 0.0 => {
            format!("{what} left {} of the {} until the proof is due.", percent(margin), duration(deadline))
        }
        (Some(margin), Some(deadline)) => {
            format!("{what} missed the deadline of {} by {}.", duration(deadline), percent(-margin))
        }
        _ => unknown.to_owned(),
    };
    let alone = said(
        beacon.alone.and_then(|alone| alone.margin),
        "Alone, before the validators started, one evaluation and verification",
        "What the delay function takes alone was not measured.",
    );
    let loaded = said(
        beacon.margin,
        "Under the load of this run, the slowest evaluation and verification",
        "No evaluation ended in this run, so there is no margin under load.",
    );
    let backends = "No backend speeds up a single evaluation: each squaring waits for the one before it. The simd backend \
                    reaches the search for discriminant and challenge around the squarings, in evaluation and verification.";
    Some(section("Beacon", vec![Part::Table(table), Part::List(vec![alone, loaded]), Part::Text(backends.into())]))
}

fn quality(summary: &Summary) -> Section {
    let reasons = &summary.quality.reasons;
    if reasons.is_empty() {
        return section("Quality", vec![Part::Text("Nothing lowered the grade.".into())]);
    }
    let list = reasons.iter().map(|reason| match reason.grade {
        Grade::Invalid => format!("invalid: {}", reason.reason),
        grade => format!("at best {grade:?}: {}", reason.reason),
    });
    section("Quality", vec![Part::List(list.collect())])
}

fn reproduce(manifest: &Manifest) -> Section {
    let revision = manifest.build.revision.as_deref();
    let dirty = if manifest.build.dirty == Some(true) { "   # with local changes" } else { "" };
    let checkout = or_unknown(revision, |r| format!("git checkout {r}{dirty}\n"));
    let (flag, folder) = match manifest.build.profile.starts_with("release") {
        true => (" --release", "release"),
        false => ("", "debug"),
    };
    let code =
        format!("{checkout}cargo build{flag}\ntarget/{folder}/shardmark run config.toml   # the file in this bundle");
    let command: Vec<String> = manifest.command.iter().map(|word| shell_word(word)).collect();
    section(
        "Reproduce",
        vec![
            Part::Code(code),
            Part::Text(format!("This run was started at {} by:", manifest.created)),
            Part::Code(command.join(" ")),
        ],
    )
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
