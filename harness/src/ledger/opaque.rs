//! The workload without signatures and execution: payload bytes, to stand beside other consensus benchmarks.
//!
//! ```text
//! payload = shard u32 | home u16 | version u16 (1) | sequence u64 | filler        integers little-endian
//! id      = the first 16 bytes, then zeros
//! root'   = blake3 keyed by "shardmark/ledger/opaque/v1", over root || count u32 || blake3 of all { length u32 | payload }
//! ```
//!
//! There are no accounts, so the state root is a running hash: it binds the content and order of every block up to it.
//! A payload is final at most once. Each home numbers its payloads, and the state remembers, per home, which of the last
//! [`WINDOW`] numbers were final; older ones count as final (the anti-replay window of IPsec, RFC 4303 section 3.4.3).
//! Nobody signs a payload, so whoever proposes may use up another home's numbers: this workload measures, it does not
//! protect.

use std::collections::{BTreeMap, HashSet};

use crate::ledger::state::Stale;
use crate::ledger::tree::key;
use crate::ledger::{Invalid, TxId};
use crate::types::{Hash, ShardId, ValidatorIndex};

/// Bytes before the filler.
pub const HEADER_BYTES: usize = 16;

/// Sequence numbers that are remembered per home.
pub const WINDOW: u64 = 1 << 20;

const VERSION: u16 = 1;
const ROOT: [u8; 32] = key(b"shardmark/ledger/opaque/v1");

/// What identifies a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Payload {
    /// The shard.
    pub shard: ShardId,
    /// The validator that it was handed to.
    pub home: ValidatorIndex,
    /// Which of that home's payloads, from 0.
    pub sequence: u64,
}

impl Payload {
    /// The first bytes of the payload.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.home.0.to_le_bytes());
        bytes[6..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The identity: header, then zeros. No hash is paid for it.
    pub fn id(&self) -> TxId {
        let mut id = [0; 32];
        id[..HEADER_BYTES].copy_from_slice(&self.header());
        Hash(id)
    }

    /// Reads the header of a payload of at most `most` bytes on this shard, from one of `homes` validators.
    ///
    /// # Errors
    ///
    /// [`Invalid`]: too short or too long, another version or shard, no such home.
    pub fn decode(bytes: &[u8], shard: ShardId, homes: u16, most: usize) -> Result<Self, Invalid> {
        if bytes.len() > most {
            return Err(Invalid::Length { got: bytes.len(), most });
        }
        let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Invalid::PayloadHeader)?;
        let [s0, s1, s2, s3, h0, h1, v0, v1, sequence @ ..] = *header;
        if u16::from_le_bytes([v0, v1]) != VERSION {
            return Err(Invalid::PayloadHeader);
        }
        let got = ShardId(u32::from_le_bytes([s0, s1, s2, s3]));
        if got != shard {
            return Err(Invalid::Shard { got, want: shard });
        }
        let home = ValidatorIndex(u16::from_le_bytes([h0, h1]));
        if home.0 >= homes {
            return Err(Invalid::Home { got: home, homes });
        }
        Ok(Self { shard, home, sequence: u64::from_le_bytes(sequence) })
    }
}

/// Which sequence numbers of one home are final: a bit each for the last [`WINDOW`], a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// One past the highest final number.
    end: u64,
    bits: Vec<u64>,
}

impl Seen {
    fn new() -> Self {
        Self { end: 0, bits: vec![0; (WINDOW / 64) as usize] }
    }

    fn place(sequence: u64) -> (usize, u64) {
        ((sequence % WINDOW / 64) as usize, 1 << (sequence % 64))
    }

    fn contains(&self, sequence: u64) -> bool {
        if sequence >= self.end {
            return false;
        }
        let (word, bit) = Self::place(sequence);
        self.end - sequence > WINDOW || self.bits[word] & bit != 0
    }

    /// The result does not depend on the order of a block's numbers.
    fn insert(&mut self, sequence: u64) {
        if self.end.saturating_sub(sequence) > WINDOW {
            // Its place belongs to a later number; it counts as final without a bit.
            return;
        }
        if sequence >= self.end {
            // Each number that enters the window takes the place of one that leaves it.
            if sequence - self.end >= WINDOW {
                self.bits.fill(0);
            } else {
                for new in self.end..=sequence {
                    let (word, bit) = Self::place(new);
                    self.bits[word] &= !bit;
                }
            }
            self.end = sequence + 1;
        }
        let (word, bit) = Self::place(sequence);
        self.bits[word] |= bit;
    }
}

/// Why a payload cannot be in a block on this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is final already, or older than the window.
    #[error("payload {sequence} of home {home} is final already or too old")]
    Replayed {
        /// Its home.
        home: ValidatorIndex,
        /// Its number.
        sequence: u64,
    },
    /// It is in this block already.
    #[error("payload {sequence} of home {home} comes twice")]
    Repeated {
        /// Its home.
        home: ValidatorIndex,
        /// Its number.
        sequence: u64,
    },
    /// The last number of 64 bits is not used.
    #[error("sequence exhausted")]
    SequenceExhausted,
}

/// The running hash and the numbers that are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    root: Hash,
    homes: BTreeMap<ValidatorIndex, Seen>,
}

impl Default for Opaque {
    fn default() -> Self {
        Self::genesis()
    }
}

/// What a block of payloads changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    parent_root: Hash,
    root: Hash,
    payloads: HashSet<Payload>,
}

impl Opaque {
    /// The state before block 1.
    pub fn genesis() -> Self {
        Self { root: Hash(*blake3::keyed_hash(&ROOT, b"genesis").as_bytes()), homes: BTreeMap::new() }
    }

    /// The running hash.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Whether a payload is final, or older than the window.
    pub fn is_final(&self, payload: &Payload) -> bool {
        self.homes.get(&payload.home).is_some_and(|seen| seen.contains(payload.sequence))
    }

    /// A view of the tip to put payloads on.
    pub fn overlay(&self) -> Overlay<'_> {
        Overlay { tip: self, payloads: HashSet::new(), content: Box::default() }
    }

    /// Takes over a block.
    ///
    /// # Errors
    ///
    /// [`Stale`], and nothing is changed, if the block was put on another state.
    pub fn commit(&mut self, changes: Changes) -> Result<(), Stale> {
        if changes.parent_root != self.root {
            return Err(Stale { executed_on: changes.parent_root, tip: self.root });
        }
        self.root = changes.root;
        for payload in changes.payloads {
            self.homes.entry(payload.home).or_insert_with(Seen::new).insert(payload.sequence);
        }
        Ok(())
    }
}

/// The tip and the payloads of one block so far.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    tip: &'a Opaque,
    payloads: HashSet<Payload>,
    content: Box<blake3::Hasher>,
}

impl Overlay<'_> {
    /// Adds one payload. On an error nothing changed.
    ///
    /// # Errors
    ///
    /// [`PayloadError`].
    pub fn apply(&mut self, payload: &Payload, bytes: &[u8]) -> Result<(), PayloadError> {
        let &Payload { home, sequence, .. } = payload;
        if sequence == u64::MAX {
            return Err(PayloadError::SequenceExhausted);
        }
        if self.tip.is_final(payload) {
            return Err(PayloadError::Replayed { home, sequence });
        }
        if !self.payloads.insert(*payload) {
            return Err(PayloadError::Repeated { home, sequence });
        }
        // A payload is shorter than a body, whose length is a u32.
        self.content.update(&(bytes.len() as u32).to_le_bytes()).update(bytes);
        Ok(())
    }

    /// What the block changes, and the running hash behind it.
    pub fn finish(self) -> (Changes, Hash) {
        let mut hasher = blake3::Hasher::new_keyed(&ROOT);
        hasher.update(&self.tip.root.0).update(&(self.payloads.len() as u32).to_le_bytes());
        hasher.update(self.content.finalize().as_bytes());
        let root = Hash(*hasher.finalize().as_bytes());
        (Changes { parent_root: self.tip.root, root, payloads: self.payloads }, root)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(home: u16, sequence: u64) -> Payload {
        Payload { shard: ShardId(3), home: ValidatorIndex(home), sequence }
    }

    #[test]
    fn the_header_is_as_documented() {
        let header = Payload { shard: ShardId(1), home: ValidatorIndex(0x203), sequence: 4 }.header();
        assert_eq!(header, [1, 0, 0, 0, 3, 2, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_payload_of_another_shard_version_home_or_size_is_refused() {
        let decode = |bytes: &[u8]| Payload::decode(bytes, ShardId(3), 4, 20);
        let good = payload(3, 9).header();
        assert_eq!(decode(&good).unwrap(), payload(3, 9));
        assert_eq!(decode(&[&good[..], &[0; 4]].concat()).unwrap(), payload(3, 9));
        assert!(matches!(decode(&[&good[..], &[0; 5]].concat()), Err(Invalid::Length { got: 21, most: 20 })));
        assert!(matches!(decode(&good[..15]), Err(Invalid::PayloadHeader)));
        assert!(matches!(decode(&payload(4, 9).header()), Err(Invalid::Home { homes: 4, .. })));
        assert!(matches!(
            decode(&{
                let mut h = good;
                h[6] = 2;
                h
            }),
            Err(Invalid::PayloadHeader)
        ));
        assert!(matches!(
            decode(&{
                let mut h = good;
                h[0] = 2;
                h
            }),
            Err(Invalid::Shard { .. })
        ));
    }

    #[test]
    fn a_payload_is_final_at_most_once() {
        let mut state = Opaque::genesis();
        let mut overlay = state.overlay();
        overlay.apply(&payload(0, 5), b"a").unwrap();
        assert!(matches!(overlay.apply(&payload(0, 5), b"b"), Err(PayloadError::Repeated { .. })));
        let (changes, root) = overlay.finish();
        state.commit(changes).unwrap();
        assert_eq!(state.root(), root);
        let mut overlay = state.overlay();
        assert!(matches!(overlay.apply(&payload(0, 5), b"a"), Err(PayloadError::Replayed { .. })));
        overlay.apply(&payload(1, 5), b"another home").unwrap();
        overlay.apply(&payload(0, 4), b"a late one").unwrap();
        assert!(matches!(overlay.apply(&payload(0, u64::MAX), b""), Err(PayloadError::SequenceExhausted)));
    }

    #[test]
    fn the_root_binds_content_order_and_boundaries() {
        let state = Opaque::genesis();
        let root = |block: &[(u64, &[u8])]| {
            let mut overlay = state.overlay();
            for (sequence, bytes) in block {
                overlay.apply(&payload(0, *sequence), bytes).unwrap();
            }
            overlay.finish().1
        };
        let blocks: [&[(u64, &[u8])]; 6] = [
            &[],
            &[(0, b"ab")],
            &[(0, b"ac")],
            &[(0, b"a"), (1, b"b")],
            &[(0, b"b"), (1, b"a")],
            &[(0, b""), (1, b"ab")],
        ];
        let roots: std::collections::BTreeSet<_> = blocks.iter().map(|block| root(block)).collect();
        assert_eq!(roots.len(), blocks.len());
        assert!(!roots.contains(&state.root()));
    }

    #[test]
    fn a_block_on_another_state_is_refused() {
        let mut state = Opaque::genesis();
        let (first, _) = state.overlay().finish();
        let (second, _) = state.overlay().finish();
        state.commit(first).unwrap();
        let before = state.clone();
        assert!(state.commit(second).is_err());
        assert_eq!(state, before);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_window_equals_a_set_of_all_numbers(
            numbers in prop::collection::vec(prop_oneof![0u64..200, WINDOW - 100..WINDOW + 100, 3 * WINDOW..3 * WINDOW + 100, Just(u64::MAX - 1)], 1..60)
        ) {
            let (mut seen, mut all) = (Seen::new(), std::collections::BTreeSet::new());
            for &number in &numbers {
                let end = all.last().map_or(0u64, |last| last + 1);
                let expected = all.contains(&number) || number < end.saturating_sub(WINDOW);
                prop_assert_eq!(seen.contains(number), expected);
                if !expected {
                    seen.insert(number);
                    all.insert(number);
                }
            }
        }

        #[test]
        fn the_window_does_not_depend_on_the_order_within_a_block(
            numbers in prop::collection::vec(prop_oneof![0u64..200, WINDOW - 100..WINDOW + 100, 3 * WINDOW..3 * WINDOW + 100], 1..30)
        ) {
            let (mut forwards, mut backwards) = (Seen::new(), Seen::new());
            numbers.iter().for_each(|&number| forwards.insert(number));
            numbers.iter().rev().for_each(|&number| backwards.insert(number));
            prop_assert!(forwards == backwards);
        }

        #[test]
        fn whatever_decodes_has_the_same_header_again(bytes in prop::collection::vec(any::<u8>(), 0..40), fix: bool) {
            let mut bytes = bytes;
            if fix && bytes.len() >= 8 {
                bytes[..8].copy_from_slice(&[3, 0, 0, 0, 2, 0, 1, 0]);
            }
            if let Ok(decoded) = Payload::decode(&bytes, ShardId(3), 4, 32) {
                prop_assert_eq!(&decoded.header()[..], &bytes[..HEADER_BYTES]);
                prop_assert!(bytes.len() <= 32);
            }
        }
    }
}
