//! Products of a matrix over the code's field with rows of bytes, on a GPU.
//!
//! A linear map is its values on unit rows, so any [`Coder`] of the CPU gives its matrix: [`unit_rows`] in, coefficients
//! out. Sources of the arithmetic: `bytes.wgsl` and `pairs.wgsl`.

use std::sync::Arc;

use super::super::field::{Field, GF8, GF8_POWERS, GF16};
use super::super::{Code, Shape};
use crate::backend::Error;
use crate::device::wgpu::{BINDING_WORDS, Buffer, Gpu, MOST_INVOCATIONS};

/// Rows of the matrix that one invocation computes.
const ROWS: usize = 8;
/// Words of a coefficient.
const COEFFICIENT: usize = 8;
/// Most columns of a matrix: its unit rows have as many symbols.
const MOST_COLUMNS: usize = 4096;

/// Words of a row are multiples of this for the 16-bit code.
const RUN: usize = 16;

/// A program: what both share, then one of them.
fn source(code: Code) -> String {
    let shared = format!("const ROWS = {ROWS}u;\n")
        + "
@group(0) @binding(0) var<storage, read> inputs: array<u32>;
@group(0) @binding(1) var<storage, read> planes: array<u32>;
@group(0) @binding(2) var<storage, read_write> outputs: array<u32>;
// Columns and rows of the matrix, words of an input and of an output.
@group(0) @binding(3) var<storage, read> job: array<u32>;

// The lowest bit of each byte in all of its bits.
fn spread(x: u32) -> u32 { return (x & 0x01010101u) * 255u; }
";
    shared + if code.symbol_bytes() == 1 { include_str!("bytes.wgsl") } else { include_str!("pairs.wgsl") }
}

fn field(code: Code) -> &'static Field {
    match code {
        Code::RsVandermonde => &GF8_POWERS,
        Code::RsFft8 => &GF8,
        Code::RsFft16 => &GF16,
    }
}

/// Where symbol `s` of a row of `len` bytes has its bytes; both are the same for a field of bytes.
fn place(code: Code, len: usize, s: usize) -> (usize, usize) {
    if code.symbol_bytes() == 1 {
        return (s, s);
    }
    let start = s / 32 * 64;
    let half = (len - start).min(64) / 2;
    (start + s % 32, start + half + s % 32)
}

/// `k` rows of `k` symbols each, row `i` with a one at symbol `i`.
fn unit_rows(code: Code, k: usize) -> Vec<Vec<u8>> {
    let len = k * code.symbol_bytes();
    let unit = |i: usize| {
        let mut row = vec![0; len];
        row[place(code, len, i).0] = 1;
        row
    };
    (0..k).map(unit).collect()
}

/// Words of a row of `len` bytes on the device.
pub(super) fn row_words(code: Code, len: usize) -> usize {
    match code.symbol_bytes() {
        1 => len.div_ceil(4),
        _ => len.div_ceil(4 * RUN) * RUN,
    }
}

/// A row's bytes, or whole runs of them, as words; a last run that is shorter than others is drawn apart.
fn to_words(code: Code, row: &[u8], words: &mut [u32]) {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
    match code.symbol_bytes() {
        1 => bytes[..row.len()].copy_from_slice(row),
        _ => {
            let (runs, rest) = row.split_at(row.len() / 64 * 64);
            bytes[..runs.len()].copy_from_slice(runs);
            let (low, high) = rest.split_at(rest.len() / 2);
            bytes[runs.len()..][..low.len()].copy_from_slice(low);
            if !high.is_empty() {
                bytes[runs.len() + 32..][..high.len()].copy_from_slice(high);
            }
        }
    }
}

/// The reverse of [`to_words`].
fn from_words(code: Code, words: &[u32], row: &mut [u8]) {
    let bytes: &[u8] = bytemuck::cast_slice(words);
    match code.symbol_bytes() {
        1 => row.copy_from_slice(&bytes[..row.len()]),
        _ => {
            let (runs, rest) = row.split_at_mut(row.len() / 64 * 64);
            runs.copy_from_slice(&bytes[..runs.len()]);
            let (low, high) = rest.split_at_mut(rest.len() / 2);
            low.copy_from_slice(&bytes[runs.len()..][..low.len()]);
            if !high.is_empty() {
                high.copy_from_slice(&bytes[runs.len() + 32..][..high.len()]);
            }
        }
    }
}

/// A matrix on the device.
pub(super) struct Matrix {
    gpu: Arc<Gpu>,
    code: Code,
    rows: usize,
    columns: usize,
    planes: Buffer,
}

impl Matrix {
    /// The matrix of a linear map from `columns` rows to `rows` rows.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for one that the device's bindings do not hold; what `map` reports; [`Error::Device`].
    pub fn of(
        gpu: &Arc<Gpu>,
        shape: &Shape,
        rows: usize,
        map: impl FnOnce(&[&[u8]], &mut [&mut [u8]]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let (code, columns) = (shape.code, shape.k());
        let tiles = rows.div_ceil(ROWS);
        if columns > MOST_COLUMNS || tiles * ROWS * columns * COEFFICIENT > BINDING_WORDS {
            return Err(Error::InvalidInput(format!("{code} with {rows} rows from {columns} is too large for wgpu")));
        }
        let units = unit_rows(code, columns);
        let len = columns * code.symbol_bytes();
        let mut images = vec![vec![0; len]; rows];
        map(
            &units.iter().map(Vec::as_slice).collect::<Vec<_>>(),
            &mut images.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
        )?;
        let field = field(code);
        let mut planes = vec![0; tiles * ROWS * columns * COEFFICIENT];
        for (r, image) in images.iter().enumerate() {
            for j in 0..columns {
                let (low, high) = place(code, len, j);
                let at = ((r / ROWS * columns + j) * ROWS + r % ROWS) * COEFFICIENT;
                let plane = |constant: u16, bit: usize| u32::from(field.multiply(constant, 1 << bit));
                for (word, out) in planes[at..at + COEFFICIENT].iter_mut().enumerate() {
                    *out = match code.symbol_bytes() {
                        1 => plane(u16::from(image[low]), word) * 0x0101_0101,
                        _ => {
                            let constant = u16::from_le_bytes([image[low], image[high]]);
                            plane(constant, 2 * word) | plane(constant, 2 * word + 1) << 16
                        }
                    };
                }
            }
        }
        Ok(Self { gpu: Arc::clone(gpu), code, rows, columns, planes: gpu.upload(&planes)? })
    }

    /// Puts rows of `len` bytes onto the device, cut to columns of bytes as its bindings ask.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn load(&self, rows: &[&[u8]], len: usize) -> Result<Loaded<'_>, Error> {
        let words = row_words(self.code, len);
        let tiles = self.rows.div_ceil(ROWS);
        // In whole runs, within a binding for all inputs and for all outputs, and within one dispatch.
        let most = (BINDING_WORDS / self.columns.max(self.rows)).min(MOST_INVOCATIONS / tiles) / RUN * RUN;
        let mut strips = Vec::new();
        for start in (0..words).step_by(most) {
            let width = most.min(words - start);
            let mut input = vec![0; self.columns * width];
            for (row, out) in rows.iter().zip(input.chunks_exact_mut(width)) {
                to_words(self.code, &row[4 * start..len.min(4 * (start + width))], out);
            }
            strips.push(Strip {
                start,
                width,
                input: self.gpu.upload(&input)?,
                output: self.gpu.zeros(self.rows * width)?,
                job: self.gpu.upload(&[self.columns as u32, self.rows as u32, width as u32])?,
            });
        }
        Ok(Loaded { matrix: self, len, strips })
    }
}

/// Rows on the device, and room for their products.
pub(super) struct Loaded<'a> {
    matrix: &'a Matrix,
    len: usize,
    strips: Vec<Strip>,
}

struct Strip {
    /// Its first word in every row.
    start: usize,
    width: usize,
    input: Buffer,
    output: Buffer,
    job: Buffer,
}

impl Loaded<'_> {
    /// Multiplies. The device is idle after it.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn multiply(&self) -> Result<(), Error> {
        let Matrix { gpu, code, rows, planes, .. } = self.matrix;
        let name = format!("erasure matrix of {} bytes", code.symbol_bytes());
        let program = gpu.program(&name, || source(*code))?;
        for Strip { width, input, output, job, .. } in &self.strips {
            let units = width / code.symbol_bytes();
            gpu.run(&program, &[input, planes, output, job], units * rows.div_ceil(ROWS))?;
        }
        gpu.wait()
    }

    /// Fetches the products into rows of as many bytes as were loaded.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn fetch(&self, rows: &mut [&mut [u8]]) -> Result<(), Error> {
        let Matrix { gpu, code, .. } = self.matrix;
        for Strip { start, width, output, .. } in &self.strips {
            let words = gpu.download(output)?;
            for (row, words) in rows.iter_mut().zip(words.chunks_exact(*width)) {
                from_words(*code, words, &mut row[4 * start..self.len.min(4 * (start + width))]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::wgsl::assert_valid;

    #[test]
    fn programs_are_core_wgsl() {
        for code in Code::ALL {
            assert_valid(&source(code), false);
        }
    }

    #[test]
    fn rows_come_back_from_words() {
        for code in Code::ALL {
            for len in [2, 4, 6, 62, 64, 66, 126, 128, 130, 1000] {
                let row: Vec<u8> = (0..len).map(|i| (i * 37 + 1) as u8).collect();
                let mut words = vec![0; row_words(code, len)];
                to_words(code, &row, &mut words);
                let mut back = vec![0; len];
                from_words(code, &words, &mut back);
                assert_eq!(back, row, "{code} {len}");
                // Every symbol is where the programs look for it.
                let bytes: &[u8] = bytemuck::cast_slice(&words);
                for s in 0..len / code.symbol_bytes() {
                    let (low, high) = place(code, len, s);
                    let (to_low, to_high) = place(code, 4 * words.len(), s);
                    assert_eq!((bytes[to_low], bytes[to_high]), (row[low], row[high]), "{code} {len} symbol {s}");
                }
            }
        }
    }
}
