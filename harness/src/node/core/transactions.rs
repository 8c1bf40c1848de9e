//! Transactions on their way into a block: submitted at their home, checked, pooled, forwarded to whoever leads.

use std::collections::{BTreeMap, VecDeque};

use super::{Core, Mark, Output, encode, punish};
use crate::ledger::pool::Outcome;
use crate::ledger::workload::Verdicts;
use crate::ledger::{Checked, TxId};
use crate::net::Lane;
use crate::node::frame::Forward;
use crate::node::job::Job;
use crate::types::{Millis, ValidatorIndex};

/// Transactions checked in one job: small enough that the first are admitted while the rest still wait.
const MAX_BATCH: usize = 512;
/// Bytes of transactions in one frame.
const MAX_FRAME: usize = 256 << 10;
/// Forwarded bytes that wait to be checked, of all peers; more are dropped, and their home forwards them again.
const MAX_WAITING: usize = 64 << 20;
/// How often the pool is searched for what expired and the home for what must be forwarded again.
const SWEEP_MS: Millis = 250;

/// The transactions this validator is the home of, and those that wait to be checked.
pub(super) struct Home {
    /// Own ones that are admitted here and not final: when they were last forwarded.
    pending: BTreeMap<TxId, Millis>,
    submitted: VecDeque<Vec<u8>>,
    forwarded: VecDeque<Vec<u8>>,
    forwarded_bytes: usize,
    /// Whether the batch being checked is own.
    checking: Option<Source>,
    /// Whose turn it was last.
    last: Source,
    /// Own ones to be forwarded to the leader.
    outbox: VecDeque<TxId>,
    outbox_leader: Option<ValidatorIndex>,
    next_sweep: Millis,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Own,
    Peer,
}

impl Home {
    pub(super) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            submitted: VecDeque::new(),
            forwarded: VecDeque::new(),
            forwarded_bytes: 0,
            checking: None,
            last: Source::Peer,
            outbox: VecDeque::new(),
            outbox_leader: None,
            next_sweep: 0,
        }
    }

    pub(super) fn submit(&mut self, transactions: Vec<Vec<u8>>) {
        self.submitted.extend(transactions);
    }

    /// Those of `ids` that are own, which are then no longer pending.
    pub(super) fn finalized(&mut self, ids: impl Iterator<Item = TxId>) -> Vec<TxId> {
        ids.filter(|id| self.pending.remove(id).is_some()).collect()
    }
}

impl Core {
    pub(super) fn on_forward(&mut self, from: ValidatorIndex, forward: Forward, out: &mut Vec<Output>) {
        if forward.chain != self.config.committee.chain() || forward.shard != self.config.committee.shard() {
            return punish(from, "transactions of another chain or shard", out);
        }
        for transaction in forward.transactions {
            if self.home.forwarded_bytes + transaction.len() > MAX_WAITING {
                out.push(Output::Mark(Mark::Refused { from, reason: "forwarded transactions wait already" }));
                return;
            }
            self.home.forwarded_bytes += transaction.len();
            self.home.forwarded.push_back(transaction);
        }
    }

    pub(super) fn on_admitted(&mut self, now: Millis, verdicts: Verdicts<Checked>, out: &mut Vec<Output>) {
        let own = self.home.checking.take() == Some(Source::Own);
        let mut outcomes = Vec::with_capacity(if own { verdicts.len() } else { 0 });
        for verdict in verdicts {
            let id = verdict.as_ref().ok().map(Checked::id);
            let outcome = self.ledger.admit(now, verdict);
            if !own {
                continue;
            }
            let refused = match outcome {
                Outcome::Admitted | Outcome::Queued => None,
                Outcome::Duplicate => Some("duplicate"),
                Outcome::NonceTaken => Some("nonce-taken"),
                Outcome::NonceGap => Some("nonce-gap"),
                Outcome::NonceTooLow => Some("nonce-too-low"),
                Outcome::Full => Some("pool-full"),
                Outcome::Invalid(_) => Some("invalid"),
            };
            if let (None, Some(id)) = (refused, id) {
                self.home.pending.insert(id, now);
                self.home.outbox.push_back(id);
            }
            outcomes.push((id.unwrap_or_default(), refused));
        }
        if own {
            out.push(Output::Mark(Mark::Admission(outcomes)));
        }
    }

    pub(super) fn settle_transactions(&mut self, now: Millis, out: &mut Vec<Output>) {
        self.start_check(out);
        if now >= self.home.next_sweep {
            self.home.next_sweep = now + SWEEP_MS;
            self.sweep(now, out);
        }
        let leader = self.replica.leader();
        if self.home.outbox_leader != Some(leader) {
            // The new leader has seen none of what the old one was sent.
            self.home.outbox_leader = Some(leader);
            self.forward_everything(now);
        }
        if leader == self.config.me {
            self.home.outbox.clear();
        } else {
            self.flush_outbox(leader, out);
        }
    }

    pub(super) fn transactions_wake(&self) -> Option<Millis> {
        Some(self.home.next_sweep)
    }

    fn start_check(&mut self, out: &mut Vec<Output>) {
        if self.home.checking.is_some() {
            return;
        }
        let home = &mut self.home;
        // In turns: neither do a leader's own transactions starve the others', nor do peers that flood starve this home.
        let own = !home.submitted.is_empty() && (home.forwarded.is_empty() || home.last == Source::Peer);
        let line = if own { &mut home.submitted } else { &mut home.forwarded };
        let batch: Vec<_> = line.drain(..line.len().min(MAX_BATCH)).collect();
        if batch.is_empty() {
            return;
        }
        if !own {
            home.forwarded_bytes -= batch.iter().map(Vec::len).sum::<usize>();
        }
        home.last = if own { Source::Own } else { Source::Peer };
        home.checking = Some(home.last);
        out.push(Output::Job(Job::Admit(batch)));
    }

    /// Drops what is too old, and forwards again what should be final by now.
    fn sweep(&mut self, now: Millis, out: &mut Vec<Output>) {
        let expired = self.ledger.remove_expired(now);
        let own: Vec<_> = expired.into_iter().filter(|id| self.home.pending.remove(id).is_some()).collect();
        if !own.is_empty() {
            out.push(Output::Mark(Mark::Expired(own)));
        }
        let again = self.config.forward_again_ms;
        for (id, forwarded_at) in &mut self.home.pending {
            if now.saturating_sub(*forwarded_at) >= again {
                *forwarded_at = now;
                self.home.outbox.push_back(*id);
            }
        }
    }

    /// In the pool's order, so that nonces arrive in order.
    fn forward_everything(&mut self, now: Millis) {
        self.home.outbox.clear();
        for transaction in self.ledger.pool().line() {
            if let Some(forwarded_at) = self.home.pending.get_mut(&transaction.id()) {
                *forwarded_at = now;
                self.home.outbox.push_back(transaction.id());
            }
        }
    }

    fn flush_outbox(&mut self, leader: ValidatorIndex, out: &mut Vec<Output>) {
        let (chain, shard) = (self.config.committee.chain(), self.config.committee.shard());
        while !self.home.outbox.is_empty() {
            let (mut transactions, mut bytes) = (Vec::new(), 0);
            while bytes < MAX_FRAME
                && let Some(id) = self.home.outbox.pop_front()
            {
                if let Some(transaction) = self.ledger.pool().get(&id) {
                    bytes += transaction.bytes().len();
                    transactions.push(transaction.bytes().to_vec());
                }
            }
            if !transactions.is_empty() {
                let frame = encode(&Forward { chain, shard, transactions });
                out.push(Output::Send { to: Some(leader), lane: Lane::Transactions, bytes: frame });
            }
        }
    }
}
