//! The `simd` backend: one [`Coder`] a code, generic over the instruction set, which is chosen when the backend is opened.
//!
//! | module | what |
//! |---|---|
//! | `matrix` | products of a matrix with rows: for few parity chunks, and few losses |
//! | `vectors` | the instruction sets, as vectors of bytes and products with constants |

#[allow(dead_code)]
mod matrix;
#[allow(dead_code)]
mod vectors;
