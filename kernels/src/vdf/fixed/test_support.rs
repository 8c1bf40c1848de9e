//! What the tests share: conversions to and from the oracle's integers, and numbers that are random or extreme.

use dashu_int::UBig;

use super::nat::Nat;

pub fn big(limbs: &[u64]) -> UBig {
    UBig::from_words(limbs)
}

pub fn nat(limbs: &[u64]) -> Nat {
    Nat::from_limbs(limbs).expect("test numbers fit")
}

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.word() >> 32) as usize % bound
    }

    /// Random, all ones, a power of two, nearly one, or 0.
    pub fn limb(&mut self) -> u64 {
        let word = self.word();
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << (word % 64),
            3 => (1 << (word % 64)) - 1,
            4 => !(1 << (word % 64)),
            _ => word,
        }
    }

    /// From 1 to `max` limbs of a mixture of patterns, zero top limbs among them.
    pub fn limbs(&mut self, max: usize) -> Vec<u64> {
        let len = 1 + self.below(max);
        match self.below(6) {
            0 => vec![u64::MAX; len],
            1 => {
                let mut limbs = vec![0; len];
                limbs[self.below(len)] = 1 << self.below(64);
                limbs
            }
            2 => (0..len).map(|_| self.word()).collect(),
            3 => {
                let mut limbs: Vec<u64> = (0..len).map(|_| self.word()).collect();
                limbs[len / 2..].fill(0);
                limbs
            }
            _ => (0..len).map(|_| self.limb()).collect(),
        }
    }

    /// [`Random::limbs`], never the number 0.
    pub fn nonzero(&mut self, max: usize) -> Vec<u64> {
        let mut limbs = self.limbs(max);
        if limbs.iter().all(|&limb| limb == 0) {
            limbs[0] = 1 + self.word() % 9;
        }
        limbs
    }
}
