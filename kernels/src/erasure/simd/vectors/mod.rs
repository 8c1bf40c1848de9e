//! Vectors of bytes and their products with constants: all that the erasure kernels need from an instruction set.
//!
//! [`Vectors`] is an instruction set as a value. It exists only on a CPU that has the instructions, so nothing but the
//! loads and stores of a kernel is unsafe; and it holds the constants (the nibble mask) that a loop keeps in registers.
//! A constant of GF(2^8) acts on bytes linearly over GF(2), whatever the field's polynomial or basis: a multiplier is
//! built from any linear map of bytes, given by the images of its 8 bits ([`ByteMap`]).
//!
//! | set | width | multiplier in memory | product of a vector with a constant |
//! |---|---|---|---|
//! | [`Avx2`], [`Neon`] | 32, 16 | tables of the 16 low and the 16 high nibbles | split by a mask and a shift, two table look-ups in registers, one xor |
//! | [`Gfni256`], [`Gfni512`] | 32, 64 | 8 by 8 bits | one instruction |
//! | `NibbleModel`, `BitMatrixModel` | 32 | as these two | the same in plain code, for tests on any CPU |
//!
//! A kernel is generic over the set, all of it `#[inline(always)]`, and is entered through [`Vectors::run`], which
//! enables the instructions around it:
//!
//! ```text
//! struct Scale<'a, V: Vectors> { by: &'a V::Multiplier, row: &'a mut [u8] }
//! impl<V: Vectors> Kernel<V> for Scale<'_, V> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run(self, v: V) {
//!         let factor = v.factor(self.by);                    // in registers
//!         for piece in self.row.chunks_exact_mut(V::WIDTH) {
//!             // SAFETY: the piece is one vector long.
//!             unsafe { v.store(piece.as_mut_ptr(), v.multiply(factor, v.load(piece.as_ptr()))) };
//!         }
//!     }
//! }
//! if let Some(v) = Avx2::detect() { v.run(Scale { by: &Avx2::multiplier(&map), row }) }
//! ```
//!
//! Closures and iterator adapters in a hot loop are at the optimiser's mercy: look at the assembly for calls. A set fits
//! in the plan that it built multipliers for, so a plan generic over the set needs no check later.
//!
//! Where one vector meets several constants, as in a matrix or in the planes of a 16-bit field, it is split once
//! ([`Vectors::operand`]) and multiplied by each ([`Vectors::product`]).
//!
//! Sources: J. S. Plank, K. M. Greenan, E. L. Miller, "Screaming fast Galois field arithmetic using Intel SIMD
//! instructions", FAST 2013 (nibble tables); Intel 64 and IA-32 Software Developer's Manual, volume 2,
//! `GF2P8AFFINEQB` (bit matrices).

#[cfg(target_arch = "aarch64")]
mod arm64;
#[cfg(test)]
mod model;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use arm64::Neon;
#[cfg(test)]
pub use model::{BitMatrixModel, NibbleModel};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Gfni256, Gfni512};

/// An instruction set, as the proof that this CPU has it. Vectors are unaligned in memory everywhere.
pub trait Vectors: Copy + Send + Sync + 'static {
    /// As shown in reports.
    const NAME: &'static str;
    /// Bytes in a vector.
    const WIDTH: usize;
    /// Vector registers, for choosing how much of a loop to unroll.
    const REGISTERS: usize;
    /// A vector of [`Self::WIDTH`] bytes.
    type Vector: Copy;
    /// A constant, as tables in memory.
    type Multiplier: Copy + Send + Sync + 'static;
    /// A constant in registers.
    type Factor: Copy;
    /// A vector made ready to be multiplied.
    type Operand: Copy;

    /// The set, if this CPU has it.
    fn detect() -> Option<Self>;

    /// Runs the kernel with the instructions enabled.
    fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output;

    /// The multiplier that applies `map` to each byte. Needs none of the instructions.
    fn multiplier(map: &ByteMap) -> Self::Multiplier;

    /// Brings a constant to registers; two loads at most.
    fn factor(self, multiplier: &Self::Multiplier) -> Self::Factor;

    /// # Safety
    ///
    /// [`Self::WIDTH`] bytes can be read.
    unsafe fn load(self, from: *const u8) -> Self::Vector;

    /// # Safety
    ///
    /// [`Self::WIDTH`] bytes can be written.
    unsafe fn store(self, to: *mut u8, vector: Self::Vector);

    /// All bits clear.
    fn zero(self) -> Self::Vector;

    /// Sum in every field of characteristic 2.
    fn xor(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// Sum of three: one instruction where the set has it, which the compiler finds.
    #[inline(always)]
    fn xor3(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.xor(a, self.xor(b, c))
    }

    /// The part of a product that does not depend on the constant.
    fn operand(self, vector: Self::Vector) -> Self::Operand;

    /// The product of an operand and a constant.
    fn product(self, factor: Self::Factor, operand: Self::Operand) -> Self::Vector;

    /// The product of a vector and a constant.
    #[inline(always)]
    fn multiply(self, factor: Self::Factor, vector: Self::Vector) -> Self::Vector {
        self.product(factor, self.operand(vector))
    }

    /// Asks for the cache line of an address, which need not be valid.
    fn prefetch(self, address: *const u8);
}

/// Code to run with an instruction set enabled.
pub trait Kernel<V: Vectors> {
    /// What it returns.
    type Output;
    /// The code: `#[inline(always)]`, as everything that it calls in its loops, or the instructions stay calls.
    fn run(self, v: V) -> Self::Output;
}

/// A map of bytes that is linear over GF(2): the images of `1 << 0` to `1 << 7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteMap(pub [u8; 8]);

impl ByteMap {
    /// The map that equals `f` on the 8 bits: all of `f`, where that is linear.
    pub fn new(f: impl Fn(u8) -> u8) -> Self {
        Self(std::array::from_fn(|bit| f(1 << bit)))
    }

    /// The image of a byte.
    pub fn apply(&self, byte: u8) -> u8 {
        (0..8).filter(|bit| byte >> bit & 1 == 1).fold(0, |sum, bit: usize| sum ^ self.0[bit])
    }

    /// The images of the bytes `x`, then of the bytes `x << 4`, for `x` below 16.
    fn nibbles(&self) -> NibbleTables {
        // Each step doubles the part of a table that is filled.
        let mut tables = NibbleTables { low: [0; 16], high: [0; 16] };
        for (table, images) in [(&mut tables.low, &self.0[..4]), (&mut tables.high, &self.0[4..])] {
            for (bit, image) in images.iter().enumerate() {
                for x in 0..1 << bit {
                    table[x | 1 << bit] = table[x] ^ image;
                }
            }
        }
        tables
    }

    /// Output bit `i` is the parity of the input under byte `7 - i`.
    #[cfg(any(test, target_arch = "x86_64"))]
    fn bit_matrix(&self) -> u64 {
        let row = |i: usize| (0..8).fold(0u8, |row, bit| row | (self.0[bit] >> i & 1) << bit);
        u64::from_le_bytes(std::array::from_fn(|byte| row(7 - byte)))
    }
}

/// A linear map by nibbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct NibbleTables {
    low: [u8; 16],
    high: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some linear maps: projections, the identity, multiplication by 2 in two fields, an arbitrary one.
    fn maps() -> Vec<ByteMap> {
        let units = (0..8).map(|bit| ByteMap(std::array::from_fn(|i| u8::from(i == bit))));
        let double = |polynomial: u8| ByteMap::new(|x| x << 1 ^ if x >> 7 == 1 { polynomial } else { 0 });
        let arbitrary = ByteMap([0x53, 0xca, 0x01, 0xff, 0x80, 0x7e, 0x11, 0x9d]);
        units.chain([ByteMap([0; 8]), ByteMap::new(|x| x), double(0x1d), double(0x1b), arbitrary]).collect()
    }

    /// Maps all 256 bytes, at each of a few alignments.
    struct MapAll<V: Vectors>(V::Multiplier);

    impl<V: Vectors> Kernel<V> for MapAll<V> {
        type Output = Vec<Vec<u8>>;
        #[inline(always)]
        fn run(self, v: V) -> Vec<Vec<u8>> {
            let factor = v.factor(&self.0);
            let mut images = Vec::new();
            for shift in [0, 1, 7] {
                let mut bytes: Vec<u8> = vec![0xee; shift];
                bytes.extend(0..=255);
                for piece in bytes[shift..].chunks_exact_mut(V::WIDTH) {
                    v.prefetch(piece.as_ptr());
                    // SAFETY: the piece is one vector long.
                    unsafe { v.store(piece.as_mut_ptr(), v.multiply(factor, v.load(piece.as_ptr()))) };
                }
                assert!(bytes[..shift].iter().all(|byte| *byte == 0xee));
                images.push(bytes.split_off(shift));
            }
            images
        }
    }

    fn maps_every_byte<V: Vectors>() {
        let Some(v) = V::detect() else { return };
        assert_eq!(256 % V::WIDTH, 0);
        for map in maps() {
            let want: Vec<u8> = (0..=255).map(|byte| map.apply(byte)).collect();
            for images in v.run(MapAll(V::multiplier(&map))) {
                assert_eq!(images, want, "{} {map:02x?}", V::NAME);
            }
        }
    }

    /// a + b, a + b + c, a + 0.
    struct Sums([Vec<u8>; 3]);

    impl<V: Vectors> Kernel<V> for Sums {
        type Output = [Vec<u8>; 3];
        #[inline(always)]
        fn run(self, v: V) -> [Vec<u8>; 3] {
            // SAFETY: the rows are one vector long.
            let [a, b, c] = self.0.each_ref().map(|row| unsafe { v.load(row.as_ptr()) });
            [v.xor(a, b), v.xor3(a, b, c), v.xor(a, v.zero())].map(|sum| {
                let mut row = vec![0; V::WIDTH];
                // SAFETY: the row is one vector long.
                unsafe { v.store(row.as_mut_ptr(), sum) };
                row
            })
        }
    }

    fn adds<V: Vectors>() {
        let Some(v) = V::detect() else { return };
        let row = |factor: usize| (0..V::WIDTH).map(|i| ((i + 3) * factor).to_le_bytes()[0]).collect::<Vec<u8>>();
        let (a, b, c) = (row(37), row(101), row(211));
        let sum = |x: &[u8], y: &[u8]| x.iter().zip(y).map(|(x, y)| x ^ y).collect::<Vec<u8>>();
        let want = [sum(&a, &b), sum(&sum(&a, &b), &c), a.clone()];
        assert_eq!(v.run(Sums([a, b, c])), want, "{}", V::NAME);
    }

    #[test]
    fn every_set_that_the_cpu_has_maps_every_byte_as_the_bits_say() {
        maps_every_byte::<NibbleModel>();
        maps_every_byte::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        {
            maps_every_byte::<Avx2>();
            maps_every_byte::<Gfni256>();
            maps_every_byte::<Gfni512>();
        }
        #[cfg(target_arch = "aarch64")]
        maps_every_byte::<Neon>();
    }

    #[test]
    fn every_set_that_the_cpu_has_adds() {
        adds::<NibbleModel>();
        adds::<BitMatrixModel>();
        #[cfg(target_arch = "x86_64")]
        {
            adds::<Avx2>();
            adds::<Gfni256>();
            adds::<Gfni512>();
        }
        #[cfg(target_arch = "aarch64")]
        adds::<Neon>();
    }

    #[test]
    fn the_identity_as_a_bit_matrix_is_the_manuals() {
        assert_eq!(ByteMap::new(|x| x).bit_matrix(), 0x0102_0408_1020_4080);
    }
}
