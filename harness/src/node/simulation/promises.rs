//! What a committee promises whatever happens, watched at every step, and what a run was like.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Disk;
use super::scenario::Scenario;
use crate::fbft::message::{Envelope, Message};
use crate::fbft::safety::Cast;
use crate::ledger::TxId;
use crate::types::{BlockNum, Hash, Millis, ViewId};

/// How a run broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Two final blocks at one height.
    Fork { block_num: BlockNum },
    /// One final block and two states.
    StateRoot { node: usize, block_num: BlockNum },
    /// An honest validator said two things in one place, or called final what is not proven.
    Contradiction { node: usize, what: String },
    /// Something left before it was durable.
    NotDurable { node: usize, what: String },
    /// An honest validator voted for a block that nobody may accept.
    Accepted { node: usize, block_num: BlockNum },
    /// An honest validator was accused by an honest one.
    Accused { node: usize, by: usize, reason: String },
    /// An honest validator gave up.
    Failed { node: usize, reason: String },
    /// No new block in time.
    Stuck { node: usize, block_num: BlockNum, view_id: ViewId },
    /// Transactions of this honest home were not final in time.
    Unserved { home: usize, missing: usize },
    /// A bug that a check inside the validator caught.
    Panic(String),
}

/// What a run that kept its promises was like.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub blocks: u64,
    /// How many heights became final in which view: view changes in a row.
    pub views: BTreeMap<u64, u64>,
    /// From healing until the slowest honest validator had a new block.
    pub healed_after_ms: Millis,
    /// From healing until every transaction of an honest home was final.
    pub served_after_ms: Millis,
    pub transactions: u64,
    /// What honest validators refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Blocks that honest validators found invalid, by reason.
    pub invalid: BTreeMap<String, u64>,
    pub punished: u64,
    pub equivocations: u64,
    pub restarts: u64,
    pub vdf_evaluations: u64,
    pub fetched_bodies: u64,
    /// A hash over all that was delivered: equal for equal runs.
    pub fingerprint: Hash,
}

impl Summary {
    /// The longest row of view changes.
    pub fn most_views(&self) -> u64 {
        self.views.keys().next_back().copied().unwrap_or(0)
    }

    /// Adds up runs.
    pub fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.healed_after_ms = self.healed_after_ms.max(other.healed_after_ms);
        self.served_after_ms = self.served_after_ms.max(other.served_after_ms);
        self.transactions += other.transactions;
        self.punished += other.punished;
        self.equivocations += other.equivocations;
        self.restarts += other.restarts;
        self.vdf_evaluations += other.vdf_evaluations;
        self.fetched_bodies += other.fetched_bodies;
        let add = |into: &mut BTreeMap<String, u64>, from: BTreeMap<String, u64>| {
            from.into_iter().for_each(|(reason, count)| *into.entry(reason).or_default() += count);
        };
        add(&mut self.refused, other.refused);
        add(&mut self.invalid, other.invalid);
        other.views.into_iter().for_each(|(view, count)| *self.views.entry(view).or_default() += count);
    }
}

/// The watcher.
#[derive(Default)]
pub struct Promises {
    finals: BTreeMap<BlockNum, (Hash, Hash)>,
    said: BTreeMap<(usize, u8, BlockNum, ViewId), Hash>,
    /// Blocks that everybody must refuse.
    pub poisoned: BTreeSet<Hash>,
    /// Transactions that are final somewhere honest.
    pub final_transactions: BTreeSet<TxId>,
    pub failure: Option<Failure>,
    pub summary: Summary,
}

impl Promises {
    pub fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    pub fn height(&self) -> u64 {
        self.finals.keys().next_back().map_or(0, |num| num.0)
    }

    /// Whether a validator voted at this height or above.
    pub fn has_voted(&self, node: usize, from: BlockNum) -> bool {
        self.said.keys().any(|&(who, kind, num, _)| who == node && kind == 3 && num >= from)
    }

    /// A block is final at an honest validator.
    pub fn on_final(&mut self, node: usize, block_num: BlockNum, view_id: ViewId, hash: Hash, state_root: Hash) {
        if !self.finals.contains_key(&block_num) {
            *self.summary.views.entry(view_id.0).or_default() += 1;
        }
        let (known, root) = *self.finals.entry(block_num).or_insert((hash, state_root));
        if known != hash {
            self.fail(Failure::Fork { block_num });
        } else if root != state_root {
            self.fail(Failure::StateRoot { node, block_num });
        }
        if self.poisoned.contains(&hash) {
            self.fail(Failure::Accepted { node, block_num });
        }
    }

    /// Nobody honest says two things in one place, not even across restarts, nothing leaves before it is durable, and nobody
    /// votes for a block that is bad.
    pub fn on_said(&mut self, scenario: &Scenario, node: usize, envelope: &Envelope, disk: &Disk) {
        let message = &envelope.message;
        let (kind, hash) = match message {
            Message::Announce(announce) => (1, announce.header.hash()),
            Message::Prepare(vote) => (2, vote.block_hash),
            Message::Commit(vote) => (3, vote.block_hash),
            Message::ViewChange(_) => (4, Hash::default()),
            _ => return,
        };
        let (num, view_id) = (message.block_num(), message.view_id());
        if kind < 4 && *self.said.entry((node, kind, num, view_id)).or_insert(hash) != hash {
            self.fail(Failure::Contradiction { node, what: format!("kind {kind} twice at {num} in view {view_id}") });
        }
        if !scenario.strict {
            return;
        }
        if kind > 1 && self.poisoned.contains(&hash) {
            self.fail(Failure::Accepted { node, block_num: num });
        }
        let cast = Some(Cast { view_id, block_hash: hash });
        let durable = disk.safety().is_some_and(|record| {
            let locked = record.lock.as_ref().is_some_and(|(certificate, _)| certificate.view_id >= view_id);
            record.block_num == num
                && match kind {
                    // The leader's own Prepare is in its proposal.
                    1 => record.announce == cast && (record.prepare != cast || disk.holds(&hash)),
                    2 => record.prepare == cast && disk.holds(&hash),
                    3 => record.commit == cast && locked && disk.holds(&hash),
                    _ => record.view_id >= view_id,
                }
        });
        if !durable {
            let what = format!("kind {kind} left at {num} in view {view_id} before it was durable");
            self.fail(Failure::NotDurable { node, what });
        }
    }
}
