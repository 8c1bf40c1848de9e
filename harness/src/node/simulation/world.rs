//! A committee of whole validators in virtual time: real cores, ledgers, chunks and proofs, a hostile network, crashes between
//! any two outputs, disks that keep exactly what was persisted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rand::RngExt;

use super::actor::{Actor, Outgoing, behaviour};
use super::disk::Disk;
use super::fixture::{BLOCK_BYTES, CHAIN, DELAY, Fixture, SHARD, SUBMITTED, Trade};
use super::forge::Forger;
use super::promises::{Failure, Promises, Summary};
use super::scenario::{Scenario, VIEW_TIMEOUT_MS};
use crate::beacon::{Beacon, BeaconConfig};
use crate::fbft::api::Planted;
use crate::fbft::certificate::QuorumCertificate;
use crate::fbft::committee::Committee;
use crate::fbft::crypto::Crypto;
use crate::fbft::message::Message;
use crate::fbft::simulated::{HashCrypto, ViewBlind};
use crate::fbft::tests::byzantine;
use crate::fbft::{Note, ReplicaConfig};
use crate::ledger::body::Body;
use crate::ledger::workload::Workload;
use crate::ledger::{TxId, opaque, transaction};
use crate::net::Lane;
use crate::net::sim::{Delivery, Link, SimNet};
use crate::node::core::{Core, CoreConfig, Input, Mark, Output};
use crate::node::frame::{Fetch, Urgent};
use crate::node::job::{Context, Done, Job, JobLane};
use crate::node::journal::{Record, Recovered};
use crate::node::store::BlockStore;
use crate::propagation::Dispersal;
use crate::types::{Hash, Millis, Slot, ValidatorIndex};

#[derive(Clone, Debug)]
enum Packet {
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
    life: u64,
    wake: u64,
    /// When each lane of jobs is free again.
    lanes: BTreeMap<JobLane, Millis>,
    /// Transactions that its clients have handed in.
    submitted: usize,
    actor: Option<Actor>,
    context: Arc<Context>,
}

pub struct World {
    pub scenario: Scenario,
    pub committee: Arc<Committee>,
    pub nodes: Vec<Node>,
    pub promises: Promises,
    net: SimNet<Packet>,
    trade: &'static Trade,
    dispersal: Arc<Dispersal>,
    dones: BTreeMap<u64, Done>,
    jobs: u64,
    print: blake3::Hasher,
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
        let dispersal = match (scenario.whole_block, scenario.planted) {
            (true, _) => &fixture.whole,
            (false, Some(Planted::ChunkRootUnchecked)) => &fixture.unchecked,
            (false, _) => &fixture.coded,
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

    fn healing(&self) -> bool {
        self.net.now() >= self.scenario.heal_at
    }

    pub fn run_until(&mut self, until: Millis, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        while !done(self) {
            match self.net.next(until) {
                None => break,
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

    fn trace(&self, node: usize, what: impl FnOnce() -> String) {
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

    fn crash(&mut self, index: usize) {
        self.stop(index);
        let back = self.net.now() + self.net.rng().random_range(10..3 * VIEW_TIMEOUT_MS);
        self.net.schedule(index, back, Packet::Restart);
    }

    fn submit(&mut self, home: usize, range: std::ops::Range<usize>) {
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

    /// Takes the outputs in order; a crash may fall between any two, or within a write.
    fn carry_out(&mut self, index: usize, outputs: Vec<Output>) {
        let chance = self.scenario.crash_per_mille;
        let crashes = !self.healing() && chance > 0 && self.net.rng().random_range(0..1000) < chance;
        let cut = if crashes { self.net.rng().random_range(0..=outputs.len()) } else { usize::MAX };
        let mut root = None;
        let mut outputs = outputs.into_iter();
        for output in outputs.by_ref().take(cut) {
            if let Output::Mark(Mark::Final { state_root, .. }) = &output {
                root = Some(*state_root);
            }
            self.act(index, output);
        }
        if crashes {
            if let Some(Output::Persist(records)) = outputs.next() {
                // A torn write keeps its first records.
                let whole = self.net.rng().random_range(0..=records.len());
                self.persist(index, records.into_iter().take(whole).collect());
            }
            self.crash(index);
        } else if let (Some(root), Some(core)) = (root, &self.nodes[index].core)
            && core.ledger().state_root() != root
        {
            let block_num = core.replica().tip().block_num;
            self.promises.fail(Failure::StateRoot { node: index, block_num });
        }
    }

    fn act(&mut self, index: usize, output: Output) {
        let life = self.nodes[index].life;
        match output {
            Output::Send { to, lane, bytes } => self.send(index, to, lane, bytes),
            Output::Persist(records) => self.persist(index, records),
            Output::Job(job) => self.start_job(index, job),
            Output::WakeAt(at) => {
                self.nodes[index].wake += 1;
                let wake = self.nodes[index].wake;
                self.net.schedule(index, at, Packet::Tick(life, wake));
            }
            Output::Mark(mark) => self.mark(index, mark),
            Output::Punish { peer, reason } => {
                self.trace(index, || format!("punishes {peer}: {reason}"));
                self.accuse(index, usize::from(peer.0), reason);
                self.promises.summary.punished += u64::from(self.scenario.is_honest(index));
            }
            Output::Fail(reason) => {
                if self.scenario.is_honest(index) {
                    self.promises.fail(Failure::Failed { node: index, reason });
                }
            }
        }
    }

    fn accuse(&mut self, by: usize, node: usize, reason: &str) {
        if self.scenario.is_honest(by) && self.scenario.is_honest(node) {
            self.promises.fail(Failure::Accused { node, by, reason: reason.to_owned() });
        }
    }

    fn persist(&mut self, index: usize, records: Vec<Record>) {
        if self.scenario.is_honest(index) {
            for record in &records {
                if let Record::Final { header, seal } = record {
                    let crypto = &*self.nodes[index].context.crypto;
                    let valid = QuorumCertificate::try_new(seal.clone(), &self.committee, crypto).is_ok();
                    if !valid || seal.block_hash != header.hash() {
                        let what = format!("block {} is final without a proof", header.block_num);
                        self.promises.fail(Failure::Contradiction { node: index, what });
                    }
                }
            }
        }
        self.nodes[index].disk.lock().unwrap().append(records);
    }

    fn start_job(&mut self, index: usize, job: Job) {
        let lane = job.lane();
        let takes = self.net.rng().random_range(0..if lane == JobLane::Evaluate { 1500 } else { 12 });
        let (context, now) = (self.nodes[index].context.clone(), self.net.now());
        if matches!(job, Job::VdfEvaluate { .. }) {
            self.promises.summary.vdf_evaluations += 1;
        }
        let mut done = job.run(&context);
        if let Done::Cut(done) = &mut done {
            self.with_actor(index, |actor, forger, _, rng| actor.on_cut(done, forger, rng));
        }
        let node = &mut self.nodes[index];
        let free = node.lanes.entry(lane).or_default();
        *free = now.max(*free) + takes;
        self.jobs += 1;
        self.dones.insert(self.jobs, done);
        self.net.schedule(index, *free, Packet::Done(node.life, self.jobs));
    }

    /// Lets a faulty validator's actor do something with what it has at hand.
    fn with_actor<T>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Actor, &Forger<'_>, &Hash, &mut &mut dyn rand::Rng) -> T,
    ) -> Option<T> {
        let node = &mut self.nodes[index];
        let (actor, core) = (node.actor.as_mut()?, node.core.as_ref()?);
        let previous = node.disk.lock().unwrap().tip().map(|header| header.beacon.vrf_output).unwrap_or_default();
        let forger = Forger {
            me: index,
            trade: self.trade,
            ledger: core.ledger(),
            dispersal: &self.dispersal,
            crypto: &*node.context.crypto,
            slot: node.context.slots[0],
        };
        let mut rng: &mut dyn rand::Rng = self.net.rng();
        Some(act(actor, &forger, &previous, &mut rng))
    }

    fn send(&mut self, index: usize, to: Option<ValidatorIndex>, lane: Lane, bytes: Bytes) {
        let to: Vec<usize> = match to {
            Some(to) => vec![usize::from(to.0)],
            None => (0..self.nodes.len()).filter(|&to| to != index).collect(),
        };
        let urgent = || borsh::from_slice::<Urgent>(&bytes).expect("a core sends what it can read");
        if self.scenario.is_honest(index) {
            if lane == Lane::Consensus
                && let Urgent::Fbft(envelope) = urgent()
            {
                self.promises.on_said(&self.scenario, index, &envelope, &self.nodes[index].disk.lock().unwrap());
            }
            if lane == Lane::Fetch && matches!(borsh::from_slice(&bytes), Ok(Fetch::BodyIs { body: Some(_), .. })) {
                self.promises.summary.fetched_bodies += 1;
            }
            self.trace(index, || format!("to {to:?}: {}", describe(lane, &bytes)));
            for to in to {
                self.net.send(index, to, Packet::Frame(lane, bytes.clone()));
            }
            return;
        }
        if lane == Lane::Consensus
            && let Urgent::Fbft(envelope) = urgent()
            && let Message::Announce(announce) = &envelope.message
            && announce.header.proposer == ValidatorIndex(index as u16)
            && self.nodes[index].actor.as_ref().is_some_and(|actor| actor.is_poison(&announce.header))
        {
            self.promises.poisoned.insert(announce.header.hash());
        }
        let bent =
            self.with_actor(index, |actor, forger, previous, rng| actor.bend(&to, lane, &bytes, forger, previous, rng));
        self.post(index, bent.unwrap_or_default());
    }

    fn post(&mut self, index: usize, outgoing: Vec<Outgoing>) {
        for Outgoing { to, lane, bytes, after } in outgoing {
            if to == index || to >= self.nodes.len() {
                continue;
            }
            self.trace(index, || format!("bent, to {to} after {after}: {}", describe(lane, &bytes)));
            let at = self.net.now() + after;
            self.net.schedule(index, at, Packet::Later(to, lane, bytes));
        }
    }

    fn mark(&mut self, index: usize, mark: Mark) {
        self.trace(index, || format!("{mark:?}"));
        if !self.scenario.is_honest(index) {
            return;
        }
        let summary = &mut self.promises.summary;
        match mark {
            Mark::Fbft(Note::Refused { from, reason }) => {
                *summary.refused.entry(format!("{reason:?}")).or_default() += 1;
                if reason.is_offence() {
                    self.accuse(index, usize::from(from.0), &reason.to_string());
                }
            }
            Mark::Fbft(Note::Equivocation { .. }) => summary.equivocations += 1,
            Mark::Refused { reason, .. } => *summary.refused.entry(reason.to_owned()).or_default() += 1,
            Mark::InvalidBlock(_, reason) => *summary.invalid.entry(reason).or_default() += 1,
            Mark::Final { block_num, block_hash, view_id, state_root, .. } => {
                self.promises.on_final(index, block_num, view_id, block_hash, state_root);
                let body = self.nodes[index].disk.lock().unwrap().body(&block_hash);
                let body = Body::decode(body.expect("final blocks have bodies"), BLOCK_BYTES).unwrap();
                let ids: Vec<TxId> = body.iter().map(|bytes| self.id(bytes)).collect();
                self.promises.final_transactions.extend(ids);
            }
            _ => {}
        }
    }

    fn id(&self, bytes: &[u8]) -> TxId {
        match self.scenario.workload {
            Workload::Transfers => transaction::transfer_id(bytes),
            Workload::Opaque => {
                opaque::Payload::decode(bytes, SHARD, self.committee.validators(), BLOCK_BYTES as usize).unwrap().id()
            }
        }
    }
}

fn committee(scenario: &Scenario, fixture: &Fixture) -> (Arc<Committee>, Vec<Arc<dyn Crypto>>) {
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

fn describe(lane: Lane, bytes: &[u8]) -> String {
    let text = match lane {
        Lane::Consensus => format!("{:?}", borsh::from_slice::<Urgent>(bytes)),
        Lane::Fetch => format!("{:?}", borsh::from_slice::<Fetch>(bytes)),
        _ => format!("{lane:?} of {} bytes", bytes.len()),
    };
    text.chars().take(300).collect()
}
