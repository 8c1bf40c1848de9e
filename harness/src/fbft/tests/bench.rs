//! One replica and messages made by hand: what the tests of single rules share.

use std::sync::Arc;

use crate::block::{BeaconField, ChunkCommitment, Header};
use crate::fbft::api::{Action, Event, Note, ReplicaConfig, Tip};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::certificate::{Certificate, Phase};
use crate::fbft::committee::{Committee, Votes};
use crate::fbft::crypto::{Crypto, Kind, payload};
use crate::fbft::message::{Announce, Envelope, Message, NewView, ViewChange, Vote};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::Replica;
use crate::fbft::safety::SafetyRecord;
use crate::fbft::simulated::HashCrypto;
use crate::fbft::verify::verify;
use crate::types::{BlockNum, ChainId, Hash, Millis, ShardId, Signature, Slot, ValidatorIndex, ViewId};

pub const GENESIS: Hash = Hash([9; 32]);
pub const TIMEOUT: Millis = 1000;

/// A committee and everybody's keys.
pub struct Bench {
    pub committee: Arc<Committee>,
    pub signers: Vec<Arc<HashCrypto>>,
}

pub fn v(index: u16) -> ValidatorIndex {
    ValidatorIndex(index)
}

impl Bench {
    pub fn new(slots: &[u16]) -> Self {
        let (signers, keys) = HashCrypto::committee(1, slots);
        let committee = Arc::new(Committee::new(ChainId(7), ShardId(0), keys).unwrap());
        Self { committee, signers: signers.into_iter().map(Arc::new).collect() }
    }

    pub fn config(&self, me: u16) -> ReplicaConfig {
        ReplicaConfig {
            committee: self.committee.clone(),
            me: v(me),
            votes: Votes::PerValidator,
            rotation_blocks: 0,
            block_time_ms: 100,
            view_timeout_ms: TIMEOUT,
            planted: None,
        }
    }

    pub fn restarted(&self, me: u16, tip: Tip, record: Option<SafetyRecord>) -> (Replica, Vec<Action>) {
        let mut out = vec![];
        let replica = Replica::new(self.config(me), self.signers[usize::from(me)].clone(), 0, tip, record, &mut out);
        (replica, out)
    }

    pub fn replica(&self, me: u16) -> Replica {
        self.restarted(me, genesis(), None).0
    }

    /// A block at height 1 that `proposer` makes for `view`; `salt` tells blocks apart.
    pub fn header(&self, view: u64, salt: u8) -> Header {
        Header {
            chain: ChainId(7),
            shard: ShardId(0),
            block_num: BlockNum(1),
            view_id: ViewId(view),
            proposer: self.committee.leader(v(0), ViewId(view)),
            parent: GENESIS,
            parent_seal: None,
            chunks: ChunkCommitment {
                code: 1,
                data_chunks: 1,
                parity_chunks: 1,
                body_bytes: 1,
                chunk_root: Hash([salt; 32]),
            },
            transactions: 0,
            state_root: Hash::default(),
            receipts_root: Hash::default(),
            beacon: BeaconField { vrf_proof: Signature([0; 96]), vrf_output: Hash::default(), vdf: None },
        }
    }

    pub fn next(&self, parent: &Header, seal: Certificate) -> Header {
        let mut header = self.header(0, 50);
        header.block_num = BlockNum(parent.block_num.0 + 1);
        header.parent = parent.hash();
        header.parent_seal = Some(seal);
        header
    }

    pub fn slots(&self, of: u16) -> Vec<Slot> {
        self.committee.slots_of(v(of)).map(Slot).collect()
    }

    pub fn sign(&self, by: u16, slots: &[Slot], kind: Kind, num: u64, view: u64, hash: &Hash) -> Signature {
        let message = payload(ChainId(7), ShardId(0), kind, BlockNum(num), ViewId(view), hash);
        self.signers[usize::from(by)].sign(slots, &message)
    }

    pub fn wrap(&self, message: Message) -> Envelope {
        Envelope { chain: ChainId(7), shard: ShardId(0), message }
    }

    pub fn announce(&self, by: u16, view: u64, header: &Header) -> Envelope {
        let slots = self.slots(by);
        let signature = self.sign(by, &slots[..1], Kind::Announce, header.block_num.0, view, &header.hash());
        self.wrap(Message::Announce(Announce { view_id: ViewId(view), header: header.clone(), signature }))
    }

    pub fn vote_of(&self, by: u16, slots: &[Slot], phase: Phase, num: u64, view: u64, hash: Hash) -> Envelope {
        let vote = Vote {
            block_num: BlockNum(num),
            view_id: ViewId(view),
            block_hash: hash,
            signers: SignerBitmap::of(self.committee.slots(), slots.iter().copied()).as_bytes().to_vec(),
            signature: self.sign(by, slots, phase.kind(), num, view, &hash),
        };
        self.wrap(match phase {
            Phase::Prepare => Message::Prepare(vote),
            Phase::Commit => Message::Commit(vote),
        })
    }

    pub fn vote(&self, by: u16, phase: Phase, view: u64, hash: Hash) -> Envelope {
        self.vote_of(by, &self.slots(by), phase, 1, view, hash)
    }

    pub fn certificate(&self, by: &[u16], phase: Phase, view: u64, header: &Header) -> Certificate {
        let hash = header.hash();
        let slots = by.iter().flat_map(|&by| self.slots(by));
        let signers = SignerBitmap::of(self.committee.slots(), slots).as_bytes().to_vec();
        let num = header.block_num.0;
        let signatures: Vec<_> =
            by.iter().map(|&by| self.sign(by, &self.slots(by), phase.kind(), num, view, &hash)).collect();
        let signature = self.signers[0].aggregate(&signatures).unwrap();
        Certificate { phase, block_num: header.block_num, view_id: ViewId(view), block_hash: hash, signers, signature }
    }

    pub fn prepared(&self, view: u64, header: &Header) -> Envelope {
        self.wrap(Message::Prepared(self.certificate(&[0, 1, 2], Phase::Prepare, view, header)))
    }

    pub fn committed(&self, view: u64, header: &Header) -> Envelope {
        self.wrap(Message::Committed(self.certificate(&[0, 1, 2], Phase::Commit, view, header)))
    }

    /// A ViewChange to `view` with the certificate of `lock` = (view, block).
    pub fn view_change(&self, by: u16, view: u64, lock: Option<(u64, &Header)>) -> ViewChange {
        let prepared =
            lock.map(|(view, header)| (self.certificate(&[0, 1, 2], Phase::Prepare, view, header), header.clone()));
        let digest = Certificate::digest(prepared.as_ref().map(|(certificate, _)| certificate));
        let signature = self.sign(by, &self.slots(by), Kind::ViewChange, 1, view, &digest);
        ViewChange { block_num: BlockNum(1), view_id: ViewId(view), sender: v(by), prepared, signature }
    }

    pub fn new_view(&self, view: u64, view_changes: Vec<ViewChange>) -> Envelope {
        self.wrap(Message::NewView(NewView { block_num: BlockNum(1), view_id: ViewId(view), view_changes }))
    }

    pub fn verdict(&self, from: u16, envelope: &Envelope) -> Result<(), Refusal> {
        verify(&[(v(from), envelope.clone())], &self.committee, &*self.signers[0]).remove(0).map(|_| ())
    }

    /// Feeds a message as the node does: filter, signatures, replica.
    pub fn feed(&self, replica: &mut Replica, now: Millis, from: u16, envelope: Envelope) -> Vec<Action> {
        let mut out = vec![];
        let verdict = replica
            .wants(v(from), &envelope)
            .and_then(|()| verify(&[(v(from), envelope.clone())], &self.committee, &*self.signers[0]).remove(0));
        match verdict {
            Ok(message) => replica.handle(now, Event::Message { from: v(from), message }, &mut out),
            Err(reason) => replica.refuse(now, v(from), &envelope, reason, &mut out),
        }
        out
    }
}

pub fn genesis() -> Tip {
    Tip { block_num: BlockNum(0), hash: GENESIS, proposer: v(0), seal: None }
}

pub fn handle(replica: &mut Replica, now: Millis, event: Event) -> Vec<Action> {
    let mut out = vec![];
    replica.handle(now, event, &mut out);
    out
}

pub fn available(replica: &mut Replica, header: &Header) -> Vec<Action> {
    handle(replica, 1, Event::Available { block_hash: header.hash() })
}

pub fn refused(actions: &[Action]) -> Vec<Refusal> {
    let reason = |action: &Action| match action {
        Action::Note(Note::Refused { reason, .. }) => Some(*reason),
        _ => None,
    };
    actions.iter().filter_map(reason).collect()
}

pub fn message(action: &Action) -> Option<&Message> {
    match action {
        Action::Send { message, .. } | Action::Broadcast(message) => Some(&message.message),
        _ => None,
    }
}

pub fn sent(actions: &[Action]) -> Vec<&Message> {
    actions.iter().filter_map(message).collect()
}

pub fn record(actions: &[Action]) -> Option<SafetyRecord> {
    actions.iter().rev().find_map(|action| match action {
        Action::Persist(record) => Some(record.clone()),
        _ => None,
    })
}

pub fn position(actions: &[Action], fits: impl Fn(&Action) -> bool) -> usize {
    actions.iter().position(fits).expect("the action is among them")
}

/// The leader of view 0 after its own proposal.
pub fn leading(bench: &Bench) -> (Replica, Header, Vec<Action>) {
    let (mut replica, out) = bench.restarted(0, genesis(), None);
    assert!(out.contains(&Action::Build { block_num: BlockNum(1), view_id: ViewId(0) }));
    let header = bench.header(0, 1);
    let built = Event::Built { block_num: BlockNum(1), view_id: ViewId(0), header: header.clone() };
    let out = handle(&mut replica, 0, built);
    (replica, header, out)
}

/// Validator `me` in view 0 with an available proposal, after its Prepare.
pub fn prepared_once(bench: &Bench, me: u16) -> (Replica, Header, Vec<Action>) {
    let (mut replica, header) = (bench.replica(me), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = available(&mut replica, &header);
    (replica, header, out)
}
