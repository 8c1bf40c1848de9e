//! What a validator missed: it gets it from others, believes none of them, and takes part again. And what its own disk holds.

use super::disk::Disk;
use super::lab::Lab;
use super::scenario::{Scenario, VIEW_TIMEOUT_MS};
use super::world::World;
use crate::fbft::message::Message;
use crate::ledger::workload::Workload;
use crate::node::core::Core;
use crate::node::frame::Fetch;
use crate::node::journal::Journal;
use crate::node::store::{BlockStore, FinalBlock};
use crate::types::{BlockNum, ValidatorIndex};

fn blocks(disk: &Disk, from: u64) -> Vec<FinalBlock> {
    (from..=disk.height()).map(|num| disk.final_block(BlockNum(num)).unwrap()).collect()
}

/// A world in which this many blocks became final, and the disk of validator 0.
fn after(blocks: u64, workload: Workload) -> (World, Disk) {
    let mut world = World::new(Scenario { workload, heal_at: 1_000_000, ..Scenario::calm(3, 4) });
    world.run_until(1_000_000, |world| world.nodes[0].disk.lock().unwrap().height() >= blocks).unwrap();
    let disk = world.nodes[0].disk.lock().unwrap().clone();
    (world, disk)
}

#[test]
fn a_validator_that_was_down_for_fifty_blocks_catches_up_and_votes_again() {
    for n in [4, 7] {
        let scenario = Scenario { heal_at: 2000, ..Scenario::calm(11, n) };
        let mut world = World::new(scenario);
        let last = n - 1;
        world.run_until(1000, |_| false).unwrap();
        world.stop(last);
        world.down.insert(last);
        let missed_from = world.promises.height();
        world.run_until(1_000_000, |world| world.promises.height() >= missed_from + 50).unwrap();
        let behind = world.promises.height() - world.nodes[last].disk.lock().unwrap().height();
        assert!(behind >= 50, "{behind}");
        world.down.clear();
        world.start(last);
        let (back, goal) = (world.now(), world.promises.height());
        world
            .run_until(back + 3 * VIEW_TIMEOUT_MS, |world| world.nodes[last].disk.lock().unwrap().height() >= goal)
            .unwrap();
        let height = world.nodes[last].disk.lock().unwrap().height();
        assert!(height >= goal, "{n}: at {height} of {goal} after {} ms", world.now() - back);
        println!("{n}: {behind} blocks fetched in {} ms", world.now() - back);
        let now = world.now();
        world
            .run_until(now + 10 * VIEW_TIMEOUT_MS, |world| world.promises.has_voted(last, BlockNum(goal + 1)))
            .unwrap();
        assert!(world.promises.has_voted(last, BlockNum(goal + 1)), "it does not vote");
    }
}

#[test]
fn forged_seals_and_wrong_bodies_are_refused_and_the_next_peer_is_asked() {
    let (world, disk) = after(12, Workload::Transfers);
    let truth = blocks(&disk, 1);
    let (mut lab, _) = Lab::new(world, 3, Disk::default());
    let ahead = lab.wrap(Message::Committed(truth[11].seal.clone()));
    let asks = |lab: &mut Lab, whom: u16, first: u64| {
        lab.now += VIEW_TIMEOUT_MS;
        let came = lab.message(whom, &ahead);
        let wanted = (Some(ValidatorIndex(whom)), Fetch::Blocks { from: BlockNum(first) });
        assert!(came.fetches().contains(&wanted), "{came:?}");
    };

    asks(&mut lab, 0, 1);
    let mut forged = truth.clone();
    forged[0].seal.signature.0[5] ^= 1;
    let came = lab.fetch(0, &Fetch::BlocksAre(forged));
    assert_eq!(came.punished, [(ValidatorIndex(0), "final block without a valid seal")]);
    assert_eq!(lab.standing().0, BlockNum(0));

    asks(&mut lab, 1, 1);
    let mut wrong = truth.clone();
    wrong[4].body[3] ^= 1;
    let came = lab.fetch(1, &Fetch::BlocksAre(wrong));
    assert_eq!(came.punished, [(ValidatorIndex(1), "body of another block")]);
    assert_eq!(lab.standing().0, BlockNum(4));

    asks(&mut lab, 2, 5);
    let came = lab.fetch(2, &Fetch::BlocksAre(truth[4..].to_vec()));
    assert_eq!(came.punished, []);
    assert_eq!(lab.standing().0, BlockNum(12));
    assert_eq!(lab.core.ledger().state_root(), truth[11].header.state_root);

    // Blocks out of order, of another chain of blocks, or none at all change nothing.
    for answer in [vec![], truth[..3].to_vec(), vec![FinalBlock { seal: truth[0].seal.clone(), ..truth[11].clone() }]] {
        let before = lab.standing();
        assert_eq!(lab.fetch(2, &Fetch::BlocksAre(answer)).punished, []);
        assert_eq!(lab.standing(), before);
    }
}

#[test]
fn a_long_gap_is_fetched_answer_by_answer_without_waiting_to_be_told_again() {
    let (world, disk) = after(40, Workload::Transfers);
    let truth = blocks(&disk, 1);
    let (mut lab, _) = Lab::new(world, 3, Disk::default());
    let ahead = lab.wrap(Message::Committed(truth[39].seal.clone()));
    let mut came = lab.message(0, &ahead);
    let mut answers = 0;
    while lab.standing().0 < BlockNum(40) {
        let asked = came.fetches().into_iter().find_map(|(to, fetch)| match fetch {
            Fetch::Blocks { from } => Some((to, from.0)),
            _ => None,
        });
        let (to, from) = asked.unwrap_or_else(|| panic!("at {} nobody is asked: {came:?}", lab.standing().0));
        assert_eq!((to, from), (Some(ValidatorIndex(0)), lab.standing().0.0 + 1));
        answers += 1;
        let last = (from as usize + 8).min(40);
        lab.fetch(0, &Fetch::BlocksAre(truth[from as usize - 1..last].to_vec()));
        came = lab.wait(100);
    }
    assert_eq!(answers, 5);
}

#[test]
fn a_block_that_becomes_final_by_itself_does_not_stop_catching_up() {
    let (world, disk) = after(6, Workload::Opaque);
    let truth = blocks(&disk, 1);
    let (mut lab, _) = Lab::new(world, 3, Disk::default());
    lab.fetch(0, &Fetch::BlocksAre(truth[..2].to_vec()));
    assert_eq!(lab.standing().0, BlockNum(2));
    // The same again from another, and more.
    lab.fetch(1, &Fetch::BlocksAre(truth[..4].to_vec()));
    assert_eq!(lab.standing().0, BlockNum(4));
    lab.fetch(2, &Fetch::BlocksAre(truth[3..].to_vec()));
    assert_eq!(lab.standing().0, BlockNum(6));
}

#[test]
fn a_restarted_validator_stands_where_its_disk_leaves_it() {
    for workload in [Workload::Transfers, Workload::Opaque] {
        for stop_at in [900, 1337, 2001, 3500] {
            let scenario = Scenario { workload, heal_at: 1_000_000, beacon_blocks: 4, ..Scenario::calm(stop_at, 4) };
            let mut world = World::new(scenario);
            world.run_until(stop_at, |_| false).unwrap();
            for index in 0..4 {
                let disk = world.nodes[index].disk.lock().unwrap().clone();
                let core = world.nodes[index].core.as_ref().unwrap();
                let standing = |core: &Core| {
                    let (replica, root) = (core.replica(), core.ledger().state_root());
                    let tip = replica.tip();
                    (
                        tip.block_num,
                        tip.hash,
                        tip.proposer,
                        replica.block_num(),
                        replica.view_id(),
                        replica.leader(),
                        root,
                    )
                };
                let before = standing(core);

                // The same records through the file give the same.
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("journal");
                let (mut journal, empty) = Journal::open(&path).unwrap();
                assert!(empty.blocks.is_empty() && empty.safety.is_none());
                disk.records.chunks(3).for_each(|records| journal.append(records).unwrap());
                drop(journal);
                let (journal, recovered) = Journal::open(&path).unwrap();
                assert_eq!(recovered.blocks, disk.recovered().blocks);
                assert_eq!(recovered.safety, disk.recovered().safety);
                assert_eq!(recovered.torn_bytes, 0);
                for num in 1..=disk.height() {
                    assert_eq!(journal.final_block(BlockNum(num)), disk.final_block(BlockNum(num)));
                }

                let mut out = Vec::new();
                let core: Core = world.core_on(index, Box::new(journal), recovered, &mut out).unwrap();
                assert_eq!(standing(&core), before);
            }
        }
    }
}

#[test]
fn a_journal_of_another_committee_or_with_a_hole_is_refused() {
    let (world, disk) = after(3, Workload::Transfers);
    let mut out = Vec::new();
    let mut recovered = disk.recovered();
    recovered.blocks[1].1.signature.0[0] ^= 1;
    let error = world.core_on(1, Box::new(disk.clone()), recovered, &mut out).err().unwrap();
    assert!(error.contains("seal of block 2"), "{error}");
    let mut recovered = disk.recovered();
    recovered.blocks.remove(1);
    let error = world.core_on(1, Box::new(disk.clone()), recovered, &mut out).err().unwrap();
    assert!(error.contains("block 3 does not follow"), "{error}");
    let mut recovered = disk.recovered();
    recovered.blocks[1].1 = recovered.blocks[0].1.clone();
    let error = world.core_on(1, Box::new(disk.clone()), recovered, &mut out).err().unwrap();
    assert!(error.contains("another's seal"), "{error}");
    let error = world.core_on(1, Box::new(Disk::default()), disk.recovered(), &mut out).err().unwrap();
    assert!(error.contains("block 1 has no body"), "{error}");
}
