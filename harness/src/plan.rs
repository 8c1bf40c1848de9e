//! From a configuration to what will run, in order; and the list of all kernels.
//!
//! A plan is made before anything starts, so `--dry-run` prints exactly what would run, and a backend that is missing is
//! known before the first process exists.

use std::fmt;

use shardmark_kernels::backend::{BackendId, Description, Kernel, Options, Unavailable};
use shardmark_kernels::{bls, erasure, secp256k1, vdf};

use crate::config::{Config, Family, Order, PropagationMode, WorkloadKind};
use crate::record::Cell;

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
    visitor.visit::<vdf::Verify>();
    visitor.visit::<vdf::Discriminant>();
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
    /// The configuration with this run's backends and without its matrix.
    pub config: Config,
    /// Its place in the matrix; `None` for a single run.
    pub cell: Option<Cell>,
    /// Why it cannot run here: a row of the report instead of a run.
    pub unavailable: Option<String>,
}

/// What will run, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One for a single run, backends x repeats for a matrix.
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
        let mut order = matrix.backends.clone();
        if matrix.order == Order::Abba && repeat % 2 == 1 {
            order.reverse();
        }
        for backend in order {
            let config = Config { backend, matrix: None, ..config.clone() };
            let unavailable = missing(&config, rows);
            runs.push(Run { config, cell: Some(Cell { index: runs.len() as u32, repeat, backend }), unavailable });
        }
    }
    Ok(Plan { runs, matrix: true })
}

impl Run {
    /// Name of its folder inside a matrix's: `00-cpu`.
    pub fn folder(&self) -> Option<String> {
        self.cell.as_ref().map(|cell| format!("{:02}-{}", cell.index, cell.backend.label()))
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
            Family::Erasure => config.propagation.mode == PropagationMode::Chunks,
            Family::Secp256k1 => config.workload.kind == WorkloadKind::Transfers,
        })
        .collect()
}

/// What `--dry-run` prints.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.runs.iter().enumerate() {
            let Config { name, seed, cluster, load, backend, .. } = &run.config;
            let chunks = run.config.chunks();
            write!(
                f,
                "{i:>3}  {name}  backend {backend}  seed {seed}  {} validators x {} keys  {}+{} chunks  \
                 {} tx/s for {} (warm-up {}, drain {})",
                cluster.validators,
                cluster.keys_per_validator,
                chunks.data,
                chunks.parity,
                load.rate,
                load.duration,
                load.warmup,
                load.drain,
            )?;
            match &run.unavailable {
                Some(reason) => writeln!(f, "  UNAVAILABLE {reason}")?,
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
        assert!(plan.to_string().contains("UNAVAILABLE backend `simd`"));
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
