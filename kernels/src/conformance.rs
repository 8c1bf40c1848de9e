//! One generic suite for every kernel and backend: tests and fuzz targets call it.
//!
//! It opens each backend, runs every shape, and compares the output with the kernel's own oracle and with the `cpu`
//! backend. A backend that cannot be opened prints `SKIPPED <kernel>/<backend>: <reason>`; `SHARDMARK_REQUIRE=cuda,wgpu`
//! turns that into a failure on hosts that must have it.

use crate::backend::{BackendId, Control, Isa, Kernel, Options, Unavailable};

/// Runs `K` on every backend and every instruction set of `simd`, over every shape and seed, for two iterations each
/// (twice executed: repeatable).
///
/// # Panics
///
/// On the first difference: it is a test.
pub fn conformance<K: Kernel>(shapes: &[K::Params], seeds: &[u64]) {
    let required = std::env::var("SHARDMARK_REQUIRE").unwrap_or_default();
    for id in BackendId::ALL {
        for isa in instruction_sets(id) {
            // Scalar code that stands for vectors is slow, and shares all but the vectors with the rest.
            let emulated = isa == Some(Isa::Avx512IfmaEmulated);
            let seeds = if emulated { seeds.get(..1).unwrap_or_default() } else { seeds };
            for threads in if emulated { &[2][..] } else { &[1, 2] } {
                let threads = *threads;
                let backend = match K::open(id, &Options { threads, isa, ..Options::default() }) {
                    Ok(backend) => backend,
                    Err(reason) => {
                        assert!(
                            isa.is_some() || !required.split(',').any(|r| r == id.to_string()),
                            "{}/{id} is required: {reason}",
                            K::NAME
                        );
                        if (emulated || threads == 1) && !matches!(reason, Unavailable::Options(_)) {
                            println!("SKIPPED {}/{id}{}: {reason}", K::NAME, label(isa));
                        }
                        continue;
                    }
                };
                assert_eq!(backend.description().backend, id);
                for params in shapes {
                    K::validate(params).unwrap_or_else(|e| panic!("{} {params:?}: {e}", K::NAME));
                    for &seed in seeds {
                        run_shape::<K>(&format!("{id}{}", label(isa)), &*backend, params, seed);
                    }
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

fn label(isa: Option<Isa>) -> String {
    isa.map_or_else(String::new, |isa| format!(" ({isa})"))
}

fn run_shape<K: Kernel>(id: &str, backend: &dyn crate::backend::Backend<K>, params: &K::Params, seed: u64) {
    let what = |iteration: u64| format!("{}/{id} {params:?} seed {seed} iteration {iteration}", K::NAME);
    let control = Control::default();
    let setup = K::setup(params, seed);
    let prepared = backend.prepare(&setup).unwrap_or_else(|e| panic!("{}: {e}", what(0)));
    for iteration in 0..2 {
        let input = K::generate(params, &setup, seed, iteration);
        let mut session = prepared.load(&input).unwrap_or_else(|e| panic!("{}: {e}", what(iteration)));
        let mut outputs = Vec::new();
        for _ in 0..2 {
            session.execute(&control).unwrap_or_else(|e| panic!("{}: {e}", what(iteration)));
            outputs.push(session.output().unwrap_or_else(|e| panic!("{}: {e}", what(iteration))));
        }
        outputs.push(prepared.compute(&input, &control).unwrap_or_else(|e| panic!("{}: {e}", what(iteration))));
        for output in &outputs {
            K::check(&setup, &input, output).unwrap_or_else(|e| panic!("{}: {e}", what(iteration)));
            assert!(*output == outputs[0], "{}: outputs of one input differ", what(iteration));
        }
    }
}
