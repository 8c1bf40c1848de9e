//! Primality: a sieve over progressions, the base-2 test that rejects nearly all the rest, and Miller-Rabin rounds.
//!
//! The base-2 test is Fermat's, on as many candidates at once as the [`Engine`] has lanes; what passes it has to pass the
//! strong one and the rounds, one by one.
//!
//! Miller-Rabin with bases derived from the number by SHA-256, so that every host gives the same answer and nobody can
//! choose a composite for bases known in advance. Error bounds, for a composite taken for a prime:
//!
//! - a number that somebody supplies: 64 rounds, at most 4^-64 = 2^-128 each time one is tried (Rabin; the bases are
//!   those of a random oracle, fixed only once the number is);
//! - a number found by hashing, which nobody chose: the average-case bound of Damgård, Landrock and Pomerance (Math. Comp.
//!   61, 1993, theorem 2), `k^1.5 2^t t^-0.5 4^(2 - sqrt(t k))` for `k` bits and `t <= k / 9` rounds: as many as make `t k`
//!   6144 from 1024 bits on (6 there and 3 at 2048, 2^-133), 28 from 256 bits on (2^-127), 64 below. Searching upwards
//!   from a random start instead of drawing afresh costs a small factor (Brandt and Damgård, CRYPTO '92).
//!
//! The base-2 strong test comes on top.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::integer::Int;
use super::modular::{Engine, Montgomery};

/// Rounds for a number that an adversary may have chosen.
pub(super) const ROUNDS_SUPPLIED: u32 = 64;

/// Rounds for a number of `bits` bits that a hash chose.
pub(super) fn rounds_hashed(bits: usize) -> u32 {
    match bits {
        1024.. => 6144usize.div_ceil(bits) as u32,
        256.. => 28,
        _ => 64,
    }
}

/// Whether `n` is prime, with the error bound of the module's page.
pub(super) fn is_prime(n: &Int, rounds: u32) -> bool {
    if n.bits() <= 32 {
        return is_small_prime(n.rem_u64(1 << 32));
    }
    n.is_odd() && has_no_small_factor(n) && is_probable_prime(n, rounds)
}

/// As [`is_prime`] for an odd `n` above 2^32, without trial division: for numbers that a sieve left over.
pub(super) fn is_probable_prime(n: &Int, rounds: u32) -> bool {
    let test = StrongTest::new(n);
    test.passes(&Int::from(2)) && (0..rounds).all(|round| test.passes(&base(n, round)))
}

/// A base in `0..n`, as good as random: 128 bits more than `n` are reduced modulo `n`. The trivial 0, 1 and n - 1 pass
/// any `n` and come up with a chance below 2^-30, in the noise of the bounds.
fn base(n: &Int, round: u32) -> Int {
    let number = Sha256::digest(n.magnitude().to_be_bytes());
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
    Int::from_be_bytes(&bytes).rem_floor(n)
}

/// The strong probable prime test for one odd number. Cohen, algorithm 8.2.2.
enum StrongTest {
    Word(u64),
    Long(Box<Montgomery>),
}

impl StrongTest {
    fn new(n: &Int) -> Self {
        Montgomery::new(n.limbs()).map_or_else(|| Self::Word(n.word_at(0)), |ring| Self::Long(Box::new(ring)))
    }

    fn passes(&self, base: &Int) -> bool {
        match self {
            Self::Word(n) => base.is_zero() || passes_word(*n, base.word_at(0)),
            Self::Long(ring) => {
                base.is_zero() || ring.to_form(base.limbs()).is_some_and(|base| ring.is_strong_probable_prime(&base))
            }
        }
    }
}

fn passes_word(n: u64, base: u64) -> bool {
    let multiply = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let twos = (n - 1).trailing_zeros();
    let (mut power, mut square) = (1, base % n);
    for bit in 0..u64::BITS - twos {
        if (n - 1) >> twos >> bit & 1 == 1 {
            power = multiply(power, square);
        }
        square = multiply(square, square);
    }
    power == 1
        || (0..twos).any(|_| {
            let last = power;
            power = multiply(last, last);
            last == n - 1
        })
}

/// The first candidate that is prime, as many at a time as the engine has lanes; `None` when there is none. Candidates are
/// odd, above 2^32, and a hash chose them.
fn first(engine: Engine, mut candidates: impl Iterator<Item = Int>) -> Option<Int> {
    loop {
        let batch: Vec<Int> = candidates.by_ref().take(engine.lanes()).collect();
        if batch.is_empty() {
            return None;
        }
        let passed = engine.fermat_base_2(&batch);
        if let Some((prime, _)) = batch.into_iter().zip(passed).find(|(n, passed)| *passed && is_prime_hashed(n)) {
            return Some(prime);
        }
    }
}

/// Whether an odd number above 2^32 that a hash chose is prime.
pub(super) fn is_prime_hashed(n: &Int) -> bool {
    is_probable_prime(n, rounds_hashed(n.bits()))
}

/// The first prime among candidates that a hash chose, which never end. Those below 2^32 count as composite.
pub(super) fn first_prime(engine: Engine, candidate: impl FnMut() -> Int) -> Int {
    let mut likely = likely(candidate);
    loop {
        // Ends with a prime only.
        if let Some(prime) = first(engine, likely.by_ref()) {
            return prime;
        }
    }
}

/// The candidates without a small factor.
pub(super) fn likely(candidate: impl FnMut() -> Int) -> impl Iterator<Item = Int> {
    std::iter::repeat_with(candidate).filter(|n| n.is_odd() && n.bits() > 32 && has_no_small_factor(n))
}

/// Whether an odd number above 2^32 has no factor among the primes below about 1200.
fn has_no_small_factor(n: &Int) -> bool {
    SMALL_PRODUCTS.iter().all(|(product, primes)| {
        let remainder = n.rem_u64(*product);
        primes.iter().all(|&p| !remainder.is_multiple_of(u64::from(p)))
    })
}

/// The odd primes below 1200 with their products, as many of them as fit a word.
static SMALL_PRODUCTS: LazyLock<Vec<(u64, Vec<u32>)>> = LazyLock::new(|| {
    let mut products: Vec<(u64, Vec<u32>)> = Vec::new();
    for &p in SIEVE_PRIMES.iter().skip(1).take_while(|&&p| p < 1200) {
        match products
            .last_mut()
            .and_then(|(product, primes)| Some((product.checked_mul(u64::from(p))?, product, primes)))
        {
            Some((next, product, primes)) => {
                *product = next;
                primes.push(p);
            }
            None => products.push((u64::from(p), vec![p])),
        }
    }
    products
});

/// Trial division, for numbers below 2^32.
fn is_small_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

/// Every prime below 2^21.
pub(super) static SIEVE_PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    const LIMIT: usize = 1 << 21;
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

/// Finds the first primes of progressions with one step.
pub(super) struct Progression {
    step: u32,
    triples: Vec<Triple>,
}

/// Three primes, whose product is below 2^63: one pass over the limbs of a long number gives three remainders.
struct Triple {
    product: u64,
    /// `-1 / product` modulo 2^64.
    inverse: u64,
    /// 2^128 modulo the product.
    square: u64,
    primes: [u32; 3],
    /// Those of the step modulo each prime.
    inverses: [u32; 3],
}

impl Triple {
    /// `a b / 2^64` modulo the product, for any limb `a` and `b` below the product (P. Montgomery, Math. Comp. 44, 1985).
    fn multiply(&self, a: u64, b: u64) -> u64 {
        let wide = u128::from(a) * u128::from(b);
        let sum = self.shift(wide as u64) + (wide >> 64) as u64;
        sum.checked_sub(self.product).unwrap_or(sum)
    }

    /// `low / 2^64` modulo the product, at most the product.
    fn shift(&self, low: u64) -> u64 {
        let multiple = u128::from(low.wrapping_mul(self.inverse)) * u128::from(self.product);
        (multiple >> 64) as u64 + u64::from(low != 0)
    }

    /// The remainder of a number of one limb or more.
    fn remainder(&self, limbs: &[u64]) -> u64 {
        let step = |rest: u64, limb: &u64| {
            let (low, carry) = rest.overflowing_add(*limb);
            self.shift(low) + u64::from(carry)
        };
        let divided = limbs.iter().fold(0, step);
        // That is the number over 2^(64 n). With 2^(64 (n + 1)) it is the number; the power goes by the bits of n.
        let mut power = self.square;
        for bit in (0..limbs.len().ilog2()).rev() {
            power = self.multiply(power, power);
            if limbs.len() >> bit & 1 == 1 {
                power = self.multiply(power, self.square);
            }
        }
        self.multiply(divided, power)
    }
}

impl Progression {
    /// # Correctness
    ///
    /// `step` is even and not 0.
    pub fn new(step: u32) -> Self {
        // Primes that divide the step divide no candidate.
        let useful: Vec<(u32, u32)> = SIEVE_PRIMES
            .iter()
            .filter_map(|&p| {
                let inverse = inverse_modulo(u64::from(step % p), u64::from(p))?;
                Some((p, inverse as u32))
            })
            .collect();
        let triple = |three: &[(u32, u32)]| {
            let product: u64 = three.iter().map(|&(p, _)| u64::from(p)).product();
            // Newton's iteration from 3 bits, which an odd number's own are of its inverse.
            let inverse = (0..5).fold(product, |x, _| x.wrapping_mul(2u64.wrapping_sub(product.wrapping_mul(x))));
            let square = ((u128::MAX % u128::from(product)) as u64 + 1) % product;
            let entry = |i: usize| three.get(i).copied().unwrap_or(three[0]);
            Triple {
                product,
                inverse: inverse.wrapping_neg(),
                square,
                primes: [0, 1, 2].map(|i| entry(i).0),
                inverses: [0, 1, 2].map(|i| entry(i).1),
            }
        };
        Self { step, triples: useful.chunks(3).map(triple).collect() }
    }

    /// The first prime in `start, start + step, start + 2 step, ...` below `end`.
    ///
    /// # Correctness
    ///
    /// As [`Progression::candidates`].
    pub fn first_prime(&self, engine: Engine, start: Int, end: Int) -> Option<Int> {
        first(engine, self.candidates(start, end))
    }

    /// Those of `start, start + step, start + 2 step, ...` below `end` that have no small factor.
    ///
    /// # Correctness
    ///
    /// `start` is odd, above 2^32, and shares no factor with the step.
    pub fn candidates(&self, start: Int, end: Int) -> impl Iterator<Item = Int> {
        /// Steps sieved at a time; at 2048 bits the prime is about 270 steps away on average.
        const BLOCK: u32 = 4096;
        let step = Int::from(u64::from(self.step));
        let length = &step * Int::from(u64::from(BLOCK));
        let blocks = (0u64..).map(move |block| &start + &length * Int::from(block));
        let survivors = blocks.flat_map(move |start| {
            let composite = self.sieve(&start, BLOCK as usize);
            let left = composite.into_iter().enumerate().filter(|(_, composite)| !composite);
            left.map(|(index, _)| &start + &step * Int::from(index as u64)).collect::<Vec<_>>()
        });
        survivors.take_while(move |candidate| *candidate < end)
    }

    /// Which of `start + i step`, `i < len`, have a small factor.
    fn sieve(&self, start: &Int, len: usize) -> Vec<bool> {
        let mut composite = vec![false; len];
        // The prime at which sieving costs as much as the base-2 tests it saves: the cost of a test grows with the cube of
        // the size. Estimated from timings: about 2^21 at 2048 bits.
        let limit = (start.bits().pow(3) >> 12) as u64;
        for triple in self.triples.iter().take_while(|triple| u64::from(triple.primes[0]) < limit) {
            let remainder = triple.remainder(start.limbs());
            for (p, inverse) in triple.primes.iter().zip(triple.inverses) {
                let p64 = u64::from(*p);
                // start + i step = 0 modulo p.
                let first = (p64 - remainder % p64) * u64::from(inverse) % p64;
                (first as usize..len).step_by(*p as usize).for_each(|index| composite[index] = true);
            }
        }
        composite
    }
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
        assert_eq!((SIEVE_PRIMES.len(), primes.len()), (155_611, 303));
    }

    #[test]
    fn strong_pseudoprimes_and_carmichael_numbers_are_composite() {
        // Strong pseudoprimes to base 2 (OEIS A001262), Carmichael numbers, and psi_9 to psi_11, which pass 2 to 31 (Jiang, Deng).
        for n in [2047u64, 3277, 29_341, 561, 1105, 3_825_123_056_546_413_051, 318_665_857_834_031_151] {
            assert!(!is_prime(&Int::from(n), 16), "{n}");
        }
        let psi_9 = StrongTest::new(&Int::from(3_825_123_056_546_413_051));
        assert!([2u64, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31].into_iter().all(|base| psi_9.passes(&Int::from(base))));
        assert!(!psi_9.passes(&Int::from(37)), "a base that tells");
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
        let odd = Progression::new(2);
        for start in [(1u64 << 40) + 1, (1 << 40) + 7, (1 << 50) + 5] {
            let found = odd.first_prime(Engine::SCALAR, Int::from(start), Int::from(u64::MAX)).unwrap();
            let first = (0..).map(|i| Int::from(start + 2 * i)).find(|n| is_prime(n, 16)).unwrap();
            assert_eq!(found, first);
            assert_eq!(odd.first_prime(Engine::SCALAR, Int::from(start), first), None, "the end is exclusive");
        }
    }

    #[test]
    fn remainders_of_long_numbers_are_those_of_division() {
        let progression = Progression::new(120_120);
        let numbers = (1..70usize).flat_map(|limbs| {
            let ones = Int::power_of_two(64 * limbs) - Int::from(1);
            let mixed = ones.div_floor(&Int::from(1_000_003)) + Int::from(5);
            [ones, mixed, Int::power_of_two(64 * limbs - 1)]
        });
        for (index, number) in numbers.enumerate() {
            let some = progression.triples.iter().skip(index).step_by(977);
            for triple in some.chain(progression.triples.last()) {
                assert_eq!(triple.remainder(number.limbs()), number.rem_u64(triple.product), "{number:?}");
            }
        }
        assert!(progression.triples.iter().all(|triple| triple.product < 1 << 63));
    }

    #[test]
    fn the_sieve_strikes_out_the_multiples_of_its_primes_and_nothing_else() {
        let progression = Progression::new(120_120);
        let start = Int::power_of_two(511) + Int::from(17 + 120_120 * 7);
        let limit = (start.bits().pow(3) >> 12) as u64;
        let struck = progression.sieve(&start, 300);
        for (index, struck) in struck.into_iter().enumerate() {
            let candidate = &start + Int::from(120_120 * index as u64);
            let divides = |p: &&u32| u64::from(**p) < limit && candidate.rem_u64(u64::from(**p)) == 0;
            let divisor = SIEVE_PRIMES.iter().filter(|p| 120_120 % **p != 0).find(divides);
            // A last triple may reach beyond the limit.
            assert!(struck || divisor.is_none(), "{index}");
            assert!(!struck || SIEVE_PRIMES.iter().any(|p| candidate.rem_u64(u64::from(*p)) == 0), "{index}");
        }
    }
}
