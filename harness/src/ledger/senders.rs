//! Who signed: `secp256k1/recover` on a chosen backend, and a cache of what was recovered already.
//!
//! A validator sees most transactions twice, when they enter its pool and in a block. Recovering costs far more than
//! anything else about a transfer, so like other nodes it remembers the senders; without the cache each sight costs
//! the same. The cache is keyed by transaction id, which covers the signature, and holds successes only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::{Backend, BackendId, Control, Description, Error, Kernel, Options, Unavailable};
use shardmark_kernels::secp256k1::{MAX_BATCH, Recover, SignedDigest};

use crate::ledger::TxId;

/// Recoveries so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SenderCounts {
    /// Senders found in the cache.
    pub cached: u64,
    /// Signatures given to the kernel.
    pub recovered: u64,
    /// Of these, without a sender.
    pub refused: u64,
}

/// A transfer that needs its sender.
#[derive(Clone, Copy, Debug)]
pub struct Signed {
    /// The transaction.
    pub id: TxId,
    /// What was signed, and the signature.
    pub signature: SignedDigest,
}

/// Two generations of ids: when the young one is full it becomes the old one. Holds the last `half` to `2 half` ids.
struct Cache {
    half: usize,
    young: HashMap<TxId, Address>,
    old: HashMap<TxId, Address>,
}

impl Cache {
    fn get(&self, id: &TxId) -> Option<Address> {
        self.young.get(id).or_else(|| self.old.get(id)).copied()
    }

    fn insert(&mut self, id: TxId, sender: Address) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, sender);
    }
}

/// Recovers senders; shared between threads.
pub struct Senders {
    backend: Box<dyn Backend<Recover>>,
    cache: Option<Mutex<Cache>>,
    cached: AtomicU64,
    recovered: AtomicU64,
    refused: AtomicU64,
}

impl Senders {
    /// Opens the backend. `cache` is the most senders to remember; 0 turns the cache off.
    ///
    /// # Errors
    ///
    /// The reason, when this host or build cannot run the backend.
    pub fn open(backend: BackendId, options: &Options, cache: usize) -> Result<Self, Unavailable> {
        let cache = (cache > 0).then(|| {
            let half = cache.div_ceil(2);
            Mutex::new(Cache { half, young: HashMap::new(), old: HashMap::new() })
        });
        let (cached, recovered, refused) = Default::default();
        Ok(Self { backend: Recover::open(backend, options)?, cache, cached, recovered, refused })
    }

    /// What recovers.
    pub fn description(&self) -> Description {
        self.backend.description()
    }

    /// Recoveries so far.
    pub fn counts(&self) -> SenderCounts {
        SenderCounts {
            cached: self.cached.load(Ordering::Relaxed),
            recovered: self.recovered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// The sender of each transaction; `None` where no key made that signature. `recovered` grows by those that were not known.
    ///
    /// # Errors
    ///
    /// The backend's own failure, never a transaction's.
    pub fn recover(&self, transactions: &[Signed], recovered: &mut u64) -> Result<Vec<Option<Address>>, Error> {
        let mut senders: Vec<Option<Address>> = match &self.cache {
            None => vec![None; transactions.len()],
            Some(cache) => {
                let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
                transactions.iter().map(|transaction| cache.get(&transaction.id)).collect()
            }
        };
        let unknown: Vec<usize> = (0..senders.len()).filter(|&i| senders[i].is_none()).collect();
        self.cached.fetch_add((senders.len() - unknown.len()) as u64, Ordering::Relaxed);
        for batch in unknown.chunks(MAX_BATCH as usize) {
            let input: Vec<SignedDigest> = batch.iter().map(|&i| transactions[i].signature).collect();
            let found = self.backend.prepare(&())?.compute(&input, &Control::default())?;
            if found.len() != batch.len() {
                return Err(Error::Device(format!("{} senders for {} signatures", found.len(), batch.len())));
            }
            *recovered += batch.len() as u64;
            let refused = found.iter().filter(|sender| sender.is_err()).count();
            self.recovered.fetch_add(batch.len() as u64, Ordering::Relaxed);
            self.refused.fetch_add(refused as u64, Ordering::Relaxed);
            let mut cache = self.cache.as_ref().map(|c| c.lock().unwrap_or_else(PoisonError::into_inner));
            for (&i, sender) in batch.iter().zip(found) {
                senders[i] = sender.ok().map(Address::from);
                if let (Some(cache), Some(sender)) = (&mut cache, senders[i]) {
                    cache.insert(transactions[i].id, sender);
                }
            }
        }
        Ok(senders)
    }
}

#[cfg(test)]
mod tests {
    use shardmark_kernels::secp256k1::{SecretKey, address, sign_recoverable};

    use super::*;
    use crate::types::Hash;

    fn signed(i: u8) -> (Signed, Address) {
        let key = SecretKey::from_bytes(&[i; 32]).unwrap();
        let signature = sign_recoverable(&key, &[i; 32]);
        (Signed { id: Hash([i; 32]), signature }, address(&key).into())
    }

    fn open(cache: usize) -> Senders {
        Senders::open(BackendId::Cpu, &Options::default(), cache).unwrap()
    }

    #[test]
    fn a_known_sender_is_not_recovered_again() {
        let senders = open(100);
        let (a, b) = (signed(1), signed(2));
        assert_eq!(senders.recover(&[a.0], &mut 0), Ok(vec![Some(a.1)]));
        assert_eq!(senders.recover(&[b.0, a.0], &mut 0), Ok(vec![Some(b.1), Some(a.1)]));
        assert_eq!(senders.counts(), SenderCounts { cached: 1, recovered: 2, refused: 0 });
    }

    #[test]
    fn without_the_cache_each_sight_is_recovered() {
        let senders = open(0);
        let (a, from) = signed(1);
        for _ in 0..3 {
            assert_eq!(senders.recover(&[a], &mut 0), Ok(vec![Some(from)]));
        }
        assert_eq!(senders.counts(), SenderCounts { cached: 0, recovered: 3, refused: 0 });
    }

    #[test]
    fn a_signature_without_a_sender_is_refused_each_time() {
        let senders = open(100);
        let mut bad = signed(1).0;
        bad.signature.s = [0; 32];
        for _ in 0..2 {
            assert_eq!(senders.recover(&[bad, signed(2).0], &mut 0), Ok(vec![None, Some(signed(2).1)]));
        }
        assert_eq!(senders.counts(), SenderCounts { cached: 1, recovered: 3, refused: 2 });
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_the_latest() {
        let senders = open(4);
        let all: Vec<Signed> = (1..=20).map(|i| signed(i).0).collect();
        senders.recover(&all, &mut 0).unwrap();
        let cache = senders.cache.as_ref().unwrap().lock().unwrap();
        assert!(cache.young.len() + cache.old.len() <= 4);
        assert_eq!(cache.get(&all[19].id), Some(signed(20).1));
        assert_eq!(cache.get(&all[0].id), None);
    }

    #[test]
    fn a_call_counts_what_it_recovered_itself() {
        let senders = Senders::open(BackendId::Cpu, &Options::default(), 10).unwrap();
        let (mut first, mut second) = (0, 0);
        senders.recover(&[signed(1).0, signed(2).0], &mut first).unwrap();
        senders.recover(&[signed(1).0, signed(3).0], &mut second).unwrap();
        assert_eq!((first, second, senders.counts().recovered), (2, 1, 3));
    }
}
