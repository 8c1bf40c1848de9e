//! Tests of the state machine: each rule alone, hostile bytes, and whole committees in virtual time.

mod byzantine;
mod rules;
mod simulation;
mod wire;
mod world;
