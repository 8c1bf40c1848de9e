//! What the leader of a view does: propose, add up votes, and broadcast the two certificates.

use crate::block::Header;
use crate::fbft::api::{Action, Note};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase, QuorumCertificate};
use crate::fbft::crypto::{Crypto, Kind, payload};
use crate::fbft::message::{Announce, Envelope, Message};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::{Basis, Body, Replica};
use crate::fbft::safety::Cast;
use crate::types::{BlockNum, Hash, Millis, Signature, ValidatorIndex, ViewId};

/// Verified votes for one block in one phase. No slot counts twice.
#[derive(Debug)]
pub(super) struct Tally {
    signers: SignerBitmap,
    signatures: Vec<Signature>,
}

impl Tally {
    pub(super) fn new(slots: u16) -> Self {
        Self { signers: SignerBitmap::empty(slots), signatures: Vec::new() }
    }

    /// Whose votes are in.
    pub(super) fn signers(&self) -> &SignerBitmap {
        &self.signers
    }

    /// Voting power so far.
    pub(super) fn power(&self) -> u64 {
        self.signers.count()
    }

    /// Adds a verified vote of slots that are all new.
    pub(super) fn add(&mut self, signers: &SignerBitmap, signature: Signature) -> Result<(), Refusal> {
        if !self.signers.is_disjoint(signers) {
            return Err(Refusal::Replay);
        }
        self.signers.union(signers);
        self.signatures.push(signature);
        Ok(())
    }

    /// All votes as one certificate.
    pub(super) fn certificate(
        &self,
        crypto: &dyn Crypto,
        phase: Phase,
        block_num: BlockNum,
        view_id: ViewId,
        block_hash: Hash,
    ) -> Option<Certificate> {
        let signature = crypto.aggregate(&self.signatures)?;
        Some(Certificate {
            phase,
            block_num,
            view_id,
            block_hash,
            signers: self.signers.as_bytes().to_vec(),
            signature,
        })
    }
}

impl Replica {
    /// Whether this leader would build a block once it is due.
    pub(super) fn waits_to_build(&self) -> bool {
        self.leads()
            && !self.mute
            && self.view.basis == Some(Basis::Fresh)
            && !self.view.building
            && !self.view.spent
            && self.height.committed.is_none()
            && self.record.announce.is_none_or(|cast| cast.view_id < self.view_id())
    }

    /// Asks for a block when it is due.
    pub(super) fn try_build(&mut self, now: Millis, out: &mut Vec<Action>) {
        if !self.waits_to_build() || now < self.height.due {
            return;
        }
        self.view.building = true;
        self.height.started.get_or_insert(now);
        out.push(Action::Note(Note::ProposeStart(self.at(None))));
        out.push(Action::Build { block_num: self.height.num, view_id: self.view_id() });
    }

    /// The block that was asked for; ignored if the view has ended meanwhile.
    pub(super) fn on_built(&mut self, block_num: BlockNum, view_id: ViewId, header: Header, out: &mut Vec<Action>) {
        let current = block_num == self.height.num && view_id == self.view_id() && self.leads();
        if !current || !self.view.building || self.view.proposal.is_some() || self.height.committed.is_some() {
            return;
        }
        let hash = header.hash();
        let fit = if header.view_id != view_id { Err(Refusal::BadHeader) } else { self.check_header(&header) };
        if let Err(reason) = fit {
            out.push(Action::Note(Note::Refused { from: self.config.me, reason }));
            return;
        }
        self.late = None;
        self.height.bodies.insert(hash, Body::Available);
        self.height.headers.insert(hash, header.clone());
        self.announce(&header, out);
    }

    /// Proposes a block. That it did is durable before the proposal leaves; the body is written with the own Prepare, while the
    /// proposal travels.
    pub(super) fn announce(&mut self, header: &Header, out: &mut Vec<Action>) {
        let (hash, view_id) = (header.hash(), self.view_id());
        if self.mute || !self.record.allows_announce(view_id, &hash) {
            return;
        }
        self.record.announce = Some(Cast { view_id, block_hash: hash });
        self.persist(out);
        let committee = &self.config.committee;
        let message = payload(committee.chain(), committee.shard(), Kind::Announce, self.height.num, view_id, &hash);
        let signature = self.crypto.sign(&self.own_slots()[..1], &message);
        let message = self.envelope(Message::Announce(Announce { view_id, header: header.clone(), signature }));
        self.view.proposal = Some(hash);
        self.view.announce = Some(message.clone());
        out.push(Action::Broadcast(message));
        out.push(Action::Note(Note::AnnounceSent(self.at(Some(hash)))));
        if self.view.basis == Some(Basis::Fresh) {
            out.push(Action::Distribute { header: header.clone() });
        }
        self.obtain(hash, false, out);
    }

    /// A quorum of Prepares becomes the prepared certificate.
    pub(super) fn try_prepared(&mut self, out: &mut Vec<Action>) {
        let (Some(hash), None, true) = (self.view.proposal, &self.view.prepared, self.view.announce.is_some()) else {
            return;
        };
        if !self.config.committee.is_quorum(self.view.prepares.power()) {
            return;
        }
        let (num, view_id) = (self.height.num, self.view_id());
        let Some(certificate) = self.view.prepares.certificate(&*self.crypto, Phase::Prepare, num, view_id, hash)
        else {
            return;
        };
        out.push(Action::Note(Note::PrepareQuorum(self.at(Some(hash)))));
        out.push(Action::Broadcast(self.envelope(Message::Prepared(certificate.clone()))));
        out.push(Action::Note(Note::PreparedSent(self.at(Some(hash)))));
        self.view.prepared = Some(QuorumCertificate::attest(certificate.clone()));
        if let Some(header) = self.height.headers.get(&hash).cloned() {
            self.raise_lock(&certificate, &header);
        }
    }

    /// A quorum of Commits makes the block final.
    pub(super) fn try_committed(&mut self, now: Millis, out: &mut Vec<Action>) {
        let (Some(hash), true) = (self.view.proposal, self.view.announce.is_some()) else { return };
        if !self.config.committee.is_quorum(self.view.commits.power()) {
            return;
        }
        let (num, view_id) = (self.height.num, self.view_id());
        let Some(certificate) = self.view.commits.certificate(&*self.crypto, Phase::Commit, num, view_id, hash) else {
            return;
        };
        out.push(Action::Note(Note::CommitQuorum(self.at(Some(hash)))));
        if self.view.commits.power() == u64::from(self.config.committee.slots()) {
            out.push(Action::Note(Note::CommitAll(self.at(Some(hash)))));
        }
        out.push(Action::Broadcast(self.envelope(Message::Committed(certificate.clone()))));
        out.push(Action::Note(Note::CommittedSent(self.at(Some(hash)))));
        self.on_committed(now, self.config.me, QuorumCertificate::attest(certificate), out);
    }

    /// All that a validator needs to take part in this leader's view, as far as it got.
    pub(super) fn leader_messages(&self) -> Vec<Envelope> {
        let prepared = self.view.prepared.as_ref().filter(|_| self.view.announce.is_some());
        let prepared = prepared.map(|prepared| self.envelope(Message::Prepared(prepared.certificate().clone())));
        [self.view.new_view.clone(), self.view.announce.clone(), prepared].into_iter().flatten().collect()
    }

    /// Repeats the messages of the phase to those whose vote in it is missing.
    pub(super) fn repeat_as_leader(&self, out: &mut Vec<Action>) {
        let messages = self.leader_messages();
        let tally = if self.view.prepared.is_some() { &self.view.commits } else { &self.view.prepares };
        for to in (0..self.config.committee.validators()).map(ValidatorIndex) {
            let slots = self.config.committee.bitmap_of(to);
            let complete = slots.iter().all(|slot| tally.signers().contains(slot));
            if to != self.config.me && !complete {
                out.extend(messages.iter().cloned().map(|message| Action::Send { to, message }));
            }
        }
    }
}
