//! Both workloads behind one interface, so that a node never asks which one runs.
//!
//! ```text
//! bytes --Checker::check--> Checked --Ledger::admit--> pool --Ledger::build--> (CheckedBody, Execution)      proposer
//! body --Checker::check_body--> CheckedBody --Ledger::execute--> Execution                                   everybody
//! (CheckedBody, Execution) --Ledger::commit--> the new tip                                                  once final
//! ```
//!
//! A [`Checker`] does what is heavy and needs no state; it is shared between threads. A [`Ledger`] is quick and has one
//! owner. A block with one transaction that is invalid, or that cannot be executed in its place, is invalid as a whole.
//! What a proposer builds needs no second check: its transactions were checked when they entered the pool.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::{BackendId, Description, Error, Options};

use crate::ledger::body::{Body, BodyError};
use crate::ledger::opaque::{self, Opaque, Payload, PayloadError};
use crate::ledger::pool::{Outcome, Pool, PoolLimits};
use crate::ledger::senders::{SenderCounts, Senders, Signed};
use crate::ledger::state::{self, Receipt, Stale, State, TransferError, receipts_root};
use crate::ledger::transaction::{Domain, MAX_TRANSFER_BYTES, SignedTransfer, transfer_id};
use crate::ledger::{Action, Checked, Invalid, TxId};
use crate::types::{Hash, Millis};

/// Largest payload of workload `opaque`; the same as Harmony's bound for any transaction.
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// What the transactions of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Signed transfers between accounts, executed.
    Transfers,
    /// Payload bytes, ordered and nothing else.
    Opaque,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transfers => "transfers",
            Self::Opaque => "opaque",
        })
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Transfers, Self::Opaque]
            .into_iter()
            .find(|workload| workload.to_string() == name)
            .ok_or_else(|| format!("unknown workload `{name}`: one of transfers, opaque"))
    }
}

/// What every validator of a run agrees on, and how this one does its part.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// What the transactions are.
    pub workload: Workload,
    /// The chain and shard.
    pub domain: Domain,
    /// Validators; payloads name one as their home.
    pub validators: u16,
    /// Most bytes of an encoded body.
    pub max_body_bytes: u32,
    /// Most bytes of one payload, its header included.
    pub max_payload_bytes: usize,
    /// This node's pool.
    pub pool: PoolLimits,
    /// Senders remembered; 0 turns the cache off.
    pub sender_cache: usize,
    /// Who recovers senders.
    pub recover: BackendId,
    /// How that backend is opened.
    pub options: Options,
}

impl LedgerConfig {
    /// # Errors
    ///
    /// Payloads out of range, or bodies that cannot hold the longest transaction.
    pub fn validate(&self) -> Result<(), String> {
        let longest = match self.workload {
            Workload::Transfers => MAX_TRANSFER_BYTES,
            Workload::Opaque => self.max_payload_bytes,
        };
        if !(opaque::HEADER_BYTES..=MAX_PAYLOAD_BYTES).contains(&longest) {
            let least = opaque::HEADER_BYTES;
            return Err(format!("payloads have {least} to {MAX_PAYLOAD_BYTES} bytes, not {longest}"));
        }
        let needed = Body::empty().as_bytes().len() + Body::cost(longest);
        if (self.max_body_bytes as usize) < needed {
            let most = self.max_body_bytes;
            return Err(format!("a body of {most} bytes cannot hold a transaction of {longest}: at least {needed}"));
        }
        Ok(())
    }
}

/// Why a block is invalid for everyone, whatever view proposes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// The bytes are no body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// One transaction's bytes are not valid.
    #[error("transaction {index}: {reason}")]
    Transaction {
        /// Its place.
        index: usize,
        /// Why.
        reason: Invalid,
    },
    /// One transfer cannot be executed in its place.
    #[error("transaction {index}: {reason}")]
    Transfer {
        /// Its place.
        index: usize,
        /// Why.
        reason: TransferError,
    },
    /// The block was checked for the other workload.
    #[error("transaction {index} belongs to another workload")]
    Workload {
        /// Its place.
        index: usize,
    },
    /// One payload cannot be ordered there.
    #[error("transaction {index}: {reason}")]
    Payload {
        /// Its place.
        index: usize,
        /// Why.
        reason: PayloadError,
    },
}

/// A body whose transactions were all checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedBody {
    body: Body,
    actions: Vec<(TxId, Action)>,
}

impl CheckedBody {
    /// The encoding that is cut into chunks.
    pub fn as_bytes(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// Transactions.
    pub fn len(&self) -> u32 {
        self.body.len()
    }

    /// Whether there is no transaction.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The transactions in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = TxId> {
        self.actions.iter().map(|&(id, _)| id)
    }
}

/// For each transaction what it is, or why it is refused.
pub type Verdicts<T> = Vec<Result<T, Invalid>>;

/// Checks transactions without a state: form, domain, signature.
pub struct Checker {
    config: LedgerConfig,
    senders: Senders,
}

impl Checker {
    /// # Errors
    ///
    /// As [`LedgerConfig::validate`]; the reason, when the backend cannot run here.
    pub fn new(config: LedgerConfig) -> Result<Self, String> {
        config.validate()?;
        let senders = Senders::open(config.recover, &config.options, config.sender_cache)
            .map_err(|reason| format!("secp256k1/recover on {}: {reason}", config.recover))?;
        Ok(Self { config, senders })
    }

    /// Recoveries so far.
    pub fn sender_counts(&self) -> SenderCounts {
        self.senders.counts()
    }

    /// What recovers senders.
    pub fn description(&self) -> Description {
        self.senders.description()
    }

    /// A verdict for each transaction.
    ///
    /// # Errors
    ///
    /// The backend's own failure, never a transaction's.
    pub fn check(&self, transactions: Vec<Vec<u8>>) -> Result<Verdicts<Checked>, Error> {
        self.check_counting(transactions, &mut 0)
    }

    /// [`Checker::check`], and adds to `recovered` the senders that this call recovered: what its time went into.
    ///
    /// # Errors
    ///
    /// As [`Checker::check`].
    pub fn check_counting(&self, transactions: Vec<Vec<u8>>, recovered: &mut u64) -> Result<Verdicts<Checked>, Error> {
        let verdicts = self.actions(transactions.iter().map(Vec::as_slice), recovered)?;
        let checked = |(bytes, verdict): (_, Result<_, _>)| verdict.map(|(id, action)| Checked { id, action, bytes });
        Ok(transactions.into_iter().zip(verdicts).map(checked).collect())
    }

    /// Reads a body and checks each transaction in it.
    ///
    /// # Errors
    ///
    /// Outside: the backend's own failure. Inside: why the block is invalid.
    pub fn check_body(&self, bytes: Vec<u8>) -> Result<Result<CheckedBody, InvalidBlock>, Error> {
        self.check_body_counting(bytes, &mut 0)
    }

    /// [`Checker::check_body`], and adds to `recovered` the senders that this call recovered.
    ///
    /// # Errors
    ///
    /// As [`Checker::check_body`].
    pub fn check_body_counting(
        &self,
        bytes: Vec<u8>,
        recovered: &mut u64,
    ) -> Result<Result<CheckedBody, InvalidBlock>, Error> {
        let body = match Body::decode(bytes, self.config.max_body_bytes) {
            Ok(body) => body,
            Err(error) => return Ok(Err(error.into())),
        };
        let verdicts = self.actions(body.iter(), recovered)?;
        let actions = verdicts
            .into_iter()
            .enumerate()
            .map(|(index, verdict)| verdict.map_err(|reason| InvalidBlock::Transaction { index, reason }));
        Ok(actions.collect::<Result<_, _>>().map(|actions| CheckedBody { body, actions }))
    }

    fn actions<'a>(
        &self,
        transactions: impl ExactSizeIterator<Item = &'a [u8]>,
        recovered: &mut u64,
    ) -> Result<Verdicts<(TxId, Action)>, Error> {
        let LedgerConfig { domain, validators, max_payload_bytes, .. } = self.config;
        match self.config.workload {
            Workload::Opaque => Ok(transactions
                .map(|bytes| {
                    let payload = Payload::decode(bytes, domain.shard, validators, max_payload_bytes)?;
                    Ok((payload.id(), Action::Payload(payload)))
                })
                .collect()),
            Workload::Transfers => {
                let decoded: Verdicts<(TxId, SignedTransfer)> = transactions
                    .map(|bytes| Ok((transfer_id(bytes), SignedTransfer::decode(bytes, domain)?)))
                    .collect();
                let signed: Vec<Signed> = decoded
                    .iter()
                    .flatten()
                    .map(|&(id, transaction)| Signed { id, signature: transaction.signed_digest(domain) })
                    .collect();
                let mut senders = self.senders.recover(&signed, recovered)?.into_iter();
                let action = |decoded: Result<(TxId, SignedTransfer), Invalid>| {
                    let (id, SignedTransfer { transfer, .. }) = decoded?;
                    let from = senders.next().flatten().ok_or(Invalid::Sender)?;
                    Ok((id, Action::Transfer { from, transfer }))
                };
                Ok(decoded.into_iter().map(action).collect())
            }
        }
    }
}

/// What a block does to the state it was executed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    changes: Changes,
    /// Root of the state behind the block.
    pub state_root: Hash,
    /// Root over the receipts.
    pub receipts_root: Hash,
    /// Transactions.
    pub transactions: u32,
    /// One for each transfer, in order; payloads have none.
    pub receipts: Vec<Receipt>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Changes {
    Accounts(state::Changes),
    Payloads(opaque::Changes),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tip {
    Accounts(State),
    Payloads(Opaque),
}

enum Overlay<'a> {
    Accounts(state::Overlay<'a>),
    Payloads(opaque::Overlay<'a>),
}

/// Why the next transaction cannot stand where it is.
enum Misplaced {
    Transfer(TransferError),
    Payload(PayloadError),
    /// A transaction of the other workload.
    Workload,
}

impl Overlay<'_> {
    fn apply(&mut self, id: TxId, action: &Action, bytes: &[u8]) -> Result<(), Misplaced> {
        match (self, action) {
            (Self::Accounts(overlay), Action::Transfer { from, transfer }) => {
                overlay.apply(id, *from, transfer).map_err(Misplaced::Transfer)
            }
            (Self::Payloads(overlay), Action::Payload(payload)) => {
                overlay.apply(payload, bytes).map_err(Misplaced::Payload)
            }
            _ => Err(Misplaced::Workload),
        }
    }

    fn finish(self, transactions: u32) -> Execution {
        let (changes, state_root, receipts) = match self {
            Self::Accounts(overlay) => {
                let (changes, root, receipts) = overlay.finish();
                (Changes::Accounts(changes), root, receipts)
            }
            Self::Payloads(overlay) => {
                let (changes, root) = overlay.finish();
                (Changes::Payloads(changes), root, Vec::new())
            }
        };
        Execution { changes, state_root, receipts_root: receipts_root(&receipts), transactions, receipts }
    }
}

impl Tip {
    fn overlay(&self) -> Overlay<'_> {
        match self {
            Self::Accounts(state) => Overlay::Accounts(state.overlay()),
            Self::Payloads(opaque) => Overlay::Payloads(opaque.overlay()),
        }
    }
}

/// The tip of one shard and the transactions that wait for its next block.
pub struct Ledger {
    tip: Tip,
    pool: Pool,
    max_body_bytes: u32,
}

impl Ledger {
    /// The state before block 1. Workload `opaque` has no accounts and ignores the balances.
    ///
    /// # Errors
    ///
    /// As [`LedgerConfig::validate`] and [`State::genesis`].
    pub fn new(config: &LedgerConfig, genesis: impl IntoIterator<Item = (Address, u128)>) -> Result<Self, String> {
        config.validate()?;
        let tip = match config.workload {
            Workload::Transfers => Tip::Accounts(State::genesis(genesis)?),
            Workload::Opaque => Tip::Payloads(Opaque::genesis()),
        };
        Ok(Self { tip, pool: Pool::new(config.pool), max_body_bytes: config.max_body_bytes })
    }

    /// Root of the tip's state.
    pub fn state_root(&self) -> Hash {
        match &self.tip {
            Tip::Accounts(state) => state.root(),
            Tip::Payloads(opaque) => opaque.root(),
        }
    }

    /// Nonce and balance on the tip; the empty account where there are none.
    pub fn account(&self, address: &Address) -> state::Account {
        match &self.tip {
            Tip::Accounts(state) => state.account(address),
            Tip::Payloads(_) => state::Account::default(),
        }
    }

    /// The pool, to look at.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Offers a checked transaction to the pool, or counts one that was refused.
    pub fn admit(&mut self, now: Millis, transaction: Result<Checked, Invalid>) -> Outcome {
        let transaction = match transaction {
            Ok(transaction) => transaction,
            Err(reason) => return self.pool.count(Outcome::Invalid(reason)),
        };
        let mut tip_nonce = 0;
        match (&self.tip, &transaction.action) {
            (Tip::Accounts(state), Action::Transfer { from, transfer }) => {
                let account = state.account(from);
                tip_nonce = account.nonce;
                // A used nonce is the better reason: its cost may be what emptied the account.
                let covered =
                    transfer.cost_limit().is_some_and(|limit| limit <= alloy_primitives::U256::from(account.balance));
                if transfer.nonce >= tip_nonce && !covered {
                    return self.pool.count(Outcome::Invalid(Invalid::Balance));
                }
            }
            (Tip::Payloads(opaque), Action::Payload(payload)) if opaque.is_final(payload) => {
                return self.pool.count(Outcome::Duplicate);
            }
            _ => {}
        }
        self.pool.admit(now, transaction, tip_nonce)
    }

    /// Removes what waited too long.
    pub fn remove_expired(&mut self, now: Millis) -> Vec<TxId> {
        self.pool.remove_expired(now)
    }

    /// The next block: as much of the pool's line as fits in `max_bytes` (and a body), executed on the tip. What the tip
    /// refuses leaves the pool. The rest stays until a block is final.
    pub fn build(&mut self, max_bytes: u32) -> (CheckedBody, Execution) {
        let most = max_bytes.min(self.max_body_bytes);
        let mut overlay = self.tip.overlay();
        let mut body = Body::empty();
        let mut actions = Vec::new();
        let mut unexecutable = Vec::new();
        for transaction in self.pool.line() {
            if body.as_bytes().len() + Body::cost(transaction.bytes.len()) > most as usize {
                break;
            }
            match overlay.apply(transaction.id, &transaction.action, &transaction.bytes) {
                Ok(()) => {
                    let fits = body.push(&transaction.bytes, most);
                    debug_assert!(fits, "its length was just compared");
                    actions.push((transaction.id, transaction.action));
                }
                // Its predecessor leaves, and it is held again.
                Err(Misplaced::Transfer(TransferError::Nonce { .. })) => {}
                Err(_) => unexecutable.push(transaction.id),
            }
        }
        let execution = overlay.finish(body.len());
        for id in &unexecutable {
            self.pool.remove_unexecutable(id);
        }
        (CheckedBody { body, actions }, execution)
    }

    /// Executes a block on the tip and changes nothing.
    ///
    /// # Errors
    ///
    /// The first transaction that cannot stand where it is.
    pub fn execute(&self, block: &CheckedBody) -> Result<Execution, InvalidBlock> {
        let mut overlay = self.tip.overlay();
        for (index, ((id, action), bytes)) in block.actions.iter().zip(block.body.iter()).enumerate() {
            overlay.apply(*id, action, bytes).map_err(|misplaced| match misplaced {
                Misplaced::Transfer(reason) => InvalidBlock::Transfer { index, reason },
                Misplaced::Payload(reason) => InvalidBlock::Payload { index, reason },
                Misplaced::Workload => InvalidBlock::Workload { index },
            })?;
        }
        Ok(overlay.finish(block.len()))
    }

    /// Makes a block the tip, and takes its transactions out of the pool.
    ///
    /// # Errors
    ///
    /// [`Stale`], and nothing is changed, if it was executed on another tip.
    pub fn commit(&mut self, block: &CheckedBody, execution: Execution) -> Result<(), Stale> {
        match (&mut self.tip, execution.changes) {
            (Tip::Accounts(state), Changes::Accounts(changes)) => state.commit(changes)?,
            (Tip::Payloads(opaque), Changes::Payloads(changes)) => opaque.commit(changes)?,
            (tip, _) => {
                let tip = match tip {
                    Tip::Accounts(state) => state.root(),
                    Tip::Payloads(opaque) => opaque.root(),
                };
                return Err(Stale { executed_on: execution.state_root, tip });
            }
        }
        self.pool.finalized(block.actions.iter().map(|(id, action)| (*id, action)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use shardmark_kernels::secp256k1::{SecretKey, address};

    use super::*;
    use crate::ledger::transaction::Transfer;
    use crate::types::{ChainId, ShardId, ValidatorIndex};

    const DOMAIN: Domain = Domain { chain: ChainId(2), shard: ShardId(0) };
    const BALANCE: u128 = 1_000_000;

    fn config(workload: Workload) -> LedgerConfig {
        let pool = PoolLimits { max_transactions: 100, max_bytes: 1 << 20, max_queued_per_sender: 4, expiry_ms: 1000 };
        LedgerConfig {
            workload,
            domain: DOMAIN,
            validators: 4,
            max_body_bytes: 4096,
            max_payload_bytes: 256,
            pool,
            sender_cache: 100,
            recover: BackendId::Cpu,
            options: Options::default(),
        }
    }

    fn key(i: u8) -> SecretKey {
        SecretKey::from_bytes(&[i; 32]).unwrap()
    }

    fn from(i: u8) -> Address {
        address(&key(i)).into()
    }

    fn open(workload: Workload) -> (Checker, Ledger) {
        let config = config(workload);
        (Checker::new(config.clone()).unwrap(), Ledger::new(&config, (1..4).map(|i| (from(i), BALANCE))).unwrap())
    }

    fn transfer(i: u8, nonce: u64, value: u128) -> Vec<u8> {
        let to = from(i + 1);
        let transfer = Transfer { nonce, gas_price: U256::from(1), gas_limit: 21_000, to, value: U256::from(value) };
        transfer.sign(DOMAIN, &key(i)).encode(DOMAIN)
    }

    fn payload(home: u16, sequence: u64, filler: usize) -> Vec<u8> {
        let payload = Payload { shard: DOMAIN.shard, home: ValidatorIndex(home), sequence };
        [&payload.header()[..], &vec![7; filler]].concat()
    }

    fn admit(checker: &Checker, ledger: &mut Ledger, transactions: Vec<Vec<u8>>) -> Vec<Outcome> {
        let verdicts = checker.check(transactions).unwrap();
        verdicts.into_iter().map(|verdict| ledger.admit(0, verdict)).collect()
    }

    fn body(transactions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = Body::empty();
        for transaction in transactions {
            assert!(body.push(transaction, u32::MAX));
        }
        body.as_bytes().to_vec()
    }

    /// What a validator says about a body.
    fn judge(checker: &Checker, ledger: &Ledger, transactions: &[Vec<u8>]) -> Result<Execution, InvalidBlock> {
        ledger.execute(&checker.check_body(body(transactions)).unwrap()?)
    }

    #[test]
    fn a_validator_comes_to_what_the_proposer_built() {
        let blocks = [
            (Workload::Transfers, vec![transfer(1, 0, 5), transfer(2, 0, 6), transfer(1, 1, 7)]),
            (Workload::Opaque, vec![payload(0, 0, 20), payload(3, 9, 200), payload(0, 1, 0)]),
        ];
        for (workload, transactions) in blocks {
            let (checker, mut proposer) = open(workload);
            assert_eq!(admit(&checker, &mut proposer, transactions), [Outcome::Admitted; 3]);
            let (built, execution) = proposer.build(u32::MAX);
            let (checker, mut validator) = open(workload);
            let checked = checker.check_body(built.as_bytes().to_vec()).unwrap().unwrap();
            assert_eq!(checked, built);
            assert_eq!(validator.execute(&checked), Ok(execution.clone()));
            assert_ne!(execution.state_root, validator.state_root());
            assert_eq!((execution.transactions, checked.len()), (3, 3));
            validator.commit(&checked, execution.clone()).unwrap();
            proposer.commit(&built, execution).unwrap();
            assert_eq!(validator.state_root(), proposer.state_root());
            assert!(proposer.pool().is_empty());
            assert_eq!(proposer.pool().counts().finalized, 3);
        }
    }

    #[test]
    fn a_block_with_one_invalid_transaction_is_invalid_as_a_whole() {
        let (checker, ledger) = open(Workload::Transfers);
        let good = transfer(1, 0, 5);
        assert!(judge(&checker, &ledger, std::slice::from_ref(&good)).is_ok());
        let at_one = |bad: Vec<u8>| judge(&checker, &ledger, &[good.clone(), bad]).unwrap_err();
        let reason = TransferError::Nonce { got: 0, want: 1 };
        assert_eq!(at_one(good.clone()), InvalidBlock::Transfer { index: 1, reason });
        let reason = TransferError::Nonce { got: 1, want: 0 };
        assert_eq!(at_one(transfer(2, 1, 5)), InvalidBlock::Transfer { index: 1, reason });
        let reason = TransferError::Balance { balance: BALANCE };
        assert_eq!(at_one(transfer(3, 0, BALANCE)), InvalidBlock::Transfer { index: 1, reason });
        assert!(matches!(at_one(vec![1, 2, 3]), InvalidBlock::Transaction { index: 1, reason: Invalid::Encoding(_) }));
        assert!(matches!(judge(&checker, &ledger, &[]), Ok(Execution { transactions: 0, .. })));
    }

    #[test]
    fn a_signature_of_another_key_pays_from_another_account_or_none() {
        let (checker, ledger) = open(Workload::Transfers);
        // Key 9 owns nothing, so what it signs cannot be paid.
        assert!(matches!(
            judge(&checker, &ledger, &[transfer(9, 0, 1)]),
            Err(InvalidBlock::Transfer { index: 0, reason: TransferError::Balance { balance: 0 } })
        ));
        // A changed amount gives another sender, or none: never the one who signed.
        let signed = Transfer { nonce: 0, gas_price: U256::ZERO, gas_limit: 21_000, to: from(2), value: U256::ZERO };
        let mut forged = signed.sign(DOMAIN, &key(1));
        forged.transfer.value = U256::from(1);
        assert!(judge(&checker, &ledger, &[forged.encode(DOMAIN)]).is_err());
    }

    #[test]
    fn a_payload_is_ordered_once() {
        let (checker, mut ledger) = open(Workload::Opaque);
        let block = [payload(0, 0, 5)];
        assert!(matches!(
            judge(&checker, &ledger, &[block[0].clone(), payload(0, 0, 6)]),
            Err(InvalidBlock::Payload { index: 1, reason: PayloadError::Repeated { .. } })
        ));
        let checked = checker.check_body(body(&block)).unwrap().unwrap();
        let execution = ledger.execute(&checked).unwrap();
        ledger.commit(&checked, execution).unwrap();
        assert!(matches!(
            judge(&checker, &ledger, &block),
            Err(InvalidBlock::Payload { index: 0, reason: PayloadError::Replayed { .. } })
        ));
        assert_eq!(admit(&checker, &mut ledger, block.to_vec()), [Outcome::Duplicate]);
    }

    #[test]
    fn each_outcome_of_the_pool_is_counted() {
        let (checker, mut ledger) = open(Workload::Transfers);
        let outcomes = admit(
            &checker,
            &mut ledger,
            vec![
                transfer(1, 0, 1),
                transfer(1, 0, 1),
                transfer(1, 0, 2),
                transfer(1, 2, 1),
                vec![0],
                transfer(9, 0, 1),
            ],
        );
        assert_eq!(outcomes[..4], [Outcome::Admitted, Outcome::Duplicate, Outcome::NonceTaken, Outcome::Queued]);
        assert!(matches!(outcomes[4], Outcome::Invalid(Invalid::Encoding(_))));
        assert_eq!(outcomes[5], Outcome::Invalid(Invalid::Balance));
        let (block, execution) = ledger.build(u32::MAX);
        ledger.commit(&block, execution).unwrap();
        assert_eq!(admit(&checker, &mut ledger, vec![transfer(1, 0, 1)]), [Outcome::NonceTooLow]);
        assert_eq!(ledger.remove_expired(1000).len(), 1);
        let c = *ledger.pool().counts();
        assert_eq!((c.admitted, c.queued, c.duplicate, c.nonce_taken, c.nonce_too_low), (2, 1, 1, 1, 1));
        assert_eq!((c.invalid, c.finalized, c.expired), (2, 1, 1));
    }

    #[test]
    fn a_full_block_leaves_the_rest_in_line() {
        let (checker, mut ledger) = open(Workload::Opaque);
        admit(&checker, &mut ledger, (0..10).map(|i| payload(0, i, 84)).collect());
        let (block, _) = ledger.build(4 + 3 * 104 + 103);
        assert_eq!(block.len(), 3);
        let (block, _) = ledger.build(4 + 4 * 104);
        assert_eq!(block.len(), 4, "what was built is still there until a block is final");
        let (block, _) = ledger.build(u32::MAX);
        assert_eq!(block.len(), 10);
    }

    #[test]
    fn what_the_tip_refuses_leaves_the_pool_and_not_the_block() {
        let (checker, mut ledger) = open(Workload::Transfers);
        // Each is covered by the balance alone, the second not behind the first.
        let most = BALANCE - 21_000;
        admit(
            &checker,
            &mut ledger,
            vec![transfer(1, 0, most), transfer(1, 1, most), transfer(1, 2, 1), transfer(2, 0, 1)],
        );
        let (block, execution) = ledger.build(u32::MAX);
        assert_eq!(block.len(), 2);
        assert_eq!(ledger.execute(&block), Ok(execution));
        assert_eq!((ledger.pool().counts().unexecutable, ledger.pool().len()), (1, 3));
        assert_eq!(ledger.pool().executable(), 2, "nonce 2 is held behind the gap");
    }

    #[test]
    fn senders_known_from_the_pool_are_not_recovered_for_the_block() {
        let (checker, mut ledger) = open(Workload::Transfers);
        admit(&checker, &mut ledger, vec![transfer(1, 0, 1), transfer(2, 0, 1)]);
        let recovered = checker.sender_counts();
        let (block, _) = ledger.build(u32::MAX);
        assert_eq!(checker.sender_counts(), recovered);
        checker.check_body(block.as_bytes().to_vec()).unwrap().unwrap();
        assert_eq!(checker.sender_counts(), SenderCounts { cached: 2, ..recovered });
    }

    #[test]
    fn an_execution_on_another_tip_is_not_committed() {
        let (checker, mut ledger) = open(Workload::Transfers);
        let checked = |t: &[Vec<u8>]| checker.check_body(body(t)).unwrap().unwrap();
        let (a, b) = (checked(&[transfer(1, 0, 1)]), checked(&[transfer(1, 0, 2)]));
        let (on_a, on_b) = (ledger.execute(&a).unwrap(), ledger.execute(&b).unwrap());
        ledger.commit(&a, on_a.clone()).unwrap();
        assert!(ledger.commit(&b, on_b).is_err());
        assert_eq!(ledger.state_root(), on_a.state_root);
    }

    #[test]
    fn the_other_workload_is_refused() {
        let (transfers, _) = open(Workload::Transfers);
        let (_, mut opaque) = open(Workload::Opaque);
        let block = transfers.check_body(body(&[transfer(1, 0, 1)])).unwrap().unwrap();
        assert_eq!(opaque.execute(&block), Err(InvalidBlock::Workload { index: 0 }));
        let (_, ledger) = open(Workload::Transfers);
        assert!(opaque.commit(&block, ledger.execute(&block).unwrap()).is_err());
    }

    #[test]
    fn impossible_sizes_and_absent_backends_are_refused_with_a_reason() {
        let opaque = config(Workload::Opaque);
        let error = |config: LedgerConfig| Checker::new(config).err().unwrap();
        assert!(error(LedgerConfig { max_payload_bytes: 15, ..opaque.clone() }).contains("not 15"));
        assert!(error(LedgerConfig { max_payload_bytes: 1 << 20, ..opaque.clone() }).contains("131072"));
        assert!(error(LedgerConfig { max_body_bytes: 263, ..opaque.clone() }).contains("at least 264"));
        assert!(error(LedgerConfig { max_body_bytes: 200, ..config(Workload::Transfers) }).contains("at least 201"));
        assert!(error(LedgerConfig { recover: BackendId::Wgpu, ..opaque }).contains("secp256k1/recover on wgpu"));
    }
}
