//! Chunks with proofs, some dropped, spoiled, repeated, renumbered, cut short, of a code word or not: any backend's verdict
//! is the oracle's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use shardmark_fuzz::{Choices, agree, backends};
use shardmark_kernels::backend::{Backend, Kernel};
use shardmark_kernels::erasure::{Code, Delivery, ReconstructParams, Retrieve};

static BACKENDS: LazyLock<Vec<(String, Box<dyn Backend<Retrieve>>)>> = LazyLock::new(backends);

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let code = Code::ALL[choices.below(Code::ALL.len())];
    let (data_chunks, parity_chunks) = (1 + choices.below(40) as u16, 1 + choices.below(40) as u16);
    let chunk_bytes = (1 + choices.below(140)).next_multiple_of(code.symbol_bytes());
    let missing = choices.below(usize::from(data_chunks.min(parity_chunks)) + 1) as u16;
    let params = ReconstructParams { code, data_chunks, parity_chunks, chunk_bytes, missing };
    let shape = params.shape();
    // Every tenth or so is no code word, or has a spoiled chunk or proof.
    let iteration = u64::from(choices.byte());
    let Delivery { mut root, mut chunk_bytes, mut received } = Retrieve::generate(&params, &shape, 1, iteration);
    while !choices.is_empty() {
        let at = choices.below(received.len().max(1));
        match (choices.below(9), received.get_mut(at)) {
            (0, _) => chunk_bytes = choices.below(256),
            (1, _) => root[choices.below(32)] ^= choices.byte(),
            (2, Some(_)) => drop(received.remove(at)),
            (3, Some(chunk)) => chunk.index = u16::from_le_bytes(choices.bytes()) >> choices.below(16),
            (4, Some(chunk)) => chunk.bytes = choices.some(150),
            (5, Some(chunk)) => {
                let chunk = chunk.clone();
                received.push(chunk);
            }
            (6, Some(chunk)) => chunk.proof = None,
            (7, Some(chunk)) => match (&mut chunk.proof, choices.below(3)) {
                (Some(proof), 0) => proof.siblings.truncate(choices.below(8)),
                (Some(proof), 1) => proof.siblings.push(choices.bytes()),
                (Some(proof), _) if !proof.siblings.is_empty() => {
                    let sibling = choices.below(proof.siblings.len());
                    proof.siblings[sibling][choices.below(32)] ^= choices.byte();
                }
                _ => {}
            },
            (_, Some(chunk)) if !chunk.bytes.is_empty() => {
                let byte = choices.below(chunk.bytes.len().min(256));
                chunk.bytes[byte] ^= choices.byte();
            }
            _ => {}
        }
    }
    agree(&BACKENDS, &shape, &Delivery { root, chunk_bytes, received });
});
