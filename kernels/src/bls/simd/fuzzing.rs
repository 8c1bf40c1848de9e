//! What the fuzz targets call (`kernels/fuzz`): one function a kernel over lanes, each of which takes bytes, computes with
//! every field of this processor, compares with blst and panics where they differ.

pub use super::field::fuzzing::field;
