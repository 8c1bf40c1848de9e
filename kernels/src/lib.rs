//! Batched kernels of a validator's work, each on several interchangeable backends.
//!
//! | module | kernels |
//! |---|---|
//! | [`bls`] | key and signature aggregation, batch verification |
//! | [`vdf`] | class-group Wesolowski: evaluation, verification, discriminants |
//! | [`erasure`] | encode, reconstruct; Merkle trees over chunks |
//! | [`secp256k1`] | transaction senders from signatures |
//!
//! `device` is the GPU as these kernels see it. [`backend`] holds the traits, [`conformance`] the suite that every backend passes. No clock, no files, no network.

pub mod backend;
pub mod bls;
pub mod conformance;
mod device;
pub mod erasure;
mod pool;
pub mod secp256k1;
pub mod vdf;
