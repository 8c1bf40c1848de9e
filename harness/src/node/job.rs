//! Heavy work of a validator, apart from its state: pure functions of what they are given, run on any thread.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use shardmark_kernels::backend::{Control, Description, Error, Kernel};
use shardmark_kernels::erasure::{Disperse, Retrieve};

use crate::beacon::{DelayFunction, Verification, vrf_message, vrf_output};
use crate::block::{Header, VdfField};
use crate::fbft::bitmap::SignerBitmap;
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto};
use crate::fbft::message::{Envelope, Message};
use crate::fbft::{Refusal, Verified, verify};
use crate::ledger::Checked;
use crate::ledger::workload::{CheckedBody, Checker, Execution, Verdicts};
use crate::propagation::{self, Assembled, Cut, Dispersal};
use crate::record;
use crate::types::{BlockNum, Hash, Signature, Slot, ValidatorIndex, ViewId};

/// Which thread runs a job. Lanes do not wait for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobLane {
    /// Signatures of consensus messages.
    Verify,
    /// Bodies: cut, put together, checked.
    Blocks,
    /// Transactions on their way into the pool.
    Admit,
    /// Evaluation of the delay function, which may take as long as a whole run.
    Evaluate,
    /// Verification of others' delay proofs.
    Delay,
}

impl JobLane {
    /// Every lane.
    pub const ALL: [Self; 5] = [Self::Verify, Self::Blocks, Self::Admit, Self::Evaluate, Self::Delay];
}

/// Work to do.
#[derive(Debug)]
pub enum Job {
    /// Check the signatures of these messages.
    Verify(Vec<(ValidatorIndex, Envelope)>),
    /// Cut a block that was built here.
    Cut(Box<CutJob>),
    /// Put a block together and check all of it that needs no state.
    Assemble(Box<AssembleJob>),
    /// Check transactions.
    Admit(Vec<Vec<u8>>),
    /// Evaluate a window's delay function.
    VdfEvaluate {
        /// The window.
        window: u64,
        /// Its seed.
        seed: Hash,
        /// Stops it.
        control: Arc<Control>,
    },
    /// Check somebody's delay proof.
    VdfVerify {
        /// What to check.
        verification: Verification,
        /// Whose it is.
        from: ValidatorIndex,
    },
}

/// See [`Job::Cut`].
#[derive(Debug)]
pub struct CutJob {
    /// Height.
    pub block_num: BlockNum,
    /// View.
    pub view_id: ViewId,
    /// Hash of the tip it was built on.
    pub parent: Hash,
    /// The body.
    pub body: CheckedBody,
    /// What it does.
    pub execution: Execution,
    /// Output of the tip's VRF.
    pub previous_output: Hash,
    /// A finished delay function to include.
    pub vdf: Option<VdfField>,
}

/// See [`Job::Assemble`].
#[derive(Debug)]
pub struct AssembleJob {
    /// The block.
    pub block_hash: Hash,
    /// Its header.
    pub header: Header,
    /// Where the body comes from.
    pub source: Source,
    /// Output of the tip's VRF.
    pub previous_output: Hash,
    /// The header's delay proof, if it has one that is not known to be good.
    pub vdf: Option<Verification>,
}

/// Where a body comes from.
#[derive(Debug)]
pub enum Source {
    /// Enough proven chunks.
    Chunks(propagation::Job),
    /// Somebody's word, or the own journal's.
    Body {
        /// The encoded body.
        body: Vec<u8>,
        /// Who sent it; `None` is the journal.
        from: Option<ValidatorIndex>,
    },
}

/// A message whose signatures hold, or the message and why it is refused.
pub type Judged = Result<Verified, (Envelope, Refusal)>;

/// What a job found.
#[derive(Debug)]
pub enum Done {
    /// A verdict per message; those refused come back.
    Verified(Vec<(ValidatorIndex, Judged)>),
    /// The block is cut; the header lacks only its parent seal.
    Cut(Box<CutDone>),
    /// The block was put together.
    Assembled {
        /// Which one.
        block_hash: Hash,
        /// Who sent its body, if it came whole.
        from: Option<ValidatorIndex>,
        /// The body, or why there is none.
        result: Result<CheckedBody, NoBody>,
    },
    /// A verdict per transaction.
    Admitted(Verdicts<Checked>),
    /// A delay function was evaluated.
    VdfEvaluated {
        /// The window.
        window: u64,
        /// Output and proof.
        output_and_proof: Vec<u8>,
        /// How long it took.
        ns: u64,
    },
    /// An evaluation was stopped.
    VdfCancelled,
    /// A delay proof was checked.
    VdfVerified {
        /// What was checked.
        verification: Verification,
        /// Whose it is.
        from: ValidatorIndex,
        /// The verdict.
        valid: bool,
        /// How long it took.
        ns: u64,
    },
    /// A backend failed, or was told to stop. Nothing is known.
    Failed(String),
}

/// See [`Done::Cut`].
#[derive(Debug)]
pub struct CutDone {
    /// What was asked.
    pub job: CutJob,
    /// Commitment and chunks.
    pub cut: Cut,
    /// The proposer's VRF.
    pub vrf_proof: Signature,
    /// Its output.
    pub vrf_output: Hash,
}

/// Why a source gave no body for a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// The bytes are not this header's body: the sender's fault, the block may be good.
    NotTheBody,
    /// The block is invalid, and every validator comes to that.
    Invalid(String),
}

/// What jobs need: kernels on their backends, and where calls are written down.
pub struct Context {
    /// Everybody.
    pub committee: Arc<Committee>,
    /// Own slots.
    pub slots: Vec<Slot>,
    /// Signatures.
    pub crypto: Arc<dyn Crypto>,
    /// Transactions.
    pub checker: Arc<Checker>,
    /// Chunks.
    pub dispersal: Arc<Dispersal>,
    /// The delay function; `None` in runs without a beacon.
    pub delay: Option<DelayFunction>,
    /// Where kernel calls go; `None` in simulations.
    pub observer: Option<Arc<dyn Observer>>,
}

/// One kernel call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The kernel.
    pub kernel: &'static str,
    /// What ran.
    pub description: &'a Description,
    /// What was timed besides the kernel, if anything.
    pub with: &'static str,
    /// Items in the batch.
    pub items: u64,
    /// Data bytes.
    pub bytes: u64,
    /// Bytes in to verdict out.
    pub total_ns: u64,
    /// What it was for.
    pub job: record::Job,
    /// For which block.
    pub block_num: Option<BlockNum>,
}

/// Takes note of kernel calls.
pub trait Observer: Send + Sync {
    /// A step of a block that happens inside a job, now.
    fn marked(&self, block_num: BlockNum, view_id: ViewId, mark: record::Mark);
    /// One call ended now.
    fn called(&self, call: Call<'_>);
    /// The signatures' backend, seen through a timer that labels its calls.
    fn timed(&self, crypto: &Arc<dyn Crypto>, job: record::Job, block_num: Option<BlockNum>) -> Arc<dyn Crypto>;
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// Signatures, their calls labelled.
    pub fn crypto(&self, job: record::Job, block_num: Option<BlockNum>) -> Arc<dyn Crypto> {
        match &self.observer {
            Some(observer) => observer.timed(&self.crypto, job, block_num),
            None => Arc::clone(&self.crypto),
        }
    }
}

impl Job {
    /// Where it runs.
    pub fn lane(&self) -> JobLane {
        match self {
            Self::Verify(_) => JobLane::Verify,
            Self::Cut(_) | Self::Assemble(_) => JobLane::Blocks,
            Self::Admit(_) => JobLane::Admit,
            Self::VdfEvaluate { .. } => JobLane::Evaluate,
            Self::VdfVerify { .. } => JobLane::Delay,
        }
    }

    /// Does it.
    pub fn run(self, context: &Context) -> Done {
        match self {
            Self::Verify(messages) => run_verify(messages, context),
            Self::Cut(job) => run_cut(*job, context),
            Self::Assemble(job) => run_assemble(*job, context),
            Self::Admit(transactions) => run_admit(transactions, context),
            Self::VdfEvaluate { window, seed, control } => {
                let Some(delay) = &context.delay else { return Done::Failed("this run has no beacon".into()) };
                let (result, ns) = timed(|| delay.evaluate(&seed, &control));
                match result {
                    Ok(output_and_proof) => Done::VdfEvaluated { window, output_and_proof, ns },
                    Err(Error::Cancelled) => Done::VdfCancelled,
                    Err(error) => Done::Failed(format!("vdf/evaluate: {error}")),
                }
            }
            Self::VdfVerify { verification, from } => {
                let (valid, ns) = timed(|| context.proves(&verification));
                Done::VdfVerified { verification, from, valid, ns }
            }
        }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = Instant::now();
    let result = work();
    (result, u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn run_verify(messages: Vec<(ValidatorIndex, Envelope)>, context: &Context) -> Done {
    let (job, block_num) = messages.first().map_or((record::Job::Prepare, None), |(_, first)| label(&first.message));
    let verdicts = verify(&messages, &context.committee, &*context.crypto(job, block_num));
    let returned = messages.into_iter().zip(verdicts);
    Done::Verified(
        returned.map(|((from, envelope), verdict)| (from, verdict.map_err(|reason| (envelope, reason)))).collect(),
    )
}

/// What a batch of messages is for, by its first: votes of one phase come together.
fn label(message: &Message) -> (record::Job, Option<BlockNum>) {
    let job = match message {
        Message::Announce(_) => record::Job::Announce,
        Message::Prepare(_) => record::Job::Prepare,
        Message::Prepared(_) => record::Job::Prepared,
        Message::Commit(_) => record::Job::Commit,
        Message::Committed(_) => record::Job::Committed,
        Message::ViewChange(_) | Message::NewView(_) => record::Job::ViewChange,
    };
    (job, Some(message.block_num()))
}

fn run_cut(job: CutJob, context: &Context) -> Done {
    context.mark(job.block_num, job.view_id, record::Mark::Cut);
    let (cut, ns) = timed(|| context.dispersal.cut(job.body.as_bytes()));
    let cut = match cut {
        Ok(cut) => cut,
        Err(error) => return Done::Failed(format!("{}: {error}", Disperse::NAME)),
    };
    context.note_chunks(
        Disperse::NAME,
        "with proofs",
        job.body.as_bytes().len(),
        ns,
        record::Job::Propose,
        job.block_num,
    );
    let Some(&slot) = context.slots.first() else { return Done::Failed("this validator has no slot".into()) };
    let message =
        vrf_message(context.committee.chain(), context.committee.shard(), job.block_num, &job.previous_output);
    let vrf_proof = context.crypto(record::Job::Beacon, Some(job.block_num)).sign(&[slot], &message);
    let vrf_output = vrf_output(&vrf_proof);
    Done::Cut(Box::new(CutDone { job, cut, vrf_proof, vrf_output }))
}

fn run_assemble(job: AssembleJob, context: &Context) -> Done {
    let AssembleJob { block_hash, header, source, previous_output, vdf } = job;
    let from = match &source {
        Source::Chunks(_) => None,
        Source::Body { from, .. } => *from,
    };
    let result = match restore(source, &header, context) {
        Ok(Ok(body)) => {
            context.mark(header.block_num, header.view_id, record::Mark::Decoded);
            match check(&header, body, &previous_output, vdf, context) {
                Ok(result) => result.map_err(NoBody::Invalid),
                Err(error) => return Done::Failed(error),
            }
        }
        Ok(Err(no_body)) => Err(no_body),
        Err(error) => return Done::Failed(error),
    };
    Done::Assembled { block_hash, from, result }
}

fn restore(source: Source, header: &Header, context: &Context) -> Result<Result<Vec<u8>, NoBody>, String> {
    let bytes = header.chunks.body_bytes as usize;
    match source {
        Source::Chunks(job) => {
            let (assembled, ns) = timed(|| job.run());
            // The proofs were verified as the chunks came.
            context.note_chunks(Retrieve::NAME, "without proofs", bytes, ns, record::Job::Chunks, header.block_num);
            match assembled.map_err(|e| format!("{}: {e}", Retrieve::NAME))? {
                Assembled::Body(body) => Ok(Ok(body)),
                Assembled::InvalidEncoding => Ok(Err(NoBody::Invalid("chunks are not those of a body".into()))),
            }
        }
        Source::Body { body, .. } => {
            let (matches, ns) = timed(|| context.dispersal.matches(&header.chunks, &body));
            context.note_chunks(Disperse::NAME, "", bytes, ns, record::Job::Fetch, header.block_num);
            let matches = matches.map_err(|e| format!("{}: {e}", Disperse::NAME))?;
            Ok(if matches { Ok(body) } else { Err(NoBody::NotTheBody) })
        }
    }
}

/// Everything about a block that needs no state: transactions and senders, the VRF, the delay function.
fn check(
    header: &Header,
    body: Vec<u8>,
    previous_output: &Hash,
    vdf: Option<Verification>,
    context: &Context,
) -> Result<Result<CheckedBody, String>, String> {
    let Some(slot) = context.committee.slots_of(header.proposer).next() else {
        return Ok(Err("the proposer is not in the committee".into()));
    };
    if vrf_output(&header.beacon.vrf_proof) != header.beacon.vrf_output {
        return Ok(Err("the VRF output is not the hash of its proof".into()));
    }
    let (chain, shard) = (context.committee.chain(), context.committee.shard());
    let claim = Claim {
        signers: SignerBitmap::of(context.committee.slots(), [Slot(slot)]),
        message: vrf_message(chain, shard, header.block_num, previous_output),
        signature: header.beacon.vrf_proof,
    };
    let crypto = context.crypto(record::Job::Beacon, Some(header.block_num));
    if crypto.verify(&[claim]) != [true] {
        return Ok(Err("the VRF proof does not verify".into()));
    }
    if vdf.is_some_and(|verification| !context.proves(&verification)) {
        return Ok(Err("the delay proof does not verify".into()));
    }
    let mut recovered = 0;
    let bytes = body.len() as u64;
    let (checked, ns) = timed(|| context.checker.check_body_counting(body, &mut recovered));
    context.note_recovery(recovered, bytes, ns, record::Job::Check, Some(header.block_num));
    let checked = checked.map_err(|e| format!("secp256k1/recover: {e}"))?;
    Ok(checked.map_err(|e| e.to_string()).and_then(|body| {
        if body.len() == header.transactions { Ok(body) } else { Err("the header miscounts its transactions".into()) }
    }))
}

fn run_admit(transactions: Vec<Vec<u8>>, context: &Context) -> Done {
    let bytes = transactions.iter().map(|t| t.len() as u64).sum();
    let mut recovered = 0;
    let (verdicts, ns) = timed(|| context.checker.check_counting(transactions, &mut recovered));
    context.note_recovery(recovered, bytes, ns, record::Job::Admission, None);
    match verdicts {
        Ok(verdicts) => Done::Admitted(verdicts),
        Err(error) => Done::Failed(format!("secp256k1/recover: {error}")),
    }
}

impl Context {
    fn proves(&self, claim: &Verification) -> bool {
        self.delay.is_some_and(|delay| delay.verify(&claim.seed, &claim.output_and_proof).is_ok())
    }

    fn mark(&self, block_num: BlockNum, view_id: ViewId, mark: record::Mark) {
        if let Some(observer) = &self.observer {
            observer.marked(block_num, view_id, mark);
        }
    }

    fn note_chunks(
        &self,
        kernel: &'static str,
        with: &'static str,
        bytes: usize,
        ns: u64,
        job: record::Job,
        num: BlockNum,
    ) {
        let Some(observer) = &self.observer else { return };
        let Some((_, description)) = self.dispersal.descriptions().iter().find(|(name, _)| *name == kernel) else {
            return;
        };
        let items = u64::from(self.dispersal.chunks());
        observer.called(Call {
            kernel,
            description,
            with,
            items,
            bytes: bytes as u64,
            total_ns: ns,
            job,
            block_num: Some(num),
        });
    }

    fn note_recovery(&self, recovered: u64, bytes: u64, ns: u64, job: record::Job, block_num: Option<BlockNum>) {
        let Some(observer) = self.observer.as_ref().filter(|_| recovered > 0) else { return };
        let description = &self.checker.description();
        let (kernel, with) = ("secp256k1/recover", "with decoding");
        observer.called(Call { kernel, description, with, items: recovered, bytes, total_ns: ns, job, block_num });
    }
}
