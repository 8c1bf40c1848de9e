//! A committee of whole validators in virtual time: real cores, ledgers, chunks and proofs, a hostile network, crashes between
//! any two outputs, disks that keep exactly what was persisted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rand::RngExt;

use super::actor::{Actor, behaviour};
use super::disk::Disk;
use super::fixture::{BLOCK_BYTES, CHAIN, DELAY, Fixture, SHARD, SUBMITTED, Signers, Trade};
use super::promises::{Failure, Promises, Summary};
use super::scenario::{Scenario, VIEW_TIMEOUT_MS};
use crate::beacon::{Beacon, BeaconConfig};
use crate::fbft::ReplicaConfig;
use crate::fbft::api::Planted;
use crate::fbft::committee::Committee;
use crate::fbft::crypto::Crypto;
use crate::fbft::simulated::{HashCrypto, ViewBlind};
use crate::fbft::tests::byzantine;
use crate::net::Lane;
use crate::net::sim::{Delivery, Link, SimNet};
use crate::node::core::{Core, CoreConfig, Input, Output};
use crate::node::job::{Context, Done, JobLane};
use crate::node::journal::Recovered;
use crate::node::store::BlockStore;
use crate::propagation::Dispersal;
use crate::types::{Hash, Millis, Slot, ValidatorIndex, ViewId};

#[derive(Clone, Debug)]
pub enum Packet {
    Frame(Lane, Bytes),
    /// A wake-up that a life asked for, unless a later request replaced it.
    Tick(u64, u64),
    /// A job's result, for the life that started it.
    Done(u64, u64),
    Restart,
    Submit,
    Later(usize, Lane, Bytes),
    Partition,
    Outage,
}

pub struct Node {
    pub core: Option<Core>,
    pub disk: Arc<Mutex<Disk>>,
    pub(super) life: u64,
    pub(super) wake: u64,
    /// When each lane of jobs is free again.
    pub(super) lanes: BTreeMap<JobLane, Millis>,
    /// Transactions that its clients have handed in.
    submitted: usize,
    pub(super) actor: Option<Actor>,
    pub(super) context: Arc<Context>,
}

pub struct World {
    pub scenario: Scenario,
    pub committee: Arc<Committee>,
    pub nodes: Vec<Node>,
    pub promises: Promises,
    pub(super) net: SimNet<Packet>,
    pub(super) trade: &'static Trade,
    pub(super) dispersal: Arc<Dispersal>,
    pub(super) dones: BTreeMap<u64, Done>,
    pub(super) jobs: u64,
    print: blake3::Hasher,
    /// Who hears and says nothing until when, what is under way included.
    isolated: Option<(usize, Millis)>,
    /// Every frame that arrived, if somebody wants them.
    pub frames: Option<Vec<(Lane, Bytes)>>,
    /// Validators that stay down.
    pub down: BTreeSet<usize>,
}

impl World {
    pub fn new(scenario: Scenario) -> Self {
        let n = scenario.validators;
        let fixture = Fixture::of(n);
        let trade = fixture.trade(scenario.workload);
        let (committee, signers) = committee(&scenario, fixture);
        let dispersal = match (scenario.code, scenario.planted) {
            (Some(_), Some(Planted::ChunkRootUnchecked)) => &fixture.unchecked,
            (code, _) => fixture.dispersal(code),
        };
        let nodes = signers.into_iter().enumerate().map(|(index, crypto)| {
            let me = ValidatorIndex(index as u16);
            let actor = scenario.faults[index].map(|fault| {
                let votes = byzantine::Actor::new(behaviour(fault), committee.clone(), crypto.clone(), me);
                Actor::new(fault, votes)
            });
            let context = Context {
                committee: committee.clone(),
                slots: committee.slots_of(me).map(Slot).collect(),
                crypto,
                checker: trade.checker.clone(),
                dispersal: dispersal.clone(),
                delay: (scenario.beacon_blocks > 0).then_some(DELAY),
                observer: None,
            };
            Node {
                core: None,
                disk: Arc::default(),
                life: 0,
                wake: 0,
                lanes: BTreeMap::new(),
                submitted: 0,
                actor,
                context: Arc::new(context),
            }
        });
        let mut world = Self {
            net: SimNet::new(scenario.seed, n, scenario.link),
            nodes: nodes.collect(),
            committee,
            promises: Promises::default(),
            trade,
            dispersal: dispersal.clone(),
            dones: BTreeMap::new(),
            jobs: 0,
            print: blake3::Hasher::new(),
            isolated: None,
            frames: None,
            down: BTreeSet::new(),
            scenario,
        };
        for node in 0..n {
            for _ in 0..SUBMITTED {
                let at = world.net.rng().random_range(0..world.scenario.heal_at);
                world.net.schedule(node, at, Packet::Submit);
            }
            world.start(node);
        }
        if world.scenario.partitions {
            world.net.schedule(0, 500, Packet::Partition);
        }
        if world.scenario.outages {
            world.net.schedule(0, 700, Packet::Outage);
        }
        world
    }

    /// Runs through the bad times, and then until every honest validator has a new block and every honest home its
    /// transactions in final blocks.
    pub fn run(mut self) -> Result<Summary, Failure> {
        let heal_at = self.scenario.heal_at;
        self.run_until(heal_at, |_| false)?;
        self.heal();
        let healed = self.net.now();
        let goal = self.promises.height() + 1;
        let honest: Vec<usize> = self.scenario.honest().collect();
        let reached = |world: &Self, node: usize| world.nodes[node].disk.lock().unwrap().height() >= goal;
        self.run_until(healed + 10 * VIEW_TIMEOUT_MS, |world| honest.iter().all(|&node| reached(world, node)))?;
        for &node in &honest {
            if !reached(&self, node) {
                let replica = self.nodes[node].core.as_ref().unwrap().replica();
                return Err(Failure::Stuck { node, block_num: replica.block_num(), view_id: replica.view_id() });
            }
        }
        self.promises.summary.healed_after_ms = self.net.now() - healed;
        let until = self.net.now() + 20 * VIEW_TIMEOUT_MS;
        self.run_until(until, |world| honest.iter().all(|&home| world.missing(home) == 0))?;
        for &home in &honest {
            let missing = self.missing(home);
            if missing > 0 {
                return Err(Failure::Unserved { home, missing });
            }
        }
        let blocks = self.promises.height();
        let mut summary = self.promises.summary;
        summary.served_after_ms = self.net.now() - healed;
        summary.blocks = blocks;
        summary.transactions = self.promises.final_transactions.len() as u64;
        summary.fingerprint = Hash(*self.print.finalize().as_bytes());
        Ok(summary)
    }

    /// The network is good from now on, and everybody is up.
    pub fn heal(&mut self) {
        self.scenario.heal_at = self.net.now();
        self.net.set_all(Link::reliable(1, 20));
        for node in 0..self.nodes.len() {
            if self.nodes[node].core.is_none() && !self.down.contains(&node) {
                self.start(node);
            }
        }
    }

    pub fn now(&self) -> Millis {
        self.net.now()
    }

    fn missing(&self, home: usize) -> usize {
        let known = &self.promises.final_transactions;
        self.trade.submitted[home].iter().filter(|(id, _)| !known.contains(id)).count()
    }

    pub(super) fn healing(&self) -> bool {
        self.net.now() >= self.scenario.heal_at
    }

    pub fn run_until(&mut self, until: Millis, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        while !done(self) {
            match self.net.next(until) {
                None => break,
                Some(Delivery::Message { from, to, .. }) if self.is_cut(from, to) => {}
                Some(Delivery::Message { from, to, message: Packet::Frame(lane, bytes) }) => {
                    self.note(to, &bytes);
                    if let Some(frames) = &mut self.frames {
                        frames.push((lane, bytes.clone()));
                    }
                    self.arrive(from, to, lane, bytes);
                }
                Some(Delivery::Message { .. }) => {}
                Some(Delivery::Local { node, message }) => self.local(node, message),
            }
            if let Some(failure) = self.promises.failure.take() {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn note(&mut self, node: usize, bytes: &[u8]) {
        self.print.update(&self.net.now().to_le_bytes()).update(&(node as u64).to_le_bytes()).update(bytes);
    }

    pub(super) fn trace(&self, node: usize, what: impl FnOnce() -> String) {
        if self.scenario.trace {
            println!("{:>6} ms  {node:>2}  {}", self.net.now(), what());
        }
    }

    /// A validator on what its disk holds.
    pub fn core(&self, index: usize, out: &mut Vec<Output>) -> Result<Core, String> {
        let disk = self.nodes[index].disk.clone();
        let recovered = disk.lock().unwrap().recovered();
        self.core_on(index, Box::new(disk), recovered, out)
    }

    /// A validator on what some store holds.
    pub fn core_on(
        &self,
        index: usize,
        store: Box<dyn BlockStore>,
        recovered: Recovered,
        out: &mut Vec<Output>,
    ) -> Result<Core, String> {
        let me = ValidatorIndex(index as u16);
        let config = CoreConfig {
            committee: self.committee.clone(),
            me,
            replica: ReplicaConfig {
                committee: self.committee.clone(),
                me,
                votes: self.scenario.votes,
                rotation_blocks: self.scenario.rotation_blocks,
                block_time_ms: VIEW_TIMEOUT_MS / 5,
                view_timeout_ms: VIEW_TIMEOUT_MS,
                planted: self.scenario.planted,
            },
            block_bytes: BLOCK_BYTES,
            dispersal: self.dispersal.clone(),
            relay: self.scenario.relay(index),
            forward_again_ms: 2 * VIEW_TIMEOUT_MS,
        };
        let beacon = (self.scenario.beacon_blocks > 0).then(|| {
            let (validators, blocks) = (self.committee.validators(), self.scenario.beacon_blocks);
            let timeout_ms = 3 * VIEW_TIMEOUT_MS;
            Beacon::new(BeaconConfig {
                chain: CHAIN,
                shard: SHARD,
                validators,
                own: me,
                blocks,
                delay: DELAY,
                timeout_ms,
            })
            .unwrap()
        });
        let (checker, ledger) = (&self.trade.checker, self.trade.ledger());
        let crypto = self.nodes[index].context.crypto.clone();
        Core::new(config, crypto, checker, ledger, beacon, store, recovered, self.net.now(), out)
    }

    /// What a validator's jobs need.
    pub fn context(&self, index: usize) -> &Context {
        &self.nodes[index].context
    }

    /// Starts a validator.
    pub fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.life += 1;
        node.lanes.clear();
        let mut out = Vec::new();
        match self.core(index, &mut out) {
            Ok(core) => self.nodes[index].core = Some(core),
            Err(reason) => return self.promises.fail(Failure::Failed { node: index, reason }),
        }
        self.trace(index, || "starts".into());
        self.carry_out(index, out);
        // Its clients hand in again what is not final.
        let again = self.nodes[index].submitted;
        self.submit(index, 0..again);
    }

    /// Takes a validator down; everything that is not on its disk is lost.
    pub fn stop(&mut self, index: usize) {
        self.trace(index, || "crashes".into());
        self.nodes[index].core = None;
        self.promises.summary.restarts += 1;
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.stop(index);
        let back = self.net.now() + self.net.rng().random_range(10..3 * VIEW_TIMEOUT_MS);
        self.net.schedule(index, back, Packet::Restart);
    }

    fn submit(&mut self, home: usize, range: Range<usize>) {
        let known = &self.promises.final_transactions;
        let own = &self.trade.submitted[home][range];
        let wanted: Vec<_> = own.iter().filter(|(id, _)| !known.contains(id)).map(|(_, bytes)| bytes.clone()).collect();
        if !wanted.is_empty() {
            self.handle(home, Input::Submit(wanted));
        }
    }

    /// Lets a validator take an input.
    pub fn handle(&mut self, index: usize, input: Input) {
        let now = self.net.now();
        let Some(core) = self.nodes[index].core.as_mut() else { return };
        let mut out = Vec::new();
        core.handle(now, input, &mut out);
        self.carry_out(index, out);
    }

    fn arrive(&mut self, from: usize, to: usize, lane: Lane, bytes: Bytes) {
        let node = &mut self.nodes[to];
        if node.core.is_none() {
            return;
        }
        if let Some(actor) = &mut node.actor {
            let extra = actor.hear(from, lane, &bytes, self.net.rng());
            self.post(to, extra);
        }
        self.handle(to, Input::Frame { from: ValidatorIndex(from as u16), lane, bytes });
    }

    fn local(&mut self, index: usize, packet: Packet) {
        let (life, wake) = (self.nodes[index].life, self.nodes[index].wake);
        match packet {
            Packet::Tick(of, request) if (of, request) == (life, wake) => self.handle(index, Input::Tick),
            Packet::Done(of, job) => {
                let done = self.dones.remove(&job);
                if let Some(done) = done.filter(|_| of == life) {
                    self.handle(index, Input::Done(Box::new(done)));
                }
            }
            Packet::Restart if self.nodes[index].core.is_none() && !self.down.contains(&index) => self.start(index),
            Packet::Submit => {
                let next = self.nodes[index].submitted;
                self.nodes[index].submitted = next + 1;
                self.submit(index, next..next + 1);
            }
            Packet::Later(to, lane, bytes) => self.net.send(index, to, Packet::Frame(lane, bytes)),
            Packet::Partition if !self.healing() => self.partition(),
            Packet::Outage if !self.healing() => self.outage(),
            _ => {}
        }
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        let now = self.net.now();
        !self.healing() && self.isolated.is_some_and(|(alone, until)| now < until && (alone == from || alone == to))
    }

    /// A block became final somewhere for the first time: its network may go away at once.
    pub(super) fn isolate(&mut self, index: usize, view_id: ViewId) {
        if self.scenario.isolates && (view_id.0 > 0 || self.net.rng().random_bool(0.2)) {
            let until = self.net.now() + self.net.rng().random_range(1000..6 * VIEW_TIMEOUT_MS);
            self.isolated = Some((index, until));
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
                let link = if sides[from] == sides[to] { self.scenario.link } else { Link::cut() };
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
            if self.nodes[node].core.is_some() {
                self.stop(node);
                self.net.schedule(node, back, Packet::Restart);
            }
        }
        let next = self.net.now() + self.net.rng().random_range(1000..6 * VIEW_TIMEOUT_MS);
        self.net.schedule(0, next, Packet::Outage);
    }
}

fn committee(scenario: &Scenario, fixture: &Fixture) -> Signers {
    if scenario.bls {
        return fixture.bls().clone();
    }
    let (signers, keys) = HashCrypto::committee(scenario.seed, &vec![scenario.keys; scenario.validators]);
    let mut committee = Committee::new(CHAIN, SHARD, keys).unwrap();
    if scenario.planted == Some(Planted::QuorumMinusOne) {
        committee = committee.with_quorum_minus_one();
    }
    let signers = signers.into_iter().map(|signer| -> Arc<dyn Crypto> {
        let signer: Arc<dyn Crypto> = Arc::new(signer);
        if scenario.planted == Some(Planted::ViewUnsigned) { Arc::new(ViewBlind(signer)) } else { signer }
    });
    (Arc::new(committee), signers.collect())
}
