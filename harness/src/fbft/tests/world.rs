//! A committee in virtual time: real replicas, a hostile network, crashes between any two actions, and the promises to check.
//!
//! Bodies are tokens here: one travels, can be lost, and takes a while to execute. Everything else is the real thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::RngExt;

use super::byzantine::{Actor, Behaviour, POISON};
use crate::block::{BeaconField, ChunkCommitment, Header};
use crate::fbft::api::{Action, Event, Note, Planted, ReplicaConfig, Tip};
use crate::fbft::certificate::{Certificate, QuorumCertificate};
use crate::fbft::committee::{Committee, Votes};
use crate::fbft::crypto::Crypto;
use crate::fbft::message::{Envelope, Message, ViewChange};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::Replica;
use crate::fbft::safety::{Cast, SafetyRecord};
use crate::fbft::simulated::{HashCrypto, ViewBlind};
use crate::fbft::verify::verify;
use crate::net::sim::{Delivery, Link, SimNet};
use crate::types::{BlockNum, ChainId, Hash, Millis, ShardId, Signature, ValidatorIndex, ViewId};

pub const VIEW_TIMEOUT_MS: Millis = 1000;
pub const GENESIS: Hash = Hash([9; 32]);

/// What one run is like.
#[derive(Clone, Debug)]
pub struct Setup {
    pub seed: u64,
    pub slots: Vec<u16>,
    pub votes: Votes,
    pub rotation_blocks: u64,
    pub behaviours: Vec<Behaviour>,
    pub planted: Option<Planted>,
    /// The network until it heals.
    pub link: Link,
    /// Chance that a validator crashes while it carries out the answer to an event.
    pub crash_per_mille: u32,
    /// Whether the network is cut into parts now and then.
    pub partitions: bool,
    /// Whether all lose power at once now and then.
    pub outages: bool,
    pub heal_at: Millis,
    /// Real signatures instead of keyed hashes.
    pub bls: bool,
    /// Whether durability is checked at every message, or only what comes of it.
    pub strict: bool,
}

/// How a run broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    Fork { block_num: BlockNum },
    Contradiction { node: usize, what: String },
    NotDurable { node: usize, what: String },
    Accused { node: usize, by: usize, reason: Refusal },
    Stuck { node: usize, block_num: BlockNum, view_id: ViewId },
}

/// What a run that kept its promises was like.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub blocks: u64,
    /// The highest view at which a height became final: view changes in a row.
    pub views: u64,
    /// Milliseconds from healing until the slowest honest validator had a new block.
    pub healed_after_ms: Millis,
    pub refused: BTreeMap<Refusal, u64>,
    pub equivocations: u64,
    pub restarts: u64,
}

#[derive(Clone, Debug)]
enum Packet {
    Wire(Box<Envelope>),
    Body(Box<Header>),
    Fetch(Hash),
    Ask(BlockNum),
    Certified(Box<Header>, Certificate),
    Tick(u64),
    Built(u64, Box<Header>),
    Executed(u64, Hash),
    Restart,
    Later(ValidatorIndex, Box<Envelope>),
    Partition,
    Outage,
}

#[derive(Default)]
struct Disk {
    record: Option<SafetyRecord>,
    chain: Vec<(Header, QuorumCertificate)>,
    bodies: BTreeSet<Hash>,
}

struct Node {
    replica: Option<Replica>,
    disk: Disk,
    /// In memory only.
    bodies: BTreeSet<Hash>,
    wanted: BTreeMap<Hash, Header>,
    synced: BTreeMap<BlockNum, (Header, QuorumCertificate)>,
    life: u64,
    actor: Actor,
    crypto: Arc<dyn Crypto>,
}

pub struct World {
    setup: Setup,
    committee: Arc<Committee>,
    net: SimNet<Packet>,
    nodes: Vec<Node>,
    finals: BTreeMap<BlockNum, Hash>,
    said: BTreeMap<(usize, u8, BlockNum, ViewId), Hash>,
    summary: Summary,
    failure: Option<Failure>,
    built: u64,
    /// Every action as a line: `SHARDMARK_TRACE=1`.
    trace: bool,
}

/// An action in a line.
fn brief(action: &Action) -> String {
    let message = |message: &Message| {
        let text = format!("{message:?}");
        let kind = text.split('(').next().unwrap_or_default().to_owned();
        let hash = match message {
            Message::Announce(announce) => announce.header.hash(),
            Message::Prepare(vote) | Message::Commit(vote) => vote.block_hash,
            Message::Prepared(certificate) | Message::Committed(certificate) => certificate.block_hash,
            Message::ViewChange(ViewChange { prepared: Some((certificate, _)), .. }) => certificate.block_hash,
            Message::ViewChange(_) | Message::NewView(_) => Hash::default(),
        };
        format!("{kind} {}/{} {hash:?}", message.block_num(), message.view_id())
    };
    match action {
        Action::Send { to, message: envelope } => format!("-> {to} {}", message(&envelope.message)),
        Action::Broadcast(envelope) => format!("-> * {}", message(&envelope.message)),
        Action::Persist(record) => format!("persist {}/{}", record.block_num, record.view_id),
        Action::Obtain { header, from } => format!("obtain {:?} from {from:?}", header.hash()),
        Action::Distribute { header } => format!("distribute {:?}", header.hash()),
        Action::Finalize { header, .. } => format!("FINAL {} {:?}", header.block_num, header.hash()),
        other => format!("{other:?}"),
    }
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let (mut committee, signers) = if setup.bls {
            crate::fbft::bls::tests::committee(&setup.slots)
        } else {
            let (signers, keys) = HashCrypto::committee(setup.seed, &setup.slots);
            let signers = signers.into_iter().map(|signer| -> Arc<dyn Crypto> { Arc::new(signer) });
            (Committee::new(ChainId(7), ShardId(0), keys).unwrap(), signers.collect())
        };
        if setup.planted == Some(Planted::QuorumMinusOne) {
            committee = committee.with_quorum_minus_one();
        }
        let committee = Arc::new(committee);
        let nodes = signers.into_iter().enumerate().map(|(index, mut crypto)| {
            if setup.planted == Some(Planted::ViewUnsigned) {
                crypto = Arc::new(ViewBlind(crypto));
            }
            let me = ValidatorIndex(index as u16);
            Node {
                replica: None,
                disk: Disk::default(),
                bodies: BTreeSet::new(),
                wanted: BTreeMap::new(),
                synced: BTreeMap::new(),
                life: 0,
                actor: Actor::new(setup.behaviours[index], committee.clone(), crypto.clone(), me),
                crypto,
            }
        });
        let mut world = Self {
            net: SimNet::new(setup.seed, setup.slots.len(), setup.link),
            nodes: nodes.collect(),
            committee,
            finals: BTreeMap::new(),
            said: BTreeMap::new(),
            summary: Summary::default(),
            failure: None,
            built: 0,
            trace: std::env::var_os("SHARDMARK_TRACE").is_some(),
            setup,
        };
        (0..world.nodes.len()).for_each(|node| world.start(node));
        if world.setup.partitions {
            world.net.schedule(0, 500, Packet::Partition);
        }
        if world.setup.outages {
            world.net.schedule(0, 700, Packet::Outage);
        }
        world
    }

    /// Runs through the bad times and then until every honest validator has a new block.
    pub fn run(mut self) -> Result<Summary, Failure> {
        self.run_until(self.setup.heal_at, |_| false)?;
        self.net.set_all(Link::reliable(1, 20));
        let healed = self.net.now();
        for node in 0..self.nodes.len() {
            if self.nodes[node].replica.is_none() {
                self.start(node);
            }
        }
        let goal = self.height().0 + 1;
        let honest: Vec<usize> =
            (0..self.nodes.len()).filter(|&node| self.setup.behaviours[node] == Behaviour::Honest).collect();
        self.run_until(healed + 10 * VIEW_TIMEOUT_MS, |world| {
            honest.iter().all(|&node| world.nodes[node].disk.chain.len() as u64 >= goal)
        })?;
        for node in honest {
            if (self.nodes[node].disk.chain.len() as u64) < goal {
                let replica = self.nodes[node].replica.as_ref().unwrap();
                return Err(Failure::Stuck { node, block_num: replica.block_num(), view_id: replica.view_id() });
            }
        }
        self.summary.healed_after_ms = self.net.now() - healed;
        self.summary.blocks = self.height().0;
        Ok(self.summary)
    }

    fn height(&self) -> BlockNum {
        self.finals.keys().next_back().copied().unwrap_or_default()
    }

    fn healing(&self) -> bool {
        self.net.now() >= self.setup.heal_at
    }

    fn run_until(&mut self, until: Millis, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        while !done(self) {
            match self.net.next(until) {
                None => break,
                Some(Delivery::Message { from, to, message }) => self.arrive(from, to, message),
                Some(Delivery::Local { node, message }) => self.local(node, message),
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn start(&mut self, index: usize) {
        let config = ReplicaConfig {
            committee: self.committee.clone(),
            me: ValidatorIndex(index as u16),
            votes: self.setup.votes,
            rotation_blocks: self.setup.rotation_blocks,
            block_time_ms: VIEW_TIMEOUT_MS / 8,
            view_timeout_ms: VIEW_TIMEOUT_MS,
            planted: self.setup.planted,
        };
        let now = self.net.now();
        let node = &mut self.nodes[index];
        let tip = match node.disk.chain.last() {
            None => Tip { block_num: BlockNum(0), hash: GENESIS, proposer: ValidatorIndex(0), seal: None },
            Some((header, seal)) => Tip {
                block_num: header.block_num,
                hash: header.hash(),
                proposer: header.proposer,
                seal: Some(seal.clone()),
            },
        };
        node.life += 1;
        node.bodies = node.disk.bodies.clone();
        node.wanted.clear();
        node.synced.clear();
        let mut out = Vec::new();
        let replica = Replica::new(config, node.crypto.clone(), now, tip, node.disk.record.clone(), &mut out);
        node.replica = Some(replica);
        self.carry_out(index, out);
    }

    fn crash(&mut self, index: usize) {
        self.nodes[index].replica = None;
        self.summary.restarts += 1;
        let back = self.net.now() + self.net.rng().random_range(10..3 * VIEW_TIMEOUT_MS);
        self.net.schedule(index, back, Packet::Restart);
    }

    fn handle(&mut self, index: usize, event: Event) {
        let now = self.net.now();
        let Some(replica) = self.nodes[index].replica.as_mut() else { return };
        let mut out = Vec::new();
        replica.handle(now, event, &mut out);
        self.carry_out(index, out);
    }

    fn arrive(&mut self, from: usize, to: usize, packet: Packet) {
        let sender = ValidatorIndex(from as u16);
        if self.nodes[to].replica.is_none() {
            return;
        }
        match packet {
            Packet::Wire(envelope) => {
                let extra = self.nodes[to].actor.hear(sender, &envelope, self.net.rng());
                self.post(to, extra);
                let now = self.net.now();
                let node = &mut self.nodes[to];
                let Some(replica) = node.replica.as_mut() else { return };
                let verdict = replica
                    .wants(sender, &envelope)
                    .and_then(|()| verify(&[(sender, (*envelope).clone())], &self.committee, &*node.crypto).remove(0));
                match verdict {
                    Ok(message) => self.handle(to, Event::Message { from: sender, message }),
                    Err(reason) => {
                        let mut out = Vec::new();
                        replica.refuse(now, sender, &envelope, reason, &mut out);
                        self.carry_out(to, out);
                    }
                }
            }
            Packet::Body(header) => {
                let hash = header.hash();
                self.nodes[to].bodies.insert(hash);
                if self.nodes[to].wanted.contains_key(&hash) {
                    self.execute(to, hash);
                }
            }
            Packet::Fetch(hash) => {
                let node = &self.nodes[to];
                let known = node
                    .wanted
                    .get(&hash)
                    .or_else(|| node.disk.chain.iter().map(|(header, _)| header).find(|header| header.hash() == hash));
                if let (true, Some(header)) = (node.bodies.contains(&hash), known) {
                    let body = Packet::Body(Box::new(header.clone()));
                    self.net.send(to, from, body);
                }
            }
            Packet::Ask(num) => self.certify(to, from, num),
            Packet::Certified(header, certificate) => {
                let crypto = self.nodes[to].crypto.clone();
                if let Ok(seal) = QuorumCertificate::try_new(certificate, &self.committee, &*crypto) {
                    self.nodes[to].synced.insert(header.block_num, (*header, seal));
                    self.feed_synced(to);
                }
            }
            _ => {}
        }
    }

    fn certify(&mut self, from: usize, to: usize, num: BlockNum) {
        let first = usize::try_from(num.0.saturating_sub(1)).unwrap();
        let blocks: Vec<_> = self.nodes[from].disk.chain.iter().skip(first).take(50).cloned().collect();
        for (header, seal) in blocks {
            self.net.send(from, to, Packet::Certified(Box::new(header), seal.certificate().clone()));
        }
    }

    fn feed_synced(&mut self, index: usize) {
        let Some(replica) = &self.nodes[index].replica else { return };
        let num = replica.block_num();
        self.nodes[index].synced.retain(|&known, _| known >= num);
        if let Some((header, seal)) = self.nodes[index].synced.remove(&num) {
            self.handle(index, Event::Synced { header, seal });
        }
    }

    fn local(&mut self, index: usize, packet: Packet) {
        let life = self.nodes[index].life;
        match packet {
            Packet::Tick(of) if of == life => self.handle(index, Event::Tick),
            Packet::Built(of, header) if of == life => {
                let (block_num, view_id) = (header.block_num, header.view_id);
                self.nodes[index].bodies.insert(header.hash());
                self.nodes[index].wanted.insert(header.hash(), (*header).clone());
                self.handle(index, Event::Built { block_num, view_id, header: *header });
            }
            Packet::Executed(of, block_hash) if of == life => {
                let poisoned = self.nodes[index].wanted.get(&block_hash).is_some_and(|h| h.state_root == POISON);
                let event = if poisoned { Event::Invalid { block_hash } } else { Event::Available { block_hash } };
                self.handle(index, event);
            }
            Packet::Restart if self.nodes[index].replica.is_none() => self.start(index),
            Packet::Later(to, envelope) => self.net.send(index, usize::from(to.0), Packet::Wire(envelope)),
            Packet::Partition if !self.healing() => self.partition(),
            Packet::Outage if !self.healing() => self.outage(),
            _ => {}
        }
    }

    /// The network is whole again, or cut into two random sides, or one validator is alone; until the next change.
    fn partition(&mut self) {
        let n = self.nodes.len();
        let rng = self.net.rng();
        let alone = rng.random_range(0..n);
        let sides: Vec<bool> = match rng.random_range(0..3) {
            0 => vec![true; n],
            1 => (0..n).map(|_| rng.random_bool(0.5)).collect(),
            _ => (0..n).map(|node| node == alone).collect(),
        };
        let next = rng.random_range(100..4 * VIEW_TIMEOUT_MS);
        for from in 0..n {
            for to in 0..n {
                let link = if sides[from] == sides[to] { self.setup.link } else { Link::cut() };
                self.net.set_link(from, to, link);
            }
        }
        self.net.schedule(0, self.net.now() + next, Packet::Partition);
    }

    /// Everybody loses power. Most are back soon, some much later.
    fn outage(&mut self) {
        for node in 0..self.nodes.len() {
            let late = self.net.rng().random_bool(0.3);
            let after = if late { 2000..5000 } else { 10..300 };
            let back = self.net.now() + self.net.rng().random_range(after);
            if self.nodes[node].replica.take().is_some() {
                self.summary.restarts += 1;
                self.net.schedule(node, back, Packet::Restart);
            }
        }
        let next = self.net.now() + self.net.rng().random_range(1000..6 * VIEW_TIMEOUT_MS);
        self.net.schedule(0, next, Packet::Outage);
    }

    fn execute(&mut self, index: usize, hash: Hash) {
        let at = self.net.now() + self.net.rng().random_range(1..15);
        let life = self.nodes[index].life;
        self.net.schedule(index, at, Packet::Executed(life, hash));
    }

    /// Takes the actions in order; a crash may fall between any two.
    fn carry_out(&mut self, index: usize, actions: Vec<Action>) {
        let crashes = !self.healing() && self.setup.crash_per_mille > 0 && {
            let chance = self.setup.crash_per_mille;
            self.net.rng().random_range(0..1000) < chance
        };
        let cut = if crashes { self.net.rng().random_range(0..=actions.len()) } else { usize::MAX };
        let mut finalized = false;
        for action in actions.into_iter().take(cut) {
            finalized |= matches!(action, Action::Finalize { .. });
            self.act(index, action);
        }
        if crashes {
            self.crash(index);
        } else if finalized {
            self.feed_synced(index);
        }
    }

    fn act(&mut self, index: usize, action: Action) {
        if self.trace {
            println!("{:6} {index} {}", self.net.now(), brief(&action));
        }
        let life = self.nodes[index].life;
        match action {
            Action::Persist(record) => {
                let node = &mut self.nodes[index];
                let locked = record.lock.as_ref().map(|(certificate, _)| certificate.block_hash);
                let prepared = record.prepare.map(|cast| cast.block_hash);
                let named = locked.into_iter().chain(prepared).filter(|hash| node.bodies.contains(hash));
                node.disk.bodies.extend(named);
                node.disk.record = Some(record);
            }
            Action::Send { to, message } => self.send(index, vec![to], message),
            Action::Broadcast(message) => {
                let others = (0..self.nodes.len()).filter(|&to| to != index).map(|to| ValidatorIndex(to as u16));
                self.send(index, others.collect(), message);
            }
            Action::Build { block_num, view_id } => {
                let header = self.build(index, block_num, view_id);
                let at = self.net.now() + self.net.rng().random_range(1..10);
                self.net.schedule(index, at, Packet::Built(life, Box::new(header)));
            }
            Action::Obtain { header, from } => {
                let hash = header.hash();
                self.nodes[index].wanted.insert(hash, header);
                if self.nodes[index].bodies.contains(&hash) {
                    self.execute(index, hash);
                }
                for holder in from {
                    self.net.send(index, usize::from(holder.0), Packet::Fetch(hash));
                }
            }
            Action::Distribute { header } => {
                if self.nodes[index].actor.behaviour != Behaviour::Silent {
                    for to in (0..self.nodes.len()).filter(|&to| to != index) {
                        self.net.send(index, to, Packet::Body(Box::new(header.clone())));
                    }
                }
            }
            Action::Finalize { header, seal } => self.finalize(index, header, seal),
            Action::Behind { from, block_num } => self.net.send(index, usize::from(from.0), Packet::Ask(block_num)),
            Action::PeerBehind { to, block_num } => self.certify(index, usize::from(to.0), block_num),
            Action::WakeAt(at) => self.net.schedule(index, at, Packet::Tick(life)),
            Action::Note(Note::Refused { from, reason }) => {
                *self.summary.refused.entry(reason).or_default() += 1;
                let node = usize::from(from.0);
                let honest = |node: usize| self.setup.behaviours[node] == Behaviour::Honest;
                if reason.is_offence() && honest(node) && honest(index) {
                    self.failure = Some(Failure::Accused { node, by: index, reason });
                }
            }
            Action::Note(Note::Equivocation { .. }) => self.summary.equivocations += 1,
            Action::Note(Note::Final(at)) => self.summary.views = self.summary.views.max(at.view_id.0),
            Action::Note(_) => {}
        }
    }

    fn build(&mut self, index: usize, block_num: BlockNum, view_id: ViewId) -> Header {
        self.built += 1;
        let root = blake3::hash(&[self.setup.seed.to_le_bytes(), self.built.to_le_bytes()].concat());
        let replica = self.nodes[index].replica.as_ref().unwrap();
        let poisoned = self.nodes[index].actor.behaviour == Behaviour::BadBody;
        let chunks =
            ChunkCommitment { code: 1, data_chunks: 1, parity_chunks: 1, body_bytes: 1, chunk_root: Hash(root.into()) };
        Header {
            chain: self.committee.chain(),
            shard: self.committee.shard(),
            block_num,
            view_id,
            proposer: ValidatorIndex(index as u16),
            parent: replica.tip().hash,
            parent_seal: replica.parent_seal(),
            chunks,
            transactions: 0,
            state_root: if poisoned { POISON } else { Hash::default() },
            receipts_root: Hash::default(),
            beacon: BeaconField { vrf_proof: Signature([0; 96]), vrf_output: Hash::default(), vdf: None },
        }
    }

    fn finalize(&mut self, index: usize, header: Header, seal: QuorumCertificate) {
        let (num, hash) = (header.block_num, header.hash());
        let crypto = self.nodes[index].crypto.clone();
        let honest = self.setup.behaviours[index] == Behaviour::Honest;
        if honest {
            let known = *self.finals.entry(num).or_insert(hash);
            if known != hash {
                self.failure = Some(Failure::Fork { block_num: num });
            }
            let valid = QuorumCertificate::try_new(seal.certificate().clone(), &self.committee, &*crypto).is_ok();
            let parent = self.nodes[index].disk.chain.last().map_or(GENESIS, |(header, _)| header.hash());
            if !valid || seal.block_hash != hash || header.parent != parent {
                let what = format!("block {num} is final without a proof");
                self.failure = Some(Failure::Contradiction { node: index, what });
            }
        }
        let disk = &mut self.nodes[index].disk;
        disk.bodies.insert(hash);
        disk.chain.push((header, seal));
    }

    fn send(&mut self, index: usize, targets: Vec<ValidatorIndex>, envelope: Envelope) {
        if self.setup.behaviours[index] == Behaviour::Honest {
            self.check_said(index, &envelope);
            for to in targets {
                self.net.send(index, usize::from(to.0), Packet::Wire(Box::new(envelope.clone())));
            }
        } else {
            let bent = self.nodes[index].actor.bend(targets, envelope, self.net.rng());
            self.post(index, bent);
        }
    }

    fn post(&mut self, index: usize, outgoing: super::byzantine::Outgoing) {
        for (to, envelope, delay) in outgoing {
            let at = self.net.now() + delay;
            self.net.schedule(index, at, Packet::Later(to, Box::new(envelope)));
        }
        for (header, targets) in std::mem::take(&mut self.nodes[index].actor.bodies) {
            self.nodes[index].bodies.insert(header.hash());
            self.nodes[index].wanted.insert(header.hash(), header.clone());
            for to in targets {
                self.net.send(index, usize::from(to.0), Packet::Body(Box::new(header.clone())));
            }
        }
    }

    /// Nobody honest says two things in one place, not even across restarts, and nothing leaves before it is durable.
    fn check_said(&mut self, index: usize, envelope: &Envelope) {
        let message = &envelope.message;
        let (kind, hash) = match message {
            Message::Announce(announce) => (1, announce.header.hash()),
            Message::Prepare(vote) => (2, vote.block_hash),
            Message::Commit(vote) => (3, vote.block_hash),
            Message::ViewChange(_) => (4, Hash::default()),
            _ => return,
        };
        let (num, view_id) = (message.block_num(), message.view_id());
        if kind < 4 && *self.said.entry((index, kind, num, view_id)).or_insert(hash) != hash {
            let what = format!("kind {kind} twice at {num} in view {view_id}");
            self.failure = Some(Failure::Contradiction { node: index, what });
        }
        let cast = Some(Cast { view_id, block_hash: hash });
        let durable = self.nodes[index].disk.record.as_ref().is_some_and(|record| {
            let locked = record.lock.as_ref().is_some_and(|(certificate, _)| certificate.view_id >= view_id);
            record.block_num == num
                && match kind {
                    1 => record.announce == cast,
                    2 => record.prepare == cast && self.nodes[index].disk.bodies.contains(&hash),
                    3 => record.commit == cast && locked && self.nodes[index].disk.bodies.contains(&hash),
                    _ => record.view_id >= view_id,
                }
        });
        if self.setup.strict && !durable {
            let what = format!("kind {kind} left at {num} in view {view_id} before it was durable");
            self.failure = Some(Failure::NotDurable { node: index, what });
        }
    }
}
