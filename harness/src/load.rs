//! The load: open loop, computed from the seed before the run.
//!
//! When each transaction is due does not depend on what the validators do, and is known before the first one is sent; whoever
//! falls behind sends at once, and latency counts from when it was due. Every host computes the same schedule, and keeps the
//! slice of its own validator:
//!
//! ```text
//! constant: transaction i is due at i / rate
//! poisson:  gaps of -ln(u) / rate, u uniform in (0, 1]
//! ```
//!
//! Transfers are built and signed beforehand. Each is from an account chosen uniformly; all of one account go to one home, so
//! nonces arrive in order: accounts are dealt to the validators in a seeded order. Payloads of workload `opaque` go to a home
//! chosen uniformly, are numbered there, and are filled when they are due.
//!
//! The same seed gives the same bytes everywhere: logarithms and powers are libm's, not the host's.

use std::mem::size_of;

use alloy_primitives::{Address, U256};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::generator;
use shardmark_kernels::secp256k1::{SecretKey, address};

use crate::ledger::TxId;
use crate::ledger::opaque::{HEADER_BYTES, Payload};
use crate::ledger::transaction::{Domain, MAX_TRANSFER_BYTES, TRANSFER_GAS, Transfer, transfer_id};
use crate::ledger::workload::{MAX_PAYLOAD_BYTES, Workload};
use crate::types::{Millis, ValidatorIndex};

/// What each account owns at genesis, in the smallest unit: 10^9 whole ones, more than any run can spend.
pub const GENESIS_BALANCE: u128 = 1_000_000_000 * 1_000_000_000_000_000_000;

/// 100 gwei, the least that Harmony's mainnet takes.
const GAS_PRICE: u64 = 100_000_000_000;

/// A transfer moves less than a thousandth of a whole one.
const MAX_VALUE: u64 = 1_000_000_000_000_000;

/// Highest rate, per second.
const MAX_RATE: f64 = 1e7;

/// Longest warmup, duration and drain together: a week.
const MAX_RUN_MS: Millis = 7 * 24 * 3600 * 1000;

/// When transactions come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// Independently of one another.
    Poisson,
}

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Destinations {
    /// Every account alike.
    Uniform,
    /// Account i, from 1, in proportion to i to the power of minus this.
    Zipf(f64),
}

/// The load of a run, over all validators.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadConfig {
    /// Everything is chosen by it.
    pub seed: u64,
    /// What the transactions are.
    pub workload: Workload,
    /// The chain and shard.
    pub domain: Domain,
    /// Validators: the homes.
    pub validators: u16,
    /// When transactions come.
    pub arrivals: Arrivals,
    /// Transactions per second, over all homes.
    pub rate: f64,
    /// Load before the measured window.
    pub warmup_ms: Millis,
    /// Load in the measured window.
    pub duration_ms: Millis,
    /// Time without load, for the rest to become final.
    pub drain_ms: Millis,
    /// Senders and receivers of transfers.
    pub accounts: u32,
    /// Who receives transfers.
    pub destinations: Destinations,
    /// Bytes of one payload, its header included.
    pub tx_bytes: usize,
    /// Most memory for one validator's slice.
    pub max_bytes: u64,
}

impl LoadConfig {
    /// # Errors
    ///
    /// What is out of range; a load that does not fit in `max_bytes`, with the numbers.
    pub fn validate(&self) -> Result<(), String> {
        if !(self.rate > 0.0 && self.rate <= MAX_RATE) {
            return Err(format!("rate is {} transactions per second, not above 0 and at most {MAX_RATE}", self.rate));
        }
        let run = self.warmup_ms.saturating_add(self.duration_ms).saturating_add(self.drain_ms);
        if self.duration_ms == 0 || run > MAX_RUN_MS {
            return Err(format!("the measured window must be above 0 ms, the whole run at most {MAX_RUN_MS} ms"));
        }
        if self.validators == 0 {
            return Err("a load needs at least one validator".into());
        }
        match self.workload {
            Workload::Transfers if self.accounts == 0 => return Err("transfers need at least one account".into()),
            Workload::Opaque if !(HEADER_BYTES..=MAX_PAYLOAD_BYTES).contains(&self.tx_bytes) => {
                let got = self.tx_bytes;
                return Err(format!("payloads have {HEADER_BYTES} to {MAX_PAYLOAD_BYTES} bytes, not {got}"));
            }
            _ => {}
        }
        if let Destinations::Zipf(exponent) = self.destinations
            && !(0.0..=10.0).contains(&exponent)
        {
            return Err(format!("zipf exponent {exponent} is not from 0 to 10"));
        }
        let expected = self.rate * (self.load_ns() as f64 / 1e9) / f64::from(self.validators);
        self.fits(expected as u64)
    }

    /// Whether a slice of so many transactions fits in memory.
    fn fits(&self, transactions: u64) -> Result<(), String> {
        let own = match self.workload {
            Workload::Transfers => MAX_TRANSFER_BYTES,
            Workload::Opaque => 0,
        };
        let each = (size_of::<Entry>() + size_of::<Due>() + own) as u64;
        let accounts = match self.workload {
            Workload::Transfers => {
                u64::from(self.accounts) * (size_of::<SecretKey>() + size_of::<Address>() + 16) as u64
            }
            Workload::Opaque => 0,
        };
        let needed = transactions.saturating_mul(each).saturating_add(accounts);
        if needed > self.max_bytes {
            let most = self.max_bytes;
            return Err(format!(
                "a load of {transactions} transactions for one validator takes about {needed} bytes, more than {most}: \
                 lower the rate or the duration"
            ));
        }
        Ok(())
    }

    /// How long there is load.
    pub fn load_ns(&self) -> u64 {
        (self.warmup_ms + self.duration_ms) * 1_000_000
    }

    /// Whether a transaction due then counts: after the warmup.
    pub fn is_measured(&self, scheduled_ns: u64) -> bool {
        (self.warmup_ms * 1_000_000..self.load_ns()).contains(&scheduled_ns)
    }
}

/// One transaction of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place among all transactions.
    pub index: u64,
    /// When it is due, since the load's start.
    pub scheduled_ns: u64,
    /// Who gets it first.
    pub home: ValidatorIndex,
    /// Its sender; 0 for payloads.
    pub account: u32,
    /// Transfers: the sender's transactions before it. Payloads: the home's.
    pub nonce: u64,
}

/// The whole schedule, one transaction after the other. Same configuration, same schedule.
///
/// # Errors
///
/// As [`LoadConfig::validate`].
pub fn schedule(config: &LoadConfig) -> Result<impl Iterator<Item = Entry> + use<>, String> {
    config.validate()?;
    let (end, rate) = (config.load_ns(), config.rate);
    let mut times = generator("load/arrivals", config.seed, 0);
    let mut choices = generator("load/choices", config.seed, 0);
    let (workload, arrivals, validators) = (config.workload, config.arrivals, config.validators);
    let lanes = match workload {
        Workload::Transfers => config.accounts,
        Workload::Opaque => u32::from(validators),
    };
    let mut homes: Vec<u16> = match workload {
        Workload::Transfers => (0..validators).cycle().take(lanes as usize).collect(),
        Workload::Opaque => (0..validators).collect(),
    };
    if workload == Workload::Transfers {
        homes.shuffle(&mut generator("load/homes", config.seed, 0));
    }
    let mut nonces = vec![0u64; lanes as usize];
    let mut elapsed = 0.0;
    Ok((0u64..).map_while(move |index| {
        let scheduled_ns = match arrivals {
            Arrivals::Constant => index as f64 / rate * 1e9,
            Arrivals::Poisson => {
                elapsed += -libm::log(unit(&mut times)) / rate * 1e9;
                elapsed
            }
        } as u64;
        if scheduled_ns >= end {
            return None;
        }
        let lane = choices.random_range(0..lanes);
        let nonce = nonces[lane as usize];
        nonces[lane as usize] += 1;
        let account = if workload == Workload::Transfers { lane } else { 0 };
        Some(Entry { index, scheduled_ns, home: ValidatorIndex(homes[lane as usize]), account, nonce })
    }))
}

/// Uniform in (0, 1], 53 bits.
fn unit(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// The accounts of a run: every host derives all of them from the seed.
pub struct Accounts {
    keys: Vec<SecretKey>,
    addresses: Vec<Address>,
}

impl Accounts {
    /// Derives the keys, on rayon's threads.
    pub fn derive(seed: u64, accounts: u32) -> Self {
        let account = |i: u32| {
            let key = SecretKey::generate(&mut generator("load/account", seed, u64::from(i)));
            let address = Address::from(address(&key));
            (key, address)
        };
        let (keys, addresses) = (0..accounts).into_par_iter().map(account).unzip();
        Self { keys, addresses }
    }

    /// All accounts and what each owns before block 1.
    pub fn genesis(&self) -> impl Iterator<Item = (Address, u128)> {
        self.addresses.iter().map(|&address| (address, GENESIS_BALANCE))
    }
}

/// A transaction to be handed to its home now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it was due, since the load's start.
    pub scheduled_ns: u64,
    /// Its identity.
    pub id: TxId,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// One validator's slice of the load.
pub struct Load {
    config: LoadConfig,
    home: ValidatorIndex,
    /// The slice; transfers are in `built`, at the same places.
    entries: Vec<Entry>,
    built: Vec<Due>,
    next: usize,
}

impl Load {
    /// Computes the slice, and builds and signs its transfers on rayon's threads. `accounts` are those of the same seed; workload
    /// `opaque` needs none.
    ///
    /// # Errors
    ///
    /// As [`LoadConfig::validate`]; fewer accounts than configured.
    pub fn build(config: &LoadConfig, accounts: &Accounts, home: ValidatorIndex) -> Result<Self, String> {
        let mut entries = Vec::new();
        for entry in schedule(config)?.filter(|entry| entry.home == home) {
            entries.push(entry);
            if entries.len().is_power_of_two() {
                config.fits(entries.len() as u64)?;
            }
        }
        config.fits(entries.len() as u64)?;
        let built = match config.workload {
            Workload::Opaque => Vec::new(),
            Workload::Transfers => {
                let (got, want) = (accounts.addresses.len(), config.accounts);
                if got != want as usize {
                    return Err(format!("{got} accounts were derived, the load has {want}"));
                }
                let receivers = Receivers::new(config);
                entries.par_iter().map(|entry| transfer(config, accounts, &receivers, entry)).collect()
            }
        };
        Ok(Self { config: config.clone(), home, entries, built, next: 0 })
    }

    /// The validator.
    pub fn home(&self) -> ValidatorIndex {
        self.home
    }

    /// Transactions of the slice, handed out or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the slice has no transaction at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Transactions not handed out yet.
    pub fn remaining(&self) -> usize {
        self.entries.len() - self.next
    }

    /// When the next transaction is due.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.entries.get(self.next).map(|entry| entry.scheduled_ns)
    }

    /// Hands out at most `most` transactions that are due, in order, each once.
    pub fn due(&mut self, now_ns: u64, most: usize) -> Vec<Due> {
        let waiting = &self.entries[self.next..];
        let count = waiting.partition_point(|entry| entry.scheduled_ns <= now_ns).min(most);
        let range = self.next..self.next + count;
        self.next += count;
        match self.config.workload {
            Workload::Opaque => self.entries[range].iter().map(|entry| payload(&self.config, entry)).collect(),
            Workload::Transfers => {
                self.built[range].iter_mut().map(|due| Due { bytes: std::mem::take(&mut due.bytes), ..*due }).collect()
            }
        }
    }
}

/// Chooses receivers.
enum Receivers {
    Uniform(u32),
    /// Sums of the weights up to each account.
    Zipf(Vec<f64>),
}

impl Receivers {
    fn new(config: &LoadConfig) -> Self {
        match config.destinations {
            Destinations::Uniform => Self::Uniform(config.accounts),
            Destinations::Zipf(exponent) => {
                let weight = |sum: &mut f64, rank: u32| {
                    *sum += libm::pow(f64::from(rank), -exponent);
                    Some(*sum)
                };
                Self::Zipf((1..=config.accounts).scan(0.0, weight).collect())
            }
        }
    }

    fn choose(&self, rng: &mut impl Rng) -> usize {
        match self {
            Self::Uniform(accounts) => rng.random_range(0..*accounts) as usize,
            Self::Zipf(sums) => {
                let total = sums.last().copied().unwrap_or_default();
                let at = unit(rng) * total;
                sums.partition_point(|&sum| sum < at).min(sums.len() - 1)
            }
        }
    }
}

fn transfer(config: &LoadConfig, accounts: &Accounts, receivers: &Receivers, entry: &Entry) -> Due {
    let mut rng = generator("load/transfer", config.seed, entry.index);
    let to = accounts.addresses[receivers.choose(&mut rng)];
    let value = U256::from(rng.random_range(1..MAX_VALUE));
    let (gas_price, gas_limit) = (U256::from(GAS_PRICE), TRANSFER_GAS);
    let transfer = Transfer { nonce: entry.nonce, gas_price, gas_limit, to, value };
    let bytes = transfer.sign(config.domain, &accounts.keys[entry.account as usize]).encode(config.domain);
    Due { scheduled_ns: entry.scheduled_ns, id: transfer_id(&bytes), bytes }
}

fn payload(config: &LoadConfig, entry: &Entry) -> Due {
    let payload = Payload { shard: config.domain.shard, home: entry.home, sequence: entry.nonce };
    let mut bytes = vec![0; config.tx_bytes];
    let (header, filler) = bytes.split_at_mut(HEADER_BYTES);
    header.copy_from_slice(&payload.header());
    generator("load/payload", config.seed, entry.index).fill_bytes(filler);
    Due { scheduled_ns: entry.scheduled_ns, id: payload.id(), bytes }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use shardmark_kernels::backend::{BackendId, Options};

    use super::*;
    use crate::ledger::pool::{Outcome, PoolLimits};
    use crate::ledger::workload::{Checker, Ledger, LedgerConfig};
    use crate::types::{ChainId, ShardId};

    fn config(workload: Workload) -> LoadConfig {
        LoadConfig {
            seed: 7,
            workload,
            domain: Domain { chain: ChainId(2), shard: ShardId(0) },
            validators: 4,
            arrivals: Arrivals::Poisson,
            rate: 200.0,
            warmup_ms: 200,
            duration_ms: 800,
            drain_ms: 1000,
            accounts: 10,
            destinations: Destinations::Uniform,
            tx_bytes: 64,
            max_bytes: 1 << 30,
        }
    }

    fn slices(config: &LoadConfig) -> Vec<Vec<Due>> {
        let accounts = Accounts::derive(config.seed, config.accounts);
        (0..config.validators)
            .map(|home| {
                let mut load = Load::build(config, &accounts, ValidatorIndex(home)).unwrap();
                let due = load.due(u64::MAX, usize::MAX);
                assert_eq!((due.len(), load.remaining()), (load.len(), 0));
                due
            })
            .collect()
    }

    fn digest(config: &LoadConfig) -> String {
        let mut hasher = blake3::Hasher::new();
        for due in slices(config).into_iter().flatten() {
            hasher.update(&due.scheduled_ns.to_le_bytes()).update(&due.id.0).update(&due.bytes);
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_on_every_host() {
        assert_eq!(digest(&config(Workload::Transfers)), "e44f365cf74a2a14");
        assert_eq!(digest(&config(Workload::Opaque)), "41898b8cb616df83");
        assert_eq!(
            digest(&LoadConfig { destinations: Destinations::Zipf(1.1), ..config(Workload::Transfers) }),
            "e0a38d5f629dd05b"
        );
    }

    #[test]
    fn another_seed_gives_another_load() {
        let other = LoadConfig { seed: 8, ..config(Workload::Opaque) };
        assert_ne!(digest(&other), digest(&config(Workload::Opaque)));
    }

    #[test]
    fn the_slices_are_the_whole_schedule() {
        for workload in [Workload::Transfers, Workload::Opaque] {
            let config = config(workload);
            let slices = slices(&config);
            let all: Vec<Entry> = schedule(&config).unwrap().collect();
            assert_eq!(all.len(), slices.iter().map(Vec::len).sum::<usize>());
            for (home, slice) in slices.iter().enumerate() {
                let own = all.iter().filter(|entry| usize::from(entry.home.0) == home).map(|entry| entry.scheduled_ns);
                assert!(own.eq(slice.iter().map(|due| due.scheduled_ns)));
                assert!(!slice.is_empty());
            }
            let mut ids: Vec<TxId> = slices.iter().flatten().map(|due| due.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), all.len(), "ids are unique");
        }
    }

    #[test]
    fn a_constant_load_comes_at_equal_distances_and_ends() {
        let config = LoadConfig { arrivals: Arrivals::Constant, ..config(Workload::Opaque) };
        let times: Vec<u64> = schedule(&config).unwrap().map(|entry| entry.scheduled_ns).collect();
        assert_eq!(times.len(), 200);
        assert!(times.iter().enumerate().all(|(i, &at)| at.abs_diff(i as u64 * 5_000_000) <= 1));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_spread_of_an_exponential() {
        let config = LoadConfig { rate: 10_000.0, duration_ms: 9_800, ..config(Workload::Opaque) };
        let times: Vec<f64> = schedule(&config).unwrap().map(|entry| entry.scheduled_ns as f64).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let n = gaps.len() as f64;
        assert!((n - 100_000.0).abs() < 1_500.0, "{n} arrivals: within 4.7 standard deviations");
        let mean = gaps.iter().sum::<f64>() / n;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / n).sqrt();
        assert!((mean / 100_000.0 - 1.0).abs() < 0.015, "{mean}");
        assert!((deviation / mean - 1.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn an_account_has_one_home_and_its_nonces_come_in_order() {
        let config = config(Workload::Transfers);
        let (mut homes, mut nonces) = (BTreeMap::new(), HashMap::new());
        for entry in schedule(&config).unwrap() {
            assert_eq!(*homes.entry(entry.account).or_insert(entry.home), entry.home);
            let next = nonces.entry(entry.account).or_insert(0);
            assert_eq!(entry.nonce, *next);
            *next += 1;
        }
        let mut dealt = BTreeMap::new();
        homes.values().for_each(|home| *dealt.entry(home).or_insert(0) += 1);
        assert!(
            dealt.values().all(|&accounts| accounts == 2 || accounts == 3),
            "ten accounts, dealt to four: {dealt:?}"
        );
    }

    #[test]
    fn each_transaction_is_handed_out_once_when_it_is_due() {
        let config = config(Workload::Transfers);
        let accounts = Accounts::derive(config.seed, config.accounts);
        let mut load = Load::build(&config, &accounts, ValidatorIndex(1)).unwrap();
        let total = load.len();
        let first = load.next_due_ns().unwrap();
        assert_eq!(load.due(first - 1, 9), []);
        assert_eq!(load.due(first, 9).len(), 1);
        assert_eq!(load.due(first, 9), []);
        assert_eq!(load.due(u64::MAX, 3).len(), 3);
        let rest = load.due(u64::MAX, usize::MAX);
        assert_eq!((rest.len(), load.remaining(), load.next_due_ns()), (total - 4, 0, None));
        assert!(rest.iter().all(|due| !due.bytes.is_empty()));
    }

    #[test]
    fn the_ledger_takes_and_executes_every_transaction_of_the_load() {
        for workload in [Workload::Transfers, Workload::Opaque] {
            let config = config(workload);
            let pool =
                PoolLimits { max_transactions: 9999, max_bytes: 1 << 20, max_queued_per_sender: 0, expiry_ms: 1 };
            let ledger = LedgerConfig {
                workload,
                domain: config.domain,
                validators: config.validators,
                max_body_bytes: 1 << 20,
                max_payload_bytes: config.tx_bytes,
                pool,
                sender_cache: 0,
                recover: BackendId::Cpu,
                options: Options::default(),
            };
            let checker = Checker::new(ledger.clone()).unwrap();
            let mut ledger = Ledger::new(&ledger, Accounts::derive(config.seed, config.accounts).genesis()).unwrap();
            let all: Vec<Due> = slices(&config).into_iter().flatten().collect();
            let (ids, bytes): (Vec<TxId>, Vec<_>) = all.into_iter().map(|due| (due.id, due.bytes)).unzip();
            for (verdict, id) in checker.check(bytes).unwrap().into_iter().zip(&ids) {
                assert_eq!(verdict.as_ref().unwrap().id(), *id);
                assert_eq!(ledger.admit(0, verdict), Outcome::Admitted);
            }
            let (block, _) = ledger.build(u32::MAX);
            assert!(block.ids().eq(ids));
        }
    }

    #[test]
    fn zipf_prefers_the_first_accounts() {
        let config = LoadConfig { destinations: Destinations::Zipf(1.0), accounts: 100, ..config(Workload::Transfers) };
        let receivers = Receivers::new(&config);
        let mut rng = generator("test", 1, 0);
        let mut hits = vec![0u32; 100];
        (0..50_000).for_each(|_| hits[receivers.choose(&mut rng)] += 1);
        // Harmonic number of 100: 5.187.
        assert!((f64::from(hits[0]) / 50_000.0 * 5.187 - 1.0).abs() < 0.05, "{}", hits[0]);
        assert!((f64::from(hits[0]) / f64::from(hits[9]) / 10.0 - 1.0).abs() < 0.2);
        assert!(hits[99] > 0);
    }

    #[test]
    fn the_measured_window_is_behind_the_warmup() {
        let config = config(Workload::Opaque);
        let measured = |ms: u64| config.is_measured(ms * 1_000_000);
        assert_eq!([0, 199, 200, 999, 1000].map(measured), [false, false, true, true, false]);
    }

    #[test]
    fn a_load_beyond_memory_is_refused_with_the_numbers() {
        let config = LoadConfig { max_bytes: 10_000, ..config(Workload::Transfers) };
        let error = Load::build(&config, &Accounts::derive(7, 10), ValidatorIndex(0)).err().unwrap();
        assert!(error.contains("50 transactions") && error.contains("more than 10000"), "{error}");
    }

    #[test]
    fn impossible_loads_are_refused() {
        let good = config(Workload::Transfers);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e7] {
            assert!(LoadConfig { rate, ..good.clone() }.validate().unwrap_err().contains("rate"));
        }
        for bad in [
            LoadConfig { duration_ms: 0, ..good.clone() },
            LoadConfig { drain_ms: u64::MAX, ..good.clone() },
            LoadConfig { validators: 0, ..good.clone() },
            LoadConfig { accounts: 0, ..good.clone() },
            LoadConfig { destinations: Destinations::Zipf(f64::NAN), ..good.clone() },
            LoadConfig { destinations: Destinations::Zipf(-1.0), ..good.clone() },
            LoadConfig { workload: Workload::Opaque, tx_bytes: 15, ..good.clone() },
            LoadConfig { workload: Workload::Opaque, tx_bytes: 1 << 20, ..good.clone() },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
        assert!(Load::build(&good, &Accounts::derive(7, 9), ValidatorIndex(0)).err().unwrap().contains("9 accounts"));
    }
}
