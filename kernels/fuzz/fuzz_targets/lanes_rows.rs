//! Row sums of points with digits, in lanes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardmark_kernels::bls::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::rows(bytes));
