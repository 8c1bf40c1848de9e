//! What goes into a replica and what comes out of it: configuration, events, actions and notes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::Header;
use crate::fbft::certificate::QuorumCertificate;
use crate::fbft::committee::{Committee, Votes};
use crate::fbft::message::Envelope;
use crate::fbft::refusal::Refusal;
use crate::fbft::safety::SafetyRecord;
use crate::fbft::verify::Verified;
use crate::types::{BlockNum, Hash, Millis, ValidatorIndex, ViewId};

/// What a replica needs to know once.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The shard's validators.
    pub committee: Arc<Committee>,
    /// This one.
    pub me: ValidatorIndex,
    /// One message per key or per validator.
    pub votes: Votes,
    /// The leader changes at heights that are multiples of this; 0 never.
    pub rotation_blocks: u64,
    /// From the start of one proposal to the start of the next, at least.
    pub block_time_ms: Millis,
    /// How long view 0 may take, counted from when its proposal is due; see [`ReplicaConfig::timeout_ms`].
    pub view_timeout_ms: Millis,
    /// A fault built in on purpose, so that tests can show that they would notice it.
    #[cfg(test)]
    pub planted: Option<Planted>,
}

impl ReplicaConfig {
    /// The timeout of a view: grows by a sixteenth of the base per view, up to one and a half of it at view 8.
    /// Gently, because silent leaders in a row must not cost much; bounded, so `view_timeout_ms` must exceed what a view needs.
    pub fn timeout_ms(&self, view: ViewId) -> Millis {
        let base = self.view_timeout_ms.max(1);
        base.saturating_add((base / 16).saturating_mul(view.0.min(8)))
    }

    /// How often the leader repeats its current message to those whose answer is missing.
    pub fn repeat_ms(&self) -> Millis {
        (self.view_timeout_ms / 4).max(1)
    }

    /// How often a replica repeats its ViewChange while the new view has not begun.
    pub fn repeat_view_change_ms(&self) -> Millis {
        (self.view_timeout_ms / 2).max(1)
    }

    #[cfg(test)]
    pub(super) fn plants(&self, fault: Planted) -> bool {
        self.planted == Some(fault)
    }
}

/// Faults that tests build in. Each must make some simulated run break a promise.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A quorum is one vote short of one: see `Committee::with_quorum_minus_one`.
    QuorumMinusOne,
    /// ViewChanges do not report the highest prepared certificate.
    LockIgnored,
    /// The record that is made durable before a Commit lacks the certificate.
    CertificateNotPersisted,
    /// Signatures do not cover the view: see `simulated::ViewBlind`.
    ViewUnsigned,
    /// Receivers accept any proposal after a NewView.
    NewViewChoiceUnchecked,
    /// The node that joins the parts accepts a body without encoding it again.
    ChunkRootUnchecked,
}

/// The last final block, on which the height in progress builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 is genesis.
    pub block_num: BlockNum,
    /// Its hash.
    pub hash: Hash,
    /// Its proposer; validator 0 for genesis.
    pub proposer: ValidatorIndex,
    /// Its commit certificate; `None` exactly for genesis.
    pub seal: Option<QuorumCertificate>,
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message whose signatures were checked.
    Message {
        /// The peer that sent it, as its connection proves.
        from: ValidatorIndex,
        /// The message.
        message: Verified,
    },
    /// The answer to [`Action::Build`]: a block whose body is at hand and executed.
    Built {
        /// As in the request.
        block_num: BlockNum,
        /// As in the request.
        view_id: ViewId,
        /// The block.
        header: Header,
    },
    /// The body is at hand, encodes to the header's chunk root, was executed on the tip, and every field of the header agrees.
    Available {
        /// Which block.
        block_hash: Hash,
    },
    /// A body that encodes to the header's chunk root contradicts the header, or no encoding of `data_chunks` chunks that the
    /// root holds gives that root again. Final, so never said of a body that merely is not this block's.
    Invalid {
        /// Which block.
        block_hash: Hash,
    },
    /// A certified block of the height in progress, obtained by catching up.
    Synced {
        /// The block.
        header: Header,
        /// Why it is final.
        seal: QuorumCertificate,
    },
    /// The time of the latest [`Action::WakeAt`] has come. Early and repeated ticks are harmless.
    Tick,
}

/// What a replica asks for, in this order. Anything after a [`Action::Persist`] waits until that is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make this durable, instead of the record before, and beside it the bodies at hand of the blocks that its `prepare` and
    /// `lock` name. A body once kept stays until its height is final: a later view may propose it again.
    Persist(SafetyRecord),
    /// To one other validator.
    Send {
        /// Whom.
        to: ValidatorIndex,
        /// What.
        message: Envelope,
    },
    /// To all other validators.
    Broadcast(Envelope),
    /// Assemble a fresh block on the tip; answer with [`Event::Built`]. The header's parent seal is `Replica::parent_seal`.
    Build {
        /// Height.
        block_num: BlockNum,
        /// View: the header's `view_id`.
        view_id: ViewId,
    },
    /// The body of this block is needed; answer with [`Event::Available`] or [`Event::Invalid`]. Repeated while it is missing.
    Obtain {
        /// The block.
        header: Header,
        /// Whom to ask, likely holders first. For a fresh proposal its proposer, whose chunks come unasked; else the signers of
        /// a certificate. When it is repeated, everybody.
        from: Vec<ValidatorIndex>,
    },
    /// Send the chunks of a block just built to all. Never asked for a block proposed again: its holders are asked for it.
    Distribute {
        /// The block, as it was built.
        header: Header,
    },
    /// The block is final. Must be durable before a later record is.
    Finalize {
        /// The block.
        header: Header,
        /// Its commit certificate.
        seal: QuorumCertificate,
    },
    /// `from` holds, or says it holds, final blocks from `block_num` on that this replica lacks.
    Behind {
        /// Whom to ask.
        from: ValidatorIndex,
        /// The first block that is missing here.
        block_num: BlockNum,
    },
    /// `to` works on a height that is final here: it should get the header and seal of `block_num`.
    PeerBehind {
        /// Who lags.
        to: ValidatorIndex,
        /// The height it works on.
        block_num: BlockNum,
    },
    /// Send [`Event::Tick`] at this time; replaces the time before. A tick that came earlier does not use it up.
    WakeAt(Millis),
    /// For the report.
    Note(Note),
}

/// Marks for the report. The replica has no clock that counts: whoever takes the action stamps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The leader asks for a fresh block.
    ProposeStart(At),
    /// The leader announced.
    AnnounceSent(At),
    /// A valid proposal arrived.
    AnnounceReceived(At),
    /// Own Prepare votes left, or were counted if this is the leader.
    PrepareSent(At),
    /// The leader holds a quorum of Prepares.
    PrepareQuorum(At),
    /// The leader sent the prepared certificate.
    PreparedSent(At),
    /// A prepared certificate arrived.
    PreparedReceived(At),
    /// Own Commit votes left, or were counted if this is the leader.
    CommitSent(At),
    /// The leader holds Commits above two thirds.
    CommitQuorum(At),
    /// The leader holds the Commits of all slots.
    CommitAll(At),
    /// The leader sent the commit certificate.
    CommittedSent(At),
    /// The block is final here.
    Final(At),
    /// This replica left the views below.
    ViewChangeStarted(At),
    /// A NewView opened this view.
    NewViewEntered(At),
    /// Something was not accepted.
    Refused {
        /// Who sent it.
        from: ValidatorIndex,
        /// Why.
        reason: Refusal,
    },
    /// Two proposals by one leader in one view.
    Equivocation {
        /// The leader.
        by: ValidatorIndex,
        /// Where.
        at: At,
        /// The block that came first.
        first: Hash,
    },
    /// This replica takes no part at this height: its record is of a later height or does not verify.
    Muted(At),
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Height.
    pub block_num: BlockNum,
    /// View.
    pub view_id: ViewId,
    /// Block; `None` while there is none.
    pub block_hash: Option<Hash>,
}
