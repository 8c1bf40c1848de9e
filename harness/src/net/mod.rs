//! Bytes between validators, over QUIC.
//!
//! `net` carries frames and knows no phase: what a frame means is the node's business, how it travels is decided here.
//!
//! - One connection a pair of validators; the lower index dials, again and again until the peer is there.
//! - Mutual TLS 1.3. Both sides accept exactly the certificates pinned in the [`Roster`], and a frame's sender is read
//!   from the certificate, never from a message (`tls.rs`).
//! - Four [`Lane`]s a direction, each one long-lived QUIC stream of length-prefixed frames (`frame.rs`) with its own
//!   priority and its own queue bounded in bytes (`queue.rs`, `inbox.rs`): a full queue loses that frame, counted, and
//!   nothing else; a reader that falls behind slows down only the peer and lane it does not read.
//! - Everything that leaves, arrives or is refused is counted ([`Stats`]).
//! - Loss, delay and a rate, where a run asks for them, stand between QUIC and the socket (`link.rs`).
//!
//! ```no_run
//! # async fn example(identity: shardmark::net::Identity, roster: shardmark::net::Roster) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use shardmark::{net, types::ValidatorIndex};
//!
//! let endpoint = net::Endpoint::bind("127.0.0.1:0".parse()?, identity, net::TransportConfig::default())?;
//! let (handle, mut inbox) = endpoint.start(&roster, ValidatorIndex(0))?;
//! handle.wait_connected(Duration::from_secs(10)).await?;
//! let _ = handle.send(ValidatorIndex(1), net::Lane::Consensus, b"hello".to_vec());
//! while let Some(frame) = inbox.recv().await {
//!     println!("{} bytes from {}", frame.bytes.len(), frame.from);
//! }
//! # Ok(()) }
//! ```

mod config;
mod endpoint;
mod frame;
pub mod identity;
mod inbox;
mod lane;
mod link;
mod queue;
mod session;
pub mod sim;
mod stats;
mod tls;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub use self::config::{Congestion, FrameLimits, TransportConfig};
pub use self::endpoint::{Endpoint, Handle};
pub use self::identity::{Identity, Peer, Roster};
pub use self::inbox::{Inbox, Received};
pub use self::lane::{Lane, PerLane};
pub use self::link::LinkConfig;
pub use self::stats::{Impaired, LaneStats, LinkStats, PeerStats, Stats};
use crate::types::ValidatorIndex;

/// One frame from a peer.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The sender, as its certificate says.
    pub from: ValidatorIndex,
    /// The lane it came on.
    pub lane: Lane,
    /// The payload, at most the lane's `max_frame_bytes`. It owns its memory and keeps no datagram alive.
    pub bytes: Bytes,
    /// When its last byte was read from the connection, before any wait in the inbox.
    pub received: std::time::Instant,
}

/// Why a frame was not queued. Each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// The queue of that peer and lane has no room for it.
    #[error("the peer's queue is full")]
    Full,
    /// Longer than the lane's `max_frame_bytes`.
    #[error("the frame is longer than its lane allows")]
    TooLong,
    /// Not in the roster, or this validator itself.
    #[error("no such peer")]
    NoSuchPeer,
    /// [`Handle::shutdown`] has begun.
    #[error("the transport is shutting down")]
    Closing,
}

/// Why the transport did not start. Peers' misbehaviour is never an error, only a count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used: the port is busy, or the address is not this host's.
    #[error("cannot bind UDP {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no tokio runtime to run on.
    #[error("the transport needs a tokio runtime")]
    NoRuntime,
    /// A setting is out of its range, or contradicts another.
    #[error("transport: {0}")]
    Config(String),
    /// The roster contradicts itself, or this validator's identity.
    #[error("roster: {0}")]
    Roster(String),
    /// A certificate or a key that is none.
    #[error("identity: {0}")]
    Identity(String),
    /// [`Handle::wait_connected`] reached its deadline.
    #[error("not connected in time to validators {}", join(.0))]
    NotConnected(Vec<ValidatorIndex>),
}

fn join(indices: &[ValidatorIndex]) -> String {
    indices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Locks; a thread that panicked while holding the lock left no broken state in this module.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
