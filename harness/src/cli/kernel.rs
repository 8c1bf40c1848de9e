//! `kernel`: a sweep over kernels and backends, one row each.

use shardmark_kernels::backend::BackendId;

use super::progress::Progress;
use super::{Context, Failure, Format, KernelArgs, print, print_json};
use crate::config::{Config, KernelCase};
use crate::measure;
use crate::record::summary::{Deadline, Distribution, KernelRow, Outcome, Timed};
use crate::report::text::{bytes, count, duration, number, or_unknown, percent};

/// The sweep that runs without `--config`.
const DEFAULT: &str = include_str!("../../../bench-configs/kernels.toml");

/// `shardmark kernel`
pub fn kernel(context: Context, args: KernelArgs) -> Result<(), Failure> {
    let names = measure::names();
    if args.list {
        return print(&(names.join("\n") + "\n"));
    }
    let config = match &args.config {
        Some(path) => Config::load(path, &args.set),
        None => Config::parse(DEFAULT, "kernels.toml", &args.set),
    }
    .map_err(Failure::usage)?;
    let mut cases = select(&config, &args, &names)?;
    cases.sort_by_key(table);
    for case in &cases {
        measure::check_case(case).map_err(|reason| Failure::usage(format!("{}: {reason}", config.name)))?;
    }

    let format = if args.json { Format::Json } else { context.format };
    let total = cases.iter().map(|case| u64::from(case.rounds + case.warmup) * case.backends.len() as u64).sum();
    let mut progress = Progress::new(total);
    let (mut failed, mut measured) = (None, false);
    let mut shown = None;
    for case in &cases {
        if format == Format::Text && shown != Some(table(case)) {
            let title = table(case).title().map(|title| format!("\n{title}\n")).unwrap_or_default();
            progress.suspend(|| print(&(title + &header(context.verbose))))?;
            shown = Some(table(case));
        }
        for &backend in &case.backends {
            progress.message(&format!("{} on {backend}", case.name));
            let threads = case.threads.unwrap_or(config.threads);
            let row = measure::run_case(case, backend, config.seed, threads, &mut || progress.add(1))
                .map_err(Failure::usage)?;
            match row.outcome {
                Outcome::Ok => measured = true,
                Outcome::Failed => failed = failed.or(Some(format!("{} on {backend}", case.name))),
                Outcome::Unavailable => {}
            }
            match format {
                Format::Json => print_json(&row)?,
                Format::Text => {
                    progress.suspend(|| print(&(line(&row, table(case), context.verbose) + &notes(&row))))?
                }
            }
        }
    }
    progress.finish();
    match failed {
        Some(what) => Err(Failure::invalid(format!("{what} gave no correct result"))),
        None if !measured => Err(Failure::infrastructure("no backend that was asked for is available")),
        None => Ok(()),
    }
}

/// The cases that were asked for, with what the command line replaces.
fn select(config: &Config, args: &KernelArgs, names: &[&str]) -> Result<Vec<KernelCase>, Failure> {
    let matches = |filter: &str, name: &str| name == filter || name.split('/').next() == Some(filter);
    for filter in &args.names {
        if !names.iter().any(|name| matches(filter, name)) {
            return Err(Failure::usage(format!("unknown kernel `{filter}`: one of {}", names.join(", "))));
        }
    }
    if config.kernel.is_empty() {
        return Err(Failure::usage(format!("`{}` has no [[kernel]]: run it with `shardmark run`", config.name)));
    }
    let wanted =
        |case: &&KernelCase| args.names.is_empty() || args.names.iter().any(|filter| matches(filter, &case.name));
    let mut cases: Vec<KernelCase> = config.kernel.iter().filter(wanted).cloned().collect();
    if cases.is_empty() {
        return Err(Failure::usage(format!("`{}` has no case of {}", config.name, args.names.join(", "))));
    }
    for case in &mut cases {
        if !args.backend.is_empty() {
            case.backends = args.backend.clone();
        }
        case.rounds = args.rounds.unwrap_or(case.rounds);
    }
    Ok(cases)
}

/// Rows that may be compared with one another. A delay function is sequential: what it takes once, how many run beside each
/// other and what is done for it by others are three different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Plain,
    DelayLatency,
    DelayThroughput,
    DelayService,
}

impl Table {
    fn title(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::DelayLatency => {
                Some("Delay functions, latency: one instance. No backend makes a single chain faster.")
            }
            Self::DelayThroughput => Some(
                "Delay functions, throughput: N independent instances side by side; `batch` counts squarings of all N.",
            ),
            Self::DelayService => Some("Delay functions, service: work for one instance that is no chain."),
        }
    }
}

fn table(case: &KernelCase) -> Table {
    let instances = case.params.get("instances").and_then(toml::Value::as_integer);
    match (case.name.strip_prefix("vdf/"), instances) {
        (None, _) => Table::Plain,
        (Some(_), Some(1)) => Table::DelayLatency,
        (Some(_), Some(_)) => Table::DelayThroughput,
        (Some(_), None) => Table::DelayService,
    }
}

fn header(verbose: bool) -> String {
    let mut line = format!(
        "{:<25}{:<6}{:<9}{:>7}{:>7}{:>5}{:>10}{:>10}{:>10}{:>10}{:>11}{:>13}",
        "kernel", "on", "path", "threads", "batch", "n", "min", "p10", "p50", "p90", "items/s", "data/s"
    );
    if verbose {
        line +=
            &format!("{:>11}{:>11}{:>11}{:>11}{:>13}  params", "prepare", "load", "execute", "output", "with invalid");
    }
    line + "\n"
}

fn line(row: &KernelRow, table: Table, verbose: bool) -> String {
    let backend: Result<BackendId, _> = row.backend.parse();
    let kernel = match row.params.as_ref().map(|params| &params["instances"]) {
        Some(instances) if table == Table::DelayThroughput => format!("{}, N={instances}", row.kernel),
        _ => row.kernel.clone(),
    };
    let name = format!("{kernel:<25}{:<6}", backend.map_or_else(|_| row.backend.clone(), |b| b.to_string()));
    if row.outcome != Outcome::Ok {
        let word = if row.outcome == Outcome::Failed { "FAILED" } else { "unavailable" };
        return format!("{name}{word}: {}\n", row.reason.as_deref().unwrap_or("unknown"));
    }
    let time = |get: fn(&Distribution) -> u64| or_unknown(row.time_ns(), |d| duration(get(d)));
    let median = |d: &Option<Distribution>| or_unknown(d.as_ref(), |d| duration(d.p50));
    let mut line = format!(
        "{name}{:<9}{:>7}{:>7}{:>5}{:>10}{:>10}{:>10}{:>10}{:>11}{:>13}",
        or_unknown(row.path.clone(), |p| p),
        row.threads,
        or_unknown(row.batch, count),
        or_unknown(row.time_ns(), |d| count(d.n)),
        time(|d| d.min),
        time(|d| d.p10),
        time(|d| d.p50),
        time(|d| d.p90),
        or_unknown(row.items_per_s, number),
        or_unknown(row.bytes_per_s, |b| format!("{}/s", bytes(b.round() as u64))),
    );
    if verbose {
        line += &format!(
            "{:>11}{:>11}{:>11}{:>11}{:>13}  {}",
            or_unknown(row.prepare_ns, duration),
            median(&row.load_ns),
            median(&row.execute_ns),
            median(&row.output_ns),
            median(&row.invalid_total_ns),
            row.params.as_ref().map(ToString::to_string).unwrap_or_default(),
        );
    }
    line + "\n"
}

/// Lines under a row, for what its columns do not say.
fn notes(row: &KernelRow) -> String {
    let mut notes = String::new();
    if let (Timed::Execute, Some(own), Some(total)) = (row.timed, &row.execute_ns, &row.total_ns) {
        notes += &format!(
            "  times are of the proof alone: {} of squarings and proof together, whose p50 is {}\n",
            percent(own.p50 as f64 / total.p50.max(1) as f64),
            duration(total.p50),
        );
    }
    if let Some(Deadline { deadline_ns, slowest_ns, margin: Some(margin) }) = row.deadline {
        let left = match margin >= 0.0 {
            true => format!("left {} of", percent(margin)),
            false => format!("is {} too late for", percent(-margin)),
        };
        notes += &format!(
            "  deadline margin alone: the slowest evaluation, {}, {left} the {} until its proof is due; the margin under a \
             loaded pipeline is in the report of `shardmark run` with beacon.blocks above 0\n",
            duration(slowest_ns),
            duration(deadline_ns),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(timed: Timed, deadline: Option<Deadline>) -> KernelRow {
        let times = |p50| serde_json::json!({ "n": 3, "min": p50, "p10": p50, "p50": p50, "p90": p50 });
        let value = serde_json::json!({
            "kernel": "vdf/prove", "job": null, "params": { "instances": 8 }, "backend": "cpu", "threads": 1, "outcome": "ok",
            "execute_ns": times(2_000_000), "total_ns": times(40_000_000), "timed": timed, "deadline": deadline,
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_row_shows_the_kernels_own_time_and_says_so() {
        let proof = row(Timed::Execute, None);
        assert!(line(&proof, Table::DelayService, false).contains(" 2.00 ms "));
        assert!(!line(&proof, Table::DelayService, false).contains("40.0 ms"));
        assert_eq!(
            notes(&proof),
            "  times are of the proof alone: 5.0% of squarings and proof together, whose p50 is 40.0 ms\n"
        );
        let whole = row(Timed::Total, None);
        assert!(line(&whole, Table::DelayThroughput, false).starts_with("vdf/prove, N=8  "));
        assert!(line(&whole, Table::DelayThroughput, false).contains(" 40.0 ms "));
        assert_eq!(notes(&whole), "");
    }

    #[test]
    fn a_deadline_is_met_or_missed_by_the_slowest_evaluation() {
        let note = |deadline_ns, slowest_ns| {
            let margin = crate::record::summary::margin(deadline_ns, slowest_ns);
            notes(&row(Timed::Total, Some(Deadline { deadline_ns, slowest_ns, margin })))
        };
        let met = note(6_000_000_000, 1_500_000_000);
        assert!(met.contains("the slowest evaluation, 1.50 s, left 75.0% of the 6.00 s until"), "{met}");
        assert!(met.contains("`shardmark run` with beacon.blocks above 0"), "{met}");
        let missed = note(1_000_000_000, 1_500_000_000);
        assert!(missed.contains("the slowest evaluation, 1.50 s, is 50.0% too late for the 1.00 s until"), "{missed}");
    }
}
