//! Blocks at the height in progress: built here or put together from chunks, executed, made final.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Core, Mark, Output, encode, punish};
use crate::beacon::FieldCheck;
use crate::block::{BeaconField, Header, VdfField};
use crate::fbft::certificate::QuorumCertificate;
use crate::fbft::{Event, SafetyRecord};
use crate::ledger::workload::{CheckedBody, Execution};
use crate::net::Lane;
use crate::node::job::{AssembleJob, CutDone, CutJob, Job, NoBody, Source};
use crate::node::journal::Record;
use crate::propagation::{Assembly, ChunkMessage, Cut, Refused, Relay};
use crate::types::{BlockNum, Hash, Millis, ValidatorIndex, ViewId};

/// Blocks between a delay proof's arrival and the header that carries it.
const RIPE_BLOCKS: u64 = 3;

/// A block that is proposed, known by its header.
pub(super) struct Candidate {
    pub(super) header: Header,
    /// `None` if the header's commitment is not of this run.
    assembly: Option<Assembly>,
    body: Body,
    /// What a leader sends.
    cut: Option<Arc<Cut>>,
    first_chunk_seen: bool,
    /// Whom to ask for the body, next first, when chunks do not bring it.
    pub(super) holders: VecDeque<ValidatorIndex>,
    /// When to ask the next one.
    pub(super) ask_at: Millis,
    /// How often the replica has asked.
    asked: u32,
}

enum Body {
    Missing,
    Checking,
    Checked(Box<(CheckedBody, Execution)>),
    Invalid,
}

impl Candidate {
    /// Whether somebody has to be asked for the body.
    pub(super) fn lacks_body(&self) -> bool {
        matches!(self.body, Body::Missing) && !self.holders.is_empty()
    }

    /// Whether the body is valid, once that is known.
    pub(super) fn verdict(&self) -> Option<bool> {
        match self.body {
            Body::Missing | Body::Checking => None,
            Body::Checked(_) => Some(true),
            Body::Invalid => Some(false),
        }
    }

    /// The encoded body, once it was checked.
    pub(super) fn body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Checked(checked) => Some(checked.0.as_bytes()),
            _ => None,
        }
    }
}

impl Core {
    /// Executes a block from the pool, then has it cut into chunks.
    pub(super) fn build(&mut self, block_num: BlockNum, view_id: ViewId, out: &mut Vec<Output>) {
        let (body, execution) = self.ledger.build(self.config.block_bytes);
        let job = CutJob {
            block_num,
            view_id,
            parent: self.replica.tip().hash,
            body,
            execution,
            previous_output: self.previous_output,
            vdf: self.ripe_field(block_num),
        };
        out.push(Output::Job(Job::Cut(Box::new(job))));
    }

    /// The delay proof for the next header, once everybody had some blocks' time to verify it: a header with a proof that a
    /// validator has not verified yet makes it verify before it votes.
    fn ripe_field(&self, block_num: BlockNum) -> Option<VdfField> {
        let (window, seen_at) = self.proof_seen?;
        let field = self.beacon.as_ref()?.next_field()?;
        (field.window == window && block_num.0 >= seen_at.0.saturating_add(RIPE_BLOCKS)).then_some(field)
    }

    pub(super) fn on_cut(&mut self, now: Millis, done: CutDone, out: &mut Vec<Output>) {
        let CutDone { job, cut, vrf_proof, vrf_output } = done;
        let tip = self.replica.tip();
        if tip.hash != job.parent || self.replica.view_id() != job.view_id {
            return;
        }
        let header = Header {
            chain: self.config.committee.chain(),
            shard: self.config.committee.shard(),
            block_num: job.block_num,
            view_id: job.view_id,
            proposer: self.config.me,
            parent: tip.hash,
            parent_seal: self.replica.parent_seal(),
            chunks: cut.commitment,
            transactions: job.execution.transactions,
            state_root: job.execution.state_root,
            receipts_root: job.execution.receipts_root,
            beacon: BeaconField { vrf_proof, vrf_output, vdf: job.vdf },
        };
        let mut candidate = self.candidate(header.clone());
        candidate.body = Body::Checked(Box::new((job.body, job.execution)));
        candidate.cut = Some(Arc::new(cut));
        self.candidates.insert(header.hash(), candidate);
        self.replica_event(now, Event::Built { block_num: job.block_num, view_id: job.view_id, header }, out);
    }

    fn candidate(&self, header: Header) -> Candidate {
        let assembly =
            Assembly::new(self.config.dispersal.clone(), header.chunks, self.config.me, header.proposer).ok();
        let body = if assembly.is_some() { Body::Missing } else { Body::Invalid };
        Candidate {
            header,
            assembly,
            body,
            cut: None,
            first_chunk_seen: false,
            holders: VecDeque::new(),
            ask_at: 0,
            asked: 0,
        }
    }

    /// Sends each validator its chunk, and the own one to everybody.
    pub(super) fn distribute(&mut self, header: &Header, out: &mut Vec<Output>) {
        let block_hash = header.hash();
        let Some(cut) = self.candidates.get(&block_hash).and_then(|candidate| candidate.cut.clone()) else { return };
        for chunk in &cut.chunks {
            let message = ChunkMessage {
                chain: header.chain,
                shard: header.shard,
                block_num: header.block_num,
                block_hash,
                chunk: chunk.clone(),
            };
            let bytes = encode(&message);
            for to in self.config.dispersal.recipients(self.config.me, chunk.index) {
                out.push(Output::Send { to: Some(to), lane: Lane::Chunks, bytes: bytes.clone() });
            }
        }
    }

    /// The body of `header` is needed.
    pub(super) fn obtain(&mut self, now: Millis, header: Header, from: Vec<ValidatorIndex>, out: &mut Vec<Output>) {
        let block_hash = header.hash();
        let fresh = from == [header.proposer];
        let known = self.candidates.contains_key(&block_hash);
        if !known {
            let candidate = self.candidate(header);
            self.candidates.insert(block_hash, candidate);
        }
        let me = self.config.me;
        let Some(candidate) = self.candidates.get_mut(&block_hash) else { return };
        candidate.asked = candidate.asked.saturating_add(1);
        // A fresh proposal's chunks come by themselves; its leader is asked for the body only when the replica asks again.
        if !fresh || candidate.asked > 1 {
            candidate.holders = from.into_iter().filter(|&holder| holder != me).collect();
        }
        match candidate.body {
            Body::Checked(_) => self.replica_event(now, Event::Available { block_hash }, out),
            Body::Invalid => self.replica_event(now, Event::Invalid { block_hash }, out),
            Body::Missing if !known => self.find_body(now, block_hash, out),
            Body::Missing | Body::Checking => {}
        }
    }

    /// Looks for a body in the journal, then among chunks that came before their header.
    fn find_body(&mut self, now: Millis, block_hash: Hash, out: &mut Vec<Output>) {
        if let Some(body) = self.store.body(&block_hash) {
            return self.check_source(now, block_hash, Source::Body { body, from: None }, out);
        }
        for (from, chunk) in self.early.take(&block_hash) {
            self.on_chunk(now, from, chunk, out);
        }
    }

    pub(super) fn on_chunk(&mut self, now: Millis, from: ValidatorIndex, message: ChunkMessage, out: &mut Vec<Output>) {
        if message.chain != self.config.committee.chain() || message.shard != self.config.committee.shard() {
            return punish(from, "chunk of another chain or shard", out);
        }
        let block_hash = message.block_hash;
        let Some(candidate) = self.candidates.get_mut(&block_hash) else {
            let height = self.replica.block_num();
            if message.block_num == height || message.block_num.0 == height.0.saturating_add(1) {
                self.early.push(from, message);
            }
            return;
        };
        let (num, view_id, leader) = (candidate.header.block_num, candidate.header.view_id, candidate.header.proposer);
        if message.block_num != num {
            return punish(from, "chunk for another height than its block's", out);
        }
        let Some(assembly) = &mut candidate.assembly else { return };
        let added = match assembly.add(from, &message.chunk) {
            Ok(added) => added,
            Err(Refused::Duplicate { .. }) => return,
            Err(Refused::Sender { .. }) => return punish(from, "chunk from a wrong sender", out),
            Err(Refused::Index { .. }) => return punish(from, "chunk index out of range", out),
            Err(Refused::Length { .. }) => return punish(from, "chunk of a wrong length", out),
            Err(Refused::Proof { .. }) => return punish(from, "chunk not under the root", out),
        };
        if added.needed && !candidate.first_chunk_seen {
            candidate.first_chunk_seen = true;
            out.push(Output::Mark(Mark::FirstChunk(num, view_id)));
        }
        if added.relay {
            self.relay(message, leader, out);
        }
        if let Some(job) = added.job {
            out.push(Output::Mark(Mark::KthChunk(num, view_id)));
            self.check_source(now, block_hash, Source::Chunks(job), out);
        }
    }

    /// Passes an own chunk on, or does not, where the run asks for that.
    fn relay(&self, mut message: ChunkMessage, leader: ValidatorIndex, out: &mut Vec<Output>) {
        match self.config.relay {
            Relay::Honest => {}
            Relay::Silent => return,
            Relay::Corrupting => message.chunk.bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1),
        }
        let bytes = encode(&message);
        for to in self.config.dispersal.relay_recipients(self.config.me, leader) {
            out.push(Output::Send { to: Some(to), lane: Lane::Chunks, bytes: bytes.clone() });
        }
    }

    /// Starts the check of a body, unless one is under way or done.
    pub(super) fn check_source(&mut self, now: Millis, block_hash: Hash, source: Source, out: &mut Vec<Output>) {
        let previous_output = self.previous_output;
        let Some(candidate) = self.candidates.get_mut(&block_hash) else { return };
        if !matches!(candidate.body, Body::Missing) {
            return;
        }
        let vdf = match (&self.beacon, &candidate.header.beacon.vdf) {
            (None, None) => Ok(FieldCheck::Valid),
            (None, Some(_)) => Err("a delay function in a run without a beacon".to_owned()),
            (Some(beacon), _) => beacon.check_field(candidate.header.beacon.vdf.as_ref()).map_err(|e| e.to_string()),
        };
        let vdf = match vdf {
            Ok(FieldCheck::Valid) => None,
            Ok(FieldCheck::Verify(verification)) => Some(verification),
            Err(reason) => {
                candidate.body = Body::Invalid;
                out.push(Output::Mark(Mark::InvalidBlock(candidate.header.block_num, reason)));
                return self.replica_event(now, Event::Invalid { block_hash }, out);
            }
        };
        candidate.body = Body::Checking;
        let header = candidate.header.clone();
        let job = AssembleJob { block_hash, header, source, previous_output, vdf };
        out.push(Output::Job(Job::Assemble(Box::new(job))));
    }

    pub(super) fn on_assembled(
        &mut self,
        now: Millis,
        block_hash: Hash,
        from: Option<ValidatorIndex>,
        result: Result<CheckedBody, NoBody>,
        out: &mut Vec<Output>,
    ) {
        let parent = self.replica.tip().hash;
        let Some(candidate) = self.candidates.get_mut(&block_hash) else { return };
        if candidate.header.parent != parent || !matches!(candidate.body, Body::Checking) {
            return;
        }
        let (num, view_id) = (candidate.header.block_num, candidate.header.view_id);
        let outcome = match result {
            Ok(body) => execute(&self.ledger, &candidate.header, body),
            Err(NoBody::Invalid(reason)) => Err(reason),
            Err(NoBody::NotTheBody) => {
                candidate.body = Body::Missing;
                if let Some(from) = from {
                    punish(from, "body of another block", out);
                }
                return self.synced(now, block_hash, false, out);
            }
        };
        let valid = outcome.is_ok();
        match outcome {
            Ok(checked) => {
                candidate.body = Body::Checked(Box::new(checked));
                out.push(Output::Mark(Mark::Checked(num, view_id)));
                self.replica_event(now, Event::Available { block_hash }, out);
            }
            Err(reason) => {
                candidate.body = Body::Invalid;
                out.push(Output::Mark(Mark::InvalidBlock(num, reason)));
                self.replica_event(now, Event::Invalid { block_hash }, out);
            }
        }
        self.synced(now, block_hash, valid, out);
    }

    /// The record, and before it the bodies it binds this validator to: of the block it prepares, because a quorum of Prepares
    /// makes a certificate whose body somebody must still hold after a power cut, and of the one it is locked on.
    pub(super) fn persist(&mut self, record: SafetyRecord, out: &mut Vec<Output>) {
        let mut records = Vec::new();
        let prepared = record.prepare.map(|cast| cast.block_hash);
        let locked = record.lock.as_ref().map(|(certificate, _)| certificate.block_hash);
        for block_hash in prepared.into_iter().chain(locked) {
            records.extend(self.body_record(block_hash));
        }
        records.push(Record::Safety(record));
        out.push(Output::Persist(records));
    }

    /// The body of a block as a record, unless the journal has it.
    fn body_record(&mut self, block_hash: Hash) -> Option<Record> {
        if self.journaled.contains(&block_hash) {
            return None;
        }
        let body = self.candidates.get(&block_hash)?.body()?.to_vec();
        self.journaled.push(block_hash);
        Some(Record::Body { block_hash, body })
    }

    pub(super) fn finalize(&mut self, now: Millis, header: Header, seal: QuorumCertificate, out: &mut Vec<Output>) {
        let block_hash = header.hash();
        let mut records: Vec<_> = self.body_record(block_hash).into_iter().collect();
        records.push(Record::Final { header: header.clone(), seal: seal.certificate().clone() });
        out.push(Output::Persist(records));
        let candidate = self.candidates.remove(&block_hash);
        let Some(Candidate { body: Body::Checked(checked), .. }) = candidate else {
            unreachable!("the replica finalizes only blocks that were reported available");
        };
        let (body, execution) = *checked;
        let own = self.home.finalized(body.ids());
        self.ledger.commit(&body, execution).expect("it was executed on the tip, which has not moved since");
        self.previous_output = header.beacon.vrf_output;
        self.candidates.clear();
        self.journaled.clear();
        self.early.forget(header.block_num);
        out.push(Output::Mark(Mark::Final {
            block_num: header.block_num,
            block_hash,
            view_id: seal.view_id,
            proposer: header.proposer,
            transactions: header.transactions,
            body_bytes: header.chunks.body_bytes,
            state_root: header.state_root,
            own,
        }));
        if let Some(beacon) = &mut self.beacon {
            beacon.on_final(&header, now).expect("blocks become final in order");
            let window = beacon.next_field().map(|field| field.window);
            if self.proof_seen.map(|(seen, _)| seen) != window {
                self.proof_seen = window.map(|window| (window, header.block_num));
            }
        }
    }
}

/// Executes a body on the tip and compares with what its header says.
fn execute(
    ledger: &crate::ledger::workload::Ledger,
    header: &Header,
    body: CheckedBody,
) -> Result<(CheckedBody, Execution), String> {
    let execution = ledger.execute(&body).map_err(|e| e.to_string())?;
    if execution.state_root != header.state_root {
        return Err("the state root differs".into());
    }
    if execution.receipts_root != header.receipts_root {
        return Err("the receipts root differs".into());
    }
    Ok((body, execution))
}
