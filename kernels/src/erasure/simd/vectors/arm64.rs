//! 128-bit vectors of arm64.

use std::arch::aarch64::*;

use super::{ByteMap, Kernel, NibbleTables, Vectors};

/// 128-bit vectors and table look-ups.
#[derive(Clone, Copy, Debug)]
pub struct Neon {
    low_nibbles: uint8x16_t,
}

/// One intrinsic, once it is inlined where the instructions are enabled.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: a value of the set exists only on a CPU that has the instructions.
        unsafe { $call }
    };
}

/// The two tables of a constant.
#[derive(Clone, Copy, Debug)]
pub struct NibbleRegisters {
    low: uint8x16_t,
    high: uint8x16_t,
}

impl Vectors for Neon {
    const NAME: &'static str = "neon";
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;
    type Vector = uint8x16_t;
    type Multiplier = NibbleTables;
    type Factor = NibbleRegisters;
    /// The low and the high nibbles.
    type Operand = (uint8x16_t, uint8x16_t);

    fn detect() -> Option<Self> {
        // SAFETY: the instruction runs where it was found.
        std::arch::is_aarch64_feature_detected!("neon").then(|| Self { low_nibbles: unsafe { vdupq_n_u8(0x0f) } })
    }

    #[inline]
    fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn enabled<K: Kernel<Neon>>(kernel: K, v: Neon) -> K::Output {
            kernel.run(v)
        }
        // SAFETY: a value of the set exists only on a CPU that has the instructions.
        unsafe { enabled(kernel, self) }
    }

    fn multiplier(map: &ByteMap) -> NibbleTables {
        map.nibbles()
    }

    #[inline(always)]
    fn factor(self, multiplier: &NibbleTables) -> NibbleRegisters {
        // SAFETY: each table has 16 bytes.
        let table = |table: &[u8; 16]| unsafe { vld1q_u8(table.as_ptr()) };
        NibbleRegisters { low: table(&multiplier.low), high: table(&multiplier.high) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> uint8x16_t {
        // SAFETY: 16 bytes can be read.
        unsafe { vld1q_u8(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, vector: uint8x16_t) {
        // SAFETY: 16 bytes can be written.
        unsafe { vst1q_u8(to, vector) }
    }

    #[inline(always)]
    fn zero(self) -> uint8x16_t {
        intrinsic!(vdupq_n_u8(0))
    }

    #[inline(always)]
    fn xor(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        intrinsic!(veorq_u8(a, b))
    }

    #[inline(always)]
    fn operand(self, vector: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
        (intrinsic!(vandq_u8(vector, self.low_nibbles)), intrinsic!(vshrq_n_u8::<4>(vector)))
    }

    #[inline(always)]
    fn product(self, factor: NibbleRegisters, (low, high): (uint8x16_t, uint8x16_t)) -> uint8x16_t {
        self.xor(intrinsic!(vqtbl1q_u8(factor.low, low)), intrinsic!(vqtbl1q_u8(factor.high, high)))
    }

    /// The architecture's prefetch is not in stable Rust; the hardware's follows rows by itself.
    #[inline(always)]
    fn prefetch(self, _address: *const u8) {}
}
