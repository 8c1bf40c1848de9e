//! Catching up: final blocks that this validator missed, and bodies that only others hold.

use std::collections::{BTreeMap, VecDeque};

use super::blocks::Candidate;
use super::{Core, Output, encode, punish};
use crate::fbft::Event;
use crate::fbft::certificate::{Phase, QuorumCertificate};
use crate::net::Lane;
use crate::node::frame::Fetch;
use crate::node::job::Source;
use crate::node::store::FinalBlock;
use crate::types::{BlockNum, Hash, Millis, ValidatorIndex};

/// Bytes of bodies in one answer; one block is always answered.
const MAX_ANSWER: usize = 2 << 20;
/// Pause between two answers to one peer.
const ANSWER_PAUSE_MS: Millis = 20;
/// Time after which the next holder is asked.
const ASK_AGAIN_MS: Millis = 500;

/// Pause before an answer's sender is asked for what follows it: above [`ANSWER_PAUSE_MS`], or it would not answer.
const CONTINUE_MS: Millis = 2 * ANSWER_PAUSE_MS;

/// What is being fetched.
#[derive(Default)]
pub(super) struct CatchUp {
    /// The blocks of an answer that are not final here yet, in order.
    blocks: VecDeque<FinalBlock>,
    /// The block being checked.
    checking: Option<(Hash, QuorumCertificate)>,
    /// Whom final blocks were asked of, and when.
    asked: Option<(ValidatorIndex, Millis)>,
    /// Who sent `blocks`.
    from: Option<ValidatorIndex>,
    /// Whom to ask for what follows `blocks`, and when: an answer holds only so much.
    next: Option<(ValidatorIndex, Millis)>,
    /// When each peer was last answered what.
    answered: BTreeMap<(ValidatorIndex, What), Millis>,
}

/// What a peer asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Blocks,
    Body,
}

impl Core {
    /// `from` holds final blocks that are missing here.
    pub(super) fn on_behind(&mut self, now: Millis, from: ValidatorIndex, block_num: BlockNum, out: &mut Vec<Output>) {
        let waiting = self.catch_up.asked.is_some_and(|(_, at)| now.saturating_sub(at) < ASK_AGAIN_MS);
        if waiting || !self.catch_up.blocks.is_empty() || self.catch_up.checking.is_some() {
            return;
        }
        self.catch_up.next = None;
        self.catch_up.asked = Some((from, now));
        out.push(fetch(from, &Fetch::Blocks { from: block_num }));
    }

    /// Gives a lagging peer the block of the height it works on.
    pub(super) fn push_final(&mut self, to: ValidatorIndex, block_num: BlockNum, out: &mut Vec<Output>) {
        if let Some(block) = self.store.final_block(block_num) {
            out.push(fetch(to, &Fetch::BlocksAre(vec![block])));
        }
    }

    pub(super) fn on_fetch(&mut self, now: Millis, from: ValidatorIndex, message: Fetch, out: &mut Vec<Output>) {
        match message {
            Fetch::Blocks { from: first } => {
                if self.may_answer(now, from, What::Blocks) {
                    let (mut blocks, mut bytes, mut next) = (Vec::new(), 0, first);
                    while bytes < MAX_ANSWER
                        && let Some(block) = self.store.final_block(next)
                    {
                        if bytes > 0 && bytes + block.body.len() > MAX_ANSWER {
                            break;
                        }
                        bytes += block.body.len() + 1024;
                        blocks.push(block);
                        next.0 += 1;
                    }
                    out.push(fetch(from, &Fetch::BlocksAre(blocks)));
                }
            }
            Fetch::BlocksAre(blocks) => self.on_blocks(now, from, blocks, out),
            Fetch::Body { block_hash } => {
                if self.may_answer(now, from, What::Body) {
                    let own = self.candidates.get(&block_hash).and_then(|candidate| candidate.body());
                    let body = own.map(<[u8]>::to_vec).or_else(|| self.store.body(&block_hash));
                    out.push(fetch(from, &Fetch::BodyIs { block_hash, body }));
                }
            }
            Fetch::BodyIs { block_hash, body } => {
                // Unasked or late ones concern no candidate that lacks its body.
                let lacks = self.candidates.get(&block_hash).is_some_and(|candidate| candidate.lacks_body());
                match body {
                    Some(body) if lacks => {
                        self.check_source(now, block_hash, Source::Body { body, from: Some(from) }, out)
                    }
                    None if lacks => self.on_no_body(now, from, block_hash, out),
                    _ => {}
                }
            }
        }
    }

    fn may_answer(&mut self, now: Millis, peer: ValidatorIndex, what: What) -> bool {
        let last = self.catch_up.answered.get(&(peer, what)).copied();
        let may = last.is_none_or(|last| now.saturating_sub(last) >= ANSWER_PAUSE_MS);
        if may {
            self.catch_up.answered.insert((peer, what), now);
        }
        may
    }

    fn on_blocks(&mut self, now: Millis, from: ValidatorIndex, blocks: Vec<FinalBlock>, out: &mut Vec<Output>) {
        if self.catch_up.asked.is_some_and(|(asked, _)| asked == from) {
            self.catch_up.asked = None;
        }
        if self.catch_up.checking.is_some() || !self.catch_up.blocks.is_empty() {
            return;
        }
        self.catch_up.blocks = blocks.into();
        self.catch_up.from = Some(from);
        self.check_blocks(now, out);
    }

    /// Takes the next blocks of an answer, as long as each extends the tip and its seal holds.
    fn check_blocks(&mut self, now: Millis, out: &mut Vec<Output>) {
        while self.catch_up.checking.is_none() {
            let Some(from) = self.catch_up.from else { return };
            let Some(block) = self.catch_up.blocks.pop_front() else { return };
            let tip = self.replica.tip();
            if block.header.block_num <= tip.block_num {
                continue;
            }
            let hash = block.header.hash();
            let extends =
                block.header.parent == tip.hash && Some(block.header.block_num.0) == tip.block_num.0.checked_add(1);
            let sealed = block.seal.phase == Phase::Commit
                && block.seal.block_num == block.header.block_num
                && block.seal.block_hash == hash;
            if !extends || !sealed {
                self.catch_up.blocks.clear();
                return;
            }
            let Ok(seal) = QuorumCertificate::try_new(block.seal, &self.config.committee, &*self.crypto) else {
                self.catch_up.blocks.clear();
                return punish(from, "final block without a valid seal", out);
            };
            self.catch_up.checking = Some((hash, seal));
            self.obtain(now, block.header, Vec::new(), out);
            match self.candidates.get(&hash).map(Candidate::verdict) {
                // It became final meanwhile.
                None => self.catch_up.checking = None,
                Some(Some(valid)) => self.synced(now, hash, valid, out),
                Some(None) => self.check_source(now, hash, Source::Body { body: block.body, from: Some(from) }, out),
            }
        }
    }

    /// The block being caught up was checked.
    pub(super) fn synced(&mut self, now: Millis, hash: Hash, valid: bool, out: &mut Vec<Output>) {
        let Some((_, seal)) = self.catch_up.checking.take_if(|(checking, _)| *checking == hash) else { return };
        if !valid {
            self.catch_up.blocks.clear();
            return;
        }
        // Without a candidate it became final by other means.
        if let Some(candidate) = self.candidates.get(&hash) {
            let header = candidate.header.clone();
            let num = header.block_num;
            self.replica_event(now, Event::Synced { header, seal }, out);
            if self.replica.tip().block_num < num {
                // The replica has its reasons; the next answer begins anew.
                self.catch_up.blocks.clear();
                return;
            }
        }
        if self.catch_up.blocks.is_empty() {
            self.catch_up.next = self.catch_up.from.map(|from| (from, now.saturating_add(CONTINUE_MS)));
        }
    }

    /// Whoever was asked last has no body: it is not asked again before the replica names the holders anew.
    fn on_no_body(&mut self, now: Millis, from: ValidatorIndex, block_hash: Hash, out: &mut Vec<Output>) {
        let Some(candidate) = self.candidates.get_mut(&block_hash) else { return };
        if candidate.holders.back() == Some(&from) {
            candidate.holders.pop_back();
            self.ask_next_holder(now, block_hash, out);
        }
    }

    pub(super) fn ask_next_holder(&mut self, now: Millis, block_hash: Hash, out: &mut Vec<Output>) {
        let Some(candidate) = self.candidates.get_mut(&block_hash) else { return };
        if let Some(holder) = candidate.holders.pop_front() {
            candidate.holders.push_back(holder);
            candidate.ask_at = now.saturating_add(ASK_AGAIN_MS);
            out.push(fetch(holder, &Fetch::Body { block_hash }));
        }
    }

    pub(super) fn settle_fetching(&mut self, now: Millis, out: &mut Vec<Output>) {
        let candidates = &self.candidates;
        self.catch_up.checking.take_if(|(hash, _)| !candidates.contains_key(hash));
        self.check_blocks(now, out);
        if let Some((from, _)) = self.catch_up.next.take_if(|(_, at)| *at <= now) {
            self.on_behind(now, from, self.replica.block_num(), out);
        }
        let due: Vec<_> =
            self.candidates.iter().filter(|(_, c)| c.lacks_body() && c.ask_at <= now).map(|(h, _)| *h).collect();
        for block_hash in due {
            self.ask_next_holder(now, block_hash, out);
        }
    }

    pub(super) fn fetching_wake(&self) -> Option<Millis> {
        let bodies =
            self.candidates.values().filter(|candidate| candidate.lacks_body()).map(|candidate| candidate.ask_at);
        bodies.chain(self.catch_up.next.map(|(_, at)| at)).min()
    }
}

fn fetch(to: ValidatorIndex, message: &Fetch) -> Output {
    Output::Send { to: Some(to), lane: Lane::Fetch, bytes: encode(message) }
}
