//! Arithmetic modulo long odd numbers: one chain at a time, or as many as there are lanes.
//!
//! A chain of squarings is sequential, so lanes hold chains: independent ones modulo an RSA number, or Fermat tests of
//! different candidates for a prime. `scalar.rs` is one chain; `lanes/` is several in lockstep. [`Engine`] is the choice
//! between them.

mod scalar;

use super::integer::Int;
use crate::backend::{BackendId, Isa, Options, Unavailable};

pub(super) use scalar::{Form, Montgomery};

/// Which code does the arithmetic modulo many numbers: candidates for primes, independent chains of squarings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    isa: Option<Isa>,
}

impl Engine {
    /// One number at a time.
    pub const SCALAR: Self = Self { isa: None };

    /// The engine of a backend: scalar for `cpu`, the best lanes of this CPU for `simd`.
    ///
    /// # Errors
    ///
    /// [`Unavailable::MissingIsa`] where the CPU has none, [`Unavailable::NotImplemented`] for other backends.
    pub fn open(backend: BackendId) -> Result<Self, Unavailable> {
        match backend {
            BackendId::Cpu => Ok(Self::SCALAR),
            BackendId::Simd => Self::lanes_of(Options::default().isa),
            BackendId::Cuda | BackendId::Wgpu => Err(Unavailable::NotImplemented),
        }
    }

    /// Lanes of one instruction set, or of the best that the CPU has.
    pub(super) fn lanes_of(isa: Option<Isa>) -> Result<Self, Unavailable> {
        let _ = isa;
        Err(Unavailable::NotImplemented)
    }

    /// The lanes' instruction set.
    pub(super) fn isa(self) -> Option<Isa> {
        self.isa
    }

    /// Numbers that are computed with at once.
    pub(super) fn lanes(self) -> usize {
        1
    }

    /// For each odd number above 2^32 whether it may be prime: whether `2^(n-1) = 1` modulo `n`.
    pub(super) fn fermat_base_2(self, candidates: &[Int]) -> Vec<bool> {
        // Numbers below 2^64, which have no such arithmetic, are left to the strong test.
        let scalar = |n: &Int| Montgomery::new(n.limbs()).is_none_or(|ring| ring.is_fermat_probable_prime_base_2());
        candidates.iter().map(scalar).collect()
    }

    /// Values modulo `modulus` in groups that can run side by side, on `threads` threads; in order.
    pub(super) fn chains(self, modulus: &[u64], values: &[Vec<u64>], threads: usize) -> Vec<Chains> {
        let _ = threads;
        let Some(ring) = Montgomery::new(modulus).map(std::sync::Arc::new) else { return Vec::new() };
        let chain = |value: &Vec<u64>| Some(Chains::Scalar { form: ring.to_form(value)?, ring: ring.clone() });
        values.iter().filter_map(chain).collect()
    }
}

/// Values that are squared together.
#[derive(Clone)]
pub(super) enum Chains {
    Scalar { ring: std::sync::Arc<Montgomery>, form: Form },
}

impl Chains {
    /// Squares each `count` times.
    pub fn square_times(&mut self, count: u64) {
        match self {
            Self::Scalar { ring, form } => ring.square_times(form, count),
        }
    }

    /// The values, fully reduced, little-endian.
    pub fn values(&self) -> Vec<Vec<u64>> {
        match self {
            Self::Scalar { ring, form } => vec![ring.from_form(form)],
        }
    }
}
