//! One validator without I/O: the replica, the ledger, chunk propagation, catching up and the beacon, joined.
//!
//! Inputs and time come in, outputs go out in order; what stands behind an [`Output::Persist`] must not leave before it is
//! durable. Heavy work leaves as a [`Job`] and comes back as its [`Done`]; a runtime runs jobs on threads, a simulation at
//! once. Nothing here knows a socket, a file or a clock.

mod blocks;
mod fetching;
mod randomness;
mod transactions;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use shardmark_kernels::backend::Control;

use crate::beacon::Beacon;
use crate::fbft::certificate::{Phase, QuorumCertificate};
use crate::fbft::committee::Committee;
use crate::fbft::crypto::Crypto;
use crate::fbft::message::{Envelope, MAX_ENVELOPE_BYTES};
use crate::fbft::refusal::Refusal;
use crate::fbft::{Action, Event, Note, Replica, ReplicaConfig, Tip};
use crate::ledger::TxId;
use crate::ledger::workload::Ledger;
use crate::net::Lane;
use crate::node::frame::{Fetch, Forward, Urgent};
use crate::node::job::{Done, Job};
use crate::node::journal::{Record, Recovered};
use crate::node::store::BlockStore;
use crate::propagation::{ChunkMessage, Dispersal, Early, EarlyLimits, Relay};
use crate::types::{BlockNum, Hash, Millis, ValidatorIndex, ViewId};

use blocks::Candidate;
use fetching::CatchUp;
use transactions::Home;

/// Messages of one sender that wait for their signatures to be checked; more are refused.
const MAX_UNVERIFIED: usize = 4096;

/// No frame of lane `consensus` is longer: a tag, then the longest message.
const MAX_URGENT_BYTES: usize = 1 + MAX_ENVELOPE_BYTES;

/// What a validator needs to know once.
#[derive(Clone)]
pub struct CoreConfig {
    /// Everybody.
    pub committee: Arc<Committee>,
    /// This one.
    pub me: ValidatorIndex,
    /// The state machine's own settings.
    pub replica: ReplicaConfig,
    /// Most bytes of a body.
    pub block_bytes: u32,
    /// How bodies are cut.
    pub dispersal: Arc<Dispersal>,
    /// How this one relays chunks.
    pub relay: Relay,
    /// Age after which an own transaction that is not final is forwarded again.
    pub forward_again_ms: Millis,
}

/// What comes in.
#[derive(Debug)]
pub enum Input {
    /// A frame of a peer.
    Frame {
        /// Whose, as its connection proves.
        from: ValidatorIndex,
        /// Its lane.
        lane: Lane,
        /// The payload.
        bytes: Bytes,
    },
    /// Own transactions: this validator is their home.
    Submit(Vec<Vec<u8>>),
    /// A job is done.
    Done(Box<Done>),
    /// The time asked for by [`Output::WakeAt`] has come; early ticks are harmless.
    Tick,
}

/// What goes out, in order.
#[derive(Debug)]
pub enum Output {
    /// A frame to one peer, or to all others.
    Send {
        /// `None` is all others.
        to: Option<ValidatorIndex>,
        /// The lane.
        lane: Lane,
        /// The payload.
        bytes: Bytes,
    },
    /// Make durable before anything later leaves.
    Persist(Vec<Record>),
    /// Heavy work, to run beside.
    Job(Job),
    /// Send [`Input::Tick`] at this time, in milliseconds; replaces the time before.
    WakeAt(Millis),
    /// For the report.
    Mark(Mark),
    /// A peer sent what no honest validator sends: end its connection.
    Punish {
        /// Who.
        peer: ValidatorIndex,
        /// What it did.
        reason: &'static str,
    },
    /// A backend failed: this validator cannot go on.
    Fail(String),
}

/// Marks for the report.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// The replica's own.
    Fbft(Note),
    /// The first chunk of a block came in.
    FirstChunk(BlockNum, ViewId),
    /// Enough chunks came in.
    KthChunk(BlockNum, ViewId),
    /// The body was executed and agrees with the header.
    Checked(BlockNum, ViewId),
    /// A block does not hold what its header says.
    InvalidBlock(BlockNum, String),
    /// A block is final here.
    Final {
        /// Height.
        block_num: BlockNum,
        /// Block.
        block_hash: Hash,
        /// View of its certificate.
        view_id: ViewId,
        /// Who proposed it.
        proposer: ValidatorIndex,
        /// Transactions in it.
        transactions: u32,
        /// Bytes of its body.
        body_bytes: u32,
        /// State behind it.
        state_root: Hash,
        /// Own transactions in it.
        own: Vec<TxId>,
    },
    /// What became of an own transaction at its home: `None` is admitted.
    Admission(Vec<(TxId, Option<&'static str>)>),
    /// Own transactions that left the pool by age.
    Expired(Vec<TxId>),
    /// Bytes were refused.
    Refused {
        /// Whose.
        from: ValidatorIndex,
        /// Why.
        reason: &'static str,
    },
    /// A delay function was evaluated or checked here.
    Vdf {
        /// The window.
        window: u64,
        /// How long the evaluation took.
        evaluate_ns: Option<u64>,
        /// How long the check took.
        verify_ns: Option<u64>,
    },
}

/// One validator.
pub struct Core {
    config: CoreConfig,
    crypto: Arc<dyn Crypto>,
    replica: Replica,
    store: Box<dyn BlockStore>,
    ledger: Ledger,
    /// `None` in runs without one.
    beacon: Option<Beacon>,
    /// The delay function that runs here, and how to stop it.
    evaluation: Option<(u64, Arc<Control>)>,
    /// The oldest window with a proof for a header, and the height at which it was first there.
    proof_seen: Option<(u64, BlockNum)>,
    /// Blocks at the height in progress, by hash.
    candidates: BTreeMap<Hash, Candidate>,
    /// Chunks whose header is not known yet.
    early: Early,
    unverified: VecDeque<(ValidatorIndex, Envelope)>,
    unverified_of: Vec<usize>,
    verifying: bool,
    home: Home,
    catch_up: CatchUp,
    /// Bodies that are in the journal and not yet final.
    journaled: Vec<Hash>,
    /// Output of the tip's VRF.
    previous_output: Hash,
    /// What the replica must hear next; a queue, so that its actions are carried out in order.
    events: VecDeque<Event>,
    applying: bool,
    wake_replica: Option<Millis>,
    woken_at: Option<Millis>,
}

impl Core {
    /// A validator on the state that `recovered` leaves: its final blocks are executed again, its safety record restored.
    ///
    /// # Errors
    ///
    /// The journal contradicts itself or this configuration.
    #[expect(clippy::too_many_arguments, reason = "the parts of a validator, each of its own type")]
    pub fn new(
        config: CoreConfig,
        crypto: Arc<dyn Crypto>,
        checker: &crate::ledger::workload::Checker,
        mut ledger: Ledger,
        mut beacon: Option<Beacon>,
        store: Box<dyn BlockStore>,
        recovered: Recovered,
        now: Millis,
        out: &mut Vec<Output>,
    ) -> Result<Self, String> {
        let mut tip = Tip { block_num: BlockNum(0), hash: Hash([0; 32]), proposer: ValidatorIndex(0), seal: None };
        let mut previous_output = Hash([0; 32]);
        let mut actions = Vec::new();
        for (header, seal) in recovered.blocks {
            let hash = header.hash();
            let follows = header.parent == tip.hash && Some(header.block_num.0) == tip.block_num.0.checked_add(1);
            let sealed = seal.phase == Phase::Commit && seal.block_num == header.block_num && seal.block_hash == hash;
            if !follows || !sealed {
                return Err(format!(
                    "journal: block {} does not follow the one before or has another's seal",
                    header.block_num
                ));
            }
            let body = store.body(&hash).ok_or_else(|| format!("journal: block {} has no body", header.block_num))?;
            let body = checker.check_body(body).map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            let execution = ledger.execute(&body).map_err(|e| format!("journal: block {}: {e}", header.block_num))?;
            if execution.state_root != header.state_root {
                return Err(format!("journal: block {} does not give its state root", header.block_num));
            }
            ledger.commit(&body, execution).map_err(|e| e.to_string())?;
            if let Some(beacon) = &mut beacon {
                beacon.on_final(&header, now).map_err(|want| format!("journal: the beacon is at block {want}"))?;
            }
            previous_output = header.beacon.vrf_output;
            let seal = QuorumCertificate::try_new(seal, &config.committee, &*crypto)
                .map_err(|e| format!("journal: seal of block {}: {e}", header.block_num))?;
            tip = Tip { block_num: header.block_num, hash, proposer: header.proposer, seal: Some(seal) };
        }
        let replica = Replica::new(config.replica.clone(), crypto.clone(), now, tip, recovered.safety, &mut actions);
        let validators = usize::from(config.committee.validators());
        let mut core = Self {
            early: Early::new(EarlyLimits {
                max_chunks: 2 * usize::from(config.dispersal.chunks()),
                max_bytes: 2 * usize::from(config.dispersal.chunks()) * config.dispersal.max_chunk_bytes(),
            }),
            home: Home::new(),
            catch_up: CatchUp::default(),
            candidates: BTreeMap::new(),
            unverified: VecDeque::new(),
            unverified_of: vec![0; validators],
            verifying: false,
            journaled: Vec::new(),
            events: VecDeque::new(),
            applying: false,
            wake_replica: None,
            woken_at: None,
            previous_output,
            config,
            crypto,
            replica,
            store,
            ledger,
            beacon,
            evaluation: None,
            proof_seen: None,
        };
        core.carry_out(now, actions, out);
        core.settle(now, out);
        Ok(core)
    }

    /// Takes one input at a time that never runs backwards.
    pub fn handle(&mut self, now: Millis, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Frame { from, lane, bytes } => self.on_frame(now, from, lane, &bytes, out),
            Input::Submit(transactions) => self.home.submit(transactions),
            Input::Done(done) => self.on_done(now, *done, out),
            Input::Tick => {
                self.woken_at = None;
                if self.wake_replica.is_some_and(|at| at <= now) {
                    self.wake_replica = None;
                    self.replica_event(now, Event::Tick, out);
                }
            }
        }
        self.settle(now, out);
    }

    /// The replica, to look at.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The ledger, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Starts what waits for its turn, and says when to wake up.
    fn settle(&mut self, now: Millis, out: &mut Vec<Output>) {
        if !self.verifying && !self.unverified.is_empty() {
            self.verifying = true;
            self.unverified_of.fill(0);
            out.push(Output::Job(Job::Verify(self.unverified.drain(..).collect())));
        }
        self.settle_transactions(now, out);
        self.settle_fetching(now, out);
        self.settle_beacon(now, out);
        let wake = [self.wake_replica, self.transactions_wake(), self.fetching_wake(), self.beacon_wake()];
        let wake = wake.into_iter().flatten().min();
        if let Some(at) = wake
            && self.woken_at != Some(at)
        {
            self.woken_at = Some(at);
            out.push(Output::WakeAt(at));
        }
    }

    fn on_frame(&mut self, now: Millis, from: ValidatorIndex, lane: Lane, bytes: &[u8], out: &mut Vec<Output>) {
        if from == self.config.me || from.0 >= self.config.committee.validators() {
            return;
        }
        match lane {
            Lane::Consensus if bytes.len() > MAX_URGENT_BYTES => punish(from, "consensus frame too long", out),
            Lane::Consensus => match borsh::from_slice(bytes) {
                Ok(Urgent::Fbft(envelope)) => self.on_envelope(now, from, envelope, out),
                Ok(Urgent::Vdf(message)) => self.on_vdf(from, message, out),
                Err(_) => punish(from, "malformed consensus frame", out),
            },
            Lane::Chunks => match ChunkMessage::decode(bytes, self.config.dispersal.max_chunk_bytes()) {
                Ok(chunk) => self.on_chunk(now, from, chunk, out),
                Err(_) => punish(from, "malformed chunk frame", out),
            },
            Lane::Transactions => match borsh::from_slice::<Forward>(bytes) {
                Ok(forward) => self.on_forward(from, forward, out),
                Err(_) => punish(from, "malformed transaction frame", out),
            },
            Lane::Fetch => match borsh::from_slice::<Fetch>(bytes) {
                Ok(fetch) => self.on_fetch(now, from, fetch, out),
                Err(_) => punish(from, "malformed fetch frame", out),
            },
        }
    }

    fn on_envelope(&mut self, now: Millis, from: ValidatorIndex, envelope: Envelope, out: &mut Vec<Output>) {
        let waiting = &mut self.unverified_of[usize::from(from.0)];
        let wanted =
            if *waiting < MAX_UNVERIFIED { self.replica.wants(from, &envelope) } else { Err(Refusal::BufferFull) };
        match wanted {
            Ok(()) => {
                *waiting += 1;
                self.unverified.push_back((from, envelope));
            }
            Err(reason) => self.refuse(now, from, &envelope, reason, out),
        }
    }

    fn refuse(
        &mut self,
        now: Millis,
        from: ValidatorIndex,
        envelope: &Envelope,
        reason: Refusal,
        out: &mut Vec<Output>,
    ) {
        let mut actions = Vec::new();
        self.replica.refuse(now, from, envelope, reason, &mut actions);
        self.carry_out(now, actions, out);
    }

    fn replica_event(&mut self, now: Millis, event: Event, out: &mut Vec<Output>) {
        self.events.push_back(event);
        self.carry_out(now, Vec::new(), out);
    }

    /// Carries out actions, then what they cause in the replica, in order.
    fn carry_out(&mut self, now: Millis, actions: Vec<Action>, out: &mut Vec<Output>) {
        if self.applying {
            debug_assert!(actions.is_empty(), "only events are raised while actions are carried out");
            return;
        }
        self.applying = true;
        self.apply(now, actions, out);
        while let Some(event) = self.events.pop_front() {
            let mut actions = Vec::new();
            self.replica.handle(now, event, &mut actions);
            self.apply(now, actions, out);
        }
        self.applying = false;
    }

    fn apply(&mut self, now: Millis, actions: Vec<Action>, out: &mut Vec<Output>) {
        for action in actions {
            match action {
                Action::Persist(record) => self.persist(record, out),
                Action::Send { to, message } => out.push(urgent(Some(to), &Urgent::Fbft(message))),
                Action::Broadcast(message) => out.push(urgent(None, &Urgent::Fbft(message))),
                Action::Build { block_num, view_id } => self.build(block_num, view_id, out),
                Action::Obtain { header, from } => self.obtain(now, header, from, out),
                Action::Distribute { header } => self.distribute(&header, out),
                Action::Finalize { header, seal } => self.finalize(now, header, seal, out),
                Action::Behind { from, block_num } => self.on_behind(now, from, block_num, out),
                Action::PeerBehind { to, block_num } => self.push_final(to, block_num, out),
                Action::WakeAt(at) => self.wake_replica = Some(at),
                Action::Note(note) => self.note(note, out),
            }
        }
    }

    /// The replica's refusals are counted as they are; those that prove their sender faulty cost it the connection.
    fn note(&self, note: Note, out: &mut Vec<Output>) {
        let offender = match note {
            Note::Refused { from, reason } if reason.is_offence() && from != self.config.me => Some(from),
            _ => None,
        };
        out.push(Output::Mark(Mark::Fbft(note)));
        out.extend(offender.map(|peer| Output::Punish { peer, reason: "offence against the protocol" }));
    }

    fn on_done(&mut self, now: Millis, done: Done, out: &mut Vec<Output>) {
        match done {
            Done::Verified(verdicts) => {
                self.verifying = false;
                for (from, verdict) in verdicts {
                    match verdict {
                        Ok(message) => self.replica_event(now, Event::Message { from, message }, out),
                        Err((envelope, reason)) => self.refuse(now, from, &envelope, reason, out),
                    }
                }
            }
            Done::Cut(done) => self.on_cut(now, *done, out),
            Done::Assembled { block_hash, from, result } => self.on_assembled(now, block_hash, from, result, out),
            Done::Admitted(verdicts) => self.on_admitted(now, verdicts, out),
            Done::VdfEvaluated { window, output_and_proof, ns } => {
                self.on_vdf_evaluated(window, output_and_proof, ns, out);
            }
            Done::VdfVerified { verification, from, valid, ns } => {
                self.on_vdf_verified(verification, from, valid, ns, out);
            }
            Done::VdfCancelled => {}
            Done::Failed(reason) => out.push(Output::Fail(reason)),
        }
    }
}

fn punish(peer: ValidatorIndex, reason: &'static str, out: &mut Vec<Output>) {
    out.push(Output::Mark(Mark::Refused { from: peer, reason }));
    out.push(Output::Punish { peer, reason });
}

fn urgent(to: Option<ValidatorIndex>, message: &Urgent) -> Output {
    Output::Send { to, lane: Lane::Consensus, bytes: encode(message) }
}

/// The frame of a message.
fn encode<T: borsh::BorshSerialize>(message: &T) -> Bytes {
    borsh::to_vec(message).expect("encoding into memory does no I/O").into()
}
