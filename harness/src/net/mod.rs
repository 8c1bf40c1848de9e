//! Carries bytes between validators and knows no phase of the protocol.

pub mod sim;
