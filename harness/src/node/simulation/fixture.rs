//! What all runs of one committee size share, because it is dear to make or lives as long as the process: chunk plans,
//! signed transactions, a checker that remembers their senders, and one committee on real BLS.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use alloy_primitives::{Address, U256};
use shardmark_kernels::backend::{BackendId, Options, generator};
use shardmark_kernels::erasure::Code;
use shardmark_kernels::secp256k1::{SecretKey, address};
use shardmark_kernels::vdf::{Engine, Scheme};

use crate::beacon::DelayFunction;
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto};
use crate::ledger::TxId;
use crate::ledger::opaque::Payload;
use crate::ledger::pool::PoolLimits;
use crate::ledger::transaction::{Domain, TRANSFER_GAS, Transfer, transfer_id};
use crate::ledger::workload::{Checker, Ledger, LedgerConfig, Workload};
use crate::propagation::{Dispersal, DispersalConfig};
use crate::types::{ChainId, ShardId, Signature, Slot, ValidatorIndex};

/// The network of every run.
pub const CHAIN: ChainId = ChainId(7);
/// Its shard.
pub const SHARD: ShardId = ShardId(0);
/// Most bytes of a body.
pub const BLOCK_BYTES: u32 = 4096;
/// The delay function of runs with a beacon.
pub const DELAY: DelayFunction =
    DelayFunction { scheme: Scheme::Bound264, discriminant_bits: 256, iterations: 20, engine: Engine::SCALAR };
/// Transactions that each home is handed.
pub const SUBMITTED: usize = 12;

const ACCOUNTS: usize = 2;
const PAYLOAD_BYTES: usize = 100;

/// One workload: its rules, and what clients submit.
pub struct Trade {
    pub config: LedgerConfig,
    pub checker: Arc<Checker>,
    genesis: Vec<(Address, u128)>,
    /// Of each home, in order of submission.
    pub submitted: Vec<Vec<(TxId, Vec<u8>)>>,
    /// An account of each validator for transactions that it makes up.
    spare: Vec<SecretKey>,
}

/// A committee, and everybody's signer.
pub type Signers = (Arc<Committee>, Vec<Arc<dyn Crypto>>);

/// See the module.
pub struct Fixture {
    coded: [Arc<Dispersal>; Code::ALL.len()],
    /// With the planted fault that a body is not encoded again.
    pub unchecked: Arc<Dispersal>,
    whole: Arc<Dispersal>,
    transfers: Trade,
    opaque: Trade,
    bls: OnceLock<Signers>,
    validators: u16,
}

fn domain() -> Domain {
    Domain::new(CHAIN, SHARD).unwrap()
}

fn key(seed: u64, number: usize) -> SecretKey {
    SecretKey::generate(&mut generator("simulation/account", seed, number as u64))
}

fn transfer(key: &SecretKey, nonce: u64, to: Address) -> Vec<u8> {
    let value = U256::from(1 + nonce);
    let transfer = Transfer { nonce, gas_price: U256::from(1), gas_limit: TRANSFER_GAS, to, value };
    transfer.sign(domain(), key).encode(domain())
}

fn payload(home: usize, sequence: u64) -> (TxId, Vec<u8>) {
    let payload = Payload { shard: SHARD, home: ValidatorIndex(home as u16), sequence };
    let mut bytes = payload.header().to_vec();
    bytes.resize(PAYLOAD_BYTES, home as u8);
    (payload.id(), bytes)
}

impl Trade {
    fn new(workload: Workload, validators: u16) -> Self {
        let config = LedgerConfig {
            workload,
            domain: domain(),
            validators,
            max_body_bytes: BLOCK_BYTES,
            max_payload_bytes: 2 * PAYLOAD_BYTES,
            pool: PoolLimits {
                max_transactions: 10_000,
                max_bytes: 1 << 22,
                max_queued_per_sender: 64,
                expiry_ms: 10_000_000,
            },
            sender_cache: 1 << 20,
            recover: BackendId::Cpu,
            options: Options { threads: 1, ..Options::default() },
        };
        let homes = usize::from(validators);
        let keys: Vec<Vec<SecretKey>> =
            (0..homes).map(|home| (0..ACCOUNTS).map(|i| key(1, home * ACCOUNTS + i)).collect()).collect();
        let spare: Vec<SecretKey> = (0..homes).map(|home| key(2, home)).collect();
        let owned = keys.iter().flatten().chain(&spare).map(|key| (Address::from(address(key)), 1 << 100)).collect();
        let submitted = keys.iter().enumerate().map(|(home, keys)| {
            let transaction = |i: usize| match workload {
                Workload::Opaque => payload(home, i as u64),
                Workload::Transfers => {
                    let to = Address::from(address(&spare[(home + i) % homes]));
                    let bytes = transfer(&keys[i % ACCOUNTS], (i / ACCOUNTS) as u64, to);
                    (transfer_id(&bytes), bytes)
                }
            };
            (0..SUBMITTED).map(transaction).collect()
        });
        let submitted = submitted.collect();
        let checker = Arc::new(Checker::new(config.clone()).unwrap());
        Self { config, checker, genesis: owned, submitted, spare }
    }

    /// Before block 1.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.config, self.genesis.iter().copied()).unwrap()
    }

    /// A transaction that can stand on this tip and that nobody submitted.
    pub fn made_up(&self, by: usize, ledger: &Ledger, number: u64) -> Vec<u8> {
        match self.config.workload {
            // Far from what is submitted, and within the window that remembers it.
            Workload::Opaque => payload(by, 500_000 + number % 100_000).1,
            Workload::Transfers => {
                let own = Address::from(address(&self.spare[by]));
                transfer(&self.spare[by], ledger.account(&own).nonce, Address::repeat_byte(number as u8))
            }
        }
    }
}

impl Fixture {
    fn new(validators: u16) -> Self {
        let dispersal = |code| {
            let config = DispersalConfig {
                code,
                data_chunks: None,
                parity_chunks: None,
                max_body_bytes: BLOCK_BYTES,
                encode: BackendId::Cpu,
                reconstruct: BackendId::Cpu,
                options: Options { threads: 1, ..Options::default() },
            };
            Dispersal::new(&config, validators).unwrap()
        };
        let mut unchecked = dispersal(Some(Code::RsVandermonde));
        unchecked.plant_chunk_root_unchecked();
        Self {
            coded: Code::ALL.map(|code| Arc::new(dispersal(Some(code)))),
            unchecked: Arc::new(unchecked),
            whole: Arc::new(dispersal(None)),
            transfers: Trade::new(Workload::Transfers, validators),
            opaque: Trade::new(Workload::Opaque, validators),
            bls: OnceLock::new(),
            validators,
        }
    }

    /// That of a committee of 4, 7 or 10.
    pub fn of(validators: usize) -> &'static Self {
        static FIXTURES: [OnceLock<Fixture>; 3] = [const { OnceLock::new() }; 3];
        let place = [4, 7, 10].iter().position(|&n| n == validators).expect("4, 7 or 10 validators");
        FIXTURES[place].get_or_init(|| Self::new(validators as u16))
    }

    /// Chunks of this code, or whole blocks.
    pub fn dispersal(&self, code: Option<Code>) -> &Arc<Dispersal> {
        let place = code.and_then(|code| Code::ALL.iter().position(|&other| other == code));
        place.map_or(&self.whole, |place| &self.coded[place])
    }

    pub fn trade(&self, workload: Workload) -> &Trade {
        match workload {
            Workload::Transfers => &self.transfers,
            Workload::Opaque => &self.opaque,
        }
    }

    /// A committee on real signatures, one key each.
    pub fn bls(&self) -> &Signers {
        self.bls.get_or_init(|| {
            let (committee, signers) = crate::fbft::bls::tests::committee(&vec![1; usize::from(self.validators)]);
            let known = Arc::new(Mutex::new(HashMap::new()));
            let remember = |inner| -> Arc<dyn Crypto> { Arc::new(Remembering { inner, known: known.clone() }) };
            (Arc::new(committee), signers.into_iter().map(remember).collect())
        })
    }
}

/// Real signatures, each claim verified once and not once by everybody: a verdict depends on nothing but the claim.
struct Remembering {
    inner: Arc<dyn Crypto>,
    known: Arc<Mutex<HashMap<[u8; 32], bool>>>,
}

impl Crypto for Remembering {
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        self.inner.sign(slots, message)
    }

    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        self.inner.aggregate(signatures)
    }

    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        let name = |claim: &Claim| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(claim.signers.as_bytes()).update(&claim.signature.0).update(&claim.message);
            *hasher.finalize().as_bytes()
        };
        let names: Vec<_> = claims.iter().map(name).collect();
        let mut verdicts: Vec<Option<bool>> = {
            let known = self.known.lock().unwrap();
            names.iter().map(|name| known.get(name).copied()).collect()
        };
        let unknown: Vec<usize> = (0..claims.len()).filter(|&i| verdicts[i].is_none()).collect();
        let fresh = self.inner.verify(&unknown.iter().map(|&i| claims[i].clone()).collect::<Vec<_>>());
        let mut known = self.known.lock().unwrap();
        for (i, verdict) in unknown.into_iter().zip(fresh) {
            known.insert(names[i], verdict);
            verdicts[i] = Some(verdict);
        }
        verdicts.into_iter().map(|verdict| verdict.expect("every claim has a verdict")).collect()
    }
}
