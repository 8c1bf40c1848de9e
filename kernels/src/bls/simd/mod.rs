//! Backend `simd`: independent items side by side in the lanes of vector registers.
//!
//! | module | what |
//! |---|---|
//! | `field` | lanes of the base field and its quadratic extension, one implementation an instruction set |
//! | `curve` | points in lanes and at rest |
//! | `crossover` | from how many items on lanes pay, by processor |
//! | `convert` | between blst's points and these |
//! | `integer` | between integers and residues; signs |
//! | `sqrt` | square roots |
//! | `hash` | messages to G2 |
//! | `decode` | encoded points of G2 |
//! | `multiply` | points of G1 times short weights |
//! | `subgroup` | membership in G2 |
//! | `sums` | sums of points, with shared inversions |
//! | `msm` | weighted sums, and the row sums that check a batch for the subgroup |
//! | `committee` | resident keys and masked sums |
//! | `aggregate` | both aggregation kernels |
//! | `tower` | the field of the pairing's values, in lanes |
//! | `miller` | products of Miller loops |
//! | `signatures` | from bytes to points of G2 |
//! | `verify` | verify-batch |
//! | `layers` | a door for benches |
//!
//! Everything above `field` is written once, over its traits. Variable time, and for verification only: no secret comes
//! here.

mod aggregate;
mod committee;
mod convert;
mod crossover;
mod curve;
mod decode;
mod field;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod hash;
mod integer;
pub mod layers;
mod miller;
mod msm;
mod multiply;
#[cfg(test)]
mod samples;
mod signatures;
mod sqrt;
mod subgroup;
mod sums;
mod tower;
mod verify;

use std::marker::PhantomData;

use self::crossover::Crossover;
use self::field::{Avx512, Emulated, Fp49, Fp52};
use super::cpu::Cpu;
use crate::backend::{Backend, BackendId, Description, Isa, Kernel, Options, Unavailable};
use crate::pool::Pool;

/// The backend of all three kernels, over one field implementation.
pub(super) struct Simd<F> {
    pool: Pool,
    isa: Isa,
    crossover: &'static Crossover,
    /// For calls too small to fill lanes.
    scalar: Cpu,
    lanes: PhantomData<fn() -> F>,
}

/// Opens the backend on the instruction set that `options` force, or the best one of this CPU.
///
/// # Errors
///
/// [`Unavailable::MissingIsa`]; [`Unavailable::Options`] for a device, for an instruction set that this family has no code
/// for, or for impossible threads.
pub(super) fn open<K: Kernel>(options: &Options) -> Result<Box<dyn Backend<K>>, Unavailable>
where
    Simd<Fp49>: Backend<K>,
    Simd<Fp52<Avx512>>: Backend<K>,
    Simd<Fp52<Emulated>>: Backend<K>,
{
    if let Some(device) = options.device {
        return Err(Unavailable::Options(format!("the simd backend has no device {device}")));
    }
    let ifma = cfg!(target_arch = "x86_64") && Fp52::<Avx512>::available();
    let best = if ifma { Isa::Avx512Ifma } else { Isa::Avx2 };
    match options.isa.unwrap_or(best) {
        Isa::Avx2 if cfg!(target_arch = "x86_64") && Fp49::available() => {
            Ok(Box::new(Simd::<Fp49>::new(Isa::Avx2, options)?))
        }
        Isa::Avx2 => Err(Unavailable::MissingIsa("avx2 and fma")),
        Isa::Avx512Ifma if ifma => Ok(Box::new(Simd::<Fp52<Avx512>>::new(Isa::Avx512Ifma, options)?)),
        Isa::Avx512Ifma => Err(Unavailable::MissingIsa("avx512ifma")),
        isa @ Isa::Avx512IfmaEmulated => Ok(Box::new(Simd::<Fp52<Emulated>>::new(isa, options)?)),
        isa => Err(Unavailable::Options(format!("{} has no {isa} code", K::NAME))),
    }
}

impl<F> Simd<F> {
    fn new(isa: Isa, options: &Options) -> Result<Self, Unavailable> {
        let pool = Pool::new(options.threads)?;
        let scalar = Cpu::over(pool.clone());
        // Who asks for an instruction set gets its lanes, even where they do not pay.
        let chosen = options.isa.is_none() && isa == Isa::Avx2;
        let crossover = if chosen { Crossover::of_avx2() } else { Crossover::whole() };
        Ok(Self { pool, isa, crossover, scalar, lanes: PhantomData })
    }

    fn describe(&self) -> Description {
        let path = format!("lanes ({}) where they pay, else scalar", self.isa);
        Description { backend: BackendId::Simd, path, ..self.scalar.describe() }
    }
}
