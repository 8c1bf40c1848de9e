//! One generic suite for every kernel and backend: tests and fuzz targets call it.
//!
//! It opens each backend, runs every shape, and compares the output with the kernel's own oracle and with the `cpu`
//! backend. A backend that cannot be opened prints `SKIPPED <kernel>/<backend>: <reason>`; `SHARDMARK_REQUIRE=cuda,wgpu`
//! turns that into a failure on hosts that must have it.

use crate::backend::{BackendId, Control, Kernel, Options};

/// Runs `K` on every backend, over every shape and seed, for two iterations each (twice executed: repeatable).
///
/// # Panics
///
/// On the first difference: it is a test.
pub fn conformance<K: Kernel>(shapes: &[K::Params], seeds: &[u64]) {
    let required = std::env::var("SHARDMARK_REQUIRE").unwrap_or_default();
    for id in BackendId::ALL {
        for threads in [1, 2] {
            let backend = match K::open(id, &Options { threads, ..Options::default() }) {
                Ok(backend) => backend,
                Err(reason) => {
                    assert!(
                        !required.split(',').any(|r| r == id.to_string()),
                        "{}/{id} is required: {reason}",
                        K::NAME
                    );
                    if threads == 1 {
                        println!("SKIPPED {}/{id}: {reason}", K::NAME);
                    }
                    continue;
                }
            };
            assert_eq!(backend.description().backend, id);
            for params in shapes {
                K::validate(params).unwrap_or_else(|e| panic!("{} {params:?}: {e}", K::NAME));
                for &seed in seeds {
                    run_shape::<K>(id, &*backend, params, seed);
                }
            }
        }
    }
}

fn run_shape<K: Kernel>(id: BackendId, backend: &dyn crate::backend::Backend<K>, params: &K::Params, seed: u64) {
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
