//! Randomness: a verifiable random function in every header, and a delay function over each window of them.
//!
//! ```text
//! message(h)  = "shardmark/vrf/v1" padded to 20 bytes | chain u64 | shard u32 | block_num u64 | output(h - 1)
//! proof(h)    = BLS signature over message(h) by the proposer's first slot; signatures are unique, so nobody can choose
//! output(h)   = SHA-256(proof(h));  output(0) = 0
//! window w    = blocks w N + 1 to (w + 1) N, N = beacon.blocks; numbers little-endian
//! seed(w)     = XOR of the outputs of its first floor(2 N / 3) + 1 blocks
//! ```
//!
//! The last of these blocks *closes* the window. Its proposer evaluates the delay function on the seed, beside consensus; after
//! `timeout_ms` without a proof the next validator in index order does too, and so on. The proof is a message of its own,
//! verified off the critical path; a later proposer puts it in its header. A header's proof must be of a window that final
//! blocks closed, not in a final header yet, not older than [`KEPT_WINDOWS`], and verified before a validator Prepares.
//!
//! Sources: harmony-one/harmony consensus/consensus_v2.go (seed and header field) and crypto/vrf/bls/bls_vrf.go (proof and
//! output). Different there: the VRF signs SHA-256 of the parent's hash alone, which binds neither chain nor height.
//!
//! [`Beacon`] decides and runs nothing: whoever owns it evaluates, verifies and sends.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use shardmark_kernels::backend::{Control, Error};
use shardmark_kernels::vdf::{self, Engine, Scheme};

use crate::block::{Header, VdfField};
use crate::types::{BlockNum, ChainId, Hash, Millis, ShardId, Signature, ValidatorIndex};

/// Domain tag of the VRF.
const VRF_TAG: &[u8; 20] = b"shardmark/vrf/v1\0\0\0\0";

/// A window that this many others followed without a proof stays without one.
pub const KEPT_WINDOWS: u64 = 64;

/// Longest output and proof: discriminants have at most 4096 bits.
pub const MAX_PROOF_BYTES: usize = 4 * (4096 + 16) / 16;

/// The bytes that a proposer signs; always 72.
pub fn vrf_message(chain: ChainId, shard: ShardId, block_num: BlockNum, previous: &Hash) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(72);
    bytes.extend_from_slice(VRF_TAG);
    bytes.extend_from_slice(&chain.0.to_le_bytes());
    bytes.extend_from_slice(&shard.0.to_le_bytes());
    bytes.extend_from_slice(&block_num.0.to_le_bytes());
    bytes.extend_from_slice(&previous.0);
    bytes
}

/// The random output of a proof.
pub fn vrf_output(proof: &Signature) -> Hash {
    Hash(Sha256::digest(proof.0).into())
}

/// The delay function of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayFunction {
    /// How the challenge is derived.
    pub scheme: Scheme,
    /// Size of the discriminants.
    pub discriminant_bits: u32,
    /// Squarings.
    pub iterations: u64,
    /// What finds the discriminants. It has no part in the squarings.
    pub engine: Engine,
}

impl DelayFunction {
    /// Bytes of an output and its proof.
    pub fn proof_bytes(&self) -> usize {
        self.scheme.proof_bytes(self.discriminant_bits)
    }

    /// Output and proof for a seed. Takes as long as the iterations say; runs on the caller's thread.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`]; a size that no discriminant has.
    pub fn evaluate(&self, seed: &Hash, control: &Control) -> Result<Vec<u8>, Error> {
        self.engine.evaluate(self.scheme, self.discriminant_bits, &seed.0, self.iterations, control)
    }

    /// Whether bytes are output and proof for a seed. Runs on the caller's thread.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn verify(&self, seed: &Hash, output_and_proof: &[u8]) -> Result<(), vdf::Refusal> {
        self.engine.verify(self.scheme, self.discriminant_bits, &seed.0, self.iterations, output_and_proof)
    }
}

/// What the validators of a run agree on, and who this one is.
#[derive(Clone, Copy, Debug)]
pub struct BeaconConfig {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// Validators.
    pub validators: u16,
    /// This validator.
    pub own: ValidatorIndex,
    /// Blocks of a window (N).
    pub blocks: u64,
    /// The delay function.
    pub delay: DelayFunction,
    /// How long a validator waits for a proof before it is the next one's turn to evaluate.
    pub timeout_ms: Millis,
}

impl BeaconConfig {
    /// # Errors
    ///
    /// A window without blocks, a timeout of nothing, this validator outside the committee, or sizes that the delay function
    /// does not have.
    pub fn validate(&self) -> Result<(), String> {
        if self.blocks == 0 || self.blocks > 1 << 32 {
            return Err(format!("a beacon window has 1 to 2^32 blocks, not {}", self.blocks));
        }
        if self.timeout_ms == 0 {
            return Err("the beacon's timeout must be above 0".into());
        }
        if self.own.0 >= self.validators {
            return Err(format!("validator {} of {}", self.own, self.validators));
        }
        let DelayFunction { scheme, discriminant_bits, iterations, engine: _ } = self.delay;
        scheme.check_bits(discriminant_bits).map_err(|defect| defect.to_string())?;
        if iterations == 0 {
            return Err("the delay function needs at least one iteration".into());
        }
        Ok(())
    }
}

/// A proof on its way to the other validators.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VdfMessage {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The window.
    pub window: u64,
    /// Who evaluated, and sends.
    pub sender: ValidatorIndex,
    /// In the kernel's wire format.
    pub output_and_proof: Vec<u8>,
}

impl VdfMessage {
    /// Bytes of a message without the proof.
    const FIXED_BYTES: usize = 8 + 4 + 8 + 2 + 4;

    /// The only encoding.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory does no I/O")
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// Why the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let most = Self::FIXED_BYTES + MAX_PROOF_BYTES;
        if bytes.len() > most {
            return Err(format!("delay proof message of {} bytes exceeds {most}", bytes.len()));
        }
        borsh::from_slice(bytes).map_err(|e| format!("malformed delay proof message: {e}"))
    }
}

/// What the owner of a [`Beacon`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeaconAction {
    /// Evaluate beside consensus, then call [`Beacon::on_evaluated`].
    Evaluate {
        /// The window.
        window: u64,
        /// Its seed.
        seed: Hash,
    },
    /// Stop evaluating: another validator's proof was verified, or the window is too old.
    Cancel {
        /// The window.
        window: u64,
    },
}

/// A verification to be run off the critical path, then told to [`Beacon::on_proof`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The window.
    pub window: u64,
    /// Its seed.
    pub seed: Hash,
    /// The claim.
    pub output_and_proof: Vec<u8>,
}

/// What a header's delay field needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldCheck {
    /// Nothing: there is none, or its proof was verified.
    Valid,
    /// The verdict of this verification, before a Prepare.
    Verify(Verification),
}

/// Why a proof or a header's field is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Another chain or shard.
    #[error("delay proof of another chain or shard")]
    Domain,
    /// The message is not from the validator that it names.
    #[error("delay proof of validator {named} sent by {from}")]
    Sender {
        /// In the message.
        named: ValidatorIndex,
        /// Who sent it.
        from: ValidatorIndex,
    },
    /// No final block closed it yet.
    #[error("window {0} is not closed")]
    Open(u64),
    /// A final header has a proof of it, or it is too old.
    #[error("window {0} is settled")]
    Settled(u64),
    /// Not the length of this run's delay function.
    #[error("delay proof of {got} bytes, want {want}")]
    Length {
        /// Bytes.
        got: usize,
        /// Bytes of every proof.
        want: usize,
    },
    /// A verified proof of the window is here already, or the sender had its one try.
    #[error("another delay proof of window {0} is not needed")]
    NotNeeded(u64),
    /// These bytes were verified and are no proof.
    #[error("delay proof of window {0} does not verify")]
    Wrong(u64),
}

/// A window whose seed is fixed and that no final header has a proof of.
struct Pending {
    seed: Hash,
    /// Proposer of the block that closed it.
    closer: ValidatorIndex,
    /// When this validator saw that block final.
    closed_at: Millis,
    /// Its proof, verified or made here.
    proof: Option<Vec<u8>>,
    /// Hashes of bytes that were verified and are no proof.
    wrong: BTreeSet<[u8; 32]>,
    /// Who sent a proof that was given to verification.
    tried: BTreeSet<ValidatorIndex>,
}

/// Most wrong proofs of one window that are remembered; one beyond that is only verified again.
const MAX_WRONG: usize = 1024;

/// The windows of one shard as this validator sees them. Fed with final headers, in order.
pub struct Beacon {
    config: BeaconConfig,
    /// Height of the last final block.
    height: u64,
    /// Output of the last final block.
    output: Hash,
    /// XOR of the outputs of the open window so far.
    open: Hash,
    pending: BTreeMap<u64, Pending>,
    /// The window that this validator evaluates: one at a time, since each takes a core.
    evaluating: Option<u64>,
}

impl Beacon {
    /// Before block 1.
    ///
    /// # Errors
    ///
    /// As [`BeaconConfig::validate`].
    pub fn new(config: BeaconConfig) -> Result<Self, String> {
        config.validate()?;
        let (output, open) = (Hash::default(), Hash::default());
        Ok(Self { config, height: 0, output, open, pending: BTreeMap::new(), evaluating: None })
    }

    /// What the proposer of the block behind the last final one signs.
    pub fn next_message(&self) -> Vec<u8> {
        let BeaconConfig { chain, shard, .. } = self.config;
        vrf_message(chain, shard, BlockNum(self.height.saturating_add(1)), &self.output)
    }

    /// Output of the last final block.
    pub fn output(&self) -> Hash {
        self.output
    }

    /// The delay function.
    pub fn delay(&self) -> &DelayFunction {
        &self.config.delay
    }

    /// Blocks whose outputs make a seed.
    fn seed_blocks(&self) -> u64 {
        2 * self.config.blocks / 3 + 1
    }

    /// A block is final, the one behind the last. Call [`Beacon::poll`] afterwards, unless more follow at once.
    ///
    /// # Errors
    ///
    /// The height expected, for a header that is not the next; nothing changes.
    pub fn on_final(&mut self, header: &Header, now: Millis) -> Result<(), BlockNum> {
        let next = self.height.saturating_add(1);
        if header.block_num.0 != next {
            return Err(BlockNum(next));
        }
        let (window, place) = ((next - 1) / self.config.blocks, (next - 1) % self.config.blocks);
        self.height = next;
        self.output = header.beacon.vrf_output;
        if place == 0 {
            self.open = Hash::default();
            // By height, not by clock: which windows a header may settle is the same for everybody.
            self.pending.retain(|old, _| window - old <= KEPT_WINDOWS);
        }
        if place < self.seed_blocks() {
            self.open.0.iter_mut().zip(self.output.0).for_each(|(sum, byte)| *sum ^= byte);
        }
        if let Some(field) = &header.beacon.vdf {
            self.pending.remove(&field.window);
        }
        if place + 1 == self.seed_blocks() {
            let (seed, closer, closed_at) = (self.open, header.proposer, now);
            let (wrong, tried) = (BTreeSet::new(), BTreeSet::new());
            self.pending.insert(window, Pending { seed, closer, closed_at, proof: None, wrong, tried });
        }
        Ok(())
    }

    /// When it is this validator's turn to evaluate a window, if nobody else proves it before.
    fn turn(&self, pending: &Pending) -> Millis {
        let n = u64::from(self.config.validators);
        let distance = (u64::from(self.config.own.0) + n - u64::from(pending.closer.0) % n) % n;
        pending.closed_at.saturating_add(self.config.timeout_ms.saturating_mul(distance))
    }

    /// What is to be done now. Called after final blocks and proofs, and at [`Beacon::next_deadline`].
    pub fn poll(&mut self, now: Millis) -> Vec<BeaconAction> {
        let mut actions = Vec::new();
        if let Some(window) = self.evaluating
            && self.pending.get(&window).is_none_or(|pending| pending.proof.is_some())
        {
            self.evaluating = None;
            actions.push(BeaconAction::Cancel { window });
        }
        if self.evaluating.is_none() {
            let due = self.pending.iter().find(|(_, pending)| pending.proof.is_none() && self.turn(pending) <= now);
            if let Some((&window, &Pending { seed, .. })) = due {
                self.evaluating = Some(window);
                actions.push(BeaconAction::Evaluate { window, seed });
            }
        }
        actions
    }

    /// When [`Beacon::poll`] has something to do that no event announces.
    pub fn next_deadline(&self) -> Option<Millis> {
        let waiting = self.pending.values().filter(|pending| pending.proof.is_none());
        if self.evaluating.is_some() { None } else { waiting.map(|pending| self.turn(pending)).min() }
    }

    /// The own evaluation is done. Its proof is to be sent to everybody, unless the window was settled meanwhile.
    pub fn on_evaluated(&mut self, window: u64, output_and_proof: Vec<u8>) -> Option<VdfMessage> {
        if self.evaluating == Some(window) {
            self.evaluating = None;
        }
        let pending = self.pending.get_mut(&window).filter(|pending| pending.proof.is_none())?;
        pending.proof = Some(output_and_proof.clone());
        let BeaconConfig { chain, shard, own: sender, .. } = self.config;
        Some(VdfMessage { chain, shard, window, sender, output_and_proof })
    }

    /// A proof came from a peer: what is to be verified. Each sender has one try a window.
    ///
    /// # Errors
    ///
    /// [`BeaconError`].
    pub fn on_message(&mut self, from: ValidatorIndex, message: VdfMessage) -> Result<Verification, BeaconError> {
        let VdfMessage { chain, shard, window, sender, output_and_proof } = message;
        if (chain, shard) != (self.config.chain, self.config.shard) {
            return Err(BeaconError::Domain);
        }
        if sender != from {
            return Err(BeaconError::Sender { named: sender, from });
        }
        let verification = self.verification(window, &output_and_proof)?;
        let Some(pending) = self.pending.get_mut(&window) else { return Err(BeaconError::Settled(window)) };
        if pending.proof.is_some() || !pending.tried.insert(from) {
            return Err(BeaconError::NotNeeded(window));
        }
        Ok(verification)
    }

    /// The verdict of a [`Verification`].
    pub fn on_proof(&mut self, verification: Verification, valid: bool) {
        let Some(pending) = self.pending.get_mut(&verification.window) else { return };
        if valid {
            pending.proof.get_or_insert(verification.output_and_proof);
        } else if pending.wrong.len() < MAX_WRONG {
            pending.wrong.insert(Sha256::digest(&verification.output_and_proof).into());
        }
    }

    /// What the next header carries: the proof of the oldest window that has one.
    pub fn next_field(&self) -> Option<VdfField> {
        self.pending.iter().find_map(|(&window, pending)| {
            pending.proof.clone().map(|output_and_proof| VdfField { window, output_and_proof })
        })
    }

    /// Checks the field of a header behind the last final block.
    ///
    /// # Errors
    ///
    /// [`BeaconError`]: the block is invalid.
    pub fn check_field(&self, field: Option<&VdfField>) -> Result<FieldCheck, BeaconError> {
        let Some(VdfField { window, output_and_proof }) = field else { return Ok(FieldCheck::Valid) };
        let verification = self.verification(*window, output_and_proof)?;
        let proof = self.pending.get(window).and_then(|pending| pending.proof.as_ref());
        if proof == Some(output_and_proof) { Ok(FieldCheck::Valid) } else { Ok(FieldCheck::Verify(verification)) }
    }

    /// What every claim must pass before it is worth a verification.
    fn verification(&self, window: u64, output_and_proof: &[u8]) -> Result<Verification, BeaconError> {
        let Some(pending) = self.pending.get(&window) else {
            let closed_by =
                window.checked_mul(self.config.blocks).and_then(|first| first.checked_add(self.seed_blocks()));
            let closed = closed_by.is_some_and(|height| height <= self.height);
            return Err(if closed { BeaconError::Settled(window) } else { BeaconError::Open(window) });
        };
        let (got, want) = (output_and_proof.len(), self.config.delay.proof_bytes());
        if got != want {
            return Err(BeaconError::Length { got, want });
        }
        let hash: [u8; 32] = Sha256::digest(output_and_proof).into();
        if pending.wrong.contains(&hash) {
            return Err(BeaconError::Wrong(window));
        }
        Ok(Verification { window, seed: pending.seed, output_and_proof: output_and_proof.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shardmark_kernels::bls::keys;

    use super::*;
    use crate::block::{BeaconField, ChunkCommitment};
    use crate::types::ViewId;

    const DELAY: DelayFunction =
        DelayFunction { scheme: Scheme::Bound264, discriminant_bits: 256, iterations: 300, engine: Engine::SCALAR };

    fn config(own: u16, blocks: u64) -> BeaconConfig {
        BeaconConfig {
            chain: ChainId(1),
            shard: ShardId(2),
            validators: 4,
            own: ValidatorIndex(own),
            blocks,
            delay: DELAY,
            timeout_ms: 100,
        }
    }

    /// Windows of four blocks, closed by their third.
    fn beacon(own: u16) -> Beacon {
        Beacon::new(config(own, 4)).unwrap()
    }

    fn header(block_num: u64, proposer: u16, vdf: Option<VdfField>) -> Header {
        let vrf_output = Hash([block_num as u8; 32]);
        let chunk_root = Hash::default();
        Header {
            chain: ChainId(1),
            shard: ShardId(2),
            block_num: BlockNum(block_num),
            view_id: ViewId(0),
            proposer: ValidatorIndex(proposer),
            parent: Hash::default(),
            parent_seal: None,
            chunks: ChunkCommitment { code: 1, data_chunks: 2, parity_chunks: 2, body_bytes: 4, chunk_root },
            transactions: 0,
            state_root: Hash::default(),
            receipts_root: Hash::default(),
            beacon: BeaconField { vrf_proof: Signature([0; 96]), vrf_output, vdf },
        }
    }

    /// Heights `from..=to` are final, all proposed by validator 2.
    fn run(beacon: &mut Beacon, from: u64, to: u64, now: Millis) {
        for height in from..=to {
            beacon.on_final(&header(height, 2, None), now).unwrap();
        }
    }

    fn message(window: u64, sender: u16, byte: u8) -> VdfMessage {
        let output_and_proof = vec![byte; DELAY.proof_bytes()];
        VdfMessage { chain: ChainId(1), shard: ShardId(2), window, sender: ValidatorIndex(sender), output_and_proof }
    }

    fn field(window: u64, byte: u8) -> VdfField {
        VdfField { window, output_and_proof: vec![byte; DELAY.proof_bytes()] }
    }

    #[test]
    fn the_vrf_message_is_fixed_and_binds_its_fields() {
        let message = vrf_message(ChainId(1), ShardId(2), BlockNum(3), &Hash([4; 32]));
        let expected =
            [&b"shardmark/vrf/v1\0\0\0\0"[..], &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], &[4; 32]];
        assert_eq!(message, expected.concat());
        assert_eq!(message.len(), 72);
        assert_eq!(beacon(0).next_message(), vrf_message(ChainId(1), ShardId(2), BlockNum(1), &Hash::default()));
    }

    #[test]
    fn a_bls_signature_is_the_proof_and_its_hash_the_output() {
        let key = shardmark_kernels::bls::SecretKey::from_ikm(&[7; 32]);
        let message = beacon(0).next_message();
        let proof = Signature(key.sign(&message));
        assert!(keys::verify(&key.public_key(), &message, &proof.0).is_ok());
        assert_eq!(vrf_output(&proof).0, <[u8; 32]>::from(Sha256::digest(key.sign(&message))));
    }

    #[test]
    fn headers_are_taken_in_order_only() {
        let mut beacon = beacon(0);
        assert_eq!(beacon.on_final(&header(2, 0, None), 0), Err(BlockNum(1)));
        run(&mut beacon, 1, 2, 0);
        assert_eq!(beacon.on_final(&header(2, 0, None), 0), Err(BlockNum(3)));
        assert_eq!(beacon.output(), Hash([2; 32]));
    }

    #[test]
    fn the_seed_is_the_xor_over_two_thirds_of_a_window_and_one_more() {
        let mut beacon = beacon(2);
        run(&mut beacon, 1, 2, 5);
        assert_eq!(beacon.poll(5), []);
        run(&mut beacon, 3, 3, 6);
        assert_eq!(beacon.poll(6), [BeaconAction::Evaluate { window: 0, seed: Hash([1 ^ 2 ^ 3; 32]) }]);
        run(&mut beacon, 4, 7, 7);
        assert_eq!(beacon.pending[&1].seed, Hash([5 ^ 6 ^ 7; 32]), "block 4 is in no seed");
        for (blocks, seed_blocks) in [(1, 1), (2, 2), (3, 3), (4, 3), (10, 7), (32, 22)] {
            assert_eq!(Beacon::new(config(0, blocks)).unwrap().seed_blocks(), seed_blocks);
        }
    }

    #[test]
    fn the_closer_evaluates_at_once_and_the_others_in_turn_on_timeout() {
        for (own, at) in [(2, 0), (3, 100), (0, 200), (1, 300)] {
            let mut beacon = beacon(own);
            run(&mut beacon, 1, 3, 1000);
            assert_eq!(beacon.next_deadline(), Some(1000 + at));
            if at > 0 {
                assert_eq!(beacon.poll(1000 + at - 1), []);
            }
            assert!(matches!(beacon.poll(1000 + at)[..], [BeaconAction::Evaluate { window: 0, .. }]));
            assert_eq!((beacon.poll(9999), beacon.next_deadline()), (vec![], None), "once");
        }
    }

    #[test]
    fn one_window_is_evaluated_at_a_time_the_oldest_first() {
        let mut beacon = beacon(2);
        run(&mut beacon, 1, 7, 0);
        assert!(matches!(beacon.poll(0)[..], [BeaconAction::Evaluate { window: 0, .. }]));
        assert_eq!(beacon.poll(0), []);
        assert_eq!(
            beacon.on_evaluated(0, vec![9; 68]),
            Some(VdfMessage { output_and_proof: vec![9; 68], ..message(0, 2, 0) })
        );
        assert!(matches!(beacon.poll(0)[..], [BeaconAction::Evaluate { window: 1, .. }]));
        assert_eq!(beacon.next_field(), Some(VdfField { window: 0, output_and_proof: vec![9; 68] }));
    }

    #[test]
    fn a_verified_proof_of_another_ends_the_own_evaluation() {
        let mut beacon = beacon(2);
        run(&mut beacon, 1, 3, 0);
        beacon.poll(0);
        let verification = beacon.on_message(ValidatorIndex(1), message(0, 1, 5)).unwrap();
        beacon.on_proof(verification, true);
        assert_eq!(beacon.poll(0), [BeaconAction::Cancel { window: 0 }]);
        assert_eq!(beacon.on_evaluated(0, vec![6; 68]), None);
        assert_eq!(beacon.next_field(), Some(field(0, 5)));
    }

    #[test]
    fn a_final_header_settles_its_window() {
        let mut beacon = beacon(2);
        run(&mut beacon, 1, 3, 0);
        beacon.poll(0);
        beacon.on_final(&header(4, 3, Some(field(0, 5))), 0).unwrap();
        assert_eq!(beacon.poll(0), [BeaconAction::Cancel { window: 0 }]);
        assert_eq!(beacon.next_field(), None);
        assert_eq!(beacon.check_field(Some(&field(0, 5))), Err(BeaconError::Settled(0)));
        assert_eq!(beacon.on_message(ValidatorIndex(1), message(0, 1, 5)), Err(BeaconError::Settled(0)));
    }

    #[test]
    fn a_field_needs_a_closed_window_and_a_verified_proof() {
        let mut beacon = beacon(0);
        run(&mut beacon, 1, 2, 0);
        assert_eq!(beacon.check_field(None), Ok(FieldCheck::Valid));
        for window in [0, 1, u64::MAX] {
            assert_eq!(beacon.check_field(Some(&field(window, 5))), Err(BeaconError::Open(window)));
        }
        run(&mut beacon, 3, 3, 0);
        let short = VdfField { window: 0, output_and_proof: vec![5; 3] };
        assert_eq!(beacon.check_field(Some(&short)), Err(BeaconError::Length { got: 3, want: 68 }));
        let Ok(FieldCheck::Verify(verification)) = beacon.check_field(Some(&field(0, 5))) else { panic!() };
        assert_eq!((verification.window, verification.seed), (0, Hash([1 ^ 2 ^ 3; 32])));
        beacon.on_proof(verification, true);
        assert_eq!(beacon.check_field(Some(&field(0, 5))), Ok(FieldCheck::Valid));
        assert!(matches!(beacon.check_field(Some(&field(0, 6))), Ok(FieldCheck::Verify(_))), "other bytes");
    }

    #[test]
    fn a_wrong_proof_is_verified_once() {
        let mut beacon = beacon(0);
        run(&mut beacon, 1, 3, 0);
        let verification = beacon.on_message(ValidatorIndex(1), message(0, 1, 5)).unwrap();
        beacon.on_proof(verification, false);
        assert_eq!(beacon.next_field(), None);
        assert_eq!(beacon.check_field(Some(&field(0, 5))), Err(BeaconError::Wrong(0)));
        assert_eq!(beacon.on_message(ValidatorIndex(2), message(0, 2, 5)), Err(BeaconError::Wrong(0)));
    }

    #[test]
    fn a_sender_has_one_try_and_speaks_for_itself() {
        let mut beacon = beacon(0);
        run(&mut beacon, 1, 3, 0);
        let sender = BeaconError::Sender { named: ValidatorIndex(1), from: ValidatorIndex(3) };
        assert_eq!(beacon.on_message(ValidatorIndex(3), message(0, 1, 5)), Err(sender));
        let other = VdfMessage { shard: ShardId(9), ..message(0, 1, 5) };
        assert_eq!(beacon.on_message(ValidatorIndex(1), other), Err(BeaconError::Domain));
        assert!(beacon.on_message(ValidatorIndex(1), message(0, 1, 5)).is_ok());
        assert_eq!(beacon.on_message(ValidatorIndex(1), message(0, 1, 6)), Err(BeaconError::NotNeeded(0)));
        assert!(beacon.on_message(ValidatorIndex(2), message(0, 2, 6)).is_ok());
    }

    #[test]
    fn a_window_that_stays_without_a_proof_is_dropped_by_height() {
        let mut beacon = beacon(0);
        let last = 4 * (KEPT_WINDOWS + 1);
        run(&mut beacon, 1, last, 0);
        assert!(beacon.check_field(Some(&field(0, 5))).is_ok());
        run(&mut beacon, last + 1, last + 1, 0);
        assert_eq!(beacon.check_field(Some(&field(0, 5))), Err(BeaconError::Settled(0)));
        assert!(beacon.check_field(Some(&field(1, 5))).is_ok());
    }

    #[test]
    fn an_evaluated_window_verifies_and_another_seed_does_not() {
        let (seed, other) = (Hash([3; 32]), Hash([4; 32]));
        let proof = DELAY.evaluate(&seed, &Control::default()).unwrap();
        assert_eq!(proof.len(), DELAY.proof_bytes());
        assert_eq!(DELAY.verify(&seed, &proof), Ok(()));
        assert!(DELAY.verify(&other, &proof).is_err());
        assert!(DelayFunction { iterations: 301, ..DELAY }.verify(&seed, &proof).is_err());
        let cancelled = Control::default();
        cancelled.cancel();
        assert_eq!(DELAY.evaluate(&seed, &cancelled), Err(Error::Cancelled));
        let harmony = DelayFunction { discriminant_bits: 2048, ..DELAY };
        assert_eq!(harmony.proof_bytes(), 516);
        let chia = DelayFunction { scheme: Scheme::Chia264, ..DELAY };
        let proof = chia.evaluate(&seed, &Control::default()).unwrap();
        assert_eq!((proof.len(), chia.verify(&seed, &proof)), (chia.proof_bytes(), Ok(())));
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let good = config(0, 4);
        let delay = |bits, iterations| DelayFunction { discriminant_bits: bits, iterations, ..DELAY };
        for bad in [
            BeaconConfig { blocks: 0, ..good },
            BeaconConfig { blocks: u64::MAX, ..good },
            BeaconConfig { timeout_ms: 0, ..good },
            BeaconConfig { own: ValidatorIndex(4), ..good },
            BeaconConfig { delay: delay(255, 300), ..good },
            BeaconConfig { delay: delay(8192, 300), ..good },
            BeaconConfig { delay: delay(256, 0), ..good },
            BeaconConfig { delay: DelayFunction { scheme: Scheme::Chia264, ..delay(2048, 300) }, ..good },
        ] {
            assert!(Beacon::new(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_decode_to_themselves_or_not_at_all(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..60)) {
            if let Ok(message) = VdfMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn truncated_flipped_and_lengthened_messages_never_panic(cut in 0usize..94, flip in 0usize..94, bit in 0u8..8, tail in 1usize..2000) {
            let good = message(3, 1, 5).encode();
            prop_assert_eq!(good.len(), 94);
            prop_assert_eq!(VdfMessage::decode(&good), Ok(message(3, 1, 5)));
            prop_assert!(VdfMessage::decode(&good[..cut]).is_err());
            let mut longer = good.clone();
            longer.resize(good.len() + tail, 0);
            prop_assert!(VdfMessage::decode(&longer).is_err());
            let mut flipped = good.clone();
            flipped[flip] ^= 1 << bit;
            if let Ok(message) = VdfMessage::decode(&flipped) {
                prop_assert_eq!(message.encode(), flipped);
            }
        }
    }
}
