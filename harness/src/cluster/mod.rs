//! Launchers: they start the validators of a run, follow them and stop them. Local processes for now.

pub mod control;
pub mod local;
pub mod spec;

/// A mistake in what the user wrote, found only when the run was being set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
