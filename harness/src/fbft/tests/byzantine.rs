//! Validators that break the rules, each with its own keys only. They run a replica and bend what leaves it.

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::block::Header;
use crate::fbft::certificate::{Certificate, Phase};
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Crypto, Kind, payload};
use crate::fbft::leader::Tally;
use crate::fbft::message::{Announce, Envelope, Message, ViewChange, Vote};
use crate::fbft::verify::vote_signers;
use crate::types::{BlockNum, Hash, Slot, ValidatorIndex, ViewId};

/// How a validator behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Keeps the rules.
    Honest,
    /// Sends nothing.
    Silent,
    /// As a leader proposes two blocks to two halves and certifies both where it can; as a voter votes for all it sees.
    Equivocating,
    /// Half of its signatures are wrong.
    WrongSignature,
    /// Repeats what it received from others and sent itself, at any time to anybody.
    Replaying,
    /// Everything comes late.
    Late,
    /// Proposes blocks whose bodies contradict their headers.
    BadBody,
    /// As a leader of a later view proposes a fresh block whatever its NewView demands; hides its own lock.
    Lying,
    /// As a leader keeps the prepared certificate to itself, and later passes its votes off as votes of a newer view.
    Withholding,
}

pub const BEHAVIOURS: [Behaviour; 8] = [
    Behaviour::Silent,
    Behaviour::Equivocating,
    Behaviour::WrongSignature,
    Behaviour::Replaying,
    Behaviour::Late,
    Behaviour::BadBody,
    Behaviour::Lying,
    Behaviour::Withholding,
];

/// The state root by which simulated execution finds a body invalid.
pub const POISON: Hash = Hash([0xee; 32]);

/// One of the blocks that a faulty leader proposes, and who is to see it.
struct Face {
    header: Header,
    hash: Hash,
    view_id: ViewId,
    targets: Vec<ValidatorIndex>,
    prepares: Tally,
    commits: Tally,
    prepared: bool,
    committed: bool,
}

/// What an actor sends, to whom, and after which delay.
pub type Outgoing = Vec<(ValidatorIndex, Envelope, u64)>;

/// The bending part of a faulty validator.
pub struct Actor {
    pub behaviour: Behaviour,
    committee: Arc<Committee>,
    crypto: Arc<dyn Crypto>,
    me: ValidatorIndex,
    faces: Vec<Face>,
    stolen: Option<(Certificate, Header)>,
    recorded: Vec<Envelope>,
    /// The next made-up block, for whoever can make one with a valid body; else one with a random root is made up.
    pub other: Option<Header>,
    /// Bodies of made-up blocks that must reach the others: (header, targets).
    pub bodies: Vec<(Header, Vec<ValidatorIndex>)>,
}

impl Actor {
    pub fn new(behaviour: Behaviour, committee: Arc<Committee>, crypto: Arc<dyn Crypto>, me: ValidatorIndex) -> Self {
        Self {
            behaviour,
            committee,
            crypto,
            me,
            faces: vec![],
            stolen: None,
            recorded: vec![],
            other: None,
            bodies: vec![],
        }
    }

    fn others(&self) -> Vec<ValidatorIndex> {
        (0..self.committee.validators()).map(ValidatorIndex).filter(|&v| v != self.me).collect()
    }

    fn sign(&self, kind: Kind, slots: &[Slot], num: BlockNum, view_id: ViewId, hash: &Hash) -> crate::types::Signature {
        self.crypto.sign(slots, &payload(self.committee.chain(), self.committee.shard(), kind, num, view_id, hash))
    }

    fn wrap(&self, message: Message) -> Envelope {
        Envelope { chain: self.committee.chain(), shard: self.committee.shard(), message }
    }

    fn slots(&self) -> Vec<Slot> {
        self.committee.slots_of(self.me).map(Slot).collect()
    }

    fn vote(&self, kind: Kind, num: BlockNum, view_id: ViewId, hash: Hash) -> Vote {
        let signature = self.sign(kind, &self.slots(), num, view_id, &hash);
        let signers = self.committee.bitmap_of(self.me).as_bytes().to_vec();
        Vote { block_num: num, view_id, block_hash: hash, signers, signature }
    }

    /// Bends one message that the replica inside wants to send to `targets`.
    pub fn bend(&mut self, targets: Vec<ValidatorIndex>, envelope: Envelope, rng: &mut impl Rng) -> Outgoing {
        let to_all = |envelope: Envelope, delay| -> Outgoing {
            targets.iter().map(|&to| (to, envelope.clone(), delay)).collect()
        };
        match self.behaviour {
            Behaviour::Honest | Behaviour::BadBody => to_all(envelope, 0),
            Behaviour::Silent => vec![],
            Behaviour::Late => to_all(envelope, rng.random_range(100..2500)),
            Behaviour::WrongSignature => {
                let bad = rng.random_bool(0.5);
                to_all(if bad { spoil(envelope, rng) } else { envelope }, 0)
            }
            Behaviour::Replaying => {
                self.recorded.push(envelope.clone());
                to_all(envelope, 0)
            }
            Behaviour::Equivocating => match &envelope.message {
                Message::Announce(announce) => self.two_faces(announce.clone(), rng),
                Message::Prepared(_) | Message::Committed(_) if self.leads_faces() => vec![],
                _ => to_all(envelope, 0),
            },
            Behaviour::Lying => match &envelope.message {
                Message::Announce(announce) if announce.view_id != announce.header.view_id => {
                    let mut header = announce.header.clone();
                    header.view_id = announce.view_id;
                    header.proposer = self.me;
                    header.chunks.chunk_root = Hash(rng.random());
                    let header = self.other.take().unwrap_or(header);
                    self.bodies.push((header.clone(), self.others()));
                    let (others, view_id) = (self.others(), announce.view_id);
                    self.faces.clear();
                    self.face(header, view_id, others)
                }
                Message::ViewChange(view_change) => to_all(self.claim(view_change, None), 0),
                _ => to_all(envelope, 0),
            },
            Behaviour::Withholding => match &envelope.message {
                Message::Announce(announce) if announce.view_id == announce.header.view_id => {
                    let (others, view_id) = (self.others(), announce.view_id);
                    self.faces.clear();
                    self.face(announce.header.clone(), view_id, others)
                }
                Message::Prepared(_) | Message::Committed(_) if self.leads_faces() => vec![],
                Message::ViewChange(view_change) => {
                    let stolen = self.stolen.clone().filter(|(c, _)| c.block_num == view_change.block_num);
                    match stolen {
                        Some((mut certificate, header)) if view_change.view_id.0 > certificate.view_id.0 => {
                            certificate.view_id = ViewId(view_change.view_id.0 - 1);
                            to_all(self.claim(view_change, Some((certificate, header))), 0)
                        }
                        _ => to_all(envelope, 0),
                    }
                }
                _ => to_all(envelope, 0),
            },
        }
    }

    fn leads_faces(&self) -> bool {
        !self.faces.is_empty()
    }

    fn claim(&self, view_change: &ViewChange, prepared: Option<(Certificate, Header)>) -> Envelope {
        let digest = Certificate::digest(prepared.as_ref().map(|(certificate, _)| certificate));
        let (num, view_id) = (view_change.block_num, view_change.view_id);
        let signature = self.sign(Kind::ViewChange, &self.slots(), num, view_id, &digest);
        self.wrap(Message::ViewChange(ViewChange { prepared, signature, ..view_change.clone() }))
    }

    fn two_faces(&mut self, announce: Announce, rng: &mut impl Rng) -> Outgoing {
        let (mut left, mut right) = (vec![], vec![]);
        for other in self.others() {
            if rng.random_bool(0.5) { left.push(other) } else { right.push(other) }
        }
        let mut second = announce.header.clone();
        second.chunks.chunk_root = Hash(rng.random());
        let second = self.other.take().unwrap_or(second);
        self.bodies.push((second.clone(), right.clone()));
        self.faces.clear();
        let mut out = self.face(announce.header, announce.view_id, left);
        out.extend(self.face(second, announce.view_id, right));
        out
    }

    fn face(&mut self, header: Header, view_id: ViewId, targets: Vec<ValidatorIndex>) -> Outgoing {
        let hash = header.hash();
        let num = header.block_num;
        let slots = self.committee.slots();
        let (mut prepares, mut commits) = (Tally::new(slots), Tally::new(slots));
        let own = self.committee.bitmap_of(self.me);
        prepares.add(&own, self.sign(Kind::Prepare, &self.slots(), num, view_id, &hash)).unwrap();
        commits.add(&own, self.sign(Kind::Commit, &self.slots(), num, view_id, &hash)).unwrap();
        let signature = self.sign(Kind::Announce, &self.slots()[..1], num, view_id, &hash);
        let envelope = self.wrap(Message::Announce(Announce { view_id, header: header.clone(), signature }));
        let out = targets.iter().map(|&to| (to, envelope.clone(), 0)).collect();
        self.faces.push(Face { header, hash, view_id, targets, prepares, commits, prepared: false, committed: false });
        out
    }

    /// Reacts to what arrives, beside the replica inside.
    pub fn hear(&mut self, from: ValidatorIndex, envelope: &Envelope, rng: &mut impl Rng) -> Outgoing {
        match self.behaviour {
            Behaviour::Replaying => {
                self.recorded.push(envelope.clone());
                if self.recorded.len() > 400 {
                    self.recorded.remove(0);
                }
                let to = ValidatorIndex(rng.random_range(0..self.committee.validators()));
                let again = self.recorded[rng.random_range(0..self.recorded.len())].clone();
                if to != self.me && rng.random_bool(0.5) { vec![(to, again, 0)] } else { vec![] }
            }
            Behaviour::Equivocating | Behaviour::Lying | Behaviour::Withholding => match &envelope.message {
                Message::Announce(announce) if self.behaviour == Behaviour::Equivocating => {
                    let (num, hash) = (announce.header.block_num, announce.header.hash());
                    let prepare = self.vote(Kind::Prepare, num, announce.view_id, hash);
                    let commit = self.vote(Kind::Commit, num, announce.view_id, hash);
                    let commit = self.wrap(Message::Commit(commit));
                    vec![
                        (from, self.wrap(Message::Prepare(prepare)), 0),
                        (from, commit.clone(), 0),
                        (from, commit, 150),
                    ]
                }
                Message::Prepare(vote) => self.count(from, vote, Phase::Prepare),
                Message::Commit(vote) => self.count(from, vote, Phase::Commit),
                _ => vec![],
            },
            _ => vec![],
        }
    }

    fn count(&mut self, from: ValidatorIndex, vote: &Vote, phase: Phase) -> Outgoing {
        let Ok(signers) = vote_signers(vote, from, &self.committee) else { return vec![] };
        let (committee, crypto, withhold) = (&self.committee, &*self.crypto, self.behaviour == Behaviour::Withholding);
        let mut certified = None;
        for face in &mut self.faces {
            if face.hash != vote.block_hash || face.view_id != vote.view_id {
                continue;
            }
            let (tally, done) = match phase {
                Phase::Prepare => (&mut face.prepares, &mut face.prepared),
                Phase::Commit => (&mut face.commits, &mut face.committed),
            };
            if tally.add(&signers, vote.signature).is_ok() && committee.is_quorum(tally.power()) && !*done {
                *done = true;
                let certificate =
                    tally.certificate(crypto, phase, vote.block_num, vote.view_id, vote.block_hash).unwrap();
                if withhold {
                    self.stolen = Some((certificate, face.header.clone()));
                } else {
                    certified = Some((certificate, face.targets.clone()));
                }
            }
        }
        let Some((certificate, targets)) = certified else { return vec![] };
        let envelope = self.wrap(match phase {
            Phase::Prepare => Message::Prepared(certificate),
            Phase::Commit => Message::Committed(certificate),
        });
        targets.into_iter().map(|to| (to, envelope.clone(), 0)).collect()
    }
}

/// Flips a bit of the signature that the message carries.
fn spoil(mut envelope: Envelope, rng: &mut impl Rng) -> Envelope {
    let signature = match &mut envelope.message {
        Message::Announce(announce) => &mut announce.signature,
        Message::Prepare(vote) | Message::Commit(vote) => &mut vote.signature,
        Message::Prepared(certificate) | Message::Committed(certificate) => &mut certificate.signature,
        Message::ViewChange(view_change) => &mut view_change.signature,
        Message::NewView(new_view) => &mut new_view.view_changes[0].signature,
    };
    signature.0[rng.random_range(0..96)] ^= 1 << rng.random_range(0..8);
    envelope
}
