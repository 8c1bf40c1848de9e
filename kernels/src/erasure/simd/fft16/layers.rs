//! The layers of the transform, two at a time, on the quarters of a group of rows.
//!
//! Two layers take 8 vectors of data, 4 of a product under way and the tables; what does not fit in 16 registers are tables,
//! which come from the first-level cache. Twiddles are `first point >> layer` (see the plain code in `cpu/fft.rs`), so the
//! code for a group is chosen by its twiddles: most groups need products by GF(2^8) alone, and the first group of the block
//! at point 0 almost none.

use super::super::vectors::Vectors;
use super::tower::{BYTE, ONE, Tower, WIDE, ZERO, add, class, load, multiply_add, store};

/// A group of rows.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The point of its first row.
    pub first: usize,
    /// Rows of a part: a quarter in a pass over two layers, a half in a pass over one. A power of two.
    pub part: usize,
    /// Bytes of a row, a multiple of two vectors.
    pub row_bytes: usize,
}

impl Group {
    /// The twiddle of the layer whose halves are parts.
    #[inline(always)]
    fn twiddle(self) -> u16 {
        (self.first >> self.part.trailing_zeros()) as u16
    }

    #[inline(always)]
    fn bytes(self) -> usize {
        self.part * self.row_bytes
    }
}

/// Two layers towards values, from the rows at `from` to those at `to`, which may be the same. With `half`, only the first
/// two quarters are made.
///
/// # Safety
///
/// Four parts can be read and written.
#[inline(always)]
pub(super) unsafe fn forward_two<V: Vectors>(
    v: V,
    tower: &Tower<V>,
    group: Group,
    from: *const u8,
    to: *mut u8,
    half: bool,
) {
    let low = group.twiddle();
    // SAFETY: as this function's.
    unsafe {
        match (half, class(low / 2), class(low)) {
            (false, ZERO, _) => forward_quarters::<V, ZERO, ZERO, BYTE, false>(v, tower, group, from, to),
            (false, BYTE, BYTE) => forward_quarters::<V, BYTE, BYTE, BYTE, false>(v, tower, group, from, to),
            (false, BYTE, _) => forward_quarters::<V, BYTE, WIDE, WIDE, false>(v, tower, group, from, to),
            (false, ..) => forward_quarters::<V, WIDE, WIDE, WIDE, false>(v, tower, group, from, to),
            (true, ZERO, _) => forward_quarters::<V, ZERO, ZERO, BYTE, true>(v, tower, group, from, to),
            (true, BYTE, BYTE) => forward_quarters::<V, BYTE, BYTE, BYTE, true>(v, tower, group, from, to),
            (true, ..) => forward_quarters::<V, WIDE, WIDE, WIDE, true>(v, tower, group, from, to),
        }
    }
}

/// # Safety
///
/// As [`forward_two`].
#[inline(always)]
unsafe fn forward_quarters<V: Vectors, const TOP: u8, const FIRST: u8, const SECOND: u8, const HALF: bool>(
    v: V,
    tower: &Tower<V>,
    group: Group,
    from: *const u8,
    to: *mut u8,
) {
    let low = group.twiddle();
    let (top, first, second) = (tower.constant(low / 2), tower.constant(low), tower.constant(low | 2));
    let part = group.bytes();
    for at in (0..part).step_by(2 * V::WIDTH) {
        // SAFETY: within four parts.
        unsafe {
            let from = from.add(at);
            let mut x0 = load(v, from);
            let mut x1 = load(v, from.add(part));
            let mut x2 = load(v, from.add(2 * part));
            let mut x3 = load(v, from.add(3 * part));
            x0 = multiply_add::<V, TOP>(v, x0, top, x2);
            x1 = multiply_add::<V, TOP>(v, x1, top, x3);
            let to = to.add(at);
            if !HALF {
                x2 = add(v, x2, x0);
                x3 = add(v, x3, x1);
                x2 = multiply_add::<V, SECOND>(v, x2, second, x3);
                x3 = add(v, x3, x2);
                store(v, to.add(2 * part), x2);
                store(v, to.add(3 * part), x3);
            }
            x0 = multiply_add::<V, FIRST>(v, x0, first, x1);
            x1 = add(v, x1, x0);
            store(v, to, x0);
            store(v, to.add(part), x1);
        }
    }
}

/// Two layers towards coefficients, in place.
///
/// # Safety
///
/// Four parts can be read and written.
#[inline(always)]
pub(super) unsafe fn inverse_two<V: Vectors>(v: V, tower: &Tower<V>, group: Group, rows: *mut u8) {
    let low = group.twiddle();
    // SAFETY: as this function's.
    unsafe {
        match (class(low / 2), class(low)) {
            (ZERO, _) => inverse_quarters::<V, ZERO, ZERO, BYTE>(v, tower, group, rows),
            (BYTE, BYTE) => inverse_quarters::<V, BYTE, BYTE, BYTE>(v, tower, group, rows),
            (BYTE, _) => inverse_quarters::<V, BYTE, WIDE, WIDE>(v, tower, group, rows),
            _ => inverse_quarters::<V, WIDE, WIDE, WIDE>(v, tower, group, rows),
        }
    }
}

/// # Safety
///
/// As [`inverse_two`].
#[inline(always)]
unsafe fn inverse_quarters<V: Vectors, const TOP: u8, const FIRST: u8, const SECOND: u8>(
    v: V,
    tower: &Tower<V>,
    group: Group,
    rows: *mut u8,
) {
    let low = group.twiddle();
    let (top, first, second) = (tower.constant(low / 2), tower.constant(low), tower.constant(low | 2));
    let part = group.bytes();
    for at in (0..part).step_by(2 * V::WIDTH) {
        // SAFETY: within four parts.
        unsafe {
            let row = rows.add(at);
            let mut x0 = load(v, row);
            let mut x1 = load(v, row.add(part));
            x1 = add(v, x1, x0);
            x0 = multiply_add::<V, FIRST>(v, x0, first, x1);
            let mut x2 = load(v, row.add(2 * part));
            let mut x3 = load(v, row.add(3 * part));
            x3 = add(v, x3, x2);
            x2 = multiply_add::<V, SECOND>(v, x2, second, x3);
            x2 = add(v, x2, x0);
            x3 = add(v, x3, x1);
            x0 = multiply_add::<V, TOP>(v, x0, top, x2);
            x1 = multiply_add::<V, TOP>(v, x1, top, x3);
            store(v, row, x0);
            store(v, row.add(part), x1);
            store(v, row.add(2 * part), x2);
            store(v, row.add(3 * part), x3);
        }
    }
}

/// One layer towards values, from the rows at `from` to those at `to`, which may be the same.
///
/// # Safety
///
/// Two parts can be read and written.
#[inline(always)]
pub(super) unsafe fn forward_one<V: Vectors>(v: V, tower: &Tower<V>, group: Group, from: *const u8, to: *mut u8) {
    // SAFETY: as this function's.
    unsafe {
        match class(group.twiddle()) {
            ZERO => halves::<V, ZERO, false>(v, tower, group, from, to),
            BYTE => halves::<V, BYTE, false>(v, tower, group, from, to),
            _ => halves::<V, WIDE, false>(v, tower, group, from, to),
        }
    }
}

/// One layer towards coefficients, in place.
///
/// # Safety
///
/// Two parts can be read and written.
#[inline(always)]
pub(super) unsafe fn inverse_one<V: Vectors>(v: V, tower: &Tower<V>, group: Group, rows: *mut u8) {
    // SAFETY: as this function's.
    unsafe {
        match class(group.twiddle()) {
            ZERO => halves::<V, ZERO, true>(v, tower, group, rows, rows),
            BYTE => halves::<V, BYTE, true>(v, tower, group, rows, rows),
            _ => halves::<V, WIDE, true>(v, tower, group, rows, rows),
        }
    }
}

/// # Safety
///
/// As [`forward_one`].
#[inline(always)]
unsafe fn halves<V: Vectors, const CLASS: u8, const INVERSE: bool>(
    v: V,
    tower: &Tower<V>,
    group: Group,
    from: *const u8,
    to: *mut u8,
) {
    let twiddle = tower.constant(group.twiddle());
    let part = group.bytes();
    for at in (0..part).step_by(2 * V::WIDTH) {
        // SAFETY: within two parts.
        unsafe {
            let mut x = load(v, from.add(at));
            let mut y = load(v, from.add(part + at));
            if INVERSE {
                y = add(v, y, x);
                x = multiply_add::<V, CLASS>(v, x, twiddle, y);
            } else {
                x = multiply_add::<V, CLASS>(v, x, twiddle, y);
                y = add(v, y, x);
            }
            store(v, to.add(at), x);
            store(v, to.add(part + at), y);
        }
    }
}

/// `to += factor * from` over rows of one buffer or two, or `to = factor * from`.
///
/// # Safety
///
/// As many bytes, a multiple of two vectors, can be read and written.
#[inline(always)]
pub(super) unsafe fn accumulate<V: Vectors>(
    v: V,
    tower: &Tower<V>,
    factor: u16,
    from: *const u8,
    to: *mut u8,
    bytes: usize,
) {
    // SAFETY: as this function's.
    unsafe {
        match factor {
            0 => {}
            1 => accumulate_class::<V, ONE>(v, tower, factor, from, to, bytes),
            2..256 => accumulate_class::<V, BYTE>(v, tower, factor, from, to, bytes),
            _ => accumulate_class::<V, WIDE>(v, tower, factor, from, to, bytes),
        }
    }
}

/// # Safety
///
/// As [`accumulate`].
#[inline(always)]
unsafe fn accumulate_class<V: Vectors, const CLASS: u8>(
    v: V,
    tower: &Tower<V>,
    factor: u16,
    from: *const u8,
    to: *mut u8,
    bytes: usize,
) {
    let factor = tower.constant(factor);
    for at in (0..bytes).step_by(2 * V::WIDTH) {
        // SAFETY: within the bytes.
        unsafe {
            let (sum, term) = (load(v, to.add(at)), load(v, from.add(at)));
            store(v, to.add(at), multiply_add::<V, CLASS>(v, sum, factor, term));
        }
    }
}
