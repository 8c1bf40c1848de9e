//! Block to chunks to peers to block. No clock, no I/O.
//!
//! | module | what |
//! |---|---|
//! | [`dispersal`] | the run's way of cutting a body: who owns which chunk, encoding, checking a whole body |
//! | [`assembly`] | one block's chunks as they come in, until the body is back |
//! | [`message`] | a chunk on the wire |
//! | [`early`] | chunks that overtook their header |
//!
//! With a code, the body becomes `k + m` chunks. Chunk `i` goes to its owner, validator `i mod n`, who checks it against the
//! root in the header and relays it once to everybody; the leader relays its own at once. So the leader sends little more than
//! `(k + m) / k` bodies however many validators there are, and any `k` chunks bring the body back. It is
//! encoded again and must give the same root: otherwise different validators would decode different bodies from different
//! chunks (`InvalidEncoding`, for everyone). Whole-block broadcast is the baseline: one chunk, which is the body, sent by the
//! leader to each validator, never relayed.

pub mod assembly;
pub mod dispersal;
pub mod early;
pub mod message;

pub use assembly::{Added, Assembled, Assembly, Job, Refused};
pub use dispersal::{Cut, Dispersal, DispersalConfig};
pub use early::{Early, EarlyLimits};
pub use message::{Chunk, ChunkMessage};

/// How a validator passes its own chunks on. Anything but [`Relay::Honest`] is a fault that a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relay {
    /// To everybody, as they are.
    #[default]
    Honest,
    /// To nobody.
    Silent,
    /// To everybody, with a bit flipped.
    Corrupting,
}
