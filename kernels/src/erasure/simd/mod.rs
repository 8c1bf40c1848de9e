//! The `simd` backend: one [`Coder`] a code, generic over the instruction set, which is chosen when the backend is opened.
//!
//! | module | what |
//! |---|---|
//! | `fft8`, `fft16` | the codes over GF(2^8) and over GF(2^16) |
//! | `hash` | BLAKE3 of equally long strings, one a lane |
//! | `leaves` | leaves, nodes and proofs of the chunk tree in these lanes |
//! | `matrix` | products of a matrix with rows: for few parity chunks, and few losses |
//! | `one_pass` | both kernels that commit: code and hash a byte column while it is in cache |
//! | `vandermonde` | `rs-vandermonde` as one of `fft8` |
//! | `vectors` | the instruction sets, as vectors of bytes and products with constants |

mod fft16;
mod fft8;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) mod hash;
mod leaves;
mod matrix;
mod one_pass;
mod vandermonde;
mod vectors;

use self::vectors::Vectors;
use super::coder::{Codec, Coder};
use super::points::Points;
use super::{Code, Shape};
use crate::backend::{Backend, BackendId, Description, Error, Isa, Kernel, Options, Prepared, Unavailable};
use crate::pool::Pool;

/// The opened backend: its threads and its instruction set.
pub(super) struct Simd {
    pool: Pool,
    isa: Isa,
    set: Box<dyn Set>,
}

impl Simd {
    /// On the instruction set that `options` force, or the best one of this CPU.
    ///
    /// # Errors
    ///
    /// [`Unavailable::MissingIsa`]; [`Unavailable::Options`] for a device, for an instruction set that this family has no
    /// code for, or for impossible threads.
    pub(super) fn open(options: &Options) -> Result<Self, Unavailable> {
        if let Some(device) = options.device {
            return Err(Unavailable::Options(format!("the simd backend has no device {device}")));
        }
        let pool = Pool::new(options.threads)?;
        let found = |isa| set(isa).map(|set| (isa, set));
        let (isa, set) = match options.isa {
            Some(isa) if !BEST_FIRST.contains(&isa) => {
                return Err(Unavailable::Options(format!("the erasure codes have no {isa} code")));
            }
            Some(isa) => found(isa).ok_or(Unavailable::MissingIsa(name(isa)))?,
            None => BEST_FIRST.into_iter().find_map(found).ok_or(Unavailable::MissingIsa("avx2"))?,
        };
        Ok(Self { pool, isa, set })
    }

    fn codec(&self, shape: &Shape) -> Result<Codec, Error> {
        shape.validate()?;
        Ok(Codec::new(&self.pool, shape, self.set.coder(shape)).in_one_pass())
    }
}

impl<K: Kernel<Setup = Shape>> Backend<K> for Simd
where
    Codec: Prepared<K>,
{
    fn description(&self) -> Description {
        let path = format!("lanes ({})", self.isa);
        Description { backend: BackendId::Simd, path, ..self.pool.describe("our own") }
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<K>>, Error> {
        Ok(Box::new(self.codec(shape)?))
    }
}

/// What this family has code for.
const BEST_FIRST: [Isa; 4] = [Isa::Avx512Gfni, Isa::Gfni, Isa::Avx2, Isa::Neon];

fn name(isa: Isa) -> &'static str {
    match isa {
        Isa::Avx512Gfni => "avx512gfni",
        Isa::Gfni => "gfni",
        Isa::Neon => "neon",
        _ => "avx2",
    }
}

/// An instruction set of this CPU, with its type forgotten.
trait Set: Send + Sync {
    /// `shape` is valid.
    fn coder(&self, shape: &Shape) -> Box<dyn Coder>;
}

/// Vectors for most codes, and those for `rs-fft16`, whose runs of low and of high bytes are 32 long.
struct On<V, W>(V, W);

impl<V: Vectors, W: Vectors> Set for On<V, W> {
    fn coder(&self, shape: &Shape) -> Box<dyn Coder> {
        match (shape.code, Points::new(shape)) {
            (Code::RsFft8, Some(points)) => Box::new(fft8::Fft8::new(self.0, points)),
            (Code::RsFft16, Some(points)) => Box::new(fft16::Fft16::new(self.1, points)),
            (Code::RsVandermonde, _) | (_, None) => Box::new(vandermonde::coder(self.0, shape)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn set(isa: Isa) -> Option<Box<dyn Set>> {
    use self::vectors::{Avx2, Gfni256, Gfni512};
    match isa {
        Isa::Avx2 => Avx2::detect().map(|v| Box::new(On(v, v)) as Box<dyn Set>),
        Isa::Gfni => Gfni256::detect().map(|v| Box::new(On(v, v)) as Box<dyn Set>),
        Isa::Avx512Gfni => Some(Box::new(On(Gfni512::detect()?, Gfni256::detect()?))),
        _ => None,
    }
}

#[cfg(target_arch = "aarch64")]
fn set(isa: Isa) -> Option<Box<dyn Set>> {
    use self::vectors::Neon;
    match isa {
        Isa::Neon => Neon::detect().map(|v| Box::new(On(v, v)) as Box<dyn Set>),
        _ => None,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn set(_isa: Isa) -> Option<Box<dyn Set>> {
    None
}
