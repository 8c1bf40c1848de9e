//! A batch of true claims with some of them changed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel, carries_invalid};
use shardmark_kernels::bls::verify_batch::{Input, Params, Setup, SignerShape};
use shardmark_kernels::bls::{Signers, VerifyBatch};

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<VerifyBatch>>)>> = LazyLock::new(backends);
static POOL: LazyLock<(Setup, Input)> = LazyLock::new(|| {
    let params = |signers, absent_percent| Params {
        sets: 16,
        distinct_messages: 5,
        invalid: 0,
        committee: 12,
        signers,
        absent_percent,
    };
    let valid = (0..).find(|iteration| !carries_invalid(1, *iteration)).unwrap_or_default();
    let votes = params(SignerShape::One, 0);
    let setup = VerifyBatch::setup(&votes, 1);
    let mut input = VerifyBatch::generate(&votes, &setup, 1, valid);
    let certificates = VerifyBatch::generate(&params(SignerShape::Bitmap, 30), &setup, 1, valid);
    // The same seed draws the same messages.
    input.sets.extend(certificates.sets);
    assert_eq!(input.messages, certificates.messages);
    (setup, input)
});

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let (setup, pool) = &*POOL;
    let signatures: Vec<_> = pool.sets.iter().map(|set| set.signature).collect();
    let mut input = Input { messages: pool.messages.clone(), sets: Vec::new() };
    for _ in 0..choices.below(19) {
        input.sets.push(pool.sets[choices.below(pool.sets.len())].clone());
    }
    while !choices.is_empty() && !input.sets.is_empty() {
        let at = choices.below(input.sets.len());
        let set = &mut input.sets[at];
        match choices.below(8) {
            0..4 => set.signature = choices.point(&signatures),
            4 => set.signers = Signers::One(u32::from(choices.byte()) % 14),
            5 => set.signers = Signers::Bitmap(choices.some(3)),
            6 => set.message = u32::from(choices.byte()) % 6,
            _ => {
                let message = choices.below(input.messages.len());
                input.messages[message] = choices.some(200);
            }
        }
    }
    agree(&BACKENDS, setup, &input);
});
