//! What a launcher and its nodes say to each other: one JSON object a line, over the node's standard input and output.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::net::identity::Roster;

/// Launcher to node. End of input means stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToNode {
    /// Where everybody listens, and their certificates.
    Roster {
        /// The peers, this node included.
        roster: Roster,
    },
    /// Time zero of the run, on the machine's monotonic clock.
    Start {
        /// `CLOCK_MONOTONIC` nanoseconds.
        monotonic_ns: u64,
    },
    /// Finish: flush the records and exit.
    Stop,
}

/// Node to launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromNode {
    /// The port is bound.
    Listening {
        /// Where peers reach it.
        address: SocketAddr,
    },
    /// Every peer is connected, keys are decoded, transactions are signed.
    Ready,
    /// About once a second while running.
    Progress {
        /// Height of the last final block.
        block_num: u64,
        /// Own transactions that are final.
        finalized: u64,
        /// Own transactions whose schedule has passed.
        due: u64,
        /// View changes so far.
        view_changes: u64,
    },
    /// Every own transaction has met its end, or the drain time is over.
    Drained,
    /// Records are on the disk; the node exits.
    Stopped,
    /// The node cannot go on.
    Failed {
        /// One line for a person.
        reason: String,
        /// Exit code that fits: 2 usage or config, 4 infrastructure.
        code: u8,
    },
}
