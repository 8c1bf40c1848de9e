//! The consensus pipeline on real kernels, over QUIC or in simulation, and the reports on what each phase costs.
//!
//! Data flows one way: `config -> plan -> measure | node -> record -> report`.

pub mod beacon;
pub mod block;
pub mod fbft;
pub mod ledger;
pub mod load;
pub mod propagation;
pub mod types;
