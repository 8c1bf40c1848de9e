//! From bytes of a peer to a message whose signatures hold. Stateless: what depends on height and view is the replica's.
//!
//! All signature claims of a slice of messages go through one call, because a batch is what kernels are good at. A claim that
//! several messages share (the certificate inside many ViewChanges) is checked once.

use std::collections::HashMap;

use crate::block::Header;
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase};
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto, Kind, payload};
use crate::fbft::message::{Announce, Envelope, Message, NewView, ViewChange, Vote};
use crate::fbft::refusal::Refusal;
use crate::types::{BlockNum, Hash, Signature, Slot, ValidatorIndex, ViewId};

/// No header is longer: the bitmap of the largest committee fits twice.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// A message that is well-formed and whose every signature was verified. [`verify`] is the only door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    from: ValidatorIndex,
    envelope: Envelope,
}

impl Verified {
    /// Whose connection brought it.
    pub fn from(&self) -> ValidatorIndex {
        self.from
    }

    /// The message with its shard.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// A verdict per message: strict checks of form, then all signatures of the slice in one call of `crypto.verify`.
/// Each verdict is as if the message came alone.
pub fn verify(
    items: &[(ValidatorIndex, Envelope)],
    committee: &Committee,
    crypto: &dyn Crypto,
) -> Vec<Result<Verified, Refusal>> {
    let mut claims = Vec::new();
    let mut known = HashMap::new();
    let forms: Vec<Result<Vec<usize>, Refusal>> = items
        .iter()
        .map(|(from, envelope)| {
            let own = Form { committee, claims: Vec::new() }.check(*from, envelope)?;
            Ok(own.into_iter().map(|claim| intern(claim, &mut claims, &mut known)).collect())
        })
        .collect();
    let verdicts = if claims.is_empty() { Vec::new() } else { crypto.verify(&claims) };
    forms
        .into_iter()
        .zip(items)
        .map(|(form, (from, envelope))| {
            if form?.iter().all(|&claim| verdicts.get(claim) == Some(&true)) {
                Ok(Verified { from: *from, envelope: envelope.clone() })
            } else {
                Err(Refusal::BadSignature)
            }
        })
        .collect()
}

/// The index of a claim in `claims`, added if it is new.
fn intern(
    claim: Claim,
    claims: &mut Vec<Claim>,
    known: &mut HashMap<(Vec<u8>, SignerBitmap, Signature), usize>,
) -> usize {
    *known.entry((claim.message.clone(), claim.signers.clone(), claim.signature)).or_insert_with(|| {
        claims.push(claim);
        claims.len() - 1
    })
}

/// The signers of a vote, if they are one slot of `from` or all of them.
pub(super) fn vote_signers(vote: &Vote, from: ValidatorIndex, committee: &Committee) -> Result<SignerBitmap, Refusal> {
    let signers = SignerBitmap::from_bytes(&vote.signers, committee.slots())?;
    if signers.iter().any(|slot| committee.owner(slot) != Some(from)) {
        return Err(Refusal::WrongSender);
    }
    if signers.count() == 1 || (signers.count() > 0 && signers == committee.bitmap_of(from)) {
        Ok(signers)
    } else {
        Err(Refusal::BitmapSlots)
    }
}

/// The checks of form of one message, and the signature claims they leave.
struct Form<'a> {
    committee: &'a Committee,
    claims: Vec<Claim>,
}

impl Form<'_> {
    fn check(mut self, from: ValidatorIndex, envelope: &Envelope) -> Result<Vec<Claim>, Refusal> {
        check_stranger(self.committee, from, envelope)?;
        match &envelope.message {
            Message::Announce(announce) => self.announce(from, announce)?,
            Message::Prepare(vote) => self.vote(from, Kind::Prepare, vote)?,
            Message::Commit(vote) => self.vote(from, Kind::Commit, vote)?,
            Message::Prepared(certificate) => self.certificate(Phase::Prepare, certificate)?,
            Message::Committed(certificate) => self.certificate(Phase::Commit, certificate)?,
            Message::ViewChange(view_change) => {
                if view_change.sender != from {
                    return Err(Refusal::WrongSender);
                }
                self.view_change(view_change)?;
            }
            Message::NewView(new_view) => self.new_view(new_view)?,
        }
        Ok(self.claims)
    }

    fn claim(&mut self, kind: Kind, about: (BlockNum, ViewId, &Hash), signers: SignerBitmap, signature: Signature) {
        let message = payload(self.committee.chain(), self.committee.shard(), kind, about.0, about.1, about.2);
        self.claims.push(Claim { signers, message, signature });
    }

    fn header(&self, header: &Header) -> Result<Hash, Refusal> {
        if header.chain != self.committee.chain() {
            return Err(Refusal::StrangerChain);
        }
        if header.shard != self.committee.shard() {
            return Err(Refusal::StrangerShard);
        }
        if header.block_num.0 == 0 || header.proposer.0 >= self.committee.validators() {
            return Err(Refusal::BadHeader);
        }
        if borsh::object_length(header).map_or(true, |bytes| bytes > MAX_HEADER_BYTES) {
            return Err(Refusal::TooLong);
        }
        Ok(header.hash())
    }

    fn announce(&mut self, from: ValidatorIndex, announce: &Announce) -> Result<(), Refusal> {
        let header = &announce.header;
        let hash = self.header(header)?;
        if header.view_id > announce.view_id {
            return Err(Refusal::BadHeader);
        }
        match &header.parent_seal {
            None if header.block_num.0 == 1 => {}
            Some(seal) if header.block_num.0 > 1 => {
                let below = seal.block_num.0.checked_add(1) == Some(header.block_num.0);
                if !below || seal.block_hash != header.parent {
                    return Err(Refusal::BadParentSeal);
                }
                self.certificate(Phase::Commit, seal)?;
            }
            _ => return Err(Refusal::BadParentSeal),
        }
        let first = Slot(self.committee.slots_of(from).start);
        let signer = SignerBitmap::of(self.committee.slots(), [first]);
        self.claim(Kind::Announce, (header.block_num, announce.view_id, &hash), signer, announce.signature);
        Ok(())
    }

    fn vote(&mut self, from: ValidatorIndex, kind: Kind, vote: &Vote) -> Result<(), Refusal> {
        let signers = vote_signers(vote, from, self.committee)?;
        self.claim(kind, (vote.block_num, vote.view_id, &vote.block_hash), signers, vote.signature);
        Ok(())
    }

    fn certificate(&mut self, phase: Phase, certificate: &Certificate) -> Result<(), Refusal> {
        if certificate.phase != phase {
            return Err(Refusal::WrongPhase);
        }
        self.claims.push(certificate.claim(self.committee)?);
        Ok(())
    }

    fn view_change(&mut self, view_change: &ViewChange) -> Result<(), Refusal> {
        let ViewChange { block_num, view_id, sender, prepared, signature } = view_change;
        if view_id.0 == 0 || block_num.0 == 0 {
            return Err(Refusal::BadViewChange);
        }
        if sender.0 >= self.committee.validators() {
            return Err(Refusal::UnknownValidator);
        }
        if let Some((certificate, header)) = prepared {
            // The Prepares inside vouch for everything else in the header.
            let hash = self.header(header)?;
            if certificate.block_num != *block_num || header.block_num != *block_num || certificate.block_hash != hash {
                return Err(Refusal::BadViewChange);
            }
            if certificate.view_id >= *view_id || header.view_id > certificate.view_id {
                return Err(Refusal::BadViewChange);
            }
            self.certificate(Phase::Prepare, certificate)?;
        }
        let digest = Certificate::digest(prepared.as_ref().map(|(certificate, _)| certificate));
        let signers = self.committee.bitmap_of(*sender);
        self.claim(Kind::ViewChange, (*block_num, *view_id, &digest), signers, *signature);
        Ok(())
    }

    fn new_view(&mut self, new_view: &NewView) -> Result<(), Refusal> {
        if new_view.view_changes.len() > usize::from(self.committee.validators()) {
            return Err(Refusal::BadViewChange);
        }
        let mut power = 0;
        let mut senders = vec![false; usize::from(self.committee.validators())];
        for view_change in &new_view.view_changes {
            if view_change.block_num != new_view.block_num || view_change.view_id != new_view.view_id {
                return Err(Refusal::BadViewChange);
            }
            let sender = senders.get_mut(usize::from(view_change.sender.0)).ok_or(Refusal::UnknownValidator)?;
            if std::mem::replace(sender, true) {
                return Err(Refusal::BadViewChange);
            }
            power += self.committee.slots_of(view_change.sender).len() as u64;
        }
        if !self.committee.is_quorum(power) {
            return Err(Refusal::NoQuorum);
        }
        new_view.view_changes.iter().try_for_each(|view_change| self.view_change(view_change))
    }
}

/// Chain, shard and sender.
pub(super) fn check_stranger(committee: &Committee, from: ValidatorIndex, envelope: &Envelope) -> Result<(), Refusal> {
    if envelope.chain != committee.chain() {
        return Err(Refusal::StrangerChain);
    }
    if envelope.shard != committee.shard() {
        return Err(Refusal::StrangerShard);
    }
    if from.0 >= committee.validators() {
        return Err(Refusal::UnknownValidator);
    }
    Ok(())
}
