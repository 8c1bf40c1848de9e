//! Fast BFT: one round of votes to the leader per phase, aggregated into certificates. A state machine without I/O.
//!
//! Announce, Prepare, Prepared, Commit, Committed; ViewChange and NewView when a leader stalls. The rules, and why they are
//! safe and live, are in `README.md` beside this file.

pub mod api;
pub mod bitmap;
pub mod bls;
pub mod certificate;
pub mod committee;
pub mod crypto;
mod early;
mod finality;
mod leader;
pub mod message;
pub mod refusal;
pub mod replica;
pub mod safety;
pub mod simulated;
mod validator;
pub mod verify;
mod view_change;

#[cfg(test)]
pub(crate) mod tests;

pub use api::{Action, At, Event, Note, ReplicaConfig, Tip};
pub use refusal::Refusal;
pub use replica::Replica;
pub use safety::SafetyRecord;
pub use verify::{Verified, verify};
