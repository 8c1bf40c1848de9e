//! One block's chunks as they come in, until the body is back.
//!
//! A chunk is stored after its proof was checked, and only if it came from someone who may send it: its owner, or a leader
//! who proposes this block to its owner. At `k` chunks [`Assembly::add`] hands out a [`Job`], which is the heavy part and
//! runs wherever the caller likes. Later chunks are not needed here, but the own one is still relayed.

use std::sync::Arc;

use shardmark_kernels::backend::Error;
use shardmark_kernels::erasure::merkle;

use crate::block::ChunkCommitment;
use crate::propagation::dispersal::CommitmentError;
use crate::propagation::{Chunk, Dispersal};
use crate::types::ValidatorIndex;

/// What became of a chunk that was taken.
#[derive(Debug)]
pub struct Added {
    /// Whether it was needed; otherwise the body is on its way already.
    pub needed: bool,
    /// Whether it is to be relayed now. True once for each of the own chunks in each view that proposes the block.
    pub relay: bool,
    /// The way to the body. Once, with the k-th chunk.
    pub job: Option<Job>,
}

/// Why a chunk was not taken. What costs its sender the connection is up to the caller: a [`Refused::Duplicate`] is no crime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither its owner nor a leader who sends it to its owner.
    #[error("chunk {index} does not come from validator {from}")]
    Sender {
        /// Its place.
        index: u16,
        /// Who sent it.
        from: ValidatorIndex,
    },
    /// There is no such place.
    #[error("chunk {index} of {chunks}")]
    Index {
        /// Its place.
        index: u16,
        /// Chunks of a body.
        chunks: u16,
    },
    /// Not of the length that the header implies.
    #[error("chunk of {got} bytes instead of {want}")]
    Length {
        /// Its length.
        got: usize,
        /// Every chunk's length.
        want: usize,
    },
    /// It is here already.
    #[error("chunk {index} came before")]
    Duplicate {
        /// Its place.
        index: u16,
    },
    /// It is not under the root at that place.
    #[error("chunk {index} is not under the root")]
    Proof {
        /// Its place.
        index: u16,
    },
}

/// See the module.
pub struct Assembly {
    dispersal: Arc<Dispersal>,
    commitment: ChunkCommitment,
    own: ValidatorIndex,
    /// Everyone who proposed this block in some view.
    leaders: Vec<ValidatorIndex>,
    /// Chunks that were proven, until the job takes them.
    chunks: Vec<(u16, Vec<u8>)>,
    /// Which places were proven, ever.
    proven: Vec<bool>,
    /// Which of the own places were relayed in the current view.
    relayed: Vec<bool>,
    job_taken: bool,
}

impl Assembly {
    /// For a block whose header is known. `own` is this validator, `leader` the one who proposes the block.
    ///
    /// # Errors
    ///
    /// [`CommitmentError`] for a commitment that is not of this run.
    pub fn new(
        dispersal: Arc<Dispersal>,
        commitment: ChunkCommitment,
        own: ValidatorIndex,
        leader: ValidatorIndex,
    ) -> Result<Self, CommitmentError> {
        dispersal.check(&commitment)?;
        let places = usize::from(dispersal.chunks());
        let (proven, relayed) = (vec![false; places], vec![false; places]);
        let leaders = vec![leader];
        Ok(Self { dispersal, commitment, own, leaders, chunks: Vec::new(), proven, relayed, job_taken: false })
    }

    /// The block is proposed again in a later view: its leader may send chunks too, and own chunks that come are relayed once
    /// more, for those who missed them.
    pub fn propose_again(&mut self, leader: ValidatorIndex) {
        if !self.leaders.contains(&leader) {
            self.leaders.push(leader);
        }
        self.relayed.fill(false);
    }

    /// Whether the k-th chunk has come.
    pub fn is_complete(&self) -> bool {
        self.job_taken
    }

    /// Offers a chunk from a peer who is in the committee.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing is stored.
    pub fn add(&mut self, from: ValidatorIndex, chunk: &Chunk) -> Result<Added, Refused> {
        let index = chunk.index;
        let place = usize::from(index);
        if place >= self.proven.len() {
            return Err(Refused::Index { index, chunks: self.dispersal.chunks() });
        }
        let owner = self.dispersal.owner(index);
        let own = owner == Some(self.own);
        let from_leader = self.leaders.contains(&from);
        // The whole block has no owner; it comes from a leader only. A leader's own chunk comes from its owner.
        let may_send = owner == Some(from) || from_leader && (own || owner.is_none());
        if !may_send {
            return Err(Refused::Sender { index, from });
        }
        let want = self.dispersal.chunk_bytes(self.commitment.body_bytes);
        if chunk.bytes.len() != want {
            return Err(Refused::Length { got: chunk.bytes.len(), want });
        }
        let relay = own && from_leader && !self.relayed[place];
        if self.proven[place] && !relay {
            return Err(Refused::Duplicate { index });
        }
        if self.job_taken && !relay {
            // Neither stored nor passed on, so what it holds does not matter. Remembered, to tell repetition from surplus.
            self.proven[place] = true;
            return Ok(Added { needed: false, relay: false, job: None });
        }
        let (root, places) = (&self.commitment.chunk_root.0, self.proven.len());
        if !merkle::verify(root, places, place, &chunk.bytes, &chunk.merkle_proof()) {
            return Err(Refused::Proof { index });
        }
        let needed = !self.proven[place] && !self.job_taken;
        self.proven[place] = true;
        self.relayed[place] |= relay;
        let mut job = None;
        if needed {
            self.chunks.push((index, chunk.bytes.clone()));
            if self.chunks.len() >= usize::from(self.commitment.data_chunks) {
                self.job_taken = true;
                let chunks = std::mem::take(&mut self.chunks);
                job = Some(Job { dispersal: Arc::clone(&self.dispersal), commitment: self.commitment, chunks });
            }
        }
        Ok(Added { needed, relay, job })
    }
}

/// k proven chunks, ready to become a body on any thread.
pub struct Job {
    dispersal: Arc<Dispersal>,
    commitment: ChunkCommitment,
    chunks: Vec<(u16, Vec<u8>)>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} chunks)", self.chunks.len())
    }
}

/// What k proven chunks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assembled {
    /// The body, and every chunk under the root is one of its chunks.
    Body(Vec<u8>),
    /// The chunks under the root are not those of any body: the block is invalid, and every validator comes to that.
    InvalidEncoding,
}

impl Job {
    /// Reconstructs, encodes again and compares the root.
    ///
    /// # Errors
    ///
    /// The backend's failure, which says nothing about the block.
    pub fn run(self) -> Result<Assembled, Error> {
        let body = self.dispersal.restore(&self.commitment, self.chunks)?;
        Ok(body.map_or(Assembled::InvalidEncoding, Assembled::Body))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shardmark_kernels::erasure::Code;
    use shardmark_kernels::erasure::merkle::Tree;

    use super::*;
    use crate::propagation::dispersal::Cut;
    use crate::propagation::dispersal::tests::{by, coded, whole};
    use crate::types::Hash;

    const LEADER: ValidatorIndex = ValidatorIndex(1);

    fn v(i: u16) -> ValidatorIndex {
        ValidatorIndex(i)
    }

    fn body(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|i| (i * 7 + i / 256) as u8).collect()
    }

    fn assembly(dispersal: &Arc<Dispersal>, cut: &Cut, own: u16) -> Assembly {
        Assembly::new(Arc::clone(dispersal), cut.commitment, v(own), LEADER).unwrap()
    }

    /// Chunks and root as a leader makes them who cuts no body: parity chunks of something else.
    fn badly_encoded(dispersal: &Dispersal) -> Cut {
        let (good, other) = (dispersal.cut(&body(100)).unwrap(), dispersal.cut(&[9; 100]).unwrap());
        let k = usize::from(good.commitment.data_chunks);
        let mixed: Vec<Vec<u8>> =
            good.chunks[..k].iter().chain(&other.chunks[k..]).map(|chunk| chunk.bytes.clone()).collect();
        commit(good.commitment, mixed)
    }

    fn commit(commitment: ChunkCommitment, chunks: Vec<Vec<u8>>) -> Cut {
        let tree = Tree::build(&chunks).unwrap();
        let with_proof = |(i, bytes)| {
            let proof = tree.proof(i).unwrap().siblings.into_iter().map(Hash).collect();
            Chunk { index: i as u16, bytes, proof }
        };
        let chunk_root = Hash(tree.root());
        Cut {
            commitment: ChunkCommitment { chunk_root, ..commitment },
            chunks: chunks.into_iter().enumerate().map(with_proof).collect(),
        }
    }

    #[test]
    fn any_k_chunks_of_any_code_bring_the_body_back() {
        for code in Code::ALL {
            let dispersal = Arc::new(by(code, 7));
            let cut = dispersal.cut(&body(1001)).unwrap();
            for set in (0u32..1 << 7).filter(|set| set.count_ones() == 3) {
                let mut assembly = assembly(&dispersal, &cut, 6);
                let mut jobs = Vec::new();
                for chunk in cut.chunks.iter().filter(|chunk| set >> chunk.index & 1 == 1) {
                    let from = if chunk.index == 6 { LEADER } else { v(chunk.index) };
                    jobs.extend(assembly.add(from, chunk).unwrap().job);
                }
                let [job] = <[Job; 1]>::try_from(jobs).unwrap();
                assert_eq!(job.run(), Ok(Assembled::Body(body(1001))), "{code}");
            }
        }
    }

    #[test]
    fn the_whole_block_is_one_chunk_from_the_leader() {
        let dispersal = Arc::new(whole(4));
        let cut = dispersal.cut(&body(500)).unwrap();
        assert_eq!(cut.chunks.len(), 1);
        let mut assembly = assembly(&dispersal, &cut, 0);
        assert_eq!(assembly.add(v(2), &cut.chunks[0]).unwrap_err(), Refused::Sender { index: 0, from: v(2) });
        let added = assembly.add(LEADER, &cut.chunks[0]).unwrap();
        assert!(!added.relay);
        assert_eq!(added.job.unwrap().run(), Ok(Assembled::Body(body(500))));
        assert_eq!(assembly.add(LEADER, &cut.chunks[0]).unwrap_err(), Refused::Duplicate { index: 0 });
    }

    #[test]
    fn only_the_owner_and_the_leader_to_the_owner_may_send_a_chunk() {
        let dispersal = Arc::new(coded(4));
        let cut = dispersal.cut(&body(100)).unwrap();
        let sent = |from, index: usize| assembly(&dispersal, &cut, 0).add(v(from), &cut.chunks[index]).map(|a| a.relay);
        assert_eq!(sent(1, 0), Ok(true), "the leader sends me mine");
        assert_eq!(sent(1, 1), Ok(false), "the leader sends its own");
        assert_eq!(sent(2, 2), Ok(false), "an owner relays");
        assert_eq!(sent(1, 2), Err(Refused::Sender { index: 2, from: v(1) }), "the leader sends me another's");
        assert_eq!(sent(2, 0), Err(Refused::Sender { index: 0, from: v(2) }), "somebody sends me mine");
        assert_eq!(sent(2, 3), Err(Refused::Sender { index: 3, from: v(2) }));
    }

    #[test]
    fn an_own_chunk_is_relayed_once_even_after_the_body_is_back() {
        let dispersal = Arc::new(coded(4));
        let cut = dispersal.cut(&body(100)).unwrap();
        let mut assembly = assembly(&dispersal, &cut, 0);
        assembly.add(v(2), &cut.chunks[2]).unwrap();
        assert!(assembly.add(v(3), &cut.chunks[3]).unwrap().job.is_some());
        let mut corrupt = cut.chunks[0].clone();
        corrupt.bytes[0] ^= 1;
        assert_eq!(assembly.add(LEADER, &corrupt).unwrap_err(), Refused::Proof { index: 0 });
        let added = assembly.add(LEADER, &cut.chunks[0]).unwrap();
        assert!(added.relay && !added.needed && added.job.is_none());
        assert_eq!(assembly.add(LEADER, &cut.chunks[0]).unwrap_err(), Refused::Duplicate { index: 0 });
        assert!(!assembly.add(LEADER, &cut.chunks[1]).unwrap().needed);
        assert_eq!(assembly.add(LEADER, &cut.chunks[1]).unwrap_err(), Refused::Duplicate { index: 1 });
    }

    #[test]
    fn a_block_proposed_again_is_relayed_again_by_its_new_leader() {
        let dispersal = Arc::new(coded(4));
        let cut = dispersal.cut(&body(100)).unwrap();
        let mut assembly = assembly(&dispersal, &cut, 0);
        assert!(assembly.add(LEADER, &cut.chunks[0]).unwrap().relay);
        assert!(assembly.add(v(2), &cut.chunks[0]).is_err());
        assembly.propose_again(v(2));
        let added = assembly.add(v(2), &cut.chunks[0]).unwrap();
        assert!(added.relay && !added.needed);
        assert!(assembly.add(v(2), &cut.chunks[0]).is_err());
        assert!(assembly.add(v(2), &cut.chunks[2]).unwrap().job.is_some(), "a repeated chunk did not count twice");
    }

    #[test]
    fn a_chunk_that_is_not_proven_is_not_stored() {
        let dispersal = Arc::new(coded(4));
        let cut = dispersal.cut(&body(100)).unwrap();
        let mut assembly = assembly(&dispersal, &cut, 0);
        let good = &cut.chunks[2];
        let mut shorter = good.clone();
        shorter.bytes.pop();
        assert_eq!(assembly.add(v(2), &shorter).unwrap_err(), Refused::Length { got: 49, want: 50 });
        let mut corrupt = good.clone();
        corrupt.bytes[7] ^= 1;
        assert_eq!(assembly.add(v(2), &corrupt).unwrap_err(), Refused::Proof { index: 2 });
        let mut proof = good.clone();
        proof.proof.push(Hash::default());
        assert_eq!(assembly.add(v(2), &proof).unwrap_err(), Refused::Proof { index: 2 });
        let elsewhere = Chunk { index: 3, ..good.clone() };
        assert_eq!(assembly.add(v(3), &elsewhere).unwrap_err(), Refused::Proof { index: 3 });
        let beyond = Chunk { index: 4, ..good.clone() };
        assert_eq!(assembly.add(v(0), &beyond).unwrap_err(), Refused::Index { index: 4, chunks: 4 });
        assert!(assembly.add(v(2), good).unwrap().needed, "the good one still counts");
        assert!(assembly.add(v(3), &cut.chunks[3]).unwrap().job.is_some());
    }

    #[test]
    fn a_bad_encoding_is_invalid_from_whatever_chunks() {
        let dispersal = Arc::new(coded(4));
        let cut = badly_encoded(&dispersal);
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            let mut assembly = assembly(&dispersal, &cut, 0);
            let mut add =
                |i: u16| assembly.add(if i == 0 { LEADER } else { v(i) }, &cut.chunks[usize::from(i)]).unwrap().job;
            assert!(add(a).is_none());
            assert_eq!(add(b).unwrap().run(), Ok(Assembled::InvalidEncoding), "{a} and {b}");
        }
    }

    #[test]
    fn padding_that_is_not_zero_is_a_bad_encoding() {
        let dispersal = Arc::new(coded(4));
        // 100 bytes cut as such, announced as 99: the last byte becomes padding.
        let good = dispersal.cut(&body(100)).unwrap();
        let commitment = ChunkCommitment { body_bytes: 99, ..good.commitment };
        let cut = Cut { commitment, ..good };
        let mut assembly = assembly(&dispersal, &cut, 0);
        assembly.add(v(2), &cut.chunks[2]).unwrap();
        let job = assembly.add(v(3), &cut.chunks[3]).unwrap().job.unwrap();
        assert_eq!(job.run(), Ok(Assembled::InvalidEncoding));
    }

    #[test]
    fn with_the_root_unchecked_validators_come_to_different_bodies() {
        let mut dispersal = coded(4);
        dispersal.plant_chunk_root_unchecked();
        let dispersal = Arc::new(dispersal);
        let cut = badly_encoded(&dispersal);
        let from = |a: u16, b: u16| {
            let mut assembly = assembly(&dispersal, &cut, 0);
            assembly.add(v(a), &cut.chunks[usize::from(a)]).unwrap();
            assembly.add(v(b), &cut.chunks[usize::from(b)]).unwrap().job.unwrap().run().unwrap()
        };
        let bodies = (from(1, 2), from(2, 3));
        assert!(matches!(bodies, (Assembled::Body(a), Assembled::Body(b)) if a != b));
    }

    #[test]
    fn a_commitment_of_another_run_opens_no_assembly() {
        let dispersal = Arc::new(coded(4));
        let other = coded(7).cut(&body(100)).unwrap();
        assert!(Assembly::new(dispersal, other.commitment, v(0), LEADER).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_body_of_any_length_survives_any_order_and_any_f_silent_validators(
            bytes in 1usize..2000, validators in 2u16..12, own in 0u16..12, order: u64, code: bool,
        ) {
            let own = own % validators;
            let dispersal = Arc::new(if code { coded(validators) } else { whole(validators) });
            let cut = dispersal.cut(&body(bytes)).unwrap();
            let leader = v(1 % validators);
            let mut assembly = Assembly::new(Arc::clone(&dispersal), cut.commitment, v(own), leader).unwrap();
            // A seeded order of the chunks; those of the last f owners never come, unless the leader sends them here.
            let mut chunks: Vec<&Chunk> = cut.chunks.iter().collect();
            chunks.sort_by_key(|chunk| (u64::from(chunk.index) + 1).wrapping_mul(order | 1).rotate_left(17));
            let silent = (validators - 1) / 3;
            let mut body_back = None;
            for chunk in chunks {
                let from = match dispersal.owner(chunk.index) {
                    Some(owner) if owner == v(own) || owner == leader => leader,
                    Some(owner) if owner.0 >= validators - silent => continue,
                    Some(owner) => owner,
                    None => leader,
                };
                if let Some(job) = assembly.add(from, chunk).unwrap().job {
                    body_back = Some(job.run().unwrap());
                }
            }
            prop_assert_eq!(body_back, Some(Assembled::Body(body(bytes))));
        }
    }
}
