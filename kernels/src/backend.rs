//! The whole abstraction over backends, and nothing else.
//!
//! A [`Kernel`] is one computation with canonical input and output bytes. A [`Backend`] is one way to compute it. Work
//! goes through three verbs, each timed apart: [`Backend::prepare`] (what lives across calls), [`Prepared::load`]
//! (one input, decoded to the backend's layout) and [`Session::execute`]; [`Prepared::compute`] is the path a validator
//! takes, from bytes to verdict. Dispatch is dynamic once a batch, static inside.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A family of implementations. Never cfg-gated: a backend that is absent is still a row, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendId {
    /// Scalar code on the CPU, over the established library where there is one.
    Cpu,
    /// Vector code on the CPU, the instruction set chosen at run time.
    Simd,
    /// NVIDIA GPU.
    Cuda,
    /// Any GPU that wgpu drives.
    Wgpu,
}

impl BackendId {
    /// Every backend, in the order reports show them.
    pub const ALL: [BackendId; 4] = [Self::Cpu, Self::Simd, Self::Cuda, Self::Wgpu];
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Simd => "simd",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        })
    }
}

impl FromStr for BackendId {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|id| id.to_string() == name)
            .ok_or_else(|| format!("unknown backend `{name}`: one of cpu, simd, cuda, wgpu"))
    }
}

/// An instruction set that `simd` can be told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// 256-bit integer and floating-point vectors.
    Avx2,
    /// 52-bit multiply-add on 512-bit vectors.
    Avx512Ifma,
    /// [`Isa::Avx512Ifma`] in scalar arithmetic, bit for bit: for tests where no such CPU is at hand. Slow, never chosen
    /// by itself.
    Avx512IfmaEmulated,
    /// Multiplication of bytes by bit matrices on 256-bit vectors.
    Gfni,
    /// The same on 512-bit vectors.
    Avx512Gfni,
    /// 128-bit vectors of arm64.
    Neon,
}

impl Isa {
    /// Every instruction set that a backend may be told to use.
    pub const ALL: [Isa; 6] =
        [Self::Avx2, Self::Avx512Ifma, Self::Avx512IfmaEmulated, Self::Gfni, Self::Avx512Gfni, Self::Neon];
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx2 => "avx2",
            Self::Avx512Ifma => "avx512ifma",
            Self::Avx512IfmaEmulated => "avx512ifma emulated",
            Self::Gfni => "gfni",
            Self::Avx512Gfni => "avx512gfni",
            Self::Neon => "neon",
        })
    }
}

/// How a backend is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that one call may use; at least 1. Means the same for every CPU backend.
    pub threads: usize,
    /// Forces one instruction set instead of the best one.
    pub isa: Option<Isa>,
    /// Forces one device by its index.
    pub device: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, isa: None, device: None }
    }
}

/// Why a backend cannot be opened. Always shown, never replaced by another backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The kernel has no implementation for this backend.
    #[error("not implemented")]
    NotImplemented,
    /// The binary was built without it.
    #[error("not compiled in")]
    NotCompiled,
    /// The driver library is absent.
    #[error("no driver")]
    NoDriver,
    /// The driver found no device.
    #[error("no device")]
    NoDevice,
    /// The CPU lacks an instruction set.
    #[error("the CPU lacks {0}")]
    MissingIsa(&'static str),
    /// The options name something that this backend does not have.
    #[error("{0}")]
    Options(String),
}

/// Why a computation gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The setup or the input breaks the kernel's documented shape.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// [`Control::cancel`] was called.
    #[error("cancelled")]
    Cancelled,
    /// The device or its driver failed.
    #[error("device: {0}")]
    Device(String),
}

/// An output that differs from the oracle's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("item {item}: got {got}, want {want}")]
pub struct Mismatch {
    /// Index of the first item that differs.
    pub item: usize,
    /// What the backend said.
    pub got: String,
    /// What the oracle says.
    pub want: String,
}

/// The denominators of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Items in one input: keys, sets, squarings, chunks.
    pub items: u64,
    /// Data bytes in one input (never parity bytes).
    pub bytes: u64,
}

/// What ran, for the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The backend.
    pub backend: BackendId,
    /// `lanes` or `scalar`, or a device's own word; shown beside every number.
    pub path: String,
    /// The device: CPU model or GPU name.
    pub device: String,
    /// Library versions and build modes that move results (blst with or without ADX).
    pub build: String,
    /// Threads one call uses.
    pub threads: usize,
    /// A GPU interface implemented on the CPU: never reported as a GPU.
    pub software_adapter: bool,
}

/// Progress out, cancellation in.
#[derive(Debug, Default)]
pub struct Control {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Control {
    /// Asks the computation to stop with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// # Errors
    ///
    /// [`Error::Cancelled`] once [`Control::cancel`] was called.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Called by long computations: `done` of `total` steps.
    pub fn report(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// `(done, total)` as last reported; `(0, 0)` before.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// One computation, independent of who computes it.
pub trait Kernel: Sized + 'static {
    /// Family and verb: `bls/verify-batch`.
    const NAME: &'static str;
    /// Whether the output is a verdict. Then [`carries_invalid`] says which iterations hold an invalid item.
    const VERDICT: bool = false;
    /// Whether [`Prepared::load`] does another kernel's work: then `execute_ns` is this one's time, and rates are of it.
    const EXECUTE_ALONE: bool = false;
    /// The shape, as written in a config.
    type Params: Clone + fmt::Debug + Serialize + DeserializeOwned + Send + Sync;
    /// What lives across calls: committee keys, a code's plan, a discriminant. Canonical encodings.
    type Setup: Send + Sync;
    /// One input. Canonical encodings.
    type Input: Send + Sync;
    /// One output, canonical; per item a `Result` where items can be refused.
    type Output: Eq + fmt::Debug + Send;

    /// Refuses shapes that no backend can run, with the reason a person needs.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`].
    fn validate(params: &Self::Params) -> Result<(), Error>;
    /// The same `(params, seed)` gives the same setup on every host. `params` passed [`Kernel::validate`].
    fn setup(params: &Self::Params, seed: u64) -> Self::Setup;
    /// The same arguments give the same input on every host and backend.
    fn generate(params: &Self::Params, setup: &Self::Setup, seed: u64, iteration: u64) -> Self::Input;
    /// Compares with an independent library or with a naive implementation that vectors pin. Never timed.
    ///
    /// # Errors
    ///
    /// The first item that differs.
    fn check(setup: &Self::Setup, input: &Self::Input, output: &Self::Output) -> Result<(), Mismatch>;
    /// The denominators for rates.
    fn work(params: &Self::Params) -> Work;
    /// The only place that names this kernel's backends.
    ///
    /// # Errors
    ///
    /// The reason, when this host or build cannot run it.
    fn open(id: BackendId, options: &Options) -> Result<Box<dyn Backend<Self>>, Unavailable>;
}

/// One way to compute `K`. Opening it (threads, context, compilation) is already paid.
pub trait Backend<K: Kernel>: Send + Sync {
    /// What runs.
    fn description(&self) -> Description;
    /// Decodes and validates the setup into what lives across calls. It owns all it needs, so it may outlive the backend
    /// and the setup. Timed as `prepare_ns`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a malformed setup.
    fn prepare(&self, setup: &K::Setup) -> Result<Box<dyn Prepared<K>>, Error>;
}

/// A backend that holds a setup.
pub trait Prepared<K: Kernel>: Send + Sync {
    /// Decodes one input to the backend's layout. Timed as `load_ns`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a malformed input as a whole; a malformed item is a verdict in the output.
    fn load<'a>(&'a self, input: &'a K::Input) -> Result<Box<dyn Session<K> + 'a>, Error>;
    /// Bytes in, canonical output out: what the pipeline calls. Timed as `total_ns`.
    ///
    /// # Errors
    ///
    /// As [`Prepared::load`] and [`Session::execute`].
    fn compute(&self, input: &K::Input, control: &Control) -> Result<K::Output, Error> {
        let mut session = self.load(input)?;
        session.execute(control)?;
        session.output()
    }
}

/// One loaded input.
pub trait Session<K: Kernel>: Send {
    /// The work alone. Idle when it returns; repeatable: nothing derived from the input survives. Timed as `execute_ns`.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`], [`Error::Device`].
    fn execute(&mut self, control: &Control) -> Result<(), Error>;
    /// Which of the backend's ways the last [`Session::execute`] took, if it chooses by the input's shape: then it stands
    /// in the place of [`Description::path`].
    fn path(&self) -> Option<&'static str> {
        None
    }
    /// Encodes the result of the last [`Session::execute`]. Timed as `output_ns`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] if nothing was executed.
    fn output(&mut self) -> Result<K::Output, Error>;
}

/// Whether a verdict kernel's input of this iteration holds one invalid item: about one in ten, chosen by the seed.
/// Such iterations are timed apart, and fail a backend that always says yes.
pub fn carries_invalid(seed: u64, iteration: u64) -> bool {
    splitmix64(seed ^ splitmix64(iteration)).is_multiple_of(10)
}

/// The deterministic generator for one iteration of one kernel: same bytes on every host.
pub fn generator(kernel: &str, seed: u64, iteration: u64) -> rand_chacha::ChaCha20Rng {
    use rand::SeedableRng;
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    hash.update(b"shardmark generator v1");
    hash.update((kernel.len() as u64).to_le_bytes());
    hash.update(kernel.as_bytes());
    hash.update(seed.to_le_bytes());
    hash.update(iteration.to_le_bytes());
    rand_chacha::ChaCha20Rng::from_seed(hash.finalize().into())
}

// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
