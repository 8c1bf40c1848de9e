//! Transactions that wait for a block. One pool for both workloads: payloads stand in line by id alone, transfers by
//! sender and nonce.
//!
//! The line is fair: a transaction's place is when it became executable, first come first served. A transfer is
//! executable when every nonce between its sender's next one on the tip and its own is in the pool too; so the line
//! never has a nonce before its predecessor. A transfer behind a gap is held, up to `max_queued_per_sender` for each sender,
//! and joins the line's end when the gap closes.
//!
//! Whatever was admitted leaves exactly one way, and is counted:
//! `admitted = finalized + expired + stale + unexecutable + still here`.

use std::collections::{BTreeMap, HashMap};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::ledger::{Action, Checked, Invalid, TxId};
use crate::types::Millis;

/// How much a pool holds, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Most transactions.
    pub max_transactions: usize,
    /// Most bytes of all transactions together.
    pub max_bytes: usize,
    /// Most transfers of one sender behind a nonce gap.
    pub max_queued_per_sender: usize,
    /// A transaction that is not final so long after it was admitted is removed.
    pub expiry_ms: Millis,
}

/// What became of a transaction that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In line for a block.
    Admitted,
    /// Held behind a nonce gap; counts as admitted.
    Queued,
    /// In the pool, or final, already.
    Duplicate,
    /// Another transfer of the same sender has that nonce; the first one stays.
    NonceTaken,
    /// Behind a gap, with as many of its sender held there as may be.
    NonceGap,
    /// The sender used that nonce in a final block.
    NonceTooLow,
    /// No room, by count or by bytes.
    Full,
    /// It can never be executed, or not on the tip for lack of balance.
    Invalid(Invalid),
}

/// Outcomes so far, and the ways out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PoolCounts {
    /// Admitted, those queued first included.
    pub admitted: u64,
    /// Of these, behind a gap when they came.
    pub queued: u64,
    /// Refused as [`Outcome::Duplicate`].
    pub duplicate: u64,
    /// Refused as [`Outcome::NonceTaken`].
    pub nonce_taken: u64,
    /// Refused as [`Outcome::NonceGap`].
    pub nonce_gap: u64,
    /// Refused as [`Outcome::NonceTooLow`].
    pub nonce_too_low: u64,
    /// Refused as [`Outcome::Full`].
    pub full: u64,
    /// Refused as [`Outcome::Invalid`].
    pub invalid: u64,
    /// Left in a final block.
    pub finalized: u64,
    /// Left by age.
    pub expired: u64,
    /// Left because a final block held another transfer with the nonce.
    pub stale: u64,
    /// Left because the tip could not execute it when its turn came.
    pub unexecutable: u64,
}

/// Why a transaction leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    Finalized,
    Expired,
    Stale,
    Unexecutable,
}

struct Entry {
    transaction: Checked,
    /// Place in line; `None` behind a gap.
    place: Option<u64>,
    /// Key in `ages`.
    age: (Millis, u64),
}

/// The transfers of one sender. Nonces below `ready_to` are in line, the others behind a gap. Never empty.
struct Sender {
    by_nonce: BTreeMap<u64, TxId>,
    ready_to: u64,
}

/// See the module.
pub struct Pool {
    limits: PoolLimits,
    entries: HashMap<TxId, Entry>,
    senders: HashMap<Address, Sender>,
    line: BTreeMap<u64, TxId>,
    ages: BTreeMap<(Millis, u64), TxId>,
    bytes: usize,
    /// Next place in line and tie-break between ages.
    serial: u64,
    counts: PoolCounts,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            senders: HashMap::new(),
            line: BTreeMap::new(),
            ages: BTreeMap::new(),
            bytes: 0,
            serial: 0,
            counts: PoolCounts::default(),
        }
    }

    /// Transactions.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Transactions in line, which are those not behind a gap.
    pub fn executable(&self) -> usize {
        self.line.len()
    }

    /// Bytes of all transactions.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Outcomes so far.
    pub fn counts(&self) -> &PoolCounts {
        &self.counts
    }

    /// A transaction that waits here.
    pub fn get(&self, id: &TxId) -> Option<&Checked> {
        self.entries.get(id).map(|entry| &entry.transaction)
    }

    /// The executable transactions in fair order, no nonce before its predecessor.
    pub fn line(&self) -> impl Iterator<Item = &Checked> {
        self.line.values().filter_map(|id| self.get(id))
    }

    /// Counts an outcome; also of what was refused before it came here.
    pub(super) fn count(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Admitted => self.counts.admitted += 1,
            Outcome::Queued => {
                self.counts.admitted += 1;
                self.counts.queued += 1;
            }
            Outcome::Duplicate => self.counts.duplicate += 1,
            Outcome::NonceTaken => self.counts.nonce_taken += 1,
            Outcome::NonceGap => self.counts.nonce_gap += 1,
            Outcome::NonceTooLow => self.counts.nonce_too_low += 1,
            Outcome::Full => self.counts.full += 1,
            Outcome::Invalid(_) => self.counts.invalid += 1,
        }
        outcome
    }

    /// Offers a transaction. `tip_nonce` is the next nonce of a transfer's sender on the tip.
    pub fn admit(&mut self, now: Millis, transaction: Checked, tip_nonce: u64) -> Outcome {
        let outcome = self.place(now, transaction, tip_nonce);
        self.count(outcome)
    }

    fn place(&mut self, now: Millis, transaction: Checked, tip_nonce: u64) -> Outcome {
        let id = transaction.id;
        if self.entries.contains_key(&id) {
            return Outcome::Duplicate;
        }
        let turn = transaction.action.turn();
        let mut gap = false;
        if let Some((address, nonce)) = turn {
            if nonce < tip_nonce {
                return Outcome::NonceTooLow;
            }
            let sender = self.senders.get(&address);
            gap = nonce > sender.map_or(tip_nonce, |sender| sender.ready_to);
            if let Some(sender) = sender {
                if sender.by_nonce.contains_key(&nonce) {
                    return Outcome::NonceTaken;
                }
                if gap && sender.by_nonce.range(sender.ready_to..).count() >= self.limits.max_queued_per_sender {
                    return Outcome::NonceGap;
                }
            } else if gap && self.limits.max_queued_per_sender == 0 {
                return Outcome::NonceGap;
            }
        }
        let length = transaction.bytes.len();
        if self.entries.len() >= self.limits.max_transactions || length > self.limits.max_bytes - self.bytes {
            return Outcome::Full;
        }
        self.bytes += length;
        let age = (now, self.next_serial());
        self.ages.insert(age, id);
        self.entries.insert(id, Entry { transaction, place: None, age });
        match turn {
            None => self.stand_in_line(id),
            Some((address, nonce)) => {
                let new = || Sender { by_nonce: BTreeMap::new(), ready_to: tip_nonce };
                self.senders.entry(address).or_insert_with(new).by_nonce.insert(nonce, id);
                self.promote(address);
            }
        }
        if gap { Outcome::Queued } else { Outcome::Admitted }
    }

    /// The transactions of a final block, in order: they leave, and so does whatever they made stale.
    pub fn finalized<'a>(&mut self, transactions: impl IntoIterator<Item = (TxId, &'a Action)>) {
        for (id, action) in transactions {
            self.remove(&id, Exit::Finalized);
            let Some((address, nonce)) = action.turn() else { continue };
            let Some(sender) = self.senders.get_mut(&address) else { continue };
            let next = nonce.saturating_add(1);
            let later = sender.by_nonce.split_off(&next);
            let stale = std::mem::replace(&mut sender.by_nonce, later);
            sender.ready_to = sender.ready_to.max(next);
            for id in stale.values() {
                self.remove(id, Exit::Stale);
            }
            self.promote(address);
        }
    }

    /// Removes what was admitted `expiry_ms` ago or earlier, the oldest first.
    pub fn remove_expired(&mut self, now: Millis) -> Vec<TxId> {
        let mut expired = Vec::new();
        while let Some((&(admitted_at, _), &id)) = self.ages.first_key_value() {
            if now.saturating_sub(admitted_at) < self.limits.expiry_ms {
                break;
            }
            self.remove(&id, Exit::Expired);
            expired.push(id);
        }
        expired
    }

    /// Removes a transaction that the tip refused when its turn came. Later nonces of its sender are held again.
    pub fn remove_unexecutable(&mut self, id: &TxId) {
        self.remove(id, Exit::Unexecutable);
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn stand_in_line(&mut self, id: TxId) {
        let place = self.next_serial();
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.place = Some(place);
            self.line.insert(place, id);
        }
    }

    /// Puts in line whatever of a sender has no gap before it any more, and forgets a sender without transactions.
    fn promote(&mut self, address: Address) {
        let Some(sender) = self.senders.get_mut(&address) else { return };
        if sender.by_nonce.is_empty() {
            self.senders.remove(&address);
            return;
        }
        let mut ready = Vec::new();
        for (&nonce, &id) in sender.by_nonce.range(sender.ready_to..) {
            if nonce != sender.ready_to {
                break;
            }
            ready.push(id);
            // The last nonce has no successor; nothing is ever beyond it.
            sender.ready_to = nonce.saturating_add(1);
        }
        for id in ready {
            self.stand_in_line(id);
        }
    }

    fn remove(&mut self, id: &TxId, exit: Exit) {
        let Some(entry) = self.entries.remove(id) else { return };
        *match exit {
            Exit::Finalized => &mut self.counts.finalized,
            Exit::Expired => &mut self.counts.expired,
            Exit::Stale => &mut self.counts.stale,
            Exit::Unexecutable => &mut self.counts.unexecutable,
        } += 1;
        self.bytes -= entry.transaction.bytes.len();
        self.ages.remove(&entry.age);
        if let Some(place) = entry.place {
            self.line.remove(&place);
        }
        let Some((address, nonce)) = entry.transaction.action.turn() else { return };
        // What leaves in or because of a final block opens no gap: the tip's nonce moved past it.
        if matches!(exit, Exit::Expired | Exit::Unexecutable) {
            self.open_gap(address, nonce);
        }
    }

    /// Takes a nonce out of a sender's row, and those behind it out of the line.
    fn open_gap(&mut self, address: Address, nonce: u64) {
        let Some(sender) = self.senders.get_mut(&address) else { return };
        sender.by_nonce.remove(&nonce);
        if nonce < sender.ready_to {
            sender.ready_to = nonce;
            for id in sender.by_nonce.range(nonce..).map(|(_, id)| id) {
                if let Some(place) = self.entries.get_mut(id).and_then(|entry| entry.place.take()) {
                    self.line.remove(&place);
                }
            }
        }
        if sender.by_nonce.is_empty() {
            self.senders.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::opaque::Payload;
    use crate::ledger::transaction::Transfer;
    use crate::types::{Hash, ShardId, ValidatorIndex};

    const LIMITS: PoolLimits =
        PoolLimits { max_transactions: 8, max_bytes: 1000, max_queued_per_sender: 2, expiry_ms: 100 };

    fn transfer(from: u8, nonce: u64, version: u8) -> Checked {
        let to = Address::ZERO;
        let transfer = Transfer { nonce, gas_price: U256::ZERO, gas_limit: 21_000, to, value: U256::from(version) };
        let mut id = [0; 32];
        id[0] = from;
        id[1] = version;
        id[2..10].copy_from_slice(&nonce.to_le_bytes());
        let action = Action::Transfer { from: Address::repeat_byte(from), transfer };
        Checked { id: Hash(id), action, bytes: vec![0; 100] }
    }

    fn payload(sequence: u64) -> Checked {
        let payload = Payload { shard: ShardId(0), home: ValidatorIndex(0), sequence };
        Checked { id: payload.id(), action: Action::Payload(payload), bytes: vec![0; 100] }
    }

    fn line(pool: &Pool) -> Vec<(u8, u64)> {
        pool.line().map(|t| (t.id.0[0], t.action.turn().unwrap().1)).collect()
    }

    fn finalize(pool: &mut Pool, block: &[Checked]) {
        pool.finalized(block.iter().map(|t| (t.id, &t.action)));
    }

    #[test]
    fn the_line_is_first_come_first_served() {
        let mut pool = Pool::new(LIMITS);
        for t in [transfer(2, 0, 0), transfer(1, 0, 0), transfer(2, 1, 0)] {
            assert_eq!(pool.admit(0, t, 0), Outcome::Admitted);
        }
        assert_eq!(line(&pool), [(2, 0), (1, 0), (2, 1)]);
    }

    #[test]
    fn a_nonce_never_stands_before_its_predecessor() {
        let mut pool = Pool::new(LIMITS);
        assert_eq!(pool.admit(0, transfer(1, 1, 0), 0), Outcome::Queued);
        assert_eq!(pool.admit(0, transfer(2, 0, 0), 0), Outcome::Admitted);
        assert_eq!(line(&pool), [(2, 0)]);
        assert_eq!(pool.admit(0, transfer(1, 0, 0), 0), Outcome::Admitted);
        assert_eq!(line(&pool), [(2, 0), (1, 0), (1, 1)]);
    }

    #[test]
    fn few_transfers_are_held_behind_a_gap() {
        let mut pool = Pool::new(LIMITS);
        assert_eq!(pool.admit(0, transfer(1, 5, 0), 0), Outcome::Queued);
        assert_eq!(pool.admit(0, transfer(1, 3, 0), 0), Outcome::Queued);
        assert_eq!(pool.admit(0, transfer(1, 4, 0), 0), Outcome::NonceGap);
        assert_eq!(pool.admit(0, transfer(2, 1, 0), 0), Outcome::Queued, "the bound is per sender");
        let mut none = Pool::new(PoolLimits { max_queued_per_sender: 0, ..LIMITS });
        assert_eq!(none.admit(0, transfer(1, 1, 0), 0), Outcome::NonceGap);
    }

    #[test]
    fn used_nonces_duplicates_and_second_versions_are_refused() {
        let mut pool = Pool::new(LIMITS);
        assert_eq!(pool.admit(0, transfer(1, 2, 0), 3), Outcome::NonceTooLow);
        assert_eq!(pool.admit(0, transfer(1, 3, 0), 3), Outcome::Admitted);
        assert_eq!(pool.admit(0, transfer(1, 3, 0), 3), Outcome::Duplicate);
        assert_eq!(pool.admit(0, transfer(1, 3, 1), 3), Outcome::NonceTaken);
        assert_eq!(pool.len(), 1);
        let counts = pool.counts();
        assert_eq!((counts.nonce_too_low, counts.duplicate, counts.nonce_taken, counts.admitted), (1, 1, 1, 1));
    }

    #[test]
    fn a_full_pool_refuses_by_count_and_by_bytes() {
        let mut pool = Pool::new(LIMITS);
        for i in 0..8 {
            assert_eq!(pool.admit(0, payload(i), 0), Outcome::Admitted);
        }
        assert_eq!(pool.admit(0, payload(8), 0), Outcome::Full);
        let mut pool = Pool::new(PoolLimits { max_bytes: 250, ..LIMITS });
        assert_eq!(pool.admit(0, payload(0), 0), Outcome::Admitted);
        assert_eq!(pool.admit(0, payload(1), 0), Outcome::Admitted);
        assert_eq!(pool.admit(0, payload(2), 0), Outcome::Full);
        finalize(&mut pool, &[payload(0)]);
        assert_eq!(pool.admit(0, payload(2), 0), Outcome::Admitted);
        assert_eq!((pool.bytes(), pool.counts().full), (200, 1));
    }

    #[test]
    fn a_final_block_removes_its_transactions_and_those_it_made_stale() {
        let mut pool = Pool::new(LIMITS);
        for t in [transfer(1, 0, 0), transfer(1, 1, 0), transfer(1, 2, 0), transfer(1, 4, 0)] {
            pool.admit(0, t, 0);
        }
        // Nonce 1 was finalized in another version, and nonces 2 and 3 came from elsewhere too.
        finalize(&mut pool, &[transfer(1, 0, 0), transfer(1, 1, 9)]);
        assert_eq!(line(&pool), [(1, 2)]);
        finalize(&mut pool, &[transfer(1, 2, 0), transfer(1, 3, 9)]);
        assert_eq!(line(&pool), [(1, 4)], "the gap closed on the chain");
        assert_eq!((pool.counts().finalized, pool.counts().stale), (2, 1));
    }

    #[test]
    fn an_expired_nonce_holds_back_those_behind_it() {
        let mut pool = Pool::new(LIMITS);
        pool.admit(0, transfer(1, 0, 0), 0);
        pool.admit(50, transfer(1, 1, 0), 0);
        assert_eq!(pool.remove_expired(99), []);
        assert_eq!(pool.remove_expired(100), [transfer(1, 0, 0).id]);
        assert_eq!((line(&pool), pool.len()), (vec![], 1));
        assert_eq!(pool.admit(100, transfer(1, 0, 1), 0), Outcome::Admitted);
        assert_eq!(line(&pool), [(1, 0), (1, 1)]);
        assert_eq!(pool.remove_expired(1000).len(), 2);
        assert!(pool.is_empty() && pool.senders.is_empty() && pool.ages.is_empty() && pool.line.is_empty());
    }

    #[test]
    fn an_unexecutable_nonce_holds_back_those_behind_it() {
        let mut pool = Pool::new(LIMITS);
        for nonce in 0..3 {
            pool.admit(0, transfer(1, nonce, 0), 0);
        }
        pool.remove_unexecutable(&transfer(1, 1, 0).id);
        assert_eq!(line(&pool), [(1, 0)]);
        assert_eq!(pool.counts().unexecutable, 1);
    }

    #[test]
    fn the_last_nonce_stands_in_line_like_any_other() {
        let mut pool = Pool::new(LIMITS);
        assert_eq!(pool.admit(0, transfer(1, u64::MAX, 0), u64::MAX), Outcome::Admitted);
        assert_eq!(line(&pool), [(1, u64::MAX)]);
        finalize(&mut pool, &[transfer(1, u64::MAX, 0)]);
        assert!(pool.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_happens_the_line_is_ordered_and_the_counts_reconcile(
            steps in prop::collection::vec((0u8..8, 1u8..4, 0u64..6, 0u8..2), 1..120)
        ) {
            let mut pool = Pool::new(LIMITS);
            let mut tip: HashMap<u8, u64> = HashMap::new();
            for (now, (step, from, nonce, version)) in steps.into_iter().enumerate() {
                let now = now as Millis * 3;
                let next = tip.entry(from).or_default();
                match step {
                    0..5 => { pool.admit(now, transfer(from, nonce, version), *next); }
                    5 => {
                        finalize(&mut pool, &[transfer(from, *next, version)]);
                        *next += 1;
                    }
                    6 => { pool.remove_expired(now); }
                    _ => pool.remove_unexecutable(&transfer(from, nonce, version).id),
                }
                let mut expected = tip.clone();
                for (from, nonce) in line(&pool) {
                    let next = expected.get_mut(&from).unwrap();
                    prop_assert_eq!(nonce, *next);
                    *next += 1;
                }
                let c = pool.counts();
                prop_assert_eq!(c.admitted, c.finalized + c.expired + c.stale + c.unexecutable + pool.len() as u64);
                prop_assert_eq!(pool.ages.len(), pool.len());
                prop_assert_eq!(pool.senders.values().map(|s| s.by_nonce.len()).sum::<usize>(), pool.len());
                prop_assert_eq!(pool.bytes(), pool.len() * 100);
                prop_assert!(pool.len() <= LIMITS.max_transactions);
            }
        }
    }
}
