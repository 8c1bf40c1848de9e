//! The fields of the additive FFT: GF(2^8) and GF(2^16) in a Cantor basis, and GF(2^8) in the basis of powers.
//!
//! An element is written as its coordinates in a basis `v` with `v[0] = 1` and `v[i]^2 + v[i] = v[i-1]`: the number `x`
//! stands for the sum of the `v[i]` over the set bits `i` of `x`. Chunk bytes are such numbers, and so are the evaluation
//! points. What the basis buys: the polynomial that vanishes on the points below `2^i` maps the point `x` to `x >> i`.
//!
//! The transform asks no more of a basis than that these polynomials, scaled to be 1 at the point `2^i`, have a value and a
//! slope: as polynomials over powers of two they are linear, and their derivatives constant. In the basis of powers, which
//! `rs-vandermonde` has for its points, both are looked up.
//!
//! Source: D. G. Cantor, "On arithmetical algorithms over finite fields" (1989); the two bases, which codes must share to
//! share bytes, are those of the library leopard (catid) and of crate reed-solomon-simd.

use std::sync::{LazyLock, OnceLock};

use super::pattern::walsh_hadamard;

/// A field of characteristic 2 by logarithms.
#[derive(Debug)]
pub(crate) struct Field {
    /// Bits of an element.
    bits: u32,
    /// To the generator's logarithm; `modulus` stands for that of 0.
    log: Vec<u16>,
    /// Back, at logarithms `0..2 * modulus`.
    exp: Vec<u16>,
    /// The Walsh-Hadamard transform of the logarithms below each power of two, made on demand.
    spectra: [OnceLock<Vec<i32>>; 17],
    /// Of each scaled vanishing polynomial its slope and its values; none for a Cantor basis.
    vanishing: Vec<(u16, Vec<u16>)>,
}

/// GF(2)\[z\] / (z^8 + z^4 + z^3 + z^2 + 1).
pub(crate) static GF8: LazyLock<Field> = LazyLock::new(|| Field::new(8, 0x1_1d, &[1, 214, 152, 146, 86, 200, 88, 230]));

/// The same in the basis of powers of z.
pub(crate) static GF8_POWERS: LazyLock<Field> = LazyLock::new(|| {
    let mut field = Field::new(8, 0x1_1d, &[1, 2, 4, 8, 16, 32, 64, 128]);
    field.tabulate();
    field
});

/// GF(2)\[z\] / (z^16 + z^5 + z^3 + z^2 + 1).
pub(crate) static GF16: LazyLock<Field> = LazyLock::new(|| {
    let basis = [
        0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8, 0xfb34,
        0xff38, 0x991e,
    ];
    Field::new(16, 0x1_002d, &basis)
});

impl Field {
    /// `polynomial` is primitive; `basis` in polynomial coordinates.
    fn new(bits: u32, polynomial: u32, basis: &[u16]) -> Self {
        let order = 1usize << bits;
        let mut log_of_polynomial = vec![0; order];
        let mut power = 1u32;
        for log in 0..order - 1 {
            log_of_polynomial[power as usize] = log as u16;
            power <<= 1;
            if power >> bits == 1 {
                power ^= polynomial;
            }
        }
        // The polynomial coordinates of each number: linear in its bits.
        let mut polynomials = vec![0u16; order];
        for (i, vector) in basis.iter().enumerate() {
            for x in 0..1 << i {
                polynomials[x | 1 << i] = polynomials[x] ^ vector;
            }
        }
        let mut log: Vec<u16> = polynomials.iter().map(|p| log_of_polynomial[usize::from(*p)]).collect();
        log[0] = (order - 1) as u16;
        let mut exp = vec![0; 2 * (order - 1)];
        for (x, &at) in (0..=u16::MAX).zip(&log).skip(1) {
            exp[usize::from(at)] = x;
            exp[usize::from(at) + order - 1] = x;
        }
        Self { bits, log, exp, spectra: Default::default(), vanishing: Vec::new() }
    }

    /// Bits of an element.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// Elements.
    pub(crate) fn order(&self) -> usize {
        1 << self.bits
    }

    /// The order of the multiplicative group: logarithms are numbers modulo this.
    pub(crate) fn modulus(&self) -> u32 {
        (1 << self.bits) - 1
    }

    /// The logarithm of an element that is not 0, below [`Field::modulus`].
    pub(crate) fn log(&self, x: u16) -> u32 {
        debug_assert_ne!(x, 0);
        u32::from(self.log[usize::from(x)])
    }

    /// The element of this logarithm, reduced. Below twice the modulus by a look-up alone.
    pub(crate) fn exp(&self, log: u32) -> u16 {
        match self.exp.get(log as usize) {
            Some(x) => *x,
            None => self.exp[(log % self.modulus()) as usize],
        }
    }

    /// The product.
    pub(crate) fn multiply(&self, a: u16, b: u16) -> u16 {
        if a == 0 || b == 0 {
            return 0;
        }
        self.exp[usize::from(self.log[usize::from(a)]) + usize::from(self.log[usize::from(b)])]
    }

    /// The Walsh-Hadamard transform of the logarithms of `0..size`, with 0 for that of 0. `size` is a power of two.
    pub(crate) fn log_spectrum(&self, size: usize) -> &[i32] {
        self.spectra[size.trailing_zeros() as usize].get_or_init(|| {
            let mut logs: Vec<i32> = self.log[..size].iter().map(|log| i32::from(*log)).collect();
            logs[0] = 0;
            walsh_hadamard(self.bits, &mut logs);
            logs
        })
    }

    /// Fills [`Self::vanishing`]: `t^2 + t` vanishes where `t` is 0 or 1, which is on twice as many points.
    fn tabulate(&mut self) {
        let (mut slope, mut values): (u16, Vec<u16>) = (1, (0..=u16::MAX).take(self.order()).collect());
        for i in 0..self.bits {
            self.vanishing.push((slope, values.clone()));
            values.iter_mut().for_each(|t| *t ^= self.multiply(*t, *t));
            if let Some(value) = values.get(2 << i).copied() {
                let scale = self.invert(value);
                values.iter_mut().for_each(|t| *t = self.multiply(*t, scale));
                slope = self.multiply(slope, scale);
            }
        }
    }

    /// Itself, unless it has a Cantor basis.
    pub(crate) fn basis(&self) -> Option<&Self> {
        (!self.vanishing.is_empty()).then_some(self)
    }

    /// The polynomial that vanishes on the points below `2^i` and is 1 at `2^i`, at a point.
    pub(crate) fn vanishing(&self, i: u32, point: usize) -> u16 {
        self.vanishing.get(i as usize).map_or((point >> i) as u16, |(_, values)| values[point])
    }

    /// Its derivative, which is constant.
    pub(crate) fn slope(&self, i: u32) -> u16 {
        self.vanishing.get(i as usize).map_or(1, |(slope, _)| *slope)
    }

    /// The inverse of an element that is not 0.
    pub(crate) fn invert(&self, x: u16) -> u16 {
        self.exp(self.modulus() - self.log(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_are_cantor_bases_with_one_first() {
        for field in [&*GF8, &*GF16] {
            assert_eq!(field.exp(0), 1);
            for i in 1..field.bits() {
                let v = 1 << i;
                assert_eq!(field.multiply(v, v) ^ v, 1 << (i - 1), "v[{i}]^2 + v[{i}] = v[{}]", i - 1);
            }
        }
    }

    #[test]
    fn vanishing_polynomials_vanish_scale_and_slope_as_they_say() {
        for field in [&*GF8, &*GF8_POWERS] {
            assert_eq!(field.exp(0), 1);
            for i in 0..field.bits() {
                let size = 1 << i;
                let at = |x: usize| field.vanishing(i, x);
                assert!((0..size).all(|x| at(x) == 0));
                assert_eq!(at(size), 1);
                assert!((0..255).all(|x| at(x) ^ at(x ^ 0x5a) == at(0x5a)));
                // The derivative at 0 of the product of all x - y: the product of all y that are not 0, scaled alike.
                let product =
                    |x: usize| (0..size).filter(|y| *y != x).fold(1, |p, y| field.multiply(p, (x ^ y) as u16));
                assert_eq!(field.multiply(field.slope(i), product(size)), product(0));
            }
        }
        assert!((0..256).all(|x| GF8.vanishing(8, x) == 0 && GF8_POWERS.vanishing(8, x) == 0));
    }

    #[test]
    fn products_commute_distribute_and_invert() {
        let field = &*GF16;
        let mut x = 1u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 16) as u16
        };
        for _ in 0..10_000 {
            let (a, b, c) = (next(), next(), next());
            assert_eq!(field.multiply(a, b), field.multiply(b, a));
            assert_eq!(field.multiply(a, b ^ c), field.multiply(a, b) ^ field.multiply(a, c));
            if a != 0 {
                assert_eq!(field.multiply(a, field.invert(a)), 1);
            }
        }
        assert!((1..=255).all(|a| GF8.multiply(a, GF8.invert(a)) == 1));
    }
}
