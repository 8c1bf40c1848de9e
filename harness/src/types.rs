//! The identities that the whole harness shares. Newtypes, so that what must not be mixed cannot be.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, BorshSerialize, BorshDeserialize,
            schemars::JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One network of shards. Part of everything signed.
    ChainId(u64)
}
number! {
    /// A Harmony shard: one committee with its own chain. Carried by header, transaction, vote, event and summary.
    ShardId(u32)
}
number! {
    /// Height. The genesis block is 0; consensus starts at 1.
    BlockNum(u64)
}
number! {
    /// Attempt at one height, from 0. `(block_num, view_id)` orders all attempts of a shard.
    ViewId(u64)
}
number! {
    /// A node of the committee. A validator holds one or more slots.
    ValidatorIndex(u16)
}
number! {
    /// One BLS key of the committee: a bit of every signer bitmap, one unit of voting power.
    Slot(u16)
}

/// 32 bytes of a hash function's output.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", hex::encode(&self.0[..4]))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as Deserialize>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A BLS public key, compressed (IETF min-pk: G1).
pub type PublicKeyBytes = [u8; 48];

/// A BLS signature, compressed (IETF min-pk: G2), or what stands for one in a simulated scheme.
#[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 96]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", hex::encode(&self.0[..4]))
    }
}

/// Milliseconds of virtual or monotonic time since the run's start. State machines get it as an argument.
pub type Millis = u64;
