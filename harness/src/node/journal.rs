//! The node's append-only journal: what must survive a crash, each record checksummed, synced before anything depends on it.
//!
//! One file. A record is `length u32 LE, blake3(payload)[..8], payload`. A torn or corrupt tail ends the journal: it is cut off
//! at opening, because nothing that depended on it ever left the node.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::block::Header;
use crate::fbft::certificate::Certificate;
use crate::fbft::safety::SafetyRecord;
use crate::node::store::{BlockStore, FinalBlock};
use crate::types::{BlockNum, Hash};

/// Largest payload accepted when reading; a length above it is corruption.
const MAX_RECORD: u32 = 1 << 30;
const PREFIX: u64 = 12;

/// One durable fact.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// A body this node is about to commit to.
    Body {
        /// Hash of the header it belongs to.
        block_hash: Hash,
        /// The encoded body.
        body: Vec<u8>,
    },
    /// The replica's votes, view and lock.
    Safety(SafetyRecord),
    /// A block became final. Its body is in an earlier [`Record::Body`].
    Final {
        /// The block.
        header: Header,
        /// Its commit certificate, verified before it was written.
        seal: Certificate,
    },
}

/// What a journal held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Final blocks in order of height, from 1.
    pub blocks: Vec<(Header, Certificate)>,
    /// The last safety record.
    pub safety: Option<SafetyRecord>,
    /// Bytes cut off because they were torn.
    pub torn_bytes: u64,
}

/// The file, and where each body and final block lies in it.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
    bodies: std::collections::HashMap<Hash, (u64, u32)>,
    finals: Vec<(Header, Certificate)>,
}

impl Journal {
    /// Opens or creates a journal, cutting off a torn tail.
    ///
    /// # Errors
    ///
    /// I/O errors, and `InvalidData` if final blocks are not consecutive.
    pub fn open(path: &Path) -> io::Result<(Self, Recovered)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        let mut journal = Self { file, end: 0, bodies: std::collections::HashMap::new(), finals: Vec::new() };
        let mut safety = None;
        let mut reader = BufReader::with_capacity(1 << 20, journal.file.try_clone()?);
        while let Some(payload) = read_record(&mut reader, length - journal.end)? {
            let Ok(record) = borsh::from_slice::<Record>(&payload) else { break };
            if let Record::Safety(record) = &record {
                safety = Some(record.clone());
            }
            journal.index(&record, journal.end, payload.len() as u32)?;
            journal.end += PREFIX + payload.len() as u64;
        }
        let torn_bytes = length - journal.end;
        if torn_bytes > 0 {
            journal.file.set_len(journal.end)?;
            journal.file.sync_data()?;
        }
        journal.file.seek(SeekFrom::Start(journal.end))?;
        let recovered = Recovered { blocks: journal.finals.clone(), safety, torn_bytes };
        Ok((journal, recovered))
    }

    /// Appends records and returns once they are on the disk.
    ///
    /// # Errors
    ///
    /// I/O errors: then nothing that depends on the records may leave the node. `InvalidData`, and nothing is written, if a
    /// final block does not follow the one before.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut next = self.next_final();
        let mut buffer = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            if let Record::Final { header, .. } = record {
                next = follows(header, next)?;
            }
            let payload = borsh::to_vec(record)?;
            let length = u32::try_from(payload.len()).ok().filter(|&l| l <= MAX_RECORD);
            let length = length.ok_or_else(|| io::Error::other("journal record above 1 GiB"))?;
            places.push((self.end + buffer.len() as u64, length));
            buffer.extend_from_slice(&length.to_le_bytes());
            buffer.extend_from_slice(&blake3::hash(&payload).as_bytes()[..8]);
            buffer.extend_from_slice(&payload);
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&buffer)?;
        self.file.sync_data()?;
        for (record, (at, length)) in records.iter().zip(places) {
            self.index(record, at, length)?;
        }
        self.end += buffer.len() as u64;
        Ok(())
    }

    /// The height of the next final block.
    fn next_final(&self) -> u64 {
        self.finals.len() as u64 + 1
    }

    fn index(&mut self, record: &Record, at: u64, length: u32) -> io::Result<()> {
        match record {
            Record::Body { block_hash, .. } => {
                self.bodies.insert(*block_hash, (at, length));
            }
            Record::Final { header, seal } => {
                follows(header, self.next_final())?;
                self.finals.push((header.clone(), seal.clone()));
            }
            Record::Safety(_) => {}
        }
        Ok(())
    }

    /// Reads the body of a block written before.
    ///
    /// # Errors
    ///
    /// I/O errors.
    pub fn body(&self, block_hash: &Hash) -> io::Result<Option<Vec<u8>>> {
        use std::os::unix::fs::FileExt;
        let Some(&(at, length)) = self.bodies.get(block_hash) else { return Ok(None) };
        let mut payload = vec![0; length as usize];
        self.file.read_exact_at(&mut payload, at + PREFIX)?;
        match borsh::from_slice(&payload)? {
            Record::Body { body, .. } => Ok(Some(body)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "journal: body index points elsewhere")),
        }
    }
}

impl BlockStore for Journal {
    fn final_block(&self, block_num: BlockNum) -> Option<FinalBlock> {
        let index = usize::try_from(block_num.0.checked_sub(1)?).ok()?;
        let (header, seal) = self.finals.get(index)?.clone();
        let body = self.body(&header.hash()).ok().flatten()?;
        Some(FinalBlock { header, seal, body })
    }

    fn body(&self, block_hash: &Hash) -> Option<Vec<u8>> {
        Journal::body(self, block_hash).ok().flatten()
    }
}

/// Whether a final block is of this height; then the next one's.
fn follows(header: &Header, height: u64) -> io::Result<u64> {
    if header.block_num.0 == height {
        return Ok(height + 1);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "journal: final blocks are not consecutive"))
}

/// The next payload, or `None` at the end or at the first damage.
fn read_record(reader: &mut impl Read, left: u64) -> io::Result<Option<Vec<u8>>> {
    if left < PREFIX {
        return Ok(None);
    }
    let mut prefix = [0; PREFIX as usize];
    reader.read_exact(&mut prefix)?;
    let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
    if length > MAX_RECORD || u64::from(length) > left - PREFIX {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload)?;
    Ok((blake3::hash(&payload).as_bytes()[..8] == prefix[4..]).then_some(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BeaconField, ChunkCommitment};
    use crate::fbft::certificate::Phase;
    use crate::types::{ChainId, ShardId, Signature, ValidatorIndex, ViewId};

    fn header(num: u64) -> Header {
        let chunk_root = Hash([num as u8; 32]);
        Header {
            chain: ChainId(1),
            shard: ShardId(2),
            block_num: BlockNum(num),
            view_id: ViewId(0),
            proposer: ValidatorIndex(0),
            parent: Hash::default(),
            parent_seal: None,
            chunks: ChunkCommitment { code: 0, data_chunks: 1, parity_chunks: 0, body_bytes: 4, chunk_root },
            transactions: 0,
            state_root: Hash::default(),
            receipts_root: Hash::default(),
            beacon: BeaconField { vrf_proof: Signature([0; 96]), vrf_output: Hash::default(), vdf: None },
        }
    }

    /// Body, safety record and final block of one height.
    fn height(num: u64) -> [Record; 3] {
        let (header, block_num) = (header(num), BlockNum(num));
        let (block_hash, signers, signature) = (header.hash(), vec![7], Signature([num as u8; 96]));
        let seal = Certificate { phase: Phase::Commit, block_num, view_id: ViewId(0), block_hash, signers, signature };
        [
            Record::Body { block_hash, body: vec![num as u8; 20] },
            Record::Safety(SafetyRecord::new(block_num)),
            Record::Final { header, seal },
        ]
    }

    fn records() -> Vec<Record> {
        (1..=3).flat_map(height).collect()
    }

    /// A file with these records, and where each ends in it.
    fn written(path: &Path, records: &[Record]) -> Vec<u64> {
        let (mut journal, _) = Journal::open(path).unwrap();
        let one = |record| {
            journal.append(std::slice::from_ref(record)).unwrap();
            journal.end
        };
        records.iter().map(one).collect()
    }

    /// What must be recovered of the first `whole` records.
    fn expect(path: &Path, records: &[Record], whole: usize, torn_bytes: u64) -> Journal {
        let (journal, recovered) = Journal::open(path).unwrap();
        let kept = &records[..whole];
        let safety = kept.iter().rev().find_map(|record| match record {
            Record::Safety(safety) => Some(safety.clone()),
            _ => None,
        });
        let blocks: Vec<_> = kept
            .iter()
            .filter_map(|record| match record {
                Record::Final { header, seal } => Some((header.clone(), seal.clone())),
                _ => None,
            })
            .collect();
        assert_eq!((&recovered.safety, recovered.torn_bytes), (&safety, torn_bytes));
        assert_eq!(recovered.blocks, blocks);
        for record in records {
            if let Record::Body { block_hash, body } = record {
                let known = kept.contains(record).then(|| body.clone());
                assert_eq!(journal.body(block_hash).unwrap(), known);
            }
        }
        for (num, (header, seal)) in (1..).zip(&blocks) {
            let block = journal.final_block(BlockNum(num)).unwrap();
            assert_eq!((&block.header, &block.seal, block.body), (header, seal, vec![num as u8; 20]));
        }
        assert_eq!(journal.final_block(BlockNum(blocks.len() as u64 + 1)), None);
        assert_eq!(journal.final_block(BlockNum(0)), None);
        journal
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_off_and_writing_goes_on_behind_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = (folder.path().join("journal"), records());
        let ends = written(&path, &records);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|&&end| end <= cut as u64).count();
            let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
            let mut journal = expect(&path, &records, whole, cut as u64 - end);
            journal.append(&records[whole..]).unwrap();
            drop(journal);
            expect(&path, &records, records.len(), 0);
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_journal_before_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let (path, records) = (folder.path().join("journal"), records());
        let ends = written(&path, &records);
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            let whole = ends.iter().filter(|&&end| end <= at as u64).count();
            let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
            expect(&path, &records, whole, bytes.len() as u64 - end);
        }
    }

    #[test]
    fn final_blocks_that_do_not_follow_each_other_are_neither_written_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&height(1)).unwrap();
        let before = std::fs::read(&path).unwrap();
        for wrong in [height(1), height(3)] {
            assert_eq!(journal.append(&wrong).unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
        journal.append(&[height(2), height(3)].concat()).unwrap();
        drop(journal);
        let other = folder.path().join("other");
        let first = written(&other, &height(1))[2] as usize;
        let all = std::fs::read(&path).unwrap();
        let third = all.len() - (all.len() - first) / 2;
        std::fs::write(&other, [&all[..first], &all[third..]].concat()).unwrap();
        assert_eq!(Journal::open(&other).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_length_beyond_the_file_is_not_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let records = records();
        written(&path, &records);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(&[0xff; 40]);
        std::fs::write(&path, &bytes).unwrap();
        expect(&path, &records, records.len(), 40);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
    }
}
