//! From a configuration to what will run, in order; and the list of all kernels.
//!
//! A plan is made before anything starts, so `--dry-run` prints exactly what would run, and a backend that is missing is
//! known before the first process exists.

use std::fmt;

use shardmark_kernels::backend::{BackendId, Description, Kernel, Options, Unavailable};
use shardmark_kernels::{bls, erasure, secp256k1, vdf};

use crate::config::{Backends, Carrier, Config, Family, Faults, Matrix, Network, Order, WorkloadKind, percent};
use crate::record::{Cell, Variant};

/// Something that is done for each kernel, whatever its types.
pub trait KernelVisitor {
    /// Called once for each kernel.
    fn visit<K: Kernel>(&mut self);
}

/// Every kernel: the only list of them in the harness.
pub fn visit_kernels(visitor: &mut impl KernelVisitor) {
    visitor.visit::<bls::AggregateKeys>();
    visitor.visit::<bls::AggregateSignatures>();
    visitor.visit::<bls::VerifyBatch>();
    visitor.visit::<vdf::Evaluate>();
    visitor.visit::<vdf::Prove>();
    visitor.visit::<vdf::Verify>();
    visitor.visit::<vdf::Discriminant>();
    visitor.visit::<vdf::RsaSquare>();
    visitor.visit::<erasure::Encode>();
    visitor.visit::<erasure::Reconstruct>();
    visitor.visit::<erasure::Disperse>();
    visitor.visit::<erasure::Retrieve>();
    visitor.visit::<secp256k1::Recover>();
}

/// Whether a kernel can be opened on a backend of this host.
#[derive(Clone, Debug, PartialEq)]
pub struct Availability {
    /// Kernel.
    pub kernel: &'static str,
    /// Backend.
    pub backend: BackendId,
    /// What would run, or why nothing can.
    pub outcome: Result<Description, Unavailable>,
}

/// Every kernel on every backend.
pub fn availability(options: &Options) -> Vec<Availability> {
    struct Rows<'a>(&'a Options, Vec<Availability>);
    impl KernelVisitor for Rows<'_> {
        fn visit<K: Kernel>(&mut self) {
            for backend in BackendId::ALL {
                let outcome = K::open(backend, self.0).map(|opened| opened.description());
                self.1.push(Availability { kernel: K::NAME, backend, outcome });
            }
        }
    }
    let mut rows = Rows(options, Vec::new());
    visit_kernels(&mut rows);
    rows.1
}

/// One pipeline run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The configuration with this run's place in the matrix and without the matrix.
    pub config: Config,
    /// Its place in the matrix; `None` for a single run.
    pub cell: Option<Cell>,
    /// Why it does not run: a row of the report instead of a run.
    pub unavailable: Option<String>,
}

/// What will run, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One for a single run, combinations x repeats for a matrix.
    pub runs: Vec<Run>,
    /// Whether the configuration has a matrix.
    pub matrix: bool,
}

/// Plans a pipeline. `rows` is [`availability`] of this host.
///
/// # Errors
///
/// A file that describes a kernel sweep instead.
pub fn plan(config: &Config, rows: &[Availability]) -> Result<Plan, String> {
    if !config.kernel.is_empty() {
        return Err(format!("`{}` is a kernel sweep: run it with `shardmark kernel --config`", config.name));
    }
    let Some(matrix) = &config.matrix else {
        let unavailable = missing(config, rows);
        return Ok(Plan { runs: vec![Run { config: config.clone(), cell: None, unavailable }], matrix: false });
    };
    let mut runs = Vec::new();
    for repeat in 0..matrix.repeats {
        let mut order = combinations(config, matrix);
        if matrix.order == Order::Abba && repeat % 2 == 1 {
            order.reverse();
        }
        for (config, variant) in order {
            let unavailable = pointless(&config).or_else(|| missing(&config, rows));
            let cell = Cell { index: runs.len() as u32, repeat, backend: config.backend, variant };
            runs.push(Run { config, cell: Some(cell), unavailable });
        }
    }
    Ok(Plan { runs, matrix: true })
}

/// Every combination of what a matrix lists. What is compared most runs next to each other: backends, then codes.
fn combinations(config: &Config, matrix: &Matrix) -> Vec<(Config, Option<Variant>)> {
    fn axis<T: Clone>(listed: &[T], own: T) -> Vec<T> {
        if listed.is_empty() { vec![own] } else { listed.to_vec() }
    }
    let backends = axis::<Backends>(&matrix.backends, config.backend);
    let codes = axis::<Carrier>(&matrix.codes, config.carrier());
    let losses = axis::<f64>(&matrix.loss, config.network.loss);
    let faults = axis::<Faults>(&matrix.faults, config.faults);
    let varied = !(matrix.codes.is_empty() && matrix.loss.is_empty() && matrix.faults.is_empty());
    let mut all = Vec::new();
    for &loss in &losses {
        for &faults in &faults {
            for &code in &codes {
                for &backend in &backends {
                    let network = Network { loss, ..config.network.clone() };
                    let cell = Config { backend, network, faults, matrix: None, ..config.clone() };
                    let variant = Variant { code: code.to_string(), loss: percent(loss), faults: faults.to_string() };
                    all.push((cell.carried_by(code), varied.then_some(variant)));
                }
            }
        }
    }
    all
}

/// A combination that would measure another one again.
fn pointless(config: &Config) -> Option<String> {
    let alike = config.carrier() == Carrier::WholeBlock && !config.faults.is_none();
    alike.then(|| "whole-block broadcast has no relays: the run without faulty ones stands for it".to_owned())
}

impl Run {
    /// Name of its folder inside a matrix's: `00-cpu`, or `00-rs-vandermonde-loss-5-1-silent`.
    pub fn folder(&self) -> Option<String> {
        let cell = self.cell.as_ref()?;
        let place = match &cell.variant {
            None => cell.backend.label(),
            Some(Variant { code, loss, faults }) => format!("{code} loss {loss} {faults}"),
        };
        let words = place.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        Some(format!("{:02}-{}", cell.index, words.collect::<Vec<_>>().join("-")))
    }
}

/// The first kernel that this pipeline needs and its backend lacks.
fn missing(config: &Config, rows: &[Availability]) -> Option<String> {
    rows.iter().find_map(|row| {
        let family = needed(config).into_iter().find(|family| {
            row.kernel.split('/').next() == Some(family.name()) && config.backend.of(*family) == row.backend
        })?;
        let reason = row.outcome.as_ref().err()?;
        Some(format!("backend `{}` of `{}`: {} is unavailable: {reason}", row.backend, family.name(), row.kernel))
    })
}

/// The families whose kernels a pipeline calls.
fn needed(config: &Config) -> Vec<Family> {
    Family::ALL
        .into_iter()
        .filter(|family| match family {
            Family::Bls => true,
            Family::Vdf => config.beacon.blocks > 0,
            Family::Erasure => config.carrier() != Carrier::WholeBlock,
            Family::Secp256k1 => config.workload.kind == WorkloadKind::Transfers,
        })
        .collect()
}

/// What `--dry-run` prints.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.runs.iter().enumerate() {
            let Config { name, seed, cluster, load, backend, network, faults, .. } = &run.config;
            let chunks = run.config.chunks();
            write!(
                f,
                "{i:>3}  {name}  backend {backend}  seed {seed}  {} validators x {} keys  {} {}+{} chunks  \
                 {} tx/s for {} (warm-up {}, drain {})",
                cluster.validators,
                cluster.keys_per_validator,
                run.config.carrier(),
                chunks.data,
                chunks.parity,
                load.rate,
                load.duration,
                load.warmup,
                load.drain,
            )?;
            if !network.is_plain() {
                write!(f, "  network {network}")?;
            }
            if !faults.is_none() {
                write!(f, "  faulty relays {faults}")?;
            }
            match &run.unavailable {
                Some(reason) => writeln!(f, "  NOT RUN: {reason}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[&str]) -> Config {
        let settings: Vec<String> = settings.iter().map(|&s| s.to_owned()).collect();
        Config::parse("schema = 1\nname = \"t\"", "t.toml", &settings).unwrap()
    }

    fn rows() -> Vec<Availability> {
        let description = |backend| Description {
            backend,
            path: "scalar".into(),
            device: "cpu".into(),
            build: String::new(),
            threads: 1,
            software_adapter: false,
        };
        let mut rows = Vec::new();
        for kernel in ["bls/verify-batch", "vdf/evaluate", "erasure/encode", "secp256k1/recover"] {
            for backend in BackendId::ALL {
                let there = backend == BackendId::Cpu || (backend == BackendId::Simd && kernel == "bls/verify-batch");
                let outcome = if there { Ok(description(backend)) } else { Err(Unavailable::NotImplemented) };
                rows.push(Availability { kernel, backend, outcome });
            }
        }
        rows
    }

    fn order(settings: &[&str]) -> String {
        let plan = plan(&config(settings), &rows()).unwrap();
        plan.runs.iter().map(|run| run.config.backend.to_string().remove(0)).collect()
    }

    #[test]
    fn every_other_repeat_runs_in_reverse() {
        let matrix = |rest: &str| format!("matrix={{ backends = [\"cpu\", \"simd\", \"wgpu\"], {rest} }}");
        assert_eq!(order(&[&matrix("repeats = 3")]), "cswwsccsw");
        assert_eq!(order(&[&matrix("repeats = 2, order = \"sequential\"")]), "cswcsw");
        assert_eq!(order(&[]), "c");
    }

    #[test]
    fn an_unavailable_backend_is_a_row_with_its_reason() {
        let plan = plan(&config(&["matrix={ backends = [\"cpu\", \"simd\"] }"]), &rows()).unwrap();
        assert_eq!(plan.runs[0].unavailable, None);
        let reason = plan.runs[1].unavailable.clone().unwrap();
        assert_eq!(reason, "backend `simd` of `erasure`: erasure/encode is unavailable: not implemented");
        assert!(plan.to_string().contains("NOT RUN: backend `simd`"));
        assert_eq!(plan.runs[1].folder().unwrap(), "01-simd");
        assert!(plan.runs.iter().all(|run| run.config.matrix.is_none() && run.config.seed == 0));
    }

    #[test]
    fn a_cell_may_choose_the_backend_of_one_family() {
        let plan = plan(&config(&["matrix={ backends = [\"cpu\", { bls = \"simd\" }] }"]), &rows()).unwrap();
        assert_eq!(plan.runs[1].unavailable, None);
        assert_eq!(plan.runs[1].folder().unwrap(), "01-bls-simd");
        assert_eq!(plan.runs[1].config.backend.to_string(), "bls=simd vdf=cpu erasure=cpu secp256k1=cpu");
    }

    #[test]
    fn every_combination_of_codes_loss_and_faults_is_a_run_and_whole_blocks_with_faults_a_row() {
        let axes = "codes = [\"whole-block\", \"rs-vandermonde\"], loss = [0.0, 0.05], \
                    faults = [{}, { silent_relays = 1 }]";
        let settings = ["propagation.data_chunks=2", "propagation.parity_chunks=2"];
        let matrix = format!("matrix={{ {axes}, repeats = 2 }}");
        let plan = plan(&config(&[settings[0], settings[1], &matrix]), &rows()).unwrap();
        assert_eq!(plan.runs.len(), 16);
        let folders: Vec<String> = plan.runs[..8].iter().map(|run| run.folder().unwrap()).collect();
        assert_eq!(folders[0], "00-whole-block-loss-0-none");
        assert_eq!(folders[5], "05-rs-vandermonde-loss-5-none");
        assert_eq!(folders[7], "07-rs-vandermonde-loss-5-1-silent");
        for (i, run) in plan.runs.iter().enumerate() {
            let whole = run.config.carrier() == Carrier::WholeBlock;
            assert_eq!(run.unavailable.is_some(), whole && !run.config.faults.is_none(), "{i}");
            assert_eq!(run.config.propagation.data_chunks, (!whole).then_some(2), "{i}");
            run.config.check().unwrap();
        }
        assert!(plan.runs[2].unavailable.as_ref().unwrap().contains("no relays"));
        let last = &plan.runs[8].config;
        assert_eq!(
            (last.carrier(), last.network.loss, last.faults.silent_relays),
            (plan.runs[7].config.carrier(), 0.05, 1)
        );
        assert!(plan.to_string().contains("rs-vandermonde 2+2 chunks"));
        assert!(plan.to_string().contains("network 5% of datagrams lost  faulty relays 1 silent"));
    }

    #[test]
    fn kernels_that_a_pipeline_does_not_call_may_be_missing() {
        let missing = |settings: &[&str]| plan(&config(settings), &rows()).unwrap().runs[0].unavailable.clone();
        assert_eq!(missing(&["backend={ bls = \"simd\" }"]), None);
        assert_eq!(missing(&["backend={ vdf = \"cuda\" }"]), None);
        assert!(missing(&["backend={ vdf = \"cuda\" }", "beacon.blocks=6"]).unwrap().contains("vdf/evaluate"));
        assert_eq!(missing(&["backend={ secp256k1 = \"cuda\" }", "workload.kind=opaque"]), None);
        assert_eq!(missing(&["backend={ erasure = \"cuda\" }", "propagation.mode=whole-block"]), None);
    }

    #[test]
    fn a_kernel_sweep_is_no_pipeline() {
        let sweep = config(&["kernel=[{ name = \"bls/verify-batch\", params = {} }]"]);
        assert!(plan(&sweep, &rows()).unwrap_err().contains("kernel sweep"));
    }

    #[test]
    fn every_kernel_has_a_row_on_every_backend_and_cpu_is_there() {
        let rows = availability(&Options::default());
        assert_eq!(rows.len() % BackendId::ALL.len(), 0);
        for row in rows {
            if row.backend == BackendId::Cpu {
                let description = row.outcome.unwrap_or_else(|reason| panic!("{}: {reason}", row.kernel));
                assert_eq!(description.backend, BackendId::Cpu);
            }
            assert!(Family::ALL.iter().any(|family| row.kernel.starts_with(family.name())), "{}", row.kernel);
        }
    }
}
