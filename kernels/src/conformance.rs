//! One generic suite for every kernel and backend: tests and fuzz targets call it.
//!
//! It opens each backend, runs every shape, and compares the output with the kernel's own oracle and with the `cpu`
//! backend. A backend that cannot be opened prints `SKIPPED <kernel>/<backend>: <reason>`; `SHARDMARK_REQUIRE=cuda,wgpu`
//! turns that into a failure on hosts that must have it, for kernels that have such a backend.

use crate::backend::{Backend, BackendId, Control, Isa, Kernel, Options, Unavailable};

/// Runs `K` on every backend and every instruction set of `simd`, over every shape and seed, for two iterations each
/// (twice executed: repeatable). The oracle judges the first backend's outputs, and all others must equal these.
///
/// # Panics
///
/// On the first difference: it is a test.
pub fn conformance<K: Kernel>(shapes: &[K::Params], seeds: &[u64]) {
    let candidates = open_all::<K>();
    for params in shapes {
        K::validate(params).unwrap_or_else(|e| panic!("{} {params:?}: {e}", K::NAME));
        for (nth, &seed) in seeds.iter().enumerate() {
            let setup = K::setup(params, seed);
            let inputs = [0, 1].map(|iteration| K::generate(params, &setup, seed, iteration));
            let mut expected: Option<Vec<K::Output>> = None;
            for candidate in candidates.iter().filter(|candidate| nth == 0 || !candidate.brief) {
                let what = format!("{}/{} {params:?} seed {seed}", K::NAME, candidate.name);
                let outputs = candidate.outputs(&what, &setup, &inputs);
                let Some(expected) = &expected else {
                    for (iteration, (input, output)) in inputs.iter().zip(&outputs).enumerate() {
                        K::check(&setup, input, output).unwrap_or_else(|e| panic!("{what} iteration {iteration}: {e}"));
                    }
                    expected = Some(outputs);
                    continue;
                };
                let different = outputs.iter().zip(expected).position(|(output, expected)| output != expected);
                if let Some(iteration) = different {
                    let why = K::check(&setup, &inputs[iteration], &outputs[iteration]).err();
                    let why = why.map_or_else(|| "the oracle takes both".to_string(), |e| e.to_string());
                    panic!("{what} iteration {iteration}: unlike {}'s output: {why}", candidates[0].name);
                }
            }
        }
    }
}

/// What `Options::isa` may say: nothing, or for `simd` any of them. One that a kernel has no code for is refused.
pub fn instruction_sets(id: BackendId) -> Vec<Option<Isa>> {
    let forced = if id == BackendId::Simd { &Isa::ALL[..] } else { &[] };
    std::iter::once(None).chain(forced.iter().copied().map(Some)).collect()
}

/// An open backend.
struct Candidate<K: Kernel> {
    name: String,
    backend: Box<dyn Backend<K>>,
    /// Runs on the first seed alone, and executes once.
    brief: bool,
}

fn open_all<K: Kernel>() -> Vec<Candidate<K>> {
    let required = std::env::var("SHARDMARK_REQUIRE").unwrap_or_default();
    let open = |id, threads, isa| K::open(id, &Options { threads, isa, ..Options::default() });
    let mut candidates = Vec::new();
    for id in BackendId::ALL {
        let forced = |isa: &Isa| *isa != Isa::Avx512IfmaEmulated && open(id, 2, Some(*isa)).is_ok();
        let any_forced = instruction_sets(id).iter().flatten().any(forced);
        for isa in instruction_sets(id) {
            // Scalar code that stands for vectors is slow, and shares all but the vectors with the rest. The best
            // instruction set is one of those that can be forced.
            let brief = isa == Some(Isa::Avx512IfmaEmulated) || isa.is_none() && any_forced;
            // On a device the host's threads are few of the work.
            let device = matches!(id, BackendId::Cuda | BackendId::Wgpu);
            let counts = if brief || device { &[2][..] } else { &[1, 2] };
            for &threads in counts {
                let name = format!("{id}{}", isa.map_or_else(String::new, |isa| format!(" ({isa})")));
                match open(id, threads, isa) {
                    Ok(backend) => {
                        assert_eq!(backend.description().backend, id);
                        candidates.push(Candidate { name, backend, brief });
                    }
                    Err(reason) => {
                        // No host can have what is not written.
                        let written = reason != Unavailable::NotImplemented;
                        let is_required = written && isa.is_none() && required.split(',').any(|r| r == id.to_string());
                        assert!(!is_required, "{}/{id} is required: {reason}", K::NAME);
                        if threads == counts[0] && !matches!(reason, Unavailable::Options(_)) {
                            println!("SKIPPED {}/{name}: {reason}", K::NAME);
                        }
                    }
                }
            }
        }
    }
    candidates
}

impl<K: Kernel> Candidate<K> {
    /// The outputs of both inputs, each the same every time.
    fn outputs(&self, what: &str, setup: &K::Setup, inputs: &[K::Input; 2]) -> Vec<K::Output> {
        let control = Control::default();
        let prepared = self.backend.prepare(setup).unwrap_or_else(|e| panic!("{what}: {e}"));
        let output = |(iteration, input)| {
            let what = format!("{what} iteration {iteration}");
            let compute = || prepared.compute(input, &control).unwrap_or_else(|e| panic!("{what}: {e}"));
            if self.brief {
                return compute();
            }
            let mut session = prepared.load(input).unwrap_or_else(|e| panic!("{what}: {e}"));
            let mut execute = || {
                session.execute(&control).unwrap_or_else(|e| panic!("{what}: {e}"));
                session.output().unwrap_or_else(|e| panic!("{what}: {e}"))
            };
            let output = execute();
            assert!(execute() == output, "{what}: outputs of one input differ");
            assert!(iteration > 0 || compute() == output, "{what}: outputs of one input differ");
            output
        };
        inputs.iter().enumerate().map(output).collect()
    }
}
