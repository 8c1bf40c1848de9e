//! What becomes of a validator's outputs: frames go to the network, records to the disk, jobs run at once and end later. Here
//! validators crash, faulty ones bend what they send, and every promise is watched.

use bytes::Bytes;
use rand::RngExt;

use super::actor::{Actor, Outgoing};
use super::fixture::{BLOCK_BYTES, SHARD};
use super::forge::Forger;
use super::promises::Failure;
use super::world::{Packet, World};
use crate::fbft::Note;
use crate::fbft::certificate::QuorumCertificate;
use crate::fbft::message::Message;
use crate::ledger::body::Body;
use crate::ledger::workload::Workload;
use crate::ledger::{TxId, opaque, transaction};
use crate::net::Lane;
use crate::node::core::{Mark, Output};
use crate::node::frame::{Fetch, Urgent};
use crate::node::job::{Done, Job, JobLane};
use crate::node::journal::Record;
use crate::node::store::BlockStore;
use crate::types::{Hash, ValidatorIndex};

impl World {
    /// Takes the outputs in order; a crash may fall between any two, or within a write.
    pub(super) fn carry_out(&mut self, index: usize, outputs: Vec<Output>) {
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

    pub(super) fn post(&mut self, index: usize, outgoing: Vec<Outgoing>) {
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
                if block_num.0 > self.promises.height() {
                    self.isolate(index, view_id);
                }
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

fn describe(lane: Lane, bytes: &[u8]) -> String {
    let text = match lane {
        Lane::Consensus => format!("{:?}", borsh::from_slice::<Urgent>(bytes)),
        Lane::Fetch => format!("{:?}", borsh::from_slice::<Fetch>(bytes)),
        _ => format!("{lane:?} of {} bytes", bytes.len()),
    };
    text.chars().take(300).collect()
}
