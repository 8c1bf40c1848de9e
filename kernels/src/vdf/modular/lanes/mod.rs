//! Chains of squarings modulo many odd numbers at once, one number a lane, and Fermat's test of many candidates at once.
//!
//! | module | what |
//! |---|---|
//! | `vector` | what is needed of an instruction set |
//! | `doubles`, `rows` | 4 lanes of doubles: AVX2 and FMA, and a model |
//! | `words` | 8 lanes of integers: AVX-512 IFMA, and a model |
//! | `columns` | Montgomery squaring, once for all of them |
//! | `group` | a group of lanes of one size; Fermat's test |
//! | `integer` | integers of 64-bit limbs |
//!
//! Everything here may take time that depends on moduli and on how many squarings are asked for, but not on values.

mod columns;
mod doubles;
mod group;
mod integer;
#[cfg(target_arch = "x86_64")]
mod rows;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vector;
mod words;

use group::{Group, group};
#[cfg(feature = "wgpu")]
pub use integer::negative_inverse;

/// The least and the most bits of a modulus.
pub const MODULUS_BITS: std::ops::RangeInclusive<usize> = 256..=4096;

/// Vectors to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// 4 lanes by AVX2 and FMA.
    Avx2,
    /// 8 lanes by AVX-512 IFMA.
    Avx512,
    /// The model of [`Lanes::Avx2`] in plain code: slow, for tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "a model for tests"))]
    Emulated4,
    /// The model of [`Lanes::Avx512`] in plain code: slow, for tests.
    Emulated8,
}

impl Lanes {
    /// All there are.
    #[cfg(test)]
    pub const ALL: [Self; 4] = [Self::Avx2, Self::Avx512, Self::Emulated4, Self::Emulated8];

    /// Whether this CPU has the instructions.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
            Self::Emulated4 | Self::Emulated8 => true,
        }
    }

    /// Numbers at once.
    pub fn count(self) -> usize {
        match self {
            Self::Avx2 | Self::Emulated4 => 4,
            Self::Avx512 | Self::Emulated8 => 8,
        }
    }
}

/// What [`Batch::new`] does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This CPU lacks the instructions.
    Unavailable,
    /// There are no moduli, or more than lanes.
    Count,
    /// This one is even.
    Even(usize),
    /// This one has fewer or more bits than [`MODULUS_BITS`].
    Size(usize),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable => write!(f, "this CPU lacks the instructions"),
            Self::Count => write!(f, "no moduli, or more than lanes"),
            Self::Even(i) => write!(f, "modulus {i} is even"),
            Self::Size(i) => write!(f, "modulus {i} has not {} to {} bits", MODULUS_BITS.start(), MODULUS_BITS.end()),
        }
    }
}

impl std::error::Error for Refused {}

/// Odd moduli, one a lane, and a value for each.
#[derive(Clone)]
pub struct Batch {
    group: Box<dyn Group>,
    count: usize,
}

/// The smallest group that holds moduli of so many bits, of the sizes listed: bits, digits, and bits in a digit.
macro_rules! sized {
    ($vector:ty, $moduli:expr, $bits:expr, $fits:expr, $([$most:literal, $digits:literal, $width:literal]),*) => {{
        let bits = $bits;
        $(
            const { assert!($digits * $width >= $most + 8 && $fits($width, $digits)) };
            if bits <= $most {
                return group::<$vector, $digits, $width>($moduli);
            }
        )*
        unreachable!("sizes are checked before")
    }};
}

macro_rules! in_doubles {
    ($vector:ty, $moduli:expr, $bits:expr) => {
        sized!(
            $vector,
            $moduli,
            $bits,
            doubles::fits,
            [256, 6, 49],
            [512, 11, 49],
            [1024, 22, 48],
            [1536, 33, 47],
            [2048, 44, 47],
            [3072, 67, 46],
            [4096, 90, 46]
        )
    };
}

macro_rules! in_words {
    ($vector:ty, $moduli:expr, $bits:expr) => {
        sized!(
            $vector,
            $moduli,
            $bits,
            words::fits,
            [256, 6, 51],
            [512, 11, 51],
            [1024, 21, 51],
            [1536, 31, 51],
            [2048, 41, 51],
            [3072, 61, 51],
            [4096, 81, 51]
        )
    };
}

fn make(lanes: Lanes, moduli: &[Vec<u64>], bits: usize) -> Box<dyn Group> {
    match lanes {
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx2 => in_doubles!(doubles::Avx2, moduli, bits),
        #[cfg(target_arch = "x86_64")]
        Lanes::Avx512 => in_words!(words::Avx512, moduli, bits),
        #[cfg(not(target_arch = "x86_64"))]
        Lanes::Avx2 | Lanes::Avx512 => unreachable!("never available"),
        Lanes::Emulated4 => in_doubles!(doubles::Emulated, moduli, bits),
        Lanes::Emulated8 => in_words!(words::Emulated, moduli, bits),
    }
}

impl Batch {
    /// A batch of up to [`Lanes::count`] odd moduli, as little-endian limbs. All are computed with at the size of the
    /// longest. Values are zero.
    pub fn new(lanes: Lanes, moduli: &[&[u64]]) -> Result<Self, Refused> {
        if !lanes.available() {
            return Err(Refused::Unavailable);
        }
        if moduli.is_empty() || moduli.len() > lanes.count() {
            return Err(Refused::Count);
        }
        let mut longest = 0;
        for (i, modulus) in moduli.iter().enumerate() {
            let bits = integer::bit_length(modulus);
            if !MODULUS_BITS.contains(&bits) {
                return Err(Refused::Size(i));
            }
            if modulus[0] % 2 == 0 {
                return Err(Refused::Even(i));
            }
            longest = longest.max(bits);
        }
        let moduli: Vec<_> =
            moduli.iter().map(|modulus| modulus[..integer::bit_length(modulus).div_ceil(64)].to_vec()).collect();
        Ok(Self { group: make(lanes, &moduli, longest), count: moduli.len() })
    }

    /// Sets the values, of any size, as little-endian limbs.
    ///
    /// # Panics
    ///
    /// There are as many as moduli.
    pub fn set(&mut self, values: &[&[u64]]) {
        assert_eq!(values.len(), self.count, "a value for each modulus");
        self.group.set(values);
    }

    /// Squares every value `count` times.
    pub fn square_times(&mut self, count: u64) {
        self.group.square_times(count);
    }

    /// The values, each below its modulus and as many limbs as that has.
    pub fn values(&self) -> Vec<Vec<u64>> {
        let mut values = self.group.values();
        values.truncate(self.count);
        values
    }

    /// Whether `2^(n-1) = 1` modulo each `n`: so of every prime and of few others. Spoils the values.
    pub fn fermat(&mut self) -> Vec<bool> {
        let mut passed = self.group.fermat();
        passed.truncate(self.count);
        passed
    }
}
