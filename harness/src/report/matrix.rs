//! A matrix's report: its runs side by side, with their spread, and paired ratios.
//!
//! A ratio compares two runs of one repeat, which ran next to each other; slow drift of the machine touches both. The
//! first backend of the matrix is the reference.

use std::path::Path;

use super::page::{Page, Part, Section, Table};
use super::text::{UNKNOWN, duration, number, or_unknown};
use crate::record::bundle::{Bundle, BundleError, write_atomically};
use crate::record::matrix::Matrix;
use crate::record::{Grade, Summary};

/// What is compared.
struct Metric {
    name: &'static str,
    value: fn(&Summary) -> Option<f64>,
    show: fn(f64) -> String,
}

const METRICS: [Metric; 6] = [
    Metric { name: "finality p50", value: |s| s.finality_ns.map(|p| p.p50 as f64), show: nanoseconds },
    Metric { name: "finality p99", value: |s| s.finality_ns.map(|p| p.p99 as f64), show: nanoseconds },
    Metric { name: "block finality p50", value: |s| s.block_finality_ns.map(|p| p.p50 as f64), show: nanoseconds },
    Metric {
        name: "body checked at a quorum p50",
        value: |s| s.propagation_ns.map(|p| p.p50 as f64),
        show: nanoseconds,
    },
    Metric { name: "finalized tx/s", value: |s| s.rates.finalized_per_s, show: number },
    Metric {
        name: "CPU share of the host",
        value: |s| s.bottleneck.as_ref().and_then(|b| b.cpu_share),
        show: super::text::percent,
    },
];

const RUNS: &str = "Runs, in the order they ran";

fn nanoseconds(value: f64) -> String {
    duration(value.round() as u64)
}

/// Writes the report of every bundle of a matrix, then the matrix's own `report.md` and `report.html`. One summary for each
/// row; `None` for a run that was not possible, or was not reached.
///
/// # Errors
///
/// As [`super::write`].
pub fn write(folder: &Path) -> Result<Vec<Option<Summary>>, BundleError> {
    let matrix = Matrix::read(folder)?;
    let mut summaries = Vec::new();
    for row in &matrix.rows {
        let bundle = matrix.bundle(folder, row).and_then(|path| Bundle::open(&path).ok());
        summaries.push(bundle.map(|bundle| super::write(&bundle)).transpose()?);
    }
    let page = page(&matrix, &summaries);
    write_atomically(&folder.join("report.md"), super::markdown::render(&page).as_bytes())?;
    write_atomically(&folder.join("report.html"), super::html::render(&page).as_bytes())?;
    Ok(summaries)
}

/// The page of a matrix; `summaries` has one entry for each row.
pub fn page(matrix: &Matrix, summaries: &[Option<Summary>]) -> Page {
    if let Some((verdict, mut sections)) = super::propagation::compare(matrix, summaries) {
        sections.push(Section { heading: RUNS.to_owned(), parts: runs(matrix, summaries) });
        return Page { title: matrix.name.clone(), grade: None, verdict, figures: Vec::new(), sections };
    }
    let mut backends: Vec<&str> = Vec::new();
    for row in &matrix.rows {
        if !backends.contains(&row.backend.as_str()) {
            backends.push(&row.backend);
        }
    }
    let sections = [
        ("Side by side", comparison(matrix, summaries, &backends)),
        ("Phases of a block", phases(matrix, summaries, &backends)),
        (RUNS, runs(matrix, summaries)),
    ];
    let section = |(heading, parts): (&str, Vec<Part>)| Section { heading: heading.to_owned(), parts };
    Page {
        title: matrix.name.clone(),
        grade: None,
        verdict: verdict(matrix, summaries, &backends),
        figures: Vec::new(),
        sections: sections.map(section).into(),
    }
}

/// A metric of every valid run of one backend, with its repeat.
fn values(matrix: &Matrix, summaries: &[Option<Summary>], backend: &str, metric: &Metric) -> Vec<(u32, f64)> {
    let runs = matrix.rows.iter().zip(summaries).filter(|(row, _)| row.backend == backend);
    runs.filter_map(|(row, summary)| {
        let summary = summary.as_ref().filter(|summary| summary.quality.grade != Grade::Invalid)?;
        Some((row.repeat, (metric.value)(summary)?))
    })
    .collect()
}

/// Ratios to the reference, one for each repeat that both have.
fn ratios(own: &[(u32, f64)], reference: &[(u32, f64)]) -> Vec<f64> {
    let pair = |&(repeat, value): &(u32, f64)| {
        let base = reference.iter().find(|(other, _)| *other == repeat)?.1;
        (base > 0.0).then_some(value / base)
    };
    own.iter().filter_map(pair).collect()
}

/// Median, smallest, largest.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() {
        0 => return None,
        n if n % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    };
    Some((median, values[0], values[values.len() - 1]))
}

fn comparison(matrix: &Matrix, summaries: &[Option<Summary>], backends: &[&str]) -> Vec<Part> {
    let reference = backends.first().copied().unwrap_or_default();
    let ratio_column = format!("ratio to {reference}, paired");
    let mut table = Table::new(&["metric", "backend", "median", "smallest", "largest", &ratio_column, "pairs"], 0..2);
    for metric in &METRICS {
        let base = values(matrix, summaries, reference, metric);
        for backend in backends {
            let own = values(matrix, summaries, backend, metric);
            let pairs = if *backend == reference { Vec::new() } else { ratios(&own, &base) };
            let (n, shown) = (pairs.len(), spread(own.iter().map(|(_, value)| *value).collect()));
            let cell = |value: Option<f64>| or_unknown(value, metric.show);
            table.row([
                metric.name.to_owned(),
                (*backend).to_owned(),
                cell(shown.map(|s| s.0)),
                cell(shown.map(|s| s.1)),
                cell(shown.map(|s| s.2)),
                or_unknown(spread(pairs), |(median, low, high)| format!("{median:.3} ({low:.3}–{high:.3})")),
                if n == 0 { UNKNOWN.to_owned() } else { n.to_string() },
            ]);
        }
    }
    vec![
        Part::Table(table),
        Part::Text("Ratios are medians over pairs of neighbouring runs, with the smallest and the largest.".into()),
    ]
}

fn phases(matrix: &Matrix, summaries: &[Option<Summary>], backends: &[&str]) -> Vec<Part> {
    let mut names: Vec<String> = Vec::new();
    for phase in summaries.iter().flatten().flat_map(|summary| &summary.phases) {
        if !names.contains(&phase.phase) {
            names.push(phase.phase.clone());
        }
    }
    if names.is_empty() {
        return vec![Part::Text("No block's phases were recorded.".into())];
    }
    let mut columns = vec!["phase, median over blocks and runs"];
    columns.extend(backends);
    let mut table = Table::new(&columns, 0..1);
    for name in names {
        let mut cells = vec![name.clone()];
        for backend in backends {
            let runs = matrix.rows.iter().zip(summaries).filter(|(row, _)| row.backend == *backend);
            let times = runs.filter_map(|(_, summary)| {
                let phase = summary.as_ref()?.phases.iter().find(|phase| phase.phase == name)?;
                Some(phase.p50_ns as f64)
            });
            cells.push(or_unknown(spread(times.collect()), |(median, ..)| nanoseconds(median)));
        }
        table.rows.push(cells);
    }
    vec![Part::Table(table)]
}

fn runs(matrix: &Matrix, summaries: &[Option<Summary>]) -> Vec<Part> {
    let mut table = Table::new(
        &["run", "backend", "repeat", "grade or reason", "finality p50", "finality p99", "finalized tx/s"],
        0..4,
    );
    for (i, (row, summary)) in matrix.rows.iter().zip(summaries).enumerate() {
        let grade = match (summary, &row.reason) {
            (Some(summary), _) => format!("{:?}", summary.quality.grade),
            (None, Some(reason)) => format!("not run: {reason}"),
            (None, None) => "not run".into(),
        };
        let cell = |metric: usize| {
            let metric = &METRICS[metric];
            or_unknown(summary.as_ref().and_then(metric.value), metric.show)
        };
        table.row([
            row.folder.clone().unwrap_or_else(|| format!("{i:02}")),
            row.backend.clone(),
            row.repeat.to_string(),
            grade,
            cell(0),
            cell(1),
            cell(4),
        ]);
    }
    vec![Part::Table(table)]
}

fn verdict(matrix: &Matrix, summaries: &[Option<Summary>], backends: &[&str]) -> String {
    let Some((reference, others)) = backends.split_first() else { return "The matrix has no runs.".into() };
    let metric = &METRICS[0];
    let base = values(matrix, summaries, reference, metric);
    let mut sentences = Vec::new();
    for backend in others {
        let reason = matrix.rows.iter().find(|row| row.backend == *backend).and_then(|row| row.reason.as_ref());
        let pairs = ratios(&values(matrix, summaries, backend, metric), &base);
        sentences.push(match (spread(pairs), reason) {
            (_, Some(reason)) => format!("{backend} could not run: {reason}."),
            (None, None) => format!("{backend} has no valid run to compare."),
            (Some((_, low, high)), None) if low < 1.0 && high > 1.0 => {
                format!(
                    "{backend} and {reference} do not differ in median finality: ratios from {low:.3} to {high:.3}."
                )
            }
            (Some((median, low, high)), None) => format!(
                "Median finality on {backend} is {median:.3} of that on {reference} ({low:.3} to {high:.3}): {}.",
                if median < 1.0 { "faster" } else { "slower" }
            ),
        });
    }
    if sentences.is_empty() {
        return format!("{} run(s) of {reference} alone: there is nothing to compare.", matrix.rows.len());
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_pair_runs_of_one_repeat() {
        let base = [(0, 100.0), (1, 200.0), (2, 0.0)];
        assert_eq!(ratios(&[(1, 100.0), (0, 90.0), (3, 5.0), (2, 1.0)], &base), [0.5, 0.9]);
        assert_eq!(spread(vec![3.0, 1.0, 2.0, 10.0]), Some((2.5, 1.0, 10.0)));
        assert_eq!(spread(vec![]), None);
    }
}
