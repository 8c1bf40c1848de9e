//! Arithmetic modulo one odd number of up to 4,096 bits, one chain at a time.
//!
//! Values are in Montgomery form and only loosely reduced: below `R`, a power of two that no product leaves (P.
//! Montgomery, "Modular multiplication without trial division", Math. Comp. 44 (1985)). [`Montgomery::value_of`]
//! reduces fully.
//!
//! Two implementations: `adx.rs` for x86-64 with BMI2 and ADX, chosen at run time, over a whole number of eight limbs;
//! and `portable.rs` over the modulus's own limbs. Their `R` differ, so forms of one are nothing to the other. Not
//! constant time: for public values.

use std::fmt;

#[cfg(target_arch = "x86_64")]
mod adx;
mod portable;
#[cfg(test)]
mod tests;
mod wide;

/// Fewest limbs of a modulus.
pub const MIN_LIMBS: usize = 2;
/// Most limbs of a modulus.
pub const MAX_LIMBS: usize = 64;

/// Bits of the exponent that one shift of [`Montgomery::power_of_two`] takes: the shift stays below a limb.
const SHIFT_BITS: u32 = 6;
/// Bits of the exponent that one multiplication of [`Montgomery::power`] takes.
const WINDOW_BITS: u32 = 5;

/// How products are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    #[cfg(target_arch = "x86_64")]
    Adx,
    Portable,
}

impl Path {
    /// The faster for so many limbs: those of `adx.rs` come by eight.
    fn detect(limbs: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if limbs > 5 && std::arch::is_x86_feature_detected!("bmi2") && std::arch::is_x86_feature_detected!("adx") {
            return Self::Adx;
        }
        let _ = limbs;
        Self::Portable
    }
}

/// A value in the form of the [`Montgomery`] that made it.
#[derive(Clone)]
pub struct Form(Vec<u64>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Form({} limbs)", self.0.len())
    }
}

/// An odd modulus with what its arithmetic needs.
#[derive(Clone)]
pub struct Montgomery {
    path: Path,
    /// Limbs of the modulus as given: its top one is not zero.
    limbs: usize,
    /// The modulus, with zero limbs up to a form's width.
    modulus: Vec<u64>,
    /// `-N^-1 mod 2^64`.
    inverse: u64,
    /// The top 64 bits of the modulus, and how far up they are.
    top: u64,
    top_shift: usize,
    /// `R^2 mod N`, up to a multiple of the modulus.
    square: Vec<u64>,
    /// `R mod N`, likewise.
    one: Vec<u64>,
    #[cfg(target_arch = "x86_64")]
    tables: adx::Tables,
}

impl fmt::Debug for Montgomery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Montgomery({} limbs, {:?})", self.limbs, self.path)
    }
}

impl Montgomery {
    /// For a modulus of [`MIN_LIMBS`] to [`MAX_LIMBS`] little-endian limbs: odd, its top limb not zero.
    pub fn new(modulus: &[u64]) -> Option<Self> {
        Self::on(Path::detect(modulus.len()), modulus)
    }

    /// As [`Montgomery::new`], without instructions beyond the target's own.
    #[cfg(test)]
    pub fn portable(modulus: &[u64]) -> Option<Self> {
        Self::on(Path::Portable, modulus)
    }

    fn on(path: Path, modulus: &[u64]) -> Option<Self> {
        let limbs = modulus.len();
        let (&low, &high) = (modulus.first()?, modulus.last()?);
        if !(MIN_LIMBS..=MAX_LIMBS).contains(&limbs) || low & 1 == 0 || high == 0 {
            return None;
        }
        let width = match path {
            #[cfg(target_arch = "x86_64")]
            Path::Adx => limbs.next_multiple_of(8),
            Path::Portable => limbs,
        };
        let mut padded = modulus.to_vec();
        padded.resize(width, 0);
        let bits = 64 * limbs - high.leading_zeros() as usize;
        let mut this = Self {
            path,
            limbs,
            inverse: wide::negative_inverse(low),
            top: wide::limb_at(modulus, bits - 64),
            top_shift: bits - 64,
            square: Vec::new(),
            one: Vec::new(),
            #[cfg(target_arch = "x86_64")]
            tables: if path == Path::Adx { adx::Tables::new(&padded) } else { adx::Tables::default() },
            modulus: padded,
        };
        // 2^bits - N is 2^bits mod N, since the top bit of N is set.
        let mut one: Vec<u64> = this.modulus.iter().map(|limb| !limb).collect();
        wide::keep_bits(&mut one, bits);
        one[0] += 1;
        this.shift_times(&mut one, 64 * width - bits);
        this.one = one.clone();
        // From the form of 2^(width) by squaring to that of 2^(64 width) = R: its limbs are R^2.
        this.shift_times(&mut one, width);
        let mut square = Form(one);
        this.square_times(&mut square, 6);
        this.square = square.0;
        Some(this)
    }

    /// The modulus.
    pub fn modulus(&self) -> &[u64] {
        &self.modulus[..self.limbs]
    }

    /// One.
    pub fn one(&self) -> Form {
        Form(self.one.clone())
    }

    /// A value of at most as many limbs as the modulus, reduced or not. `None` for more limbs.
    pub fn to_form(&self, value: &[u64]) -> Option<Form> {
        if value.len() > self.limbs {
            return None;
        }
        let mut form = Form(value.to_vec());
        form.0.resize(self.modulus.len(), 0);
        self.multiply_limbs(&mut form.0, &self.square);
        Some(form)
    }

    /// The value, below the modulus.
    pub fn value_of(&self, form: &Form) -> Vec<u64> {
        let mut value = form.0.clone();
        let mut unit = [0; MAX_LIMBS];
        unit[0] = 1;
        self.multiply_limbs(&mut value, &unit[..self.modulus.len()]);
        // (v + q N) / R <= N for each of the few quotients.
        while !wide::less(&value, &self.modulus) {
            wide::subtract(&mut value, &self.modulus);
        }
        value.truncate(self.limbs);
        value
    }

    /// `value^(2^count)`. Allocates nothing.
    pub fn square_times(&self, value: &mut Form, count: u64) {
        assert_eq!(value.0.len(), self.modulus.len(), "a form of another modulus");
        match self.path {
            #[cfg(target_arch = "x86_64")]
            Path::Adx => self.tables.square_times(&self.modulus, self.inverse, &mut value.0, count),
            Path::Portable => portable::square_times(&self.modulus, self.inverse, &mut value.0, count),
        }
    }

    /// `value * other`. Allocates nothing.
    pub fn multiply(&self, value: &mut Form, other: &Form) {
        self.multiply_limbs(&mut value.0, &other.0);
    }

    /// `2 value`.
    #[cfg(test)]
    pub fn double(&self, value: &mut Form) {
        assert_eq!(value.0.len(), self.modulus.len(), "a form of another modulus");
        self.shift(&mut value.0, 1);
    }

    /// `base^exponent`, by fixed windows from the left.
    pub fn power(&self, base: &Form, exponent: &[u64]) -> Form {
        let mut powers = vec![self.one(), base.clone()];
        for index in 2..1 << WINDOW_BITS {
            let mut next: Form = powers[index - 1].clone();
            self.multiply(&mut next, base);
            powers.push(next);
        }
        let mut result: Option<Form> = None;
        for digit in wide::digits(exponent, WINDOW_BITS) {
            match &mut result {
                Some(value) => {
                    self.square_times(value, u64::from(WINDOW_BITS));
                    if digit != 0 {
                        self.multiply(value, &powers[digit]);
                    }
                }
                none => *none = Some(powers[digit].clone()),
            }
        }
        result.unwrap_or_else(|| self.one())
    }

    /// `2^exponent`: squarings and one shift for every six bits, no multiplication.
    pub fn power_of_two(&self, exponent: &[u64]) -> Form {
        let mut value = self.one();
        for (index, digit) in wide::digits(exponent, SHIFT_BITS).enumerate() {
            if index != 0 {
                self.square_times(&mut value, u64::from(SHIFT_BITS));
            }
            if digit != 0 {
                self.shift(&mut value.0, digit as u32);
            }
        }
        value
    }

    /// Whether the value is 1.
    pub fn is_one(&self, form: &Form) -> bool {
        let value = self.value_of(form);
        value[0] == 1 && value[1..].iter().all(|&limb| limb == 0)
    }

    /// Whether the value is -1.
    pub fn is_minus_one(&self, form: &Form) -> bool {
        let value = self.value_of(form);
        value[0] == self.modulus[0] - 1 && value[1..] == self.modulus[1..self.limbs]
    }

    /// Whether `2^(N-1) = 1 mod N`.
    pub fn is_fermat_probable_prime_base_2(&self) -> bool {
        let mut exponent = self.modulus().to_vec();
        exponent[0] -= 1;
        self.is_one(&self.power_of_two(&exponent))
    }

    /// Whether the modulus passes one round of Miller and Rabin for this base: with `N - 1 = 2^s d` and odd `d`, `b^d`
    /// is 1, or -1 after fewer than `s` squarings.
    pub fn is_strong_probable_prime(&self, base: &Form) -> bool {
        let mut odd = self.modulus().to_vec();
        odd[0] -= 1;
        let twos = wide::shift_out_twos(&mut odd);
        let mut value = self.power(base, &odd);
        if self.is_one(&value) || self.is_minus_one(&value) {
            return true;
        }
        (1..twos).any(|_| {
            self.square_times(&mut value, 1);
            self.is_minus_one(&value)
        })
    }

    fn multiply_limbs(&self, value: &mut [u64], other: &[u64]) {
        let width = self.modulus.len();
        assert!(value.len() == width && other.len() == width, "a form of another modulus");
        match self.path {
            #[cfg(target_arch = "x86_64")]
            Path::Adx => self.tables.multiply(&self.modulus, self.inverse, value, other),
            Path::Portable => portable::multiply(&self.modulus, self.inverse, value, other),
        }
    }

    fn shift_times(&self, value: &mut [u64], mut bits: usize) {
        while bits > 0 {
            let step = bits.min(63);
            self.shift(value, step as u32);
            bits -= step;
        }
    }

    /// `2^bits value` for fewer than 64 bits, below `R` and little above `N`.
    fn shift(&self, value: &mut [u64], bits: u32) {
        let mut high = wide::shift_left(value, bits);
        // With t the bits of the value from where the top limb of N is, t / (top + 1) multiples are never too many, and
        // none is left where t <= top: then the value is below N + 2^top_shift, and below R.
        loop {
            let (word, offset) = (self.top_shift / 64, (self.top_shift % 64) as u32);
            let limb = |index: usize| match index.checked_sub(value.len()) {
                None => value[index],
                Some(0) => high,
                Some(_) => 0,
            };
            let below = u128::from(limb(word)) | u128::from(limb(word + 1)) << 64;
            let above = if offset == 0 { 0 } else { u128::from(limb(word + 2)) << (128 - offset) };
            let part = below >> offset | above;
            // A value may be further above N than that where N's top limb is small; then take what fits.
            let beyond = limb(word + 2) >> offset != 0 || limb(word + 3) != 0;
            if !beyond && part <= u128::from(self.top) {
                return;
            }
            let divisor = u128::from(self.top) + 1;
            let quotient = if beyond { u64::MAX } else { u64::try_from(part / divisor).unwrap_or(u64::MAX) };
            high -= wide::subtract_multiple(value, &self.modulus, quotient);
        }
    }
}
