//! One connection to one peer, from the handshake to its end: a writer for each lane, a reader for each lane that the
//! peer opens, and what both do when the other side misbehaves.
//!
//! Sessions of a peer follow one another and never overlap, so that frames of a lane keep their order and a frame that
//! one connection did not take is offered to the next.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, VarInt, WriteError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::frame::{Batch, Decoder};
use super::inbox::Slots;
use super::queue::Queue;
use super::stats::{EndpointCounters, LinkStats, PeerCounters, PeerStats};
use super::{FrameLimits, Lane, Peer, PerLane, lock};
use crate::types::ValidatorIndex;

/// How long a peer stays out after its connection was closed for something it did.
pub(super) const PENALTY: Duration = Duration::from_secs(1);

/// Why a connection was closed, as the other side sees it.
pub(super) mod code {
    use quinn::VarInt;

    /// The validator is leaving.
    pub const SHUTDOWN: VarInt = VarInt::from_u32(0);
    /// A newer connection took its place.
    pub const REPLACED: VarInt = VarInt::from_u32(1);
    /// A lane header or a frame was malformed.
    pub const MALFORMED: VarInt = VarInt::from_u32(2);
    /// The node refused what the frames said.
    pub const PUNISHED: VarInt = VarInt::from_u32(3);
    /// The certificate is known, but not one that may dial here, or not yet again.
    pub const REFUSED: VarInt = VarInt::from_u32(4);
}

/// What all tasks of a transport share.
pub(super) struct Shared {
    pub me: ValidatorIndex,
    pub limits: FrameLimits,
    /// The other validators, by index.
    pub links: Vec<Link>,
    pub inbox: Arc<Slots>,
    pub counters: EndpointCounters,
    pub closing: AtomicBool,
    /// Lanes that still have a writer; at a shutdown, those not yet flushed.
    pub writers: watch::Sender<usize>,
    /// Bumped whenever a peer comes or goes.
    pub changes: watch::Sender<u64>,
}

impl Shared {
    pub fn is_closing(&self) -> bool {
        self.closing.load(SeqCst)
    }

    /// Where `peer` stands in `links`.
    pub fn position(&self, peer: ValidatorIndex) -> Option<usize> {
        self.links.binary_search_by_key(&peer, |link| link.peer.index).ok()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }
}

/// What outlives a peer's connections.
pub(super) struct Link {
    pub peer: Peer,
    pub queues: PerLane<Queue>,
    pub counters: PeerCounters,
    /// Held by the session that runs.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Whether the peer has shown, by opening a lane, that it accepted the connection.
    up: bool,
    barred_until: Option<Instant>,
    /// Finished connections.
    past: LinkStats,
}

impl Link {
    pub fn new(peer: Peer, queue_bytes: usize) -> Self {
        Self {
            peer,
            queues: PerLane::from_fn(|_| Queue::new(queue_bytes)),
            counters: PeerCounters::default(),
            turn: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    pub fn is_up(&self) -> bool {
        lock(&self.state).up
    }

    /// How long the peer stays out, if it does.
    pub fn barred(&self) -> Option<Duration> {
        lock(&self.state).barred_until?.checked_duration_since(Instant::now())
    }

    /// Closes the connection, if there is one, for something the peer did, and keeps the peer out for a while.
    pub fn punish(&self, code: VarInt, reason: &str) {
        let mut state = lock(&self.state);
        state.barred_until = Some(Instant::now() + PENALTY);
        if let Some(connection) = &state.connection {
            connection.close(code, reason.as_bytes());
        }
    }

    pub fn snapshot(&self) -> PeerStats {
        let state = lock(&self.state);
        let mut link = state.past;
        if let Some(connection) = &state.connection {
            link.add(&connection.stats());
        }
        let counters = &self.counters;
        PeerStats {
            peer: self.peer.index,
            connected: state.up,
            connections: counters.connections.get(),
            failed_dials: counters.failed_dials.get(),
            malformed_frames: counters.malformed_frames.get(),
            punished: counters.punished.get(),
            lanes: PerLane::from_fn(|lane| counters.lanes[lane].snapshot()),
            link,
        }
    }
}

/// Runs a connection to the peer at `position` until it ends. True when the peer had accepted it.
pub(super) async fn run(shared: &Arc<Shared>, position: usize, connection: Connection) -> bool {
    let link = &shared.links[position];
    if let Some(older) = lock(&link.state).connection.replace(connection.clone()) {
        older.close(code::REPLACED, b"replaced");
    }
    let turn = link.turn.lock().await;
    let mut tasks = JoinSet::new();
    if !shared.is_closing() {
        link.counters.connections.add(1);
        for lane in Lane::ALL {
            tasks.spawn(write_lane(shared.clone(), position, connection.clone(), lane));
        }
        tasks.spawn(accept_lanes(shared.clone(), position, connection.clone()));
    }
    let reason = connection.closed().await;
    tracing::debug!(peer = %link.peer.index, %reason, "connection ended");
    while tasks.join_next().await.is_some() {}

    let mut state = lock(&link.state);
    state.past.add(&connection.stats());
    let was_up = state.up;
    if state.connection.as_ref().is_some_and(|current| current.stable_id() == connection.stable_id()) {
        state.connection = None;
    }
    state.up = false;
    drop(state);
    drop(turn);
    shared.changed();
    was_up
}

/// Sends what its queue holds, as long as the connection lives; at a shutdown, to the last frame.
async fn write_lane(shared: Arc<Shared>, position: usize, connection: Connection, lane: Lane) {
    let _flushed = Writing::new(&shared.writers);
    let link = &shared.links[position];
    let (queue, counters) = (&link.queues[lane], &link.counters.lanes[lane]);
    let Ok(mut stream) = connection.open_uni().await else { return };
    // Both fail only with the connection, which the first write below notices.
    let _ = stream.set_priority(lane.priority());
    let _ = stream.write_all(&[lane.tag()]).await;
    let mut batch = Batch::default();
    loop {
        if queue.take(&mut batch) {
            let sent = batch.write(&mut stream, |bytes| {
                counters.frames_sent.add(1);
                counters.bytes_sent.add(bytes);
            });
            if let Err(error) = sent.await {
                queue.put_back(batch.into_unsent());
                if matches!(error, WriteError::Stopped(_)) {
                    blame(link, Fault::LaneStopped);
                }
                return;
            }
        } else if shared.is_closing() {
            let _ = stream.finish();
            // Until the peer has acknowledged every byte.
            let _ = stream.stopped().await;
            return;
        } else {
            tokio::select! {
                () = queue.changed() => {}
                _ = connection.closed() => return,
            }
        }
    }
}

/// Counts a writer from its first frame to its last.
struct Writing<'a>(&'a watch::Sender<usize>);

impl<'a> Writing<'a> {
    fn new(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|writers| *writers += 1);
        Self(count)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|writers| *writers -= 1);
    }
}

/// What a peer may not do on the wire.
#[derive(Debug)]
enum Fault {
    UnknownLane,
    LaneTwice,
    FrameTooLong,
    FrameTruncated,
    LaneStopped,
}

impl Fault {
    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownLane => "unknown lane",
            Self::LaneTwice => "lane opened twice",
            Self::FrameTooLong => "frame longer than its lane allows",
            Self::FrameTruncated => "stream ended inside a frame",
            Self::LaneStopped => "lane refused",
        }
    }
}

fn blame(link: &Link, fault: Fault) {
    tracing::debug!(peer = %link.peer.index, ?fault, "malformed");
    link.counters.malformed_frames.add(1);
    link.punish(code::MALFORMED, fault.reason());
}

/// Starts a reader for each lane that the peer opens. What arrived before the connection ended is still read.
async fn accept_lanes(shared: Arc<Shared>, position: usize, connection: Connection) {
    let link = &shared.links[position];
    let seen = Arc::new(AtomicU8::new(0));
    let mut readers = JoinSet::new();
    while let Ok(stream) = connection.accept_uni().await {
        if !std::mem::replace(&mut lock(&link.state).up, true) {
            shared.changed();
        }
        let (shared, connection, seen) = (shared.clone(), connection.clone(), seen.clone());
        readers.spawn(async move {
            if let Err(fault) = read_lane(&shared, position, &connection, stream, &seen).await {
                blame(&shared.links[position], fault);
            }
        });
    }
    while readers.join_next().await.is_some() {}
}

/// Reads a lane to its end, waiting whenever the inbox has no room for more.
async fn read_lane(
    shared: &Shared,
    position: usize,
    connection: &Connection,
    mut stream: RecvStream,
    seen: &AtomicU8,
) -> Result<(), Fault> {
    let mut tag = [0];
    if stream.read_exact(&mut tag).await.is_err() {
        return Ok(());
    }
    let lane = Lane::from_tag(tag[0]).ok_or(Fault::UnknownLane)?;
    let bit = 1 << lane.tag();
    if seen.fetch_or(bit, SeqCst) & bit != 0 {
        return Err(Fault::LaneTwice);
    }
    let counters = &shared.links[position].counters.lanes[lane];
    let mut decoder = Decoder::new(usize::try_from(shared.limits.get(lane)).unwrap_or(usize::MAX));
    let mut chunks: [Bytes; 32] = std::array::from_fn(|_| Bytes::new());
    loop {
        let count = match stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => count,
            Ok(None) if decoder.is_inside_frame() => return Err(Fault::FrameTruncated),
            Ok(None) | Err(_) => return Ok(()),
        };
        if matches!(connection.close_reason(), Some(ConnectionError::LocallyClosed)) {
            // Closed for a fault, or replaced: what is left is the peer's loss.
            return Ok(());
        }
        let received = Instant::now();
        for chunk in &mut chunks[..count] {
            while !chunk.is_empty() {
                let Some(frame) = decoder.next(chunk).map_err(|_| Fault::FrameTooLong)? else { continue };
                counters.frames_received.add(1);
                counters.bytes_received.add(frame.len());
                shared.inbox.push(position, lane, frame, received).await;
            }
        }
    }
}
