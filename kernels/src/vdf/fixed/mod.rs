//! The class group of a negative discriminant without allocation: NUDUPL and NUCOMP on integers of fixed capacity.
//!
//! | module | what |
//! |---|---|
//! | `limbs` | loops over slices of 64-bit limbs |
//! | `nat` | a natural number in a fixed array |
//! | `divide` | division with remainder, exact division |
//! | `euclid` | complete and partial Euclid by Lehmer's method |
//! | `form` | forms, reduction |
//! | `square` | NUDUPL |
//! | `compose` | NUCOMP |

mod compose;
mod divide;
mod euclid;
mod form;
mod limbs;
mod nat;
mod square;
#[cfg(test)]
mod test_support;

pub(super) use divide::div_rem;
pub(super) use form::{Form, KeptForm};
pub(super) use nat::Nat;
pub(super) use square::Workspace;
