//! Tests of the state machine: each rule alone, hostile bytes, and whole committees in virtual time.

mod bench;
pub(crate) mod byzantine;
mod rules;
mod simulation;
mod view_rules;
mod wire;
mod world;
