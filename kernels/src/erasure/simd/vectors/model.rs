//! Plain code that gives the bits of the instructions: for tests, on any CPU.

use super::{ByteMap, Kernel, NibbleTables, Vectors};

const WIDTH: usize = 32;

/// Both models differ in the product alone.
macro_rules! model {
    ($model:ident, $name:literal, $multiplier:ty, $build:ident, $product:expr) => {
        #[derive(Clone, Copy, Debug)]
        pub struct $model(());

        impl Vectors for $model {
            const NAME: &'static str = $name;
            const WIDTH: usize = WIDTH;
            const REGISTERS: usize = 16;
            type Vector = [u8; WIDTH];
            type Multiplier = $multiplier;
            type Factor = $multiplier;
            type Operand = [u8; WIDTH];

            fn detect() -> Option<Self> {
                Some(Self(()))
            }
            fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
                kernel.run(self)
            }
            fn multiplier(map: &ByteMap) -> $multiplier {
                map.$build()
            }
            fn factor(self, multiplier: &$multiplier) -> $multiplier {
                *multiplier
            }
            unsafe fn load(self, from: *const u8) -> [u8; WIDTH] {
                // SAFETY: so many bytes can be read, and bytes need no alignment.
                unsafe { from.cast::<[u8; WIDTH]>().read() }
            }
            unsafe fn store(self, to: *mut u8, vector: [u8; WIDTH]) {
                // SAFETY: so many bytes can be written, and bytes need no alignment.
                unsafe { to.cast::<[u8; WIDTH]>().write(vector) }
            }
            fn zero(self) -> [u8; WIDTH] {
                [0; WIDTH]
            }
            fn xor(self, a: [u8; WIDTH], b: [u8; WIDTH]) -> [u8; WIDTH] {
                std::array::from_fn(|i| a[i] ^ b[i])
            }
            fn operand(self, vector: [u8; WIDTH]) -> [u8; WIDTH] {
                vector
            }
            fn product(self, factor: $multiplier, operand: [u8; WIDTH]) -> [u8; WIDTH] {
                operand.map(|byte| $product(factor, byte))
            }
            fn prefetch(self, _address: *const u8) {}
        }
    };
}

model!(NibbleModel, "nibble tables in plain code", NibbleTables, nibbles, |tables: NibbleTables, byte: u8| {
    tables.low[usize::from(byte & 0x0f)] ^ tables.high[usize::from(byte >> 4)]
});

// GF2P8AFFINEQB on one byte, as the manual writes it.
model!(BitMatrixModel, "bit matrices in plain code", u64, bit_matrix, |matrix: u64, byte: u8| {
    (0..8).fold(0, |image, i| {
        let row = matrix.to_le_bytes()[7 - i];
        image | u8::from((row & byte).count_ones() % 2 == 1) << i
    })
});
