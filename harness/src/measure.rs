//! The only timed loop for kernels.
//!
//! Each iteration has its own input. It is timed twice: in the three steps of a session (load, execute, output), and
//! bytes-in to verdict-out as a validator waits for it (total); which comes first alternates, since the second finds warm
//! caches. Both outputs are checked outside the clock. In verdict kernels the iterations that carry an invalid item are
//! timed apart: a backend that always says yes fails, and bisection does not blur the common case.

use std::time::{Duration, Instant};

use rand::Rng;
use shardmark_kernels::backend::{
    Backend, BackendId, Control, Description, Error, Kernel, Options, Prepared, Work, carries_invalid, generator,
};

use crate::beacon::DelayFunction;
use crate::config::KernelCase;
use crate::plan::{KernelVisitor, visit_kernels};
use crate::record::DelayAlone;
use crate::record::summary::{Deadline, Distribution, KernelRow, Outcome, Timed, margin};
use crate::types::Hash;

/// What one case of one kernel on one backend took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Setup, once.
    pub prepare_ns: u64,
    /// Decoding each input.
    pub load_ns: Vec<u64>,
    /// The work alone.
    pub execute_ns: Vec<u64>,
    /// Encoding each output.
    pub output_ns: Vec<u64>,
    /// Bytes in to verdict out.
    pub total_ns: Vec<u64>,
    /// The same for iterations that carry an invalid item.
    pub invalid_total_ns: Vec<u64>,
    /// The way that the backend took, if it chooses by the input's shape.
    pub path: Option<&'static str>,
}

/// How a case is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Repetition {
    /// Seed of setup and inputs.
    pub seed: u64,
    /// Timed iterations.
    pub rounds: u32,
    /// Untimed ones before those; their outputs are checked too.
    pub warmup: u32,
}

/// Times one backend. `progress` is called after each iteration.
///
/// # Errors
///
/// The reason why a result is missing or wrong, with its iteration: nothing of such a case is reported.
pub fn measure<K: Kernel>(
    backend: &dyn Backend<K>,
    params: &K::Params,
    repetition: Repetition,
    progress: &mut dyn FnMut(),
) -> Result<Samples, String> {
    let Repetition { seed, rounds, warmup } = repetition;
    let setup = K::setup(params, seed);
    let start = Instant::now();
    let prepared = backend.prepare(&setup).map_err(|error| format!("prepare: {error}"))?;
    let mut samples = Samples { prepare_ns: ns(start.elapsed()), ..Samples::default() };
    for iteration in 0..u64::from(warmup) + u64::from(rounds) {
        let input = K::generate(params, &setup, seed, iteration);
        let one = iterate::<K>(&*prepared, &setup, &input, iteration % 2 == 0)
            .map_err(|reason| format!("iteration {iteration}: {reason}"))?;
        progress();
        if iteration < u64::from(warmup) {
            continue;
        }
        if K::VERDICT && carries_invalid(seed, iteration) {
            samples.invalid_total_ns.push(one.total_ns);
            continue;
        }
        samples.path = one.path;
        samples.load_ns.push(one.load_ns);
        samples.execute_ns.push(one.execute_ns);
        samples.output_ns.push(one.output_ns);
        samples.total_ns.push(one.total_ns);
    }
    Ok(samples)
}

#[derive(Default)]
struct Iteration {
    load_ns: u64,
    execute_ns: u64,
    output_ns: u64,
    total_ns: u64,
    path: Option<&'static str>,
}

fn iterate<K: Kernel>(
    prepared: &dyn Prepared<K>,
    setup: &K::Setup,
    input: &K::Input,
    steps_first: bool,
) -> Result<Iteration, String> {
    let control = Control::default();
    let mut times = Iteration::default();
    for steps in [steps_first, !steps_first] {
        let output = if steps {
            let start = Instant::now();
            let mut session = prepared.load(input).map_err(|error| format!("load: {error}"))?;
            let loaded = Instant::now();
            session.execute(&control).map_err(|error| format!("execute: {error}"))?;
            let executed = Instant::now();
            times.path = session.path();
            let output = session.output().map_err(|error| format!("output: {error}"))?;
            let done = Instant::now();
            times.load_ns = ns(loaded - start);
            times.execute_ns = ns(executed - loaded);
            times.output_ns = ns(done - executed);
            output
        } else {
            let start = Instant::now();
            let output = prepared.compute(input, &control).map_err(|error| format!("compute: {error}"))?;
            times.total_ns = ns(start.elapsed());
            output
        };
        K::check(setup, input, &output).map_err(|mismatch| format!("wrong output: {mismatch}"))?;
    }
    Ok(times)
}

/// Times one evaluation of a delay function and one verification of its proof, on the caller's thread, as a validator
/// does beside consensus. `seed` gives the delay function's.
///
/// # Errors
///
/// [`Error::Cancelled`]; [`Error::InvalidInput`] for a size that no discriminant has, or a proof that does not verify.
pub fn delay_alone(function: &DelayFunction, seed: u64, control: &Control) -> Result<DelayAlone, Error> {
    let mut input = Hash::default();
    generator("vdf alone", seed, 0).fill_bytes(&mut input.0);
    let start = Instant::now();
    let proof = function.evaluate(&input, control)?;
    let evaluated = Instant::now();
    let verdict = function.verify(&input, &proof);
    let verified = Instant::now();
    verdict.map_err(|refusal| Error::InvalidInput(format!("an evaluation's proof is refused: {refusal}")))?;
    Ok(DelayAlone { evaluate_ns: ns(evaluated - start), verify_ns: ns(verified - evaluated) })
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs one case on one backend. Every outcome is a row.
///
/// # Errors
///
/// A case that no backend could run: an unknown kernel, or parameters that the kernel refuses.
pub fn run_case(
    case: &KernelCase,
    backend: BackendId,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(),
) -> Result<KernelRow, String> {
    struct Runner<'a> {
        case: &'a KernelCase,
        backend: BackendId,
        seed: u64,
        threads: usize,
        progress: &'a mut dyn FnMut(),
        row: Option<Result<KernelRow, String>>,
    }
    impl KernelVisitor for Runner<'_> {
        fn visit<K: Kernel>(&mut self) {
            if K::NAME == self.case.name {
                self.row = Some(row::<K>(self.case, self.backend, self.seed, self.threads, self.progress));
            }
        }
    }
    let mut runner = Runner { case, backend, seed, threads, progress, row: None };
    visit_kernels(&mut runner);
    runner.row.unwrap_or_else(|| Err(format!("unknown kernel `{}`: one of {}", case.name, names().join(", "))))
}

/// Every kernel's name.
pub fn names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl KernelVisitor for Names {
        fn visit<K: Kernel>(&mut self) {
            self.0.push(K::NAME);
        }
    }
    let mut names = Names(Vec::new());
    visit_kernels(&mut names);
    names.0
}

/// Whether a kernel accepts a case's parameters.
///
/// # Errors
///
/// As [`run_case`], before anything runs.
pub fn check_case(case: &KernelCase) -> Result<(), String> {
    struct Checker<'a>(&'a KernelCase, Option<Result<(), String>>);
    impl KernelVisitor for Checker<'_> {
        fn visit<K: Kernel>(&mut self) {
            if K::NAME == self.0.name {
                self.1 = Some(params::<K>(self.0).map(drop));
            }
        }
    }
    let mut checker = Checker(case, None);
    visit_kernels(&mut checker);
    checker.1.unwrap_or_else(|| Err(format!("unknown kernel `{}`: one of {}", case.name, names().join(", "))))
}

fn params<K: Kernel>(case: &KernelCase) -> Result<K::Params, String> {
    let params: K::Params = case.params.clone().try_into().map_err(|error: toml::de::Error| {
        let text = error.to_string();
        format!("{}: params: {}", K::NAME, text.split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    K::validate(&params).map_err(|error| format!("{}: {error}", K::NAME))?;
    Ok(params)
}

fn row<K: Kernel>(
    case: &KernelCase,
    backend: BackendId,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(),
) -> Result<KernelRow, String> {
    let params = params::<K>(case)?;
    let mut row = empty_row(K::NAME, backend, threads);
    row.params = serde_json::to_value(&params).ok();
    let work = K::work(&params);
    row.batch = Some(work.items);
    (row.batch_min, row.batch_max) = (row.batch, row.batch);
    row.timed = if K::EXECUTE_ALONE { Timed::Execute } else { Timed::Total };
    match K::open(backend, &Options { threads, ..Options::default() }) {
        Err(reason) => {
            row.outcome = Outcome::Unavailable;
            row.reason = Some(reason.to_string());
        }
        Ok(opened) => {
            describe(&mut row, &opened.description());
            let repetition = Repetition { seed, rounds: case.rounds, warmup: case.warmup };
            match measure::<K>(&*opened, &params, repetition, progress) {
                Ok(samples) => {
                    row.deadline = deadline(case, &samples);
                    fill(&mut row, samples, work);
                }
                Err(reason) => {
                    row.outcome = Outcome::Failed;
                    row.reason = Some(reason);
                }
            }
        }
    }
    Ok(row)
}

fn empty_row(kernel: &str, backend: BackendId, threads: usize) -> KernelRow {
    KernelRow {
        kernel: kernel.to_owned(),
        job: None,
        params: None,
        backend: backend.to_string(),
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        batch: None,
        batch_min: None,
        batch_max: None,
        outcome: Outcome::Ok,
        reason: None,
        path: None,
        device: None,
        build: None,
        prepare_ns: None,
        load_ns: None,
        execute_ns: None,
        output_ns: None,
        total_ns: None,
        invalid_total_ns: None,
        sum_ns: None,
        items_per_s: None,
        bytes_per_s: None,
        timed: Timed::Total,
        deadline: None,
    }
}

fn deadline(case: &KernelCase, samples: &Samples) -> Option<Deadline> {
    let deadline_ns = case.deadline?.as_nanos();
    let slowest_ns = *samples.total_ns.iter().max()?;
    Some(Deadline { deadline_ns, slowest_ns, margin: margin(deadline_ns, slowest_ns) })
}

fn describe(row: &mut KernelRow, description: &Description) {
    row.path = Some(match description.software_adapter {
        true => format!("{} (software adapter)", description.path),
        false => description.path.clone(),
    });
    row.device = Some(description.device.clone());
    row.build = Some(description.build.clone());
    row.threads = u32::try_from(description.threads).unwrap_or(u32::MAX);
}

fn fill(row: &mut KernelRow, samples: Samples, work: Work) {
    let sum_ns = samples.total_ns.iter().fold(0u64, |a, &b| a.saturating_add(b));
    row.sum_ns = Some(sum_ns);
    if let Some(path) = samples.path {
        row.path = Some(path.to_owned());
    }
    row.prepare_ns = Some(samples.prepare_ns);
    row.load_ns = Distribution::of(samples.load_ns);
    row.execute_ns = Distribution::of(samples.execute_ns);
    row.output_ns = Distribution::of(samples.output_ns);
    row.total_ns = Distribution::of(samples.total_ns);
    row.invalid_total_ns = Distribution::of(samples.invalid_total_ns);
    // At the median: one disturbed iteration does not move it.
    let rate = |count: u64| match row.time_ns() {
        Some(time) if time.p50 > 0 && count > 0 => Some(count as f64 * 1e9 / time.p50 as f64),
        _ => None,
    };
    (row.items_per_s, row.bytes_per_s) = (rate(work.items), rate(work.bytes));
}

#[cfg(test)]
mod tests {
    use shardmark_kernels::backend::{Mismatch, Session, Unavailable};

    use super::*;

    /// Verdicts on numbers: even ones are valid. Input: one number for each item.
    struct Parity;
    /// Answers through `judge`.
    struct Judge(fn(u64) -> bool);
    struct Held<'a>(&'a Judge, &'a [u64], Option<Vec<bool>>);

    impl Kernel for Parity {
        const NAME: &'static str = "test/parity";
        const VERDICT: bool = true;
        type Params = u64;
        type Setup = ();
        type Input = Vec<u64>;
        type Output = Vec<bool>;

        fn validate(_: &u64) -> Result<(), Error> {
            Ok(())
        }
        fn setup(_: &u64, _: u64) {}
        fn generate(params: &u64, (): &(), seed: u64, iteration: u64) -> Vec<u64> {
            let mut items: Vec<u64> = (0..*params).map(|i| 2 * i).collect();
            items[0] += u64::from(carries_invalid(seed, iteration));
            items
        }
        fn check((): &(), input: &Vec<u64>, output: &Vec<bool>) -> Result<(), Mismatch> {
            let wrong = input.iter().zip(output).position(|(item, verdict)| (item % 2 == 0) != *verdict);
            wrong.map_or(Ok(()), |item| {
                Err(Mismatch { item, got: output[item].to_string(), want: (!output[item]).to_string() })
            })
        }
        fn work(params: &u64) -> Work {
            Work { items: *params, bytes: 0 }
        }
        fn open(_: BackendId, _: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable> {
            Err(Unavailable::NoDevice)
        }
    }

    impl Backend<Parity> for Judge {
        fn description(&self) -> Description {
            Description {
                backend: BackendId::Cpu,
                path: "scalar".into(),
                device: "test".into(),
                build: "test".into(),
                threads: 1,
                software_adapter: false,
            }
        }
        fn prepare(&self, (): &()) -> Result<Box<dyn Prepared<Parity>>, Error> {
            Ok(Box::new(Judge(self.0)))
        }
    }

    impl Prepared<Parity> for Judge {
        fn load<'a>(&'a self, input: &'a Vec<u64>) -> Result<Box<dyn Session<Parity> + 'a>, Error> {
            Ok(Box::new(Held(self, input, None)))
        }
    }

    impl Session<Parity> for Held<'_> {
        fn execute(&mut self, _: &Control) -> Result<(), Error> {
            self.2 = Some(self.1.iter().map(|&item| (self.0.0)(item)).collect());
            Ok(())
        }
        fn output(&mut self) -> Result<Vec<bool>, Error> {
            self.2.clone().ok_or_else(|| Error::InvalidInput("nothing was executed".into()))
        }
    }

    const MANY: Repetition = Repetition { seed: 1, rounds: 200, warmup: 10 };

    #[test]
    fn invalid_iterations_are_timed_apart_and_warm_up_not_at_all() {
        let mut calls = 0;
        let samples = measure::<Parity>(&Judge(|item| item % 2 == 0), &8, MANY, &mut || calls += 1).unwrap();
        assert_eq!(calls, 210);
        let invalid = (10..210).filter(|&i| carries_invalid(1, i)).count();
        assert!(invalid > 5);
        assert_eq!(samples.invalid_total_ns.len(), invalid);
        for series in [&samples.load_ns, &samples.execute_ns, &samples.output_ns, &samples.total_ns] {
            assert_eq!(series.len(), 200 - invalid);
        }
    }

    #[test]
    fn a_backend_that_always_says_yes_fails() {
        let reason = measure::<Parity>(&Judge(|_| true), &8, MANY, &mut || ()).unwrap_err();
        assert!(reason.contains("wrong output: item 0: got true, want false"), "{reason}");
    }

    #[test]
    fn a_wrong_answer_on_valid_items_fails_in_the_warm_up_already() {
        let reason = measure::<Parity>(&Judge(|item| item % 2 == 0 && item != 4), &8, MANY, &mut || ()).unwrap_err();
        assert!(reason.starts_with("iteration 0: wrong output: item 2"), "{reason}");
    }

    #[test]
    fn cases_are_checked_before_they_run() {
        let case = |text: &str| -> KernelCase { toml::from_str(text).unwrap() };
        let message = |text: &str| check_case(&case(text)).unwrap_err();
        assert!(message("name = \"bls/nothing\"\nparams = {}").contains("unknown kernel `bls/nothing`: one of bls/"));
        assert!(message("name = \"secp256k1/recover\"\nparams = {}").contains("missing field `batch`"));
        assert!(message("name = \"secp256k1/recover\"\nparams = { batch = 0 }").contains("batch must be"));
        assert!(check_case(&case("name = \"secp256k1/recover\"\nparams = { batch = 4 }")).is_ok());
    }

    #[test]
    fn a_proofs_own_time_is_that_after_the_squarings() {
        let case: KernelCase = toml::from_str(
            "name = \"vdf/prove\"\nparams = { discriminant_bits = 256, iterations = 2000 }\nrounds = 3\nwarmup = 0",
        )
        .unwrap();
        let row = run_case(&case, BackendId::Cpu, 7, 1, &mut || ()).unwrap();
        assert_eq!((row.outcome, row.batch, row.timed), (Outcome::Ok, Some(1), Timed::Execute), "{row:?}");
        let execute = row.execute_ns.unwrap();
        assert_eq!(row.time_ns(), Some(&execute));
        assert!(execute.p50 < row.total_ns.unwrap().p50, "{row:?}");
        assert_eq!(row.items_per_s, Some(1e9 / execute.p50 as f64));
        let value = serde_json::to_value(&row).unwrap();
        assert_eq!((&value["timed"], value.get("deadline")), (&"execute".into(), None));
    }

    #[test]
    fn a_deadline_is_held_against_the_slowest_evaluation() {
        let row = |deadline: &str| {
            let params = "params = { discriminant_bits = 256, iterations = 300, instances = 1 }";
            let text = format!("name = \"vdf/evaluate\"\n{params}\nrounds = 12\nwarmup = 0\n{deadline}");
            run_case(&toml::from_str(&text).unwrap(), BackendId::Cpu, 7, 1, &mut || ()).unwrap()
        };
        assert_eq!(row("").deadline, None);
        let made = row("deadline = \"1h\"");
        let Deadline { deadline_ns, slowest_ns, margin } = made.deadline.unwrap();
        assert_eq!(deadline_ns, 3_600_000_000_000);
        assert!(slowest_ns >= made.total_ns.unwrap().p90 && margin.unwrap() > 0.5, "{made:?}");
        assert!(row("deadline = \"1ns\"").deadline.unwrap().margin.unwrap() < 0.0);
    }

    #[test]
    fn a_delay_function_is_timed_alone_unless_cancelled() {
        let function = DelayFunction {
            scheme: shardmark_kernels::vdf::Scheme::Bound264,
            discriminant_bits: 256,
            iterations: 300,
            engine: shardmark_kernels::vdf::Engine::SCALAR,
        };
        let alone = delay_alone(&function, 1, &Control::default()).unwrap();
        assert!(alone.evaluate_ns > 0 && alone.verify_ns > 0);
        let control = Control::default();
        control.cancel();
        assert_eq!(delay_alone(&function, 1, &control), Err(Error::Cancelled));
        let impossible = DelayFunction { discriminant_bits: 255, ..function };
        assert!(matches!(delay_alone(&impossible, 1, &Control::default()), Err(Error::InvalidInput(_))));
    }

    #[test]
    fn a_real_kernel_gives_a_row_and_a_missing_backend_its_reason() {
        let case: KernelCase =
            toml::from_str("name = \"secp256k1/recover\"\nparams = { batch = 2 }\nrounds = 3\nwarmup = 0").unwrap();
        let row = run_case(&case, BackendId::Cpu, 7, 1, &mut || ()).unwrap();
        assert_eq!((row.outcome, row.batch, row.threads), (Outcome::Ok, Some(2), 1));
        let timed = row.total_ns.map_or(0, |d| d.n) + row.invalid_total_ns.map_or(0, |d| d.n);
        assert_eq!(timed, 3);
        let row = run_case(&case, BackendId::Wgpu, 7, 1, &mut || ()).unwrap();
        if row.outcome == Outcome::Unavailable {
            assert!(row.reason.is_some() && row.total_ns.is_none());
        }
    }
}
