//! The scalar backend: one coder a code.

pub(super) mod fft;
mod vandermonde;

use super::Shape;
use super::coder::{Codec, Coder};
use super::points::Points;
use crate::backend::{Backend, Description, Error, Kernel, Options, Prepared, Unavailable};
use crate::pool::Pool;

/// The opened backend: its threads.
pub struct Cpu {
    pool: Pool,
}

impl Cpu {
    /// # Errors
    ///
    /// [`Unavailable::Options`] for no threads or more than 1024, for a forced instruction set or device, or when the
    /// system gives no threads.
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        Ok(Self { pool: Pool::open(options)? })
    }

    fn describe(&self) -> Description {
        self.pool.describe("rs-vandermonde: reed-solomon-erasure 6.0, without simd-accel; rs-fft8, rs-fft16: our own")
    }

    pub(super) fn codec(&self, shape: &Shape) -> Result<Codec, Error> {
        shape.validate()?;
        Ok(Codec::new(&self.pool, shape, scalar_coder(shape)?))
    }
}

/// The scalar code of a valid shape.
pub(super) fn scalar_coder(shape: &Shape) -> Result<Box<dyn Coder>, Error> {
    Ok(match Points::new(shape) {
        Some(points) => Box::new(fft::Fft::new(points)),
        None => Box::new(vandermonde::Vandermonde::new(shape)?),
    })
}

impl<K: Kernel<Setup = Shape>> Backend<K> for Cpu
where
    Codec: Prepared<K>,
{
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<K>>, Error> {
        Ok(Box::new(self.codec(shape)?))
    }
}
