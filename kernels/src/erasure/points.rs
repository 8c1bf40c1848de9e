//! Which evaluation point each chunk of an additive-FFT code has, and of which polynomials the code words are values.
//!
//! Points are numbers as in [`super::field`]; blocks are runs of `block` points (a power of two) that start at multiples of
//! it. Three classes, chosen by the shape alone:
//!
//! | class | parity chunk `i` | data chunk `i` | the code word is the values of a polynomial of degree below |
//! |---|---|---|---|
//! | high rate, `block` = next power of two of `m` | `i` | `block + i` | order - `block`, 0 at every point behind the data |
//! | low rate, `block` = next power of two of `k` | `block + i` | `i` | `block`, 0 at points `k..block` |
//! | full | `k + i` | `i` | `k` |
//!
//! High and low rate are the classes of leopard and of reed-solomon-simd, and give the same bytes. They waste points on
//! padding; the full class takes the shapes that then no longer fit the field, as (85, 171) in GF(2^8).

use std::ops::Range;

use super::field::{Field, GF8, GF16};
use super::{Code, Shape};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Parity first: `m` padded to a block.
    HighRate,
    /// Data first: `k` padded to a block.
    LowRate,
    /// Data first, nothing padded.
    Full,
}

/// A shape laid out over the points.
#[derive(Clone, Copy)]
pub(crate) struct Points {
    /// The field.
    pub field: &'static Field,
    /// The class.
    pub class: Class,
    /// `k`.
    pub k: usize,
    /// `m`.
    pub m: usize,
    /// Points of a block.
    pub block: usize,
}

impl Points {
    /// Nothing for a code that is not evaluated at these points.
    pub(crate) fn new(shape: &Shape) -> Option<Self> {
        let (k, m) = (shape.k(), shape.m());
        let (padded_k, padded_m) = (k.next_power_of_two(), m.next_power_of_two());
        let (field, high_first): (&'static Field, bool) = match shape.code {
            Code::RsVandermonde => return None,
            // As leopard, which has m <= k alone.
            Code::RsFft8 => (&GF8, m <= k),
            // As reed-solomon-simd, which for equal powers takes the rate that decodes faster.
            Code::RsFft16 => (&GF16, padded_m < padded_k || padded_m == padded_k && k <= m),
        };
        let high = (padded_m + k <= field.order()).then_some((Class::HighRate, padded_m));
        let low = (padded_k + m <= field.order()).then_some((Class::LowRate, padded_k));
        let (class, block) = if high_first { high.or(low) } else { low.or(high) }.unwrap_or((Class::Full, padded_k));
        Some(Self { field, class, k, m, block })
    }

    /// The points of the data chunks.
    pub(crate) fn data(&self) -> Range<usize> {
        match self.class {
            Class::HighRate => self.block..self.block + self.k,
            Class::LowRate | Class::Full => 0..self.k,
        }
    }

    /// The points of the parity chunks.
    pub(crate) fn parity(&self) -> Range<usize> {
        match self.class {
            Class::HighRate => 0..self.m,
            Class::LowRate => self.block..self.block + self.m,
            Class::Full => self.k..self.k + self.m,
        }
    }

    /// The points without a chunk, at which every code word's polynomial is 0.
    pub(crate) fn zeros(&self) -> Range<usize> {
        match self.class {
            Class::HighRate => self.data().end..self.field.order(),
            Class::LowRate => self.k..self.block,
            Class::Full => 0..0,
        }
    }

    /// The point of a chunk below `k + m`.
    pub(crate) fn of(&self, chunk: usize) -> usize {
        match chunk.checked_sub(self.k) {
            None => self.data().start + chunk,
            Some(parity) => self.parity().start + parity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Code, k: u16, m: u16) -> (Class, usize) {
        let points = Points::new(&Shape::new(code, k, m).unwrap()).unwrap();
        (points.class, points.block)
    }

    #[test]
    fn shapes_have_the_documented_class() {
        for (k, m, want) in [
            (10, 4, (Class::HighRate, 4)),
            (32, 32, (Class::HighRate, 32)),
            (128, 128, (Class::HighRate, 128)),
            (1, 1, (Class::HighRate, 1)),
            (4, 10, (Class::LowRate, 4)),
            (64, 192, (Class::LowRate, 64)),
            (85, 171, (Class::Full, 128)),
            (150, 70, (Class::Full, 256)),
            (70, 100, (Class::LowRate, 128)),
            (100, 120, (Class::LowRate, 128)),
            (129, 120, (Class::Full, 256)),
            (128, 120, (Class::HighRate, 128)),
        ] {
            assert_eq!(class(Code::RsFft8, k, m), want, "({k}, {m})");
        }
        for (k, m, want) in [
            (342, 681, (Class::LowRate, 512)),
            (667, 1333, (Class::LowRate, 1024)),
            (2, 4, (Class::LowRate, 2)),
            (3, 4, (Class::HighRate, 4)),
            (4, 3, (Class::LowRate, 4)),
            (1000, 10, (Class::HighRate, 16)),
            (32768, 32768, (Class::HighRate, 32768)),
            (21845, 43690, (Class::Full, 32768)),
        ] {
            assert_eq!(class(Code::RsFft16, k, m), want, "({k}, {m})");
        }
    }

    #[test]
    fn no_two_chunks_share_a_point_and_all_lie_in_the_field() {
        for (k, m) in [(1, 1), (10, 4), (4, 10), (85, 171), (171, 85), (128, 128), (100, 120), (255, 1), (1, 255)] {
            let points = Points::new(&Shape::new(Code::RsFft8, k, m).unwrap()).unwrap();
            let all: std::collections::BTreeSet<usize> = (0..usize::from(k + m)).map(|i| points.of(i)).collect();
            assert_eq!(all.len(), usize::from(k + m));
            assert!(all.into_iter().all(|point| point < 256));
        }
    }
}
