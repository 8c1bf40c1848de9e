//! The messages of FBFT as they travel, in one canonical encoding (borsh), bounded before they are decoded.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::block::Header;
use crate::fbft::certificate::Certificate;
use crate::fbft::refusal::Refusal;
use crate::types::{BlockNum, ChainId, Hash, ShardId, Signature, ValidatorIndex, ViewId};

/// No message is longer: a NewView of 1,000 validators fits.
pub const MAX_ENVELOPE_BYTES: usize = 4 << 20;

/// A consensus message and the shard it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// The network.
    pub chain: ChainId,
    /// The shard.
    pub shard: ShardId,
    /// The message.
    pub message: Message,
}

impl Envelope {
    /// The only door for a peer's bytes. The encoding is canonical: what decodes encodes to the same bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooLong`] beyond [`MAX_ENVELOPE_BYTES`], [`Refusal::Malformed`] otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(Refusal::TooLong);
        }
        borsh::from_slice(bytes).map_err(|_| Refusal::Malformed)
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("writing to memory does no I/O")
    }
}

/// A consensus message.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Message {
    /// Leader to all: a block in a view.
    Announce(Announce),
    /// Validator to leader: first vote.
    Prepare(Vote),
    /// Leader to all: a quorum of Prepares.
    Prepared(Certificate),
    /// Validator to leader: second vote.
    Commit(Vote),
    /// Leader to all: a quorum of Commits; the block is final.
    Committed(Certificate),
    /// Validator to all: leaves for a new view.
    ViewChange(ViewChange),
    /// New leader to all: a quorum of ViewChanges; its Announce follows.
    NewView(NewView),
}

impl Message {
    /// The height it speaks of.
    pub fn block_num(&self) -> BlockNum {
        match self {
            Self::Announce(announce) => announce.header.block_num,
            Self::Prepare(vote) | Self::Commit(vote) => vote.block_num,
            Self::Prepared(certificate) | Self::Committed(certificate) => certificate.block_num,
            Self::ViewChange(view_change) => view_change.block_num,
            Self::NewView(new_view) => new_view.block_num,
        }
    }

    /// The view it speaks of.
    pub fn view_id(&self) -> ViewId {
        match self {
            Self::Announce(announce) => announce.view_id,
            Self::Prepare(vote) | Self::Commit(vote) => vote.view_id,
            Self::Prepared(certificate) | Self::Committed(certificate) => certificate.view_id,
            Self::ViewChange(view_change) => view_change.view_id,
            Self::NewView(new_view) => new_view.view_id,
        }
    }
}

/// A proposal. A view above 0 is open only after its [`NewView`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Announce {
    /// The view it is proposed in; equal to the header's unless an earlier view's block is proposed again.
    pub view_id: ViewId,
    /// The block.
    pub header: Header,
    /// By the first slot of the view's leader over kind Announce, this view and the header's hash.
    pub signature: Signature,
}

/// A vote by one slot, or by all slots of one validator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Height.
    pub block_num: BlockNum,
    /// View.
    pub view_id: ViewId,
    /// Block.
    pub block_hash: Hash,
    /// Encoded bitmap: one slot of the sender, or all of them.
    pub signers: Vec<u8>,
    /// Sum of the slots' signatures.
    pub signature: Signature,
}

/// The sender gives up on the views below `view_id` and names its highest prepared certificate at this height.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// Height.
    pub block_num: BlockNum,
    /// The view it moves to; at least 1.
    pub view_id: ViewId,
    /// Who says so.
    pub sender: ValidatorIndex,
    /// The highest prepared certificate, with its block's header; both or neither.
    pub prepared: Option<(Certificate, Header)>,
    /// By all slots of the sender, over kind ViewChange and [`Certificate::digest`].
    pub signature: Signature,
}

/// Why a new view may begin, and which block it must propose.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// Height.
    pub block_num: BlockNum,
    /// The view that begins.
    pub view_id: ViewId,
    /// ViewChanges of distinct senders whose power is a quorum.
    pub view_changes: Vec<ViewChange>,
}
