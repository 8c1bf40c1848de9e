//! GMP, from the system: modular squarings by one exponentiation, and Harmony's discriminant by sieve and Fermat's test.

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::rsa::{self, Opened, Squarings};
use super::{Peer, discriminant};

/// `__mpz_struct` of gmp.h.
#[repr(C)]
struct Integer {
    allocated: c_int,
    size: c_int,
    limbs: *mut c_void,
}

// Declared by hand after gmp.h, by the names that its macros give. Nothing is kept beyond a call, and results may be operands.
#[link(name = "gmp")]
unsafe extern "C" {
    fn __gmpz_init(x: *mut Integer);
    fn __gmpz_clear(x: *mut Integer);
    fn __gmpz_set(x: *mut Integer, to: *const Integer);
    fn __gmpz_set_ui(x: *mut Integer, to: c_ulong);
    fn __gmpz_setbit(x: *mut Integer, bit: c_ulong);
    fn __gmpz_add_ui(sum: *mut Integer, a: *const Integer, b: c_ulong);
    fn __gmpz_sub_ui(difference: *mut Integer, a: *const Integer, b: c_ulong);
    /// The remainder, 0 or above, by a `divisor` above 0.
    fn __gmpz_fdiv_ui(x: *const Integer, divisor: c_ulong) -> c_ulong;
    /// The modulus is not 0.
    fn __gmpz_powm(power: *mut Integer, base: *const Integer, exponent: *const Integer, modulus: *const Integer);
    fn __gmpz_cmp(a: *const Integer, b: *const Integer) -> c_int;
    fn __gmpz_cmp_si(a: *const Integer, b: c_long) -> c_int;
    /// 0 for a composite. `rounds` above 24 are rounds of Miller-Rabin beyond Baillie-PSW, from version 6.2 on.
    fn __gmpz_probab_prime_p(x: *const Integer, rounds: c_int) -> c_int;
    fn __gmpz_sizeinbase(x: *const Integer, base: c_int) -> usize;
    fn __gmpz_import(
        x: *mut Integer,
        count: usize,
        order: c_int,
        size: usize,
        endian: c_int,
        nails: usize,
        bytes: *const c_void,
    );
    fn __gmpz_export(
        bytes: *mut c_void,
        count: *mut usize,
        order: c_int,
        size: usize,
        endian: c_int,
        nails: usize,
        x: *const Integer,
    ) -> *mut c_void;
}

/// An integer that GMP has initialised: every function below is sound on it.
struct Mpz(Integer);

impl Mpz {
    fn new() -> Self {
        let mut integer = Integer { allocated: 0, size: 0, limbs: std::ptr::null_mut() };
        // SAFETY: the structure may be written, whatever it holds.
        unsafe { __gmpz_init(&mut integer) };
        Self(integer)
    }

    fn from_be_bytes(bytes: &[u8]) -> Self {
        let mut x = Self::new();
        // SAFETY: the slice holds as many words of one byte as are read.
        unsafe { __gmpz_import(&mut x.0, bytes.len(), 1, 1, 1, 0, bytes.as_ptr().cast()) };
        x
    }

    /// The magnitude, filled up to `length` with zeros; None if it is longer.
    fn to_be_bytes(&self, length: usize) -> Option<Vec<u8>> {
        // SAFETY: initialised.
        let needed = unsafe { __gmpz_sizeinbase(&self.0, 2) }.div_ceil(8);
        let mut bytes = vec![0; length];
        let target = bytes.get_mut(length.checked_sub(needed)?..)?;
        // 0 has one digit and exports nothing, which the zeros are right for.
        // SAFETY: the target has the bytes that the magnitude needs.
        unsafe { __gmpz_export(target.as_mut_ptr().cast(), std::ptr::null_mut(), 1, 1, 1, 0, &self.0) };
        Some(bytes)
    }

    fn set(&mut self, to: &Self) {
        // SAFETY: both are initialised.
        unsafe { __gmpz_set(&mut self.0, &to.0) }
    }

    fn set_bit(&mut self, bit: u64) {
        // SAFETY: initialised.
        unsafe { __gmpz_setbit(&mut self.0, bit as c_ulong) }
    }

    fn add(&mut self, b: u64) {
        let operand: *const Integer = &raw const self.0;
        // SAFETY: initialised; the result may be the operand.
        unsafe { __gmpz_add_ui(&mut self.0, operand, b as c_ulong) }
    }

    /// `self = a - b`.
    fn set_difference(&mut self, a: &Self, b: u64) {
        // SAFETY: both are initialised.
        unsafe { __gmpz_sub_ui(&mut self.0, &a.0, b as c_ulong) }
    }

    fn remainder(&self, divisor: u64) -> u64 {
        assert!(divisor > 0);
        // SAFETY: the divisor is not 0.
        unsafe { __gmpz_fdiv_ui(&self.0, divisor as c_ulong) as u64 }
    }

    /// `self = base^exponent` modulo `modulus`.
    fn set_power(&mut self, base: &Self, exponent: &Self, modulus: &Self) {
        assert!(!modulus.equals(0));
        // SAFETY: all are initialised, the modulus is not 0 and the exponents here are never negative.
        unsafe { __gmpz_powm(&mut self.0, &base.0, &exponent.0, &modulus.0) }
    }

    fn equals(&self, value: c_long) -> bool {
        // SAFETY: initialised.
        unsafe { __gmpz_cmp_si(&self.0, value) == 0 }
    }

    fn is_below(&self, other: &Self) -> bool {
        // SAFETY: both are initialised.
        unsafe { __gmpz_cmp(&self.0, &other.0) < 0 }
    }

    fn is_probably_prime(&self) -> bool {
        // SAFETY: initialised.
        unsafe { __gmpz_probab_prime_p(&self.0, PRIME_ROUNDS) != 0 }
    }
}

impl Drop for Mpz {
    fn drop(&mut self) {
        // SAFETY: initialised, and not used afterwards.
        unsafe { __gmpz_clear(&mut self.0) }
    }
}

/// Squarings by `mpz_powm` with the exponent `2^T`.
pub const POWM: Peer<rsa::Open> =
    Peer { name: concat!("GMP ", env!("VERSUS_GMP"), " mpz_powm"), timed: "one mpz_powm by 2^T", call: Some(open) };

struct Powm {
    modulus: Mpz,
    x: Mpz,
    exponent: Mpz,
    power: Mpz,
    length: usize,
}

fn open(modulus_be: &[u8], x: &[u8], iterations: u64) -> Opened {
    let (modulus, x) = (Mpz::from_be_bytes(modulus_be), Mpz::from_be_bytes(x));
    if modulus_be.last().is_none_or(|byte| byte % 2 == 0) || !x.is_below(&modulus) || iterations > 1 << 32 {
        return Err("GMP: an odd modulus, x below it and at most 2^32 iterations".into());
    }
    let mut exponent = Mpz::new();
    exponent.set_bit(iterations);
    Ok(Box::new(Powm { modulus, x, exponent, power: Mpz::new(), length: modulus_be.len() }))
}

impl Squarings for Powm {
    fn run(&mut self) -> Option<Vec<u8>> {
        self.power.set_power(&self.x, &self.exponent, &self.modulus);
        self.power.to_be_bytes(self.length)
    }
}

/// The search for a discriminant.
pub const SEARCH: Peer<discriminant::Find> = Peer {
    name: concat!("GMP ", env!("VERSUS_GMP"), " sieve and mpz_powm"),
    timed: "the peer sieves to 2^16 with tables made before, tests base 2 by mpz_powm (Fermat) and the prime by \
            mpz_probab_prime_p(.., 25): Baillie-PSW and one round of Miller-Rabin",
    call: Some(search),
};

/// What GMP's manual calls reasonable is 15 to 50; from 25 on there is a Miller-Rabin round besides Baillie-PSW.
const PRIME_ROUNDS: c_int = 25;

const MODULUS: u64 = 8 * 3 * 5 * 7 * 11 * 13;
const SIEVE_LIMIT: u64 = 1 << 16;
/// Steps sieved at a time, as on our side.
const BLOCK: usize = 4096;

/// The residues of the rule: 7 modulo 8, no factor shared with the modulus.
static RESIDUES: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let shares_no_factor = |r: &u64| [3, 5, 7, 11, 13].into_iter().all(|p| !r.is_multiple_of(p));
    (7..MODULUS).step_by(8).filter(shares_no_factor).collect()
});

/// Primes of the sieve: one remainder of the long number does for four.
struct Four {
    product: u64,
    /// Each with the inverse of the rule's modulus.
    primes: Vec<(u64, u64)>,
}

/// All primes of the sieve that do not divide the modulus.
static PRIMES: LazyLock<Vec<Four>> = LazyLock::new(|| {
    let mut composite = vec![false; SIEVE_LIMIT as usize];
    let mut primes = Vec::new();
    for n in 2..SIEVE_LIMIT {
        if !composite[n as usize] {
            (n * n..SIEVE_LIMIT).step_by(n as usize).for_each(|multiple| composite[multiple as usize] = true);
            primes.push(n);
        }
    }
    // Fermat: the inverse is the power by p - 2.
    let power = |base: u64, exponent: u64, p: u64| {
        let bits = (0..u64::BITS - exponent.leading_zeros()).rev().map(|bit| exponent >> bit & 1);
        bits.fold(1, |power, bit| (power * power % p) * (if bit == 1 { base } else { 1 }) % p)
    };
    let prepared: Vec<_> =
        primes.into_iter().filter(|p| !MODULUS.is_multiple_of(*p)).map(|p| (p, power(MODULUS % p, p - 2, p))).collect();
    let four =
        |primes: &[(u64, u64)]| Four { product: primes.iter().map(|(p, _)| p).product(), primes: primes.to_vec() };
    prepared.chunks(4).map(four).collect()
});

/// The discriminant's magnitude by Harmony's rule (`kernels/src/vdf/README.md`), `bits / 8` bytes; None if there is none of
/// this size.
fn search(bits: u32, seed: &[u8; 32]) -> Option<Vec<u8>> {
    let length = bits as usize / 8;
    let entropy = (0..=u16::MAX).flat_map(|counter| {
        let hash = Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        <[u8; 32]>::from(hash)
    });
    let entropy: Vec<u8> = entropy.take(length + 2).collect();
    let residue = RESIDUES[usize::from(u16::from_be_bytes([entropy[length], entropy[length + 1]])) % RESIDUES.len()];
    let mut number = Mpz::from_be_bytes(&entropy[..length]);
    number.set_bit(u64::from(bits) - 1);
    let mut start = Mpz::new();
    start.set_difference(&number, number.remainder(MODULUS));
    start.add(residue);

    let (mut candidate, mut minus_one, mut power) = (Mpz::new(), Mpz::new(), Mpz::new());
    let mut two = Mpz::new();
    // SAFETY: initialised.
    unsafe { __gmpz_set_ui(&mut two.0, 2) };
    loop {
        let composite = sieve(&start);
        for (index, _) in composite.iter().enumerate().filter(|(_, composite)| !**composite) {
            candidate.set(&start);
            candidate.add(MODULUS * index as u64);
            minus_one.set_difference(&candidate, 1);
            power.set_power(&two, &minus_one, &candidate);
            if power.equals(1) && candidate.is_probably_prime() {
                return candidate.to_be_bytes(length);
            }
        }
        start.add(MODULUS * BLOCK as u64);
    }
}

/// Which of the next steps of the progression have a small factor.
fn sieve(start: &Mpz) -> Vec<bool> {
    let mut composite = vec![false; BLOCK];
    for four in PRIMES.iter() {
        let remainder = start.remainder(four.product);
        for (p, inverse) in &four.primes {
            // start + i MODULUS = 0 modulo p.
            let first = (p - remainder % p) % p * inverse % p;
            (first as usize..BLOCK).step_by(*p as usize).for_each(|index| composite[index] = true);
        }
    }
    composite
}

#[cfg(test)]
mod tests {
    use shardmark_kernels::vdf::DiscriminantValue;

    use super::super::seed;
    use super::*;

    #[test]
    fn the_search_finds_the_kernels_discriminants() {
        for bits in [256, 264, 512, 1024] {
            for index in 0..8 {
                let want = DiscriminantValue::from_seed(bits, &seed(index)).unwrap().to_bytes();
                assert_eq!(search(bits, &seed(index)), Some(want), "{bits} bits, seed {index}");
            }
        }
    }

    #[test]
    fn bytes_come_back_filled_up_and_never_cut() {
        for bytes in [&[][..], &[0], &[1], &[0x80, 0], &[0xff; 17]] {
            let x = Mpz::from_be_bytes(bytes);
            let want = [vec![0; 20 - bytes.len()], bytes.to_vec()].concat();
            assert_eq!(x.to_be_bytes(20), Some(want));
        }
        assert_eq!(Mpz::from_be_bytes(&[1, 0]).to_be_bytes(1), None);
    }
}
