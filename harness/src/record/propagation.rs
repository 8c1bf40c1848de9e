//! How bodies travelled: the time until a validator had a block verified, and the bytes that it cost.

use serde::{Deserialize, Serialize};

use schemars::JsonSchema;

use super::event::{Mark, NetSample};
use super::summarise::{BlockFacts, Facts, NodeFacts};
use super::summary::{Percentiles, nearest_rank};
use crate::config::Config;
use crate::propagation::Relay;
use crate::types::{BlockNum, ValidatorIndex, ViewId};

/// How bodies travelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Propagation {
    /// `whole-block`, or the code.
    pub code: String,
    /// Validators that relayed nothing.
    pub silent_relays: Vec<u16>,
    /// Validators that relayed corrupted chunks.
    pub corrupting_relays: Vec<u16>,
    /// Final blocks of the window that were proposed by an honest relay.
    pub blocks: u64,
    /// Bytes of their bodies.
    pub body_bytes: Option<Percentiles>,
    /// For each of these blocks and each honest relay but its proposer: body there and its chunk root compared - the proposer
    /// began to cut it.
    pub verified_ns: Option<Percentiles>,
    /// Of these pairs, those in which the validator never had the body.
    pub unverified: u64,
    /// UDP payload that a node sent for a block, votes, transactions and repetitions included.
    pub sent_bytes: Option<Sent>,
    /// Chunks, or whole blocks, with their proofs that a node sent for a block, without what QUIC and repetition add.
    pub chunk_bytes: Option<Sent>,
    /// Datagrams that the configured link lost / datagrams that passed it, all nodes; null without one.
    pub lost_share: Option<f64>,
}

/// Bytes that nodes sent for a block: each one's traffic from its start to its last final block, over its final blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// The median node's.
    pub p50: u64,
    /// Those of the node that sent most.
    pub max: u64,
    /// Those of the node that proposed every final block; null if several did.
    pub leader: Option<u64>,
    /// All nodes' bytes / (bytes of the mean final body x receivers): 1 is one copy of the body for each validator but the proposer.
    pub expansion: Option<f64>,
}

/// `None` for a recording of a version that did not mark when a proposer began to cut.
pub(super) fn summary(config: &Config, facts: &Facts) -> Option<Propagation> {
    let relay = |node: &NodeFacts| node.validator.map_or(Relay::Honest, |index| config.relay(ValidatorIndex(index)));
    let faulty = |kind: Relay| {
        let found = facts.nodes.iter().filter(|node| relay(node) == kind);
        found.filter_map(|node| node.validator).collect::<Vec<_>>()
    };
    let honest: Vec<usize> = (0..facts.nodes.len()).filter(|&i| relay(&facts.nodes[i]) == Relay::Honest).collect();
    if !facts.paths.values().any(|height| height.has(Mark::Cut)) {
        return None;
    }

    let (mut bodies, mut times, mut unverified) = (Vec::new(), Vec::new(), 0u64);
    let in_window = facts.heights.iter().filter(|(_, block)| facts.window_ns.contains(&block.first_final_ns));
    for (num, block) in in_window {
        let Some((proposer, view, begun_ns)) = begun(facts, num, block).filter(|(node, ..)| honest.contains(node))
        else {
            continue;
        };
        bodies.push(block.body_bytes);
        for &node in honest.iter().filter(|&&node| node != proposer) {
            match facts.paths.get(num).and_then(|height| height.at(view, Mark::Decoded, node)) {
                Some(verified_ns) => times.push(verified_ns.saturating_sub(begun_ns)),
                None => unverified += 1,
            }
        }
    }

    let total = |value: fn(&NetSample) -> Option<u64>| {
        let values: Option<Vec<u64>> = facts.nodes.iter().flat_map(|node| &node.net).map(value).collect();
        values.map(|values| values.into_iter().fold(0, u64::saturating_add))
    };
    let impaired = total(|sample| Some(sample.impaired?.datagrams)).filter(|&datagrams| datagrams > 0);
    let lost = total(|sample| Some(sample.impaired?.lost));
    Some(Propagation {
        code: config.carrier().to_string(),
        silent_relays: faulty(Relay::Silent),
        corrupting_relays: faulty(Relay::Corrupting),
        blocks: bodies.len() as u64,
        body_bytes: Percentiles::of(bodies),
        verified_ns: Percentiles::of(times),
        unverified,
        sent_bytes: sent(facts, config, |sample| Some(sample.sent_bytes)),
        chunk_bytes: sent(facts, config, |sample| sample.sent_chunk_bytes),
        lost_share: lost.zip(impaired).map(|(lost, all)| lost as f64 / all as f64),
    })
}

/// The proposer of a final block, and in which view and when it began to cut it. A later view may have proposed the same block
/// again; the proposer's own last view up to the one that made it final is the one in its header.
fn begun(facts: &Facts, num: &BlockNum, block: &BlockFacts) -> Option<(usize, ViewId, u64)> {
    let proposer = facts.nodes.iter().position(|node| node.validator == Some(block.proposer.0))?;
    let (view, begun_ns) = facts.paths.get(num)?.last(Mark::Cut, proposer, block.view)?;
    Some((proposer, view, begun_ns))
}

/// Each node's bytes up to its last final block, over the number of blocks that it made final.
fn sent(facts: &Facts, config: &Config, bytes: fn(&NetSample) -> Option<u64>) -> Option<Sent> {
    let of_node = |node: &NodeFacts| {
        let (mut blocks, mut sum) = (0u64, 0u64);
        for (finals, sample) in &node.net_at_final {
            (blocks, sum) = (blocks.saturating_add(*finals), sum.saturating_add(bytes(sample)?));
        }
        sum.checked_div(blocks)
    };
    let mut each: Vec<u64> = facts.nodes.iter().map(of_node).collect::<Option<_>>()?;
    let proposers: Vec<ValidatorIndex> = facts.heights.values().map(|block| block.proposer).collect();
    let first = *proposers.first()?;
    let only = proposers.iter().all(|other| *other == first).then_some(first);
    let leader = only.and_then(|index| facts.nodes.iter().position(|node| node.validator == Some(index.0)));
    let leader = leader.map(|place| each[place]);
    let bodies: f64 = facts.heights.values().map(|block| block.body_bytes as f64).sum();
    let needed = bodies / facts.heights.len() as f64 * f64::from(config.cluster.validators.saturating_sub(1));
    let expansion = (needed > 0.0).then(|| each.iter().map(|&bytes| bytes as f64).sum::<f64>() / needed);
    each.sort_unstable();
    Some(Sent { p50: nearest_rank(&each, 50), max: *each.last()?, leader, expansion })
}
