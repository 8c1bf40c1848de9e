//! Results of either wire format, changed in any way: any backend's verdict is the oracle's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel, carries_invalid};
use shardmark_kernels::vdf::{Scheme, Verify, VerifyItem, VerifyParams, VerifySetup};

const SEED: u64 = 1;

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<Verify>>)>> = LazyLock::new(backends);

/// A setup for each scheme, and valid claims.
static SETUPS: LazyLock<Vec<(VerifySetup, Vec<VerifyItem>)>> = LazyLock::new(|| {
    let setup = |scheme| {
        let params =
            VerifyParams { scheme, discriminant_bits: 256, iterations: 300, proofs: 3, cached_discriminant: true };
        let setup = Verify::setup(&params, SEED);
        let clean = (0..).find(|&iteration| !carries_invalid(SEED, iteration)).unwrap();
        let items = Verify::generate(&params, &setup, SEED, clean);
        (setup, items)
    };
    Scheme::ALL.into_iter().map(setup).collect()
});

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let (setup, valid) = &SETUPS[choices.below(SETUPS.len())];
    let mut item = valid[choices.below(valid.len())].clone();
    while !choices.is_empty() {
        match choices.below(7) {
            0 => item.iterations = u64::from_le_bytes(choices.bytes()) >> choices.below(64),
            1 => item.proof = choices.some(255),
            2 => {
                let other = &valid[choices.below(valid.len())];
                item.proof.extend_from_slice(&other.proof);
            }
            3 => item.proof.extend(choices.some(141)),
            4 => item.proof.truncate(usize::from(u16::from_le_bytes(choices.bytes())) % (item.proof.len() + 1)),
            5 => item.seed[choices.below(32)] ^= choices.byte(),
            _ if item.proof.is_empty() => {}
            _ => {
                let at = usize::from(u16::from_le_bytes(choices.bytes())) % item.proof.len();
                item.proof[at] = choices.byte();
            }
        }
    }
    agree(&BACKENDS, setup, &vec![item]);
});
