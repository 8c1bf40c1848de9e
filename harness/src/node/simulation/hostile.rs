//! Bytes that no validator sends: whatever they are, they are refused and counted, and change nothing.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::actor::encode;
use super::disk::Disk;
use super::fixture::{CHAIN, SHARD};
use super::lab::{Came, Lab, Sent};
use super::scenario::Scenario;
use super::storms::codes;
use super::world::World;
use crate::beacon::VdfMessage;
use crate::fbft::certificate::Phase;
use crate::fbft::crypto::{Kind, payload};
use crate::fbft::message::{Envelope, MAX_ENVELOPE_BYTES, Message, Vote};
use crate::net::Lane;
use crate::node::frame::{Fetch, Forward, Urgent};
use crate::node::store::BlockStore;
use crate::propagation::ChunkMessage;
use crate::types::{BlockNum, ChainId, Hash, ShardId, Slot, ValidatorIndex, ViewId};

/// A validator that has heard leader 0 propose and got none of the chunks, and frames of every lane as they are sent.
fn amid() -> (Lab, Vec<(Lane, Vec<u8>)>) {
    let (_, _, proposed) = leading();
    let (mut lab, _) = Lab::fresh(4, 3);
    for (_, lane, bytes) in proposed.iter().filter(|(to, lane, _)| to.is_none() && *lane == Lane::Consensus) {
        lab.frame(0, *lane, bytes.clone());
    }
    let mut samples: Vec<_> = proposed.into_iter().map(|(_, lane, bytes)| (lane, bytes.to_vec())).collect();
    // Votes, certificates and transactions of another run with the same keys.
    let mut world = World::new(Scenario::calm(5, 4));
    world.frames = Some(Vec::new());
    world.run_until(900, |_| false).unwrap();
    samples.extend(world.frames.take().unwrap().into_iter().map(|(lane, bytes)| (lane, bytes.to_vec())));
    let block = world.nodes[0].disk.lock().unwrap().final_block(BlockNum(2)).unwrap();
    let (block_hash, body) = (Hash([1; 32]), Some(vec![0; 4]));
    let fetches = [
        Fetch::BlocksAre(vec![block]),
        Fetch::Blocks { from: BlockNum(u64::MAX) },
        Fetch::Body { block_hash },
        Fetch::BodyIs { block_hash, body },
    ];
    samples.extend(fetches.iter().map(|fetch| (Lane::Fetch, encode(fetch).to_vec())));
    for lane in Lane::ALL {
        assert!(samples.iter().any(|(of, _)| *of == lane), "no sample of {lane:?}");
    }
    (lab, samples)
}

/// Whether bytes are a frame of a lane.
fn decodes(lane: Lane, bytes: &[u8]) -> bool {
    match lane {
        Lane::Consensus => borsh::from_slice::<Urgent>(bytes).is_ok(),
        Lane::Chunks => borsh::from_slice::<ChunkMessage>(bytes).is_ok(),
        Lane::Transactions => borsh::from_slice::<Forward>(bytes).is_ok(),
        Lane::Fetch => borsh::from_slice::<Fetch>(bytes).is_ok(),
    }
}

/// Feeds bytes and shows that bytes that are no frame are counted and cost their sender the connection, and that whatever
/// else they are leaves tip, view, state and disk alone.
fn survive(lab: &RefCell<Lab>, from: u16, lane: Lane, bytes: &[u8]) {
    let mut lab = lab.borrow_mut();
    let before = lab.standing();
    let came = lab.frame(from, lane, bytes.to_vec());
    assert_eq!(lab.standing(), before, "{lane:?} changed the validator: {bytes:02x?}");
    if !decodes(lane, bytes) && from < 4 && from != 3 {
        assert_eq!(came.punished.len(), 1, "{came:?}");
        assert_eq!(came.refused.len(), 1, "{came:?}");
        assert_eq!(came.punished[0].0, ValidatorIndex(from));
        assert!(came.sent.is_empty(), "{came:?}");
    }
    if from >= 4 || from == 3 {
        assert!(came.sent.is_empty() && came.punished.is_empty(), "{came:?}");
    }
}

#[test]
fn hostile_bytes_on_any_lane_are_refused_counted_and_change_nothing() {
    let (lab, samples) = amid();
    let lab = RefCell::new(lab);
    let lanes = prop::sample::select(Lane::ALL.to_vec());
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 2000, failure_persistence: None, ..Config::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let noise = prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..300);
    runner
        .run(&(lanes, 0u16..6, noise), |(lane, from, bytes)| {
            survive(&lab, from, lane, &bytes);
            Ok(())
        })
        .unwrap();
    // From validator 1: nothing of what the leader says is true from its mouth.
    let places = (0..samples.len(), any::<prop::sample::Index>(), 0u8..8, 0usize..4, 1usize..50);
    runner
        .run(&places, |(sample, at, bit, way, more)| {
            let (lane, good) = &samples[sample];
            let mut bytes = good.clone();
            match way {
                0 => bytes.truncate(at.index(bytes.len())),
                1 => bytes.resize(bytes.len() + more, bit),
                _ => {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
            }
            survive(&lab, 1, *lane, &bytes);
            Ok(())
        })
        .unwrap();
    for lane in Lane::ALL {
        survive(&lab, 2, lane, &vec![0xff; MAX_ENVELOPE_BYTES + 2]);
    }
}

/// A leader that has just proposed block 1, and the hash of that block.
fn leading() -> (Lab, Hash, Vec<Sent>) {
    let (lab, came) = Lab::fresh(4, 0);
    let hash = came.envelopes().iter().find_map(|envelope| match &envelope.message {
        Message::Announce(announce) => Some(announce.header.hash()),
        _ => None,
    });
    (lab, hash.expect("the first leader proposes at once"), came.sent)
}

fn vote(lab: &Lab, by: u16, block_num: u64, view_id: u64, block_hash: Hash, signers: Option<Vec<u8>>) -> Envelope {
    let message = payload(CHAIN, SHARD, Kind::Prepare, BlockNum(block_num), ViewId(view_id), &block_hash);
    let signature = lab.world.context(usize::from(by)).crypto.sign(&[Slot(by)], &message);
    let signers = signers.unwrap_or_else(|| vec![1 << by]);
    let (block_num, view_id) = (BlockNum(block_num), ViewId(view_id));
    lab.wrap(Message::Prepare(Vote { block_num, view_id, block_hash, signers, signature }))
}

fn refused(came: &Came, reason: &str, punished: bool) {
    assert!(came.refused(reason), "not {reason}: {came:?}");
    assert_eq!(!came.punished.is_empty(), punished, "{came:?}");
}

#[test]
fn votes_that_do_not_fit_are_refused_by_name() {
    let (mut lab, hash, _) = leading();
    let before = lab.standing();
    for (envelope, reason, punished) in [
        (vote(&lab, 1, 2, 0, hash, None), "", false),
        (vote(&lab, 1, 3, 0, hash, None), "FutureHeight", false),
        (vote(&lab, 1, 0, 0, hash, None), "StaleHeight", false),
        (vote(&lab, 1, 1, 4, hash, None), "FutureView", false),
        (vote(&lab, 1, 1, 0, Hash([3; 32]), None), "WrongBlock", false),
        (vote(&lab, 1, 1, 0, hash, Some(vec![])), "BitmapLength", true),
        (vote(&lab, 1, 1, 0, hash, Some(vec![2, 0])), "BitmapLength", true),
        (vote(&lab, 1, 1, 0, hash, Some(vec![0x12])), "BitmapSpareBits", true),
        (vote(&lab, 1, 1, 0, hash, Some(vec![0x4])), "WrongSender", true),
        (vote(&lab, 2, 1, 0, hash, Some(vec![0x2])), "BadSignature", true),
    ] {
        let came = lab.message(1, &envelope);
        if reason.is_empty() {
            // A vote for the next height waits, and says that its sender is ahead.
            assert!(came.punished.is_empty(), "{came:?}");
        } else {
            refused(&came, reason, punished);
        }
        assert_eq!(lab.standing(), before, "{reason}");
    }
    let good = vote(&lab, 1, 1, 0, hash, None);
    assert!(lab.message(1, &good).refused.is_empty());
    refused(&lab.message(1, &good), "Replay", false);
    refused(&lab.message(2, &good), "WrongSender", true);
}

#[test]
fn a_strangers_messages_are_refused_on_every_lane() {
    let (mut lab, hash, sent) = leading();
    let before = lab.standing();
    let good = vote(&lab, 1, 1, 0, hash, None);
    refused(&lab.message(1, &Envelope { chain: ChainId(8), ..good.clone() }), "StrangerChain", true);
    refused(&lab.message(1, &Envelope { shard: ShardId(1), ..good.clone() }), "StrangerShard", true);
    let chunk = sent.iter().find(|(_, lane, _)| *lane == Lane::Chunks).expect("a leader sends chunks");
    let chunk: ChunkMessage = borsh::from_slice(&chunk.2).unwrap();
    for stranger in [ChunkMessage { chain: ChainId(8), ..chunk.clone() }, ChunkMessage { shard: ShardId(1), ..chunk }] {
        refused(&lab.frame(1, Lane::Chunks, encode(&stranger)), "chunk of another chain or shard", true);
    }
    for (chain, shard) in [(ChainId(8), SHARD), (CHAIN, ShardId(1))] {
        let forward = encode(&Forward { chain, shard, transactions: vec![vec![1]] });
        refused(&lab.frame(1, Lane::Transactions, forward), "transactions of another chain or shard", true);
    }
    let (window, sender, output_and_proof) = (0, ValidatorIndex(1), vec![]);
    let proof = VdfMessage { chain: CHAIN, shard: SHARD, window, sender, output_and_proof };
    refused(&lab.frame(1, Lane::Consensus, encode(&Urgent::Vdf(proof))), "delay proof in a run without a beacon", true);
    assert_eq!(lab.standing(), before);
    // Validators that are none, and itself, are not heard at all.
    for from in [0, 4, u16::MAX] {
        let came = lab.message(from, &good);
        assert!(came.refused.is_empty() && came.sent.is_empty() && came.punished.is_empty(), "{came:?}");
    }
}

#[test]
fn a_block_cut_by_another_code_than_the_runs_gets_no_vote() {
    let fresh = |code, me| Lab::new(World::new(Scenario { code, ..Scenario::calm(5, 4) }), me, Disk::default());
    for own in codes() {
        for other in codes() {
            let (_, proposed) = fresh(other, 0);
            let (mut lab, _) = fresh(own, 3);
            let mut votes = 0;
            for (to, lane, bytes) in proposed.sent {
                if to.is_none_or(|to| to == ValidatorIndex(3)) {
                    let came = lab.frame(0, lane, bytes);
                    votes += came.envelopes().iter().filter(|sent| matches!(sent.message, Message::Prepare(_))).count();
                }
            }
            assert_eq!(votes, usize::from(own == other), "a proposal by {other:?} in a run of {own:?}");
        }
    }
}

#[test]
fn chunks_that_do_not_fit_are_refused_by_name_and_the_right_ones_relayed_once() {
    let (_, hash, sent) = leading();
    let (mut lab, _) = Lab::fresh(4, 3);
    for (_, lane, bytes) in sent.iter().filter(|(to, lane, _)| to.is_none() && *lane == Lane::Consensus) {
        lab.frame(0, *lane, bytes.clone());
    }
    let own = sent.iter().filter(|(to, lane, _)| *lane == Lane::Chunks && *to == Some(ValidatorIndex(3)));
    let chunks: Vec<ChunkMessage> = own.map(|(_, _, bytes)| borsh::from_slice(bytes).unwrap()).collect();
    let own = chunks.iter().find(|message| message.chunk.index == 3).expect("its own chunk").clone();
    assert_eq!(own.block_hash, hash);
    let change = |change: &dyn Fn(&mut ChunkMessage)| {
        let mut message = own.clone();
        change(&mut message);
        encode(&message)
    };
    for (bytes, from, reason) in [
        (change(&|message| message.chunk.bytes[0] ^= 1), 0, "chunk not under the root"),
        (change(&|message| message.chunk.proof[0].0[0] ^= 1), 0, "chunk not under the root"),
        (change(&|message| message.chunk.proof.truncate(1)), 0, "chunk not under the root"),
        (change(&|message| message.chunk.bytes.push(0)), 0, "chunk of a wrong length"),
        (change(&|message| message.chunk.index = 9), 0, "chunk index out of range"),
        (change(&|message| message.block_num.0 = 2), 0, "chunk for another height than its block's"),
        (encode(&own), 1, "chunk from a wrong sender"),
    ] {
        let came = lab.frame(from, Lane::Chunks, bytes);
        refused(&came, reason, true);
        assert!(came.sent.is_empty(), "{came:?}");
    }
    let came = lab.frame(0, Lane::Chunks, encode(&own));
    let relayed: Vec<_> = came.sent.iter().filter(|(_, lane, _)| *lane == Lane::Chunks).map(|(to, ..)| *to).collect();
    assert_eq!(relayed, [Some(ValidatorIndex(1)), Some(ValidatorIndex(2))]);
    let again = lab.frame(0, Lane::Chunks, encode(&own));
    assert!(again.sent.is_empty() && again.punished.is_empty(), "{again:?}");
}

#[test]
fn a_validator_that_rose_again_does_not_believe_a_certificate_of_the_wrong_phase() {
    let mut world = World::new(Scenario::calm(4, 4));
    world.run_until(1000, |_| false).unwrap();
    let disk = world.nodes[0].disk.lock().unwrap().clone();
    let block = disk.final_block(BlockNum(1)).unwrap();
    let (mut lab, _) = Lab::new(world, 3, Disk::default());
    let mut seal = block.seal.clone();
    seal.phase = Phase::Prepare;
    refused(&lab.message(0, &lab.wrap(Message::Prepared(block.seal.clone()))), "WrongPhase", true);
    refused(&lab.message(0, &lab.wrap(Message::Committed(seal))), "WrongPhase", true);
    let mut few = block.seal;
    few.signers = vec![0b11];
    refused(&lab.message(0, &lab.wrap(Message::Committed(few))), "NoQuorum", true);
}
