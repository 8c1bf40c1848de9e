//! What the targets share: bytes as a source of choices, a pool of points worth choosing, and the comparison.

use shardmark_kernels::backend::{Backend, BackendId, Control, Kernel, Options, Unavailable};
use shardmark_kernels::conformance::instruction_sets;

/// A fuzzer's bytes, read from the front; zeros after the end.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Less than `n`, which is at most 256.
    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Up to `most` bytes; the first one says how many.
    pub fn some(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.byte()).collect()
    }

    /// An encoded point: one of the pool, its opposite, infinity, one of the pool with a byte changed, or any bytes with
    /// the flag of a compressed point.
    pub fn point<const N: usize>(&mut self, pool: &[[u8; N]]) -> [u8; N] {
        let kind = self.byte();
        let mut point = pool[self.below(pool.len())];
        match kind {
            0..160 => {}
            160..200 => point[0] ^= 0x20,
            200..210 => {
                point = [0; N];
                point[0] = 0xc0;
            }
            210..230 => point[self.below(N)] ^= self.byte(),
            230.. => {
                point = self.bytes();
                point[0] |= 0x80;
            }
        }
        point
    }
}

/// Every backend of a kernel that this host has, on every instruction set; the others say why not, once.
pub fn backends<K: Kernel>() -> Vec<(String, Box<dyn Backend<K>>)> {
    let mut opened = Vec::new();
    for id in BackendId::ALL {
        for isa in instruction_sets(id) {
            let name = isa.map_or_else(|| id.to_string(), |isa| format!("{id} ({isa})"));
            match K::open(id, &Options { isa, ..Options::default() }) {
                Ok(backend) => opened.push((name, backend)),
                Err(Unavailable::Options(_)) => {}
                Err(reason) => eprintln!("SKIPPED {}/{name}: {reason}", K::NAME),
            }
        }
    }
    opened
}

/// # Panics
///
/// If a backend disagrees with the oracle, or with the others on whether the setup or the input is well formed.
pub fn agree<K: Kernel>(backends: &[(String, Box<dyn Backend<K>>)], setup: &K::Setup, input: &K::Input) {
    let mut refusals = Vec::new();
    for (name, backend) in backends {
        let output = backend.prepare(setup).and_then(|prepared| prepared.compute(input, &Control::default()));
        if let Ok(output) = &output {
            K::check(setup, input, output).unwrap_or_else(|mismatch| panic!("{}/{name}: {mismatch}", K::NAME));
        }
        refusals.push((name, output.err()));
    }
    for (name, refusal) in &refusals[1..] {
        assert_eq!(*refusal, refusals[0].1, "{}/{name} and {}", K::NAME, refusals[0].0);
    }
}
