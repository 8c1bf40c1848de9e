//! How views, heights and lost messages are handled: each rule alone.

use super::bench::{Bench, TIMEOUT, available, handle, leading, prepared_once, refused, sent, v};
use crate::fbft::api::{Action, Event, Note};
use crate::fbft::certificate::{Phase, QuorumCertificate};
use crate::fbft::message::{Message, ViewChange};
use crate::fbft::refusal::Refusal;
use crate::fbft::replica::Replica;
use crate::types::{BlockNum, Hash, Slot, ViewId};

#[test]
fn view_changes_that_contradict_themselves_are_refused() {
    let bench = Bench::new(&[1; 4]);
    let (header, other) = (bench.header(0, 1), bench.header(0, 2));
    let verdict = |from, view_change| bench.verdict(from, &bench.wrap(Message::ViewChange(view_change)));
    assert_eq!(verdict(1, bench.view_change(1, 1, Some((0, &header)))), Ok(()));
    assert_eq!(verdict(2, bench.view_change(1, 1, None)), Err(Refusal::WrongSender));
    assert_eq!(verdict(1, bench.view_change(1, 0, None)), Err(Refusal::BadViewChange));
    assert_eq!(verdict(1, bench.view_change(1, 1, Some((1, &header)))), Err(Refusal::BadViewChange));
    let mut swapped = bench.view_change(1, 1, Some((0, &header)));
    swapped.prepared.as_mut().unwrap().1 = other;
    assert_eq!(verdict(1, swapped), Err(Refusal::BadViewChange));
    // The certificate is part of what is signed: it can neither be dropped nor added.
    let mut dropped = bench.view_change(1, 1, Some((0, &header)));
    let prepared = dropped.prepared.take();
    assert_eq!(verdict(1, dropped), Err(Refusal::BadSignature));
    let mut added = bench.view_change(1, 1, None);
    added.prepared = prepared;
    assert_eq!(verdict(1, added), Err(Refusal::BadSignature));
}

#[test]
fn a_new_view_needs_a_quorum_of_distinct_senders_for_its_view() {
    let bench = Bench::new(&[1; 4]);
    let to = |by, view| bench.view_change(by, view, None);
    let verdict = |view_changes| bench.verdict(1, &bench.new_view(1, view_changes));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(2, 1)]), Ok(()));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1)]), Err(Refusal::NoQuorum));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(1, 1)]), Err(Refusal::BadViewChange));
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), to(2, 2)]), Err(Refusal::BadViewChange));
    let stranger = ViewChange { sender: v(4), ..to(2, 1) };
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), stranger]), Err(Refusal::UnknownValidator));
    let forged = ViewChange { sender: v(3), ..to(2, 1) };
    assert_eq!(verdict(vec![to(0, 1), to(1, 1), forged]), Err(Refusal::BadSignature));
    let good = bench.new_view(1, vec![to(0, 1), to(1, 1), to(2, 1)]);
    assert_eq!(refused(&bench.feed(&mut bench.replica(3), 0, 2, good)), [Refusal::WrongLeader]);
}

#[test]
fn a_new_view_must_propose_the_block_of_its_highest_certificate() {
    let bench = Bench::new(&[1; 4]);
    let (low, high, fresh) = (bench.header(0, 1), bench.header(1, 2), bench.header(2, 3));
    let locks = [Some((0, &low)), Some((1, &high)), None];
    let new_view = bench.new_view(2, (0..3).map(|by| bench.view_change(by, 2, locks[usize::from(by)])).collect());
    for (header, expected) in
        [(&low, vec![Refusal::WrongChoice]), (&fresh, vec![Refusal::WrongChoice]), (&high, vec![])]
    {
        let mut replica = bench.replica(3);
        bench.feed(&mut replica, 0, 2, new_view.clone());
        assert_eq!(replica.view_id(), ViewId(2));
        let out = bench.feed(&mut replica, 0, 2, bench.announce(2, 2, header));
        assert_eq!(refused(&out), expected);
    }
}

#[test]
fn a_new_view_without_certificates_must_propose_a_block_made_for_it() {
    let bench = Bench::new(&[1; 4]);
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    for (header, expected) in [(bench.header(0, 1), vec![Refusal::WrongChoice]), (bench.header(1, 1), vec![])] {
        let mut replica = bench.replica(3);
        bench.feed(&mut replica, 0, 1, new_view.clone());
        assert_eq!(refused(&bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &header))), expected);
    }
}

#[test]
fn a_proposal_of_a_later_view_waits_for_its_new_view() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(1, 1));
    let out = bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &header));
    assert!(refused(&out).is_empty() && replica.view_id() == ViewId(0));
    assert!(sent(&available(&mut replica, &header)).is_empty());
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    let out = bench.feed(&mut replica, 0, 1, new_view);
    assert!(matches!(sent(&out)[..], [Message::Prepare(vote)] if vote.block_hash == header.hash()), "{out:?}");
}

#[test]
fn a_locked_validator_prepares_another_block_only_where_a_new_view_justifies_it() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.prepared(0, &header));
    let other = bench.header(1, 2);
    bench.feed(&mut replica, 0, 1, bench.announce(1, 1, &other));
    assert!(sent(&available(&mut replica, &other)).is_empty(), "an announce alone justifies nothing");
    // A quorum without any certificate proves that nobody committed in view 0: its members would report it.
    let new_view = bench.new_view(1, (0..3).map(|by| bench.view_change(by, 1, None)).collect());
    let out = bench.feed(&mut replica, 0, 1, new_view);
    assert!(matches!(sent(&out)[..], [Message::Prepare(vote)] if vote.block_hash == other.hash()), "{out:?}");
}

#[test]
fn a_new_leader_opens_its_view_at_a_quorum_and_proposes_the_highest_certificate_again() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header) = (bench.replica(1), bench.header(0, 1));
    let out = handle(&mut leader, 5 * TIMEOUT, Event::Tick);
    assert!(matches!(sent(&out)[..], [Message::ViewChange(_)]));
    let change = |by, lock| bench.wrap(Message::ViewChange(bench.view_change(by, 1, lock)));
    assert!(sent(&bench.feed(&mut leader, 5 * TIMEOUT, 0, change(0, None))).is_empty());
    let out = bench.feed(&mut leader, 5 * TIMEOUT, 2, change(2, Some((0, &header))));
    let [Message::NewView(new_view), Message::Announce(announce)] = sent(&out)[..] else { panic!("{out:?}") };
    assert_eq!((new_view.view_changes.len(), announce.view_id, &announce.header), (3, ViewId(1), &header));
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(2)] }));
    assert!(!out.iter().any(|action| matches!(action, Action::Distribute { .. } | Action::Build { .. })));
    // A validator that shows that it missed the beginning gets it again.
    let out = bench.feed(&mut leader, 6 * TIMEOUT, 0, change(0, None));
    assert!(matches!(sent(&out)[..], [Message::NewView(_), Message::Announce(_)]), "{out:?}");
}

#[test]
fn a_new_leader_without_certificates_builds_afresh() {
    let bench = Bench::new(&[1; 4]);
    let mut leader = bench.replica(1);
    handle(&mut leader, 5 * TIMEOUT, Event::Tick);
    let mut out = vec![];
    for by in [0, 2] {
        let change = bench.wrap(Message::ViewChange(bench.view_change(by, 1, None)));
        out = bench.feed(&mut leader, 5 * TIMEOUT, by, change);
    }
    assert!(out.contains(&Action::Build { block_num: BlockNum(1), view_id: ViewId(1) }), "{out:?}");
}

#[test]
fn one_faulty_validator_cannot_pull_others_to_its_view_but_two_senders_can() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let change = |by, view| bench.wrap(Message::ViewChange(bench.view_change(by, view, None)));
    bench.feed(&mut replica, 0, 0, change(0, u64::MAX));
    assert_eq!(replica.view_id(), ViewId(0));
    let out = bench.feed(&mut replica, 0, 2, change(2, 5));
    assert_eq!(replica.view_id(), ViewId(5), "the second highest");
    assert!(matches!(sent(&out)[..], [Message::ViewChange(own)] if own.view_id == ViewId(5)));
}

#[test]
fn the_timer_of_a_view_waits_for_a_quorum_to_reach_it() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let mut now = 5 * TIMEOUT;
    handle(&mut replica, now, Event::Tick);
    for _ in 0..10 {
        now += TIMEOUT;
        let out = handle(&mut replica, now, Event::Tick);
        assert!(matches!(sent(&out)[..], [Message::ViewChange(own)] if own.view_id == ViewId(1)), "repeated: {out:?}");
    }
    for by in [0, 2] {
        bench.feed(&mut replica, now, by, bench.wrap(Message::ViewChange(bench.view_change(by, 1, None))));
    }
    handle(&mut replica, now + TIMEOUT / 2, Event::Tick);
    assert_eq!(replica.view_id(), ViewId(1));
    handle(&mut replica, now + 2 * TIMEOUT, Event::Tick);
    assert_eq!(replica.view_id(), ViewId(2));
}

#[test]
fn no_vote_is_cast_in_a_view_that_was_left() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    handle(&mut replica, 5 * TIMEOUT, Event::Tick);
    assert!(sent(&available(&mut replica, &header)).is_empty());
    let out = bench.feed(&mut replica, 5 * TIMEOUT, 0, bench.prepared(0, &header));
    assert_eq!((refused(&out), sent(&out).len()), (vec![Refusal::StaleView], 0));
}

#[test]
fn a_prepared_certificate_of_a_higher_view_brings_a_replica_there() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(2, 1));
    bench.feed(&mut replica, 0, 1, bench.prepared(2, &header));
    assert_eq!(replica.view_id(), ViewId(2));
    let out = bench.feed(&mut replica, 0, 2, bench.announce(2, 2, &header));
    assert!(refused(&out).is_empty(), "the certificate justifies its own block: {out:?}");
    assert!(matches!(sent(&available(&mut replica, &header))[..], [Message::Prepare(_), Message::Commit(_)]));
}

#[test]
fn a_certified_block_is_final_once_its_body_is_available() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    let out = bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(1), v(2)] }));
    let out = available(&mut replica, &header);
    assert!(out.iter().any(|action| matches!(action, Action::Finalize { header: h, .. } if *h == header)));
    assert_eq!((replica.tip().block_num, replica.tip().hash), (BlockNum(1), header.hash()));
}

#[test]
fn a_certificate_without_a_header_asks_for_it_and_a_synced_block_ends_the_search() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    let out = bench.feed(&mut replica, 0, 2, bench.committed(0, &header));
    assert!(out.contains(&Action::Behind { from: v(2), block_num: BlockNum(1) }));
    let seal = bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header);
    let seal = QuorumCertificate::try_new(seal, &bench.committee, &*bench.signers[0]).unwrap();
    handle(&mut replica, 1, Event::Synced { header: bench.header(0, 2), seal: seal.clone() });
    assert!(available(&mut replica, &bench.header(0, 2)).iter().all(|a| !matches!(a, Action::Finalize { .. })));
    handle(&mut replica, 1, Event::Synced { header: header.clone(), seal });
    assert!(available(&mut replica, &header).iter().any(|a| matches!(a, Action::Finalize { .. })));
}

#[test]
fn the_next_proposal_brings_the_seal_that_was_lost_and_is_kept_meanwhile() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    let next = bench.next(&header, bench.certificate(&[0, 1, 2], Phase::Commit, 0, &header));
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &next));
    assert!(out.iter().any(|action| matches!(action, Action::Finalize { .. })));
    assert!(out.contains(&Action::Obtain { header: next, from: vec![v(0)] }), "{out:?}");
}

#[test]
fn early_messages_are_bounded_per_sender() {
    let bench = Bench::new(&[1; 4]);
    let mut replica = bench.replica(3);
    let early = |by, view| bench.vote_of(by, &[Slot(by)], Phase::Prepare, 2, view, Hash([1; 32]));
    let full =
        (0..100).position(|view| refused(&bench.feed(&mut replica, 0, 1, early(1, view))) == [Refusal::BufferFull]);
    assert_eq!(full, Some(10));
    assert_eq!(refused(&bench.feed(&mut replica, 0, 2, early(2, 0))), [], "one sender does not crowd out another");
    assert_eq!(refused(&bench.feed(&mut replica, 0, 2, early(2, 0))), [Refusal::Replay]);
}

#[test]
fn late_commits_make_the_parent_seal_fuller_until_the_next_block_is_built() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    let hash = header.hash();
    for (phase, by) in [Phase::Prepare, Phase::Commit].into_iter().flat_map(|phase| [(phase, 1), (phase, 2)]) {
        bench.feed(&mut leader, 0, by, bench.vote(by, phase, 0, hash));
    }
    assert_eq!(leader.tip().hash, hash);
    let signers = |leader: &Replica| leader.parent_seal().unwrap().signers;
    assert_eq!(signers(&leader), [0b0111]);
    let late = bench.vote(3, Phase::Commit, 0, hash);
    let out = bench.feed(&mut leader, 0, 3, late.clone());
    assert!(
        out.iter().any(|action| matches!(action, Action::Note(Note::CommitAll(at)) if at.block_num == BlockNum(1)))
    );
    assert_eq!(signers(&leader), [0b1111]);
    let seal = leader.parent_seal().unwrap();
    assert!(QuorumCertificate::try_new(seal, &bench.committee, &*bench.signers[1]).is_ok());
    assert_eq!(refused(&bench.feed(&mut leader, 0, 3, late)), [Refusal::Replay]);
}

#[test]
fn lagging_and_leading_peers_are_reported_at_a_limited_rate() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, _) = prepared_once(&bench, 3);
    bench.feed(&mut replica, 0, 0, bench.committed(0, &header));
    let old = bench.wrap(Message::ViewChange(bench.view_change(2, 1, None)));
    let behind = Action::PeerBehind { to: v(2), block_num: BlockNum(1) };
    let reports = [0, 1, 2, TIMEOUT].map(|now| bench.feed(&mut replica, now, 2, old.clone()).contains(&behind));
    assert_eq!(reports, [true, false, false, true]);
    let ahead = bench.vote_of(1, &[Slot(1)], Phase::Prepare, 9, 0, header.hash());
    let behind = Action::Behind { from: v(1), block_num: BlockNum(2) };
    let reports = [0, 1, TIMEOUT].map(|now| bench.feed(&mut replica, now, 1, ahead.clone()).contains(&behind));
    assert_eq!(reports, [true, false, true]);
}

#[test]
fn a_validator_repeats_its_vote_when_the_leader_repeats_itself() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header, out) = prepared_once(&bench, 3);
    let vote = sent(&out)[0].clone();
    let again = bench.feed(&mut replica, TIMEOUT, 0, bench.announce(0, 0, &header));
    assert_eq!(sent(&again), [&vote]);
    assert!(sent(&bench.feed(&mut replica, TIMEOUT, 0, bench.announce(0, 0, &header))).is_empty(), "at a limited rate");
}

#[test]
fn a_leader_repeats_itself_to_those_whose_vote_is_missing() {
    let bench = Bench::new(&[1; 4]);
    let (mut leader, header, _) = leading(&bench);
    bench.feed(&mut leader, 0, 1, bench.vote(1, Phase::Prepare, 0, header.hash()));
    let out = handle(&mut leader, TIMEOUT / 4, Event::Tick);
    let to: Vec<_> = out
        .iter()
        .filter_map(|action| match action {
            Action::Send { to, message } if matches!(message.message, Message::Announce(_)) => Some(*to),
            _ => None,
        })
        .collect();
    assert_eq!(to, [v(2), v(3)]);
}

#[test]
fn a_missing_body_is_asked_of_its_holders_first_and_of_everybody_later() {
    let bench = Bench::new(&[1; 4]);
    let (mut replica, header) = (bench.replica(3), bench.header(0, 1));
    let out = bench.feed(&mut replica, 0, 0, bench.announce(0, 0, &header));
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0)] }), "{out:?}");
    let out = handle(&mut replica, TIMEOUT / 2, Event::Tick);
    assert!(out.contains(&Action::Obtain { header: header.clone(), from: vec![v(0), v(1), v(2)] }), "{out:?}");
    available(&mut replica, &header);
    let out = handle(&mut replica, TIMEOUT, Event::Tick);
    assert!(!out.iter().any(|action| matches!(action, Action::Obtain { .. })), "{out:?}");
}
