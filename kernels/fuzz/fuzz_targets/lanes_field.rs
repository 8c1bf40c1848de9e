//! Formulas over lanes of the base field and its extension.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardmark_kernels::bls::fuzzing;

fuzz_target!(|program: &[u8]| fuzzing::field(program));
