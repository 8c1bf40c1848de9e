//! Backend `wgpu`: every code as a product with a matrix, on a GPU. Trees over chunks are hashed on the CPU.
//!
//! The matrix of a shape is made once and stays on the device; that of a pattern of losses is a part of its call, solved by
//! the scalar code. Encoding keeps transfers and work apart: its input lies on the device before `execute` and its output
//! still does after.

mod matrix;

use std::sync::Arc;

use self::matrix::{Loaded, Matrix};
use super::coder::{Codec, Coder, Erasures, Restore};
use super::cpu::scalar_coder;
use super::encode::chunk_bytes;
use super::{Disperse, Encode, Reconstruct, Retrieve, Shape};
use crate::backend::{Backend, Control, Description, Error, Kernel, Options, Prepared, Session, Unavailable};
use crate::device::wgpu::Gpu;
use crate::pool::Pool;

/// A device, and one thread of the host beside it.
pub(super) struct Device {
    gpu: Arc<Gpu>,
    pool: Pool,
}

impl Device {
    /// # Errors
    ///
    /// As [`Gpu::open`].
    pub fn open(options: &Options) -> Result<Self, Unavailable> {
        // One thread: columns of bytes are the device's affair.
        Ok(Self { gpu: Gpu::open(options)?, pool: Pool::new(1)? })
    }

    fn coder(&self, shape: &Shape) -> Result<Matrices, Error> {
        shape.validate()?;
        let scalar = scalar_coder(shape)?;
        let encode = Matrix::of(&self.gpu, shape, shape.m(), |units, images| scalar.encode(units, images))?;
        Ok(Matrices { gpu: Arc::clone(&self.gpu), shape: *shape, scalar, encode })
    }
}

/// Kernels that go through a [`Codec`]: rows in, rows out, transfers inside.
trait Whole: Kernel<Setup = Shape> {}
impl Whole for Reconstruct {}
impl Whole for Disperse {}
impl Whole for Retrieve {}

impl Device {
    fn describe(&self) -> Description {
        self.gpu.describe("a matrix by bits of symbols", self.pool.threads())
    }
}

impl<K: Whole> Backend<K> for Device
where
    Codec: Prepared<K>,
{
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<K>>, Error> {
        Ok(Box::new(Codec::new(&self.pool, shape, Box::new(self.coder(shape)?))))
    }
}

/// A shape's coder: its matrix, and who makes those of patterns.
struct Matrices {
    gpu: Arc<Gpu>,
    shape: Shape,
    scalar: Box<dyn Coder>,
    encode: Matrix,
}

/// Loads, multiplies and fetches.
fn multiply(matrix: &Matrix, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) -> Result<(), Error> {
    let len = inputs.first().map_or(0, |row| row.len());
    let loaded = matrix.load(inputs, len)?;
    loaded.multiply()?;
    loaded.fetch(outputs)
}

impl Coder for Matrices {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), Error> {
        multiply(&self.encode, data, parity)
    }

    fn solve<'a>(&'a self, erasures: &Erasures) -> Result<Box<dyn Restore + 'a>, Error> {
        let solved = self.scalar.solve(erasures)?;
        let restore = |units: &[&[u8]], images: &mut [&mut [u8]]| solved.restore(units, images);
        Ok(Box::new(Matrix::of(&self.gpu, &self.shape, erasures.missing.len(), restore)?))
    }
}

impl Restore for Matrix {
    fn restore(&self, used: &[&[u8]], missing: &mut [&mut [u8]]) -> Result<(), Error> {
        multiply(self, used, missing)
    }
}

impl Backend<Encode> for Device {
    fn description(&self) -> Description {
        self.describe()
    }

    fn prepare(&self, shape: &Shape) -> Result<Box<dyn Prepared<Encode>>, Error> {
        Ok(Box::new(Encoder { coder: self.coder(shape)? }))
    }
}

struct Encoder {
    coder: Matrices,
}

impl Prepared<Encode> for Encoder {
    fn load<'a>(&'a self, data: &'a Vec<u8>) -> Result<Box<dyn Session<Encode> + 'a>, Error> {
        let chunk_bytes = chunk_bytes(&self.coder.shape, data.len())?;
        let rows: Vec<&[u8]> = data.chunks_exact(chunk_bytes).collect();
        let loaded = self.coder.encode.load(&rows, chunk_bytes)?;
        Ok(Box::new(Encoding { loaded, rows: self.coder.shape.m(), chunk_bytes, done: false }))
    }
}

struct Encoding<'a> {
    loaded: Loaded<'a>,
    rows: usize,
    chunk_bytes: usize,
    done: bool,
}

impl Session<Encode> for Encoding<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.done = false;
        control.check()?;
        self.loaded.multiply()?;
        self.done = true;
        Ok(())
    }

    fn output(&mut self) -> Result<Vec<u8>, Error> {
        if !std::mem::take(&mut self.done) {
            return Err(Error::InvalidInput("nothing was executed".into()));
        }
        let mut parity = vec![0; self.rows * self.chunk_bytes];
        self.loaded.fetch(&mut parity.chunks_exact_mut(self.chunk_bytes).collect::<Vec<_>>())?;
        Ok(parity)
    }
}
