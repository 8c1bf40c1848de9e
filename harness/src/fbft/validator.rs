//! What every validator does in a view: accept one justified proposal, vote twice, keep the highest prepared certificate.

use crate::block::Header;
#[cfg(test)]
use crate::fbft::api::Planted;
use crate::fbft::api::{Action, Note};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, QuorumCertificate};
use crate::fbft::committee::Votes;
use crate::fbft::crypto::{Kind, payload};
use crate::fbft::message::{Announce, Message, Vote};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::{Basis, Body, Replica};
use crate::fbft::safety::Cast;
use crate::types::{Hash, Millis, Signature, Slot, ValidatorIndex};

impl Replica {
    /// A proposal by the leader of its view; kept if the view has not begun here.
    pub(super) fn on_announce(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        announce: &Announce,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        if announce.view_id > self.view_id() || !self.view.is_open() {
            self.height.announces.insert(from, announce.clone());
            return Ok(());
        }
        self.accept(now, from, announce, out)
    }

    /// A proposal that was kept until its view began.
    pub(super) fn try_kept_announce(&mut self, now: Millis, out: &mut Vec<Action>) {
        if !self.view.is_open() || self.view.proposal.is_some() {
            return;
        }
        let (leader, view_id) = (self.leader(), self.view_id());
        if self.height.announces.get(&leader).is_none_or(|announce| announce.view_id != view_id) {
            return;
        }
        let Some(announce) = self.height.announces.remove(&leader) else { return };
        if let Err(reason) = self.accept(now, leader, &announce, out) {
            out.push(Action::Note(Note::Refused { from: leader, reason }));
        }
    }

    fn accept(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        announce: &Announce,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let header = &announce.header;
        let hash = header.hash();
        match self.view.proposal {
            Some(first) if first != hash => {
                out.push(Action::Note(Note::Equivocation { by: from, at: self.at(Some(hash)), first }));
                return Err(Refusal::Equivocation);
            }
            Some(_) => return Err(Refusal::Replay),
            None => {}
        }
        self.check_header(header)?;
        self.justified(header, &hash)?;
        if self.height.bodies.get(&hash) == Some(&Body::Invalid) {
            return Err(Refusal::InvalidBody);
        }
        self.height.started.get_or_insert(now);
        self.view.proposal = Some(hash);
        self.learn_header(hash, header);
        out.push(Action::Note(Note::AnnounceReceived(self.at(Some(hash)))));
        self.obtain(hash, false, out);
        Ok(())
    }

    /// The parts of a header that depend on the chain.
    pub(super) fn check_header(&self, header: &Header) -> Result<(), Refusal> {
        if header.parent != self.tip.hash {
            return Err(Refusal::WrongParent);
        }
        if header.block_num != self.height.num || header.view_id > self.view_id() {
            return Err(Refusal::BadHeader);
        }
        if header.proposer != self.leader_of(header.view_id) {
            return Err(Refusal::WrongLeader);
        }
        Ok(())
    }

    /// Whether this view may propose this block. In view 0 any block made for it; later what the NewView demands; and in any
    /// view the block that a quorum prepared in it.
    fn justified(&self, header: &Header, hash: &Hash) -> Result<(), Refusal> {
        if self.view.prepared.as_ref().is_some_and(|prepared| prepared.block_hash == *hash) {
            return Ok(());
        }
        #[cfg(test)]
        if self.view.basis.is_some() && self.config.plants(Planted::NewViewChoiceUnchecked) {
            return Ok(());
        }
        match &self.view.basis {
            None => Err(Refusal::Unjustified),
            Some(Basis::Fresh) if header.view_id == self.view_id() => Ok(()),
            Some(Basis::Again(certificate)) if certificate.block_hash == *hash => Ok(()),
            Some(_) => Err(Refusal::WrongChoice),
        }
    }

    /// Remembers the header of a block that was accepted or that a certificate vouches for, and what may have waited for it.
    pub(super) fn learn_header(&mut self, hash: Hash, header: &Header) {
        self.height.headers.entry(hash).or_insert_with(|| header.clone());
        if let Some(prepared) = self.view.prepared.clone().filter(|prepared| prepared.block_hash == hash) {
            self.raise_lock(prepared.certificate(), header);
        }
    }

    /// Asks for a body that is missing: first those who said that they hold it, and when that is not enough, everybody.
    pub(super) fn obtain(&self, hash: Hash, again: bool, out: &mut Vec<Action>) {
        let Some(header) = self.height.headers.get(&hash) else { return };
        if self.height.bodies.contains_key(&hash) {
            return;
        }
        let certificates = [
            self.height.committed.as_ref().map(QuorumCertificate::certificate),
            self.view.prepared.as_ref().map(QuorumCertificate::certificate),
            self.record.lock.as_ref().map(|(certificate, _)| certificate),
            match &self.view.basis {
                Some(Basis::Again(certificate)) => Some(certificate),
                _ => None,
            },
        ];
        let certificate = certificates.into_iter().flatten().find(|certificate| certificate.block_hash == hash);
        let mut from = match certificate {
            Some(certificate) => self.signers(certificate),
            None => vec![header.proposer],
        };
        if again {
            let others = (0..self.config.committee.validators()).map(ValidatorIndex);
            let others: Vec<_> = others.filter(|other| *other != self.config.me && !from.contains(other)).collect();
            from.extend(others);
        }
        out.push(Action::Obtain { header: header.clone(), from });
    }

    /// Keeps the highest prepared certificate by the view its Prepares signed.
    pub(super) fn raise_lock(&mut self, certificate: &Certificate, header: &Header) {
        if self.record.lock.as_ref().is_none_or(|(lock, _)| lock.view_id < certificate.view_id) {
            self.record.lock = Some((certificate.clone(), header.clone()));
        }
    }

    /// Body and header contradict one another: a fresh proposal like that proves its leader faulty, so the view is over.
    pub(super) fn on_invalid(&mut self, now: Millis, block_hash: Hash, out: &mut Vec<Action>) {
        self.height.bodies.insert(block_hash, Body::Invalid);
        if self.view.proposal == Some(block_hash) && self.view.prepared.is_none() {
            let from = self.leader();
            out.push(Action::Note(Note::Refused { from, reason: Refusal::InvalidBody }));
            self.give_up_view(now, out);
        }
    }

    /// First vote: only for an accepted proposal whose body is at hand and agrees with its header. The body is durable before
    /// the vote leaves: a prepared certificate then proves that more than a third hold it, even after everybody restarted.
    pub(super) fn try_prepare(&mut self, out: &mut Vec<Action>) {
        let Some(hash) = self.view.proposal else { return };
        let view_id = self.view_id();
        if self.mute || self.view.prepare_sent || self.height.bodies.get(&hash) != Some(&Body::Available) {
            return;
        }
        if !self.record.allows_prepare(view_id, &hash) {
            return;
        }
        self.view.prepare_sent = true;
        let cast = Some(Cast { view_id, block_hash: hash });
        if self.record.prepare != cast {
            self.record.prepare = cast;
            self.persist(out);
        }
        self.vote(Kind::Prepare, hash, out);
        out.push(Action::Note(Note::PrepareSent(self.at(Some(hash)))));
    }

    /// A prepared certificate. One of a higher view proves that a quorum is there, so this replica follows.
    pub(super) fn on_prepared(&mut self, now: Millis, prepared: QuorumCertificate, out: &mut Vec<Action>) {
        if prepared.view_id > self.view_id() {
            self.enter_view(now, prepared.view_id, false, out);
        }
        self.open_timer(now);
        let hash = prepared.block_hash;
        self.view.prepared = Some(prepared.clone());
        out.push(Action::Note(Note::PreparedReceived(self.at(Some(hash)))));
        if let Some(header) = self.height.headers.get(&hash).cloned() {
            self.view.proposal.get_or_insert(hash);
            self.raise_lock(prepared.certificate(), &header);
            self.obtain(hash, false, out);
        }
    }

    /// Second vote: only for a block that a quorum prepared in this view and whose body is at hand. The certificate is part of
    /// the record that becomes durable before the vote leaves.
    pub(super) fn try_commit(&mut self, out: &mut Vec<Action>) {
        let Some(prepared) = self.view.prepared.clone() else { return };
        let (hash, view_id) = (prepared.block_hash, self.view_id());
        if self.mute || self.view.commit_sent || self.height.bodies.get(&hash) != Some(&Body::Available) {
            return;
        }
        let Some(header) = self.height.headers.get(&hash).cloned() else { return };
        if prepared.view_id != view_id || !self.record.allows_commit(view_id, &hash) {
            return;
        }
        self.view.commit_sent = true;
        self.raise_lock(prepared.certificate(), &header);
        let cast = Some(Cast { view_id, block_hash: hash });
        if self.record.commit != cast {
            self.record.commit = cast;
            self.persist(out);
        }
        self.vote(Kind::Commit, hash, out);
        out.push(Action::Note(Note::CommitSent(self.at(Some(hash)))));
    }

    /// Signs and sends a vote; a leader counts its own.
    fn vote(&mut self, kind: Kind, hash: Hash, out: &mut Vec<Action>) {
        let committee = self.config.committee.clone();
        let (block_num, view_id, me) = (self.height.num, self.view_id(), self.config.me);
        let message = payload(committee.chain(), committee.shard(), kind, block_num, view_id, &hash);
        let slots = self.own_slots();
        if self.leads() {
            let signature = self.crypto.sign(&slots, &message);
            let tally = if kind == Kind::Prepare { &mut self.view.prepares } else { &mut self.view.commits };
            // After a restart a leader may vote again; its slots are then not counted yet, so this can not overlap.
            let _ = tally.add(&committee.bitmap_of(me), signature);
            return;
        }
        let votes: Vec<(&[Slot], Signature)> = match self.config.votes {
            Votes::PerKey => slots.chunks(1).zip(self.crypto.sign_each(&slots, &message)).collect(),
            Votes::PerValidator => vec![(&slots, self.crypto.sign(&slots, &message))],
        };
        for (group, signature) in votes {
            let signers = SignerBitmap::of(committee.slots(), group.iter().copied());
            let vote = Vote { block_num, view_id, block_hash: hash, signers: signers.as_bytes().to_vec(), signature };
            let message = if kind == Kind::Prepare { Message::Prepare(vote) } else { Message::Commit(vote) };
            let message = self.envelope(message);
            self.view.votes.push(message.clone());
            out.push(Action::Send { to: self.leader(), message });
        }
    }
}
