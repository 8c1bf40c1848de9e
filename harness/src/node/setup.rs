//! From a node's file to the parts of a validator: keys checked, backends opened, the load prepared.

use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use shardmark_kernels::backend::{Kernel, Options};
use shardmark_kernels::bls::keys::verify_possession;
use shardmark_kernels::bls::{AggregateSignatures, SecretKey, VerifyBatch};
use shardmark_kernels::vdf::Engine;

use crate::beacon::{Beacon, BeaconConfig, DelayFunction};
use crate::cluster::Usage;
use crate::cluster::spec::NodeSpec;
use crate::config::{self, Config};
use crate::fbft::ReplicaConfig;
use crate::fbft::bls::{BlsCommittee, BlsCrypto};
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto};
use crate::ledger::pool::PoolLimits;
use crate::ledger::transaction::Domain;
use crate::ledger::workload::{Checker, Ledger, LedgerConfig, Workload};
use crate::load::{Accounts, Arrivals, Destinations, Load, LoadConfig};
use crate::net::{FrameLimits, Identity, TransportConfig};
use crate::node::core::CoreConfig;
use crate::node::job::{Call, Context, Observer};
use crate::propagation::{ChunkMessage, Dispersal, DispersalConfig};
use crate::record::{Job, Mark, Payload, Recorder};
use crate::types::{BlockNum, PublicKeyBytes, Signature, Slot, ValidatorIndex, ViewId};

/// Everything of a validator that needs no network and no clock.
pub struct Parts {
    /// Everybody.
    pub committee: Arc<Committee>,
    /// The core's settings.
    pub core_config: CoreConfig,
    /// Signatures.
    pub crypto: Arc<dyn Crypto>,
    /// The committee's keys in their backend.
    pub bls: Arc<BlsCommittee>,
    /// Transactions.
    pub checker: Arc<Checker>,
    /// State and pool.
    pub ledger: Ledger,
    /// Randomness.
    pub beacon: Option<Beacon>,
    /// Its delay function.
    pub delay: Option<DelayFunction>,
    /// This home's share of the load.
    pub load: Load,
}

/// The TLS identity in a node's file.
///
/// # Errors
///
/// It is none.
pub fn identity(spec: &NodeSpec) -> anyhow::Result<Identity> {
    let certificate = hex::decode(&spec.identity.certificate).context("certificate")?;
    let key = hex::decode(&spec.identity.key).context("certificate's key")?;
    Ok(Identity::from_der(certificate, key)?)
}

/// The transport's settings. Frames hold a whole block, because the broadcast baseline and catching up send it at once.
pub fn transport(config: &Config, me: ValidatorIndex) -> TransportConfig {
    let block = config.consensus.block_bytes.0;
    let whole = ChunkMessage::max_bytes(block as usize) as u64 + (64 << 10);
    TransportConfig {
        max_frame_bytes: FrameLimits { chunks: whole, fetch: whole + (2 << 20), ..FrameLimits::default() },
        link: config.network.link(config.seed, me),
        ..config.transport.settings()
    }
}

fn millis(span: config::Span) -> u64 {
    span.as_millis()
}

fn committee(spec: &NodeSpec) -> anyhow::Result<Committee> {
    let mut keys = Vec::new();
    for (validator, proven) in spec.committee.iter().enumerate() {
        let mut own = Vec::new();
        for proven in proven {
            let mut key: PublicKeyBytes = [0; 48];
            let mut possession = [0; 96];
            hex::decode_to_slice(&proven.key, &mut key).context("public key")?;
            hex::decode_to_slice(&proven.possession, &mut possession).context("proof of possession")?;
            verify_possession(&key, &possession).map_err(|e| anyhow!("key of validator {validator}: {e}"))?;
            own.push(key);
        }
        keys.push(own);
    }
    Committee::new(spec.config.cluster.chain, spec.config.cluster.shard, keys).map_err(|e| anyhow!(e))
}

/// Opens backends, decodes keys, makes genesis.
///
/// # Errors
///
/// A key without possession, a backend that cannot run here, settings that contradict each other.
pub fn parts(spec: &NodeSpec) -> anyhow::Result<Parts> {
    let config = &spec.config;
    let committee = Arc::new(committee(spec)?);
    if spec.index.0 >= committee.validators() {
        bail!("validator {} of {}", spec.index, committee.validators());
    }
    let mut secrets = Vec::new();
    for secret in &spec.secrets {
        let mut material = [0; 32];
        hex::decode_to_slice(secret, &mut material).context("secret key")?;
        secrets.push(SecretKey::from_ikm(&material));
    }
    let options = Options { threads: config.threads, ..Options::default() };
    let bls = BlsCommittee::open(&committee, config.backend.bls, config.backend.bls, &options)?;
    let crypto: Arc<dyn Crypto> = Arc::new(BlsCrypto::new(Arc::clone(&bls), &committee, spec.index, secrets)?);

    let block_bytes = u32::try_from(config.consensus.block_bytes.0).context("block_bytes")?;
    let coded = config.propagation.mode == config::PropagationMode::Chunks;
    let dispersal = Dispersal::new(
        &DispersalConfig {
            code: coded.then_some(config.propagation.code),
            data_chunks: config.propagation.data_chunks.filter(|_| coded),
            parity_chunks: config.propagation.parity_chunks.filter(|_| coded),
            max_body_bytes: block_bytes,
            encode: config.backend.erasure,
            reconstruct: config.backend.erasure,
            options: options.clone(),
        },
        committee.validators(),
    )
    .map_err(Usage)?;
    let dispersal = Arc::new(dispersal);

    let ledger_config = ledger_config(config, committee.validators(), block_bytes, options)?;
    let checker = Arc::new(Checker::new(ledger_config.clone()).map_err(|e| anyhow!(e))?);
    let accounts = match ledger_config.workload {
        Workload::Transfers => config.workload.accounts,
        Workload::Opaque => 0,
    };
    let accounts = Accounts::derive(config.seed, accounts);
    let ledger = Ledger::new(&ledger_config, accounts.genesis()).map_err(Usage)?;
    let load = load(config, &ledger_config, &accounts, spec.index)?;

    let delay = delay_function(config)?;
    let beacon = delay.map(|delay| {
        Beacon::new(BeaconConfig {
            chain: committee.chain(),
            shard: committee.shard(),
            validators: committee.validators(),
            own: spec.index,
            blocks: config.beacon.blocks,
            delay,
            timeout_ms: millis(config.beacon.timeout),
        })
    });
    let view_timeout_ms = millis(config.consensus.view_timeout);
    let core_config = CoreConfig {
        committee: Arc::clone(&committee),
        me: spec.index,
        replica: ReplicaConfig {
            committee: Arc::clone(&committee),
            me: spec.index,
            votes: config.consensus.votes,
            rotation_blocks: config.consensus.rotation_blocks,
            block_time_ms: millis(config.consensus.block_time),
            view_timeout_ms,
            #[cfg(test)]
            planted: None,
        },
        block_bytes,
        dispersal,
        relay: config.relay(spec.index),
        forward_again_ms: view_timeout_ms.saturating_mul(2),
    };
    Ok(Parts {
        committee,
        core_config,
        crypto,
        bls,
        checker,
        ledger,
        beacon: beacon.transpose().map_err(Usage)?,
        delay,
        load,
    })
}

/// The delay function of a run; `None` without a beacon.
///
/// # Errors
///
/// The backend is not available on this host.
pub fn delay_function(config: &Config) -> anyhow::Result<Option<DelayFunction>> {
    if config.beacon.blocks == 0 {
        return Ok(None);
    }
    Ok(Some(DelayFunction {
        scheme: config.beacon.scheme,
        discriminant_bits: config.beacon.discriminant_bits,
        iterations: config.beacon.iterations,
        engine: Engine::open(config.backend.vdf).context("backend.vdf")?,
    }))
}

fn ledger_config(config: &Config, validators: u16, block_bytes: u32, options: Options) -> anyhow::Result<LedgerConfig> {
    let w = &config.workload;
    Ok(LedgerConfig {
        workload: match w.kind {
            config::WorkloadKind::Transfers => Workload::Transfers,
            config::WorkloadKind::Opaque => Workload::Opaque,
        },
        domain: Domain::new(config.cluster.chain, config.cluster.shard).map_err(Usage)?,
        validators,
        max_body_bytes: block_bytes,
        max_payload_bytes: usize::try_from(w.transaction_bytes.0).context("transaction_bytes")?,
        pool: PoolLimits {
            max_transactions: w.pool_transactions as usize,
            max_bytes: usize::try_from(w.pool_bytes.0).context("pool_bytes")?,
            max_queued_per_sender: 64,
            expiry_ms: millis(w.expiry),
        },
        sender_cache: w.sender_cache as usize,
        recover: config.backend.secp256k1,
        options,
    })
}

/// Most memory for one validator's prepared transactions.
const MAX_LOAD_BYTES: u64 = 4 << 30;

/// This home's share of the load, signed.
fn load(config: &Config, ledger: &LedgerConfig, accounts: &Accounts, home: ValidatorIndex) -> anyhow::Result<Load> {
    let load = LoadConfig {
        seed: config.seed,
        workload: ledger.workload,
        domain: ledger.domain,
        validators: ledger.validators,
        arrivals: match config.load.arrivals {
            config::Arrivals::Poisson => Arrivals::Poisson,
            config::Arrivals::Constant => Arrivals::Constant,
        },
        rate: config.load.rate,
        warmup_ms: millis(config.load.warmup),
        duration_ms: millis(config.load.duration),
        drain_ms: millis(config.load.drain),
        accounts: config.workload.accounts,
        destinations: Destinations::Uniform,
        tx_bytes: ledger.max_payload_bytes,
        max_bytes: MAX_LOAD_BYTES,
    };
    Ok(Load::build(&load, accounts, home).map_err(Usage)?)
}

impl Parts {
    /// What jobs need.
    pub fn context(&self, spec: &NodeSpec, recorder: Option<Recorder>) -> Context {
        Context {
            committee: Arc::clone(&self.committee),
            slots: self.committee.slots_of(spec.index).map(Slot).collect(),
            crypto: Arc::clone(&self.crypto),
            checker: Arc::clone(&self.checker),
            dispersal: Arc::clone(&self.core_config.dispersal),
            delay: self.delay,
            observer: recorder
                .map(|recorder| Arc::new(Calls { recorder, bls: Arc::clone(&self.bls) }) as Arc<dyn Observer>),
        }
    }
}

/// Writes kernel calls down.
#[derive(Clone)]
struct Calls {
    recorder: Recorder,
    bls: Arc<BlsCommittee>,
}

impl Observer for Calls {
    fn marked(&self, block_num: BlockNum, view_id: ViewId, mark: Mark) {
        self.recorder.mark(block_num, view_id, mark);
    }

    fn called(&self, call: Call<'_>) {
        let Call { kernel, description, with, items, bytes, total_ns, job, block_num } = call;
        let path = if with.is_empty() { description.path.clone() } else { format!("{} {with}", description.path) };
        self.recorder.record(Payload::Kernel {
            kernel: kernel.into(),
            backend: description.backend,
            path: path.into(),
            threads: description.threads as u32,
            items,
            bytes,
            total_ns,
            job,
            block_num,
        });
    }

    fn timed(&self, crypto: &Arc<dyn Crypto>, job: Job, block_num: Option<BlockNum>) -> Arc<dyn Crypto> {
        Arc::new(TimedCrypto { inner: Arc::clone(crypto), calls: self.clone(), job, block_num })
    }
}

/// Signatures, each call timed.
struct TimedCrypto {
    inner: Arc<dyn Crypto>,
    calls: Calls,
    job: Job,
    block_num: Option<BlockNum>,
}

impl TimedCrypto {
    fn timed<T>(&self, kernel: &'static str, items: usize, bytes: usize, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let result = work();
        let total_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.calls.called(Call {
            kernel,
            description: &self.calls.bls.descriptions()[usize::from(kernel == AggregateSignatures::NAME)],
            with: "",
            items: items as u64,
            bytes: bytes as u64,
            total_ns,
            job: self.job,
            block_num: self.block_num,
        });
        result
    }
}

impl Crypto for TimedCrypto {
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        self.timed("bls/sign", slots.len(), message.len(), || self.inner.sign(slots, message))
    }

    fn sign_each(&self, slots: &[Slot], message: &[u8]) -> Vec<Signature> {
        self.timed("bls/sign", slots.len(), message.len(), || self.inner.sign_each(slots, message))
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        self.timed(AggregateSignatures::NAME, signatures.len(), 96 * signatures.len(), || {
            self.inner.aggregate(signatures)
        })
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        let bytes = claims.iter().map(|claim| claim.message.len() + 96).sum();
        self.timed(VerifyBatch::NAME, claims.len(), bytes, || self.inner.verify(claims))
    }
}
