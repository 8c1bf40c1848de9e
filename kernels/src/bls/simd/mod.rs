//! Backend `simd`: independent items side by side in the lanes of vector registers.

mod curve;
mod field;
mod miller;
mod tower;
