//! A committee of chosen keys, and bitmaps over it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel};
use shardmark_kernels::bls::AggregateKeys;
use shardmark_kernels::bls::aggregate_keys::{Params, Setup};
use shardmark_kernels::bls::signers::bitmap_bytes;

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<AggregateKeys>>)>> = LazyLock::new(backends);
static POOL: LazyLock<Setup> =
    LazyLock::new(|| AggregateKeys::setup(&Params { committee: 32, bitmaps: 1, absent_percent: 0 }, 1));

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    // Mostly as generated: one refused key refuses the setup.
    let mut setup = Setup { keys: POOL.keys[..choices.below(33)].to_vec() };
    for _ in 0..choices.below(4) {
        if setup.keys.is_empty() {
            break;
        }
        let slot = choices.below(setup.keys.len());
        setup.keys[slot] = choices.point(&POOL.keys);
    }
    let mut input = Vec::new();
    while !choices.is_empty() && input.len() < 16 {
        let length = bitmap_bytes(setup.keys.len());
        input.push(match choices.byte() {
            0..32 => choices.some(6),
            _ => (0..length).map(|_| choices.byte()).collect(),
        });
    }
    agree(&BACKENDS, &setup, &input);
});
