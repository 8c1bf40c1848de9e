//! The `simd` backend: one [`Coder`] a code, generic over the instruction set, which is chosen when the backend is opened.
//!
//! | module | what |
//! |---|---|
//! | `vectors` | the instruction sets, as vectors of bytes and products with constants |

#[allow(dead_code)]
mod vectors;
