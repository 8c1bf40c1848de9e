//! The `simd` backend: one [`Coder`] a code, generic over the instruction set, which is chosen when the backend is opened.
//!
//! | module | what |
//! |---|---|
//! | `hash` | BLAKE3 of equally long strings, one a lane |
//! | `leaves` | leaves, nodes and proofs of the chunk tree in these lanes |
//! | `matrix` | products of a matrix with rows: for few parity chunks, and few losses |
//! | `one_pass` | both kernels that commit: code and hash a byte column while it is in cache |
//! | `vectors` | the instruction sets, as vectors of bytes and products with constants |

pub(super) mod hash;
mod leaves;
#[allow(dead_code)]
mod matrix;
mod one_pass;
#[allow(dead_code)]
mod vectors;
