//! How a block becomes final here, what comes after its quorum, and the step to the next height.

use crate::block::Header;
use crate::fbft::api::{Action, At, Note, Tip};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase, QuorumCertificate};
use crate::fbft::leader::Tally;
use crate::fbft::message::{Message, Vote};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::{Basis, Body, Height, Replica, View};
use crate::fbft::safety::SafetyRecord;
use crate::fbft::verify::vote_signers;
use crate::types::{BlockNum, Millis, ValidatorIndex, ViewId};

/// The Commits for the tip that its leader goes on collecting, until it builds the next block or hands over.
#[derive(Debug)]
pub(super) struct LateCommits {
    view_id: ViewId,
    tally: Tally,
}

impl Replica {
    /// The fullest commit certificate for the tip; `None` exactly for genesis. Belongs in the next header.
    pub fn parent_seal(&self) -> Option<Certificate> {
        let seal = self.tip.seal.as_ref()?;
        let known = SignerBitmap::from_bytes(&seal.signers, self.config.committee.slots()).map_or(0, |b| b.count());
        let fuller = self.late.as_ref().filter(|late| late.tally.power() > known).and_then(|late| {
            late.tally.certificate(&*self.crypto, Phase::Commit, self.tip.block_num, late.view_id, self.tip.hash)
        });
        Some(fuller.unwrap_or_else(|| seal.certificate().clone()))
    }

    /// A valid commit certificate of the height in progress: nothing else can become final here any more.
    pub(super) fn on_committed(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        seal: QuorumCertificate,
        out: &mut Vec<Action>,
    ) {
        let hash = seal.block_hash;
        self.height.committed = Some(seal);
        if self.height.headers.contains_key(&hash) {
            self.obtain(hash, false, out);
        } else {
            self.note_behind(now, from, out);
        }
    }

    /// Asks again for what a certified block still lacks here, each time another signer.
    pub(super) fn ask_for_committed(&mut self, now: Millis, out: &mut Vec<Action>) {
        let Some(seal) = self.height.committed.clone() else { return };
        if self.height.headers.contains_key(&seal.block_hash) {
            self.obtain(seal.block_hash, true, out);
            return;
        }
        let signers = self.signers(&seal);
        if !signers.is_empty() {
            let from = signers[self.height.asked % signers.len()];
            self.height.asked = self.height.asked.wrapping_add(1);
            self.note_behind(now, from, out);
        }
    }

    /// A block of the height in progress with its seal, by way of catching up.
    pub(super) fn on_synced(&mut self, now: Millis, header: Header, seal: QuorumCertificate, out: &mut Vec<Action>) {
        let hash = header.hash();
        let fits = seal.phase == Phase::Commit && seal.block_hash == hash && seal.block_num == header.block_num;
        // A block synced twice, or one that was final before the answer came, is no news.
        if !fits || header.block_num != self.height.num || header.parent != self.tip.hash {
            return;
        }
        if self.height.committed.as_ref().is_some_and(|known| known.block_hash != hash) {
            return;
        }
        self.height.headers.insert(hash, header);
        let from = self.config.me;
        self.on_committed(now, from, seal, out);
    }

    /// Finality: the certificate, the header and the body are at hand.
    pub(super) fn try_finalize(&mut self, now: Millis, out: &mut Vec<Action>) -> bool {
        let Some(seal) = self.height.committed.clone() else { return false };
        if self.height.bodies.get(&seal.block_hash) != Some(&Body::Available) {
            return false;
        }
        let Some(header) = self.height.headers.remove(&seal.block_hash) else { return false };
        let slots = self.config.committee.slots();
        let own = self.view.announce.is_some() && self.view.proposal == Some(seal.block_hash);
        self.late = (own && seal.view_id == self.view_id()).then(|| LateCommits {
            view_id: seal.view_id,
            tally: std::mem::replace(&mut self.view.commits, Tally::new(slots)),
        });
        out.push(Action::Finalize { header: header.clone(), seal: seal.clone() });
        out.push(Action::Note(Note::Final(self.at(Some(seal.block_hash)))));
        self.tip =
            Tip { block_num: self.height.num, hash: seal.block_hash, proposer: header.proposer, seal: Some(seal) };
        let started = self.height.started;
        self.enter_height(now, started, out);
        true
    }

    /// Begins the height above the tip; `started` is when the proposal of the tip started.
    pub(super) fn enter_height(&mut self, now: Millis, started: Option<Millis>, out: &mut Vec<Action>) {
        let committee = self.config.committee.clone();
        let num = BlockNum(self.tip.block_num.0.saturating_add(1));
        let base = committee.base_leader(num, self.tip.proposer, self.config.rotation_blocks);
        let due = started.map_or(now, |started| started.saturating_add(self.config.block_time_ms).max(now));
        self.height = Height::new(num, base, due);
        self.record = SafetyRecord::new(num);
        self.view = View::new(committee.slots());
        self.mute = false;
        self.deadline = None;
        self.repeat_at = due.saturating_add(self.config.repeat_ms());
        match self.pending.take() {
            Some(record) if record.block_num > num => {
                self.pending = Some(record);
                self.mute = true;
                out.push(Action::Note(Note::Muted(self.at(None))));
            }
            Some(record) if record.block_num == num => self.restore(now, record, out),
            _ => {}
        }
        if self.view_id().0 == 0 {
            self.view.basis = Some(Basis::Fresh);
            self.deadline = Some(due.saturating_add(self.config.timeout_ms(ViewId(0))));
        }
    }

    /// Takes up a height where a durable record left it.
    fn restore(&mut self, now: Millis, record: SafetyRecord, out: &mut Vec<Action>) {
        let casts = [record.announce, record.prepare, record.commit];
        let lock = record.lock.as_ref().map(|(certificate, _)| certificate.view_id);
        let spoken = casts.into_iter().flatten().map(|cast| cast.view_id).chain(lock).max();
        self.record = record;
        self.record.view_id = self.record.view_id.max(spoken.unwrap_or_default());
        self.view.spent = self.view_id().0 > 0;
        if let Some((certificate, header)) = self.record.lock.clone() {
            let fits = certificate.phase == Phase::Prepare
                && certificate.block_num == self.height.num
                && certificate.block_hash == header.hash();
            let (view_id, hash) = (certificate.view_id, certificate.block_hash);
            match QuorumCertificate::try_new(certificate, &self.config.committee, &*self.crypto) {
                Ok(prepared) if fits => {
                    self.height.headers.insert(hash, header);
                    if view_id == self.view_id() {
                        self.view.proposal = Some(hash);
                        self.view.prepared = Some(prepared);
                        self.open_timer(now);
                    }
                    self.obtain(hash, false, out);
                }
                _ => {
                    self.record.lock = None;
                    self.mute = true;
                    out.push(Action::Note(Note::Muted(self.at(None))));
                }
            }
        }
        if self.view_id().0 > 0 && !self.view.is_open() {
            self.say_view_change(out);
        }
    }

    /// Which messages about the tip are still of use: Commits that its leader lacks, and for the next leader a fuller seal.
    pub(super) fn wants_late(&self, from: ValidatorIndex, message: &Message) -> Result<(), Refusal> {
        match (message, &self.late) {
            (Message::Commit(vote), Some(late)) => self.fits_late(from, vote, late).map(|_| ()),
            (Message::Committed(certificate), _) if self.leads() && self.waits_to_build() => {
                let count = |bytes: &[u8]| {
                    SignerBitmap::from_bytes(bytes, self.config.committee.slots()).map(|bitmap| bitmap.count())
                };
                let known = match &self.tip.seal {
                    Some(seal) => count(&seal.signers)?,
                    None => return Err(Refusal::StaleHeight),
                };
                let fuller = certificate.block_hash == self.tip.hash && count(&certificate.signers)? > known;
                if fuller { Ok(()) } else { Err(Refusal::StaleHeight) }
            }
            _ => Err(Refusal::StaleHeight),
        }
    }

    fn fits_late(&self, from: ValidatorIndex, vote: &Vote, late: &LateCommits) -> Result<SignerBitmap, Refusal> {
        if vote.block_hash != self.tip.hash || vote.view_id != late.view_id {
            return Err(Refusal::StaleHeight);
        }
        let signers = vote_signers(vote, from, &self.config.committee)?;
        if late.tally.signers().is_disjoint(&signers) { Ok(signers) } else { Err(Refusal::Replay) }
    }

    /// Takes what [`Replica::wants_late`] let in.
    pub(super) fn on_late(
        &mut self,
        from: ValidatorIndex,
        message: &Message,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        match message {
            Message::Committed(certificate) => self.tip.seal = Some(QuorumCertificate::attest(certificate.clone())),
            Message::Commit(vote) => {
                let late = self.late.as_ref().ok_or(Refusal::StaleHeight)?;
                let signers = self.fits_late(from, vote, late)?;
                if let Some(late) = &mut self.late {
                    late.tally.add(&signers, vote.signature)?;
                }
                self.try_commit_all(out);
            }
            _ => return Err(Refusal::StaleHeight),
        }
        Ok(())
    }

    /// At the last Commit the seal is complete; if another validator leads the next height it gets it.
    fn try_commit_all(&mut self, out: &mut Vec<Action>) {
        let Some(late) = &self.late else { return };
        if late.tally.power() < u64::from(self.config.committee.slots()) {
            return;
        }
        let at = At { block_num: self.tip.block_num, view_id: late.view_id, block_hash: Some(self.tip.hash) };
        out.push(Action::Note(Note::CommitAll(at)));
        let to = self.leader();
        if to != self.config.me
            && let Some(certificate) = self.parent_seal()
        {
            let message = self.envelope(Message::Committed(certificate));
            out.push(Action::Send { to, message });
        }
    }
}
