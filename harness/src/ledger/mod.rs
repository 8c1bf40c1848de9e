//! What blocks do: transactions, pool, execution and the state root. No clock, no I/O.
//!
//! | module | what |
//! |---|---|
//! | [`transaction`] | workload `transfers`: Harmony's legacy transaction |
//! | [`opaque`] | workload `opaque`: payload bytes without signature or execution |
//! | [`body`] | the encoding of a block's transactions |
//! | [`senders`] | recovering who signed, on a kernels backend, with the cache of what is known already |
//! | [`state`] | accounts, execution, the incremental state root |
//! | [`tree`] | the hash trees under both roots |
//! | [`pool`] | transactions that wait for a block |
//! | [`workload`] | both workloads behind one interface: what a node calls |
//!
//! Heavy and light work are apart. [`workload::Checker`] decodes and recovers senders; it is shared and can run on any
//! thread. [`workload::Ledger`] owns pool and state and is quick.

pub mod body;
pub mod opaque;
pub mod pool;
pub mod senders;
pub mod state;
pub mod transaction;
pub mod tree;
pub mod workload;

use alloy_primitives::Address;

use crate::types::{ChainId, Hash, ShardId, ValidatorIndex};

/// A transaction's identity: keccak256 of a transfer, the header of a payload.
pub type TxId = Hash;

/// What a transaction asks for, once its bytes were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves value; the signature was verified by recovering `from`.
    Transfer {
        /// Who signed.
        from: Address,
        /// What they signed.
        transfer: transaction::Transfer,
    },
    /// Only to be ordered.
    Payload(opaque::Payload),
}

/// A transaction whose bytes were checked: form, domain and signature. Nonce and balance depend on the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    id: TxId,
    action: Action,
    bytes: Vec<u8>,
}

impl Checked {
    /// Its identity.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// What it asks for.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Its encoding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Action {
    /// Sender and nonce of a transfer.
    pub fn turn(&self) -> Option<(Address, u64)> {
        match self {
            Self::Transfer { from, transfer } => Some((*from, transfer.nonce)),
            Self::Payload(_) => None,
        }
    }
}

/// Why bytes are no transaction of this workload, chain and shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Longer than any transaction of the workload.
    #[error("{got} bytes exceed {most}")]
    Length {
        /// Bytes.
        got: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Not the canonical RLP of the fields.
    #[error("encoding: {0}")]
    Encoding(alloy_rlp::Error),
    /// v is not one of this chain.
    #[error("not signed for chain {want}")]
    Chain {
        /// This chain.
        want: ChainId,
    },
    /// It belongs to another shard.
    #[error("for shard {got}, this is {want}")]
    Shard {
        /// Its shard.
        got: ShardId,
        /// This shard.
        want: ShardId,
    },
    /// The receiver is on another shard.
    #[error("cross-shard transfer to shard {to} is not supported")]
    CrossShard {
        /// The receiver's shard.
        to: ShardId,
    },
    /// A transfer with call data.
    #[error("transfer carries data")]
    Data,
    /// Below what a transfer needs.
    #[error("gas limit {got} is below {}", transaction::TRANSFER_GAS)]
    GasLimit {
        /// The limit.
        got: u64,
    },
    /// r or s is zero, r is not below the order, or s is above its half.
    #[error("signature is out of range")]
    SignatureRange,
    /// No key could have made this signature.
    #[error("no sender can be recovered")]
    Sender,
    /// The sender owns less than value and offered gas, as of the tip.
    #[error("balance is below value and gas")]
    Balance,
    /// No payload header of this version.
    #[error("payload header")]
    PayloadHeader,
    /// The payload's home is not in the committee.
    #[error("payload from home {got} of {homes}")]
    Home {
        /// Its home.
        got: ValidatorIndex,
        /// Validators.
        homes: u16,
    },
}
