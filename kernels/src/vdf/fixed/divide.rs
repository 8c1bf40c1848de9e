//! Division: with remainder from the top, exact from the bottom.
//!
//! Sources: Knuth, *The Art of Computer Programming*, volume 2, algorithm 4.3.1 D; Möller and Granlund, "Improved
//! division by invariant integers", IEEE Trans. Computers 60, 2011, algorithms 4 to 6 (a quotient limb from 3 by 2
//! limbs and a reciprocal); Jebelean, "An algorithm for exact division", J. Symb. Comp. 15, 1993.

use super::limbs;
use super::nat::{CAPACITY, Nat};

/// A normalized two-limb divisor, and the reciprocal that finds quotient limbs by multiplications.
struct Divisor {
    high: u64,
    low: u64,
    /// `floor((2^192 - 1) / divisor) - 2^64`.
    reciprocal: u64,
}

impl Divisor {
    fn new(high: u64, low: u64) -> Self {
        debug_assert!(high >> 63 == 1);
        // For one limb first: floor((2^128 - 1) / high) - 2^64.
        let mut v = (u128::MAX / u128::from(high)) as u64;
        let mut p = high.wrapping_mul(v).wrapping_add(low);
        if p < low {
            v -= 1;
            if p >= high {
                v -= 1;
                p -= high;
            }
            p = p.wrapping_sub(high);
        }
        let t = u128::from(v) * u128::from(low);
        let (sum, over) = p.overflowing_add((t >> 64) as u64);
        if over {
            v -= 1;
            if u128::from(sum) << 64 | u128::from(t as u64) >= u128::from(high) << 64 | u128::from(low) {
                v -= 1;
            }
        }
        Self { high, low, reciprocal: v }
    }

    /// Quotient and remainder of `2^64 top + next` by the divisor, for `top` below the divisor.
    #[inline]
    fn divide(&self, top: u128, next: u64) -> (u64, u128) {
        let divisor = u128::from(self.high) << 64 | u128::from(self.low);
        let (n2, n1) = ((top >> 64) as u64, top as u64);
        let q = (u128::from(self.reciprocal) * u128::from(n2)).wrapping_add(top);
        let (mut q1, q0) = ((q >> 64) as u64, q as u64);
        let r1 = n1.wrapping_sub(q1.wrapping_mul(self.high));
        let mut r = (u128::from(r1) << 64 | u128::from(next))
            .wrapping_sub(u128::from(q1) * u128::from(self.low))
            .wrapping_sub(divisor);
        q1 = q1.wrapping_add(1);
        if (r >> 64) as u64 >= q0 {
            q1 = q1.wrapping_sub(1);
            r = r.wrapping_add(divisor);
        }
        if r >= divisor {
            q1 = q1.wrapping_add(1);
            r -= divisor;
        }
        (q1, r)
    }
}

/// Space for divisions.
#[derive(Clone)]
pub(crate) struct Remainder {
    divisor: [u64; CAPACITY],
    dividend: [u64; CAPACITY + 1],
}

impl Remainder {
    pub(crate) const NEW: Self = Self { divisor: [0; CAPACITY], dividend: [0; CAPACITY + 1] };

    /// `x` becomes its remainder by `y`, which is not 0.
    #[inline]
    pub(crate) fn reduce(&mut self, x: &mut Nat, y: &Nat) {
        if x.len() < y.len() {
            return;
        }
        if y.len() == 1 {
            return div_rem_limb(x, y.limbs()[0], &mut Nat::ZERO.clone());
        }
        self.divide(x, y, None);
    }

    /// `x` becomes the remainder, for an `x` at least as long as `y` and that of at least 2 limbs; the quotient goes to
    /// `out`, as many limbs as `x` is longer and one.
    #[inline]
    fn divide(&mut self, x: &mut Nat, y: &Nat, out: Option<&mut [u64]>) {
        let (m, n) = (x.len(), y.len());
        let shift = y.limbs()[n - 1].leading_zeros();
        let (divisor, rest) = (&mut self.divisor[..n], &mut self.dividend[..m + 1]);
        divisor.copy_from_slice(y.limbs());
        rest[..m].copy_from_slice(x.limbs());
        rest[m] = 0;
        if shift != 0 {
            limbs::shift_left(divisor, shift);
            limbs::shift_left(rest, shift);
        }
        divide_normalized(rest, divisor, out);
        x.fill(n, |remainder| {
            remainder.copy_from_slice(&rest[..n]);
            if shift != 0 {
                limbs::shift_right(remainder, shift, 0);
            }
        });
    }
}

/// `x` becomes the remainder; `quotient` is set. `y` is not 0.
pub(crate) fn div_rem(x: &mut Nat, y: &Nat, quotient: &mut Nat) {
    let (m, n) = (x.len(), y.len());
    if m < n {
        *quotient = Nat::ZERO;
    } else if n == 1 {
        div_rem_limb(x, y.limbs()[0], quotient);
    } else {
        quotient.fill(m - n + 1, |out| Remainder::NEW.clone().divide(x, y, Some(out)));
    }
}

fn div_rem_limb(x: &mut Nat, y: u64, quotient: &mut Nat) {
    let mut remainder = 0u64;
    quotient.fill(x.len(), |out| {
        for (out, &limb) in out.iter_mut().zip(x.limbs()).rev() {
            let wide = u128::from(remainder) << 64 | u128::from(limb);
            *out = (wide / u128::from(y)) as u64;
            remainder = (wide % u128::from(y)) as u64;
        }
    });
    x.assign(&[remainder]);
}

/// Leaves the remainder in the low limbs of `rest`, by a `divisor` of at least 2 limbs whose top bit is set and that is
/// above the top limbs of `rest`. Quotient limbs go to `out`, one for each limb that `rest` is longer.
fn divide_normalized(rest: &mut [u64], divisor: &[u64], mut out: Option<&mut [u64]>) {
    let n = divisor.len();
    let leading = Divisor::new(divisor[n - 1], divisor[n - 2]);
    for j in (0..rest.len() - n).rev() {
        let part = &mut rest[j..j + n + 1];
        let top = u128::from(part[n]) << 64 | u128::from(part[n - 1]);
        let mut q = if part[n] == leading.high && part[n - 1] == leading.low {
            u64::MAX
        } else {
            leading.divide(top, part[n - 2]).0
        };
        let borrow = limbs::sub_mul_limb(&mut part[..n], divisor, q);
        let (difference, below) = part[n].overflowing_sub(borrow);
        part[n] = difference;
        if below {
            // One too many, with a chance near 2^-64.
            q -= 1;
            part[n] = part[n].wrapping_add(limbs::add_assign(&mut part[..n], divisor) as u64);
        }
        debug_assert_eq!(part[n], 0);
        if let Some(out) = out.as_deref_mut() {
            out[j] = q;
        }
    }
}

/// `1 / x` modulo 2^64, for odd `x`.
fn inverse(x: u64) -> u64 {
    // 5 bits are right at first; each step of Newton's iteration doubles them.
    let mut inverse = x.wrapping_mul(3) ^ 2;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(x.wrapping_mul(inverse)));
    }
    inverse
}

/// Divides by one number many times, where it is known that nothing remains.
#[derive(Clone)]
pub(crate) struct ExactDivisor {
    /// The odd part of the divisor.
    odd: Nat,
    /// Its exponent of 2.
    twos: usize,
    /// Of `odd`, modulo 2^64.
    inverse: u64,
}

impl ExactDivisor {
    pub(crate) const ONE: Self = Self { odd: Nat::ZERO, twos: 0, inverse: 1 };

    /// `divisor` is not 0.
    #[inline]
    pub(crate) fn set(&mut self, divisor: &Nat) {
        let limbs = divisor.limbs();
        let zeros = limbs.iter().position(|&limb| limb != 0).unwrap_or(0);
        let count = limbs[zeros].trailing_zeros();
        self.odd.assign(&limbs[zeros..]);
        if count != 0 {
            let len = self.odd.len();
            self.odd.fill(len, |odd| limbs::shift_right(odd, count, 0));
        }
        self.twos = 64 * zeros + count as usize;
        self.inverse = inverse(self.odd.limbs()[0]);
    }

    /// Limbs of a dividend from which a quotient of `len` limbs follows.
    #[inline]
    pub(crate) fn dividend_len(&self, len: usize) -> usize {
        len + self.twos.div_ceil(64)
    }

    /// `out = x / divisor`, for a divisor of `bits` bits.
    #[inline]
    pub(crate) fn quotient(&self, x: &Nat, bits: usize, out: &mut Nat) {
        let len = x.bits().saturating_sub(bits) / 64 + 1;
        out.fill(self.dividend_len(len), |out| {
            let used = x.len().min(out.len());
            out[..used].copy_from_slice(&x.limbs()[..used]);
            out[used..].fill(0);
            self.divide(out, len);
        });
    }

    /// The low `len` limbs of `x`, in two's complement and of [`ExactDivisor::dividend_len`] limbs, become those of the
    /// quotient, and the others 0.
    #[inline]
    pub(crate) fn divide(&self, x: &mut [u64], len: usize) {
        let (zeros, count) = (self.twos / 64, (self.twos % 64) as u32);
        x.copy_within(zeros.., 0);
        if count != 0 {
            limbs::shift_right(x, count, 0);
        }
        let (x, above) = x.split_at_mut(len);
        above.fill(0);
        let odd = self.odd.limbs();
        for i in 0..len {
            let q = x[i].wrapping_mul(self.inverse);
            limbs::sub_mul_low(&mut x[i..], odd, &[q]);
            x[i] = q;
        }
    }
}

#[cfg(test)]
#[path = "divide_tests.rs"]
mod tests;
