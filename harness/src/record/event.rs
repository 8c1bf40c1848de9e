//! What nodes write down: typed events, one JSON object a line.
//!
//! Events are facts with a time, never conclusions: everything in a summary is computed from them afterwards. Counters
//! named *cumulative* count from the start of the process that writes them; the last one written is the value.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shardmark_kernels::backend::BackendId;

use crate::types::{BlockNum, Hash, ShardId, ValidatorIndex, ViewId};

/// One line of `events/<node>.jsonl.zst`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the run's common start, on the writing host's monotonic clock.
    pub t_ns: u64,
    /// The shard it belongs to.
    pub shard: ShardId,
    /// What happened.
    #[serde(flatten)]
    pub payload: Payload,
}

/// What happened, tagged by `event`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Payload {
    /// First event of a process.
    Started {
        /// Who writes this file.
        validator: ValidatorIndex,
        /// Voting power: its number of slots.
        power: u16,
        /// Process id.
        pid: u32,
    },
    /// A step of one block in one view.
    Phase {
        /// Height.
        block_num: BlockNum,
        /// View.
        view_id: ViewId,
        /// Which step.
        mark: Mark,
    },
    /// A block became final at this node.
    Final {
        /// Height.
        block_num: BlockNum,
        /// Hash of the header.
        block_hash: Hash,
        /// View that made it final.
        view_id: ViewId,
        /// Who proposed it.
        proposer: ValidatorIndex,
        /// Transactions in it.
        transactions: u64,
        /// Bytes of its body.
        body_bytes: u64,
        /// State after it.
        state_root: Hash,
    },
    /// This node voted to leave for a view.
    ViewChange {
        /// Height.
        block_num: BlockNum,
        /// The view it asks for.
        view_id: ViewId,
    },
    /// This node entered a view that a quorum asked for.
    NewView {
        /// Height.
        block_num: BlockNum,
        /// The view.
        view_id: ViewId,
    },
    /// Bytes that this node refused, since its last such event for the same peer and reason.
    Refused {
        /// The sender; `None` for one that is not of the committee.
        from: Option<ValidatorIndex>,
        /// Why, in a few fixed words.
        reason: Cow<'static, str>,
        /// How many.
        count: u64,
    },
    /// One kernel call ended; `t_ns` is its end.
    Kernel {
        /// Name, such as `bls/verify-batch`.
        kernel: Cow<'static, str>,
        /// Who computed.
        backend: BackendId,
        /// The path that ran, such as `scalar` or `lanes`.
        path: Cow<'static, str>,
        /// Threads the call used.
        threads: u32,
        /// Items in the batch.
        items: u64,
        /// Data bytes in the batch.
        bytes: u64,
        /// Bytes in to verdict out, as the caller waited.
        total_ns: u64,
        /// What it was for.
        job: Job,
        /// The block it was for, if it was for one.
        block_num: Option<BlockNum>,
    },
    /// A delay function was evaluated or verified.
    Vdf {
        /// Window, from 0.
        window: u64,
        /// Duration of the evaluation, at the node that did it.
        evaluate_ns: Option<u64>,
        /// Duration of the verification.
        verify_ns: Option<u64>,
        /// Time that was available: from the seed until the proof is due.
        deadline_ns: u64,
    },
    /// What became of the transactions of this node's load. Cumulative, over the whole run (not only the window).
    Transactions(TransactionCounts),
    /// Traffic of this node. Cumulative.
    Net(NetSample),
    /// Consumption of this process. Cumulative.
    Resources {
        /// CPU time of all threads, user and system.
        cpu_ns: u64,
        /// Resident memory now.
        rss_bytes: Option<u64>,
        /// CPU time of the whole host that was not idle, all processes, since it booted.
        host_busy_ns: Option<u64>,
        /// CPU time that a hypervisor withheld from the host, since it booted.
        host_steal_ns: Option<u64>,
    },
    /// Last event of a process that ended in order.
    Closed,
}

/// A step of one block in one view. The leader's are propose, cut, announce_sent, prepare_quorum, prepared_sent, commit_quorum,
/// commit_all, committed_sent; a leader writes the validator's steps too, for its own vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The leader starts building the block.
    Propose,
    /// The leader starts to cut the body into chunks; with whole-block broadcast, to hash it.
    Cut,
    /// The leader handed header and chunks to the transport.
    AnnounceSent,
    /// A validator holds the announced header.
    AnnounceReceived,
    /// Its first valid chunk.
    FirstChunk,
    /// Enough chunks.
    KthChunk,
    /// The body is rebuilt and its chunk root checked.
    Decoded,
    /// The body is executed and the header's roots checked.
    Checked,
    /// The Prepare is signed and sent.
    PrepareSent,
    /// The leader holds Prepares of a quorum, verified.
    PrepareQuorum,
    /// The leader sent the prepared certificate.
    PreparedSent,
    /// A validator holds it, verified.
    PreparedReceived,
    /// The Commit is durable, signed and sent.
    CommitSent,
    /// The leader holds Commits of a quorum, verified.
    CommitQuorum,
    /// The leader holds everyone's Commit.
    CommitAll,
    /// The leader sent the commit certificate.
    CommittedSent,
    /// The block is final at this node; [`Payload::Final`] implies it.
    Final,
}

/// What a kernel call was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// A transaction enters the pool.
    Admission,
    /// The leader builds a block.
    Propose,
    /// An announcement's signature.
    Announce,
    /// Chunks of a body, cut or put together.
    Chunks,
    /// A validator checks a body.
    Check,
    /// Prepare votes, at the leader.
    Prepare,
    /// A prepared certificate, made or checked.
    Prepared,
    /// Commit votes, at the leader.
    Commit,
    /// A commit certificate, made or checked.
    Committed,
    /// Votes summed into a certificate, and own signatures.
    Certificate,
    /// The parent's seal in a header.
    Seal,
    /// View changes.
    ViewChange,
    /// Randomness: VRF proofs and the delay function.
    Beacon,
    /// Blocks that this node missed.
    Fetch,
    /// Keys of the committee, before the run.
    Setup,
}

/// What became of transactions, each counted once:
/// `scheduled = sent + unsent`, `sent = admitted + rejected_at_home`,
/// `admitted = finalized + rejected_later + expired + unfinished`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TransactionCounts {
    /// Due so far by the schedule.
    pub scheduled: u64,
    /// Handed to their home validator.
    pub sent: u64,
    /// Due and not handed over.
    pub unsent: u64,
    /// Accepted by the home validator's pool.
    pub admitted: u64,
    /// Refused by the home validator, by reason.
    pub rejected_at_home: std::collections::BTreeMap<String, u64>,
    /// Dropped after admission for another reason than age, by reason.
    pub rejected_later: std::collections::BTreeMap<String, u64>,
    /// In a final block at the home validator.
    pub finalized: u64,
    /// Dropped after admission because of their age.
    pub expired: u64,
    /// Admitted, and none of these yet.
    pub unfinished: u64,
    /// Copies refused because the transaction was known; not among the others.
    pub duplicates: u64,
}

/// Traffic of one node, summed over its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetSample {
    /// UDP payload bytes sent.
    pub sent_bytes: u64,
    /// UDP payload bytes received.
    pub received_bytes: u64,
    /// UDP datagrams sent.
    pub sent_datagrams: u64,
    /// UDP datagrams received.
    pub received_datagrams: u64,
    /// Packets that QUIC declared lost.
    pub lost_packets: u64,
    /// Frames dropped because a peer's queue was full.
    pub dropped_frames: u64,
    /// Bytes of the frames that carried chunks, or whole blocks, without what QUIC and repetition add; not recorded by older versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_chunk_bytes: Option<u64>,
    /// What passed the configured link; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impaired: Option<ImpairedSample>,
    /// Connections lost after their handshake.
    pub lost_connections: u64,
    /// Largest smoothed round-trip time to a peer, if known.
    pub rtt_ns_max: Option<u64>,
    /// Send buffer the kernel granted, if known.
    pub udp_send_buffer: Option<u64>,
    /// Receive buffer the kernel granted, if known.
    pub udp_receive_buffer: Option<u64>,
}

/// Datagrams that passed a link with loss, delay or a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpairedSample {
    /// All, since the run began.
    pub datagrams: u64,
    /// Of these, lost.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_line_and_reads_back() {
        let event = Event {
            t_ns: 5,
            shard: ShardId(0),
            payload: Payload::Phase { block_num: BlockNum(1), view_id: ViewId(0), mark: Mark::KthChunk },
        };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"t_ns":5,"shard":0,"event":"phase","block_num":1,"view_id":0,"mark":"kth_chunk"}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);

        let counts = Event {
            t_ns: 6,
            shard: ShardId(0),
            payload: Payload::Transactions(TransactionCounts { scheduled: 1, sent: 1, ..Default::default() }),
        };
        let line = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), counts);
        assert!(serde_json::from_str::<Event>(r#"{"t_ns":5,"shard":0,"event":"party"}"#).is_err());
    }
}
