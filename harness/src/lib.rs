//! The consensus pipeline on real kernels, over QUIC or in simulation, and the reports on what each phase costs.
//!
//! Data flows one way: `config -> plan -> measure | node -> record -> report`.

pub mod beacon;
pub mod block;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod environment;
pub mod fbft;
pub mod ledger;
pub mod load;
pub mod measure;
pub mod net;
pub mod node;
pub mod plan;
pub mod propagation;
pub mod record;
pub mod report;
pub mod types;
