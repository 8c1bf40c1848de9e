//! Validators that break the rules. Each runs a whole core and bends what leaves it: votes and proposals as the faulty replicas
//! of `fbft::tests` do, and beside them chunks, bodies, answers and whole blocks.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::{Rng, RngExt};

use super::forge::{Forger, break_code};
use super::scenario::Fault;
use crate::block::Header;
use crate::fbft::message::{Envelope, Message, ViewChange};
use crate::fbft::tests::byzantine::{self, Behaviour};
use crate::net::Lane;
use crate::node::frame::{Fetch, Urgent};
use crate::node::job::CutDone;
use crate::propagation::{ChunkMessage, Cut};
use crate::types::{Hash, Millis, ValidatorIndex, ViewId};

/// One frame on its way: to whom, and after which delay.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub to: usize,
    pub lane: Lane,
    pub bytes: Bytes,
    pub after: Millis,
}

/// The bending part of a faulty validator.
pub struct Actor {
    fault: Fault,
    votes: byzantine::Actor,
    recorded: Vec<(Lane, Bytes)>,
    /// Blocks made beside those of the core, with what their bodies are.
    made: BTreeMap<Hash, (Cut, Vec<u8>)>,
    /// The body of the block that the core has just had cut.
    cut: Vec<u8>,
}

pub fn encode<T: borsh::BorshSerialize>(message: &T) -> Bytes {
    borsh::to_vec(message).unwrap().into()
}

fn send(to: &[usize], lane: Lane, bytes: &Bytes, after: Millis) -> Vec<Outgoing> {
    to.iter().map(|&to| Outgoing { to, lane, bytes: bytes.clone(), after }).collect()
}

/// How the replica part misbehaves.
pub fn behaviour(fault: Fault) -> Behaviour {
    match fault {
        Fault::Equivocating => Behaviour::Equivocating,
        Fault::WrongSignature => Behaviour::WrongSignature,
        Fault::Lying => Behaviour::Lying,
        Fault::Withholding => Behaviour::Withholding,
        _ => Behaviour::Honest,
    }
}

impl Actor {
    pub fn new(fault: Fault, votes: byzantine::Actor) -> Self {
        Self { fault, votes, recorded: vec![], made: BTreeMap::new(), cut: vec![] }
    }

    /// Whether a block with this header, which the actor proposes as its own, must be refused by everybody.
    pub fn is_poison(&self, header: &Header) -> bool {
        matches!(self.fault, Fault::BadEncoding | Fault::InvalidBlock(_)) && !self.made.contains_key(&header.hash())
    }

    /// The core's block is cut.
    pub fn on_cut(&mut self, done: &mut CutDone, forger: &Forger<'_>, rng: &mut impl Rng) {
        self.cut = done.job.body.as_bytes().to_vec();
        match self.fault {
            // One chunk is the body itself: there is no encoding to get wrong.
            Fault::BadEncoding if done.cut.chunks.len() > 1 => break_code(&mut done.cut, rng),
            Fault::BadEncoding => forger.lie(done, super::scenario::Lie::StateRoot, rng),
            Fault::InvalidBlock(lie) => forger.lie(done, lie, rng),
            _ => {}
        }
    }

    /// Bends one frame that the core wants to send.
    pub fn bend(
        &mut self,
        to: &[usize],
        lane: Lane,
        bytes: &Bytes,
        forger: &Forger<'_>,
        previous_output: &Hash,
        rng: &mut impl Rng,
    ) -> Vec<Outgoing> {
        match self.fault {
            Fault::Silent => vec![],
            Fault::Late => send(to, lane, bytes, rng.random_range(100..2500)),
            Fault::Replaying => {
                self.record(lane, bytes, rng);
                send(to, lane, bytes, 0)
            }
            Fault::BadChunk if rng.random_bool(0.5) => send(to, lane, &corrupt(lane, bytes, rng), 0),
            Fault::Equivocating | Fault::WrongSignature | Fault::Lying | Fault::Withholding
                if lane == Lane::Consensus =>
            {
                match borsh::from_slice(bytes) {
                    Ok(Urgent::Fbft(envelope)) => self.bend_vote(to, envelope, forger, previous_output, rng),
                    _ => send(to, lane, bytes, 0),
                }
            }
            _ => send(to, lane, bytes, 0),
        }
    }

    fn bend_vote(
        &mut self,
        to: &[usize],
        envelope: Envelope,
        forger: &Forger<'_>,
        previous_output: &Hash,
        rng: &mut impl Rng,
    ) -> Vec<Outgoing> {
        if let Message::Announce(announce) = &envelope.message {
            let fresh = announce.header.view_id == announce.view_id;
            if to.len() == 1 && self.fault != Fault::WrongSignature {
                // A repetition: the halves have heard what they were to hear.
                return vec![];
            }
            let header = &announce.header;
            let other = match self.fault {
                Fault::Equivocating if fresh => Some(forger.other(header, &self.cut, rng.random())),
                Fault::Lying if !fresh => {
                    let (view_id, proposer) = (announce.view_id, ValidatorIndex(forger.me as u16));
                    let own = Header { view_id, proposer, ..header.clone() };
                    Some(forger.own(&own, previous_output, rng.random()))
                }
                _ => None,
            };
            if let Some((header, cut, body)) = other {
                self.made.insert(header.hash(), (cut, body));
                self.votes.other = Some(header);
            }
        }
        if let (Fault::Withholding, Message::ViewChange(ViewChange { view_id: ViewId(1), .. })) =
            (self.fault, &envelope.message)
        {
            // View 1 shall begin without the stolen certificate, so that another block is prepared in it.
            return vec![];
        }
        let targets = to.iter().map(|&to| ValidatorIndex(to as u16)).collect();
        let mut out = wrap(self.votes.bend(targets, envelope, rng));
        if self.fault == Fault::Equivocating && to.len() > 1 && rng.random_bool(0.2) {
            // Somebody hears both stories.
            let both = to[rng.random_range(0..to.len())];
            out.extend(out.iter().map(|frame| Outgoing { to: both, ..frame.clone() }).collect::<Vec<_>>());
        }
        for (header, targets) in std::mem::take(&mut self.votes.bodies) {
            out.extend(self.disperse(&header, &targets, forger));
        }
        out
    }

    /// Sends the chunks of a made-up block to those who are to believe it.
    fn disperse(&self, header: &Header, targets: &[ValidatorIndex], forger: &Forger<'_>) -> Vec<Outgoing> {
        let block_hash = header.hash();
        let Some((cut, _)) = self.made.get(&block_hash) else { return vec![] };
        let me = ValidatorIndex(forger.me as u16);
        let mut out = Vec::new();
        for chunk in &cut.chunks {
            let (chain, shard, block_num) = (header.chain, header.shard, header.block_num);
            let message = encode(&ChunkMessage { chain, shard, block_num, block_hash, chunk: chunk.clone() });
            for to in forger.dispersal.recipients(me, chunk.index) {
                if targets.contains(&to) {
                    out.extend(send(&[usize::from(to.0)], Lane::Chunks, &message, 0));
                }
            }
        }
        out
    }

    /// Reacts to what arrives, beside the core.
    pub fn hear(&mut self, from: usize, lane: Lane, bytes: &Bytes, rng: &mut impl Rng) -> Vec<Outgoing> {
        match (self.fault, lane) {
            (Fault::Replaying, _) => {
                self.record(lane, bytes, rng);
                let (lane, again) = self.recorded[rng.random_range(0..self.recorded.len())].clone();
                if rng.random_bool(0.3) { send(&[rng.random_range(0..=from.max(3))], lane, &again, 0) } else { vec![] }
            }
            (Fault::Equivocating | Fault::Lying | Fault::Withholding, Lane::Consensus) => {
                match borsh::from_slice(bytes) {
                    Ok(Urgent::Fbft(envelope)) => wrap(self.votes.hear(ValidatorIndex(from as u16), &envelope, rng)),
                    _ => vec![],
                }
            }
            (Fault::Equivocating | Fault::Lying, Lane::Fetch) => match borsh::from_slice(bytes) {
                Ok(Fetch::Body { block_hash }) if self.made.contains_key(&block_hash) => {
                    let body = self.made.get(&block_hash).map(|(_, body)| body.clone());
                    send(&[from], Lane::Fetch, &encode(&Fetch::BodyIs { block_hash, body }), 0)
                }
                _ => vec![],
            },
            _ => vec![],
        }
    }

    fn record(&mut self, lane: Lane, bytes: &Bytes, rng: &mut impl Rng) {
        if self.recorded.len() >= 400 {
            self.recorded.swap_remove(rng.random_range(0..400));
        }
        self.recorded.push((lane, bytes.clone()));
    }
}

fn wrap(outgoing: byzantine::Outgoing) -> Vec<Outgoing> {
    let frame = |(to, envelope, after): (ValidatorIndex, Envelope, u64)| Outgoing {
        to: usize::from(to.0),
        lane: Lane::Consensus,
        bytes: encode(&Urgent::Fbft(envelope)),
        after,
    };
    outgoing.into_iter().map(frame).collect()
}

/// Spoils a chunk or an answer in one of the ways that a decoder or a proof has to notice.
fn corrupt(lane: Lane, bytes: &Bytes, rng: &mut impl Rng) -> Bytes {
    match lane {
        Lane::Chunks => {
            let Ok(mut message) = borsh::from_slice::<ChunkMessage>(bytes) else { return bytes.clone() };
            let chunk = &mut message.chunk;
            match rng.random_range(0..6) {
                0 => chunk.index = chunk.index.wrapping_add(1),
                1 => chunk.bytes.push(0),
                2 => drop(chunk.proof.pop()),
                3 => message.block_num.0 ^= 1,
                4 if !chunk.proof.is_empty() => chunk.proof[0].0[rng.random_range(0..32)] ^= 1,
                _ => {
                    let at = rng.random_range(0..chunk.bytes.len());
                    chunk.bytes[at] ^= 1 << rng.random_range(0..8);
                }
            }
            encode(&message)
        }
        Lane::Fetch => match borsh::from_slice(bytes) {
            Ok(Fetch::BodyIs { block_hash, body: Some(mut body) }) => {
                let at = rng.random_range(0..body.len());
                body[at] ^= 1;
                encode(&Fetch::BodyIs { block_hash, body: Some(body) })
            }
            Ok(Fetch::BlocksAre(mut blocks)) if !blocks.is_empty() => {
                let at = rng.random_range(0..blocks.len());
                let block = &mut blocks[at];
                match rng.random_range(0..3) {
                    0 => block.body[0] ^= 1,
                    1 => block.seal.signature.0[0] ^= 1,
                    _ => block.header.state_root.0[0] ^= 1,
                }
                encode(&Fetch::BlocksAre(blocks))
            }
            _ => bytes.clone(),
        },
        _ => bytes.clone(),
    }
}
