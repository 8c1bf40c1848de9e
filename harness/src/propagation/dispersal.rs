//! How a run cuts bodies: the code, its dimensions, who owns which chunk.
//!
//! Chunk `i` of `k + m` belongs to validator `i mod n`. Up to `f` of `n` validators (the largest `f` with `3 f < n`) may keep
//! theirs back, so any `n - f` must hold `k` chunks; a configuration in which the `n - f` with the fewest do not is refused.
//! The default is `k = f + 1`, `m = n - k`: one chunk each, and any `f + 1` of them suffice.

use shardmark_kernels::backend::{BackendId, Description, Error, Kernel, Options};
use shardmark_kernels::erasure::merkle::Tree;
use shardmark_kernels::erasure::plan::NoBody;
use shardmark_kernels::erasure::{
    Backends, Code, Delivered, Disperse, Encode, Plan, Reconstruct, Refusal, Retrieve, Shape,
};

use crate::block::{ChunkCommitment, WHOLE_BLOCK};
use crate::propagation::Chunk;
use crate::types::{Hash, ValidatorIndex};

/// The run's way of propagating bodies.
#[derive(Clone, Debug)]
pub struct DispersalConfig {
    /// `None`: whole-block broadcast.
    pub code: Option<Code>,
    /// k; `None`: f + 1. Only with a code.
    pub data_chunks: Option<u16>,
    /// m; `None`: n - k. Only with a code.
    pub parity_chunks: Option<u16>,
    /// Most bytes of a body.
    pub max_body_bytes: u32,
    /// Who encodes.
    pub encode: BackendId,
    /// Who reconstructs.
    pub reconstruct: BackendId,
    /// How both are opened.
    pub options: Options,
}

/// A body in chunks, and the header's commitment to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// For the header.
    pub commitment: ChunkCommitment,
    /// All `k + m`, in order.
    pub chunks: Vec<Chunk>,
}

/// A header's commitment is not one of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitmentError {
    /// Another code or other dimensions.
    #[error("body cut by code {} into {} + {}, this run uses code {} and {} + {}", got.0, got.1, got.2, want.0, want.1, want.2)]
    Shape {
        /// Code, k and m of the header.
        got: (u8, u16, u16),
        /// Those of the run.
        want: (u8, u16, u16),
    },
    /// A body longer than a block may be, or shorter than any.
    #[error("body of {got} bytes is not of 1 to {most}")]
    BodyBytes {
        /// Its length.
        got: u32,
        /// The limit.
        most: u32,
    },
}

enum Method {
    WholeBlock,
    Coded(Box<Plan>),
}

/// See the module. Made once a run and shared.
pub struct Dispersal {
    method: Method,
    validators: u16,
    data_chunks: u16,
    parity_chunks: u16,
    max_body_bytes: u32,
    descriptions: Vec<(&'static str, Description)>,
    #[cfg(test)]
    chunk_root_unchecked: bool,
}

/// Validators that may be faulty.
fn faults(validators: u16) -> u16 {
    validators.saturating_sub(1) / 3
}

impl Dispersal {
    /// For a committee of `validators`.
    ///
    /// # Errors
    ///
    /// Dimensions that no code has or that do not survive `f` faults, with the numbers; why a backend cannot run here.
    pub fn new(config: &DispersalConfig, validators: u16) -> Result<Self, String> {
        if validators == 0 {
            return Err("a committee needs at least one validator".into());
        }
        if config.max_body_bytes == 0 {
            return Err("bodies need at least one byte".into());
        }
        let max_body_bytes = config.max_body_bytes;
        let Some(code) = config.code else {
            if config.data_chunks.is_some() || config.parity_chunks.is_some() {
                return Err("whole-block broadcast has no data or parity chunks to choose".into());
            }
            return Ok(Self {
                method: Method::WholeBlock,
                validators,
                data_chunks: 1,
                parity_chunks: 0,
                max_body_bytes,
                descriptions: Vec::new(),
                #[cfg(test)]
                chunk_root_unchecked: false,
            });
        };
        let (data_chunks, parity_chunks) = dimensions(config, validators)?;
        let shape = Shape::new(code, data_chunks, parity_chunks)
            .map_err(|e| format!("{data_chunks} + {parity_chunks} chunks for {validators} validators: {e}"))?;
        survives(shape, validators)?;
        let open = |name, id, reason| format!("{name} on {id}: {reason}");
        let backends = Backends {
            shape,
            encode: Encode::open(config.encode, &config.options)
                .map_err(|reason| open(Encode::NAME, config.encode, reason))?,
            reconstruct: Reconstruct::open(config.reconstruct, &config.options)
                .map_err(|reason| open(Reconstruct::NAME, config.reconstruct, reason))?,
            disperse: Disperse::open(config.encode, &config.options)
                .map_err(|reason| open(Disperse::NAME, config.encode, reason))?,
            retrieve: Retrieve::open(config.reconstruct, &config.options)
                .map_err(|reason| open(Retrieve::NAME, config.reconstruct, reason))?,
        };
        let descriptions =
            vec![(Disperse::NAME, backends.disperse.description()), (Retrieve::NAME, backends.retrieve.description())];
        let plan = Plan::prepare(&backends).map_err(|e| e.to_string())?;
        // How long chunks are is the code's business.
        shape.validate_chunk_bytes(plan.chunk_bytes(max_body_bytes as usize)).map_err(|e| e.to_string())?;
        Ok(Self {
            method: Method::Coded(Box::new(plan)),
            validators,
            data_chunks,
            parity_chunks,
            max_body_bytes,
            descriptions,
            #[cfg(test)]
            chunk_root_unchecked: false,
        })
    }

    /// A planted fault, to show that the simulation notices: a reconstructed body is believed without encoding it again.
    #[cfg(test)]
    pub fn plant_chunk_root_unchecked(&mut self) {
        self.chunk_root_unchecked = true;
    }

    /// The kernels that run, by name.
    pub fn descriptions(&self) -> &[(&'static str, Description)] {
        &self.descriptions
    }

    /// Chunks that suffice (k).
    pub fn data_chunks(&self) -> u16 {
        self.data_chunks
    }

    /// All chunks of a body (k + m).
    pub fn chunks(&self) -> u16 {
        // `dimensions` refuses sums that do not fit.
        self.data_chunks + self.parity_chunks
    }

    /// Most bytes of one chunk: what a chunk message is bounded by.
    pub fn max_chunk_bytes(&self) -> usize {
        self.chunk_bytes(self.max_body_bytes)
    }

    /// Bytes of each chunk of such a body.
    pub(super) fn chunk_bytes(&self, body_bytes: u32) -> usize {
        match &self.method {
            Method::WholeBlock => body_bytes as usize,
            Method::Coded(plan) => plan.chunk_bytes(body_bytes as usize),
        }
    }

    /// Whether owners relay their chunks; otherwise the leader sends everything.
    pub fn relays(&self) -> bool {
        matches!(self.method, Method::Coded(_))
    }

    /// The validator that owns a chunk; `None` for the whole block, which goes from the leader to everybody.
    pub fn owner(&self, index: u16) -> Option<ValidatorIndex> {
        self.relays().then(|| ValidatorIndex(index % self.validators))
    }

    /// To whom the leader sends a chunk: its owner; everybody else if it owns it itself, or if the chunk is the block.
    pub fn recipients(&self, leader: ValidatorIndex, index: u16) -> Vec<ValidatorIndex> {
        match self.owner(index) {
            Some(owner) if owner != leader => vec![owner],
            _ => self.others(&[leader]),
        }
    }

    /// To whom `owner` relays: everybody but itself and the leader, who made the chunk.
    pub fn relay_recipients(&self, owner: ValidatorIndex, leader: ValidatorIndex) -> Vec<ValidatorIndex> {
        self.others(&[owner, leader])
    }

    fn others(&self, but: &[ValidatorIndex]) -> Vec<ValidatorIndex> {
        (0..self.validators).map(ValidatorIndex).filter(|validator| !but.contains(validator)).collect()
    }

    fn shape(&self) -> (u8, u16, u16) {
        let code = match &self.method {
            Method::WholeBlock => WHOLE_BLOCK,
            Method::Coded(plan) => plan.shape().code.id(),
        };
        (code, self.data_chunks, self.parity_chunks)
    }

    /// Refuses a header's commitment that is not one of this run. Nothing is allocated by what it says before.
    ///
    /// # Errors
    ///
    /// [`CommitmentError`].
    pub fn check(&self, commitment: &ChunkCommitment) -> Result<(), CommitmentError> {
        let ChunkCommitment { code, data_chunks, parity_chunks, body_bytes, .. } = *commitment;
        let (got, want) = ((code, data_chunks, parity_chunks), self.shape());
        if got != want {
            return Err(CommitmentError::Shape { got, want });
        }
        if !(1..=self.max_body_bytes).contains(&body_bytes) {
            return Err(CommitmentError::BodyBytes { got: body_bytes, most: self.max_body_bytes });
        }
        Ok(())
    }

    /// Cuts a body into its chunks.
    ///
    /// # Errors
    ///
    /// A body without bytes or over the limit; the backend's failure.
    pub fn cut(&self, body: &[u8]) -> Result<Cut, Error> {
        let (commitment, tree, chunks) = self.encode(body)?;
        let with_proof = |(index, bytes)| {
            let proof = tree.proof(usize::from(index)).unwrap_or_default();
            Chunk { index, bytes, proof: proof.siblings.into_iter().map(Hash).collect() }
        };
        Ok(Cut { commitment, chunks: (0u16..).zip(chunks).map(with_proof).collect() })
    }

    /// Whether a body is the one that a header commits to: cuts it and compares. For bodies that come whole, from a peer that
    /// helps a restarted validator or from the own disk.
    ///
    /// # Errors
    ///
    /// The backend's failure.
    pub fn matches(&self, commitment: &ChunkCommitment, body: &[u8]) -> Result<bool, Error> {
        let length_matches = u32::try_from(body.len()) == Ok(commitment.body_bytes);
        Ok(length_matches && self.check(commitment).is_ok() && self.encode(body)?.0 == *commitment)
    }

    fn encode(&self, body: &[u8]) -> Result<(ChunkCommitment, Tree, Vec<Vec<u8>>), Error> {
        let body_bytes = u32::try_from(body.len()).ok().filter(|bytes| (1..=self.max_body_bytes).contains(bytes));
        let Some(body_bytes) = body_bytes else {
            let (got, most) = (body.len(), self.max_body_bytes);
            return Err(Error::InvalidInput(format!("body of {got} bytes is not of 1 to {most}")));
        };
        let (chunks, tree) = match &self.method {
            Method::WholeBlock => {
                let chunks = vec![body.to_vec()];
                let tree = Tree::build(&chunks).map_err(|e| Error::InvalidInput(e.to_string()))?;
                (chunks, tree)
            }
            Method::Coded(plan) => plan.disperse(body)?,
        };
        let (code, data_chunks, parity_chunks) = self.shape();
        let chunk_root = Hash(tree.root());
        Ok((ChunkCommitment { code, data_chunks, parity_chunks, body_bytes, chunk_root }, tree, chunks))
    }

    /// The body from `k` chunks that were proven to be under the root; `None` if the root is not that of a body's chunks.
    pub(super) fn restore(
        &self,
        commitment: &ChunkCommitment,
        chunks: Vec<(u16, Vec<u8>)>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let plan = match &self.method {
            // The proof was over the whole body.
            Method::WholeBlock => return Ok(chunks.into_iter().next().map(|(_, body)| body)),
            Method::Coded(plan) => plan,
        };
        let body_bytes = commitment.body_bytes as usize;
        #[cfg(test)]
        if self.chunk_root_unchecked {
            return found(plan.reconstruct(chunks, body_bytes));
        }
        let delivered = |(index, bytes)| Delivered { index, bytes, proof: None };
        found(plan.retrieve(commitment.chunk_root.0, chunks.into_iter().map(delivered).collect(), body_bytes))
    }
}

/// A root over something else than a body's chunks is a finding about the block; other refusals are the caller's mistakes.
fn found(body: Result<Vec<u8>, NoBody>) -> Result<Option<Vec<u8>>, Error> {
    match body {
        Ok(body) => Ok(Some(body)),
        Err(NoBody::Padding | NoBody::Refused(Refusal::Encoding)) => Ok(None),
        Err(NoBody::Refused(refusal)) => Err(Error::InvalidInput(refusal.to_string())),
        Err(NoBody::Backend(error)) => Err(error),
    }
}

/// k and m as configured, or the defaults.
fn dimensions(config: &DispersalConfig, validators: u16) -> Result<(u16, u16), String> {
    let data_chunks = config.data_chunks.unwrap_or(faults(validators) + 1);
    let parity_chunks = match config.parity_chunks {
        Some(parity_chunks) => parity_chunks,
        None => validators.checked_sub(data_chunks).ok_or_else(|| {
            format!("{data_chunks} data chunks exceed {validators} validators: choose the parity chunks too")
        })?,
    };
    // One less than a tree has leaves at most: a header counts chunks with 16 bits.
    if data_chunks.checked_add(parity_chunks).is_none() {
        let total = u32::from(data_chunks) + u32::from(parity_chunks);
        return Err(format!("{total} chunks exceed {}", u16::MAX));
    }
    Ok((data_chunks, parity_chunks))
}

/// Any `n - f` validators must hold `k` chunks: those with the fewest do not own one of the last, incomplete round.
fn survives(shape: Shape, validators: u16) -> Result<(), String> {
    let (n, total) = (usize::from(validators), shape.total());
    let honest = n - usize::from(faults(validators));
    let (rounds, richer) = (total / n, total % n);
    let held = rounds * honest + honest.saturating_sub(n - richer);
    if held < shape.k() {
        let (k, m) = (shape.k(), shape.m());
        return Err(format!("some {honest} of {n} validators hold only {held} of {k} + {m} chunks: {k} are needed"));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn config(code: Option<Code>, k: Option<u16>, m: Option<u16>) -> DispersalConfig {
        DispersalConfig {
            code,
            data_chunks: k,
            parity_chunks: m,
            max_body_bytes: 10_000,
            encode: BackendId::Cpu,
            reconstruct: BackendId::Cpu,
            options: Options::default(),
        }
    }

    pub fn coded(validators: u16) -> Dispersal {
        by(Code::RsVandermonde, validators)
    }

    pub fn by(code: Code, validators: u16) -> Dispersal {
        Dispersal::new(&config(Some(code), None, None), validators).unwrap()
    }

    pub fn whole(validators: u16) -> Dispersal {
        Dispersal::new(&config(None, None, None), validators).unwrap()
    }

    fn refused(k: u16, m: u16, validators: u16) -> Option<String> {
        Dispersal::new(&config(Some(Code::RsVandermonde), Some(k), Some(m)), validators).err()
    }

    #[test]
    fn by_default_each_validator_owns_one_chunk_and_one_more_than_the_faulty_suffice() {
        for (validators, k) in [(2, 1), (4, 2), (7, 3), (10, 4), (16, 6), (250, 84)] {
            let dispersal = coded(validators);
            assert_eq!((dispersal.data_chunks(), dispersal.chunks()), (k, validators));
        }
    }

    #[test]
    fn a_committee_without_parity_is_told_so() {
        let error = Dispersal::new(&config(Some(Code::RsVandermonde), None, None), 1).err().unwrap();
        assert!(error.contains("parity_chunks must be at least 1"), "{error}");
        assert!(Dispersal::new(&config(None, None, None), 1).is_ok());
    }

    #[test]
    fn dimensions_that_do_not_survive_the_faults_are_refused_with_the_numbers() {
        let error = refused(4, 0, 4);
        assert!(error.unwrap().contains("parity_chunks"));
        assert_eq!(refused(3, 1, 4), None);
        assert_eq!(refused(4, 1, 4).unwrap(), "some 3 of 4 validators hold only 3 of 4 + 1 chunks: 4 are needed");
        assert_eq!(refused(6, 2, 4), None);
        assert_eq!(refused(7, 1, 4).unwrap(), "some 3 of 4 validators hold only 6 of 7 + 1 chunks: 7 are needed");
    }

    #[test]
    fn the_survival_rule_equals_trying_every_set_of_faulty_validators() {
        for validators in 1u16..9 {
            for k in 1u16..12 {
                for m in 1u16..12 {
                    let held = |v: u16| (0..k + m).filter(|i| i % validators == v).count() as u16;
                    let worst = (0u32..1 << validators)
                        .filter(|faulty| faulty.count_ones() == u32::from(faults(validators)))
                        .map(|faulty| (0..validators).filter(|v| faulty >> v & 1 == 0).map(held).sum::<u16>())
                        .min();
                    let shape = Shape::new(Code::RsVandermonde, k, m).unwrap();
                    assert_eq!(survives(shape, validators).is_ok(), worst >= Some(k), "{validators}: {k} + {m}");
                }
            }
        }
    }

    #[test]
    fn bad_configurations_are_refused() {
        assert!(Dispersal::new(&config(None, Some(1), None), 4).is_err());
        assert!(Dispersal::new(&config(None, None, None), 0).is_err());
        assert!(refused(200, 200, 4).unwrap().contains("256 chunks"));
        let many = config(Some(Code::RsVandermonde), Some(5), None);
        assert!(Dispersal::new(&many, 4).err().unwrap().contains("5 data chunks exceed 4 validators"));
        let mut absent = config(Some(Code::RsVandermonde), None, None);
        absent.reconstruct = BackendId::Cuda;
        assert_eq!(Dispersal::new(&absent, 4).err().unwrap(), "erasure/reconstruct on cuda: not implemented");
    }

    #[test]
    fn the_leader_sends_each_chunk_to_its_owner_and_its_own_to_all() {
        let dispersal = coded(4);
        let v = |list: &[u16]| list.iter().map(|&i| ValidatorIndex(i)).collect::<Vec<_>>();
        assert_eq!(dispersal.recipients(ValidatorIndex(1), 2), v(&[2]));
        assert_eq!(dispersal.recipients(ValidatorIndex(1), 1), v(&[0, 2, 3]));
        assert_eq!(dispersal.relay_recipients(ValidatorIndex(2), ValidatorIndex(1)), v(&[0, 3]));
        assert_eq!(whole(4).recipients(ValidatorIndex(1), 0), v(&[0, 2, 3]));
    }

    #[test]
    fn a_commitment_of_another_run_is_refused() {
        let dispersal = coded(4);
        let commitment = dispersal.cut(b"body").unwrap().commitment;
        assert_eq!(commitment.body_bytes, 4);
        assert_eq!(dispersal.check(&commitment), Ok(()));
        for other in [
            ChunkCommitment { code: WHOLE_BLOCK, ..commitment },
            ChunkCommitment { data_chunks: 3, ..commitment },
            ChunkCommitment { parity_chunks: 1, ..commitment },
            ChunkCommitment { body_bytes: 0, ..commitment },
            ChunkCommitment { body_bytes: 10_001, ..commitment },
            whole(4).cut(b"body").unwrap().commitment,
        ] {
            assert!(dispersal.check(&other).is_err(), "{other:?}");
            assert_eq!(dispersal.matches(&other, b"body"), Ok(false));
        }
    }

    #[test]
    fn a_body_cut_by_another_code_is_refused_even_where_everything_else_agrees() {
        let ways: Vec<Dispersal> = Code::ALL.map(|code| by(code, 4)).into_iter().chain([whole(4)]).collect();
        for (i, own) in ways.iter().enumerate() {
            let commitment = own.cut(b"some body").unwrap().commitment;
            for (j, other) in ways.iter().enumerate() {
                let foreign = other.cut(b"some body").unwrap().commitment;
                assert_eq!(own.check(&foreign).is_ok(), i == j, "{i} {j}");
                // The dimensions and the root of the own cut under another code's name.
                let renamed = ChunkCommitment { code: foreign.code, ..commitment };
                assert_eq!(own.check(&renamed).is_ok(), i == j, "{i} {j}");
                assert_eq!(own.matches(&renamed, b"some body"), Ok(i == j), "{i} {j}");
            }
        }
    }

    #[test]
    fn chunks_are_as_long_as_their_code_wants_them() {
        for code in Code::ALL {
            let dispersal = by(code, 4);
            for bytes in [1, 2, 3, 4, 5, 97, 10_000] {
                let cut = dispersal.cut(&vec![7; bytes]).unwrap();
                let want = dispersal.chunk_bytes(bytes as u32);
                assert!(cut.chunks.iter().all(|chunk| chunk.bytes.len() == want), "{code} {bytes}");
                assert!(
                    want <= dispersal.max_chunk_bytes() && want.is_multiple_of(code.symbol_bytes()),
                    "{code} {bytes}"
                );
            }
        }
    }

    #[test]
    fn chunks_are_counted_with_16_bits() {
        let many = |k, m| Dispersal::new(&config(Some(Code::RsFft16), Some(k), Some(m)), 4);
        assert_eq!(many(32_768, 32_768).err().unwrap(), "65536 chunks exceed 65535");
        assert_eq!(many(1000, 1000).unwrap().chunks(), 2000);
    }

    #[test]
    fn a_whole_body_matches_only_its_own_commitment() {
        for dispersal in [coded(4), whole(4)] {
            let commitment = dispersal.cut(b"body").unwrap().commitment;
            assert_eq!(dispersal.matches(&commitment, b"body"), Ok(true));
            assert_eq!(dispersal.matches(&commitment, b"bodx"), Ok(false));
            assert_eq!(dispersal.matches(&commitment, b"body\0"), Ok(false));
            assert_eq!(dispersal.matches(&commitment, b""), Ok(false));
        }
    }

    #[test]
    fn bodies_without_bytes_or_over_the_limit_are_not_cut() {
        for dispersal in [coded(4), whole(4)] {
            assert!(dispersal.cut(&[]).is_err());
            assert!(dispersal.cut(&[0; 10_001]).is_err());
            assert!(dispersal.cut(&[0; 10_000]).is_ok());
        }
    }
}
