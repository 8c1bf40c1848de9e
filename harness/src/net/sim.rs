//! A network in virtual time: one seeded queue of deliveries and timers, so that a run is a function of its seed.
//!
//! Each link has its own delay, loss, duplication and reordering. A link keeps the order of its messages, as a stream does,
//! except for those that the seed picks to overtake. Knows nothing of what it carries.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::types::Millis;

/// The behaviour of a link in one direction. Chances are per thousand messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Shortest delay.
    pub min_delay_ms: Millis,
    /// Longest delay, of messages in order.
    pub max_delay_ms: Millis,
    /// Messages that vanish.
    pub lost_per_mille: u32,
    /// Messages that arrive twice, each copy with its own delay.
    pub duplicated_per_mille: u32,
    /// Messages that ignore the order of the link, with up to four times the delay.
    pub reordered_per_mille: u32,
}

impl Link {
    /// A link that loses and reorders nothing.
    pub const fn reliable(min_delay_ms: Millis, max_delay_ms: Millis) -> Self {
        Self { min_delay_ms, max_delay_ms, lost_per_mille: 0, duplicated_per_mille: 0, reordered_per_mille: 0 }
    }

    /// A link that loses everything.
    pub const fn cut() -> Self {
        Self { lost_per_mille: 1000, ..Self::reliable(0, 0) }
    }
}

/// What happens next at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery<M> {
    /// A message arrives.
    Message {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// The message.
        message: M,
    },
    /// A timer or other local event that a node set for itself.
    Local {
        /// Whose.
        node: usize,
        /// What it is about.
        message: M,
    },
}

/// The queue.
#[derive(Debug)]
pub struct SimNet<M> {
    now: Millis,
    rng: ChaCha8Rng,
    nodes: usize,
    links: Vec<Link>,
    /// When the latest message in order arrives, per link.
    last: Vec<Millis>,
    sequence: u64,
    queue: BinaryHeap<Reverse<Scheduled<M>>>,
}

#[derive(Debug)]
struct Scheduled<M> {
    at: Millis,
    sequence: u64,
    delivery: Delivery<M>,
}

impl<M> PartialEq for Scheduled<M> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<M> Eq for Scheduled<M> {}

impl<M> PartialOrd for Scheduled<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Scheduled<M> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl<M: Clone> SimNet<M> {
    /// A full mesh of `nodes` with the same link everywhere.
    pub fn new(seed: u64, nodes: usize, link: Link) -> Self {
        Self {
            now: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            nodes,
            links: vec![link; nodes * nodes],
            last: vec![0; nodes * nodes],
            sequence: 0,
            queue: BinaryHeap::new(),
        }
    }

    /// Virtual time: that of the latest delivery.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The seeded source of randomness, for whatever else a run draws.
    pub fn rng(&mut self) -> &mut impl Rng {
        &mut self.rng
    }

    /// Changes the link from one node to another. What is under way stays under way.
    pub fn set_link(&mut self, from: usize, to: usize, link: Link) {
        self.links[from * self.nodes + to] = link;
    }

    /// Changes every link.
    pub fn set_all(&mut self, link: Link) {
        self.links.fill(link);
    }

    /// Sends a message over a link, which may lose, double or delay it.
    pub fn send(&mut self, from: usize, to: usize, message: M) {
        let index = from * self.nodes + to;
        let link = self.links[index];
        if self.chance(link.lost_per_mille) {
            return;
        }
        let copies = 1 + u32::from(self.chance(link.duplicated_per_mille));
        for _ in 0..copies {
            let delay = self.rng.random_range(link.min_delay_ms..=link.max_delay_ms);
            let at = if self.chance(link.reordered_per_mille) {
                let factor = self.rng.random_range(1..=4);
                self.now + delay * factor
            } else {
                let at = (self.now + delay).max(self.last[index]);
                self.last[index] = at;
                at
            };
            self.push(at, Delivery::Message { from, to, message: message.clone() });
        }
    }

    /// Lets something happen at a node at a time that is not past.
    pub fn schedule(&mut self, node: usize, at: Millis, message: M) {
        self.push(at.max(self.now), Delivery::Local { node, message });
    }

    /// The next delivery, unless it is after `until`. Time moves to it, or to `until`.
    pub fn next(&mut self, until: Millis) -> Option<Delivery<M>> {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > until) {
            self.now = self.now.max(until);
            return None;
        }
        let Reverse(next) = self.queue.pop()?;
        self.now = next.at;
        Some(next.delivery)
    }

    fn push(&mut self, at: Millis, delivery: Delivery<M>) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at, sequence: self.sequence, delivery }));
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.random_range(0..1000) < per_mille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(seed: u64, link: Link) -> Vec<(Millis, u32)> {
        let mut net = SimNet::new(seed, 2, link);
        (0..200).for_each(|message| net.send(0, 1, message));
        std::iter::from_fn(|| match net.next(Millis::MAX - 1)? {
            Delivery::Message { message, .. } => Some((net.now(), message)),
            Delivery::Local { .. } => None,
        })
        .collect()
    }

    #[test]
    fn a_run_is_a_function_of_its_seed() {
        let link = Link {
            min_delay_ms: 1,
            max_delay_ms: 50,
            lost_per_mille: 100,
            duplicated_per_mille: 100,
            reordered_per_mille: 100,
        };
        assert_eq!(arrivals(1, link), arrivals(1, link));
        assert_ne!(arrivals(1, link), arrivals(2, link));
    }

    #[test]
    fn a_reliable_link_delivers_everything_in_order() {
        let messages: Vec<u32> = arrivals(3, Link::reliable(1, 100)).into_iter().map(|(_, message)| message).collect();
        assert_eq!(messages, (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn loss_duplication_and_reordering_happen_as_often_as_told() {
        assert!(arrivals(4, Link::cut()).is_empty());
        let base = Link::reliable(1, 100);
        assert_eq!(arrivals(5, Link { duplicated_per_mille: 1000, ..base }).len(), 400);
        let lossy = arrivals(6, Link { lost_per_mille: 500, ..base }).len();
        assert!((60..140).contains(&lossy), "{lossy}");
        let reordered = arrivals(7, Link { reordered_per_mille: 1000, ..base });
        assert!(reordered.windows(2).any(|pair| pair[0].1 > pair[1].1));
    }

    #[test]
    fn time_stops_at_the_limit_and_goes_on_from_there() {
        let mut net = SimNet::new(0, 1, Link::reliable(0, 0));
        net.schedule(0, 10, "later");
        assert_eq!((net.next(5), net.now()), (None, 5));
        assert_eq!((net.next(10), net.now()), (Some(Delivery::Local { node: 0, message: "later" }), 10));
    }
}
