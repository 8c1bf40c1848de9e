//! Vectors of x86-64: byte shuffles, and bit matrices in two widths.

use std::arch::x86_64::*;

use super::{ByteMap, Kernel, NibbleTables, Vectors};

/// One intrinsic, once it is inlined where the instructions are enabled.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: a value of the set exists only on a CPU that has the instructions.
        unsafe { $call }
    };
}

/// What the sets share but for the names: entering, memory, and the sum of two.
macro_rules! entered_with {
    ($features:literal, $vector:ty, $load:ident, $store:ident, $zero:ident, $xor:ident) => {
        type Vector = $vector;

        #[inline]
        fn run<K: Kernel<Self>>(self, kernel: K) -> K::Output {
            #[target_feature(enable = $features)]
            fn enabled<V: Vectors, K: Kernel<V>>(kernel: K, v: V) -> K::Output {
                kernel.run(v)
            }
            // SAFETY: a value of the set exists only on a CPU that has the instructions.
            unsafe { enabled(kernel, self) }
        }

        #[inline(always)]
        unsafe fn load(self, from: *const u8) -> $vector {
            // SAFETY: a vector can be read.
            unsafe { $load(from.cast()) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut u8, vector: $vector) {
            // SAFETY: a vector can be written.
            unsafe { $store(to.cast(), vector) }
        }

        #[inline(always)]
        fn zero(self) -> $vector {
            intrinsic!($zero())
        }

        #[inline(always)]
        fn xor(self, a: $vector, b: $vector) -> $vector {
            intrinsic!($xor(a, b))
        }

        #[inline(always)]
        fn prefetch(self, address: *const u8) {
            intrinsic!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
        }
    };
}

/// What multiplication by bit matrices shares in both widths.
macro_rules! bit_matrices {
    ($vector:ty, $broadcast:ident, $affine:ident) => {
        type Multiplier = u64;
        type Factor = $vector;
        type Operand = $vector;

        fn multiplier(map: &ByteMap) -> u64 {
            map.bit_matrix()
        }

        #[inline(always)]
        fn factor(self, multiplier: &u64) -> $vector {
            intrinsic!($broadcast(multiplier.cast_signed()))
        }

        #[inline(always)]
        fn operand(self, vector: $vector) -> $vector {
            vector
        }

        #[inline(always)]
        fn product(self, factor: $vector, operand: $vector) -> $vector {
            intrinsic!($affine::<0>(operand, factor))
        }
    };
}

/// 256-bit vectors and byte shuffles.
#[derive(Clone, Copy, Debug)]
pub struct Avx2 {
    low_nibbles: __m256i,
}

/// The two tables of a constant, each in both halves of a register.
#[derive(Clone, Copy, Debug)]
pub struct NibbleRegisters {
    low: __m256i,
    high: __m256i,
}

impl Vectors for Avx2 {
    const NAME: &'static str = "avx2";
    const WIDTH: usize = 32;
    const REGISTERS: usize = 16;
    type Multiplier = NibbleTables;
    type Factor = NibbleRegisters;
    /// The low and the high nibbles.
    type Operand = (__m256i, __m256i);

    fn detect() -> Option<Self> {
        // SAFETY: the instruction runs where it was found.
        is_x86_feature_detected!("avx2").then(|| Self { low_nibbles: unsafe { _mm256_set1_epi8(0x0f) } })
    }

    entered_with!("avx2", __m256i, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_setzero_si256, _mm256_xor_si256);

    fn multiplier(map: &ByteMap) -> NibbleTables {
        map.nibbles()
    }

    #[inline(always)]
    fn factor(self, multiplier: &NibbleTables) -> NibbleRegisters {
        // SAFETY: a table has 16 bytes, and the CPU has the instructions.
        let both = |table: &[u8; 16]| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) };
        NibbleRegisters { low: both(&multiplier.low), high: both(&multiplier.high) }
    }

    #[inline(always)]
    fn operand(self, vector: __m256i) -> (__m256i, __m256i) {
        let low = intrinsic!(_mm256_and_si256(vector, self.low_nibbles));
        (low, intrinsic!(_mm256_and_si256(_mm256_srli_epi64::<4>(vector), self.low_nibbles)))
    }

    #[inline(always)]
    fn product(self, factor: NibbleRegisters, (low, high): (__m256i, __m256i)) -> __m256i {
        let low = intrinsic!(_mm256_shuffle_epi8(factor.low, low));
        self.xor(low, intrinsic!(_mm256_shuffle_epi8(factor.high, high)))
    }
}

/// 256-bit vectors and bit matrices.
#[derive(Clone, Copy, Debug)]
pub struct Gfni256(());

impl Vectors for Gfni256 {
    const NAME: &'static str = "gfni-256";
    const WIDTH: usize = 32;
    const REGISTERS: usize = 16;

    fn detect() -> Option<Self> {
        (is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2")).then_some(Self(()))
    }

    entered_with!(
        "gfni,avx2",
        __m256i,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_setzero_si256,
        _mm256_xor_si256
    );
    bit_matrices!(__m256i, _mm256_set1_epi64x, _mm256_gf2p8affine_epi64_epi8);
}

/// 512-bit vectors and bit matrices.
#[derive(Clone, Copy, Debug)]
pub struct Gfni512(());

impl Vectors for Gfni512 {
    const NAME: &'static str = "gfni-512";
    const WIDTH: usize = 64;
    const REGISTERS: usize = 32;

    fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx512f");
        (found && is_x86_feature_detected!("avx512bw")).then_some(Self(()))
    }

    entered_with!(
        "gfni,avx512f,avx512bw",
        __m512i,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_setzero_si512,
        _mm512_xor_si512
    );
    bit_matrices!(__m512i, _mm512_set1_epi64, _mm512_gf2p8affine_epi64_epi8);
}
