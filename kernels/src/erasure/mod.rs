//! Erasure coding of block bodies: `erasure/encode`, `erasure/reconstruct`, and with the Merkle tree over chunks
//! `erasure/disperse`, `erasure/retrieve`.
//!
//! This file holds what every code and backend shares: the code identifiers, the shape and its limits. [`encode`],
//! [`reconstruct`], [`disperse`] and [`retrieve`] hold the kernels, [`cpu`] their scalar backend, [`naive`] the oracle, [`plan`] the way from a
//! block body to chunks and back, [`merkle`] the commitment. Encodings, rules and sources: `README.md` beside this file.

mod coder;
mod commit;
pub mod cpu;
pub mod disperse;
pub mod encode;
mod field;
pub mod merkle;
pub mod naive;
mod pattern;
pub mod plan;
mod points;
pub mod reconstruct;
pub mod retrieve;
#[allow(dead_code)]
mod simd;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use disperse::{Disperse, Dispersed};
pub use encode::{Encode, EncodeParams};
pub use plan::{Backends, Plan};
pub use reconstruct::{Chunks, Reconstruct, ReconstructParams, Refusal};
pub use retrieve::{Delivered, Delivery, Retrieve};

use crate::backend::Error;

/// Most bytes that the `k + m` chunks of one body may hold together: 1 GiB.
pub const MAX_CODED_BYTES: usize = 1 << 30;

/// A code: part of a result's identity and of a signed block header. Other bytes, other code, even for one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Systematic Vandermonde Reed-Solomon over GF(2^8) with polynomial 0x11D, byte-equal to crate
    /// reed-solomon-erasure 6 (`galois_8`). At most 256 chunks.
    RsVandermonde,
    /// Reed-Solomon over GF(2^8) in a Cantor basis, for the additive FFT; byte-equal to leopard where that has the shape.
    /// At most 256 chunks.
    RsFft8,
    /// The same over GF(2^16), byte-equal to crate reed-solomon-simd 3 where that has the shape. At most 65,536 chunks, of
    /// an even number of bytes.
    RsFft16,
}

impl Code {
    /// Every code.
    pub const ALL: [Code; 3] = [Self::RsVandermonde, Self::RsFft8, Self::RsFft16];

    /// The identifier on the wire. Never reused.
    pub fn id(self) -> u8 {
        match self {
            Self::RsVandermonde => 1,
            Self::RsFft8 => 2,
            Self::RsFft16 => 3,
        }
    }

    /// The code with this identifier on the wire, if there is one.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.id() == id)
    }

    /// The name in configs and reports; the same as in serde.
    pub fn name(self) -> &'static str {
        match self {
            Self::RsVandermonde => "rs-vandermonde",
            Self::RsFft8 => "rs-fft8",
            Self::RsFft16 => "rs-fft16",
        }
    }

    /// Most chunks, `k + m`, of one body.
    pub fn max_chunks(self) -> usize {
        match self {
            Self::RsVandermonde | Self::RsFft8 => 256,
            Self::RsFft16 => 1 << 16,
        }
    }

    /// Bytes of a symbol: a chunk is a whole number of them.
    pub fn symbol_bytes(self) -> usize {
        match self {
            Self::RsVandermonde | Self::RsFft8 => 1,
            Self::RsFft16 => 2,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A code and its dimensions: the setup of every kernel. Chunks `0..k` are data, `k..k + m` parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The code.
    pub code: Code,
    /// `k`, at least 1.
    pub data_chunks: u16,
    /// `m`, at least 1.
    pub parity_chunks: u16,
}

impl Shape {
    /// A shape that passes [`Shape::validate`].
    ///
    /// # Errors
    ///
    /// As [`Shape::validate`].
    pub fn new(code: Code, data_chunks: u16, parity_chunks: u16) -> Result<Self, Error> {
        let shape = Self { code, data_chunks, parity_chunks };
        shape.validate()?;
        Ok(shape)
    }

    /// # Errors
    ///
    /// [`Error::InvalidInput`] when `k` or `m` is 0, or `k + m` exceeds [`Code::max_chunks`].
    pub fn validate(&self) -> Result<(), Error> {
        let (code, most) = (self.code, self.code.max_chunks());
        if self.data_chunks == 0 {
            return Err(Error::InvalidInput("data_chunks must be at least 1".into()));
        }
        if self.parity_chunks == 0 {
            return Err(Error::InvalidInput("parity_chunks must be at least 1".into()));
        }
        if self.total() > most {
            let (k, m) = (self.data_chunks, self.parity_chunks);
            return Err(Error::InvalidInput(format!("{code} allows {most} chunks, not {k} + {m}")));
        }
        Ok(())
    }

    /// `k`.
    pub fn k(&self) -> usize {
        usize::from(self.data_chunks)
    }

    /// `m`.
    pub fn m(&self) -> usize {
        usize::from(self.parity_chunks)
    }

    /// `k + m`.
    pub fn total(&self) -> usize {
        self.k() + self.m()
    }

    /// Refuses chunk sizes that are 0, are no whole number of symbols, or bring all chunks together over [`MAX_CODED_BYTES`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`].
    pub fn validate_chunk_bytes(&self, chunk_bytes: usize) -> Result<(), Error> {
        if chunk_bytes == 0 {
            return Err(Error::InvalidInput("chunk_bytes must be at least 1".into()));
        }
        let symbol = self.code.symbol_bytes();
        if !chunk_bytes.is_multiple_of(symbol) {
            let code = self.code;
            return Err(Error::InvalidInput(format!(
                "{code} codes symbols of {symbol} bytes, chunk_bytes is {chunk_bytes}"
            )));
        }
        if chunk_bytes > MAX_CODED_BYTES / self.total() {
            let total = self.total();
            return Err(Error::InvalidInput(format!(
                "{total} chunks of {chunk_bytes} bytes exceed {MAX_CODED_BYTES} bytes"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_by_its_wire_id_and_named_as_in_configs() {
        for code in Code::ALL {
            assert_eq!(Code::from_id(code.id()), Some(code));
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.name()));
        }
        assert_eq!(Code::RsVandermonde.id(), 1);
        assert_eq!(Code::from_id(0), None);
        assert_eq!(Code::RsFft8.id(), 2);
        assert_eq!(Code::RsFft16.id(), 3);
        assert_eq!(Code::from_id(4), None);
        assert_eq!(Code::from_id(255), None);
    }

    #[test]
    fn shapes_outside_the_field_are_refused() {
        for (k, m) in [(0, 1), (1, 0), (0, 0), (256, 1), (1, 256), (129, 128), (u16::MAX, u16::MAX)] {
            assert!(Shape::new(Code::RsVandermonde, k, m).is_err(), "({k}, {m})");
        }
        for (k, m) in [(1, 1), (255, 1), (1, 255), (128, 128)] {
            assert!(Shape::new(Code::RsVandermonde, k, m).is_ok(), "({k}, {m})");
            assert!(Shape::new(Code::RsFft8, k, m).is_ok(), "({k}, {m})");
        }
        assert!(Shape::new(Code::RsFft8, 128, 129).is_err());
        assert!(Shape::new(Code::RsFft16, u16::MAX, 1).is_ok());
        assert!(Shape::new(Code::RsFft16, u16::MAX, 2).is_err());
    }

    #[test]
    fn chunk_sizes_that_are_zero_or_fill_memory_are_refused() {
        let shape = Shape::new(Code::RsVandermonde, 128, 128).unwrap();
        assert!(shape.validate_chunk_bytes(0).is_err());
        assert!(shape.validate_chunk_bytes(MAX_CODED_BYTES / 256).is_ok());
        assert!(shape.validate_chunk_bytes(MAX_CODED_BYTES / 256 + 1).is_err());
        assert!(shape.validate_chunk_bytes(usize::MAX).is_err());
        let wide = Shape::new(Code::RsFft16, 3, 3).unwrap();
        assert!(wide.validate_chunk_bytes(2).is_ok());
        assert!(wide.validate_chunk_bytes(3).is_err());
    }
}
