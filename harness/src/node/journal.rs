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
    first_final: u64,
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
        let mut journal =
            Self { file, end: 0, bodies: std::collections::HashMap::new(), finals: Vec::new(), first_final: 1 };
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
    /// I/O errors: then nothing that depends on the records may leave the node.
    pub fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        for record in records {
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

    fn index(&mut self, record: &Record, at: u64, length: u32) -> io::Result<()> {
        match record {
            Record::Body { block_hash, .. } => {
                self.bodies.insert(*block_hash, (at, length));
            }
            Record::Final { header, seal } => {
                if header.block_num.0 != self.first_final + self.finals.len() as u64 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "journal: final blocks are not consecutive",
                    ));
                }
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
        let index = usize::try_from(block_num.0.checked_sub(self.first_final)?).ok()?;
        let (header, seal) = self.finals.get(index)?.clone();
        let body = self.body(&header.hash()).ok().flatten()?;
        Some(FinalBlock { header, seal, body })
    }

    fn body(&self, block_hash: &Hash) -> Option<Vec<u8>> {
        Journal::body(self, block_hash).ok().flatten()
    }
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
