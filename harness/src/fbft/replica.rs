//! One validator's state machine: what it knows, which messages it wants, and the order in which knowledge becomes action.
//!
//! Every event first records a fact; then `progress` takes each step that the facts now allow. The steps live in
//! `validator.rs` (proposals and votes), `leader.rs` (tallies and certificates), `view_change.rs` and `finality.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block::Header;
#[cfg(test)]
use crate::fbft::api::Planted;
use crate::fbft::api::{Action, At, Event, Note, ReplicaConfig, Tip};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase, QuorumCertificate};
use crate::fbft::crypto::Crypto;
use crate::fbft::early::Early;
use crate::fbft::finality::LateCommits;
use crate::fbft::leader::Tally;
use crate::fbft::message::{Announce, Envelope, Message, ViewChange, Vote};
use crate::fbft::refusal::Refusal;
use crate::fbft::safety::SafetyRecord;
use crate::fbft::verify::{Verified, check_stranger, vote_signers};
use crate::types::{BlockNum, Hash, Millis, Slot, ValidatorIndex, ViewId};

/// Headers kept at a height for certificates that may still come.
const MAX_HEADERS: usize = 16;

/// The state machine of one validator.
pub struct Replica {
    pub(super) config: ReplicaConfig,
    pub(super) crypto: Arc<dyn Crypto>,
    pub(super) tip: Tip,
    /// What was said at this height. Its `view_id` is the view in progress, its `lock` the highest prepared certificate.
    pub(super) record: SafetyRecord,
    pub(super) height: Height,
    pub(super) view: View,
    pub(super) late: Option<LateCommits>,
    pub(super) early: Early,
    /// A record of a later height than the tip allows: nothing may be said until that height is reached.
    pub(super) pending: Option<SafetyRecord>,
    pub(super) mute: bool,
    pub(super) deadline: Option<Millis>,
    pub(super) repeat_at: Millis,
    wake_at: Option<Millis>,
    answers: Limiter,
    behind: Limiter,
    peer_behind: Limiter,
}

/// What is known at one height.
#[derive(Debug)]
pub(super) struct Height {
    pub(super) num: BlockNum,
    /// The leader of view 0.
    pub(super) base: ValidatorIndex,
    /// When the proposal of view 0 is due.
    pub(super) due: Millis,
    /// When the first proposal started or was seen.
    pub(super) started: Option<Millis>,
    /// Headers that were accepted or that a certificate vouches for.
    pub(super) headers: BTreeMap<Hash, Header>,
    /// Verdicts on bodies.
    pub(super) bodies: BTreeMap<Hash, Body>,
    /// Proof that a block is final.
    pub(super) committed: Option<QuorumCertificate>,
    /// The latest of each sender.
    pub(super) view_changes: BTreeMap<ValidatorIndex, ViewChange>,
    /// Proposals of views that have not begun here; one per sender.
    pub(super) announces: BTreeMap<ValidatorIndex, Announce>,
    /// How often a missing header was asked for.
    pub(super) asked: usize,
}

/// The verdict on a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Available,
    Invalid,
}

/// What is known in the view in progress.
#[derive(Debug)]
pub(super) struct View {
    /// What may be proposed; `None` while neither NewView nor certificate opened the view.
    pub(super) basis: Option<Basis>,
    pub(super) proposal: Option<Hash>,
    pub(super) prepared: Option<QuorumCertificate>,
    pub(super) prepare_sent: bool,
    pub(super) commit_sent: bool,
    /// Own votes as they were sent to the leader.
    pub(super) votes: Vec<Envelope>,
    pub(super) view_change: Option<Envelope>,
    /// As a leader: a restart may have forgotten a NewView of this view, so there will be none.
    pub(super) spent: bool,
    pub(super) building: bool,
    pub(super) new_view: Option<Envelope>,
    pub(super) announce: Option<Envelope>,
    pub(super) prepares: Tally,
    pub(super) commits: Tally,
}

/// What a view may propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// A block made for this view.
    Fresh,
    /// The block of this prepared certificate.
    Again(Certificate),
}

impl View {
    pub(super) fn new(slots: u16) -> Self {
        Self {
            basis: None,
            proposal: None,
            prepared: None,
            prepare_sent: false,
            commit_sent: false,
            votes: Vec::new(),
            view_change: None,
            spent: false,
            building: false,
            new_view: None,
            announce: None,
            prepares: Tally::new(slots),
            commits: Tally::new(slots),
        }
    }

    /// Whether a NewView or a prepared certificate shows that the view has begun.
    pub(super) fn is_open(&self) -> bool {
        self.basis.is_some() || self.prepared.is_some()
    }
}

/// At most one answer per peer and interval, so that nobody can make a replica talk more than it talks itself.
#[derive(Debug, Default)]
struct Limiter(BTreeMap<ValidatorIndex, Millis>);

impl Limiter {
    fn allows(&mut self, now: Millis, peer: ValidatorIndex, interval: Millis) -> bool {
        let next = self.0.entry(peer).or_insert(0);
        let allowed = now >= *next;
        if allowed {
            *next = now.saturating_add(interval);
        }
        allowed
    }
}

impl Replica {
    /// A replica on `tip`. `restored` is the last durable record, whatever height it is of; its signatures are checked again.
    pub fn new(
        config: ReplicaConfig,
        crypto: Arc<dyn Crypto>,
        now: Millis,
        tip: Tip,
        restored: Option<SafetyRecord>,
        out: &mut Vec<Action>,
    ) -> Self {
        let slots = config.committee.slots();
        let mut replica = Self {
            record: SafetyRecord::new(tip.block_num),
            height: Height::new(tip.block_num, ValidatorIndex(0), now),
            view: View::new(slots),
            late: None,
            early: Early::default(),
            pending: restored,
            mute: false,
            deadline: None,
            repeat_at: now,
            wake_at: None,
            answers: Limiter::default(),
            behind: Limiter::default(),
            peer_behind: Limiter::default(),
            config,
            crypto,
            tip,
        };
        replica.enter_height(now, None, out);
        replica.progress(now, out);
        replica
    }

    /// Takes one event; what is to be done is appended to `out`, in order.
    pub fn handle(&mut self, now: Millis, event: Event, out: &mut Vec<Action>) {
        match event {
            Event::Message { from, message } if message.from() != from => {
                self.refuse(now, from, message.envelope(), Refusal::WrongSender, out);
            }
            Event::Message { message, .. } => self.on_message(now, message, out),
            Event::Built { block_num, view_id, header } => self.on_built(block_num, view_id, header, out),
            Event::Available { block_hash } => {
                self.height.bodies.insert(block_hash, Body::Available);
            }
            Event::Invalid { block_hash } => self.on_invalid(now, block_hash, out),
            Event::Synced { header, seal } => self.on_synced(now, header, seal, out),
            Event::Tick => self.on_tick(now, out),
        }
        self.progress(now, out);
    }

    /// The last final block.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The height in progress.
    pub fn block_num(&self) -> BlockNum {
        self.height.num
    }

    /// The view in progress.
    pub fn view_id(&self) -> ViewId {
        self.record.view_id
    }

    /// The leader of the view in progress.
    pub fn leader(&self) -> ValidatorIndex {
        self.leader_of(self.record.view_id)
    }

    /// Whether this replica leads the view in progress.
    pub fn leads(&self) -> bool {
        self.leader() == self.config.me
    }

    /// A cheap filter before signatures are checked: whether the message can still change anything here.
    ///
    /// # Errors
    ///
    /// Why not. [`Replica::refuse`] counts it and answers where a lagging peer needs an answer.
    pub fn wants(&self, from: ValidatorIndex, envelope: &Envelope) -> Result<(), Refusal> {
        check_stranger(&self.config.committee, from, envelope)?;
        if from == self.config.me {
            return Err(Refusal::UnknownValidator);
        }
        let message = &envelope.message;
        let num = message.block_num();
        if num == self.tip.block_num {
            return self.wants_late(from, message);
        }
        if num < self.height.num {
            return Err(Refusal::StaleHeight);
        }
        if num > self.height.num {
            let next = self.height.num.0.checked_add(1) == Some(num.0);
            let keys = self.config.committee.slots_of(from).len();
            return if next { self.early.admits(from, keys, envelope) } else { Err(Refusal::FutureHeight) };
        }
        if self.height.committed.is_some() {
            return Err(Refusal::Late);
        }
        let view_id = message.view_id();
        if view_id < self.view_id() && !matches!(message, Message::Committed(_)) {
            return Err(Refusal::StaleView);
        }
        let current = view_id == self.view_id();
        match message {
            Message::Announce(_) | Message::NewView(_) if from != self.leader_of(view_id) => Err(Refusal::WrongLeader),
            Message::Announce(announce) => match self.view.proposal {
                Some(hash) if current && announce.header.hash() == hash => Err(Refusal::Replay),
                _ => Ok(()),
            },
            Message::NewView(_) if current && self.view.basis.is_some() => Err(Refusal::Replay),
            Message::NewView(_) | Message::Committed(_) => Ok(()),
            Message::Prepare(vote) => self.wants_vote(from, vote, Phase::Prepare),
            Message::Commit(vote) => self.wants_vote(from, vote, Phase::Commit),
            Message::Prepared(_) if current && self.view.prepared.is_some() => Err(Refusal::Replay),
            Message::Prepared(_) => Ok(()),
            Message::ViewChange(view_change) if view_change.sender != from => Err(Refusal::WrongSender),
            Message::ViewChange(_) => match self.height.view_changes.get(&from) {
                Some(known) if known.view_id >= view_id => Err(Refusal::Replay),
                _ => Ok(()),
            },
        }
    }

    fn wants_vote(&self, from: ValidatorIndex, vote: &Vote, phase: Phase) -> Result<(), Refusal> {
        if vote.view_id > self.view_id() {
            return Err(Refusal::FutureView);
        }
        if !self.leads() {
            return Err(Refusal::WrongLeader);
        }
        if self.view.announce.is_none() || self.view.proposal != Some(vote.block_hash) {
            return Err(Refusal::WrongBlock);
        }
        let tally = match phase {
            Phase::Prepare if self.view.prepared.is_some() => return Err(Refusal::Late),
            Phase::Prepare => &self.view.prepares,
            // Not before this leader itself sent the certificate that a Commit answers.
            Phase::Commit if self.view.prepared.is_none() => return Err(Refusal::FutureView),
            Phase::Commit => &self.view.commits,
        };
        let signers = vote_signers(vote, from, &self.config.committee)?;
        if tally.signers().is_disjoint(&signers) { Ok(()) } else { Err(Refusal::Replay) }
    }

    /// What whoever feeds this replica calls for everything that [`Replica::wants`] or `verify` refused: counts it, and
    /// answers peers whose message shows that they lag or missed something. Answers are limited per peer.
    pub fn refuse(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        envelope: &Envelope,
        reason: Refusal,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Note(Note::Refused { from, reason }));
        if from == self.config.me || from.0 >= self.config.committee.validators() {
            return;
        }
        let message = &envelope.message;
        match reason {
            Refusal::StaleHeight => {
                let num = message.block_num();
                let vote = !matches!(message, Message::Announce(_) | Message::ViewChange(_) | Message::NewView(_));
                let old = num.0.saturating_add(2) <= self.tip.block_num.0;
                if num.0 > 0 && (old || !vote) && self.peer_behind.allows(now, from, self.config.repeat_ms() / 2) {
                    out.push(Action::PeerBehind { to: from, block_num: num });
                }
            }
            Refusal::FutureHeight | Refusal::BufferFull => self.note_behind(now, from, out),
            Refusal::Replay | Refusal::StaleView | Refusal::Late => self.answer(now, from, message, out),
            _ => {}
        }
    }

    /// Repeats what the sender of an unneeded message seems to lack.
    fn answer(&mut self, now: Millis, from: ValidatorIndex, message: &Message, out: &mut Vec<Action>) {
        let mut reply = Vec::new();
        match message {
            Message::ViewChange(_) => {
                if let Some(seal) = &self.height.committed {
                    reply.push(self.envelope(Message::Committed(seal.certificate().clone())));
                } else if self.leads() {
                    reply.extend(self.leader_messages());
                }
            }
            Message::Announce(_) | Message::Prepared(_) if from == self.leader() && self.height.committed.is_none() => {
                reply.extend(self.view.votes.iter().cloned());
            }
            _ => {}
        }
        if !reply.is_empty() && self.answers.allows(now, from, self.config.repeat_ms() / 2) {
            out.extend(reply.into_iter().map(|message| Action::Send { to: from, message }));
        }
    }

    /// A peer seems to be ahead.
    pub(super) fn note_behind(&mut self, now: Millis, from: ValidatorIndex, out: &mut Vec<Action>) {
        if self.behind.allows(now, from, self.config.repeat_ms()) {
            out.push(Action::Behind { from, block_num: self.height.num });
        }
    }

    /// Records what a verified message says. Steps follow in [`Replica::progress`].
    fn on_message(&mut self, now: Millis, message: Verified, out: &mut Vec<Action>) {
        let from = message.from();
        let verdict = match self.wants(from, message.envelope()) {
            Ok(()) if message.envelope().message.block_num() > self.height.num => {
                self.on_early(now, message, out);
                return;
            }
            Ok(()) => self.dispatch(now, from, &message.envelope().message, out),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = verdict {
            self.refuse(now, from, message.envelope(), reason, out);
        }
    }

    fn dispatch(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        message: &Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if message.block_num() == self.tip.block_num {
            return self.on_late(from, message, out);
        }
        match message {
            Message::Announce(announce) => self.on_announce(now, from, announce, out),
            Message::Prepare(vote) => {
                let signers = vote_signers(vote, from, &self.config.committee)?;
                self.view.prepares.add(&signers, vote.signature)
            }
            Message::Commit(vote) => {
                let signers = vote_signers(vote, from, &self.config.committee)?;
                self.view.commits.add(&signers, vote.signature)
            }
            Message::Prepared(certificate) => {
                self.on_prepared(now, QuorumCertificate::attest(certificate.clone()), out);
                Ok(())
            }
            Message::Committed(certificate) => {
                self.on_committed(now, from, QuorumCertificate::attest(certificate.clone()), out);
                Ok(())
            }
            Message::ViewChange(view_change) => {
                self.height.view_changes.insert(from, view_change.clone());
                Ok(())
            }
            Message::NewView(new_view) => {
                self.on_new_view(now, new_view, out);
                Ok(())
            }
        }
    }

    /// A message of the next height: its sender has finished this one.
    fn on_early(&mut self, now: Millis, message: Verified, out: &mut Vec<Action>) {
        let from = message.from();
        match &message.envelope().message {
            Message::Announce(Announce { header: Header { parent_seal: Some(seal), .. }, .. }) => {
                if self.height.committed.is_none() {
                    self.on_committed(now, from, QuorumCertificate::attest(seal.clone()), out);
                }
            }
            _ => self.note_behind(now, from, out),
        }
        self.early.keep(message);
    }

    fn on_tick(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.deadline.is_some_and(|deadline| now >= deadline) && self.height.committed.is_none() {
            self.give_up_view(now, out);
        }
        if now >= self.repeat_at {
            self.repeat(now, out);
        }
    }

    /// Takes every step that is now possible, until none is.
    fn progress(&mut self, now: Millis, out: &mut Vec<Action>) {
        loop {
            if self.height.committed.is_none() {
                self.try_pull_up(now, out);
                self.try_view_timer(now);
                self.try_new_view(now, out);
                self.try_kept_announce(now, out);
                self.try_build(now, out);
                self.try_prepare(out);
                self.try_prepared(out);
                self.try_commit(out);
                self.try_committed(now, out);
            }
            if !self.try_finalize(now, out) {
                break;
            }
            for message in self.early.take() {
                self.on_message(now, message, out);
            }
        }
        let build = (self.waits_to_build()).then_some(self.height.due);
        let deadline = self.deadline.filter(|_| self.height.committed.is_none());
        let next = [build, deadline, Some(self.repeat_at)].into_iter().flatten().min();
        if next != self.wake_at {
            self.wake_at = next;
            out.extend(next.map(Action::WakeAt));
        }
    }

    /// Repeats what others, or this replica, may have missed.
    fn repeat(&mut self, now: Millis, out: &mut Vec<Action>) {
        let open = self.view.is_open();
        let interval = if open { self.config.repeat_ms() } else { self.config.repeat_view_change_ms() };
        self.repeat_at = now.saturating_add(interval);
        if self.height.committed.is_some() {
            self.ask_for_committed(now, out);
            return;
        }
        if !open {
            out.extend(self.view.view_change.clone().map(Action::Broadcast));
        } else if self.leads() {
            self.repeat_as_leader(out);
        }
        if let Some(hash) = self.view.proposal {
            self.obtain(hash, true, out);
        }
    }

    pub(super) fn leader_of(&self, view_id: ViewId) -> ValidatorIndex {
        self.config.committee.leader(self.height.base, view_id)
    }

    pub(super) fn at(&self, block_hash: Option<Hash>) -> At {
        At { block_num: self.height.num, view_id: self.record.view_id, block_hash }
    }

    pub(super) fn envelope(&self, message: Message) -> Envelope {
        Envelope { chain: self.config.committee.chain(), shard: self.config.committee.shard(), message }
    }

    pub(super) fn own_slots(&self) -> Vec<Slot> {
        self.config.committee.slots_of(self.config.me).map(Slot).collect()
    }

    /// The owners of a certificate's slots, this validator excepted.
    pub(super) fn signers(&self, certificate: &Certificate) -> Vec<ValidatorIndex> {
        let committee = &self.config.committee;
        let Ok(signers) = SignerBitmap::from_bytes(&certificate.signers, committee.slots()) else { return Vec::new() };
        let mut owners: Vec<_> = signers.iter().filter_map(|slot| committee.owner(slot)).collect();
        owners.dedup();
        owners.retain(|&owner| owner != self.config.me);
        owners
    }

    pub(super) fn persist(&self, out: &mut Vec<Action>) {
        if self.mute {
            return;
        }
        #[cfg_attr(not(test), expect(unused_mut, reason = "only a planted fault changes it"))]
        let mut record = self.record.clone();
        #[cfg(test)]
        if self.config.plants(Planted::CertificateNotPersisted) {
            record.lock = None;
        }
        out.push(Action::Persist(record));
    }

    /// Drops headers that no lock or certificate of this height is likely to name any more.
    pub(super) fn prune_headers(&mut self) {
        while self.height.headers.len() > MAX_HEADERS {
            let locked = self.record.lock.as_ref().map(|(certificate, _)| certificate.block_hash);
            let oldest = self.height.headers.iter().filter(|(hash, _)| Some(**hash) != locked);
            let Some(hash) = oldest.min_by_key(|(_, header)| header.view_id).map(|(hash, _)| *hash) else { return };
            self.height.headers.remove(&hash);
            self.height.bodies.remove(&hash);
        }
    }
}

impl Height {
    pub(super) fn new(num: BlockNum, base: ValidatorIndex, due: Millis) -> Self {
        Self {
            num,
            base,
            due,
            started: None,
            headers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            committed: None,
            view_changes: BTreeMap::new(),
            announces: BTreeMap::new(),
            asked: 0,
        }
    }
}
