//! Sessions of the kernels that commit to chunks or check a commitment, over a [`Codec`]; and how those work that go pass
//! after pass. [`super::simd`] has the way in one pass.

use super::Refusal;
use super::coder::Codec;
use super::disperse::{Disperse, Dispersed};
use super::encode::chunk_bytes;
use super::merkle::{Hash, Tree, leaf, node};
use super::retrieve::{self, Delivery, Retrieve};
use crate::backend::{Control, Error, Prepared, Session};

impl Prepared<Disperse> for Codec {
    fn load<'a>(&'a self, data: &'a Vec<u8>) -> Result<Box<dyn Session<Disperse> + 'a>, Error> {
        let chunk_bytes = chunk_bytes(&self.shape, data.len())?;
        let parity = vec![0; self.shape.m() * chunk_bytes];
        Ok(Box::new(Dispersing { codec: self, data, chunk_bytes, parity, tree: None }))
    }
}

struct Dispersing<'a> {
    codec: &'a Codec,
    data: &'a [u8],
    chunk_bytes: usize,
    parity: Vec<u8>,
    /// Of the last execution.
    tree: Option<Tree>,
}

impl Session<Disperse> for Dispersing<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        let Self { codec, data, chunk_bytes, .. } = *self;
        self.tree = None;
        self.parity.resize(codec.shape.m() * chunk_bytes, 0);
        self.tree = Some(match codec.hasher(chunk_bytes) {
            Some(hasher) => codec.commit_in_one_pass(hasher, data, chunk_bytes, &mut self.parity, control)?,
            None => codec.commit(data, chunk_bytes, &mut self.parity, control)?,
        });
        Ok(())
    }

    fn output(&mut self) -> Result<Dispersed, Error> {
        let tree = self.tree.take().ok_or_else(nothing_executed)?;
        Ok(Dispersed { parity: std::mem::take(&mut self.parity), tree })
    }
}

impl Prepared<Retrieve> for Codec {
    fn load<'a>(&'a self, delivery: &'a Delivery) -> Result<Box<dyn Session<Retrieve> + 'a>, Error> {
        let places = retrieve::validate(&self.shape, delivery);
        // Refused chunks may claim any length.
        let data = if places.is_ok() { vec![0; self.shape.k() * delivery.chunk_bytes] } else { Vec::new() };
        Ok(Box::new(Retrieving { codec: self, delivery, places, data, verdict: None }))
    }
}

struct Retrieving<'a> {
    codec: &'a Codec,
    delivery: &'a Delivery,
    places: Result<Vec<Option<&'a [u8]>>, Refusal>,
    data: Vec<u8>,
    /// Of the last execution.
    verdict: Option<Result<(), Refusal>>,
}

impl Session<Retrieve> for Retrieving<'_> {
    fn execute(&mut self, control: &Control) -> Result<(), Error> {
        self.verdict = None;
        self.verdict = Some(match &self.places {
            Ok(places) => {
                self.data.resize(self.codec.shape.k() * self.delivery.chunk_bytes, 0);
                match self.codec.hasher(self.delivery.chunk_bytes) {
                    Some(hasher) => {
                        self.codec.retrieve_in_one_pass(hasher, self.delivery, places, &mut self.data, control)?
                    }
                    None => self.codec.retrieve(self.delivery, places, &mut self.data, control)?,
                }
            }
            Err(refusal) => Err(refusal.clone()),
        });
        Ok(())
    }

    fn output(&mut self) -> Result<Result<Vec<u8>, Refusal>, Error> {
        let verdict = self.verdict.take().ok_or_else(nothing_executed)?;
        Ok(verdict.map(|()| std::mem::take(&mut self.data)))
    }
}

fn nothing_executed() -> Error {
    Error::InvalidInput("nothing was executed".into())
}

/// Pass after pass: the code, then the hashes.
impl Codec {
    /// Parity, and the tree over all chunks.
    fn commit(&self, data: &[u8], chunk_bytes: usize, parity: &mut [u8], control: &Control) -> Result<Tree, Error> {
        self.encode(data, chunk_bytes, parity, control)?;
        control.check()?;
        let chunks: Vec<&[u8]> = data.chunks_exact(chunk_bytes).chain(parity.chunks_exact(chunk_bytes)).collect();
        // Indices are u16 in every shape.
        let leaves = self.pool.map(chunks.len(), |index| leaf(u32::try_from(index).unwrap_or_default(), chunks[index]));
        self.tree(leaves, |level| level.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect())
    }

    /// The data into `data`, or the refusal.
    fn retrieve(
        &self,
        delivery: &Delivery,
        places: &[Option<&[u8]>],
        data: &mut [u8],
        control: &Control,
    ) -> Result<Result<(), Refusal>, Error> {
        let Delivery { root, chunk_bytes, received } = delivery;
        let total = self.shape.total();
        control.check()?;
        let proven = self.pool.map(received.len(), |i| received[i].is_proven(root, total));
        if let Some(chunk) = proven.iter().position(|proven| !proven) {
            return Ok(Err(Refusal::Proof { index: received[chunk].index }));
        }
        self.reconstruct(places, *chunk_bytes, data, control)?;
        let mut parity = vec![0; self.shape.m() * chunk_bytes];
        let tree = self.commit(data, *chunk_bytes, &mut parity, control)?;
        Ok(if tree.root() == *root { Ok(()) } else { Err(Refusal::Encoding) })
    }
    /// The tree over the leaves of a shape.
    pub(super) fn tree(&self, leaves: Vec<Hash>, nodes: impl Fn(&[Hash]) -> Vec<Hash>) -> Result<Tree, Error> {
        Tree::over(leaves, nodes).map_err(|e| Error::InvalidInput(format!("{} chunks: {e}", self.shape.total())))
    }
}
