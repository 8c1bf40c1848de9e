//! Fast BFT: one round of votes to the leader per phase, aggregated into certificates. A state machine without I/O.
//!
//! Announce, Prepare, Prepared, Commit, Committed; ViewChange and NewView when a leader stalls.

pub mod bitmap;
pub mod certificate;
pub mod committee;
pub mod crypto;
pub mod message;
