//! Frames waiting to leave for one peer on one lane: bounded in bytes, and never a reason for anybody to wait.
//!
//! [`super::inbox`] is the other direction, where the sender is made to wait instead.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use super::frame::Batch;
use super::lock;

/// What a frame costs besides its payload, so that empty frames are bounded too.
pub(super) const FRAME_OVERHEAD: usize = 64;

/// A queue between any thread and the lane's writer.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    capacity: usize,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    pub fn new(capacity: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), capacity }
    }

    /// Appends a frame, or says that there is no room. Never waits.
    pub fn push(&self, frame: Bytes) -> bool {
        let mut waiting = lock(&self.waiting);
        let cost = frame.len() + FRAME_OVERHEAD;
        if waiting.bytes + cost > self.capacity {
            return false;
        }
        waiting.bytes += cost;
        waiting.frames.push_back(frame);
        let was_empty = waiting.frames.len() == 1;
        drop(waiting);
        if was_empty {
            // The writer sleeps only when it has seen the queue empty.
            self.changed.notify_one();
        }
        true
    }

    /// Moves frames into `batch` until it is full; false when there was none.
    pub fn take(&self, batch: &mut Batch) -> bool {
        let mut waiting = lock(&self.waiting);
        let mut any = false;
        while !batch.is_full() {
            let Some(frame) = waiting.frames.pop_front() else { break };
            waiting.bytes -= frame.len() + FRAME_OVERHEAD;
            batch.push(frame);
            any = true;
        }
        any
    }

    /// Puts back, in front, what a lost connection did not take. It was within the bound when it was first queued.
    pub fn put_back(&self, frames: impl DoubleEndedIterator<Item = Bytes>) {
        let mut waiting = lock(&self.waiting);
        for frame in frames.rev() {
            waiting.bytes += frame.len() + FRAME_OVERHEAD;
            waiting.frames.push_front(frame);
        }
    }

    /// Frames waiting now.
    pub fn len(&self) -> usize {
        lock(&self.waiting).frames.len()
    }

    /// Returns after the next change: an empty queue got a frame, or [`Queue::wake`]. Spurious returns happen.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Makes the writer look again.
    pub fn wake(&self) {
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let queue = Queue::new(3 * (FRAME_OVERHEAD + 10));
        let frame = Bytes::from(vec![7; 10]);
        assert!((0..3).all(|_| queue.push(frame.clone())));
        assert!(!queue.push(Bytes::new()));
        let mut batch = Batch::default();
        assert!(queue.take(&mut batch));
        assert!(!queue.take(&mut Batch::default()));
        assert!(queue.push(frame.clone()));
        queue.put_back(batch.into_unsent());
        assert_eq!(queue.len(), 4);
        assert!(!queue.push(Bytes::new()), "what came back counts");
    }

    #[test]
    fn empty_frames_are_bounded() {
        let queue = Queue::new(10 * FRAME_OVERHEAD);
        assert_eq!((0..100).filter(|_| queue.push(Bytes::new())).count(), 10);
    }

    #[test]
    fn frames_put_back_keep_their_order() {
        let queue = Queue::new(1 << 20);
        for i in 0..5u8 {
            queue.push(vec![i].into());
        }
        let mut batch = Batch::default();
        queue.take(&mut batch);
        queue.push(vec![5].into());
        queue.put_back(batch.into_unsent());
        let mut batch = Batch::default();
        queue.take(&mut batch);
        assert_eq!(batch.into_unsent().map(|frame| frame[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    }
}
