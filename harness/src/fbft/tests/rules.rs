//! Who may say what: each rule on votes, proposals, certificates and restarts alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bench::{
    Bench, TIMEOUT, available, genesis, handle, leading, position, prepared_once, record, refused, sent, v,
};
use crate::block::Header;
use crate::fbft::api::{Action, Event, Note};
use crate::fbft::certificate::{Certificate, Phase, QuorumCertificate};
use crate::fbft::crypto::{Claim, Crypto};
use crate::fbft::message::{Envelope, Message};
use crate::fbft::refusal::Refusal;
use crate::fbft::safety::{Cast, SafetyRecord};
use crate::fbft::simulated::HashCrypto;
use crate::fbft::verify::verify;
use crate::types::{BlockNum, ChainId, Hash, ShardId, Signature, Slot, ViewId};

#[test]
fn commit_before_prepared_is_rejected() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let early = bench.vote(1, Phase::Commit, 0, header.hash());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, early)), [Refusal::FutureView]);
    let (mut validator, header, _) = prepared_once(&bench, 3);
    let out = bench.feed(&mut validator, 0, 0, bench.prepared(0, &header));
    assert!(matches!(sent(&out)[..], [Message::Commit(_)]), "only the certificate brings a Commit: {out:?}");
}

#[test]
fn no_vote_leaves_before_the_body_is_available() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    assert!(sent(&out).is_empty());
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0)] }));
    let out = bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    assert!(sent(&out).is_empty());
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(1), v(2)] }));
    let out = available(&mut replica, &header);
    assert!(matches!(sent(&out)[..], [Message::Prepare(_), Message::Commit(_)]), "{out:?}");
}

#[test]
fn an_invalid_body_gets_no_vote_and_ends_the_view() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = handle(&mut replica, 1, Event::Invalid { block_hash: header.hash() });
    assert!(matches!(sent(&out)[..], [Message::ViewChange(_)]), "{out:?}");
    assert_eq!(replica.view_id(), ViewId(1));
}

#[test]
fn votes_are_durable_before_they_leave_and_a_commit_with_its_certificate() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, out) = prepared_once(&bench, 3);
    let cast = Some(Cast { view_id: ViewId(0), block_hash: header.hash() });
    let persist = position(&out, |a| matches!(a, Action::Persist(record) if record.prepare == cast));
    assert!(persist < position(&out, |a| matches!(a, Action::Send { .. })));
    let prepared = bench.prepared(0, &header);
    let out = bench.feed(&mut replica, 0, 0, prepared.clone());
    let Message::Prepared(certificate) = prepared.message else { unreachable!() };
    let lock = Some((certificate, header));
    let persist = position(&out, |a| matches!(a, Action::Persist(r) if r.commit == cast && r.lock == lock));
    assert!(persist < position(&out, |a| matches!(a, Action::Send { .. })));
}

#[test]
fn a_leader_persists_its_proposal_before_it_announces_and_distributes_afterwards() {
    let bench = Bench::new(&[1; 4]);
    let (_, header, out) = leading(&bench);
    let cast = Some(Cast { view_id: ViewId(0), block_hash: header.hash() });
    let order = [
        position(&out, |a| matches!(a, Action::Persist(r) if r.announce == cast)),
        position(&out, |a| matches!(a, Action::Broadcast(_))),
        position(&out, |a| matches!(a, Action::Distribute { .. })),
        position(&out, |a| matches!(a, Action::Persist(r) if r.prepare == cast)),
    ];
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_second_proposal_in_a_view_is_an_equivocation() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let other = bench.header(0, 2);
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &other));
    assert_eq!(refused(&out), [Refusal::Equivocation]);
    assert!(out.iter().any(
        |a| matches!(a, Action::Note(Note::Equivocation { by, first, .. }) if *by == v(0) && *first == header.hash())
    ));
    assert!(sent(&available(&mut replica, &other)).is_empty());
}

#[test]
fn a_validator_does_not_commit_to_another_block_than_it_prepared_in_the_view() {
    let bench = Bench::new(&[1; 4]);
    let (known, other) = (bench.header(0, 1), bench.header(1, 2));
    for (prepared, commits) in [(known.hash(), 1), (other.hash(), 0)] {
        let mut saved = SafetyRecord::new(BlockNum(1));
        saved.view_id = ViewId(1);
        saved.prepare = Some(Cast { view_id: ViewId(1), block_hash: prepared });
        saved.lock = Some((bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &known), known.clone()));
        let (mut replica, _) = bench.restarted(3, genesis(), Some(saved));
        bench.feed(&mut replica, 0, 1, bench.prepared(1, &known));
        let out = available(&mut replica, &known);
        let sent = sent(&out);
        assert_eq!(sent.iter().filter(|message| matches!(message, Message::Commit(_))).count(), commits, "{out:?}");
    }
}

#[test]
fn a_restarted_validator_repeats_its_vote_and_never_contradicts_it() {
    let bench = Bench::new(&[1; 4]);
    let (_, header, out) = prepared_once(&bench, 3);
    let (saved, vote) = (record(&out), sent(&out)[0].clone());
    let (mut replica, _) = bench.restarted(3, genesis(), saved.clone());
    let other = bench.header(0, 2);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &other));
    assert!(sent(&available(&mut replica, &other)).is_empty());
    let (mut replica, _) = bench.restarted(3, genesis(), saved);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    assert_eq!(sent(&available(&mut replica, &header)), [&vote]);
}

#[test]
fn a_restarted_leader_does_not_propose_twice_in_a_view() {
    let bench = Bench::new(&[1; 4]);
    let (_, _, out) = leading(&bench);
    let (_, out) = bench.restarted(0, genesis(), record(&out));
    assert!(!out.iter().any(|action| matches!(action, Action::Build { .. })));
}

#[test]
fn a_restarted_validator_keeps_its_view_and_reports_its_lock() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    let out = handle(&mut replica, 5 * TIMEOUT, Event::Tick);
    let persist = position(&out, |a| matches!(a, Action::Persist(record) if record.view_id == ViewId(1)));
    assert!(persist < position(&out, |a| matches!(a, Action::Broadcast(_))));
    let said = sent(&out)[0].clone();
    assert!(matches!(&said, Message::ViewChange(view_change) if view_change.prepared.is_some()));
    let (replica, out) = bench.restarted(3, genesis(), record(&out));
    assert_eq!(replica.view_id(), ViewId(1));
    assert_eq!(sent(&out), [&said]);
}

#[test]
fn a_record_of_a_later_height_silences_a_replica_until_it_has_caught_up() {
    let bench = Bench::new(&[1; 4]);
    let later = SafetyRecord::new(BlockNum(2));
    let (mut replica, out) = bench.restarted(3, genesis(), Some(later));
    assert!(out.iter().any(|action| matches!(action, Action::Note(Note::Muted(_)))));
    let header = bench.header(0, 1);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = available(&mut replica, &header);
    assert!(sent(&out).is_empty() && record(&out).is_none());
    bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    assert_eq!(replica.block_num(), BlockNum(2));
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header);
    let next = bench.next(&header, seal);
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &next));
    assert!(matches!(sent(&available(&mut replica, &next))[..], [Message::Prepare(_)]));
}

#[test]
fn a_record_whose_certificate_does_not_verify_silences_a_replica() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let mut saved = record(&bench.feed(&mut replica, 0, 0, bench.prepared(0, &header))).unwrap();
    saved.lock.as_mut().unwrap().0.signature.0[5] ^= 1;
    let (mut replica, out) = bench.restarted(3, genesis(), Some(saved));
    assert!(out.iter().any(|action| matches!(action, Action::Note(Note::Muted(_)))));
    assert!(sent(&handle(&mut replica, 5 * TIMEOUT, Event::Tick)).is_empty());
}

#[test]
fn headers_that_do_not_fit_their_place_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &bench.header(0, 1));
    type Change<'a> = &'a dyn Fn(&mut Header);
    let cases: [(Change<'_>, Refusal); 8] = [
        (&|header| header.parent = Hash([1; 32]), Refusal::WrongParent),
        (&|header| header.proposer = v(2), Refusal::WrongLeader),
        (&|header| header.proposer = v(4), Refusal::BadHeader),
        (&|header| header.view_id = ViewId(1), Refusal::BadHeader),
        (&|header| header.chain = ChainId(8), Refusal::StrangerChain),
        (&|header| header.shard = ShardId(1), Refusal::StrangerShard),
        (&|header| header.parent_seal = Some(seal.clone()), Refusal::BadParentSeal),
        (
            &|header| {
                let output_and_proof = vec![0; 1 << 20];
                header.beacon.vdf = Some(crate::block::VdfField { window: 0, output_and_proof });
            },
            Refusal::TooLong,
        ),
    ];
    for (index, (change, reason)) in cases.into_iter().enumerate() {
        let mut header = bench.header(0, 1);
        change(&mut header);
        let out = bench.feed(&mut bench.replica(3), 0, 0, bench.announce(0, 0, &header));
        assert_eq!(refused(&out), [reason], "case {index}");
    }
}

#[test]
fn a_parent_seal_must_be_a_commit_quorum_for_the_parent() {
    let bench = Bench::new(&[1; 4]);
    let parent = bench.header(0, 1);
    let good = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &parent);
    let verdict = |seal: Option<Certificate>| {
        let mut header = bench.next(&parent, good.clone());
        header.parent_seal = seal;
        bench.verdict(0, &bench.announce(0, 0, &header))
    };
    assert_eq!(verdict(Some(good.clone())), Ok(()));
    assert_eq!(verdict(None), Err(Refusal::BadParentSeal));
    let other = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &bench.header(0, 2));
    assert_eq!(verdict(Some(other)), Err(Refusal::BadParentSeal));
    assert_eq!(verdict(Some(bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &parent))), Err(Refusal::WrongPhase));
    assert_eq!(verdict(Some(bench.certificate(&[0, 1], Phase::Commit, 0, &parent))), Err(Refusal::NoQuorum));
    assert_eq!(verdict(Some(Certificate { view_id: ViewId(1), ..good.clone() })), Err(Refusal::BadSignature));
}

#[test]
fn only_the_leader_of_a_view_may_announce_in_it() {
    let bench = Bench::new(&[1; 4]);
    let mut header = bench.header(0, 1);
    header.proposer = v(1);
    let out = bench.feed(&mut bench.replica(3), 0, 1, bench.announce(1, 0, &header));
    assert_eq!(refused(&out), [Refusal::WrongLeader]);
    // Relayed by somebody else, the leader's own announce proves nothing about who leads.
    let header = bench.header(0, 1);
    assert_eq!(bench.verdict(1, &bench.announce(0, 0, &header)), Err(Refusal::BadSignature));
}

#[test]
fn strangers_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let replica = bench.replica(3);
    let good = bench.announce(0, 0, &bench.header(0, 1));
    let chain = Envelope { chain: ChainId(8), ..good.clone() };
    let shard = Envelope { shard: ShardId(9), ..good.clone() };
    for (from, envelope, reason) in [
        (0, &chain, Refusal::StrangerChain),
        (0, &shard, Refusal::StrangerShard),
        (4, &good, Refusal::UnknownValidator),
        (u16::MAX, &good, Refusal::UnknownValidator),
    ] {
        assert_eq!(replica.wants(v(from), envelope), Err(reason));
        assert_eq!(bench.verdict(from, envelope), Err(reason));
    }
    assert_eq!(replica.wants(v(3), &good), Err(Refusal::UnknownValidator), "its own messages do not come back");
}

#[test]
fn a_vote_is_by_one_or_by_all_slots_of_its_sender() {
    let bench = Bench::new(&[3, 3, 3, 3]);
    let hash = bench.header(0, 1).hash();
    let vote = |by, slots: &[u16]| {
        let slots: Vec<Slot> = slots.iter().map(|&slot| Slot(slot)).collect();
        bench.vote_of(by, &slots, Phase::Prepare, 1, 0, hash)
    };
    assert_eq!(bench.verdict(1, &vote(1, &[4])), Ok(()));
    assert_eq!(bench.verdict(1, &vote(1, &[3, 4, 5])), Ok(()));
    assert_eq!(bench.verdict(1, &vote(1, &[3, 4])), Err(Refusal::BitmapSlots));
    assert_eq!(bench.verdict(1, &vote(1, &[])), Err(Refusal::BitmapSlots));
    assert_eq!(bench.verdict(2, &vote(1, &[3])), Err(Refusal::WrongSender));
    let bitmap = |bytes: &[u8]| {
        let mut envelope = vote(1, &[4]);
        let Message::Prepare(vote) = &mut envelope.message else { unreachable!() };
        vote.signers = bytes.to_vec();
        bench.verdict(1, &envelope)
    };
    assert_eq!(bitmap(&[16]), Err(Refusal::BitmapLength));
    assert_eq!(bitmap(&[16, 0, 0]), Err(Refusal::BitmapLength));
    assert_eq!(bitmap(&[16, 16]), Err(Refusal::BitmapSpareBits));
}

#[test]
fn no_slot_counts_twice_and_no_vote_is_taken_twice() {
    let bench = Bench::new(&[3, 3, 3, 3]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    let one = bench.vote_of(1, &[Slot(3)], Phase::Prepare, 1, 0, hash);
    assert!(refused(&bench.feed(&mut leader, 0, 1, one.clone())).is_empty());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, one)), [Refusal::Replay]);
    let all = bench.vote(1, Phase::Prepare, 0, hash);
    assert_eq!(refused(&bench.feed(&mut leader, 0, 1, all)), [Refusal::Replay]);
    // 3 + 1 + 3 slots of 12 are no quorum; 3 + 3 + 3 is, strictly above 8.
    assert!(sent(&bench.feed(&mut leader, 0, 2, bench.vote(2, Phase::Prepare, 0, hash))).is_empty());
    let four = bench.vote_of(1, &[Slot(4)], Phase::Prepare, 1, 0, hash);
    assert!(sent(&bench.feed(&mut leader, 0, 1, four)).is_empty());
    let five = bench.vote_of(1, &[Slot(5)], Phase::Prepare, 1, 0, hash);
    let out = bench.feed(&mut leader, 0, 1, five);
    let [Message::Prepared(certificate)] = sent(&out)[..] else { panic!("{out:?}") };
    assert!(QuorumCertificate::try_new(certificate.clone(), &bench.committee, &*bench.signers[3]).is_ok());
}

#[test]
fn votes_for_another_height_view_or_block_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    let at = |num, view, hash| bench.vote_of(1, &[Slot(1)], Phase::Prepare, num, view, hash);
    for (vote, reason) in [
        (at(0, 0, hash), Refusal::StaleHeight),
        (at(3, 0, hash), Refusal::FutureHeight),
        (at(u64::MAX, u64::MAX, hash), Refusal::FutureHeight),
        (at(1, 1, hash), Refusal::FutureView),
        (at(1, 0, Hash([5; 32])), Refusal::WrongBlock),
    ] {
        assert_eq!(refused(&bench.feed(&mut leader, 0, 1, vote)), [reason]);
    }
    let vote = bench.vote(2, Phase::Prepare, 0, hash);
    assert_eq!(refused(&bench.feed(&mut bench.replica(3), 0, 2, vote)), [Refusal::WrongLeader]);
}

#[test]
fn certificates_need_a_quorum_the_right_phase_and_their_own_signatures() {
    let bench = Bench::new(&[1; 4]);
    let header = bench.header(0, 1);
    let prepared = |certificate| bench.verdict(0, &bench.wrap(Message::Prepared(certificate)));
    let good = bench.certificate(&[0, 1, 2], Phase::Prepare, 0, &header);
    assert_eq!(prepared(good.clone()), Ok(()));
    assert_eq!(prepared(bench.certificate(&[0, 1], Phase::Prepare, 0, &header)), Err(Refusal::NoQuorum));
    assert_eq!(prepared(bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header)), Err(Refusal::WrongPhase));
    assert_eq!(prepared(Certificate { signers: vec![15], ..good.clone() }), Err(Refusal::BadSignature));
    assert_eq!(prepared(Certificate { signers: vec![0x87], ..good.clone() }), Err(Refusal::BitmapSpareBits));
    assert_eq!(prepared(Certificate { view_id: ViewId(1), ..good.clone() }), Err(Refusal::BadSignature));
    // Prepares passed off as Commits.
    let committed = bench.wrap(Message::Committed(Certificate { phase: Phase::Commit, ..good }));
    assert_eq!(bench.verdict(0, &committed), Err(Refusal::BadSignature));
}

/// Counts calls, so that a batch can be told from many.
struct Counting(Arc<HashCrypto>, AtomicUsize);

impl Crypto for Counting {
    fn sign(&self, slots: &[Slot], message: &[u8]) -> Signature {
        self.0.sign(slots, message)
    }
    fn aggregate(&self, signatures: &[Signature]) -> Option<Signature> {
        self.0.aggregate(signatures)
    }
    fn verify(&self, claims: &[Claim]) -> Vec<bool> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(claims)
    }
}

#[test]
fn a_slice_is_verified_in_one_call_and_nothing_taints_its_neighbours() {
    let bench = Bench::new(&[1; 4]);
    let header = bench.header(0, 1);
    let mut bad = bench.vote(2, Phase::Prepare, 0, header.hash());
    let Message::Prepare(vote) = &mut bad.message else { unreachable!() };
    vote.signature.0[0] ^= 1;
    let lock = Some((0, &header));
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, lock)).collect());
    let items = [
        (v(1), bench.vote(1, Phase::Prepare, 0, header.hash())),
        (v(2), bad),
        (v(9), bench.prepared(0, &header)),
        (v(1), new_view),
        (v(0), bench.announce(0, 0, &header)),
    ];
    let crypto = Counting(bench.signers[0].clone(), AtomicUsize::new(0));
    let verdicts: Vec<_> =
        verify(&items, &bench.committee, &crypto).into_iter().map(|verdict| verdict.map(|_| ())).collect();
    let expected = [Ok(()), Err(Refusal::BadSignature), Err(Refusal::UnknownValidator), Ok(()), Ok(())];
    assert_eq!(verdicts, expected);
    assert_eq!(crypto.1.load(Ordering::Relaxed), 1);
}

#[test]
fn a_message_is_only_taken_from_the_peer_that_it_was_verified_for() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let vote = bench.vote(1, Phase::Prepare, 0, header.hash());
    let message = verify(&[(v(1), vote)], &bench.committee, &*bench.signers[0]).remove(0).unwrap();
    let out = handle(&mut leader, 0, Event::Message { from: v(2), message });
    assert_eq!(refused(&out), [Refusal::WrongSender]);
}
