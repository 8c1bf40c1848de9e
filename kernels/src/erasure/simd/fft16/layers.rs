//! The layers of the transform, two at a time, on the quarters of a group of rows.
//!
//! Two layers take 8 vectors of data, 4 of a product under way and the tables; what does not fit in 16 registers are tables,
//! which come from the first-level cache. Twiddles are `first point >> layer` (see the plain code in `cpu/fft.rs`), so the
//! code for a group is chosen by its twiddles: most groups need products by GF(2^8) alone, and the first group of the block
//! at point 0 almost none.

use super::super::vectors::Vectors;
use super::tower::{BYTE, Constant, ONE, Tower, WIDE, ZERO, add, class, load, multiply_add, store};

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

/// The constants of a group in a pass over two layers: of the layer of halves, and of the two halves in the layer of quarters.
#[derive(Clone, Copy)]
struct Twiddles<'a, V: Vectors> {
    top: Constant<'a, V>,
    first: Constant<'a, V>,
    second: Constant<'a, V>,
}

impl<'a, V: Vectors> Twiddles<'a, V> {
    /// `low` is the twiddle of the first half's quarters.
    #[inline(always)]
    fn new(tower: &'a Tower<V>, low: u16) -> Self {
        Self { top: tower.constant(low / 2), first: tower.constant(low), second: tower.constant(low | 2) }
    }
}

/// Two layers of one group: towards values from the rows at `from` to those at `to`, which may be the same, or towards
/// coefficients in place. With `half`, only the first two quarters of the values are made.
///
/// # Safety
///
/// Four parts can be read and written.
#[inline(always)]
pub(super) unsafe fn group<V: Vectors, const INVERSE: bool>(
    v: V,
    tower: &Tower<V>,
    group: Group,
    from: *const u8,
    to: *mut u8,
    half: bool,
) {
    let low = group.twiddle();
    let (twiddles, part) = (Twiddles::new(tower, low), group.bytes());
    // SAFETY: as this function's.
    unsafe {
        match (INVERSE, half, class(low / 2), class(low)) {
            (true, _, ZERO, _) => inverse::<V, ZERO, ZERO, BYTE>(v, twiddles, part, to),
            (true, _, BYTE, BYTE) => inverse::<V, BYTE, BYTE, BYTE>(v, twiddles, part, to),
            (true, _, BYTE, _) => inverse::<V, BYTE, WIDE, WIDE>(v, twiddles, part, to),
            (true, ..) => inverse::<V, WIDE, WIDE, WIDE>(v, twiddles, part, to),
            (false, false, ZERO, _) => forward::<V, ZERO, ZERO, BYTE, false>(v, twiddles, part, from, to),
            (false, false, BYTE, BYTE) => forward::<V, BYTE, BYTE, BYTE, false>(v, twiddles, part, from, to),
            (false, false, BYTE, _) => forward::<V, BYTE, WIDE, WIDE, false>(v, twiddles, part, from, to),
            (false, false, ..) => forward::<V, WIDE, WIDE, WIDE, false>(v, twiddles, part, from, to),
            (false, true, ZERO, _) => forward::<V, ZERO, ZERO, BYTE, true>(v, twiddles, part, from, to),
            (false, true, BYTE, BYTE) => forward::<V, BYTE, BYTE, BYTE, true>(v, twiddles, part, from, to),
            (false, true, ..) => forward::<V, WIDE, WIDE, WIDE, true>(v, twiddles, part, from, to),
        }
    }
}

/// Two layers of a row of groups, at most 256 rows in all.
#[derive(Clone, Copy)]
pub(super) struct Groups<'a> {
    /// The first of them.
    pub group: Group,
    /// How many rows of interest lie before each row, from the first one to behind the last one: groups without are left out.
    pub before: &'a [u32],
    pub rows: *mut u8,
}

/// In place.
///
/// # Safety
///
/// The groups' rows can be read and written; there is one more entry of `before`; the first row's place is a multiple of
/// their number.
#[inline(always)]
pub(super) unsafe fn groups<V: Vectors, const INVERSE: bool>(v: V, tower: &Tower<V>, groups: Groups) {
    let low = groups.group.twiddle();
    let step = 4 * groups.group.part;
    // So few twiddles from such a multiple on have one high byte, and so one class but for 0.
    // SAFETY: as this function's.
    unsafe {
        match (class(low / 2), class(low)) {
            (ZERO, _) => {
                range::<V, ZERO, ZERO, BYTE, INVERSE>(v, tower, groups, 0, step);
                range::<V, BYTE, BYTE, BYTE, INVERSE>(v, tower, groups, step, groups.before.len() - 1);
            }
            (BYTE, BYTE) => range::<V, BYTE, BYTE, BYTE, INVERSE>(v, tower, groups, 0, groups.before.len() - 1),
            (BYTE, _) => range::<V, BYTE, WIDE, WIDE, INVERSE>(v, tower, groups, 0, groups.before.len() - 1),
            _ => range::<V, WIDE, WIDE, WIDE, INVERSE>(v, tower, groups, 0, groups.before.len() - 1),
        }
    }
}

/// # Safety
///
/// As [`groups`], of rows `start..end`.
#[inline(always)]
unsafe fn range<V: Vectors, const TOP: u8, const FIRST: u8, const SECOND: u8, const INVERSE: bool>(
    v: V,
    tower: &Tower<V>,
    Groups { group, before, rows }: Groups,
    start: usize,
    end: usize,
) {
    let (low, part, layer) = (group.twiddle(), group.bytes(), group.part.trailing_zeros());
    let (high, high_top) = (tower.high(low), tower.high(low / 2));
    let mut row = start;
    while row < end {
        // SAFETY: the group lies in the rows.
        unsafe {
            if before.get_unchecked(row) != before.get_unchecked(row + 4 * group.part) {
                let low = low + (row >> layer) as u16;
                let twiddles = Twiddles {
                    top: tower.with_low(high_top, low / 2),
                    first: tower.with_low(high, low),
                    second: tower.with_low(high, low | 2),
                };
                let rows = rows.add(row * group.row_bytes);
                if INVERSE {
                    inverse::<V, TOP, FIRST, SECOND>(v, twiddles, part, rows);
                } else {
                    forward::<V, TOP, FIRST, SECOND, false>(v, twiddles, part, rows, rows);
                }
            }
        }
        row += 4 * group.part;
    }
}

/// # Safety
///
/// Four parts can be read and written.
#[inline(always)]
unsafe fn forward<V: Vectors, const TOP: u8, const FIRST: u8, const SECOND: u8, const HALF: bool>(
    v: V,
    Twiddles { top, first, second }: Twiddles<V>,
    part: usize,
    from: *const u8,
    to: *mut u8,
) {
    let mut at = 0;
    while at < part {
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
        at += 2 * V::WIDTH;
    }
}

/// # Safety
///
/// Four parts can be read and written.
#[inline(always)]
unsafe fn inverse<V: Vectors, const TOP: u8, const FIRST: u8, const SECOND: u8>(
    v: V,
    Twiddles { top, first, second }: Twiddles<V>,
    part: usize,
    rows: *mut u8,
) {
    let mut at = 0;
    while at < part {
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
        at += 2 * V::WIDTH;
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
