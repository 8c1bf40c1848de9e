//! A natural number in a fixed array, with the length in use: no allocation, and short numbers cost little.

use std::cmp::Ordering;

use super::limbs;

/// Limbs of a [`Nat`]: products of two halves of a 2048-bit discriminant, and slack.
pub const CAPACITY: usize = 36;

/// A natural number below `2^(64 CAPACITY)`.
///
/// The top limb in use is not 0; limbs above the length hold anything.
#[derive(Clone)]
pub struct Nat {
    limbs: [u64; CAPACITY],
    len: usize,
}

impl Nat {
    /// 0.
    pub const ZERO: Self = Self { limbs: [0; CAPACITY], len: 0 };

    /// 1.
    pub(crate) const ONE: Self = {
        let mut one = Self { limbs: [0; CAPACITY], len: 1 };
        one.limbs[0] = 1;
        one
    };

    /// From limbs, lowest first; `None` if there are too many.
    pub fn from_limbs(limbs: &[u64]) -> Option<Self> {
        let limbs = &limbs[..limbs::used(limbs)];
        if limbs.len() > CAPACITY {
            return None;
        }
        let mut nat = Self::ZERO;
        nat.assign(limbs);
        Some(nat)
    }

    /// The limbs in use, lowest first.
    #[inline]
    pub fn limbs(&self) -> &[u64] {
        &self.limbs[..self.len]
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_zero(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn is_one(&self) -> bool {
        self.len == 1 && self.limbs[0] == 1
    }

    /// Length in bits; 0 for 0.
    #[inline]
    pub fn bits(&self) -> usize {
        if self.len == 0 { 0 } else { 64 * self.len - self.limbs[self.len - 1].leading_zeros() as usize }
    }

    /// `self = limbs`, leading zeros allowed.
    #[inline]
    pub(crate) fn assign(&mut self, limbs: &[u64]) {
        self.fill(limbs.len(), |out| out.copy_from_slice(limbs));
    }

    /// Lets `write` set `len` limbs, then drops leading zeros.
    #[inline]
    pub(crate) fn fill<T>(&mut self, len: usize, write: impl FnOnce(&mut [u64]) -> T) -> T {
        let result = write(&mut self.limbs[..len]);
        self.len = limbs::used(&self.limbs[..len]);
        result
    }

    /// `self = x y`.
    #[inline]
    pub(crate) fn set_product(&mut self, x: &Self, y: &Self) {
        if x.is_zero() || y.is_zero() {
            self.len = 0;
            return;
        }
        let (long, short) = if x.len >= y.len { (x, y) } else { (y, x) };
        self.fill(x.len + y.len, |out| limbs::mul(out, long.limbs(), short.limbs()));
    }

    /// `self = x²`.
    #[inline]
    pub(crate) fn set_square(&mut self, x: &Self) {
        if x.is_zero() {
            self.len = 0;
            return;
        }
        self.fill(2 * x.len, |out| limbs::square(out, x.limbs()));
    }

    /// `self += x`.
    #[inline]
    pub(crate) fn add(&mut self, x: &Self) {
        let len = self.len.max(x.len) + 1;
        self.limbs[self.len..len].fill(0);
        self.fill(len, |out| limbs::add_assign(out, x.limbs()));
    }

    /// `self = |self - x|`; whether `self` was below `x`.
    #[inline]
    pub(crate) fn sub(&mut self, x: &Self) -> bool {
        let len = self.len.max(x.len);
        self.limbs[self.len..len].fill(0);
        self.fill(len, |out| {
            let below = limbs::sub_assign(out, x.limbs());
            if below {
                limbs::negate(out);
            }
            below
        })
    }

    /// `self = |self + x|`, or `|self - x|` for a `negative` sign of `x`; whether the sum was below 0.
    #[inline]
    pub(crate) fn add_signed(&mut self, x: &Self, negative: bool) -> bool {
        if negative {
            return self.sub(x);
        }
        self.add(x);
        false
    }

    /// `self = |self - x y|`; whether `self` was below `x y`.
    #[inline]
    pub(crate) fn sub_mul(&mut self, x: &Self, y: u64) -> bool {
        let len = self.len.max(x.len) + 1;
        self.limbs[self.len..len].fill(0);
        self.fill(len, |out| {
            let borrow = limbs::sub_mul_limb(&mut out[..x.len], x.limbs(), y);
            let below = limbs::sub_assign(&mut out[x.len..], &[borrow]);
            if below {
                limbs::negate(out);
            }
            below
        })
    }

    /// `self *= 2`.
    #[inline]
    pub(crate) fn double(&mut self) {
        let len = self.len + 1;
        self.limbs[self.len] = 0;
        self.fill(len, limbs::double);
    }

    /// `self >>= 1`.
    #[inline]
    pub(crate) fn halve(&mut self) {
        self.fill(self.len, |out| limbs::shift_right(out, 1, 0));
    }
}

impl PartialEq for Nat {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.limbs() == other.limbs()
    }
}

impl Eq for Nat {}

impl PartialOrd for Nat {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Nat {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.len.cmp(&other.len).then_with(|| limbs::compare(self.limbs(), other.limbs()))
    }
}

impl std::fmt::Debug for Nat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("0x")?;
        self.limbs().iter().rev().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}
