//! A plan's work, column by column: rows are cut into columns narrow enough that the rows of one step, or all of them, fit
//! the first cache. Between steps rows lie in a buffer, packed, whatever the distance of the caller's rows.

use std::mem::MaybeUninit;

use super::plan::{Place, Plan};
use super::steps::{LINE, Rows};
use crate::erasure::simd::vectors::Vectors;

/// Bytes of the buffer.
const BUFFER: usize = 1 << 17;
/// Bytes of the first cache that a column's rows may fill.
const FIRST_CACHE: usize = 3 << 13;
/// Bytes of a column's rows where all of them fit the first cache.
const NARROW: usize = 512;
/// The same where parts do, in which steps then stay for longest.
const WIDEST: usize = 1024;

/// Rows of one column.
#[repr(C, align(64))]
struct Buffer([MaybeUninit<u8>; BUFFER]);

/// What an absent row reads as.
#[repr(C, align(64))]
struct Zeros([u8; WIDEST]);

static ZEROS: Zeros = Zeros([0; WIDEST]);

/// A plan's work on some rows, all equally long.
pub(super) struct Columns<'a, 'i, 'o, V: Vectors> {
    pub plan: &'a Plan,
    pub multipliers: &'a [V::Multiplier],
    pub inputs: &'a [&'i [u8]],
    pub outputs: &'a mut [&'o mut [u8]],
}

impl<V: Vectors> Columns<'_, '_, '_, V> {
    /// Overwrites the outputs.
    pub(super) fn run(self, v: V) {
        let len = self.outputs.first().map_or(0, |row| row.len());
        debug_assert!(
            self.inputs.iter().all(|row| row.len() == len) && self.outputs.iter().all(|row| row.len() == len)
        );
        let inputs: Vec<*mut u8> = self.inputs.iter().map(|row| row.as_ptr().cast_mut()).collect();
        let outputs: Vec<*mut u8> = self.outputs.iter_mut().map(|row| row.as_mut_ptr()).collect();
        let mut buffer = Buffer([const { MaybeUninit::uninit() }; BUFFER]);
        let run = Run { v, plan: self.plan, multipliers: self.multipliers };
        let unit = 2 * V::WIDTH;
        if len >= unit {
            // SAFETY: the rows are `len` bytes long, inputs are only read.
            unsafe { run.columns(&inputs, &outputs, len, &mut buffer) };
            return;
        }
        // Shorter than what steps take at a time: in copies that are so long.
        let mut copies = vec![0; (inputs.len() + outputs.len()) * unit];
        for (copy, row) in copies.chunks_exact_mut(unit).zip(self.inputs) {
            copy[..len].copy_from_slice(row);
        }
        let rows: Vec<*mut u8> = copies.chunks_exact_mut(unit).map(|row| row.as_mut_ptr()).collect();
        let (inputs, outputs) = rows.split_at(inputs.len());
        // SAFETY: the copies are so long.
        unsafe { run.columns(inputs, outputs, unit, &mut buffer) };
        let copies = copies.chunks_exact(unit).skip(inputs.len());
        for (row, copy) in self.outputs.iter_mut().zip(copies) {
            row.copy_from_slice(&copy[..len]);
        }
    }
}

struct Run<'a, V: Vectors> {
    v: V,
    plan: &'a Plan,
    multipliers: &'a [V::Multiplier],
}

impl<V: Vectors> Run<'_, V> {
    /// # Safety
    ///
    /// Rows have `len` bytes, no less than two vectors; inputs to read, outputs to write.
    unsafe fn columns(&self, inputs: &[*mut u8], outputs: &[*mut u8], len: usize, buffer: &mut Buffer) {
        // One row more for what nobody wants.
        let rows = usize::from(self.plan.work) + 1;
        let widest = if rows * NARROW <= FIRST_CACHE { NARROW } else { WIDEST };
        let unit = 2 * V::WIDTH;
        let step = unit.max(LINE);
        let pitch = (BUFFER / rows / step * step).min(widest);
        let work = buffer.0.as_mut_ptr().cast::<u8>();
        let fixed = |at: u16| work.wrapping_add(usize::from(at) * pitch);
        let place = |place: &Place| match *place {
            Place::Work(at) => fixed(at),
            Place::Input(at) => inputs[usize::from(at)],
            Place::Output(at) => outputs[usize::from(at)],
            Place::Zero => ZEROS.0.as_ptr().cast_mut(),
            Place::Unwanted => fixed(self.plan.work),
        };
        let mut rows: Vec<*mut u8> = self.plan.places.iter().map(place).collect();
        let (mut start, mut last) = (0, 0);
        while start < len {
            let mut width = pitch.min(len - start);
            if !width.is_multiple_of(unit) {
                width = width.next_multiple_of(unit);
                if len >= width {
                    // The last column overlaps the one before: both compute the same bytes.
                    start = len - width;
                } else {
                    width -= unit;
                }
            }
            if start > last {
                for (row, place) in rows.iter_mut().zip(&self.plan.places) {
                    let goes_on = matches!(place, Place::Input(_) | Place::Output(_));
                    *row = row.wrapping_add(if goes_on { start - last } else { 0 });
                }
                last = start;
            }
            let on = Rows { multipliers: self.multipliers, factors: &self.plan.factors, rows: &rows, width };
            for step in &self.plan.steps {
                // SAFETY: every row has `width` bytes from here on, and the plan writes to none that is only read.
                unsafe { on.take(self.v, step) };
            }
            start += width;
        }
    }
}
