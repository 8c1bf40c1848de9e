//! One validator.
//!
//! | module | what |
//! |---|---|
//! | [`core`] | replica, ledger, propagation, catching up and beacon joined, without I/O |
//! | [`job`] | heavy work, run on any thread |
//! | [`frame`] | what travels in a frame |
//! | [`journal`], [`store`] | what survives a crash, and reading it back |
//! | [`setup`] | from a node's file to its parts |
//! | [`runtime`] | the process: threads, QUIC, disk, load, records |
//! | [`marks`] | what is reported, as events of the record |

pub mod core;
pub mod frame;
pub mod job;
pub mod journal;
pub mod marks;
pub mod runtime;
pub mod setup;
pub mod store;

#[cfg(test)]
mod simulation;

pub use runtime::main;
