//! Frames that arrived and wait for the node: one bounded slot for each peer and lane, taken fairly.
//!
//! A full slot makes its stream's reader wait, QUIC's flow control then makes that peer wait, and nobody else notices.
//! Taking goes by urgency of lanes, and round robin over the peers within a lane, so that a peer which floods gets one
//! turn in n. Every [`TURNS`]th taking begins at another lane, so that no lane starves either.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::queue::FRAME_OVERHEAD;
use super::{Inbound, Lane, PerLane, lock};
use crate::types::ValidatorIndex;

/// One taking in this many begins at a lane of its own, the lanes in turn.
const TURNS: usize = 8;

/// What [`Inbox::recv_timeout`] found.
#[derive(Debug)]
pub enum Received {
    /// A frame.
    Frame(Inbound),
    /// Nothing within the time.
    Timeout,
    /// The transport has shut down and everything was taken.
    Closed,
}

/// The receiving end of a transport, for one consumer: an async task or a plain thread.
pub struct Inbox {
    slots: Arc<Slots>,
}

impl Inbox {
    pub(super) fn new(slots: Arc<Slots>) -> Self {
        Self { slots }
    }

    /// The next frame; none after shutdown, once everything was taken. Cancellation loses nothing.
    pub async fn recv(&mut self) -> Option<Inbound> {
        loop {
            match self.slots.look(&mut lock(&self.slots.state)) {
                Received::Frame(frame) => return Some(frame),
                Received::Closed => return None,
                Received::Timeout => {}
            }
            self.slots.arrived_async.notified().await;
        }
    }

    /// The next frame, if one is there.
    pub fn try_recv(&mut self) -> Option<Inbound> {
        self.slots.take(&mut lock(&self.slots.state))
    }

    /// The next frame, for a plain thread: it blocks. None as for [`Inbox::recv`].
    pub fn blocking_recv(&mut self) -> Option<Inbound> {
        loop {
            match self.recv_timeout(Duration::from_secs(3600)) {
                Received::Frame(frame) => return Some(frame),
                Received::Timeout => {}
                Received::Closed => return None,
            }
        }
    }

    /// The next frame within `timeout`, for a plain thread: it blocks.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Received {
        let started = Instant::now();
        let mut state = lock(&self.slots.state);
        loop {
            match self.slots.look(&mut state) {
                Received::Timeout => {}
                found => return found,
            }
            let Some(left) = timeout.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
                return Received::Timeout;
            };
            state.sleeping = true;
            state = self.slots.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping = false;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut state = lock(&self.slots.state);
        state.abandoned = true;
        for peer in 0..self.slots.peers.len() {
            self.slots.clear(&mut state, peer);
        }
    }
}

/// The slots themselves; readers of streams push into them.
pub(super) struct Slots {
    peers: Vec<ValidatorIndex>,
    capacity: usize,
    state: Mutex<State>,
    arrived: Condvar,
    arrived_async: Notify,
    /// For each peer and lane: room was made.
    room: Vec<PerLane<Notify>>,
}

#[derive(Default)]
struct State {
    slots: Vec<PerLane<Slot>>,
    /// Peers (by position) whose slot in that lane holds something, the next one first.
    ready: PerLane<VecDeque<usize>>,
    takings: usize,
    /// Whether a thread waits on `arrived`.
    sleeping: bool,
    closed: bool,
    /// The consumer is gone: frames are thrown away.
    abandoned: bool,
}

#[derive(Default)]
struct Slot {
    frames: VecDeque<(Bytes, Instant)>,
    bytes: usize,
}

impl Slots {
    pub fn new(peers: Vec<ValidatorIndex>, capacity: usize) -> Self {
        let state = State { slots: peers.iter().map(|_| PerLane::default()).collect(), ..State::default() };
        let room = peers.iter().map(|_| PerLane::default()).collect();
        Self { peers, capacity, state: Mutex::new(state), arrived: Condvar::new(), arrived_async: Notify::new(), room }
    }

    /// Adds a frame from the peer at position `peer`, waiting until its slot has room.
    pub async fn push(&self, peer: usize, lane: Lane, bytes: Bytes, received: Instant) {
        let cost = bytes.len() + FRAME_OVERHEAD;
        loop {
            if let Some(mut state) = self.with_room(peer, lane, cost) {
                if state.abandoned {
                    return;
                }
                let slot = &mut state.slots[peer][lane];
                slot.bytes += cost;
                slot.frames.push_back((bytes, received));
                if slot.frames.len() == 1 {
                    state.ready[lane].push_back(peer);
                }
                let sleeping = state.sleeping;
                drop(state);
                if sleeping {
                    self.arrived.notify_one();
                }
                self.arrived_async.notify_one();
                return;
            }
            self.room[peer][lane].notified().await;
        }
    }

    /// The state, if the slot has room. Apart from `push`, so that no lock lives across its wait.
    fn with_room(&self, peer: usize, lane: Lane, cost: usize) -> Option<std::sync::MutexGuard<'_, State>> {
        let state = lock(&self.state);
        let slot = &state.slots[peer][lane];
        (state.abandoned || slot.frames.is_empty() || slot.bytes + cost <= self.capacity).then_some(state)
    }

    /// What can be said without waiting; `Timeout` is "nothing now".
    fn look(&self, state: &mut State) -> Received {
        match self.take(state) {
            Some(frame) => Received::Frame(frame),
            None if state.closed => Received::Closed,
            None => Received::Timeout,
        }
    }

    fn take(&self, state: &mut State) -> Option<Inbound> {
        let turn = state.takings / TURNS % Lane::ALL.len();
        let favoured = state.takings.is_multiple_of(TURNS).then_some(Lane::ALL[turn]);
        for lane in favoured.into_iter().chain(Lane::ALL) {
            let Some(peer) = state.ready[lane].pop_front() else { continue };
            let slot = &mut state.slots[peer][lane];
            let Some((bytes, received)) = slot.frames.pop_front() else { continue };
            slot.bytes -= bytes.len() + FRAME_OVERHEAD;
            if !slot.frames.is_empty() {
                state.ready[lane].push_back(peer);
            }
            state.takings = state.takings.wrapping_add(1);
            self.room[peer][lane].notify_one();
            return Some(Inbound { from: self.peers[peer], lane, bytes, received });
        }
        None
    }

    /// Throws away what waits from a peer.
    pub fn discard(&self, peer: usize) {
        self.clear(&mut lock(&self.state), peer);
    }

    fn clear(&self, state: &mut State, peer: usize) {
        for lane in Lane::ALL {
            state.slots[peer][lane] = Slot::default();
            state.ready[lane].retain(|other| *other != peer);
            self.room[peer][lane].notify_one();
        }
    }

    /// No frame comes any more: the consumer's waits end.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_all();
        self.arrived_async.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(peers: u16, capacity: usize) -> (Arc<Slots>, Inbox) {
        let slots = Arc::new(Slots::new((0..peers).map(ValidatorIndex).collect(), capacity));
        (slots.clone(), Inbox::new(slots))
    }

    async fn push(slots: &Slots, peer: usize, lane: Lane, byte: u8) {
        slots.push(peer, lane, vec![byte].into(), Instant::now()).await;
    }

    #[tokio::test]
    async fn a_flooding_peer_gets_one_turn_in_n() {
        let (slots, mut inbox) = inbox(3, 1 << 20);
        for _ in 0..100 {
            push(&slots, 0, Lane::Chunks, 0).await;
        }
        for peer in [1, 2] {
            push(&slots, peer, Lane::Chunks, 0).await;
        }
        let first: Vec<u16> = (0..3).map(|_| inbox.try_recv().unwrap().from.0).collect();
        assert_eq!(first, [0, 1, 2]);
    }

    #[tokio::test]
    async fn urgent_lanes_come_first_and_the_others_still_come() {
        let (slots, mut inbox) = inbox(1, 1 << 20);
        for _ in 0..200 {
            push(&slots, 0, Lane::Consensus, 0).await;
            push(&slots, 0, Lane::Transactions, 0).await;
        }
        let lanes: Vec<Lane> = (0..64).map(|_| inbox.try_recv().unwrap().lane).collect();
        assert_eq!(lanes.iter().filter(|lane| **lane == Lane::Transactions).count(), 2);
        assert_eq!(lanes[0], Lane::Consensus);
    }

    #[tokio::test]
    async fn frames_of_a_peer_and_lane_keep_their_order() {
        let (slots, mut inbox) = inbox(2, 1 << 20);
        for i in 0..200 {
            push(&slots, usize::from(i % 3 == 0), Lane::Fetch, i).await;
        }
        let mut last = [None; 2];
        while let Some(frame) = inbox.try_recv() {
            let from = usize::from(frame.from.0);
            assert!(last[from] < Some(frame.bytes[0]));
            last[from] = Some(frame.bytes[0]);
        }
        assert_eq!(last, [Some(199), Some(198)]);
    }

    #[tokio::test]
    async fn a_full_slot_makes_only_its_own_pusher_wait() {
        let (slots, mut inbox) = inbox(2, 2 * (FRAME_OVERHEAD + 1));
        push(&slots, 0, Lane::Chunks, 1).await;
        push(&slots, 0, Lane::Chunks, 2).await;
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { push(&slots, 0, Lane::Chunks, 3).await }
        });
        push(&slots, 0, Lane::Consensus, 9).await;
        push(&slots, 1, Lane::Chunks, 9).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        let mut bytes = Vec::new();
        while bytes.len() < 5 {
            bytes.push(inbox.recv().await.unwrap().bytes[0]);
        }
        waiting.await.unwrap();
        bytes.retain(|byte| *byte < 9);
        assert_eq!(bytes, [1, 2, 3]);
    }

    #[tokio::test]
    async fn discarding_frees_a_waiting_pusher() {
        let (slots, mut inbox) = inbox(1, 1);
        push(&slots, 0, Lane::Chunks, 1).await;
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { push(&slots, 0, Lane::Chunks, 2).await }
        });
        tokio::task::yield_now().await;
        slots.discard(0);
        waiting.await.unwrap();
        assert_eq!(inbox.try_recv().unwrap().bytes[0], 2);
        assert!(inbox.try_recv().is_none());
    }

    #[tokio::test]
    async fn a_closed_inbox_gives_what_it_holds_and_then_ends() {
        let (slots, mut inbox) = inbox(1, 1 << 20);
        push(&slots, 0, Lane::Chunks, 1).await;
        slots.close();
        assert!(inbox.recv().await.is_some());
        assert!(inbox.recv().await.is_none());
        assert!(matches!(inbox.recv_timeout(Duration::from_secs(1)), Received::Closed));
    }

    #[test]
    fn a_plain_thread_waits_wakes_and_times_out() {
        let (slots, mut inbox) = inbox(1, 1 << 20);
        assert!(matches!(inbox.recv_timeout(Duration::from_millis(5)), Received::Timeout));
        let thread = std::thread::spawn(move || inbox.blocking_recv().map(|frame| frame.bytes[0]));
        std::thread::sleep(Duration::from_millis(20));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(push(&slots, 0, Lane::Fetch, 5));
        assert_eq!(thread.join().unwrap(), Some(5));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_consumer_that_is_gone() {
        let (slots, inbox) = inbox(1, 1);
        drop(inbox);
        for i in 0..10 {
            push(&slots, 0, Lane::Chunks, i).await;
        }
    }
}
