//! The counted limit of an encoding: the instructions that its transforms cannot do without, at the rate at which this core
//! runs them with everything in registers.
//!
//! A product of 32 bytes with a constant is 5 instructions of AVX2 (three to split nibbles, two look-ups), a butterfly 8, and
//! one whose constant is 0 is 1. Not counted are loads, stores, prefetches and loops: nothing that an encoder could be rid of
//! by being larger. What an encoder reaches of it is the ratio of its row, always below 1 unless it needs fewer instructions.

/// Of the row's name.
pub const NAME: &str = "counted limit, AVX2 in registers";

/// What is timed.
pub const TIMED: &str =
    "the butterflies of the transforms alone, on registers: no loads, no stores; the ratio is the share reached";

/// Instructions for 32 bytes of each data chunk, where they have been counted: an inverse transform of the data and the
/// forward one to parity, on the first points, where the first constant of each layer is 0.
fn instructions(k: usize, m: usize) -> Option<usize> {
    if (k, m) == (10, 4) {
        // About: two inverse transforms of 4 points, one with half of them 0, their sums, and a forward one have 103.
        return Some(100);
    }
    let butterflies = k / 2 * k.checked_ilog2()? as usize;
    (k == m && k.is_power_of_two()).then(|| 8 * butterflies + 8 * (butterflies - (k - 1)) + (k - 1))
}

/// As many butterflies as have the instructions of an encoding of this shape and length. None where there is no count, or
/// this CPU has no such instructions.
pub fn butterflies(k: usize, m: usize, chunk_bytes: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        return Some(instructions(k, m)? * chunk_bytes / 32 / 8);
    }
    _ = (instructions(k, m), chunk_bytes);
    None
}

/// So many butterflies on 32 bytes. False if there are no such instructions here.
pub fn run(butterflies: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: as checked.
        unsafe { x86_64::run(butterflies) };
        return true;
    }
    _ = butterflies;
    false
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_srli_epi64, _mm256_xor_si256,
    };
    use std::hint::black_box;

    /// Pairs side by side: enough that none waits for another, few enough to stay in registers.
    const PAIRS: usize = 4;

    #[target_feature(enable = "avx2")]
    pub fn run(butterflies: usize) {
        let byte = |value: i8| _mm256_set1_epi8(black_box(value));
        let (mask, low_table, high_table) = (byte(15), byte(0x35), byte(0x53));
        let mut pairs: [[__m256i; 2]; PAIRS] =
            [[byte(1), byte(2)], [byte(3), byte(4)], [byte(5), byte(6)], [byte(7), byte(8)]];
        for _ in 0..butterflies.div_ceil(PAIRS) {
            for [low, high] in &mut pairs {
                *high = _mm256_xor_si256(*high, *low);
                let low_nibbles = _mm256_and_si256(*high, mask);
                let high_nibbles = _mm256_and_si256(_mm256_srli_epi64::<4>(*high), mask);
                *low = _mm256_xor_si256(*low, _mm256_shuffle_epi8(low_table, low_nibbles));
                *low = _mm256_xor_si256(*low, _mm256_shuffle_epi8(high_table, high_nibbles));
            }
        }
        black_box(pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_transforms() {
        assert_eq!(instructions(32, 32), Some(1063));
        // Two points: an inverse butterfly and a sum.
        assert_eq!(instructions(2, 2), Some(9));
        assert_eq!((instructions(85, 171), instructions(0, 0), instructions(64, 32)), (None, None, None));
    }
}
