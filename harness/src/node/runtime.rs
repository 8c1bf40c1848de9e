//! A validator process: the core on its thread, jobs on theirs, QUIC, the journal, the load and the records.
//!
//! One thread owns the core. Everything reaches it through one channel, bounded so that a peer that sends more than this
//! node can take slows down on its own connection. What the core wants durable is synced before a later frame leaves.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::cluster::Usage;
use crate::cluster::control::{FromNode, ToNode};
use crate::cluster::spec::NodeSpec;
use crate::fbft::bls::BlsCommittee;
use crate::ledger::TxId;
use crate::load::Load;
use crate::net::{Endpoint, Handle, Inbound, Stats};
use crate::node::core::{Core, Input, Mark, Output};
use crate::node::job::{Context, Done, Job, JobLane};
use crate::node::journal::{Journal, Record};
use crate::node::marks;
use crate::node::setup::{self, Parts};
use crate::record::{Clock, Payload, Recorder, RecorderOptions, TransactionCounts};
use crate::types::BlockNum;

/// Frames and results that wait for the core.
const WAITING: usize = 8192;
/// Inputs the core takes between two looks at the clock.
const BURST: usize = 256;
/// Transactions that the generator hands over at once.
const BATCH: usize = 1024;
/// Until all peers are connected.
const CONNECT_WITHIN: Duration = Duration::from_secs(60);
/// Until queued frames have left at the end.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);

/// What reaches the core's thread.
enum Wake {
    Net(Inbound),
    Done(Box<Done>),
    Due(Vec<Due>),
    LoadOver,
    Control(ToNode),
    /// The launcher is gone.
    Orphaned,
}

/// An own transaction whose time has come.
struct Due {
    id: TxId,
    scheduled_ns: u64,
    /// When the generator let go of it, before any wait for this node.
    sent_ns: u64,
    bytes: Vec<u8>,
}

/// Runs a validator as its file says. The exit code is the process's.
pub fn main(spec: &Path) -> ExitCode {
    match run(spec) {
        Ok(()) => {
            say(&FromNode::Stopped);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = if error.downcast_ref::<Usage>().is_some() { 2 } else { 4 };
            say(&FromNode::Failed { reason: format!("{error:#}"), code });
            ExitCode::from(code)
        }
    }
}

fn say(message: &FromNode) {
    let mut out = std::io::stdout().lock();
    // A launcher that no longer listens is noticed at the standard input.
    let _ = serde_json::to_writer(&mut out, message)
        .map_err(std::io::Error::from)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush());
}

fn run(spec: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(spec).with_context(|| format!("cannot read {}", spec.display()))?;
    let spec: NodeSpec =
        serde_json::from_slice(&text).with_context(|| format!("{} is no node file", spec.display()))?;
    let (sender, wakes) = sync_channel(WAITING);
    listen_to_launcher(sender.clone());

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _guard = runtime.enter();
    let config = spec.config.clone();
    let port = match config.cluster.base_port {
        0 => 0,
        base => base.checked_add(spec.index.0).context("base_port is too high for this many validators")?,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let endpoint = Endpoint::bind(address, setup::identity(&spec)?, setup::transport(&config, spec.index))?;
    say(&FromNode::Listening { address: endpoint.local_addr() });

    let parts = setup::parts(&spec)?;
    let roster = loop {
        match wakes.recv()? {
            Wake::Control(ToNode::Roster { roster }) => break roster,
            Wake::Control(ToNode::Stop) | Wake::Orphaned => return Ok(()),
            _ => {}
        }
    };
    let (net, mut inbox) = endpoint.start(&roster, spec.index)?;
    runtime.block_on(net.wait_connected(CONNECT_WITHIN))?;
    let frames = sender.clone();
    std::thread::Builder::new().name("frames".into()).spawn(move || {
        while let Some(inbound) = inbox.blocking_recv() {
            if frames.send(Wake::Net(inbound)).is_err() {
                return;
            }
        }
    })?;
    say(&FromNode::Ready);

    let clock = loop {
        match wakes.recv()? {
            Wake::Control(ToNode::Start { monotonic_ns }) => break Clock::from_start_ns(monotonic_ns),
            Wake::Control(ToNode::Stop) | Wake::Orphaned => return Ok(()),
            // Peers that start a little earlier are heard once this one runs.
            Wake::Net(_) => {}
            _ => {}
        }
    };
    let warmup = nanos(config.load.warmup.duration());
    let recorder = Recorder::create(
        &spec.bundle,
        RecorderOptions {
            node: format!("node-{:02}", spec.index),
            shard: config.cluster.shard,
            clock,
            window_ns: warmup..nanos(config.load_end()),
        },
    )?;
    recorder.record(Payload::Started {
        validator: spec.index,
        power: parts.committee.slots_of(spec.index).len() as u16,
        pid: std::process::id(),
    });
    std::thread::sleep(clock.until(0));
    net.begin_impairment();

    let (mut node, load) = Node::start(&spec, parts, net, recorder, clock, sender.clone())?;
    let result = node.follow(load, &wakes, sender);
    let ended = node.end(&runtime);
    result.and(ended)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn listen_to_launcher(sender: SyncSender<Wake>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(message) => {
                    if sender.send(Wake::Control(message)).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("the launcher said what no launcher says: {error}"),
            }
        }
        let _ = sender.send(Wake::Orphaned);
    });
}

/// A running validator.
struct Node {
    core: Core,
    net: Handle,
    /// The transport's counts when the run began.
    before: Stats,
    journal: Arc<Mutex<Journal>>,
    recorder: Recorder,
    clock: Clock,
    jobs: BTreeMap<JobLane, Sender<Job>>,
    wake_at_ms: Option<u64>,
    /// Own transactions that are not settled: when they were due and when they were sent.
    open: HashMap<TxId, (u64, u64)>,
    counts: TransactionCounts,
    block_num: BlockNum,
    view_changes: u64,
    vdf_deadline_ns: u64,
}

impl Node {
    fn start(
        spec: &NodeSpec,
        parts: Parts,
        net: Handle,
        recorder: Recorder,
        clock: Clock,
        sender: SyncSender<Wake>,
    ) -> anyhow::Result<(Self, Load)> {
        let path = spec.data.join("journal");
        let (journal, recovered) = Journal::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let journal = Arc::new(Mutex::new(journal));
        let context = Arc::new(parts.context(spec, Some(recorder.clone())));
        let mut jobs = BTreeMap::new();
        for lane in JobLane::ALL {
            jobs.insert(lane, worker(lane, Arc::clone(&context), Arc::clone(&parts.bls), sender.clone())?);
        }
        let mut outputs = Vec::new();
        let core = Core::new(
            parts.core_config.clone(),
            context.crypto(crate::record::Job::Certificate, None),
            &parts.checker,
            parts.ledger,
            parts.beacon,
            Box::new(Arc::clone(&journal)),
            recovered,
            clock.now_ms(),
            &mut outputs,
        )
        .map_err(|e| anyhow!(e))?;
        let mut node = Self {
            core,
            before: net.stats(),
            net,
            journal,
            recorder,
            clock,
            jobs,
            wake_at_ms: None,
            open: HashMap::new(),
            counts: TransactionCounts::default(),
            block_num: BlockNum(0),
            view_changes: 0,
            vdf_deadline_ns: nanos(spec.config.beacon.timeout.duration()),
        };
        node.carry_out(outputs)?;
        Ok((node, parts.load))
    }

    /// Until the launcher says stop.
    fn follow(&mut self, load: Load, wakes: &Receiver<Wake>, sender: SyncSender<Wake>) -> anyhow::Result<()> {
        generate(load, self.clock, sender)?;
        let mut load_over = false;
        let mut drained = false;
        let mut next_report = Instant::now();
        loop {
            let wait =
                self.wake_at_ms.map_or(Duration::from_millis(500), |at| self.clock.until(at.saturating_mul(1_000_000)));
            let mut next = match wakes.recv_timeout(wait.min(Duration::from_millis(500))) {
                Ok(wake) => Some(wake),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("all of this node's threads ended")),
            };
            let mut taken = 0;
            while let Some(wake) = next {
                match wake {
                    Wake::Net(frame) => {
                        self.input(Input::Frame { from: frame.from, lane: frame.lane, bytes: frame.bytes })?;
                    }
                    Wake::Done(done) => self.input(Input::Done(done))?,
                    Wake::Due(due) => self.submit(due)?,
                    Wake::LoadOver => load_over = true,
                    Wake::Control(ToNode::Stop) | Wake::Orphaned => return Ok(()),
                    Wake::Control(_) => {}
                }
                taken += 1;
                next = if taken < BURST { wakes.try_recv().ok() } else { None };
            }
            if self.wake_at_ms.is_some_and(|at| at <= self.clock.now_ms()) {
                self.wake_at_ms = None;
                self.input(Input::Tick)?;
            }
            if Instant::now() >= next_report {
                next_report = Instant::now() + Duration::from_secs(1);
                self.report();
            }
            if load_over && self.open.is_empty() && !drained {
                drained = true;
                self.report();
                say(&FromNode::Drained);
            }
        }
    }

    fn input(&mut self, input: Input) -> anyhow::Result<()> {
        let mut outputs = Vec::new();
        self.core.handle(self.clock.now_ms(), input, &mut outputs);
        self.carry_out(outputs)
    }

    fn submit(&mut self, due: Vec<Due>) -> anyhow::Result<()> {
        let mut transactions = Vec::with_capacity(due.len());
        for Due { id, scheduled_ns, sent_ns, bytes } in due {
            self.recorder.lateness(scheduled_ns, sent_ns);
            self.open.insert(id, (scheduled_ns, sent_ns));
            self.counts.scheduled += 1;
            transactions.push(bytes);
        }
        self.input(Input::Submit(transactions))
    }

    fn carry_out(&mut self, outputs: Vec<Output>) -> anyhow::Result<()> {
        for output in outputs {
            match output {
                Output::Send { to, lane, bytes } => match to {
                    // What a full queue drops is counted there.
                    Some(to) => drop(self.net.send(to, lane, bytes)),
                    None => drop(self.net.broadcast(lane, bytes)),
                },
                Output::Persist(records) => self.persist(&records)?,
                Output::Job(job) => {
                    let lane = job.lane();
                    self.jobs[&lane].send(job).map_err(|_| anyhow!("the {lane:?} worker ended"))?;
                }
                Output::WakeAt(at) => self.wake_at_ms = Some(at),
                Output::Punish { peer, reason } => self.net.disconnect(peer, reason),
                Output::Mark(mark) => self.mark(mark),
                Output::Fail(reason) => return Err(anyhow!(reason)),
            }
        }
        Ok(())
    }

    fn persist(&mut self, records: &[Record]) -> anyhow::Result<()> {
        let mut journal = self.journal.lock().map_err(|_| anyhow!("the journal's lock is broken"))?;
        journal.append(records).context("cannot write the journal")
    }

    fn mark(&mut self, mark: Mark) {
        let now = self.clock.now_ns();
        match mark {
            Mark::Admission(outcomes) => {
                for (id, refused) in outcomes {
                    self.counts.sent += 1;
                    match refused {
                        None => self.counts.admitted += 1,
                        Some(reason) => {
                            self.open.remove(&id);
                            *self.counts.rejected_at_home.entry(reason.to_owned()).or_default() += 1;
                        }
                    }
                }
            }
            Mark::Expired(ids) => {
                for id in ids {
                    if self.open.remove(&id).is_some() {
                        self.counts.expired += 1;
                    }
                }
            }
            Mark::Final { block_num, block_hash, view_id, proposer, transactions, body_bytes, state_root, own } => {
                self.block_num = block_num;
                for id in own {
                    if let Some((scheduled_ns, sent_ns)) = self.open.remove(&id) {
                        self.counts.finalized += 1;
                        self.recorder.finality(scheduled_ns, sent_ns, now);
                    }
                }
                self.recorder.record_at(
                    now,
                    Payload::Final {
                        block_num,
                        block_hash,
                        view_id,
                        proposer,
                        transactions: transactions.into(),
                        body_bytes: body_bytes.into(),
                        state_root,
                    },
                );
                // What this block cost is what was sent since the one before it.
                self.recorder.record(marks::net_sample(&self.net.stats()));
            }
            Mark::Refused { from, reason } => self.recorder.refused(Some(from), reason),
            Mark::Vdf { window, evaluate_ns, verify_ns } => {
                let deadline_ns = self.vdf_deadline_ns;
                self.recorder.record_at(now, Payload::Vdf { window, evaluate_ns, verify_ns, deadline_ns });
            }
            Mark::InvalidBlock(num, reason) => eprintln!("block {num} is invalid: {reason}"),
            other => {
                let started = marks::record(&self.recorder, now, other);
                self.view_changes += u64::from(started);
            }
        }
    }

    fn report(&mut self) {
        self.recorder.record(Payload::Transactions(self.counted()));
        self.recorder.record(marks::net_sample(&self.net.stats()));
        say(&FromNode::Progress {
            block_num: self.block_num.0,
            finalized: self.counts.finalized,
            due: self.counts.scheduled,
            view_changes: self.view_changes,
        });
    }

    /// The counts at this moment. What the home has not judged yet counts as not sent.
    fn counted(&self) -> TransactionCounts {
        let c = &self.counts;
        TransactionCounts {
            unsent: c.scheduled - c.sent,
            unfinished: c.admitted - c.finalized - c.expired,
            duplicates: self.core.ledger().pool().counts().duplicate,
            ..c.clone()
        }
    }

    /// Stops the threads and makes the records durable. Also after a failure: what was measured is kept.
    fn end(mut self, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
        self.core.cancel();
        self.recorder.record(Payload::Transactions(self.counted()));
        self.recorder.record(marks::net_sample(&self.net.stats()));
        let stats = self.net.stats();
        marks::record_refused(&self.recorder, &self.before, &stats);
        runtime.block_on(self.net.shutdown(FLUSH_WITHIN));
        self.recorder.close()?;
        Ok(())
    }
}

/// A thread that runs the jobs of one lane in order.
fn worker(
    lane: JobLane,
    context: Arc<Context>,
    bls: Arc<BlsCommittee>,
    sender: SyncSender<Wake>,
) -> anyhow::Result<Sender<Job>> {
    let (jobs, waiting) = channel::<Job>();
    std::thread::Builder::new().name(format!("{lane:?}").to_lowercase()).spawn(move || {
        for job in waiting {
            let done = job.run(&context);
            // After a failure every verdict may be a refusal without reason.
            let done = bls.failure().map_or(done, |error| Done::Failed(format!("bls: {error}")));
            if sender.send(Wake::Done(Box::new(done))).is_err() {
                return;
            }
        }
    })?;
    Ok(jobs)
}

/// Sends transactions when they are due; behind schedule at once. It never waits for the node.
fn generate(mut load: Load, clock: Clock, sender: SyncSender<Wake>) -> anyhow::Result<()> {
    std::thread::Builder::new().name("load".into()).spawn(move || {
        while let Some(next_ns) = load.next_due_ns() {
            std::thread::sleep(clock.until(next_ns));
            let sent_ns = clock.now_ns();
            let due = load.due(sent_ns, BATCH).into_iter();
            let due = due.map(|due| Due { id: due.id, scheduled_ns: due.scheduled_ns, sent_ns, bytes: due.bytes });
            if sender.send(Wake::Due(due.collect())).is_err() {
                return;
            }
        }
        let _ = sender.send(Wake::LoadOver);
    })?;
    Ok(())
}
