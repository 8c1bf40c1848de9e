//! Groups of chosen signatures.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel, carries_invalid};
use shardmark_kernels::bls::AggregateSignatures;
use shardmark_kernels::bls::aggregate_signatures::Params;

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<AggregateSignatures>>)>> = LazyLock::new(backends);
static POOL: LazyLock<Vec<[u8; 96]>> = LazyLock::new(|| {
    let valid = (0..).find(|iteration| !carries_invalid(1, *iteration)).unwrap_or_default();
    AggregateSignatures::generate(&Params { groups: 2, signatures: 16 }, &(), 1, valid).concat()
});

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let mut input = Vec::new();
    while !choices.is_empty() && input.len() < 8 {
        input.push((0..choices.below(40)).map(|_| choices.point(&POOL)).collect());
    }
    agree(&BACKENDS, &(), &input);
});
