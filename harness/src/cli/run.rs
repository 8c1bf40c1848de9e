//! `run`: from a configuration to bundles and reports, through a launcher that starts the validators.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shardmark_kernels::backend::{Control, Error, Options};

use super::inspect::grade;
use super::progress::Progress;
use super::{Context, Failure, Format, RunArgs, print, print_json};
use crate::cluster::{Usage, local};
use crate::config::Config;
use crate::environment;
use crate::measure;
use crate::node::setup::delay_function;
use crate::plan::{Plan, Run, availability, plan};
use crate::record::bundle::{SCHEMA, prepare_folder};
use crate::record::matrix::Matrix;
use crate::record::{Bundle, DelayAlone, Grade, Manifest, Summary};
use crate::report;

/// How a launched run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Load and drain are over.
    Complete,
    /// The user stopped it; what was measured is in the bundle.
    Interrupted,
}

/// Runs the validators of one plan entry and waits for them. Nodes write their events and histograms into the bundle's
/// folder. What was measured is reported even after a failure.
pub type Launch<'a> = &'a mut dyn FnMut(&Run, &Bundle) -> Result<Ended, Failure>;

/// `shardmark run`
pub fn run(context: Context, args: RunArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config, &args.set).map_err(Failure::usage)?;
    let options = Options { threads: config.threads, ..Options::default() };
    let plan = plan(&config, &availability(&options)).map_err(Failure::usage)?;
    if args.dry_run {
        return print(&plan.to_string());
    }
    if let Some(reason) = plan.runs.iter().find_map(|run| run.unavailable.as_ref()).filter(|_| !plan.matrix) {
        return Err(Failure::infrastructure(reason));
    }
    let out = args.out.unwrap_or_else(|| PathBuf::from("results").join(format!("{}-{}", config.name, compact(now()))));
    prepare_folder(&out).map_err(Failure::usage)?;
    execute(context, &config, &plan, &out, &mut launch)
}

/// Runs the validators of one plan entry as processes of this machine.
fn launch(run: &Run, bundle: &Bundle) -> Result<Ended, Failure> {
    // Keys and journals: readable by this user only, gone when the run is over.
    let private = tempfile::tempdir().map_err(Failure::infrastructure)?;
    delay_alone(&run.config, bundle)?;
    let mut follow = Follow(None);
    let ended = local::run(&run.config, bundle.path(), private.path(), interrupt()?, &mut follow);
    follow.finish();
    let ended = ended.map_err(|error| match error.downcast_ref::<Usage>() {
        Some(usage) => Failure::usage(usage),
        None => Failure::infrastructure(format!("{error:#}")),
    })?;
    match ended.failures.is_empty() {
        false => Err(Failure::infrastructure(ended.failures.join("; "))),
        true if ended.interrupted => Ok(Ended::Interrupted),
        true => Ok(Ended::Complete),
    }
}

/// Measures the delay function with nothing beside it, for the margin that the run's load is compared with.
fn delay_alone(config: &Config, bundle: &Bundle) -> Result<(), Failure> {
    let Some(function) = delay_function(config).map_err(|error| Failure::infrastructure(format!("{error:#}")))? else {
        return Ok(());
    };
    let interrupt = interrupt()?;
    eprintln!("evaluating the delay function alone");
    let mut progress = Progress::new(PARTS);
    progress.message("delay function alone");
    let control = Control::default();
    let alone = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| measure::delay_alone(&function, config.seed, &control));
        while !measuring.is_finished() {
            if interrupt.load(Relaxed) {
                control.cancel();
            }
            let (done, total) = control.progress();
            progress.set((u128::from(done) * u128::from(PARTS) / u128::from(total.max(1))) as u64);
            std::thread::sleep(Duration::from_millis(20));
        }
        measuring.join()
    });
    progress.finish();
    match alone {
        Ok(Ok(alone)) => bundle.write_json(DelayAlone::FILE, &alone).map_err(Failure::infrastructure),
        Ok(Err(Error::Cancelled)) => Err(Failure::infrastructure("interrupted before the run began")),
        Ok(Err(error)) => Err(Failure::infrastructure(format!("the delay function alone: {error}"))),
        Err(_) => Err(Failure::infrastructure("the delay function alone: it panicked")),
    }
}

/// Steps of a progress bar over a computation whose own steps are known only once it runs.
const PARTS: u64 = 1000;

/// Set by Ctrl-C and by a request to terminate; the first one ends the run in order.
fn interrupt() -> Result<&'static AtomicBool, Failure> {
    static FLAG: AtomicBool = AtomicBool::new(false);
    static HANDLER: OnceLock<Result<(), String>> = OnceLock::new();
    let handler = HANDLER.get_or_init(|| ctrlc::set_handler(|| FLAG.store(true, Relaxed)).map_err(|e| e.to_string()));
    handler.clone().map_err(Failure::infrastructure)?;
    Ok(&FLAG)
}

/// Shows a run's progress once it has begun, and stages before that.
struct Follow(Option<Progress>);

impl Follow {
    fn finish(&self) {
        if let Some(progress) = &self.0 {
            progress.finish();
        }
    }
}

impl local::Progress for Follow {
    fn stage(&mut self, text: &str) {
        match &self.0 {
            Some(progress) => progress.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn running(&mut self, at: Duration, planned: Duration, nodes: &[local::NodeProgress]) {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let progress = self.0.get_or_insert_with(|| Progress::new(millis(planned)));
        let height = nodes.iter().map(|node| node.block_num).min().unwrap_or(0);
        let sum = |f: fn(&local::NodeProgress) -> u64| nodes.iter().map(f).sum::<u64>();
        let views = nodes.iter().map(|node| node.view_changes).max().unwrap_or(0);
        let (finalized, due) = (sum(|node| node.finalized), sum(|node| node.due));
        progress.message(&format!("block {height}, {finalized} of {due} transactions final, {views} view changes"));
        progress.set(millis(at));
    }
}

/// Runs a plan into an empty folder and reports.
///
/// # Errors
///
/// The launcher's failure, after the report of what was measured; [`Failure::invalid`] if a run is invalid.
pub fn execute(context: Context, config: &Config, plan: &Plan, out: &Path, launch: Launch<'_>) -> Result<(), Failure> {
    if plan.matrix {
        Matrix::of(&config.name, plan).write(out).map_err(Failure::infrastructure)?;
    }
    let mut invalid = Vec::new();
    let mut stopped = Ok(());
    for run in &plan.runs {
        let folder = run.folder().map_or_else(|| out.to_owned(), |name| out.join(name));
        if let Some(reason) = &run.unavailable {
            eprintln!("{}: {reason}", folder.display());
            continue;
        }
        let bundle = Bundle::create(&folder, &manifest(run)).map_err(Failure::infrastructure)?;
        let probe = environment::probe();
        bundle.write_json(&probe.file_name(), &probe).map_err(Failure::infrastructure)?;
        let ended = launch(run, &bundle);
        let summary = report::write(&bundle).map_err(Failure::infrastructure);
        stopped = match (ended, &summary) {
            (Err(failure), _) => Err(failure),
            (_, Err(failure)) => Err(failure.clone()),
            (Ok(Ended::Interrupted), _) => {
                Err(Failure::infrastructure(format!("interrupted: what was measured is in {}", folder.display())))
            }
            (Ok(Ended::Complete), _) => Ok(()),
        };
        if let Ok(summary) = summary {
            tell(context, &summary, &folder)?;
            if summary.quality.grade == Grade::Invalid {
                let reasons = summary.quality.reasons.into_iter().filter(|reason| reason.grade == Grade::Invalid);
                invalid.extend(reasons.map(|reason| reason.reason));
            }
        }
        if stopped.is_err() {
            break;
        }
    }
    if plan.matrix {
        report::matrix::write(out).map_err(Failure::infrastructure)?;
        if context.format == Format::Text {
            print(&format!("{}\n", out.join("report.html").display()))?;
        }
    }
    stopped?;
    match invalid.is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid(format!("the run is invalid: {}", invalid.join("; ")))),
    }
}

fn tell(context: Context, summary: &Summary, folder: &Path) -> Result<(), Failure> {
    if context.format == Format::Json {
        return print_json(summary);
    }
    let page = std::fs::read_to_string(folder.join("report.md")).unwrap_or_default();
    let verdict = page.lines().skip(1).filter(|line| !line.is_empty()).nth(1).unwrap_or_default();
    let report = folder.join("report.html");
    print(&format!("grade {}: {verdict}\n{}\n", grade(summary.quality.grade), report.display()))
}

fn manifest(run: &Run) -> Manifest {
    Manifest {
        schema: SCHEMA,
        tool: concat!("shardmark ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: rfc3339(now()),
        command: std::env::args().collect(),
        config_hash: run.config.hash(),
        seed: run.config.seed,
        config: run.config.clone(),
        build: environment::build(),
        binary_hash: environment::binary_hash(),
        cell: run.cell.clone(),
    }
}

/// Seconds since 1970, UTC.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// `2026-01-02T03:04:05Z`
fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20260102T030405Z`
fn compact(seconds: u64) -> String {
    rfc3339(seconds).replace(['-', ':'], "")
}

/// Year, month and day of a day since 1970. Source: Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `civil_from_days`, for days from 1970 on.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Code;
    use crate::report::golden;

    const CONTEXT: Context = Context { format: Format::Text, verbose: false };

    fn config(settings: &[&str]) -> Config {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        Config::parse("schema = 1\nname = \"golden\"", "t.toml", &settings).unwrap()
    }

    /// A launcher whose nodes leave the committed run's recordings.
    fn recorded(_: &Run, bundle: &Bundle) -> Result<Ended, Failure> {
        let source = tempfile::tempdir().unwrap();
        golden::bundle(source.path());
        for sub in ["events", "hist"] {
            for entry in std::fs::read_dir(source.path().join(sub)).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, bundle.path().join(sub).join(path.file_name().unwrap())).unwrap();
            }
        }
        Ok(Ended::Complete)
    }

    fn execute_with(settings: &[&str], out: &Path, launch: Launch<'_>) -> Result<(), Failure> {
        let config = config(settings);
        let plan = plan(&config, &availability(&Options::default())).unwrap();
        execute(CONTEXT, &config, &plan, out, launch)
    }

    #[test]
    fn a_run_leaves_a_sealed_bundle_that_checks() {
        let out = tempfile::tempdir().unwrap();
        execute_with(&[], out.path(), &mut recorded).unwrap();
        for name in ["manifest.json", "config.toml", "summary.json", "report.md", "report.html", "checksums.txt"] {
            assert!(out.path().join(name).is_file(), "{name}");
        }
        assert_eq!(report::check::check(out.path()).1, Vec::<String>::new());
    }

    #[test]
    fn a_run_without_blocks_is_invalid_and_keeps_its_bundle() {
        let out = tempfile::tempdir().unwrap();
        let failure = execute_with(&[], out.path(), &mut |_, _| Ok(Ended::Complete)).unwrap_err();
        assert_eq!(failure.code, Code::Invalid);
        assert!(failure.message.contains("no block became final"), "{failure}");
        assert!(out.path().join("report.html").is_file());
    }

    #[test]
    fn a_failed_launch_keeps_what_was_measured() {
        let out = tempfile::tempdir().unwrap();
        let mut launch = |run: &Run, bundle: &Bundle| {
            recorded(run, bundle)?;
            Err(Failure::infrastructure("node 2 cannot bind its port"))
        };
        let failure = execute_with(&[], out.path(), &mut launch).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::Infrastructure, "node 2 cannot bind its port"));
        assert!(out.path().join("summary.json").is_file());
        let interrupted = tempfile::tempdir().unwrap();
        let mut launch = |run: &Run, bundle: &Bundle| recorded(run, bundle).map(|_| Ended::Interrupted);
        let failure = execute_with(&[], interrupted.path(), &mut launch).unwrap_err();
        assert!(failure.message.starts_with("interrupted"));
    }

    #[test]
    fn a_matrix_runs_what_it_can_and_names_what_it_cannot() {
        let out = tempfile::tempdir().unwrap();
        let mut order = Vec::new();
        let mut launch = |run: &Run, bundle: &Bundle| {
            order.push(run.folder().unwrap());
            recorded(run, bundle)
        };
        let matrix = "matrix={ backends = [\"cpu\", \"wgpu\"], repeats = 2 }";
        execute_with(&[matrix], out.path(), &mut launch).unwrap();
        // wgpu has no kernel of every family.
        assert_eq!(order, ["00-cpu", "03-cpu"]);
        let page = std::fs::read_to_string(out.path().join("report.md")).unwrap();
        assert!(page.contains("wgpu could not run: backend `wgpu` of `bls`"), "{page}");
        assert!(page.contains("| 03-cpu | cpu | 1 |"), "{page}");
        assert_eq!(report::check::check(out.path()).1, Vec::<String>::new());
        report::matrix::write(out.path()).unwrap();
    }

    #[test]
    fn a_matrix_over_codes_shows_times_reasons_and_runs_that_came_to_nothing() {
        let out = tempfile::tempdir().unwrap();
        let mut launch = |run: &Run, bundle: &Bundle| match run.config.propagation.code.name() {
            "rs-fft16" => Ok(Ended::Complete),
            _ => recorded(run, bundle),
        };
        let matrix =
            "matrix={ codes = [\"whole-block\", \"rs-fft8\", \"rs-fft16\"], faults = [{}, { silent_relays = 1 }] }";
        let failure = execute_with(&[matrix], out.path(), &mut launch).unwrap_err();
        assert_eq!(failure.code, Code::Invalid);
        let page = std::fs::read_to_string(out.path().join("report.md")).unwrap();
        for line in [
            "With 0% loss the median block is verified after 31.0 ms (99%: 95.0 ms) with rs-fft8, and after 31.0 ms",
            "## Time to a verified block, 0% of datagrams lost",
            "- rs-fft8, 1 silent: ",
            "| rs-fft16 | 0% | none | invalid: no block became final | – |",
            "| whole-block | 0% | 1 silent | whole-block broadcast has no relays: the run without faulty ones",
            "| 01-rs-fft8-loss-0-none | cpu | 0 |",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        let row = |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap();
        let all = "| 10 | 19.5 KiB | 30 | 31.0 ms | 95.0 ms | 95.0 ms | 95.0 ms | 0 | 1 |";
        assert!(row("| whole-block | 0% | none |").ends_with(all), "{page}");
        assert!(row("| rs-fft8 | 0% | none |").ends_with(all), "{page}");
        // Without the silent relay's own times.
        assert!(!row("| rs-fft8 | 0% | 1 silent |").contains("| 30 |"), "{page}");
    }

    #[test]
    fn days_have_their_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), date);
        }
        assert_eq!(compact(0), "19700101T000000Z");
    }
}
