//! What the tests share: conversions to and from the oracle's integers, Gauss' composition and reduction in those, and
//! numbers and forms that are random or extreme.

use dashu_int::ops::{Abs, ExtendedGcd, Gcd, RemEuclid};
use dashu_int::{IBig, UBig};

use super::form::Form;
use super::limbs;
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

/// Coefficients in the oracle's integers.
pub type Triple = (IBig, IBig, IBig);

pub fn triple(form: &Form) -> Triple {
    let b = IBig::from(big(form.b.limbs()));
    (IBig::from(big(form.a.limbs())), if form.negative { -b } else { b }, IBig::from(big(form.c.limbs())))
}

pub fn form((a, b, c): &Triple) -> Form {
    let magnitude = |x: &IBig| nat(x.as_sign_words().1);
    Form { a: magnitude(a), b: magnitude(b), negative: *b < IBig::ZERO, c: magnitude(c) }
}

/// Gauss' reduction.
pub fn reduce((mut a, mut b): (IBig, IBig), d: &IBig) -> Triple {
    loop {
        let twice = &a * IBig::from(2);
        b = IBig::from((&b).rem_euclid(&twice));
        if b > a {
            b -= twice;
        }
        let c = (&b * &b - d) / (IBig::from(4) * &a);
        if a < c {
            return (a, b, c);
        }
        if a == c {
            return (a, b.abs(), c);
        }
        (a, b) = (c, -b);
    }
}

/// Gauss' composition, for primitive forms.
pub fn product((a1, b1, _): &Triple, (a2, b2, c2): &Triple, d: &IBig) -> Triple {
    let two = IBig::from(2);
    let s = (b1 + b2) / &two;
    // v a2 = g1 modulo a1, x g1 + w s = g.
    let (g1, _, v) = a1.gcd_ext(a2);
    let (g, x, w) = IBig::from(g1).gcd_ext(&s);
    let g = IBig::from(g);
    let b = b2 + &two * (a2 / &g) * (x * v * ((b1 - b2) / &two) - w * c2);
    reduce((a1 * a2 / (&g * &g), b), d)
}

pub fn with_first(a: u64, b: i64, d: &IBig) -> Triple {
    let (a, b) = (IBig::from(a), IBig::from(b));
    let c = (&b * &b - d) / (IBig::from(4) * &a);
    (a, b, c)
}

pub fn discriminant((a, b, c): &Triple) -> IBig {
    b * b - IBig::from(4) * a * c
}

/// `-p` for the least prime `p = 7 mod 8` above a random number, by Fermat's test.
pub fn prime_discriminant(random: &mut Random, bits: usize) -> IBig {
    use dashu_int::fast_div::ConstDivisor;
    use dashu_int::modular::IntoRing;
    let mut limbs: Vec<u64> = (0..bits / 64).map(|_| random.word()).collect();
    limbs[0] |= 7;
    limbs[bits / 64 - 1] |= 1 << 63;
    let mut p = big(&limbs);
    loop {
        let small = [3u32, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53].iter().all(|s| &p % *s != 0);
        if small {
            let ring = ConstDivisor::new(p.clone());
            if UBig::from(2u8).into_ring(&ring).pow(&(&p - UBig::ONE)).residue() == UBig::ONE {
                return -IBig::from(p);
            }
        }
        p += UBig::from(8u8);
    }
}

/// A random reduced form whose first coefficient has about `a_bits` bits: `a` times the class of a random form.
pub fn hostile(random: &mut Random, d_bits: usize) -> Option<(IBig, Triple)> {
    // Any a, b, c with b² - 4ac < 0 of the size: no prime discriminant, but gcds and shapes of every kind.
    let max = d_bits / 64;
    let a = IBig::from(big(&random.nonzero(max / 2)));
    let b = match random.below(6) {
        0 => a.clone(),
        1 => IBig::ZERO,
        2 => &a - IBig::ONE,
        3 => IBig::from(big(&random.limbs(2))) % (&a + IBig::ONE),
        _ => IBig::from(big(&random.limbs(max / 2))) % (&a + IBig::ONE),
    };
    let b = if random.below(2) == 0 { -b } else { b };
    let c = match random.below(4) {
        0 => a.clone(),
        1 => &a + IBig::from(random.below(5) as u64),
        _ => &a + IBig::from(big(&random.limbs(max / 2))),
    };
    let form = (a, b, c);
    let d = discriminant(&form);
    let bits = limbs::bits(d.as_sign_words().1);
    let content = { IBig::from((&form.0).gcd(&form.1)).gcd(&form.2) };
    (d < IBig::ZERO && bits <= d_bits && content == UBig::ONE).then(|| {
        let reduced = reduce((form.0, form.1), &d);
        (d, reduced)
    })
}
