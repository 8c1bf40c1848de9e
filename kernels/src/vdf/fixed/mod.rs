//! Squaring in the class group of a negative discriminant without allocation: NUDUPL on integers of fixed capacity.
//!
//! | module | what |
//! |---|---|
//! | `limbs` | loops over slices of 64-bit limbs |
//! | `nat` | a natural number in a fixed array |
//! | `divide` | division with remainder, exact division |
//! | `euclid` | complete and partial Euclid by Lehmer's method |
//! | `square` | forms, NUDUPL, reduction |

mod divide;
mod euclid;
mod limbs;
mod nat;
mod square;
#[cfg(test)]
mod test_support;

pub(super) use nat::Nat;
pub(super) use square::{Form, Squarer};
