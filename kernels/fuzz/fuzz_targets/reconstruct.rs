//! Chunks of a body, some dropped, spoiled, repeated, renumbered, cut short: any backend's verdict is the oracle's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel};
use shardmark_kernels::erasure::{Chunks, Code, Reconstruct, ReconstructParams};

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<Reconstruct>>)>> = LazyLock::new(backends);

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let code = Code::ALL[choices.below(Code::ALL.len())];
    let (data_chunks, parity_chunks) = (1 + choices.below(40) as u16, 1 + choices.below(40) as u16);
    let chunk_bytes = (1 + choices.below(140)).next_multiple_of(code.symbol_bytes());
    let missing = choices.below(usize::from(data_chunks.min(parity_chunks)) + 1) as u16;
    let params = ReconstructParams { code, data_chunks, parity_chunks, chunk_bytes, missing };
    let shape = params.shape();
    let Chunks { mut chunk_bytes, mut received } =
        Reconstruct::generate(&params, &shape, u64::from(choices.byte()), 0);
    while !choices.is_empty() {
        let at = choices.below(received.len().max(1));
        match (choices.below(6), received.get_mut(at)) {
            (0, _) => chunk_bytes = choices.below(256),
            (1, Some(_)) => drop(received.remove(at)),
            (2, Some(chunk)) => chunk.0 = u16::from_le_bytes(choices.bytes()) >> choices.below(16),
            (3, Some(chunk)) => chunk.1 = choices.some(150),
            (4, Some(chunk)) => {
                let chunk = chunk.clone();
                received.push(chunk);
            }
            (_, Some((_, bytes))) if !bytes.is_empty() => {
                let byte = choices.below(bytes.len().min(256));
                bytes[byte] ^= choices.byte();
            }
            _ => {}
        }
    }
    agree(&BACKENDS, &shape, &Chunks { chunk_bytes, received });
});
