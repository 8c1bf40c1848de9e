//! Decoding and the subgroup check in lanes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shardmark_kernels::bls::fuzzing;

fuzz_target!(|bytes: &[u8]| fuzzing::decode(bytes));
