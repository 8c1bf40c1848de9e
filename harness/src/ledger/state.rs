//! Accounts in memory, their execution and the state root.
//!
//! ```text
//! bucket(address) = first 16 bits, big-endian, of blake3(address)
//! leaf(bucket)    = blake3 keyed by "shardmark/ledger/bucket/v1", over its accounts in ascending order of address,
//!                   each address (20) || nonce u64 || balance u128, integers little-endian
//! state root      = root of the complete tree over the 2^16 leaves
//! ```
//!
//! An account with nonce 0 and balance 0 is the same as none. Execution reads the tip through an [`Overlay`] and changes
//! nothing; the result names each changed account and tree node, and [`State::commit`] takes it over. So several
//! proposals can be tried on one tip, at the cost of what each of them touches.
//!
//! Fees are burned: gas price times 21,000 leaves the supply. No proposer is credited, so a block executes alike whoever
//! proposes it again. An address may be ground into a chosen bucket; that makes its bucket slower and nothing wrong.

use std::collections::HashMap;

use alloy_primitives::{Address, U256};

use crate::ledger::TxId;
use crate::ledger::transaction::Transfer;
use crate::ledger::tree::{FixedTree, Update, key, list_root};
use crate::types::Hash;

/// Levels of the tree over the buckets.
const DEPTH: usize = 16;

const BUCKET: [u8; 32] = key(b"shardmark/ledger/bucket/v1");
const RECEIPT: [u8; 32] = key(b"shardmark/ledger/receipt/v1");

/// What an address owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent.
    pub nonce: u64,
    /// In the smallest unit. The supply fits in 128 bits, hence every balance.
    pub balance: u128,
}

/// Why a transfer cannot be executed on this state. In a block it makes the whole block invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Not the sender's next nonce.
    #[error("nonce {got} is not the next one, {want}")]
    Nonce {
        /// The transfer's.
        got: u64,
        /// The account's.
        want: u64,
    },
    /// The sender owns less than value plus gas limit times gas price.
    #[error("balance {balance} is below value and gas")]
    Balance {
        /// What the sender owns.
        balance: u128,
    },
    /// The nonce is the last that 64 bits hold (EIP-2681).
    #[error("nonce exhausted")]
    NonceExhausted,
}

/// What one executed transfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub id: TxId,
    /// Who paid.
    pub from: Address,
    /// Who received.
    pub to: Address,
    /// The amount.
    pub value: u128,
    /// What was burned.
    pub fee: u128,
}

impl Receipt {
    fn leaf(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&RECEIPT);
        hasher.update(&self.id.0).update(self.from.as_slice()).update(self.to.as_slice());
        hasher.update(&self.value.to_le_bytes()).update(&self.fee.to_le_bytes());
        Hash(*hasher.finalize().as_bytes())
    }
}

/// The root over receipts in order.
pub fn receipts_root(receipts: &[Receipt]) -> Hash {
    list_root(receipts.iter().map(Receipt::leaf).collect())
}

/// All accounts of a shard after some block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Each in ascending order of address.
    buckets: Vec<Vec<(Address, Account)>>,
    tree: FixedTree<DEPTH>,
}

/// What a block changes: accounts by bucket, buckets ascending, and the nodes of the tree above them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    parent_root: Hash,
    accounts: Vec<(u16, Address, Account)>,
    nodes: Update,
}

/// The change was made on another state than this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("executed on state {executed_on}, the tip is {tip}")]
pub struct Stale {
    /// Root of the state it was made on.
    pub executed_on: Hash,
    /// Root of this state.
    pub tip: Hash,
}

fn bucket(address: &Address) -> u16 {
    let hash = blake3::hash(address.as_slice());
    let [high, low, ..] = *hash.as_bytes();
    u16::from_be_bytes([high, low])
}

fn leaf(accounts: &[(Address, Account)]) -> Hash {
    let mut bytes = Vec::with_capacity(accounts.len() * 44);
    for (address, account) in accounts {
        bytes.extend_from_slice(address.as_slice());
        bytes.extend_from_slice(&account.nonce.to_le_bytes());
        bytes.extend_from_slice(&account.balance.to_le_bytes());
    }
    Hash(blake3::keyed_hash(&BUCKET, &bytes).into())
}

/// Puts an account in its place.
fn put(accounts: &mut Vec<(Address, Account)>, address: Address, account: Account) {
    match accounts.binary_search_by_key(&address, |(a, _)| *a) {
        Ok(at) => accounts[at].1 = account,
        Err(at) => accounts.insert(at, (address, account)),
    }
}

impl State {
    /// The state before block 1. Accounts without balance are left out.
    ///
    /// # Errors
    ///
    /// An address that comes twice, or a supply beyond 128 bits.
    pub fn genesis(accounts: impl IntoIterator<Item = (Address, u128)>) -> Result<Self, String> {
        let mut buckets = vec![Vec::new(); FixedTree::<DEPTH>::LEAVES];
        let mut supply = 0u128;
        for (address, balance) in accounts {
            supply = supply.checked_add(balance).ok_or("the genesis supply exceeds 128 bits")?;
            if balance > 0 {
                buckets[usize::from(bucket(&address))].push((address, Account { nonce: 0, balance }));
            }
        }
        for accounts in &mut buckets {
            accounts.sort_unstable_by_key(|(address, _)| *address);
            if let Some(pair) = accounts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(format!("genesis names account {} twice", pair[0].0));
            }
        }
        let empty = leaf(&[]);
        let tree = FixedTree::build(buckets.iter().map(|a| if a.is_empty() { empty } else { leaf(a) }));
        Ok(Self { buckets, tree })
    }

    /// The state root.
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The account of an address; the empty one if it has none.
    pub fn account(&self, address: &Address) -> Account {
        let accounts = &self.buckets[usize::from(bucket(address))];
        accounts.binary_search_by_key(address, |(a, _)| *a).map_or(Account::default(), |at| accounts[at].1)
    }

    /// A view of the tip to execute transfers on.
    pub fn overlay(&self) -> Overlay<'_> {
        Overlay { state: self, changed: HashMap::new(), receipts: Vec::new() }
    }

    /// Takes over what a block changed.
    ///
    /// # Errors
    ///
    /// [`Stale`], and nothing is changed, if the block was executed on another state.
    pub fn commit(&mut self, changes: Changes) -> Result<(), Stale> {
        let (executed_on, tip) = (changes.parent_root, self.root());
        if executed_on != tip {
            return Err(Stale { executed_on, tip });
        }
        for (bucket, address, account) in changes.accounts {
            put(&mut self.buckets[usize::from(bucket)], address, account);
        }
        self.tree.apply(changes.nodes);
        Ok(())
    }
}

/// The tip and what the transfers of one block changed in it so far.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    state: &'a State,
    changed: HashMap<Address, Account>,
    receipts: Vec<Receipt>,
}

impl Overlay<'_> {
    /// An account as of now.
    pub fn account(&self, address: &Address) -> Account {
        self.changed.get(address).copied().unwrap_or_else(|| self.state.account(address))
    }

    /// Executes one transfer. On an error nothing changed.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub fn apply(&mut self, id: TxId, from: Address, transfer: &Transfer) -> Result<(), TransferError> {
        let mut sender = self.account(&from);
        if transfer.nonce != sender.nonce {
            return Err(TransferError::Nonce { got: transfer.nonce, want: sender.nonce });
        }
        sender.nonce = sender.nonce.checked_add(1).ok_or(TransferError::NonceExhausted)?;
        let poor = TransferError::Balance { balance: sender.balance };
        if transfer.cost_limit().is_none_or(|limit| limit > U256::from(sender.balance)) {
            return Err(poor);
        }
        // Both are at most the limit, which the balance covers; so they fit, and so does their sum.
        let fee = transfer.fee().and_then(|fee| u128::try_from(fee).ok()).ok_or(poor)?;
        let value = u128::try_from(transfer.value).map_err(|_| poor)?;
        let spent = fee.checked_add(value).ok_or(poor)?;
        sender.balance = sender.balance.checked_sub(spent).ok_or(poor)?;
        self.changed.insert(from, sender);
        if value > 0 {
            let mut receiver = self.account(&transfer.to);
            // The supply fits in 128 bits and never grows.
            receiver.balance += value;
            self.changed.insert(transfer.to, receiver);
        }
        self.receipts.push(Receipt { id, from, to: transfer.to, value, fee });
        Ok(())
    }

    /// What the block changes, the state root behind it, and its receipts.
    pub fn finish(self) -> (Changes, Hash, Vec<Receipt>) {
        let tree = &self.state.tree;
        let mut accounts: Vec<_> = self.changed.into_iter().map(|(a, account)| (bucket(&a), a, account)).collect();
        accounts.sort_unstable_by_key(|&(bucket, address, _)| (bucket, address));
        let leaves: Vec<(u16, Hash)> = accounts
            .chunk_by(|a, b| a.0 == b.0)
            .map(|group| {
                let mut merged = self.state.buckets[usize::from(group[0].0)].clone();
                for &(_, address, account) in group {
                    put(&mut merged, address, account);
                }
                (group[0].0, leaf(&merged))
            })
            .collect();
        let nodes = tree.updated(&leaves);
        let root = tree.root_after(&nodes);
        (Changes { parent_root: tree.root(), accounts, nodes }, root, self.receipts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::transaction::TRANSFER_GAS;

    fn address(i: u8) -> Address {
        Address::repeat_byte(i)
    }

    fn transfer(nonce: u64, to: u8, value: u128, gas_price: u64) -> Transfer {
        let (value, gas_price) = (U256::from(value), U256::from(gas_price));
        Transfer { nonce, gas_price, gas_limit: TRANSFER_GAS, to: address(to), value }
    }

    fn apply(overlay: &mut Overlay, from: u8, transfer: Transfer) -> Result<(), TransferError> {
        overlay.apply(TxId::default(), address(from), &transfer)
    }

    /// The whole state from scratch: a map of accounts, hashed bucket by bucket and level by level.
    fn naive_root(accounts: &BTreeMap<Address, Account>) -> Hash {
        let mut buckets: Vec<Vec<u8>> = vec![Vec::new(); 1 << 16];
        for (address, account) in accounts {
            if *account != Account::default() {
                let prefix = *blake3::hash(address.as_slice()).as_bytes();
                let bytes = &mut buckets[usize::from(prefix[0]) << 8 | usize::from(prefix[1])];
                bytes.extend(
                    [address.as_slice(), &account.nonce.to_le_bytes(), &account.balance.to_le_bytes()].concat(),
                );
            }
        }
        let keyed = |tag: &str, bytes: &[u8]| {
            let mut key = [0; 32];
            key[..tag.len()].copy_from_slice(tag.as_bytes());
            *blake3::keyed_hash(&key, bytes).as_bytes()
        };
        let mut level: Vec<[u8; 32]> = buckets.iter().map(|b| keyed("shardmark/ledger/bucket/v1", b)).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(|pair| keyed("shardmark/ledger/node/v1", &pair.concat())).collect();
        }
        Hash(level[0])
    }

    #[test]
    fn a_transfer_moves_value_and_burns_the_fee() {
        let state = State::genesis([(address(1), 100_000)]).unwrap();
        let mut overlay = state.overlay();
        assert_eq!(apply(&mut overlay, 1, transfer(0, 2, 7, 2)), Ok(()));
        assert_eq!(overlay.account(&address(1)), Account { nonce: 1, balance: 100_000 - 7 - 42_000 });
        assert_eq!(overlay.account(&address(2)), Account { nonce: 0, balance: 7 });
        assert_eq!(state.account(&address(1)), Account { nonce: 0, balance: 100_000 }, "the tip is untouched");
    }

    #[test]
    fn a_transfer_to_oneself_costs_only_the_fee() {
        let state = State::genesis([(address(1), 30_000)]).unwrap();
        let mut overlay = state.overlay();
        assert_eq!(apply(&mut overlay, 1, transfer(0, 1, 9_000, 1)), Ok(()));
        assert_eq!(overlay.account(&address(1)), Account { nonce: 1, balance: 9_000 });
    }

    #[test]
    fn nonces_are_used_once_and_in_order() {
        let state = State::genesis([(address(1), 10)]).unwrap();
        let mut overlay = state.overlay();
        assert_eq!(apply(&mut overlay, 1, transfer(1, 2, 0, 0)), Err(TransferError::Nonce { got: 1, want: 0 }));
        assert_eq!(apply(&mut overlay, 1, transfer(0, 2, 0, 0)), Ok(()));
        assert_eq!(apply(&mut overlay, 1, transfer(0, 2, 0, 0)), Err(TransferError::Nonce { got: 0, want: 1 }));
        assert_eq!(apply(&mut overlay, 1, transfer(1, 2, 0, 0)), Ok(()));
    }

    #[test]
    fn the_balance_must_cover_value_and_all_offered_gas() {
        let state = State::genesis([(address(1), 21_010)]).unwrap();
        let mut overlay = state.overlay();
        let poor = Err(TransferError::Balance { balance: 21_010 });
        assert_eq!(apply(&mut overlay, 1, transfer(0, 2, 11, 1)), poor);
        assert_eq!(apply(&mut overlay, 1, Transfer { gas_limit: 21_001, ..transfer(0, 2, 10, 1) }), poor);
        assert_eq!(apply(&mut overlay, 1, Transfer { value: U256::MAX, ..transfer(0, 2, 0, 1) }), poor);
        assert_eq!(apply(&mut overlay, 1, Transfer { gas_price: U256::MAX, ..transfer(0, 2, 0, 0) }), poor);
        assert_eq!(apply(&mut overlay, 1, transfer(0, 2, 10, 1)), Ok(()));
        assert_eq!(overlay.account(&address(1)).balance, 0);
    }

    #[test]
    fn a_failed_transfer_leaves_no_trace() {
        let state = State::genesis([(address(1), 5)]).unwrap();
        let mut overlay = state.overlay();
        assert!(apply(&mut overlay, 1, transfer(0, 2, 6, 0)).is_err());
        let (changes, root, receipts) = overlay.finish();
        assert_eq!((root, receipts.len()), (state.root(), 0));
        assert!(changes.accounts.is_empty());
    }

    #[test]
    fn the_last_nonce_is_never_used() {
        let mut state = State::genesis([(address(1), 5)]).unwrap();
        put(&mut state.buckets[usize::from(bucket(&address(1)))], address(1), Account { nonce: u64::MAX, balance: 5 });
        let mut overlay = state.overlay();
        assert_eq!(apply(&mut overlay, 1, transfer(u64::MAX, 2, 0, 0)), Err(TransferError::NonceExhausted));
    }

    #[test]
    fn genesis_refuses_repetition_and_overflow() {
        assert!(State::genesis([(address(1), 1), (address(1), 2)]).unwrap_err().contains("twice"));
        assert!(State::genesis([(address(1), u128::MAX), (address(2), 1)]).unwrap_err().contains("128 bits"));
        assert_eq!(State::genesis([(address(1), 0)]), State::genesis([]));
    }

    #[test]
    fn changes_made_on_another_state_are_refused() {
        let mut state = State::genesis([(address(1), 100)]).unwrap();
        let block = |state: &State, value| {
            let mut overlay = state.overlay();
            apply(&mut overlay, 1, transfer(0, 2, value, 0)).unwrap();
            overlay.finish()
        };
        let (first, root, _) = block(&state, 1);
        let (second, ..) = block(&state, 2);
        let before = state.root();
        assert_eq!(state.commit(first), Ok(()));
        assert_eq!(state.root(), root);
        assert_eq!(state.commit(second), Err(Stale { executed_on: before, tip: root }));
        assert_eq!(state.root(), root);
    }

    #[test]
    fn receipts_bind_every_field_and_their_order() {
        let receipt = Receipt { id: Hash([1; 32]), from: address(1), to: address(2), value: 3, fee: 4 };
        let others = [
            Receipt { id: Hash([2; 32]), ..receipt },
            Receipt { from: address(3), ..receipt },
            Receipt { to: address(3), ..receipt },
            Receipt { value: 4, ..receipt },
            Receipt { fee: 3, ..receipt },
        ];
        for other in others {
            assert_ne!(receipts_root(&[receipt]), receipts_root(&[other]));
            assert_ne!(receipts_root(&[receipt, other]), receipts_root(&[other, receipt]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_incremental_state_equals_a_naive_recomputation(
            blocks in prop::collection::vec(prop::collection::vec((1u8..8, 1u8..12, 0u128..60_000, 0u64..2, prop::bool::weighted(0.1)), 0..30), 1..5)
        ) {
            let genesis: Vec<_> = (1..6).map(|i| (address(i), 200_000u128)).collect();
            let mut state = State::genesis(genesis.clone()).unwrap();
            let mut naive: BTreeMap<_, _> = genesis.into_iter().map(|(a, balance)| (a, Account { nonce: 0, balance })).collect();
            for block in blocks {
                let mut overlay = state.overlay();
                for (from, to, value, gas_price, wrong_nonce) in block {
                    let sender = naive.get(&address(from)).copied().unwrap_or_default();
                    let nonce = sender.nonce + u64::from(wrong_nonce);
                    let cost = value + u128::from(gas_price) * 21_000;
                    let valid = !wrong_nonce && cost <= sender.balance;
                    prop_assert_eq!(apply(&mut overlay, from, transfer(nonce, to, value, gas_price)).is_ok(), valid);
                    if valid {
                        let sender = naive.entry(address(from)).or_default();
                        sender.nonce += 1;
                        sender.balance -= cost;
                        naive.entry(address(to)).or_default().balance += value;
                    }
                }
                let (changes, root, _) = overlay.finish();
                prop_assert_eq!(root, naive_root(&naive));
                state.commit(changes).unwrap();
                prop_assert_eq!(state.root(), root);
                for (a, account) in &naive {
                    prop_assert_eq!(state.account(a), *account);
                }
            }
        }
    }
}
