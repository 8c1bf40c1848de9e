//! Primality: a sieve over progressions, the base-2 test that rejects nearly all the rest, and Miller-Rabin rounds.
//!
//! Miller-Rabin with bases derived from the number by SHA-256, so that every host gives the same answer and nobody can
//! choose a composite for bases known in advance. Error bounds, for a composite taken for a prime:
//!
//! - a number that somebody supplies: 64 rounds, at most 4^-64 = 2^-128 each time one is tried (Rabin; the bases are
//!   those of a random oracle, fixed only once the number is);
//! - a number found by hashing, which nobody chose: the average-case bound of Damgård, Landrock and Pomerance (Math. Comp.
//!   61, 1993, theorem 2), `k^1.5 2^t t^-0.5 4^(2 - sqrt(t k))` for `k` bits and `t <= k / 9` rounds: 8 rounds from 1024 bits
//!   on (2^-155 there, 2^-229 at 2048), 28 from 256 bits on (2^-127), 64 below. Searching upwards from a random start
//!   instead of drawing afresh costs a small factor (Brandt and Damgård, CRYPTO '92).
//!
//! The base-2 strong test comes on top.

use std::sync::LazyLock;

use dashu_int::UBig;
use dashu_int::monty::MontgomeryRepr;
use sha2::{Digest, Sha256};

use super::integer::Int;

/// Rounds for a number that an adversary may have chosen.
pub(super) const ROUNDS_SUPPLIED: u32 = 64;

/// Rounds for a number of `bits` bits that a hash chose.
pub(super) fn rounds_hashed(bits: usize) -> u32 {
    match bits {
        1024.. => 8,
        256.. => 28,
        _ => 64,
    }
}

/// Whether `n` is prime, with the error bound of the module's page.
pub(super) fn is_prime(n: &Int, rounds: u32) -> bool {
    if n.bits() <= 32 {
        return is_small_prime(n.rem_u64(1 << 32));
    }
    n.is_odd() && SIEVE_PRIMES[..200].iter().all(|&p| n.rem_u64(u64::from(p)) != 0) && is_probable_prime(n, rounds)
}

/// As [`is_prime`] for an odd `n` above 2^32, without trial division: for numbers that a sieve left over.
pub(super) fn is_probable_prime(n: &Int, rounds: u32) -> bool {
    let test = StrongTest::new(n);
    test.passes(&UBig::from(2u8)) && (0..rounds).all(|round| test.passes(&base(n, round)))
}

/// A base in `0..n`, as good as random: 128 bits more than `n` are reduced modulo `n`. The trivial 0, 1 and n - 1 pass
/// any `n` and come up with a chance below 2^-30, in the noise of the bounds.
fn base(n: &Int, round: u32) -> UBig {
    let magnitude = n.magnitude();
    let number = Sha256::digest(magnitude.to_be_bytes());
    let mut bytes = Vec::new();
    let mut block = 0u32;
    while bytes.len() * 8 < n.bits() + 128 {
        let hash = Sha256::new()
            .chain_update(b"shardmark miller-rabin base")
            .chain_update(number)
            .chain_update(round.to_be_bytes())
            .chain_update(block.to_be_bytes());
        bytes.extend_from_slice(&hash.finalize());
        block += 1;
    }
    UBig::from_be_bytes(&bytes) % magnitude
}

/// The strong probable prime test for one odd number. Cohen, algorithm 8.2.2.
struct StrongTest {
    ring: MontgomeryRepr,
    minus_one: UBig,
    odd_part: UBig,
    twos: usize,
}

impl StrongTest {
    fn new(n: &Int) -> Self {
        let n = n.magnitude();
        let minus_one = &n - UBig::ONE;
        let twos = minus_one.trailing_zeros().unwrap_or(0);
        Self { ring: MontgomeryRepr::new(n), odd_part: &minus_one >> twos, minus_one, twos }
    }

    fn passes(&self, base: &UBig) -> bool {
        let minus_one = self.ring.reduce(self.minus_one.clone());
        let one = self.ring.reduce(UBig::ONE);
        let base = self.ring.reduce(base.clone());
        let mut power = base.pow(&self.odd_part);
        if power == one || power == minus_one || base == self.ring.reduce(UBig::ZERO) {
            return true;
        }
        for _ in 1..self.twos {
            power = power.sqr();
            if power == minus_one {
                return true;
            }
        }
        false
    }
}

/// Trial division, for numbers below 2^32.
fn is_small_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// Every prime below 2^20.
pub(super) static SIEVE_PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    const LIMIT: usize = 1 << 20;
    let mut composite = vec![false; LIMIT];
    let mut primes = Vec::new();
    for n in 2..LIMIT {
        if !composite[n] {
            primes.push(n as u32);
            (n * n..LIMIT).step_by(n).for_each(|multiple| composite[multiple] = true);
        }
    }
    primes
});

/// The first prime in `start, start + step, start + 2 step, ...` below `end`.
///
/// # Correctness
///
/// `start` is odd and above 2^32, `step` is even, below 2^32, and shares no factor with `start`.
pub(super) fn first_prime_in_progression(start: &Int, step: u32, end: &Int) -> Option<Int> {
    /// Steps sieved at a time; at 2048 bits the prime is about 270 steps away on average.
    const BLOCK: u32 = 4096;
    let rounds = rounds_hashed(start.bits());
    let mut start = start.clone();
    loop {
        let composite = sieve(&start, step, BLOCK as usize);
        for (index, _) in composite.iter().enumerate().filter(|(_, composite)| !**composite) {
            let candidate = &start + Int::from(u64::from(step) * index as u64);
            if candidate >= *end {
                return None;
            }
            if is_probable_prime(&candidate, rounds) {
                return Some(candidate);
            }
        }
        start = start + Int::from(u64::from(step) * u64::from(BLOCK));
    }
}

/// Which of `start + i step`, `i < len`, have a small factor.
fn sieve(start: &Int, step: u32, len: usize) -> Vec<bool> {
    let mut composite = vec![false; len];
    // The prime at which sieving costs as much as the base-2 tests it saves: the cost of a test grows with the cube of
    // the size. Estimated from timings: about 2^20 at 2048 bits.
    let limit = (start.bits().pow(3) >> 13) as u64;
    let depth = SIEVE_PRIMES.partition_point(|&p| u64::from(p) < limit);
    // Three remainders for one pass over the words of a long number: the product of three primes is below 2^60.
    for triple in SIEVE_PRIMES[..depth].chunks(3) {
        let product = triple.iter().map(|&p| u64::from(p)).product();
        let remainder = start.rem_u64(product);
        for &p in triple {
            let p64 = u64::from(p);
            let Some(inverse) = inverse_modulo(u64::from(step) % p64, p64) else {
                continue; // p divides the step and so no candidate.
            };
            // start + i step = 0 modulo p.
            let first = (p64 - remainder % p64) % p64 * inverse % p64;
            (first as usize..len).step_by(p as usize).for_each(|index| composite[index] = true);
        }
    }
    composite
}

/// The inverse of `a` modulo the prime `p`, or `None` for 0.
fn inverse_modulo(a: u64, p: u64) -> Option<u64> {
    if a == 0 {
        return None;
    }
    let (mut r0, mut r1, mut t0, mut t1) = (p as i64, a as i64, 0i64, 1i64);
    while r1 != 0 {
        let q = r0 / r1;
        (r0, r1) = (r1, r0 - q * r1);
        (t0, t1) = (t1, t0 - q * t1);
    }
    Some(t0.rem_euclid(p as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_agree_with_the_sieve() {
        let primes: Vec<u64> = (0..2000).filter(|&n| is_prime(&Int::from(n), 8)).collect();
        let sieved: Vec<u64> = SIEVE_PRIMES.iter().map(|&p| u64::from(p)).take_while(|&p| p < 2000).collect();
        assert_eq!(primes, sieved);
        assert_eq!((SIEVE_PRIMES.len(), primes.len()), (82_025, 303));
    }

    #[test]
    fn strong_pseudoprimes_and_carmichael_numbers_are_composite() {
        // Strong pseudoprimes to base 2 (OEIS A001262), Carmichael numbers, and psi_9 to psi_11, which pass 2 to 31 (Jiang, Deng).
        for n in [2047u64, 3277, 29_341, 561, 1105, 3_825_123_056_546_413_051, 318_665_857_834_031_151] {
            assert!(!is_prime(&Int::from(n), 16), "{n}");
        }
        let psi_9 = StrongTest::new(&Int::from(3_825_123_056_546_413_051));
        assert!([2u8, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31].into_iter().all(|base| psi_9.passes(&UBig::from(base))));
        assert!(!psi_9.passes(&UBig::from(37u8)), "a base that tells");
    }

    #[test]
    fn large_primes_pass_and_their_products_do_not() {
        let mersenne = |n| Int::power_of_two(n) - Int::from(1);
        for n in [61, 89, 107, 127, 521, 607, 1279] {
            assert!(is_prime(&mersenne(n), 8), "2^{n} - 1");
        }
        for (n, m) in [(61, 89), (127, 521), (607, 607)] {
            assert!(!is_probable_prime(&(mersenne(n) * mersenne(m)), 8));
        }
        assert!(!is_prime(&mersenne(2047), 8));
    }

    #[test]
    fn the_progression_gives_its_first_prime() {
        for start in [(1u64 << 40) + 1, (1 << 40) + 7, (1 << 50) + 5] {
            let end = Int::from(u64::MAX);
            let found = first_prime_in_progression(&Int::from(start), 2, &end).unwrap();
            let first = (0..).map(|i| Int::from(start + 2 * i)).find(|n| is_prime(n, 16)).unwrap();
            assert_eq!(found, first);
            assert_eq!(first_prime_in_progression(&Int::from(start), 2, &first), None, "the end is exclusive");
        }
    }
}
