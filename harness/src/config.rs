//! The configuration of a run: TOML in, a checked [`Config`] out.
//!
//! Unknown keys are errors that name the key and its place. Every default is here; `bench-configs/README.md` is
//! generated from this file's documentation, and a test keeps it current. What values must satisfy together is in
//! `config/check.rs`.

mod backends;
mod check;
mod network;
#[cfg(test)]
mod readme;
mod source;
mod units;

pub use backends::{Backends, Family};
pub use network::{Carrier, Faults, Network, percent};
pub use source::ConfigError;
pub use units::{Rate, Size, Span};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::BackendId;
use shardmark_kernels::erasure::Code;
use shardmark_kernels::vdf::Scheme;

use crate::fbft::committee::Votes;
use crate::net::{Congestion, FrameLimits, LinkConfig, TransportConfig};
use crate::types::{ChainId, ShardId};

/// The only value of `schema` that this version reads.
pub const SCHEMA: u32 = 1;

/// One configuration file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this format: 1. Required.
    pub schema: u32,
    /// Name of the run, in the report and in the default output folder: letters, digits, `-`, `_`, `.`. Required.
    pub name: String,
    /// Seed of everything that is random but must repeat: accounts, transactions, arrival times, kernel inputs. Validators' keys and certificates are fresh in every run.
    #[serde(default)]
    pub seed: u64,
    /// Who computes: `"cpu"`, `"simd"`, `"cuda"` or `"wgpu"`, or a table per kernel family, `{ bls = "simd", vdf = "cpu", erasure = "cpu", secp256k1 = "cpu" }`; families left out stay on `cpu`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub backend: Backends,
    /// Threads that one kernel call may use.
    #[serde(default = "one")]
    pub threads: usize,
    /// Who runs, and where.
    #[serde(default)]
    pub cluster: Cluster,
    /// FBFT.
    #[serde(default)]
    pub consensus: Consensus,
    /// How a block's body reaches the validators.
    #[serde(default)]
    pub propagation: Propagation,
    /// What transactions are, and the pools that hold them.
    #[serde(default)]
    pub workload: Workload,
    /// When transactions arrive.
    #[serde(default)]
    pub load: Load,
    /// Verifiable randomness and its delay function.
    #[serde(default)]
    pub beacon: Beacon,
    /// QUIC. Part of a result's identity: these settings move results more than most kernels do.
    #[serde(default)]
    pub transport: Transport,
    /// What each validator's datagrams pass on their way out, below QUIC. It begins with the run, when all connections stand.
    #[serde(default, skip_serializing_if = "Network::is_plain")]
    pub network: Network,
    /// Relays that do not do their part: drawn from the seed among all validators but 0, which leads the first view; at most f. They vote, and as leaders they send their own blocks' chunks, like everybody else.
    #[serde(default, skip_serializing_if = "Faults::is_none")]
    pub faults: Faults,
    /// Runs the same seed and load several times: every combination of what is listed, interleaved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// Cases of `shardmark kernel`. A file that has any is a kernel sweep, not a pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel: Vec<KernelCase>,
}

/// Who runs, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// `"local"`: one process per validator on this host.
    pub launcher: Launcher,
    /// The network's identity; part of everything signed.
    pub chain: ChainId,
    /// The shard's identity; part of everything signed.
    pub shard: ShardId,
    /// Nodes of the committee (n); at least 4. Tolerates f = (n - 1) / 3 faulty ones.
    pub validators: u16,
    /// BLS keys each validator votes with; each is one unit of voting power.
    pub keys_per_validator: u16,
    /// UDP port of validator 0, the others follow; 0 takes any free ports.
    pub base_port: u16,
}

/// Where validators run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Launcher {
    /// One process per validator on this host.
    #[default]
    Local,
}

/// FBFT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Consensus {
    /// Shortest time from one proposal to the next; a slower chain proposes when it can.
    pub block_time: Span,
    /// Most bytes of transactions in one block.
    pub block_bytes: Size,
    /// Time without a final block after which a validator votes for a new view; at least 4 block times.
    pub view_timeout: Span,
    /// Blocks after which the next validator leads; 0 keeps the leader until a view change.
    pub rotation_blocks: u64,
    /// `"per-key"`: one vote message for each key; `"per-validator"`: one for each validator, its keys in a bitmap.
    #[schemars(with = "String")]
    pub votes: Votes,
}

/// How a block's body reaches the validators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Propagation {
    /// `"chunks"`: erasure-coded, each validator relays its own; `"whole-block"`: the leader sends the body to everyone.
    pub mode: PropagationMode,
    /// Erasure code of mode `"chunks"`: `"rs-vandermonde"`, `"rs-fft8"` or `"rs-fft16"`.
    #[schemars(with = "String")]
    pub code: Code,
    /// Chunks that suffice to rebuild a body (k); f + 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_chunks: Option<u16>,
    /// Chunks beyond those (m); n - k when absent. Any n - f validators must hold k chunks, and k + m is at most what the code has: 256, with `"rs-fft16"` 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_chunks: Option<u16>,
}

/// See [`Propagation::mode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PropagationMode {
    /// Erasure-coded chunks with Merkle proofs, relayed once.
    #[default]
    Chunks,
    /// The baseline: the leader sends everyone everything.
    WholeBlock,
}

/// What transactions are, and the pools that hold them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// `"transfers"`: signed, executed, with receipts; `"opaque"`: payload bytes without signature or execution.
    pub kind: WorkloadKind,
    /// Funded accounts that transfers move between.
    pub accounts: u32,
    /// Bytes of one opaque transaction. Transfers have their own size.
    pub transaction_bytes: Size,
    /// Most transactions in a validator's pool; more are rejected.
    pub pool_transactions: u32,
    /// Most bytes in a validator's pool; more are rejected.
    pub pool_bytes: Size,
    /// Most transfers of one account that a pool holds behind a missing nonce; more are rejected.
    pub pool_queued_per_account: u32,
    /// Age at which a transaction that is in no block is dropped and counted as expired.
    pub expiry: Span,
    /// Recovered senders that a validator remembers from admission to the block check; 0 recovers every sender twice.
    pub sender_cache: u32,
}

/// See [`Workload::kind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// Ethereum-style signed transfers with shard fields.
    #[default]
    Transfers,
    /// Payload bytes.
    Opaque,
}

/// When transactions arrive. The schedule is computed from the seed before the run; the generator never waits for replies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// `"poisson"` or `"constant"` gaps.
    pub arrivals: Arrivals,
    /// Transactions a second over all validators.
    pub rate: f64,
    /// Load before the measured window.
    pub warmup: Span,
    /// The measured window. Transactions scheduled in it count in latencies, and are followed to their end.
    pub duration: Span,
    /// Time after the last arrival in which transactions may still become final.
    pub drain: Span,
    /// Largest p99 of sent - scheduled; a generator that is later makes the run invalid.
    pub max_lateness: Span,
}

/// See [`Load::arrivals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
}

/// Verifiable randomness and its delay function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Beacon {
    /// Blocks of one window (N), whose first floor(2N / 3) + 1 give the delay function's seed; 0 runs no delay function.
    pub blocks: u64,
    /// Rules and format of the delay function: `"bound-264"`, `"harmony-128"` or `"chia-264"`.
    #[schemars(with = "String")]
    pub scheme: Scheme,
    /// Bits of the class group's discriminant.
    pub discriminant_bits: u32,
    /// Sequential squarings.
    pub iterations: u64,
    /// Time after which the next leader evaluates it too.
    pub timeout: Span,
}

/// QUIC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transport {
    /// `"cubic"`, `"newreno"` or `"bbr"`.
    pub congestion: Congestion,
    /// Congestion window of a new connection.
    pub initial_window: Size,
    /// Bytes a connection may have sent without an acknowledgement; at least four `stream_receive_window`.
    pub send_window: Size,
    /// Bytes a connection may have received and not read; at least four `stream_receive_window`.
    pub receive_window: Size,
    /// Bytes one of a connection's four lanes may have received and not read.
    pub stream_receive_window: Size,
    /// UDP payload that a new connection starts with, bytes.
    pub initial_mtu: u16,
    /// Whether larger payloads are probed for, up to `max_mtu`.
    pub mtu_discovery: bool,
    /// Largest UDP payload that discovery tries, bytes.
    pub max_mtu: u16,
    /// Generic segmentation offload: many datagrams a system call, where the kernel has it.
    pub gso: bool,
    /// Kernel send buffer asked for; 0 leaves the system's. What was granted is recorded.
    pub udp_send_buffer: Size,
    /// Kernel receive buffer asked for; 0 leaves the system's. What was granted is recorded.
    pub udp_receive_buffer: Size,
    /// Silence after which a connection counts as lost.
    pub idle_timeout: Span,
    /// Pause after which an idle connection sends a ping; below `idle_timeout`.
    pub keep_alive: Span,
    /// Bytes queued for each peer and lane before frames are dropped and counted.
    pub queue_bytes: Size,
}

/// Runs the same seed and load several times: every combination of what is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Backends to run on, each as `backend` takes it: `"cpu"` for every kernel family, or a table such as
    /// `{ bls = "simd" }`. One that is unavailable is a row with its reason. The file's own when empty, as for all lists here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub backends: Vec<Backends>,
    /// Ways for bodies to travel: `"whole-block"`, or a code for mode `"chunks"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub codes: Vec<Carrier>,
    /// Values of `network.loss`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<f64>,
    /// Values of `faults`, as tables: `{}` for none. Whole blocks are not relayed, so with faults they are a row with that reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub faults: Vec<Faults>,
    /// `"abba"`: every other repeat in reverse order, so that slow drift cancels; `"sequential"`: always in the order given.
    #[serde(default)]
    pub order: Order,
    /// Runs of each combination.
    #[serde(default = "one_u32")]
    pub repeats: u32,
}

/// See [`Matrix::order`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A B, B A, A B, ...
    #[default]
    Abba,
    /// A B, A B, ...
    Sequential,
}

/// One case of a kernel sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelCase {
    /// Kernel, such as `"bls/verify-batch"`; `shardmark kernel --list` names all. Required.
    pub name: String,
    /// The kernel's own shape; every key of its parameters. Required.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub params: toml::Table,
    /// Backends to measure, one row each. An unavailable one is a row with its reason.
    #[serde(default = "cpu_only")]
    #[schemars(with = "Vec<String>")]
    pub backends: Vec<BackendId>,
    /// Timed iterations, each on its own input.
    #[serde(default = "default_rounds")]
    pub rounds: u32,
    /// Untimed iterations before those.
    #[serde(default = "default_warmup")]
    pub warmup: u32,
    /// Threads a call may use; the file's `threads` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Of `"vdf/evaluate"` with one instance: the time from a seed until its proof is due. What the slowest evaluation leaves of it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// Chunks of one block: any `data` of `data + parity` give the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// k
    pub data: u16,
    /// m
    pub parity: u16,
}

impl Config {
    /// Faulty validators tolerated: the largest f with 3f < n.
    pub fn tolerated(&self) -> u16 {
        self.cluster.validators.saturating_sub(1) / 3
    }

    /// How bodies are cut. Whole-block broadcast is one chunk.
    pub fn chunks(&self) -> Chunks {
        if self.propagation.mode == PropagationMode::WholeBlock {
            return Chunks { data: 1, parity: 0 };
        }
        let data = self.propagation.data_chunks.unwrap_or(self.tolerated() + 1);
        let parity = self.propagation.parity_chunks.unwrap_or(self.cluster.validators.saturating_sub(data));
        Chunks { data, parity }
    }

    /// When the load ends, from the run's start: warm-up and window.
    pub fn load_end(&self) -> std::time::Duration {
        self.load.warmup.duration() + self.load.duration.duration()
    }

    /// The whole configuration, defaults written out, as a file that parses to the same value.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every key is a plain TOML value")
    }

    /// BLAKE3 of the canonical JSON of all values, hex: equal exactly when two runs were asked for the same thing.
    pub fn hash(&self) -> String {
        let json = serde_json::to_vec(self).expect("a configuration is plain data");
        blake3::hash(&json).to_hex().to_string()
    }
}

impl Transport {
    /// The same in the transport's own type. Frame limits are the transport's: they follow from the message formats.
    pub fn settings(&self) -> TransportConfig {
        TransportConfig {
            congestion: self.congestion,
            initial_window: self.initial_window.0,
            send_window: self.send_window.0,
            receive_window: self.receive_window.0,
            stream_receive_window: self.stream_receive_window.0,
            initial_mtu: self.initial_mtu,
            mtu_discovery: self.mtu_discovery,
            max_mtu: self.max_mtu,
            gso: self.gso,
            udp_send_buffer: self.udp_send_buffer.0,
            udp_receive_buffer: self.udp_receive_buffer.0,
            idle_timeout: self.idle_timeout.as_millis(),
            keep_alive: self.keep_alive.as_millis(),
            queue_bytes: self.queue_bytes.0,
            max_frame_bytes: FrameLimits::default(),
            link: LinkConfig::default(),
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            launcher: Launcher::Local,
            chain: ChainId(1),
            shard: ShardId(0),
            validators: 4,
            keys_per_validator: 1,
            base_port: 0,
        }
    }
}

impl Default for Consensus {
    fn default() -> Self {
        Self {
            block_time: Span::from_secs(1),
            block_bytes: Size::mib(1),
            view_timeout: Span::from_secs(4),
            rotation_blocks: 10,
            votes: Votes::PerKey,
        }
    }
}

impl Default for Propagation {
    fn default() -> Self {
        Self { mode: PropagationMode::Chunks, code: Code::RsVandermonde, data_chunks: None, parity_chunks: None }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            kind: WorkloadKind::Transfers,
            accounts: 1000,
            transaction_bytes: Size(512),
            pool_transactions: 100_000,
            pool_bytes: Size::mib(64),
            pool_queued_per_account: 1024,
            expiry: Span::from_secs(60),
            sender_cache: 200_000,
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self {
            arrivals: Arrivals::Poisson,
            rate: 100.0,
            warmup: Span::from_secs(2),
            duration: Span::from_secs(10),
            drain: Span::from_secs(10),
            max_lateness: Span::from_millis(50),
        }
    }
}

impl Default for Beacon {
    fn default() -> Self {
        Self {
            blocks: 0,
            scheme: Scheme::Bound264,
            discriminant_bits: 2048,
            iterations: 10_000,
            timeout: Span::from_secs(60),
        }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            congestion: Congestion::Cubic,
            initial_window: Size(14_720),
            send_window: Size::mib(32),
            receive_window: Size::mib(32),
            stream_receive_window: Size::mib(8),
            initial_mtu: 1200,
            mtu_discovery: true,
            max_mtu: 1452,
            gso: true,
            udp_send_buffer: Size::mib(4),
            udp_receive_buffer: Size::mib(4),
            idle_timeout: Span::from_secs(10),
            keep_alive: Span::from_secs(2),
            queue_bytes: Size::mib(16),
        }
    }
}

fn one() -> usize {
    1
}

fn one_u32() -> u32 {
    1
}

fn cpu_only() -> Vec<BackendId> {
    vec![BackendId::Cpu]
}

fn default_rounds() -> u32 {
    20
}

fn default_warmup() -> u32 {
    2
}

#[cfg(test)]
impl Config {
    /// All defaults.
    pub(crate) fn example() -> Self {
        Self::parse("schema = 1\nname = \"example\"", "example.toml", &[]).expect("the defaults are valid")
    }
}
