//! Montgomery squaring by columns, for all lanes at once and with no branch that depends on a number.
//!
//! With `R = 2^(W L)` and a modulus `n` of `L` digits, whose `inverse` is `-1 / n mod R`, a squaring is three sums of
//! products, each by columns of 4, with a [`Tile`] in registers:
//! 1. `t = x^2`, products off the diagonal once with a doubled factor: `L (L + 1) / 2` products;
//! 2. `q = t * inverse mod R`, the lower columns alone: as many;
//! 3. `x = (t + q n) / R`, the upper columns alone and the one below them, which tells what all the lower ones carry, for
//!    together they make a multiple of `R`: `L (L + 3) / 2 - 1` products, and `L - 1` upper halves.
//!
//! So many products as where each digit of `q` depends on the columns that the one before was added to; but here no
//! product waits for another. Digits are never in canonical form: `t` and `q` are only needed modulo `R`.
//!
//! A value `x` comes out below `x^2 / R + n` (`n / 2` in size where digits have a sign), so that with `R >= 2^8 n`, and
//! the result doubled even, it stays near `n`: no comparison with the modulus is needed before the end.

use super::vector::{Carry, Task, Tile, Vector};

/// What a squaring reads and writes: numbers of `L` digits of `W` bits.
#[derive(Clone)]
#[repr(C)]
pub(super) struct State<V, const L: usize, const W: u32> {
    /// Written with `x`, read by nobody.
    below: V,
    /// The value.
    pub x: [V; L],
    /// The value with its digits doubled.
    twice: [V; L],
    /// The square.
    t: [[V; L]; 2],
    /// The multiple of the modulus that is added.
    q: [V; L],
    /// The modulus.
    n: [V; L],
    /// `-1 / n mod R`.
    inverse: [V; L],
}

impl<V: Vector> Tile<V> {
    #[inline(always)]
    fn new<const W: u32>() -> Self {
        Self { low: [V::zero(); 4], even: [V::empty::<W>(); 4], odd: [V::empty::<W>(); 4] }
    }

    /// Adds `a * b[k]` to the columns `k` from `FROM` to before `TO`.
    ///
    /// # Safety
    ///
    /// `a` and these of `b` can be read.
    #[inline(always)]
    unsafe fn row<const FROM: usize, const TO: usize>(&mut self, a: *const V, b: *const V) {
        for k in FROM..TO {
            // SAFETY: the caller's. Neighbours take turns at the sums.
            unsafe {
                let high = if FROM.is_multiple_of(2) { &mut self.even } else { &mut self.odd };
                V::multiply(&mut high[k], &mut self.low[k], *a, *b.wrapping_add(k));
            }
        }
    }

    /// Row `r` adds `a[r] * b[k - r]` to column `k`.
    ///
    /// # Safety
    ///
    /// `a[..rows]` and, unless there are no rows, `b[1 - rows..4]` can be read.
    #[inline(always)]
    unsafe fn rows(&mut self, mut a: *const V, mut b: *const V, rows: usize) {
        // SAFETY: the caller's.
        unsafe {
            if rows % 2 == 1 {
                for k in 0..4 {
                    V::multiply(&mut self.odd[k], &mut self.low[k], *a, *b.add(k));
                }
                a = a.wrapping_add(1);
                b = b.wrapping_sub(1);
            }
            V::rows(self, a, b, rows & !1);
        }
    }

    /// Writes the digits of the first `count` columns.
    ///
    /// # Safety
    ///
    /// `out[..count]` can be written.
    #[inline(always)]
    unsafe fn write<const W: u32>(&self, carry: &mut Carry<V>, count: usize, out: *mut V) {
        for k in 0..count {
            // SAFETY: the caller's.
            unsafe { *out.add(k) = V::column::<W>(carry, self, k) };
        }
    }
}

impl<V: Vector, const L: usize, const W: u32> State<V, L, W> {
    /// A state with the modulus and its inverse, by lane and digit.
    pub(super) fn new(modulus: impl Fn(usize, usize) -> i64, inverse: impl Fn(usize, usize) -> i64) -> Box<Self> {
        let numbers =
            |digit: &dyn Fn(usize, usize) -> i64| std::array::from_fn(|i| V::from_lanes(|lane| digit(lane, i)));
        let zero = [V::zero(); L];
        Box::new(Self {
            below: V::zero(),
            x: zero,
            twice: zero,
            t: [zero; 2],
            q: zero,
            n: numbers(&modulus),
            inverse: numbers(&inverse),
        })
    }

    /// `t = x^2`.
    #[inline(always)]
    fn square(&mut self) {
        for i in 0..L {
            self.twice[i] = self.x[i].add(self.x[i]);
        }
        let (x, twice) = (self.x.as_ptr(), self.twice.as_ptr());
        let t = self.t.as_mut_ptr().cast::<V>();
        let mut carry = Carry { high: V::zero(), excess: V::zero() };
        // SAFETY: in a column `c` of 0 to `2 L - 1` the digits `i` and `c - i` are both from 0 to `L - 1`: from `first` on
        // in column `c + 3`, up to `half` in column `c`.
        unsafe {
            for c in (0..(2 * L) & !3).step_by(4) {
                let mut tile = Tile::new::<W>();
                let half = c / 2;
                let mut first = (c + 1).saturating_sub(L);
                if c + 4 > L {
                    // Rows that end before the last of these columns.
                    let (a, b) = (twice.add(first), x.wrapping_add(c - first));
                    match c + 4 - L {
                        1 if first < half => {
                            tile.row::<0, 3>(a, b);
                            first += 1;
                        }
                        2 if first + 1 < half => {
                            tile.row::<0, 2>(a, b);
                            tile.row::<0, 3>(a.add(1), b.sub(1));
                            first += 2;
                        }
                        3.. if first + 2 < half => {
                            tile.row::<0, 1>(a, b);
                            tile.row::<0, 2>(a.add(1), b.sub(1));
                            tile.row::<0, 3>(a.add(2), b.sub(2));
                            first += 3;
                        }
                        _ => {
                            // The last tiles have no whole rows.
                            for i in first..half {
                                for k in 0..(L - (c - i)).min(4) {
                                    V::multiply(&mut tile.even[k], &mut tile.low[k], *twice.add(i), *x.add(c + k - i));
                                }
                            }
                            first = half;
                        }
                    }
                }
                tile.rows(twice.add(first), x.wrapping_add(c - first), half - first);
                // Next to the diagonal: `half` by itself in column 0, its neighbour in column 2.
                let (a, b) = (x.add(half), twice.wrapping_add(half));
                tile.row::<0, 1>(a, a);
                tile.row::<2, 3>(a.add(1), a.wrapping_sub(1));
                if half + 3 < L {
                    tile.row::<1, 4>(b, a);
                    tile.row::<3, 4>(b.add(1), a.wrapping_sub(1));
                } else {
                    tile.row::<1, 2>(b, a);
                    if half + 2 < L {
                        tile.row::<2, 3>(b, a);
                        tile.row::<3, 4>(b.add(1), a.wrapping_sub(1));
                    }
                }
                tile.write::<W>(&mut carry, 4, t.add(c));
            }
            if L % 2 == 1 {
                let mut tile = Tile::new::<W>();
                tile.row::<0, 1>(x.add(L - 1), x.add(L - 1));
                tile.write::<W>(&mut carry, 2, t.add(2 * L - 2));
            }
        }
    }

    /// `x = (t + q n) / R`.
    #[inline(always)]
    fn reduce(&mut self) {
        let (t, q) = (self.t.as_ptr().cast::<V>(), self.q.as_ptr());
        let last = self.n.as_ptr().wrapping_add(L - 1);
        let mut estimate = [V::zero(); 4];
        for i in 0..L - 1 {
            V::estimate(&mut estimate[i % 4], self.q[i], self.n[L - 2 - i]);
        }
        let [a, b, c, d] = estimate;
        let mut carry = V::guard::<W>(a.add(b).add(c.add(d)));
        let out = (&raw mut *self).cast::<V>();
        // SAFETY: column `L - 1 + i` has products from `q[i]` with the last digit of the modulus to the last of `q`; its
        // digit is `x[i - 1]`, or `below`.
        unsafe {
            for i in (0..L & !3).step_by(4) {
                let mut tile = Tile::new::<W>();
                for k in 0..4 {
                    tile.low[k] = *t.add(L - 1 + i + k);
                }
                tile.row::<0, 1>(q.add(i), last);
                tile.row::<0, 2>(q.add(i + 1), last.sub(1));
                tile.row::<0, 3>(q.add(i + 2), last.sub(2));
                tile.rows(q.add(i + 3), last.sub(3), L - 3 - i);
                tile.write::<W>(&mut carry, 4, out.add(i));
            }
            // Fewer than 4 columns, and the upper halves of the last.
            let i = L & !3;
            let mut tile = Tile::new::<W>();
            for k in 0..=L % 4 {
                tile.low[k] = *t.add(L - 1 + i + k);
            }
            for row in 0..L % 4 {
                for k in 0..=row {
                    V::multiply(&mut tile.even[k], &mut tile.low[k], *q.add(i + row), *last.sub(row).add(k));
                }
            }
            tile.write::<W>(&mut carry, L % 4 + 1, out.add(i));
        }
    }

    /// `q = t * inverse mod R`.
    #[inline(always)]
    fn quotient(&mut self) {
        let (t, inverse) = (self.t.as_ptr().cast::<V>(), self.inverse.as_ptr());
        let q = self.q.as_mut_ptr();
        let mut carry = Carry { high: V::zero(), excess: V::zero() };
        // SAFETY: column `c` has products from `t[0]` with digit `c` of the inverse to `t[c]` with digit 0.
        unsafe {
            let mut tile = Tile::new::<W>();
            for row in 0..L % 4 {
                for k in row..L % 4 {
                    V::multiply(&mut tile.even[k], &mut tile.low[k], *t.add(row), *inverse.add(k - row));
                }
            }
            tile.write::<W>(&mut carry, L % 4, q);
            for c in (L % 4..L).step_by(4) {
                let mut tile = Tile::new::<W>();
                tile.rows(t, inverse.add(c), c);
                tile.row::<0, 4>(t.add(c), inverse);
                tile.row::<1, 4>(t.add(c + 1), inverse.wrapping_sub(1));
                tile.row::<2, 4>(t.add(c + 2), inverse.wrapping_sub(2));
                tile.row::<3, 4>(t.add(c + 3), inverse.wrapping_sub(3));
                tile.write::<W>(&mut carry, 4, q.add(c));
            }
        }
    }
}

/// Takes steps: one task for all kinds, since each task is another copy of all code above.
pub(super) struct Steps<'a, V, const L: usize, const W: u32> {
    pub state: &'a mut State<V, L, W>,
    pub count: u64,
    pub kind: Kind<'a, V>,
}

/// What a step does.
#[derive(Clone, Copy)]
pub(super) enum Kind<'a, V> {
    /// Squares.
    Square,
    /// Squares, then doubles where this, an item a step, is 1 and not 0.
    SquareAndDouble(&'a [V]),
    /// Divides by `R`: out of Montgomery's form.
    Leave,
}

impl<V: Vector, const L: usize, const W: u32> Task for Steps<'_, V, L, W> {
    #[inline(always)]
    fn run(self) {
        for step in 0..self.count {
            match self.kind {
                Kind::Leave => self.state.t = [self.state.x, [V::zero(); L]],
                Kind::Square | Kind::SquareAndDouble(_) => self.state.square(),
            }
            self.state.quotient();
            self.state.reduce();
            if let Kind::SquareAndDouble(bits) = self.kind {
                let mut excess = V::zero();
                for x in &mut self.state.x {
                    *x = V::double::<W>(*x, bits[step as usize], &mut excess);
                }
            }
        }
    }
}
