//! Why a message or a header was not accepted. The report counts these by name.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::fbft::bitmap::BitmapError;
use crate::fbft::certificate::CertificateError;

/// The reason why something a peer sent changed nothing here.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    BorshSerialize,
    BorshDeserialize,
    schemars::JsonSchema,
    thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Longer than any message may be.
    #[error("message is longer than allowed")]
    TooLong,
    /// Not the one encoding of a message.
    #[error("message does not decode")]
    Malformed,
    /// Another network's message.
    #[error("message is of another chain")]
    StrangerChain,
    /// Another shard's message.
    #[error("message is of another shard")]
    StrangerShard,
    /// The sender is not in the committee, or is this validator itself.
    #[error("sender is no other validator of the committee")]
    UnknownValidator,
    /// Somebody else than the message says, or slots that are not the sender's.
    #[error("message speaks for slots that are not its sender's")]
    WrongSender,
    /// Not `ceil(slots / 8)` bytes of bitmap.
    #[error("signer bitmap has a wrong length")]
    BitmapLength,
    /// A bitmap with bits beyond the last slot.
    #[error("signer bitmap sets bits beyond the last slot")]
    BitmapSpareBits,
    /// A vote by neither exactly one nor all of its sender's slots.
    #[error("vote is by neither one nor all of its sender's slots")]
    BitmapSlots,
    /// A certificate of the wrong phase in this place.
    #[error("certificate is of the wrong phase")]
    WrongPhase,
    /// Signers without a quorum of voting power.
    #[error("signers are no quorum")]
    NoQuorum,
    /// A signature that does not verify.
    #[error("signature does not verify")]
    BadSignature,
    /// A header that no honest leader could have made, or that contradicts the message around it.
    #[error("header contradicts its place")]
    BadHeader,
    /// The header does not extend this replica's last final block.
    #[error("header does not extend the last final block")]
    WrongParent,
    /// The seal of the parent is missing, superfluous, or of another block.
    #[error("parent seal does not belong to the parent")]
    BadParentSeal,
    /// A view change or new view that contradicts itself.
    #[error("view change contradicts itself")]
    BadViewChange,
    /// Below the height in progress.
    #[error("height is already final")]
    StaleHeight,
    /// Above what can be used or kept.
    #[error("height is too far ahead")]
    FutureHeight,
    /// Below the view in progress.
    #[error("view was left")]
    StaleView,
    /// A vote in a view that has not begun here.
    #[error("view has not begun")]
    FutureView,
    /// Seen before.
    #[error("message was seen before")]
    Replay,
    /// A vote that came after its quorum.
    #[error("vote came after its quorum")]
    Late,
    /// The sender does not lead the view, or this validator does not.
    #[error("view has another leader")]
    WrongLeader,
    /// A vote for another block than the one this leader proposed.
    #[error("vote is for another block")]
    WrongBlock,
    /// A second proposal in one view.
    #[error("leader proposed two blocks in one view")]
    Equivocation,
    /// No NewView justifies a proposal in this view.
    #[error("proposal has no new view behind it")]
    Unjustified,
    /// Another block than the NewView's highest certificate demands.
    #[error("proposal is not the block that the new view demands")]
    WrongChoice,
    /// The body was found to contradict the header.
    #[error("block body is invalid")]
    InvalidBody,
    /// The sender's share of the buffer for early messages is used up.
    #[error("sender has too many early messages")]
    BufferFull,
}

impl Refusal {
    /// Whether only a faulty sender can have caused this. Races, retransmissions and replicas that lag cause the others.
    pub fn is_offence(self) -> bool {
        !matches!(
            self,
            Self::WrongParent
                | Self::StaleHeight
                | Self::FutureHeight
                | Self::StaleView
                | Self::FutureView
                | Self::Replay
                | Self::Late
                | Self::WrongBlock
                | Self::Unjustified
                | Self::BufferFull
        )
    }
}

impl From<BitmapError> for Refusal {
    fn from(error: BitmapError) -> Self {
        match error {
            BitmapError::Length { .. } => Self::BitmapLength,
            BitmapError::SpareBits => Self::BitmapSpareBits,
        }
    }
}

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Bitmap(error) => error.into(),
            CertificateError::NoQuorum { .. } => Self::NoQuorum,
            CertificateError::BadSignature => Self::BadSignature,
        }
    }
}
