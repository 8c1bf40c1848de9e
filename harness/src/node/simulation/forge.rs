//! Blocks as faulty leaders make them: chunks that are no body's, headers that lie, and second blocks that are valid.

use rand::{Rng, RngExt};
use shardmark_kernels::erasure::merkle::Tree;

use super::fixture::{BLOCK_BYTES, Trade};
use super::scenario::Lie;
use crate::beacon::{vrf_message, vrf_output};
use crate::block::{BeaconField, Header, VdfField};
use crate::fbft::crypto::Crypto;
use crate::ledger::body::Body;
use crate::ledger::workload::Ledger;
use crate::node::job::CutDone;
use crate::propagation::{Cut, Dispersal};
use crate::types::{Hash, Slot};

/// Changes one chunk and proves all of them again, under a root that no body has.
pub fn break_code(cut: &mut Cut, rng: &mut impl Rng) {
    let place = rng.random_range(0..cut.chunks.len());
    let at = rng.random_range(0..cut.chunks[place].bytes.len());
    cut.chunks[place].bytes[at] ^= 1 << rng.random_range(0..8);
    let bytes: Vec<_> = cut.chunks.iter().map(|chunk| chunk.bytes.clone()).collect();
    let tree = Tree::build(&bytes).unwrap();
    cut.commitment.chunk_root = Hash(tree.root());
    for (place, chunk) in cut.chunks.iter_mut().enumerate() {
        chunk.proof = tree.proof(place).unwrap().siblings.into_iter().map(Hash).collect();
    }
}

fn body(transactions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Body::empty();
    for transaction in transactions {
        let _ = body.push(transaction, BLOCK_BYTES - 1);
    }
    body.as_bytes().to_vec()
}

fn transactions(body: &[u8]) -> Vec<Vec<u8>> {
    let body = Body::decode(body.to_vec(), BLOCK_BYTES).unwrap();
    body.iter().map(<[u8]>::to_vec).collect()
}

/// What a forger has at hand.
pub struct Forger<'a> {
    pub me: usize,
    pub trade: &'a Trade,
    pub ledger: &'a Ledger,
    pub dispersal: &'a Dispersal,
    pub crypto: &'a dyn Crypto,
    pub slot: Slot,
}

impl Forger<'_> {
    /// Makes a block invalid in one way.
    pub fn lie(&self, done: &mut CutDone, lie: Lie, rng: &mut impl Rng) {
        let mut held = transactions(done.job.body.as_bytes());
        match lie {
            Lie::StateRoot => done.job.execution.state_root = Hash(rng.random()),
            Lie::ReceiptsRoot => done.job.execution.receipts_root = Hash(rng.random()),
            Lie::Count => done.job.execution.transactions += 1,
            Lie::DoubleSpend => {
                let twice = held.pop().unwrap_or_else(|| self.trade.made_up(self.me, self.ledger, rng.random()));
                held.truncate(10);
                held.extend([twice.clone(), twice]);
                self.replace(done, &body(&held), held.len());
            }
            Lie::BadTransaction => {
                held.truncate(10);
                let mut bad = self.trade.made_up(self.me, self.ledger, rng.random());
                bad.truncate(rng.random_range(1..15));
                held.push(bad);
                self.replace(done, &body(&held), held.len());
            }
            Lie::TrailingByte => {
                let mut longer = done.job.body.as_bytes().to_vec();
                longer.truncate(BLOCK_BYTES as usize - 1);
                longer.push(0);
                self.replace(done, &longer, held.len());
            }
            Lie::Vrf => {
                done.vrf_proof = self.crypto.sign(&[self.slot], b"something else");
                done.vrf_output = vrf_output(&done.vrf_proof);
            }
            Lie::VrfOutput => done.vrf_output = Hash(rng.random()),
            Lie::Delay => {
                let output_and_proof = vec![1; super::fixture::DELAY.proof_bytes()];
                let window = done.job.vdf.as_ref().map_or(0, |field| field.window);
                done.job.vdf = Some(VdfField { window, output_and_proof });
            }
        }
    }

    fn replace(&self, done: &mut CutDone, body: &[u8], count: usize) {
        done.cut = self.dispersal.cut(body).unwrap();
        done.job.execution.transactions = count as u32;
    }

    /// Another valid block in the place of `header`, whose transactions are `held`.
    pub fn other(&self, header: &Header, held: &[u8], number: u64) -> (Header, Cut, Vec<u8>) {
        let mut held = transactions(held);
        if held.pop().is_none() {
            held.push(self.trade.made_up(self.me, self.ledger, number));
        }
        self.valid(header, &held).or_else(|| self.valid(header, &[])).expect("a block without transactions is valid")
    }

    fn valid(&self, header: &Header, held: &[Vec<u8>]) -> Option<(Header, Cut, Vec<u8>)> {
        let body = body(held);
        let checked = self.trade.checker.check_body(body.clone()).unwrap().ok()?;
        let execution = self.ledger.execute(&checked).ok()?;
        let cut = self.dispersal.cut(&body).unwrap();
        let header = Header {
            chunks: cut.commitment,
            transactions: execution.transactions,
            state_root: execution.state_root,
            receipts_root: execution.receipts_root,
            ..header.clone()
        };
        Some((header, cut, body))
    }

    /// A valid block of this validator's own in the place of another's `header`.
    pub fn own(&self, header: &Header, previous_output: &Hash, number: u64) -> (Header, Cut, Vec<u8>) {
        let message = vrf_message(header.chain, header.shard, header.block_num, previous_output);
        let vrf_proof = self.crypto.sign(&[self.slot], &message);
        let beacon = BeaconField { vrf_proof, vrf_output: vrf_output(&vrf_proof), vdf: None };
        let held = body(&[]);
        self.other(&Header { beacon, ..header.clone() }, &held, number)
    }
}
