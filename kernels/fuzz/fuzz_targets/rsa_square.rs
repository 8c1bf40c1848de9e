//! Moduli and values of any bytes: every backend refuses the same, and squares to the oracle's values.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::Backend;
use shardmark_kernels::vdf::{RsaSquare, RsaSquareInput, RsaSquareSetup};

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<RsaSquare>>)>> = LazyLock::new(backends);

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let bytes = match choices.below(4) {
        0 => choices.below(100),
        sizes => [32, 40, 128][sizes - 1],
    };
    let number = |choices: &mut Choices| -> Vec<u8> {
        let fill = [0, 0xff, choices.byte()][choices.below(3)];
        let mut number = vec![fill; bytes];
        for _ in 0..choices.below(16) {
            let at = choices.below(bytes.clamp(1, 256));
            let byte = choices.byte();
            number.get_mut(at).into_iter().for_each(|place| *place = byte);
        }
        number
    };
    let mut modulus = number(&mut choices);
    if choices.below(8) != 0 {
        modulus.first_mut().into_iter().for_each(|top| *top |= 0x80);
        modulus.last_mut().into_iter().for_each(|low| *low |= 1);
    }
    let mut values: Vec<Vec<u8>> = (0..1 + choices.below(9)).map(|_| number(&mut choices)).collect();
    for value in &mut values {
        match choices.below(16) {
            0 => value.truncate(choices.below(bytes + 1).min(255)),
            1 => {}
            _ => value.first_mut().into_iter().for_each(|top| *top &= 0x3f),
        }
    }
    let iterations = choices.below(200) as u64;
    agree(&BACKENDS, &RsaSquareSetup { modulus }, &RsaSquareInput { values, iterations });
});
