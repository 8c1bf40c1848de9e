//! Backend `simd`: independent items side by side in the lanes of vector registers.
//!
//! | module | what |
//! |---|---|
//! | `field` | lanes of the base field and its quadratic extension, one implementation an instruction set |
//! | `curve` | points in lanes and at rest |
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
//! | `layers` | a door for benches |
//!
//! Everything above `field` is written once, over its traits. Variable time, and for verification only: no secret comes
//! here.

mod aggregate;
mod committee;
mod convert;
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
mod sqrt;
mod subgroup;
mod sums;
mod tower;

use std::marker::PhantomData;

use self::field::Fp28;
use super::cpu::Cpu;
use crate::backend::{Backend, BackendId, Description, Isa, Kernel, Options, Unavailable};
use crate::pool::Pool;

/// The backend of all three kernels, over one field implementation.
pub(super) struct Simd<F> {
    pool: Pool,
    isa: Isa,
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
    Simd<Fp28>: Backend<K>,
{
    if let Some(device) = options.device {
        return Err(Unavailable::Options(format!("the simd backend has no device {device}")));
    }
    match options.isa.unwrap_or(Isa::Avx2) {
        Isa::Avx2 if has_avx2() => Ok(Box::new(Simd::<Fp28>::new(Isa::Avx2, options)?)),
        Isa::Avx2 => Err(Unavailable::MissingIsa("avx2")),
        isa => Err(Unavailable::Options(format!("{} has no {isa} code", K::NAME))),
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

impl<F> Simd<F> {
    fn new(isa: Isa, options: &Options) -> Result<Self, Unavailable> {
        let pool = Pool::new(options.threads)?;
        let scalar = Cpu::over(pool.clone());
        Ok(Self { pool, isa, scalar, lanes: PhantomData })
    }

    fn describe(&self) -> Description {
        let path = format!("lanes ({})", self.isa);
        Description { backend: BackendId::Simd, path, ..self.scalar.describe() }
    }
}
